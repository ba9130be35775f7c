//! Values arrive equal, or not at all.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use culvert_api::{Column, ErrorClass, RowKind, RowKindSet, SourceType};
use culvert_tests::postgres_both;

use crate::postgres::support::{lines, sink};
use crate::support::{Run, batch, failure, schema};

/// Microseconds of 9999-12-31 23:59:59.999999.
const LAST_DATETIME: i64 = 253_402_300_799_999_999;
/// Microseconds of 838:59:59.
const LAST_TIME: i64 = 3_020_399_000_000;
/// Microseconds of 4714-11-24 00:00:00 BC, the first of a timestamp.
const FIRST_TIMESTAMP: i64 = -210_866_803_200_000_000;
/// Days of 5874897-12-31, the last date.
const LAST_DATE: i32 = 2_145_042_905;

/// Source type (`my:` or `pg:` and the declaration), values, and the same values as the target prints
/// them; the last value is always NULL.
fn cases() -> Vec<(&'static str, ArrayRef, Vec<&'static str>)> {
    let decimal = |values: Vec<i128>, precision, scale| -> ArrayRef {
        let values: Vec<Option<i128>> = values.into_iter().map(Some).chain([None]).collect();
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let wide = {
        let value = ("1".repeat(35) + &"2".repeat(30)).parse().unwrap();
        Decimal256Array::from(vec![Some(value), None, None]).with_precision_and_scale(65, 30).unwrap()
    };
    let stamp =
        |values: [i64; 2]| TimestampMicrosecondArray::from(vec![Some(values[0]), Some(values[1]), None]);
    let texts = |values: [&str; 2]| -> ArrayRef {
        Arc::new(StringArray::from(vec![Some(values[0]), Some(values[1]), None]))
    };
    let long = "é'\\\n\r\t\"%_`;--漢😀\\N\u{8}";
    vec![
        (
            "my:tinyint(1)",
            Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None])),
            vec!["-128", "127"],
        ),
        (
            "my:tinyint(3) unsigned",
            Arc::new(UInt8Array::from(vec![Some(0), Some(255), None])),
            vec!["0", "255"],
        ),
        (
            "my:smallint(6)",
            Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None])),
            vec!["-32768", "32767"],
        ),
        (
            "my:smallint(5) unsigned",
            Arc::new(UInt16Array::from(vec![Some(0), Some(65_535), None])),
            vec!["0", "65535"],
        ),
        (
            "my:int(11)",
            Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None])),
            vec!["-2147483648", "2147483647"],
        ),
        (
            "my:int(10) unsigned",
            Arc::new(UInt32Array::from(vec![Some(0), Some(u32::MAX), None])),
            vec!["0", "4294967295"],
        ),
        (
            "my:bigint(20)",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
            vec!["-9223372036854775808", "9223372036854775807"],
        ),
        (
            "my:bigint(20) unsigned",
            Arc::new(UInt64Array::from(vec![Some(0), Some(u64::MAX), None])),
            vec!["0", "18446744073709551615"],
        ),
        ("my:bit(1)", Arc::new(UInt64Array::from(vec![Some(0), Some(1), None])), vec!["f", "t"]),
        ("my:bit(5)", Arc::new(UInt64Array::from(vec![Some(2), Some(31), None])), vec!["00010", "11111"]),
        (
            "my:bit(64)",
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(1 << 63), None])),
            vec![
                "1111111111111111111111111111111111111111111111111111111111111111",
                "1000000000000000000000000000000000000000000000000000000000000000",
            ],
        ),
        (
            "my:decimal(38,10)",
            decimal(vec![-1, i128::from(i64::MAX)], 38, 10),
            vec!["-0.0000000001", "922337203.6854775807"],
        ),
        (
            "my:decimal(65,30)",
            Arc::new(wide),
            vec!["11111111111111111111111111111111111.222222222222222222222222222222", "~"],
        ),
        (
            "my:float",
            Arc::new(Float32Array::from(vec![Some(f32::MIN_POSITIVE), Some(0.1), None])),
            vec!["1.1754944e-38", "0.1"],
        ),
        (
            "my:double",
            Arc::new(Float64Array::from(vec![Some(f64::MAX), Some(-0.0), None])),
            vec!["1.7976931348623157e+308", "-0"],
        ),
        ("my:year(4)", Arc::new(UInt16Array::from(vec![Some(0), Some(2155), None])), vec!["0", "2155"]),
        (
            "my:date",
            Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), None])),
            vec!["0001-01-01", "9999-12-31"],
        ),
        (
            "my:datetime(6)",
            Arc::new(stamp([-62_135_596_800_000_000, LAST_DATETIME])),
            vec!["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"],
        ),
        (
            "my:timestamp(3)",
            Arc::new(stamp([1_000, 2_147_483_647_999_000]).with_timezone("Europe/Berlin")),
            vec!["1970-01-01 00:00:00.001+00", "2038-01-19 03:14:07.999+00"],
        ),
        (
            "my:time(6)",
            Arc::new(DurationMicrosecondArray::from(vec![Some(-LAST_TIME), Some(1), None])),
            vec!["-838:59:59", "00:00:00.000001"],
        ),
        ("my:varchar(30)", texts([long, ""]), vec!["é'\\\n\r\t\"%_`;--漢😀\\N\u{8}", ""]),
        ("my:enum('a','b')", texts(["a", "b"]), vec!["a", "b"]),
        ("my:json", texts(["{\"b\": 1, \"a\": 1.00}", "null"]), vec!["{\"b\": 1, \"a\": 1.00}", "null"]),
        (
            "my:varbinary(10)",
            Arc::new(BinaryArray::from(vec![Some(&b"\0\\\xff\n\t"[..]), Some(b""), None])),
            vec!["\\x005cff0a09", "\\x"],
        ),
        ("my:inet6", texts(["::1", "ff02::1"]), vec!["::1", "ff02::1"]),
        ("pg:boolean", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), vec!["t", "f"]),
        ("pg:oid", Arc::new(UInt32Array::from(vec![Some(0), Some(u32::MAX), None])), vec!["0", "4294967295"]),
        (
            "pg:real",
            Arc::new(Float32Array::from(vec![Some(f32::NAN), Some(f32::NEG_INFINITY), None])),
            vec!["NaN", "-Infinity"],
        ),
        (
            "pg:double precision",
            Arc::new(Float64Array::from(vec![Some(f64::INFINITY), Some(f64::MIN_POSITIVE), None])),
            vec!["Infinity", "2.2250738585072014e-308"],
        ),
        (
            "pg:numeric",
            texts([
                "NaN",
                "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890.000100",
            ]),
            vec![
                "NaN",
                "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890.000100",
            ],
        ),
        (
            "pg:date",
            Arc::new(Date32Array::from(vec![Some(LAST_DATE), Some(-2_440_588), None])),
            vec!["5874897-12-31", "4714-11-24 BC"],
        ),
        (
            "pg:date",
            Arc::new(Date32Array::from(vec![Some(i32::MAX), Some(i32::MIN), None])),
            vec!["infinity", "-infinity"],
        ),
        (
            "pg:timestamp without time zone",
            Arc::new(stamp([FIRST_TIMESTAMP, i64::MAX])),
            vec!["4714-11-24 00:00:00 BC", "infinity"],
        ),
        (
            "pg:timestamp with time zone",
            Arc::new(stamp([-63_517_824_000_000_000, i64::MIN]).with_timezone("UTC")),
            vec!["0044-03-15 00:00:00+00 BC", "-infinity"],
        ),
        (
            "pg:time without time zone",
            Arc::new(Time64MicrosecondArray::from(vec![Some(86_400_000_000), Some(1), None])),
            vec!["24:00:00", "00:00:00.000001"],
        ),
        (
            "pg:time with time zone",
            texts(["24:00:00-15:59:59", "00:00:00.000001+15:59"]),
            vec!["24:00:00-15:59:59", "00:00:00.000001+15:59"],
        ),
        (
            "pg:interval",
            texts(["-178000000 years", "1 mon -3 days +04:05:06.789"]),
            vec!["-178000000 years", "1 mon -3 days +04:05:06.789"],
        ),
        ("pg:character(5)", texts(["ab   ", "     "]), vec!["ab   ", "     "]),
        ("pg:\"char\"", texts(["x", "\\201"]), vec!["x", "\\201"]),
        ("pg:name", texts(["a", ""]), vec!["a", ""]),
        ("pg:bit(3)", texts(["101", "000"]), vec!["101", "000"]),
        ("pg:bit varying(9)", texts(["", "1"]), vec!["", "1"]),
        (
            "pg:uuid",
            texts(["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"]),
            vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"],
        ),
        (
            "pg:money",
            texts(["-$92,233,720,368,547,758.08", "$0.01"]),
            vec!["-$92,233,720,368,547,758.08", "$0.01"],
        ),
        (
            "pg:text[]",
            texts(["{a,NULL,\"\\\\\",\"x\ty\"}", "[2:3]={a,\"{\"}"]),
            vec!["{a,NULL,\"\\\\\",\"x\ty\"}", "[2:3]={a,\"{\"}"],
        ),
        ("pg:int4range", texts(["[1,10)", "empty"]), vec!["[1,10)", "empty"]),
        ("pg:jsonb", texts(["{\"a\": [1, null]}", "1.10"]), vec!["{\"a\": [1, null]}", "1.10"]),
        ("pg:point", texts(["(1,2)", "(1e-300,NaN)"]), vec!["(1,2)", "(1e-300,NaN)"]),
        ("pg:tsvector", texts(["'a':1A 'b'", ""]), vec!["'a':1A 'b'", ""]),
        (
            "pg:macaddr8",
            texts(["08:00:2b:01:02:03:04:05", "00:00:00:00:00:00:00:00"]),
            vec!["08:00:2b:01:02:03:04:05", "00:00:00:00:00:00:00:00"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_their_limits_arrive_equal() {
    postgres_both(async |server| {
        let db = server.fresh_database("limits").await;
        let declared = |text: &str| match text.split_at(3) {
            ("my:", rest) => SourceType::mysql(rest),
            (_, rest) => SourceType::postgres(rest),
        };
        let mut columns = vec![Column {
            source_type: Some(SourceType::mysql("int")),
            ..Column::derived("id", arrow_schema::DataType::Int32, false)
        }];
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 2, 3]))];
        for (place, (source, array, _)) in cases().into_iter().enumerate() {
            columns.push(Column {
                name: format!("c{place}"),
                data_type: array.data_type().clone(),
                nullable: true,
                source_type: Some(declared(source)),
            });
            arrays.push(array);
        }
        // Merged through the stage, and copied straight in.
        for kinds in [RowKindSet::ALL, RowKindSet::INSERT_ONLY] {
            let table = if kinds.is_insert_only() { "log" } else { "mirror" };
            let source = schema(table, columns.clone(), &["id"], kinds);
            let sink = sink(server, &db, &[]).unwrap();
            culvert_api::Sink::forget(&sink, crate::support::JOB, crate::support::SINK).await.unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            run.deliver(batch(&source, arrays.clone(), vec![RowKind::Insert; 3])).await.unwrap();
            run.close().await;
            let client = server.client(&db).await;
            client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
            for (place, (source, _, expected)) in cases().into_iter().enumerate() {
                let query = format!("SELECT c{place} FROM {table} ORDER BY id");
                let found = culvert_tests::oracle::postgres::rows_in_order(&client, &query).await;
                let found: Vec<String> =
                    found.into_iter().map(|row| row[0].clone().unwrap_or_else(|| "~".into())).collect();
                assert_eq!(found, [expected[0], expected[1], "~"], "{source} in {table}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_stop_the_job_and_are_not_shown() {
    postgres_both(async |server| {
        let db = server.fresh_database("misfit").await;
        let decimal = Decimal128Array::from(vec![123_456]).with_precision_and_scale(10, 3).unwrap();
        let fine = TimestampMicrosecondArray::from(vec![1_234_567]);
        let cases: Vec<(&str, ArrayRef)> = vec![
            ("text", Arc::new(StringArray::from(vec!["a\0b"]))),
            ("varchar(3)", Arc::new(StringArray::from(vec!["secret"]))),
            ("varchar(3)", Arc::new(StringArray::from(vec!["sec    "]))),
            ("name", Arc::new(StringArray::from(vec!["n".repeat(64)]))),
            ("smallint", Arc::new(Int32Array::from(vec![1_000_000]))),
            ("boolean", Arc::new(Int32Array::from(vec![2]))),
            ("bit(3)", Arc::new(Int32Array::from(vec![8]))),
            ("bit(3)", Arc::new(Int32Array::from(vec![-1]))),
            ("numeric(10,2)", Arc::new(decimal)),
            ("numeric(10,2)", Arc::new(StringArray::from(vec!["1.001"]))),
            ("numeric(10,2)", Arc::new(StringArray::from(vec!["1e-5"]))),
            ("numeric(4,2)", Arc::new(Int32Array::from(vec![1_000]))),
            ("timestamp(3)", Arc::new(fine.clone())),
            ("timestamptz(0)", Arc::new(fine)),
            ("time", Arc::new(DurationMicrosecondArray::from(vec![-1]))),
            ("interval(0)", Arc::new(DurationMicrosecondArray::from(vec![1]))),
            ("date", Arc::new(Date32Array::from(vec![LAST_DATE + 1]))),
            ("json", Arc::new(StringArray::from(vec!["{secret"]))),
            ("uuid", Arc::new(StringArray::from(vec!["secret"]))),
        ];
        for (place, (declared, array)) in cases.into_iter().enumerate() {
            let table = format!("t{place}");
            server.execute(&db, &[&format!("CREATE TABLE {table} (id int PRIMARY KEY, v {declared})")]).await;
            let columns = vec![
                Column::derived("id", arrow_schema::DataType::Int32, false),
                Column::derived("v", array.data_type().clone(), true),
            ];
            let source = schema(&table, columns, &["id"], RowKindSet::ALL);
            let sink = sink(server, &db, &[("marker_table", &format!("m{place}"))]).unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let ids: ArrayRef = Arc::new(Int32Array::from(vec![1]));
            let error = failure(run.deliver(batch(&source, vec![ids, array], vec![RowKind::Insert])).await);
            run.close().await;
            assert_eq!(error.class(), ErrorClass::Data, "{declared}: {error}");
            let text = error.to_string();
            assert!(!text.contains("secret"), "{declared}: {text}");
            assert!(text.contains(&table), "{declared}: {text}");
            assert!(text.contains("`v`") || text.contains("column=v"), "{declared}: {text}");
            assert_eq!(lines(server, &db, &format!("SELECT count(*) FROM {table}")).await, ["0"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_megabytes_pass() {
    postgres_both(async |server| {
        let db = server.fresh_database("large").await;
        let columns = vec![
            Column::derived("id", arrow_schema::DataType::Int32, false),
            Column::derived("b", arrow_schema::DataType::Binary, true),
        ];
        let source = schema("w", columns, &["id"], RowKindSet::ALL);
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        let value: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let values: ArrayRef = Arc::new(BinaryArray::from(vec![Some(value.as_slice()), Some(b"x")]));
        run.deliver(batch(&source, vec![ids, values], vec![RowKind::Insert; 2])).await.unwrap();
        let found =
            lines(server, &db, "SELECT id, length(b), get_byte(b, 19999999) FROM w ORDER BY id LIMIT 1")
                .await;
        assert_eq!(found, [format!("1 20000000 {}", 19_999_999 % 251)]);
        run.close().await;
    })
    .await;
}
