//! What rows that are there get in a column that a PostgreSQL table was given: the value as that server
//! prints it, as a default of MySQL's.

use arrow_schema::DataType;

use crate::mysql::column_type::base_name;
use crate::mysql::quote;
use culvert_api::sql_text::postgres::unquoted;

/// A literal of PostgreSQL's as the default of a column declared like this; `None` when it has no
/// certain form here.
pub(super) fn default(literal: &str, arrow: &DataType, declared: &str) -> Option<String> {
    let value = unquoted(literal)?;
    let written = match arrow {
        DataType::Boolean => match value.as_str() {
            "t" | "true" => "1".to_owned(),
            "f" | "false" => "0".to_owned(),
            _ => return None,
        },
        DataType::Binary | DataType::LargeBinary => {
            let digits = value.strip_prefix("\\x")?;
            let is_hex = digits.len() % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| format!("x'{digits}'"))?
        }
        // Our sessions speak UTC on both sides, and only MySQL reads an offset.
        DataType::Timestamp(_, Some(_)) => text(value.strip_suffix("+00")?),
        _ => text(&value),
    };
    // Types that lie outside of the row take an expression only.
    Some(match base_name(declared).as_str() {
        "json" | "tinytext" | "text" | "mediumtext" | "longtext" | "blob" | "longblob" => {
            format!("({written})")
        }
        _ => written,
    })
}

fn text(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len() + 2);
    quote::text(value.as_bytes(), &mut out);
    // Text with back-slashes before single bytes of ASCII is text.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use arrow_schema::TimeUnit;

    use super::*;

    #[test]
    fn printed_values_become_defaults() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (literal, arrow, declared, expected) in [
            ("'5'", DataType::Int32, "int", Some("'5'")),
            ("-7", DataType::Int32, "int", Some("'-7'")),
            ("'t'", DataType::Boolean, "tinyint(1)", Some("1")),
            ("false", DataType::Boolean, "tinyint(1)", Some("0")),
            ("'maybe'", DataType::Boolean, "tinyint(1)", None),
            ("'it''s'", DataType::Utf8, "varchar(9)", Some("'it\\'s'")),
            ("E'a\\\\b'", DataType::Utf8, "longtext", Some("('a\\\\b')")),
            ("E'a\\nb'", DataType::Utf8, "longtext", None),
            ("'a\\b'", DataType::Utf8, "varchar(9)", Some("'a\\\\b'")),
            ("E'\\\\x6869'", DataType::Binary, "longblob", Some("(x'6869')")),
            ("'abc'", DataType::Binary, "longblob", None),
            ("'2024-01-01 10:00:00+00'", utc.clone(), "datetime(6)", Some("'2024-01-01 10:00:00'")),
            ("'2024-01-01 10:00:00+02'", utc, "datetime(6)", None),
            ("'{}'", DataType::Utf8, "json", Some("('{}')")),
        ] {
            assert_eq!(default(literal, &arrow, declared).as_deref(), expected, "{literal}");
        }
    }
}
