#![allow(clippy::unwrap_used)]

use arrow_array::{ArrayRef, Int32Array};
use arrow_schema::DataType;

use super::*;
use crate::{Column, RowKindSet, TableId};

fn batch(rows: &[(RowKind, u32, u32)]) -> ChangeBatch {
    let columns = vec![Column::derived("id", DataType::Int32, false)];
    let id = TableId::new("shop", "t");
    let schema = Arc::new(TableSchema::new(id, 1, columns, vec!["id".into()], RowKindSet::ALL));
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..i32::try_from(rows.len()).unwrap()));
    let position =
        |(_, event, row): &(RowKind, u32, u32)| RowPosition { transaction: 0, event: *event, row: *row };
    ChangeBatch {
        rows: RecordBatch::try_new(schema.arrow.clone(), vec![ids]).unwrap(),
        schema,
        kinds: rows.iter().map(|row| row.0).collect(),
        positions: rows.iter().map(position).collect(),
        transactions: vec![Transaction::logged("t", None)],
        unavailable: Vec::new(),
    }
}

#[test]
fn the_two_sides_of_a_changed_key_are_one_change_and_neighbours() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let pair = batch(&[(Delete, 3, 0), (Insert, 3, 1), (Delete, 4, 0)]);
    assert_eq!([0, 1, 2, 3].map(|row| pair.moved_from(row)), [None, Some(0), None, None]);
    for others in [
        // Two changes; a half of either of two changes of one event; an update that left the key alone.
        [(Delete, 3, 0), (Insert, 4, 0)],
        [(Delete, 3, 0), (Insert, 3, 3)],
        [(UpdateBefore, 3, 0), (UpdateAfter, 3, 1)],
    ] {
        assert_eq!(batch(&others).moved_from(1), None);
    }
}
