//! The form a column has in Debezium's messages: its Connect type, and the name that says what it means.
//!
//! After Debezium's documentation of its connectors for MySQL and PostgreSQL ("Data type mappings"), with
//! the connectors' own defaults: `decimal.handling.mode` precise, `binary.handling.mode` bytes, and the time
//! in the precision of the column.

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{Column, Dialect};

use super::declared::Declared;
use crate::encode::object::{field, quote};

/// Digits that BIGINT UNSIGNED has as a decimal.
const UNSIGNED_DIGITS: u32 = 20;
/// The length of PostgreSQL's `bit varying` without one.
const BITS_UNBOUNDED: u32 = i32::MAX.unsigned_abs();

/// What a column's values become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Boolean,
    /// A single bit.
    Flag,
    /// An integer of this Connect type.
    Int(&'static str),
    /// BIGINT UNSIGNED as an int64: what does not fit is an error.
    Long,
    Year,
    Float,
    Double,
    /// A text; `io.debezium.data.<name>` where it means more.
    Text(Option<&'static str>),
    /// ENUM (`Enum`) or SET (`EnumSet`) and the labels.
    Labels(&'static str, String),
    Bytes,
    /// Bits as little-endian bytes.
    Bits(u32),
    /// A decimal: digits, and digits behind the point.
    Decimal(u32, u32),
    /// A decimal whose points stand where each value has it.
    Variable,
    Date,
    /// Milliseconds, or microseconds, since 1970.
    Timestamp(Precision),
    /// A point in time as text; so many digits of the second, or as many as it needs.
    Zoned(Option<usize>),
    /// Since midnight.
    Time(Precision),
    /// `time with time zone`.
    ZonedTime,
    Interval,
    /// An array of PostgreSQL.
    Array(Box<Form>),
}

/// The unit of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    Millis,
    Micros,
}

impl Precision {
    /// Up to three digits of a second are milliseconds.
    fn of(digits: u32) -> Precision {
        if digits <= 3 { Precision::Millis } else { Precision::Micros }
    }
}

impl Form {
    /// The form of a column. `None`: Debezium's form of it cannot be made.
    pub(super) fn of(column: &Column, unsigned_as_decimal: bool) -> Option<Form> {
        let source = column.source_type.as_ref();
        let declared = source.map(|source| Declared::parse(&source.declaration));
        let dialect = source.map(|source| source.dialect);
        let mysql = declared.as_ref().filter(|_| dialect == Some(Dialect::MySql));
        let postgres = declared.as_ref().filter(|_| dialect == Some(Dialect::Postgres));
        Some(match &column.data_type {
            DataType::Boolean => Form::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Form::Int("int16"),
            DataType::UInt16 if mysql.is_some_and(|declared| declared.word() == "year") => Form::Year,
            DataType::Int32 | DataType::UInt16 => Form::Int("int32"),
            DataType::UInt32 if mysql.is_some_and(|declared| declared.word() == "mediumint") => {
                Form::Int("int32")
            }
            DataType::Int64 | DataType::UInt32 => Form::Int("int64"),
            DataType::UInt64 => match mysql.filter(|declared| declared.word() == "bit") {
                Some(bits) => Form::bits(bits.number(0).unwrap_or(1)),
                None if unsigned_as_decimal => Form::Decimal(UNSIGNED_DIGITS, 0),
                None => Form::Long,
            },
            DataType::Float32 => Form::Float,
            DataType::Float64 => Form::Double,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Form::Decimal(u32::from(*precision), u32::try_from(*scale).ok()?)
            }
            DataType::Date32 => Form::Date,
            DataType::Timestamp(_, Some(_)) => {
                let digits = mysql.map(|declared| declared.number(0).unwrap_or(0));
                Form::Zoned(digits.and_then(|digits| usize::try_from(digits).ok()))
            }
            DataType::Timestamp(_, None) => Form::Timestamp(precision(mysql, postgres)),
            DataType::Time64(TimeUnit::Microsecond) => Form::Time(precision(None, postgres)),
            DataType::Duration(TimeUnit::Microsecond) => Form::Time(Precision::Micros),
            DataType::Utf8 | DataType::LargeUtf8 => match (mysql, postgres) {
                (Some(declared), _) => Form::mysql_text(declared)?,
                (_, Some(declared)) => Form::postgres_text(declared)?,
                _ => Form::Text(None),
            },
            DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => match mysql {
                Some(declared) if is_no_bytes(declared.word()) => return None,
                _ => Form::Bytes,
            },
            _ => return None,
        })
    }

    fn bits(length: u32) -> Form {
        if length == 1 { Form::Flag } else { Form::Bits(length) }
    }

    fn mysql_text(declared: &Declared<'_>) -> Option<Form> {
        Some(match declared.word() {
            "enum" => Form::Labels("Enum", declared.labels()?.join(",")),
            "set" => Form::Labels("EnumSet", declared.labels()?.join(",")),
            "json" => Form::Text(Some("Json")),
            _ => Form::Text(None),
        })
    }

    /// Types that batches hold as text. Of a type by another name nothing is known: its labels, if it is
    /// an enum, are not in the declaration.
    fn postgres_text(declared: &Declared<'_>) -> Option<Form> {
        if let Some(element) = declared.name.strip_suffix("[]") {
            return Form::element(element).map(|element| Form::Array(Box::new(element)));
        }
        Some(match declared.bare() {
            "numeric" if declared.has_arguments() => {
                Form::Decimal(declared.number(0)?, declared.number(1).or(Some(0))?)
            }
            "numeric" => Form::Variable,
            "money" => Form::Decimal(19, 2),
            "bit" => Form::bits(declared.number(0).unwrap_or(1)),
            "bit varying" => Form::Bits(declared.number(0).unwrap_or(BITS_UNBOUNDED)),
            "interval" => Form::Interval,
            "time with time zone" => Form::ZonedTime,
            name => Form::Text(plain_text(name)?),
        })
    }

    /// Elements of arrays, by the name of their type.
    fn element(name: &str) -> Option<Form> {
        Some(match name {
            "boolean" => Form::Boolean,
            "smallint" => Form::Int("int16"),
            "integer" => Form::Int("int32"),
            "bigint" => Form::Int("int64"),
            "real" => Form::Float,
            "double precision" => Form::Double,
            name => Form::Text(plain_text(name.rsplit('.').next()?)?),
        })
    }

    /// The Connect type.
    fn connect_type(&self) -> &'static str {
        match self {
            Form::Boolean | Form::Flag => "boolean",
            Form::Int(name) => name,
            Form::Year | Form::Date | Form::Time(Precision::Millis) => "int32",
            Form::Long | Form::Timestamp(_) | Form::Time(Precision::Micros) | Form::Interval => "int64",
            Form::Float => "float",
            Form::Double => "double",
            Form::Text(_) | Form::Labels(..) | Form::Zoned(_) | Form::ZonedTime => "string",
            Form::Bytes | Form::Bits(_) | Form::Decimal(..) => "bytes",
            Form::Variable => "struct",
            Form::Array(_) => "array",
        }
    }

    /// The name of what the values mean.
    fn meaning(&self) -> Option<String> {
        Some(match self {
            Form::Year => "io.debezium.time.Year".into(),
            Form::Text(Some(name)) | Form::Labels(name, _) => format!("io.debezium.data.{name}"),
            Form::Bits(_) => "io.debezium.data.Bits".into(),
            Form::Decimal(..) => "org.apache.kafka.connect.data.Decimal".into(),
            Form::Variable => "io.debezium.data.VariableScaleDecimal".into(),
            Form::Date => "io.debezium.time.Date".into(),
            Form::Timestamp(Precision::Millis) => "io.debezium.time.Timestamp".into(),
            Form::Timestamp(Precision::Micros) => "io.debezium.time.MicroTimestamp".into(),
            Form::Zoned(_) => "io.debezium.time.ZonedTimestamp".into(),
            Form::Time(Precision::Millis) => "io.debezium.time.Time".into(),
            Form::Time(Precision::Micros) => "io.debezium.time.MicroTime".into(),
            Form::ZonedTime => "io.debezium.time.ZonedTime".into(),
            Form::Interval => "io.debezium.time.MicroDuration".into(),
            _ => return None,
        })
    }

    /// Parameters of the schema.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Form::Labels(_, labels) => vec![("allowed", labels.clone())],
            Form::Bits(length) => vec![("length", length.to_string())],
            Form::Decimal(precision, scale) => {
                vec![("scale", scale.to_string()), ("connect.decimal.precision", precision.to_string())]
            }
            _ => Vec::new(),
        }
    }

    /// The schema, in the words of Kafka Connect's `JsonConverter`; with a name it is a field's.
    pub(super) fn schema(&self, optional: bool, name: Option<&str>, out: &mut String) {
        out.push('{');
        field("type", self.connect_type(), out);
        match self {
            Form::Array(element) => {
                out.push_str("\"items\":");
                element.schema(true, None, out);
                out.push(',');
            }
            Form::Variable => out.push_str(
                "\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"scale\"},\
                 {\"type\":\"bytes\",\"optional\":false,\"field\":\"value\"}],",
            ),
            _ => {}
        }
        out.push_str(if optional { "\"optional\":true" } else { "\"optional\":false" });
        if let Some(meaning) = self.meaning() {
            out.push_str(",\"name\":");
            quote(&meaning, out);
            out.push_str(",\"version\":1");
        }
        let parameters = self.parameters();
        for (place, (key, value)) in parameters.iter().enumerate() {
            out.push_str(if place == 0 { ",\"parameters\":{" } else { "," });
            quote(key, out);
            out.push(':');
            quote(value, out);
        }
        if !parameters.is_empty() {
            out.push('}');
        }
        if let Some(name) = name {
            out.push_str(",\"field\":");
            quote(name, out);
        }
        out.push('}');
    }
}

