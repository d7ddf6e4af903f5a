//! The system as its users meet it: processes, disks, clients.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

mod disk;
mod fit_command;
mod history_command;
mod history_disk_full;
mod history_edit_kill;
mod history_kill;
mod history_look;
mod history_power_cut;
mod history_retention;
mod history_writer;
mod sled_power_cut;
mod trial;
