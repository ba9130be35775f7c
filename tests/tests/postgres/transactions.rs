//! Transactions that are large, prepared, interrupted, or carry more than rows.

use culvert_tests::database::{assert_replays, assert_same};
use culvert_tests::{Database, PgOptions, Postgres, postgres_both, postgres_both_with, wait};

use super::job::{Job, JobSpec, LIMIT, TestJob, until, until_rows};

/// A table without a key beside one with, each change of which is appended.
struct Logged<'a> {
    source: Database<'a>,
    target: Database<'a>,
    job: TestJob,
}

impl<'a> Logged<'a> {
    async fn new(server: &'a Postgres, what: &str, options: &str, sink: &str) -> Logged<'a> {
        let source = Database::fresh(server, what).await;
        let target = Database::fresh(server, "log").await;
        source
            .run(&[
                "CREATE TABLE t (id int PRIMARY KEY, a text)",
                "CREATE TABLE u (id int, a text)",
                "ALTER TABLE t REPLICA IDENTITY FULL",
                "ALTER TABLE u REPLICA IDENTITY FULL",
                "INSERT INTO t VALUES (0, 'first')",
            ])
            .await;
        let end = "a text, row_kind varchar(2), seq bigserial PRIMARY KEY";
        for table in ["t", "u"] {
            target.run(&[&format!("CREATE TABLE {table} (id int, {end})")]).await;
        }
        let name = format!("{} {}", source.name(), server.port());
        let spec = JobSpec {
            source_options: options,
            sink_options: sink,
            ..JobSpec::log(&name, &source, &["t", "u"], &target)
        };
        let job = spec.ready();
        Logged { source, target, job }
    }

    async fn started(&self) -> Job {
        let job = self.job.start();
        until_rows(&self.target, "t", 1, &job).await;
        job
    }

    /// The last row arrives, and everything before it is there once.
    async fn ended_well(&self, job: Job) -> String {
        self.source.run(&["INSERT INTO t VALUES (-1, 'last')"]).await;
        until(&self.target, "SELECT count(*) FROM t WHERE id = -1", "1", &job).await;
        let log = job.stop();
        for (table, key) in [("t", &["id"][..]), ("u", &[])] {
            assert_replays((&self.source, table), (&self.target, table), key).await;
        }
        log
    }
}

/// COPY writes many rows as one record of the log: they share its position. The job is killed in
/// the middle of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_share_a_position_survive_a_restart_between_them() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "copy", "", "batch_size = 7").await;
        let mut job = logged.started().await;
        for round in 0..3 {
            let (from, to) = (round * 3000 + 1, round * 3000 + 3000);
            copy_in(server, logged.source.name(), "t", from..=to).await;
            copy_in(server, logged.source.name(), "u", from..=to).await;
            // Some of it may have arrived, most has not.
            job.kill();
            job = logged.job.start();
        }
        logged.ended_well(job).await;
    })
    .await;
}

/// Loads rows by COPY FROM STDIN, in one transaction.
async fn copy_in(server: &Postgres, database: &str, table: &str, ids: std::ops::RangeInclusive<u32>) {
    use futures_util::SinkExt;
    let client = server.client(database).await;
    let sink = client.copy_in::<_, bytes::Bytes>(&format!("COPY {table} FROM STDIN")).await;
    let mut sink = std::pin::pin!(sink.expect("COPY begins"));
    let rows: String = ids.map(|id| format!("{id}\trow {id}\n")).collect();
    sink.send(rows.into()).await.expect("rows are taken");
    sink.finish().await.expect("COPY ends");
}

/// A transaction is under way, half of it sent to the job, when the job is killed: and when its
/// server is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_a_transaction() {
    let options = PgOptions { logical_decoding_work_mem: Some("64kB".into()), ..PgOptions::default() };
    postgres_both_with(options, async |server| {
        let logged = Logged::new(&server, "middle", "", "batch_size = 50").await;
        let job = logged.started().await;
        let writer = server.client(logged.source.name()).await;
        let some = |from: u32| {
            format!("INSERT INTO t SELECT n, repeat('m', 100) FROM generate_series({from}, {from} + 4999) n")
        };
        writer.batch_execute(&format!("BEGIN; {}", some(1))).await.expect("rows are inserted");
        logged.source.run(&["INSERT INTO u VALUES (1, 'meanwhile')"]).await;
        until_rows(&logged.target, "u", 1, &job).await;
        job.kill();
        writer.batch_execute(&some(10_001)).await.expect("rows are inserted");
        let job = logged.job.start();
        logged.source.run(&["INSERT INTO u VALUES (2, 'meanwhile')"]).await;
        until_rows(&logged.target, "u", 2, &job).await;
        writer.batch_execute(&format!("{}; COMMIT", some(20_001))).await.expect("it commits");
        until_rows(&logged.target, "t", 15_001, &job).await;
        logged.ended_well(job).await;
    })
    .await;
}

