//! The form in which values of two servers are compared.

/// How the value of a column is shown so that two equal texts mean equal values, also between
/// servers that print the same value in other ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As the server prints it: whole numbers, decimals, dates, texts, and what has no counterpart.
    Printed,
    /// Times of day and points in time, in UTC: without zeros at the end of the fraction.
    Time,
    /// Floating point: the double it is or widens to.
    Real,
    /// Floating point to 14 digits: MySQL prints one less than it takes to tell all doubles apart,
    /// rounds the largest one up, and MariaDB leaves out the sign of zero.
    Rounded,
    /// Truth: 1 and 0.
    Truth,
    /// Bytes in hexadecimal.
    Bytes,
}

impl Shown {
    /// The form for a type as PostgreSQL's `format_type` names it.
    pub(super) fn of_postgres(declared: &str) -> Shown {
        match declared {
            "boolean" => Shown::Truth,
            "bytea" => Shown::Bytes,
            "real" | "double precision" => Shown::Real,
            "time without time zone" | "timestamp without time zone" | "timestamp with time zone" => {
                Shown::Time
            }
            _ => Shown::Printed,
        }
    }

    /// The form for a `DATA_TYPE` of MySQL.
    pub(super) fn of_mysql(declared: &str) -> Shown {
        match declared.to_ascii_lowercase().as_str() {
            "float" | "double" => Shown::Real,
            "time" | "datetime" | "timestamp" => Shown::Time,
            "bit" | "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector"
            | "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => Shown::Bytes,
            _ => Shown::Printed,
        }
    }

    /// What a server is asked for: a column of this form in its own SQL.
    pub(super) fn expression(self, column: &str, postgres: bool) -> String {
        match (self, postgres) {
            (Shown::Bytes, true) => format!("upper(encode({column}, 'hex'))"),
            (Shown::Bytes, false) => format!("HEX({column})"),
            (Shown::Real | Shown::Rounded, true) => format!("{column}::float8"),
            (Shown::Real | Shown::Rounded, false) => format!("CONCAT({column} * 1e0)"),
            (Shown::Truth, true) => format!("{column}::int"),
            (Shown::Truth | Shown::Printed | Shown::Time, _) => column.to_owned(),
        }
    }

    /// The answer in the one form.
    pub fn canonical(self, text: String) -> String {
        match self {
            Shown::Time => without_trailing_zeros(&text),
            Shown::Real => text.parse::<f64>().map_or(text, |value| format!("{value:?}")),
            Shown::Rounded => rounded(text),
            Shown::Printed | Shown::Truth | Shown::Bytes => text,
        }
    }
}

fn rounded(text: String) -> String {
    let smaller = text.replace("e+308", "e300").replace("e308", "e300");
    match smaller.parse::<f64>() {
        Ok(value) if value.is_finite() => format!("{:.13e}", value + 0.0),
        _ => text,
    }
}

/// `12:00:00.500000+00` becomes `12:00:00.5`: sessions are in UTC, and only one server says so.
fn without_trailing_zeros(text: &str) -> String {
    let text = text.strip_suffix("+00").unwrap_or(text);
    match text.split_once('.') {
        Some((seconds, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { seconds.to_owned() } else { format!("{seconds}.{fraction}") }
        }
        _ => text.to_owned(),
    }
}
