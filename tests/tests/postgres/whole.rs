//! Tables without a key that chunks are cut by: several connections read them by ranges of their
//! blocks, under one view.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use culvert_tests::database::assert_replays;
use culvert_tests::{Database, Postgres, postgres_both, random, seed, wait};
use rand::Rng;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;

use super::job::{Job, JobSpec, LIMIT, until};

/// What the job says of a table that was read by ranges …
const BY_RANGES: &str = "read by ranges of its blocks";
/// … and by more than one connection: where the reading takes longer than connecting.
const TOGETHER: &str = "connections=2";
const WRITERS: u64 = 3;

/// Writers of a table `t (id, n, what)` of so many rows; some rows are there more than once.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Writers {
    async fn start(server: &Postgres, database: &str, rows: u64, seed: u64) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS {
            let client = server.client(database).await;
            let mut random = random::generator(seed + number);
            let stop = Arc::clone(&stop);
            tasks.spawn(async move {
                while !stop.load(Relaxed) {
                    let id = random.random_range(0..rows);
                    let statement = match random.random_range(0..4) {
                        0 => format!(
                            "INSERT INTO t SELECT {id} + g % 2, {number}, 'new' FROM generate_series(1, 3) g"
                        ),
                        1 => format!("DELETE FROM t WHERE id = {id}"),
                        // To another place, most often behind the blocks that were there.
                        2 => format!("UPDATE t SET n = n + 1 WHERE id BETWEEN {id} AND {id} + 20"),
                        _ => format!("UPDATE t SET id = id + 1, what = 'moved' WHERE id = {id}"),
                    };
                    if let Err(error) = client.batch_execute(&statement).await {
                        // Deadlocks belong to the game.
                        assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{error:?}");
                    }
                }
            });
        }
        Writers { stop, tasks }
    }

    async fn stop(mut self) {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a writer panicked");
        }
    }
}

struct Whole<'a> {
    server: &'a Postgres,
    source: Database<'a>,
    log: Database<'a>,
    name: String,
}

