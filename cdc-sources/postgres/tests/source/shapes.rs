//! Tables that change their shape.

use culvert_api::{ErrorKind, SourceEvent};
use culvert_tests::postgres_both;

use super::{Ended, Fate, Mirror, assert_error, database, rows, source};

const FOLLOW: (&str, &str) = ("schema-changes.enabled", "true");

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_go_and_get_other_names_between_and_inside_transactions() {
    postgres_both(async |server| {
        let statements = ["CREATE TABLE t (id int PRIMARY KEY, a int, b text)", "INSERT INTO t VALUES (1, 1, 'one'), (2, 2, 'two')"];
        let database = database(server, &statements).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[FOLLOW]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &[
            "ALTER TABLE t ADD c numeric(5,1) NOT NULL DEFAULT 2.5",
            "INSERT INTO t VALUES (3, 3, 'three', 3.3)",
        ]).await;
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &[
            "BEGIN; INSERT INTO t VALUES (4, 4, 'four', 4.4); ALTER TABLE t RENAME b TO \"b 2\"; UPDATE t SET a = 40 WHERE id = 4; \
             ALTER TABLE t DROP c; INSERT INTO t VALUES (5, 5, 'five'); COMMIT",
            "ALTER TABLE t ALTER a TYPE bigint",
            "UPDATE t SET a = 5000000000 WHERE id = 5",
        ]).await;
        mirror.catch_up(server, &database).await.unwrap();
        let name = format!("{database}.public.t");
        assert_eq!(super::columns(&mirror.table(&name), &["id", "a", "b 2"]), rows(server, &database, "SELECT * FROM t").await);
        assert_eq!(mirror.changes(), [
            "ALTER TABLE \"public\".\"t\" ADD COLUMN \"c\" numeric(5,1) NOT NULL DEFAULT '2.5'",
            "ALTER TABLE \"public\".\"t\" RENAME COLUMN \"b\" TO \"b 2\"",
            "ALTER TABLE \"public\".\"t\" DROP COLUMN \"c\"",
            "ALTER TABLE \"public\".\"t\" ALTER COLUMN \"a\" TYPE bigint",
        ]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_a_transaction_with_a_change_of_shape_repeats_and_loses_nothing() {
    postgres_both(async |server| {
        let database = database(server, &["CREATE TABLE t (id int PRIMARY KEY, a int)", "CREATE TABLE u (id int PRIMARY KEY)"]).await;
        for crash_at in 1..14 {
            let slot = format!("{database}_{crash_at}");
            let tables = ["public.t", "public.u"];
            let mut mirror = Mirror::new(source(server, &database, &tables, &[FOLLOW, ("slot.name", &slot)]), &slot);
            mirror.run(|mirror, event| {
                let streams = mirror.progress.phase() == culvert_api::Phase::Stream;
                if streams && matches!(event, SourceEvent::Idle) { Fate::Stop } else { Fate::On }
            }).await.unwrap();
            let first = crash_at * 10;
            server.execute(&database, &[
                &format!("BEGIN; INSERT INTO t VALUES ({first}, 1); INSERT INTO u VALUES ({first}); INSERT INTO t VALUES ({first} + 1, 1); \
                 ALTER TABLE t ADD c{crash_at} int DEFAULT 7; UPDATE t SET a = 2 WHERE id = {first}; INSERT INTO u VALUES ({first} + 1); \
                 ALTER TABLE t RENAME a TO aa; DELETE FROM t WHERE id = {first} + 1; ALTER TABLE t RENAME aa TO a; COMMIT"),
                // The last name is told with the next row.
                &format!("INSERT INTO t VALUES ({first} + 2, 3)"),
            ]).await;
            let (mut events, mut idle) = (0, 0);
            let ended = mirror
                .run(|_, event| {
                    if matches!(event, SourceEvent::Idle) {
                        idle += 1;
                        return if idle > 100 { Fate::Stop } else { Fate::On };
                    }
                    events += 1;
                    if events == crash_at { Fate::Crash } else { Fate::On }
                })
                .await
                .unwrap();
            assert!(crash_at > 6 || ended == Ended::Crashed);
            mirror.catch_up(server, &database).await.unwrap();
            let found = mirror.table(&format!("{database}.public.t"));
            let new = format!("c{crash_at}");
            assert_eq!(super::columns(&found, &["id", "a", &new]), rows(server, &database, &format!("SELECT id, a, {new} FROM t")).await, "crash at {crash_at}");
            let found = mirror.table(&format!("{database}.public.u"));
            assert_eq!(super::columns(&found, &["id"]), rows(server, &database, "SELECT id FROM u").await);
            server.execute(&database, &[&format!("SELECT pg_drop_replication_slot('{slot}')")]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_between_stop_and_start_is_seen_and_old_rows_keep_their_shape() {
    postgres_both(async |server| {
        let database =
            database(server, &["CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)"])
                .await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[FOLLOW]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        // The first row is of a shape that the catalog no longer has when the job starts again.
        server
            .execute(
                &database,
                &[
                    "INSERT INTO t VALUES (2, 2)",
                    "ALTER TABLE t ADD b text",
                    "INSERT INTO t VALUES (3, 3, 'three')",
                    "ALTER TABLE t DROP a",
                    "INSERT INTO t VALUES (4, 'four')",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        assert_eq!(super::columns(&found, &["id", "b"]), rows(server, &database, "SELECT * FROM t").await);
        assert_eq!(mirror.changes().len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_following_rows_keep_the_shape_the_job_began_with() {
    postgres_both(async |server| {
        let database = database(
            server,
            &["CREATE TABLE t (id int PRIMARY KEY, a int, b int)", "INSERT INTO t VALUES (1, 1, 1)"],
        )
        .await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "ALTER TABLE t ADD c int",
                    "INSERT INTO t VALUES (2, 2, 2, 2)",
                    "ALTER TABLE t DROP a",
                    "INSERT INTO t VALUES (3, 3, 3)",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["INSERT INTO t VALUES (4, 4, 4)"]).await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        let text =
            |values: [&str; 3]| values.map(|value| (!value.is_empty()).then(|| value.to_owned())).to_vec();
        assert_eq!(
            super::columns(&found, &["id", "a", "b"]),
            [text(["1", "1", "1"]), text(["2", "2", "2"]), text(["3", "", "3"]), text(["4", "", "4"])]
        );
        assert!(mirror.changes().is_empty());
        server
            .execute(&database, &["ALTER TABLE t ALTER b TYPE text", "INSERT INTO t VALUES (5, 'x', 5)"])
            .await;
        assert_error(&mirror.fail().await, ErrorKind::Schema, &["column 'b'", "schema-changes.enabled"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_while_the_snapshot_runs_is_found_by_the_chunks() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY, a int)",
                "INSERT INTO t SELECT g, g FROM generate_series(1, 300) g",
            ],
        )
        .await;
        let pairs = [FOLLOW, ("snapshot.split.size", "20"), ("snapshot.parallelism", "1")];
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
        // A checkpoint after a few chunks, then the change, without a row that tells it.
        let mut batches = 0;
        let ended = mirror
            .run(|_, event| {
                batches += usize::from(matches!(event, SourceEvent::SplitFinished(_)));
                if batches >= 3 { Fate::Stop } else { Fate::On }
            })
            .await
            .unwrap();
        assert_eq!(ended, Ended::Stopped);
        server
            .execute(&database, &["ALTER TABLE t ADD b int DEFAULT 5", "ALTER TABLE t RENAME a TO aa"])
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        assert_eq!(found.len(), 300);
        assert_eq!(
            super::columns(&found, &["id", "aa", "b"]),
            rows(server, &database, "SELECT * FROM t").await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_has_to_be_read_as_text_joins_a_binary_log() {
    postgres_both(async |server| {
        let database = database(server, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[FOLLOW]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["ALTER TABLE t ADD a int[]", "INSERT INTO t VALUES (1, '{1,2}')"]).await;
        assert_error(&mirror.fail().await, ErrorKind::Unavailable, &["text"]);
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        assert_eq!(super::columns(&found, &["id", "a"]), rows(server, &database, "SELECT * FROM t").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_table_stops_the_job_with_both_names() {
    postgres_both(async |server| {
        let database =
            database(server, &["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "ALTER TABLE t RENAME TO \"ta ble\"",
                    "CREATE TABLE t (id int PRIMARY KEY)",
                    "DROP TABLE t",
                    "CREATE VIEW v AS SELECT 1",
                ],
            )
            .await;
        // At a start the name is asked for, and no table has it.
        mirror.source = source(server, &database, &["public.t"], &[]);
        assert_error(&mirror.fail().await, ErrorKind::Schema, &["public.t"]);
        server.execute(&database, &["ALTER TABLE \"ta ble\" RENAME TO t"]).await;
        let (old, new) = (format!("{database}.public.t "), format!("{database}.public.ta ble"));
        let mut renamed = false;
        let error = mirror
            .run(|_, event| {
                if matches!(event, SourceEvent::Idle) && !renamed {
                    renamed = true;
                    let statements =
                        ["ALTER TABLE t RENAME TO \"ta ble\"", "INSERT INTO \"ta ble\" VALUES (2)"];
                    tokio::task::block_in_place(|| {
                        tokio::runtime::Handle::current().block_on(server.execute(&database, &statements))
                    });
                }
                Fate::On
            })
            .await
            .unwrap_err();
        assert_error(&error, ErrorKind::Schema, &[&old, &new, "was renamed"]);
        // Under its new name it is a table of its own.
        mirror.source = source(server, &database, &["public.ta ble"], &[]);
        mirror.catch_up(server, &database).await.unwrap();
        assert_eq!(mirror.table(&new).len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_stops_the_job_or_is_let_be() {
    postgres_both(async |server| {
        let database =
            database(server, &["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["TRUNCATE t", "INSERT INTO t VALUES (2)"]).await;
        assert_error(&mirror.fail().await, ErrorKind::Unsupported, &["public.t", "truncate.policy"]);
        mirror.source = source(server, &database, &["public.t"], &[("truncate.policy", "IGNORE")]);
        mirror.catch_up(server, &database).await.unwrap();
        assert_eq!(mirror.table(&format!("{database}.public.t")).len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_made_anew_under_its_name_stops_the_job() {
    postgres_both(async |server| {
        for change in [
            vec!["ALTER TABLE t DROP a", "ALTER TABLE t ADD a int DEFAULT 9"],
            vec!["BEGIN; ALTER TABLE t RENAME a TO x; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME x TO b; COMMIT"],
        ]
        {
            let statements = ["CREATE TABLE t (id int PRIMARY KEY, a int, b int)", "INSERT INTO t VALUES (1, 1, 2)"];
            let database = database(server, &statements).await;
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[FOLLOW]), &database);
            mirror.catch_up(server, &database).await.unwrap();
            let mut changed = false;
            let error = mirror
                .run(|_, event| {
                    if matches!(event, SourceEvent::Idle) && !changed {
                        changed = true;
                        // A row before, so that the stream knows the table.
                        let mut statements = vec!["INSERT INTO t VALUES (2, 2, 2)"];
                        statements.extend(&change);
                        statements.push("INSERT INTO t VALUES (3, 3, 3)");
                        tokio::task::block_in_place(|| {
                            tokio::runtime::Handle::current().block_on(server.execute(&database, &statements));
                        });
                    }
                    Fate::On
                })
                .await
                .unwrap_err();
            assert_error(&error, ErrorKind::Unsupported, &["column '", "--fresh"]);
            // The same at the next start.
            assert_error(&mirror.fail().await, ErrorKind::Unsupported, &["column '", "--fresh"]);
        }
    })
    .await;
}
