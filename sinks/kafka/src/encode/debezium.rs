//! `debezium_json`: the envelope of Debezium's connectors, without a schema.
//!
//! ```text
//! {"before":null,"after":{"id":1},"source":{"ts_ms":1767323045678,"db":"d","table":"t","snapshot":"false"},"op":"c"}
//! ```
//!
//! `source.ts_ms` is the time of the commit. There is no `ts_ms` beside it, the time when a connector saw
//! the change: a replay would tell another.
//!
//! Fields and operations are as in Debezium's documentation of its connectors ("Data change events");
//! values have our own forms, since Debezium's need the schema to be read.

use culvert_api::Result;

use super::Event;
use super::object::{LeftOut, Row, Typing, field, quote};
use crate::ledger::Block;

pub(super) fn append(event: Event<'_>, block: Option<&Block>, out: &mut String) -> Result<()> {
    let (before, after, op) = match event {
        Event::Insert(row) if row.is_snapshot() => (None, Some(row), "r"),
        Event::Insert(row) => (None, Some(row), "c"),
        // Of an update by key alone nothing is known of the row before.
        Event::Update(before, after) => (before.filter(|row| !row.is_key_only()), Some(after), "u"),
        Event::Delete(row) => (Some(row), None, "d"),
    };
    out.push('{');
    for (name, row) in [("before", before), ("after", after)] {
        quote(name, out);
        out.push(':');
        match row {
            Some(row) => row.object_of(|_| true, LeftOut::Placeholder, Typing::Typed, out)?,
            None => out.push_str("null"),
        }
        out.push(',');
    }
    source(event.row(), out);
    out.push_str("\"op\":");
    quote(op, out);
    if let Some(block) = block {
        out.push_str(",\"transaction\":");
        block.append(out);
    }
    out.push('}');
    Ok(())
}

fn source(row: Row<'_>, out: &mut String) {
    let id = &row.batch.schema.id;
    out.push_str("\"source\":{");
    if let Some(committed) = row.committed_us() {
        out.push_str(&format!("\"ts_ms\":{},", committed.div_euclid(1000)));
    }
    field("db", &id.database, out);
    if let Some(schema) = &id.schema {
        field("schema", schema, out);
    }
    field("table", &id.table, out);
    out.push_str(if row.is_snapshot() { "\"snapshot\":\"true\"}," } else { "\"snapshot\":\"false\"}," });
}
