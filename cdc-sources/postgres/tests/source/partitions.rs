//! Partitions: rows of their table, with an identity of their own.

use culvert_api::{ErrorKind, Source as _};
use culvert_tests::postgres_both;

use super::{Fate, Mirror, assert_error, database, rows, source};

/// A table of two partitions, each with a row.
const PARTITIONED: &[&str] = &[
    "CREATE TABLE p (id int, r int, u int NOT NULL, PRIMARY KEY (id, r)) PARTITION BY LIST (r)",
    "CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1)",
    "CREATE TABLE p_2 PARTITION OF p FOR VALUES IN (2)",
    "INSERT INTO p VALUES (1, 1, 10), (2, 2, 20)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_logs_another_key_is_refused() {
    postgres_both(async |server| {
        let database = database(server, PARTITIONED).await;
        server
            .execute(
                &database,
                &[
                    "CREATE UNIQUE INDEX p_1_u ON p_1 (u)",
                    "ALTER TABLE p_1 REPLICA IDENTITY USING INDEX p_1_u",
                ],
            )
            .await;
        let source_of = || source(server, &database, &["public.p"], &[]);
        let statement = "ALTER TABLE \"public\".\"p_1\" REPLICA IDENTITY FULL";
        let error = source_of().tables(None).await.unwrap_err();
        assert_error(&error, ErrorKind::Schema, &["public.p_1", "logs u", "id, r", statement]);
        // The other way around: the table's key is another index, and a partition has its own.
        server
            .execute(
                &database,
                &[
                    "ALTER TABLE p_1 REPLICA IDENTITY DEFAULT",
                    "CREATE UNIQUE INDEX p_u ON p (u, r)",
                    "ALTER TABLE p ALTER u SET NOT NULL",
                    "ALTER TABLE p REPLICA IDENTITY USING INDEX p_u",
                ],
            )
            .await;
        let error = source_of().tables(None).await.unwrap_err();
        assert_error(&error, ErrorKind::Schema, &["public.p_1", "logs id, r", "u, r"]);
        // All of it, or the right index.
        server
            .execute(
                &database,
                &[
                    "ALTER TABLE p_1 REPLICA IDENTITY FULL",
                    "ALTER TABLE p_2 REPLICA IDENTITY USING INDEX p_2_u_r_idx",
                ],
            )
            .await;
        let mut mirror = Mirror::new(source_of(), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "UPDATE p SET u = 11, id = 5 WHERE r = 1",
                    "UPDATE p SET u = 21, id = 6 WHERE r = 2",
                    "INSERT INTO p VALUES (7, 1, 70), (8, 2, 80)",
                    "DELETE FROM p WHERE u > 50",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.p"));
        assert_eq!(
            super::columns(&found, &["id", "r", "u"]),
            rows(server, &database, "SELECT * FROM p").await
        );
    })
    .await;
}

/// Its rows can be followed as long as they are inserted, and once it has the right identity.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_joins_with_another_key_stops_the_job_at_a_change() {
    postgres_both(async |server| {
        let database = database(server, PARTITIONED).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.p"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        let joins = [
            "CREATE TABLE p_3 PARTITION OF p FOR VALUES IN (3)",
            "CREATE UNIQUE INDEX p_3_u ON p_3 (u)",
            "ALTER TABLE p_3 REPLICA IDENTITY USING INDEX p_3_u",
            "INSERT INTO p VALUES (3, 3, 30)",
        ];
        server.execute(&database, &joins).await;
        server
            .execute(
                &database,
                &[
                    "ALTER TABLE p_3 REPLICA IDENTITY DEFAULT",
                    "UPDATE p SET id = 4 WHERE r = 3",
                    "DELETE FROM p WHERE r = 1",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.p"));
        assert_eq!(
            super::columns(&found, &["id", "r", "u"]),
            rows(server, &database, "SELECT * FROM p").await
        );
        server
            .execute(
                &database,
                &[
                    "ALTER TABLE p_3 REPLICA IDENTITY USING INDEX p_3_u",
                    "UPDATE p SET id = 5 WHERE r = 3",
                    "ALTER TABLE p_3 REPLICA IDENTITY DEFAULT",
                ],
            )
            .await;
        let error = mirror.fail().await;
        assert_error(
            &error,
            ErrorKind::Schema,
            &["public.p_3", "logs u", "REPLICA IDENTITY FULL", "--fresh"],
        );
    })
    .await;
}

/// What changes a partitioned table without a row in the log, and the partition it is about.
const UNTOLD: [(&str, &[&str], &str); 4] = [
    ("p_1", &["DROP TABLE p_1"], "dropped or detached"),
    ("p_2", &["ALTER TABLE p DETACH PARTITION p_2"], "dropped or detached"),
    ("p_3", &["TRUNCATE p_3"], "truncated"),
    (
        "p_4",
        &[
            "CREATE TABLE p_4 (LIKE p INCLUDING ALL)",
            "INSERT INTO p_4 VALUES (4, 4, 40)",
            "ALTER TABLE p ATTACH PARTITION p_4 FOR VALUES IN (4)",
        ],
        "attached as a table that had rows",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_changes_its_table_without_the_log_stops_the_job() {
    postgres_both(async |server| {
        let database = database(server, PARTITIONED).await;
        server
            .execute(
                &database,
                &["CREATE TABLE p_3 PARTITION OF p FOR VALUES IN (3)", "INSERT INTO p VALUES (3, 3, 30)"],
            )
            .await;
        let with =
            |policy: &'static str| source(server, &database, &["public.p"], &[("truncate.policy", policy)]);
        let mut mirror = Mirror::new(with("FAIL"), &database);
        mirror.catch_up(server, &database).await.unwrap();
        for (leaf, statements, said) in UNTOLD {
            server.execute(&database, statements).await;
            let parts = [said, &format!("public.{leaf}"), "public.p", "truncate.policy = IGNORE"];
            assert_error(&mirror.fail().await, ErrorKind::Unsupported, &parts);
            // Past this place, and never again.
            mirror.source = with("IGNORE");
            mirror.catch_up(server, &database).await.unwrap();
            mirror.source = with("FAIL");
            mirror.catch_up(server, &database).await.unwrap();
        }
    })
    .await;
}

/// The usual ways to add a partition, and to write one anew.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_join_empty_stop_nothing() {
    postgres_both(async |server| {
        let database = database(server, PARTITIONED).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.p"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "CREATE TABLE p_3 PARTITION OF p FOR VALUES IN (3, 4, 5) PARTITION BY LIST (r)",
                    "CREATE TABLE p_3_3 PARTITION OF p_3 FOR VALUES IN (3)",
                    "CREATE TABLE p_3_4 (LIKE p INCLUDING ALL)",
                    "ALTER TABLE p_3 ATTACH PARTITION p_3_4 FOR VALUES IN (4)",
                    "CREATE TABLE p_6 PARTITION OF p FOR VALUES IN (6)",
                    "INSERT INTO p SELECT g, 1 + g % 4, g FROM generate_series(100, 2000) g",
                    "DELETE FROM p WHERE r = 2 AND id < 1000",
                    "VACUUM FULL p_2",
                    "VACUUM FREEZE p_3_4",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["ALTER TABLE p_6 ADD CHECK (u > 0)", "VACUUM FULL p_6"]).await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.p"));
        assert_eq!(
            super::columns(&found, &["id", "r", "u"]),
            rows(server, &database, "SELECT * FROM p").await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_dropped_while_the_job_runs_is_noticed() {
    postgres_both(async |server| {
        let database = database(server, PARTITIONED).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.p"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        let mut done = false;
        let statements = [
            "CREATE TABLE p_3 PARTITION OF p FOR VALUES IN (3)",
            "INSERT INTO p VALUES (3, 3, 30)",
            "DROP TABLE p_1",
        ];
        let error = mirror
            .run(|_, event| {
                if matches!(event, culvert_api::SourceEvent::Idle) && !done {
                    done = true;
                    let executing = server.execute(&database, &statements);
                    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(executing));
                }
                Fate::On
            })
            .await
            .unwrap_err();
        assert_error(&error, ErrorKind::Unsupported, &["public.p_1", "dropped or detached", "public.p"]);
    })
    .await;
}
