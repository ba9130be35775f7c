#![allow(clippy::unwrap_used)]

use culvert_api::SourceType;
use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{mapped, names, options_of, ran, run, text_batch, text_schema};

fn mapper(options: serde_json::Value) -> FieldMapper {
    FieldMapper::from_options(&options_of(FieldMapper::PLUGIN, FieldMapper::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(FieldMapper::OPTIONS), Vec::<String>::new());
}

#[test]
fn listed_columns_stay_renamed_and_in_order() {
    let batch = text_batch(&["id", "name", "age", "card"], &["+I 1|Joy Ding|20|123", "-D 2|May Ding|20|123"]);
    let transform = mapper(json!({"field_mapper": {"id": "id", "card": "card", "name": "new_name"}}));
    assert_eq!(names(&mapped(&transform, &batch.schema)), ["id", "card", "new_name"]);
    assert_eq!(ran(&transform, &batch), ["+I 1|123|Joy Ding", "-D 2|123|May Ding"]);
}

#[test]
fn a_renamed_key_column_renames_the_key_and_declared_types_stay() {
    let mut input = text_schema(&["id", "name"]);
    input.columns[0].source_type = Some(SourceType::mysql("varchar(9)"));
    let output = mapped(&mapper(json!({"field_mapper": {"name": "id", "id": "name"}})), &input);
    assert_eq!((names(&output), &output.primary_key), (vec!["id", "name"], &vec!["name".to_owned()]));
    assert_eq!(output.columns[1].source_type, Some(SourceType::mysql("varchar(9)")));
    let output = mapped(&mapper(json!({"field_mapper": {"name": "id"}})), &input);
    assert!(output.primary_key.is_empty(), "a column that took the key's name is not the key");
}

#[test]
fn a_vanished_column_and_two_of_one_name_are_told() {
    let batch = text_batch(&["id", "name"], &["+I 1|a"]);
    let error = run(&mapper(json!({"field_mapper": {"id": "id", "nam": "n"}})), &batch).unwrap_err();
    assert!(error.to_string().contains("column=nam"), "{error}");
    let error = run(&mapper(json!({"field_mapper": {"id": "x", "name": "x"}})), &batch).unwrap_err();
    assert!(error.to_string().contains("have one name") && error.to_string().contains("column=x"), "{error}");
}
