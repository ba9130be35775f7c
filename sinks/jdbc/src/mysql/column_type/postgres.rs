//! Types of PostgreSQL as columns of MySQL and MariaDB: every value a source sends must have a form
//! there, or be refused by the server, never be changed.
//!
//! Numbers, dates and bytes follow from the Arrow type. For what travels as text the declaration
//! tells how long it can be; text without a bound becomes `longtext`, which cannot be a key, so key
//! columns get 255 characters, and a longer key stops the job.

use arrow_schema::{DataType, TimeUnit};

use crate::mysql::column_type::{KEY_CHARS, from_arrow};

/// Longest declared length that becomes a `varchar`; the columns of a row share 65,535 bytes.
const VARCHAR_CHARS_MAX: u32 = 255;

/// Characters a `text` column holds whatever they are (65,535 bytes, four per character).
const TEXT_CHARS_MAX: u32 = 16_383;

/// Types whose values are short texts, and the characters the longest one can have.
const SHORT_TEXTS: &[(&str, u32)] = &[
    ("uuid", 36),
    // One byte, or a back-slash and three octal digits.
    ("\"char\"", 4),
    // 63 bytes.
    ("name", 63),
    // A currency sign, groups and decimals as the server's locale has them.
    ("money", 64),
    // -178000000 years -11 mons -2147483648 days -2562047788:00:54.775808
    ("interval", 100),
    // 24:00:00.123456+15:59:59
    ("time with time zone", 32),
    ("inet", 64),
    ("cidr", 64),
    ("macaddr", 17),
    ("macaddr8", 23),
    ("pg_lsn", 17),
];

/// The column type for a type as `format_type` prints it; `None` when there is none.
pub(super) fn declare(declaration: &str, arrow: &DataType, in_key: bool) -> Option<String> {
    let (name, length) = split(declaration);
    Some(match arrow {
        // `from_arrow` has a `timestamp` for instants, which ends in 2038. The source gives instants
        // in UTC, and so does a wall clock hold each of them.
        DataType::Timestamp(TimeUnit::Microsecond, _) => format!("datetime({})", digits(length)),
        DataType::Time64(TimeUnit::Microsecond) => format!("time({})", digits(length)),
        // More digits than the target's decimals have: the text of the number.
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *precision > 65 || !(0..=30).contains(scale) =>
        {
            format!("varchar({})", u32::from(*precision) + 3)
        }
        DataType::Utf8 | DataType::LargeUtf8 => text(&name, length, in_key),
        other => from_arrow(other, in_key)?,
    })
}

fn text(name: &str, length: Option<u32>, in_key: bool) -> String {
    let short = SHORT_TEXTS.iter().find(|(known, _)| *known == name).map(|(_, chars)| *chars);
    let chars = match name {
        // `char(n)` of the target would take the blanks away that belong to the value here.
        "character varying" | "character" | "bit" | "bit varying" => length,
        _ => short,
    };
    match (name, chars) {
        ("uuid", _) => "char(36)".into(),
        (_, Some(chars)) if in_key || chars <= VARCHAR_CHARS_MAX => format!("varchar({chars})"),
        (_, None) if in_key => format!("varchar({KEY_CHARS})"),
        (_, Some(chars)) if chars <= TEXT_CHARS_MAX => "text".into(),
        ("json" | "jsonb", None) => "json".into(),
        _ => "longtext".into(),
    }
}

/// Whether the type is text without a bound, which a key column has to be given one for.
pub(super) fn is_unbounded(declaration: &str, arrow: &DataType) -> bool {
    let (name, length) = split(declaration);
    match arrow {
        DataType::Utf8 | DataType::LargeUtf8 => {
            let is_short = SHORT_TEXTS.iter().any(|(known, _)| *known == name);
            let has_length = length.is_some()
                && matches!(name.as_str(), "character varying" | "character" | "bit" | "bit varying");
            !is_short && !has_length
        }
        DataType::Binary | DataType::LargeBinary => true,
        _ => false,
    }
}

/// Whether the type is JSON.
pub(super) fn is_json(declaration: &str) -> bool {
    matches!(declaration, "json" | "jsonb")
}

/// Digits of a second: as declared, otherwise six.
fn digits(length: Option<u32>) -> u32 {
    length.filter(|digits| *digits <= 6).unwrap_or(6)
}

