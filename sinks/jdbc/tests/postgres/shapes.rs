//! Target tables: named, made, emptied, and changed with the source.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    Column, ErrorKind, RowKind, RowKindSet, SchemaChange, Sink, SourceType, TableId, TableSchema,
};
use culvert_tests::{Postgres, postgres_both};

use crate::postgres::support::{lines, people_in, sink};
use crate::support::{JOB, Run, SINK, batch, checked, failure, people, rows, schema};

const ALL: RowKindSet = RowKindSet::ALL;

async fn columns(server: &Postgres, database: &str, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END || \
         CASE WHEN EXISTS (SELECT 1 FROM pg_index WHERE indrelid = attrelid AND indisprimary AND \
         attnum = ANY (indkey)) THEN ' KEY' ELSE '' END \
         FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    );
    lines(server, database, &query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_as_the_edge_needs_them() {
    postgres_both(async |server| {
        let db = server.fresh_database("made").await;
        let pairs = [("field_ide", "UPPERCASE"), ("tablePrefix", "m_"), ("schema", "data_${database_name}")];
        let mirror = sink(server, &db, &pairs).unwrap();
        let source = people("w", &["id"], ALL);
        let mut run = Run::start(&mirror, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        run.close().await;
        assert_eq!(
            columns(server, &db, "data_src.m_w").await,
            ["ID integer NOT NULL KEY", "NAME character varying(50)"]
        );
        assert_eq!(lines(server, &db, "SELECT * FROM data_src.m_w").await, ["1 a"]);
        mirror.forget(JOB, SINK).await.unwrap();
        // A change log repeats keys: no key unless asked for.
        let log = sink(server, &db, &[("table", "l.${table_name}_log")]).unwrap();
        let mut with_kind = source.columns.clone();
        with_kind.push(Column::derived("row_kind", DataType::Utf8, false));
        let run =
            Run::start(&log, &[schema("w", with_kind, &["id"], RowKindSet::INSERT_ONLY)]).await.unwrap();
        run.close().await;
        assert_eq!(
            columns(server, &db, "l.w_log").await,
            ["id integer NOT NULL", "name character varying(50)", "row_kind text NOT NULL"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_taken_as_users_write_them() {
    postgres_both(async |server| {
        let db = server.fresh_database("named").await;
        let mut source = (*people("w", &["id"], ALL)).clone();
        source.id = TableId { database: "shop".into(), schema: Some("Sales".into()), table: "w".into() };
        let source = Arc::new(source);
        let three = format!("{db}.x.w");
        let url = format!("{}?currentSchema=cur", server.url(&db));
        for (pairs, expected) in [
            (&[][..], "\"Sales\".w"),
            (&[("database", db.as_str()), ("table", "public.t")], "public.t"),
            (&[("schema", "s1")], "s1.w"),
            (&[("table", "data_schema.${table_name}"), ("tablePrefix", "p_")], "data_schema.p_w"),
            (&[("table", "\"a.b\".\"c\"\"d\"")], "\"a.b\".\"c\"\"d\""),
            (&[("table", three.as_str())], "x.w"),
            (&[("url", url.as_str())], "cur.w"),
        ] {
            let named = sink(server, &db, pairs).unwrap();
            let mut run = Run::start(&named, std::slice::from_ref(&source)).await.unwrap();
            run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
            run.close().await;
            assert_eq!(people_in(server, &db, expected).await, ["1 a"], "{pairs:?}");
            named.forget(JOB, SINK).await.unwrap();
        }
        let other = failure(sink(server, &db, &[("database", "elsewhere")]));
        assert_eq!(other.kind(), ErrorKind::Config);
        let long = "n".repeat(64);
        let error =
            failure(Run::start(&sink(server, &db, &[("table", long.as_str())]).unwrap(), &[source]).await);
        assert!(error.to_string().contains("63"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn save_modes_act_only_on_a_fresh_job() {
    postgres_both(async |server| {
        let db = server.fresh_database("modes").await;
        let source = people("w", &["id"], ALL);
        let fill = "INSERT INTO w VALUES (1, 'old')";
        server.execute(&db, &["CREATE TABLE w (id int PRIMARY KEY, name varchar(50))", fill]).await;
        let start = async |pairs: &[(&str, &str)]| {
            let sink = sink(server, &db, pairs).unwrap();
            sink.forget(JOB, SINK).await.unwrap();
            Run::start(&sink, std::slice::from_ref(&source)).await
        };
        start(&[]).await.unwrap().close().await;
        assert_eq!(people_in(server, &db, "w").await, ["1 old"]);
        let error = failure(start(&[("data_save_mode", "ERROR_WHEN_DATA_EXISTS")]).await);
        assert!(error.to_string().contains("not empty"), "{error}");
        let custom = [
            ("data_save_mode", "CUSTOM_PROCESSING"),
            ("custom_sql", "UPDATE ${table_name} SET name = 'custom'"),
        ];
        start(&custom).await.unwrap().close().await;
        assert_eq!(people_in(server, &db, "w").await, ["1 custom"]);
        start(&[("data_save_mode", "DROP_DATA")]).await.unwrap().close().await;
        assert_eq!(people_in(server, &db, "w").await, Vec::<String>::new());
        server.execute(&db, &[fill, "ALTER TABLE w ADD COLUMN extra int"]).await;

        // Not fresh: nothing is dropped.
        let recreate = sink(server, &db, &[("schema_save_mode", "RECREATE_SCHEMA")]).unwrap();
        let mut run = Run::open(&recreate, 9).await.unwrap();
        run.open.writer.prepare_tables(std::slice::from_ref(&source), false).await.unwrap();
        run.close().await;
        assert_eq!(columns(server, &db, "w").await.len(), 3);
        start(&[("schema_save_mode", "RECREATE_SCHEMA")]).await.unwrap().close().await;
        assert_eq!(columns(server, &db, "w").await.len(), 2);
        assert_eq!(people_in(server, &db, "w").await, Vec::<String>::new());
    })
    .await;
}

fn column(name: &str, data_type: DataType, source: SourceType) -> Column {
    Column { name: name.into(), data_type, nullable: name != "id", source_type: Some(source) }
}

fn shape(columns: Vec<Column>, version: u64) -> Arc<TableSchema> {
    let table = schema("w", columns, &["id"], ALL);
    Arc::new(TableSchema { version, ..(*table).clone() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_shape_is_followed_and_may_come_twice() {
    postgres_both(async |server| {
        let db = server.fresh_database("follow").await;
        let first = people("w", &["id"], ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&first)).await.unwrap();
        run.deliver(rows(&first, &[("+I", 1, "a")])).await.unwrap();

        let mysql = SourceType::mysql;
        let id = || column("id", DataType::Int32, mysql("int(11)"));
        let steps = [
            (
                "ALTER TABLE w ADD COLUMN n int NOT NULL DEFAULT 5, CHANGE name `full name` varchar(80)",
                vec![
                    id(),
                    column("full name", DataType::Utf8, mysql("varchar(80)")),
                    Column { nullable: false, ..column("n", DataType::Int32, mysql("int(11)")) },
                ],
                vec!["id integer NOT NULL KEY", "full name character varying(80)", "n integer NOT NULL"],
            ),
            (
                "ALTER TABLE w MODIFY n bigint, DROP COLUMN `full name`, ADD t text NOT NULL",
                vec![
                    id(),
                    column("n", DataType::Int64, mysql("bigint(20)")),
                    Column { nullable: false, ..column("t", DataType::Utf8, mysql("text")) },
                ],
                vec!["id integer NOT NULL KEY", "n bigint", "t text NOT NULL"],
            ),
        ];
        let mut before = first;
        for (version, (statement, wanted, expected)) in steps.into_iter().enumerate() {
            let after = shape(wanted, version as u64 + 2);
            let change = SchemaChange {
                before: Some(before),
                after: Some(after.clone()),
                statement: statement.into(),
            };
            run.open.writer.apply_schema_change(&change).await.unwrap();
            run.open.writer.apply_schema_change(&change).await.unwrap();
            assert_eq!(columns(server, &db, "w").await, expected);
            before = after;
        }
        // The row that was there got the default of the column that was added.
        assert_eq!(lines(server, &db, "SELECT id, n, t FROM w").await, ["1 5 "]);
        // The plan follows.
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![2])),
            Arc::new(arrow_array::Int64Array::from(vec![1_i64 << 40])),
            Arc::new(StringArray::from(vec!["x"])),
        ];
        run.deliver(batch(&before, arrays, vec![RowKind::Insert])).await.unwrap();
        assert_eq!(lines(server, &db, "SELECT id, n FROM w WHERE t = 'x'").await, ["2 1099511627776"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_whose_values_the_log_does_not_hold_is_refused() {
    postgres_both(async |server| {
        let db = server.fresh_database("computed").await;
        let pg = SourceType::postgres;
        let first = shape(
            vec![column("id", DataType::Int32, pg("integer")), column("name", DataType::Utf8, pg("text"))],
            1,
        );
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&first)).await.unwrap();
        run.deliver(rows(&first, &[("+I", 1, "a")])).await.unwrap();
        let mut wanted = first.columns.clone();
        wanted.push(column("at", DataType::Utf8, pg("text")));
        let nullable = shape(wanted.clone(), 2);
        wanted.push(Column { nullable: false, ..column("must", DataType::Utf8, pg("text")) });
        let change = |before: &Arc<TableSchema>, after: &Arc<TableSchema>| SchemaChange {
            before: Some(before.clone()),
            after: Some(after.clone()),
            statement: String::new(),
        };
        run.open.writer.apply_schema_change(&change(&first, &nullable)).await.unwrap();
        let strict = shape(wanted, 3);
        let error = failure(run.open.writer.apply_schema_change(&change(&nullable, &strict)).await);
        assert!(error.to_string().contains("`must`"), "{error}");
        // By hand, and then again.
        server.execute(&db, &["ALTER TABLE w ADD must text NOT NULL DEFAULT ''"]).await;
        run.open.writer.apply_schema_change(&change(&nullable, &strict)).await.unwrap();
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_postgres_are_kept_where_the_target_has_them() {
    postgres_both(async |server| {
        let db = server.fresh_database("types").await;
        server
            .execute(
                &db,
                &["CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN tiny AS int CHECK (VALUE < 10)"],
            )
            .await;
        let pg = |name: &str, data_type: DataType, declared: &str| {
            column(name, data_type, SourceType::postgres(declared))
        };
        let columns_of_source = vec![
            pg("id", DataType::Int32, "integer"),
            pg("m", DataType::Utf8, "public.mood"),
            pg("gone", DataType::Utf8, "far.away"),
            pg("d", DataType::Int32, "public.tiny"),
            pg("lost", DataType::Int32, "far.domain"),
            pg("j", DataType::Utf8, "jsonb"),
            pg("a", DataType::Utf8, "integer[]"),
            pg("n", DataType::Decimal128(10, 2), "numeric(10,2)"),
            pg("r", DataType::Utf8, "int4range"),
        ];
        let source = shape(columns_of_source, 1);
        let sink = sink(server, &db, &[]).unwrap();
        let findings = checked(&sink, std::slice::from_ref(&source)).await;
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].message.contains("far.away"));
        let run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.close().await;
        assert_eq!(
            columns(server, &db, "w").await,
            [
                "id integer NOT NULL KEY",
                "m mood",
                "gone text",
                "d tiny",
                "lost integer",
                "j jsonb",
                "a integer[]",
                "n numeric(10,2)",
                "r int4range"
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_kind_survive() {
    postgres_both(async |server| {
        let db = server.fresh_database("names").await;
        let hostile = [
            "a\"b",
            "it's \"q\"",
            "drop table x;--",
            "é 漢字 😀",
            "\"",
            "select",
            "a.b",
            "${x}",
            " = s.v1",
            "op",
        ];
        let columns: Vec<Column> =
            std::iter::once(column("id", DataType::Int32, SourceType::mysql("int(11)")))
                .chain(
                    hostile.iter().map(|name| column(name, DataType::Utf8, SourceType::mysql("varchar(50)"))),
                )
                .collect();
        let table = "t\"; drop `x é 'q' AS t (";
        let mut source = (*schema(table, columns, &["id", "a\"b"], ALL)).clone();
        source.columns[1].nullable = false;
        let source = Arc::new(source);
        let sink = sink(server, &db, &[("schema", "a.b \"c\"")]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let text = |row: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values([hostile[row % hostile.len()], "x\\' -- \n\t\\N"]))
        };
        let arrays = || {
            let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 2]))];
            arrays.extend((0..hostile.len()).map(text));
            arrays
        };
        run.deliver(batch(&source, arrays(), vec![RowKind::Insert; 2])).await.unwrap();
        run.deliver(batch(&source, arrays(), vec![RowKind::UpdateAfter; 2])).await.unwrap();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        for name in &hostile {
            let query =
                format!("SELECT {} FROM {}.{} ORDER BY id", quoted(name), quoted("a.b \"c\""), quoted(table));
            assert_eq!(lines(server, &db, &query).await, [*name, "x\\' -- \n\t\\N"]);
        }
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_columns_are_written() {
    postgres_both(async |server| {
        let db = server.fresh_database("wide").await;
        let integer = || SourceType::mysql("int(11)");
        let columns: Vec<Column> = std::iter::once(column("id", DataType::Int32, integer()))
            .chain((1..300).map(|place| column(&format!("c{place}"), DataType::Int32, integer())))
            .collect();
        let source = schema("wide", columns, &["id"], ALL);
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        let arrays = |offset: i32| -> Vec<ArrayRef> {
            (0..300)
                .map(|place| {
                    let of_row = |row: i32| if place == 0 { row } else { row * place + offset };
                    Arc::new(Int32Array::from_iter_values((0..500).map(of_row))) as ArrayRef
                })
                .collect()
        };
        run.deliver(batch(&source, arrays(0), vec![RowKind::Insert; 500])).await.unwrap();
        run.deliver(batch(&source, arrays(7), vec![RowKind::UpdateAfter; 500])).await.unwrap();
        let found = lines(server, &db, "SELECT count(*), sum(c299), max(c1) FROM wide").await;
        assert_eq!(found, [format!("500 {} 506", 299_i64 * 499 * 250 + 500 * 7)]);
        run.close().await;
    })
    .await;
}
