//! The shape of a table, sent before its rows. Manual: `Table_map_event`.
//!
//! The fixed part says how each value is laid out. The optional part says what the values mean:
//! signedness always (MySQL 8.0, MariaDB 10.5 and newer), names, labels, charsets and the key
//! with `binlog_row_metadata=FULL`.

use culvert_api::{Error, ErrorKind, Result};

use super::{FormatDescription, kind};
use crate::decode::column_type as ty;
use crate::wire::{Cursor, WireResult};

/// A table's shape as one event tells it.
#[derive(Clone, Copy, Debug)]
pub struct TableMap<'a> {
    /// The number row events refer to. It changes whenever the server opens the table anew.
    pub table_id: u64,
    /// The database.
    pub schema: &'a str,
    /// The table.
    pub table: &'a str,
    /// One type byte per column, see [`ty`].
    pub types: &'a [u8],
    /// Type-dependent bytes of all columns, one after the other.
    metadata: &'a [u8],
    /// One bit per column, lowest first: NULL may occur.
    nullable: &'a [u8],
    optional: &'a [u8],
    mariadb: bool,
    /// Everything but the number and the flags: equal bytes mean an equal shape.
    pub signature: &'a [u8],
}

/// How the values of one column are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnMeta {
    /// The real type: an ENUM or SET is sent as STRING with the real type in its metadata.
    pub column_type: u8,
    /// First metadata byte; 0 where the type has none. Its meaning depends on the type.
    pub first: u8,
    /// Second metadata byte.
    pub second: u8,
    /// Longest value in bytes for the string types, else 0.
    pub length: u16,
    /// Whether NULL may occur.
    pub nullable: bool,
}

impl<'a> TableMap<'a> {
    pub(super) fn parse(body: &'a [u8], format: &FormatDescription) -> WireResult<TableMap<'a>> {
        let mut cursor = Cursor::new(body);
        let table_id = if format.short_table_id(kind::TABLE_MAP) {
            u64::from(cursor.u32("table number")?)
        } else {
            cursor.u48("table number")?
        };
        cursor.u16("table map flags")?;
        let signature = cursor.rest();
        let schema = cursor.short_name("database name")?;
        let table = cursor.short_name("table name")?;
        let count = cursor.lenenc_usize("column count")?;
        let types = cursor.take(count, "column types")?;
        let metadata = cursor.lenenc_bytes("column metadata")?;
        let nullable = cursor.take(count.div_ceil(8), "nullable columns")?;
        let optional = cursor.take_rest();
        let mariadb = format.is_mariadb();
        Ok(TableMap { table_id, schema, table, types, metadata, nullable, optional, mariadb, signature })
    }

    /// One entry per column.
    pub fn columns(&self) -> Result<Vec<ColumnMeta>> {
        let mut cursor = Cursor::new(self.metadata);
        let mut columns = Vec::with_capacity(self.types.len());
        for (index, column_type) in self.types.iter().copied().enumerate() {
            let mut column = ColumnMeta {
                column_type,
                first: 0,
                second: 0,
                length: 0,
                nullable: super::rows::bit(self.nullable, index),
            };
            match ty::metadata_length(column_type) {
                Some(0) => {}
                Some(1) => column.first = cursor.u8("column metadata")?,
                Some(_) => [column.first, column.second] = cursor.array("column metadata")?,
                None => {
                    let message =
                        format!("column {index} has type number {column_type}, which is not supported");
                    return Err(Error::new(ErrorKind::Unsupported, message)
                        .context("table", format!("{}.{}", self.schema, self.table)));
                }
            }
            column.resolve_strings();
            columns.push(column);
        }
        Ok(columns)
    }

    /// What the values mean, as far as the server tells it.
    pub fn optional_metadata(&self) -> Result<TableMetadata> {
        let columns = self.columns()?;
        let mut metadata = TableMetadata::default();
        let mut cursor = Cursor::new(self.optional);
        while !cursor.is_empty() {
            let field = cursor.u8("optional metadata field")?;
            let value = cursor.lenenc_bytes("optional metadata")?;
            metadata.read_field(field, value, &columns, self.mariadb)?;
        }
        Ok(metadata)
    }
}

impl ColumnMeta {
    /// Finds the real type and the length in bytes of the string types.
    ///
    /// A CHAR longer than 255 bytes needs ten bits for its length: the two upper ones are stored
    /// inverted in bits 4 and 5 of the type byte, which are always set in the types that may
    /// stand there.
    fn resolve_strings(&mut self) {
        match self.column_type {
            ty::VARCHAR | ty::VAR_STRING => self.length = u16::from_le_bytes([self.first, self.second]),
            ty::STRING => {
                let upper = self.first & 0x30;
                self.length = u16::from(self.second) | (u16::from(upper ^ 0x30) << 4);
                self.column_type = if self.first == 0 { ty::STRING } else { self.first | 0x30 };
            }
            _ => {}
        }
    }
}

/// What only the optional part of a table map tells. Per-column lists are as long as the table
/// has columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableMetadata {
    /// Whether a numeric column is UNSIGNED; false for other columns.
    pub unsigned: Option<Vec<bool>>,
    /// Collation numbers of CHAR, VARCHAR, TEXT (and BINARY, VARBINARY, BLOB: 63).
    pub collations: Option<Vec<Option<u16>>>,
    /// Collation numbers of ENUM and SET.
    pub label_collations: Option<Vec<Option<u16>>>,
    /// Names.
    pub names: Option<Vec<String>>,
    /// Labels of ENUM columns, in the column's charset.
    pub enum_labels: Option<Vec<Option<Vec<Vec<u8>>>>>,
    /// Labels of SET columns, in the column's charset.
    pub set_labels: Option<Vec<Option<Vec<Vec<u8>>>>>,
    /// Real types of GEOMETRY columns.
    pub geometry_types: Option<Vec<Option<u64>>>,
    /// Places of the primary key's columns and the length of the prefix in characters, 0 for the
    /// whole column.
    pub primary_key: Option<Vec<(usize, u64)>>,
    /// Whether `SELECT *` shows the column.
    pub visible: Option<Vec<bool>>,
    /// Entries of VECTOR columns.
    pub vector_dimensions: Option<Vec<Option<u64>>>,
}

