//! `json`: the row, flat. The header `row_kind` says what happened to it; without one it is new.

use culvert_api::RowKind;

use super::json::Object;
use super::{Change, Decoder, Unreadable};

pub(super) fn read(decoder: &Decoder, value: &[u8], kind: Option<&[u8]>) -> Result<Change, Unreadable> {
    let kind = match kind {
        None => RowKind::Insert,
        Some(header) => RowKind::ALL
            .into_iter()
            .find(|kind| kind.short().as_bytes() == header)
            .ok_or_else(|| Unreadable::new("has a header that is no row kind").field("row_kind"))?,
    };
    Ok(Change::One(kind, decoder.row(&Object::parse(value)?)?))
}
