#![allow(clippy::unwrap_used)]

use arrow_array::cast::AsArray;
use culvert_api::Unavailable;
use culvert_config::definition_mistakes;

use super::*;
use crate::testing::{applied, batch, mapped, options, schema};

fn extractor(pairs: &[(&str, &str)]) -> RowKindExtractor {
    let options = options(RowKindExtractor::PLUGIN, RowKindExtractor::OPTIONS, pairs);
    RowKindExtractor::from_options(&options).unwrap()
}

fn last_column(transform: &RowKindExtractor) -> Vec<String> {
    let output = mapped(transform, &schema());
    let out = applied(transform, batch(), &output).unwrap();
    let column = out.rows.columns().last().unwrap().clone();
    column.as_string::<i32>().iter().map(|text| text.unwrap().to_string()).collect()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(RowKindExtractor::OPTIONS), Vec::<String>::new());
}

#[test]
fn every_row_becomes_an_insert_with_its_kind_in_the_last_column() {
    let transform = extractor(&[]);
    let output = mapped(&transform, &schema());
    let before = batch();
    let out = applied(&transform, before.clone(), &output).unwrap();
    assert_eq!(last_column(&transform), ["+I", "+I", "-U", "+U", "-D"]);
    assert!(out.kinds.iter().all(|kind| *kind == RowKind::Insert));
    assert_eq!((out.len(), out.positions.clone()), (5, before.positions.clone()));
    assert_eq!(out.rows.column(1), before.rows.column(1));
    assert_eq!(out.rows.schema(), output.arrow);
    // What another branch holds is as it was.
    assert_eq!(before.kinds, batch().kinds);
    assert_eq!(before.rows, batch().rows);
}

#[test]
fn full_names_and_another_column_name() {
    let transform = extractor(&[("custom_field_name", "op"), ("transform_type", "full")]);
    assert_eq!(last_column(&transform), ["INSERT", "INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE"]);
    let output = mapped(&transform, &schema());
    let column = output.columns.last().unwrap();
    assert_eq!((column.name.as_str(), column.nullable), ("op", false));
    assert_eq!(column.data_type, DataType::Utf8);
}

#[test]
fn the_key_keeps_its_name_and_the_edge_carries_inserts_only() {
    let output = mapped(&extractor(&[]), &schema());
    assert_eq!(output.primary_key, ["id"]);
    assert!(output.kinds.is_insert_only());
    assert_eq!((output.version, output.id.clone()), (3, schema().id));
}

#[test]
fn a_name_that_is_taken_is_refused() {
    for name in ["name", "NAME"] {
        let error = extractor(&[("custom_field_name", name)]).map_schema(&schema()).unwrap_err();
        assert_eq!(error.message(), format!("field name {name} already exists"));
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    let empty = options(RowKindExtractor::PLUGIN, RowKindExtractor::OPTIONS, &[("custom_field_name", " ")]);
    assert!(RowKindExtractor::from_options(&empty).is_err());
}

#[test]
fn what_the_log_left_out_stays_left_out() {
    let transform = extractor(&[]);
    let output = mapped(&transform, &schema());
    let mut input = batch();
    input.unavailable = vec![Unavailable { column: 1, rows: vec![false, false, false, true, true].into() }];
    let out = applied(&transform, input.clone(), &output).unwrap();
    assert_eq!(out.unavailable, input.unavailable);
    // The column that was appended is always known.
    assert!(out.is_unavailable(3, 1) && !out.is_unavailable(3, 2));
}
