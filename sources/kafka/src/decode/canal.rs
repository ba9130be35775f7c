//! `canal_json`: see `sinks/kafka/src/encode/canal.rs`. Every value but NULL may be a text. A message can
//! hold several rows; `old` has one object per row.

use super::json::Object;
use super::{Change, Decoder, Unreadable, update_by_difference};
use culvert_api::RowKind;

pub(super) fn read(decoder: &Decoder, value: &[u8]) -> Result<Change, Unreadable> {
    let message = Object::parse(value)?;
    if message.get("isDdl")? == Some(super::Json::Bool(true)) {
        return Err(Unreadable::new("is a statement that changes a table"));
    }
    // Our sink's `database` is the database, or stands beside a `schema` where there is one.
    decoder.same_table(message.text("table")?, message.text("database")?)?;
    let rows = message.objects("data")?.ok_or_else(|| Unreadable::new("has no rows").field("data"))?;
    let kind = message.text("type")?;
    let mut changes = Vec::with_capacity(rows.len());
    match kind.as_deref() {
        Some("INSERT") => {
            for row in &rows {
                changes.push(Change::One(RowKind::Insert, decoder.row(row)?));
            }
        }
        Some("DELETE") => {
            for row in &rows {
                changes.push(Change::One(RowKind::Delete, decoder.row(row)?));
            }
        }
        Some("UPDATE") => {
            let old = message.objects("old")?;
            if old.as_ref().is_some_and(|old| old.len() != rows.len()) {
                return Err(Unreadable::new("has another number of old rows than of rows").field("old"));
            }
            for (at, row) in rows.iter().enumerate() {
                let before = old.as_ref().and_then(|old| old.get(at));
                changes.push(update_by_difference(decoder, row, before)?);
            }
        }
        _ => return Err(Unreadable::new("has a type that is not read").field("type")),
    }
    Ok(Change::Many(changes))
}
