//! What source and sink share about Kafka: how a client is set up ([`client_config`]), what its failures
//! mean ([`error`]), how a question is asked ([`ask()`]), what librdkafka reports ([`watch`]), and how a
//! client ends ([`aside`]).

pub mod aside;
pub mod ask;
pub mod client_config;
pub mod error;
pub mod watch;

pub use aside::Aside;
pub use ask::{ask, blocking};
pub use client_config::{ClientSettings, Refused};
pub use watch::Watch;
