//! Column types of the target: what a column there takes without loss, and which type a new
//! column gets.

mod postgres;

use arrow_schema::DataType;
use culvert_api::{Column, Dialect, Error, ErrorKind, Finding, Result, SourceType};

use crate::mysql::connect::Server;

/// Longest `varchar` in utf8mb4 that a row can hold; a longer one of a narrower character set
/// becomes a text type.
const VARCHAR_CHARS_MAX: u32 = 16_000;

/// Key columns without a declared length (a transform added them) get this many characters.
const KEY_CHARS: u32 = 255;

/// What kind of values a target column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `tinyint` to `bigint`, and `year`.
    Integer,
    /// `bit(n)`.
    Bit,
    /// `decimal`.
    Decimal,
    /// `float`.
    Float,
    /// `double`.
    Double,
    /// `char` to `longtext`, `enum`, `set`.
    Text,
    /// `json` of MySQL, `uuid`, `inet4`, `inet6`: written as text, held in another form.
    Parsed,
    /// `binary`, `varbinary`, blobs, spatial types, `vector`.
    Binary,
    /// `date`.
    Date,
    /// `datetime(n)`: a wall clock without a zone.
    Datetime,
    /// `timestamp(n)`: an instant; our sessions speak UTC.
    Timestamp,
    /// `time(n)`.
    Time,
    /// A type this version does not know.
    Unknown,
}

/// The family of a type name as `information_schema.columns.data_type` has it.
pub(crate) fn family(data_type: &str) -> Family {
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "year" => Family::Integer,
        "bit" => Family::Bit,
        "decimal" | "numeric" => Family::Decimal,
        "float" => Family::Float,
        "double" | "real" => Family::Double,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => Family::Text,
        "json" | "uuid" | "inet4" | "inet6" => Family::Parsed,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point"
        | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" | "vector" => Family::Binary,
        "date" => Family::Date,
        "datetime" => Family::Datetime,
        "timestamp" => Family::Timestamp,
        "time" => Family::Time,
        _ => Family::Unknown,
    }
}

/// Why values of this Arrow type cannot go into a column of this family without a silent loss;
/// `None` when they can, or when the server itself refuses what does not fit.
pub(crate) fn loss(arrow: &DataType, family: Family) -> Option<&'static str> {
    let float = matches!(arrow, DataType::Float32 | DataType::Float64 | DataType::Float16);
    let fraction =
        matches!(arrow, DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if *scale > 0);
    match family {
        Family::Integer | Family::Bit if float || fraction => Some("the fraction would be rounded away"),
        Family::Decimal if float => Some("a binary fraction would be rounded"),
        Family::Float if matches!(arrow, DataType::Float64) => Some("64 bits would be rounded to 32"),
        Family::Float | Family::Double if fraction => Some("a decimal fraction would be rounded"),
        Family::Float
            if arrow.is_integer()
                && !matches!(
                    arrow,
                    DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16
                ) =>
        {
            Some("large integers would be rounded")
        }
        Family::Double if matches!(arrow, DataType::Int64 | DataType::UInt64) => {
            Some("large integers would be rounded")
        }
        Family::Date | Family::Time if matches!(arrow, DataType::Timestamp(_, _)) => {
            Some("a part of the point in time would be cut off")
        }
        _ => None,
    }
}

/// Whether this version can write values of the Arrow type at all.
pub(crate) fn is_writable(arrow: &DataType) -> bool {
    arrow.is_integer()
        || matches!(
            arrow,
            DataType::Null
                | DataType::Boolean
                | DataType::Float32
                | DataType::Float64
                | DataType::Decimal128(_, _)
                | DataType::Decimal256(_, _)
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::FixedSizeBinary(_)
                | DataType::Date32
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(_, _)
                | DataType::Duration(_)
        )
}

/// The type a new target column gets, without NULL or a default. Text key columns get a collation
/// under which different bytes are different keys: the mirror must never hold fewer keys than the
/// source.
pub(crate) fn declare(column: &Column, in_key: bool, server: &Server) -> Result<String> {
    let declared = match &column.source_type {
        Some(SourceType { dialect: Dialect::MySql, declaration }) => same_family(declaration, server),
        Some(SourceType { dialect: Dialect::Postgres, declaration }) => {
            postgres::declare(declaration, &column.data_type, in_key)
        }
        None => from_arrow(&column.data_type, in_key),
    };
    let declared = declared.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "no column type on the target for column `{}` of type {}",
                column.name,
                column
                    .source_type
                    .as_ref()
                    .map_or_else(|| column.data_type.to_string(), |source| source.declaration.clone())
            ),
        )
        .hint("create the target table by hand, or leave the column out with a transform")
    })?;
    let base = base_name(&declared);
    if in_key && matches!(base.as_str(), "char" | "varchar") {
        return Ok(format!("{declared} COLLATE {}", server.exact_collation()));
    }
    Ok(declared)
}

