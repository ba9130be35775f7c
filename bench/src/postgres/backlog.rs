//! Logs to drain: the backlog, and a transaction that is large.
//!
//! A slot is made in front of each and never read. Copies of it begin where it stands, so that
//! every reader finds the same log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use culvert_tests::{PgOptions, Postgres};
use tokio_postgres::Client;

use super::TRANSACTION_TABLE;
use crate::latency::PATIENCE;
use crate::statements::{Counts, DATABASE, NOTE_LETTERS, Statements, TABLE};

/// Columns of both tables, as MySQL's have them.
const COLUMNS: &str = "(id bigint PRIMARY KEY, customer integer NOT NULL, amount numeric(12,2) NOT NULL, \
     created timestamp(6) NOT NULL, changed timestamptz(3) NOT NULL, due time NOT NULL, \
     label varchar(40) NOT NULL, note varchar(500) NOT NULL)";

/// A stretch of log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// The slot in front of it, and the publication of its table.
    pub(crate) name: &'static str,
    /// Its table, in the schema that is called like the database.
    pub(crate) table: &'static str,
    /// Where it ends.
    pub(crate) end: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// How long the server took to write it, from one connection.
    pub(crate) written_in: Duration,
}

/// How the source runs: memory for the table, no checkpoint in between whose full pages would
/// weigh in the log, no waiting for the disk.
pub(crate) fn source_options() -> PgOptions {
    roomy(PgOptions::default()).setting("log_replication_commands", "on").setting("autovacuum", "off")
}

/// The target: it waits for the disk at every commit, as servers do out of the box.
pub(crate) fn target_options() -> PgOptions {
    // Before version 16 no worker of a subscription starts within this time of another one, which
    // would count as time of its work.
    roomy(PgOptions { fsync: true, ..PgOptions::default() }).setting("wal_retrieve_retry_interval", "10ms")
}

fn roomy(options: PgOptions) -> PgOptions {
    let settings = [("shared_buffers", "512MB"), ("max_wal_size", "16GB"), ("checkpoint_timeout", "1h")];
    let settings = settings.into_iter().chain([("TimeZone", "UTC")]);
    settings.fold(options, |options, (name, value)| options.setting(name, value))
}

/// Creates a database with the tables.
pub(crate) async fn create_database(server: &Postgres, database: &str) -> Result<Client> {
    let client = server.client("postgres").await;
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
    client.batch_execute(&format!("CREATE DATABASE {database}")).await?;
    let client = server.client(database).await;
    client.batch_execute(&format!("CREATE SCHEMA {DATABASE}")).await?;
    Ok(client)
}

/// Creates the tables.
pub(crate) async fn create_tables(client: &Client) -> Result<()> {
    for table in [TABLE, TRANSACTION_TABLE] {
        client.batch_execute(&format!("CREATE TABLE {DATABASE}.{table} {COLUMNS}")).await?;
    }
    Ok(())
}

/// Writes the backlog of this many inserted rows, rounded up to a cycle.
pub(crate) async fn write(client: &Client, rows: u64) -> Result<Log> {
    let mut statements = Statements::new();
    let log = written(client, "backlog", TABLE, async || {
        for cycle in 0..Counts::cycles(rows) {
            for statement in statements.cycle(cycle) {
                client.batch_execute(&statement).await?;
            }
        }
        Ok(())
    });
    let log = log.await?;
    // Once, so that no reader of the table pays for what the first one finds to tidy up.
    client.batch_execute(&format!("VACUUM (ANALYZE) {DATABASE}.{TABLE}")).await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(log)
}

/// Writes this many rows in one transaction.
pub(crate) async fn write_transaction(client: &Client, rows: u64) -> Result<Log> {
    written(client, "transaction", TRANSACTION_TABLE, async || {
        let statement = format!(
            "INSERT INTO {DATABASE}.{TRANSACTION_TABLE} SELECT n, n % 1000000, (n % 100000000)::numeric / 100, \
             timestamp '2000-01-01' + n * interval '1.000001 second', \
             timestamptz '2000-01-01' + n * interval '1 second', \
             time '00:00' + (n % 86400) * interval '1 second', 'label of ' || n, \
             repeat(chr(97 + (n % 26)::integer), {NOTE_LETTERS}) FROM generate_series(1, {rows}::bigint) n"
        );
        let inserted = client.execute(&statement, &[]).await?;
        ensure!(inserted == rows, "inserted {inserted} rows");
        Ok(())
    })
    .await
}

async fn written(
    client: &Client,
    name: &'static str,
    table: &'static str,
    mut write: impl AsyncFnMut() -> Result<()>,
) -> Result<Log> {
    client.batch_execute(&format!("CREATE PUBLICATION {name} FOR TABLE {DATABASE}.{table}")).await?;
    client.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&name]).await?;
    let position = "SELECT pg_current_wal_lsn()::text";
    let start: String = client.query_one(position, &[]).await?.get(0);
    let begun = Instant::now();
    write().await?;
    let written_in = begun.elapsed();
    let row = client
        .query_one(
            "SELECT lsn::text, pg_wal_lsn_diff(lsn, $1::text::pg_lsn)::bigint FROM pg_current_wal_lsn() AS lsn",
            &[&start],
        )
        .await?;
    let (end, bytes): (String, i64) = (row.get(0), row.get(1));
    Ok(Log { name, table, end, bytes: bytes.unsigned_abs(), written_in })
}

/// A slot of this name that stands in front of the log.
pub(crate) async fn copy_slot(client: &Client, log: &Log, slot: &str) -> Result<()> {
    client.execute("SELECT pg_copy_logical_replication_slot($1, $2)", &[&log.name, &slot]).await?;
    Ok(())
}

/// Drops a slot as soon as its reader has let go of it.
pub(crate) async fn drop_slot(client: &Client, slot: &str) -> Result<()> {
    let begun = Instant::now();
    let query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                 WHERE slot_name = $1 AND NOT active";
    while client.query_opt(query, &[&slot]).await?.is_none() {
        ensure!(begun.elapsed() < PATIENCE, "the slot {slot} is missing, or in use after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The count of a table's rows and a sum over their contents.
pub(crate) async fn digest(client: &Client, table: &str) -> Result<(i64, String)> {
    let row = "concat_ws(',', id, customer, amount, created, changed, due, label, note)";
    let query = format!("SELECT count(*), coalesce(sum(hashtext({row})), 0)::text FROM {DATABASE}.{table}");
    let row = client.query_one(&query, &[]).await.context("reading the table")?;
    Ok((row.get(0), row.get(1)))
}
