//! Values of any type as JSON, for rows that are told of as a whole.

use arrow_array::cast::AsArray;
use arrow_array::{Array, StructArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::ChangeBatch;

use crate::text::text_at;

/// A row as a JSON object, its columns in order. What the log left out is left out here.
pub(crate) fn row_json(batch: &ChangeBatch, row: usize) -> String {
    let mut json = String::from("{");
    for (place, column) in batch.schema.columns.iter().enumerate() {
        if batch.is_unavailable(row, place) {
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&quoted(&column.name));
        json.push(':');
        match batch.rows.columns().get(place) {
            Some(array) => json.push_str(&value_json(array, row)),
            None => json.push_str("null"),
        }
    }
    json.push('}');
    json
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value: numbers with all their digits, bytes as Base64, a row as the list of its values, everything else as text.
pub(crate) fn value_json(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    let shown = || shown(array, row);
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => quoted(text_at(array, row).unwrap_or("")),
        DataType::Binary => quoted(&STANDARD.encode(array.as_binary::<i32>().value(row))),
        DataType::LargeBinary => quoted(&STANDARD.encode(array.as_binary::<i64>().value(row))),
        DataType::Boolean | DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => shown(),
        number if number.is_integer() => shown(),
        DataType::Float32 | DataType::Float64 => {
            let text = shown();
            // JSON has no NaN and no infinity.
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
            if is_number { text } else { quoted(&text) }
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|item| value_json(&items, item)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns().iter();
            let fields: Vec<String> = fields.map(|field| value_json(field, row)).collect();
            format!("[{}]", fields.join(","))
        }
        DataType::Map(_, _) => map_json(&array.as_map().value(row)),
        _ => quoted(&shown()),
    }
}

/// The pairs of a map as an object; its keys are texts.
fn map_json(pairs: &StructArray) -> String {
    let [keys, values] = pairs.columns() else { return "{}".to_owned() };
    let pair = |pair| {
        let key = match text_at(keys, pair) {
            Some(text) => quoted(text),
            None => quoted(&shown(keys, pair)),
        };
        format!("{key}:{}", value_json(values, pair))
    };
    let pairs: Vec<String> = (0..pairs.len()).map(pair).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A value as text, as it is shown to people.
pub(crate) fn shown(array: &dyn Array, row: usize) -> String {
    // A point in time that the calendar does not reach has no text.
    let format = FormatOptions::new().with_display_error(true);
    match ArrayFormatter::try_new(array, &format) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(_) => String::new(),
    }
}
