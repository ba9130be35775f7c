//! Values that the log leaves out, and what tells rows apart.

use culvert_tests::database::assert_same;
use culvert_tests::{Database, PgVersion, Postgres, both, postgres_both, postgres_shared};

use super::job::{JobSpec, until, until_rows};

/// A long value that is stored out of line.
const LONG: &str = "(SELECT string_agg(md5(random()::text || n), '') FROM generate_series(1, 200) AS n)";

struct Copied<'a> {
    source: Database<'a>,
    target: Database<'a>,
    name: String,
}

async fn copied<'a>(server: &'a Postgres, what: &str, statements: &[&str]) -> Copied<'a> {
    let source = Database::fresh(server, what).await;
    let target = Database::fresh(server, "copy").await;
    source.run(statements).await;
    let name = format!("{} {}", source.name(), server.port());
    Copied { source, target, name }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_left_out_is_never_overwritten() {
    postgres_both(async |server| {
        let all = copied(
            server,
            "toast",
            &[
                "CREATE TABLE t (id int PRIMARY KEY, n int, a text, b text)",
                "ALTER TABLE t ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL",
                &format!("INSERT INTO t SELECT g, 0, {LONG} || g, {LONG} || g FROM generate_series(1, 50) g"),
            ],
        )
        .await;
        let job = JobSpec::mirror(&all.name, &all.source, &["t"], &all.target).ready().start();
        until_rows(&all.target, "t", 50, &job).await;
        all.source
            .run(&[
                "UPDATE t SET n = 1",
                &format!("UPDATE t SET a = {LONG} WHERE id % 2 = 0"),
                "UPDATE t SET b = NULL WHERE id % 5 = 0",
                // Twice in one transaction: the later row leaves out what the earlier one has.
                &format!("BEGIN; UPDATE t SET a = {LONG}, n = 2 WHERE id = 7; UPDATE t SET n = 3 WHERE id = 7; COMMIT"),
                &format!("BEGIN; INSERT INTO t VALUES (51, 0, {LONG}, NULL); UPDATE t SET n = 4 WHERE id = 51; COMMIT"),
                &format!("BEGIN; DELETE FROM t WHERE id = 8; INSERT INTO t VALUES (8, 5, {LONG}, 'short'); UPDATE t SET n = 6 WHERE id = 8; COMMIT"),
                "INSERT INTO t VALUES (99, 0, 'end', NULL)",
            ])
            .await;
        until(&all.target, "SELECT count(*) FROM t WHERE id = 99", "1", &job).await;
        job.stop();
        assert_same((&all.source, "t"), (&all.target, "t")).await;
    })
    .await;
}

