//! How a column's values lie in the log, from the table map, checked against the column's
//! declared type.

use culvert_api::{Error, ErrorKind, Result};

use super::column_type as ty;
use crate::charset::Charset;
use crate::column::{MySqlColumn, MySqlType};
use crate::event::{ColumnMeta, TableMap, TableMetadata};

/// How a value lies in a row image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// An integer of so many bytes, lowest first.
    Int(u8),
    /// IEEE 754, four bytes, lowest first.
    Float,
    /// IEEE 754, eight bytes, lowest first.
    Double,
    /// One byte: years since 1900; 0 is the year 0.
    Year,
    Date,
    /// With so many digits of fraction.
    Time(u8),
    /// With so many digits of fraction.
    DateTime(u8),
    /// With so many digits of fraction.
    Timestamp(u8),
    /// As before MySQL 5.6.
    OldTime,
    /// As before MySQL 5.6.
    OldDateTime,
    /// As before MySQL 5.6.
    OldTimestamp,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// So many bytes, highest first.
    Bit(u8),
    /// Bytes after their length, which has so many bytes, lowest first.
    Bytes(u8),
    /// A binary JSON document after its length.
    Json(u8),
    /// A label's number in so many bytes.
    Enum(u8),
    /// One bit per label in so many bytes, lowest first.
    Set(u8),
}

/// The layout of every column. Errors with `Schema` when the columns are not those of the table
/// map, naming the column and both types, and with `Unsupported` for layouts that cannot be read.
pub(crate) fn layouts(columns: &[MySqlColumn], table_map: &TableMap<'_>) -> Result<Vec<Layout>> {
    let in_table = |error: Error| error.context("table", format!("{}.{}", table_map.schema, table_map.table));
    check(columns, table_map).map_err(in_table)
}

fn check(columns: &[MySqlColumn], table_map: &TableMap<'_>) -> Result<Vec<Layout>> {
    let metas = table_map.columns()?;
    if metas.len() != columns.len() {
        let message = format!(
            "the table has {} columns in the binary log and {} in the known schema",
            metas.len(),
            columns.len()
        );
        return Err(Error::new(ErrorKind::Schema, message));
    }
    let metadata = table_map.optional_metadata()?;
    let mut layouts = Vec::with_capacity(columns.len());
    for (index, (column, meta)) in columns.iter().zip(&metas).enumerate() {
        let layout = layout(&column.kind, meta)
            .ok_or_else(|| mismatch(column, meta))
            .and_then(|layout| agrees(index, column, &metadata).map(|()| layout))
            .map_err(|error| error.context("column", &column.name))?;
        layouts.push(layout);
    }
    Ok(layouts)
}

fn layout(kind: &MySqlType, meta: &ColumnMeta) -> Option<Layout> {
    // The length before CHAR and VARCHAR values has a second byte when they can be longer than 255.
    let prefix = if meta.length > 255 { 2 } else { 1 };
    let blob_prefix = (1..=4).contains(&meta.first).then_some(meta.first);
    Some(match (kind, meta.column_type) {
        (MySqlType::Int { bytes: 1, .. }, ty::TINY) => Layout::Int(1),
        (MySqlType::Int { bytes: 2, .. }, ty::SHORT) => Layout::Int(2),
        (MySqlType::Int { bytes: 3, .. }, ty::INT24) => Layout::Int(3),
        (MySqlType::Int { bytes: 4, .. }, ty::LONG) => Layout::Int(4),
        (MySqlType::Int { bytes: 8, .. }, ty::LONGLONG) => Layout::Int(8),
        (MySqlType::Decimal { precision, scale, .. }, ty::NEWDECIMAL)
            if (*precision, *scale) == (meta.first, meta.second) =>
        {
            Layout::Decimal { precision: *precision, scale: *scale }
        }
        (MySqlType::Float, ty::FLOAT) if meta.first == 4 => Layout::Float,
        (MySqlType::Double, ty::DOUBLE) if meta.first == 8 => Layout::Double,
        (MySqlType::Bit { bits }, ty::BIT)
            if u16::from(meta.second) * 8 + u16::from(meta.first) == u16::from(*bits) =>
        {
            Layout::Bit(bits.div_ceil(8))
        }
        (MySqlType::Year, ty::YEAR) => Layout::Year,
        (MySqlType::Date, ty::DATE | ty::NEWDATE) => Layout::Date,
        (MySqlType::Time { fsp }, ty::TIME2) if *fsp == meta.first => Layout::Time(*fsp),
        (MySqlType::DateTime { fsp }, ty::DATETIME2) if *fsp == meta.first => Layout::DateTime(*fsp),
        (MySqlType::Timestamp { fsp }, ty::TIMESTAMP2) if *fsp == meta.first => Layout::Timestamp(*fsp),
        (MySqlType::Time { fsp: 0 }, ty::TIME) => Layout::OldTime,
        (MySqlType::DateTime { fsp: 0 }, ty::DATETIME) => Layout::OldDateTime,
        (MySqlType::Timestamp { fsp: 0 }, ty::TIMESTAMP) => Layout::OldTimestamp,
        (MySqlType::Char | MySqlType::Uuid | MySqlType::Inet4 | MySqlType::Inet6, ty::STRING) => {
            Layout::Bytes(prefix)
        }
        (MySqlType::Binary { length }, ty::STRING) if *length == meta.length => Layout::Bytes(prefix),
        // MariaDB's VECTOR is a VARBINARY.
        (MySqlType::VarChar | MySqlType::VarBinary | MySqlType::Vector, ty::VARCHAR | ty::VAR_STRING) => {
            Layout::Bytes(prefix)
        }
        (
            // MariaDB's JSON is a LONGTEXT.
            MySqlType::Text | MySqlType::Blob | MySqlType::Json,
            ty::TINY_BLOB | ty::MEDIUM_BLOB | ty::LONG_BLOB | ty::BLOB,
        )
        | (MySqlType::Geometry, ty::GEOMETRY)
        | (MySqlType::Vector, ty::VECTOR) => Layout::Bytes(blob_prefix?),
        (MySqlType::Json, ty::JSON) => Layout::Json(blob_prefix?),
        (MySqlType::Enum { .. }, ty::ENUM) if (1..=2).contains(&meta.second) => Layout::Enum(meta.second),
        (MySqlType::Set { .. }, ty::SET) if (1..=8).contains(&meta.second) => Layout::Set(meta.second),
        _ => return None,
    })
}

