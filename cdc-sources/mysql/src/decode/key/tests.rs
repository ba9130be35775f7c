#![allow(clippy::unwrap_used)]
//! Key values: order, storage, SQL.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Decimal128Array, Float32Array, StringArray, UInt64Array};

use super::*;

#[test]
fn sql_never_holds_what_the_value_holds() {
    for (value, sql) in [
        (KeyValue::Null, "NULL"),
        (KeyValue::Int(-5), "-5"),
        (KeyValue::Int(u64::MAX.into()), "18446744073709551615"),
        (KeyValue::Float(FloatKey(1.5)), "1.5e0"),
        (KeyValue::decimal(i256::from_i128(-5), 2), "-0.05"),
        (KeyValue::Date(0), "'1970-01-01'"),
        (KeyValue::Date(-719_528), "'0000-01-01'"),
        (KeyValue::Time(-3_020_399_000_001), "'-838:59:59.000001'"),
        (KeyValue::DateTime(-1), "'1969-12-31 23:59:59.999999'"),
        (KeyValue::Text("a'é".into()), "_utf8mb4 X'6127c3a9'"),
        (KeyValue::Text(String::new()), "_utf8mb4 X''"),
        (KeyValue::Bytes(vec![0, 0x27]), "X'0027'"),
    ] {
        assert_eq!(value.to_sql_literal(), sql);
        let stored = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<KeyValue>(&stored).unwrap(), value, "{stored}");
    }
    for broken in ["", "i", "x:1", "i:a", "b:0", "b:zz", "d:1"] {
        assert!(broken.parse::<KeyValue>().is_err(), "{broken}");
    }
}

#[test]
fn values_are_read_and_ordered() {
    let read = |array: ArrayRef| -> Vec<KeyValue> {
        (0..array.len()).map(|row| KeyValue::read(&array, row).unwrap()).collect()
    };
    let decimals =
        Decimal128Array::from(vec![Some(-150), Some(99), None]).with_precision_and_scale(20, 2).unwrap();
    let columns: [ArrayRef; 5] = [
        Arc::new(UInt64Array::from(vec![u64::MAX, 0])),
        Arc::new(StringArray::from(vec!["b", "a"])),
        Arc::new(BinaryArray::from(vec![&b"\xff"[..], b""])),
        Arc::new(Float32Array::from(vec![0.5, -0.0])),
        Arc::new(decimals),
    ];
    for column in &columns[..4] {
        let values = read(Arc::clone(column));
        assert!(values[0] > values[1]);
    }
    let decimals = read(Arc::clone(&columns[4]));
    assert!(decimals[0] < decimals[1] && decimals[2] < decimals[0]);
    assert_eq!(KeyValue::Float(FloatKey(-0.0)), KeyValue::Float(FloatKey(0.0)));
    assert!(KeyValue::read(&columns[0], 2).is_err());
}
