//! Tables that come into being while a job runs: they join it by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use culvert_tests::database::assert_same;
use culvert_tests::{Database, PgVersion, Postgres, postgres_both, postgres_shared, wait};

use super::job::{Job, JobSpec, LIMIT, TestJob, until, until_rows};

/// What a job says of a table it cannot take in.
const LEFT_OUT: &str = "is left out";
const OFTEN: &str = "table.discovery.interval = 200";

struct Scene<'a> {
    server: &'a Postgres,
    source: Database<'a>,
    target: Database<'a>,
    job: TestJob,
}

impl<'a> Scene<'a> {
    /// A mirror of `t`, and of every table whose name begins with `late`.
    async fn new(server: &'a Postgres, what: &str, options: &str) -> Scene<'a> {
        let source = Database::fresh(server, what).await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&["CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')"])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let options = format!("{OFTEN}\n  {options}");
        let spec = JobSpec::mirror(&name, &source, &["(t|late.*)"], &target);
        let job = JobSpec { source_options: &options, ..spec }.ready();
        Scene { server, source, target, job }
    }

    async fn started(&self) -> Job {
        let job = self.job.start();
        until_rows(&self.target, "t", 2, &job).await;
        job
    }

    /// A change of a table arrives: the job goes on.
    async fn goes_on(&self, id: u32, job: &Job) {
        self.source.run(&[&format!("INSERT INTO t VALUES ({id}, 'goes on')")]).await;
        until(&self.target, &format!("SELECT count(*) FROM t WHERE id = {id}"), "1", job).await;
    }

    async fn same(&self, tables: &[&str]) {
        for table in tables {
            assert_same((&self.source, table), (&self.target, table)).await;
        }
    }
}

/// Somebody who changes `t` until he is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    async fn start(scene: &Scene<'_>) -> Writer {
        let client = scene.server.client(scene.source.name()).await;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&written));
        let task = tokio::spawn(async move {
            for id in 1_000.. {
                if stopped.load(Relaxed) {
                    return;
                }
                let statement = format!(
                    "INSERT INTO t VALUES ({id}, 'new'); UPDATE t SET a = a || 'x' WHERE id = {id} - 3; \
                     DELETE FROM t WHERE id = {id} - 7"
                );
                client.batch_execute(&statement).await.expect("the writer writes");
                count.fetch_add(1, Relaxed);
            }
        });
        Writer { stop, written, task }
    }

    async fn more(&self) {
        let so_far = self.written.load(Relaxed);
        wait::until(LIMIT, "more of the writer", async || self.written.load(Relaxed) > so_far + 50).await;
    }

    async fn stop(self) {
        self.stop.store(true, Relaxed);
        self.task.await.expect("the writer ends well");
    }
}

