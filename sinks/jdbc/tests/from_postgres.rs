//! Rows as a PostgreSQL source sends them, into MySQL and MariaDB.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, ErrorClass, RowKind, RowKindSet, Sink, SourceType, TableId, TableSchema, Unavailable,
};
use culvert_tests::{Server, both};

use crate::support::{JOB, Run, SINK, batch, failure, sink, texts, with_moves};

/// A table `shop.public.<table>`.
fn of_postgres(table: &str, columns: &[(&str, DataType, &str)], kinds: RowKindSet) -> Arc<TableSchema> {
    let column = |(name, data_type, declaration): &(&str, DataType, &str)| Column {
        name: (*name).into(),
        data_type: data_type.clone(),
        nullable: *name != "id",
        source_type: Some(SourceType::postgres(*declaration)),
    };
    let id = TableId { schema: Some("public".into()), ..TableId::new("shop", table) };
    let columns = columns.iter().map(column).collect();
    Arc::new(TableSchema::new(id, 1, columns, vec!["id".into()], kinds))
}

/// A table without full replica identity: no row before an update.
fn kinds() -> RowKindSet {
    RowKindSet::of(&[RowKind::UpdateBefore]).complement()
}

fn letters(table: &str) -> Arc<TableSchema> {
    let columns = [
        ("id", DataType::Int32, "integer"),
        ("code", DataType::Utf8, "character varying(9)"),
        ("body", DataType::Utf8, "text"),
    ];
    of_postgres(table, &columns, kinds())
}

/// A row of [`letters`]; a body of `None` was left out.
type Letter = (RowKind, i32, &'static str, Option<&'static str>);

fn rows(schema: &Arc<TableSchema>, rows: &[Letter]) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1)));
    let codes: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)));
    let bodies: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.3)));
    let left_out: Vec<bool> = rows.iter().map(|row| row.3.is_none()).collect();
    let mut made = batch(schema, vec![ids, codes, bodies], rows.iter().map(|row| row.0).collect());
    made.unavailable = vec![Unavailable { column: 2, rows: left_out.into() }];
    with_moves(made)
}

async fn stored(server: &Server, db: &str) -> Vec<String> {
    texts(server, &format!("SELECT CONCAT_WS(' ', id, code, body) FROM {db}.t ORDER BY id")).await
}

