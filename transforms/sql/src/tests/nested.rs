//! Rows, maps and arrays: looked into, made, and passed.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int32Array, StringArray, StructArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Fields};
use culvert_api::{RowKind, Unavailable};

use super::{applied, batch, sql};

/// Three rows: full ones, and one of NULLs.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let fields = Fields::from(vec![
        Field::new("city", DataType::Utf8, true),
        Field::new("Number", DataType::Int32, true),
    ]);
    let cities: ArrayRef = Arc::new(StringArray::from(vec![Some("Rome"), None, Some("hidden")]));
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), Some(8), Some(9)]));
    let known = Some(vec![true, true, false].into());
    let place: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![cities, numbers], known.clone()));
    let outer = Fields::from(vec![Field::new("place", DataType::Struct(fields), true)]);
    let home: ArrayRef = Arc::new(StructArray::new(outer, vec![place], known));
    let mut tags = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for pairs in [vec![("a", Some(1)), ("b c", Some(2)), ("a", Some(3))], vec![("a", None)]] {
        for (key, value) in pairs {
            tags.keys().append_value(key);
            tags.values().append_option(value);
        }
        tags.append(true).unwrap();
    }
    tags.append(false).unwrap();
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(2), None, Some(5), Some(-1)]);
    list.append_value([]);
    list.append_null();
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("x,,y,,"), Some(""), None]));
    vec![
        ("ID", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef),
        ("home", home),
        ("tags", Arc::new(tags.finish())),
        ("list", Arc::new(list.finish())),
        ("text", text),
    ]
}

/// The name of an expression's column, and its values.
fn shown(expression: &str) -> (String, Vec<String>) {
    let kinds = [RowKind::Insert; 3];
    let query = sql(&format!("select {expression} from t")).expect(expression);
    let made = applied(&query, batch(&columns(), &["ID"], &kinds)).expect(expression).unwrap();
    let value = |row| match arrow_array::Array::is_null(made.rows.column(0), row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(made.rows.column(0), row).unwrap(),
    };
    (made.schema.columns[0].name.clone(), (0..3).map(value).collect())
}

#[test]
fn what_lies_in_a_column_is_found_by_its_names() {
    for (expression, name, values) in [
        ("home.place.city", "city", ["Rome", "NULL", "NULL"]),
        ("home.PLACE.number", "number", ["7", "8", "NULL"]),
        ("t.home.place.Number", "Number", ["7", "8", "NULL"]),
        ("`home`.`place`.`city`", "city", ["Rome", "NULL", "NULL"]),
        ("tags.a", "a", ["3", "NULL", "NULL"]),
        ("tags.none", "none", ["NULL", "NULL", "NULL"]),
        ("tags['b c']", "b c", ["2", "NULL", "NULL"]),
        ("tags.`b c`", "b c", ["2", "NULL", "NULL"]),
        ("home.place.Number + tags.a as s", "s", ["10", "NULL", "NULL"]),
        ("home.place", "place", ["{city: Rome, Number: 7}", "{city: , Number: 8}", "NULL"]),
        ("home.place.city is null as n", "n", ["false", "true", "true"]),
        ("list", "list", ["[2, , 5, -1]", "[]", "NULL"]),
    ] {
        assert_eq!(shown(expression), (name.to_owned(), values.map(str::to_owned).to_vec()), "{expression}");
    }
    let kinds = [RowKind::Insert; 3];
    let query = sql("select ID from t where home.place.city = 'Rome' and tags['b c'] > 1").unwrap();
    assert_eq!(applied(&query, batch(&columns(), &["ID"], &kinds)).unwrap().unwrap().kinds.len(), 1);
}

#[test]
fn arrays_and_maps_are_made_and_searched() {
    for (expression, values) in [
        ("ARRAY_MAX(list)", ["5", "NULL", "NULL"]),
        ("array_min(list)", ["-1", "NULL", "NULL"]),
        ("ARRAY_MAX(ARRAY('b', text))", ["x,,y,,", "b", "b"]),
        ("ARRAY_MIN(NULL)", ["NULL", "NULL", "NULL"]),
        ("ARRAY()", ["[]", "[]", "[]"]),
        ("ARRAY(NULL, NULL)", ["[, ]", "[, ]", "[, ]"]),
        ("ARRAY(ID, 1.5)", ["[1.0, 1.5]", "[2.0, 1.5]", "[3.0, 1.5]"]),
        ("ARRAY('a', ID, 3.12)", ["[a, 1, 3.12]", "[a, 2, 3.12]", "[a, 3, 3.12]"]),
        ("ARRAY(list, list)", ["[[2, , 5, -1], [2, , 5, -1]]", "[[], []]", "[, ]"]),
        ("SPLIT(text, ',')", ["[x, , y]", "NULL", "NULL"]),
        ("SPLIT('a1b22c', '[0-9]+')", ["[a, b, c]", "[a, b, c]", "[a, b, c]"]),
        ("SPLIT(',', ',')", ["[]", "[]", "[]"]),
        ("MAP('k', ID, 1, 2)", ["{k: 1, 1: 2}", "{k: 2, 1: 2}", "{k: 3, 1: 2}"]),
        ("MAP('k', 1, 'k', ID)", ["{k: 1}", "{k: 2}", "{k: 3}"]),
    ] {
        assert_eq!(shown(&format!("{expression} as v")).1, values, "{expression}");
    }
    let kinds = [RowKind::Insert; 3];
    let error = applied(&sql("select map(text, 1) as m from t").unwrap(), batch(&columns(), &["ID"], &kinds));
    assert!(error.unwrap_err().to_string().contains("a key of MAP is NULL"));
}

#[test]
fn nothing_is_made_of_a_value_that_the_log_left_out() {
    let mut rows = batch(&columns(), &["ID"], &[RowKind::Insert; 3]);
    rows.unavailable.push(Unavailable { column: 1, rows: vec![true, false, false].into() });
    let error = applied(&sql("select ID, home.place.city from t").unwrap(), rows).unwrap_err();
    assert!(error.to_string().contains("the log left out a value that `home.place.city` needs"), "{error}");
}
