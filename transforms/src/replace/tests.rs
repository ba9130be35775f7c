#![allow(clippy::unwrap_used)]

use culvert_api::{ErrorKind, SourceType};
use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, batch as numbers, mapped, options_of, ran, run, text_batch};

fn replace(field: &str, pattern: &str, replacement: &str, more: serde_json::Value) -> Result<Replace> {
    let mut options = json!({"replace_field": field, "pattern": pattern, "replacement": replacement});
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    Replace::from_options(&options_of(Replace::PLUGIN, Replace::OPTIONS, options))
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(Replace::OPTIONS), Vec::<String>::new());
}

#[test]
fn texts_and_patterns_are_replaced_as_java_does() {
    let batch = text_batch(&["id", "name"], &["+I 1|Joy  Ding", "+I 2|null", "-D 3|x"]);
    let named = |pattern: &str, replacement: &str, more| {
        let transform = replace("name", pattern, replacement, more).unwrap();
        ran(&transform, &batch)
    };
    assert_eq!(named(" ", "_", json!({"is_regex": true})), ["+I 1|Joy__Ding", "+I 2|null", "-D 3|x"]);
    assert_eq!(named(".+", "b", json!({"is_regex": true})), ["+I 1|b", "+I 2|null", "-D 3|b"]);
    assert_eq!(named("(\\w+)\\s+(\\w+)", "$2, $1", json!({"is_regex": true}))[0], "+I 1|Ding, Joy");
    assert_eq!(named(" ", "_", json!({"is_regex": true, "replace_first": true}))[0], "+I 1|Joy_ Ding");
    assert_eq!(named(" ", "_", json!({"replace_first": true}))[0], "+I 1|Joy__Ding");
    assert_eq!(named(".", "_", json!({}))[0], "+I 1|Joy  Ding", "a text is no pattern");
    assert_eq!(named(".*", "b", json!({"is_regex": true}))[0], "+I 1|bb", "Java matches the end once more");
}

#[test]
fn a_replaced_column_is_no_key_has_no_declared_type_and_stays_left_out() {
    let mut batch = text_batch(&["id", "a"], &[&format!("+U 1|{LEFT_OUT}")]);
    let mut schema = (*batch.schema).clone();
    schema.columns[1].source_type = Some(SourceType::mysql("varchar(9)"));
    batch.schema = Arc::new(schema);
    let other = replace("a", "x", "y", json!({})).unwrap();
    let output = mapped(&other, &batch.schema);
    assert_eq!((output.columns[1].source_type.clone(), &output.primary_key), (None, &vec!["id".to_owned()]));
    assert_eq!(ran(&other, &batch), [format!("+U 1|{LEFT_OUT}")]);
    let key = replace("id", "1", "2", json!({})).unwrap();
    assert!(mapped(&key, &batch.schema).primary_key.is_empty(), "two keys may become one");
}

#[test]
fn other_columns_than_text_and_wrong_patterns_are_refused() {
    let error = run(&replace("id", "1", "2", json!({})).unwrap(), &numbers()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("column=id"), "{error}");
    for (pattern, replacement) in [("(", ""), ("a", "$1"), ("(?=a)", "")] {
        let error = replace("name", pattern, replacement, json!({"is_regex": true})).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{pattern}");
    }
}
