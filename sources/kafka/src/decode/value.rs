//! One value: the way back from the forms in docs/kafka.md. Exact, or refused.

use arrow_schema::DataType;
use culvert_values::{Cell, of_text};

use super::Unreadable;
use super::json::Json;

/// Reads a value for a column of this type.
pub(super) fn read(json: &Json<'_>, data_type: &DataType) -> Result<Cell, Unreadable> {
    let text: &str = match json {
        Json::Null => return Ok(Cell::Null),
        Json::Bool(value) if *data_type == DataType::Boolean => return Ok(Cell::Bool(*value)),
        Json::Bool(true) => "true",
        Json::Bool(false) => "false",
        Json::Number(text) if is_written(data_type) => {
            let _ = text;
            return Err(misfit());
        }
        Json::Number(text) => text,
        Json::Text(text) => text,
        Json::Nested => return Err(misfit()),
    };
    of_text(text, data_type).ok_or_else(misfit)
}

/// Whether values of this type are texts that a number cannot stand for without a schema.
fn is_written(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary
            | DataType::Date32
            | DataType::Timestamp(_, _)
            | DataType::Time64(_)
            | DataType::Duration(_)
    )
}

fn misfit() -> Unreadable {
    Unreadable::new("has a value that does not fit its column")
}

#[cfg(test)]
mod tests;