/// The digits of a second that a point in time without a zone, or a time of day, is declared with.
fn precision(mysql: Option<&Declared<'_>>, postgres: Option<&Declared<'_>>) -> Precision {
    match (mysql, postgres) {
        (Some(declared), _) => Precision::of(declared.number(0).unwrap_or(0)),
        (_, Some(declared)) => declared.number(0).map_or(Precision::Micros, Precision::of),
        _ => Precision::Micros,
    }
}

/// Types of PostgreSQL whose values are texts in Debezium as well, and what the texts mean there.
fn plain_text(name: &str) -> Option<Option<&'static str>> {
    Some(match name {
        "text" | "character varying" | "character" | "\"char\"" | "name" | "citext" | "inet" | "cidr"
        | "macaddr" | "macaddr8" | "int4range" | "int8range" | "numrange" | "tsrange" | "tstzrange"
        | "daterange" => None,
        "json" | "jsonb" => Some("Json"),
        "xml" => Some("Xml"),
        "uuid" => Some("Uuid"),
        "ltree" => Some("Ltree"),
        _ => return None,
    })
}

/// MySQL's types whose bytes are no plain bytes in Debezium.
fn is_no_bytes(word: &str) -> bool {
    matches!(
        word,
        "geometry"
            | "point"
            | "linestring"
            | "polygon"
            | "multipoint"
            | "multilinestring"
            | "multipolygon"
            | "geometrycollection"
            | "geomcollection"
            | "vector"
    )
}
