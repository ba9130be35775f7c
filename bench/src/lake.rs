//! Into tables of Iceberg: the snapshot of a table, its log, and a trickle; over a bare writer of Parquet that is given the
//! same batches.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use culvert_tests::s3::{KEY, REGION, S3, SECRET};
use culvert_tests::{Flavor, Lake, LakeTable, Server, scratch};
use mysql_async::prelude::Queryable;

use crate::latency;
use crate::measure::{self, Measured, Usage};
use crate::mysql::backlog::{self, Backlog};
use crate::report::{Comparison, Figure, Limit};
use crate::say;
use crate::statements::{self, DATABASE, TABLE};
use crate::suite::CHECKPOINT;
use crate::task::{Outcome, Task};

/// Environment variable with the minutes of the trickle.
const TRICKLE_VARIABLE: &str = "CULVERT_BENCH_TRICKLE_MINUTES";
/// How long it is without it.
const TRICKLE_MINUTES: u64 = 1;
/// Time between two checkpoints of the trickle, and between two rows.
const TRICKLE_CHECKPOINT: Duration = Duration::from_secs(5);
const TRICKLE_PAUSE: Duration = Duration::from_millis(20);
/// What the sink does beside the usual.
const UPSERT: &str = "iceberg.table.upsert-mode-enabled = true";
const COMPACTED: &str = "upkeep.compaction.enabled = true";
/// Numbers of its rows are behind those of the backlog.
const FIRST: u64 = 1_000_000_000;

/// What was measured.
#[derive(Debug)]
pub(crate) struct LakeFigures {
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) trickle: Trickle,
}

/// Rows that come one by one.
#[derive(Debug)]
pub(crate) struct Trickle {
    pub(crate) minutes: f64,
    pub(crate) rows: u64,
    pub(crate) commits: usize,
    pub(crate) files: usize,
    /// The smallest, the one in the middle, the largest.
    pub(crate) bytes: [u64; 3],
}

/// Measures it with MariaDB as the source, this many rows inserted.
pub(crate) async fn measure(rows: u64) -> Result<LakeFigures> {
    say(&format!("lake: starting a server and writing a backlog of {rows} rows"));
    let server = Server::start(Flavor::MariaDb, backlog::source_options(Flavor::MariaDb)).await;
    let backlog = backlog::write(&server, rows).await?;
    let bench = Bench { server: &server, backlog: &backlog };
    let mut comparisons = Vec::new();
    for (head, modes, count) in [
        ("table", ("SNAPSHOT-ONLY", "NEVER"), backlog.counts.left()),
        ("log", ("EARLIEST", "LATEST"), backlog.counts.changes()),
    ] {
        let mut figures = Vec::new();
        for (what, way) in [
            ("bare Parquet writer", Way::Parquet),
            ("Iceberg, append mode", Way::Append),
            ("Iceberg on S3, append mode", Way::AppendOnS3),
            ("Iceberg, upsert mode", Way::Upsert),
        ] {
            say(&format!("lake: the {head} to {what}"));
            let measured = bench.figure(modes, &way).await?;
            figures.push(Figure::new(what.to_owned(), !figures.is_empty(), &measured, count));
        }
        let limits = vec![Limit { figure: 0, head: "time over the bare writer".to_owned() }];
        comparisons.push(Comparison { about: String::new(), head: [head, "rows/s"], figures, limits });
    }
    say("lake: a trickle");
    let trickle = bench.trickle().await?;
    Ok(LakeFigures { comparisons, trickle })
}

/// Where rows go.
enum Way {
    Parquet,
    Append,
    AppendOnS3,
    Upsert,
}

/// Where the tables are.
struct Warehouse {
    place: String,
    s3: Option<S3>,
}

impl Warehouse {
    fn folder(folder: &Path) -> Warehouse {
        Warehouse { place: folder.join("warehouse").display().to_string(), s3: None }
    }

    fn bucket() -> Warehouse {
        let s3 = S3::start();
        Warehouse { place: format!("s3://{}/warehouse", s3.fresh_bucket("lake")), s3: Some(s3) }
    }

    fn config(&self) -> String {
        let storage = self.s3.as_ref().map_or_else(String::new, |s3| {
            format!(
                ", s3.endpoint = \"{}\", s3.access-key-id = {KEY}, s3.secret-access-key = {SECRET}, s3.region = {REGION}",
                s3.url()
            )
        });
        format!("type = hadoop, warehouse = \"{}\"{storage}", self.place)
    }

    fn table(&self) -> LakeTable {
        let table = LakeTable::at(&format!("{}/{DATABASE}/{TABLE}", self.place));
        match &self.s3 {
            Some(s3) => table.on(s3),
            None => table,
        }
    }
}

struct Bench<'a> {
    server: &'a Server,
    backlog: &'a Backlog,
}

