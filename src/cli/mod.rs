//! The commands, a file each. They talk to people: progress on a terminal, lines where piped, one clear sentence on failure.

pub mod bench;
pub mod cert;
pub mod check;
pub mod data;
pub mod demo;
pub mod experiment;
pub mod fit;
pub mod history;
pub mod import;
mod number;
pub mod plant;
mod plot;
pub mod run;
pub mod simulate;
mod table;
pub mod user;
