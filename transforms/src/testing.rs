//! Batches and options for the tests of transforms.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, RowKind, RowKindSet, RowPosition, TableId, TableSchema, Transform, Unavailable,
};
use culvert_config::{Block, Entry, OptionDef, Options, Place, Role, Value};

/// Options as a job file gives them; a text with commas is a list where a list is wanted.
pub(crate) fn options(plugin: &str, defs: &[OptionDef], pairs: &[(&str, &str)]) -> Options {
    let mut block = Block::new(Role::Transform, plugin, Place::default());
    for (key, value) in pairs {
        block.entries.push(Entry {
            key: (*key).to_string(),
            value: Value::String((*value).to_string()),
            place: Place::default(),
        });
    }
    Options::resolve(&block, defs).0
}

/// `cdc.w(id, name)` with the key `id`.
pub(crate) fn schema() -> TableSchema {
    let columns =
        vec![Column::derived("id", DataType::Int32, false), Column::derived("name", DataType::Utf8, true)];
    TableSchema::new(TableId::new("cdc", "w"), 3, columns, vec!["id".into()], RowKindSet::ALL)
}

/// Alice and Bob come, Bob becomes Charlie, Charlie goes.
pub(crate) fn batch() -> ChangeBatch {
    let schema = Arc::new(schema());
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 2, 2, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["Alice", "Bob", "Bob", "Charlie", "Charlie"]));
    let rows = RecordBatch::try_new(schema.arrow.clone(), vec![ids, names]).expect("equal columns");
    let kinds =
        vec![RowKind::Insert, RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let positions = (0..5).map(|row| RowPosition { transaction: 0, event: 0, row }).collect();
    ChangeBatch {
        schema,
        rows,
        kinds,
        positions,
        transactions: vec![culvert_api::Transaction::logged("0-1-1", None)],
        unavailable: Vec::new(),
    }
}

/// The one table that leaves.
pub(crate) fn mapped(transform: &dyn Transform, input: &TableSchema) -> Arc<TableSchema> {
    let mut outputs = transform.map_schema(input).expect("the transform takes the table");
    assert_eq!(outputs.len(), 1, "one table leaves");
    Arc::new(outputs.remove(0))
}

/// The batch that leaves, if any.
pub(crate) fn applied(
    transform: &dyn Transform,
    batch: ChangeBatch,
    output: &Arc<TableSchema>,
) -> Option<ChangeBatch> {
    let mut batches =
        transform.apply(batch, std::slice::from_ref(output)).expect("the transform takes the rows");
    assert!(batches.len() <= 1, "at most one batch leaves");
    batches.pop()
}

/// Options as a job file in JSON gives them.
pub(crate) fn options_of(plugin: &str, defs: &[OptionDef], json: serde_json::Value) -> Options {
    let mut block = Block::new(Role::Transform, plugin, Place::default());
    let Value::Object(entries) = value_of(json) else { panic!("a block") };
    block.entries = entries;
    let (options, problems) = Options::resolve(&block, defs);
    assert!(problems.is_empty(), "{problems:?}");
    options
}

fn value_of(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Number(number.to_string()),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(values) => Value::List(values.into_iter().map(value_of).collect()),
        serde_json::Value::Object(members) => {
            let entry = |(key, value)| Entry { key, value: value_of(value), place: Place::default() };
            Value::Object(members.into_iter().map(entry).collect())
        }
    }
}

/// `db.t` with columns of text, the first of which is the key.
pub(crate) fn text_schema(names: &[&str]) -> TableSchema {
    let column = |(place, name): (usize, &&str)| Column::derived(*name, DataType::Utf8, place > 0);
    let columns = names.iter().enumerate().map(column).collect();
    TableSchema::new(TableId::new("db", "t"), 1, columns, vec![names[0].to_owned()], RowKindSet::ALL)
}

/// What stands for a value that the log left out.
pub(crate) const LEFT_OUT: &str = "<left out>";

