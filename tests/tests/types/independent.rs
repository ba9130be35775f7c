//! The same log file read by another reader, `mysql_cdc`: the same rows, kinds and order.
//!
//! Only types it reads without loss: no text outside UTF-8, no negative TIME, milliseconds.

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, UInt16Type, UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{RowKind, RowKindSet, TableId, TableSchema};
use culvert_source_mysql::column::{Conversion, MySqlColumn, MySqlType};
use culvert_source_mysql::decode::{RowDecoder, RowsBuilder};
use culvert_source_mysql::event::{
    ChecksumAlgorithm, Event, FormatDescription, ParseContext, parse, split, verify_checksum,
};
use culvert_tests::random::generator;
use culvert_tests::{Flavor, Server, ServerOptions, seed};
use mysql_cdc::binlog_reader::BinlogReader;
use mysql_cdc::events::binlog_event::BinlogEvent;
use mysql_cdc::events::row_events::mysql_value::MySqlValue;
use mysql_cdc::events::row_events::row_data::RowData;
use rand::Rng;
use rand::rngs::StdRng;

use super::job::{conn, run};
use super::log_file;

/// The most bytes of a compressed event.
const EXPANDED_MAX: usize = 1 << 26;
/// Statements of the random history.
const STATEMENTS: usize = 400;
const DATABASE: &str = "independent";

/// Kind and values of a row, as text that both readers' values can be brought to.
type Change = (RowKind, Vec<Option<String>>);

