//! Digital twins as an OPC UA server.


// words
pub mod time;
pub mod sample;
pub mod ua;
// what happened
// to the world
// people
