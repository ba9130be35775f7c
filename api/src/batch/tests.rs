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

#[test]
fn an_update_of_which_one_side_passes_is_a_row_that_came_or_went() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let all = [
        (UpdateBefore, 0, 0),
        (UpdateAfter, 0, 1),
        (UpdateBefore, 1, 0),
        (UpdateAfter, 1, 1),
        (Insert, 2, 0),
    ];
    let kinds = |passes: [bool; 5]| {
        let kept = batch(&all).keep(&BooleanBuffer::from(passes.to_vec())).unwrap();
        kept.map(|batch| (batch.kinds, batch.positions.iter().map(|at| at.event).collect::<Vec<_>>()))
    };
    assert_eq!(kinds([true, false, false, true, true]), Some((vec![Delete, Insert, Insert], vec![0, 1, 2])));
    assert_eq!(kinds([true, true, false, false, false]), Some((vec![UpdateBefore, UpdateAfter], vec![0, 0])));
    assert_eq!(kinds([false; 5]), None);
    // The sides of two updates are not one update.
    let apart = batch(&[(UpdateAfter, 0, 1), (UpdateBefore, 1, 0)]);
    assert_eq!(apart.keep(&BooleanBuffer::from(vec![true, false])).unwrap().unwrap().kinds, [UpdateAfter]);
}

#[test]
fn what_the_log_left_out_stays_with_its_row() {
    let mut three = batch(&[(RowKind::Insert, 0, 0), (RowKind::Insert, 1, 0), (RowKind::Insert, 2, 0)]);
    three.unavailable = vec![Unavailable { column: 0, rows: BooleanBuffer::from(vec![false, true, false]) }];
    let left = |passes: Vec<bool>| three.clone().only(&BooleanBuffer::from(passes)).unwrap().unwrap();
    assert_eq!([0, 1].map(|row| left(vec![false, true, true]).is_unavailable(row, 0)), [true, false]);
    assert_eq!(left(vec![true, false, true]).unavailable, vec![]);
    assert!(three.clone().only(&BooleanBuffer::from(vec![true])).is_err(), "an answer per row");
}
