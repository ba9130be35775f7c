//! Which Iceberg type a column gets, and its values in that type.
//!
//! Lossless or refused, as everywhere: a type that Iceberg lacks becomes a wider one (unsigned numbers, decimals
//! of more than 38 digits as texts), never a narrower one. The table is in `docs/iceberg.md`.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, DurationMicrosecondArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, TimeUnit};
use culvert_api::{Column, Error, ErrorKind, Result, TableId};
use iceberg::spec::{ListType, MapType, NestedField, PrimitiveType, StructType, Type};

/// Digits of a decimal at most (table spec, "Primitive Types").
const DECIMAL_DIGITS_MAX: u8 = 38;

/// Gives numbers to fields.
#[derive(Debug)]
pub(crate) struct Ids(pub(crate) i32);

impl Ids {
    pub(crate) fn next(&mut self) -> i32 {
        self.0 += 1;
        self.0
    }
}

/// The type of a column that is made.
pub(crate) fn of_column(table: &TableId, column: &Column, ids: &mut Ids) -> Result<Type> {
    of(&column.data_type, ids).ok_or_else(|| {
        let what = format!("a table of Iceberg cannot hold the type {}", column.data_type);
        Error::new(ErrorKind::Unsupported, what)
            .context("table", table)
            .context("column", &column.name)
            .hint("leave the column out, or make it a text in front of the sink, with the transform Sql")
    })
}

fn of(data_type: &DataType, ids: &mut Ids) -> Option<Type> {
    let primitive = match data_type {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            PrimitiveType::Int
        }
        // A duration is a count of microseconds.
        DataType::Int64 | DataType::UInt32 | DataType::Duration(TimeUnit::Microsecond) => PrimitiveType::Long,
        DataType::UInt64 => PrimitiveType::Decimal { precision: 20, scale: 0 },
        DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            match u32::try_from(*scale) {
                Ok(scale) if *precision <= DECIMAL_DIGITS_MAX => {
                    PrimitiveType::Decimal { precision: u32::from(*precision), scale }
                }
                _ => PrimitiveType::String,
            }
        }
        DataType::Utf8 | DataType::LargeUtf8 => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary => PrimitiveType::Binary,
        DataType::Date32 => PrimitiveType::Date,
        DataType::Time64(TimeUnit::Microsecond) => PrimitiveType::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => PrimitiveType::Timestamptz,
        DataType::List(item) => {
            let id = ids.next();
            let item_type = of(item.data_type(), ids)?;
            return Some(Type::List(ListType::new(
                NestedField::list_element(id, item_type, !item.is_nullable()).into(),
            )));
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                let id = ids.next();
                let field_type = of(field.data_type(), ids)?;
                Some(NestedField::new(id, field.name(), field_type, !field.is_nullable()).into())
            });
            return Some(Type::Struct(StructType::new(fields.collect::<Option<Vec<_>>>()?)));
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let [key, value] = fields.as_ref() else { return None };
            let (key_id, value_id) = (ids.next(), ids.next());
            let key_type = of(key.data_type(), ids)?;
            let value_type = of(value.data_type(), ids)?;
            return Some(Type::Map(MapType::new(
                NestedField::map_key_element(key_id, key_type).into(),
                NestedField::map_value_element(value_id, value_type, !value.is_nullable()).into(),
            )));
        }
        _ => return None,
    };
    Some(Type::Primitive(primitive))
}

/// Whether values of a type have a place in a column of another: the same, or one that holds all of them.
pub(crate) fn fits(from: &Type, into: &Type) -> bool {
    use PrimitiveType as P;
    match (from, into) {
        (Type::Primitive(from), Type::Primitive(into)) => match (from, into) {
            (P::Int, P::Long) | (P::Float, P::Double) => true,
            (P::Decimal { precision: a, scale: s }, P::Decimal { precision: b, scale: t }) => {
                a <= b && s == t
            }
            (from, into) => from == into,
        },
        (Type::List(from), Type::List(into)) => {
            fits(&from.element_field.field_type, &into.element_field.field_type)
                && takes(&from.element_field, &into.element_field)
        }
        (Type::Map(from), Type::Map(into)) => {
            fits(&from.key_field.field_type, &into.key_field.field_type)
                && fits(&from.value_field.field_type, &into.value_field.field_type)
                && takes(&from.value_field, &into.value_field)
        }
        (Type::Struct(from), Type::Struct(into)) => {
            from.fields().len() == into.fields().len()
                && from.fields().iter().zip(into.fields()).all(|(from, into)| {
                    from.name == into.name && fits(&from.field_type, &into.field_type) && takes(from, into)
                })
        }
        _ => false,
    }
}

/// Whether NULL of one has a place in the other.
fn takes(from: &NestedField, into: &NestedField) -> bool {
    from.required || !into.required
}

/// Values in the type of a table's column. Nothing is rounded: what has no place is an error.
pub(crate) fn convert(values: &ArrayRef, into: &Field) -> Result<ArrayRef> {
    let into_type = into.data_type();
    if values.data_type() == into_type {
        return Ok(Arc::clone(values));
    }
    let failed = |cause: arrow_schema::ArrowError| {
        Error::new(ErrorKind::Value, "a value has no place in the table's column")
            .context("column", into.name())
            .context("from", values.data_type())
            .context("into", into_type)
            // The cause may tell the value.
            .caused_by(match cause {
                arrow_schema::ArrowError::CastError(_) => "it does not fit",
                _ => "it cannot be converted",
            })
    };
    let options = CastOptions { safe: false, ..CastOptions::default() };
    if let Some(durations) = values.as_any().downcast_ref::<DurationMicrosecondArray>() {
        let counts: ArrayRef =
            Arc::new(arrow_array::Int64Array::new(durations.values().clone(), durations.nulls().cloned()));
        return if into_type == &DataType::Int64 {
            Ok(counts)
        } else {
            cast_with_options(&counts, into_type, &options).map_err(failed)
        };
    }
    cast_with_options(values, into_type, &options).map_err(failed)
}

#[cfg(test)]
mod tests;
