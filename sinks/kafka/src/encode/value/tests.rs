#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, LargeBinaryArray, LargeStringArray, NullArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};

use super::*;

fn shown(array: ArrayRef) -> Vec<(Form, String)> {
    assert!(is_known(array.data_type()), "{}", array.data_type());
    let one = |row| {
        let mut text = String::new();
        (append(array.as_ref(), row, &mut text).unwrap(), text)
    };
    (0..array.len()).map(one).collect()
}

#[track_caller]
fn bare(array: impl Array + 'static, texts: &[&str]) {
    let wanted: Vec<(Form, String)> = texts.iter().map(|text| (Form::Bare, (*text).to_owned())).collect();
    assert_eq!(shown(Arc::new(array)), wanted);
}

#[track_caller]
fn text(array: impl Array + 'static, texts: &[&str]) {
    let wanted: Vec<(Form, String)> = texts.iter().map(|text| (Form::Text, (*text).to_owned())).collect();
    assert_eq!(shown(Arc::new(array)), wanted);
}

#[test]
fn numbers_at_their_limits() {
    bare(BooleanArray::from(vec![true, false]), &["true", "false"]);
    bare(Int8Array::from(vec![i8::MIN, i8::MAX]), &["-128", "127"]);
    bare(Int16Array::from(vec![i16::MIN, i16::MAX]), &["-32768", "32767"]);
    bare(Int32Array::from(vec![i32::MIN, i32::MAX]), &["-2147483648", "2147483647"]);
    bare(Int64Array::from(vec![i64::MIN, i64::MAX]), &["-9223372036854775808", "9223372036854775807"]);
    bare(UInt8Array::from(vec![u8::MAX]), &["255"]);
    bare(UInt16Array::from(vec![u16::MAX]), &["65535"]);
    bare(UInt32Array::from(vec![u32::MAX]), &["4294967295"]);
    bare(UInt64Array::from(vec![u64::MAX]), &["18446744073709551615"]);
}

#[test]
fn floats_keep_their_bits() {
    let values = [f64::MIN, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0, 0.1, 1e15, 1e16, 1.0 / 3.0];
    for value in values {
        let (form, text) = shown(Arc::new(Float64Array::from(vec![value]))).remove(0);
        assert_eq!(form, Form::Bare);
        let parsed: f64 = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.to_bits(), value.to_bits(), "{text}");
    }
    for value in [f32::MIN, f32::MAX, f32::MIN_POSITIVE, 1e-45, 0.1, 16_777_217.0] {
        let (_, text) = shown(Arc::new(Float32Array::from(vec![value]))).remove(0);
        assert_eq!(text.parse::<f32>().unwrap().to_bits(), value.to_bits(), "{text}");
    }
    bare(Float64Array::from(vec![-0.0, 1.5, 1e300]), &["-0.0", "1.5", "1e300"]);
    text(
        Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        &["NaN", "Infinity", "-Infinity"],
    );
    text(Float32Array::from(vec![f32::NAN, f32::INFINITY]), &["NaN", "Infinity"]);
}

#[test]
fn decimals_keep_every_digit() {
    let long = Decimal128Array::from(vec![99_999_999_999_999_999_999_999_999_999_999_999_999_i128, -1, 0]);
    let long = long.with_precision_and_scale(38, 30).unwrap();
    bare(
        long,
        &[
            "99999999.999999999999999999999999999999",
            "-0.000000000000000000000000000001",
            "0.000000000000000000000000000000",
        ],
    );
    let wide = Decimal256Array::from(vec![arrow_buffer::i256::from_i128(-12_345)]);
    bare(wide.with_precision_and_scale(65, 2).unwrap(), &["-123.45"]);
}

#[test]
fn texts_and_bytes() {
    text(StringArray::from(vec!["", "a\"b\\\n", "\u{0}é😀"]), &["", "a\"b\\\n", "\u{0}é😀"]);
    text(LargeStringArray::from(vec!["x"]), &["x"]);
    text(BinaryArray::from(vec![&b""[..], &[0, 255, 254], b"ab"]), &["", "AP/+", "YWI="]);
    text(LargeBinaryArray::from(vec![&b"ab"[..]]), &["YWI="]);
    text(FixedSizeBinaryArray::try_from_iter([[1u8, 2]].into_iter()).unwrap(), &["AQI="]);
}

#[test]
fn dates_of_any_year() {
    // 4713 BC and 5874897 are the ends of PostgreSQL's range.
    let days =
        vec![0, -1, 11_016, 59, -719_528, -719_529, -719_892, 2_932_896, 2_932_897, i32::MAX, i32::MIN];
    text(
        Date32Array::from(days),
        &[
            "1970-01-01",
            "1969-12-31",
            "2000-02-29",
            "1970-03-01",
            "0000-01-01",
            "-0001-12-31",
            "-0001-01-02",
            "9999-12-31",
            "+10000-01-01",
            "infinity",
            "-infinity",
        ],
    );
    text(Date32Array::from(vec![-2_440_588, 2_145_042_905]), &["-4713-11-24", "+5874897-12-31"]);
}

#[test]
fn points_in_time() {
    let micros =
        || TimestampMicrosecondArray::from(vec![0, -1, 500_000, 1_784_628_000_000_001, i64::MAX, i64::MIN]);
    text(
        micros(),
        &[
            "1970-01-01T00:00:00",
            "1969-12-31T23:59:59.999999",
            "1970-01-01T00:00:00.5",
            "2026-07-21T10:00:00.000001",
            "infinity",
            "-infinity",
        ],
    );
    let zoned = TimestampMicrosecondArray::from(vec![0, 500_000]).with_timezone("Europe/Berlin");
    text(zoned, &["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.5Z"]);
    text(TimestampSecondArray::from(vec![253_402_300_799]), &["9999-12-31T23:59:59"]);
    text(TimestampMillisecondArray::from(vec![1]), &["1970-01-01T00:00:00.001"]);
    text(TimestampNanosecondArray::from(vec![1]), &["1970-01-01T00:00:00.000000001"]);
    // The beginning of PostgreSQL's range, and nearly the end of what 64 bits of microseconds hold.
    let ends = TimestampMicrosecondArray::from(vec![-210_866_803_200_000_000, 9_223_371_331_199_999_999]);
    text(ends, &["-4713-11-24T00:00:00", "+294247-01-01T23:59:59.999999"]);
}

#[test]
fn times_and_spans() {
    text(
        Time64MicrosecondArray::from(vec![0, 86_400_000_000, 1]),
        &["00:00:00", "24:00:00", "00:00:00.000001"],
    );
    let spans = DurationMicrosecondArray::from(vec![-3_020_399_000_001, 3_020_399_999_999]);
    text(spans, &["-838:59:59.000001", "838:59:59.999999"]);
}

#[test]
fn nothing_and_the_unknown() {
    assert_eq!(shown(Arc::new(Int32Array::from(vec![None]))), [(Form::Null, String::new())]);
    assert_eq!(shown(Arc::new(StringArray::from(vec![None::<&str>]))), [(Form::Null, String::new())]);
    let list = arrow_array::new_empty_array(&DataType::Date64);
    assert!(!is_known(list.data_type()) && !is_known(NullArray::new(1).data_type()));
}
