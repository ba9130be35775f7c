//! The type a new target column gets.
//!
//! | source | here |
//! |---|---|
//! | PostgreSQL, a type the target has | the same |
//! | PostgreSQL, another type (enum, composite, extension) | what holds its text, with a finding |
//! | MySQL, MariaDB | the type that holds every value, see `from_mysql` |
//! | a column of a transform | by its Arrow type |

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{Column, Dialect, Error, ErrorKind, Finding, Result, SourceType};

use crate::postgres::connect::Session;

/// Longest `character varying(n)` of the server.
const VARCHAR_CHARS_MAX: u32 = 10_485_760;

/// The declared types of new columns, in the order of the columns; asks the target which types it has.
pub(crate) async fn types(
    session: &mut Session,
    columns: &[Column],
    table: &str,
) -> Result<(Vec<String>, Vec<Finding>)> {
    let foreign: Vec<String> = columns.iter().filter_map(foreign_type).map(str::to_string).collect();
    let known = session.known_types(&foreign).await?;
    let mut findings = Vec::new();
    let mut types = Vec::with_capacity(columns.len());
    for column in columns {
        let same = foreign_type(column);
        if let Some(same) = same
            && known.iter().any(|name| name == same)
        {
            types.push(same.to_string());
            continue;
        }
        let declared = declared(column)?;
        if let Some(lacking) = same {
            findings.push(
                Finding::warning(
                    table,
                    format!(
                        "the target has no type {lacking} for column {}, which becomes {declared}",
                        column.name
                    ),
                )
                .hint(format!("create the type {lacking} on the target before the table is made")),
            );
        }
        types.push(declared);
    }
    Ok((types, findings))
}

/// A declaration of PostgreSQL's, which the target may know as it is.
fn foreign_type(column: &Column) -> Option<&str> {
    match &column.source_type {
        Some(SourceType { dialect: Dialect::Postgres, declaration }) => Some(declaration),
        _ => None,
    }
}

/// The type by MySQL's declaration or by the Arrow type.
pub(crate) fn declared(column: &Column) -> Result<String> {
    let by_mysql = match &column.source_type {
        Some(SourceType { dialect: Dialect::MySql, declaration }) => from_mysql(declaration),
        _ => None,
    };
    by_mysql.or_else(|| from_arrow(&column.data_type)).ok_or_else(|| {
        let message =
            format!("no column type on the target for column `{}` of type {}", column.name, column.data_type);
        Error::new(ErrorKind::Unsupported, message)
            .hint("create the target table by hand, or leave the column out with a transform")
    })
}

/// A declaration of MySQL or MariaDB. `None` for types whose Arrow form decides.
fn from_mysql(declaration: &str) -> Option<String> {
    let lower = declaration.trim().to_ascii_lowercase();
    let base = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    let unsigned = match lower.rfind(')') {
        Some(at) => {
            lower.get(at..).is_some_and(|tail| tail.contains("unsigned") || tail.contains("zerofill"))
        }
        None => lower.contains("unsigned") || lower.contains("zerofill"),
    };
    let argument =
        lower.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner.trim());
    let length = argument.and_then(|text| text.parse::<u32>().ok());
    Some(match base {
        // tinyint(1) holds -128 to 127, whatever it is used for.
        "tinyint" | "year" => "smallint".into(),
        "smallint" if !unsigned => "smallint".into(),
        "smallint" | "mediumint" => "integer".into(),
        "int" | "integer" if !unsigned => "integer".into(),
        "int" | "integer" => "bigint".into(),
        "bigint" if !unsigned => "bigint".into(),
        "bigint" => "numeric(20,0)".into(),
        "bit" if length.unwrap_or(1) == 1 => "boolean".into(),
        "bit" => format!("bit({})", length.unwrap_or(1)),
        "char" | "varchar" => match length {
            Some(chars @ 1..=VARCHAR_CHARS_MAX) => format!("character varying({chars})"),
            _ => "text".into(),
        },
        "enum" | "set" | "tinytext" | "text" | "mediumtext" | "longtext" => "text".into(),
        "json" => "json".into(),
        "uuid" => "uuid".into(),
        "inet4" | "inet6" => "inet".into(),
        "datetime" => format!("timestamp({}) without time zone", length.unwrap_or(0).min(6)),
        "timestamp" => format!("timestamp({}) with time zone", length.unwrap_or(0).min(6)),
        // A time there goes from -838:59:59 to 838:59:59: a span, not a time of day.
        "time" => "interval".into(),
        _ => return None,
    })
}

/// The type for a column that no database declared, or in a way the target does not know.
fn from_arrow(arrow: &DataType) -> Option<String> {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
    };
    Some(match arrow {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "integer".into(),
        DataType::Int64 | DataType::UInt32 => "bigint".into(),
        DataType::UInt64 => "numeric(20,0)".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            match u8::try_from(*scale) {
                Ok(scale) if scale <= *precision => {
                    format!("numeric({precision},{scale})")
                }
                _ => "numeric".into(),
            }
        }
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => "bytea".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(unit, None) => format!("timestamp({}) without time zone", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("timestamp({}) with time zone", digits(unit)),
        DataType::Time32(unit) | DataType::Time64(unit) => {
            format!("time({}) without time zone", digits(unit))
        }
        DataType::Duration(_) => "interval".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn types_of_mysql_have_a_home_for_every_value() {
        for (mysql, here) in [
            ("tinyint(1)", Some("smallint")),
            ("tinyint(3) unsigned", Some("smallint")),
            ("smallint(5) unsigned", Some("integer")),
            ("mediumint(8) unsigned zerofill", Some("integer")),
            ("int(11)", Some("integer")),
            ("int(10) unsigned", Some("bigint")),
            ("bigint(20) unsigned", Some("numeric(20,0)")),
            ("bit(1)", Some("boolean")),
            ("bit(64)", Some("bit(64)")),
            ("year(4)", Some("smallint")),
            ("varchar(50) CHARACTER SET latin1", Some("character varying(50)")),
            ("char(0)", Some("text")),
            ("enum('unsigned','b')", Some("text")),
            ("datetime", Some("timestamp(0) without time zone")),
            ("timestamp(6)", Some("timestamp(6) with time zone")),
            ("time(3)", Some("interval")),
            ("decimal(65,30)", None),
            ("longblob", None),
        ] {
            assert_eq!(from_mysql(mysql).as_deref(), here, "{mysql}");
        }
    }

    #[test]
    fn arrow_types_have_a_home() {
        assert_eq!(from_arrow(&DataType::Decimal256(65, 30)).as_deref(), Some("numeric(65,30)"));
        assert_eq!(from_arrow(&DataType::UInt32).as_deref(), Some("bigint"));
        assert_eq!(from_arrow(&DataType::Binary).as_deref(), Some("bytea"));
        let column = Column::derived("c", DataType::new_list(DataType::Int8, true), true);
        assert_eq!(declared(&column).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
