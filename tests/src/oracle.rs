//! The oracle: says whether a target holds what its source holds, row for row.
//!
//! Values are compared as the server prints them. That sees everything a user would see, and
//! needs no conversion of ours that could hide a mistake of ours.

mod append_log;
pub mod postgres;

use std::cmp::Ordering;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

pub use append_log::{AppendLog, Violation, replay};

/// A row as the server prints it; `None` is NULL. Bytes that are no UTF-8 are shown as `x'…'`.
pub type Row = Vec<Option<String>>;

/// How many differences a failure shows of each kind.
const DIFFERENCES_SHOWN: usize = 10;

/// What a query returns, sorted.
pub async fn rows(conn: &mut Conn, query: &str) -> Vec<Row> {
    let mut rows = rows_in_order(conn, query).await;
    rows.sort_unstable();
    rows
}

/// What a query returns, in the order it returns it.
pub async fn rows_in_order(conn: &mut Conn, query: &str) -> Vec<Row> {
    let rows: Vec<mysql_async::Row> =
        conn.query(query).await.unwrap_or_else(|error| panic!("`{query}` failed: {error}"));
    printed_rows(rows)
}

/// Rows as MariaDB or MySQL printed them.
pub(crate) fn printed_rows(rows: Vec<mysql_async::Row>) -> Vec<Row> {
    rows.into_iter().map(|row| row.unwrap().into_iter().map(printed).collect()).collect()
}

/// The columns of a table (`db.t` or `t`), in order, as the query shows them.
pub async fn columns(conn: &mut Conn, table: &str) -> Vec<String> {
    let query = format!("SHOW COLUMNS FROM {}", quoted_table(table));
    rows_in_order(conn, &query)
        .await
        .into_iter()
        .map(|row| row.into_iter().next().flatten().expect("a column has a name"))
        .collect()
}

/// Compares the columns of `source` with those of the same names in `target`, over all rows in any
/// order. Tables are named `db.t`.
///
/// # Panics
/// When they differ, with the first differences.
pub async fn assert_same_table(source: (&mut Conn, &str), target: (&mut Conn, &str)) {
    let columns = columns(source.0, source.1).await;
    let list: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let query = |table: &str| format!("SELECT {} FROM {}", list.join(", "), quoted_table(table));
    let left = rows(source.0, &query(source.1)).await;
    let right = rows(target.0, &query(target.1)).await;
    assert_same((source.1, &left), (target.1, &right));
}

/// Compares two sorted sets of rows, each with its name for people.
///
/// # Panics
/// When they differ, with the first differences.
#[track_caller]
pub fn assert_same(left: (&str, &[Row]), right: (&str, &[Row])) {
    if let Some(difference) = difference(left, right) {
        panic!("{difference}");
    }
}

/// How two sorted sets of rows differ, in words; `None` when they do not.
pub fn difference(left: (&str, &[Row]), right: (&str, &[Row])) -> Option<String> {
    let (mut only_left, mut only_right) = (Vec::new(), Vec::new());
    let (mut lefts, mut rights) = (left.1.iter().peekable(), right.1.iter().peekable());
    loop {
        let order = match (lefts.peek(), rights.peek()) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        match order {
            Ordering::Less => only_left.extend(lefts.next()),
            Ordering::Greater => only_right.extend(rights.next()),
            Ordering::Equal => {
                lefts.next();
                rights.next();
            }
        }
    }
    if only_left.is_empty() && only_right.is_empty() {
        return None;
    }
    let mut text = format!("{} has {} rows, {} has {}:\n", left.0, left.1.len(), right.0, right.1.len());
    for (name, only) in [(left.0, only_left), (right.0, only_right)] {
        text.push_str(&format!("{} only in {name}\n", only.len()));
        for row in only.iter().take(DIFFERENCES_SHOWN) {
            text.push_str(&format!("    {}\n", shown(row)));
        }
        if only.len() > DIFFERENCES_SHOWN {
            text.push_str("    …\n");
        }
    }
    Some(text)
}

/// A row for people.
pub(crate) fn shown(row: &Row) -> String {
    let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    format!("({})", values.join(", "))
}

/// An identifier as SQL takes it.
pub fn quoted(identifier: &str) -> String {
    format!("`{}`", identifier.replace('`', "``"))
}

/// `db.t` or `t` as SQL takes it.
pub fn quoted_table(table: &str) -> String {
    match table.split_once('.') {
        Some((database, table)) => format!("{}.{}", quoted(database), quoted(table)),
        None => quoted(table),
    }
}

fn printed(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let hex: String = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                format!("x'{hex}'")
            }
        }),
        // The text protocol sends nothing else.
        other => Some(other.as_sql(true)),
    }
}