impl<'a> Whole<'a> {
    /// A source with these statements, and a change log of its table `t`.
    async fn new(server: &'a Postgres, what: &str, statements: &[impl AsRef<str>]) -> Whole<'a> {
        let source = Database::fresh(server, what).await;
        let log = Database::fresh(server, "log").await;
        for statement in statements {
            source.run(&[statement.as_ref()]).await;
        }
        let columns = "id bigint, n int, what text, row_kind varchar(13), seq bigserial PRIMARY KEY";
        log.run(&[&format!("CREATE TABLE t ({columns})")]).await;
        let name = format!("{} {}", source.name(), server.port());
        Whole { server, source, log, name }
    }

    fn start(&self) -> Job {
        JobSpec::log(&self.name, &self.source, &["t"], &self.log).ready().start()
    }

    async fn writers(&self, rows: u64) -> Writers {
        // The index is for the writers: it is no key.
        self.source.run(&["CREATE INDEX ON t (id)"]).await;
        Writers::start(self.server, self.source.name(), rows, seed()).await
    }

    /// The snapshot is through, and the writers went on until then.
    async fn read(&self, job: &Job, writers: Writers) {
        let rows = "SELECT CASE WHEN count(*) > 0 THEN 'some' END FROM t";
        until(&self.log, rows, "some", job).await;
        writers.stop().await;
    }

    /// Waits until two connections are in the middle of a range, where this holds of them: sessions
    /// by age, the youngest first.
    async fn while_two_read(&self, and: &str, job: &Job) {
        let query = format!(
            "WITH copying AS (SELECT pid, row_number() OVER (ORDER BY backend_start DESC) AS place \
             FROM pg_stat_activity WHERE datname = '{}' AND state = 'active' AND query LIKE 'COPY%ctid >= %') \
             SELECT CASE WHEN count(*) = 2 THEN {and} true END FROM copying",
            self.source.name()
        );
        wait::until(LIMIT, "two connections to read one table", async || {
            job.assert_running();
            self.source.value(&query).await.as_deref() == Some("t")
        })
        .await;
    }

    /// The log replays to the source.
    async fn ended_well(&self, job: Job) -> String {
        self.source.run(&["INSERT INTO t VALUES (-1, 0, 'mark')"]).await;
        until(&self.log, "SELECT count(*) FROM t WHERE id = -1", "1", &job).await;
        let said = job.stop();
        assert_replays((&self.source, "t"), (&self.log, "t"), &[]).await;
        said
    }
}

const ROWS: u64 = 40_000;
const WIDE_ROWS: u64 = 50_000;

/// A table of more bytes than all buffers hold, so that reading it takes its time.
fn wide(create: &str) -> [String; 4] {
    [
        create.to_owned(),
        "ALTER TABLE t ALTER what SET STORAGE PLAIN".into(),
        "ALTER TABLE t REPLICA IDENTITY FULL".into(),
        format!(
            "INSERT INTO t SELECT g / 2, g % 7, repeat('x', 2500) FROM generate_series(1, {WIDE_ROWS}) g"
        ),
    ]
}

fn filled(rows: u64) -> String {
    format!("INSERT INTO t SELECT g / 2, g % 7, repeat('x', 100) FROM generate_series(1, {rows}) g")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_key_is_read_by_several_connections() {
    postgres_both(async |server| {
        let whole = Whole::new(server, "whole", &wide("CREATE TABLE t (id bigint, n int, what text)")).await;
        let writers = whole.writers(WIDE_ROWS / 2).await;
        let job = whole.start();
        whole.read(&job, writers).await;
        let said = whole.ended_well(job).await;
        assert!(said.contains(TOGETHER), "{said}");
    })
    .await;
}

/// The largest part says how the ranges are cut; they hold in every part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_table_without_a_key_is_read_by_several_connections() {
    postgres_both(async |server| {
        let statements = [
            "CREATE TABLE t (id bigint, n int, what text) PARTITION BY RANGE (id)",
            "CREATE TABLE t_small PARTITION OF t FOR VALUES FROM (MINVALUE) TO (500)",
            "CREATE TABLE t_large PARTITION OF t FOR VALUES FROM (500) TO (17000)",
            "CREATE TABLE t_rest PARTITION OF t DEFAULT PARTITION BY LIST (n)",
            "CREATE TABLE t_rest_rest PARTITION OF t_rest DEFAULT",
            "ALTER TABLE t REPLICA IDENTITY FULL",
            "ALTER TABLE t_small REPLICA IDENTITY FULL",
            "ALTER TABLE t_large REPLICA IDENTITY FULL",
            "ALTER TABLE t_rest_rest REPLICA IDENTITY FULL",
            &filled(ROWS),
        ];
        let whole = Whole::new(server, "parts", &statements).await;
        let writers = whole.writers(ROWS / 2).await;
        let job = whole.start();
        whole.read(&job, writers).await;
        let said = whole.ended_well(job).await;
        assert!(said.contains(BY_RANGES), "{said}");
    })
    .await;
}

/// A key that sorts as a language does, and a publication that has only some of the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_a_key_in_a_languages_order_is_read_by_several_connections() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "words").await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (name text COLLATE \"und-x-icu\" PRIMARY KEY, n int, what text)",
                "ALTER TABLE t REPLICA IDENTITY FULL",
                "INSERT INTO t SELECT (ARRAY['Ä', 'b', 'É', 'z'])[1 + g % 4] || g, g % 10, repeat('x', 100) \
                 FROM generate_series(1, 30000) g",
                "CREATE PUBLICATION \"Their Own\" FOR TABLE t WHERE (n < 8)",
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let options = "publication.name = \"Their Own\"";
        let spec = JobSpec { source_options: options, ..JobSpec::mirror(&name, &source, &["t"], &target) };
        let job = spec.ready().start();
        until(&target, "SELECT count(*) FROM t", "24000", &job).await;
        source
            .run(&[
                "UPDATE t SET what = 'changed' WHERE n = 3",
                "UPDATE t SET name = upper(name) WHERE n = 4 AND name LIKE 'b%'",
                "UPDATE t SET n = 9 WHERE n = 5",
                "DELETE FROM t WHERE n = 6",
                "INSERT INTO t VALUES ('end', 1, 'end')",
            ])
            .await;
        until(&target, "SELECT count(*) FROM t WHERE name = 'end'", "1", &job).await;
        let said = job.stop();
        assert!(said.contains(BY_RANGES), "{said}");
        let all = "SELECT name, n, md5(what) FROM t WHERE n < 8 ORDER BY name COLLATE \"C\"";
        assert_eq!(target.rows(all).await, source.rows(all).await);
    })
    .await;
}

