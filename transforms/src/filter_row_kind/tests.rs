#![allow(clippy::unwrap_used)]

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use culvert_api::Unavailable;
use culvert_config::definition_mistakes;

use super::*;
use crate::testing::{applied, batch, mapped, options, schema};

fn filter(pairs: &[(&str, &str)]) -> Result<FilterRowKind> {
    FilterRowKind::from_options(&options(FilterRowKind::PLUGIN, FilterRowKind::OPTIONS, pairs))
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(FilterRowKind::OPTIONS), Vec::<String>::new());
}

#[test]
fn rows_of_other_kinds_are_dropped_with_their_positions() {
    for transform in [
        filter(&[("exclude_kinds", "update_before")]),
        filter(&[("include_kinds", "INSERT,UPDATE_AFTER,DELETE")]),
    ] {
        let transform = transform.unwrap();
        let output = mapped(&transform, &schema());
        let out = applied(&transform, batch(), &output).unwrap();
        assert_eq!(out.kinds, [RowKind::Insert, RowKind::Insert, RowKind::UpdateAfter, RowKind::Delete]);
        assert_eq!(out.positions.iter().map(|position| position.row).collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert_eq!(out.rows.column(0).as_primitive::<Int32Type>().values().to_vec(), [1, 2, 2, 2]);
        assert!(!output.kinds.contains(RowKind::UpdateBefore) && output.kinds.contains(RowKind::Delete));
        assert_eq!(output.columns, schema().columns);
    }
}

#[test]
fn nothing_left_is_no_batch_and_nothing_dropped_is_the_same_batch() {
    let output = Arc::new(schema());
    let inserts = filter(&[("include_kinds", "INSERT")]).unwrap();
    let mut updates = batch();
    updates.kinds = vec![RowKind::UpdateBefore; 5];
    assert!(applied(&inserts, updates, &output).is_none());
    let all = filter(&[("include_kinds", "INSERT,UPDATE_BEFORE,UPDATE_AFTER,DELETE")]).unwrap();
    let out = applied(&all, batch(), &output).unwrap();
    assert_eq!((out.rows, out.kinds), (batch().rows, batch().kinds));
}

#[test]
fn an_edge_of_kinds_only_narrows() {
    let inserts = TableSchema { kinds: RowKindSet::INSERT_ONLY, ..schema() };
    let out = mapped(&filter(&[("exclude_kinds", "DELETE")]).unwrap(), &inserts);
    assert!(out.kinds.is_insert_only());
}

#[test]
fn exactly_one_option_with_known_kinds() {
    let exclusive = "These options(include_kinds,exclude_kinds) are mutually exclusive, allowing only one set of \
                     options to be configured.";
    assert_eq!(filter(&[]).unwrap_err().message(), exclusive);
    let both = filter(&[("include_kinds", "INSERT"), ("exclude_kinds", "DELETE")]);
    assert_eq!(both.unwrap_err().message(), exclusive);
    assert!(filter(&[("include_kinds", "+I")]).unwrap_err().to_string().contains("UPDATE_BEFORE"));
    assert!(filter(&[("include_kinds", "")]).is_err());
}

#[test]
fn what_the_log_left_out_goes_with_its_row() {
    let transform = filter(&[("exclude_kinds", "INSERT,UPDATE_BEFORE")]).unwrap();
    let output = mapped(&transform, &schema());
    let mut input = batch();
    input.unavailable = vec![
        Unavailable { column: 1, rows: vec![false, false, false, true, false].into() },
        Unavailable { column: 0, rows: vec![true, true, true, false, false].into() },
    ];
    let out = applied(&transform, input, &output).unwrap();
    assert_eq!(out.kinds, [RowKind::UpdateAfter, RowKind::Delete]);
    assert_eq!(out.unavailable, [Unavailable { column: 1, rows: vec![true, false].into() }]);
    assert!(out.is_unavailable(0, 1) && !out.is_unavailable(1, 1) && !out.is_unavailable(0, 0));
}

#[test]
fn an_unknown_kind_is_told_with_the_one_that_was_meant() {
    let error = filter(&[("include_kinds", "INSERT,UPDATE_AFTR")]).unwrap_err();
    assert_eq!(error.message(), "option `include_kinds` has the unknown kind UPDATE_AFTR");
    let hint = error.hint_text().unwrap();
    assert!(hint.starts_with("did you mean UPDATE_AFTER? one of INSERT"), "{hint}");
}
