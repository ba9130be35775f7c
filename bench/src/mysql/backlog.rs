//! The backlog in a binlog.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use culvert_tests::{Flavor, Server, ServerOptions};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::statements::{Counts, DATABASE, Statements, TABLE};
use crate::task::ColumnText;

const CREATE: &str = "(id BIGINT NOT NULL PRIMARY KEY, customer INT NOT NULL, amount DECIMAL(12,2) NOT NULL, \
     created DATETIME(6) NOT NULL, changed TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), due TIME NOT NULL, \
     label VARCHAR(40) NOT NULL, note VARCHAR(500) NOT NULL) CHARACTER SET utf8mb4";

/// A log to drain.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// What is in it.
    pub(crate) counts: Counts,
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

/// Creates the table and writes the backlog of this many inserted rows, rounded up to a cycle.
pub(crate) async fn write(server: &Server, rows: u64) -> Result<Backlog> {
    let mut conn = server.conn().await;
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS {DATABASE}")).await?;
    conn.query_drop(format!("CREATE TABLE {DATABASE}.{TABLE} {CREATE}")).await?;
    if server.flavor() == Flavor::MariaDb {
        // Statements would be logged beside their rows, which MySQL does not do by default.
        conn.query_drop("SET binlog_annotate_row_events = 0").await?;
    }
    conn.query_drop("SET time_zone = '+00:00'").await?;
    let mut statements = Statements::new();
    let begun = Instant::now();
    for cycle in 0..Counts::cycles(rows) {
        for statement in statements.cycle(cycle) {
            conn.query_drop(statement).await?;
        }
    }
    let written_in = begun.elapsed();
    let files: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await?;
    let mut backlog = Backlog {
        counts: Counts::of_rows(rows),
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
