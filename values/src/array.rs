//! Columns from values.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, LargeBinaryArray, LargeStringArray, ListArray, MapArray, NullArray,
    PrimitiveArray, StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, i256};
use arrow_schema::{DataType, FieldRef, Fields, TimeUnit};

use crate::Cell;

/// The array of a column's cells; a cell of another type counts as NULL. `None` for a type that has none,
/// and where a NULL stands in a map's key.
pub fn array<'a>(data_type: &DataType, mut cells: impl Iterator<Item = &'a Cell>) -> Option<ArrayRef> {
    column(data_type, &mut cells)
}

/// Types lie in one another: the iterator's own must not grow with them.
fn column(data_type: &DataType, cells: &mut dyn Iterator<Item = &Cell>) -> Option<ArrayRef> {
    let int = |cell: &Cell| if let Cell::Int(value) = cell { Some(*value) } else { None };
    let wide = |cell: &Cell| if let Cell::Decimal(value) = cell { Some(*value) } else { None };
    Some(match data_type {
        DataType::Null => Arc::new(NullArray::new(cells.count())),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(cells.map(|cell| match cell {
            Cell::Bool(value) => Some(*value),
            _ => None,
        }))),
        DataType::Int8 => ints::<Int8Type>(data_type, cells.map(int)),
        DataType::Int16 => ints::<Int16Type>(data_type, cells.map(int)),
        DataType::Int32 => ints::<Int32Type>(data_type, cells.map(int)),
        DataType::Int64 => ints::<Int64Type>(data_type, cells.map(int)),
        DataType::UInt8 => ints::<UInt8Type>(data_type, cells.map(int)),
        DataType::UInt16 => ints::<UInt16Type>(data_type, cells.map(int)),
        DataType::UInt32 => ints::<UInt32Type>(data_type, cells.map(int)),
        DataType::UInt64 => ints::<UInt64Type>(data_type, cells.map(int)),
        DataType::Date32 => ints::<Date32Type>(data_type, cells.map(int)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            ints::<TimestampMicrosecondType>(data_type, cells.map(int))
        }
        DataType::Time64(TimeUnit::Microsecond) => ints::<Time64MicrosecondType>(data_type, cells.map(int)),
        DataType::Duration(TimeUnit::Microsecond) => {
            ints::<DurationMicrosecondType>(data_type, cells.map(int))
        }
        DataType::Float32 => {
            Arc::new(PrimitiveArray::<Float32Type>::from_iter(cells.map(|cell| match cell {
                Cell::Float32(value) => Some(*value),
                _ => None,
            })))
        }
        DataType::Float64 => {
            Arc::new(PrimitiveArray::<Float64Type>::from_iter(cells.map(|cell| match cell {
                Cell::Float64(value) => Some(*value),
                _ => None,
            })))
        }
        DataType::Decimal128(_, _) => {
            let narrow = |value: i256| value.to_i128();
            let array =
                PrimitiveArray::<Decimal128Type>::from_iter(cells.map(|cell| wide(cell).and_then(narrow)));
            Arc::new(array.with_data_type(data_type.clone()))
        }
        DataType::Decimal256(_, _) => {
            let array = PrimitiveArray::<Decimal256Type>::from_iter(cells.map(wide));
            Arc::new(array.with_data_type(data_type.clone()))
        }
        DataType::Utf8 => Arc::new(StringArray::from_iter(cells.map(text))),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from_iter(cells.map(text))),
        DataType::Binary => Arc::new(BinaryArray::from_iter(cells.map(bytes))),
        DataType::LargeBinary => Arc::new(LargeBinaryArray::from_iter(cells.map(bytes))),
        DataType::List(item) => list(item, cells)?,
        DataType::Map(entries, false) => map(entries, cells)?,
        DataType::Struct(fields) => row(fields, cells)?,
        _ => return None,
    })
}

fn text(cell: &Cell) -> Option<&str> {
    if let Cell::Text(text) = cell { Some(text) } else { None }
}

fn bytes(cell: &Cell) -> Option<&[u8]> {
    if let Cell::Bytes(bytes) = cell { Some(bytes) } else { None }
}

/// Whole numbers, which were held against the type's range when they were read.
fn ints<T>(data_type: &DataType, values: impl Iterator<Item = Option<i128>>) -> ArrayRef
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let values = values.map(|value| value.and_then(|value| T::Native::try_from(value).ok()));
    let array: PrimitiveArray<T> = values.collect();
    Arc::new(array.with_data_type(data_type.clone()))
}

fn list(item: &FieldRef, cells: &mut dyn Iterator<Item = &Cell>) -> Option<ArrayRef> {
    let lists: Vec<Option<&[Cell]>> =
        cells.map(|cell| if let Cell::List(items) = cell { Some(items.as_slice()) } else { None }).collect();
    let items = column(item.data_type(), &mut lists.iter().flatten().copied().flatten())?;
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.map_or(0, <[Cell]>::len)));
    let nulls: NullBuffer = lists.iter().map(Option::is_some).collect();
    Some(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, Some(nulls)).ok()?))
}

fn map(entries: &FieldRef, cells: &mut dyn Iterator<Item = &Cell>) -> Option<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    let [key, value] = fields.iter().as_slice() else { return None };
    let maps: Vec<Option<&[(Cell, Cell)]>> =
        cells.map(|cell| if let Cell::Map(pairs) = cell { Some(pairs.as_slice()) } else { None }).collect();
    let pairs = || maps.iter().flatten().copied().flatten();
    let keys = column(key.data_type(), &mut pairs().map(|(key, _)| key))?;
    let values = column(value.data_type(), &mut pairs().map(|(_, value)| value))?;
    let offsets = OffsetBuffer::from_lengths(maps.iter().map(|map| map.map_or(0, <[_]>::len)));
    let nulls: NullBuffer = maps.iter().map(Option::is_some).collect();
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None).ok()?;
    Some(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, Some(nulls), false).ok()?))
}

fn row(fields: &Fields, cells: &mut dyn Iterator<Item = &Cell>) -> Option<ArrayRef> {
    let rows: Vec<Option<&[Cell]>> =
        cells.map(|cell| if let Cell::Row(values) = cell { Some(values.as_slice()) } else { None }).collect();
    let mut columns = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        let mut values = rows.iter().map(|row| row.and_then(|row| row.get(at)).unwrap_or(&Cell::Null));
        columns.push(column(field.data_type(), &mut values)?);
    }
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
    Some(Arc::new(StructArray::try_new(fields.clone(), columns, Some(nulls)).ok()?))
}
