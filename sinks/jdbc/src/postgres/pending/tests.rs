#![allow(clippy::unwrap_used)]

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use culvert_api::{RowKindSet, RowPosition, TableSchema, Unavailable};

use super::*;
use crate::postgres::plan::tests::{plan, source, target};

const I: RowKind = RowKind::Insert;
const B: RowKind = RowKind::UpdateBefore;
const U: RowKind = RowKind::UpdateAfter;
const D: RowKind = RowKind::Delete;

/// Rows of kind, id, name; `?` is a value the log left out.
fn batch(source: &Arc<TableSchema>, rows: &[(RowKind, i32, &str)]) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1)));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter(rows.iter().map(|row| (row.2 != "?").then_some(row.2))));
    let left_out = BooleanBuffer::collect_bool(rows.len(), |row| rows[row].2 == "?");
    let unavailable = match left_out.count_set_bits() {
        0 => Vec::new(),
        _ => vec![Unavailable { column: 1, rows: left_out }],
    };
    ChangeBatch {
        schema: source.clone(),
        rows: RecordBatch::try_new(source.arrow.clone(), vec![ids, names]).unwrap(),
        kinds: rows.iter().map(|row| row.0).collect(),
        positions: positions(rows),
        transactions: vec![culvert_api::Transaction::logged("t", None)],
        unavailable,
    }
}

/// An insert behind a delete is the other side of the same change.
fn positions(rows: &[(RowKind, i32, &str)]) -> Vec<RowPosition> {
    let mut positions: Vec<RowPosition> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let event = positions.last().map_or(0, |last| last.event + 1);
        positions.push(match place > 0 && rows[place - 1].0 == D && row.0 == I {
            true => RowPosition { transaction: 0, event: event - 1, row: 1 },
            false => RowPosition { transaction: 0, event, row: 0 },
        });
    }
    positions
}

fn push(pending: &mut Pending, batch: &ChangeBatch) -> Result<()> {
    let plan = pending.plan.clone();
    let mut rows = Rows::new(&plan, batch)?;
    for (row, kind) in batch.kinds.iter().enumerate() {
        pending.push(*kind, row, &mut rows)?;
    }
    Ok(())
}

fn flush(pairs: &[(&str, &str)], key: &[&str], rows: &[(RowKind, i32, &str)]) -> Result<(String, Flush)> {
    let source = source(&["id"], RowKindSet::ALL);
    let mut pending = Pending::new(Arc::new(plan(&source, &target(&[key]), pairs)));
    push(&mut pending, &batch(&source, rows))?;
    let flush = pending.take()?;
    assert_eq!((pending.len(), pending.byte_len()), (0, 0));
    Ok((String::from_utf8(flush.body.to_vec()).unwrap(), flush))
}

#[test]
fn only_the_last_change_of_a_key_is_sent() {
    let changes =
        [(I, 1, "a"), (B, 1, "a"), (U, 1, "b"), (I, 2, "c\t"), (D, 2, "c\t"), (D, 3, "d"), (I, 3, "e")];
    let (text, flush) = flush(&[], &["id"], &changes).unwrap();
    assert_eq!(text, "1\t1\tb\n0\t2\t\\N\n1\t3\te\n");
    assert!(flush.removes && flush.puts && flush.partial.is_empty());
    let (text, flush) = self::flush(&[], &["id"], &[(I, 1, "a"), (I, 2, "b")]).unwrap();
    assert_eq!(text, "1\t1\ta\n1\t2\tb\n");
    assert!(!flush.removes);
}

