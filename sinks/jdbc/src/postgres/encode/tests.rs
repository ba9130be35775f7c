#![allow(clippy::unwrap_used)]

use arrow_array::{Float32Array, Int64Array, TimestampMicrosecondArray, TimestampNanosecondArray};

use super::*;

fn one(array: impl Array + 'static, base: &str, modifier: i32, place: Place) -> Result<String, Misfit> {
    let array: Arc<dyn Array> = Arc::new(array);
    let form = Form::of_type(base, modifier);
    let mut values = Values::new(&array, &form, place)?;
    let mut out = Vec::new();
    values.write(0, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn copied(array: impl Array + 'static, base: &str, modifier: i32) -> Result<String, Misfit> {
    one(array, base, modifier, Place::Copy)
}

fn text(value: &str) -> StringArray {
    StringArray::from(vec![value])
}

#[test]
fn texts_cannot_leave_their_field_or_literal() {
    assert_eq!(copied(text("a\tb\nc\rd\\N"), "text", -1).unwrap(), "a\\tb\\nc\\rd\\\\N");
    assert_eq!(one(text("it's \\"), "text", -1, Place::Statement).unwrap(), "'it''s \\'");
    assert_eq!(copied(StringArray::new_null(1), "text", -1).unwrap(), "\\N");
    assert_eq!(one(StringArray::new_null(1), "text", -1, Place::Statement).unwrap(), "NULL");
    for place in [Place::Copy, Place::Statement] {
        assert_eq!(one(text("a\0"), "text", -1, place), Err(Misfit::Nul));
    }
    assert_eq!(copied(BinaryArray::from(vec![&b"\0\xff"[..]]), "bytea", -1).unwrap(), "\\\\x00ff");
}

#[test]
fn what_the_column_would_cut_is_refused() {
    assert_eq!(copied(text("äöü"), "varchar", 7).unwrap(), "äöü");
    assert_eq!(copied(text("äöü "), "varchar", 7), Err(Misfit::Length));
    assert_eq!(copied(text("äöü "), "bpchar", 7).unwrap(), "äöü ");
    let decimal = |value: i128| Decimal128Array::from(vec![value]).with_precision_and_scale(20, 4).unwrap();
    let numeric = |scale: i32| ((10 << 16) | (scale & 0x7ff)) + 4;
    assert_eq!(copied(decimal(-120_500), "numeric", numeric(2)).unwrap(), "-12.05");
    assert_eq!(copied(decimal(5), "numeric", numeric(4)).unwrap(), "0.0005");
    assert_eq!(copied(decimal(5), "numeric", numeric(3)), Err(Misfit::Scale));
    assert_eq!(copied(decimal(0), "numeric", numeric(-2)).unwrap(), "0");
    assert_eq!(copied(Int64Array::from(vec![1200]), "numeric", numeric(-2)).unwrap(), "1200");
    assert_eq!(copied(Int64Array::from(vec![1210]), "numeric", numeric(-2)), Err(Misfit::Scale));
    assert_eq!(copied(text("1.2300"), "numeric", numeric(2)).unwrap(), "1.2300");
    assert_eq!(copied(text("1.234"), "numeric", numeric(2)), Err(Misfit::Scale));
    assert_eq!(copied(text("NaN"), "numeric", numeric(2)).unwrap(), "NaN");
    assert_eq!(copied(text("1.234"), "numeric", -1).unwrap(), "1.234");
}

#[test]
fn numbers_of_other_kinds_find_their_form() {
    let integer = |value: i64| Int64Array::from(vec![value]);
    assert_eq!(copied(integer(5), "bit", 8).unwrap(), "00000101");
    assert_eq!(copied(integer(0), "varbit", 8).unwrap(), "0");
    assert_eq!(copied(integer(256), "bit", 8), Err(Misfit::Bits));
    assert_eq!(copied(integer(1), "bool", -1).unwrap(), "1");
    assert_eq!(copied(integer(2), "bool", -1), Err(Misfit::Truth));
    assert_eq!(copied(BooleanArray::from(vec![true]), "text", -1).unwrap(), "true");
    assert_eq!(copied(BooleanArray::from(vec![true]), "int4", -1).unwrap(), "1");
    assert_eq!(copied(integer(i64::MIN), "int8", -1).unwrap(), i64::MIN.to_string());
    assert_eq!(copied(Float32Array::from(vec![0.1]), "float4", -1).unwrap(), "1e-1");
    assert_eq!(copied(Float32Array::from(vec![0.1]), "float8", -1).unwrap(), "1.0000000149011612e-1");
}

#[test]
fn instants_keep_their_moment() {
    let nanos = |value: i64| TimestampNanosecondArray::from(vec![value]);
    assert_eq!(copied(nanos(1_500), "timestamp", -1), Err(Misfit::Fraction));
    assert_eq!(copied(nanos(1_000), "timestamp", -1).unwrap(), "1970-01-01 00:00:00.000001");
    let berlin = || TimestampMicrosecondArray::from(vec![0]).with_timezone("Europe/Berlin");
    assert_eq!(copied(berlin(), "timestamptz", -1).unwrap(), "1970-01-01 00:00:00+00");
    assert_eq!(copied(berlin(), "timestamp", -1).unwrap(), "1970-01-01 01:00:00");
    let endless = TimestampMicrosecondArray::from(vec![i64::MAX]);
    assert_eq!(copied(endless, "timestamp", 3).unwrap(), "infinity");
}
