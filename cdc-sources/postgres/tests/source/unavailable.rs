//! Values that the log leaves out.

use culvert_api::{ErrorKind, RowKind, SourceEvent};
use culvert_tests::postgres_both;

use super::{Fate, Mirror, assert_error, database, rows, source};

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
async fn a_key_that_moves_away_from_a_large_value_leaves_it_to_its_delete() {
    postgres_both(async |server| {
        let insert = format!("INSERT INTO t SELECT g, 0, {LARGE} || g FROM generate_series(1, 3) g");
        let database =
            database(server, &["CREATE TABLE t (id int PRIMARY KEY, v int, big text)", &insert]).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        mirror.keeps_rows = true;
        mirror.catch_up(server, &database).await.unwrap();
        let statements = [
            "UPDATE t SET id = 7 WHERE id = 1",
            "BEGIN; UPDATE t SET id = 9 WHERE id = 2; UPDATE t SET id = 2, v = 1 WHERE id = 3; \
             UPDATE t SET id = 3 WHERE id = 9; COMMIT",
        ];
        server.execute(&database, &statements).await;
        mirror.catch_up(server, &database).await.unwrap();
        let name = format!("{database}.public.t");
        let history = mirror.history(&name);
        let told: Vec<(RowKind, Vec<&str>)> = history[3..]
            .iter()
            .map(|(kind, row)| (*kind, row.keys().map(String::as_str).collect()))
            .collect();
        let pair = [(RowKind::Delete, vec!["id"]), (RowKind::Insert, vec!["id", "v"])];
        assert_eq!(told, pair.iter().cloned().cycle().take(8).collect::<Vec<_>>());
        assert_eq!(
            super::columns(&mirror.table(&name), &["id", "v", "big"]),
            rows(server, &database, "SELECT * FROM t").await
        );
        // More than a batch of them: no batch ends between the two sides.
        let statements = [
            "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
            "INSERT INTO t SELECT -g, 0, repeat('x', 2100) FROM generate_series(1, 4501) g",
            "UPDATE t SET id = id - 10000 WHERE id < 0",
        ];
        server.execute(&database, &statements).await;
        mirror.catch_up(server, &database).await.unwrap();
        assert_eq!(
            super::columns(&mirror.table(&name), &["id", "v", "big"]),
            rows(server, &database, "SELECT * FROM t").await
        );
    })
    .await;
}

/// The target has the row under neither key, and the log does not tell the value.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moves_from_what_is_unread_to_what_is_read_stops_the_job() {
    postgres_both(async |server| {
        let insert = format!("INSERT INTO t SELECT g, g, {LARGE} FROM generate_series(1, 100) g");
        let database =
            database(server, &["CREATE TABLE t (id int PRIMARY KEY, v int, big text)", &insert]).await;
        let pairs = [("snapshot.split.size", "5"), ("snapshot.parallelism", "1")];
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
        mirror
            .run(|_, event| if matches!(event, SourceEvent::Batch(_)) { Fate::Stop } else { Fate::On })
            .await
            .unwrap();
        let read = mirror.table(&format!("{database}.public.t")).len();
        assert!((1..100).contains(&read), "{read}");
        // What is whole, or leaves for what is unread, is no trouble.
        server.execute(&database, &["UPDATE t SET id = 200 WHERE id = 1"]).await;
        server.execute(&database, &["UPDATE t SET id = -1, big = 'told' WHERE id = 99"]).await;
        server.execute(&database, &["UPDATE t SET id = -2 WHERE id = 100"]).await;
        let error = mirror.fail().await;
        let parts = ["public.t", "big", "ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL", "--fresh"];
        assert_error(&error, ErrorKind::Value, &parts);
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
