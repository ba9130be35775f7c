#![allow(clippy::unwrap_used)]
use arrow_buffer::i256;
use proptest::prelude::*;

use super::numeric::{self, Scaled, Special};
use super::*;

/// The binary form of digits to base 10,000.
fn binary(digits: &[u16], weight: i16, sign: u16, scale: u16) -> Vec<u8> {
    let count = u16::try_from(digits.len()).unwrap();
    let head = [count.to_be_bytes(), weight.to_be_bytes(), sign.to_be_bytes(), scale.to_be_bytes()];
    head.into_iter().chain(digits.iter().map(|digit| digit.to_be_bytes())).flatten().collect()
}

fn printed(bytes: &[u8]) -> String {
    let mut out = String::new();
    append_numeric(bytes, &mut out).unwrap();
    out
}

#[test]
fn numerics_are_printed_as_the_server_does() {
    for (digits, weight, sign, scale, text) in [
        (&[][..], 0, 0, 0, "0"),
        (&[], 0, 0, 2, "0.00"),
        (&[1], 0, 0, 0, "1"),
        (&[1], 1, 0x4000, 0, "-10000"),
        (&[12, 3456, 7800], 1, 0, 2, "123456.78"),
        (&[5000], -1, 0, 1, "0.5"),
        (&[5], -2, 0x4000, 8, "-0.00000005"),
        (&[1], 2, 0, 3, "100000000.000"),
        (&[1, 2300], -1, 0, 6, "0.000123"),
    ] {
        assert_eq!(printed(&binary(digits, weight, sign, scale)), text);
    }
    assert_eq!(printed(&binary(&[], 0, 0xC000, 0)), "NaN");
    assert_eq!(printed(&binary(&[], 0, 0xD000, 32)), "Infinity");
    assert_eq!(printed(&binary(&[], 0, 0xF000, 32)), "-Infinity");
}

#[test]
fn both_forms_of_a_numeric_are_the_same_integer() {
    for (bytes, text, scale) in [
        (binary(&[12, 3456, 7800], 1, 0, 2), "123456.78", 2),
        (binary(&[12, 3456, 7800], 1, 0x4000, 2), "-123456.78", 5),
        (binary(&[5], -2, 0, 8), "0.00000005", 8),
        (binary(&[], 0, 0, 0), "0", 76),
        (binary(&[9999; 9], 8, 0, 0), &"9".repeat(36), 0),
        (binary(&[9999; 19], 18, 0, 0), &"9".repeat(76), 0),
    ] {
        let expected = numeric::from_text(text.as_bytes(), scale).unwrap();
        assert!(matches!(expected, Scaled::Value(_)), "{text}");
        assert_eq!(numeric::from_binary(&bytes, scale).unwrap(), expected, "{text}");
    }
    let cut = numeric::from_text(b"1.23", 1).unwrap();
    assert_eq!(cut, Scaled::TooLarge);
    assert_eq!(numeric::from_binary(&binary(&[1, 2300], 0, 0, 2), 1).unwrap(), Scaled::TooLarge);
    assert_eq!(numeric::from_text(b"NaN", 1).unwrap(), Scaled::Special(Special::Nan));
    assert_eq!(numeric::from_text("9".repeat(90).as_bytes(), 0).unwrap(), Scaled::TooLarge);
    for text in ["", "-", ".5", "5.", "1e5", "+1", "1.2.3", " 1"] {
        assert!(numeric::from_text(text.as_bytes(), 2).is_err(), "{text}");
    }
}

