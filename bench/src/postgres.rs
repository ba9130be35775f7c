//! PostgreSQL as the source and, in the same version, as the target.

mod backlog;
mod native;
mod peer;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use culvert_tests::postgres::{PASSWORD, USER};
use culvert_tests::{PgVersion, Postgres, scratch};
use tokio_postgres::Client;

use self::backlog::Log;
use self::peer::StreamOptions;
use crate::job::{self, Mode, TARGET_DATABASE};
use crate::latency::{self, Ends, FIRST_ID};
use crate::measure::{self, Measured, Usage};
use crate::report::{Comparison, Figure, Limit, ServerFigures, thousands};
use crate::say;
use crate::spread::Spread;
use crate::statements::{self, Counts, DATABASE, TABLE};
use crate::suite::CHECKPOINT;
use crate::task::{Outcome, Task};

/// The table that a single transaction fills.
const TRANSACTION_TABLE: &str = "bulk";
/// Memory a job may take, whatever the size of a transaction.
const BOUND_MB: u64 = 256;

/// Measures everything with this version.
pub(crate) async fn measure(version: PgVersion, rows: u64, transaction: u64) -> Result<ServerFigures> {
    let name = version.name();
    say(&format!("{name}: starting servers and writing a backlog of {rows} rows"));
    let source = Postgres::start(version, backlog::source_options()).await;
    let target = Postgres::start(version, backlog::target_options()).await;
    let client = backlog::create_database(&source, DATABASE).await?;
    backlog::create_tables(&client).await?;
    let log = backlog::write(&client, rows).await?;
    say(&format!("{name}: written in {:.1} s", log.written_in.as_secs_f64()));
    let bench = Bench { source: &source, target: &target, client: &client };
    let counts = Counts::of_rows(rows);
    let mut comparisons = vec![
        bench.drain(&log, counts).await?,
        bench.table(&log, counts).await?,
        bench.apply(&log, counts).await?,
    ];
    say(&format!("{name}: end to end"));
    let latencies = bench.latencies(&log).await?;
    // Its log is not needed any more.
    backlog::drop_slot(&client, log.name).await?;
    comparisons.push(bench.transaction(transaction).await?);
    let row = client.query_one("SELECT split_part(version(), ' on ', 1)", &[]).await?;
    Ok(ServerFigures {
        title: row.get(0),
        changes: counts.changes(),
        bytes: log.bytes,
        written_in: log.written_in,
        comparisons,
        latencies,
    })
}

struct Bench<'a> {
    source: &'a Postgres,
    target: &'a Postgres,
    /// Of the source's database.
    client: &'a Client,
}

/// What a run did, and the CPU seconds that both servers spent on it.
#[derive(Clone, Copy, Debug)]
struct Served<T> {
    outcome: T,
    servers_cpu_seconds: f64,
}

