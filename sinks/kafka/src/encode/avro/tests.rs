#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use apache_avro::types::Value as Avro;
use apache_avro::{Decimal, Schema, from_avro_datum};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, LargeBinaryArray, LargeStringArray, RecordBatch, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{BooleanBuffer, i256};
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, RowKind, RowKindSet, RowPosition, Transaction, Unavailable};

use super::*;
use crate::options::tests::settings;
use crate::plan::TablePlan;

const AVRO: [(&str, &str); 2] = [("format", "avro"), ("schema.registry.url", "http://127.0.0.1:1")];

fn cell(name: &'static str, array: impl Array + 'static) -> (&'static str, ArrayRef) {
    (name, Arc::new(array))
}

/// A table with a key `id`, and these columns that may be NULL; a row per kind.
fn batch(cells: Vec<(&'static str, ArrayRef)>, kinds: &[RowKind]) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((1..).take(kinds.len())));
    let mut columns = vec![Column::derived("id", DataType::Int64, false)];
    columns.extend(cells.iter().map(|(name, array)| Column::derived(*name, array.data_type().clone(), true)));
    let id = TableId { database: "my-shop".into(), schema: None, table: "1item".into() };
    let schema = Arc::new(TableSchema::new(id, 1, columns, vec!["id".into()], RowKindSet::ALL));
    let arrays = std::iter::once(ids).chain(cells.into_iter().map(|cell| cell.1)).collect();
    ChangeBatch {
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), arrays).unwrap(),
        schema,
        kinds: kinds.to_vec(),
        positions: kinds.iter().map(|_| RowPosition { transaction: 0, event: 0, row: 0 }).collect(),
        transactions: vec![Transaction::logged("0-1-1", None)],
        unavailable: Vec::new(),
    }
}

fn messages(more: &[(&str, &str)], batch: &ChangeBatch) -> Result<(TablePlan, Vec<Message>)> {
    let settings = settings(&[&AVRO, more].concat()).unwrap();
    let plan = TablePlan::new(&settings, &batch.schema)?;
    let mut messages = settings.encoder.messages(&plan, batch, None)?;
    let ids = Ids { key: Some(7), value: 0x0102_0304 };
    messages.iter_mut().for_each(|message| stamp(message, ids));
    Ok((plan, messages))
}

/// A record behind its five bytes, read by another implementation than ours.
fn read(schema: &str, bytes: &[u8], id: [u8; 4]) -> Vec<(String, Avro)> {
    assert_eq!((bytes[0], &bytes[1..5]), (0, id.as_slice()));
    let schema = Schema::parse_str(schema).unwrap();
    let mut rest = &bytes[5..];
    let Avro::Record(fields) = from_avro_datum(&schema, &mut rest, None).unwrap() else {
        panic!("no record")
    };
    assert!(rest.is_empty(), "{rest:?}");
    fields
}

