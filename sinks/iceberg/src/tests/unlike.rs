//! Values, tables and runs that look alike and are not.

use culvert_api::{ErrorKind, SchemaChange};

use super::*;

const UPSERT: &str = "iceberg.table.upsert-mode-enabled = true";

fn insert(id: i64, name: &str) -> (RowKind, i64, Option<String>) {
    (RowKind::Insert, id, Some(name.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_and_its_name_are_two_partitions() {
    for partition in ["name", "truncate(name, 20)"] {
        let options = format!("row_kind_column = op, iceberg.table.partition-keys = \"{partition}\"");
        let scene = Scene::new(&options, 64 << 20);
        let mut open = scene.open(1).await;
        let names = [None, Some("null"), Some("a/../b"), Some("x//y"), Some(".."), Some("x/b=y"), Some("")];
        let rows: Vec<_> =
            (0..).zip(names).map(|(id, name)| (RowKind::Insert, id, name.map(str::to_owned))).collect();
        open.writer.write(batch(&scene.table, &rows)).await.unwrap();
        checkpoint(&mut open, 1, 1, true).await;
        let found: Vec<Option<String>> = scene.rows().await.into_values().flatten().collect();
        assert_eq!(found, names.map(|name| name.map(str::to_owned)), "{partition}");
        let found = scene.catalog().load(&scene.ident()).await.unwrap().unwrap();
        let summary = found.metadata.current_snapshot().unwrap().summary().additional_properties.clone();
        assert_eq!(summary.get("added-data-files").map(String::as_str), Some("7"), "{partition}");
    }
}

/// The key is INT in old files, and BIGINT in the deletes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_widened_keeps_its_rows_when_deletes_are_merged() {
    let mut scene = Scene::new(&format!("{UPSERT}, iceberg.table.schema-evolution-enabled = true"), 64 << 20);
    let wide = Arc::clone(&scene.table);
    let columns =
        vec![Column::derived("id", DataType::Int32, false), Column::derived("name", DataType::Utf8, true)];
    let narrow = TableSchema::new(wide.id.clone(), 0, columns, wide.primary_key.clone(), wide.kinds);
    scene.table = Arc::new(narrow);
    let mut open = scene.open(1).await;
    let old = batch(&wide, &[insert(1, "old"), insert(2, "old"), insert(3, "old")]);
    let ids = arrow_cast::cast(old.rows.column(0), &DataType::Int32).unwrap();
    let rows =
        RecordBatch::try_new(Arc::clone(&scene.table.arrow), vec![ids, Arc::clone(old.rows.column(1))]);
    let old = ChangeBatch { schema: Arc::clone(&scene.table), rows: rows.unwrap(), ..old };
    open.writer.write(old).await.unwrap();
    checkpoint(&mut open, 1, 1, true).await;
    let change = SchemaChange {
        before: Some(Arc::clone(&scene.table)),
        after: Some(Arc::clone(&wide)),
        statement: String::new(),
    };
    open.writer.apply_schema_change(&change).await.unwrap();
    let large = 3_000_000_000;
    open.writer.write(batch(&wide, &[insert(large, "new")])).await.unwrap();
    checkpoint(&mut open, 1, 2, true).await;
    for number in 3..=4 {
        let update = |id: i64| {
            [(RowKind::UpdateBefore, id, None), (RowKind::UpdateAfter, id, Some("newer".to_owned()))]
        };
        open.writer.write(batch(&wide, &[update(large), update(2)].concat())).await.unwrap();
        checkpoint(&mut open, 1, number, true).await;
    }
    let rows = |id: i64, name: &str| (id, vec![Some(name.to_owned())]);
    let expected = BTreeMap::from([rows(1, "old"), rows(2, "newer"), rows(3, "old"), rows(large, "newer")]);
    scene.keeper(compacting()).look_after(&scene.ident()).await.unwrap();
    assert_eq!(scene.rows().await, expected);
    let found = scene.catalog().load(&scene.ident()).await.unwrap().unwrap();
    let summary = found.metadata.current_snapshot().unwrap().summary().additional_properties.clone();
    assert_eq!(summary.get("total-delete-files").map(String::as_str), Some("0"), "{summary:?}");
}

/// A run with epochs of its own takes the place of one that is not told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_began_from_scratch_elsewhere_is_not_written_over() {
    let scene = Scene::new("row_kind_column = op", 64 << 20);
    let mut old = scene.open(7).await;
    old.writer.write(batch(&scene.table, &[insert(1, "old")])).await.unwrap();
    scene.sink.forget("j", "s").await.unwrap();
    let mut new = scene.open(1).await;
    assert!(new.marker.is_none());
    let marker = |epoch| CommitMarker {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        writer: 0,
        epoch,
        checkpoint: 1,
        source: None,
    };
    let prepared = old.writer.prepare_commit(&marker(7)).await.unwrap();
    let error = old.committer.commit(&prepared).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    new.writer.write(batch(&scene.table, &[insert(2, "new")])).await.unwrap();
    let prepared = new.writer.prepare_commit(&marker(1)).await.unwrap();
    new.committer.commit(&prepared).await.unwrap();
    assert_eq!(scene.rows().await.into_keys().collect::<Vec<_>>(), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_gone_is_not_made_anew_in_silence() {
    let scene = Scene::new("row_kind_column = op", 64 << 20);
    let mut open = scene.open(1).await;
    checkpoint(&mut open, 1, 1, true).await;
    scene.catalog().drop_table(&scene.ident()).await.unwrap();
    let context = WriterContext {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        writer: 0,
        epoch: 2,
        progress: Arc::new(JobProgress::default()),
    };
    let mut open = scene.sink.open(&context).await.unwrap();
    let error = open.writer.prepare_tables(&[Arc::clone(&scene.table)], false).await.unwrap_err();
    assert!(error.to_string().contains("is missing in the catalog"), "{error}");
    // One that joins is made.
    let joins =
        SchemaChange { before: None, after: Some(Arc::clone(&scene.table)), statement: String::new() };
    open.writer.apply_schema_change(&joins).await.unwrap();
    assert!(scene.rows().await.is_empty());
}

/// A table is dropped at the source and made again there: its rows may be in the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_table_that_joins_again_replace_those_that_are_there() {
    let scene = Scene::new(UPSERT, 64 << 20);
    let mut open = scene.open(1).await;
    open.writer.write(batch(&scene.table, &[insert(1, "old"), insert(2, "old")])).await.unwrap();
    checkpoint(&mut open, 1, 1, true).await;
    let joins =
        SchemaChange { before: None, after: Some(Arc::clone(&scene.table)), statement: String::new() };
    open.writer.apply_schema_change(&joins).await.unwrap();
    open.writer.write(batch(&scene.table, &[insert(1, "new")])).await.unwrap();
    checkpoint(&mut open, 1, 2, true).await;
    let names: Vec<String> = scene.rows().await.into_values().flatten().flatten().collect();
    assert_eq!(names, ["new", "old"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_column_that_old_rows_lack_is_refused() {
    let scene = Scene::new(&format!("{UPSERT}, iceberg.table.schema-evolution-enabled = true"), 64 << 20);
    let mut open = scene.open(1).await;
    let before = &scene.table;
    let mut columns = before.columns.clone();
    columns.push(Column::derived("number", DataType::Int64, false));
    for (key, refused) in [("number", true), ("id", false)] {
        let after =
            TableSchema::new(before.id.clone(), 2, columns.clone(), vec![key.to_owned()], before.kinds);
        let change = SchemaChange {
            before: Some(Arc::clone(before)),
            after: Some(Arc::new(after)),
            statement: String::new(),
        };
        let followed = open.writer.apply_schema_change(&change).await;
        assert_eq!(followed.is_err(), refused, "{key}: {followed:?}");
    }
}
