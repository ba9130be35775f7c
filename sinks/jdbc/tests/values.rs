//! Values arrive equal, or not at all.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use culvert_api::{Column, ErrorClass, RowKind, RowKindSet, SourceType};
use culvert_tests::both;

use crate::support::{Run, batch, failure, schema, sink, texts};

/// Microseconds of 2038-01-19 03:14:07.999999 UTC, the end of `timestamp`.
const LAST_TIMESTAMP: i64 = 2_147_483_647_999_999;
/// Microseconds of 9999-12-31 23:59:59.999999.
const LAST_DATETIME: i64 = 253_402_300_799_999_999;
/// Microseconds of 0001-01-01 00:00:00.
const FIRST_DATETIME: i64 = -62_135_596_800_000_000;
/// Microseconds of 838:59:59.
const LAST_TIME: i64 = 3_020_399_000_000;

/// Name, source type, values, and the same values as literals written by hand; the last value is
/// always NULL.
fn cases() -> Vec<(&'static str, &'static str, ArrayRef, Vec<&'static str>)> {
    let decimal = |values: Vec<i128>, precision, scale| -> ArrayRef {
        let values: Vec<Option<i128>> = values.into_iter().map(Some).chain([None]).collect();
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let wide = {
        let digits = "1".repeat(35) + &"2".repeat(30);
        let value = digits.parse().unwrap();
        Decimal256Array::from(vec![Some(value), None]).with_precision_and_scale(65, 30).unwrap()
    };
    let berlin =
        TimestampMicrosecondArray::from(vec![Some(1_774_746_000_000_000), Some(1_774_745_999_000_000), None])
            .with_timezone("Europe/Berlin");
    let utc = TimestampMicrosecondArray::from(vec![Some(1_000_000), Some(LAST_TIMESTAMP), None])
        .with_timezone("UTC");
    let long = "é'\\\n\0\"%_`;--漢😀";
    vec![
        (
            "bo",
            "tinyint(1)",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            vec!["1", "0"],
        ),
        (
            "i8",
            "tinyint(4)",
            Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None])),
            vec!["-128", "127"],
        ),
        (
            "i16",
            "smallint(6)",
            Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None])),
            vec!["-32768", "32767"],
        ),
        (
            "i24",
            "mediumint(9)",
            Arc::new(Int32Array::from(vec![Some(-8_388_608), Some(8_388_607), None])),
            vec!["-8388608", "8388607"],
        ),
        (
            "i32",
            "int(11)",
            Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None])),
            vec!["-2147483648", "2147483647"],
        ),
        (
            "i64",
            "bigint(20)",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
            vec!["-9223372036854775808", "9223372036854775807"],
        ),
        (
            "u8",
            "tinyint(3) unsigned",
            Arc::new(UInt8Array::from(vec![Some(0), Some(u8::MAX), None])),
            vec!["0", "255"],
        ),
        (
            "u16",
            "smallint(5) unsigned",
            Arc::new(UInt16Array::from(vec![Some(0), Some(u16::MAX), None])),
            vec!["0", "65535"],
        ),
        (
            "u32",
            "int(10) unsigned zerofill",
            Arc::new(UInt32Array::from(vec![Some(0), Some(u32::MAX), None])),
            vec!["0", "4294967295"],
        ),
        (
            "u64",
            "bigint(20) unsigned",
            Arc::new(UInt64Array::from(vec![Some(0), Some(u64::MAX), None])),
            vec!["0", "18446744073709551615"],
        ),
        (
            "f32",
            "float",
            Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::MAX), None])),
            vec!["0.1", "3.4028234663852886e38"],
        ),
        (
            "f64",
            "double",
            Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::MAX), None])),
            vec!["0.1", "1.7976931348623157e308"],
        ),
        ("de", "decimal(38,4)", decimal(vec![-1, 123_456], 38, 4), vec!["-0.0001", "12.3456"]),
        (
            "dw",
            "decimal(65,30)",
            Arc::new(wide),
            vec!["11111111111111111111111111111111111.222222222222222222222222222222"],
        ),
        (
            "bi",
            "bit(64)",
            Arc::new(UInt64Array::from(vec![Some(1), Some(u64::MAX), None])),
            vec!["b'1'", "18446744073709551615"],
        ),
        (
            "ye",
            "year(4)",
            Arc::new(UInt16Array::from(vec![Some(1901), Some(2155), None])),
            vec!["1901", "2155"],
        ),
        (
            "ch",
            "char(9)",
            Arc::new(StringArray::from(vec![Some("it's"), Some(""), None])),
            vec!["'it''s'", "''"],
        ),
        (
            "vc",
            "varchar(50)",
            Arc::new(StringArray::from(vec![Some(long), Some("trailing  "), None])),
            vec!["'é''\\\\\\n\\0\"%_`;--漢😀'", "'trailing  '"],
        ),
        (
            "tx",
            "longtext",
            Arc::new(StringArray::from(vec![Some(long), Some(""), None])),
            vec!["'é''\\\\\\n\\0\"%_`;--漢😀'", "''"],
        ),
        (
            "en",
            "enum('a','it''s')",
            Arc::new(StringArray::from(vec![Some("it's"), Some("a"), None])),
            vec!["2", "1"],
        ),
        (
            "se",
            "set('x','y')",
            Arc::new(StringArray::from(vec![Some("x,y"), Some(""), None])),
            vec!["3", "''"],
        ),
        (
            "js",
            "json",
            Arc::new(StringArray::from(vec![Some("{\"a\": \"\\\"é\"}"), Some("[1, 2]"), None])),
            vec!["'{\"a\": \"\\\\\"é\"}'", "'[1, 2]'"],
        ),
        (
            "vb",
            "varbinary(20)",
            Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff'\\\xc3"[..]), Some(b""), None])),
            vec!["x'00ff275cc3'", "''"],
        ),
        (
            "bn",
            "binary(4)",
            Arc::new(BinaryArray::from(vec![Some(&b"ab\0\0"[..]), Some(b"\xff\xff\xff\xff"), None])),
            vec!["x'61620000'", "x'ffffffff'"],
        ),
        (
            "bl",
            "longblob",
            Arc::new(BinaryArray::from(vec![Some(&b"\x1a\x00'"[..]), Some(b"x"), None])),
            vec!["x'1a0027'", "'x'"],
        ),
        (
            "ge",
            "point",
            Arc::new(BinaryArray::from(vec![
                Some(&b"\0\0\0\0\x01\x01\0\0\0\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40"[..]),
                None,
                None,
            ])),
            vec!["ST_GeomFromText('POINT(1 2)')", "NULL"],
        ),
        (
            "da",
            "date",
            Arc::new(Date32Array::from(vec![Some(2_932_896), Some(-719_162), None])),
            vec!["'9999-12-31'", "'0001-01-01'"],
        ),
        (
            "dt",
            "datetime(6)",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(LAST_DATETIME), Some(FIRST_DATETIME), None])),
            vec!["'9999-12-31 23:59:59.999999'", "'0001-01-01 00:00:00'"],
        ),
        (
            "d0",
            "datetime",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(-1_000_000), None])),
            vec!["'1970-01-01 00:00:00'", "'1969-12-31 23:59:59'"],
        ),
        ("dz", "datetime(3)", Arc::new(berlin), vec!["'2026-03-29 03:00:00'", "'2026-03-29 01:59:59'"]),
        ("ts", "timestamp(6)", Arc::new(utc), vec!["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'"]),
        (
            "ti",
            "time(6)",
            Arc::new(DurationMicrosecondArray::from(vec![Some(LAST_TIME), Some(-1), None])),
            vec!["'838:59:59'", "'-00:00:00.000001'"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_the_limits_of_every_type_are_stored_as_by_hand() {
    both(async |server| {
        let db = server.fresh_database("limits").await;
        for (name, declared, values, by_hand) in cases() {
            let column = Column {
                name: "v".into(),
                data_type: values.data_type().clone(),
                nullable: true,
                source_type: Some(SourceType::mysql(declared)),
            };
            let id = Column {
                name: "id".into(),
                data_type: arrow_schema::DataType::Int32,
                nullable: false,
                source_type: Some(SourceType::mysql("int")),
            };
            let source = schema(name, vec![id, column], &["id"], RowKindSet::ALL);
            let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..values.len() as i32));
            let sink = sink(server, &db, &[("tablePrefix", "t_")]).unwrap();
            culvert_api::Sink::forget(&sink, crate::support::JOB, crate::support::SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let count = values.len();
            run.deliver(batch(&source, vec![ids, values], vec![RowKind::Insert; count]))
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            run.close().await;
            server.execute(&[&format!("CREATE TABLE {db}.e_{name} LIKE {db}.t_{name}")]).await;
            let mut hand = vec!["SET time_zone = '+00:00'".to_string()];
            for (row, literal) in by_hand.iter().chain(["NULL"].iter()).enumerate() {
                hand.push(format!("INSERT INTO {db}.e_{name} VALUES ({row}, {literal})"));
            }
            let hand: Vec<&str> = hand.iter().map(String::as_str).collect();
            server.execute(&hand).await;
            // JSON has no bytes of its own on MySQL; everything else is compared byte for byte.
            let shown = if declared == "json" { "CAST(v AS CHAR)" } else { "HEX(v)" };
            let read = |table: &str| {
                format!("SELECT COALESCE({shown}, 'NULL') FROM {db}.{table}_{name} ORDER BY id")
            };
            let (stored, expected) = (texts(server, &read("t")).await, texts(server, &read("e")).await);
            assert_eq!(stored, expected, "{name} {declared}");
            assert_eq!(stored.len(), count, "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_an_error_without_the_value() {
    both(async |server| {
        let db = server.fresh_database("misfit").await;
        let cases: Vec<(&str, &str, ArrayRef)> = vec![
            ("range", "tinyint", Arc::new(Int32Array::from(vec![4711]))),
            ("length", "varchar(3)", Arc::new(StringArray::from(vec!["s3cret"]))),
            ("blanks", "varchar(3)", Arc::new(StringArray::from(vec!["abc   "]))),
            ("charset", "varchar(9) character set latin1", Arc::new(StringArray::from(vec!["s3cret漢"]))),
            ("label", "enum('a')", Arc::new(StringArray::from(vec!["s3cret"]))),
            ("number", "int", Arc::new(StringArray::from(vec!["s3cret"]))),
            ("fraction", "datetime", Arc::new(TimestampMicrosecondArray::from(vec![4711]))),
            (
                "scale",
                "decimal(10,1)",
                Arc::new(Decimal128Array::from(vec![4711]).with_precision_and_scale(10, 2).unwrap()),
            ),
            ("infinite", "double", Arc::new(Float64Array::from(vec![f64::INFINITY]))),
            ("late", "date", Arc::new(Date32Array::from(vec![i32::MAX]))),
            ("long", "time", Arc::new(DurationMicrosecondArray::from(vec![4_000_000_000_000_i64]))),
            (
                "early",
                "timestamp",
                Arc::new(TimestampMicrosecondArray::from(vec![-86_400_000_000_i64]).with_timezone("UTC")),
            ),
            (
                "bytes",
                "varchar(9) character set utf8mb4",
                Arc::new(BinaryArray::from(vec![&b"\xff\xfe"[..]])),
            ),
        ];
        for (name, declared, values) in cases {
            server.execute(&[&format!("CREATE TABLE {db}.{name} (v {declared})")]).await;
            let column = Column::derived("v", values.data_type().clone(), true);
            let source = schema(name, vec![column], &[], RowKindSet::INSERT_ONLY);
            let sink = sink(server, &db, &[]).unwrap();
            culvert_api::Sink::forget(&sink, crate::support::JOB, crate::support::SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let error = failure(run.deliver(batch(&source, vec![values], vec![RowKind::Insert])).await);
            assert_eq!(error.class(), ErrorClass::Data, "{name}: {error}");
            let text = error.to_string();
            assert!(text.contains(name), "{text}");
            assert!(!text.contains("s3cret") && !text.contains("4711"), "{text}");
            run.close().await;
            let stored = texts(server, &format!("SELECT COUNT(*) FROM {db}.{name}")).await;
            assert_eq!(stored, ["0"], "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_would_lose_values_are_refused_at_start() {
    both(async |server| {
        let db = server.fresh_database("lossy").await;
        server
            .execute(&[&format!("CREATE TABLE {db}.f (v float)"), &format!("CREATE TABLE {db}.i (v int)")])
            .await;
        for table in ["f", "i"] {
            let column = Column::derived("v", arrow_schema::DataType::Float64, true);
            let source = schema(table, vec![column], &[], RowKindSet::INSERT_ONLY);
            let sink = sink(server, &db, &[]).unwrap();
            culvert_api::Sink::forget(&sink, crate::support::JOB, crate::support::SINK).await.unwrap();
            let error = failure(Run::start(&sink, &[source]).await);
            assert!(error.to_string().contains("rounded"), "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_megabytes_pass() {
    both(async |server| {
        let db = server.fresh_database("large").await;
        let column = Column::derived("v", arrow_schema::DataType::Utf8, true);
        let source = schema("t", vec![column], &[], RowKindSet::INSERT_ONLY);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        let sizes = [1, 3_000_000, 5_000_000, 7, 9_000_000];
        let texts_of: Vec<String> =
            sizes.iter().map(|size| "'".repeat(*size / 2) + &"x".repeat(size - size / 2)).collect();
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(texts_of.iter()));
        run.deliver(batch(&source, vec![values], vec![RowKind::Insert; 5])).await.unwrap();
        run.close().await;
        let found = texts(server, &format!("SELECT LENGTH(v) FROM {db}.t ORDER BY 1 + LENGTH(v)")).await;
        assert_eq!(found, ["1", "7", "3000000", "5000000", "9000000"]);
    })
    .await;
}
