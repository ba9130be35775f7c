//! Changes of databases into tables of Iceberg: append mode holds the whole history, upsert mode what the
//! source holds, through restarts at any moment.

use std::collections::BTreeMap;
use std::time::Duration;

use culvert_tests::database::Kind;
use culvert_tests::lake::{self, LakeTable, Read};
use culvert_tests::oracle::{self, AppendLog, Row};
use culvert_tests::{
    Database, Flavor, Lake, PgVersion, lake_shared, postgres_shared, random, seed, shared, wait,
};
use rand::Rng;

use super::iceberg_crash::UPKEEP;
use super::warehouse::Warehouse;
use crate::pipeline::workload as mysql;
use crate::postgres::job::{JobSpec, LIMIT, TestJob, tail};
use crate::postgres::scene::create_source;
use crate::postgres::writers::Writers;

/// Rows that are there before the first change.
const ROWS: u64 = 1500;
/// Kills of a job while the writers are at work.
const KILLS: u32 = 3;
/// Transactions that are committed between two kills at least.
const TRANSACTIONS: u64 = 60;

/// Time between two checkpoints.
const CHECKPOINT: Duration = Duration::from_millis(200);

/// The tables whose history is kept, and those that are kept as they are now.
const LOGGED: [&str; 3] = ["item", "label", "event"];
const MIRRORED: [&str; 2] = ["item", "label"];

/// A job from a database into a warehouse.
struct Stream<'a> {
    job: TestJob,
    source: &'a Database<'a>,
}

impl<'a> Stream<'a> {
    fn new(
        name: &str,
        source: &'a Database<'a>,
        tables: &[&str],
        checkpoint: Duration,
        sink: &str,
    ) -> Stream<'a> {
        let name = format!("{name} {} {}", source.name(), source.port());
        let spec = JobSpec::mirror(&name, source, tables, source);
        let text = format!(
            "env {{ job.mode = \"STREAMING\", checkpoint.interval = {}, parallelism = 2, \
             job.retry.interval.seconds = 0 }}\n\
             source {{ {}\n  snapshot.split.size = 300\n}} }}\nsink {{ {sink} }}\n",
            checkpoint.as_millis(),
            spec.source_block(),
        );
        Stream { job: TestJob::new(&name, &text), source }
    }

    /// Runs it until every table has as many rows as in the source, and the mark where there is one; then stops
    /// it. `rows` says how many a table has now, and whether the mark is among them.
    async fn catch_up(&self, tables: &[&str], rows: impl AsyncFn(&str) -> Result<(i64, bool), String>) {
        let job = self.job.start();
        let marks = format!("SELECT COUNT(*) FROM {} WHERE id = -1", self.source.table("item"));
        let marked = self.source.value(&marks).await.as_deref() == Some("1");
        for name in tables {
            let count = format!("SELECT COUNT(*) FROM {}", self.source.table(name));
            let count: i64 =
                self.source.value(&count).await.and_then(|text| text.parse().ok()).expect("a count");
            wait::until_ok(LIMIT, &format!("{count} rows of {name}"), async || {
                job.assert_running();
                let found = rows(name).await?;
                let done = found == (count, marked && *name == "item");
                if done { Ok(()) } else { Err(format!("{found:?}; {}", tail(&job.stderr()))) }
            })
            .await;
        }
        job.stop();
    }
}

/// Whether the mark is among the rows of `item`.
fn has_mark(read: &Read) -> bool {
    let is_mark = |row: &Row| row[0].as_deref() == Some("-1");
    read.names().contains(&"id") && read.only(&["id"]).rows.iter().any(is_mark)
}

/// How many rows the changes of a table come to.
fn net(read: &Read) -> i64 {
    let kinds = read.only(&["row_kind"]).rows;
    kinds.iter().map(|row| if matches!(row[0].as_deref(), Some("+I" | "+U")) { 1 } else { -1 }).sum()
}

/// Where a source has a change: its transaction, then the place in it. Rows that were there before come first.
fn place(position: &str) -> (u64, String, u64, u64) {
    let mut parts = position.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok()).expect("a number");
    let (row, event) = (number(), number());
    let transaction = parts.next().expect("a transaction");
    if transaction.starts_with("snapshot:") {
        return (0, transaction.to_owned(), event, row);
    }
    // An LSN of PostgreSQL, or a GTID.
    let order = match transaction.split_once('/') {
        Some((high, low)) => {
            let part = |text| u64::from_str_radix(text, 16).expect("half of an LSN");
            (part(high) << 32) | part(low)
        }
        None => {
            let end = transaction.rsplit([':', '-']).next().and_then(|end| end.parse().ok());
            end.expect("a GTID ends with a number")
        }
    };
    (order, String::new(), event, row)
}