/// A `varchar` that is no key, as a type that takes no part of the bytes a row may have.
pub(crate) fn off_row(declared: &str) -> Option<&'static str> {
    (base_name(declared) == "varchar").then_some("text")
}

/// Bytes of a row that a declared type can take, as the servers count them against the 65,535 a row
/// may have; what lies elsewhere counts a little.
pub(crate) fn row_bytes(declared: &str) -> usize {
    const PER_COLUMN: usize = 12;
    let length = || declared.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let chars = length().and_then(|(inside, _)| inside.trim().parse::<usize>().ok()).unwrap_or_default();
    match base_name(declared).as_str() {
        "varchar" | "char" => chars * 4 + 2,
        "varbinary" | "binary" => chars + 2,
        "decimal" => chars.max(32),
        _ => PER_COLUMN,
    }
}

/// What a person should know about the column that is made for a source's.
pub(crate) fn remark(column: &Column, in_key: bool, server: &Server) -> Option<Finding> {
    let Some(SourceType { dialect: Dialect::Postgres, declaration }) = &column.source_type else {
        return None;
    };
    let name = &column.name;
    if in_key && postgres::is_unbounded(declaration, &column.data_type) {
        let message = format!(
            "key column `{name}` ({declaration}) has no bound, and a key of the target has: it is created for {KEY_CHARS} \
             characters, and a longer key stops the job"
        );
        return Some(
            Finding::warning(name, message).hint("create the target table by hand with the length you need"),
        );
    }
    if !in_key && !server.mariadb && postgres::is_json(declaration) {
        let message = format!(
            "column `{name}` ({declaration}) is created as json, in which MySQL holds numbers with a fraction, and those \
             past 64 bits, as doubles, and each name of an object once"
        );
        return Some(
            Finding::warning(name, message)
                .hint("create the target column as longtext to keep the text as it is"),
        );
    }
    None
}

/// The first word of a type, in lower case.
pub(crate) fn base_name(declared: &str) -> String {
    let end = declared.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(declared.len());
    declared.get(..end).unwrap_or_default().to_ascii_lowercase()
}

/// A type as a MySQL or MariaDB source declares it, as the target server knows it.
fn same_family(source: &str, server: &Server) -> Option<String> {
    let plain = strip_attributes(source);
    let base = base_name(&plain);
    let argument =
        plain.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inside, _)| inside.trim());
    let length = argument.and_then(|text| text.parse::<u32>().ok());
    let declared = match base.as_str() {
        "varchar" if length.is_some_and(|chars| chars > VARCHAR_CHARS_MAX) => "mediumtext".to_string(),
        "uuid" if !server.mariadb => "char(36)".into(),
        "inet6" if !server.mariadb => "varchar(39)".into(),
        "inet4" if !server.mariadb => "varchar(15)".into(),
        "inet4" if server.version < (10, 10, 0) => "varchar(15)".into(),
        "uuid" if server.version < (10, 7, 0) => "char(36)".into(),
        "vector" if server.mariadb || server.version < (9, 0, 0) => "longblob".into(),
        // Both servers know this spelling; only MySQL knows the short one.
        "geomcollection" => "geometrycollection".into(),
        _ if family(&base) != Family::Unknown => plain,
        _ => return None,
    };
    Some(declared)
}

/// Drops what depends on the source's server: comments such as MariaDB's `/*M!100301 COMPRESSED*/`,
/// and character set and collation, in whose place utf8mb4 comes.
fn strip_attributes(source: &str) -> String {
    let mut text = source.trim().to_string();
    while let Some((before, rest)) = text.split_once("/*") {
        let after = rest.split_once("*/").map(|(_, after)| after).unwrap_or_default();
        text = format!("{} {}", before.trim_end(), after.trim_start());
    }
    // Labels of enum and set may hold any word, so only what follows the last parenthesis is
    // looked at.
    let (head, tail) = match text.rfind(')') {
        Some(at) => text.split_at(at + 1),
        None => (text.as_str(), ""),
    };
    let attributes = |words: &str| {
        let mut kept = Vec::new();
        let mut words = words.split_whitespace();
        while let Some(word) = words.next() {
            match word.to_ascii_lowercase().as_str() {
                "character" => {
                    words.next();
                    words.next();
                }
                "charset" | "collate" => {
                    words.next();
                }
                _ => kept.push(word),
            }
        }
        kept.join(" ")
    };
    match tail {
        "" if text.rfind(')').is_none() => attributes(head),
        _ => format!("{head} {}", attributes(tail)).trim().to_string(),
    }
}

