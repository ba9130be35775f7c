//! What a failure of the target server means for the job.
//!
//! The shared table of SQLSTATEs decides the kind. What is added here is the column, which the server
//! names beside a value that must not be shown, and what a person can do about it on the target.

use culvert_api::Error;
use culvert_postgres::from_client;
use culvert_postgres::quote::{identifier, qualified};
use tokio_postgres::Error as ClientError;

/// What a statement is told that makes something that somebody else makes at the same moment: a unique
/// violation in the catalog, a duplicate table, a duplicate schema.
pub(crate) const NAME_TAKEN: &[&str] = &["23505", "42P07", "42P06"];

/// A foreign key is not met.
pub(crate) const FOREIGN_KEY: &str = "23503";
/// NULL in a column that takes none.
const NOT_NULL: &str = "23502";
/// A text that is no value of its column's type.
const NO_VALUE: &str = "22P02";
/// Two rows for one value of a unique index.
pub(crate) const UNIQUE: &str = "23505";
/// A lock was waited for too long.
pub(crate) const LOCK_TIMEOUT: &str = "55P03";
/// Two transactions wait for each other.
pub(crate) const DEADLOCK: &str = "40P01";
/// A right is missing.
pub(crate) const PERMISSION: &str = "42501";

/// Why rows that wait for the end of the checkpoint were sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    /// So many bytes waited in one table.
    Table {
        /// The limit.
        bytes: usize,
    },
    /// So many bytes waited in all tables.
    All {
        /// The limit.
        bytes: usize,
    },
    /// A table's shape changed between them.
    Shape,
}

/// Says of a constraint that was not met that rows it looks at were sent too early for it, if they were.
pub(crate) fn explain_early(failure: Error, early: Option<Early>) -> Error {
    const MIB: usize = 1024 * 1024;
    let of_order =
        [FOREIGN_KEY, UNIQUE].iter().any(|code| failure.message().contains(&format!("error {code} ")));
    let Some(early) = early.filter(|_| of_order) else { return failure };
    let why = match early {
        Early::Table { bytes } => format!("more than {} MiB of one table waited for it", bytes / MIB),
        Early::All { bytes } => format!("more than {} MiB waited for it in all tables", bytes / MIB),
        Early::Shape => "a table changed its shape before it".to_string(),
    };
    failure.hint(format!(
        "rows were sent before the end of the checkpoint, because {why}: make the constraint DEFERRABLE at the target \
         (ALTER TABLE … ALTER CONSTRAINT … DEFERRABLE; a unique one is dropped and added again), or take smaller \
         checkpoints (checkpoint.interval) where no single source transaction is that large",
    ))
}

/// The server's code for a failure, when the server answered at all.
pub(crate) fn code(error: &ClientError) -> Option<String> {
    error.as_db_error().map(|answer| answer.code().code().to_string())
}

/// Turns the driver's error into ours. `doing` completes "while …".
pub(crate) fn convert(error: ClientError, doing: &str) -> Error {
    let answer = error.as_db_error();
    let code = answer.map(|answer| answer.code().code().to_string()).unwrap_or_default();
    let place = answer.and_then(|answer| answer.where_()).and_then(copied_column);
    let column = answer.and_then(|answer| answer.column()).map(str::to_string);
    let table = answer.and_then(|answer| Some(qualified(answer.schema()?, answer.table()?)));
    let constraint = answer.and_then(|answer| answer.constraint()).map(str::to_string);
    let mut failure = from_client(error, doing);
    if let Some(place) = place {
        failure = failure.context("staged_column", place);
    }
    if let Some(column) = &column {
        failure = failure.context("column", column);
    }
    if let Some(constraint) = &constraint {
        failure = failure.context("constraint", constraint);
    }
    match code.as_str() {
        FOREIGN_KEY => failure.hint(
            "rows that a foreign key of the target asks for are not there: while the first rows are loaded, or when \
             another job writes the other table, set foreign_keys = \"IGNORE\" or drop the key; otherwise make it \
             DEFERRABLE (ALTER TABLE … ALTER CONSTRAINT … DEFERRABLE)",
        ),
        UNIQUE => failure.hint(
            "make the unique constraint DEFERRABLE, or drop it: its values move between rows in an order that it \
             does not allow",
        ),
        NOT_NULL => match (table, column) {
            (Some(table), Some(column)) => failure.hint(format!(
                "rows of the source have NULL there: run on the target ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL",
                identifier(&column)
            )),
            _ => failure,
        },
        NO_VALUE => failure.hint(
            "where the column is an enum, its type at the target may lack a label that the source's has: ALTER TYPE … ADD \
             VALUE",
        ),
        "22021" | "22P05" => failure.hint("make the target database one in UTF8"),
        _ => failure,
    }
}

/// `COPY stage, line 1, column v3: "…"` names the column before the value.
fn copied_column(place: &str) -> Option<usize> {
    let (_, rest) = place.split_once(", column v")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_of_a_copied_row_is_known_without_its_value() {
        assert_eq!(copied_column("COPY culvert_stage_1, line 12, column v3: \"secret, column v9\""), Some(3));
        assert_eq!(copied_column("COPY t, line 1"), None);
    }

    #[test]
    fn only_a_constraint_that_minds_the_order_is_explained_by_it() {
        let early = Some(Early::Table { bytes: 32 * 1024 * 1024 });
        let failure = |code| culvert_postgres::from_server(code, "violates \"c\"", "writing to t");
        let hint = |failure: Error| failure.hint_text().unwrap_or_default().to_string();
        assert!(hint(explain_early(failure("23503"), early)).contains("32 MiB of one table"));
        assert!(hint(explain_early(failure("23505"), Some(Early::Shape))).contains("DEFERRABLE"));
        assert_eq!(hint(explain_early(failure("23505"), None)), "");
        assert_eq!(hint(explain_early(failure("23502"), early)), "");
    }
}
