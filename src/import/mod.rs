//! A config made of what a PLC says of itself, and a config held against it. Pure: a survey goes in, a text comes out, which the
//! config's own parser has accepted.
//!
//! What becomes a twin. An object whose sub-objects are alike (two or more of one ObjectType, or of one structure) is a *group*: each
//! of them is looked at by itself, and variables that the group itself has are a twin of its own. So is an object with more than
//! 1,000 variables that has sub-objects. An object of FolderType or BaseObjectType without variables is passed through, unless it
//! occurs twice and nothing below it has an ObjectType of its own. Any other object is a *device*: a twin, with the variables of its
//! sub-objects as `Sub_Name`. Devices of one ObjectType, else of one structure, are of one twin type if they have the same
//! variables.

mod compare;
mod devices;
mod names;
mod sources;
#[cfg(test)]
mod tests;
mod toml_text;
mod tree;
mod twin_types;
mod write;

pub use compare::{Difference, Sourced, compare, sourced};
pub use write::{Origin, Written, write};
