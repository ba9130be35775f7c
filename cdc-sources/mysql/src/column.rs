//! Columns as MySQL and MariaDB declare them, and the Arrow types their values become.
//!
//! The mapping is lossless or refused: unsigned integers stay unsigned, DECIMAL keeps its digits
//! (up to the 65 the servers allow), TIME keeps its sign and its hours past 24, DATETIME has no
//! time zone and TIMESTAMP is an instant.

mod parse;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{Column, Error, ErrorKind, Result, SourceType};
use serde::{Deserialize, Serialize};

use crate::charset::Charset;

/// What a column holds. Lengths and precisions as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MySqlType {
    /// TINYINT (1 byte) to BIGINT (8 bytes); MEDIUMINT has 3.
    Int {
        /// Bytes on the wire: 1, 2, 3, 4 or 8.
        bytes: u8,
        /// UNSIGNED.
        unsigned: bool,
    },
    /// DECIMAL(precision, scale).
    Decimal {
        /// All digits, 1 to 65.
        precision: u8,
        /// Digits after the point, 0 to 38.
        scale: u8,
        /// UNSIGNED.
        unsigned: bool,
    },
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// BIT(bits), 1 to 64.
    Bit {
        /// How many.
        bits: u8,
    },
    /// YEAR.
    Year,
    /// DATE.
    Date,
    /// TIME(fsp).
    Time {
        /// Digits of the fraction, 0 to 6.
        fsp: u8,
    },
    /// DATETIME(fsp).
    DateTime {
        /// Digits of the fraction, 0 to 6.
        fsp: u8,
    },
    /// TIMESTAMP(fsp).
    Timestamp {
        /// Digits of the fraction, 0 to 6.
        fsp: u8,
    },
    /// CHAR: trailing blanks do not count.
    Char,
    /// VARCHAR.
    VarChar,
    /// TINYTEXT to LONGTEXT.
    Text,
    /// BINARY(length): padded with zero bytes.
    Binary {
        /// Bytes of every value, 0 to 255.
        length: u16,
    },
    /// VARBINARY.
    VarBinary,
    /// TINYBLOB to LONGBLOB.
    Blob,
    /// ENUM.
    Enum {
        /// The labels; the first has number 1.
        labels: Vec<String>,
    },
    /// SET.
    Set {
        /// The labels; the first is the lowest bit.
        labels: Vec<String>,
    },
    /// MySQL's JSON. MariaDB's is LONGTEXT.
    Json,
    /// GEOMETRY and its subtypes.
    Geometry,
    /// VECTOR.
    Vector,
    /// MariaDB's UUID.
    Uuid,
    /// MariaDB's INET4.
    Inet4,
    /// MariaDB's INET6.
    Inet6,
}

/// What becomes of dates that are none: `0000-00-00`, a zero month or day, 31 February
/// (all of which a server accepts in some `sql_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroDatePolicy {
    /// The row cannot be converted.
    #[default]
    Fail,
    /// NULL. Date columns then count as nullable, whatever the table says.
    Null,
}

/// How values become Arrow values, beyond what the column says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The zone TIMESTAMP columns are labelled with. The values are instants in any case.
    pub timestamp_zone: Arc<str>,
    /// Dates that are none.
    pub zero_dates: ZeroDatePolicy,
    /// The most bytes the rows of one compressed event may expand to.
    pub expanded_bytes_max: usize,
}

impl Default for Conversion {
    /// UTC, fail, 1 GiB (the largest packet a server sends).
    fn default() -> Conversion {
        Conversion {
            timestamp_zone: Arc::from("UTC"),
            zero_dates: ZeroDatePolicy::Fail,
            expanded_bytes_max: 1 << 30,
        }
    }
}

/// One column of a table. Stored in the schema history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MySqlColumn {
    /// Its name.
    pub name: String,
    /// Its type as `information_schema.columns.column_type` writes it.
    pub column_type: String,
    /// The same, understood.
    pub kind: MySqlType,
    /// Whether NULL may occur.
    pub nullable: bool,
    /// Charset of CHAR, VARCHAR, TEXT, ENUM and SET.
    pub charset: Option<Charset>,
}