const COLUMNS: &str = "id INT PRIMARY KEY, i8 TINYINT, i16 SMALLINT, i24 MEDIUMINT, i64 BIGINT, u64 BIGINT UNSIGNED, \
    f FLOAT, d DOUBLE, de DECIMAL(30,10), b BIT(33), y YEAR, da DATE, ti TIME, t3 TIME(3), dt DATETIME, dt3 DATETIME(3), \
    ts TIMESTAMP NULL, ts3 TIMESTAMP(3) NULL, ch CHAR(80), vc VARCHAR(20), long_vc VARCHAR(400), en ENUM('a','b','é'), \
    se SET('a','b','c'), tx TEXT CHARACTER SET utf8mb4, bl LONGBLOB";

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_log_reads_the_same() {
    reads_the_same(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_log_reads_the_same() {
    reads_the_same(Flavor::MySql).await;
}

async fn reads_the_same(flavor: Flavor) {
    let server = Server::start(flavor, ServerOptions::default()).await;
    let mut conn = conn(&server).await;
    run(&mut conn, &format!("CREATE DATABASE {DATABASE}")).await;
    run(&mut conn, &format!("USE {DATABASE}")).await;
    run(&mut conn, &format!("CREATE TABLE t ({COLUMNS}) CHARSET utf8mb4")).await;
    let mut random = generator(seed());
    for _ in 0..STATEMENTS {
        run(&mut conn, &statement(&mut random)).await;
    }
    run(&mut conn, "FLUSH BINARY LOGS").await;
    let columns = log_file::columns(&mut conn, DATABASE, "t").await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for file in log_file::files(&server) {
        ours.extend(our_changes(&file, &columns));
        theirs.extend(their_changes(&file, &columns));
    }
    assert!(theirs.len() > STATEMENTS, "only {} rows", theirs.len());
    for (place, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(our.0, their.0, "row {place}");
        for (column, (a, b)) in columns.iter().zip(our.1.iter().zip(&their.1)) {
            assert_eq!(a, b, "row {place} column {} {}", column.name, column.column_type);
        }
    }
    assert_eq!(ours.len(), theirs.len());
}

fn statement(random: &mut StdRng) -> String {
    let id = random.random_range(0..60);
    match random.random_range(0..10) {
        0..=4 => {
            let rows: Vec<String> = (0..random.random_range(1..4)).map(|_| row(random)).collect();
            format!("REPLACE INTO t VALUES {}", rows.join(", "))
        }
        5 | 6 => format!(
            "UPDATE t SET i8 = NULL, vc = CONCAT(LEFT(vc, 10), 'é'), d = d / 3, i24 = -i24 WHERE id >= {id} LIMIT 4"
        ),
        7 => format!("UPDATE IGNORE t SET id = id + 100 WHERE id = {id}"),
        8 => format!("DELETE FROM t WHERE id BETWEEN {id} AND {}", id + 3),
        _ => format!("DELETE FROM t WHERE id > 60 AND id % 3 = {}", id % 3),
    }
}

/// The values of a row; each NULL now and then.
fn row(random: &mut StdRng) -> String {
    let (low, high) = (random.random::<i64>(), random.random::<u64>());
    let real = random.random_range(-1e9..1e9_f64);
    let time = format!("{:02}:{:02}:{:02}.{:03}", high % 839, high % 60, high % 59, high % 1000);
    let date = format!("{:04}-{:02}-{:02}", 1000 + high % 9000, 1 + high % 12, 1 + high % 28);
    let stamp = format!(
        "{:04}-{:02}-{:02} 12:{:02}:{:02}.{:03}",
        1971 + high % 60,
        1 + high % 12,
        1 + high % 28,
        high % 60,
        high % 57,
        high % 1000
    );
    let word = ["", "a", "é", "漢字", "😀 x"][(high % 5) as usize];
    let whole = |text: &str| text.split('.').next().unwrap_or_default().to_string();
    let values = [
        format!("{}", low as i8),
        format!("{}", low as i16),
        format!("{}", (low as i32) >> 8),
        low.to_string(),
        high.to_string(),
        format!("{:e}", real as f32),
        format!("{real:e}"),
        format!("{}.{:010}", low / 1_000_000, high % 10_000_000_000),
        (high >> 31).to_string(),
        (1901 + high % 250).to_string(),
        format!("'{date}'"),
        format!("'{}'", whole(&time)),
        format!("'{time}'"),
        format!("'{date} {}'", "23:59:59"),
        format!("'{date} 01:02:03.{:03}'", high % 1000),
        format!("'{}'", whole(&stamp)),
        format!("'{stamp}'"),
        format!("'{word}'"),
        format!("'{word}{word}'"),
        format!("REPEAT('{word}', {})", high % 80),
        (1 + high % 3).to_string(),
        (high % 8).to_string(),
        format!("REPEAT('{word}', {})", high % 500),
        format!("UNHEX(REPEAT('{:02x}', {}))", high % 256, high % 600),
    ];
    let values: Vec<String> = values
        .into_iter()
        .map(|value| if random.random_range(0..8) == 0 { "NULL".into() } else { value })
        .collect();
    format!("({}, {})", random.random_range(0..60), values.join(", "))
}

/// What our modules make of the file.
fn our_changes(file: &Path, columns: &[MySqlColumn]) -> Vec<Change> {
    let conversion = Conversion::default();
    let shape = columns.iter().map(|column| column.to_column(&conversion)).collect();
    let schema = TableSchema::new(TableId::new(DATABASE, "t"), 1, shape, vec!["id".into()], RowKindSet::ALL);
    let mut builder = RowsBuilder::new(&schema, columns, &conversion).expect("one schema");
    let mut context = ParseContext { format: FormatDescription::assumed(), expanded_bytes_max: EXPANDED_MAX };
    let mut checksum = ChecksumAlgorithm::None;
    let mut decoder: Option<(u64, RowDecoder)> = None;
    let bytes = std::fs::read(file).expect("the log is readable");
    for (number, whole) in (0..).zip(log_file::events(&bytes)) {
        let raw = split(&whole, checksum).expect("a whole event");
        checksum = raw.checksum.unwrap_or(checksum);
        assert!(verify_checksum(&whole), "event {number} of type {}", raw.header.event_type);
        match parse(raw.header.event_type, raw.header.flags, raw.body, &context).expect("a known event") {
            Event::FormatDescription(format) => context.format = format,
            Event::TableMap(map) if map.schema == DATABASE => {
                let made = RowDecoder::new(columns, &map, EXPANDED_MAX).expect("the table's columns");
                decoder = Some((map.table_id, made));
            }
            Event::Rows(rows) => {
                let (_, decoder) =
                    decoder.as_ref().filter(|(id, _)| *id == rows.table_id).expect("our only table");
                decoder.decode(&rows, &mut builder, 0, number).expect("rows decode");
            }
            Event::Unknown(kind) => panic!("event {number} of type {kind} is unknown"),
            _ => {}
        }
    }
    let finished = builder.finish().expect("an Arrow batch");
    let values =
        |row: usize| (0..columns.len()).map(|column| our_value(&finished.rows, column, row)).collect();
    finished.kinds.iter().enumerate().map(|(row, kind)| (*kind, values(row))).collect()
}

fn our_value(rows: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = rows.column(column).as_ref();
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).to_bits().to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_bits().to_string(),
        DataType::Decimal128(_, _) => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Duration(TimeUnit::Microsecond) => {
            array.as_primitive::<DurationMicrosecondType>().value(row).to_string()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().value(row).to_string()
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_string(),
        DataType::Binary => format!("{:?}", array.as_binary::<i32>().value(row)),
        other => panic!("{other} is not compared"),
    })
}

