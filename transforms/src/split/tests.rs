#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, mapped, names, options_of, ran, text_batch};

fn split(separator: &str, field: &str, outputs: &[&str]) -> Split {
    let options = json!({"separator": separator, "split_field": field, "output_fields": outputs});
    Split::from_options(&options_of(Split::PLUGIN, Split::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(Split::OPTIONS), Vec::<String>::new());
}

#[test]
fn parts_become_columns() {
    let batch = text_batch(&["name", "age"], &["+I Joy Ding|20", "+I May|20", "+I A B C|20"]);
    let transform = split(" ", "name", &["first_name", "last_name"]);
    let output = mapped(&transform, &batch.schema);
    assert_eq!(names(&output), ["name", "age", "first_name", "last_name"]);
    assert_eq!(output.primary_key, ["name"]);
    let expected = ["+I Joy Ding|20|Joy|Ding", "+I May|20|May|null", "+I A B C|20|A|B C"];
    assert_eq!(ran(&transform, &batch), expected);
}

#[test]
fn the_separator_is_a_pattern_as_java_splits_by_one() {
    for (separator, text, parts) in [
        ("\\|", "a|b|c", vec!["a", "b|c"]),
        ("", "abc", vec!["a", "bc"]),
        ("x*", "axb", vec!["a", "b"]),
        (",", ",b", vec!["", "b"]),
        (",", "", vec![""]),
        ("\\s+", "a  b", vec!["a", "b"]),
    ] {
        assert_eq!(split(separator, "a", &["b", "c"]).parts(text), parts, "{separator} {text}");
    }
    assert_eq!(split(",", "a", &["b"]).parts("x,y"), ["x,y"]);
}

#[test]
fn nothing_is_known_of_the_parts_of_a_left_out_value() {
    let batch = text_batch(&["id", "a"], &[&format!("+U 1|{LEFT_OUT}"), "+I 2|null"]);
    let expected = [format!("+U 1|{LEFT_OUT}|{LEFT_OUT}|{LEFT_OUT}"), "+I 2|null|null|null".to_owned()];
    assert_eq!(ran(&split(",", "a", &["b", "c"]), &batch), expected);
}
