//! Values that the source's log left out are never overwritten.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, StringArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, ErrorKind, RowKind, RowKindSet, SourceType, TableId, TableSchema, Unavailable,
};
use culvert_tests::postgres_both;

use crate::postgres::support::{lines, sink};
use crate::support::{Run, batch, failure, with_moves};

/// `shop.docs(id int, title text, body text, unit text)`.
fn docs(kinds: RowKindSet) -> Arc<TableSchema> {
    let column = |name: &str, data_type, declared: &str| Column {
        name: name.into(),
        data_type,
        nullable: name != "id",
        source_type: Some(SourceType::postgres(declared)),
    };
    let columns = vec![
        column("id", DataType::Int32, "integer"),
        column("title", DataType::Utf8, "text"),
        column("body", DataType::Utf8, "text"),
        column("unit", DataType::Utf8, "text"),
    ];
    let id = TableId { database: "shop".into(), schema: Some("shop".into()), table: "docs".into() };
    Arc::new(TableSchema::new(id, 1, columns, vec!["id".into()], kinds))
}

/// Rows of kind, id, title, body, unit; `?` is a value the log left out.
fn changes(schema: &Arc<TableSchema>, rows: &[(RowKind, i32, &str, &str, &str)]) -> ChangeBatch {
    let columns: [Vec<&str>; 3] = [
        rows.iter().map(|row| row.2).collect(),
        rows.iter().map(|row| row.3).collect(),
        rows.iter().map(|row| row.4).collect(),
    ];
    let mut arrays: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1)))];
    let mut unavailable = Vec::new();
    for (place, values) in columns.iter().enumerate() {
        arrays.push(Arc::new(StringArray::from_iter(
            values.iter().map(|value| (*value != "?").then_some(*value)),
        )));
        if values.contains(&"?") {
            let bits = BooleanBuffer::collect_bool(values.len(), |row| values[row] == "?");
            unavailable.push(Unavailable { column: place + 1, rows: bits });
        }
    }
    let kinds = rows.iter().map(|row| row.0).collect();
    with_moves(ChangeBatch { unavailable, ..batch(schema, arrays, kinds) })
}

const I: RowKind = RowKind::Insert;
const U: RowKind = RowKind::UpdateAfter;
const D: RowKind = RowKind::Delete;

fn kinds() -> RowKindSet {
    RowKindSet::of(&[I, U, D])
}

