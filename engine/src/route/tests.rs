#![allow(clippy::unwrap_used)]

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{Column, RowKind, RowKindSet, RowPosition, Transaction};

use super::*;

fn column(name: &str, data_type: DataType) -> Column {
    Column::derived(name, data_type, false)
}

fn table(source: u32, name: &str, version: u64, columns: Vec<Column>) -> Arc<TableSchema> {
    let id = TableId::new("db", name);
    let schema = TableSchema::new(id, version, columns, vec!["id".into()], RowKindSet::ALL);
    Arc::new(TableSchema { source, ..schema })
}

fn id_name() -> Vec<Column> {
    vec![column("id", DataType::Int32), column("name", DataType::Utf8)]
}

/// One row whose numbers are `id` and whose texts are `x`.
fn row(schema: &Arc<TableSchema>, id: i32) -> ChangeBatch {
    let columns = schema.columns.iter().map(|column| -> ArrayRef {
        match column.data_type {
            DataType::Int32 => Arc::new(Int32Array::from(vec![id])),
            DataType::Int64 => Arc::new(Int64Array::from(vec![i64::from(id)])),
            _ => Arc::new(StringArray::from(vec!["x"])),
        }
    });
    ChangeBatch {
        schema: Arc::clone(schema),
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), columns.collect()).unwrap(),
        kinds: vec![RowKind::Insert],
        positions: vec![RowPosition { transaction: 0, event: 0, row: 0 }],
        transactions: vec![Transaction::logged("t", None)],
        unavailable: vec![],
    }
}

/// Transforms of the tests.
enum Act {
    /// Only these columns.
    Only(&'static [&'static str]),
    /// The rows, and once more under another name.
    Twice,
    /// Under another name.
    Named(&'static str),
    Nothing,
}

impl Transform for Act {
    fn name(&self) -> &str {
        "Act"
    }
    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        let mut renamed = input.clone();
        Ok(match self {
            Act::Only(names) => {
                let mut columns = input.columns.clone();
                columns.retain(|column| names.contains(&column.name.as_str()));
                vec![input.with_columns(columns)]
            }
            Act::Twice => {
                renamed.id.table.push_str("_too");
                vec![input.clone(), renamed]
            }
            Act::Named(name) => {
                renamed.id.table = (*name).to_owned();
                vec![renamed]
            }
            Act::Nothing => vec![],
        })
    }
    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let as_output = |output: &Arc<TableSchema>| {
            let places: Vec<usize> =
                output.columns.iter().map(|c| batch.schema.column_index(&c.name).unwrap()).collect();
            let rows = batch.rows.project(&places).unwrap();
            ChangeBatch { schema: Arc::clone(output), rows, ..batch.clone() }
        };
        Ok(outputs.iter().map(as_output).collect())
    }
}

fn path(source: u32, acts: Vec<Act>) -> Path {
    let step = |(at, act)| Step { node: format!("act-{at}"), transform: Arc::new(act) };
    Path { source, from: format!("s{source}"), steps: acts.into_iter().enumerate().map(step).collect() }
}

/// What is routed, in words: `db.t 1 [id, name]` for a row, `db.t [id] -> [id, name]` for a change.
fn told(routed: &[Routed]) -> Vec<String> {
    let names = |schema: &TableSchema| {
        let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        format!("[{}]", names.join(", "))
    };
    let side = |schema: &Option<Arc<TableSchema>>| {
        schema.as_ref().map_or("nothing".to_owned(), |schema| format!("{} {}", schema.id, names(schema)))
    };
    let words = routed.iter().map(|item| match item {
        Routed::Batch(batch) => {
            assert_eq!(batch.rows.schema(), batch.schema.arrow, "rows look as their schema says");
            let first = batch.rows.column(0);
            let id = match first.data_type() {
                DataType::Int32 => i64::from(first.as_primitive::<Int32Type>().value(0)),
                _ => first.as_primitive::<Int64Type>().value(0),
            };
            format!("{} {id} {}", batch.schema.id, names(&batch.schema))
        }
        Routed::Change(change) => format!("{} -> {}", side(&change.before), side(&change.after)),
    });
    words.collect()
}

