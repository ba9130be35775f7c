//! Values that the log leaves out.

use culvert_api::{ErrorKind, RowKind};
use culvert_tests::postgres_both;

use super::{Mirror, assert_error, database, rows, source};

/// A value that is stored out of line.
const LARGE: &str = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 500) g)";

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_large_values_are_unavailable_and_never_null() {
    postgres_both(async |server| {
        let insert = format!("INSERT INTO t SELECT g, 0, {LARGE} FROM generate_series(1, 3) g");
        let database =
            database(server, &["CREATE TABLE t (id int PRIMARY KEY, v int, big text NOT NULL)", &insert])
                .await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.keeps_rows = true;
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "UPDATE t SET v = 1 WHERE id = 1",
                    "UPDATE t SET big = 'short' WHERE id = 2",
                    "DELETE FROM t WHERE id = 3",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let name = format!("{database}.public.t");
        let history = mirror.history(&name);
        let last: Vec<(RowKind, Vec<&str>)> = history[3..]
            .iter()
            .map(|(kind, row)| (*kind, row.keys().map(String::as_str).collect()))
            .collect();
        assert_eq!(
            last,
            [
                (RowKind::UpdateAfter, vec!["id", "v"]),
                (RowKind::UpdateAfter, vec!["big", "id", "v"]),
                (RowKind::Delete, vec!["id"]),
            ]
        );
        assert_eq!(
            super::columns(&mirror.table(&name), &["id", "v", "big"]),
            rows(server, &database, "SELECT * FROM t").await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_identity_tells_everything() {
    postgres_both(async |server| {
        let insert = format!("INSERT INTO t SELECT g, 0, {LARGE} FROM generate_series(1, 3) g");
        let database = database(
            server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY, v int, big text)",
                "ALTER TABLE t REPLICA IDENTITY FULL",
                &insert,
            ],
        )
        .await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.keeps_rows = true;
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "UPDATE t SET v = 1 WHERE id = 1",
                    "UPDATE t SET id = 9 WHERE id = 2",
                    "DELETE FROM t WHERE id = 3",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let name = format!("{database}.public.t");
        let history = mirror.history(&name);
        let kinds: Vec<&str> = history[3..].iter().map(|(kind, _)| kind.short()).collect();
        assert_eq!(kinds, ["-U", "+U", "-D", "+I", "-D"]);
        assert!(history.iter().all(|(_, row)| row.len() == 3));
        assert_eq!(
            super::columns(&mirror.table(&name), &["id", "v", "big"]),
            rows(server, &database, "SELECT * FROM t").await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_moves_away_from_a_large_value_stops_the_job() {
    postgres_both(async |server| {
        let insert = format!("INSERT INTO t SELECT g, {LARGE} FROM generate_series(1, 3) g");
        let database = database(server, &["CREATE TABLE t (id int PRIMARY KEY, big text)", &insert]).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["UPDATE t SET id = 7 WHERE id = 1"]).await;
        let error = mirror.fail().await;
        assert_error(
            &error,
            ErrorKind::Value,
            &["public.t", "ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL"],
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_key_is_known_although_it_did_not_change() {
    postgres_both(async |server| {
        let statements = [
            "CREATE TABLE t (id text PRIMARY KEY, v int)",
            "ALTER TABLE t ALTER id SET STORAGE EXTERNAL",
            "INSERT INTO t VALUES (repeat('k', 2500), 0)",
        ];
        let database = database(server, &statements).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &["UPDATE t SET v = 1", "UPDATE t SET id = repeat('l', 2600)", "UPDATE t SET v = 2"],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        assert_eq!(super::columns(&found, &["id", "v"]), rows(server, &database, "SELECT * FROM t").await);
    })
    .await;
}
