#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, mapped, names, options_of, ran, run, text_batch, text_schema};

fn rename(options: serde_json::Value) -> FieldRename {
    FieldRename::from_options(&options_of(FieldRename::PLUGIN, FieldRename::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(FieldRename::OPTIONS), Vec::<String>::new());
}

#[test]
fn case_replacements_prefix_and_suffix_come_together() {
    let input = text_schema(&["id", "create_time", "Name"]);
    let upper = rename(json!({
        "convert_case": "UPPER", "prefix": "F_", "suffix": "_S",
        "replacements_with_regex": [{"replace_from": "create_time", "replace_to": "SOURCE_CREATE_TIME"}],
    }));
    let output = mapped(&upper, &input);
    assert_eq!(names(&output), ["F_ID_S", "F_SOURCE_CREATE_TIME_S", "F_NAME_S"]);
    assert_eq!(output.primary_key, ["F_ID_S"], "the key follows its column");
    let lower = rename(
        json!({"convert_case": "lower", "replacements_with_regex": [{"replace_from": "N", "replace_to": "X"}]}),
    );
    assert_eq!(names(&mapped(&lower, &input)), ["id", "create_time", "Xame"]);
}

#[test]
fn the_last_replacement_that_finds_something_counts_and_specific_names_win() {
    let transform = rename(json!({
        "prefix": "p_",
        "replacements_with_regex": [
            {"replace_from": "[ae]", "replace_to": "_"},
            {"replace_from": "name", "replace_to": "title", "is_regex": false},
        ],
        "specific": [{"field_name": "InvoiceNum", "target_name": "invoice_num"}],
    }));
    let output = mapped(&transform, &text_schema(&["InvoiceNum", "name", "surname"]));
    assert_eq!(names(&output), ["invoice_num", "p_title", "p_surn_m_"]);
    assert_eq!(output.primary_key, ["invoice_num"]);
}

#[test]
fn values_are_shared_and_two_columns_of_one_name_are_refused() {
    let batch = text_batch(&["a", "A"], &[&format!("+U 1|{LEFT_OUT}")]);
    assert_eq!(ran(&rename(json!({"prefix": "x"})), &batch), [format!("+U 1|{LEFT_OUT}")]);
    let error = run(&rename(json!({"convert_case": "UPPER"})), &batch).unwrap_err();
    assert!(error.to_string().contains("column=A"), "{error}");
}

#[test]
fn keys_of_blocks_that_nobody_reads_are_refused() {
    let options = json!({"specific": [{"field_nmae": "a", "target_name": "b"}]});
    let options = options_of(FieldRename::PLUGIN, FieldRename::OPTIONS, options);
    let error = FieldRename::from_options(&options).unwrap_err();
    assert!(error.to_string().contains("'field_nmae' is not known"), "{error}");
    assert!(error.to_string().contains("did you mean 'field_name'?"), "{error}");
}
