//! `canal_json`: Canal's flat message.
//!
//! ```text
//! {"data":[{"id":"1"}],"database":"d","table":"t","es":1767323045678,"isDdl":false,"mysqlType":{"id":"int"},"old":null,
//!  "pkNames":["id"],"type":"INSERT"}
//! ```
//!
//! As in Canal every value is a text, `old` holds the columns an update changed, and `es` is the time of the
//! commit. There are no `ts`, `id` and `sqlType`: they tell times and numbers of Canal's own.

use culvert_api::{Dialect, Result};

use super::Event;
use super::object::{LeftOut, Row, Typing, names, quote, table_fields};

pub(super) fn append(event: Event<'_>, out: &mut String) -> Result<()> {
    let row = event.row();
    out.push_str("{\"data\":[");
    row.object_of(|_| true, LeftOut::Omitted, Typing::Texts, out)?;
    out.push_str("],");
    table_fields(&row.batch.schema.id, out);
    if let Some(committed) = row.committed_us() {
        out.push_str(&format!("\"es\":{},", committed.div_euclid(1000)));
    }
    out.push_str("\"isDdl\":false,");
    types(row, out);
    out.push_str("\"old\":");
    match event {
        Event::Update(Some(before), after) => {
            let changed = before.changed(after)?;
            out.push('[');
            before.object_of(|column| changed.contains(&column), LeftOut::Omitted, Typing::Texts, out)?;
            out.push_str("],");
        }
        _ => out.push_str("null,"),
    }
    match row.batch.schema.primary_key.as_slice() {
        [] => out.push_str("\"pkNames\":null,"),
        key => names("pkNames", key, out),
    }
    out.push_str(match event {
        Event::Insert(_) => "\"type\":\"INSERT\"}",
        Event::Update(..) => "\"type\":\"UPDATE\"}",
        Event::Delete(_) => "\"type\":\"DELETE\"}",
    });
    Ok(())
}

/// The declared types, of tables that come from MySQL or MariaDB.
fn types(row: Row<'_>, out: &mut String) {
    let columns = &row.batch.schema.columns;
    let mut declared = row.plan.value.iter().filter_map(|place| {
        let (label, column) = (row.plan.labels.get(*place)?, columns.get(*place)?);
        let source = column.source_type.as_ref().filter(|source| source.dialect == Dialect::MySql)?;
        Some((label, source.declaration.as_str()))
    });
    let Some((label, declaration)) = declared.next() else { return };
    out.push_str("\"mysqlType\":{");
    out.push_str(label);
    quote(declaration, out);
    for (label, declaration) in declared {
        out.push(',');
        out.push_str(label);
        quote(declaration, out);
    }
    out.push_str("},");
}
