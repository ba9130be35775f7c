//! Steps over values of columns that nobody needs: by their length alone, whatever they hold.

use culvert_api::Result;

use super::builder::prefixed;
use super::decimal::part_bytes;
use super::layout::Layout;
use super::temporal::fraction_bytes;
use crate::wire::Cursor;

/// Moves behind one value.
#[inline]
pub(super) fn skip(layout: Layout, cursor: &mut Cursor<'_>) -> Result<()> {
    let length = match layout {
        Layout::Int(bytes) | Layout::Bit(bytes) | Layout::Enum(bytes) | Layout::Set(bytes) => {
            usize::from(bytes)
        }
        Layout::Year => 1,
        Layout::Date | Layout::OldTime => 3,
        Layout::Float | Layout::OldTimestamp => 4,
        Layout::Double | Layout::OldDateTime => 8,
        Layout::Time(fsp) => 3 + fraction_bytes(fsp),
        Layout::Timestamp(fsp) => 4 + fraction_bytes(fsp),
        Layout::DateTime(fsp) => 5 + fraction_bytes(fsp),
        Layout::Decimal { precision, scale } => {
            part_bytes(precision.saturating_sub(scale)) + part_bytes(scale)
        }
        Layout::Bytes(prefix) | Layout::Json(prefix) => return prefixed(cursor, prefix).map(drop),
    };
    cursor.take(length, "value of a column that is not read")?;
    Ok(())
}