fn router(paths: Vec<Path>, tables: &[Arc<TableSchema>]) -> Router {
    let mut router = Router::new("sink", &paths);
    router.begin(tables).unwrap();
    router
}

fn change(before: &Arc<TableSchema>, after: &Arc<TableSchema>) -> SchemaChange {
    let (before, after) = (Some(Arc::clone(before)), Some(Arc::clone(after)));
    SchemaChange { before, after, statement: "ALTER".into() }
}

#[test]
fn rows_fork_and_come_once_along_every_path() {
    let t = table(0, "t", 0, id_name());
    let paths = vec![path(0, vec![Act::Only(&["id"]), Act::Twice]), path(0, vec![Act::Nothing])];
    let mut router = router(paths, &[Arc::clone(&t)]);
    assert_eq!(told(&router.batch(row(&t, 7)).unwrap()), ["db.t 7 [id]", "db.t_too 7 [id]"]);
    // A table that nobody told of.
    let u = table(0, "u", 0, id_name());
    assert_eq!(told(&router.batch(row(&u, 8)).unwrap()), ["db.u 8 [id]", "db.u_too 8 [id]"]);
    let other = table(1, "t", 0, id_name());
    assert_eq!(told(&router.batch(row(&other, 9)).unwrap()), [""; 0]);
}

#[test]
fn streams_that_meet_must_agree_at_the_start_and_both_are_shown() {
    let paths = [path(0, vec![]), path(1, vec![Act::Only(&["id", "name", "more"])])];
    let one = table(0, "t", 0, id_name());
    let fits = table(1, "t", 0, vec![column("name", DataType::Utf8), column("id", DataType::Int64)]);
    let seen = tables_at("sink", &paths, &[Arc::clone(&one), fits]).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].columns[0].data_type, DataType::Int64, "the narrowest that holds both");
    let mut more = id_name();
    more.push(column("more", DataType::Utf8));
    for (other, why) in [
        (vec![column("id", DataType::Utf8), column("name", DataType::Utf8)], "column id is Int32 and Utf8"),
        (more, "column more is in one of them only"),
        (vec![column("id", DataType::Int32)], "column name is in one of them only"),
    ] {
        let other = table(1, "t", 0, other);
        let error = tables_at("sink", &paths, &[Arc::clone(&one), other]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        let text = error.message();
        assert!(text.contains(why), "{text}");
        assert!(text.contains("s0 (db.t)") && text.contains("s1 → act-0 (db.t)"), "{text}");
        assert!(text.contains("| "), "side by side: {text}");
    }
    let mut no_key = (*table(1, "t", 0, id_name())).clone();
    no_key.primary_key.clear();
    let error = tables_at("sink", &paths, &[one, Arc::new(no_key)]).unwrap_err();
    assert!(error.message().contains("their keys are (id) and ()"), "{error}");
}

#[test]
fn a_column_comes_once_though_each_stream_gets_it_and_stays_until_the_end() {
    let (a0, b0) = (table(0, "t", 0, id_name()), table(1, "t", 0, id_name()));
    let mut wide = id_name();
    wide.push(column("note", DataType::Utf8));
    let (a1, b1) = (table(0, "t", 1, wide.clone()), table(1, "t", 1, wide));
    let mut router = router(vec![path(0, vec![]), path(1, vec![])], &[Arc::clone(&a0), Arc::clone(&b0)]);
    assert_eq!(
        told(&router.change(&change(&a0, &a1)).unwrap()),
        ["db.t [id, name] -> db.t [id, name, note]"]
    );
    // Rows of the other stream have no such value yet.
    let routed = router.batch(row(&b0, 1)).unwrap();
    assert_eq!(told(&routed), ["db.t 1 [id, name, note]"]);
    let Routed::Batch(batch) = &routed[0] else { panic!("a row") };
    assert!(batch.rows.column(2).is_null(0));
    assert_eq!(told(&router.batch(row(&a1, 2)).unwrap()), ["db.t 2 [id, name, note]"]);
    assert_eq!(told(&router.change(&change(&b0, &b1)).unwrap()), [""; 0]);
    // It goes from one stream: the other still brings it.
    assert_eq!(told(&router.change(&change(&a1, &table(0, "t", 2, id_name()))).unwrap()), [""; 0]);
    assert_eq!(told(&router.change(&change(&b1, &table(1, "t", 2, id_name()))).unwrap()), [""; 0]);
    let gone =
        SchemaChange { before: Some(table(0, "t", 2, id_name())), after: None, statement: "DROP".into() };
    assert_eq!(told(&router.change(&gone).unwrap()), [""; 0], "the other still brings rows");
}