impl Bench<'_> {
    async fn figure(&self, modes: (&str, &str), way: &Way) -> Result<Measured<Outcome>> {
        measure::repeated(async || self.run(modes, way).await).await
    }

    async fn run(&self, modes: (&str, &str), way: &Way) -> Result<(Usage, Outcome)> {
        let folder = scratch::folder("lake");
        let warehouse = match way {
            Way::AppendOnS3 => Warehouse::bucket(),
            Way::Parquet | Way::Append | Way::Upsert => Warehouse::folder(&folder),
        };
        let more = if matches!(way, Way::Upsert) { UPSERT } else { "" };
        let job = self.text(modes, &warehouse, CHECKPOINT, more);
        let state = folder.join("state");
        let done = match way {
            Way::Parquet => {
                let files = folder.join("files");
                std::fs::create_dir_all(&files)?;
                measure::task(&Task::Parquet { job, folder: files, state })?
            }
            Way::Append | Way::AppendOnS3 | Way::Upsert => {
                let done = measure::task(&Task::Drain { job, discard: false, state })?;
                self.count(&warehouse, modes, way).await?;
                done
            }
        };
        std::fs::remove_dir_all(&folder)?;
        Ok(done)
    }

    /// A fast sink that loses rows is not fast: they are counted by an engine of somebody else.
    async fn count(&self, warehouse: &Warehouse, modes: (&str, &str), way: &Way) -> Result<()> {
        let counts = &self.backlog.counts;
        let expected = match (modes.0, way) {
            ("SNAPSHOT-ONLY", _) | (_, Way::Upsert) => counts.left(),
            // An update is two rows.
            _ => counts.changes() + counts.updated,
        };
        let lake = Lake::start();
        let described = lake.describe(&warehouse.table()).await;
        let metadata = described["metadata"].as_str().context("a table has metadata")?;
        let s3 = warehouse.s3.as_ref();
        let read = lake.duckdb(&format!("SELECT count(*) AS n FROM iceberg_scan('{metadata}')"), s3).await;
        let found = read.rows.first().and_then(|row| row.first().cloned().flatten());
        ensure!(found == Some(expected.to_string()), "{found:?} rows in the table instead of {expected}");
        Ok(())
    }

    fn text(
        &self,
        (start, stop): (&str, &str),
        warehouse: &Warehouse,
        checkpoint: Duration,
        more: &str,
    ) -> String {
        format!(
            "env {{ parallelism = 1, job.mode = STREAMING, checkpoint.interval = {} }}\n\
             source {{ MySQL-CDC {{ url = \"{}\", username = root, password = root, server-id = 5402\n\
             table-names = [\"{DATABASE}.{TABLE}\"], startup.mode = \"{start}\", stop.mode = \"{stop}\" }} }}\n\
             sink {{ Iceberg {{ catalog_name = bench, namespace = {DATABASE}\n\
             iceberg.catalog.config {{ {} }}\n\
             {more} }} }}\n",
            checkpoint.as_millis(),
            self.server.url(DATABASE),
            warehouse.config(),
        )
    }

    /// One row after the other, with a checkpoint now and then.
    async fn trickle(&self) -> Result<Trickle> {
        let minutes = match std::env::var(TRICKLE_VARIABLE) {
            Ok(text) => {
                text.parse().with_context(|| format!("{TRICKLE_VARIABLE} is not a number: {text}"))?
            }
            Err(_) => TRICKLE_MINUTES,
        };
        let folder = scratch::folder("lake");
        let warehouse = Warehouse::folder(&folder);
        let text = self.text(("LATEST", "NEVER"), &warehouse, TRICKLE_CHECKPOINT, COMPACTED);
        let begun = Instant::now();
        let rows = latency::while_running(&text, async || {
            let (mut conn, mut rows) = (self.server.conn().await, 0);
            let mut pace = tokio::time::interval(TRICKLE_PAUSE);
            while begun.elapsed() < Duration::from_secs(60 * minutes) {
                pace.tick().await;
                rows += 1;
                conn.query_drop(statements::single(FIRST + rows)).await?;
            }
            conn.disconnect().await?;
            Ok(rows)
        })
        .await?;
        let elapsed = begun.elapsed();
        let lake = Lake::start();
        let table = warehouse.table();
        let described = lake.describe(&table).await;
        let mut bytes: Vec<u64> = lake.files(&table).await.iter().map(|file| file.bytes).collect();
        bytes.sort_unstable();
        let at = |place: usize| bytes.get(place).copied().unwrap_or(0);
        std::fs::remove_dir_all(&folder)?;
        Ok(Trickle {
            minutes: elapsed.as_secs_f64() / 60.0,
            rows,
            commits: described["snapshots"].as_array().map_or(0, Vec::len),
            files: bytes.len(),
            bytes: [at(0), at(bytes.len() / 2), at(bytes.len().saturating_sub(1))],
        })
    }
}
