//! What a table or a query holds, read once: the source `Jdbc`.
//!
//! Read in this order: `options` what users say · `source` how an attempt is prepared · `parts` how the work
//! is cut · `enumerator` what of it is done · `reader` how parts become one stream, and where a barrier may
//! fall · `database` what the two families of servers do differently.
//!
//! How values become columns is what the change-data-capture sources do; this crate calls their `select`
//! modules. `docs/jdbc-source.md` tells it from the user's side.

mod check;
mod database;
mod enumerator;
mod one_table;
mod options;
mod parts;
mod reader;
mod source;
mod state;

pub use options::{OPTIONS, RULES};
pub use source::JdbcSource;
