//! Batches and options for the tests of transforms.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, RowKind, RowKindSet, RowPosition, TableId, TableSchema, Transform};
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
