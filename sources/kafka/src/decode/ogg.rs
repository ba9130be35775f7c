//! `ogg_json`: see `sinks/kafka/src/encode/ogg.rs`. Both row images, without the fields that a log left out.

use culvert_api::RowKind;

use super::json::Object;
use super::{Change, Decoder, Row, Unreadable};

pub(super) fn read(decoder: &Decoder, value: &[u8]) -> Result<Change, Unreadable> {
    let message = Object::parse(value)?;
    if message.text("table")?.is_some_and(|name| name != decoder.schema.id.to_string()) {
        return Err(Unreadable::new("is about another table"));
    }
    let image = |name: &'static str| -> Result<Option<Row>, Unreadable> {
        message.object(name)?.map(|object| decoder.row(&object)).transpose()
    };
    let needed = |name: &'static str| image(name)?.ok_or_else(|| Unreadable::new("has no row").field(name));
    match message.text("op_type")?.as_deref() {
        Some("I") => Ok(Change::One(RowKind::Insert, needed("after")?)),
        Some("U") => Ok(Change::Update(image("before")?, needed("after")?)),
        Some("D") => Ok(Change::One(RowKind::Delete, needed("before")?)),
        _ => Err(Unreadable::new("has a type that is not read").field("op_type")),
    }
}
