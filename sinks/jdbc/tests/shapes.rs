//! Target tables: made, emptied, and changed with the source.

use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{Column, RowKindSet, SchemaChange, Sink, SourceType, TableSchema};
use culvert_tests::{Server, both};

use crate::support::{JOB, Run, SINK, failure, people, people_in, rows, schema, sink, texts};

async fn columns(server: &Server, database: &str, table: &str) -> Vec<String> {
    texts(
        server,
        &format!(
            "SELECT CONCAT_WS(' ', COLUMN_NAME, DATA_TYPE, IS_NULLABLE, COLUMN_KEY) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = '{database}' AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION"
        ),
    )
    .await
    .into_iter()
    .map(|text| text.trim_end().to_string())
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_as_the_edge_needs_them() {
    both(async |server| {
        let db = server.fresh_database("made").await;
        let mirror = sink(server, &db, &[("field_ide", "UPPERCASE"), ("tablePrefix", "m_")]).unwrap();
        let run = Run::start(&mirror, &[people("w", &["id"], RowKindSet::ALL)]).await.unwrap();
        run.close().await;
        assert_eq!(columns(server, &db, "m_w").await, ["ID int NO PRI", "NAME varchar YES"]);
        mirror.forget(JOB, SINK).await.unwrap();
        // A change log repeats keys: no key unless asked for.
        let log = sink(server, &db, &[("tablePrefix", "l_")]).unwrap();
        let mut with_kind = people("w", &["id"], RowKindSet::INSERT_ONLY).columns.clone();
        with_kind.push(Column::derived("row_kind", DataType::Utf8, false));
        let run =
            Run::start(&log, &[schema("w", with_kind, &["id"], RowKindSet::INSERT_ONLY)]).await.unwrap();
        run.close().await;
        assert_eq!(
            columns(server, &db, "l_w").await,
            ["id int NO", "name varchar YES", "row_kind longtext NO"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn save_modes_act_only_on_a_fresh_job() {
    both(async |server| {
        let db = server.fresh_database("modes").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let fill = format!("INSERT INTO {db}.w VALUES (1, 'old')");
        let create = format!("CREATE TABLE {db}.w (id int PRIMARY KEY, name varchar(50))");
        server.execute(&[&create, &fill]).await;
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
        server.execute(&[&fill, &format!("ALTER TABLE {db}.w ADD COLUMN extra int")]).await;

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

fn column(name: &str, data_type: DataType, source: &str) -> Column {
    Column {
        name: name.into(),
        data_type,
        nullable: name != "id",
        source_type: Some(SourceType::mysql(source)),
    }
}

fn shape(columns: Vec<Column>, version: u64) -> Arc<TableSchema> {
    let table = schema("w", columns, &["id"], RowKindSet::ALL);
    Arc::new(TableSchema { version, ..(*table).clone() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_shape_is_followed_and_may_come_twice() {
    both(async |server| {
        let db = server.fresh_database("follow").await;
        let first = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&first)).await.unwrap();
        run.deliver(rows(&first, &[("+I", 1, "a")])).await.unwrap();

        let int = || column("id", DataType::Int32, "int(11)");
        let steps = [
            (
                "ALTER TABLE w ADD COLUMN n int NOT NULL DEFAULT 5, CHANGE name `full name` varchar(80)",
                vec![
                    int(),
                    column("full name", DataType::Utf8, "varchar(80)"),
                    column("n", DataType::Int32, "int(11)"),
                ],
                vec!["id int NO PRI", "full name varchar YES", "n int YES"],
            ),
            (
                "ALTER TABLE w MODIFY n bigint, DROP COLUMN `full name`",
                vec![int(), column("n", DataType::Int64, "bigint(20)")],
                vec!["id int NO PRI", "n bigint YES"],
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
        assert_eq!(texts(server, &format!("SELECT CONCAT_WS(' ', id, n) FROM {db}.w")).await, ["1 5"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_whose_values_the_log_does_not_hold_is_refused() {
    both(async |server| {
        let db = server.fresh_database("computed").await;
        let first = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&first)).await.unwrap();
        let mut wanted = first.columns.clone();
        wanted.push(column("at", DataType::Utf8, "varchar(20)"));
        let change = SchemaChange {
            before: Some(first),
            after: Some(shape(wanted, 2)),
            statement: "ALTER TABLE w ADD at varchar(20) DEFAULT (uuid())".into(),
        };
        let error = failure(run.open.writer.apply_schema_change(&change).await);
        assert!(error.to_string().contains("`at`"), "{error}");
        // By hand, and then again.
        server.execute(&[&format!("ALTER TABLE {db}.w ADD at varchar(20)")]).await;
        run.open.writer.apply_schema_change(&change).await.unwrap();
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_kind_survive() {
    both(async |server| {
        let db = server.fresh_database("names").await;
        let hostile = ["a`b", "it's \"q\"", "drop table; --", "é 漢字", "`", "select", "a.b", "${x}"];
        let columns: Vec<Column> = std::iter::once(column("id", DataType::Int32, "int(11)"))
            .chain(hostile.iter().map(|name| column(name, DataType::Utf8, "varchar(50)")))
            .collect();
        let table = "t`; drop `x é 'q' \"";
        let source = schema(table, columns, &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let text = |row: usize| -> arrow_array::ArrayRef {
            Arc::new(arrow_array::StringArray::from_iter_values([hostile[row % hostile.len()], "x\\' -- \n"]))
        };
        let mut arrays: Vec<arrow_array::ArrayRef> =
            vec![Arc::new(arrow_array::Int32Array::from(vec![1, 2]))];
        arrays.extend((0..hostile.len()).map(text));
        let kinds = vec![culvert_api::RowKind::Insert; 2];
        run.deliver(crate::support::batch(&source, arrays, kinds)).await.unwrap();
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        for (row, name) in hostile.iter().enumerate() {
            let query = format!("SELECT {} FROM `{db}`.{} ORDER BY id", quoted(name), quoted(table));
            assert_eq!(texts(server, &query).await, [hostile[row], "x\\' -- \n"]);
        }
        run.close().await;
    })
    .await;
}