const SHOW: &str = "SELECT id, title, body, unit FROM shop.docs ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn the_target_keeps_what_the_log_left_out() {
    postgres_both(async |server| {
        let db = server.fresh_database("toast").await;
        let schema = docs(kinds());
        for pairs in [&[][..], &[("enable_upsert", "false")]] {
            let sink =
                sink(server, &db, &[pairs, &[("schema_save_mode", "RECREATE_SCHEMA")]].concat()).unwrap();
            culvert_api::Sink::forget(&sink, crate::support::JOB, crate::support::SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&schema)).await.unwrap();
            let first =
                [(I, 1, "a", "A", "x"), (I, 2, "b", "B", "x"), (I, 3, "c", "C", "x"), (I, 4, "d", "D", "x")];
            run.deliver(changes(&schema, &first)).await.unwrap();
            // Within one flush: over what the target has, over an earlier row, over each other.
            let second = [
                (U, 1, "a2", "?", "?"),
                (U, 2, "b2", "?", "y"),
                (I, 5, "e", "E", "x"),
                (U, 5, "e2", "?", "x"),
                (U, 1, "?", "A2", "?"),
                (U, 3, "c2", "?", "?"),
                (U, 3, "?", "?", "z"),
                (D, 4, "?", "?", "?"),
            ];
            run.deliver(changes(&schema, &second)).await.unwrap();
            let expected = ["1 a2 A2 x", "2 b2 B y", "3 c2 C z", "5 e2 E x"];
            assert_eq!(lines(server, &db, SHOW).await, expected, "{pairs:?}");
            // Nothing but the key is known.
            run.deliver(changes(&schema, &[(U, 5, "?", "?", "?")])).await.unwrap();
            assert_eq!(lines(server, &db, SHOW).await, expected, "{pairs:?}");
            run.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_further_unique_indexes_too() {
    postgres_both(async |server| {
        let db = server.fresh_database("toastswap").await;
        let schema = docs(kinds());
        server
            .execute(
                &db,
                &[
                    "CREATE SCHEMA shop",
                    "CREATE TABLE shop.docs (id int PRIMARY KEY, title text UNIQUE, body text, unit text)",
                ],
            )
            .await;
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&schema)).await.unwrap();
        run.deliver(changes(&schema, &[(I, 1, "a", "A", "x"), (I, 2, "b", "B", "x")])).await.unwrap();
        let chain = [(D, 1, "?", "?", "?"), (U, 2, "a", "?", "y"), (I, 3, "b", "C", "x")];
        run.deliver(changes(&schema, &chain)).await.unwrap();
        assert_eq!(lines(server, &db, SHOW).await, ["2 a B y", "3 b C x"]);
        // Unique values are exchanged, and pass on to rows that move.
        let exchange = [
            (U, 2, "t", "?", "y"),
            (U, 3, "a", "?", "x"),
            (U, 2, "b", "?", "y"),
            (D, 2, "?", "?", "?"),
            (I, 4, "t", "?", "y"),
            (D, 3, "?", "?", "?"),
            (I, 2, "b", "?", "x"),
            (I, 3, "a", "N", "x"),
        ];
        run.deliver(changes(&schema, &exchange)).await.unwrap();
        assert_eq!(lines(server, &db, SHOW).await, ["2 b C x", "3 a N x", "4 t B y"]);
        let exchange = [(U, 2, "t2", "?", "?"), (U, 3, "b", "?", "?"), (U, 2, "a", "?", "?")];
        run.deliver(changes(&schema, &exchange)).await.unwrap();
        assert_eq!(lines(server, &db, SHOW).await, ["2 a C x", "3 b N x", "4 t B y"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_takes_along_under_its_new_key_what_the_log_left_out() {
    postgres_both(async |server| {
        let db = server.fresh_database("toastmove").await;
        let schema = docs(kinds());
        for pairs in [&[][..], &[("enable_upsert", "false")], &[("batch_size", "1")], &[("batch_size", "3")]]
        {
            let sink =
                sink(server, &db, &[pairs, &[("schema_save_mode", "RECREATE_SCHEMA")]].concat()).unwrap();
            culvert_api::Sink::forget(&sink, crate::support::JOB, crate::support::SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&schema)).await.unwrap();
            let first =
                [(I, 1, "a", "A", "x"), (I, 2, "b", "B", "x"), (I, 3, "c", "C", "x"), (I, 4, "d", "D", "x")];
            run.deliver(changes(&schema, &first)).await.unwrap();
            let second = [
                // From key to key, another row under the first of them, and an update at the last.
                (D, 1, "?", "?", "?"),
                (I, 5, "a2", "?", "?"),
                (D, 5, "?", "?", "?"),
                (I, 7, "?", "?", "y"),
                (I, 1, "n", "N", "x"),
                (U, 7, "a3", "?", "?"),
                // Two rows change places.
                (D, 2, "?", "?", "?"),
                (I, 9, "b", "?", "x"),
                (D, 3, "?", "?", "?"),
                (I, 2, "c", "?", "x"),
                (D, 9, "?", "?", "?"),
                (I, 3, "b2", "?", "x"),
                // Away, and gone.
                (D, 4, "?", "?", "?"),
                (I, 8, "d", "?", "x"),
                (D, 8, "?", "?", "?"),
                // New, changed, and away, in one flush.
                (I, 10, "e", "E", "x"),
                (U, 10, "?", "?", "y"),
                (D, 10, "?", "?", "?"),
                (I, 11, "e", "?", "?"),
            ];
            run.deliver(changes(&schema, &second)).await.unwrap();
            let expected = ["1 n N x", "2 c C x", "3 b2 B x", "7 a3 A y", "11 e E y"];
            assert_eq!(lines(server, &db, SHOW).await, expected, "{pairs:?}");
            // In a checkpoint of its own.
            run.deliver(changes(&schema, &[(D, 7, "?", "?", "?"), (I, 1000, "?", "?", "?")])).await.unwrap();
            run.deliver(changes(&schema, &[(D, 1000, "?", "?", "?"), (I, 7, "?", "?", "?")])).await.unwrap();
            assert_eq!(lines(server, &db, SHOW).await, expected, "{pairs:?}");
            run.close().await;
        }
    })
    .await;
}

/// A key that the server compares, so that rows carry their number.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_only_the_server_tells_apart_move_too() {
    postgres_both(async |server| {
        let db = server.fresh_database("toastfloat").await;
        let schema = docs(kinds());
        let create = "CREATE TABLE shop.docs (id float8 PRIMARY KEY, title text, body text, unit text)";
        server.execute(&db, &["CREATE SCHEMA shop", create]).await;
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&schema)).await.unwrap();
        run.deliver(changes(&schema, &[(I, 1, "a", "A", "x"), (I, 2, "b", "B", "x")])).await.unwrap();
        let changed = [
            (D, 1, "?", "?", "?"),
            (I, 3, "a", "?", "x"),
            (D, 2, "?", "?", "?"),
            (I, 1, "b", "?", "x"),
            (D, 3, "?", "?", "?"),
            (I, 2, "a2", "?", "y"),
            (U, 1, "b2", "?", "?"),
        ];
        run.deliver(changes(&schema, &changed)).await.unwrap();
        assert_eq!(lines(server, &db, SHOW).await, ["1 b2 B x", "2 a2 A y"]);
        run.close().await;
    })
    .await;
}

/// Children that a parent's new key was handed on to.
#[tokio::test(flavor = "multi_thread")]
async fn with_foreign_keys_too() {
    postgres_both(async |server| {
        for action in ["", "ON UPDATE CASCADE", "ON DELETE CASCADE"] {
            let db = server.fresh_database("toastchild").await;
            server
                .execute(
                    &db,
                    &[
                        "CREATE SCHEMA shop",
                        "CREATE TABLE shop.docs (id int PRIMARY KEY, title text, body text, unit text)",
                        &format!(
                            "CREATE TABLE shop.parts (id int PRIMARY KEY REFERENCES shop.docs {action}, title text, \
                             body text, unit text)"
                        ),
                    ],
                )
                .await;
            let docs = docs(kinds());
            let id = TableId { table: "parts".into(), ..docs.id.clone() };
            let parts = Arc::new(TableSchema { id, ..(*docs).clone() });
            let sink = sink(server, &db, &[]).unwrap();
            let mut run = Run::start(&sink, &[parts.clone(), docs.clone()]).await.unwrap();
            let first = [(I, 1, "a", "A", "x"), (I, 2, "b", "B", "x")];
            run.write(changes(&docs, &first)).await.unwrap();
            run.deliver(changes(&parts, &first)).await.unwrap();
            let moved = [(D, 1, "?", "?", "?"), (I, 5, "a", "?", "x")];
            run.write(changes(&docs, &moved)).await.unwrap();
            run.deliver(changes(&parts, &moved)).await.unwrap();
            let expected = ["2 b B x", "5 a A x"];
            assert_eq!(lines(server, &db, SHOW).await, expected, "{action}");
            assert_eq!(lines(server, &db, &SHOW.replace("docs", "parts")).await, expected, "{action}");
            run.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_completed_stops_the_job() {
    postgres_both(async |server| {
        let db = server.fresh_database("toastless").await;
        let schema = docs(kinds());
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&schema)).await.unwrap();
        let error = failure(run.deliver(changes(&schema, &[(U, 9, "secret", "?", "x")])).await);
        assert_eq!(error.kind(), ErrorKind::Value, "{error}");
        assert!(error.to_string().contains("ALTER TABLE \"shop\".\"docs\" REPLICA IDENTITY FULL"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        // Nothing can be committed any more.
        assert!(run.commit().await.is_err());
        run.close().await;
        assert_eq!(lines(server, &db, SHOW).await, Vec::<String>::new());

        let mut run = Run::open(&sink, 2).await.unwrap();
        run.deliver(changes(&schema, &[(I, 9, "a", "A", "x")])).await.unwrap();
        let gone = changes(&schema, &[(D, 9, "?", "?", "?"), (U, 9, "b", "?", "x")]);
        assert_eq!(failure(run.deliver(gone).await).kind(), ErrorKind::Value);
        run.close().await;

        // Under a new key, of a row that the target does not have, or had.
        for (epoch, gone) in [(3, &[][..]), (4, &[(D, 9, "?", "?", "?")])] {
            let mut run = Run::open(&sink, epoch).await.unwrap();
            let moved = [(D, if gone.is_empty() { 7 } else { 9 }, "?", "?", "?"), (I, 8, "secret", "?", "x")];
            let error = failure(run.deliver(changes(&schema, &[gone, &moved].concat())).await);
            assert_eq!(error.kind(), ErrorKind::Value, "{error}");
            let text = error.to_string();
            assert!(text.contains("shop.docs") && text.contains("REPLICA IDENTITY FULL"), "{text}");
            assert!(text.contains("no row of that key") && text.contains("body"), "{text}");
            assert!(!text.contains("secret"), "{text}");
            assert!(run.commit().await.is_err());
            run.close().await;
            assert_eq!(lines(server, &db, SHOW).await, ["9 a A x"]);
        }
        // Not behind its delete: a filter took that away, or it is another row's.
        for (epoch, others) in [(5, &[][..]), (6, &[(D, 9, "?", "?", "?")])] {
            let mut run = Run::open(&sink, epoch).await.unwrap();
            let mut batch = changes(&schema, &[others, &[(I, 8, "secret", "?", "x")]].concat());
            let events = 0..batch.positions.len();
            batch.positions.iter_mut().zip(events).for_each(|(position, event)| {
                (position.event, position.row) = (event as u32, 0);
            });
            let text = failure(run.deliver(batch).await).to_string();
            assert!(text.contains("`body`") && text.contains("REPLICA IDENTITY FULL"), "{text}");
            run.close().await;
            assert_eq!(lines(server, &db, SHOW).await, ["9 a A x"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_log_needs_whole_rows() {
    postgres_both(async |server| {
        let db = server.fresh_database("toastlog").await;
        let schema = docs(RowKindSet::INSERT_ONLY);
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&schema)).await.unwrap();
        run.deliver(changes(&schema, &[(I, 1, "a", "A", "x"), (I, 1, "a", "A", "x")])).await.unwrap();
        let error = failure(run.deliver(changes(&schema, &[(I, 1, "b", "?", "x")])).await);
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(
            error.to_string().contains("`body`") && error.to_string().contains("REPLICA IDENTITY FULL"),
            "{error}"
        );
        run.close().await;
        // By a key, too: which row of the history the value stands in, nobody can say.
        let db = server.fresh_database("toastkeyed").await;
        let create = "CREATE TABLE shop.docs (id int PRIMARY KEY, title text, body text, unit text)";
        server
            .execute(&db, &["CREATE SCHEMA shop", create, "INSERT INTO shop.docs VALUES (1, 'a', 'A', 'x')"])
            .await;
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&schema)).await.unwrap();
        let error = failure(run.deliver(changes(&schema, &[(I, 1, "b", "?", "x")])).await);
        assert!(error.to_string().contains("`body`"), "{error}");
        run.close().await;
        assert_eq!(lines(server, &db, SHOW).await, ["1 a A x"]);
    })
    .await;
}