/// Rows of [`text_schema`], written `+I a|b|c`; `null` is NULL and `<left out>` a value that the log left out.
pub(crate) fn text_batch(names: &[&str], rows: &[&str]) -> ChangeBatch {
    let schema = Arc::new(text_schema(names));
    let split: Vec<(RowKind, Vec<&str>)> = rows
        .iter()
        .map(|row| {
            let (kind, values) = row.split_once(' ').expect("a kind");
            let kind = RowKind::ALL.into_iter().find(|known| known.short() == kind).expect("a kind");
            (kind, values.split('|').collect())
        })
        .collect();
    let value = |row: usize, place: usize| split[row].1[place];
    let columns = (0..names.len()).map(|place| -> ArrayRef {
        let held = (0..rows.len()).map(|row| match value(row, place) {
            "null" => None,
            LEFT_OUT => {
                if schema.columns[place].nullable {
                    None
                } else {
                    Some("")
                }
            }
            text => Some(text),
        });
        Arc::new(held.collect::<StringArray>())
    });
    let unavailable = (0..names.len()).map(|column| Unavailable {
        column,
        rows: (0..rows.len()).map(|row| value(row, column) == LEFT_OUT).collect(),
    });
    let row =
        |row: usize| RowPosition { transaction: 0, event: 0, row: u32::try_from(row).expect("few rows") };
    ChangeBatch {
        rows: RecordBatch::try_new(schema.arrow.clone(), columns.collect()).expect("equal columns"),
        kinds: split.iter().map(|(kind, _)| *kind).collect(),
        positions: (0..rows.len()).map(row).collect(),
        transactions: vec![culvert_api::Transaction::logged("0-1-1", Some(1_700_000_000_000_000))],
        unavailable: unavailable.filter(|one| one.rows.count_set_bits() > 0).collect(),
        schema,
    }
}

/// Rows as [`text_batch`] takes them, of columns of any type.
pub(crate) fn lines(batch: &ChangeBatch) -> Vec<String> {
    let value = |row: usize, place: usize| {
        let array = batch.rows.column(place);
        match (batch.is_unavailable(row, place), arrow_array::Array::is_null(array, row)) {
            (true, _) => LEFT_OUT.to_owned(),
            (false, true) => "null".to_owned(),
            (false, false) => crate::values::shown(array, row),
        }
    };
    let line = |row: usize| {
        let values: Vec<String> = (0..batch.rows.num_columns()).map(|place| value(row, place)).collect();
        format!("{} {}", batch.kinds[row].short(), values.join("|"))
    };
    (0..batch.len()).map(line).collect()
}

/// Names of a schema's columns.
pub(crate) fn names(schema: &TableSchema) -> Vec<&str> {
    schema.columns.iter().map(|column| column.name.as_str()).collect()
}

/// Maps the table and the rows; checks what holds for every transform: the batch's columns are those of the
/// schema it carries, which is one that was announced, and the batch that was given is as it was.
pub(crate) fn run(transform: &dyn Transform, batch: &ChangeBatch) -> culvert_api::Result<Vec<ChangeBatch>> {
    let outputs: Vec<Arc<TableSchema>> =
        transform.map_schema(&batch.schema)?.into_iter().map(Arc::new).collect();
    let before = (lines(batch), batch.rows.clone());
    let left = transform.apply(batch.clone(), &outputs)?;
    assert_eq!((lines(batch), batch.rows.clone()), before, "the batch that was given is as it was");
    for out in &left {
        assert!(outputs.iter().any(|output| Arc::ptr_eq(output, &out.schema)), "an announced table");
        assert_eq!(out.rows.schema(), out.schema.arrow);
        assert!(!out.is_empty() && out.len() == out.positions.len() && out.len() == out.rows.num_rows());
        assert!(out.kinds.iter().all(|kind| out.schema.kinds.contains(*kind)), "{:?}", out.schema.kinds);
        assert_eq!((out.schema.version, out.schema.source), (batch.schema.version, batch.schema.source));
    }
    Ok(left)
}

/// Rows that leave one table alone.
pub(crate) fn ran(transform: &dyn Transform, batch: &ChangeBatch) -> Vec<String> {
    let left = run(transform, batch).expect("the transform takes the rows");
    assert!(left.len() <= 1, "at most one batch leaves");
    left.iter().flat_map(lines).collect()
}
