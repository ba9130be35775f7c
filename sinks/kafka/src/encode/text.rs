//! `text`: the row's values with a delimiter between them, in the order of the columns, or of
//! `kafka_message_value_fields`.
//!
//! ```text
//! 1,Alice,2026-11-20 10:00:00.5
//! ```
//!
//! Nothing is quoted, as in SeaTunnel: NULL is an empty text, and a delimiter inside of a value is there as
//! it is. A value that the source's log left out is the placeholder, since its place cannot be left out.

use arrow_schema::DataType;
use culvert_api::Result;

use super::object::Row;

pub(super) fn append(row: Row<'_>, out: &mut String) -> Result<()> {
    for (place, column) in row.plan.value.iter().copied().enumerate() {
        if place > 0 {
            out.push_str(&row.encoder.delimiter);
        }
        if row.is_unavailable(column) {
            out.push_str(&row.encoder.unavailable);
            continue;
        }
        let begun = out.len();
        row.text(column, out)?;
        let array = row.batch.rows.columns().get(column);
        if array.is_some_and(|array| matches!(array.data_type(), DataType::Timestamp(..))) {
            // SeaTunnel's form of a point in time has a blank in the middle.
            let time = out.split_off(begun);
            out.push_str(&time.replacen('T', " ", 1));
        }
    }
    Ok(())
}