impl TableMetadata {
    /// Manual: `Table_map_event::Optional_metadata_field_type`. Unknown fields are skipped.
    fn read_field(&mut self, field: u8, value: &[u8], columns: &[ColumnMeta], mariadb: bool) -> Result<()> {
        let mut cursor = Cursor::new(value);
        let cursor = &mut cursor;
        let has_collation = |column: &ColumnMeta| column.has_collation(mariadb);
        match field {
            1 => self.unsigned = Some(read_bits(value, columns, ColumnMeta::is_numeric)),
            2 => self.collations = Some(read_default_collations(cursor, columns, has_collation)?),
            3 => self.collations = Some(read_each(cursor, columns, has_collation, read_collation)?),
            4 => {
                let mut names = Vec::with_capacity(columns.len());
                for _ in columns {
                    let name = cursor.lenenc_bytes("column name")?;
                    let name = std::str::from_utf8(name).map_err(|_| cursor.error("column name"))?;
                    names.push(name.to_owned());
                }
                self.names = Some(names);
            }
            5 => {
                self.set_labels = Some(read_each(cursor, columns, |c| c.column_type == ty::SET, read_labels)?)
            }
            6 => {
                self.enum_labels =
                    Some(read_each(cursor, columns, |c| c.column_type == ty::ENUM, read_labels)?)
            }
            7 => {
                let wanted = |c: &ColumnMeta| c.column_type == ty::GEOMETRY;
                self.geometry_types =
                    Some(read_each(cursor, columns, wanted, |cursor| cursor.lenenc("geometry type"))?);
            }
            8 | 9 => {
                let mut key = Vec::new();
                while !cursor.is_empty() {
                    let column = cursor.lenenc_usize("primary key column")?;
                    let prefix = if field == 9 { cursor.lenenc("primary key prefix")? } else { 0 };
                    key.push((column, prefix));
                }
                self.primary_key = Some(key);
            }
            10 => {
                self.label_collations =
                    Some(read_default_collations(cursor, columns, ColumnMeta::has_labels)?)
            }
            11 => {
                self.label_collations =
                    Some(read_each(cursor, columns, ColumnMeta::has_labels, read_collation)?);
            }
            12 => self.visible = Some(read_bits(value, columns, |_| true)),
            13 => {
                let wanted = |c: &ColumnMeta| c.column_type == ty::VECTOR;
                self.vector_dimensions =
                    Some(read_each(cursor, columns, wanted, |cursor| cursor.lenenc("vector dimension"))?);
            }
            _ => {}
        }
        Ok(())
    }
}

