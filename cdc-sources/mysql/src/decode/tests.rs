#![allow(clippy::unwrap_used)]
//! The same value from the log and from a SELECT must become the same Arrow value.

mod broken;
mod properties;
mod updates;

use arrow_array::{Array, ArrayRef};
use arrow_cast::display::array_value_to_string;
use culvert_api::{RowKindSet, TableId, TableSchema};

use super::column_type as ty;
use super::*;
use crate::column::{Conversion, ZeroDatePolicy};
use crate::event::tests::{context, table_map_body};
use crate::event::{Event, RowsData, TableMap, kind, parse};

const POSITION: RowPosition = RowPosition { transaction: 0, event: 0, row: 0 };

pub(super) fn column(column_type: &str, charset: Option<&str>) -> MySqlColumn {
    MySqlColumn::new("c", column_type, true, charset).unwrap()
}

pub(super) fn builder(columns: &[MySqlColumn], key: &[&str], conversion: &Conversion) -> RowsBuilder {
    let shape = columns.iter().map(|column| column.to_column(conversion)).collect();
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    let schema = TableSchema::new(TableId::new("d", "t"), 1, shape, key, RowKindSet::ALL);
    RowsBuilder::new(&schema, columns, conversion).unwrap()
}

pub(super) fn table_map(body: &[u8]) -> TableMap<'_> {
    match parse(kind::TABLE_MAP, 0, body, &context()).unwrap() {
        Event::TableMap(map) => map,
        other => panic!("{other:?}"),
    }
}

pub(super) fn event(kind: RowsKind, column_count: usize, data: &[u8]) -> RowsEvent<'_> {
    RowsEvent {
        table_id: 7,
        flags: 1,
        kind,
        column_count,
        present_before: &[0xff, 0xff, 0xff, 0xff],
        present_after: &[0xff, 0xff, 0xff, 0xff],
        data: RowsData::Plain(data),
    }
}

/// One value of one column, from the log.
pub(super) fn from_log(
    column: &MySqlColumn,
    logged: (u8, &[u8]),
    value: &[u8],
    conversion: &Conversion,
) -> Result<ArrayRef> {
    let columns = std::slice::from_ref(column);
    let mut rows = builder(columns, &[], conversion);
    let body = table_map_body(&[logged], &[]);
    let decoder = RowDecoder::new(columns, &table_map(&body), 1 << 20)?;
    let mut image = vec![0];
    image.extend(value);
    assert_eq!(decoder.decode(&event(RowsKind::Write, 1, &image), &mut rows, 0, 0)?, 1);
    Ok(rows.finish().unwrap().rows.column(0).clone())
}

/// What is read behind a value that is not.
fn behind(column: &MySqlColumn, logged: (u8, &[u8]), value: &[u8]) -> String {
    let conversion = Conversion::default();
    let read = MySqlColumn::new("read", "tinyint(4)", true, None).unwrap();
    let columns = [column.clone(), read.clone(), column.clone()];
    let body = table_map_body(&[logged, (ty::TINY, &[]), logged], &[]);
    let decoder =
        RowDecoder::new(&columns, &table_map(&body), 1 << 20).unwrap().reading(&[false, true, false]);
    let mut rows = builder(&[read], &[], &conversion);
    // Once with the value before and behind, once with NULL before.
    let image = [&[0], value, &[42], value, &[1, 42], value].concat();
    assert_eq!(decoder.decode(&event(RowsKind::Write, 3, &image), &mut rows, 0, 0).unwrap(), 2);
    let read = rows.finish().unwrap().rows.column(0).clone();
    let shown = |row| array_value_to_string(&read, row).unwrap();
    assert_eq!(shown(0), shown(1));
    shown(0)
}

/// One value of one column, from a SELECT.
pub(super) fn from_select(column: &MySqlColumn, text: &[u8], conversion: &Conversion) -> Result<ArrayRef> {
    let mut rows = builder(std::slice::from_ref(column), &[], conversion);
    rows.append_text_row([Some(text)], RowKind::Insert, POSITION)?;
    Ok(rows.finish().unwrap().rows.column(0).clone())
}

