#![allow(clippy::unwrap_used)]

use culvert_api::TableId;
use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{lines, options_of, run, text_batch};
use crate::{Copy, DataValidator, TableFilter};

fn copy(to: &str, from: &str) -> Arc<dyn Transform> {
    let options = json!({"src_field": from, "dest_field": to});
    Arc::new(Copy::from_options(&options_of(Copy::PLUGIN, Copy::OPTIONS, options)).unwrap())
}

fn single(path: &str, transform: Arc<dyn Transform>) -> (String, Arc<dyn Transform>) {
    (path.to_owned(), transform)
}

/// A row of `test.NAME` through a transform.
fn through(transform: &ByTable, table: &str) -> Vec<String> {
    let mut batch = text_batch(&["id", "name", "age"], &["+I 1|Ann|30"]);
    batch.schema = Arc::new(TableSchema { id: TableId::new("test", table), ..(*batch.schema).clone() });
    run(transform, &batch).unwrap().iter().flat_map(lines).collect()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(TABLE_OPTIONS), Vec::<String>::new());
}

#[test]
fn the_documented_example() {
    let single =
        vec![single("test.xyz", copy("name2", "name")), single("test.xyzxyz", copy("name3", "name"))];
    let transform = ByTable::new("Copy", "test.a.*", "", Some(copy("name1", "age")), single).unwrap();
    for (table, expected) in [
        ("abc", "+I 1|Ann|30|30"),
        ("abcd", "+I 1|Ann|30|30"),
        ("xyz", "+I 1|Ann|30|Ann"),
        ("xyzxyz", "+I 1|Ann|30|Ann"),
        ("www", "+I 1|Ann|30"),
    ] {
        assert_eq!(through(&transform, table), [expected], "{table}");
    }
}

#[test]
fn several_rules_for_one_table() {
    let two = || vec![single("test.xyz", copy("name2", "name")), single("test.xyz", copy("name3", "name2"))];
    let all = ByTable::new("Copy", ".*", "ALL_MATCH", None, two()).unwrap();
    assert_eq!(through(&all, "xyz"), ["+I 1|Ann|30|Ann|Ann"]);
    assert_eq!(through(&all, "abc"), ["+I 1|Ann|30"], "nothing is set for other tables");
    let first = ByTable::new("Copy", ".*", "FIRST_MATCH", None, two()).unwrap();
    assert_eq!(through(&first, "xyz"), ["+I 1|Ann|30|Ann"]);
    let error = ByTable::new("Copy", ".*", "", None, two()).err().unwrap();
    assert!(error.to_string().contains("'test.xyz' twice") && error.to_string().contains("rule_match_mode"));
    assert_eq!(ByTable::new("Copy", "(", "", None, Vec::new()).err().unwrap().kind(), ErrorKind::Config);
}

#[test]
fn a_chain_goes_on_with_the_table_and_lets_dead_letters_go() {
    let validator = |field: &str| -> Arc<dyn Transform> {
        let options = json!({
            "row_error_handle_way": "ROUTE_TO_TABLE", "row_error_handle_way.error_table": format!("bad_{field}"),
            "field_rules": [{"field_name": field, "rule_type": "NOT_NULL"}],
        });
        Arc::new(
            DataValidator::from_options(&options_of(DataValidator::PLUGIN, DataValidator::OPTIONS, options))
                .unwrap(),
        )
    };
    let rules = vec![single("db.t", validator("a")), single("db.t", validator("b"))];
    let both = ByTable::new("DataValidator", ".*", "ALL_MATCH", None, rules).unwrap();
    let batch = text_batch(&["id", "a", "b"], &["+I 1|x|y", "+I 2|null|y", "+I 3|x|null", "+I 4|null|null"]);
    let left = run(&both, &batch).unwrap();
    let told: Vec<(String, usize)> =
        left.iter().map(|batch| (batch.schema.id.to_string(), batch.len())).collect();
    let mut sorted = told[1..].to_vec();
    sorted.sort();
    assert_eq!(
        (told[0].clone(), sorted),
        (("db.t".into(), 1), vec![("db.bad_a".into(), 2), ("db.bad_b".into(), 1)])
    );
}

#[test]
fn a_dropped_table_ends_the_chain() {
    let options = options_of(TableFilter::PLUGIN, TableFilter::OPTIONS, json!({"table_pattern": "x"}));
    let filter: Arc<dyn Transform> = Arc::new(TableFilter::from_options(&options).unwrap());
    let rules = vec![single("test.xyz", filter.clone()), single("test.xyz", filter)];
    let dropping = ByTable::new("TableFilter", ".*", "ALL_MATCH", None, rules).unwrap();
    assert!(through(&dropping, "xyz").is_empty());
}
