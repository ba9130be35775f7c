//! What can happen to a replication slot while a job is stopped or runs: never a silent gap.

use culvert_tests::database::assert_replays;
use culvert_tests::{Database, PgOptions, PgVersion, Postgres, postgres_both, postgres_both_with, wait};

use super::job::{Job, JobSpec, LIMIT, TestJob, until_rows};

/// A table and the log of its changes; the log's job.
struct Logged<'a> {
    source: Database<'a>,
    target: Database<'a>,
    job: TestJob,
    name: String,
}

impl<'a> Logged<'a> {
    async fn new(server: &'a Postgres, prefix: &str) -> Logged<'a> {
        let source = Database::fresh(server, prefix).await;
        let target = Database::fresh(server, "log").await;
        source
            .run(&[
                "CREATE TABLE t (id int PRIMARY KEY, a text)",
                "ALTER TABLE t REPLICA IDENTITY FULL",
                "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
            ])
            .await;
        target
            .run(&["CREATE TABLE t (id int, a text, row_kind varchar(2), seq bigserial PRIMARY KEY)"])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let job = JobSpec::log(&name, &source, &["t"], &target).ready();
        Logged { source, target, job, name }
    }

    fn slot(&self) -> String {
        JobSpec::slot(&self.name)
    }

    async fn until(&self, rows: u64, job: &Job) {
        until_rows(&self.target, "t", rows, job).await;
    }

    async fn started(&self) -> Job {
        let job = self.job.start();
        self.until(2, &job).await;
        job
    }

    async fn insert(&self, id: u32) {
        self.source.run(&[&format!("INSERT INTO t VALUES ({id}, 'x')")]).await;
    }

    /// Runs a statement that fails while somebody still reads from the slot.
    async fn once_free(&self, statement: &str) {
        wait::until_ok(LIMIT, "the slot to be free", async || {
            self.source.query(&statement.replace("SLOT", &self.slot())).await
        })
        .await;
    }

    /// Refused twice, with nothing written; then the way out that it names.
    async fn refused_until_fresh(&self, said: &[&str]) {
        let count = "SELECT count(*), max(seq) FROM t";
        let before = self.target.rows(count).await;
        for _ in 0..2 {
            self.job.refused(said);
            assert_eq!(self.target.rows(count).await, before, "something was written");
        }
        self.target.run(&["DELETE FROM t"]).await;
        let rows = self.source.value("SELECT count(*) FROM t").await.expect("a count");
        let job = self.job.start_with(&["--fresh"]);
        self.until(rows.parse().expect("a number"), &job).await;
        self.ended_well(job).await;
    }

    async fn ended_well(&self, job: Job) {
        self.insert(900).await;
        super::job::until(&self.target, "SELECT count(*) FROM t WHERE id = 900", "1", &job).await;
        job.stop();
        assert_replays((&self.source, "t"), (&self.target, "t"), &["id"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_slot_is_never_a_silent_new_one() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "dropped").await;
        logged.started().await.stop();
        logged.insert(3).await;
        logged.once_free("SELECT pg_drop_replication_slot('SLOT')").await;
        logged.insert(4).await;
        logged.refused_until_fresh(&[&logged.slot(), "--fresh"]).await;
    })
    .await;
}

/// Somebody made a slot of the same name: it begins too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_made_anew_by_somebody_else_is_not_taken_for_the_old_one() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "anew").await;
        logged.started().await.stop();
        logged.insert(3).await;
        logged.once_free("SELECT pg_drop_replication_slot('SLOT')").await;
        logged.insert(4).await;
        logged.once_free("SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')").await;
        logged.refused_until_fresh(&[&logged.slot(), "--fresh"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_advanced_by_somebody_else_is_noticed() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "advanced").await;
        logged.started().await.stop();
        logged.insert(3).await;
        logged.once_free("SELECT pg_replication_slot_advance('SLOT', pg_current_wal_lsn())").await;
        logged.insert(4).await;
        logged.refused_until_fresh(&[&logged.slot(), "--fresh"]).await;
    })
    .await;
}

