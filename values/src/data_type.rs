//! The words for types, as job files have them.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

const DECIMAL128_DIGITS_MAX: u8 = 38;
const DECIMAL_DIGITS_MAX: u8 = 76;
/// How deep types may lie in one another.
const DEPTH_MAX: usize = 16;

/// A text that is no type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataTypeError {
    declared: String,
}

impl DataTypeError {
    /// What types there are.
    pub const HINT: &str = "there are: tinyint, smallint, int, bigint (each with `unsigned` behind it, too), float, double, \
         decimal(p, s), boolean, string, bytes, date, time, timestamp, timestamp_tz, interval, null, array<T>, map<K, V>, \
         and a block of fields for a row";
}

impl fmt::Display for DataTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no type that is known", self.declared)
    }
}

impl std::error::Error for DataTypeError {}

/// The type of a declaration: `bigint`, `decimal(10, 2)`, `array<int>`, `map<string, int>`, and
/// `{a = int, b = string}` for a row.
pub fn data_type(declared: &str) -> Result<DataType, DataTypeError> {
    nested(declared.trim(), 0).ok_or_else(|| DataTypeError { declared: declared.to_owned() })
}

/// The array type of these elements.
fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let pair = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)
}

fn nested(declared: &str, depth: usize) -> Option<DataType> {
    if depth > DEPTH_MAX {
        return None;
    }
    let word = declared.to_ascii_lowercase();
    let inside = |name: &str| -> Option<&str> {
        let rest = word.strip_prefix(name)?;
        let rest = declared.get(declared.len() - rest.len()..)?.trim_start();
        Some(rest.strip_prefix('<')?.strip_suffix('>')?.trim())
    };
    if let Some(item) = inside("array") {
        return nested(item, depth + 1).map(list_of);
    }
    if let Some(pair) = inside("map") {
        let parts = cut(pair)?;
        let [key, value] = parts.as_slice() else { return None };
        let key = nested(key, depth + 1).filter(|key| !key.is_nested() && *key != DataType::Null)?;
        return Some(map_of(key, nested(value, depth + 1)?));
    }
    if let Some(fields) = declared.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let field = |field: &str| {
            let (name, declared) = field.split_once(['=', ':'])?;
            let unquoted = |text: &str| text.trim().trim_matches('"').trim().to_owned();
            Some(Field::new(unquoted(name), nested(&unquoted(declared), depth + 1)?, true))
        };
        let fields: Option<Vec<Field>> = cut(fields)?.into_iter().map(field).collect();
        return fields.filter(|fields| !fields.is_empty()).map(|fields| DataType::Struct(fields.into()));
    }
    simple(&word)
}

/// The parts between commas that lie in no brackets.
fn cut(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '{' => depth += 1,
            '>' | ')' | '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(text.get(from..at)?.trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..)?.trim());
    Some(parts)
}

fn simple(word: &str) -> Option<DataType> {
    if let Some(inside) = word.strip_prefix("decimal").map(str::trim) {
        let digits = inside.strip_prefix('(')?.strip_suffix(')')?;
        let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
        let precision: u8 = precision.trim().parse().ok()?;
        let scale: i8 = scale.trim().parse().ok()?;
        let fits = precision > 0 && u8::try_from(scale).is_ok_and(|scale| scale <= precision);
        return match precision {
            1..=DECIMAL128_DIGITS_MAX if fits => Some(DataType::Decimal128(precision, scale)),
            1..=DECIMAL_DIGITS_MAX if fits => Some(DataType::Decimal256(precision, scale)),
            _ => None,
        };
    }
    Some(match word {
        "boolean" => DataType::Boolean,
        "tinyint" | "byte" => DataType::Int8,
        "smallint" | "short" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "tinyint unsigned" => DataType::UInt8,
        "smallint unsigned" => DataType::UInt16,
        "int unsigned" => DataType::UInt32,
        "bigint unsigned" => DataType::UInt64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "bytes" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp_tz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Duration(TimeUnit::Microsecond),
        "null" => DataType::Null,
        _ => return None,
    })
}