#[test]
fn values_left_out_come_from_an_earlier_row_or_stay_unwritten() {
    let (text, flush) =
        flush(&[], &["id"], &[(I, 1, "a"), (U, 1, "?"), (U, 2, "?"), (U, 3, "?"), (U, 3, "x")]).unwrap();
    assert_eq!(text, "1\t1\ta\n2\t2\t\\N\n1\t3\tx\n");
    assert_eq!(flush.partial, [Partial { op: 2, left_out: vec![1], moved: false }]);
    let error = self::flush(&[], &["id"], &[(D, 1, "?"), (U, 1, "?")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    // The target's key is another: it must be known.
    let error = self::flush(&[], &["name"], &[(D, 1, "?")]).unwrap_err();
    assert!(error.to_string().contains("REPLICA IDENTITY FULL"), "{error}");
}

#[test]
fn an_update_of_a_key_that_is_only_the_targets_leaves_no_old_row() {
    let (text, _) = flush(&[], &["name"], &[(B, 1, "a"), (U, 1, "b"), (B, 2, "c"), (U, 2, "c")]).unwrap();
    assert_eq!(text, "0\ta\t\\N\n1\tb\t1\n1\tc\t2\n");
}

#[test]
fn without_upserts_runs_keep_the_order() {
    let changes = [(I, 1, "a"), (I, 2, "b"), (U, 1, "c"), (U, 2, "d"), (U, 2, "e"), (D, 1, "c"), (I, 1, "f")];
    let (text, flush) = flush(&[("enable_upsert", "false")], &["id"], &changes).unwrap();
    assert!(text.starts_with("1\t0\t1\ta\n1\t1\t2\tb\n2\t2\t1\tc\n"), "{text}");
    assert_eq!(flush.runs, [(1, 0, 1), (2, 2, 3), (2, 4, 4), (0, 5, 5), (1, 6, 6)]);
    assert_eq!(flush.partial, [Partial { op: 2, left_out: Vec::new(), moved: false }]);
    let (text, flush) =
        self::flush(&[("enable_upsert", "false")], &["id"], &[(D, 1, "?"), (I, 5, "?")]).unwrap();
    assert_eq!((text.as_str(), &*flush.moved), ("0\t0\t1\t\\N\n", b"2\t1\t5\t\\N\t1\n".as_slice()));
    assert_eq!(flush.runs, [(0, 0, 0), (2, 1, 1)]);
}

/// Body and moved lines, without line ends.
fn moved(rows: &[(RowKind, i32, &str)]) -> (Vec<String>, Vec<String>) {
    let (body, flush) = flush(&[], &["id"], rows).unwrap();
    let lines = |text: &str| text.lines().map(str::to_string).collect();
    assert!(flush.moved.is_empty() || flush.puts);
    (lines(&body), lines(std::str::from_utf8(&flush.moved).unwrap()))
}

#[test]
fn a_row_under_a_new_key_names_the_one_it_had_in_the_target() {
    assert_eq!(moved(&[(D, 1, "?"), (I, 5, "?")]), (vec!["0\t1\t\\N".into()], vec!["2\t5\t\\N\t1".into()]));
    // Twice; another row takes the first key; what comes to the last key later keeps the origin.
    let chain = [(D, 1, "?"), (I, 5, "?"), (D, 5, "?"), (I, 7, "?"), (I, 1, "new"), (U, 7, "?")];
    let (body, moved_rows) = moved(&chain);
    assert_eq!(body, ["0\t5\t\\N", "1\t1\tnew"]);
    assert_eq!(moved_rows, ["2\t7\t\\N\t1"]);
    // Two rows change places.
    let swap = [(D, 1, "?"), (I, 3, "?"), (D, 2, "?"), (I, 1, "?"), (D, 3, "?"), (I, 2, "?")];
    let (body, moved_rows) = moved(&swap);
    assert_eq!(body, ["0\t3\t\\N"]);
    assert_eq!(moved_rows, ["2\t1\t\\N\t2", "2\t2\t\\N\t1"]);
    // There and back.
    let (body, moved_rows) = moved(&[(D, 1, "?"), (I, 2, "?"), (D, 2, "?"), (I, 1, "?")]);
    assert_eq!((body, moved_rows), (vec!["0\t2\t\\N".into()], vec!["2\t1\t\\N\t1".into()]));
    // Gone in the end.
    let (body, moved_rows) = moved(&[(D, 1, "?"), (I, 2, "?"), (D, 2, "?")]);
    assert_eq!((body, moved_rows.len()), (vec!["0\t1\t\\N".into(), "0\t2\t\\N".into()], 0));
}

#[test]
fn a_row_under_a_new_key_takes_what_its_flush_has_told() {
    let (body, moved_rows) = moved(&[(I, 1, "a"), (D, 1, "?"), (I, 5, "?"), (U, 5, "?")]);
    assert_eq!((body, moved_rows.len()), (vec!["0\t1\t\\N".into(), "1\t5\ta".into()], 0));
    let (body, moved_rows) = moved(&[(D, 1, "?"), (I, 5, "?"), (U, 5, "b"), (D, 5, "?"), (I, 6, "?")]);
    assert_eq!(body, ["0\t1\t\\N", "0\t5\t\\N", "1\t6\tb"]);
    assert!(moved_rows.is_empty());
    let (body, moved_rows) = moved(&[(U, 1, "?"), (D, 1, "?"), (I, 5, "?")]);
    assert_eq!((body, moved_rows), (vec!["0\t1\t\\N".into()], vec!["3\t5\t\\N\t1".into()]));
}

#[test]
fn an_insert_that_lacks_values_needs_the_delete_it_belongs_to() {
    for rows in [&[(I, 5, "?")][..], &[(D, 1, "?"), (U, 9, "x"), (I, 5, "?")]] {
        let error = flush(&[], &["id"], rows).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("`name`"), "{error}");
        assert!(error.to_string().contains("REPLICA IDENTITY FULL"), "{error}");
    }
    // Its row was deleted before.
    let rows = [(D, 1, "?"), (U, 9, "x"), (D, 1, "?"), (I, 5, "?")];
    assert_eq!(flush(&[], &["id"], &rows).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn a_row_kind_the_edge_does_not_have_is_a_broken_promise() {
    let source = source(&[], RowKindSet::INSERT_ONLY);
    let mut pending = Pending::new(Arc::new(plan(&source, &target(&[]), &[])));
    push(&mut pending, &batch(&source, &[(I, 1, "a\\b")])).unwrap();
    assert_eq!(pending.take().unwrap().body, "1\ta\\\\b\n".as_bytes());
    assert_eq!(push(&mut pending, &batch(&source, &[(D, 1, "a")])).unwrap_err().kind(), ErrorKind::Internal);
}
