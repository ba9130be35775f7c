//! What becomes of kinds, of updates, and of values that the log left out.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Int32Array, StringArray};
use culvert_api::RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
use culvert_api::{ChangeBatch, ErrorClass, RowKind, RowKindSet, TableSchema, Transform, Unavailable};

use super::{applied, batch, sql};

/// `id`, `a` and the text `t`, one value per row.
fn columns(ids: &[i32], a: &[Option<i32>]) -> Vec<(&'static str, ArrayRef)> {
    let texts: Vec<String> = ids.iter().map(|id| format!("t{id}")).collect();
    vec![
        ("id", Arc::new(Int32Array::from(ids.to_vec())) as ArrayRef),
        ("a", Arc::new(Int32Array::from(a.to_vec()))),
        ("t", Arc::new(StringArray::from(texts))),
    ]
}

fn rows(kinds: &[RowKind], ids: &[i32], a: &[Option<i32>]) -> ChangeBatch {
    batch(&columns(ids, a), &["id"], kinds)
}

/// The kinds and the values of `a` that leave.
fn made(query: &str, batch: ChangeBatch) -> Result<(Vec<RowKind>, Vec<Option<i32>>), String> {
    let made = applied(&sql(query).unwrap(), batch).map_err(|error| error.to_string())?;
    Ok(made.map_or_else(Default::default, |made| {
        let column = made.rows.column_by_name("a").unwrap().as_primitive::<Int32Type>().clone();
        (made.kinds, column.iter().collect())
    }))
}

/// The same rows with these of `a` left out.
fn left_out(mut batch: ChangeBatch, rows: &[bool]) -> ChangeBatch {
    batch.unavailable = vec![Unavailable { column: 1, rows: rows.to_vec().into() }];
    batch
}

const ALL: &str = "select id, a, t from x where a > 5";

#[test]
fn an_update_of_which_one_side_passes_comes_or_goes() {
    let kinds =
        [Insert, UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter, Delete];
    let values = [9, 9, 8, 8, 1, 1, 7, 7].map(Some);
    let out = made(ALL, rows(&kinds, &[1; 8], &values)).unwrap();
    let wanted = [Insert, UpdateBefore, UpdateAfter, Delete, Insert, Delete];
    assert_eq!(out, (wanted.to_vec(), [9, 9, 8, 8, 7, 7].map(Some).to_vec()));
}

#[test]
fn null_does_not_pass_and_no_row_is_no_batch() {
    assert_eq!(made(ALL, rows(&[Insert, Insert], &[1, 2], &[None, Some(6)])).unwrap().1, [Some(6)]);
    assert_eq!(made(ALL, rows(&[Insert], &[1], &[Some(5)])).unwrap().0, []);
    assert_eq!(made("select a from x where false", rows(&[Insert], &[1], &[Some(5)])).unwrap().0, []);
}

/// Rows of an edge with these kinds.
fn on_an_edge(batch: ChangeBatch, kinds: &[RowKind]) -> ChangeBatch {
    let schema = TableSchema { kinds: RowKindSet::of(kinds), ..(*batch.schema).clone() };
    ChangeBatch { schema: Arc::new(schema), ..batch }
}

#[test]
fn an_update_without_its_old_side_that_does_not_pass_ends_its_row() {
    let lone = || rows(&[UpdateAfter, UpdateAfter], &[1, 2], &[Some(1), Some(6)]);
    assert_eq!(made(ALL, lone()).unwrap(), (vec![Delete, UpdateAfter], vec![Some(1), Some(6)]));
    let without_deletes = on_an_edge(lone(), &[Insert, UpdateAfter]);
    assert_eq!(made(ALL, without_deletes).unwrap(), (vec![UpdateAfter], vec![Some(6)]));
    assert_eq!(made("select a, id from x where id > 1", lone()).unwrap(), (vec![UpdateAfter], vec![Some(6)]));
}

#[test]
fn the_edge_says_which_kinds_can_leave() {
    let kinds = |query: &str, kinds: &[RowKind]| {
        let batch = on_an_edge(rows(&[Insert], &[1], &[None]), kinds);
        sql(query).unwrap().map_schema(&batch.schema).unwrap().remove(0).kinds
    };
    assert_eq!(kinds(ALL, &[UpdateBefore, UpdateAfter]), RowKindSet::ALL);
    assert!(kinds(ALL, &[Insert]).is_insert_only());
    assert_eq!(kinds("select * from x", &[UpdateAfter]), RowKindSet::of(&[UpdateAfter]));
}

#[test]
fn what_is_left_out_passes_with_its_column() {
    let input = left_out(rows(&[UpdateAfter, Insert], &[1, 2], &[None, Some(6)]), &[true, false]);
    let out = applied(&sql("select t, a as b from x").unwrap(), input).unwrap().unwrap();
    assert_eq!(out.unavailable, [Unavailable { column: 1, rows: vec![true, false].into() }]);
    assert!(out.is_unavailable(0, 1) && !out.is_unavailable(1, 1));
}