/// The type for a column that no MySQL or MariaDB declared.
fn from_arrow(arrow: &DataType, in_key: bool) -> Option<String> {
    use arrow_schema::TimeUnit;
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
    };
    Some(match arrow {
        DataType::Boolean => "tinyint(1)".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt8 => "tinyint unsigned".into(),
        DataType::UInt16 => "smallint unsigned".into(),
        DataType::UInt32 => "int unsigned".into(),
        DataType::UInt64 => "bigint unsigned".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *precision <= 65 && (0..=30).contains(scale) =>
        {
            format!("decimal({precision},{scale})")
        }
        DataType::Utf8 | DataType::LargeUtf8 if in_key => format!("varchar({KEY_CHARS})"),
        DataType::Utf8 | DataType::LargeUtf8 => "longtext".into(),
        DataType::Binary | DataType::LargeBinary if in_key => format!("varbinary({KEY_CHARS})"),
        DataType::Binary | DataType::LargeBinary => "longblob".into(),
        DataType::FixedSizeBinary(bytes) if (1..=255).contains(bytes) => format!("binary({bytes})"),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(unit, None) => format!("datetime({})", digits(unit)),
        // An instant can lie outside what `timestamp` holds (1970 to 2038), but a wall clock would
        // lose which of two hours is meant; the server refuses what does not fit.
        DataType::Timestamp(unit, Some(_)) => format!("timestamp({})", digits(unit)),
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) => {
            format!("time({})", digits(unit))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn server(mariadb: bool, version: (u16, u16, u16)) -> Server {
        Server { mariadb, version, ..Server::default() }
    }

    fn declared(source: &str, mariadb: bool) -> Option<String> {
        let column = Column {
            name: "c".into(),
            data_type: DataType::Utf8,
            nullable: true,
            source_type: Some(SourceType::mysql(source)),
        };
        let version = if mariadb { (10, 11, 0) } else { (9, 7, 0) };
        declare(&column, false, &server(mariadb, version)).ok()
    }

    #[test]
    fn types_of_the_same_family_are_kept() {
        for same in [
            "int(10) unsigned zerofill",
            "enum('a','it''s) collate x','b')",
            "decimal(65,30)",
            "timestamp(6)",
            "set('x y','z')",
            "bit(64)",
            "year(4)",
            "json",
        ] {
            assert_eq!(declared(same, true).as_deref(), Some(same));
        }
        assert_eq!(
            declared("varchar(50) CHARACTER SET latin1 COLLATE latin1_bin", true).as_deref(),
            Some("varchar(50)")
        );
        assert_eq!(declared("longtext /*M!100301 COMPRESSED*/", true).as_deref(), Some("longtext"));
        assert_eq!(declared("text charset utf8mb3", true).as_deref(), Some("text"));
        assert_eq!(declared("varchar(60000)", true).as_deref(), Some("mediumtext"));
    }

    #[test]
    fn what_the_other_server_lacks_is_mapped_or_refused() {
        assert_eq!(declared("uuid", true).as_deref(), Some("uuid"));
        assert_eq!(declared("uuid", false).as_deref(), Some("char(36)"));
        assert_eq!(declared("inet6", false).as_deref(), Some("varchar(39)"));
        assert_eq!(declared("vector(3)", true).as_deref(), Some("longblob"));
        assert_eq!(declared("vector(3)", false).as_deref(), Some("vector(3)"));
        assert_eq!(declared("geomcollection", true).as_deref(), Some("geometrycollection"));
        assert_eq!(declared("hologram", true), None);
    }

    #[test]
    fn text_keys_compare_by_byte() {
        let column = Column {
            name: "k".into(),
            data_type: DataType::Utf8,
            nullable: false,
            source_type: Some(SourceType::mysql("varchar(20)")),
        };
        assert_eq!(
            declare(&column, true, &server(true, (10, 11, 0))).unwrap(),
            "varchar(20) COLLATE utf8mb4_nopad_bin"
        );
        assert_eq!(
            declare(&column, true, &server(false, (9, 7, 0))).unwrap(),
            "varchar(20) COLLATE utf8mb4_0900_bin"
        );
        let derived = Column::derived("k", DataType::Utf8, false);
        assert!(declare(&derived, true, &server(false, (9, 7, 0))).unwrap().starts_with("varchar(255)"));
    }

    #[test]
    fn silent_losses_are_known() {
        assert!(loss(&DataType::Float64, Family::Float).is_some());
        assert!(loss(&DataType::Float32, Family::Float).is_none());
        assert!(loss(&DataType::Decimal128(10, 2), Family::Integer).is_some());
        assert!(loss(&DataType::Decimal128(20, 0), Family::Integer).is_none());
        assert!(loss(&DataType::Utf8, Family::Integer).is_none());
    }
}
