#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, options_of, ran, text_batch};

fn extract(options: serde_json::Value) -> Result<RegexExtract> {
    RegexExtract::from_options(&options_of(RegexExtract::PLUGIN, RegexExtract::OPTIONS, options))
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(RegexExtract::OPTIONS), Vec::<String>::new());
}

#[test]
fn groups_become_columns_with_defaults_where_nothing_matches() {
    let batch = text_batch(&["id", "email"], &["+I 1|user1@example.com", "+I 2|nobody", "-D 3|null"]);
    let mut options = json!({
        "source_field": "email", "regex_pattern": "([^@]+)@([^.]+)\\.(.+)", "output_fields": ["username", "domain", "tld"],
    });
    let expected = [
        "+I 1|user1@example.com|user1|example|com",
        "+I 2|nobody|null|null|null",
        "-D 3|null|null|null|null",
    ];
    assert_eq!(ran(&extract(options.clone()).unwrap(), &batch), expected);
    options["default_values"] = json!(["unknown", "unknown", "none"]);
    assert_eq!(
        ran(&extract(options).unwrap(), &batch)[1..],
        ["+I 2|nobody|unknown|unknown|none", "-D 3|null|unknown|unknown|none"]
    );
}

#[test]
fn a_group_without_a_match_is_null_and_a_left_out_value_stays_so() {
    let batch = text_batch(&["id", "a"], &["+I 1|x", &format!("+U 2|{LEFT_OUT}")]);
    let options = json!({"source_field": "a", "regex_pattern": "(x)(y)?", "output_fields": "x,y", "default_values": "1,2"});
    let expected = ["+I 1|x|x|null".to_owned(), format!("+U 2|{LEFT_OUT}|{LEFT_OUT}|{LEFT_OUT}")];
    assert_eq!(ran(&extract(options).unwrap(), &batch), expected);
}

#[test]
fn as_many_groups_as_columns_are_needed() {
    for (pattern, outputs, defaults) in [("(a)(b)", "x", ""), ("a", "x", ""), ("(a)", "x", "1,2")] {
        let options = json!({"source_field": "a", "regex_pattern": pattern, "output_fields": outputs, "default_values": defaults});
        let error = extract(options).unwrap_err();
        assert!(error.message().contains("must equal output fields size"), "{error}");
    }
}
