//! Everything that is measured, in order.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use culvert_tests::{Flavor, Server, ServerOptions, scratch};
use mysql_async::prelude::Queryable;

use crate::backlog::{self, Backlog, DATABASE, TABLE};
use crate::job::{self, Mode, TARGET_DATABASE};
use crate::measure::{self, Measured};
use crate::peer::{self, Output, client_name, reader_name};
use crate::report::{self, Environment, Figure, ServerFigures};
use crate::task::{Outcome, Task};
use crate::{checkpoint, latency, machine, say};

/// Environment variable with the number of inserted rows.
pub(crate) const ROWS_VARIABLE: &str = "CULVERT_BENCH_ROWS";
/// How many there are without it. Figures of fewer are printed and not kept.
const ROWS: u64 = 1_000_000;

/// Time between two checkpoints of the drains: the default of a job.
pub(crate) const CHECKPOINT: Duration = Duration::from_secs(1);

/// Measures everything, prints it, and keeps it.
pub(crate) async fn run() -> Result<()> {
    let rows = match std::env::var(ROWS_VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{ROWS_VARIABLE} is not a number: {text}"))?,
        Err(_) => ROWS,
    };
    let busy_before = machine::others_busy().await;
    let mut servers = Vec::new();
    for flavor in Flavor::ALL {
        servers.push(of_server(flavor, rows).await?);
    }
    say("saving checkpoints");
    let checkpoints = checkpoint::run()?;
    let busy_after = machine::others_busy().await;
    let environment = Environment { busy: (busy_before, busy_after) };
    let text = report::text(&environment, &servers, &checkpoints);
    say(&text);
    if rows >= ROWS {
        report::keep(&text)?;
    } else {
        say(&format!("a backlog of less than {ROWS} rows: not written to docs/benchmarks.md"));
    }
    Ok(())
}

/// The target: MariaDB that waits for the disk at every commit, as servers do out of the box.
fn target_options() -> ServerOptions {
    ServerOptions { log_bin: false, fsync: true, server_id: 102, ..ServerOptions::default() }
        .arg("--innodb-buffer-pool-size=512M")
        .arg("--innodb-log-file-size=512M")
}

async fn of_server(flavor: Flavor, rows: u64) -> Result<ServerFigures> {
    let name = flavor.name();
    say(&format!("{name}: starting servers and writing a backlog of {rows} rows"));
    let server = Server::start(flavor, backlog::source_options(flavor)).await;
    let target = Server::mariadb(target_options()).await;
    let backlog = backlog::write(&server, rows).await?;
    say(&format!("{name}: written in {:.1} s", backlog.written_in.as_secs_f64()));
    let bench = Bench { server: &server, target: &target, backlog: &backlog };
    let mut drain = Vec::new();
    for output in Output::ALL {
        let what = format!("{} {}", reader_name(flavor), output.name());
        say(&format!("{name}: {what}"));
        drain.push(bench.log_figure(what, &peer::read_log(&server, &backlog, output).await?, false));
    }
    for verify in [false, true] {
        let what = format!("decode only, from the file{}", if verify { ", checksums verified" } else { "" });
        say(&format!("{name}: {what}"));
        drain.push(bench.log_figure(what, &bench.decode(verify).await?, true));
    }
    say(&format!("{name}: draining to nowhere"));
    let discarded = bench.discard(Mode::Backlog).await?;
    drain.push(bench.log_figure("job to a sink that drops".into(), &discarded, true));
    say(&format!("{name}: draining to MariaDB"));
    drain.push(bench.log_figure("job to MariaDB".into(), &bench.mirror().await?, true));
    let mut table = Vec::new();
    say(&format!("{name}: reading the table"));
    let what = format!("{} --quick, SELECT * > /dev/null", client_name(flavor));
    table.push(bench.table_figure(what, &peer::read_table(&server).await?));
    table.push(bench.table_figure("snapshot to a sink that drops".into(), &bench.snapshot().await?));
    say(&format!("{name}: end to end"));
    let latency = latency::run(&server, &target).await?;
    let version = version(&server).await?;
    Ok(ServerFigures { flavor, version, backlog, drain, table, latency })
}

