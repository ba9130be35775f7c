//! Rows arrive as the edge and the target's keys say.

use std::sync::atomic::Ordering;

use culvert_api::{ErrorKind, RowKind, RowKindSet, Sink};
use culvert_tests::both;

use crate::support::{Run, failure, people, people_in, rows, sink, texts};

const ALL: RowKindSet = RowKindSet::ALL;
const INSERTS: RowKindSet = RowKindSet::INSERT_ONLY;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_keeps_every_row_in_order() {
    both(async |server| {
        let db = server.fresh_database("append").await;
        server
            .execute(&[&format!(
                "CREATE TABLE {db}.w2 (seq int AUTO_INCREMENT PRIMARY KEY, id int, name varchar(50))"
            )])
            .await;
        let source = people("w", &["id"], INSERTS);
        let sink = sink(server, &db, &[("table", "w2"), ("batch_size", "2")]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let log = [
            ("+I", 2, "Bob"),
            ("+I", 1, "Alice"),
            ("+I", 2, "Bob"),
            ("+I", 2, "Charlie"),
            ("+I", 2, "Charlie"),
        ];
        run.deliver(rows(&source, &log)).await.unwrap();
        let found =
            texts(server, &format!("SELECT CONCAT_WS(' ', id, name) FROM {db}.w2 ORDER BY seq")).await;
        assert_eq!(found, ["2 Bob", "1 Alice", "2 Bob", "2 Charlie", "2 Charlie"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_follows_inserts_updates_and_deletes() {
    both(async |server| {
        let db = server.fresh_database("mirror").await;
        let source = people("w", &["id"], ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(
            &source,
            &[("+I", 0, "Zero"), ("+I", 1, "Alice"), ("+I", 2, "Bob"), ("+I", 3, "Carol")],
        ))
        .await
        .unwrap();
        // A zero stays a zero.
        assert_eq!(people_in(server, &db, "w").await, ["0 Zero", "1 Alice", "2 Bob", "3 Carol"]);
        run.write(rows(&source, &[("-U", 2, "Bob"), ("+U", 2, "Rob"), ("-D", 1, "Alice")])).await.unwrap();
        run.write(rows(
            &source,
            &[("+I", 4, "Dan"), ("-D", 4, "Dan"), ("-D", 3, "Carol"), ("+I", 3, "Cara")],
        ))
        .await
        .unwrap();
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
    both(async |server| {
        let db = server.fresh_database("swap").await;
        server
            .execute(&[&format!("CREATE TABLE {db}.w (id int PRIMARY KEY, name varchar(50) UNIQUE)")])
            .await;
        let source = people("w", &["id"], ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a"), ("+I", 2, "b"), ("+I", 3, "c")])).await.unwrap();
        let swap = [
            ("-U", 1, "a"),
            ("+U", 1, "tmp"),
            ("-U", 2, "b"),
            ("+U", 2, "a"),
            ("-U", 1, "tmp"),
            ("+U", 1, "b"),
            ("-D", 3, "c"),
            ("+I", 4, "c"),
        ];
        run.deliver(rows(&source, &swap)).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 b", "2 a", "4 c"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_target_takes_for_one_end_right() {
    both(async |server| {
        let db = server.fresh_database("collation").await;
        server
            .execute(&[&format!(
                "CREATE TABLE {db}.w (id int, name varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY)"
            )])
            .await;
        let source = people("w", &["name"], ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a"), ("+I", 2, "b"), ("+I", 3, "ß")])).await.unwrap();
        let changes = [("-D", 1, "a"), ("+I", 4, "A"), ("+I", 5, "c"), ("-D", 5, "C"), ("-D", 3, "ß"), ("+I", 6, "s")];
        run.deliver(rows(&source, &changes)).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["2 b", "4 A", "6 s"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_targets_own_follows_updates() {
    both(async |server| {
        let db = server.fresh_database("moved").await;
        server.execute(&[&format!("CREATE TABLE {db}.w (id int, name varchar(50) PRIMARY KEY)")]).await;
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
async fn separate_inserts_and_updates() {
    both(async |server| {
        let db = server.fresh_database("separate").await;
        let source = people("w", &["id"], ALL);
        let sink = sink(server, &db, &[("enable_upsert", "false")]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let changes =
            [("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "b"), ("+I", 2, "c"), ("-D", 2, "c"), ("+I", 2, "d")];
        run.deliver(rows(&source, &changes)).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 b", "2 d"]);
        let twice = run.deliver(rows(&source, &[("+I", 1, "secret")])).await;
        let error = failure(twice);
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains(&format!("{db}.w")), "{error}");
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_neither_stop_rows_nor_lose_cascades() {
    both(async |server| {
        let db = server.fresh_database("foreign").await;
        server
            .execute(&[
                &format!("CREATE TABLE {db}.parent (id int PRIMARY KEY, name varchar(50))"),
                &format!(
                    "CREATE TABLE {db}.child (id int PRIMARY KEY, name varchar(50), parent int NULL, \
                     FOREIGN KEY (parent) REFERENCES {db}.parent (id) ON DELETE CASCADE)"
                ),
                &format!(
                    "CREATE TABLE {db}.strict_child (id int PRIMARY KEY, name varchar(50), \
                     FOREIGN KEY (id) REFERENCES {db}.parent (id))"
                ),
            ])
            .await;
        let (parent, child) = (people("parent", &["id"], ALL), people("strict_child", &["id"], ALL));
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, &[parent.clone(), child.clone()]).await.unwrap();
        // The child's batch may come before the parent's.
        run.write(rows(&child, &[("+I", 1, "x")])).await.unwrap();
        run.deliver(rows(&parent, &[("+I", 1, "a"), ("+I", 2, "b")])).await.unwrap();
        server.execute(&[&format!("INSERT INTO {db}.child VALUES (10, 'y', 2)")]).await;
        // A parent's delete before its child's, and one that the target cascades.
        run.write(rows(&parent, &[("-D", 1, "a"), ("-D", 2, "b")])).await.unwrap();
        run.open.writer.flush().await.unwrap();
        run.deliver(rows(&child, &[("-D", 1, "x")])).await.unwrap();
        for table in ["parent", "child", "strict_child"] {
            assert_eq!(people_in(server, &db, table).await, Vec::<String>::new(), "{table}");
        }
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_at_start_by_name() {
    both(async |server| {
        let db = server.fresh_database("refused").await;
        server
            .execute(&[
                &format!("CREATE TABLE {db}.keyless (id int, name varchar(50))"),
                &format!("CREATE TABLE {db}.narrow (id int PRIMARY KEY)"),
                &format!("CREATE TABLE {db}.needy (id int PRIMARY KEY, name varchar(50), must int NOT NULL)"),
                &format!("CREATE TABLE {db}.myisam (id int PRIMARY KEY, name varchar(50)) ENGINE=MyISAM"),
                &format!("CREATE VIEW {db}.seen AS SELECT * FROM {db}.narrow"),
            ])
            .await;
        for (table, pairs, words) in [
            ("keyless", &[][..], &["keyless", "ADD PRIMARY KEY (`id`)"][..]),
            ("narrow", &[], &["`name`"]),
            ("needy", &[], &["`must`"]),
            ("myisam", &[], &["ENGINE=InnoDB"]),
            ("seen", &[], &["view"]),
            ("keyless", &[("primary_keys", "id")], &["primary_keys", "ALTER TABLE"]),
            ("absent", &[("schema_save_mode", "IGNORE")], &["absent", "CREATE TABLE"]),
            ("absent", &[("schema_save_mode", "ERROR_WHEN_SCHEMA_NOT_EXIST")], &["absent"]),
            ("absent", &[("create_index", "false")], &["create_index"]),
        ] {
            let source = people(table, &["id"], ALL);
            let sink = sink(server, &db, pairs).unwrap();
            sink.forget(crate::support::JOB, crate::support::SINK).await.unwrap();
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
    both(async |server| {
        let db = server.fresh_database("query").await;
        server
            .execute(&[
                &format!("CREATE TABLE {db}.t (a varchar(60) PRIMARY KEY, b int, n int DEFAULT 0)"),
                &format!("CREATE TABLE {db}.w (id int, name varchar(50))"),
            ])
            .await;
        let kinds = RowKindSet::of(&[RowKind::Delete]).complement();
        let source = people("w", &["id"], kinds);
        let query =
            "INSERT INTO t (a, b) VALUES (concat(:name, '?'), :id) ON DUPLICATE KEY UPDATE n = n + 1;";
        let insert = [("generate_sink_sql", "false"), ("query", query)];
        let mut run =
            Run::start(&sink(server, &db, &insert).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "x"), ("+I", 2, "it's"), ("-U", 1, "x"), ("+U", 9, "x")]))
            .await
            .unwrap();
        let found = texts(server, &format!("SELECT CONCAT_WS(' ', a, b, n) FROM {db}.t ORDER BY b")).await;
        assert_eq!(found, ["x? 1 1", "it's? 2 0"]);
        run.close().await;

        let update = [("generate_sink_sql", "false"), ("query", "UPDATE t SET n = 7 WHERE b = ? AND a <> ?")];
        let mut run = Run::open(&sink(server, &db, &update).unwrap(), 2).await.unwrap();
        run.deliver(rows(&source, &[("+I", 2, "no")])).await.unwrap();
        let found = texts(server, &format!("SELECT n FROM {db}.t ORDER BY b")).await;
        assert_eq!(found, ["1", "7"]);
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
    both(async |server| {
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
        let found =
            texts(server, &format!("SELECT CONCAT_WS(' ', COUNT(*), SUM(id), MIN(id)) FROM {db}.w")).await;
        assert_eq!(found, ["10000 100000000 1"]);
        run.close().await;
    })
    .await;
}