/// The values of the only row's columns, without the key.
fn values(more: &[(&str, &str)], cells: Vec<(&'static str, ArrayRef)>) -> Vec<(String, Avro)> {
    let batch = batch(cells, &[RowKind::Insert]);
    let (plan, messages) = messages(more, &batch).unwrap();
    let bytes = messages[0].value.as_ref().unwrap();
    let mut fields = read(&plan.avro.unwrap().value, bytes, [1, 2, 3, 4]);
    assert_eq!(fields.remove(0), ("id".to_owned(), Avro::Long(1)));
    let bare = |value| match value {
        Avro::Union(1, value) => *value,
        Avro::Union(_, value) => {
            assert_eq!(*value, Avro::Null);
            Avro::Null
        }
        other => panic!("no union: {other:?}"),
    };
    fields.into_iter().map(|(name, value)| (name, bare(value))).collect()
}

fn only(array: impl Array + 'static) -> Avro {
    values(&[], vec![cell("c", array)]).remove(0).1
}

#[test]
fn numbers_are_exact() {
    assert_eq!(only(BooleanArray::from(vec![true])), Avro::Boolean(true));
    assert_eq!(only(BooleanArray::from(vec![false])), Avro::Boolean(false));
    for (array, wanted) in [
        (cell("c", Int8Array::from(vec![i8::MIN])), i32::from(i8::MIN)),
        (cell("c", Int16Array::from(vec![i16::MIN])), i32::from(i16::MIN)),
        (cell("c", Int32Array::from(vec![i32::MIN])), i32::MIN),
        (cell("c", Int32Array::from(vec![i32::MAX])), i32::MAX),
        (cell("c", UInt8Array::from(vec![u8::MAX])), i32::from(u8::MAX)),
        (cell("c", UInt16Array::from(vec![u16::MAX])), i32::from(u16::MAX)),
    ] {
        assert_eq!(values(&[], vec![array])[0].1, Avro::Int(wanted));
    }
    for wanted in [i64::MIN, -65, -64, -1, 0, 1, 63, 64, i64::MAX] {
        assert_eq!(only(Int64Array::from(vec![wanted])), Avro::Long(wanted));
    }
    assert_eq!(only(UInt32Array::from(vec![u32::MAX])), Avro::Long(u32::MAX.into()));
    assert_eq!(only(Float32Array::from(vec![0.1])), Avro::Float(0.1));
    let Avro::Double(zero) = only(Float64Array::from(vec![-0.0])) else { panic!("no double") };
    assert!(zero == 0.0 && zero.is_sign_negative());
    let Avro::Double(nan) = only(Float64Array::from(vec![f64::NAN])) else { panic!("no double") };
    assert!(nan.is_nan());
    assert_eq!(only(Int64Array::from(vec![None])), Avro::Null);
}

#[test]
fn decimals_have_as_few_bytes_as_hold_them() {
    let of = |bytes: &[u8]| Avro::Decimal(Decimal::from(bytes));
    let decimal =
        |value: i128| only(Decimal128Array::from(vec![value]).with_precision_and_scale(38, 2).unwrap());
    for (value, bytes) in [
        (0, vec![0]),
        (127, vec![127]),
        (128, vec![0, 128]),
        (-1, vec![255]),
        (-128, vec![128]),
        (-129, vec![255, 127]),
        (1250, vec![4, 226]),
    ] {
        assert_eq!(decimal(value), of(&bytes), "{value}");
    }
    let wide = i256::from_i128(i128::MIN);
    let wide = Decimal256Array::from(vec![wide]).with_precision_and_scale(65, 30).unwrap();
    assert_eq!(only(wide), of(&i128::MIN.to_be_bytes()));
    let most = [&[0][..], &u64::MAX.to_be_bytes()].concat();
    assert_eq!(only(UInt64Array::from(vec![u64::MAX])), of(&most));
    let price = Decimal128Array::from(vec![1250]).with_precision_and_scale(20, 2).unwrap();
    let text = values(&[("decimal_format", "STRING")], vec![cell("c", price)]);
    assert_eq!(text[0].1, Avro::String("12.50".into()));
    // PostgreSQL lets the point stand in front of all digits, and behind zeros.
    let small = Decimal128Array::from(vec![5]).with_precision_and_scale(5, 5).unwrap();
    assert_eq!(only(small), of(&[5]));
    let large = Decimal128Array::from(vec![5]).with_precision_and_scale(5, -2).unwrap();
    assert_eq!(only(large), Avro::String("500".into()));
}

#[test]
fn texts_bytes_and_times() {
    assert_eq!(only(StringArray::from(vec!["é"])), Avro::String("é".into()));
    assert_eq!(only(LargeStringArray::from(vec![""])), Avro::String(String::new()));
    assert_eq!(only(BinaryArray::from(vec![&[0, 255][..]])), Avro::Bytes(vec![0, 255]));
    assert_eq!(only(LargeBinaryArray::from(vec![&[1][..]])), Avro::Bytes(vec![1]));
    let fixed = FixedSizeBinaryArray::try_from_iter([[1, 2]].into_iter()).unwrap();
    assert_eq!(only(fixed), Avro::Bytes(vec![1, 2]));
    assert_eq!(only(Date32Array::from(vec![-719_162])), Avro::Date(-719_162));
    assert_eq!(only(Time64MicrosecondArray::from(vec![86_399_999_999])), Avro::TimeMicros(86_399_999_999));
    assert_eq!(only(TimestampMicrosecondArray::from(vec![-1])), Avro::LocalTimestampMicros(-1));
    assert_eq!(only(TimestampMillisecondArray::from(vec![7])), Avro::LocalTimestampMicros(7000));
    assert_eq!(only(TimestampNanosecondArray::from(vec![-7000])), Avro::LocalTimestampMicros(-7));
    let zoned = TimestampMicrosecondArray::from(vec![1_767_323_045_678_901]).with_timezone("UTC");
    assert_eq!(only(zoned), Avro::TimestampMicros(1_767_323_045_678_901));
    let long = DurationMicrosecondArray::from(vec![-3_020_399_000_001]);
    assert_eq!(only(long), Avro::String("-838:59:59.000001".into()));
}

#[test]
fn what_has_no_form_stops_by_column() {
    let failure = |array: ArrayRef| {
        let error = messages(&[], &batch(vec![("c", array)], &[RowKind::Insert])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("column=c"), "{error}");
    };
    for array in [
        cell("c", Date32Array::from(vec![i32::MAX])),
        cell("c", TimestampMicrosecondArray::from(vec![i64::MIN])),
        cell("c", TimestampMillisecondArray::from(vec![i64::MAX - 1])),
        cell("c", TimestampNanosecondArray::from(vec![1])),
    ] {
        failure(array.1);
    }
}

#[test]
fn rows_are_messages_and_a_header_says_what_happened() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let names = cell("name", StringArray::from(vec![Some("a"), Some("a"), None, None]));
    let changes = batch(vec![names], &[Insert, UpdateBefore, UpdateAfter, Delete]);
    let (plan, all) = messages(&[], &changes).unwrap();
    let kinds: Vec<Option<RowKind>> = all.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, [Some(Insert), Some(UpdateBefore), Some(UpdateAfter), Some(Delete)]);
    let avro = plan.avro.unwrap();
    assert_eq!(
        avro.key.as_deref(),
        Some(
            r#"{"type":"record","name":"Key","namespace":"my_shop._1item","fields":[{"name":"id","type":"long"}]}"#
        )
    );
    assert_eq!(
        &*avro.value,
        r#"{"type":"record","name":"Value","namespace":"my_shop._1item","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null}]}"#
    );
    assert_eq!(all[1].value.as_deref(), Some(&[0, 1, 2, 3, 4, 4, 2, 2, b'a'][..]));
    for (place, message) in all.iter().enumerate() {
        let key = read(avro.key.as_ref().unwrap(), message.key.as_ref().unwrap(), [0, 0, 0, 7]);
        assert_eq!(key, [("id".to_owned(), Avro::Long(i64::try_from(place).unwrap() + 1))]);
    }
    let (_, compacted) = messages(&[("tombstones_on_delete", "true")], &changes).unwrap();
    let values: Vec<bool> = compacted.iter().map(|message| message.value.is_some()).collect();
    assert_eq!(values, [true, true, false]);
}