#[test]
fn a_restart_between_the_changes_of_two_streams_is_taken() {
    let a = table(0, "t", 0, id_name());
    let b = table(1, "t", 0, vec![column("id", DataType::Int32)]);
    let mut router = Router::new("sink", &[path(0, vec![]), path(1, vec![])]);
    let seen = router.begin(&[a, Arc::clone(&b)]).unwrap();
    assert!(seen[0].columns[1].nullable, "rows of the other stream have no name");
    assert_eq!(told(&router.batch(row(&b, 1)).unwrap()), ["db.t 1 [id, name]"]);
}

#[test]
fn a_stream_of_its_own_tells_of_everything_but_what_a_transform_hides() {
    let (t0, t1) = (table(0, "t", 0, id_name()), table(0, "t", 1, id_name()));
    let plain = |paths| router(paths, &[Arc::clone(&t0)]).change(&change(&t0, &t1)).unwrap();
    // The statement may have changed what no schema shows.
    assert_eq!(told(&plain(vec![path(0, vec![])])), ["db.t [id, name] -> db.t [id, name]"]);
    assert_eq!(told(&plain(vec![path(0, vec![Act::Only(&["id"])])])), [""; 0]);
    let renamed = table(0, "u", 1, id_name());
    let mut straight = router(vec![path(0, vec![])], &[Arc::clone(&t0)]);
    assert_eq!(
        told(&straight.change(&change(&t0, &renamed)).unwrap()),
        ["db.t [id, name] -> db.u [id, name]"]
    );
    assert_eq!(told(&straight.batch(row(&renamed, 3)).unwrap()), ["db.u 3 [id, name]"]);
    let mut fixed = router(vec![path(0, vec![Act::Named("all")])], &[Arc::clone(&t0)]);
    assert_eq!(told(&fixed.change(&change(&t0, &renamed)).unwrap()), [""; 0]);
    let dropped = SchemaChange { before: Some(t0), after: None, statement: "DROP".into() };
    let came = SchemaChange { before: None, after: Some(renamed.clone()), statement: "CREATE".into() };
    let mut router = router(vec![path(0, vec![Act::Twice])], &[]);
    assert_eq!(
        told(&router.change(&came).unwrap()),
        ["nothing -> db.u [id, name]", "nothing -> db.u_too [id, name]"]
    );
    assert_eq!(
        told(&router.change(&dropped).unwrap()),
        ["db.t [id, name] -> nothing", "db.t_too [id, name] -> nothing"]
    );
}

#[test]
fn a_shape_that_no_change_told_of_is_enough_for_a_stream_of_its_own() {
    let (t0, t1) = (table(0, "t", 0, id_name()), table(0, "t", 1, vec![column("id", DataType::Int32)]));
    let mut alone = router(vec![path(0, vec![])], &[Arc::clone(&t0)]);
    assert_eq!(told(&alone.batch(row(&t1, 1)).unwrap()), ["db.t 1 [id]"]);
    let mut wide = id_name();
    wide.push(column("note", DataType::Utf8));
    let b = table(1, "t", 0, wide);
    let mut meeting = router(vec![path(0, vec![]), path(1, vec![])], &[t0, Arc::clone(&b)]);
    assert_eq!(told(&meeting.batch(row(&b, 1)).unwrap()), ["db.t 1 [id, name, note]"]);
}
