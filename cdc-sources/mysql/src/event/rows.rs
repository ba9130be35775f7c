//! Row events of every version: which table, what happened, and the undecoded rows.

use std::borrow::Cow;

use culvert_api::Result;

use super::{FormatDescription, decompress, kind};
use crate::wire::{Cursor, WireResult};

/// What happened to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsKind {
    /// One image each: the new row.
    Write,
    /// Two images each: the row before and after.
    Update,
    /// One image each: the row that went.
    Delete,
}

/// The row images, perhaps still compressed.
#[derive(Clone, Copy, Debug)]
pub enum RowsData<'a> {
    /// As they are.
    Plain(&'a [u8]),
    /// MariaDB with `log_bin_compress=ON`.
    Compressed(&'a [u8]),
}

impl<'a> RowsData<'a> {
    /// The images; an error when compressed ones expand to more than `limit` bytes.
    pub fn expand(&self, limit: usize) -> Result<Cow<'a, [u8]>> {
        match self {
            RowsData::Plain(bytes) => Ok(Cow::Borrowed(bytes)),
            RowsData::Compressed(bytes) => decompress(bytes, limit).map(Cow::Owned),
        }
    }
}

/// Rows of one table. Manual: `Rows_event`.
#[derive(Clone, Copy, Debug)]
pub struct RowsEvent<'a> {
    /// The table, as in the [`super::TableMap`] before it.
    pub table_id: u64,
    /// Flag bits, see [`RowsEvent::ends_statement`].
    pub flags: u16,
    /// What happened.
    pub kind: RowsKind,
    /// How many columns the table has.
    pub column_count: usize,
    /// One bit per column, lowest first: the column is in the images before. Empty for writes.
    pub present_before: &'a [u8],
    /// One bit per column, lowest first: the column is in the images after. Empty for deletes.
    pub present_after: &'a [u8],
    /// The images.
    pub data: RowsData<'a>,
}

const STATEMENT_END: u16 = 1;

impl<'a> RowsEvent<'a> {
    /// `None` when the type is no row event.
    pub(super) fn parse(
        event_type: u8,
        body: &'a [u8],
        format: &FormatDescription,
    ) -> WireResult<Option<RowsEvent<'a>>> {
        let (rows_kind, version_two, compressed) = match event_type {
            kind::WRITE_ROWS_V1 => (RowsKind::Write, false, false),
            kind::UPDATE_ROWS_V1 => (RowsKind::Update, false, false),
            kind::DELETE_ROWS_V1 => (RowsKind::Delete, false, false),
            kind::WRITE_ROWS => (RowsKind::Write, true, false),
            kind::UPDATE_ROWS => (RowsKind::Update, true, false),
            kind::DELETE_ROWS => (RowsKind::Delete, true, false),
            kind::MARIADB_WRITE_ROWS_COMPRESSED_V1 => (RowsKind::Write, false, true),
            kind::MARIADB_UPDATE_ROWS_COMPRESSED_V1 => (RowsKind::Update, false, true),
            kind::MARIADB_DELETE_ROWS_COMPRESSED_V1 => (RowsKind::Delete, false, true),
            kind::MARIADB_WRITE_ROWS_COMPRESSED => (RowsKind::Write, true, true),
            kind::MARIADB_UPDATE_ROWS_COMPRESSED => (RowsKind::Update, true, true),
            kind::MARIADB_DELETE_ROWS_COMPRESSED => (RowsKind::Delete, true, true),
            _ => return Ok(None),
        };
        let mut cursor = Cursor::new(body);
        let table_id = if format.short_table_id(event_type) {
            u64::from(cursor.u32("table number of rows")?)
        } else {
            cursor.u48("table number of rows")?
        };
        let flags = cursor.u16("flags of rows")?;
        if version_two {
            // The length counts its own two bytes. Inside: NDB and partition notes.
            let extra = usize::from(cursor.u16("length of extra row data")?);
            let extra = extra.checked_sub(2).ok_or_else(|| cursor.error("length of extra row data"))?;
            cursor.take(extra, "extra row data")?;
        }
        let column_count = cursor.lenenc_usize("column count of rows")?;
        let bitmap = column_count.div_ceil(8);
        let (mut present_before, mut present_after): (&[u8], &[u8]) = (&[], &[]);
        if rows_kind != RowsKind::Write {
            present_before = cursor.take(bitmap, "columns before")?;
        }
        if rows_kind != RowsKind::Delete {
            present_after = cursor.take(bitmap, "columns after")?;
        }
        let bytes = cursor.take_rest();
        let data = if compressed { RowsData::Compressed(bytes) } else { RowsData::Plain(bytes) };
        Ok(Some(RowsEvent {
            table_id,
            flags,
            kind: rows_kind,
            column_count,
            present_before,
            present_after,
            data,
        }))
    }

    /// The statement ends with this event: the table maps before it are no longer in force.
    pub fn ends_statement(&self) -> bool {
        self.flags & STATEMENT_END != 0
    }

    /// Whether every image holds every column (`binlog_row_image=FULL`).
    pub fn has_full_images(&self) -> bool {
        let full = |bitmap: &[u8]| {
            let (whole, part) = (self.column_count / 8, self.column_count % 8);
            let mask = (1u8 << part) - 1;
            bitmap.is_empty()
                || (bitmap.iter().take(whole).all(|byte| *byte == 0xff)
                    && bitmap.get(whole).copied().unwrap_or(0) & mask == mask)
        };
        full(self.present_before) && full(self.present_after)
    }
}

/// The bit of this number, lowest bit of the first byte first; false past the end.
#[inline]
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 != 0)
}