#[test]
fn columns_that_are_headers_are_in_no_schema() {
    let cells = vec![cell("a-b", StringArray::from(vec!["x"])), cell("c", Int8Array::from(vec![1]))];
    let rows = batch(cells, &[RowKind::Insert]);
    let error = messages(&[], &rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("column a-b"), "{error}");
    let (plan, all) = messages(&[("kafka_headers_fields", r"a-b")], &rows).unwrap();
    assert_eq!(all[0].headers, [("a-b".to_owned(), Some("x".to_owned()))]);
    assert!(!plan.avro.unwrap().value.contains("a-b"));
}

#[test]
fn what_the_log_left_out_stops_by_column() {
    use RowKind::{Delete, UpdateAfter};
    for (kind, more, stops) in [
        (UpdateAfter, &[][..], true),
        (Delete, &[][..], true),
        (Delete, &[("tombstones_on_delete", "true")][..], false),
    ] {
        let mut rows = batch(vec![cell("name", StringArray::from(vec!["x"]))], &[kind]);
        rows.unavailable = vec![Unavailable { column: 1, rows: BooleanBuffer::from(vec![true]) }];
        match messages(more, &rows) {
            Err(error) => {
                let hint = error.hint_text().unwrap();
                assert!(stops && error.to_string().contains("column=name"), "{error}");
                assert!(hint.contains("REPLICA IDENTITY FULL"), "{hint}");
            }
            Ok((_, all)) => assert!(!stops && all[0].value.is_none()),
        }
    }
}
