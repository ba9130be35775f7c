#![allow(clippy::unwrap_used)]

use arrow_array::{
    ArrayRef, Date32Array, DurationMicrosecondArray, Float32Array, Float64Array, Int8Array, Int64Array,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};

use super::*;

fn literals(array: impl Array + 'static, form: Form) -> Vec<Result<String, Misfit>> {
    let array: ArrayRef = Arc::new(array);
    let mut literals = Literals::new(&array, form).unwrap();
    let write = |row| {
        let mut out = Vec::new();
        literals.write(row, &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    (0..array.len()).map(write).collect()
}

fn written(array: impl Array + 'static, family: Family) -> Vec<String> {
    literals(array, Form::of(family)).into_iter().map(Result::unwrap).collect()
}

#[test]
fn integers_at_their_limits() {
    assert_eq!(
        written(Int8Array::from(vec![Some(-128), None, Some(0)]), Family::Integer),
        ["-128", "NULL", "0"]
    );
    assert_eq!(
        written(Int64Array::from(vec![i64::MIN, i64::MAX]), Family::Integer),
        ["-9223372036854775808", "9223372036854775807"]
    );
    assert_eq!(written(UInt64Array::from(vec![u64::MAX]), Family::Integer), ["18446744073709551615"]);
    assert_eq!(written(BooleanArray::from(vec![true, false]), Family::Integer), ["1", "0"]);
    assert_eq!(written(Int64Array::from(vec![7]), Family::Text), ["'7'"]);
}

#[test]
fn decimals() {
    let array = |scale| {
        Decimal128Array::from(vec![0, 5, -5, 12345, -12300]).with_precision_and_scale(10, scale).unwrap()
    };
    assert_eq!(written(array(2), Family::Decimal), ["0.00", "0.05", "-0.05", "123.45", "-123.00"]);
    assert_eq!(written(array(0), Family::Decimal), ["0", "5", "-5", "12345", "-12300"]);
    assert_eq!(written(array(-2), Family::Decimal).last().unwrap(), "-1230000");
    let narrow = Form { scale: 1, ..Form::of(Family::Decimal) };
    assert_eq!(
        literals(array(2), narrow),
        [Ok("0.0".into()), Err(Misfit::Scale), Err(Misfit::Scale), Err(Misfit::Scale), Ok("-123.0".into())]
    );
    let whole = Form { scale: 0, ..Form::of(Family::Decimal) };
    assert_eq!(literals(array(2), whole)[4], Ok("-123".into()));
    let wide =
        Decimal256Array::from_iter_values([1, -1].map(arrow_value)).with_precision_and_scale(65, 30).unwrap();
    assert_eq!(
        written(wide, Family::Decimal),
        ["0.000000000000000000000000000007".to_string(), "-0.000000000000000000000000000007".to_string()]
    );
}

fn arrow_value(sign: i128) -> <Decimal256Type as arrow_array::types::ArrowPrimitiveType>::Native {
    <Decimal256Type as arrow_array::types::ArrowPrimitiveType>::Native::from_i128(7 * sign)
}

#[test]
fn floats_come_back_equal() {
    let values = [0.0, -0.0, 0.1, 1e300, 5e-324, f64::MAX, -123.456];
    for (value, text) in values.iter().zip(written(Float64Array::from(values.to_vec()), Family::Double)) {
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
        assert!(text.contains('e'), "{text}");
    }
    let single = written(Float32Array::from(vec![0.1_f32]), Family::Float);
    assert_eq!(single[0].parse::<f64>().unwrap(), f64::from(0.1_f32));
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(
            literals(Float64Array::from(vec![bad]), Form::of(Family::Double)),
            [Err(Misfit::NotANumber)]
        );
    }
}

#[test]
fn texts_and_bytes() {
    assert_eq!(written(StringArray::from(vec!["a'b\\", ""]), Family::Text), ["'a\\'b\\\\'", "''"]);
    assert_eq!(written(BinaryArray::from(vec![&b"\0'"[..]]), Family::Binary), ["_binary'\\0\\''"]);
    let padded = Form { padded_bytes: 3, ..Form::of(Family::Binary) };
    assert_eq!(literals(BinaryArray::from(vec![&b"x"[..]]), padded), [Ok("_binary'x\\0\\0'".into())]);
}

#[test]
fn an_instant_is_utc_in_a_timestamp_and_a_wall_clock_elsewhere() {
    let noon = || TimestampMicrosecondArray::from(vec![1_700_000_000_000_000]).with_timezone("+02:00");
    assert_eq!(written(noon(), Family::Timestamp), ["'2023-11-14 22:13:20.000000'"]);
    assert_eq!(written(noon(), Family::Datetime), ["'2023-11-15 00:13:20.000000'"]);
    let whole = Form { second_digits: 0, ..Form::of(Family::Datetime) };
    assert_eq!(literals(noon(), whole), [Ok("'2023-11-15 00:13:20'".into())]);
    assert_eq!(
        literals(TimestampNanosecondArray::from(vec![1_500, 2_000]), Form::of(Family::Datetime)),
        [Err(Misfit::Fraction), Ok("'1970-01-01 00:00:00.000002'".into())]
    );
}

#[test]
fn spans_are_signed_and_longer_than_a_day() {
    let array = DurationMicrosecondArray::from(vec![-90_000_000_000_i64, 500_000]);
    assert_eq!(written(array, Family::Time), ["'-25:00:00.000000'", "'00:00:00.500000'"]);
}

#[test]
fn infinite_and_early_dates_have_no_form() {
    let days = || Date32Array::from(vec![i32::MAX, i32::MIN, i32::MAX - 1, -719_163, -719_162]);
    let of_postgres = Form { from_year_one: true, ..Form::of(Family::Date) };
    assert_eq!(
        literals(days(), of_postgres),
        [
            Err(Misfit::Infinite),
            Err(Misfit::Infinite),
            Err(Misfit::Year),
            Err(Misfit::BeforeChrist),
            Ok("'0001-01-01'".into())
        ]
    );
    // A MySQL source has a year 0.
    assert_eq!(literals(days(), Form::of(Family::Date))[3], Ok("'0000-12-31'".into()));
    let first = -719_162 * 86_400_000_000_i64;
    let instants =
        || TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN, i64::MIN + 1, first - 1, first]);
    let of_postgres = Form { from_year_one: true, ..Form::of(Family::Datetime) };
    let expected = [
        Err(Misfit::Infinite),
        Err(Misfit::Infinite),
        Err(Misfit::BeforeChrist),
        Err(Misfit::BeforeChrist),
        Ok("'0001-01-01 00:00:00.000000'".into()),
    ];
    assert_eq!(literals(instants(), of_postgres), expected);
    assert_eq!(literals(instants().with_timezone("UTC"), of_postgres), expected);
}
