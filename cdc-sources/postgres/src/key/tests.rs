#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::shape::Identity;

fn column(name: &str, kind: PgType, declaration: &str) -> ColumnDef {
    ColumnDef {
        name: name.into(),
        number: 0,
        type_oid: 0,
        typmod: -1,
        kind,
        declaration: declaration.into(),
        nullable: false,
        bytewise: true,
    }
}

fn table(columns: Vec<ColumnDef>) -> TableDef {
    TableDef {
        oid: 1,
        database: "d".into(),
        schema: "s".into(),
        table: "t".into(),
        key: columns.iter().map(|column| column.name.clone()).collect(),
        columns,
        identity: Identity::Key,
        partitioned: false,
        listed: false,
        filter: None,
        filenode: None,
    }
}

fn numeric(text: &str) -> KeyValue {
    KeyValue::read(&PgType::Numeric, Cell::Text(text.as_bytes())).unwrap()
}

#[test]
fn a_key_is_cut_by_its_leading_run_of_ordered_columns() {
    let mut second = column("b\"", PgType::Text, "text");
    let def =
        table(vec![column("a", PgType::Int4, "integer"), second.clone(), column("c", PgType::Float8, "x")]);
    let plan = KeyPlan::new(&def, &def.key).unwrap();
    assert_eq!(plan.names(), "\"a\", \"b\"\"\"");
    second.bytewise = false;
    let def = table(vec![second.clone(), column("a", PgType::Int4, "integer")]);
    assert!(KeyPlan::new(&def, &def.key).is_none());
    let mut nullable = column("a", PgType::Int4, "integer");
    nullable.nullable = true;
    let def = table(vec![nullable]);
    assert!(KeyPlan::new(&def, &def.key).is_none());
}

#[test]
fn a_range_is_a_condition_on_the_whole_row_of_the_key() {
    let def = table(vec![column("a", PgType::Date, "date"), column("b", PgType::Bytea, "bytea")]);
    let plan = KeyPlan::new(&def, &def.key).unwrap();
    let cells = [Cell::Text(b"0044-03-15 BC"), Cell::Binary(&[0, 0xff])];
    let bound = plan.bound(cells.into_iter().map(Ok)).unwrap();
    let range = KeyRange { after: Some(bound.clone()), up_to: Some(bound) };
    assert_eq!(
        plan.conditions(&range),
        [
            r#"ROW("a", "b") OPERATOR(pg_catalog.>) ROW('0044-03-15 BC'::date,  E'\\x00ff'::bytea)"#,
            r#"ROW("a", "b") OPERATOR(pg_catalog.<=) ROW('0044-03-15 BC'::date,  E'\\x00ff'::bytea)"#,
        ]
    );
    assert!(plan.conditions(&KeyRange::all()).is_empty());
    let moved = plan.placed(|name| if name == "a" { Some(5) } else { Some(3) }).unwrap();
    let cells =
        [Cell::Null, Cell::Null, Cell::Null, Cell::Text(b"\\x01"), Cell::Null, Cell::Text(b"2000-01-01")];
    let found = moved.bound(cells.into_iter().map(Ok)).unwrap();
    assert_eq!(found, KeyBound(vec![KeyValue::Int(10_957), KeyValue::Bytes(vec![1])]));
    assert!(plan.placed(|_| None).is_none());
}

#[test]
fn numerics_sort_by_size_and_what_is_none_around_them() {
    let ascending = [
        "-Infinity",
        "-1000.5",
        "-1000.25",
        "-1000",
        "-0.5",
        "-0.25",
        "0",
        "0.0001",
        "0.001",
        "1",
        "1.0001",
        "9",
        "10",
        "123456789012345678901234567890.5",
        "Infinity",
        "NaN",
    ];
    for pair in ascending.windows(2) {
        assert!(numeric(pair[0]) < numeric(pair[1]), "{pair:?}");
    }
    for (one, other) in [("1", "1.000"), ("-0", "0.00"), ("0.50", "0.5"), ("NaN", "NaN")] {
        assert_eq!(numeric(one), numeric(other));
    }
}

#[test]
fn blanks_at_the_end_of_a_character_do_not_count() {
    let read = |text: &str| KeyValue::read(&PgType::Char, Cell::Text(text.as_bytes())).unwrap();
    assert_eq!(read("a   "), read("a"));
    assert!(read("a    ") < read("a\t   "));
}

proptest! {
    #[test]
    fn a_stored_key_comes_back(number: i64, text: String, bytes: Vec<u8>) {
        for value in [KeyValue::Int(number), KeyValue::Text(text), KeyValue::Bytes(bytes), numeric(&number.to_string())] {
            prop_assert_eq!(value.to_string().parse::<KeyValue>().unwrap(), value);
        }
    }

    #[test]
    fn numerics_sort_like_numbers(a: i32, b: i32, scale in 0_usize..4) {
        let print = |value: i32| {
            let digits = format!("{:05}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let point = if scale > 0 { "." } else { "" };
            format!("{}{whole}{point}{fraction}", if value < 0 { "-" } else { "" })
        };
        prop_assert_eq!(numeric(&print(a)).cmp(&numeric(&print(b))), a.cmp(&b));
    }

    #[test]
    fn what_is_stored_is_read_or_refused(text: String) {
        if let Ok(value) = text.parse::<KeyValue>() {
            prop_assert_eq!(value.to_string().parse::<KeyValue>().unwrap(), value);
        }
    }
}