/// Killed after rows were committed and before the server knew: the slot is behind the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_behind_the_job_is_no_trouble() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "behind").await;
        let mut job = logged.started().await;
        for id in 3..9 {
            logged.insert(id).await;
            logged.until(u64::from(id), &job).await;
            job.kill();
            job = logged.job.start();
        }
        logged.ended_well(job).await;
    })
    .await;
}

/// The server gave up on keeping the log for the slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalidated_slot_stops_the_job() {
    let options = PgOptions::default()
        .setting("max_slot_wal_keep_size", "1MB")
        .setting("max_wal_size", "32MB")
        .setting("min_wal_size", "32MB");
    postgres_both_with(options, async |server| {
        let logged = Logged::new(&server, "lost").await;
        logged.started().await.stop();
        logged.insert(3).await;
        logged.source.run(&["CREATE TABLE filler (a text)"]).await;
        let state =
            format!("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{}'", logged.slot());
        wait::until_ok(LIMIT, "the slot to be lost", async || {
            let filler = "INSERT INTO filler SELECT repeat(md5(n::text), 60) FROM generate_series(1, 9000) n";
            logged.source.run(&[filler, "SELECT pg_switch_wal()", "CHECKPOINT"]).await;
            let state = logged.source.value(&state).await.unwrap_or_default();
            if state == "lost" { Ok(()) } else { Err(state) }
        })
        .await;
        logged.refused_until_fresh(&[&logged.slot(), "--fresh"]).await;
    })
    .await;
}

/// Somebody else reads from the slot: the job waits and says who.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_slot_names_its_holder() {
    let server = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    let logged = Logged::new(&server, "held").await;
    logged.started().await.stop();
    logged.insert(3).await;
    let mut reader = std::process::Command::new(server.version().program("pg_recvlogical"));
    reader.args(["--start", "--no-loop", "-f", "/dev/null", "-o", "proto_version=1"]);
    reader.args(["-o", &format!("publication_names={}", publication(&logged).await)]);
    reader.args(["--slot", &logged.slot(), "--status-interval", "0", "--fsync-interval", "0"]);
    reader.args([
        "-d",
        &format!(
            "host=127.0.0.1 port={} user=postgres password=root dbname={} application_name=intruder",
            server.port(),
            logged.source.name()
        ),
    ]);
    let reader = culvert_tests::tied::TiedChild::spawn(reader).expect("pg_recvlogical starts");
    let active = format!(
        "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}' AND active",
        logged.slot()
    );
    let pid = wait::until_ok(LIMIT, "the slot to be held", async || {
        logged.source.value(&active).await.ok_or("free")
    })
    .await;
    let job = logged.job.start();
    job.until_said(&pid).await;
    assert!(job.stderr().contains(&logged.slot()), "{}", job.stderr());
    drop(reader);
    logged.ended_well(job).await;
}

/// The publication the job reads through.
async fn publication(logged: &Logged<'_>) -> String {
    logged.source.value("SELECT pubname FROM pg_publication").await.expect("the job made a publication")
}

/// The publication is gone: what is behind it cannot be read, so nothing is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_publication_is_never_a_silent_gap() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "publication").await;
        logged.started().await.stop();
        let name = publication(&logged).await;
        logged.insert(3).await;
        logged.source.run(&[&format!("DROP PUBLICATION \"{name}\"")]).await;
        logged.insert(4).await;
        let finished = logged.job.culvert(&[]).start().wait(LIMIT);
        finished.assert_code(2);
        assert!(finished.stderr.contains(&name), "{}", finished.stderr);
        let rows = logged.target.value("SELECT count(*) FROM t").await;
        assert_eq!(rows.as_deref(), Some("2"), "something was written: {}", finished.stderr);
    })
    .await;
}
