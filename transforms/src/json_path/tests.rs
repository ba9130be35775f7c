#![allow(clippy::unwrap_used)]

use arrow_array::BinaryArray;
use culvert_api::RowKind;
use culvert_config::definition_mistakes;
use serde_json::{Value, json};

use super::*;
use crate::testing::{LEFT_OUT, lines, mapped, names, options_of, ran, run, text_batch};

fn take(options: Value) -> Result<JsonPath> {
    JsonPath::from_options(&options_of(JsonPath::PLUGIN, JsonPath::OPTIONS, options))
}

/// One column taken out of `data`.
fn one(path: &str, dest_type: &str) -> JsonPath {
    take(json!({"columns": [{"src_field": "data", "path": path, "dest_field": "v", "dest_type": dest_type}]}))
        .unwrap()
}

/// What one path makes of one JSON text: the value, or the error.
fn value(path: &str, dest_type: &str, json: &str) -> Result<String, String> {
    let mut batch = text_batch(&["id", "data"], &["+I 1|x"]);
    let data = arrow_array::StringArray::from(vec![json]);
    let columns: Vec<ArrayRef> = vec![Arc::clone(batch.rows.column(0)), Arc::new(data)];
    batch.rows = arrow_array::RecordBatch::try_new(batch.schema.arrow.clone(), columns).unwrap();
    match run(&one(path, dest_type), &batch) {
        Ok(left) => {
            let array = left[0].rows.column(2);
            Ok(if array.is_null(0) { "null".into() } else { crate::values::shown(array, 0) })
        }
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(JsonPath::OPTIONS), Vec::<String>::new());
}

const DOCUMENTED: &str = r#"{ "data": { "c_string": "this is a string", "c_boolean": true, "c_integer": 42, "c_float": 3.14,
    "c_double": 3.14, "c_decimal": 10.55, "c_date": "2023-10-29", "c_datetime": "16:12:43.459",
    "c_array":["item1", "item2", "item3"], "c_map_array": [{"c_string_1":"c_string_1"}, {"c_string_1":"c_string_1"}] } }"#;