/// Column type, charset, its type byte and metadata in the log, a value there, the same value in
/// the text protocol, and what people see of the Arrow value.
type Case<'a> = (&'a str, Option<&'a str>, (u8, &'a [u8]), &'a [u8], &'a [u8], &'a str);

fn check(cases: &[Case<'_>]) {
    for (column_type, charset, logged, wire, text, shown) in cases {
        let column = column(column_type, *charset);
        // The printer of these tests knows no zone by name.
        let conversion = Conversion { timestamp_zone: "+00:00".into(), ..Conversion::default() };
        let log = from_log(&column, *logged, wire, &conversion)
            .unwrap_or_else(|error| panic!("{column_type} from the log: {error}"));
        let select = from_select(&column, text, &conversion)
            .unwrap_or_else(|error| panic!("{column_type} from a select: {error}"));
        assert_eq!(&log, &select, "{column_type}");
        assert_eq!(behind(&column, *logged, wire), "42", "{column_type} is stepped over");
        assert_eq!(array_value_to_string(&log, 0).unwrap(), *shown, "{column_type}");
    }
}

#[test]
fn integers_at_their_limits() {
    check(&[
        ("tinyint(4)", None, (ty::TINY, &[]), &[0x80], b"-128", "-128"),
        ("tinyint(3) unsigned", None, (ty::TINY, &[]), &[0xff], b"255", "255"),
        ("smallint(6)", None, (ty::SHORT, &[]), &[0, 0x80], b"-32768", "-32768"),
        ("smallint(5) unsigned", None, (ty::SHORT, &[]), &[0xff, 0xff], b"65535", "65535"),
        ("mediumint(9)", None, (ty::INT24, &[]), &[0xff, 0xff, 0xff], b"-1", "-1"),
        ("mediumint(9)", None, (ty::INT24, &[]), &[0, 0, 0x80], b"-8388608", "-8388608"),
        ("mediumint(8) unsigned", None, (ty::INT24, &[]), &[0xff, 0xff, 0xff], b"16777215", "16777215"),
        ("int(11)", None, (ty::LONG, &[]), &[0, 0, 0, 0x80], b"-2147483648", "-2147483648"),
        ("int(10) unsigned zerofill", None, (ty::LONG, &[]), &[7, 0, 0, 0], b"0000000007", "7"),
        ("int unsigned", None, (ty::LONG, &[]), &[0xff; 4], b"4294967295", "4294967295"),
        (
            "bigint(20)",
            None,
            (ty::LONGLONG, &[]),
            &[0, 0, 0, 0, 0, 0, 0, 0x80],
            b"-9223372036854775808",
            "-9223372036854775808",
        ),
        (
            "bigint(20) unsigned",
            None,
            (ty::LONGLONG, &[]),
            &[0xff; 8],
            b"18446744073709551615",
            "18446744073709551615",
        ),
        ("bit(10)", None, (ty::BIT, &[2, 1]), &[0x03, 0xff], &[0x03, 0xff], "1023"),
        ("bit(64)", None, (ty::BIT, &[0, 8]), &[0xff; 8], &[0xff; 8], "18446744073709551615"),
        ("year(4)", None, (ty::YEAR, &[]), &[255], b"2155", "2155"),
        ("year(4)", None, (ty::YEAR, &[]), &[0], b"0000", "0"),
    ]);
}

#[test]
fn fractions() {
    let nines = [
        0xe3, 0x3b, 0x9a, 0xc9, 0xff, 0x3b, 0x9a, 0xc9, 0xff, 0x3b, 0x9a, 0xc9, 0xff, 0x3b, 0x9a, 0xc9, 0xff,
    ];
    check(&[
        ("float", None, (ty::FLOAT, &[4]), &1.1f32.to_le_bytes(), b"1.100000023841858", "1.1"),
        ("float", None, (ty::FLOAT, &[4]), &f32::MAX.to_le_bytes(), b"3.4028234663852886e38", "3.4028235e38"),
        ("double", None, (ty::DOUBLE, &[8]), &0.1f64.to_le_bytes(), b"0.1", "0.1"),
        (
            "double",
            None,
            (ty::DOUBLE, &[8]),
            &f64::MIN.to_le_bytes(),
            b"-1.7976931348623157e308",
            "-1.7976931348623157e308",
        ),
        ("decimal(4,2)", None, (ty::NEWDECIMAL, &[4, 2]), &[0x8c, 50], b"12.50", "12.50"),
        ("decimal(4,2)", None, (ty::NEWDECIMAL, &[4, 2]), &[!0x8c, !50], b"-12.50", "-12.50"),
        ("decimal(2,2)", None, (ty::NEWDECIMAL, &[2, 2]), &[0x7f - 99], b"-0.99", "-0.99"),
        ("decimal(10,0)", None, (ty::NEWDECIMAL, &[10, 0]), &[0x80, 0, 0, 0, 0], b"0", "0"),
        // 1234567890.1234: from the MySQL sources' own example.
        (
            "decimal(14,4)",
            None,
            (ty::NEWDECIMAL, &[14, 4]),
            &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2],
            b"1234567890.1234",
            "1234567890.1234",
        ),
        (
            "decimal(38,0)",
            None,
            (ty::NEWDECIMAL, &[38, 0]),
            &nines,
            b"99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
        ),
    ]);
    // 65 digits: 35 before the point, 30 after it.
    let mut wire = vec![0x80 | 0x05, 0xf5, 0xe0, 0xff];
    wire.extend([0x3b, 0x9a, 0xc9, 0xff].repeat(3));
    wire.extend([0x3b, 0x9a, 0xc9, 0xff].repeat(3));
    wire.extend([0x03, 0xe7]);
    let text = format!("{}.{}", "9".repeat(35), "9".repeat(30));
    check(&[("decimal(65,30)", None, (ty::NEWDECIMAL, &[65, 30]), &wire, text.as_bytes(), &text)]);
    wire.iter_mut().for_each(|byte| *byte = !*byte);
    let text = format!("-{text}");
    check(&[("decimal(65,30)", None, (ty::NEWDECIMAL, &[65, 30]), &wire, text.as_bytes(), &text)]);
}