#[test]
fn nothing_is_computed_from_what_is_left_out() {
    let input = || left_out(rows(&[UpdateAfter, Insert], &[1, 2], &[None, Some(6)]), &[true, false]);
    for query in ["select id, a + 1 as a from x", ALL, "select a from x where id > 0 and a is null"] {
        let error = applied(&sql(query).unwrap(), input()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Operator);
        let text = error.to_string();
        for part in ["table=shop.orders", "column=a", "transform=Sql", "REPLICA IDENTITY FULL"] {
            assert!(text.contains(part), "{query}: {text}");
        }
    }
    // A row that another condition drops needs nothing, and its stay ends.
    let out = made("select a from x where a > 5 and id > 1", input()).unwrap();
    assert_eq!(out, (vec![Delete, Insert], vec![None, Some(6)]));
}

#[test]
fn a_delete_that_cannot_be_judged_passes_and_computes_nothing() {
    let input = || {
        left_out(
            rows(&[Delete, Delete, Insert], &[1, 2, 3], &[None, Some(1), Some(6)]),
            &[true, false, false],
        )
    };
    assert_eq!(made(ALL, input()).unwrap(), (vec![Delete, Insert], vec![None, Some(6)]));
    let out = applied(&sql("select id, a + 1 as a from x where a > 5").unwrap(), input()).unwrap().unwrap();
    assert_eq!(out.kinds, [Delete, Insert]);
    assert_eq!(out.unavailable, [Unavailable { column: 1, rows: vec![true, false].into() }]);
}

#[test]
fn a_row_that_a_target_may_lack_has_to_be_whole() {
    let t_left_out = |kinds: &[RowKind], a: &[Option<i32>], rows_left_out: &[bool]| {
        let ids: Vec<i32> = (1..).take(kinds.len()).collect();
        let mut batch = rows(kinds, &ids, a);
        batch.unavailable = vec![Unavailable { column: 2, rows: rows_left_out.to_vec().into() }];
        batch
    };
    // It may begin to pass with this update, or does.
    assert!(made(ALL, t_left_out(&[UpdateAfter], &[Some(6)], &[true])).is_err());
    assert!(
        made(ALL, t_left_out(&[UpdateBefore, UpdateAfter], &[Some(1), Some(6)], &[false, true])).is_err()
    );
    // The row of the old key did not pass.
    assert!(made(ALL, t_left_out(&[Delete, Insert], &[Some(1), Some(6)], &[false, true])).is_err());
    // It passed before.
    assert!(made(ALL, t_left_out(&[UpdateBefore, UpdateAfter], &[Some(7), Some(6)], &[false, true])).is_ok());
    assert!(made(ALL, t_left_out(&[Delete, Insert], &[Some(7), Some(6)], &[false, true])).is_ok());
    // What decides does not change, or the value does not leave.
    assert!(made("select a, t from x where id > 0", t_left_out(&[UpdateAfter], &[Some(6)], &[true])).is_ok());
    assert!(made("select id, a from x where a > 5", t_left_out(&[UpdateAfter], &[Some(6)], &[true])).is_ok());
}

#[test]
fn an_error_names_no_value() {
    let input = rows(&[Insert, Insert], &[1, 2], &[Some(2_147_480_001), Some(0)]);
    let error = applied(&sql("select a * 3 as a from x").unwrap(), input.clone()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Data);
    let text = error.to_string();
    assert!(
        text.contains("`a * 3`") && text.contains("table=shop.orders") && !text.contains("2147480001"),
        "{text}"
    );
    let error = applied(&sql("select cast(t as int) as a from x").unwrap(), input).unwrap_err().to_string();
    assert!(error.contains("a value is no INT") && !error.contains("t1"), "{error}");
}

#[test]
fn a_batch_sees_one_moment() {
    let input = rows(&[Insert; 50], &[1; 50], &[None; 50]);
    let out = applied(
        &sql("select id, now() as b, current_timestamp as c from x where now() > '2021-01-01'").unwrap(),
        input,
    );
    let out = out.unwrap().unwrap();
    let first = out.rows.column(1).slice(0, 1);
    for row in 0..50 {
        assert_eq!(out.rows.column(1).slice(row, 1).as_ref(), first.as_ref());
        assert_eq!(out.rows.column(2).slice(row, 1).as_ref(), first.as_ref());
    }
}

#[test]
fn inserted_rows_of_a_change_log() {
    let kinds: ArrayRef = Arc::new(StringArray::from(vec!["+I", "-U", "+U", "+I", "-D"]));
    let mut columns = columns(&[1, 1, 1, 2, 2], &[None; 5]);
    columns.push(("row_kind", kinds));
    let out = applied(
        &sql("select id, t as name from trans_row where row_kind = '+I'").unwrap(),
        batch(&columns, &["id"], &[Insert; 5]),
    );
    let out = out.unwrap().unwrap();
    assert_eq!(out.rows.column(0).as_primitive::<Int32Type>().values().to_vec(), [1, 2]);
    assert_eq!((out.kinds, out.positions[1].row), (vec![Insert; 2], 3));
}