impl MySqlColumn {
    /// A column from its row in `information_schema.columns`: `column_type` and, for character
    /// types, `character_set_name`. Errors with `Unsupported` and the column's name for types and
    /// charsets this version cannot decode.
    pub fn new(
        name: impl Into<String>,
        column_type: impl Into<String>,
        nullable: bool,
        charset: Option<&str>,
    ) -> Result<MySqlColumn> {
        let (name, column_type) = (name.into(), column_type.into());
        let build = || {
            let charset = charset.map(Charset::from_name).transpose()?;
            let kind = MySqlType::parse(&column_type, charset)?;
            // Labels of a binary ENUM or SET are names all the same.
            let charset = charset.filter(|charset| *charset != Charset::BINARY);
            let charset = kind.is_text().then(|| charset.unwrap_or(Charset::UTF8MB4));
            Ok((kind, charset))
        };
        let (kind, charset) = build().map_err(|error: Error| error.context("column", &name))?;
        Ok(MySqlColumn { name, column_type, kind, nullable, charset })
    }

    /// The Arrow type of its values.
    pub fn data_type(&self, conversion: &Conversion) -> DataType {
        self.kind.data_type(&conversion.timestamp_zone)
    }

    /// Whether NULL may occur in Arrow: also where a date that is none becomes NULL.
    pub fn arrow_nullable(&self, conversion: &Conversion) -> bool {
        self.nullable || (conversion.zero_dates == ZeroDatePolicy::Null && self.kind.has_zero_dates())
    }

    pub(crate) fn has_labels(&self) -> bool {
        matches!(self.kind, MySqlType::Enum { .. } | MySqlType::Set { .. })
    }

    /// The column as the rest of the service knows it.
    pub fn to_column(&self, conversion: &Conversion) -> Column {
        Column {
            name: self.name.clone(),
            data_type: self.data_type(conversion),
            nullable: self.arrow_nullable(conversion),
            source_type: Some(SourceType::mysql(&self.column_type)),
        }
    }
}

impl MySqlType {
    /// The Arrow type its values become; TIMESTAMP carries this zone.
    pub fn data_type(&self, zone: &Arc<str>) -> DataType {
        match self {
            MySqlType::Int { bytes: 1, unsigned: false } => DataType::Int8,
            MySqlType::Int { bytes: 1, unsigned: true } => DataType::UInt8,
            MySqlType::Int { bytes: 2, unsigned: false } => DataType::Int16,
            MySqlType::Int { bytes: 2, unsigned: true } => DataType::UInt16,
            MySqlType::Int { bytes: 3 | 4, unsigned: false } => DataType::Int32,
            MySqlType::Int { bytes: 3 | 4, unsigned: true } => DataType::UInt32,
            MySqlType::Int { unsigned: false, .. } => DataType::Int64,
            MySqlType::Int { unsigned: true, .. } | MySqlType::Bit { .. } => DataType::UInt64,
            MySqlType::Decimal { precision, scale, .. } => {
                // The scale is at most 38.
                let scale = i8::try_from(*scale).unwrap_or(i8::MAX);
                if *precision <= 38 {
                    DataType::Decimal128(*precision, scale)
                } else {
                    DataType::Decimal256(*precision, scale)
                }
            }
            MySqlType::Float => DataType::Float32,
            MySqlType::Double => DataType::Float64,
            MySqlType::Year => DataType::UInt16,
            MySqlType::Date => DataType::Date32,
            MySqlType::Time { .. } => DataType::Duration(TimeUnit::Microsecond),
            MySqlType::DateTime { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            MySqlType::Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone))),
            MySqlType::Char
            | MySqlType::VarChar
            | MySqlType::Text
            | MySqlType::Enum { .. }
            | MySqlType::Set { .. }
            | MySqlType::Json
            | MySqlType::Uuid
            | MySqlType::Inet4
            | MySqlType::Inet6 => DataType::Utf8,
            MySqlType::Binary { .. }
            | MySqlType::VarBinary
            | MySqlType::Blob
            | MySqlType::Geometry
            | MySqlType::Vector => DataType::Binary,
        }
    }

    /// Whether its values are in a charset of the column.
    pub fn is_text(&self) -> bool {
        matches!(
            self,
            MySqlType::Char
                | MySqlType::VarChar
                | MySqlType::Text
                | MySqlType::Enum { .. }
                | MySqlType::Set { .. }
        )
    }

    fn has_zero_dates(&self) -> bool {
        matches!(self, MySqlType::Date | MySqlType::DateTime { .. } | MySqlType::Timestamp { .. })
    }
}

fn unsupported(column_type: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("column type `{column_type}` is not supported"))
}
