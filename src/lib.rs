#![doc = include_str!("../ARCHITECTURE.md")]

// The order is the flow, and the import order: a module uses only modules above it (tests/architecture.rs).

// words
pub mod time;
pub mod sample;
pub mod event;
pub mod ua;
pub mod pki;
pub mod background;
// from the PLCs
pub mod southbound;
pub mod preprocess;
// what happened
pub mod history;
pub mod aggregate;
pub mod statistics;
// what it means
pub mod model;
pub mod simulate;
pub mod fit;
pub mod optimize;
pub mod program;
pub mod alarm;
pub mod twin;
pub mod revisions;
pub mod ingest;
pub mod jobs;
// to the world
pub mod northbound;
// the machine
pub mod plant;
pub mod config;
pub mod import;
pub mod telemetry;
pub mod control;
pub mod app;
// people
pub mod cli;
