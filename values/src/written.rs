//! One value as a job file has it.

use arrow_schema::{DataType, Fields};
use culvert_config::Value;

use crate::{Cell, of_text};

/// The value for a column of this type: texts and numbers as [`of_text`] reads them, lists for arrays and
/// rows, blocks for maps and rows. `None`: it does not fit.
pub fn written(value: &Value, data_type: &DataType) -> Option<Cell> {
    match (value, data_type) {
        (Value::Null, _) => Some(Cell::Null),
        (_, DataType::Null) => None,
        (Value::List(items), DataType::List(item)) => {
            let cells: Option<Vec<Cell>> =
                items.iter().map(|value| written(value, item.data_type())).collect();
            cells.map(Cell::List)
        }
        (Value::List(items), DataType::Struct(fields)) => {
            if items.len() != fields.len() {
                return None;
            }
            let cells = items.iter().zip(fields).map(|(value, field)| written(value, field.data_type()));
            cells.collect::<Option<Vec<Cell>>>().map(Cell::Row)
        }
        (Value::Object(entries), DataType::Struct(fields)) => {
            if entries.iter().any(|entry| fields.find(&entry.key).is_none()) {
                return None;
            }
            let cells = fields.iter().map(|field| {
                let found = entries.iter().find(|entry| entry.key == *field.name());
                found.map_or(Some(Cell::Null), |entry| written(&entry.value, field.data_type()))
            });
            cells.collect::<Option<Vec<Cell>>>().map(Cell::Row)
        }
        (Value::Object(entries), DataType::Map(pair, _)) => {
            let (key, value) = pair_types(pair.data_type())?;
            let pairs =
                entries.iter().map(|entry| Some((of_text(&entry.key, key)?, written(&entry.value, value)?)));
            pairs.collect::<Option<Vec<_>>>().map(Cell::Map)
        }
        (Value::String(text), DataType::Map(pair, _)) => {
            let (key, value) = pair_types(pair.data_type())?;
            pairs(text, key, value).map(Cell::Map)
        }
        (value, data_type) => of_text(value.scalar_text()?, data_type),
    }
}

/// The types of a map's keys and values.
fn pair_types(entries: &DataType) -> Option<(&DataType, &DataType)> {
    let DataType::Struct(fields) = entries else { return None };
    let fields: &Fields = fields;
    match fields.iter().as_slice() {
        [key, value] => Some((key.data_type(), value.data_type())),
        _ => None,
    }
}

/// A map in a text, which keeps keys whole that a job file would read as something else: `{ 12:01:26 = v0 }`.
fn pairs(text: &str, key: &DataType, value: &DataType) -> Option<Vec<(Cell, Cell)>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    if inside.is_empty() {
        return Some(Vec::new());
    }
    let bare = |text: &str| text.trim().trim_matches('"').to_owned();
    let pair = |pair: &str| {
        let (left, right) = pair.split_once('=')?;
        Some((of_text(&bare(left), key)?, of_text(&bare(right), value)?))
    };
    inside.split(',').map(pair).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use culvert_config::{Entry, Place};

    use super::*;
    use crate::data_type;

    fn number(text: &str) -> Value {
        Value::Number(text.to_owned())
    }

    fn entry(key: &str, value: Value) -> Entry {
        Entry { key: key.to_owned(), value, place: Place::default() }
    }

    #[test]
    fn nested_values_have_lists_and_blocks() {
        let int = data_type("array<int>").unwrap();
        let read = written(&Value::List(vec![number("1"), Value::Null]), &int);
        assert_eq!(read, Some(Cell::List(vec![Cell::Int(1), Cell::Null])));
        assert_eq!(written(&Value::List(vec![number("x")]), &int), None);
        let row = data_type("{a = int, b = string}").unwrap();
        let expected = Some(Cell::Row(vec![Cell::Int(1), Cell::Text("x".to_owned())]));
        let text = || Value::String("x".to_owned());
        assert_eq!(written(&Value::List(vec![number("1"), text()]), &row), expected);
        assert_eq!(
            written(&Value::Object(vec![entry("b", text()), entry("a", number("1"))]), &row),
            expected
        );
        assert_eq!(written(&Value::List(vec![number("1")]), &row), None, "a field is missing");
        assert_eq!(written(&Value::Object(vec![entry("c", text())]), &row), None, "no such field");
    }

    #[test]
    fn maps_are_blocks_or_texts() {
        let map = data_type("map<time, string>").unwrap();
        let expected = Some(Cell::Map(vec![(Cell::Int(43_286_000_000), Cell::Text("v0".to_owned()))]));
        assert_eq!(written(&Value::String("{ 12:01:26 = v0 }".to_owned()), &map), expected);
        let block = Value::Object(vec![entry("12:01:26", Value::String("v0".to_owned()))]);
        assert_eq!(written(&block, &map), expected);
        assert_eq!(written(&Value::String("{}".to_owned()), &map), Some(Cell::Map(Vec::new())));
        assert_eq!(written(&number("1"), &map), None);
    }

    #[test]
    fn a_column_of_nothing_takes_nothing() {
        assert_eq!(written(&Value::Null, &DataType::Null), Some(Cell::Null));
        assert_eq!(written(&number("1"), &DataType::Null), None);
    }
}
