//! Types and values.
#![allow(clippy::unwrap_used)]

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Decimal128Array, Decimal256Array, Int64Array, TimestampMicrosecondArray, UInt64Array};
use arrow_buffer::i256;

use super::*;

fn primitive(data_type: DataType) -> Option<PrimitiveType> {
    of(&data_type, &mut Ids(0)).and_then(|found| found.as_primitive_type().cloned())
}

#[test]
fn no_type_becomes_a_narrower_one() {
    assert_eq!(primitive(DataType::UInt32), Some(PrimitiveType::Long));
    assert_eq!(primitive(DataType::UInt64), Some(PrimitiveType::Decimal { precision: 20, scale: 0 }));
    assert_eq!(
        primitive(DataType::Decimal128(38, 10)),
        Some(PrimitiveType::Decimal { precision: 38, scale: 10 })
    );
    assert_eq!(primitive(DataType::Decimal256(65, 30)), Some(PrimitiveType::String));
    assert_eq!(primitive(DataType::Decimal128(5, -2)), Some(PrimitiveType::String));
    assert_eq!(primitive(DataType::Null), None);
    assert_eq!(primitive(DataType::Timestamp(TimeUnit::Nanosecond, None)), None);
}

#[test]
fn fields_in_one_another_have_numbers_of_their_own() {
    let item = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let row =
        DataType::Struct(vec![Field::new("a", item, true), Field::new("b", DataType::Utf8, false)].into());
    let mut ids = Ids(10);
    let Some(Type::Struct(row)) = of(&row, &mut ids) else { panic!("no row") };
    assert_eq!(
        row.fields().iter().map(|field| (field.id, field.required)).collect::<Vec<_>>(),
        [(11, false), (13, true)]
    );
    assert_eq!(ids.0, 13);
}

#[test]
fn wider_columns_take_narrower_values() {
    let decimal = |precision, scale| Type::Primitive(PrimitiveType::Decimal { precision, scale });
    let of = |primitive| Type::Primitive(primitive);
    assert!(fits(&of(PrimitiveType::Int), &of(PrimitiveType::Long)));
    assert!(!fits(&of(PrimitiveType::Long), &of(PrimitiveType::Int)));
    assert!(fits(&decimal(5, 2), &decimal(10, 2)));
    assert!(!fits(&decimal(5, 2), &decimal(10, 3)));
    assert!(!fits(&of(PrimitiveType::Timestamp), &of(PrimitiveType::Timestamptz)));
}

#[test]
fn values_keep_every_digit_or_are_refused() {
    let largest: ArrayRef = Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]));
    let field = Field::new("c", DataType::Decimal128(20, 0), true);
    let converted = convert(&largest, &field).unwrap();
    assert_eq!(converted.as_primitive::<Decimal128Type>().value(0), i128::from(u64::MAX));
    assert!(converted.is_null(1));

    let wide = i256::from_string("123456789012345678901234567890123456789012345678901234567890").unwrap();
    let wide: ArrayRef =
        Arc::new(Decimal256Array::from(vec![Some(wide)]).with_precision_and_scale(65, 2).unwrap());
    let text = convert(&wide, &Field::new("c", DataType::Utf8, true)).unwrap();
    assert_eq!(
        text.as_string::<i32>().value(0),
        "1234567890123456789012345678901234567890123456789012345678.90"
    );

    let negative: ArrayRef =
        Arc::new(Decimal128Array::from(vec![123]).with_precision_and_scale(5, -2).unwrap());
    let text = convert(&negative, &Field::new("c", DataType::Utf8, true)).unwrap();
    assert_eq!(text.as_string::<i32>().value(0), "12300");

    let duration: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![-3_020_399_000_001]));
    let count = convert(&duration, &Field::new("c", DataType::Int64, true)).unwrap();
    assert_eq!(count.as_primitive::<Int64Type>().value(0), -3_020_399_000_001);

    let here: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![5]).with_timezone("Europe/Berlin"));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let converted = convert(&here, &Field::new("c", utc.clone(), true)).unwrap();
    assert_eq!(
        (converted.data_type(), converted.to_data().buffers()[0].typed_data::<i64>()),
        (&utc, &[5][..])
    );

    let large: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX]));
    let error = convert(&large, &Field::new("c", DataType::Int32, true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert!(!error.to_string().contains("9223372036854775807"), "{error}");
}
