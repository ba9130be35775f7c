//! `debezium_json`: the envelope, alone or as the `payload` beside its `schema`.
//!
//! Our sink's values have the forms of docs/kafka.md. With a schema they may have Debezium's own, which
//! the schema names field by field; without it a number for a date or a point in time would have to be
//! guessed, and is refused.

use std::borrow::Cow;

use arrow_buffer::i256;
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::RowKind;

use super::json::{Json, Object};
use super::{Cell, Change, Decoder, Row, Unreadable, value};

pub(super) fn read(decoder: &Decoder, bytes: &[u8]) -> Result<Change, Unreadable> {
    let whole = Object::parse(bytes)?;
    let enveloped = !whole.has("op") && whole.has("payload");
    let schema = if enveloped { whole.object("schema")? } else { None };
    let payload = if enveloped { whole.object("payload")? } else { Some(whole) };
    // A null payload is how a tombstone looks to some converters.
    let Some(payload) = payload else { return Ok(Change::Nothing) };
    if let Some(source) = payload.object("source")? {
        decoder.same_table(source.text("table")?, source.text("db")?)?;
    }
    let image = |name: &'static str| -> Result<Option<Row>, Unreadable> {
        let Some(object) = payload.object(name)? else { return Ok(None) };
        let types = schema.as_ref().map(|schema| fields(schema, name)).transpose()?.flatten();
        decoder.row_with(&object, |at, json| cell(decoder, at, &json, types.as_deref())).map(Some)
    };
    let needed = |name: &'static str| image(name)?.ok_or_else(|| Unreadable::new("has no row").field(name));
    match payload.text("op")?.as_deref() {
        Some("c" | "r") => Ok(Change::One(RowKind::Insert, needed("after")?)),
        Some("u") => Ok(Change::Update(image("before")?, needed("after")?)),
        Some("d") => Ok(Change::One(RowKind::Delete, needed("before")?)),
        _ => Err(Unreadable::new("has an operation that is not read").field("op")),
    }
}

/// The declared fields of `before` or `after`.
fn fields<'a>(schema: &Object<'a>, image: &str) -> Result<Option<Vec<Object<'a>>>, Unreadable> {
    for field in schema.objects("fields")?.unwrap_or_default() {
        if field.text("field")?.as_deref() == Some(image) {
            return field.objects("fields");
        }
    }
    Ok(None)
}

fn cell(
    decoder: &Decoder,
    at: usize,
    json: &Json<'_>,
    types: Option<&[Object<'_>]>,
) -> Result<Cell, Unreadable> {
    if matches!(json, Json::Text(text) if *text == decoder.unavailable) {
        return Ok(Cell::LeftOut);
    }
    let column = decoder.schema.columns.get(at).ok_or_else(|| Unreadable::new("has a column too many"))?;
    for declared in types.unwrap_or_default() {
        if declared.text("field")?.as_deref() == Some(&column.name) {
            let name = declared.text("name")?;
            return typed(json, name, declared, &column.data_type);
        }
    }
    value::read(json, &column.data_type)
}

/// A value in the form that Debezium's schema names.
fn typed(
    json: &Json<'_>,
    name: Option<Cow<'_, str>>,
    declared: &Object<'_>,
    data_type: &DataType,
) -> Result<Cell, Unreadable> {
    let misfit = || Unreadable::new("has a value that does not fit its column");
    let number = || match json {
        Json::Number(text) => text.parse::<i64>().map_err(|_| misfit()),
        _ => Err(misfit()),
    };
    if *json == Json::Null {
        return Ok(Cell::Null);
    }
    // What is finer than the column is not rounded.
    let divided = |by: i64| {
        let value = number()?;
        if value % by == 0 { Ok(Cell::Int((value / by).into())) } else { Err(misfit()) }
    };
    let scaled = |by: i128| Ok(Cell::Int(i128::from(number()?) * by)).and_then(in_64_bits);
    match (name.as_deref(), data_type) {
        (Some("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date"), DataType::Date32) => {
            i32::try_from(number()?).map(|days| Cell::Int(days.into())).map_err(|_| misfit())
        }
        (
            Some("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp"),
            DataType::Timestamp(_, None),
        ) => scaled(1000),
        (Some("io.debezium.time.MicroTimestamp"), DataType::Timestamp(_, None)) => scaled(1),
        (Some("io.debezium.time.NanoTimestamp"), DataType::Timestamp(_, None)) => divided(1000),
        (
            Some("io.debezium.time.Time" | "org.apache.kafka.connect.data.Time"),
            DataType::Time64(_) | DataType::Duration(_),
        ) => scaled(1000),
        (Some("io.debezium.time.MicroTime"), DataType::Time64(_) | DataType::Duration(_)) => scaled(1),
        (Some("io.debezium.time.NanoTime"), DataType::Time64(_) | DataType::Duration(_)) => divided(1000),
        (
            Some("org.apache.kafka.connect.data.Decimal"),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale),
        ) => {
            let parameters = declared.object("parameters")?;
            let from = parameters.map(|parameters| parameters.text("scale")).transpose()?.flatten();
            let from: u32 = from.and_then(|text| text.parse().ok()).ok_or_else(misfit)?;
            let Json::Text(text) = json else { return Err(misfit()) };
            let unscaled = big_endian(&STANDARD.decode(text.as_ref()).map_err(|_| misfit())?);
            let text = format!("{}e-{from}", unscaled.ok_or_else(misfit)?);
            culvert_values::decimal(&text, *precision, *scale).map(Cell::Decimal).ok_or_else(misfit)
        }
        _ => value::read(json, data_type),
    }
}

fn in_64_bits(cell: Cell) -> Result<Cell, Unreadable> {
    match cell {
        Cell::Int(value) if i64::try_from(value).is_err() => {
            Err(Unreadable::new("has a value that does not fit its column"))
        }
        cell => Ok(cell),
    }
}

/// A number in two's complement, the highest byte first.
fn big_endian(bytes: &[u8]) -> Option<i256> {
    let sign = if *bytes.first()? >= 0x80 { 0xFF } else { 0 };
    let mut wide = [sign; 32];
    let from = wide.len().checked_sub(bytes.len())?;
    wide.get_mut(from..)?.copy_from_slice(bytes);
    Some(i256::from_be_bytes(wide))
}