async fn version(server: &Server) -> Result<String> {
    let mut conn = server.conn().await;
    let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
    conn.disconnect().await?;
    version.context("a server has a version")
}

struct Bench<'a> {
    server: &'a Server,
    target: &'a Server,
    backlog: &'a Backlog,
}

impl Bench<'_> {
    async fn decode(&self, verify: bool) -> Result<Measured<Outcome>> {
        let Backlog { files, columns, .. } = self.backlog;
        let task = Task::Decode { files: files.clone(), columns: columns.clone(), verify };
        let measured = measure::repeated(async || measure::task(&task)).await?;
        self.expect_backlog(measured.outcome)?;
        Ok(measured)
    }

    async fn discard(&self, mode: Mode) -> Result<Measured<Outcome>> {
        let measured = measure::repeated(async || self.job(mode, true)).await?;
        match mode {
            Mode::Snapshot => self.expect_table(measured.outcome)?,
            Mode::Backlog | Mode::Latest => self.expect_backlog(measured.outcome)?,
        }
        Ok(measured)
    }

    async fn snapshot(&self) -> Result<Measured<Outcome>> {
        self.discard(Mode::Snapshot).await
    }

    async fn mirror(&self) -> Result<Measured<Outcome>> {
        let mut conn = self.target.conn().await;
        let measured = measure::repeated(async || {
            conn.query_drop(format!("DROP DATABASE IF EXISTS {TARGET_DATABASE}")).await?;
            conn.query_drop(format!("CREATE DATABASE {TARGET_DATABASE}")).await?;
            self.job(Mode::Backlog, false)
        })
        .await?;
        // A fast sink that loses rows is not fast.
        let mut source = self.server.conn().await;
        let wanted = backlog::digest(&mut source, &format!("{DATABASE}.{TABLE}")).await?;
        let found = backlog::digest(&mut conn, &format!("{TARGET_DATABASE}.{TABLE}")).await?;
        ensure!(wanted == found, "the mirror differs: (rows, digest) {found:?} instead of {wanted:?}");
        ensure!(found.0 == self.backlog.left(), "the mirror holds {} rows", found.0);
        source.disconnect().await?;
        conn.disconnect().await?;
        Ok(measured)
    }

    fn job(&self, mode: Mode, discard: bool) -> Result<(measure::Usage, Outcome)> {
        let state = scratch::folder("j");
        let job = job::text(self.server, self.target, mode, CHECKPOINT);
        let measured = measure::task(&Task::Drain { job, discard, state: state.clone() })?;
        std::fs::remove_dir_all(&state)?;
        Ok(measured)
    }

    fn expect_backlog(&self, outcome: Outcome) -> Result<()> {
        let Backlog { inserted, updated, .. } = *self.backlog;
        let wanted = Outcome { inserted, updated, deleted: updated, checkpoints: outcome.checkpoints };
        ensure!(outcome == wanted, "{outcome:?} instead of {wanted:?}");
        Ok(())
    }

    fn expect_table(&self, outcome: Outcome) -> Result<()> {
        let left = self.backlog.left();
        ensure!(outcome.changes() == left && outcome.inserted == left, "{outcome:?} of {left} rows");
        Ok(())
    }

    fn log_figure<T>(&self, what: String, measured: &Measured<T>, ours: bool) -> Figure {
        let (usage, runs) = (measured.usage, measured.runs);
        Figure { what, ours, usage, runs, rows: self.backlog.changes(), bytes: Some(self.backlog.bytes) }
    }

    fn table_figure<T>(&self, what: String, measured: &Measured<T>) -> Figure {
        let (usage, runs) = (measured.usage, measured.runs);
        Figure { what, ours: false, usage, runs, rows: self.backlog.left(), bytes: None }
    }
}
