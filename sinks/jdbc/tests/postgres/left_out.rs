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
use crate::support::{Run, batch, failure};

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
    ChangeBatch { unavailable, ..batch(schema, arrays, kinds) }
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
        run.close().await;
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
    })
    .await;
}
