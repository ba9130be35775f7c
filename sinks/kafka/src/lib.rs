//! The sink `Kafka`: every change is a message.
//!
//! The way of a batch: `writer` resolves the table's topic and key once per shape (`plan`), `encode`
//! makes the messages of its rows, and `link` hands them to librdkafka, which sends them in the
//! background. At a checkpoint every message must have been acknowledged by the broker.
//!
//! **Exactly once** (`semantics = EXACTLY_ONCE`): everything between two checkpoints is one Kafka
//! transaction, and the commit marker is a message in it, to the compacted progress topic. A consumer
//! that reads committed messages sees all of it or nothing. `progress` reads the marker back, and has
//! the one hard part: to see past the open transactions of others.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what the user wrote, checked |
//! | `template`, `plan` | topics and keys of a table |
//! | `encode/` | messages: `value` is the form of one value, the others one format each |
//! | `registry` | the schema registry of the format `avro` |
//! | `ledger` | the source's transactions, counted for their own topic |
//! | `link`, `cluster` | the producer and its delivery reports; topics and settings of the broker |
//! | `marker`, `progress` | the commit marker as it is stored, and how it is read |
//! | `writer`, `committer`, `check`, `sink` | the promises of the sink interface |
//!
//! How a client is set up, what its failures mean and what librdkafka reports is shared with the source: the
//! crate `kafka/`.

mod check;
mod cluster;
mod committer;
mod encode;
mod ledger;
mod link;
mod marker;
mod options;
mod plan;
mod progress;
mod registry;
mod sink;
mod template;
mod writer;

pub use options::{OPTIONS, RULES};
pub use sink::{KafkaSink, PLUGIN};
