#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{options_of, run, text_batch};

fn filter(options: serde_json::Value) -> TableFilter {
    TableFilter::from_options(&options_of(TableFilter::PLUGIN, TableFilter::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(TableFilter::OPTIONS), Vec::<String>::new());
}

#[test]
fn tables_stay_or_go_by_all_their_names() {
    let include = filter(json!({"database_pattern": "test", "table_pattern": "user_\\d+"}));
    let exclude =
        filter(json!({"database_pattern": "test", "table_pattern": "user_\\d+", "pattern_mode": "EXCLUDE"}));
    for (id, matches) in [
        (TableId::new("test", "user_1"), true),
        (TableId::new("test", "user_x"), false),
        (TableId::new("test", "user_1_old"), false),
        (TableId::new("other", "user_1"), false),
    ] {
        assert_eq!((include.stays(&id), exclude.stays(&id)), (matches, !matches), "{id}");
    }
    let schema = filter(json!({"schema_pattern": "pub.*"}));
    assert!(!schema.stays(&TableId::new("db", "t")));
    assert!(schema.stays(&TableId { schema: Some("public".into()), ..TableId::new("db", "t") }));
    assert!(filter(json!({})).stays(&TableId::new("db", "t")));
    assert!(!filter(json!({"pattern_mode": "EXCLUDE"})).stays(&TableId::new("db", "t")));
}

#[test]
fn nothing_leaves_a_dropped_table() {
    let batch = text_batch(&["id"], &["+I 1"]);
    assert!(run(&filter(json!({"table_pattern": "x"})), &batch).unwrap().is_empty());
    assert_eq!(run(&filter(json!({"table_pattern": "t"})), &batch).unwrap()[0].rows, batch.rows);
}