async fn a_new_table(server: &Postgres, killed: bool) {
    let scene = Scene::new(server, "new", "").await;
    let mut job = scene.started().await;
    let writer = Writer::start(&scene).await;
    let late = [
        "CREATE TABLE late (id int PRIMARY KEY, a text)",
        "INSERT INTO late SELECT n, 'before' FROM generate_series(1, 9000) n",
        "UPDATE late SET a = 'changed' WHERE id % 3 = 0",
        "DELETE FROM late WHERE id % 10 = 0",
    ];
    scene.source.run(&late).await;
    job.until_said("a table joins the job").await;
    if killed {
        let said = job.kill().stderr;
        assert!(said.contains("new tables join"), "{said}");
        job = scene.job.start();
    }
    scene.source.run(&["UPDATE late SET a = a || '!' WHERE id % 4 = 0"]).await;
    writer.more().await;
    scene.source.run(&["INSERT INTO late VALUES (99999, 'end')"]).await;
    until(&scene.target, "SELECT count(*) FROM late WHERE id = 99999", "1", &job).await;
    writer.stop().await;
    scene.goes_on(5, &job).await;
    until_rows(&scene.target, "late", 8101, &job).await;
    job.stop();
    scene.same(&["t", "late"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_joins_a_running_job() {
    postgres_both(async |server| a_new_table(server, false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_killed_while_a_new_table_joins() {
    postgres_both(async |server| a_new_table(server, true).await).await;
}

/// Several at once, in a job that nobody writes for: its one table rests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_tables_join_a_quiet_job() {
    postgres_both(async |server| {
        let scene = Scene::new(server, "quiet", "").await;
        let job = scene.started().await;
        for number in 0..7 {
            let table = format!("CREATE TABLE late_{number} AS SELECT 1 AS id, 'x' AS a");
            let key = format!("ALTER TABLE late_{number} ADD PRIMARY KEY (id)");
            scene.source.run(&[&table, &key]).await;
        }
        for number in 0..7 {
            until_rows(&scene.target, &format!("late_{number}"), 1, &job).await;
        }
        job.stop();
    })
    .await;
}

/// Somebody writes the new table in a transaction that began before it was published: the job waits
/// for him with that table only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_with_a_transaction_under_way() {
    postgres_both(async |server| {
        let scene = Scene::new(server, "under", "").await;
        let job = scene.started().await;
        let writer = server.client(scene.source.name()).await;
        let begin = "BEGIN; CREATE TABLE late (id int PRIMARY KEY, a text); \
                     INSERT INTO late SELECT n, 'before' FROM generate_series(1, 50) n; COMMIT; \
                     BEGIN; INSERT INTO late VALUES (100, 'under way'); UPDATE late SET a = 'under way' WHERE id = 1";
        writer.batch_execute(begin).await.expect("it begins");
        job.until_said("a new table is published").await;
        scene.source.run(&["INSERT INTO late VALUES (200, 'by somebody else')"]).await;
        for id in 10..13 {
            scene.goes_on(id, &job).await;
        }
        assert!(!job.stderr().contains("joins the job"), "{}", job.stderr());
        writer.batch_execute("INSERT INTO late VALUES (101, 'and after'); COMMIT").await.expect("it commits");
        until_rows(&scene.target, "late", 53, &job).await;
        scene.source.run(&["UPDATE late SET a = 'end' WHERE id IN (100, 101, 200)"]).await;
        until(&scene.target, "SELECT count(*) FROM late WHERE a = 'end'", "3", &job).await;
        job.stop();
        scene.same(&["t", "late"]).await;
    })
    .await;
}

/// A table of the same name that is another one. What the log told of the old one arrives, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_dropped_and_made_again_joins_a_running_job() {
    postgres_both(async |server| {
        let scene = Scene::new(server, "again", "").await;
        scene.source.run(&["CREATE TABLE late (id int PRIMARY KEY, a text)"]).await;
        let job = scene.started().await;
        let writer = Writer::start(&scene).await;
        for round in 0..3 {
            scene
                .source
                .run(&[
                    &format!("INSERT INTO late VALUES ({round}, 'the last of the old one')"),
                    "DROP TABLE late",
                    "CREATE TABLE late (id int PRIMARY KEY, a text)",
                    &format!("INSERT INTO late VALUES (1{round}, 'of the new one')"),
                ])
                .await;
            until(&scene.target, &format!("SELECT count(*) FROM late WHERE id = 1{round}"), "1", &job).await;
            scene.source.run(&["UPDATE late SET a = a || '!'"]).await;
        }
        let changed = "SELECT count(*) FROM late WHERE a = 'of the new one!'";
        until(&scene.target, changed, "3", &job).await;
        writer.stop().await;
        let said = job.stop();
        assert!(said.contains("made anew"), "{said}");
        let left = "SELECT string_agg(id::text, ',' ORDER BY id) FROM late WHERE a LIKE 'the last%'";
        assert_eq!(scene.target.value(left).await.as_deref(), Some("0,1,2"));
    })
    .await;
}

/// A table that cannot be followed ends nothing: it is told of once, and joins when it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_that_cannot_be_followed_is_left_out_until_it_can() {
    postgres_both(async |server| {
        let scene = Scene::new(server, "unfit", "").await;
        let job = scene.started().await;
        scene
            .source
            .run(&[
                "CREATE TABLE late_bare (id int, a text)",
                "INSERT INTO late_bare VALUES (1, 'x'), (2, 'y')",
                "CREATE UNLOGGED TABLE late_unlogged (id int PRIMARY KEY)",
            ])
            .await;
        job.until_said("REPLICA IDENTITY FULL").await;
        job.until_said("SET LOGGED").await;
        // Its own applications still change it.
        scene.source.run(&["UPDATE late_bare SET a = 'z' WHERE id = 2"]).await;
        scene.goes_on(3, &job).await;
        // Looked at again with every one that comes.
        for number in 0..2 {
            scene.source.run(&[&format!("CREATE TABLE late_{number} (id int PRIMARY KEY)")]).await;
            scene.source.run(&[&format!("INSERT INTO late_{number} VALUES (1)")]).await;
            until_rows(&scene.target, &format!("late_{number}"), 1, &job).await;
        }
        assert_eq!(job.stderr().matches(LEFT_OUT).count(), 2, "{}", job.stderr());
        scene.source.run(&["ALTER TABLE late_bare ADD PRIMARY KEY (id)"]).await;
        until_rows(&scene.target, "late_bare", 2, &job).await;
        // Neither keeps a start from beginning.
        scene.source.run(&["CREATE TABLE late_other (id int)"]).await;
        job.stop();
        let job = scene.job.start();
        job.until_said("late_other").await;
        scene.goes_on(4, &job).await;
        scene
            .source
            .run(&["ALTER TABLE late_other ADD PRIMARY KEY (id)", "INSERT INTO late_other VALUES (1)"])
            .await;
        until_rows(&scene.target, "late_other", 1, &job).await;
        job.stop();
        scene.same(&["t", "late_bare", "late_other"]).await;
        // One that is named does.
        let text = std::fs::read_to_string(&scene.job.file).expect("the job file is there");
        let named = format!("table-names = [\"{}.public.late_unlogged\", ", scene.source.name());
        scene.job.rewrite(&text.replace("table-names = [", &named));
        scene.job.refused(&["late_unlogged", "SET LOGGED"]);
    })
    .await;
}

/// What an account may not read, and what row security would hide from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_that_may_not_be_read_is_left_out_until_it_may() {
    postgres_both(async |server| {
        let scene = Scene::new(server, "rights", "publication.name = everything").await;
        scene.source.run(&["CREATE PUBLICATION everything FOR ALL TABLES"]).await;
        let role = format!("least_{}", scene.source.name());
        server.create_role(&role, "REPLICATION", scene.source.name(), &["SELECT ON t"]).await;
        let text = std::fs::read_to_string(&scene.job.file).expect("the job file is there");
        scene.job.rewrite(&text.replacen("username = postgres", &format!("username = {role}"), 1));
        let job = scene.started().await;
        scene
            .source
            .run(&[
                "CREATE TABLE late_closed (id int PRIMARY KEY)",
                "INSERT INTO late_closed VALUES (1)",
                "CREATE TABLE late_hidden (id int PRIMARY KEY)",
                "ALTER TABLE late_hidden ENABLE ROW LEVEL SECURITY",
                &format!("GRANT SELECT ON late_hidden TO \"{role}\""),
                "INSERT INTO late_hidden VALUES (1)",
            ])
            .await;
        job.until_said("GRANT SELECT ON TABLE \"public\".\"late_closed\"").await;
        job.until_said("BYPASSRLS").await;
        scene.goes_on(3, &job).await;
        scene
            .source
            .run(&[
                "INSERT INTO late_closed VALUES (2)",
                &format!("GRANT SELECT ON late_closed TO \"{role}\""),
                "ALTER TABLE late_hidden DISABLE ROW LEVEL SECURITY",
            ])
            .await;
        until_rows(&scene.target, "late_closed", 2, &job).await;
        until_rows(&scene.target, "late_hidden", 1, &job).await;
        let said = job.stop();
        assert_eq!(said.matches(LEFT_OUT).count(), 2, "{said}");
    })
    .await;
}

/// A publication that the job is not to change: somebody adds the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_waits_for_a_publication_of_somebody_else() {
    postgres_both(async |server| {
        let options = "publication.name = theirs\n  publication.autocreate = false";
        let scene = Scene::new(server, "theirs", options).await;
        scene.source.run(&["CREATE PUBLICATION theirs FOR TABLE t"]).await;
        let job = scene.started().await;
        scene.source.run(&["CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)"]).await;
        job.until_said("ALTER PUBLICATION \"theirs\" ADD TABLE ONLY \"public\".\"late\"").await;
        scene.goes_on(3, &job).await;
        job.stop();
        // A start leaves it out as well.
        let job = scene.job.start();
        scene.goes_on(4, &job).await;
        scene
            .source
            .run(&["ALTER PUBLICATION theirs ADD TABLE ONLY late", "INSERT INTO late VALUES (2)"])
            .await;
        until_rows(&scene.target, "late", 2, &job).await;
        job.stop();
        scene.same(&["t", "late"]).await;
    })
    .await;
}

