//! Digital twins as an OPC UA server.


// words
pub mod time;
pub mod sample;
pub mod ua;
// from the PLCs
pub mod southbound;
pub mod preprocess;
// what happened
pub mod history;
pub mod statistics;
// what it means
pub mod model;
pub mod simulate;
pub mod fit;
pub mod twin;
pub mod ingest;
pub mod jobs;
// to the world
pub mod northbound;
// the machine
pub mod plant;
pub mod config;
