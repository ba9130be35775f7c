//! Rows arrive as the edge and the target's keys say.

use std::sync::atomic::Ordering;

use culvert_api::{ErrorKind, RowKind, RowKindSet, Sink};
use culvert_tests::postgres_both;

use crate::postgres::support::{lines, people_in, sink};
use crate::support::{JOB, Run, SINK, failure, people, rows};

const ALL: RowKindSet = RowKindSet::ALL;
const INSERTS: RowKindSet = RowKindSet::INSERT_ONLY;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_keeps_every_row_in_order() {
    postgres_both(async |server| {
        let db = server.fresh_database("append").await;
        server
            .execute(
                &db,
                &["CREATE TABLE w2 (seq bigint GENERATED ALWAYS AS IDENTITY, id int, name varchar(50))"],
            )
            .await;
        let source = people("w", &["id"], INSERTS);
        let sink = sink(server, &db, &[("table", "w2"), ("batch_size", "2"), ("use_copy_statement", "true")]);
        let mut run = Run::start(&sink.unwrap(), std::slice::from_ref(&source)).await.unwrap();
        let log = [
            ("+I", 2, "Bob"),
            ("+I", 1, "Ali\\ce"),
            ("+I", 2, "B\to\nb\r"),
            ("+I", 2, "\\N"),
            ("+I", 2, "\\."),
        ];
        run.deliver(rows(&source, &log)).await.unwrap();
        let found = lines(server, &db, "SELECT id, name FROM w2 ORDER BY seq").await;
        assert_eq!(found, ["2 Bob", "1 Ali\\ce", "2 B\to\nb\r", "2 \\N", "2 \\."]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_follows_inserts_updates_and_deletes() {
    postgres_both(async |server| {
        let db = server.fresh_database("mirror").await;
        let source = people("w", &["id"], ALL);
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        let first = [("+I", 0, "Zero"), ("+I", 1, "Alice"), ("+I", 2, "Bob"), ("+I", 3, "Carol")];
        run.deliver(rows(&source, &first)).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["0 Zero", "1 Alice", "2 Bob", "3 Carol"]);
        run.write(rows(&source, &[("-U", 2, "Bob"), ("+U", 2, "Rob"), ("-D", 1, "Alice")])).await.unwrap();
        let more = [("+I", 4, "Dan"), ("-D", 4, "Dan"), ("-D", 3, "Carol"), ("+I", 3, "Cara")];
        run.write(rows(&source, &more)).await.unwrap();
        run.open.writer.flush().await.unwrap();
        // Staged rows are invisible.
        assert_eq!(people_in(server, &db, "w").await, ["0 Zero", "1 Alice", "2 Bob", "3 Carol"]);
        run.commit().await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["0 Zero", "2 Rob", "3 Cara"]);
        assert_eq!(run.context.progress.rows_written.load(Ordering::Relaxed), 11);
        assert_eq!(run.context.progress.rows_committed.load(Ordering::Relaxed), 11);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_value_may_move_between_rows() {
    postgres_both(async |server| {
        let db = server.fresh_database("swap").await;
        let referring = "CREATE TABLE child (id int REFERENCES w ON DELETE CASCADE)";
        for (unique, more, closes_circles) in [
            ("name varchar(50) UNIQUE", None, true),
            ("name varchar(50) UNIQUE DEFERRABLE", None, true),
            ("name varchar(50) CHECK (name <> ''), own int DEFAULT 7, EXCLUDE (name WITH =)", None, true),
            ("name varchar(50), low text GENERATED ALWAYS AS (lower(name)) STORED UNIQUE", None, true),
            ("name varchar(50) UNIQUE", Some(referring), false),
        ] {
            server.execute(&db, &["DROP TABLE IF EXISTS child, w"]).await;
            server.execute(&db, &[&format!("CREATE TABLE w (id int PRIMARY KEY, {unique})")]).await;
            server.execute(&db, more.as_slice()).await;
            let source = people("w", &["id"], ALL);
            let sink = sink(server, &db, &[]).unwrap();
            sink.forget(JOB, SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            run.deliver(rows(&source, &[("+I", 1, "a"), ("+I", 2, "b"), ("+I", 3, "c")])).await.unwrap();
            if more.is_some() {
                server.execute(&db, &["INSERT INTO child VALUES (1), (2)"]).await;
            }
            // A chain: 1 takes what 2 leaves, 4 what 3 leaves.
            let chain = [("+U", 2, "z"), ("+U", 1, "b"), ("-D", 3, "c"), ("+I", 4, "c")];
            run.deliver(rows(&source, &chain)).await.unwrap();
            assert_eq!(people_in(server, &db, "w").await, ["1 b", "2 z", "4 c"], "{unique}");
            if more.is_some() {
                assert_eq!(lines(server, &db, "SELECT id FROM child ORDER BY id").await, ["1", "2"]);
            }
            let circle = [
                ("-U", 1, "b"),
                ("+U", 1, "tmp"),
                ("-U", 2, "z"),
                ("+U", 2, "b"),
                ("-U", 1, "tmp"),
                ("+U", 1, "z"),
            ];
            let delivered = run.deliver(rows(&source, &circle)).await;
            if closes_circles {
                delivered.unwrap();
                assert_eq!(people_in(server, &db, "w").await, ["1 z", "2 b", "4 c"], "{unique}");
            } else {
                // Deleting the rows would delete the children.
                let error = failure(delivered);
                assert_eq!(error.kind(), ErrorKind::Value, "{error}");
                assert!(error.to_string().contains("DEFERRABLE"), "{error}");
            }
            run.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_target_takes_for_one_end_right() {
    postgres_both(async |server| {
        let db = server.fresh_database("collation").await;
        server
            .execute(
                &db,
                &[
                    "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
                    "CREATE EXTENSION IF NOT EXISTS citext",
                ],
            )
            .await;
        for declared in ["varchar(50) COLLATE folded", "citext"] {
            server.execute(&db, &["DROP TABLE IF EXISTS w"]).await;
            server.execute(&db, &[&format!("CREATE TABLE w (id int, name {declared} PRIMARY KEY)")]).await;
            let source = people("w", &["name"], ALL);
            let sink = sink(server, &db, &[]).unwrap();
            sink.forget(JOB, SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            run.deliver(rows(&source, &[("+I", 1, "a"), ("+I", 2, "b")])).await.unwrap();
            let changes =
                [("-D", 1, "a"), ("+I", 4, "A"), ("+I", 5, "c"), ("-D", 5, "C"), ("-D", 2, "b"), ("+I", 6, "B")];
            run.deliver(rows(&source, &changes)).await.unwrap();
            assert_eq!(people_in(server, &db, "w").await, ["4 A", "6 B"], "{declared}");
            run.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blanks_of_a_padded_key_mean_nothing() {
    postgres_both(async |server| {
        let db = server.fresh_database("padded").await;
        server.execute(&db, &["CREATE TABLE w (id int, name char(4) PRIMARY KEY)"]).await;
        let source = people("w", &["name"], ALL);
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        let changes =
            [("+I", 1, "a"), ("-D", 1, "a "), ("+I", 2, "a      "), ("+I", 3, "b"), ("-D", 3, "b   ")];
        run.deliver(rows(&source, &changes)).await.unwrap();
        assert_eq!(lines(server, &db, "SELECT id, name::text FROM w").await, ["2 a"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_targets_own_follows_updates() {
    postgres_both(async |server| {
        let db = server.fresh_database("moved").await;
        server.execute(&db, &["CREATE TABLE w (id int, name varchar(50) PRIMARY KEY)"]).await;
        let source = people("w", &["id"], ALL);
        let sink = sink(server, &db, &[("primary_keys", "name")]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a"), ("+I", 2, "b")])).await.unwrap();
        run.deliver(rows(&source, &[("-U", 1, "a"), ("+U", 1, "z"), ("-U", 2, "b"), ("+U", 2, "b")]))
            .await
            .unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 z", "2 b"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferrable_key_is_written_by_update_and_insert() {
    postgres_both(async |server| {
        let db = server.fresh_database("deferrable").await;
        server.execute(&db, &["CREATE TABLE w (id int PRIMARY KEY DEFERRABLE, name varchar(50))"]).await;
        let source = people("w", &["id"], ALL);
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a"), ("+I", 2, "b")])).await.unwrap();
        run.deliver(rows(&source, &[("+U", 1, "z"), ("-D", 2, "b"), ("+I", 3, "c")])).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 z", "3 c"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn separate_inserts_and_updates() {
    postgres_both(async |server| {
        let db = server.fresh_database("separate").await;
        let source = people("w", &["id"], ALL);
        let sink = sink(server, &db, &[("enable_upsert", "false")]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let changes = [
            ("+I", 1, "a"),
            ("-U", 1, "a"),
            ("+U", 1, "b"),
            ("-U", 1, "b"),
            ("+U", 1, "c"),
            ("+I", 2, "c"),
            ("-D", 2, "c"),
            ("+I", 2, "d"),
        ];
        run.deliver(rows(&source, &changes)).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 c", "2 d"]);
        let error = failure(run.deliver(rows(&source, &[("+I", 1, "secret")])).await);
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("w_pkey") && !error.to_string().contains("secret"), "{error}");
        run.close().await;
        let mut run = Run::open(&sink, 2).await.unwrap();
        let error = failure(run.deliver(rows(&source, &[("+U", 9, "secret")])).await);
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(!error.to_string().contains("secret"), "{error}");
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_keep_the_sources_numbers() {
    postgres_both(async |server| {
        let db = server.fresh_database("identity").await;
        server
            .execute(
                &db,
                &[
                    "CREATE TABLE w (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(50), \
                     upper text GENERATED ALWAYS AS (upper(name)) STORED)",
                    "CREATE TABLE x (name varchar(50) PRIMARY KEY, id int GENERATED ALWAYS AS IDENTITY)",
                ],
            )
            .await;
        let source = people("w", &["id"], ALL);
        let plain = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&plain, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 70, "a"), ("+I", 5, "b")])).await.unwrap();
        run.deliver(rows(&source, &[("+U", 70, "z")])).await.unwrap();
        assert_eq!(
            lines(server, &db, "SELECT id, name, upper FROM w ORDER BY id").await,
            ["5 b B", "70 z Z"]
        );
        run.close().await;
        let fixed = people("x", &["name"], ALL);
        let mut run = Run::open(&plain, 2).await.unwrap();
        let error = failure(run.open.writer.prepare_tables(&[fixed], false).await);
        assert!(error.to_string().contains("SET GENERATED BY DEFAULT"), "{error}");
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_cannot_work_are_refused_at_the_start() {
    postgres_both(async |server| {
        let db = server.fresh_database("refused").await;
        server
            .execute(
                &db,
                &[
                    "CREATE TABLE keyless (id int, name varchar(50))",
                    "CREATE TABLE partial (id int NOT NULL, name varchar(50))",
                    "CREATE UNIQUE INDEX ON partial (id) WHERE name IS NOT NULL",
                    "CREATE TABLE narrow (id int PRIMARY KEY)",
                    "CREATE TABLE needy (id int PRIMARY KEY, name varchar(50), must int NOT NULL)",
                    "CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, name varchar(50))",
                    "CREATE TABLE bytes (id int PRIMARY KEY, name bytea)",
                    "CREATE VIEW seen AS SELECT * FROM narrow",
                ],
            )
            .await;
        for (table, pairs, words) in [
            ("keyless", &[][..], &["keyless", "ADD PRIMARY KEY (\"id\")"][..]),
            ("partial", &[], &["no key"]),
            ("narrow", &[], &["\"name\""]),
            ("needy", &[], &["\"must\""]),
            ("unlogged", &[], &["SET LOGGED"]),
            ("bytes", &[], &["escaped bytes", "`name`"]),
            ("seen", &[], &["view"]),
            ("keyless", &[("primary_keys", "id")], &["primary_keys", "ALTER TABLE"]),
            ("absent", &[("schema_save_mode", "IGNORE")], &["absent", "CREATE TABLE"]),
            ("absent", &[("schema_save_mode", "ERROR_WHEN_SCHEMA_NOT_EXIST")], &["absent"]),
            ("absent", &[("create_index", "false")], &["create_index"]),
        ] {
            let source = people(table, &["id"], ALL);
            let sink = sink(server, &db, pairs).unwrap();
            sink.forget(JOB, SINK).await.unwrap();
            let error = failure(Run::start(&sink, &[source]).await).to_string();
            for word in words {
                assert!(error.contains(word), "{table}: {error}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_the_users_runs_for_many_rows_at_once() {
    postgres_both(async |server| {
        let db = server.fresh_database("query").await;
        server
            .execute(
                &db,
                &["CREATE TABLE t (a varchar(60) PRIMARY KEY, b int, n int DEFAULT 0)", "CREATE TABLE w (id int, name varchar(50))"],
            )
            .await;
        let kinds = RowKindSet::of(&[RowKind::Delete]).complement();
        let source = people("w", &["id"], kinds);
        let query = "INSERT INTO t (a, b) VALUES (concat(:name, '?'), :id) ON CONFLICT (a) DO UPDATE SET n = t.n + 1;";
        let insert = [("generate_sink_sql", "false"), ("query", query)];
        let mut run =
            Run::start(&sink(server, &db, &insert).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "x"), ("+I", 2, "it's \\")])).await.unwrap();
        run.deliver(rows(&source, &[("-U", 1, "x"), ("+U", 9, "x")])).await.unwrap();
        let found = lines(server, &db, "SELECT a, b, n FROM t ORDER BY b").await;
        assert_eq!(found, ["x? 1 1", "it's \\? 2 0"]);
        run.close().await;

        let update = [("generate_sink_sql", "false"), ("query", "UPDATE t SET n = 7 WHERE b = ?::int AND a <> ?")];
        let mut run = Run::open(&sink(server, &db, &update).unwrap(), 2).await.unwrap();
        run.deliver(rows(&source, &[("+I", 2, "no"), ("+I", 1, "no")])).await.unwrap();
        assert_eq!(lines(server, &db, "SELECT n FROM t").await, ["7", "7"]);
        run.close().await;

        let deletes = people("w", &["id"], ALL);
        let mut run = Run::open(&sink(server, &db, &insert).unwrap(), 3).await.unwrap();
        let error = failure(run.open.writer.prepare_tables(&[deletes], false).await);
        assert!(error.to_string().contains("FilterRowKind"), "{error}");
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_arrive_all() {
    postgres_both(async |server| {
        let db = server.fresh_database("many").await;
        let source = people("w", &["id"], ALL);
        let sink = sink(server, &db, &[("batch_size", "700")]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let name = "n".repeat(50);
        let insert: Vec<(&str, i32, &str)> = (0..20_000).map(|id| ("+I", id, name.as_str())).collect();
        run.write(rows(&source, &insert)).await.unwrap();
        let delete: Vec<(&str, i32, &str)> =
            (0..20_000).step_by(2).map(|id| ("-D", id, name.as_str())).collect();
        run.deliver(rows(&source, &delete)).await.unwrap();
        let found = lines(server, &db, "SELECT COUNT(*), SUM(id), MIN(id) FROM w").await;
        assert_eq!(found, ["10000 100000000 1"]);
        run.close().await;
    })
    .await;
}
