#![allow(clippy::unwrap_used)]
//! Binary documents made by hand, and texts as the server prints them.

use super::*;

fn text(document: &[u8]) -> String {
    let mut out = String::new();
    append_text(document, &mut out).unwrap();
    out
}

/// A small container: element types with their inline bytes or bodies.
fn small(object: bool, entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let head = 4 + entries.len() * if object { 7 } else { 3 };
    let (mut keys, mut key_bytes, mut values, mut bodies) = (vec![], vec![], vec![], vec![]);
    let keys_total: usize = if object { entries.iter().map(|(key, ..)| key.len()).sum() } else { 0 };
    for (key, value_type, bytes) in entries {
        if object {
            keys.extend(u16::try_from(head + key_bytes.len()).unwrap().to_le_bytes());
            keys.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
            key_bytes.extend(key.as_bytes());
        }
        values.push(*value_type);
        if matches!(*value_type, LITERAL | INT16 | UINT16) {
            values.extend(*bytes);
        } else {
            values.extend(u16::try_from(head + keys_total + bodies.len()).unwrap().to_le_bytes());
            bodies.extend(*bytes);
        }
    }
    let size = head + key_bytes.len() + bodies.len();
    let mut out = u16::try_from(entries.len()).unwrap().to_le_bytes().to_vec();
    out.extend(u16::try_from(size).unwrap().to_le_bytes());
    for part in [keys, values, key_bytes, bodies] {
        out.extend(part);
    }
    out
}

fn document(value_type: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![value_type];
    out.extend(bytes);
    out
}

#[test]
fn containers_and_scalars() {
    let inner = small(false, &[("", INT16, &[0xff, 0xff]), ("", LITERAL, &[0, 0]), ("", LITERAL, &[1, 0])]);
    let object = small(
        true,
        &[
            ("a", SMALL_ARRAY, &inner),
            ("bb", STRING, b"\x05x\"\\\n\x01"),
            ("c", INT64, &i64::MIN.to_le_bytes()),
            ("d", UINT64, &u64::MAX.to_le_bytes()),
            ("e", INT32, &[0, 0, 0, 0x80]),
            ("f", DOUBLE, &1.0f64.to_le_bytes()),
        ],
    );
    assert_eq!(
        text(&document(SMALL_OBJECT, &object)),
        r#"{"a": [-1, null, true], "bb": "x\"\\\n\u0001", "c": -9223372036854775808, "d": 18446744073709551615, "e": -2147483648, "f": 1.0}"#
    );
    assert_eq!(text(&document(SMALL_OBJECT, &small(true, &[]))), "{}");
    assert_eq!(text(&document(SMALL_ARRAY, &small(false, &[]))), "[]");
    assert_eq!(text(&document(LITERAL, &[2])), "false");
    assert_eq!(text(&[]), "null");
}

#[test]
fn large_containers_hold_four_byte_integers_in_place() {
    let mut large = 2u32.to_le_bytes().to_vec();
    large.extend(18u32.to_le_bytes());
    large.push(INT32);
    large.extend((-7i32).to_le_bytes());
    large.push(UINT32);
    large.extend(4_000_000_000u32.to_le_bytes());
    assert_eq!(text(&document(LARGE_ARRAY, &large)), "[-7, 4000000000]");
}

#[test]
fn doubles_as_the_server_prints_them() {
    for (value, expected) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.5, "1.5"),
        (-123.456, "-123.456"),
        (100_000_000_000_000.0, "100000000000000.0"),
        (1e15, "1e15"),
        (1_234_567_890_123_456.0, "1.234567890123456e15"),
        (12_345_678_901_234_567.0, "1.2345678901234568e16"),
        (1_234_567_890_123_456.8, "1234567890123456.8"),
        (0.001, "0.001"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (1.5e300, "1.5e300"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (0.1 + 0.2, "0.30000000000000004"),
    ] {
        let mut out = String::new();
        append_double(value, &mut out);
        assert_eq!(out, expected, "{value:e}");
        assert_eq!(out.parse::<f64>().unwrap(), value);
    }
}

