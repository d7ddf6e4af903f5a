//! The commands, a file each. They talk to people: progress on a terminal, lines where piped, one clear sentence on failure.

pub mod bench;
pub mod check;
pub mod demo;
pub mod history;
pub mod plant;
pub mod run;
