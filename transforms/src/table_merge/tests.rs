#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{options_of, run, text_batch};

fn merge(options: serde_json::Value) -> TableMerge {
    TableMerge::from_options(&options_of(TableMerge::PLUGIN, TableMerge::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(TableMerge::OPTIONS), Vec::<String>::new());
}

#[test]
fn tables_get_one_name_and_keep_their_rows_and_keys() {
    let batch = text_batch(&["id", "a"], &["-D 1|x", "+I 2|x"]);
    let left = run(&merge(json!({"database": "user_db", "table": "user_all"})), &batch).unwrap();
    assert_eq!(left[0].schema.id.to_string(), "user_db.user_all");
    assert_eq!((&left[0].rows, &left[0].schema.primary_key), (&batch.rows, &vec!["id".to_owned()]));
    assert_eq!(merge(json!({"table": "all"})).map_schema(&batch.schema).unwrap()[0].id.to_string(), "db.all");
    let placed = merge(json!({"schema": "s", "table": "all"}));
    assert_eq!(placed.map_schema(&batch.schema).unwrap()[0].id.to_string(), "db.s.all");
}
