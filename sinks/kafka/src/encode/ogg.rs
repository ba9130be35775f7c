//! `ogg_json`: the message of Oracle GoldenGate's JSON formatter, in its form with row images.
//!
//! ```text
//! {"table":"d.t","op_type":"U","op_ts":"2026-01-02 03:04:05.678901","primary_keys":["id"],"before":{"id":1,"n":1},"after":{"id":1,"n":2}}
//! ```
//!
//! `op_ts` is the time of the commit in UTC. There are no `current_ts` and `pos`.

use arrow_schema::TimeUnit;
use culvert_api::Result;

use super::Event;
use super::object::{field, names};
use super::value::timestamp;

pub(super) fn append(event: Event<'_>, out: &mut String) -> Result<()> {
    let schema = &event.row().batch.schema;
    out.push('{');
    field("table", &schema.id.to_string(), out);
    let (before, after, kind) = match event {
        Event::Insert(row) => (None, Some(row), "I"),
        Event::Update(before, after) => (before, Some(after), "U"),
        Event::Delete(row) => (Some(row), None, "D"),
    };
    field("op_type", kind, out);
    if let Some(committed) = event.row().committed_us() {
        field("op_ts", &point_in_time(committed), out);
    }
    if !schema.primary_key.is_empty() {
        names("primary_keys", &schema.primary_key, out);
    }
    for (name, row) in [("\"before\":", before), ("\"after\":", after)] {
        if let Some(row) = row {
            out.push_str(name);
            row.object(out)?;
            out.push(',');
        }
    }
    out.pop();
    out.push('}');
    Ok(())
}

/// `2026-01-02 03:04:05.678901`, as GoldenGate prints it.
fn point_in_time(micros: i64) -> String {
    let mut text = String::new();
    timestamp(micros, &TimeUnit::Microsecond, false, &mut text);
    text.replace('T', " ")
}
