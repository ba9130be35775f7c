//! The log as a stream, over real servers.

mod connect;
mod faults;
mod large;
mod positions;
mod replica;
mod transactions;

use std::time::Duration;

use culvert_config::{JdbcUrl, Secret};
use culvert_postgres::Endpoint;
use culvert_source_postgres::log::{LogItem, LogOptions, LogStream, Lsn};
use culvert_tests::postgres::{PASSWORD, USER};
use culvert_tests::{Postgres, wait};

/// Waiting for the log, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database with a publication `p` of all tables and a slot of the database's own name.
struct Scene<'a> {
    server: &'a Postgres,
    database: String,
}

impl<'a> Scene<'a> {
    /// Runs the statements, then creates publication and slot.
    async fn new(server: &'a Postgres, statements: &[&str]) -> Scene<'a> {
        let database = server.fresh_database("log").await;
        let scene = Scene { server, database };
        scene.execute(statements).await;
        scene.execute(&["CREATE PUBLICATION p FOR ALL TABLES"]).await;
        scene.create_slot(false).await;
        scene
    }

    async fn create_slot(&self, two_phase: bool) {
        let create = format!(
            "SELECT pg_create_logical_replication_slot('{}', 'pgoutput', false, {two_phase})",
            self.database
        );
        self.execute(&[&create]).await;
    }

    async fn execute(&self, statements: &[&str]) {
        self.server.execute(&self.database, statements).await;
    }

    async fn value(&self, query: &str) -> String {
        self.server.value(&self.database, query).await.unwrap_or_default()
    }

    /// A column of the slot.
    async fn slot(&self, column: &str) -> String {
        let query =
            format!("SELECT {column}::text FROM pg_replication_slots WHERE slot_name = '{}'", self.database);
        self.value(&query).await
    }

    fn endpoint(&self, parameters: &str) -> Endpoint {
        endpoint(&self.server.url(&self.database), parameters, USER)
    }

    fn options(&self) -> LogOptions {
        LogOptions {
            slot: self.database.clone(),
            publication: "p".into(),
            start: Lsn(0),
            binary: false,
            streaming: true,
            messages: true,
            origin_none: false,
            spill_folder: None,
            spill_bytes_max: 1 << 20,
            server_version: self.server.version().number() * 10_000,
        }
    }

    async fn open(&self) -> LogStream {
        self.open_with(self.options()).await
    }

    async fn open_with(&self, options: LogOptions) -> LogStream {
        LogStream::open(&self.endpoint("sslmode=disable"), options).await.unwrap()
    }

    /// What `pg_current_wal_insert_lsn` says.
    async fn head(&self) -> Lsn {
        self.value("SELECT pg_current_wal_insert_lsn()").await.parse().unwrap()
    }
}

fn endpoint(url: &str, parameters: &str, user: &str) -> Endpoint {
    let url = JdbcUrl::parse(&format!("{url}?{parameters}")).unwrap();
    Endpoint::new(&url, user, Secret::new(PASSWORD), Duration::from_secs(20)).unwrap()
}

/// The next item, within patience.
async fn next(stream: &mut LogStream) -> LogItem {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("an item of the log in time").unwrap()
}

/// The error the stream ends with, and how many items came before.
async fn failure(stream: &mut LogStream) -> (culvert_api::Error, usize) {
    let mut count = 0;
    loop {
        match tokio::time::timeout(PATIENCE, stream.next()).await.expect("an end of the log in time") {
            Ok(_) => count += 1,
            Err(error) => return (error, count),
        }
    }
}

/// Items up to a position, by which everything committed before it has come.
async fn until(stream: &mut LogStream, head: Lsn) -> Vec<LogItem> {
    let mut items = Vec::new();
    loop {
        stream.request_position();
        let wait = Duration::from_millis(200);
        while let Ok(item) = tokio::time::timeout(wait, stream.next()).await {
            let item = item.unwrap();
            let passed = matches!(&item, LogItem::Position(lsn) | LogItem::Commit { end_lsn: lsn, .. } if *lsn >= head);
            items.push(item);
            if passed {
                return items;
            }
        }
    }
}

/// Until the slot has no reader.
async fn until_free(scene: &Scene<'_>) {
    wait::until(PATIENCE, "the slot to be free", async || scene.slot("active").await == "false").await;
}
