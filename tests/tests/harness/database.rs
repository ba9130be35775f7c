//! Databases on servers of either kind are compared by value.

use culvert_tests::database::{assert_replays, assert_same};
use culvert_tests::{Database, Flavor, PgVersion, postgres_both, postgres_shared, shared};

#[tokio::test]
async fn equal_values_of_two_servers_are_equal() {
    postgres_both(async |server| {
        let there = Database::fresh(server, "same").await;
        let columns = "r float8, b bytea, z boolean, at timestamptz, day timestamp(6), t time(3), c text, e int";
        let values = "(0.1, '\\x00ff', true, '2024-01-01 05:30:00.5+05:30', '2024-01-01', '01:02:03.120', 'é''\"', 0)";
        there
            .run(&[
                &format!("CREATE TABLE \"a.b\" (k int PRIMARY KEY, {columns})"),
                &format!("INSERT INTO \"a.b\" SELECT 1, v.* FROM (VALUES {values}) v (r, b, z, at, day, t, c, e)")
                    .replace("'\\x00ff'", "'\\x00ff'::bytea")
                    .replace("'2024-01-01 05:30:00.5+05:30'", "'2024-01-01 05:30:00.5+05:30'::timestamptz")
                    .replace("'2024-01-01',", "'2024-01-01'::timestamp,")
                    .replace("'01:02:03.120'", "'01:02:03.120'::time"),
                "INSERT INTO \"a.b\" (k) VALUES (2)",
            ])
            .await;
        for flavor in Flavor::ALL {
            let here = Database::fresh(shared(flavor).await, "same").await;
            here.run(&[
                "CREATE TABLE `a.b` (e INT, c TEXT, t TIME(6), day DATETIME(6), at TIMESTAMP(6) NULL, z TINYINT(1), \
                 b VARBINARY(9), r DOUBLE, k INT PRIMARY KEY)",
                "INSERT INTO `a.b` VALUES (0, 'é''\"', '01:02:03.12', '2024-01-01', '2024-01-01 00:00:00.5', 1, \
                 x'00ff', 0.1, 1), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2)",
            ])
            .await;
            assert_same((&there, "a.b"), (&here, "a.b")).await;
            assert_same((&here, "a.b"), (&there, "a.b")).await;
            assert!(!here.has_table("b").await && here.has_table("a.b").await);
        }
        assert!(!there.has_table("b").await && there.has_table("a.b").await);
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "1 only in ")]
async fn a_blank_at_the_end_is_a_difference() {
    let there = Database::fresh(postgres_shared(PgVersion::V17).await, "blank").await;
    let here = Database::fresh(shared(Flavor::MariaDb).await, "blank").await;
    there.run(&["CREATE TABLE t (c text)", "INSERT INTO t VALUES ('a ')"]).await;
    here.run(&["CREATE TABLE t (c TEXT)", "INSERT INTO t VALUES ('a')"]).await;
    assert_same((&there, "t"), (&here, "t")).await;
}

#[tokio::test]
async fn a_log_replays_to_a_table_of_another_server() {
    let there = Database::fresh(postgres_shared(PgVersion::V15).await, "log").await;
    let here = Database::fresh(shared(Flavor::MySql).await, "log").await;
    there.run(&["CREATE TABLE t (k int PRIMARY KEY, z boolean)", "INSERT INTO t VALUES (2, false)"]).await;
    here.run(&[
        "CREATE TABLE t (k INT, z BOOLEAN, row_kind VARCHAR(2), seq BIGINT AUTO_INCREMENT PRIMARY KEY)",
        "INSERT INTO t (k, z, row_kind) VALUES (1, 1, '+I'), (2, 1, '+I'), (2, 1, '-U'), (2, 0, '+U'), (1, 1, '-D')",
    ])
    .await;
    assert_replays((&there, "t"), (&here, "t"), &["k"]).await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let server = culvert_tests::Postgres::start(PgVersion::V17, culvert_tests::PgOptions::default()).await;
    let database = Database::fresh(&server, "lost").await;
    assert_eq!(database.value("SELECT 1").await.as_deref(), Some("1"));
    server.kill9();
    assert!(database.query("SELECT 1").await.is_err());
    server.restart().await;
    assert_eq!(database.value("SELECT 2").await.as_deref(), Some("2"));
    assert!(database.query("SELECT nothing").await.unwrap_err().contains("42703"));
    assert_eq!(database.value("SELECT NULL").await, None);
}
