//! Logs that are read up to a place: what is before it arrives, what is behind it does not, also when the
//! job is killed on its way there.

use culvert_api::failpoint::FAILPOINT_VARIABLE;
use culvert_tests::database::{Kind, assert_same};
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, scratch, shared, wait};

use super::job::value;
use crate::postgres::job::{JobSpec, LIMIT, TestJob};

/// Where the job is killed on its way, run after run; behind the last of them, its start is committed.
const KILLS: &[&str] = &["engine.read.after kill 2", "engine.commit.before kill", "jdbc.commit.after kill"];

/// The end of a log, as the options that name it.
async fn place(source: &Database<'_>, flavor: Option<Flavor>, mode: &str) -> String {
    let statement = match flavor {
        None => {
            let place = value(source, "SELECT pg_current_wal_lsn()").await;
            return format!("{mode}.mode = SPECIFIC, {mode}.specific-offset.lsn = \"{place}\"");
        }
        Some(Flavor::MariaDb) => "SHOW MASTER STATUS",
        Some(Flavor::MySql) => "SHOW BINARY LOG STATUS",
    };
    let row = source.rows(statement).await.remove(0);
    let text = |at: usize| row[at].clone().expect("a place");
    let (file, offset) = (text(0), text(1));
    format!(
        "{mode}.mode = SPECIFIC, {mode}.specific-offset.file = \"{file}\", {mode}.specific-offset.pos = {offset}"
    )
}

/// Makes what a job needs to begin here, and returns the options that say so.
async fn begin(source: &Database<'_>, flavor: Option<Flavor>, name: &str) -> String {
    if flavor.is_some() {
        return place(source, flavor, "startup").await;
    }
    let slot = JobSpec::slot(name);
    source
        .run(&[
            &format!("CREATE PUBLICATION \"{slot}\" FOR TABLE t"),
            &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
        ])
        .await;
    "startup.mode = EARLIEST".to_owned()
}

/// The job, in the mode of those that end.
fn ready(spec: &JobSpec<'_>) -> TestJob {
    let text = spec.text().replace("STREAMING", "BATCH").replace("interval = 200", "interval = 20");
    TestJob::new(spec.name, &text)
}