#[test]
fn dates_reach_from_4714_bc_to_the_year_5874897() {
    for (text, days) in [
        ("1970-01-01", 0),
        ("2000-02-29", 11_016),
        ("0001-01-01", -719_162),
        ("0001-12-31 BC", -719_163),
        ("4714-11-24 BC", -2_440_588),
        ("5874897-12-31", 2_145_042_905 - 364),
        ("infinity", i32::MAX),
        ("-infinity", i32::MIN),
    ] {
        let found = temporal::date_from_text(text.as_bytes()).unwrap();
        let mut printed = String::new();
        temporal::append_date(found, &mut printed);
        assert_eq!(printed, text);
        if !text.starts_with("5874897") {
            assert_eq!(found, days, "{text}");
        }
    }
    for text in ["", "2000-13-01", "2000-1-1", "2000-01-01 AD", "infinit", "2000-01-01x"] {
        assert!(temporal::date_from_text(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn times_and_timestamps_are_read_to_the_microsecond() {
    assert_eq!(temporal::time_from_text(b"24:00:00").unwrap(), 86_400_000_000);
    assert_eq!(temporal::time_from_text(b"00:00:00.5").unwrap(), 500_000);
    assert!(temporal::time_from_text(b"24:00:00.000001").is_err());
    let read = |text: &str| temporal::timestamp_from_text(text.as_bytes());
    assert_eq!(read("1969-12-31 23:59:59.999999").unwrap(), -1);
    assert_eq!(read("1970-01-01 00:00:00+00").unwrap(), 0);
    assert_eq!(read("1970-01-01 05:30:00+05:30").unwrap(), 0);
    assert_eq!(read("1969-12-31 23:59:59.5-00:00:01").unwrap(), 500_000);
    assert_eq!(read("infinity").unwrap(), i64::MAX);
    let before = read("0044-03-15 12:00:00.25+00 BC").unwrap();
    let mut printed = String::new();
    temporal::append_timestamp(before, &mut printed);
    assert_eq!(printed, "0044-03-15 12:00:00.25 BC");
    for text in ["", "2000-01-01", "2000-01-01 00:00:00 CE", "2000-01-01T00:00:00", "9999999-01-01 00:00:00"]
    {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn bit_strings_and_uuids_are_text() {
    let mut out = String::new();
    append_bits(&[0, 0, 0, 10, 0b1010_0101, 0b0100_0000], &mut out).unwrap();
    assert_eq!(out, "1010010101");
    assert!(append_bits(&[0, 0, 0, 10, 1], &mut out).is_err());
    assert!(append_bits(&[0xff, 0, 0, 0], &mut out).is_err());
    let mut out = String::new();
    append_uuid(&[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8], &mut out);
    assert_eq!(out, "12345678-9abc-def0-0102-030405060708");
    assert_eq!(bytea_from_text(b"\\x00ff").unwrap(), [0, 255]);
    assert!(bytea_from_text(b"\\x0").is_err() && bytea_from_text(b"00").is_err());
}

proptest! {
    #[test]
    fn days_and_dates_are_one_to_one(days in -2_440_588_i64..2_145_031_949) {
        let (year, month, day) = temporal::civil_from_days(days);
        prop_assert_eq!(temporal::days_from_civil(year, month, day), days);
        let days = i32::try_from(days).unwrap();
        let mut text = String::new();
        temporal::append_date(days, &mut text);
        prop_assert_eq!(temporal::date_from_text(text.as_bytes()).unwrap(), days);
    }

    #[test]
    fn timestamps_come_back_from_their_text(micros in -210_866_803_200_000_000_i64..9_223_371_331_200_000_000) {
        let mut text = String::new();
        temporal::append_timestamp(micros, &mut text);
        prop_assert_eq!(temporal::timestamp_from_text(text.as_bytes()).unwrap(), micros);
    }

    #[test]
    fn printed_numerics_are_what_the_digits_say(value: i128, scale in 0_u8..38) {
        let text = {
            let digits = format!("{:040}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let sign = if value < 0 { "-" } else { "" };
            if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
        };
        prop_assert_eq!(
            numeric::from_text(text.as_bytes(), scale).unwrap(),
            Scaled::Value(i256::from_i128(value))
        );
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let mut out = String::new();
        let _ = append_numeric(&bytes, &mut out);
        let _ = numeric::from_binary(&bytes, 20);
        let _ = numeric::from_text(&bytes, 20);
        let _ = append_bits(&bytes, &mut out);
        let _ = temporal::date_from_text(&bytes);
        let _ = temporal::date_from_binary(&bytes);
        let _ = temporal::time_from_text(&bytes);
        let _ = temporal::timestamp_from_text(&bytes);
        let _ = temporal::timestamp_from_binary(&bytes);
        prop_assert!(bytea_from_text(&bytes).is_ok() || !bytes.starts_with(b"\\x") || bytes.len() > 2);
    }
}
