//! `compatible_debezium_json`: what Debezium's connectors write through Kafka Connect's `JsonConverter`
//! with `schemas.enable`, key and value each with their schema.
//!
//! ```text
//! key    {"schema":{"type":"struct","fields":[…],"optional":false,"name":"shop.item.Key"},"payload":{"id":1}}
//! value  {"schema":{"type":"struct","fields":[before, after, source, op, ts_ms, transaction],…,"name":"shop.item.Envelope"},
//!         "payload":{"before":null,"after":{…},"source":{…},"op":"c","ts_ms":…,"transaction":null}}
//! ```
//!
//! Fields are those of Debezium's documentation ("Data change events"). The schemas of a table are made
//! once per shape; a message repeats their text.

mod declared;
mod form;
mod printed;
mod source;
#[cfg(test)]
mod tests;
mod value;

use culvert_api::{Column, Dialect, Error, ErrorKind, Result, TableSchema};

use super::object::{Row, quote};
use super::{Event, column_error};
use crate::ledger::Block;
use form::Form;

/// What the messages of a table have in common.
#[derive(Debug)]
pub(crate) struct ConnectPlan {
    forms: Vec<Form>,
    /// `{"schema":…,"payload":`, of keys and of values.
    key_head: String,
    value_head: String,
    dialect: Dialect,
    /// The `name` of the source block.
    server: String,
}

impl ConnectPlan {
    /// Plans a table whose messages go to this topic; without one, where rows decide about it, the
    /// schemas have the table's name.
    pub(crate) fn new(
        table: &TableSchema,
        topic: Option<&str>,
        key: &[usize],
        unsigned_as_decimal: bool,
    ) -> Result<ConnectPlan> {
        let mut forms = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            forms.push(Form::of(column, unsigned_as_decimal).ok_or_else(|| refusal(table, column))?);
        }
        let dialect = dialect(table);
        let full_name = table.id.to_string();
        let topic = topic.unwrap_or(&full_name);
        let columns: Vec<(&Column, &Form)> = table.columns.iter().zip(&forms).collect();
        let keys = key.iter().filter_map(|place| columns.get(*place).copied());
        let mut key_head = String::from("{\"schema\":");
        fields(keys.map(|(column, form)| (column, form, column.nullable)), &mut key_head);
        key_head.push_str("],\"optional\":false,\"name\":");
        quote(&format!("{topic}.Key"), &mut key_head);
        key_head.push_str("},\"payload\":");
        // A log of PostgreSQL leaves out all but the key of rows that are gone: then there is no value,
        // whatever the table says.
        let primary = table.key_indices();
        let rows: Vec<(&Column, &Form, bool)> = columns
            .iter()
            .enumerate()
            .map(|(place, (column, form))| {
                let left_out = dialect == Dialect::Postgres && !primary.contains(&place);
                (*column, *form, column.nullable || left_out)
            })
            .collect();
        let value_head = envelope(&rows, topic, dialect);
        let server = source::server_name(&table.id, topic);
        Ok(ConnectPlan { forms, key_head, value_head, dialect, server })
    }
}

fn refusal(table: &TableSchema, column: &Column) -> Error {
    let declared = column.source_type.as_ref().map_or("", |source| source.declaration.as_str());
    let what = format!(
        "column {} has no form in the format compatible_debezium_json: {declared} ({})",
        column.name, column.data_type
    );
    Error::new(ErrorKind::Schema, what)
        .context("table", &table.id)
        .hint("leave the column out, or use the format debezium_json")
}

/// Whose connector the messages look like.
fn dialect(table: &TableSchema) -> Dialect {
    let declared = table.columns.iter().find_map(|column| column.source_type.as_ref());
    match declared.map(|source| source.dialect) {
        Some(dialect) => dialect,
        None if table.id.schema.is_some() => Dialect::Postgres,
        None => Dialect::MySql,
    }
}

/// `{"type":"struct","fields":[…`
fn fields<'a>(columns: impl Iterator<Item = (&'a Column, &'a Form, bool)>, out: &mut String) {
    out.push_str("{\"type\":\"struct\",\"fields\":[");
    for (place, (column, form, optional)) in columns.enumerate() {
        if place > 0 {
            out.push(',');
        }
        form.schema(optional, Some(&column.name), out);
    }
}

