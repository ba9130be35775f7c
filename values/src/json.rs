//! JSON, cut into pieces that keep their own text, so that no number loses a digit on the way to its column.

use std::borrow::Cow;

use arrow_schema::DataType;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{Cell, of_text};

/// One value, told apart by its first character.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// An array or an object, as it was written.
    Nested(&'a str),
}

/// Whether a text follows the grammar and nothing stands behind it. The other functions rely on that.
pub fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// A value; `None` when a text's escapes mean nothing.
pub fn value(text: &str) -> Option<Json<'_>> {
    Some(match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'"') => Json::Text(unquote(text)?),
        Some(b'[' | b'{') => Json::Nested(text),
        _ => Json::Number(text),
    })
}

/// Names and values of an object, in order; `None`: it is none.
pub fn members(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let pair = |member| {
        let (name, value) = str::split_at_checked(member, text_end(member)?)?;
        Some((unquote(name)?, value.trim_start().strip_prefix(':')?.trim()))
    };
    inside(text, '{', '}')?.into_iter().map(pair).collect()
}

/// The values of an array; `None`: it is none.
pub fn items(text: &str) -> Option<Vec<&str>> {
    inside(text, '[', ']')
}

/// The value of a column of this type; `None`: it does not fit. Arrays are arrays, maps and rows objects; of a
/// name that occurs twice the last one counts, and what a row does not have is left aside.
pub fn cell(text: &str, data_type: &DataType) -> Option<Cell> {
    let nested = match value(text)? {
        Json::Null => return Some(Cell::Null),
        Json::Bool(value) if *data_type == DataType::Boolean => return Some(Cell::Bool(value)),
        Json::Bool(value) => return of_text(if value { "true" } else { "false" }, data_type),
        // A number stands for no date and for no bytes.
        Json::Number(_) if data_type.is_temporal() || *data_type == DataType::Binary => return None,
        Json::Number(text) => return of_text(text, data_type),
        Json::Text(text) => return of_text(&text, data_type),
        Json::Nested(text) => text,
    };
    match data_type {
        DataType::List(item) => {
            let cells = items(nested)?.into_iter().map(|text| cell(text, item.data_type()));
            cells.collect::<Option<Vec<Cell>>>().map(Cell::List)
        }
        DataType::Struct(fields) => {
            let members = members(nested)?;
            let cells = fields.iter().map(|field| {
                let found = members.iter().rfind(|(name, _)| name == field.name());
                found.map_or(Some(Cell::Null), |(_, text)| cell(text, field.data_type()))
            });
            cells.collect::<Option<Vec<Cell>>>().map(Cell::Row)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return None };
            let [key, value] = pair.iter().as_slice() else { return None };
            let pairs = members(nested)?
                .into_iter()
                .map(|(name, text)| Some((of_text(&name, key.data_type())?, cell(text, value.data_type())?)));
            pairs.collect::<Option<Vec<_>>>().map(Cell::Map)
        }
        _ => None,
    }
}

/// What stands between these brackets, cut at its own commas. `None`: it does not stand between them.
fn inside(text: &str, open: char, close: char) -> Option<Vec<&str>> {
    let inner = text.trim().strip_prefix(open)?.strip_suffix(close)?;
    let mut items = Vec::new();
    let (mut from, mut at, mut depth) = (0usize, 0usize, 0usize);
    while let Some(byte) = inner.as_bytes().get(at) {
        match byte {
            b'"' => {
                at += text_end(inner.get(at..)?)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                items.push(inner.get(from..at)?.trim());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let last = inner.get(from..)?.trim();
    if !last.is_empty() {
        items.push(last);
    }
    Some(items)
}

/// Where the text ends that begins here, its last quote included.
fn text_end(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn unquote(text: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(text).ok().map(|text| text.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data_type;

    fn read(text: &str, declared: &str) -> Option<Cell> {
        assert!(is_valid(text), "{text}");
        cell(text, &data_type(declared).unwrap())
    }

    #[test]
    fn numbers_keep_every_digit() {
        let digits = "12345678901234567890123456789.123456789";
        let Some(Cell::Decimal(value)) = read(digits, "decimal(38, 9)") else { panic!() };
        assert_eq!(value.to_string(), digits.replace('.', ""));
        assert_eq!(read("9007199254740993", "bigint"), Some(Cell::Int(9_007_199_254_740_993)));
        assert_eq!(read("1.10", "string"), Some(Cell::Text("1.10".to_owned())));
        assert_eq!(read("20777", "date"), None);
    }

    #[test]
    fn what_lies_in_one_another_comes_apart_again() {
        let row = r#"{"a": [1, null, 3], "m": {"x,}\"": {"b": "]\u00e4"}}, "more": true, "a": [2]}"#;
        let text = |text: &str| Cell::Text(text.to_owned());
        let expected = Cell::Row(vec![
            Cell::List(vec![Cell::Int(2)]),
            Cell::Map(vec![(text("x,}\""), Cell::Row(vec![text("]ä")]))]),
            Cell::Null,
        ]);
        assert_eq!(read(row, "{a = array<int>, m = map<string, {b = string}>, none = date}"), Some(expected));
        assert_eq!(read("[]", "array<int>"), Some(Cell::List(Vec::new())));
        assert_eq!(read("{}", "array<int>"), None);
        assert_eq!(read("[[1]]", "array<int>"), None);
        assert_eq!(read("{\"a\": 1}", "string"), None);
    }
}