fn opaque(field_type: u8, bytes: &[u8]) -> Vec<u8> {
    let mut body = vec![field_type, u8::try_from(bytes.len()).unwrap()];
    body.extend(bytes);
    document(OPAQUE, &body)
}

#[test]
fn sql_values_inside_documents() {
    // 12.50 as DECIMAL(4,2); -0.5 as DECIMAL(1,1).
    assert_eq!(text(&opaque(ty::NEWDECIMAL, &[4, 2, 0x8c, 50])), "12.50");
    assert_eq!(text(&opaque(ty::NEWDECIMAL, &[1, 1, 0x7f ^ 5])), "-0.5");
    // Declared with 66 digits, as the server does for the zeros in front of 35 nines and a half.
    let mut wide = vec![66, 30, 0x85, 0xf5, 0xe0, 0xff];
    wide.extend([0x3b, 0x9a, 0xc9, 0xff].repeat(3));
    wide.extend([0x1d, 0xcd, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(text(&opaque(ty::NEWDECIMAL, &wide)), format!("{}.5{}", "9".repeat(35), "0".repeat(29)));
    let packed = |year: i64, month: i64, day: i64, clock: i64, micros: i64| {
        ((((year * 13 + month) << 5 | day) << 17 | clock) << 24 | micros).to_le_bytes()
    };
    let clock = 23 << 12 | 59 << 6 | 58;
    assert_eq!(text(&opaque(ty::DATE, &packed(2024, 2, 29, 0, 0))), "\"2024-02-29\"");
    assert_eq!(
        text(&opaque(ty::DATETIME, &packed(2024, 2, 29, clock, 12))),
        "\"2024-02-29 23:59:58.000012\""
    );
    let time = -((838i64 << 12 | 59 << 6 | 58) << 24 | 500_000);
    assert_eq!(text(&opaque(ty::TIME, &time.to_le_bytes())), "\"-838:59:58.500000\"");
    assert_eq!(text(&opaque(ty::BLOB, b"ab")), "\"base64:type252:YWI=\"");
    assert_eq!(text(&opaque(ty::BLOB, b"")), "\"base64:type252:\"");
    assert_eq!(text(&opaque(ty::VAR_STRING, b"pl\"ain")), "\"pl\\\"ain\"");
    let long = text(&opaque(ty::BIT, &[0; 58]));
    assert_eq!(long, format!("\"base64:type16:{}\\nAA==\"", "A".repeat(76)));
}

#[test]
fn documents_that_do_not_fit_are_errors() {
    let good = document(SMALL_OBJECT, &small(true, &[("a", STRING, b"\x01x")]));
    assert_eq!(text(&good), "{\"a\": \"x\"}");
    for length in 1..good.len() {
        assert!(append_text(&good[..length], &mut String::new()).is_err(), "{length}");
    }
    for bad in
        [&[99][..], &[LITERAL, 9], &[STRING, 0x80, 0x80, 0x80, 0x80, 0x80], &[STRING, 1, 0xff], &[INT64, 1]]
    {
        assert!(append_text(bad, &mut String::new()).is_err(), "{bad:?}");
    }
}

#[test]
fn nesting_and_overlap_are_bounded() {
    let mut nested = vec![INT16, 1, 0];
    for level in 1..=101 {
        let body = nested.split_first().map(|(value_type, bytes)| (*value_type, bytes.to_vec())).unwrap();
        nested = document(SMALL_ARRAY, &small(false, &[("", body.0, &body.1)]));
        assert_eq!(append_text(&nested, &mut String::new()).is_ok(), level <= 100, "{level}");
    }
    // Every element of every level is the same array one level below: two to the power of ninety.
    let mut bomb = vec![0u8; 0];
    for level in 0..90u16 {
        let next = (level + 1) * 10;
        bomb.extend(2u16.to_le_bytes());
        bomb.extend((900 - level * 10).to_le_bytes());
        for _ in 0..2 {
            bomb.push(SMALL_ARRAY);
            bomb.extend((next - level * 10).to_le_bytes());
        }
    }
    let error = append_text(&document(SMALL_ARRAY, &bomb), &mut String::new());
    assert!(error.is_err());
}
