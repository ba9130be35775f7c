#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{options_of, run, text_batch, text_schema};

fn renamed(options: serde_json::Value, id: &TableId) -> String {
    let options = options_of(TableRename::PLUGIN, TableRename::OPTIONS, options);
    let transform = TableRename::from_options(&options).unwrap();
    let input = TableSchema { id: id.clone(), ..text_schema(&["id"]) };
    transform.map_schema(&input).unwrap()[0].id.to_string()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(TableRename::OPTIONS), Vec::<String>::new());
}

#[test]
fn names_change_by_rules_and_databases_get_the_case() {
    let options = json!({
        "convert_case": "UPPER", "prefix": "CDC_", "suffix": "_TABLE",
        "replacements_with_regex": [{"replace_from": "user", "replace_to": "U"}],
    });
    assert_eq!(renamed(options.clone(), &TableId::new("source", "user_shop")), "SOURCE.CDC_U_SHOP_TABLE");
    let id = TableId { schema: Some("public".into()), ..TableId::new("source", "order") };
    assert_eq!(renamed(options, &id), "SOURCE.PUBLIC.CDC_ORDER_TABLE");
    assert_eq!(renamed(json!({}), &id), "source.public.order");
}

#[test]
fn rows_leave_as_they_come() {
    let options = options_of(TableRename::PLUGIN, TableRename::OPTIONS, json!({"prefix": "x_"}));
    let transform = TableRename::from_options(&options).unwrap();
    let batch = text_batch(&["id", "a"], &["-U 1|x", "+U 1|y"]);
    let left = run(&transform, &batch).unwrap();
    assert_eq!((left[0].schema.id.to_string(), &left[0].rows), ("db.x_t".to_owned(), &batch.rows));
    assert_eq!(left[0].schema.primary_key, ["id"]);
}
