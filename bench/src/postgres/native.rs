//! Native logical replication: the server's own way to do what our job does.
//!
//! The apply worker is a process of the target. It lives on when the work is done, so it is looked
//! at until then.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use culvert_tests::Postgres;
use culvert_tests::postgres::{PASSWORD, USER};
use tokio_postgres::Client;

use super::backlog::Log;
use crate::latency::PATIENCE;
use crate::measure::{self, Usage};
use crate::statements::DATABASE;

/// Time between two looks at the target.
const POLL: Duration = Duration::from_millis(5);
/// The longest the work may take.
const LONGEST: Duration = Duration::from_secs(1800);
const NAME: &str = "native";

/// Begins to read this slot of the source into the tables of the client's database.
pub(crate) async fn subscribe(client: &Client, source: &Postgres, log: &Log, slot: &str) -> Result<()> {
    let statement = format!(
        "CREATE SUBSCRIPTION {NAME} CONNECTION 'host=127.0.0.1 port={} dbname={DATABASE} user={USER} \
         password={PASSWORD} sslmode=disable' PUBLICATION {} WITH (copy_data = false, create_slot = false, \
         slot_name = '{slot}', binary = true)",
        source.port(),
        log.name,
    );
    client.batch_execute(&statement).await.context("creating the subscription")
}

/// Ends it; the slot stays.
pub(crate) async fn unsubscribe(client: &Client) -> Result<()> {
    for what in ["ALTER SUBSCRIPTION native DISABLE", "ALTER SUBSCRIPTION native SET (slot_name = NONE)"] {
        client.batch_execute(what).await.context(what)?;
    }
    client.batch_execute("DROP SUBSCRIPTION native").await.context("dropping the subscription")
}

/// The process id of its worker.
async fn worker(client: &Client) -> Result<u32> {
    let begun = Instant::now();
    let query = "SELECT pid FROM pg_stat_subscription WHERE subname = $1 AND pid IS NOT NULL";
    loop {
        if let Some(row) = client.query_opt(query, &[&NAME]).await? {
            return Ok(u32::try_from(row.get::<_, i32>(0))?);
        }
        ensure!(begun.elapsed() < PATIENCE, "the subscription has no worker after {PATIENCE:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Applies a log to the empty tables of the client's database: from creating the subscription until
/// this query says that the last transaction is visible. CPU seconds and memory are the worker's,
/// the latter without shared buffers.
pub(crate) async fn apply(
    client: &Client,
    source: &Postgres,
    log: &Log,
    slot: &str,
    is_done: &str,
) -> Result<Usage> {
    let begun = Instant::now();
    subscribe(client, source, log, slot).await?;
    let worker = worker(client).await?;
    let mut peak_bytes = 0;
    let is_done = client.prepare(is_done).await?;
    let wall = loop {
        peak_bytes = measure::anonymous(worker).unwrap_or(0).max(peak_bytes);
        if client.query_one(&is_done, &[]).await?.get(0) {
            break begun.elapsed();
        }
        ensure!(begun.elapsed() < LONGEST, "native replication still runs after {LONGEST:?}");
        tokio::time::sleep(POLL).await;
    };
    // A worker that failed was replaced by another one: then this fails.
    let cpu_seconds = measure::cpu_seconds(worker)?;
    unsubscribe(client).await?;
    Ok(Usage { wall, cpu_seconds, peak_bytes })
}
