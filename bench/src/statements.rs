//! The backlog: a table of 500-byte rows with three time columns, and a log full of its changes.
//!
//! Every thousand inserted rows, in transactions of a hundred, are followed by one transaction that
//! updates a hundred of them and one that deletes another hundred. The same statements for every
//! kind of server and on every run: the generator has a fixed seed.

use std::fmt::Write;

use anyhow::{Result, ensure};

use crate::task::Outcome;

/// The database, and on PostgreSQL the schema, too.
pub(crate) const DATABASE: &str = "bench";
/// The table.
pub(crate) const TABLE: &str = "orders";

/// Rows of one transaction.
const TRANSACTION_ROWS: u64 = 100;
/// Inserted rows between two transactions that update or delete.
const CYCLE_ROWS: u64 = 1000;

/// Letters of the longest column; makes a row image of 500 bytes in MySQL's log: 1 of null bits,
/// 8 + 4 + 6 of numbers, 8 + 6 + 3 of times, 1 + 24 and 2 + 437 of text.
pub(crate) const NOTE_LETTERS: usize = 437;
const LABEL_LETTERS: usize = 24;
/// Letters that texts are cut from.
const POOL_LETTERS: usize = 1 << 16;

/// What the statements do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Rows that are inserted.
    pub(crate) inserted: u64,
    /// Rows that are updated, and the same number that is deleted.
    pub(crate) updated: u64,
}

impl Counts {
    /// Of this many inserted rows, rounded up to a cycle.
    pub(crate) fn of_rows(rows: u64) -> Counts {
        let cycles = Counts::cycles(rows);
        Counts { inserted: cycles * CYCLE_ROWS, updated: cycles * TRANSACTION_ROWS }
    }

    /// How often the pattern repeats.
    pub(crate) fn cycles(rows: u64) -> u64 {
        rows.div_ceil(CYCLE_ROWS)
    }

    /// Changes of rows; an update is one.
    pub(crate) fn changes(&self) -> u64 {
        self.inserted + 2 * self.updated
    }

    /// Rows that are left in the table.
    pub(crate) fn left(&self) -> u64 {
        self.inserted - self.updated
    }

    /// The row that is inserted last.
    pub(crate) fn last_inserted(&self) -> u64 {
        self.inserted
    }

    /// A row that the very last transaction deletes.
    pub(crate) fn last_deleted(&self) -> u64 {
        self.inserted - CYCLE_ROWS + 1 + TRANSACTION_ROWS
    }

    /// Did all changes come through?
    pub(crate) fn expect_changes(&self, outcome: Outcome) -> Result<()> {
        let Counts { inserted, updated } = *self;
        let wanted = Outcome { inserted, updated, deleted: updated, checkpoints: outcome.checkpoints };
        ensure!(outcome == wanted, "{outcome:?} instead of {wanted:?}");
        Ok(())
    }

    /// Did the whole table come through, and nothing else?
    pub(crate) fn expect_table(&self, outcome: Outcome) -> Result<()> {
        let left = self.left();
        ensure!(outcome.changes() == left && outcome.inserted == left, "{outcome:?} of {left} rows");
        Ok(())
    }
}

/// Makes the statements.
pub(crate) struct Statements {
    pool: String,
    state: u64,
}

impl Statements {
    /// From their beginning.
    pub(crate) fn new() -> Statements {
        let mut statements =
            Statements { pool: String::with_capacity(POOL_LETTERS), state: 0x9e37_79b9_7f4a_7c15 };
        for _ in 0..POOL_LETTERS {
            let letter = char::from(b'a' + (statements.number(26) as u8));
            statements.pool.push(letter);
        }
        statements
    }

    /// One cycle, counted from 0, in order: each statement is a transaction.
    pub(crate) fn cycle(&mut self, cycle: u64) -> Vec<String> {
        let first = cycle * CYCLE_ROWS + 1;
        let mut statements: Vec<String> = (0..CYCLE_ROWS / TRANSACTION_ROWS)
            .map(|transaction| self.insert(first + transaction * TRANSACTION_ROWS))
            .collect();
        let range = |place: u64| {
            let from = first + place * TRANSACTION_ROWS;
            format!("WHERE id BETWEEN {from} AND {}", from + TRANSACTION_ROWS - 1)
        };
        let update = "SET amount = amount + 1, changed = changed + INTERVAL '1' SECOND";
        statements.push(format!("UPDATE {DATABASE}.{TABLE} {update} {}", range(0)));
        statements.push(format!("DELETE FROM {DATABASE}.{TABLE} {}", range(1)));
        statements
    }

    /// A number below `limit`: xorshift, which is random enough to keep texts apart.
    fn number(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % limit
    }

    fn text(&mut self, letters: usize, out: &mut String) {
        let from = self.number((POOL_LETTERS - letters) as u64) as usize;
        out.push_str(self.pool.get(from..from + letters).unwrap_or_default());
    }

    /// One transaction of rows from this id on.
    fn insert(&mut self, first: u64) -> String {
        let mut sql = format!("INSERT INTO {DATABASE}.{TABLE} VALUES ");
        for id in first..first + TRANSACTION_ROWS {
            let (customer, cents) = (self.number(1_000_000), self.number(100_000_000));
            let (day, month, year) = (1 + self.number(28), 1 + self.number(12), 2000 + self.number(26));
            let (hour, minute, second, micros) =
                (self.number(24), self.number(60), self.number(60), self.number(1_000_000));
            let time = format!("{hour:02}:{minute:02}:{second:02}");
            let date = format!("{year}-{month:02}-{day:02} {time}");
            let separator = if id == first { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(
                sql,
                "{separator}({id},{customer},{}.{:02},'{date}.{micros:06}','{date}.{:03}','{time}','",
                cents / 100,
                cents % 100,
                micros / 1000,
            );
            self.text(LABEL_LETTERS, &mut sql);
            sql.push_str("','");
            self.text(NOTE_LETTERS, &mut sql);
            sql.push_str("')");
        }
        sql
    }
}

/// One more row, with an id that the backlog does not have.
pub(crate) fn single(id: u64) -> String {
    format!(
        "INSERT INTO {DATABASE}.{TABLE} VALUES ({id}, 1, 2.5, '2026-01-02 03:04:05.678901', \
         '2026-01-02 03:04:05.678', '12:34:56', 'trickle', REPEAT('x', {NOTE_LETTERS}))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_does_what_is_counted() {
        let counts = Counts::of_rows(1001);
        assert_eq!((counts.inserted, counts.updated), (2000, 200));
        assert_eq!((counts.changes(), counts.left()), (2400, 1800));
        let mut statements = Statements::new();
        let (first, second) = (statements.cycle(0), statements.cycle(1));
        assert_eq!((first.len(), second.len()), (12, 12));
        let rows: usize = second.iter().take(10).map(|sql| sql.matches("),(").count() + 1).sum();
        assert_eq!(rows, 1000);
        assert!(second.iter().any(|sql| sql.contains(&format!(",({},", counts.last_inserted()))));
        let deleted = format!("DELETE FROM bench.orders WHERE id BETWEEN {} AND ", counts.last_deleted());
        assert!(second.last().is_some_and(|sql| sql.starts_with(&deleted)), "{:?}", second.last());
    }
}