fn mismatch(column: &MySqlColumn, meta: &ColumnMeta) -> Error {
    let logged = ty::name(meta.column_type);
    let hires = matches!(
        (&column.kind, meta.column_type),
        (MySqlType::Time { fsp: 1.. }, ty::TIME)
            | (MySqlType::DateTime { fsp: 1.. }, ty::DATETIME)
            | (MySqlType::Timestamp { fsp: 1.. }, ty::TIMESTAMP)
    );
    if hires {
        let message = format!(
            "column type `{}` in MariaDB's format of before 10.1 is not supported",
            column.column_type
        );
        return Error::new(ErrorKind::Unsupported, message)
            .hint("rebuild the table with mysql56_temporal_format=ON: ALTER TABLE … FORCE");
    }
    if matches!(meta.column_type, ty::MARIADB_BLOB_COMPRESSED | ty::MARIADB_VARCHAR_COMPRESSED) {
        let message = format!("column type {logged} is not supported");
        return Error::new(ErrorKind::Unsupported, message).hint("declare the column without COMPRESSED");
    }
    let detail = match meta.column_type {
        ty::NEWDECIMAL => format!("({},{})", meta.first, meta.second),
        ty::TIME2 | ty::DATETIME2 | ty::TIMESTAMP2 => format!("({})", meta.first),
        ty::STRING | ty::VARCHAR | ty::VAR_STRING => format!(" of {} bytes", meta.length),
        ty::BIT => format!("({})", u16::from(meta.second) * 8 + u16::from(meta.first)),
        _ => String::new(),
    };
    disagreement(&format!("is `{}` in the known schema and {logged}{detail}", column.column_type))
}

fn disagreement(what: &str) -> Error {
    Error::new(ErrorKind::Schema, format!("the column {what} in the binary log"))
        .hint("the table was changed in a way that was not followed; read its schema again")
}

/// Compares what the server tells beyond the layout: name, sign, charset, labels.
fn agrees(index: usize, column: &MySqlColumn, metadata: &TableMetadata) -> Result<()> {
    if let Some(name) = metadata.names.as_ref().and_then(|names| names.get(index))
        && *name != column.name
    {
        return Err(disagreement(&format!("is `{}` in the known schema and `{name}`", column.name)));
    }
    let unsigned = metadata.unsigned.as_ref().and_then(|bits| bits.get(index)).copied();
    if let (MySqlType::Int { unsigned: known, .. } | MySqlType::Decimal { unsigned: known, .. }, Some(logged)) =
        (&column.kind, unsigned)
        && *known != logged
    {
        let sign = |unsigned| if unsigned { "unsigned" } else { "signed" };
        return Err(disagreement(&format!("is {} in the known schema and {}", sign(*known), sign(logged))));
    }
    let of_column = |list: &Option<Vec<Option<u16>>>| list.as_ref().and_then(|list| *list.get(index)?);
    let collation = of_column(&metadata.collations).or(of_column(&metadata.label_collations));
    let Some(known) = column.charset else { return Ok(()) };
    let mut logged = known;
    if let Some(collation) = collation.filter(|collation| !(column.has_labels() && *collation == BINARY)) {
        logged = Charset::from_collation(collation)?;
        if logged != known {
            let what = format!("has charset {} in the known schema and {}", known.name(), logged.name());
            return Err(disagreement(&what));
        }
    }
    let (known_labels, lists) = match &column.kind {
        MySqlType::Enum { labels } => (labels, &metadata.enum_labels),
        MySqlType::Set { labels } => (labels, &metadata.set_labels),
        _ => return Ok(()),
    };
    match lists.as_ref().and_then(|lists| lists.get(index)?.as_ref()) {
        Some(labels) if !same_labels(known_labels, labels, logged) => {
            Err(disagreement("has other labels in the known schema and"))
        }
        _ => Ok(()),
    }
}

/// The collation of bytes. Labels of a binary ENUM or SET are still the text of the statement that
/// created them.
const BINARY: u16 = 63;

fn same_labels(known: &[String], logged: &[Vec<u8>], charset: Charset) -> bool {
    known.len() == logged.len()
        && known.iter().zip(logged).all(|(known, logged)| {
            let mut text = String::new();
            charset.append(logged, &mut text).is_ok() && text == *known
        })
}