#[test]
fn dates_and_times_at_their_limits() {
    let date = |year: u32, month: u32, day: u32| (year << 9 | month << 5 | day).to_le_bytes()[..3].to_vec();
    let datetime = |year: u64, month: u64, day: u64, h: u64, m: u64, s: u64| {
        let packed = 0x80_0000_0000 | (year * 13 + month) << 22 | day << 17 | h << 12 | m << 6 | s;
        packed.to_be_bytes()[3..].to_vec()
    };
    let with = |mut bytes: Vec<u8>, fraction: &[u8]| {
        bytes.extend(fraction);
        bytes
    };
    let last = datetime(9999, 12, 31, 23, 59, 59);
    let instant = "2038-01-19T03:14:07Z";
    check(&[
        ("date", None, (ty::DATE, &[]), &date(9999, 12, 31), b"9999-12-31", "9999-12-31"),
        ("date", None, (ty::NEWDATE, &[]), &date(1, 1, 1), b"0001-01-01", "0001-01-01"),
        ("date", None, (ty::DATE, &[]), &date(2000, 2, 29), b"2000-02-29", "2000-02-29"),
        ("datetime", None, (ty::DATETIME2, &[0]), &last, b"9999-12-31 23:59:59", "9999-12-31T23:59:59"),
        (
            "datetime(1)",
            None,
            (ty::DATETIME2, &[1]),
            &with(last.clone(), &[90]),
            b"9999-12-31 23:59:59.9",
            "9999-12-31T23:59:59.900",
        ),
        (
            "datetime(2)",
            None,
            (ty::DATETIME2, &[2]),
            &with(last.clone(), &[99]),
            b"9999-12-31 23:59:59.99",
            "9999-12-31T23:59:59.990",
        ),
        (
            "datetime(3)",
            None,
            (ty::DATETIME2, &[3]),
            &with(last.clone(), &[0x27, 0x06]),
            b"9999-12-31 23:59:59.999",
            "9999-12-31T23:59:59.999",
        ),
        (
            "datetime(4)",
            None,
            (ty::DATETIME2, &[4]),
            &with(last.clone(), &[0x27, 0x0f]),
            b"9999-12-31 23:59:59.9999",
            "9999-12-31T23:59:59.999900",
        ),
        (
            "datetime(6)",
            None,
            (ty::DATETIME2, &[6]),
            &with(last.clone(), &[0x0f, 0x42, 0x3f]),
            b"9999-12-31 23:59:59.999999",
            "9999-12-31T23:59:59.999999",
        ),
        (
            "datetime(6)",
            None,
            (ty::DATETIME2, &[6]),
            &with(datetime(1000, 1, 1, 0, 0, 0), &[0, 0, 1]),
            b"1000-01-01 00:00:00.000001",
            "1000-01-01T00:00:00.000001",
        ),
        (
            "timestamp",
            None,
            (ty::TIMESTAMP2, &[0]),
            &[0x7f, 0xff, 0xff, 0xff],
            b"2038-01-19 03:14:07",
            instant,
        ),
        (
            "timestamp(6)",
            None,
            (ty::TIMESTAMP2, &[6]),
            &[0, 0, 0, 1, 0, 0, 1],
            b"1970-01-01 00:00:01.000001",
            "1970-01-01T00:00:01.000001Z",
        ),
        (
            "timestamp",
            None,
            (ty::TIMESTAMP2, &[0]),
            &[0xff; 4],
            b"2106-02-07 06:28:15",
            "2106-02-07T06:28:15Z",
        ),
        (
            "timestamp",
            None,
            (ty::TIMESTAMP, &[]),
            &[1, 0, 0, 0],
            b"1970-01-01 00:00:01",
            "1970-01-01T00:00:01Z",
        ),
        (
            "datetime",
            None,
            (ty::DATETIME, &[]),
            &20_240_229_235_958u64.to_le_bytes(),
            b"2024-02-29 23:59:58",
            "2024-02-29T23:59:58",
        ),
    ]);
}

