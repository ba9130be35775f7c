#![allow(clippy::unwrap_used)]

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{Column, RowKind, RowKindSet};
use culvert_config::definition_mistakes;
use serde_json::{Value, json};

use super::*;
use crate::testing::{LEFT_OUT, lines, names, options_of, ran, run, text_batch, text_schema};

fn validator(way: &str, rules: Value) -> DataValidator {
    let mut options = json!({"row_error_handle_way": way, "field_rules": rules});
    if way == "ROUTE_TO_TABLE" {
        options["row_error_handle_way.error_table"] = json!("error_data");
    }
    let options = options_of(DataValidator::PLUGIN, DataValidator::OPTIONS, options);
    DataValidator { clock: || 1_700_000_000_000_000, ..DataValidator::from_options(&options).unwrap() }
}

/// The rules of the documents.
fn documented() -> Value {
    json!([
        {"field_name": "name", "rule_type": "NOT_NULL"},
        {"field_name": "age", "rule_type": "RANGE", "min_value": 0, "max_value": 150},
        {"field_name": "email", "rule_type": "REGEX", "pattern": "^[\\w-\\.]+@([\\w-]+\\.)+[\\w-]{2,4}$"},
    ])
}

/// Kind, id, and three more columns.
type User<'a> = (RowKind, i32, Option<&'a str>, Option<i32>, &'a str);

/// `db.users(id, name, age, email)`.
fn users(rows: &[User<'_>]) -> ChangeBatch {
    let template: Vec<String> = rows.iter().map(|row| format!("{} {}|x|x|x", row.0.short(), row.1)).collect();
    let template: Vec<&str> = template.iter().map(String::as_str).collect();
    let batch = text_batch(&["id", "name", "age", "email"], &template);
    let columns = vec![
        Column::derived("id", DataType::Int32, false),
        Column::derived("name", DataType::Utf8, true),
        Column::derived("age", DataType::Int32, true),
        Column::derived("email", DataType::Utf8, true),
    ];
    let schema =
        TableSchema::new(TableId::new("database", "users"), 4, columns, vec!["id".into()], RowKindSet::ALL);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.4)).collect::<StringArray>()),
    ];
    let rows = RecordBatch::try_new(schema.arrow.clone(), arrays).unwrap();
    ChangeBatch { schema: Arc::new(schema), rows, ..batch }
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(DataValidator::OPTIONS), Vec::<String>::new());
}

