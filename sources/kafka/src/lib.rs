//! Changes read back from Kafka messages.
//!
//! [`decode`] turns one message into rows, in each of the layouts that `sinks/kafka` writes, and rows
//! into change batches. Nothing here connects to a broker yet.

pub mod decode;
