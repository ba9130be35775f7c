//! The backlog: a table of 500-byte rows with three time columns, and a binlog full of its changes.
//!
//! Every thousand inserted rows, in transactions of a hundred, are followed by one transaction that
//! updates a hundred of them and one that deletes another hundred. The same rows on every run: the
//! generator has a fixed seed.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use culvert_tests::{Flavor, Server, ServerOptions};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::task::ColumnText;

/// The table's database.
pub(crate) const DATABASE: &str = "bench";
/// The table.
pub(crate) const TABLE: &str = "orders";

/// Rows of one transaction.
const TRANSACTION_ROWS: u64 = 100;
/// Inserted rows between two transactions that update or delete.
const CYCLE_ROWS: u64 = 1000;

/// Letters of the longest column; makes a row image of 500 bytes in the log: 1 of null bits, 8 + 4
/// + 6 of numbers, 8 + 6 + 3 of times, 1 + 24 and 2 + 437 of text.
const NOTE_LETTERS: usize = 437;
const LABEL_LETTERS: usize = 24;
/// Letters that texts are cut from.
const POOL_LETTERS: usize = 1 << 16;

const CREATE: &str = "(id BIGINT NOT NULL PRIMARY KEY, customer INT NOT NULL, amount DECIMAL(12,2) NOT NULL, \
     created DATETIME(6) NOT NULL, changed TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), due TIME NOT NULL, \
     label VARCHAR(40) NOT NULL, note VARCHAR(500) NOT NULL) CHARACTER SET utf8mb4";

/// A log to drain.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Rows that were inserted.
    pub(crate) inserted: u64,
    /// Rows that were updated, and the same number that was deleted.
    pub(crate) updated: u64,
    /// Files of the log, oldest first.
    pub(crate) files: Vec<PathBuf>,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// How long the server took to take the changes in, from one connection.
    pub(crate) written_in: Duration,
    /// The table's columns as the server describes them.
    pub(crate) columns: Vec<ColumnText>,
}

impl Backlog {
    /// Changes of rows; an update is one.
    pub(crate) fn changes(&self) -> u64 {
        self.inserted + 2 * self.updated
    }

    /// Rows that are left in the table.
    pub(crate) fn left(&self) -> u64 {
        self.inserted - self.updated
    }

    /// The first file's name, as the server's own reader wants it.
    pub(crate) fn first_file(&self) -> String {
        let name = self.files.first().and_then(|path| path.file_name());
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// How the source servers run: memory for the table, a log in few files, no waiting for the disk.
pub(crate) fn source_options(flavor: Flavor) -> ServerOptions {
    let log = match flavor {
        Flavor::MariaDb => "--innodb-log-file-size=512M",
        Flavor::MySql => "--innodb-redo-log-capacity=512M",
    };
    ServerOptions::default().arg("--innodb-buffer-pool-size=512M").arg("--max-binlog-size=1G").arg(log)
}

/// Creates the table in this database.
pub(crate) async fn create_table(conn: &mut Conn) -> Result<()> {
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS {DATABASE}")).await?;
    conn.query_drop(format!("CREATE TABLE {DATABASE}.{TABLE} {CREATE}")).await?;
    Ok(())
}

/// Creates the table and writes the backlog of this many inserted rows, rounded up to a cycle.
pub(crate) async fn write(server: &Server, rows: u64) -> Result<Backlog> {
    let mut conn = server.conn().await;
    create_table(&mut conn).await?;
    if server.flavor() == Flavor::MariaDb {
        // Statements would be logged beside their rows, which MySQL does not do by default.
        conn.query_drop("SET binlog_annotate_row_events = 0").await?;
    }
    conn.query_drop("SET time_zone = '+00:00'").await?;
    let mut texts = Texts::new();
    let begun = Instant::now();
    let cycles = rows.div_ceil(CYCLE_ROWS);
    for cycle in 0..cycles {
        let first = cycle * CYCLE_ROWS + 1;
        for transaction in 0..CYCLE_ROWS / TRANSACTION_ROWS {
            conn.query_drop(texts.insert(first + transaction * TRANSACTION_ROWS)).await?;
        }
        let range = |place: u64| {
            let from = first + place * TRANSACTION_ROWS;
            format!("WHERE id BETWEEN {from} AND {}", from + TRANSACTION_ROWS - 1)
        };
        let update = "SET amount = amount + 1, changed = changed + INTERVAL 1 SECOND";
        conn.query_drop(format!("UPDATE {DATABASE}.{TABLE} {update} {}", range(0))).await?;
        conn.query_drop(format!("DELETE FROM {DATABASE}.{TABLE} {}", range(1))).await?;
    }
    let written_in = begun.elapsed();
    let files: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await?;
    let mut backlog = Backlog {
        inserted: cycles * CYCLE_ROWS,
        updated: cycles * TRANSACTION_ROWS,
        files: Vec::new(),
        bytes: 0,
        written_in,
        columns: columns(&mut conn).await?,
    };
    for mut row in files {
        let name: String = row.take(0).context("a binlog has a name")?;
        let bytes: u64 = row.take(1).context("a binlog has a size")?;
        backlog.files.push(server.data_folder().join(name));
        backlog.bytes += bytes;
    }
    conn.disconnect().await?;
    Ok(backlog)
}

async fn columns(conn: &mut Conn) -> Result<Vec<ColumnText>> {
    let query = format!(
        "SELECT column_name, column_type, character_set_name FROM information_schema.columns \
         WHERE table_schema = '{DATABASE}' AND table_name = '{TABLE}' ORDER BY ordinal_position"
    );
    let rows: Vec<(String, String, Option<String>)> = conn.query(query).await?;
    let column = |(name, column_type, charset)| ColumnText { name, column_type, charset };
    Ok(rows.into_iter().map(column).collect())
}

/// The count of a table's rows and a sum over their contents, alike on both servers.
pub(crate) async fn digest(conn: &mut Conn, table: &str) -> Result<(u64, u64)> {
    conn.query_drop("SET time_zone = '+00:00'").await?;
    let row = "CONCAT_WS(',', id, customer, amount, created, changed, due, label, note)";
    let query = format!("SELECT COUNT(*), CAST(COALESCE(SUM(CRC32({row})), 0) AS UNSIGNED) FROM {table}");
    conn.query_first(query).await?.context("a count has a row")
}

/// Makes the statements.
struct Texts {
    pool: String,
    state: u64,
}

impl Texts {
    fn new() -> Texts {
        let mut texts = Texts { pool: String::with_capacity(POOL_LETTERS), state: 0x9e37_79b9_7f4a_7c15 };
        for _ in 0..POOL_LETTERS {
            let letter = char::from(b'a' + (texts.number(26) as u8));
            texts.pool.push(letter);
        }
        texts
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
            let date = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            let separator = if id == first { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(
                sql,
                "{separator}({id},{customer},{}.{:02},'{date}.{micros:06}','{date}.{:03}','{minute:02}:{hour:02}:{second:02}','",
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
