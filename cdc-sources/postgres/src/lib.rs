//! PostgreSQL as a source of changes.
//!
//! Read in this order: `options` what users say · `source` how an attempt is prepared · `slot` and
//! `publication` what it leaves at the server · `newcomers` which tables join later · `enumerator` how
//! the work is cut · `reader` how the log and the snapshot become one stream · `snapshot` and
//! `visibility` what a chunk has seen · `log` how the log arrives · `decode` how wire bytes become
//! columns · `standing` what the log does not tell. Beside it, [`select`] reads tables and queries without
//! the log.

mod catalog;
mod check;
mod column;
mod decode;
mod enumerator;
mod filling;
mod key;
pub mod log;
mod lsn;
mod newcomers;
mod options;
mod partitions;
mod pgoutput;
mod probe;
mod publication;
mod reader;
mod row_filter;
pub mod select;
mod selection;
mod shape;
mod slot;
mod snapshot;
mod source;
mod standing;
mod state;
mod tables;
mod transaction;
mod visibility;
mod walsender;

pub use options::{OPTIONS, PgConfig, Startup, Stop};
pub use source::PostgresSource;