/// Several large transactions at once, streamed while they run, with parts that never happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_transactions_with_parts_rolled_back() {
    let options = PgOptions { logical_decoding_work_mem: Some("64kB".into()), ..PgOptions::default() };
    postgres_both_with(options, async |server| {
        let logged = Logged::new(&server, "large", "", "").await;
        let job = logged.started().await;
        let mut writers = Vec::new();
        for _ in 0..3 {
            let writer = server.client(logged.source.name()).await;
            writer.batch_execute("BEGIN").await.expect("it begins");
            writers.push(writer);
        }
        // Interleaved, so that what is streamed of each comes in many pieces.
        for step in 0..12_u32 {
            for (number, writer) in (0_u32..).zip(&writers) {
                let first = 1 + number * 1_000_000 + step * 1000;
                let insert = format!(
                    "INSERT INTO t SELECT n, repeat('y', 200) FROM generate_series({first}, {first} + 999) n"
                );
                let update = format!("UPDATE t SET a = 'changed' WHERE id BETWEEN {first} AND {first} + 9");
                let statements = match step % 4 {
                    0 => format!(
                        "SAVEPOINT a; {insert}; ROLLBACK TO a; INSERT INTO u VALUES ({first}, 'kept')"
                    ),
                    1 => format!("SAVEPOINT b; {insert}; SAVEPOINT c; {update}; RELEASE b"),
                    2 => {
                        format!("{insert}; SAVEPOINT d; {update}; SAVEPOINT e; DELETE FROM u; ROLLBACK TO d")
                    }
                    _ => insert,
                };
                writer.batch_execute(&statements).await.expect("it works");
            }
        }
        for (writer, end) in writers.iter().zip(["COMMIT", "ROLLBACK", "COMMIT"]) {
            writer.batch_execute(end).await.expect("it ends");
        }
        logged.ended_well(job).await;
    })
    .await;
}

/// Memory of a process at its highest, in kB (proc(5)).
pub(super) fn peak_kb(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    // None once it has ended.
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// More rows in one transaction than may be held in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_takes_little_memory() {
    let options = PgOptions { logical_decoding_work_mem: Some("1MB".into()), ..PgOptions::default() };
    let server = Postgres::start(culvert_tests::PgVersion::V17, options).await;
    let logged = Logged::new(&server, "memory", "", "").await;
    let job = logged.started().await;
    let rows = 300_000;
    let insert =
        format!("INSERT INTO u SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, {rows}) n");
    logged.source.run(&[&insert]).await;
    until_rows(&logged.target, "u", rows, &job).await;
    let peak = peak_kb(job.running().id());
    job.stop();
    println!("{rows} rows in one transaction: {peak} kB at the peak");
    // The rows alone are 290 MB.
    assert!((1..256 << 10).contains(&peak), "{peak} kB at the peak");
    let sums = "SELECT count(*) || ' ' || sum(hashtext(id || a)) FROM u";
    assert_eq!(logged.source.value(sums).await, logged.target.value(sums).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_transactions_count_when_they_are_committed() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "prepared", "", "").await;
        let job = logged.started().await;
        let gid = |n: u32| format!("'{} {n}'", logged.source.name());
        for n in 1..=4 {
            let prepare = format!(
                "BEGIN; INSERT INTO t VALUES ({n}, 'prepared'); INSERT INTO u VALUES ({n}, 'p'); PREPARE TRANSACTION {}",
                gid(n)
            );
            logged.source.run(&[&prepare]).await;
        }
        logged.source.run(&[
            "INSERT INTO t VALUES (10, 'between')",
            &format!("COMMIT PREPARED {}", gid(1)),
            &format!("ROLLBACK PREPARED {}", gid(2)),
        ])
        .await;
        until(&logged.target, "SELECT count(*) FROM t WHERE id IN (1, 10)", "2", &job).await;
        // The others end while the job does not run, and after it was killed.
        job.kill();
        logged.source.run(&[&format!("COMMIT PREPARED {}", gid(3))]).await;
        let job = logged.job.start();
        until(&logged.target, "SELECT count(*) FROM t WHERE id = 3", "1", &job).await;
        job.kill();
        logged.source.run(&[&format!("ROLLBACK PREPARED {}", gid(4))]).await;
        let job = logged.job.start();
        logged.ended_well(job).await;
    })
    .await;
}

/// Rows behind a message in the same transaction, also after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_the_log_do_no_harm() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "messages", "", "").await;
        let mut job = logged.started().await;
        for round in 1..4 {
            logged
                .source
                .run(&[
                    "SELECT pg_logical_emit_message(false, 'somebody', 'outside')",
                    &format!(
                        "BEGIN; INSERT INTO t VALUES ({round}, 'before'); \
                         SELECT pg_logical_emit_message(true, 'somebody', repeat('x', 100000)); \
                         INSERT INTO u VALUES ({round}, 'behind'); COMMIT"
                    ),
                ])
                .await;
            until_rows(&logged.target, "u", round, &job).await;
            job.kill();
            job = logged.job.start();
        }
        logged.ended_well(job).await;
    })
    .await;
}