/// The key changes and the long value stays: the log does not tell the value of the row under its new
/// key. The target has it under the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_key_never_loses_a_value_left_out() {
    postgres_both(async |server| changed_keys(server, Database::fresh(server, "copy").await).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_key_never_loses_a_value_left_out_on_its_way_to_mysql_and_mariadb() {
    both(async |target| {
        let source = postgres_shared(PgVersion::V17).await;
        changed_keys(source, Database::fresh(target, "copy").await).await;
    })
    .await;
}

async fn changed_keys(server: &Postgres, target: Database<'_>) {
    let source = Database::fresh(server, "moved").await;
    source
        .run(&[
            "CREATE TABLE t (id int PRIMARY KEY, n int, a text)",
            "ALTER TABLE t ALTER a SET STORAGE EXTERNAL",
            &format!("INSERT INTO t SELECT g, 0, {LONG} || g FROM generate_series(1, 40) g"),
        ])
        .await;
    let name = format!("{} {} {}", source.name(), server.port(), target.port());
    let ready = JobSpec::mirror(&name, &source, &["t"], &target).ready();
    let job = ready.start();
    until_rows(&target, "t", 40, &job).await;
    source
        .run(&[
            "UPDATE t SET id = 5000 WHERE id = 1",
            // On and on, with a change at the end, and another row under the first key.
            "BEGIN; UPDATE t SET id = 6000 WHERE id = 5000; UPDATE t SET id = 7000, n = 1 WHERE id = 6000; \
             UPDATE t SET n = n + 1 WHERE id = 7000; INSERT INTO t VALUES (1, 9, 'new'); COMMIT",
            // Two rows change places.
            "BEGIN; UPDATE t SET id = 4000 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3; \
             UPDATE t SET id = 3 WHERE id = 4000; COMMIT",
            // New, and under another key at once; changed, moved, and changed again.
            &format!(
                "BEGIN; INSERT INTO t VALUES (50, 0, {LONG}); UPDATE t SET id = 51 WHERE id = 50; COMMIT"
            ),
            &format!(
                "BEGIN; UPDATE t SET a = {LONG} WHERE id = 4; UPDATE t SET id = 60 WHERE id = 4; \
                 UPDATE t SET n = 5 WHERE id = 60; COMMIT"
            ),
            "BEGIN; UPDATE t SET id = 8000 WHERE id = 5; DELETE FROM t WHERE id = 8000; COMMIT",
            "UPDATE t SET id = id + 100 WHERE id BETWEEN 10 AND 40",
            "UPDATE t SET id = id - 100 WHERE id BETWEEN 115 AND 125",
            "INSERT INTO t VALUES (99, 0, 'end')",
        ])
        .await;
    until(&target, "SELECT count(*) FROM t WHERE id = 99", "1", &job).await;
    assert_same((&source, "t"), (&target, "t")).await;
    // What the target does not have cannot be taken along, and is not made up.
    target.run(&["DELETE FROM t WHERE id = 7"]).await;
    let before = target.rows("SELECT * FROM t ORDER BY id").await;
    source.run(&["UPDATE t SET id = 70 WHERE id = 7"]).await;
    let said = job.ended(1);
    for part in ["public.t", "no row of that key", "REPLICA IDENTITY FULL"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert_eq!(target.rows("SELECT * FROM t ORDER BY id").await, before, "something was written");
}

/// The delete in front of it does not arrive: what the insert leaves out is nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_key_without_its_delete_stops() {
    let server = postgres_shared(PgVersion::V17).await;
    let all = copied(
        server,
        "undeleted",
        &[
            "CREATE TABLE t (id int PRIMARY KEY, n int, a text)",
            "ALTER TABLE t ALTER a SET STORAGE EXTERNAL",
            &format!("INSERT INTO t SELECT g, 0, {LONG} || g FROM generate_series(1, 2) g"),
        ],
    )
    .await;
    let spec = JobSpec {
        transform: "FilterRowKind { exclude_kinds = [\"DELETE\"] }",
        ..JobSpec::mirror(&all.name, &all.source, &["t"], &all.target)
    };
    let job = spec.ready().start();
    until_rows(&all.target, "t", 2, &job).await;
    all.source.run(&["DELETE FROM t WHERE id = 2", "UPDATE t SET id = 2 WHERE id = 1"]).await;
    let said = job.ended(1);
    for part in ["public.t", "`a`", "REPLICA IDENTITY FULL"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert_eq!(all.target.value("SELECT count(*) FROM t").await.as_deref(), Some("2"));
}

/// A history cannot be written from a log that leaves values out; nothing is made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_with_values_left_out_stops() {
    postgres_both(async |server| {
        let all = copied(
            server,
            "history",
            &[
                "CREATE TABLE t (id int PRIMARY KEY, n int, a text)",
                "ALTER TABLE t ALTER a SET STORAGE EXTERNAL",
                &format!("INSERT INTO t VALUES (1, 0, {LONG})"),
            ],
        )
        .await;
        let log = "CREATE TABLE t (id int, n int, a text, row_kind varchar(2), seq bigserial PRIMARY KEY)";
        all.target.run(&[log]).await;
        let ready = JobSpec::log(&all.name, &all.source, &["t"], &all.target).ready();
        let job = ready.start();
        until_rows(&all.target, "t", 1, &job).await;
        all.source.run(&["UPDATE t SET n = 1"]).await;
        let said = job.ended(1);
        for part in ["public.t", "REPLICA IDENTITY FULL"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
        assert_eq!(all.target.value("SELECT count(*) FROM t").await.as_deref(), Some("1"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_tell_rows_apart_is_refused_with_the_way_out() {
    postgres_both(async |server| {
        let all = copied(
            server,
            "identity",
            &[
                "CREATE TABLE nothing (id int PRIMARY KEY, a text)",
                "ALTER TABLE nothing REPLICA IDENTITY NOTHING",
                "CREATE TABLE keyless (id int, a text)",
                "CREATE TABLE partial (id int PRIMARY KEY, a text)",
            ],
        )
        .await;
        for table in ["nothing", "keyless"] {
            let tables = [table];
            let said = [&*format!("public.{table}"), "REPLICA IDENTITY FULL"];
            JobSpec::mirror(&all.name, &all.source, &tables, &all.target).ready().refused(&said);
        }
        let strict = JobSpec {
            source_options: "require-replica-identity-full = true",
            ..JobSpec::mirror(&all.name, &all.source, &["partial"], &all.target)
        };
        strict.ready().refused(&["public.partial", "REPLICA IDENTITY FULL"]);
    })
    .await;
}

/// Another unique index stands for the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_can_be_the_identity() {
    postgres_both(async |server| {
        let all = copied(
            server,
            "index",
            &[
                "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, place int NOT NULL, a text)",
                "CREATE UNIQUE INDEX t_code ON t (code, place)",
                "ALTER TABLE t REPLICA IDENTITY USING INDEX t_code",
                "INSERT INTO t SELECT g, 'c' || g, g % 3, 'a' FROM generate_series(1, 30) g",
            ],
        )
        .await;
        let job = JobSpec::mirror(&all.name, &all.source, &["t"], &all.target).ready().start();
        until_rows(&all.target, "t", 30, &job).await;
        all.source
            .run(&[
                "UPDATE t SET a = 'b' WHERE id % 2 = 0",
                "UPDATE t SET code = 'moved' || id WHERE id % 3 = 0",
                "UPDATE t SET id = id + 100 WHERE id % 5 = 0",
                "DELETE FROM t WHERE id % 7 = 0",
                "INSERT INTO t VALUES (999, 'end', 0, NULL)",
            ])
            .await;
        until(&all.target, "SELECT count(*) FROM t WHERE id = 999", "1", &job).await;
        job.stop();
        assert_same((&all.source, "t"), (&all.target, "t")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_table_stops_the_job_and_the_policy_lets_it_go_on() {
    postgres_both(async |server| {
        let all = copied(
            server,
            "truncate",
            &["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"],
        )
        .await;
        let spec = JobSpec::mirror(&all.name, &all.source, &["t"], &all.target);
        let ready = spec.ready();
        let job = ready.start();
        until_rows(&all.target, "t", 2, &job).await;
        all.source.run(&["TRUNCATE t", "INSERT INTO t VALUES (7)"]).await;
        let said = job.ended(2);
        for part in ["public.t", "truncate"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
        ready.refused(&["truncate.policy"]);
        let ids = "SELECT string_agg(id::text, ',' ORDER BY id) FROM t";
        assert_eq!(all.target.value(ids).await.as_deref(), Some("1,2"));
        ready.rewrite(&JobSpec { source_options: "truncate.policy = IGNORE", ..spec }.text());
        let job = ready.start();
        until(&all.target, ids, "1,2,7", &job).await;
        job.stop();
    })
    .await;
}