#[test]
fn the_documented_example_column_by_column_and_as_a_list() {
    let fields = [
        ("c_string", "string", "this is a string"),
        ("c_boolean", "boolean", "true"),
        ("c_integer", "int", "42"),
        ("c_float", "float", "3.14"),
        ("c_double", "double", "3.14"),
        ("c_decimal", "decimal(4,2)", "10.55"),
        ("c_date", "date", "2023-10-29"),
        ("c_datetime", "time", "16:12:43.459"),
        ("c_array", "array<string>", r#"["item1","item2","item3"]"#),
        (
            "c_map_array",
            "array<map<string, string>>",
            r#"[{"c_string_1":"c_string_1"},{"c_string_1":"c_string_1"}]"#,
        ),
    ];
    for (name, dest_type, expected) in fields {
        assert_eq!(value(&format!("$.data.{name}"), dest_type, DOCUMENTED).unwrap(), expected, "{name}");
    }
    let list = |part: fn(&(&str, &str, &str)) -> String| fields.iter().map(part).collect::<Vec<String>>();
    let transform = take(json!({"columns": [{
        "src_field": "data",
        "path": list(|field| format!("$.data.{}", field.0)),
        "dest_field": list(|field| format!("c1_{}", field.0)),
        "dest_type": list(|field| field.1.to_owned()),
    }]}));
    let batch = text_batch(&["id", "data"], &[&format!("+I 1|{DOCUMENTED}")]);
    let transform = transform.unwrap();
    let output = mapped(&transform, &batch.schema);
    assert_eq!(names(&output)[..4], ["id", "data", "c1_c_string", "c1_c_boolean"]);
    assert_eq!(output.columns[7].data_type, DataType::Decimal128(4, 2));
    let left = run(&transform, &batch).unwrap();
    for (place, (name, _, expected)) in fields.iter().enumerate() {
        assert_eq!(crate::values::shown(left[0].rows.column(place + 2), 0), *expected, "{name}");
    }
}

#[test]
fn values_are_exact_or_refused() {
    for (dest_type, json, expected) in [
        (
            "decimal(38,18)",
            "12345678901234567890.123456789012345678",
            Some("12345678901234567890.123456789012345678"),
        ),
        (
            "string",
            "12345678901234567890.1234567890123456789",
            Some("12345678901234567890.1234567890123456789"),
        ),
        ("string", r#"{ "a" : [1, "x \" y"] }"#, Some(r#"{"a":[1,"x \" y"]}"#)),
        ("string", r#""\u00e4\n""#, Some("ä\n")),
        ("string", r#""\ud83d\ude00""#, Some("😀")),
        ("string", r#""\ud83d""#, None),
        ("string", "null", Some("null")),
        ("decimal(4,2)", "10.555", None),
        ("decimal(4,2)", "100.5", None),
        ("decimal(4,2)", "\"10.50\"", Some("10.50")),
        ("decimal(5)", "1e3", Some("1000")),
        ("int", "1.0", Some("1")),
        ("int", "1.5", None),
        ("int", "2147483648", None),
        ("tinyint", "-128", Some("-128")),
        ("smallint", "40000", None),
        ("bigint", "9223372036854775807", Some("9223372036854775807")),
        ("boolean", "\"TRUE\"", Some("true")),
        ("boolean", "17", None),
        ("double", "1e999", None),
        ("float", "true", None),
        ("date", "\"2023/02/28\"", Some("2023-02-28")),
        ("date", "\"2023-02-29\"", None),
        ("date", "20230228", None),
        ("time", "\"24:00:00\"", None),
        ("time", "\"01:02:03.1234567\"", None),
        ("timestamp", "\"2023-10-29 16:12:43.459\"", Some("2023-10-29T16:12:43.459")),
        ("timestamp", "\"1969-12-31T23:59:59\"", Some("1969-12-31T23:59:59")),
        ("timestamp", "\"2023-10-29T16:12:43Z\"", None),
        ("bytes", "\"AAH/\"", Some("0001ff")),
        ("bytes", "\"?\"", None),
    ] {
        let found = value("$.v", dest_type, &format!("{{\"v\": {json}}}"));
        match expected {
            Some(expected) => assert_eq!(found.unwrap(), expected, "{dest_type} {json}"),
            None => {
                let error = found.unwrap_err();
                assert!(
                    error.contains("a value does not fit the column's type"),
                    "{dest_type} {json}: {error}"
                );
                assert!(error.contains("dest_field=v") && !error.contains(json), "{error}");
            }
        }
    }
}

#[test]
fn paths_of_one_value_and_of_several() {
    let json = r#"{"a": {"b-c": [1, 2, {"d": "x"}]}, "a": {"b-c": [3, 4.50, {"d": "y"}]}, "e": [{"n": 1}, {"n": 5}], "f\"g": 1}"#;
    for (path, expected) in [
        ("$.a['b-c'][0]", "3"),
        ("$['a'][\"b-c\"][1]", "4.50"),
        ("$.a['b-c'][-1].d", "y"),
        ("a['b-c'][2].d", "y"),
        ("$['f\\\"g']", "1"),
        ("$.e[*].n", "[1,5]"),
        ("$..n", "[1,5]"),
        ("$.e[?@.n > 1].n", "[5]"),
        ("$.e[0,1].n", "[1,5]"),
        ("$.x[*]", "[]"),
        ("$.e[?@.n > 9]", "[]"),
    ] {
        let path = if path.contains("f\\") { "$['f\"g']" } else { path };
        assert_eq!(value(path, "string", json).unwrap(), expected, "{path}");
    }
    for path in ["$.x", "$.a.b", "$.e[2]", "$.e[-3]", "$.e.n", "$.a[0]", "$.e[0].n.m"] {
        assert!(value(path, "string", json).unwrap_err().contains("the path finds nothing"), "{path}");
    }
    assert!(value("$.a", "string", "{'a': 1}").unwrap_err().contains("does not hold JSON"));
    assert!(value("$.a", "string", "").unwrap_err().contains("does not hold JSON"));
}

#[test]
fn the_documented_policies() {
    let rows =
        ["+I 1|{\"f1\":\"a\",\"f2\":\"b\"}", "+I 2|{\"f2\":\"b\"}", "+I 3|{\"f1\":\"a\"}", "+I 4|null"];
    let batch = text_batch(&["id", "data"], &rows);
    let policy = |row: &str, first: Value| {
        let mut column = json!({"src_field": "data", "path": "$.f1", "dest_field": "x"});
        if !first.is_null() {
            column["column_error_handle_way"] = first;
        }
        take(json!({"row_error_handle_way": row, "columns": [
            column, {"src_field": "data", "path": "$.f2", "dest_field": "y"},
        ]}))
        .unwrap()
    };
    let ends = |lines: Vec<String>| {
        lines
            .into_iter()
            .map(|line| format!("{}…{}", &line[..4], line.rsplit_once('}').map_or("", |l| l.1)))
            .collect::<Vec<_>>()
    };
    assert_eq!(ends(ran(&policy("SKIP", Value::Null), &batch)), ["+I 1…|a|b", "+I 4…"]);
    assert_eq!(ends(ran(&policy("SKIP", json!("SKIP")), &batch)), ["+I 1…|a|b", "+I 2…|null|b", "+I 4…"]);
    let error = run(&policy("FAIL", json!("SKIP")), &batch).unwrap_err();
    assert!(error.to_string().contains("dest_field=y"), "{error}");
    let error = run(&policy("SKIP", json!("FAIL")), &batch).unwrap_err();
    assert!(error.to_string().contains("dest_field=x"), "{error}");
    // A row that its first column drops fails in no other.
    let without_3 = text_batch(&["id", "data"], &[rows[0], rows[1], "+I 5|{}"]);
    assert_eq!(ends(ran(&policy("FAIL", json!("SKIP_ROW")), &without_3)), ["+I 1…|a|b"]);
}

#[test]
fn an_update_of_which_one_side_is_skipped_is_a_row_that_came_or_went() {
    let rows = ["-U 1|{\"v\":1}", "+U 1|{}", "-U 2|{}", "+U 2|{\"v\":2}", "-U 3|{\"v\":1}", "+U 3|{\"v\":3}"];
    let batch = text_batch(&["id", "data"], &rows);
    let transform = take(json!({"row_error_handle_way": "SKIP", "columns": [
        {"src_field": "data", "path": "$.v", "dest_field": "v", "dest_type": "int"},
    ]}));
    let left = run(&transform.unwrap(), &batch).unwrap();
    assert_eq!(
        left[0].kinds,
        [RowKind::Delete, RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter]
    );
}

#[test]
fn what_is_taken_of_a_left_out_value_is_left_out_unless_rows_may_be_skipped() {
    let batch = text_batch(&["id", "data"], &["-U 1|{\"v\":1}", &format!("+U 1|{LEFT_OUT}")]);
    assert_eq!(ran(&one("$.v", "int"), &batch)[1], format!("+U 1|{LEFT_OUT}|{LEFT_OUT}"));
    let skipping = take(json!({"row_error_handle_way": "SKIP", "columns": [
        {"src_field": "data", "path": "$.v", "dest_field": "v"},
    ]}));
    let error = run(&skipping.unwrap(), &batch).unwrap_err().to_string();
    for part in ["transform=JsonPath", "column=data", "ALTER TABLE t REPLICA IDENTITY FULL"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn bytes_hold_json_too_and_other_types_do_not() {
    let mut batch = text_batch(&["id", "data"], &["+I 1|x", "+I 2|x"]);
    let mut schema = (*batch.schema).clone();
    schema.columns[1].data_type = DataType::Binary;
    let schema = TableSchema::new(schema.id, 1, schema.columns, schema.primary_key, schema.kinds);
    let data = BinaryArray::from_vec(vec![b"{\"v\":7}", b"\xff\xfe"]);
    let columns: Vec<ArrayRef> = vec![Arc::clone(batch.rows.column(0)), Arc::new(data)];
    batch.rows = arrow_array::RecordBatch::try_new(schema.arrow.clone(), columns).unwrap();
    batch.schema = Arc::new(schema);
    let null = take(json!({"columns": [{
        "src_field": "data", "path": "$.v", "dest_field": "v", "dest_type": "int", "column_error_handle_way": "SKIP",
    }]}));
    let left = run(&null.unwrap(), &batch).unwrap();
    assert!(lines(&left[0])[0].ends_with("|7") && lines(&left[0])[1].ends_with("|null"));
    let numbers = crate::testing::batch();
    let transform = take(json!({"columns": [{"src_field": "id", "path": "$.v", "dest_field": "v"}]}));
    assert!(run(&transform.unwrap(), &numbers).unwrap_err().to_string().contains("JSON is text"));
}

#[test]
fn wrong_options_are_refused_with_their_place() {
    for (column, told) in [
        (json!({"path": "$.a", "dest_field": "a"}), "'src_field' is missing"),
        (json!({"src_field": "d", "path": "$.a[", "dest_field": "a"}), "is no JSONPath"),
        (json!({"src_field": "d", "path": ["$.a", "$.b"], "dest_field": "a"}), "as many items"),
        (
            json!({"src_field": "d", "path": "$.a", "dest_field": "a", "dest_type": "text"}),
            "must be one of string",
        ),
        (
            json!({"src_field": "d", "path": "$.a", "dest_field": "a", "dest_type": "decimal(39,0)"}),
            "1 to 38 digits",
        ),
        (
            json!({"src_field": "d", "path": "$.a", "dest_field": "a", "column_error_handle_way": "X"}),
            "SKIP_ROW",
        ),
        (json!({"src_field": "d", "paht": "$.a", "dest_field": "a"}), "did you mean 'path'?"),
    ] {
        let error = take(json!({"columns": [column]})).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(told) && error.to_string().contains("columns[0]"), "{error}");
    }
}
