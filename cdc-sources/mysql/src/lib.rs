//! MySQL and MariaDB as a source of changes.
//!
//! Read in this order: `options` what users say · `source` how an attempt is prepared ·
//! `enumerator` how the work is cut · `reader` how the log and the snapshot become one stream ·
//! `log` where transactions begin and end · `snapshot` how a chunk is read late enough ·
//! [`decode`] how wire bytes become columns. Beside it, [`select`] reads tables and queries without the log.

mod catalog;
pub mod charset;
mod check;
pub mod column;
mod connect;
pub mod ddl;
pub mod decode;
mod enumerator;
mod error;
pub mod event;
pub mod gtid;
pub mod json;
mod key;
mod log;
mod merge;
mod options;
mod position;
mod probe;
mod reader;
pub mod select;
mod selection;
mod shapes;
mod snapshot;
mod source;
mod state;
mod tables;
mod value_text;
pub mod wire;

pub use connect::{Endpoint, Flavor, ServerInfo};
pub use options::{MySqlConfig, OPTIONS, Startup, Stop};
pub use position::{BinlogPosition, StreamPosition};
pub use source::MySqlSource;
