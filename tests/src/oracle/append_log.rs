//! An append log: a table that holds every change in order, and what it must replay to.

use std::collections::BTreeMap;
use std::fmt;

use mysql_async::Conn;

use super::{Row, columns, quoted, quoted_table, rows_in_order, shown};

/// What a change log says, in order.
#[derive(Clone, Debug, Default)]
pub struct AppendLog {
    /// The row kind of each change as it was written, and the row without kind and order.
    pub changes: Vec<(String, Row)>,
    /// Places of the key's columns in a row; empty for a table without a key.
    pub key: Vec<usize>,
}

/// The first change that cannot have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its place in the log, from 0; the log's length when its end is the problem.
    pub place: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "change {} of the log: {}", self.place, self.what)
    }
}

impl AppendLog {
    /// Reads the log in `table` (`db.t`): `order` is an auto-increment column, `kind` holds the
    /// row kind (`+I`, or `INSERT` and so on), `key` names the key's columns; without key columns
    /// equal rows are counted.
    pub async fn read(conn: &mut Conn, table: &str, order: &str, kind: &str, key: &[&str]) -> AppendLog {
        let names: Vec<String> =
            columns(conn, table).await.into_iter().filter(|name| name != order && name != kind).collect();
        let list: Vec<String> =
            std::iter::once(kind).chain(names.iter().map(String::as_str)).map(quoted).collect();
        let query =
            format!("SELECT {} FROM {} ORDER BY {}", list.join(", "), quoted_table(table), quoted(order));
        let changes = rows_in_order(conn, &query)
            .await
            .into_iter()
            .map(|mut row| {
                let kind = row.remove(0).unwrap_or_else(|| "NULL".into());
                (kind, row)
            })
            .collect();
        let place = |name: &&str| {
            names
                .iter()
                .position(|have| have == name)
                .unwrap_or_else(|| panic!("{table} has no column {name}"))
        };
        AppendLog { changes, key: key.iter().map(place).collect() }
    }
}

/// Replays a log from nothing and returns the rows there are in the end, sorted.
///
/// Legal is: `+I` of a key that is not there; `-U` and `-D` of a row that is there exactly like
/// that; `+U` directly after a `-U` of the same key; nothing else directly after a `-U`.
///
/// # Errors
/// The first change that is not legal.
pub fn replay(log: &AppendLog) -> Result<Vec<Row>, Violation> {
    let mut state = State { rows: BTreeMap::new(), counted: log.key.is_empty() };
    // The key of a -U that waits for its +U.
    let mut open: Option<Row> = None;
    for (place, (kind, row)) in log.changes.iter().enumerate() {
        let key = log.key_of(row);
        let step = match (kind.as_str(), open.take()) {
            ("+U" | "UPDATE_AFTER", Some(before)) if state.counted || before == key => state.add(key, row),
            ("+U" | "UPDATE_AFTER", Some(_)) => Err("+U of another key than the -U before it".into()),
            ("+U" | "UPDATE_AFTER", None) => Err("+U without a -U before it".into()),
            (_, Some(_)) => Err("the -U before it has no +U".into()),
            ("+I" | "INSERT", None) => state.add(key, row),
            ("-D" | "DELETE", None) => state.remove(&key, row),
            ("-U" | "UPDATE_BEFORE", None) => {
                let step = state.remove(&key, row);
                open = Some(key);
                step
            }
            (other, None) => Err(format!("`{other}` is no row kind")),
        };
        step.map_err(|what| Violation { place, what: format!("{kind} {}: {what}", shown(row)) })?;
    }
    if open.is_some() {
        return Err(Violation { place: log.changes.len(), what: "the log ends between -U and +U".into() });
    }
    let mut rows: Vec<Row> =
        state.rows.into_values().flat_map(|(row, count)| std::iter::repeat_n(row, count)).collect();
    rows.sort_unstable();
    Ok(rows)
}

impl AppendLog {
    /// The key's values; the whole row without a key.
    fn key_of(&self, row: &Row) -> Row {
        if self.key.is_empty() {
            return row.clone();
        }
        self.key.iter().map(|place| row.get(*place).cloned().flatten()).collect()
    }
}

/// Row and number of copies by key.
struct State {
    rows: BTreeMap<Row, (Row, usize)>,
    counted: bool,
}

impl State {
    fn add(&mut self, key: Row, row: &Row) -> Result<(), String> {
        match self.rows.get_mut(&key) {
            Some((_, count)) if self.counted => *count += 1,
            Some((there, _)) => return Err(format!("the key is there already, as {}", shown(there))),
            None => {
                self.rows.insert(key, (row.clone(), 1));
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &Row, row: &Row) -> Result<(), String> {
        match self.rows.get_mut(key) {
            None => Err("no such row is there".into()),
            Some((there, _)) if there != row => Err(format!("the row there is {}", shown(there))),
            Some((_, count)) if *count > 1 => {
                *count -= 1;
                Ok(())
            }
            Some(_) => {
                self.rows.remove(key);
                Ok(())
            }
        }
    }
}