#[test]
fn times_keep_sign_and_days() {
    let time = |text: &str, column_type: &str, meta: u8, bytes: &[u8]| {
        let column = column(column_type, None);
        let log = from_log(&column, (ty::TIME2, &[meta]), bytes, &Conversion::default()).unwrap();
        let select = from_select(&column, text.as_bytes(), &Conversion::default()).unwrap();
        assert_eq!(&log, &select, "{text}");
        let KeyValue::Time(micros) = KeyValue::read(&log, 0).unwrap() else { panic!() };
        micros
    };
    let (hours, minutes, seconds) = (838i64, 59i64, 59i64);
    let packed = hours << 12 | minutes << 6 | seconds;
    let whole = |value: i64| (0x80_0000 + value).to_be_bytes()[5..].to_vec();
    assert_eq!(time("838:59:59", "time", 0, &whole(packed)), 3_020_399_000_000);
    assert_eq!(time("-838:59:59", "time", 0, &whole(-packed)), -3_020_399_000_000);
    assert_eq!(time("00:00:00", "time", 0, &whole(0)), 0);
    // Hundredths: the integer part is rounded towards minus infinity, the rest is its complement.
    assert_eq!(time("-00:00:00.10", "time(2)", 2, &[0x7f, 0xff, 0xff, 0xf6]), -100_000);
    assert_eq!(time("-00:00:01.00", "time(2)", 2, &[0x7f, 0xff, 0xff, 0x00]), -1_000_000);
    assert_eq!(time("-00:00:01.1", "time(1)", 1, &[0x7f, 0xff, 0xfe, 0xf6]), -1_100_000);
    assert_eq!(time("00:00:01.10", "time(2)", 2, &[0x80, 0x00, 0x01, 0x0a]), 1_100_000);
    assert_eq!(time("-00:00:00.0001", "time(4)", 4, &[0x7f, 0xff, 0xff, 0xff, 0xff]), -100);
    assert_eq!(time("-00:00:00.000001", "time(6)", 6, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]), -1);
    assert_eq!(time("00:00:00.000001", "time(6)", 6, &[0x80, 0, 0, 0, 0, 1]), 1);
    let old = from_log(
        &column("time", None),
        (ty::TIME, &[]),
        &(-8_385_959i32).to_le_bytes()[..3],
        &Conversion::default(),
    );
    assert_eq!(KeyValue::read(&old.unwrap(), 0).unwrap(), KeyValue::Time(-3_020_399_000_000));
}

