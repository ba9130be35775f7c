#![allow(clippy::unwrap_used)]

use arrow_array::RecordBatch;
use culvert_api::{Column, RowKind, RowKindSet, RowPosition, Transaction};
use culvert_config::Value;
use culvert_values::data_type;

use super::*;
use crate::rules::tests::options;

fn schema(columns: &[(&str, &str)]) -> Arc<TableSchema> {
    let columns =
        columns.iter().map(|(name, declared)| Column::derived(*name, data_type(declared).unwrap(), true));
    Arc::new(TableSchema::new(
        TableId::new("d", "t"),
        1,
        columns.collect(),
        vec!["a".to_owned()],
        RowKindSet::ALL,
    ))
}

/// A batch of one column, from values as job files write them.
fn batch(schema: &Arc<TableSchema>, values: &[Value]) -> ChangeBatch {
    let data_type = &schema.columns[0].data_type;
    let cells: Vec<_> = values.iter().map(|value| written(value, data_type).unwrap()).collect();
    let rows = RecordBatch::try_new(Arc::clone(&schema.arrow), vec![array(data_type, cells.iter()).unwrap()])
        .unwrap();
    ChangeBatch {
        schema: Arc::clone(schema),
        rows,
        kinds: vec![RowKind::Insert; values.len()],
        positions: (0..)
            .map(|event| RowPosition { transaction: 0, event, row: 0 })
            .take(values.len())
            .collect(),
        transactions: vec![Transaction::logged("x", None)],
        unavailable: Vec::new(),
    }
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

/// The rule that is broken by a value of the column `a`; empty when none is.
fn judged(declared: &str, rule: &str, value: Value) -> String {
    let rules = Rules::from_options(&options(&format!(
        "field_rules = [{{ field_name = a, field_value = [{{ {rule} }}] }}]"
    )))
    .unwrap();
    let schema = schema(&[("a", declared)]);
    let judge = Judge::new(&rules, &schema).unwrap();
    judge.rows(&batch(&schema, &[value]), 0).err().map(|error| error.message().to_owned()).unwrap_or_default()
}

#[test]
fn values_are_held_against_their_rules() {
    let null = Value::Null;
    for (declared, rule, value, holds) in [
        ("int", "rule_type = NOT_NULL", text("1"), true),
        ("int", "rule_type = NOT_NULL", null.clone(), false),
        ("int", "rule_type = NULL", null.clone(), true),
        ("null", "rule_type = NULL", null.clone(), true),
        ("null", "rule_type = NOT_NULL", null.clone(), false),
        ("int", "rule_type = NULL", text("1"), false),
        ("int", "rule_type = MIN, rule_value = 5", text("5"), true),
        ("int", "rule_type = MIN, rule_value = 5", text("4"), false),
        ("double", "rule_type = MAX, rule_value = 5.5", text("5.6"), false),
        ("decimal(10, 2)", "rule_type = MAX, rule_value = 5.5", text("5.50"), true),
        ("bigint unsigned", "rule_type = MIN, rule_value = 1", text("18446744073709551615"), true),
        ("int", "rule_type = MAX, rule_value = 5", null.clone(), false),
        ("string", "rule_type = MIN, rule_value = 1", text("5"), false),
        ("string", "rule_type = MIN_LENGTH, rule_value = 2", text("äö"), true),
        ("string", "rule_type = MAX_LENGTH, rule_value = 1", text("😀"), false),
        ("string", "rule_type = MIN_LENGTH, rule_value = 1", null.clone(), false),
        ("int", "rule_type = MAX_LENGTH, rule_value = 3", text("1234"), false),
        ("float", "equals_to = 3.1", text("3.1"), true),
        ("int", "equals_to = 3", null.clone(), true),
        ("int", "equals_to = 3", text("4"), false),
        ("timestamp", "equals_to = \"2012-12-21T12:34:56\"", text("2012-12-21 12:34:56"), true),
        ("bytes", "equals_to = \"bWlJWmo=\"", text("bWlJWmo="), true),
        ("array<int>", "equals_to = [1, 2]", Value::List(vec![text("1"), text("2")]), true),
        ("array<int>", "equals_to = [2, 1]", Value::List(vec![text("1"), text("2")]), false),
        ("map<string, int>", "equals_to = { b = 2, a = 1 }", text("{ a = 1, b = 2 }"), true),
        ("map<string, int>", "equals_to = { b = 1, a = 2 }", text("{ a = 1, b = 2 }"), false),
        ("{x = int, y = string}", "equals_to = [1, z]", Value::List(vec![text("1"), text("z")]), true),
    ] {
        let broken = judged(declared, rule, value);
        assert_eq!(broken.is_empty(), holds, "{declared} {rule}: {broken}");
    }
}

#[test]
fn a_broken_rule_is_named_with_its_row_and_without_the_value() {
    let rules = "field_rules = [{ field_name = a, field_value = [{ rule_type = MAX, rule_value = 9 }] }]";
    let rules = Rules::from_options(&options(rules)).unwrap();
    let schema = schema(&[("a", "int")]);
    let judge = Judge::new(&rules, &schema).unwrap();
    let error = judge.rows(&batch(&schema, &[text("9"), text("4711")]), 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let shown = error.to_string();
    assert!(shown.starts_with("the rule MAX 9 is broken (table=d.t, field=a, row=102)"), "{shown}");
    assert!(!shown.contains("4711"));
}

#[test]
fn types_are_held_against_values_that_are_there() {
    let rules =
        Rules::from_options(&options("field_rules = [{ field_name = a, field_type = bigint }]")).unwrap();
    let schema = schema(&[("a", "int")]);
    let judge = Judge::new(&rules, &schema).unwrap();
    judge.rows(&batch(&schema, &[Value::Null]), 0).unwrap();
    let error = judge.rows(&batch(&schema, &[text("1")]), 0).unwrap_err().to_string();
    assert!(error.contains("field_type (the column has Int32)"), "{error}");
}

#[test]
fn a_field_that_is_not_there_and_a_value_that_cannot_be_are_found_before_the_first_row() {
    for (rules, named) in [
        ("field_rules = [{ field_name = b }]", "the field b, which is not there"),
        (
            "field_rules = [{ field_name = a, field_value = [{ equals_to = x }] }]",
            "`equals_to` of the field a",
        ),
    ] {
        let rules = Rules::from_options(&options(rules)).unwrap();
        let error = Judge::new(&rules, &schema(&[("a", "int")])).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn tables_are_held_against_their_rules() {
    let table = schema(&[("a", "bigint"), ("b", "string")]);
    for (rules, broken) in [
        ("table-names = [d.t]", ""),
        ("table-names = [d.t, d.u]", "table-names"),
        ("table-names = [d.u]", "table-names"),
        ("catalog_table_rule { primary_key_rule { primary_key_columns = [a] } }", ""),
        ("catalog_table_rule { primary_key_rule { primary_key_columns = [b] } }", "primary_key_columns [b]"),
        (
            "catalog_table_rule { column_rule = [{ name = a, type = bigint }, { name = b, nullable = true }] }",
            "",
        ),
        (
            "catalog_table_rule { column_rule = [{ name = a, type = int }, { name = b }] }",
            "column_rule a (type)",
        ),
        ("catalog_table_rule { column_rule = [{ name = b }, { name = a }] }", "column_rule b (name)"),
        ("catalog_table_rule { column_rule = [{ name = a }] }", "column_rule (1 columns)"),
        (
            "catalog_table_rule { column_rule = [{ name = a, nullable = false }, { name = b }] }",
            "(nullable = false)",
        ),
        (
            "tables_configs = [{ table_path = d.u, row_rules = [{ rule_type = MIN_ROW, rule_value = 1 }] }]",
            "the table d.u, which does not come",
        ),
    ] {
        let rules = Rules::from_options(&options(rules)).unwrap();
        let found =
            tables(&rules, &[Arc::clone(&table)]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(found.is_empty() == broken.is_empty() && found.contains(broken), "{broken}: {found}");
    }
}
