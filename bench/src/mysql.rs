//! MariaDB and MySQL as the source, MariaDB as the target.

pub(crate) mod backlog;
pub(crate) mod decode;
mod peer;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use culvert_tests::{Flavor, Server, ServerOptions, scratch};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use self::backlog::Backlog;
use self::peer::{Output, client_name, reader_name};
use crate::job::{self, Mode, TARGET_DATABASE};
use crate::latency::{self, Ends};
use crate::measure::{self, Measured, Usage};
use crate::report::{Comparison, Figure, Limit, ServerFigures};
use crate::say;
use crate::spread::Spread;
use crate::statements::{self, DATABASE, TABLE};
use crate::suite::CHECKPOINT;
use crate::task::{Outcome, Task};

/// The target: MariaDB that waits for the disk at every commit, as servers do out of the box.
fn target_options() -> ServerOptions {
    ServerOptions { log_bin: false, fsync: true, server_id: 102, ..ServerOptions::default() }
        .arg("--innodb-buffer-pool-size=512M")
        .arg("--innodb-log-file-size=512M")
}

/// Measures everything with this kind of server as the source.
pub(crate) async fn measure(flavor: Flavor, rows: u64) -> Result<ServerFigures> {
    let name = flavor.name();
    say(&format!("{name}: starting servers and writing a backlog of {rows} rows"));
    let server = Server::start(flavor, backlog::source_options(flavor)).await;
    let target = Server::mariadb(target_options()).await;
    let backlog = backlog::write(&server, rows).await?;
    say(&format!("{name}: written in {:.1} s", backlog.written_in.as_secs_f64()));
    let bench = Bench { server: &server, target: &target, backlog: &backlog };
    let comparisons = vec![bench.drain().await?, bench.table().await?];
    say(&format!("{name}: end to end"));
    let latency = bench.latency().await?;
    let title = match flavor {
        Flavor::MariaDb => "MariaDB",
        Flavor::MySql => "MySQL",
    };
    Ok(ServerFigures {
        title: format!("{title} {}", version(&server).await?),
        changes: backlog.counts.changes(),
        bytes: backlog.bytes,
        written_in: backlog.written_in,
        comparisons,
        latencies: vec![(format!("{title} to MariaDB, {}", latency::checkpoints()), latency)],
    })
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
    /// Ways through the log: the server's own reader, then ours.
    async fn drain(&self) -> Result<Comparison> {
        let flavor = self.server.flavor();
        let (name, reader) = (flavor.name(), reader_name(flavor));
        let mut figures = Vec::new();
        for output in Output::ALL {
            let what = format!("{reader} {}", output.name());
            say(&format!("{name}: {what}"));
            figures.push(self.log_figure(
                what,
                &peer::read_log(self.server, self.backlog, output).await?,
                false,
            ));
        }
        for verify in [false, true] {
            let what =
                format!("decode only, from the file{}", if verify { ", checksums verified" } else { "" });
            say(&format!("{name}: {what}"));
            figures.push(self.log_figure(what, &self.decode(verify).await?, true));
        }
        say(&format!("{name}: draining to nowhere"));
        let discarded = self.discard(Mode::Backlog).await?;
        figures.push(self.log_figure("job to a sink that drops".into(), &discarded, true));
        say(&format!("{name}: draining to MariaDB"));
        figures.push(self.log_figure("job to MariaDB".into(), &self.mirror().await?, true));
        let limits = vec![
            Limit { figure: 0, head: format!("time over {reader} --raw") },
            Limit { figure: 2, head: format!("over {reader} -v") },
        ];
        Ok(Comparison { about: String::new(), head: ["log", "changes/s"], figures, limits })
    }

    /// Ways through the table: the server's own client, then ours.
    async fn table(&self) -> Result<Comparison> {
        let flavor = self.server.flavor();
        say(&format!("{}: reading the table", flavor.name()));
        let client = peer::read_table(self.server).await?;
        let ours = self.discard(Mode::Snapshot).await?;
        let what = format!("{} --quick, SELECT * > /dev/null", client_name(flavor));
        let figures = vec![
            self.table_figure(what, &client, false),
            self.table_figure("snapshot to a sink that drops".into(), &ours, true),
        ];
        let limits = vec![Limit { figure: 0, head: "time over client".into() }];
        Ok(Comparison { about: String::new(), head: ["table", "rows/s"], figures, limits })
    }

    async fn decode(&self, verify: bool) -> Result<Measured<Outcome>> {
        let Backlog { files, columns, .. } = self.backlog;
        let task = Task::Decode { files: files.clone(), columns: columns.clone(), verify };
        let measured = measure::repeated(async || measure::task(&task)).await?;
        self.backlog.counts.expect_changes(measured.outcome)?;
        Ok(measured)
    }

    async fn discard(&self, mode: Mode) -> Result<Measured<Outcome>> {
        let measured = measure::repeated(async || self.job(mode, true)).await?;
        match mode {
            Mode::Snapshot => self.backlog.counts.expect_table(measured.outcome)?,
            Mode::Backlog | Mode::Latest => self.backlog.counts.expect_changes(measured.outcome)?,
        }
        Ok(measured)
    }

    async fn mirror(&self) -> Result<Measured<Outcome>> {
        let mut conn = self.target.conn().await;
        let measured = measure::repeated(async || {
            self.empty_target(&mut conn).await?;
            self.job(Mode::Backlog, false)
        })
        .await?;
        // A fast sink that loses rows is not fast.
        let mut source = self.server.conn().await;
        let wanted = backlog::digest(&mut source, &format!("{DATABASE}.{TABLE}")).await?;
        let found = backlog::digest(&mut conn, &format!("{TARGET_DATABASE}.{TABLE}")).await?;
        ensure!(wanted == found, "the mirror differs: (rows, digest) {found:?} instead of {wanted:?}");
        ensure!(found.0 == self.backlog.counts.left(), "the mirror holds {} rows", found.0);
        source.disconnect().await?;
        conn.disconnect().await?;
        Ok(measured)
    }

    async fn empty_target(&self, conn: &mut Conn) -> Result<()> {
        conn.query_drop(format!("DROP DATABASE IF EXISTS {TARGET_DATABASE}")).await?;
        conn.query_drop(format!("CREATE DATABASE {TARGET_DATABASE}")).await?;
        Ok(())
    }

    async fn latency(&self) -> Result<Spread> {
        let mut ends = Connections { from: self.server.conn().await, to: self.target.conn().await };
        self.empty_target(&mut ends.to).await?;
        let spread = latency::of_job(&self.text(Mode::Latest, latency::CHECKPOINT), &mut ends).await?;
        ends.from.disconnect().await?;
        ends.to.disconnect().await?;
        Ok(spread)
    }

    fn job(&self, mode: Mode, discard: bool) -> Result<(Usage, Outcome)> {
        let state = scratch::folder("j");
        let job = self.text(mode, CHECKPOINT);
        let measured = measure::task(&Task::Drain { job, discard, state: state.clone() })?;
        std::fs::remove_dir_all(&state)?;
        Ok(measured)
    }

    /// A job that mirrors the table.
    fn text(&self, mode: Mode, checkpoint: Duration) -> String {
        let (start, stop) = match mode {
            Mode::Backlog => ("EARLIEST", "LATEST"),
            Mode::Snapshot => ("SNAPSHOT-ONLY", "NEVER"),
            Mode::Latest => ("LATEST", "NEVER"),
        };
        let (from, to) = (self.server.url(DATABASE), self.target.url(TARGET_DATABASE));
        job::text(
            &format!(
                r#"MySQL-CDC {{
  url = "{from}", username = "root", password = "root", server-id = 5400
  table-names = ["{DATABASE}.{TABLE}"], startup.mode = "{start}", stop.mode = "{stop}"
}}"#
            ),
            &format!(
                r#"  url = "{to}", username = "root", password = "root", database = {TARGET_DATABASE}, table = {TABLE}"#
            ),
            checkpoint,
        )
    }

    fn log_figure<T>(&self, what: String, measured: &Measured<T>, ours: bool) -> Figure {
        let Backlog { counts, bytes, .. } = self.backlog;
        Figure { bytes: Some(*bytes), ..Figure::new(what, ours, measured, counts.changes()) }
    }

    fn table_figure<T>(&self, what: String, measured: &Measured<T>, ours: bool) -> Figure {
        Figure::new(what, ours, measured, self.backlog.counts.left())
    }
}

struct Connections {
    from: Conn,
    to: Conn,
}

impl Ends for Connections {
    async fn commit(&mut self, id: u64) -> Result<()> {
        Ok(self.from.query_drop(statements::single(id)).await?)
    }

    async fn is_visible(&mut self, id: u64) -> Result<bool> {
        let query = format!("SELECT 1 FROM {TARGET_DATABASE}.{TABLE} WHERE id = {id}");
        Ok(self.to.query_first::<u8, _>(query).await?.is_some())
    }
}