#[test]
fn strings_and_bytes() {
    let wide = [0xfe ^ 0x10, 0x2c];
    check(&[
        ("char(10)", Some("latin1"), (ty::STRING, &[0xfe, 10]), b"\x02a\xe9", b"a\xe9", "aé"),
        ("char(10)", Some("utf8mb4"), (ty::STRING, &[0xfe, 40]), b"\x03a  ", b"a", "a"),
        // CHAR(75) of utf8mb4, 300 bytes: two length bytes.
        ("char(75)", Some("utf8mb4"), (ty::STRING, &wide), b"\x01\0x", b"x", "x"),
        ("varchar(10)", Some("utf8mb4"), (ty::VARCHAR, &[40, 0]), b"\x03a \t", b"a \t", "a \t"),
        ("varchar(64)", Some("utf8mb4"), (ty::VARCHAR, &[0, 1]), b"\x01\0z", b"z", "z"),
        ("varchar(10)", Some("cp1251"), (ty::VARCHAR, &[10, 0]), b"\x01\xc6", b"\xc6", "Ж"),
        ("text", Some("gbk"), (ty::BLOB, &[2]), b"\x02\0\xc4\xe3", b"\xc4\xe3", "你"),
        ("longtext", Some("utf16"), (ty::BLOB, &[4]), b"\x02\0\0\0\x20\xac", b"\x20\xac", "€"),
        ("binary(4)", None, (ty::STRING, &[0xfe, 4]), b"\x02\xff\x00", b"\xff\0\0\0", "ff000000"),
        ("binary(2)", None, (ty::STRING, &[0xfe, 2]), b"\x00", b"\0\0", "0000"),
        ("varbinary(4)", None, (ty::VARCHAR, &[4, 0]), b"\x01\x00", b"\0", "00"),
        ("tinyblob", None, (ty::BLOB, &[1]), b"\x01\x80", b"\x80", "80"),
        ("mediumblob", None, (ty::BLOB, &[3]), b"\x01\0\0\x80", b"\x80", "80"),
        ("point", None, (ty::GEOMETRY, &[4]), b"\x02\0\0\0\x01\x02", b"\x01\x02", "0102"),
        ("vector(1)", None, (ty::VECTOR, &[4]), b"\x04\0\0\0\0\0\x80\x3f", b"\0\0\x80\x3f", "0000803f"),
        ("json", None, (ty::JSON, &[4]), b"\x03\0\0\0\x05\x07\0", b"7", "7"),
        ("json", None, (ty::BLOB, &[4]), b"\x03\0\0\0\"a\"", b"\"a\"", "\"a\""),
    ]);
}

