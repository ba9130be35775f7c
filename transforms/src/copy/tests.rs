#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, mapped, names, options_of, ran, run, text_batch};

fn copy(options: serde_json::Value) -> Copy {
    Copy::from_options(&options_of(Copy::PLUGIN, Copy::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(Copy::OPTIONS), Vec::<String>::new());
}

#[test]
fn copies_are_appended_and_shared() {
    let batch = text_batch(&["name", "age", "card"], &["+I Joy Ding|20|123"]);
    let transform = copy(json!({"fields": {"name1": "name", "name2": "name", "age1": "age"}}));
    let output = mapped(&transform, &batch.schema);
    assert_eq!(names(&output), ["name", "age", "card", "name1", "name2", "age1"]);
    assert_eq!(output.primary_key, ["name"]);
    assert_eq!(ran(&transform, &batch), ["+I Joy Ding|20|123|Joy Ding|Joy Ding|20"]);
    let left = run(&transform, &batch).unwrap();
    assert!(Arc::ptr_eq(left[0].rows.column(3), batch.rows.column(0)), "columns are shared");
    assert_eq!(
        ran(&copy(json!({"src_field": "age", "dest_field": "old"})), &batch),
        ["+I Joy Ding|20|123|20"]
    );
}

#[test]
fn the_copy_of_a_left_out_value_is_left_out() {
    let batch = text_batch(&["id", "a"], &[&format!("+U 1|{LEFT_OUT}"), "+I 2|x"]);
    let expected = [format!("+U 1|{LEFT_OUT}|{LEFT_OUT}"), "+I 2|x|x".to_owned()];
    assert_eq!(ran(&copy(json!({"fields": {"b": "a"}})), &batch), expected);
}

#[test]
fn a_copy_takes_the_place_of_a_column_and_of_a_key() {
    let batch = text_batch(&["id", "a"], &["+I 1|x"]);
    let over = copy(json!({"fields": {"id": "a"}}));
    assert_eq!(ran(&over, &batch), ["+I x|x"]);
    assert!(mapped(&over, &batch.schema).primary_key.is_empty());
    let saved = copy(json!({"fields": {"old_id": "id", "id": "a"}}));
    assert_eq!(mapped(&saved, &batch.schema).primary_key, ["old_id"], "the key is where its values are");
}
