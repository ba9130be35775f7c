#![allow(clippy::unwrap_used)]

use super::*;

fn text(text: &str, data_type: &DataType) -> Option<Cell> {
    of_text(text, data_type)
}

#[test]
fn whole_numbers_keep_every_digit_and_end_where_their_type_ends() {
    let int = |text: &str| Some(Cell::Int(text.parse().unwrap()));
    for (data_type, least, most, beyond) in [
        (DataType::Int8, "-128", "127", "128"),
        (DataType::Int64, "-9223372036854775808", "9223372036854775807", "9223372036854775808"),
        (DataType::UInt64, "0", "18446744073709551615", "18446744073709551616"),
        (DataType::UInt8, "0", "255", "-1"),
    ] {
        assert_eq!(text(least, &data_type), int(least), "{data_type}");
        assert_eq!(text(most, &data_type), int(most), "{data_type}");
        assert_eq!(text(beyond, &data_type), None, "{data_type}");
    }
    for none in ["1.0", "1e3", "+1", "", " 1", "0x1", "NaN"] {
        assert_eq!(text(none, &DataType::Int32), None, "{none}");
    }
}

#[test]
fn decimals_are_exact_or_refused() {
    let of = |text: &str| decimal(text, 6, 2).map(|value| value.to_string());
    for (text, value) in [
        ("12.50", "1250"),
        ("-0.01", "-1"),
        ("12", "1200"),
        ("12.500", "1250"),
        ("1e3", "100000"),
        ("1250e-2", "1250"),
        ("-9999.99", "-999999"),
        ("0", "0"),
        ("0.000", "0"),
        ("0e99999", "0"),
    ] {
        assert_eq!(of(text).as_deref(), Some(value), "{text}");
    }
    for text in [
        "12.505",
        "10000",
        "1e5",
        "1e2147483647",
        "1e-2147483648",
        "",
        "-",
        ".",
        "1.2.3",
        "NaN",
        "1_0",
        "1e-9",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
    let nines = "9".repeat(76);
    assert_eq!(decimal(&nines, 76, 0).unwrap().to_string(), nines);
    assert_eq!(decimal(&format!("{nines}0"), 76, 0), None);
}

#[test]
fn floats_come_back_bit_for_bit() {
    for value in [0.1, -0.0, 1e300, 5e-324, f64::MAX, 1.0 / 3.0] {
        let Some(Cell::Float64(read)) = text(&format!("{value:?}"), &DataType::Float64) else {
            panic!("{value}")
        };
        assert_eq!(read.to_bits(), value.to_bits());
    }
    // By way of a double this one is rounded twice.
    let shortest = "1.00000017881393432617187499";
    let Some(Cell::Float32(read)) = text(shortest, &DataType::Float32) else { panic!() };
    assert_eq!(read, shortest.parse::<f32>().unwrap());
    assert_eq!(text("-Infinity", &DataType::Float64), Some(Cell::Float64(f64::NEG_INFINITY)));
    for none in ["inf", "nan", "infinity", "1e999", "", "e", "0x1p3"] {
        assert_eq!(text(none, &DataType::Float64), None, "{none}");
    }
}

#[test]
fn times_come_back_and_nothing_is_rounded() {
    let int = |text_: &str, data_type: &DataType| match text(text_, data_type) {
        Some(Cell::Int(value)) => Some(value),
        None => None,
        other => panic!("{other:?}"),
    };
    let date = |text: &str| int(text, &DataType::Date32);
    assert_eq!(date("1970-01-01"), Some(0));
    assert_eq!(date("2000-03-01"), Some(11_017));
    assert_eq!(date("2026-11-20"), Some(20_777));
    assert_eq!(date("+10000-01-01"), Some(2_932_897));
    assert_eq!(date("0000-01-01"), Some(-719_528));
    assert_eq!(date("-0001-12-31"), Some(-719_529));
    assert_eq!(date("infinity"), Some(i32::MAX.into()));
    for none in
        ["2026-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-1-1", "2026-01-01T", "20260101", ""]
    {
        assert_eq!(date(none), None, "{none}");
    }
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(int("1970-01-01T00:00:01.5", &plain), Some(1_500_000));
    assert_eq!(int("1969-12-31 23:59:59.999999", &plain), Some(-1));
    assert_eq!(int("1970-01-01T01:00:00+01:00", &zoned), Some(0));
    assert_eq!(int("1970-01-01T00:00:00Z", &zoned), Some(0));
    assert_eq!(int("-infinity", &zoned), Some(i64::MIN.into()));
    assert_eq!(int("1970-01-01T00:00:00.1234560", &plain), Some(123_456));
    for none in ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.1234567", "1970-01-01T24:00:00", "1970-01-01"] {
        assert_eq!(int(none, &plain), None, "{none}");
    }
    assert_eq!(int("1970-01-01T00:00:00", &zoned), None, "an instant needs a zone");
    let time = DataType::Time64(TimeUnit::Microsecond);
    assert_eq!(int("24:00:00", &time), Some(86_400_000_000));
    assert_eq!((int("24:00:00.000001", &time), int("-00:00:01", &time)), (None, None));
    let span = DataType::Duration(TimeUnit::Microsecond);
    assert_eq!(int("-838:59:59.000001", &span), Some(-3_020_399_000_001));
    for none in ["1:00:00", "00:60:00", "00:00:60", "00:00:00.", "00:00", "00:00:00:00"] {
        assert_eq!(int(none, &span), None, "{none}");
    }
}