/// The type's name and the one number in its parentheses: `timestamp(3) with time zone` is
/// `timestamp with time zone` and 3. Arrays and types with more than a number keep what they have.
fn split(declaration: &str) -> (String, Option<u32>) {
    let whole = || (declaration.to_owned(), None);
    if declaration.ends_with(']') || declaration.starts_with('"') {
        return whole();
    }
    let Some((before, rest)) = declaration.split_once('(') else { return whole() };
    let Some((inside, after)) = rest.split_once(')') else { return whole() };
    match inside.trim().parse::<u32>() {
        Ok(length) => (format!("{before}{after}"), Some(length)),
        Err(_) => whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_text(declaration: &str, in_key: bool) -> String {
        declare(declaration, &DataType::Utf8, in_key).unwrap_or_default()
    }

    #[test]
    fn texts_get_the_room_they_need() {
        for (declaration, column, key) in [
            ("text", "longtext", "varchar(255)"),
            ("character varying", "longtext", "varchar(255)"),
            ("character varying(50)", "varchar(50)", "varchar(50)"),
            ("character varying(256)", "text", "varchar(256)"),
            ("character varying(16384)", "longtext", "varchar(16384)"),
            ("character(3)", "varchar(3)", "varchar(3)"),
            ("character varying(50)[]", "longtext", "varchar(255)"),
            ("bit(8)", "varchar(8)", "varchar(8)"),
            ("bit varying(9)", "varchar(9)", "varchar(9)"),
            ("bit varying", "longtext", "varchar(255)"),
            ("uuid", "char(36)", "char(36)"),
            ("json", "json", "varchar(255)"),
            ("jsonb", "json", "varchar(255)"),
            ("jsonb[]", "longtext", "varchar(255)"),
            ("numeric", "longtext", "varchar(255)"),
            ("numeric(90,2)", "longtext", "varchar(255)"),
            ("interval", "varchar(100)", "varchar(100)"),
            ("interval(3)", "varchar(100)", "varchar(100)"),
            ("interval day to second(3)", "longtext", "varchar(255)"),
            ("time(3) with time zone", "varchar(32)", "varchar(32)"),
            ("\"char\"", "varchar(4)", "varchar(4)"),
            ("name", "varchar(63)", "varchar(63)"),
            ("inet", "varchar(64)", "varchar(64)"),
            ("public.mood", "longtext", "varchar(255)"),
            ("public.\"a(7)\"", "longtext", "varchar(255)"),
            ("integer[]", "longtext", "varchar(255)"),
            ("geometry(Point,4326)", "longtext", "varchar(255)"),
        ] {
            assert_eq!(as_text(declaration, false), column, "{declaration}");
            assert_eq!(as_text(declaration, true), key, "{declaration}");
            assert_eq!(is_unbounded(declaration, &DataType::Utf8), key == "varchar(255)", "{declaration}");
        }
    }

    #[test]
    fn numbers_and_times_keep_every_value() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let local = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (declaration, arrow, column) in [
            ("boolean", DataType::Boolean, "tinyint(1)"),
            ("smallint", DataType::Int16, "smallint"),
            ("integer", DataType::Int32, "int"),
            ("bigint", DataType::Int64, "bigint"),
            ("oid", DataType::UInt32, "int unsigned"),
            ("real", DataType::Float32, "float"),
            ("double precision", DataType::Float64, "double"),
            ("numeric(10,2)", DataType::Decimal128(10, 2), "decimal(10,2)"),
            ("numeric(65,30)", DataType::Decimal256(65, 30), "decimal(65,30)"),
            ("numeric(66,2)", DataType::Decimal256(66, 2), "varchar(69)"),
            ("numeric(38,31)", DataType::Decimal128(38, 31), "varchar(41)"),
            ("bytea", DataType::Binary, "longblob"),
            ("date", DataType::Date32, "date"),
            ("timestamp without time zone", local.clone(), "datetime(6)"),
            ("timestamp(0) without time zone", local, "datetime(0)"),
            ("timestamp(3) with time zone", utc.clone(), "datetime(3)"),
            ("timestamp with time zone", utc, "datetime(6)"),
            ("time without time zone", DataType::Time64(TimeUnit::Microsecond), "time(6)"),
            ("time(2) without time zone", DataType::Time64(TimeUnit::Microsecond), "time(2)"),
        ] {
            assert_eq!(declare(declaration, &arrow, false).as_deref(), Some(column), "{declaration}");
        }
        assert_eq!(declare("bytea", &DataType::Binary, true).as_deref(), Some("varbinary(255)"));
        assert!(is_unbounded("bytea", &DataType::Binary));
        assert!(!is_unbounded("integer", &DataType::Int32));
    }
}