/// A connection that helps is ended by the server: the table is read again, and nothing of it is at
/// the target twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_helps_is_terminated() {
    postgres_both(async |server| {
        let whole = Whole::new(server, "ended", &wide("CREATE TABLE t (id bigint, n int, what text)")).await;
        let job = whole.start();
        // The leader's session is older than its helper's.
        whole.while_two_read("pg_terminate_backend(max(pid) FILTER (WHERE place = 1)) AND", &job).await;
        job.until_said("next attempt in").await;
        let said = whole.ended_well(job).await;
        assert!(said.contains(TOGETHER), "{said}");
        let net = "SELECT sum(CASE WHEN row_kind IN ('+I', '+U') THEN 1 ELSE -1 END) FROM t";
        assert_eq!(whole.log.value(net).await, Some((WIDE_ROWS + 1).to_string()));
    })
    .await;
}

/// Somebody waits for an exclusive lock: whoever asks for a lock after him waits behind him. The job
/// does not wait for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_waits_for_the_table_does_not_stop_the_reading() {
    postgres_both(async |server| {
        let table = ["CREATE TABLE t (id bigint, n int, what text)", "ALTER TABLE t REPLICA IDENTITY FULL"];
        let whole = Whole::new(server, "locked", &[table[0], table[1], &filled(ROWS)]).await;
        let job = whole.start();
        let altering = server.client(whole.source.name()).await;
        let altered = tokio::spawn(async move {
            for _ in 0..50 {
                altering
                    .batch_execute("ALTER TABLE t ALTER what SET STORAGE EXTERNAL")
                    .await
                    .expect("it is altered");
            }
        });
        let rows = format!("SELECT CASE WHEN count(*) >= {ROWS} THEN 'all' END FROM t");
        until(&whole.log, &rows, "all", &job).await;
        altered.await.expect("it is altered");
        whole.ended_well(job).await;
    })
    .await;
}

/// A partition with rows is attached in the middle: it would be in some ranges and not in others, so
/// the table is read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_attached_while_its_table_is_read() {
    postgres_both(async |server| {
        let [root, _, _, fill] =
            wide("CREATE TABLE t (id bigint, n int, what text) PARTITION BY RANGE (id)");
        let part = |name: &str, from: i64, to: &str| {
            format!("CREATE TABLE {name} PARTITION OF t FOR VALUES FROM ({from}) TO ({to})")
        };
        let plain = |name: &str| {
            [
                format!("ALTER TABLE {name} ALTER what SET STORAGE PLAIN"),
                format!("ALTER TABLE {name} REPLICA IDENTITY FULL"),
            ]
        };
        let mut statements = vec![root, part("t_1", -1, "20000"), part("t_2", 20000, "90000")];
        statements.push("ALTER TABLE t REPLICA IDENTITY FULL".into());
        statements.extend(plain("t_1").into_iter().chain(plain("t_2")));
        statements.push(fill);
        statements.push("CREATE TABLE t_3 AS SELECT g::bigint AS id, 1 AS n, 'more' AS what FROM generate_series(90000, 90999) g".into());
        statements.extend(plain("t_3"));
        let whole = Whole::new(server, "attach", &statements).await;
        let job = whole.start();
        whole.while_two_read("", &job).await;
        whole.source.run(&["ALTER TABLE t ATTACH PARTITION t_3 FOR VALUES FROM (90000) TO (99999)"]).await;
        job.until_said("partitions were attached").await;
        let said = whole.ended_well(job).await;
        assert!(said.contains(TOGETHER), "{said}");
    })
    .await;
}
