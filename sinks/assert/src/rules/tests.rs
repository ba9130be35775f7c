#![allow(clippy::unwrap_used)]

use std::path::Path;

use culvert_config::{Format, JobFile, Variables, definition_mistakes};

use super::*;
use crate::options::OPTIONS;

/// The options of a block `rules`.
pub(crate) fn options(rules: &str) -> Options {
    let text = format!("source {{ A {{}} }}\nsink {{ Assert {{ rules {{ {rules} }} }} }}");
    let job =
        JobFile::parse(&text, Path::new("j.conf"), Format::Hocon, &Variables::new(&[]).unwrap()).unwrap();
    let (options, problems) = Options::resolve(&job.sinks[0], OPTIONS);
    assert!(!problems.iter().any(Problem::is_error), "{problems:?}");
    options
}

#[test]
fn the_options_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
    assert_eq!(definition_mistakes(TABLE_OPTIONS), Vec::<String>::new());
}

#[test]
fn rules_are_read_for_all_tables_and_for_single_ones() {
    let rules = Rules::from_options(&options(
        "row_rules = [{ rule_type = MIN_ROW, rule_value = 5 }, { rule_type = max_row, rule_value = \"10\" }]
         field_rules = [{ field_name = a, field_type = int, field_value = [{ rule_type = NOT_NULL, equals_to = 23 }] }]
         tables_configs = [{ table_path = d.t, row_rules = [{ rule_type = MIN_ROW, rule_value = 0 }] }]",
    ))
    .unwrap();
    let [all, single] = rules.sets.as_slice() else { panic!() };
    assert_eq!((all.rows_min, all.rows_max, single.rows_min), (Some(5), Some(10), Some(0)));
    let shown: Vec<String> = all.fields[0].values.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["NOT_NULL", "equals_to 23"]);
    assert_eq!(single.table.as_deref(), Some("d.t"));
}

#[test]
fn what_is_wrong_is_named() {
    for (rules, named) in [
        ("", "has no rule"),
        ("row_rules = [{ rule_type = MIN_ROWS, rule_value = 5 }]", "'MIN_ROWS'; there are: MIN_ROW, MAX_ROW"),
        ("row_rules = [{ rule_type = MIN_ROW }]", "MIN_ROW without a number"),
        ("row_rules = [{ rule_type = MIN_ROW, rule_value = 1.5 }]", "no number of rows"),
        ("field_rules = [{ field_type = int }]", "without a `field_name`"),
        ("field_rules = [{ field_name = a, field_type = itn }]", "`field_type` of the field a"),
        (
            "field_rules = [{ field_name = a, field_value = [{ rule_type = MINIMUM }] }]",
            "'MINIMUM' of the field a",
        ),
        ("field_rules = [{ field_name = a, field_value = [{ rule_type = MIN }] }]", "MIN without a number"),
        ("field_rules = [{ field_name = a, field_value = { rule_type = MIN } }]", "no list of blocks"),
        ("field_rules = [{ field_name = a, field_values = [] }]", "does not know 'field_values'"),
        (
            "catalog_table_rule { column_rule = [{ name = a, comment = x }] }",
            "'comment', which is not carried",
        ),
        ("tables_configs = [{ row_rules = [] }]", "lacks required option 'table_path'"),
        ("tables_configs = [{ table_path = d.t, table-names = [] }]", "entry 1"),
    ] {
        let error = Rules::from_options(&options(rules)).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}