async fn up_to_a_place<'a>(server: impl Into<Kind<'a>>, flavor: Option<Flavor>) {
    let server = server.into();
    let source = Database::fresh(server, "bounded").await;
    let t = source.table("t");
    source.run(&[&format!("CREATE TABLE {t} (id int PRIMARY KEY, v int)")]).await;
    let names = ["placed", "latest"].map(|end| format!("{end} {} {}", source.name(), source.port()));
    let mut starts = Vec::new();
    for name in &names {
        starts.push(begin(&source, flavor, name).await);
    }
    for part in 0..60 {
        let rows: Vec<String> = (0..50).map(|row| format!("({}, {part})", part * 50 + row)).collect();
        let insert = format!("INSERT INTO {t} VALUES {}", rows.join(", "));
        let update = format!("UPDATE {t} SET v = v + 1 WHERE id % 7 = {}", part % 7);
        source.run(&[&insert, &update, &format!("DELETE FROM {t} WHERE id % 50 = {part}")]).await;
    }
    let stop = place(&source, flavor, "stop").await;
    // What the table is there. Nobody captures it.
    source.run(&[&format!("CREATE TABLE {} AS SELECT * FROM {t}", source.table("there"))]).await;
    source.run(&[&format!("UPDATE {t} SET v = -1"), &format!("INSERT INTO {t} VALUES (100000, 1)")]).await;

    for ((name, start), (stop, kept)) in
        names.iter().zip(&starts).zip([(stop.as_str(), "there"), ("stop.mode = LATEST", "t")])
    {
        let target = Database::fresh(server, "bounded").await;
        let options = format!("{start}\n  {stop}");
        let job =
            ready(&JobSpec { source_options: &options, ..JobSpec::mirror(name, &source, &["t"], &target) });
        let file = scratch::folder("point").join("point");
        for point in KILLS {
            std::fs::write(&file, point).expect("the scratch folder is ours");
            let finished = job.culvert(&[]).env(FAILPOINT_VARIABLE, &file).run(LIMIT);
            assert_eq!(finished.code, None, "{point}: {}", finished.stderr);
        }
        if kept == "t" {
            // Behind the end that was fixed at the first start.
            source.run(&[&format!("CREATE TABLE {} AS SELECT * FROM {t}", source.table("later"))]).await;
            source.run(&[&format!("INSERT INTO {t} VALUES (100001, 1)")]).await;
        }
        job.run().assert_code(0);
        let kept = if kept == "t" { "later" } else { kept };
        assert_same((&source, kept), (&target, "t")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_a_place_of_mysql() {
    up_to_a_place(shared(Flavor::MySql).await, Some(Flavor::MySql)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_a_place_of_mariadb() {
    up_to_a_place(shared(Flavor::MariaDb).await, Some(Flavor::MariaDb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_a_place_of_postgres() {
    up_to_a_place(postgres_shared(PgVersion::V15).await, None).await;
    up_to_a_place(postgres_shared(PgVersion::V17).await, None).await;
}

/// A moment of the server's clock, in milliseconds since 1970.
async fn now(source: &Database<'_>) -> u64 {
    let query = if source.is_postgres() {
        "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    } else {
        "SELECT FLOOR(UNIX_TIMESTAMP(NOW(3)) * 1000)"
    };
    value(source, query).await.parse().expect("milliseconds")
}

/// Writes transactions before a moment, around it and behind it; the moment, and which rows are before it.
async fn write_around_a_moment(source: &Database<'_>) -> (u64, Vec<&'static str>) {
    let t = source.table("t");
    let insert = |id: u32| format!("INSERT INTO {t} VALUES ({id}, 0)");
    if source.is_postgres() {
        // What counts is the commit.
        let other = Database::open(source.server(), source.name());
        other.run(&["BEGIN", &insert(10)]).await;
        source.run(&[&insert(1), &format!("UPDATE {t} SET v = 1")]).await;
        let moment = now(source).await;
        wait::until(LIMIT, "the clock to go on", async || now(source).await > moment).await;
        other.run(&[&insert(11), "COMMIT"]).await;
        source.run(&[&insert(20)]).await;
        return (moment, vec!["1"]);
    }
    // The log has the time that a session says, in seconds.
    let second = now(source).await / 1000 - 60;
    let at = |offset: i64| format!("SET TIMESTAMP = {}", i64::try_from(second).unwrap_or(0) + offset);
    source
        .run(&[
            &at(-30),
            &insert(1),
            &at(0),
            &insert(2),
            "BEGIN",
            &insert(10),
            &at(5),
            &insert(11),
            "COMMIT",
            &at(6),
            &insert(20),
            "SET TIMESTAMP = DEFAULT",
        ])
        .await;
    // Half a transaction is none.
    (second * 1000, vec!["1", "2", "10", "11"])
}

async fn up_to_a_time<'a>(server: impl Into<Kind<'a>>, flavor: Option<Flavor>) {
    let server = server.into();
    let source = Database::fresh(server, "timed").await;
    source.run(&[&format!("CREATE TABLE {} (id int PRIMARY KEY, v int)", source.table("t"))]).await;
    let names = ["timed", "quiet"].map(|end| format!("{end} {} {}", source.name(), source.port()));
    let mut starts = Vec::new();
    for name in &names {
        starts.push(begin(&source, flavor, name).await);
    }
    let (moment, before) = write_around_a_moment(&source).await;
    let all = format!("SELECT id FROM {} ORDER BY id", source.table("t"));
    let rows = async |database: &Database<'_>, query: &str| -> Vec<String> {
        database.rows(query).await.into_iter().map(|mut row| row.remove(0).unwrap_or_default()).collect()
    };
    let everything = rows(&source, &all).await;
    assert_eq!(everything.last().map(String::as_str), Some("20"));
    // Nothing comes behind the second time: the end of the log is the end.
    let late = now(&source).await;
    for ((name, start), (moment, wanted)) in names
        .iter()
        .zip(&starts)
        .zip([(moment, before.iter().map(|id| (*id).to_owned()).collect()), (late, everything)])
    {
        let target = Database::fresh(server, "timed").await;
        let options = format!("{start}\n  stop.mode = TIMESTAMP, stop.timestamp = {moment}");
        ready(&JobSpec { source_options: &options, ..JobSpec::mirror(name, &source, &["t"], &target) })
            .run()
            .assert_code(0);
        let found = rows(&target, &format!("SELECT id FROM {} ORDER BY id", target.table("t"))).await;
        assert_eq!(found, wanted, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_a_time_of_mysql_and_mariadb() {
    up_to_a_time(shared(Flavor::MySql).await, Some(Flavor::MySql)).await;
    up_to_a_time(shared(Flavor::MariaDb).await, Some(Flavor::MariaDb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_a_time_of_postgres() {
    up_to_a_time(postgres_shared(PgVersion::V15).await, None).await;
}
