//! Digital twins as an OPC UA server.


// words
pub mod time;
pub mod sample;
pub mod ua;
// from the PLCs
pub mod southbound;
// what it means
// the machine
