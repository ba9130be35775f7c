//! Reads a column type as the servers write it in `information_schema` and in DDL.

use culvert_api::Result;

use super::{MySqlType, unsupported};
use crate::charset::Charset;

/// A type's name, the arguments in its parentheses, and the words after them.
struct Parts<'a> {
    name: String,
    arguments: &'a str,
    tail: String,
}

impl MySqlType {
    /// Understands a full type text such as `int(10) unsigned` or `enum('a','b')`. The charset
    /// turns CHAR, VARCHAR and TEXT into their binary twins when it is `binary`. Errors with
    /// `Unsupported` and the text.
    pub fn parse(column_type: &str, charset: Option<Charset>) -> Result<MySqlType> {
        let text = column_type.trim();
        let parts = split(text).ok_or_else(|| unsupported(text))?;
        let kind = parts.resolve().ok_or_else(|| unsupported(text))?;
        if charset != Some(Charset::BINARY) {
            return Ok(kind);
        }
        Ok(match kind {
            MySqlType::Char => MySqlType::Binary { length: parts.number(0).unwrap_or(Some(1)).unwrap_or(1) },
            MySqlType::VarChar => MySqlType::VarBinary,
            MySqlType::Text => MySqlType::Blob,
            other => other,
        })
    }
}

/// Cuts `name(arguments) tail`. Comments (MariaDB marks old formats and compressed columns with
/// them) say nothing about the values.
fn split(text: &str) -> Option<Parts<'_>> {
    let (head, arguments, tail) = match text.find('(') {
        Some(open) => {
            let (head, rest) = text.split_at_checked(open)?;
            let inner = rest.get(1..)?;
            let close = closing(inner)?;
            (head, inner.get(..close)?, inner.get(close + 1..)?)
        }
        None => (text, "", ""),
    };
    let mut words = head.split("/*").next()?.split_ascii_whitespace().map(str::to_ascii_lowercase);
    let name = words.next()?;
    let mut rest: Vec<String> = words.collect();
    rest.extend(tail.split("/*").next()?.split_ascii_whitespace().map(str::to_ascii_lowercase));
    Some(Parts { name, arguments, tail: rest.join(" ") })
}

/// Where the parenthesis closes, outside quotes.
fn closing(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut bytes = inner.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (quote, byte) {
            (None, b')') => return Some(at),
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(_), b'\\') => _ = bytes.next(),
            // A doubled quote closes and opens again, which comes to the same.
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

impl Parts<'_> {
    fn has(&self, word: &str) -> bool {
        self.tail.split(' ').any(|w| w == word)
    }

    /// The argument at this place: `Some(None)` when there is none, `None` when it is no number.
    fn number<T: std::str::FromStr>(&self, place: usize) -> Option<Option<T>> {
        match self.arguments.split(',').map(str::trim).filter(|part| !part.is_empty()).nth(place) {
            Some(text) => text.parse().ok().map(Some),
            None => Some(None),
        }
    }

    fn int(&self, bytes: u8) -> MySqlType {
        // ZEROFILL columns are unsigned without the word.
        MySqlType::Int { bytes, unsigned: self.has("unsigned") || self.has("zerofill") }
    }

    fn fsp(&self) -> Option<u8> {
        self.number::<u8>(0)?.or(Some(0)).filter(|fsp| *fsp <= 6)
    }

    fn resolve(&self) -> Option<MySqlType> {
        Some(match self.name.as_str() {
            "tinyint" | "int1" | "bool" | "boolean" => self.int(1),
            "smallint" | "int2" => self.int(2),
            "mediumint" | "int3" | "middleint" => self.int(3),
            "int" | "integer" | "int4" => self.int(4),
            "bigint" | "int8" => self.int(8),
            "serial" => MySqlType::Int { bytes: 8, unsigned: true },
            "decimal" | "numeric" | "dec" | "fixed" => self.decimal()?,
            "float" | "float4" => self.float()?,
            "double" | "real" | "float8" => MySqlType::Double,
            "bit" => {
                MySqlType::Bit { bits: self.number(0)?.or(Some(1)).filter(|bits| (1..=64).contains(bits))? }
            }
            "year" => MySqlType::Year,
            "date" => MySqlType::Date,
            "time" => MySqlType::Time { fsp: self.fsp()? },
            "datetime" => MySqlType::DateTime { fsp: self.fsp()? },
            "timestamp" => MySqlType::Timestamp { fsp: self.fsp()? },
            "char" | "character" | "nchar" | "national" => {
                let varying = ["varying", "varchar", "varcharacter"].iter().any(|word| self.has(word));
                if varying { MySqlType::VarChar } else { MySqlType::Char }
            }
            "varchar" | "varcharacter" | "nvarchar" => MySqlType::VarChar,
            "tinytext" | "text" | "mediumtext" | "longtext" => MySqlType::Text,
            "long" if self.has("varbinary") => MySqlType::Blob,
            "long" => MySqlType::Text,
            "binary" => MySqlType::Binary { length: self.number(0)?.unwrap_or(1) },
            "varbinary" => MySqlType::VarBinary,
            "tinyblob" | "blob" | "mediumblob" | "longblob" => MySqlType::Blob,
            "enum" => MySqlType::Enum { labels: labels(self.arguments)? },
            "set" => MySqlType::Set { labels: labels(self.arguments).filter(|labels| labels.len() <= 64)? },
            "json" => MySqlType::Json,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => MySqlType::Geometry,
            "vector" => MySqlType::Vector,
            "uuid" => MySqlType::Uuid,
            "inet4" => MySqlType::Inet4,
            "inet6" => MySqlType::Inet6,
            _ => return None,
        })
    }

    fn decimal(&self) -> Option<MySqlType> {
        // DECIMAL(0) means DECIMAL(10), as without an argument.
        let precision = self.number::<u8>(0)?.filter(|p| *p > 0).unwrap_or(10);
        let scale = self.number::<u8>(1)?.unwrap_or(0);
        let unsigned = self.has("unsigned") || self.has("zerofill");
        let valid = precision <= 65 && scale <= 38 && scale <= precision;
        valid.then_some(MySqlType::Decimal { precision, scale, unsigned })
    }

    /// FLOAT(p) is a DOUBLE from 25 bits on; FLOAT(m,d) never is.
    fn float(&self) -> Option<MySqlType> {
        let bits = self.number::<u8>(0)?.unwrap_or(0);
        let wide = bits > 24 && self.number::<u8>(1)?.is_none();
        Some(if wide { MySqlType::Double } else { MySqlType::Float })
    }
}

/// The labels of an ENUM or SET. Servers double quotes and write backslash, line feed, carriage
/// return and NUL with a backslash.
fn labels(arguments: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    let mut chars = arguments.chars().peekable();
    loop {
        let quote = chars.by_ref().find(|c| !c.is_ascii_whitespace())?;
        if quote != '\'' && quote != '"' {
            return None;
        }
        let mut label = String::new();
        loop {
            match chars.next()? {
                '\\' => label.push(match chars.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '0' => '\0',
                    'b' => '\u{8}',
                    'Z' => '\u{1a}',
                    other => other,
                }),
                c if c == quote && chars.peek() == Some(&quote) => label.extend(chars.next()),
                c if c == quote => break,
                c => label.push(c),
            }
        }
        labels.push(label);
        match chars.by_ref().find(|c| !c.is_ascii_whitespace()) {
            None => return Some(labels),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}