const I: RowKind = RowKind::Insert;
const U: RowKind = RowKind::UpdateAfter;
const D: RowKind = RowKind::Delete;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_left_out_is_never_overwritten() {
    both(async |server| {
        for more in ["", ", UNIQUE KEY (code)"] {
            let db = server.fresh_database("partial").await;
            let create = format!(
                "CREATE TABLE {db}.t (id int PRIMARY KEY, code varchar(9), body longtext NOT NULL{more})"
            );
            server.execute(&[&create]).await;
            let source = letters("t");
            let sink = sink(server, &db, &[]).unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let first = [(I, 1, "a", Some("one")), (I, 2, "b", Some("two")), (I, 3, "c", Some("three"))];
            run.deliver(rows(&source, &first)).await.unwrap();
            let changes = [
                (U, 1, "z", None),
                (U, 2, "y", Some("2")),
                // Codes pass on from row to row.
                (U, 3, "b", None),
                (U, 2, "c", None),
                (I, 4, "a", Some("four")),
                (U, 4, "d", None),
                (D, 9, "", None),
            ];
            run.deliver(rows(&source, &changes)).await.unwrap();
            assert_eq!(stored(server, &db).await, ["1 z one", "2 c 2", "3 b three", "4 d four"], "{more}");
            // In turn: what the second row takes, the third gives up later in the flush.
            let chain = [(U, 1, "q", None), (U, 3, "p", None), (U, 2, "b", None), (U, 3, "r", None)];
            run.deliver(rows(&source, &chain)).await.unwrap();
            assert_eq!(stored(server, &db).await, ["1 q one", "2 b 2", "3 r three", "4 d four"], "{more}");
            run.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_takes_along_under_its_new_key_what_the_log_left_out() {
    both(async |server| {
        let modes: [(&str, &[(&str, &str)]); 5] = [
            ("", &[]),
            ("", &[("enable_upsert", "false")]),
            ("", &[("batch_size", "1")]),
            (", UNIQUE KEY (code)", &[]),
            (", UNIQUE KEY (code)", &[("batch_size", "3")]),
        ];
        for (more, pairs) in modes {
            let db = server.fresh_database("moved").await;
            let create = format!(
                "CREATE TABLE {db}.t (id int PRIMARY KEY, code varchar(9), body longtext NOT NULL{more})"
            );
            // No row of it may go when its key does.
            let child = format!(
                "CREATE TABLE {db}.child (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {db}.t (id) ON DELETE CASCADE)"
            );
            server.execute(&[&create, &child]).await;
            let source = letters("t");
            let sink = sink(server, &db, pairs).unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let first = [
                (I, 1, "a", Some("one")),
                (I, 2, "b", Some("two")),
                (I, 3, "c", Some("three")),
                (I, 4, "d", Some("four")),
            ];
            run.deliver(rows(&source, &first)).await.unwrap();
            let changes = [
                // From key to key, another row under the first of them, and an update at the last.
                (D, 1, "", None),
                (I, 5, "a2", None),
                (D, 5, "", None),
                (I, 7, "a3", None),
                (I, 1, "a", Some("new")),
                (U, 7, "a4", None),
                // Two rows change places, and their codes with them.
                (D, 2, "", None),
                (I, 9, "x", None),
                (D, 3, "", None),
                (I, 2, "b", None),
                (D, 9, "", None),
                (I, 3, "c", None),
                // Away, and gone.
                (D, 4, "", None),
                (I, 8, "d", None),
                (D, 8, "", None),
                // New, changed, and away, in one flush.
                (I, 10, "e", Some("E")),
                (U, 10, "e2", None),
                (D, 10, "", None),
                (I, 11, "e", None),
            ];
            run.deliver(rows(&source, &changes)).await.unwrap();
            let expected = ["1 a new", "2 b three", "3 c two", "7 a4 one", "11 e E"];
            assert_eq!(stored(server, &db).await, expected, "{more} {pairs:?}");
            // In a checkpoint of its own; the same values count as found.
            run.deliver(rows(&source, &[(D, 7, "", None), (I, 1000, "a4", None)])).await.unwrap();
            run.deliver(rows(&source, &[(D, 1000, "", None), (I, 7, "a4", None)])).await.unwrap();
            assert_eq!(stored(server, &db).await, expected, "{more} {pairs:?}");
            run.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_stops_the_job_with_the_statement_to_run() {
    both(async |server| {
        let db = server.fresh_database("unknown").await;
        let create = format!(
            "CREATE TABLE {db}.t (id int PRIMARY KEY, code varchar(9), body longtext, UNIQUE KEY (code))"
        );
        let append = format!("CREATE TABLE {db}.log (id int, code varchar(9), body longtext)");
        server.execute(&[&create, &append]).await;
        let insert = format!("INSERT INTO {db}.t VALUES (1, 'a', 'one'), (2, 'b', 'two')");
        server.execute(&[&insert]).await;
        let full = "ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL";
        let log = of_postgres(
            "log",
            &[
                ("id", DataType::Int32, "integer"),
                ("code", DataType::Utf8, "text"),
                ("body", DataType::Utf8, "text"),
            ],
            RowKindSet::INSERT_ONLY,
        );
        let cases: [(&Arc<TableSchema>, &[Letter], &str); 7] = [
            (&letters("t"), &[(I, 3, "c", None)], "`body`"),
            // Under a new key: of no row, of a row that was deleted before, behind another row.
            (&letters("t"), &[(D, 7, "", None), (I, 8, "x", None)], "no row of that key"),
            (
                &letters("t"),
                &[(D, 1, "", None), (U, 2, "c", None), (D, 1, "", None), (I, 8, "x", None)],
                "no row of that key",
            ),
            (&letters("t"), &[(D, 1, "", None), (U, 2, "c", None), (I, 8, "x", None)], "`body`"),
            (&letters("t"), &[(U, 7, "x", None)], "no row of that key"),
            (&letters("t"), &[(U, 1, "t", None), (U, 2, "a", None), (U, 1, "b", None)], "exchange"),
            (&log, &[(I, 1, "a", None)], "`body`"),
        ];
        for (source, changes, wanted) in cases {
            let sink = sink(server, &db, &[]).unwrap();
            sink.forget(JOB, SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(source)).await.unwrap();
            let error = failure(run.deliver(rows(source, changes)).await);
            assert_eq!(error.class(), ErrorClass::Data, "{error}");
            let hint = error.hint_text().unwrap_or_default().to_string();
            assert!(error.to_string().contains(wanted), "{wanted}: {error}");
            assert!(hint.contains("REPLICA IDENTITY FULL"), "{hint}");
            assert!(source.id.table == "log" || wanted == "exchange" || hint.contains(full), "{hint}");
            run.close().await;
            assert_eq!(stored(server, &db).await, ["1 a one", "2 b two"]);
        }
    })
    .await;
}

/// Declaration, values, and how the server prints what it holds.
fn cases() -> Vec<(&'static str, ArrayRef, Vec<&'static str>)> {
    let text = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let decimal = |values: Vec<i128>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let instants = vec![253_402_300_799_999_999, -62_135_596_800_000_000];
    vec![
        ("boolean", Arc::new(BooleanArray::from(vec![true, false])), vec!["1", "0"]),
        ("oid", Arc::new(UInt32Array::from(vec![u32::MAX])), vec!["4294967295"]),
        ("bigint", Arc::new(Int64Array::from(vec![i64::MIN])), vec!["-9223372036854775808"]),
        ("double precision", Arc::new(Float64Array::from(vec![1e300])), vec!["1e300"]),
        ("numeric(10,2)", decimal(vec![-1], 10, 2), vec!["-0.01"]),
        ("numeric(38,35)", decimal(vec![5], 38, 35), vec!["0.00000000000000000000000000000000005"]),
        (
            "numeric",
            text(&["NaN", "-0.00000000000000000000000000000000000000000000000000000000000000000000000010"]),
            vec!["NaN", "-0.00000000000000000000000000000000000000000000000000000000000000000000000010"],
        ),
        ("money", text(&["-$92,233,720,368,547,758.08"]), vec!["-$92,233,720,368,547,758.08"]),
        ("character(4)", text(&["a   "]), vec!["a   "]),
        ("character varying(3)", text(&["é漢😀", ""]), vec!["é漢😀", ""]),
        (
            "uuid",
            text(&["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
            vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
        ),
        ("bit(4)", text(&["0101"]), vec!["0101"]),
        ("text[]", text(&["{NULL,\"a\\\"b\",'c'}"]), vec!["{NULL,\"a\\\"b\",'c'}"]),
        (
            "interval",
            text(&["-178000000 years -11 mons -2147483648 days -2562047788:00:54.775808"]),
            vec!["-178000000 years -11 mons -2147483648 days -2562047788:00:54.775808"],
        ),
        ("bytea", Arc::new(BinaryArray::from(vec![&b"it's"[..]])), vec!["it's"]),
        ("date", Arc::new(Date32Array::from(vec![2_932_896, -719_162])), vec!["9999-12-31", "0001-01-01"]),
        (
            "time without time zone",
            Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000, 1])),
            vec!["24:00:00.000000", "00:00:00.000001"],
        ),
        (
            "timestamp without time zone",
            Arc::new(TimestampMicrosecondArray::from(instants.clone())),
            vec!["9999-12-31 23:59:59.999999", "0001-01-01 00:00:00.000000"],
        ),
        (
            "timestamp(6) with time zone",
            Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC")),
            vec!["9999-12-31 23:59:59.999999", "0001-01-01 00:00:00.000000"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn created_columns_hold_the_values_of_postgres() {
    both(async |server| {
        let db = server.fresh_database("created").await;
        for (place, (declaration, values, printed)) in cases().into_iter().enumerate() {
            let columns =
                [("id", DataType::Int32, "integer"), ("v", values.data_type().clone(), declaration)];
            let source = of_postgres(&format!("t{place}"), &columns, kinds());
            let sink = sink(server, &db, &[]).unwrap();
            sink.forget(JOB, SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let count = values.len();
            let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..count as i32));
            run.deliver(batch(&source, vec![ids, values], vec![I; count]))
                .await
                .unwrap_or_else(|error| panic!("{declaration}: {error}"));
            run.close().await;
            let read = texts(server, &format!("SELECT CONCAT(v) FROM {db}.t{place} ORDER BY id")).await;
            assert_eq!(read, printed, "{declaration}");
        }
        // JSON is the same document, printed by the server's own rules.
        let columns = [("id", DataType::Int32, "integer"), ("v", DataType::Utf8, "jsonb")];
        let source = of_postgres("j", &columns, kinds());
        let sink = sink(server, &db, &[]).unwrap();
        sink.forget(JOB, SINK).await.unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let documents: ArrayRef = Arc::new(StringArray::from(vec!["{\"a\": [1, \"é\\\"\"]}"]));
        run.deliver(batch(&source, vec![ids, documents], vec![I])).await.unwrap();
        run.close().await;
        let read = texts(server, &format!("SELECT JSON_EXTRACT(v, '$.a[1]') FROM {db}.j")).await;
        assert_eq!(read, ["\"é\\\"\""]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_without_a_form_are_refused_and_never_stored_as_zero() {
    both(async |server| {
        let db = server.fresh_database("formless").await;
        let day: i64 = 86_400_000_000;
        let instants = |micros: i64| TimestampMicrosecondArray::from(vec![micros]);
        let cases: Vec<(&str, ArrayRef)> = vec![
            ("date", Arc::new(Date32Array::from(vec![i32::MAX]))),
            ("date", Arc::new(Date32Array::from(vec![i32::MIN]))),
            ("date", Arc::new(Date32Array::from(vec![-719_163]))),
            ("date", Arc::new(Date32Array::from(vec![2_932_897]))),
            ("timestamp without time zone", Arc::new(instants(i64::MAX))),
            ("timestamp without time zone", Arc::new(instants(-719_163 * day))),
            ("timestamp with time zone", Arc::new(instants(i64::MIN).with_timezone("UTC"))),
            ("timestamp with time zone", Arc::new(instants(2_932_897 * day).with_timezone("UTC"))),
            ("double precision", Arc::new(Float64Array::from(vec![f64::NAN]))),
            ("double precision", Arc::new(Float64Array::from(vec![f64::INFINITY]))),
            ("character varying(3)", Arc::new(StringArray::from(vec!["abcd"]))),
            ("json", Arc::new(StringArray::from(vec!["{"]))),
        ];
        for (place, (declaration, values)) in cases.into_iter().enumerate() {
            let columns =
                [("id", DataType::Int32, "integer"), ("v", values.data_type().clone(), declaration)];
            let source = of_postgres(&format!("t{place}"), &columns, kinds());
            let sink = sink(server, &db, &[]).unwrap();
            sink.forget(JOB, SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let ids: ArrayRef = Arc::new(Int32Array::from(vec![1]));
            let error = failure(run.deliver(batch(&source, vec![ids, values], vec![I])).await);
            assert_eq!(error.class(), ErrorClass::Data, "{place} {declaration}: {error}");
            assert!(error.to_string().contains(&format!("t{place}")), "{declaration}: {error}");
            run.close().await;
            assert_eq!(texts(server, &format!("SELECT COUNT(*) FROM {db}.t{place}")).await, ["0"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_key_is_told_apart_by_its_bytes() {
    both(async |server| {
        let db = server.fresh_database("textkey").await;
        let columns = [("id", DataType::Utf8, "text"), ("v", DataType::Utf8, "text")];
        let source = of_postgres("t", &columns, kinds());
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let of = |keys: &[&str]| -> ArrayRef { Arc::new(StringArray::from(keys.to_vec())) };
        let keys = ["a", "A", "a ", "ä"];
        run.deliver(batch(&source, vec![of(&keys), of(&keys)], vec![I; 4])).await.unwrap();
        assert_eq!(texts(server, &format!("SELECT COUNT(*) FROM {db}.t")).await, ["4"]);
        // Longer than the key can be: an error, not a cut.
        let long = "x".repeat(256);
        let error = failure(run.deliver(batch(&source, vec![of(&[&long]), of(&["v"])], vec![I])).await);
        assert_eq!(error.class(), ErrorClass::Data, "{error}");
        run.close().await;
    })
    .await;
}
