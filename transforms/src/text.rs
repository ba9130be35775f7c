//! Columns of text, value by value.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Result};

use crate::layout::{left_out, values};

/// The text in a row of a text column; `None` for NULL.
pub(crate) fn text_at(array: &dyn Array, row: usize) -> Option<&str> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        _ => None,
    }
}

/// A text column made of another one. What is NULL stays NULL; what the log left out stays as it is held.
pub(crate) fn map_text(
    plugin: &str,
    batch: &ChangeBatch,
    place: usize,
    mut map: impl FnMut(usize, &str) -> Result<String>,
) -> Result<ArrayRef> {
    let array = values(plugin, batch, place)?;
    let unknown = left_out(batch, place);
    let mut mapped = StringBuilder::with_capacity(batch.len(), array.get_buffer_memory_size());
    for row in 0..batch.len() {
        match text_at(array, row) {
            None => mapped.append_null(),
            Some(text) if unknown.is_some_and(|rows| row < rows.len() && rows.value(row)) => {
                mapped.append_value(text);
            }
            Some(text) => mapped.append_value(map(row, text)?),
        }
    }
    Ok(Arc::new(mapped.finish()))
}

/// Several text columns made of one; `split` is given each known text, NULL otherwise, and answers with one
/// value per column.
pub(crate) fn split_text(
    plugin: &str,
    batch: &ChangeBatch,
    place: usize,
    columns: usize,
    mut split: impl FnMut(Option<&str>) -> Vec<Option<String>>,
) -> Result<Vec<ArrayRef>> {
    let array = values(plugin, batch, place)?;
    let unknown = left_out(batch, place);
    let mut built: Vec<StringBuilder> = (0..columns).map(|_| StringBuilder::new()).collect();
    for row in 0..batch.len() {
        let parts = match unknown {
            Some(rows) if row < rows.len() && rows.value(row) => Vec::new(),
            _ => split(text_at(array, row)),
        };
        let mut parts = parts.into_iter();
        for column in &mut built {
            column.append_option(parts.next().flatten());
        }
    }
    Ok(built.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef).collect())
}