/// The history of a table, in the source's order; checks position and commit time of every change.
fn history(read: &Read, names: &[&str]) -> Vec<(String, Row)> {
    let mut times: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut changes = Vec::new();
    let all = [&["row_position", "row_kind", "row_commit_time"], names].concat();
    for mut row in read.only(&all).rows {
        let rest = row.split_off(3);
        let [Some(position), Some(kind), time] = &row[..] else { panic!("{row:?} lacks its position") };
        let (transaction, ..) =
            position.rsplit_once(':').and_then(|(rest, _)| rest.rsplit_once(':')).expect("it has three");
        let known = times.entry(transaction.to_owned()).or_insert_with(|| time.clone());
        assert_eq!(known, time, "one transaction has one commit time: {transaction}");
        assert_eq!(time.is_none(), transaction.starts_with("snapshot:"), "{position} of {time:?}");
        let second = matches!(kind.as_str(), "+U" | "+I");
        changes.push(((place(position), second), (kind.clone(), rest)));
    }
    changes.sort();
    let twice = changes.windows(2).find(|pair| pair[0].0 == pair[1].0);
    assert!(twice.is_none(), "one place has two changes: {twice:?}");
    changes.into_iter().map(|(_, change)| change).collect()
}

/// Every change is a row, and their replay comes to what the source holds.
async fn assert_history(lake: &Lake, warehouse: &Warehouse, source: &Database<'_>, name: &str, key: &[&str]) {
    let shape = source.shape(name).await;
    let names: Vec<String> = shape.columns.iter().map(|(name, _)| name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = |key: &&str| names.iter().position(|name| name == key).expect("the key is a column");
    let table = warehouse.table(&format!("log.{name}"));
    let read = lake.rows(&table).await;
    let log = AppendLog { changes: history(&read, &names), key: key.iter().map(place).collect() };
    let kinds = |kind: &str| log.changes.iter().filter(|(have, _)| have == kind).count();
    assert!(kinds("+I") > 0 && (name == "event" || kinds("+U") > 0), "no changes of {name}");
    assert_eq!(kinds("+U"), kinds("-U"), "updates have two sides");
    let replayed = oracle::replay(&log).unwrap_or_else(|violation| panic!("{name}: {violation}"));
    let rows = source.rows_as(name, &shape, None).await;
    oracle::assert_same((name, &rows), ("the replayed table", &replayed));
}

/// The rows of a table in upsert mode, and whether the mark is there.
async fn rows_now(lake: &Lake, table: &LakeTable) -> Result<(i64, bool), String> {
    let read = lake.try_rows_by_duckdb(table).await?;
    Ok((read.rows.len() as i64, has_mark(&read)))
}

/// Whether a snapshot of a table has a word in its summary.
async fn has_snapshot(lake: &Lake, table: &LakeTable, word: &str) -> Result<(), String> {
    let described = lake.describe(table).await;
    let snapshots = described["snapshots"].as_array().expect("snapshots");
    match snapshots.iter().any(|snapshot| !snapshot["summary"][word].is_null()) {
        true => Ok(()),
        false => Err(format!("no snapshot has {word}")),
    }
}

/// Both modes at once, from one source.
async fn both_modes(server: Kind<'static>) {
    let lake = lake_shared().await;
    let seed = seed();
    let mut random = random::generator(seed);
    let source = Database::fresh(server, "lake").await;
    match server {
        Kind::MySql(server) => mysql::create_source(server, source.name(), ROWS).await,
        Kind::Postgres(_) => create_source(&source, ROWS).await,
    }
    let warehouse = Warehouse::sqlite();
    let log = Stream::new("log", &source, &LOGGED, CHECKPOINT, &warehouse.sink("log", UPKEEP));
    let upsert = format!("iceberg.table.upsert-mode-enabled = true, upkeep.delete-files.max = 2, {UPKEEP}");
    let upsert = warehouse.sink("now", &upsert);
    let now = Stream::new("now", &source, &MIRRORED, CHECKPOINT, &upsert);
    let logged = async |name: &str| {
        let read = lake.try_rows(&warehouse.table(&format!("log.{name}"))).await;
        read.map(|read| (net(&read), has_mark(&read)))
    };
    let mirrored = async |name: &str| rows_now(lake, &warehouse.table(&format!("now.{name}"))).await;
    // What was there before; changes of it follow.
    log.catch_up(&LOGGED, &logged).await;
    now.catch_up(&MIRRORED, &mirrored).await;
    let writers = Writers::start(&source, 2, ROWS, seed).await;
    for _ in 0..KILLS {
        let running = [log.job.start(), now.job.start()];
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(300..1500))).await;
        writers.more(TRANSACTIONS).await;
        for job in running {
            job.assert_running();
            job.kill();
        }
    }
    writers.stop().await;
    let mark = format!("INSERT INTO {} VALUES (-1, 0, 'mark', NULL, NULL)", source.table("item"));
    source.run(&[&mark]).await;
    // The jobs go on until files were put together, and deletes merged into their rows.
    let logged = async |name: &str| {
        has_snapshot(lake, &warehouse.table("log.item"), "culvert.upkeep").await?;
        logged(name).await
    };
    let mirrored = async |name: &str| {
        has_snapshot(lake, &warehouse.table("now.item"), "removed-equality-deletes").await?;
        mirrored(name).await
    };
    log.catch_up(&LOGGED, logged).await;
    now.catch_up(&MIRRORED, mirrored).await;
    for (name, key) in [("item", &["id"][..]), ("label", &["name"]), ("event", &[])] {
        assert_history(lake, &warehouse, &source, name, key).await;
    }
    for name in MIRRORED {
        let table = warehouse.table(&format!("now.{name}"));
        lake::assert_same((&source, name), &lake.rows_by_duckdb(&table).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_and_the_present_of_mysql_and_mariadb_are_whole_behind_kills() {
    for flavor in Flavor::ALL {
        both_modes(shared(flavor).await.into()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_and_the_present_of_postgres_are_whole_behind_kills() {
    both_modes(postgres_shared(PgVersion::V17).await.into()).await;
}

/// More than may wait in memory: the changes of one checkpoint are several waves, each about the one before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_more_changes_than_fit_is_several_waves_of_one_snapshot() {
    const UPDATES: usize = 24;
    let lake = lake_shared().await;
    let source = Database::fresh(shared(Flavor::MariaDb).await, "waves").await;
    source.run(&["CREATE TABLE item (id BIGINT PRIMARY KEY, n INT NOT NULL, pad VARCHAR(1000))"]).await;
    let fill = "INSERT INTO item SELECT seq, 0, REPEAT('a', 1000) FROM seq_1_to_2000";
    source.run(&[fill]).await;
    let warehouse = Warehouse::folder();
    let options = "iceberg.table.upsert-mode-enabled = true, write.memory.max = 67108864";
    let rare = Duration::from_secs(5);
    let now = Stream::new("waves", &source, &["item"], rare, &warehouse.sink("now", options));
    let table = warehouse.table("now.item");
    let rows = async |_: &str| rows_now(lake, &table).await;
    now.catch_up(&["item"], &rows).await;
    for update in 1..=UPDATES {
        let change = format!("UPDATE item SET n = {update}, pad = REPEAT(CHAR({}), 1000)", 97 + update);
        // Rows come and go in between.
        let gone = format!("DELETE FROM item WHERE id % {UPDATES} = {update}");
        let back = format!("INSERT INTO item VALUES ({}, {update}, 'back')", 1000 * UPDATES + update);
        source.run(&[&change, &gone, &back]).await;
    }
    source.run(&["INSERT INTO item VALUES (-1, 0, 'mark')"]).await;
    now.catch_up(&["item"], &rows).await;
    lake::assert_same((&source, "item"), &lake.rows_by_duckdb(&table).await).await;
    let described = lake.describe(&table).await;
    let snapshots = described["snapshots"].as_array().expect("snapshots");
    let deletes =
        |snapshot: &serde_json::Value| snapshot["summary"]["added-delete-files"].as_str().map(str::to_owned);
    let deletes: Vec<String> = snapshots.iter().filter_map(deletes).collect();
    assert!(
        deletes.iter().any(|files| files.parse::<u32>().is_ok_and(|files| files > 1)),
        "no snapshot has several waves: {deletes:?}"
    );
}
