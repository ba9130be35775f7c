//! Writers that change the tables of a scene at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use culvert_tests::database::Kind;
use culvert_tests::{Database, Postgres, random};
use rand::Rng;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::scene::{BODY, WORDS};
use crate::pipeline::workload as mysql;

/// Writers at work on a source of either kind.
pub(crate) enum Writers {
    MySql(mysql::Writers),
    Postgres(PgWriters),
}

impl Writers {
    /// Starts `count` writers on the source of a scene with so many rows.
    pub(crate) async fn start(source: &Database<'_>, count: u64, rows: u64, seed: u64) -> Writers {
        match source.server() {
            Kind::MySql(server) => {
                Writers::MySql(mysql::Writers::start(server, source.name(), count, rows, seed).await)
            }
            Kind::Postgres(server) => {
                Writers::Postgres(PgWriters::start(server, source.name(), count, rows, seed).await)
            }
        }
    }

    /// Transactions committed so far.
    pub(crate) fn committed(&self) -> u64 {
        match self {
            Writers::MySql(writers) => writers.committed(),
            Writers::Postgres(writers) => writers.committed.load(Relaxed),
        }
    }

    /// Waits until so many more transactions are committed.
    pub(crate) async fn more(&self, transactions: u64) {
        let so_far = self.committed();
        culvert_tests::wait::until(super::job::LIMIT, "more transactions", async || {
            self.committed() >= so_far + transactions
        })
        .await;
    }

    /// Stops them and returns how many transactions they committed.
    pub(crate) async fn stop(self) -> u64 {
        match self {
            Writers::MySql(writers) => writers.stop().await,
            Writers::Postgres(writers) => writers.stop().await,
        }
    }
}

/// Writers on a PostgreSQL.
pub(crate) struct PgWriters {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    committed: Arc<AtomicU64>,
}

impl PgWriters {
    async fn start(server: &Postgres, database: &str, count: u64, rows: u64, seed: u64) -> PgWriters {
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let writer = Writer {
                client: server.client(database).await,
                random: random::generator(seed + number),
                rows: rows.max(100),
                next_id: 1_000_000_000 + number,
                step: count,
            };
            tasks.spawn(writer.run(Arc::clone(&stop), Arc::clone(&committed)));
        }
        PgWriters { stop, tasks, committed }
    }

    async fn stop(mut self) -> u64 {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a writer panicked");
        }
        self.committed.load(Relaxed)
    }
}

struct Writer<R> {
    client: Client,
    random: R,
    rows: u64,
    next_id: u64,
    step: u64,
}

impl<R: Rng> Writer<R> {
    async fn run(mut self, stop: Arc<AtomicBool>, committed: Arc<AtomicU64>) {
        while !stop.load(Relaxed) {
            match self.transaction().await {
                Ok(()) => {
                    committed.fetch_add(1, Relaxed);
                }
                Err(error) => {
                    // Deadlocks and keys that are taken belong to the game.
                    let code = error.code().cloned().unwrap_or(SqlState::INTERNAL_ERROR);
                    let game = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::UNIQUE_VIOLATION];
                    assert!(game.contains(&code), "a writer failed: {error:?}");
                    self.client.batch_execute("ROLLBACK").await.expect("a rollback works");
                }
            }
        }
    }

    async fn transaction(&mut self) -> Result<(), Error> {
        self.client.batch_execute("BEGIN").await?;
        for _ in 0..self.random.random_range(1..=4) {
            let statement = self.statement();
            // Some parts of transactions never happen.
            match self.random.random_range(0..12) {
                0 => {
                    let undone = format!("SAVEPOINT s; {statement}; ROLLBACK TO s");
                    self.client.batch_execute(&undone).await?;
                }
                1 => {
                    let kept = format!("SAVEPOINT s; {statement}; RELEASE s");
                    self.client.batch_execute(&kept).await?;
                }
                _ => self.client.batch_execute(&statement).await?,
            }
        }
        // Some transactions never happen.
        let end = if self.random.random_range(0..20) == 0 { "ROLLBACK" } else { "COMMIT" };
        self.client.batch_execute(end).await
    }

    fn any_id(&mut self) -> u64 {
        if self.random.random_range(0..4) == 0 {
            let back = self.random.random_range(0..200) * self.step;
            self.next_id.saturating_sub(back)
        } else {
            self.random.random_range(1..=self.rows) * 7
        }
    }

    fn fresh_id(&mut self) -> u64 {
        if self.random.random_bool(0.5) {
            self.next_id += self.step;
            self.next_id
        } else {
            // Between the sparse keys: lands in chunks that are being read.
            self.random.random_range(1..=self.rows) * 7 + self.random.random_range(1..7)
        }
    }

    fn label(&mut self) -> String {
        let n = self.random.random_range(0..self.rows / 50);
        format!("{}-{n}", WORDS[(n % 8) as usize])
    }

    fn statement(&mut self) -> String {
        let id = self.any_id();
        match self.random.random_range(0..17) {
            0..=2 => {
                let fresh = self.fresh_id();
                format!(
                    "INSERT INTO item VALUES ({fresh}, {}, 'new {fresh}', NULL, clock_timestamp())",
                    fresh % 97
                )
            }
            3..=5 => format!(
                "UPDATE item SET part = part + 1, note = gen_random_uuid(), changed = clock_timestamp() WHERE id = {id}"
            ),
            6 => {
                let part = self.random.random_range(0..97);
                format!(
                    "UPDATE item SET name = 'n' || id WHERE part = {part} AND id BETWEEN {id} AND {id} + 2000"
                )
            }
            7 => format!("UPDATE item SET id = {} WHERE id = {id}", self.fresh_id()),
            8 => format!("DELETE FROM item WHERE id = {id}"),
            9 => format!("INSERT INTO event VALUES ({id}, 'saw', clock_timestamp())"),
            10 => format!(
                "UPDATE event SET what = 'seen' WHERE ctid = (SELECT ctid FROM event WHERE item >= {id} / 700 LIMIT 1)"
            ),
            11 => {
                // Sometimes only the letter case changes: another key, equal for many collations.
                let name = self.label();
                if self.random.random_bool(0.3) {
                    format!("UPDATE label SET name = upper(name), uses = uses + 1 WHERE name = '{name}'")
                } else {
                    format!("UPDATE label SET uses = uses + 1 WHERE name = '{name}'")
                }
            }
            12 => format!(
                "INSERT INTO label VALUES ('{}', 1) ON CONFLICT (name) DO UPDATE SET uses = label.uses + 1",
                self.label()
            ),
            13 => format!("DELETE FROM label WHERE name = '{}'", self.label()),
            14 => {
                let document = self.random.random_range(1..=self.rows / 200);
                format!("UPDATE document SET reads = reads + 1 WHERE id = {document}")
            }
            15 => {
                let document = self.random.random_range(1..=self.rows / 200);
                format!("UPDATE document SET body = {BODY} WHERE id = {document}")
            }
            _ => {
                format!("INSERT INTO document VALUES ({}, 1, {BODY}) ON CONFLICT DO NOTHING", self.fresh_id())
            }
        }
    }
}