impl ColumnMeta {
    /// Has a bit in the signedness field. YEAR has one, too.
    fn is_numeric(&self) -> bool {
        matches!(
            self.column_type,
            ty::DECIMAL
                | ty::TINY
                | ty::SHORT
                | ty::LONG
                | ty::FLOAT
                | ty::DOUBLE
                | ty::LONGLONG
                | ty::INT24
                | ty::YEAR
                | ty::NEWDECIMAL
        )
    }

    /// Has an entry among the collations. The binary string types have one, too; MySQL counts
    /// VECTOR among them and MariaDB GEOMETRY.
    fn has_collation(&self, mariadb: bool) -> bool {
        match self.column_type {
            ty::STRING
            | ty::VAR_STRING
            | ty::VARCHAR
            | ty::TINY_BLOB
            | ty::MEDIUM_BLOB
            | ty::LONG_BLOB
            | ty::BLOB
            | ty::MARIADB_BLOB_COMPRESSED
            | ty::MARIADB_VARCHAR_COMPRESSED => true,
            ty::VECTOR => !mariadb,
            ty::GEOMETRY => mariadb,
            _ => false,
        }
    }

    fn has_labels(&self) -> bool {
        matches!(self.column_type, ty::ENUM | ty::SET)
    }
}

/// One bit per wanted column, highest bit of the first byte first.
fn read_bits(bits: &[u8], columns: &[ColumnMeta], wanted: impl Fn(&ColumnMeta) -> bool) -> Vec<bool> {
    let mut index = 0;
    columns
        .iter()
        .map(|column| {
            if !wanted(column) {
                return false;
            }
            let set = bits.get(index / 8).is_some_and(|byte| byte << (index % 8) & 0x80 != 0);
            index += 1;
            set
        })
        .collect()
}

/// One value per wanted column.
fn read_each<'a, T>(
    cursor: &mut Cursor<'a>,
    columns: &[ColumnMeta],
    wanted: impl Fn(&ColumnMeta) -> bool,
    mut read: impl FnMut(&mut Cursor<'a>) -> WireResult<T>,
) -> WireResult<Vec<Option<T>>> {
    columns.iter().map(|column| if wanted(column) { read(cursor).map(Some) } else { Ok(None) }).collect()
}

fn read_collation(cursor: &mut Cursor<'_>) -> WireResult<u16> {
    let number = cursor.lenenc("collation number")?;
    u16::try_from(number).map_err(|_| cursor.error("collation number"))
}

/// The collation most columns have, then pairs for the others: the place among the wanted
/// columns, and the collation.
fn read_default_collations(
    cursor: &mut Cursor<'_>,
    columns: &[ColumnMeta],
    wanted: impl Fn(&ColumnMeta) -> bool,
) -> WireResult<Vec<Option<u16>>> {
    let default = read_collation(cursor)?;
    let mut collations: Vec<Option<u16>> =
        columns.iter().map(|column| wanted(column).then_some(default)).collect();
    while !cursor.is_empty() {
        let place = cursor.lenenc_usize("column with another collation")?;
        let collation = read_collation(cursor)?;
        match collations.iter_mut().flatten().nth(place) {
            Some(entry) => *entry = collation,
            None => return Err(cursor.error("column with another collation")),
        }
    }
    Ok(collations)
}

fn read_labels(cursor: &mut Cursor<'_>) -> WireResult<Vec<Vec<u8>>> {
    let count = cursor.lenenc_usize("label count")?;
    let mut labels = Vec::new();
    for _ in 0..count {
        labels.push(cursor.lenenc_bytes("label")?.to_vec());
    }
    Ok(labels)
}
