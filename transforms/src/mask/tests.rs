#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, batch as numbers, mapped, options_of, ran, run, text_batch};

fn mask(options: serde_json::Value) -> Result<Mask> {
    Mask::from_options(&options_of(Mask::PLUGIN, Mask::OPTIONS, options))
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(Mask::OPTIONS), Vec::<String>::new());
}

#[test]
fn characters_hide_behind_one_whole_or_in_part() {
    let rows = ["+I 1|13812345678", "+I 2|äöü", "+I 3|null", &format!("+U 4|{LEFT_OUT}")];
    let batch = text_batch(&["id", "phone"], &rows);
    let left_out = format!("+U 4|{LEFT_OUT}");
    let whole = mask(json!({"fields": ["phone"]})).unwrap();
    assert_eq!(ran(&whole, &batch), ["+I 1|***********", "+I 2|***", "+I 3|null", &left_out]);
    let part = mask(
        json!({"fields": ["phone"], "type": "partial", "keep_first": 3, "keep_last": 4, "mask_char": "#"}),
    );
    assert_eq!(ran(&part.unwrap(), &batch), ["+I 1|138####5678", "+I 2|###", "+I 3|null", &left_out]);
    assert_eq!(masked("abc", '*', 2, 1), "***", "what would be shown whole is hidden whole");
    assert_eq!(masked("abcd", '*', 2, 1), "ab*d");
}

#[test]
fn hashes_are_sha_256_and_keep_a_key_a_key() {
    let batch = text_batch(&["id", "a"], &["+I abc|x"]);
    let plain = mask(json!({"fields": ["id"], "type": "hash"})).unwrap();
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(ran(&plain, &batch), [format!("+I {known}|x")]);
    assert_eq!(mapped(&plain, &batch.schema).primary_key, ["id"]);
    let keyed = mask(json!({"fields": ["id"], "type": "hash", "hash_key": "key"})).unwrap();
    let known = "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab";
    assert_eq!(ran(&keyed, &batch), [format!("+I {known}|x")]);
    let number = mask(json!({"fields": ["id"], "type": "hash"})).unwrap();
    let one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    assert!(ran(&number, &numbers())[0].starts_with(&format!("+I {one}|")));
}

#[test]
fn a_hidden_key_is_no_key_and_null_keeps_the_type() {
    let batch = numbers();
    let null = mask(json!({"fields": ["id", "name"], "type": "null"})).unwrap();
    let output = mapped(&null, &batch.schema);
    assert!(output.primary_key.is_empty() && output.columns[0].nullable);
    assert_eq!(output.columns[0].data_type, DataType::Int32);
    assert_eq!(ran(&null, &batch)[0], "+I null|null");
    let text = text_batch(&["id"], &["+I a"]);
    assert!(mapped(&mask(json!({"fields": ["id"]})).unwrap(), &text.schema).primary_key.is_empty());
}

#[test]
fn what_cannot_be_hidden_is_refused() {
    let error = run(&mask(json!({"fields": ["id"]})).unwrap(), &numbers()).unwrap_err();
    assert!(error.to_string().contains("column=id"), "{error}");
    for options in [
        json!({"fields": ["a"], "type": "partial"}),
        json!({"fields": ["a"], "mask_char": "**"}),
        json!({"fields": []}),
    ] {
        assert_eq!(mask(options).unwrap_err().kind(), ErrorKind::Config);
    }
}