#[test]
fn labels() {
    check(&[
        ("enum('x','y,z')", Some("latin1"), (ty::STRING, &[ty::ENUM, 1]), &[2], b"y,z", "y,z"),
        ("enum('x','é')", Some("latin1"), (ty::STRING, &[ty::ENUM, 2]), &[2, 0], b"\xe9", "é"),
        ("enum('x')", Some("latin1"), (ty::STRING, &[ty::ENUM, 1]), &[0], b"", ""),
        ("set('a','b','c')", Some("utf8mb4"), (ty::STRING, &[ty::SET, 1]), &[0b101], b"a,c", "a,c"),
        ("set('a','b','c')", Some("utf8mb4"), (ty::STRING, &[ty::SET, 1]), &[0], b"", ""),
    ]);
    let unknown =
        from_log(&column("enum('x')", None), (ty::STRING, &[ty::ENUM, 1]), &[2], &Conversion::default());
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::Schema);
}

#[test]
fn network_addresses() {
    let uuid = b"\x12\x34\x56\x78\x9a\xbc\x41\x11\x82\x22\x33\x33\x33\x33\x33\x00";
    let stored = b"\x33\x33\x33\x33\x33\x00\x82\x22\x41\x11\x9a\xbc\x12\x34\x56\x78";
    let prefixed = |bytes: &[u8]| {
        let mut out = vec![u8::try_from(bytes.len()).unwrap()];
        out.extend(bytes);
        out
    };
    let text = "12345678-9abc-4111-8222-333333333300";
    let meta: &[u8] = &[0xfe, 16];
    check(&[
        ("uuid", None, (ty::STRING, meta), &prefixed(stored), text.as_bytes(), text),
        // Version 7 is stored as it is written; zeros at the end are stripped.
        (
            "uuid",
            None,
            (ty::STRING, meta),
            b"\x09\x01\x90\x00\x00\x00\x00\x70\x00\x80",
            b"01900000-0000-7000-8000-000000000000",
            "01900000-0000-7000-8000-000000000000",
        ),
        ("inet4", None, (ty::STRING, &[0xfe, 4]), b"\x03\x0a\x00\x01", b"10.0.1.0", "10.0.1.0"),
        ("inet6", None, (ty::STRING, meta), b"\x02\x20\x01", b"2001::", "2001::"),
        ("inet6", None, (ty::STRING, meta), b"\x00", b"::", "::"),
    ]);
    assert_eq!(stored.len(), uuid.len());
}

#[test]
fn dates_that_are_none_follow_the_policy() {
    let null = Conversion { zero_dates: ZeroDatePolicy::Null, ..Conversion::default() };
    type ZeroCase<'a> = (&'a str, (u8, &'a [u8]), &'a [u8], &'a [u8]);
    let cases: &[ZeroCase<'_>] = &[
        ("date", (ty::DATE, &[]), &[0, 0, 0], b"0000-00-00"),
        ("date", (ty::DATE, &[]), &(2024u32 << 9 | 1 << 5).to_le_bytes()[..3], b"2024-01-00"),
        ("date", (ty::DATE, &[]), &(2023u32 << 9 | 2 << 5 | 29).to_le_bytes()[..3], b"2023-02-29"),
        ("datetime", (ty::DATETIME2, &[0]), &[0x80, 0, 0, 0, 0], b"0000-00-00 00:00:00"),
        ("timestamp(3)", (ty::TIMESTAMP2, &[3]), &[0; 6], b"0000-00-00 00:00:00.000"),
        ("timestamp", (ty::TIMESTAMP, &[]), &[0; 4], b"0000-00-00 00:00:00"),
        ("datetime", (ty::DATETIME, &[]), &[0; 8], b"0000-00-00 00:00:00"),
    ];
    for (column_type, logged, wire, text) in cases {
        let column = MySqlColumn::new("c", *column_type, false, None).unwrap();
        assert!(from_log(&column, *logged, wire, &null).unwrap().is_null(0));
        assert!(from_select(&column, text, &null).unwrap().is_null(0));
        let fail = Conversion::default();
        assert_eq!(from_log(&column, *logged, wire, &fail).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(from_select(&column, text, &fail).unwrap_err().kind(), ErrorKind::Value);
    }
}
