//! Rows whose order among each other matters to the target, when more of them come than one flush takes.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, StringArray};
use culvert_api::{ErrorKind, RowKind, RowKindSet, TableSchema};
use culvert_tests::postgres_both;

use crate::postgres::support::{lines, sink};
use crate::support::{Run, batch, failure, people, rows};

const ALL: RowKindSet = RowKindSet::ALL;

/// `orders`, and ten `items` of each that refer to it by a key that cannot wait.
const TABLES: [&str; 2] = [
    "CREATE TABLE orders (id int PRIMARY KEY, name text)",
    "CREATE TABLE items (id int PRIMARY KEY, name text, \"order\" int GENERATED ALWAYS AS (id / 10) STORED \
     REFERENCES orders)",
];

/// Rows with these ids, all of one kind.
fn numbered(
    schema: &Arc<TableSchema>,
    kind: RowKind,
    ids: std::ops::Range<i32>,
    name: &str,
) -> culvert_api::ChangeBatch {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(ids.clone().map(|_| name)));
    let kinds = vec![kind; ids.len()];
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(ids));
    batch(schema, vec![ids, names], kinds)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_wait_get_their_order_within_a_checkpoint() {
    postgres_both(async |server| {
        let db = server.fresh_database("order").await;
        server.execute(&db, &TABLES).await;
        let (orders, items) = (people("orders", &["id"], ALL), people("items", &["id"], ALL));
        // As a source does that gathers per table: full batches first, the rest by the tables' names.
        let options = [("batch_size", "100"), ("batch_interval_ms", "0")];
        let mut run = Run::start(&sink(server, &db, &options).unwrap(), &[orders.clone(), items.clone()])
            .await
            .unwrap();
        for first in (10..20_010).step_by(1000) {
            run.write(numbered(&items, RowKind::Insert, first..first + 1000, "i")).await.unwrap();
            run.open.writer.flush().await.unwrap();
        }
        run.deliver(numbered(&orders, RowKind::Insert, 1..2001, "o")).await.unwrap();
        let counts = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM items)";
        assert_eq!(lines(server, &db, counts).await, ["2000 20000"]);
        // And away again, parents before children.
        run.write(numbered(&orders, RowKind::Delete, 1..2001, "o")).await.unwrap();
        run.open.writer.flush().await.unwrap();
        run.deliver(numbered(&items, RowKind::Delete, 10..20_010, "i")).await.unwrap();
        assert_eq!(lines(server, &db, counts).await, ["0 0"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_values_shift_along_a_whole_table() {
    postgres_both(async |server| {
        let db = server.fresh_database("shift").await;
        server.execute(&db, &["CREATE TABLE w (id int PRIMARY KEY, name text UNIQUE)"]).await;
        let source = people("w", &["id"], ALL);
        let options = [("batch_size", "100"), ("batch_interval_ms", "0")];
        let sink = sink(server, &db, &options).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let shifted = |kind: &'static str, by: i32| {
            let places: Vec<(i32, String)> = (0..20_000).map(|id| (id, (id + by).to_string())).collect();
            let rows: Vec<(&str, i32, &str)> =
                places.iter().map(|(id, place)| (kind, *id, place.as_str())).collect();
            crate::support::rows(&source, &rows)
        };
        run.deliver(shifted("+I", 0)).await.unwrap();
        run.write(shifted("+U", 1)).await.unwrap();
        run.open.writer.flush().await.unwrap();
        run.commit().await.unwrap();
        let right = "SELECT count(*) FROM w WHERE name = (id + 1)::text";
        assert_eq!(lines(server, &db, right).await, ["20000"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_too_many_to_wait_say_which_limit_sent_them() {
    postgres_both(async |server| {
        let db = server.fresh_database("early").await;
        server.execute(&db, &TABLES).await;
        let (orders, items) = (people("orders", &["id"], ALL), people("items", &["id"], ALL));
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, &[orders.clone(), items.clone()]).await.unwrap();
        let large = "x".repeat(1024 * 1024);
        let error = failure(
            async {
                for id in 10..50 {
                    run.write(rows(&items, &[("+I", id, &large)])).await?;
                }
                run.deliver(numbered(&orders, RowKind::Insert, 1..5, "o")).await
            }
            .await,
        );
        assert_eq!(error.kind(), ErrorKind::Value, "{error}");
        let hint = error.hint_text().unwrap_or_default();
        assert!(hint.contains("32 MiB of one table") && hint.contains("DEFERRABLE"), "{error}");
        run.close().await;

        // What it advises helps.
        server.execute(&db, &["ALTER TABLE items ALTER CONSTRAINT items_order_fkey DEFERRABLE"]).await;
        let mut run = Run::open(&sink, 2).await.unwrap();
        run.open.writer.prepare_tables(&[orders.clone(), items.clone()], true).await.unwrap();
        for id in 10..50 {
            run.write(rows(&items, &[("+I", id, &large)])).await.unwrap();
        }
        run.deliver(numbered(&orders, RowKind::Insert, 1..5, "o")).await.unwrap();
        assert_eq!(lines(server, &db, "SELECT count(*) FROM items").await, ["40"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_changes_its_parent_survives_the_cascade_of_the_old_one() {
    postgres_both(async |server| {
        let db = server.fresh_database("cascade").await;
        server
            .execute(
                &db,
                &[
                    "CREATE TABLE orders (id int PRIMARY KEY, name text)",
                    "CREATE TABLE items (id int PRIMARY KEY, name text, own int DEFAULT 7, \
                     \"order\" int GENERATED ALWAYS AS (name::int) STORED REFERENCES orders ON DELETE CASCADE DEFERRABLE)",
                    "INSERT INTO orders VALUES (1, 'a'), (2, 'b')",
                    "INSERT INTO items (id, name, own) VALUES (10, '1', 8)",
                ],
            )
            .await;
        let (orders, items) = (people("orders", &["id"], ALL), people("items", &["id"], ALL));
        let sink = sink(server, &db, &[("batch_size", "1")]).unwrap();
        let mut run = Run::start(&sink, &[orders.clone(), items.clone()]).await.unwrap();
        run.write(rows(&orders, &[("-D", 1, "a")])).await.unwrap();
        run.deliver(rows(&items, &[("+U", 10, "2")])).await.unwrap();
        assert_eq!(lines(server, &db, "SELECT id, name, own FROM items").await, ["10 2 8"]);
        run.close().await;
    })
    .await;
}