/// Whether a column may be said to be of a declared type: equal, or held in another form of the same. Whole
/// numbers without a sign are those with one of the next size, as other programs hold them.
pub fn matches(column: &DataType, declared: &DataType) -> bool {
    use DataType as T;
    match (column, declared) {
        (T::Utf8 | T::LargeUtf8, T::Utf8) => true,
        (T::Binary | T::LargeBinary | T::FixedSizeBinary(_), T::Binary) => true,
        (T::UInt8, T::Int16) | (T::UInt16, T::Int32) | (T::UInt32, T::Int64) => true,
        (T::UInt64, T::Decimal128(20, 0)) => true,
        (T::Timestamp(_, zone), T::Timestamp(_, declared)) => zone.is_some() == declared.is_some(),
        (T::Duration(_) | T::Time64(_), T::Time64(_)) => true,
        (T::List(item), T::List(declared)) => matches(item.data_type(), declared.data_type()),
        (T::Map(pair, _), T::Map(declared, _)) => matches(pair.data_type(), declared.data_type()),
        (T::Struct(fields), T::Struct(declared)) => {
            fields.len() == declared.len()
                && fields
                    .iter()
                    .zip(declared)
                    .all(|(field, declared)| matches(field.data_type(), declared.data_type()))
        }
        _ => column == declared,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn types_are_those_of_job_files() {
        let is = |declared: &str| data_type(declared).unwrap();
        assert_eq!(is("BIGINT"), DataType::Int64);
        assert_eq!(is(" bigint unsigned "), DataType::UInt64);
        assert_eq!(is("decimal(12, 2)"), DataType::Decimal128(12, 2));
        assert_eq!(is("decimal(65,30)"), DataType::Decimal256(65, 30));
        assert_eq!(is("decimal(10)"), DataType::Decimal128(10, 0));
        assert_eq!(is("timestamp"), DataType::Timestamp(TimeUnit::Microsecond, None));
        for refused in [
            "decimal",
            "decimal(0,0)",
            "decimal(5,6)",
            "decimal(77,0)",
            "decimal(5,-1)",
            "row",
            "",
            "array",
            "array<>",
            "array<x>",
            "map<int>",
            "map<array<int>, int>",
            "map<null, int>",
            "{}",
            "{a}",
            "float_vector",
            "map<int, int",
        ] {
            let error = data_type(refused).unwrap_err();
            assert!(error.to_string().contains(refused), "{error}");
        }
    }

    #[test]
    fn types_lie_in_one_another() {
        let DataType::List(item) = data_type("Array<Map<string, decimal(30, 8)>>").unwrap() else { panic!() };
        let DataType::Map(pair, false) = item.data_type() else { panic!() };
        let DataType::Struct(pair) = pair.data_type() else { panic!() };
        assert_eq!(*pair[0].data_type(), DataType::Utf8);
        assert_eq!(*pair[1].data_type(), DataType::Decimal128(30, 8));
        let DataType::Struct(row) =
            data_type("{c_Int = int, b = {x = array<int>}, \"c\" = \"null\"}").unwrap()
        else {
            panic!()
        };
        let names: Vec<&str> = row.iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["c_Int", "b", "c"], "names keep their letters");
        assert_eq!(*row[2].data_type(), DataType::Null);
        let deep = format!("{}int{}", "array<".repeat(20), ">".repeat(20));
        assert!(data_type(&deep).is_err(), "deeper than anybody means");
    }

    #[test]
    fn other_forms_of_a_type_match_it() {
        let is = |column: &DataType, declared: &str| matches(column, &data_type(declared).unwrap());
        assert!(is(&DataType::LargeUtf8, "string") && is(&DataType::UInt32, "bigint"));
        assert!(is(&DataType::UInt64, "decimal(20, 0)") && is(&DataType::UInt64, "bigint unsigned"));
        assert!(!is(&DataType::Int32, "bigint") && !is(&DataType::Utf8, "bytes"));
        assert!(!is(&data_type("timestamp_tz").unwrap(), "timestamp"));
        assert!(is(&data_type("array<string>").unwrap(), "array<string>"));
        assert!(!is(&data_type("array<string>").unwrap(), "array<int>"));
        assert!(!is(&data_type("{a = int}").unwrap(), "{a = int, b = int}"));
    }
}