/// The schema of values.
fn envelope(columns: &[(&Column, &Form, bool)], topic: &str, dialect: Dialect) -> String {
    let mut out = String::from("{\"schema\":{\"type\":\"struct\",\"fields\":[");
    for side in ["before", "after"] {
        fields(columns.iter().copied(), &mut out);
        out.push_str("],\"optional\":true,\"name\":");
        quote(&format!("{topic}.Value"), &mut out);
        out.push_str(&format!(",\"field\":\"{side}\"}},"));
    }
    source::schema(dialect, &mut out);
    out.push_str(
        ",{\"type\":\"string\",\"optional\":false,\"field\":\"op\"},\
         {\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ms\"},\
         {\"type\":\"struct\",\"fields\":[\
         {\"type\":\"string\",\"optional\":false,\"field\":\"id\"},\
         {\"type\":\"int64\",\"optional\":false,\"field\":\"total_order\"},\
         {\"type\":\"int64\",\"optional\":false,\"field\":\"data_collection_order\"}],\
         \"optional\":true,\"name\":\"event.block\",\"version\":1,\"field\":\"transaction\"}],\
         \"optional\":false,\"name\":",
    );
    quote(&format!("{topic}.Envelope"), &mut out);
    out.push_str(",\"version\":1},\"payload\":");
    out
}

/// Which side of a change an object is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
    Key,
}

pub(super) fn append(
    event: Event<'_>,
    plan: &ConnectPlan,
    block: Option<&Block>,
    out: &mut String,
) -> Result<()> {
    let (before, after, op) = match event {
        Event::Insert(row) if row.is_snapshot() => (None, Some(row), "r"),
        Event::Insert(row) => (None, Some(row), "c"),
        // Of an update by key alone nothing is known of the row before.
        Event::Update(before, after) => (before.filter(|row| !row.is_key_only()), Some(after), "u"),
        Event::Delete(row) => (Some(row), None, "d"),
    };
    out.push_str(&plan.value_head);
    out.push('{');
    for (name, row, side) in [("before", before, Side::Before), ("after", after, Side::After)] {
        quote(name, out);
        out.push(':');
        match row {
            Some(row) => object(row, plan, side, 0..plan.forms.len(), out)?,
            None => out.push_str("null"),
        }
        out.push(',');
    }
    let row = event.row();
    source::append(row, plan, out);
    out.push_str(&format!(",\"op\":\"{op}\",\"ts_ms\":{},\"transaction\":", row.now_ms));
    match block {
        Some(block) => block.append(out),
        None => out.push_str("null"),
    }
    out.push_str("}}");
    Ok(())
}

/// The message's key, with its schema.
pub(super) fn key(row: Row<'_>, plan: &ConnectPlan) -> Result<Option<Vec<u8>>> {
    if row.plan.key.is_empty() {
        return Ok(None);
    }
    let mut out = plan.key_head.clone();
    object(row, plan, Side::Key, row.plan.key.iter().copied(), &mut out)?;
    out.push('}');
    Ok(Some(out.into_bytes()))
}

fn object(
    row: Row<'_>,
    plan: &ConnectPlan,
    side: Side,
    columns: impl Iterator<Item = usize>,
    out: &mut String,
) -> Result<()> {
    out.push('{');
    for (place, column) in columns.enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(row.plan.labels.get(column).map_or("", String::as_str));
        let (Some(form), Some(array)) = (plan.forms.get(column), row.batch.rows.columns().get(column)) else {
            return Err(column_error(row, column, "a batch of another shape than its table"));
        };
        if row.is_unavailable(column) {
            left_out(row, column, form, side, out)?;
        } else {
            value::append(form, array.as_ref(), row.index, out)
                .map_err(|why| column_error(row, column, &format!("the column's value {why}")))?;
        }
    }
    out.push('}');
    Ok(())
}

/// A value that the log left out: Debezium's placeholder where it is a text or bytes. A number that
/// stands for nothing would be taken for one, so a row before a change has NULL there instead, and a row
/// after it is an error.
fn left_out(row: Row<'_>, column: usize, form: &Form, side: Side, out: &mut String) -> Result<()> {
    let placeholder = &row.encoder.unavailable;
    match (form, side) {
        (_, Side::Key) => return Err(row.key_left_out(column)),
        (Form::Text(_) | Form::Labels(..), _) => quote(placeholder, out),
        (Form::Bytes, _) => value::bytes(placeholder.as_bytes(), out),
        (_, Side::Before) => out.push_str("null"),
        (_, Side::After) => {
            let what = "the source's log left out a value whose type has no placeholder";
            return Err(column_error(row, column, what)
                .hint("ALTER TABLE … REPLICA IDENTITY FULL on the source makes its log complete"));
        }
    }
    Ok(())
}
