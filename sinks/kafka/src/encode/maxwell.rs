//! `maxwell_json`: the message of Maxwell's daemon.
//!
//! ```text
//! {"database":"d","table":"t","type":"update","ts":1767323045,"primary_key_columns":["id"],"data":{"id":1,"n":2},"old":{"n":1}}
//! ```
//!
//! `old` holds the columns an update changed. `ts` is the time of the commit, in seconds. There
//! are no `xid` and `commit`.

use culvert_api::Result;

use super::Event;
use super::object::{LeftOut, Typing, field, names, table_fields};

pub(super) fn append(event: Event<'_>, out: &mut String) -> Result<()> {
    let row = event.row();
    out.push('{');
    table_fields(&row.batch.schema.id, out);
    let kind = match event {
        Event::Insert(_) => "insert",
        Event::Update(..) => "update",
        Event::Delete(_) => "delete",
    };
    field("type", kind, out);
    if let Some(committed) = row.committed_us() {
        out.push_str(&format!("\"ts\":{},", committed.div_euclid(1_000_000)));
    }
    if !row.batch.schema.primary_key.is_empty() {
        names("primary_key_columns", &row.batch.schema.primary_key, out);
    }
    out.push_str("\"data\":");
    row.object(out)?;
    if let Event::Update(Some(before), after) = event {
        let changed = before.changed(after)?;
        out.push_str(",\"old\":");
        before.object_of(|column| changed.contains(&column), LeftOut::Omitted, Typing::Typed, out)?;
    }
    out.push('}');
    Ok(())
}