#[test]
fn the_documented_dead_letter() {
    let batch = users(&[
        (RowKind::Insert, 1, Some("Ann"), Some(30), "ann@example.org"),
        (RowKind::Insert, 123, None, Some(200), "invalid-email"),
    ]);
    let left = run(&validator("ROUTE_TO_TABLE", documented()), &batch).unwrap();
    assert_eq!(lines(&left[0]), ["+I 1|Ann|30|ann@example.org"]);
    let letters = &left[1];
    assert_eq!(letters.schema.id.to_string(), "database.error_data");
    assert_eq!(
        names(&letters.schema),
        ["source_table_id", "source_table_path", "original_data", "validation_errors", "create_time"]
    );
    assert!(letters.schema.primary_key.is_empty() && letters.schema.kinds.is_insert_only());
    let text = |place: usize| letters.rows.column(place).as_string::<i32>().value(0);
    assert_eq!((text(0), text(1)), ("users", "database.users"));
    assert_eq!(text(2), r#"{"id":123,"name":null,"age":200,"email":"invalid-email"}"#);
    let errors: Value = serde_json::from_str(text(3)).unwrap();
    let expected = json!([
        {"field_name": "name", "error_message": "Field 'name' cannot be null"},
        {"field_name": "age", "error_message": "Field 'age' value 200 is not within range [0, 150]"},
        {"field_name": "email", "error_message": "Field 'email' does not match pattern '^[\\w-\\.]+@([\\w-]+\\.)+[\\w-]{2,4}$'"},
    ]);
    assert_eq!(errors, expected);
    assert!(lines(letters)[0].ends_with("|2023-11-14T22:13:20"), "{:?}", lines(letters));
    assert_eq!(letters.positions[0].row, 1, "it stands where its row stood");
}

#[test]
fn fail_names_the_rule_and_not_the_value_and_judges_what_comes() {
    let bad = |kind| users(&[(kind, 7, Some("Ann"), Some(200), "ann@example.org")]);
    let transform = validator("FAIL", documented());
    for kind in [RowKind::Insert, RowKind::UpdateAfter] {
        let error = run(&transform, &bad(kind)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        let told = error.to_string();
        assert!(told.contains("Field 'age' value is not within range [0, 150]"), "{told}");
        assert!(told.contains("table=database.users") && !told.contains("200"), "{told}");
    }
    for kind in [RowKind::UpdateBefore, RowKind::Delete] {
        assert_eq!(run(&transform, &bad(kind)).unwrap()[0].len(), 1, "an old state is nobody's fault");
    }
}

#[test]
fn skip_keeps_updates_whole() {
    let rules = json!([{"field_name": "a", "rules": [
        {"rule_type": "NOT_NULL", "custom_message": "a is required"},
        {"rule_type": "LENGTH", "min_length": 2, "max_length": 3},
    ]}]);
    let rows = [
        "+I 1|xx",
        "+I 2|x",
        "-U 1|xx",
        "+U 1|null",
        "-U 2|x",
        "+U 2|xxx",
        "-U 3|äö",
        "+U 3|äöü",
        "-D 4|xxxx",
    ];
    let batch = text_batch(&["id", "a"], &rows);
    let expected = ["+I 1|xx", "-D 1|xx", "+I 2|xxx", "-U 3|äö", "+U 3|äöü"];
    assert_eq!(ran(&validator("SKIP", rules.clone()), &batch), expected);
    let left = run(&validator("ROUTE_TO_TABLE", rules.clone()), &batch).unwrap();
    assert_eq!(lines(&left[0]), expected);
    let told = left[1].rows.column(2).as_string::<i32>();
    let told: Vec<&str> = told.iter().flatten().collect();
    assert_eq!(
        told,
        [r#"{"id":"2","a":"x"}"#, r#"{"id":"1","a":null}"#],
        "old states were told of when they came"
    );
    assert!(lines(&left[1])[1].contains("a is required"));
    for way in ["SKIP", "ROUTE_TO_TABLE"] {
        let transform = validator(way, rules.clone());
        let outputs: Vec<_> =
            transform.map_schema(&batch.schema).unwrap().into_iter().map(Arc::new).collect();
        let mut rejected = 5;
        transform.apply_counted(batch.clone(), &outputs, &mut rejected).unwrap();
        assert_eq!(rejected, 5 + 2, "{way}: old states were counted when they came");
    }
}

#[test]
fn a_table_with_inserts_alone_stays_one() {
    let input = TableSchema { kinds: RowKindSet::INSERT_ONLY, ..text_schema(&["id", "a"]) };
    let rules = json!([{"field_name": "a", "rule_type": "NOT_NULL"}]);
    assert!(validator("SKIP", rules).map_schema(&input).unwrap()[0].kinds.is_insert_only());
}

#[test]
fn a_left_out_value_that_decides_is_asked_for() {
    let rules =
        json!([{"field_name": "a", "rule_type": "NOT_NULL"}, {"field_name": "b", "rule_type": "NOT_NULL"}]);
    let left_out = text_batch(&["id", "a", "b"], &["-U 1|x|y", &format!("+U 1|{LEFT_OUT}|y")]);
    let error = run(&validator("SKIP", rules.clone()), &left_out).unwrap_err().to_string();
    for part in ["transform=DataValidator", "table=db.t", "column=a", "REPLICA IDENTITY FULL"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(run(&validator("FAIL", rules.clone()), &left_out).unwrap()[0].len(), 2, "it did not change");
    let broken = text_batch(&["id", "a", "b"], &["-U 1|x|y", &format!("+U 1|{LEFT_OUT}|null")]);
    assert_eq!(ran(&validator("SKIP", rules), &broken), ["-D 1|x|y"], "another rule decides");
}

#[test]
fn a_row_that_comes_by_an_update_must_be_known_whole() {
    let rules = json!([{"field_name": "a", "rule_type": "NOT_NULL"}]);
    let batch = text_batch(&["id", "a", "b"], &["-U 1|null|y", &format!("+U 1|x|{LEFT_OUT}")]);
    let error = run(&validator("SKIP", rules), &batch).unwrap_err().to_string();
    assert!(error.contains("column=b") && error.contains("REPLICA IDENTITY FULL"), "{error}");
}

/// Whether values of one column keep a rule.
fn judged(array: ArrayRef, mut rule: Value) -> Vec<bool> {
    rule["field_name"] = json!("v");
    let ids: ArrayRef = Arc::new((0..array.len()).map(|id| Some(id.to_string())).collect::<StringArray>());
    let columns = vec![
        Column::derived("id", DataType::Utf8, false),
        Column::derived("v", array.data_type().clone(), true),
    ];
    let schema = TableSchema::new(TableId::new("db", "t"), 1, columns, Vec::new(), RowKindSet::INSERT_ONLY);
    let template: Vec<String> = (0..array.len()).map(|id| format!("+I {id}|x")).collect();
    let template: Vec<&str> = template.iter().map(String::as_str).collect();
    let rows = RecordBatch::try_new(schema.arrow.clone(), vec![ids, array.clone()]).unwrap();
    let batch = ChangeBatch { rows, schema: Arc::new(schema), ..text_batch(&["id", "v"], &template) };
    let left = run(&validator("SKIP", json!([rule])), &batch).unwrap();
    let kept = left.first().map_or_else(Vec::new, lines);
    (0..array.len()).map(|id| kept.iter().any(|line| line.starts_with(&format!("+I {id}|")))).collect()
}

#[test]
fn ranges_compare_exactly() {
    let range = |min: Value, max: Value| json!({"rule_type": "RANGE", "min_value": min, "max_value": max});
    let whole: ArrayRef = Arc::new(Int32Array::from(vec![Some(-1), Some(0), Some(150), Some(151), None]));
    assert_eq!(judged(whole.clone(), range(json!(0), json!(150))), [false, true, true, false, true]);
    let mut open = range(json!(-1), json!("150.5"));
    open["min_inclusive"] = json!(false);
    assert_eq!(judged(whole, open), [false, true, true, false, true]);
    let digits = Decimal128Array::from(vec![999, 1000, 1001]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(
        judged(Arc::new(digits), json!({"rule_type": "RANGE", "max_value": "10.00"})),
        [true, true, false]
    );
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY, -0.0]));
    assert_eq!(judged(floats, range(json!(0), json!(1))), [true, false, false, true]);
}

#[test]
fn addresses_patterns_and_lengths() {
    let texts = |texts: &[&str]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let email = json!({"rule_type": "UDF", "function_name": "EMAIL"});
    let long = format!("{}@example.org", "x".repeat(64));
    let addresses =
        ["a@b.org", " a@b.org ", "", "a@b", "@b.org", "a@@b.org", "a'b@c.org", "a@b_c.org", &long];
    assert_eq!(
        judged(texts(&addresses), email),
        [true, true, true, false, false, false, false, false, false]
    );
    let pattern = json!({"rule_type": "REGEX", "pattern": "[a-z]+", "case_sensitive": false});
    assert_eq!(judged(texts(&["ab", "AB", "a1", ""]), pattern), [true, true, false, false]);
    let exact = json!({"rule_type": "LENGTH", "exact_length": 2});
    assert_eq!(judged(texts(&["äö", "a", "abc"]), exact), [true, false, false]);
}

#[test]
fn wrong_rules_and_unfit_columns_are_refused() {
    for (rule, told) in [
        (json!({"field_name": "a"}), "'rule_type' is missing"),
        (json!({"rule_type": "NOT_NULL"}), "'field_name' is missing"),
        (json!({"field_name": "a", "rule_type": "RANGE"}), "is missing"),
        (json!({"field_name": "a", "rule_type": "RANGE", "min_value": "x"}), "must be a number"),
        (json!({"field_name": "a", "rule_type": "REGEX", "pattern": "("}), "no regular expression"),
        (json!({"field_name": "a", "rule_type": "UDF", "function_name": "PHONE"}), "must be EMAIL"),
        (json!({"field_name": "a", "rule_type": "NOT_NUL"}), "one of NOT_NULL"),
        (json!({"field_name": "a", "rule_type": "LENGTH", "max_lenght": 1}), "did you mean 'max_length'?"),
    ] {
        let options =
            options_of(DataValidator::PLUGIN, DataValidator::OPTIONS, json!({"field_rules": [rule]}));
        let error = DataValidator::from_options(&options).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(told), "{error}");
    }
    let range = validator("FAIL", json!([{"field_name": "a", "rule_type": "RANGE", "min_value": 1}]));
    let error = range.map_schema(&text_schema(&["id", "a"])).unwrap_err();
    assert!(error.to_string().contains("the rule RANGE needs a number"), "{error}");
    let missing = validator("FAIL", json!([{"field_name": "b", "rule_type": "NOT_NULL"}]));
    assert!(missing.map_schema(&text_schema(&["id", "a"])).unwrap_err().to_string().contains("column=b"));
}

#[test]
fn the_error_table_lies_where_it_is_named() {
    let input = TableId { schema: Some("public".into()), ..TableId::new("db", "t") };
    assert_eq!(letter_table("errors", &input).to_string(), "db.public.errors");
    assert_eq!(letter_table("x.errors", &input).to_string(), "x.errors");
    assert_eq!(letter_table("x.y.errors", &input).to_string(), "x.y.errors");
    let rules = json!([{"field_name": "id", "rule_type": "NOT_NULL"}]);
    let itself = TableSchema { id: TableId::new("db", "error_data"), ..text_schema(&["id"]) };
    assert!(validator("ROUTE_TO_TABLE", rules).map_schema(&itself).is_err());
}
