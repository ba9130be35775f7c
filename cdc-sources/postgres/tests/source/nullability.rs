//! Columns that take NULL from some place of the log on, or took it up to one.

use culvert_tests::{Postgres, postgres_both};

use super::{Mirror, database, rows, source};

const FOLLOW: (&str, &str) = ("schema-changes.enabled", "true");

async fn assert_mirrored(mirror: &Mirror, server: &Postgres, database: &str) {
    let found = mirror.table(&format!("{database}.public.t"));
    let expected = rows(server, database, "SELECT id, a, b FROM t").await;
    assert_eq!(super::columns(&found, &["id", "a", "b"]), expected);
}

const DROPPED: [&str; 2] = [
    "ALTER TABLE \"public\".\"t\" ALTER COLUMN \"a\" DROP NOT NULL",
    "ALTER TABLE \"public\".\"t\" ALTER COLUMN \"b\" DROP NOT NULL",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_takes_null_from_now_on_does_so_at_the_target() {
    postgres_both(async |server| {
        for follow in [true, false] {
            let statements = [
                "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b text NOT NULL)",
                "INSERT INTO t VALUES (1, 1, 'x')",
            ];
            let database = database(server, &statements).await;
            let pairs: &[(&str, &str)] = if follow { &[FOLLOW] } else { &[] };
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], pairs), &database);
            mirror.catch_up(server, &database).await.unwrap();
            // Behind a row, so that the log tells the table's shape again.
            server
                .execute(
                    &database,
                    &[
                        "INSERT INTO t VALUES (2, 2, 'y')",
                        "BEGIN; INSERT INTO t VALUES (3, 3, 'z'); ALTER TABLE t ALTER a DROP NOT NULL; \
                         INSERT INTO t VALUES (4, 4, 'a'), (5, NULL, 'b'); UPDATE t SET a = NULL WHERE id = 1; COMMIT",
                    ],
                )
                .await;
            mirror.catch_up(server, &database).await.unwrap();
            assert_mirrored(&mirror, server, &database).await;
            // While the job stands still: the first shape of the next stream is of after the change.
            server
                .execute(
                    &database,
                    &["ALTER TABLE t ALTER b DROP NOT NULL", "INSERT INTO t VALUES (6, 6, 'c'), (7, NULL, NULL)"],
                )
                .await;
            mirror.catch_up(server, &database).await.unwrap();
            assert_mirrored(&mirror, server, &database).await;
            assert_eq!(mirror.changes(), if follow { &DROPPED[..] } else { &[] });
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nulls_in_the_log_of_a_column_that_takes_none_by_now_arrive() {
    postgres_both(async |server| {
        for follow in [true, false] {
            let statements = [
                "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b text NOT NULL)",
                "ALTER TABLE t REPLICA IDENTITY FULL",
                "INSERT INTO t VALUES (1, 1, 'x')",
            ];
            let database = database(server, &statements).await;
            let pairs: &[(&str, &str)] = if follow { &[FOLLOW] } else { &[] };
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], pairs), &database);
            mirror.catch_up(server, &database).await.unwrap();
            server
                .execute(
                    &database,
                    &[
                        "INSERT INTO t VALUES (2, 2, 'y')",
                        "ALTER TABLE t ALTER a DROP NOT NULL, ALTER b DROP NOT NULL",
                        "INSERT INTO t VALUES (3, NULL, NULL), (4, NULL, 'z')",
                        "DELETE FROM t WHERE id = 3",
                        "UPDATE t SET a = 4 WHERE id = 4",
                        "ALTER TABLE t ALTER a SET NOT NULL, ALTER b SET NOT NULL",
                        "INSERT INTO t VALUES (5, 5, 'e')",
                    ],
                )
                .await;
            mirror.catch_up(server, &database).await.unwrap();
            assert_mirrored(&mirror, server, &database).await;
            // What was loosened stays so.
            server.execute(&database, &["ALTER TABLE t ALTER a SET NOT NULL", "INSERT INTO t VALUES (6, 6, 'f')"]).await;
            mirror.catch_up(server, &database).await.unwrap();
            assert_mirrored(&mirror, server, &database).await;
            let both = ["ALTER TABLE \"public\".\"t\" ALTER COLUMN \"a\" DROP NOT NULL, ALTER COLUMN \"b\" DROP NOT NULL"];
            assert_eq!(mirror.changes(), if follow { &both[..] } else { &[] });
        }
    })
    .await;
}

/// A job that begins behind a place of the log knows the tables as they are now only.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_further_back_meets_nulls() {
    postgres_both(async |server| {
        let database = database(server, &["CREATE TABLE t (id int PRIMARY KEY, a int, b text)"]).await;
        let slot = database.as_str();
        server
            .execute(
                &database,
                &[
                    "CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root = true)",
                    &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
                    "INSERT INTO t VALUES (1, NULL, NULL), (2, NULL, 'x')",
                    "UPDATE t SET a = id, b = 'now'",
                    "ALTER TABLE t ALTER a SET NOT NULL, ALTER b SET NOT NULL",
                    "INSERT INTO t VALUES (3, 3, 'y')",
                ],
            )
            .await;
        let pairs = [("slot.name", slot), ("publication.name", "p"), ("startup.mode", "COMMITTED-OFFSET")];
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
        mirror.catch_up(server, &database).await.unwrap();
        assert_mirrored(&mirror, server, &database).await;
    })
    .await;
}

/// A chunk finds rows that the shape of the job's start does not allow.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_meets_nulls() {
    postgres_both(async |server| {
        for follow in [true, false] {
            let statements = [
                "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b text NOT NULL)",
                "INSERT INTO t SELECT g, g, 'x' FROM generate_series(1, 100) g",
            ];
            let database = database(server, &statements).await;
            let mut pairs = vec![("snapshot.split.size", "10"), ("snapshot.parallelism", "1")];
            pairs.extend(follow.then_some(FOLLOW));
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
            let mut finished = 0;
            let change = ["ALTER TABLE t ALTER a DROP NOT NULL", "UPDATE t SET a = NULL WHERE id % 7 = 0"];
            mirror
                .run(|_, event| {
                    finished += usize::from(matches!(event, culvert_api::SourceEvent::SplitFinished(_)));
                    if finished != 2 {
                        return super::Fate::On;
                    }
                    super::meanwhile(server, &database, &change);
                    super::Fate::Stop
                })
                .await
                .unwrap();
            mirror.catch_up(server, &database).await.unwrap();
            assert_mirrored(&mirror, server, &database).await;
            assert_eq!(mirror.changes(), if follow { &DROPPED[..1] } else { &[] });
        }
    })
    .await;
}