impl Bench<'_> {
    /// Ways through the log: the server's own reader, then ours.
    async fn drain(&self, log: &Log, counts: Counts) -> Result<Comparison> {
        self.say("draining to nowhere");
        let (ours, options) = self.discard(log).await?;
        counts.expect_changes(ours.outcome.outcome)?;
        self.say("pg_recvlogical");
        let theirs = self.received(log, &options).await?;
        let form = options.form();
        let rows = counts.changes();
        let figures = vec![
            log_figure(format!("pg_recvlogical, {form} > /dev/null"), false, &theirs, log, rows),
            log_figure(format!("job to a sink that drops, {form}"), true, &ours, log, rows),
        ];
        let limits = vec![Limit { figure: 0, head: "time over pg_recvlogical".into() }];
        Ok(Comparison { about: String::new(), head: ["log", "changes/s"], figures, limits })
    }

    /// Ways through the table: the server's own client, then ours.
    async fn table(&self, log: &Log, counts: Counts) -> Result<Comparison> {
        self.say("reading the table");
        let copy = async || Ok((measure::program(peer::read_table(self.source, log.table))?, ()));
        let theirs = self.repeated(copy).await?;
        let ours = self.repeated(async || self.job(Mode::Snapshot, log, "snapshot", true)).await?;
        counts.expect_table(ours.outcome.outcome)?;
        let rows = counts.left();
        let figures = vec![
            figure("psql, COPY … TO STDOUT (FORMAT binary) > /dev/null".into(), false, &theirs, rows),
            figure("snapshot to a sink that drops".into(), true, &ours, rows),
        ];
        let limits = vec![Limit { figure: 0, head: "time over COPY".into() }];
        Ok(Comparison { about: String::new(), head: ["table", "rows/s"], figures, limits })
    }

    /// Ways of the changes to another server: the server's own, then ours.
    async fn apply(&self, log: &Log, counts: Counts) -> Result<Comparison> {
        self.say("native logical replication");
        let is_there = |id: u64| format!("EXISTS (SELECT FROM {DATABASE}.{} WHERE id = {id})", log.table);
        let is_done = format!(
            "SELECT {} AND NOT {}",
            is_there(counts.last_inserted()),
            is_there(counts.last_deleted())
        );
        let theirs = self.natively(log, &is_done).await?;
        self.say("draining to PostgreSQL");
        let ours = self.mirror(log).await?;
        let rows = counts.changes();
        let figures = vec![
            log_figure("native logical replication, binary".into(), false, &theirs, log, rows),
            log_figure("job to PostgreSQL".into(), true, &ours, log, rows),
        ];
        let limits = vec![Limit { figure: 0, head: "time over native".into() }];
        Ok(Comparison { about: String::new(), head: ["log to a mirror", "changes/s"], figures, limits })
    }

    /// All of these ways for one large transaction.
    async fn transaction(&self, rows: u64) -> Result<Comparison> {
        self.say(&format!("one transaction of {rows} rows"));
        let log = backlog::write_transaction(self.client, rows).await?;
        let (dropped, options) = self.discard(&log).await?;
        ensure!(dropped.outcome.outcome.inserted == rows, "{:?} of {rows} rows", dropped.outcome.outcome);
        let received = self.received(&log, &options).await?;
        let is_done = format!("SELECT EXISTS (SELECT FROM {DATABASE}.{} WHERE id = {rows})", log.table);
        let native = self.natively(&log, &is_done).await?;
        let mirrored = self.mirror(&log).await?;
        let form = options.form();
        let figures = vec![
            log_figure(format!("pg_recvlogical, {form} > /dev/null"), false, &received, &log, rows),
            log_figure("native logical replication, binary".into(), false, &native, &log, rows),
            log_figure(format!("job to a sink that drops, {form}"), true, &dropped, &log, rows),
            log_figure("job to PostgreSQL".into(), true, &mirrored, &log, rows),
        ];
        let limits = vec![
            Limit { figure: 0, head: "time over pg_recvlogical".into() },
            Limit { figure: 1, head: "over native".into() },
        ];
        let about = format!(
            "One transaction that inserts {} rows, {:.0} MB of log. A job may take {BOUND_MB} MB of memory, {} MiB.",
            thousands(rows),
            log.bytes as f64 / 1e6,
            (BOUND_MB * 1_000_000) >> 20,
        );
        Ok(Comparison { about, head: ["transaction", "rows/s"], figures, limits })
    }

    /// The log through a job to a sink that drops, and what the job asked the server for.
    async fn discard(&self, log: &Log) -> Result<(Measured<Served<Outcome>>, StreamOptions)> {
        let slot = "job";
        let measured = self
            .repeated(async || {
                backlog::copy_slot(self.client, log, slot).await?;
                let measured = self.job(Mode::Backlog, log, slot, true)?;
                backlog::drop_slot(self.client, slot).await?;
                Ok(measured)
            })
            .await?;
        Ok((measured, StreamOptions::of_reader(self.source, slot)?))
    }

    /// The log through the server's own reader, which asks the server for the same.
    async fn received(&self, log: &Log, options: &StreamOptions) -> Result<Measured<Served<()>>> {
        let slot = "received";
        self.repeated(async || {
            backlog::copy_slot(self.client, log, slot).await?;
            let usage = measure::program(peer::read_slot(self.source, slot, log, options))?;
            backlog::drop_slot(self.client, slot).await?;
            Ok((usage, ()))
        })
        .await
    }

    async fn natively(&self, log: &Log, is_done: &str) -> Result<Measured<Served<()>>> {
        let slot = "native";
        let mut measured = self
            .repeated(async || {
                let target = backlog::create_database(self.target, TARGET_DATABASE).await?;
                backlog::create_tables(&target).await?;
                backlog::copy_slot(self.client, log, slot).await?;
                let usage = native::apply(&target, self.source, log, slot, is_done).await?;
                backlog::drop_slot(self.client, slot).await?;
                Ok((usage, ()))
            })
            .await?;
        // The worker is a process of the target, and has a column of its own.
        measured.outcome.servers_cpu_seconds -= measured.usage.cpu_seconds;
        self.expect_same(log.table).await?;
        Ok(measured)
    }

    async fn mirror(&self, log: &Log) -> Result<Measured<Served<Outcome>>> {
        let slot = "mirror";
        let measured = self
            .repeated(async || {
                backlog::create_database(self.target, TARGET_DATABASE).await?;
                backlog::copy_slot(self.client, log, slot).await?;
                let measured = self.job(Mode::Backlog, log, slot, false)?;
                backlog::drop_slot(self.client, slot).await?;
                Ok(measured)
            })
            .await?;
        self.expect_same(log.table).await?;
        Ok(measured)
    }

    /// What is fast and loses rows is not fast.
    async fn expect_same(&self, table: &str) -> Result<()> {
        let wanted = backlog::digest(self.client, table).await?;
        let found = backlog::digest(&self.target.client(TARGET_DATABASE).await, table).await?;
        ensure!(wanted == found, "the mirror differs: (rows, digest) {found:?} instead of {wanted:?}");
        Ok(())
    }

    /// From commit to visible: the server's own way, then ours.
    async fn latencies(&self, log: &Log) -> Result<Vec<(String, Spread)>> {
        let slot = "latency";
        let to = backlog::create_database(self.target, TARGET_DATABASE).await?;
        backlog::create_tables(&to).await?;
        self.client.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await?;
        native::subscribe(&to, self.source, log, slot).await?;
        let mut ends = Connections { from: self.client, to };
        let native = latency::trickle(&mut ends).await?;
        native::unsubscribe(&ends.to).await?;
        backlog::drop_slot(self.client, slot).await?;

        self.client.execute(&format!("DELETE FROM {DATABASE}.{TABLE} WHERE id >= {FIRST_ID}"), &[]).await?;
        ends.to = backlog::create_database(self.target, TARGET_DATABASE).await?;
        backlog::create_tables(&ends.to).await?;
        let job = self.text(Mode::Latest, log, slot, latency::CHECKPOINT);
        let ours = latency::of_job(&job, &mut ends).await?;
        backlog::drop_slot(self.client, slot).await?;
        let number = self.source.version().number();
        Ok(vec![
            (format!("PostgreSQL {number}, native logical replication"), native),
            (format!("PostgreSQL {number} to PostgreSQL, {}", latency::checkpoints()), ours),
        ])
    }

    fn job(&self, mode: Mode, log: &Log, slot: &str, discard: bool) -> Result<(Usage, Outcome)> {
        let state = scratch::folder("j");
        let job = self.text(mode, log, slot, CHECKPOINT);
        let measured = measure::task(&Task::Drain { job, discard, state: state.clone() })?;
        std::fs::remove_dir_all(&state)?;
        Ok(measured)
    }

    /// A job that mirrors the log's table.
    fn text(&self, mode: Mode, log: &Log, slot: &str, checkpoint: Duration) -> String {
        let (start, stop) = match mode {
            Mode::Backlog => ("COMMITTED-OFFSET", "LATEST"),
            Mode::Snapshot => ("SNAPSHOT-ONLY", "NEVER"),
            Mode::Latest => ("LATEST", "NEVER"),
        };
        let (from, to) = (self.source.url(DATABASE), self.target.url(TARGET_DATABASE));
        let Log { name, table, .. } = log;
        job::text(
            &format!(
                r#"Postgres-CDC {{
  url = "{from}", username = "{USER}", password = "{PASSWORD}", table-names = ["{DATABASE}.{DATABASE}.{table}"]
  slot.name = "{slot}", publication.name = "{name}", startup.mode = "{start}", stop.mode = "{stop}"
}}"#
            ),
            &format!(
                r#"  url = "{to}", username = "{USER}", password = "{PASSWORD}", table = "{DATABASE}.{table}""#
            ),
            checkpoint,
        )
    }

    /// [`measure::repeated`] that also counts the servers' CPU seconds.
    async fn repeated<T>(
        &self,
        mut run: impl AsyncFnMut() -> Result<(Usage, T)>,
    ) -> Result<Measured<Served<T>>> {
        measure::repeated(async || {
            let before = self.servers_cpu_seconds()?;
            let (usage, outcome) = run().await?;
            let servers_cpu_seconds = self.servers_cpu_seconds()? - before;
            Ok((usage, Served { outcome, servers_cpu_seconds }))
        })
        .await
    }

    fn servers_cpu_seconds(&self) -> Result<f64> {
        let of_server = |server: &Postgres| {
            let file = server.data_folder().join("postmaster.pid");
            let text = std::fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
            let id = text.lines().next().unwrap_or_default().parse()?;
            measure::family_cpu_seconds(id)
        };
        Ok(of_server(self.source)? + of_server(self.target)?)
    }

    fn say(&self, what: &str) {
        say(&format!("{}: {what}", self.source.version().name()));
    }
}

fn figure<T>(what: String, ours: bool, measured: &Measured<Served<T>>, rows: u64) -> Figure {
    let servers_cpu_seconds = Some(measured.outcome.servers_cpu_seconds);
    Figure { servers_cpu_seconds, ..Figure::new(what, ours, measured, rows) }
}

fn log_figure<T>(what: String, ours: bool, measured: &Measured<Served<T>>, log: &Log, rows: u64) -> Figure {
    Figure { bytes: Some(log.bytes), ..figure(what, ours, measured, rows) }
}

struct Connections<'a> {
    from: &'a Client,
    to: Client,
}

impl Ends for Connections<'_> {
    async fn commit(&mut self, id: u64) -> Result<()> {
        Ok(self.from.batch_execute(&statements::single(id)).await?)
    }

    async fn is_visible(&mut self, id: u64) -> Result<bool> {
        let query = format!("SELECT id FROM {DATABASE}.{TABLE} WHERE id = {id}");
        Ok(self.to.query_opt(&query, &[]).await?.is_some())
    }
}
