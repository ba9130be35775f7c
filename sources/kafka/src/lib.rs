//! The source `Kafka`: every message is a change, or several.
//!
//! The partitions of a topic are shared by the processes of a consumer group. Each partition is a small
//! source of its own (a *share*), with its own place in the commit markers: exactly once does not rest on
//! what the group thinks, only on the markers. `docs/kafka.md` tells it from the user's side, and
//! `culvert_engine`'s `group` is where shares are worked on.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what the user wrote, checked |
//! | `source`, `check` | the source as the engine sees it |
//! | `member`, `start` | this process in the group; where a partition begins |
//! | `memory` | what the group remembers of a partition, and what is told to it |
//! | `partition`, `reader` | one partition as a source |
//! | [`decode`] | from messages to rows |

mod check;
pub mod decode;
mod member;
mod memory;
mod options;
mod partition;
mod probe;
mod reader;
mod source;
mod start;

pub use options::{OPTIONS, RULES};
pub use source::{KafkaSource, PLUGIN};
