//! The sink `Jdbc`: rows into MySQL, MariaDB and PostgreSQL, exactly once. The url decides which; `sink`
//! is the front, and each family is a half with the same files.
//!
//! The way of a batch: `writer` takes it over and renders its rows (`encode`) into one buffer per table
//! (`pending`), as the table's plan says (`plan`, or `template` for the option `query`). When enough
//! rows wait, or when time is up, they are reduced to the last change per key and sent: to MySQL as a
//! few wide statements of literals, to PostgreSQL by COPY into a staging table that is then merged
//! (`stage`, `flush`). At a checkpoint the commit marker (`marker`) is written into the same
//! transaction, and the committer commits it.
//!
//! **One connection, one transaction per checkpoint.** Everything between two checkpoints, the
//! marker included, becomes visible at once or not at all, so a target commit never shows half of a
//! source transaction. The price is one writer per sink, and an undo log on the target as large as
//! a checkpoint.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `placeholder`, `query` | what the user wrote, as far as all targets share it |
//! | `alteration`, `stored_state`, `zone` | the source's ALTER TABLE, the marker's state, wall clocks |
//! | `earlier` | the sessions of the attempts before |
//! | `mysql/`, `postgres/` | the halves: |
//! | … `options`, `name` or `quote`, `template` | what the user wrote, in the family's terms |
//! | … `connect`, `error`, MySQL's `witness` | the session, what its failures mean, and whether it is dead |
//! | … `target`, `column_type`, `declare`, `ddl` | the target's tables: read, judged, made, changed |
//! | … `plan`, `key` | how rows of a table are written |
//! | … `encode`, `instant` | values as the server reads them |
//! | … `pending`, `stage`, `flush`, `order` | rows that wait, their reduction, and how they go out |
//! | … `marker`, `writer`, `committer`, `check`, `sink` | the promises of the sink interface |

mod alteration;
mod earlier;
mod mysql;
mod options;
mod placeholder;
mod postgres;
mod query;
mod sink;
mod stored_state;
mod zone;

pub use options::{OPTIONS, RULES};
pub use sink::{JdbcSink, PLUGIN};