/// Constraints that hold only at the end of a transaction, and values that change places: where
/// the target checks at its end as well, and where it checks every statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_change_places_between_rows_arrive() {
    postgres_both(async |server| {
        for late in ["DEFERRABLE INITIALLY DEFERRED", ""] {
            let source = Database::fresh(server, "swap").await;
            let target = Database::fresh(server, "copy").await;
            let parent = |check: &str| format!("CREATE TABLE parent (id int PRIMARY KEY, place int NOT NULL UNIQUE {check})");
            let child = "CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
            source.run(&[&parent("DEFERRABLE INITIALLY DEFERRED"), child]).await;
            target.run(&[&parent(late), child]).await;
            source.run(&["INSERT INTO parent VALUES (1, 1), (2, 2), (3, 3)", "INSERT INTO child VALUES (1, 1)"]).await;
            let name = format!("{} {}", source.name(), server.port());
            let job = JobSpec::mirror(&name, &source, &["parent", "child"], &target).ready().start();
            until_rows(&target, "child", 1, &job).await;
            until_rows(&target, "parent", 3, &job).await;
            source
                .run(&[
                    "BEGIN; INSERT INTO child VALUES (2, 9); INSERT INTO parent VALUES (9, 9); COMMIT",
                    "UPDATE parent SET place = CASE place WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE place END",
                    "UPDATE parent SET place = CASE place WHEN 1 THEN 2 WHEN 2 THEN 3 WHEN 3 THEN 1 ELSE place END",
                    "UPDATE parent SET place = 50 WHERE id = 1",
                    "UPDATE parent SET place = 9 + 0 * id WHERE id = 9",
                    "BEGIN; UPDATE parent SET place = 60 WHERE id = 2; UPDATE parent SET place = 50 WHERE id = 3; UPDATE parent SET place = 70 WHERE id = 1; COMMIT",
                    "BEGIN; DELETE FROM parent WHERE id = 9; DELETE FROM child WHERE id = 2; COMMIT",
                    "INSERT INTO parent VALUES (99, 99)",
                ])
                .await;
            until(&target, "SELECT count(*) FROM parent WHERE id = 99", "1", &job).await;
            job.stop();
            for table in ["parent", "child"] {
                assert_same((&source, table), (&target, table)).await;
            }
        }
    })
    .await;
}

/// The target never shows a part of a transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_transaction_is_never_seen() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "whole").await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&[
                "CREATE TABLE account (id int PRIMARY KEY, amount int)",
                "INSERT INTO account VALUES (1, 1000), (2, 0)",
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let job = JobSpec {
            sink_options: "batch_size = 1",
            ..JobSpec::mirror(&name, &source, &["account"], &target)
        }
        .ready()
        .start();
        until_rows(&target, "account", 2, &job).await;
        let looks = async {
            wait::until_ok(LIMIT, "the last transfer", async || {
                let rows = target.rows("SELECT sum(amount), min(amount) FROM account").await.concat();
                assert_eq!(rows[0].as_deref(), Some("1000"), "half a transfer was seen");
                if rows[1].as_deref() == Some("300") { Ok(()) } else { Err(format!("{rows:?}")) }
            })
            .await;
        };
        let transfers = async {
            for _ in 0..300 {
                let transfer = "BEGIN; UPDATE account SET amount = amount - 1 WHERE id = 1; \
                                UPDATE account SET amount = amount + 1 WHERE id = 2; COMMIT";
                source.run(&[transfer]).await;
            }
        };
        tokio::join!(looks, transfers);
        job.stop();
    })
    .await;
}

/// A transaction was under way before there was a slot: its rows are in the snapshot or in the log,
/// once, whenever it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_older_than_the_slot() {
    postgres_both(async |server| {
        let logged = Logged::new(server, "older", "", "").await;
        let old = server.client(logged.source.name()).await;
        let begin = "BEGIN; INSERT INTO t VALUES (1, 'before the slot'); UPDATE t SET a = 'changed' WHERE id = 0";
        old.batch_execute(begin).await.expect("it begins");
        let job = logged.job.start();
        // The server makes the slot when everybody who was there has ended.
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'";
        wait::until_ok(LIMIT, "the slot to wait for the transaction", async || {
            job.assert_running();
            let found = logged.source.value(waits).await.unwrap_or_default();
            if found == "0" { Err(super::job::tail(&job.stderr())) } else { Ok(()) }
        })
        .await;
        old.batch_execute("INSERT INTO u VALUES (1, 'and after'); COMMIT").await.expect("it commits");
        until_rows(&logged.target, "u", 1, &job).await;
        logged.ended_well(job).await;
    })
    .await;
}
