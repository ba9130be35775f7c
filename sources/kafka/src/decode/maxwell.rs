//! `maxwell_json`: see `sinks/kafka/src/encode/maxwell.rs`. `old` holds the columns an update changed.

use culvert_api::RowKind;

use super::json::Object;
use super::{Change, Decoder, Unreadable, update_by_difference};

pub(super) fn read(decoder: &Decoder, value: &[u8]) -> Result<Change, Unreadable> {
    let message = Object::parse(value)?;
    decoder.same_table(message.text("table")?, message.text("database")?)?;
    let data = message.object("data")?.ok_or_else(|| Unreadable::new("has no row").field("data"))?;
    match message.text("type")?.as_deref() {
        Some("insert" | "bootstrap-insert") => Ok(Change::One(RowKind::Insert, decoder.row(&data)?)),
        Some("delete") => Ok(Change::One(RowKind::Delete, decoder.row(&data)?)),
        Some("update") => update_by_difference(decoder, &data, message.object("old")?.as_ref()),
        _ => Err(Unreadable::new("has a type that is not read").field("type")),
    }
}
