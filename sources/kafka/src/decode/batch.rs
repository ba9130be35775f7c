//! Rows that were read, until they make a batch.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_buffer::{BooleanBuffer, i256};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind, RowPosition, TableSchema, Unavailable};

use super::{Cell, Row};

/// Rows of consecutive messages of one partition.
#[derive(Debug, Default)]
pub struct Rows {
    kinds: Vec<RowKind>,
    positions: Vec<RowPosition>,
    rows: Vec<Row>,
    /// Messages so far, those without a row included.
    messages: u32,
    bytes: usize,
}

impl Rows {
    pub(super) fn push_message(&mut self, found: Vec<(RowKind, Row)>) {
        for (row, (kind, cells)) in (0u32..).zip(found) {
            self.kinds.push(kind);
            self.positions.push(RowPosition { transaction: 0, event: self.messages, row });
            self.bytes += cells.iter().map(size_of_cell).sum::<usize>();
            self.rows.push(cells);
        }
        self.messages = self.messages.saturating_add(1);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether the last row is the first half of an update, whose other half is in the next message.
    pub fn ends_half_way(&self) -> bool {
        self.kinds.last() == Some(&RowKind::UpdateBefore)
    }

    /// Bytes that the rows hold.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The batch, and none of its rows here any more. `name` is its transaction's: topic, partition and
    /// first offset.
    pub fn take(&mut self, schema: &Arc<TableSchema>, name: &str) -> Result<ChangeBatch> {
        let taken = std::mem::take(self);
        let mut columns = Vec::with_capacity(schema.columns.len());
        let mut unavailable = Vec::new();
        for (at, column) in schema.columns.iter().enumerate() {
            let cells = || taken.rows.iter().map(|row| row.get(at).unwrap_or(&Cell::LeftOut));
            let array = array(&column.data_type, cells()).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "a column of a type that is not read from messages")
                    .context("table", &schema.id)
                    .context("column", &column.name)
            })?;
            columns.push(array);
            if cells().any(|cell| *cell == Cell::LeftOut) {
                let rows: BooleanBuffer = cells().map(|cell| *cell == Cell::LeftOut).collect();
                unavailable.push(Unavailable { column: at, rows });
            }
        }
        // A value that was left out is held as a NULL, in columns that take none as well.
        let fields: Vec<_> =
            schema.arrow.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let held = match unavailable.is_empty() {
            true => Arc::clone(&schema.arrow),
            false => Arc::new(arrow_schema::Schema::new(fields)),
        };
        let rows = RecordBatch::try_new(held, columns).map_err(|failed| {
            Error::new(ErrorKind::Internal, "rows of messages do not make a batch")
                .context("table", &schema.id)
                .caused_by(failed)
        })?;
        Ok(ChangeBatch {
            schema: Arc::clone(schema),
            rows,
            kinds: taken.kinds,
            positions: taken.positions,
            transactions: vec![culvert_api::Transaction::logged(name, None)],
            unavailable,
        })
    }
}

fn size_of_cell(cell: &Cell) -> usize {
    size_of::<Cell>()
        + match cell {
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
}

/// The array of a column's cells; `None` for a type that has none.
fn array<'a>(data_type: &DataType, cells: impl Iterator<Item = &'a Cell>) -> Option<ArrayRef> {
    let int = |cell: &Cell| if let Cell::Int(value) = cell { Some(*value) } else { None };
    let wide = |cell: &Cell| if let Cell::Decimal(value) = cell { Some(*value) } else { None };
    Some(match data_type {
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
        DataType::Utf8 => Arc::new(StringArray::from_iter(cells.map(|cell| match cell {
            Cell::Text(text) => Some(text.as_str()),
            _ => None,
        }))),
        DataType::Binary => Arc::new(BinaryArray::from_iter(cells.map(|cell| match cell {
            Cell::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        }))),
        _ => return None,
    })
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
