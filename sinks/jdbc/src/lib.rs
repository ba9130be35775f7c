//! The sink `Jdbc`: rows into MySQL and MariaDB, exactly once, a few statements per batch.
//!
//! The way of a batch: [`writer`](self) takes it over and renders its rows as SQL literals
//! (`encode`) into one buffer per table (`pending`), as the table's plan says (`plan`, or
//! `template` for the option `query`). When enough rows wait, or when time is up, they are reduced
//! to the last change per key and sent as a few wide statements. At a checkpoint the commit marker
//! (`marker`) is written into the same transaction, and the committer commits it.
//!
//! **One connection, one transaction per checkpoint.** Everything between two checkpoints, the
//! marker included, becomes visible at once or not at all, so a target commit never shows half of a
//! source transaction. The price is one writer per sink, and an undo log on the target as large as
//! a checkpoint.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `tls`, `placeholder` | what the user wrote |
//! | `connect`, `error` | the session, and what its failures mean |
//! | `target`, `column_type`, `ddl` | the target's tables: read, judged, made, changed |
//! | `plan`, `key`, `template` | how rows of a table are written |
//! | `encode`, `instant`, `quote`, `scan` | values and names as SQL |
//! | `pending` | rows that wait, and their reduction |
//! | `marker`, `writer`, `committer`, `check`, `sink` | the promises of the sink interface |

mod alteration;
mod mysql;
mod options;
mod placeholder;
mod postgres;
mod query;
mod scan;
mod sink;
mod stored_state;
mod zone;

pub use options::{OPTIONS, RULES};
pub use sink::{JdbcSink, PLUGIN};