/// What the other reader makes of it.
fn their_changes(file: &Path, columns: &[MySqlColumn]) -> Vec<Change> {
    let reader = BinlogReader::new(File::open(file).expect("the log is readable")).expect("a log file");
    let row = |data: &RowData| -> Vec<Option<String>> {
        data.cells
            .iter()
            .zip(columns)
            .map(|(cell, column)| cell.as_ref().map(|cell| their_value(cell, column)))
            .collect()
    };
    let mut changes = Vec::new();
    for event in reader {
        match event.expect("it reads these types").1 {
            BinlogEvent::WriteRowsEvent(event) => {
                changes.extend(event.rows.iter().map(|data| (RowKind::Insert, row(data))));
            }
            BinlogEvent::DeleteRowsEvent(event) => {
                changes.extend(event.rows.iter().map(|data| (RowKind::Delete, row(data))));
            }
            BinlogEvent::UpdateRowsEvent(event) => {
                for update in &event.rows {
                    let (before, after) = (row(&update.before_update), row(&update.after_update));
                    let kinds = if before[0] == after[0] {
                        [RowKind::UpdateBefore, RowKind::UpdateAfter]
                    } else {
                        [RowKind::Delete, RowKind::Insert]
                    };
                    changes.push((kinds[0], before));
                    changes.push((kinds[1], after));
                }
            }
            _ => {}
        }
    }
    changes
}

fn their_value(value: &MySqlValue, column: &MySqlColumn) -> String {
    let seconds = |hour: i64, minute: u8, second: u8, millis: u32| {
        ((hour * 60 + i64::from(minute)) * 60 + i64::from(second)) * 1_000_000 + i64::from(millis) * 1_000
    };
    let days = |year: u16, month: u8, day: u8| {
        let date = chrono::NaiveDate::from_ymd_opt(year.into(), month.into(), day.into()).expect("a date");
        (date - chrono::NaiveDate::default()).num_days()
    };
    // Whole numbers come without a sign.
    let unsigned = matches!(column.kind, MySqlType::Int { unsigned: true, .. });
    match value {
        MySqlValue::TinyInt(number) => number.cast_signed().to_string(),
        MySqlValue::SmallInt(number) => number.cast_signed().to_string(),
        MySqlValue::MediumInt(number) => ((number << 8).cast_signed() >> 8).to_string(),
        MySqlValue::Int(number) => number.cast_signed().to_string(),
        MySqlValue::BigInt(number) if unsigned => number.to_string(),
        MySqlValue::BigInt(number) => number.cast_signed().to_string(),
        MySqlValue::Float(number) => number.to_bits().to_string(),
        MySqlValue::Double(number) => number.to_bits().to_string(),
        // All digits, as a whole number.
        MySqlValue::Decimal(text) => text.replace('.', "").parse::<i128>().expect("digits").to_string(),
        MySqlValue::String(text) => text.clone(),
        MySqlValue::Bit(bits) => {
            bits.iter().fold(0_u64, |number, bit| number << 1 | u64::from(*bit)).to_string()
        }
        MySqlValue::Enum(number) => match &column.kind {
            MySqlType::Enum { labels } => labels[*number as usize - 1].clone(),
            other => panic!("{other:?} is no enum"),
        },
        MySqlValue::Set(bits) => match &column.kind {
            MySqlType::Set { labels } => {
                let chosen = labels.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
                chosen.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(",")
            }
            other => panic!("{other:?} is no set"),
        },
        MySqlValue::Blob(bytes) if column.charset.is_some() => {
            String::from_utf8(bytes.clone()).expect("utf8mb4")
        }
        MySqlValue::Blob(bytes) => format!("{bytes:?}"),
        MySqlValue::Year(year) => year.to_string(),
        MySqlValue::Date(date) => days(date.year, date.month, date.day).to_string(),
        MySqlValue::Time(time) => {
            seconds(time.hour.into(), time.minute, time.second, time.millis).to_string()
        }
        MySqlValue::DateTime(at) => {
            let day = days(at.year, at.month, at.day) * 86_400_000_000;
            (day + seconds(at.hour.into(), at.minute, at.second, at.millis)).to_string()
        }
        MySqlValue::Timestamp(millis) => (millis * 1000).to_string(),
    }
}
