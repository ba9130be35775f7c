//! `json`: the row, flat. The header `row_kind` says what happened to it; without one it is new.

use culvert_api::RowKind;

use super::json::Object;
use super::{Cell, Change, Decoder, Missing, Unreadable};

pub(super) fn read(decoder: &Decoder, value: &[u8], header: Option<&[u8]>) -> Result<Change, Unreadable> {
    let kind = match header {
        None => RowKind::Insert,
        Some(named) => RowKind::ALL
            .into_iter()
            .find(|kind| kind.short().as_bytes() == named)
            .ok_or_else(|| Unreadable::new("has a header that is no row kind").field("row_kind"))?,
    };
    let absent = match decoder.missing {
        Missing::Null => Cell::Null,
        Missing::ByMessage if header.is_none() => Cell::Null,
        Missing::ByMessage | Missing::Unavailable => Cell::LeftOut,
    };
    let row = decoder.row_or(&Object::parse(value)?, &absent, |at, json| decoder.cell(at, &json))?;
    Ok(Change::One(kind, row))
}
