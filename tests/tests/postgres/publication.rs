//! Publications and slots that somebody made or wants in a certain way.

use culvert_tests::database::assert_same;
use culvert_tests::{Database, PgVersion, Postgres, postgres_both, postgres_shared};

use super::job::{Job, JobSpec, TestJob, until, until_rows};

struct Given<'a> {
    source: Database<'a>,
    target: Database<'a>,
    name: String,
}

impl<'a> Given<'a> {
    async fn new(server: &'a Postgres, what: &str) -> Given<'a> {
        let source = Database::fresh(server, what).await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (id int PRIMARY KEY, a text)",
                "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        Given { source, target, name }
    }

    fn job(&self, options: &str) -> TestJob {
        let spec = JobSpec::mirror(&self.name, &self.source, &["t"], &self.target);
        JobSpec { source_options: options, ..spec }.ready()
    }

    /// Changes arrive, and the job stops well.
    async fn works(&self, job: Job) {
        until_rows(&self.target, "t", 2, &job).await;
        let changes = [
            "UPDATE t SET a = 'changed' WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
            "INSERT INTO t VALUES (3, 'three')",
        ];
        self.source.run(&changes).await;
        until(&self.target, "SELECT count(*) FROM t WHERE id = 3", "1", &job).await;
        job.stop();
        assert_same((&self.source, "t"), (&self.target, "t")).await;
    }
}

const NAMED: &str = "publication.name = \"Their Own\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_there_is_used_with_the_least_rights() {
    postgres_both(async |server| {
        let given = Given::new(server, "given").await;
        given.source.run(&["CREATE PUBLICATION \"Their Own\" FOR ALL TABLES"]).await;
        let role = format!("least_{}", given.source.name());
        server.create_role(&role, "REPLICATION", given.source.name(), &["SELECT ON t"]).await;
        let job = given.job(NAMED);
        let text = std::fs::read_to_string(&job.file).expect("the job file is there");
        job.rewrite(&text.replacen("username = postgres", &format!("username = {role}"), 1));
        given.works(job.start()).await;
    })
    .await;
}

/// Some kinds of change and not others: what arrives would be no table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_leaves_kinds_of_change_out_is_refused() {
    postgres_both(async |server| {
        let given = Given::new(server, "partly").await;
        for kinds in ["insert, update", "update, delete"] {
            given
                .source
                .run(&[&format!("CREATE PUBLICATION \"Their Own\" FOR TABLE t WITH (publish = '{kinds}')")])
                .await;
            given.job(NAMED).refused(&["Their Own", "publish = 'insert, update, delete, truncate'"]);
            given.source.run(&["DROP PUBLICATION \"Their Own\""]).await;
        }
        // Without a publication, and not allowed to make one: the statement is named.
        let closed = given.job("publication.autocreate = false");
        closed.refused(&["CREATE PUBLICATION", "public"]);
        given.works(given.job("").start()).await;
    })
    .await;
}

/// A filter of rows and a list of columns hold for the snapshot as for the log: rows come and go
/// with the filter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_of_a_publication_hold_for_the_snapshot_as_well() {
    postgres_both(async |server| {
        let given = Given::new(server, "filter").await;
        given
            .source
            .run(&[
                "ALTER TABLE t ADD secret text DEFAULT 'hidden', ADD level int DEFAULT 1",
                "INSERT INTO t VALUES (10, 'ten', 'x', 9), (11, 'eleven', 'x', 9)",
                "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, level)",
                "CREATE PUBLICATION \"Their Own\" FOR TABLE t (id, a, level) WHERE (level < 5)",
            ])
            .await;
        let job = given.job(NAMED).start();
        until_rows(&given.target, "t", 2, &job).await;
        given
            .source
            .run(&[
                "UPDATE t SET level = 2 WHERE id = 10",
                "UPDATE t SET level = 9 WHERE id = 1",
                "UPDATE t SET a = 'changed', secret = 'still' WHERE id = 2",
                "INSERT INTO t VALUES (12, 'never', 'x', 7), (13, 'last', 'x', 3)",
            ])
            .await;
        until(&given.target, "SELECT count(*) FROM t WHERE id = 13", "1", &job).await;
        job.stop();
        let query = "SELECT id, a, level FROM t WHERE level < 5 ORDER BY id";
        assert_eq!(given.target.rows("SELECT * FROM t ORDER BY id").await, given.source.rows(query).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_standbys_take_over() {
    let given = Given::new(postgres_shared(PgVersion::V17).await, "failover").await;
    let job = given.job("slot.failover = true").start();
    until_rows(&given.target, "t", 2, &job).await;
    let slot = JobSpec::slot(&given.name);
    let failover = format!("SELECT failover FROM pg_replication_slots WHERE slot_name = '{slot}'");
    assert_eq!(given.source.value(&failover).await.as_deref(), Some("t"));
    given.works(job).await;
    let older = Given::new(postgres_shared(PgVersion::V15).await, "failover").await;
    older.job("slot.failover = true").refused(&["slot.failover", "17"]);
}

/// Rows that another replication wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_another_origin_are_left_out_on_request() {
    let given = Given::new(postgres_shared(PgVersion::V17).await, "origin").await;
    let job = given.job("publication.origin = NONE").start();
    until_rows(&given.target, "t", 2, &job).await;
    let elsewhere = format!("elsewhere of {}", given.source.name());
    given
        .source
        .run(&[
            &format!("SELECT pg_replication_origin_create('{elsewhere}')"),
            &format!("SELECT pg_replication_origin_session_setup('{elsewhere}')"),
            "INSERT INTO t VALUES (7, 'from elsewhere')",
            "SELECT pg_replication_origin_session_reset()",
            "INSERT INTO t VALUES (8, 'from here')",
        ])
        .await;
    until(&given.target, "SELECT string_agg(id::text, ',' ORDER BY id) FROM t", "1,2,8", &job).await;
    job.stop();
    let older = Given::new(postgres_shared(PgVersion::V15).await, "origin").await;
    older.job("publication.origin = NONE").refused(&["publication.origin", "16"]);
}
