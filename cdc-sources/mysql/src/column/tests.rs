#![allow(clippy::unwrap_used)]
//! Type texts as servers write them.

use super::*;

fn parse(text: &str) -> MySqlType {
    MySqlType::parse(text, Some(Charset::UTF8MB4)).unwrap()
}

fn arrow(text: &str) -> DataType {
    parse(text).data_type(&Arc::from("UTC"))
}

#[test]
fn every_family_has_its_arrow_type() {
    for (text, expected) in [
        ("tinyint(1)", DataType::Int8),
        ("tinyint(3) unsigned", DataType::UInt8),
        ("smallint", DataType::Int16),
        ("smallint(5) unsigned zerofill", DataType::UInt16),
        ("mediumint(9)", DataType::Int32),
        ("MEDIUMINT UNSIGNED", DataType::UInt32),
        ("int(11)", DataType::Int32),
        ("int unsigned", DataType::UInt32),
        ("bigint(20)", DataType::Int64),
        ("serial", DataType::UInt64),
        ("decimal(38,10)", DataType::Decimal128(38, 10)),
        ("decimal(65,30) unsigned", DataType::Decimal256(65, 30)),
        ("decimal", DataType::Decimal128(10, 0)),
        ("float(7,4)", DataType::Float32),
        ("float(30)", DataType::Float64),
        ("double precision", DataType::Float64),
        ("bit(8)", DataType::UInt64),
        ("year(4)", DataType::UInt16),
        ("date", DataType::Date32),
        ("time(3)", DataType::Duration(TimeUnit::Microsecond)),
        ("datetime(6)", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("timestamp /* mariadb-5.3 */", DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))),
        ("char(10)", DataType::Utf8),
        ("varchar(20) /*M!100301 COMPRESSED*/", DataType::Utf8),
        ("longtext", DataType::Utf8),
        ("binary(16)", DataType::Binary),
        ("mediumblob", DataType::Binary),
        ("json", DataType::Utf8),
        ("multipolygon", DataType::Binary),
        ("vector(3)", DataType::Binary),
        ("inet6", DataType::Utf8),
    ] {
        assert_eq!(arrow(text), expected, "{text}");
    }
}

#[test]
fn labels_are_unquoted() {
    let labels = |text: &str| match parse(text) {
        MySqlType::Enum { labels } | MySqlType::Set { labels } => labels,
        other => panic!("{other:?}"),
    };
    assert_eq!(labels(r"enum('a','b''c','d,e)','\\f\n','')"), ["a", "b'c", "d,e)", "\\f\n", ""]);
    assert_eq!(labels("set('x', 'é')"), ["x", "é"]);
    for broken in ["enum()", "enum('a'", "enum('a' 'b')", "enum(a)"] {
        assert!(MySqlType::parse(broken, None).is_err(), "{broken}");
    }
}

#[test]
fn the_binary_charset_makes_bytes() {
    let binary = |text| MySqlType::parse(text, Some(Charset::BINARY)).unwrap();
    assert_eq!(binary("char(7)"), MySqlType::Binary { length: 7 });
    assert_eq!(binary("varchar(7)"), MySqlType::VarBinary);
    assert_eq!(binary("text"), MySqlType::Blob);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    for text in ["hyperreal(3)", "decimal(66,1)", "time(7)", "bit(65)", "decimal(x)", ""] {
        let error = MySqlType::parse(text, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(text));
    }
    let error = MySqlColumn::new("c", "char(1)", false, Some("klingon")).unwrap_err();
    assert!(error.to_string().contains("column=c"), "{error}");
}

#[test]
fn zero_dates_as_null_make_the_column_nullable() {
    let column = MySqlColumn::new("d", "datetime", false, None).unwrap();
    let mut conversion = Conversion::default();
    assert!(!column.to_column(&conversion).nullable);
    conversion.zero_dates = ZeroDatePolicy::Null;
    assert!(column.to_column(&conversion).nullable);
    assert!(!MySqlColumn::new("i", "int", false, None).unwrap().arrow_nullable(&conversion));
}

#[test]
fn columns_are_stored_whole() {
    let column = MySqlColumn::new("e", "enum('a','b')", true, Some("latin1")).unwrap();
    let json = serde_json::to_string(&column).unwrap();
    assert_eq!(
        json,
        r#"{"name":"e","column_type":"enum('a','b')","kind":{"enum":{"labels":["a","b"]}},"nullable":true,"charset":"latin1"}"#
    );
    assert_eq!(serde_json::from_str::<MySqlColumn>(&json).unwrap(), column);
}
