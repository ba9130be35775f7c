#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, mapped, names, options_of, ran, run, text_batch, text_schema};

fn filter(options: serde_json::Value) -> Filter {
    Filter::from_options(&options_of(Filter::PLUGIN, Filter::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(Filter::OPTIONS), Vec::<String>::new());
}

#[test]
fn listed_columns_stay_in_the_order_of_the_list_or_go() {
    let batch = text_batch(&["name", "age", "card"], &["+I Joy Ding|20|123", "+I Kin Dom|20|123"]);
    let expected = ["+I Joy Ding|123", "+I Kin Dom|123"];
    assert_eq!(ran(&filter(json!({"include_fields": ["name", "card"]})), &batch), expected);
    assert_eq!(ran(&filter(json!({"exclude_fields": ["age"]})), &batch), expected);
    assert_eq!(ran(&filter(json!({"include_fields": "card, name"})), &batch)[0], "+I 123|Joy Ding");
}

#[test]
fn a_column_that_is_added_is_kept_by_exclude_and_dropped_by_include() {
    let wider = text_schema(&["name", "age", "card", "more"]);
    let exclude = mapped(&filter(json!({"exclude_fields": ["age"]})), &wider);
    assert_eq!(names(&exclude), ["name", "card", "more"]);
    assert_eq!(names(&mapped(&filter(json!({"include_fields": ["name"]})), &wider)), ["name"]);
}

#[test]
fn a_dropped_key_column_leaves_a_table_without_a_key_and_left_out_values_move_along() {
    let batch =
        text_batch(&["id", "a", "b"], &[&format!("-U 1|x|{LEFT_OUT}"), &format!("+U 1|{LEFT_OUT}|y")]);
    let transform = filter(json!({"include_fields": ["b", "a"]}));
    assert!(mapped(&transform, &batch.schema).primary_key.is_empty());
    assert_eq!(ran(&transform, &batch), [format!("-U {LEFT_OUT}|x"), format!("+U y|{LEFT_OUT}")]);
    assert_eq!(mapped(&filter(json!({"exclude_fields": ["a"]})), &batch.schema).primary_key, ["id"]);
}

#[test]
fn a_column_that_is_not_there_is_told_with_the_nearest_name() {
    let batch = text_batch(&["name", "age"], &["+I a|1"]);
    for options in [json!({"include_fields": ["nmae"]}), json!({"exclude_fields": ["nmae"]})] {
        let error = run(&filter(options), &batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        let told = error.to_string();
        for part in ["transform=Filter", "table=db.t", "column=nmae", "did you mean 'name'?"] {
            assert!(told.contains(part), "{told}");
        }
    }
    let error = run(&filter(json!({"exclude_fields": ["name", "age"]})), &batch).unwrap_err();
    assert!(error.to_string().contains("no column is left"), "{error}");
}