/// Somebody holds a lock on the new table for as long as he likes: nothing waits for him but the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_that_is_locked_keeps_nobody() {
    let scene = Scene::new(postgres_shared(PgVersion::V17).await, "held", "").await;
    let job = scene.started().await;
    let holder = scene.server.client(scene.source.name()).await;
    let hold = "BEGIN; CREATE TABLE late (id int PRIMARY KEY); COMMIT; BEGIN; LOCK TABLE late";
    holder.batch_execute(hold).await.expect("it is locked");
    job.until_said(LEFT_OUT).await;
    for id in 3..6 {
        scene.goes_on(id, &job).await;
    }
    holder.batch_execute("INSERT INTO late VALUES (1); COMMIT").await.expect("it is let go");
    until_rows(&scene.target, "late", 1, &job).await;
    job.stop();
    scene.same(&["t", "late"]).await;
}

/// Without a snapshot a new table is followed from where it joins; where the publication has it from its
/// first row on, all its rows arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_without_a_snapshot_is_followed() {
    postgres_both(async |server| {
        let scene =
            Scene::new(server, "latest", "startup.mode = LATEST\n  publication.name = everything").await;
        scene.source.run(&["CREATE PUBLICATION everything FOR ALL TABLES"]).await;
        let job = scene.job.start();
        job.until_said("following the log").await;
        scene.goes_on(3, &job).await;
        scene
            .source
            .run(&[
                "BEGIN; INSERT INTO t VALUES (7, 'before'); CREATE TABLE late (id int PRIMARY KEY); \
                 INSERT INTO late VALUES (1), (2); INSERT INTO t VALUES (8, 'after'); COMMIT",
                "INSERT INTO late VALUES (3)",
            ])
            .await;
        until_rows(&scene.target, "late", 3, &job).await;
        until(&scene.target, "SELECT string_agg(id::text, ',' ORDER BY id) FROM t", "3,7,8", &job).await;
        job.stop();
        // A publication of the job's own: it is published first.
        let scene = Scene::new(server, "own", "startup.mode = LATEST").await;
        let job = scene.job.start();
        job.until_said("following the log").await;
        scene.goes_on(3, &job).await;
        scene.source.run(&["CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)"]).await;
        job.until_said("a table joins the job").await;
        scene.source.run(&["INSERT INTO late VALUES (2)"]).await;
        until(&scene.target, "SELECT count(*) FROM late WHERE id = 2", "1", &job).await;
        scene.goes_on(4, &job).await;
        job.stop();
    })
    .await;
}

/// Switched off, a new table joins when the job is started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_a_new_table_joins_at_the_next_start() {
    let scene = Scene::new(postgres_shared(PgVersion::V15).await, "off", "").await;
    let text = std::fs::read_to_string(&scene.job.file).expect("the job file is there");
    scene.job.rewrite(&text.replace(OFTEN, "table.discovery.interval = 0"));
    let job = scene.started().await;
    scene.source.run(&["CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)"]).await;
    for id in 3..6 {
        scene.goes_on(id, &job).await;
    }
    let said = job.stop();
    assert!(!said.contains("late"), "{said}");
    let job = scene.job.start();
    until_rows(&scene.target, "late", 1, &job).await;
    job.stop();
    scene.same(&["t", "late"]).await;
}
