//! What twins there are, and how each stands now. The configured part is immutable (`variable`, `kind`, `series`); the live
//! part has one writer, the ingest stage (`live`).

mod conversion;
mod derived;
mod kind;
mod live;
mod series;
mod variable;

pub use derived::*;
pub use kind::*;
pub use live::*;
pub use series::*;
pub use variable::*;
