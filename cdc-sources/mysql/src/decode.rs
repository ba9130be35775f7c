//! Row images to Arrow columns.
//!
//! A [`RowDecoder`] knows how the values of one table lie in the log (from its table map) and
//! checks that they are the columns of the known schema. It appends straight from the bytes of an
//! event into a [`RowsBuilder`], which also takes snapshot rows: one conversion for both.
//!
//! Row image (manual: `Rows_event`): one bit per column, set for NULL, lowest first, then the
//! values of the other columns one after the other, each in the layout of its type.

mod buffers;
mod builder;
pub mod column_type;
pub(crate) mod decimal;
mod key;
mod layout;
mod network;
mod rows;
mod skip;
pub(crate) mod temporal;
#[cfg(test)]
mod tests;
mod text;
mod untrusted;

use culvert_api::{Error, ErrorKind, Result, RowKind, RowPosition};

pub use builder::ColumnBuilder;
pub use key::{FloatKey, KeyValue};
pub use rows::{FinishedRows, RowsBuilder};
pub use untrusted::decode_untrusted;

use crate::column::MySqlColumn;
use crate::event::{RowsEvent, RowsKind, TableMap};
use crate::wire::Cursor;
use layout::Layout;

/// Decodes the row events of one table in one shape.
#[derive(Debug)]
pub struct RowDecoder {
    layouts: Vec<Layout>,
    /// Which columns are read; the others are stepped over.
    reads: Vec<bool>,
    names: Vec<String>,
    signature: Vec<u8>,
    expanded_bytes_max: usize,
}

impl RowDecoder {
    /// For the columns of the known schema as this table map lays them out.
    ///
    /// Errors: `Schema` when both do not agree (count, a type, and with the server's extended
    /// metadata also a name, sign, charset or label), naming the column and both sides;
    /// `Unsupported` for layouts that cannot be read.
    pub fn new(
        columns: &[MySqlColumn],
        table_map: &TableMap<'_>,
        expanded_bytes_max: usize,
    ) -> Result<RowDecoder> {
        Ok(RowDecoder {
            reads: vec![true; columns.len()],
            layouts: layout::layouts(columns, table_map)?,
            names: columns.iter().map(|column| column.name.clone()).collect(),
            signature: table_map.signature.to_vec(),
            expanded_bytes_max,
        })
    }

    /// The same for rows of which only some columns are read: a flag per column.
    pub fn reading(self, reads: &[bool]) -> RowDecoder {
        RowDecoder { reads: reads.to_vec(), ..self }
    }

    /// Whether it was made from an equal table map, and so need not be made anew.
    pub fn matches(&self, table_map: &TableMap<'_>) -> bool {
        self.signature == table_map.signature
    }

    /// Appends the rows of one event: `+I`, `-D`, or `-U` and `+U`; an update that changes the key
    /// becomes `-D` and `+I`. Each image is a row and has its own number in the event. Returns
    /// the number of rows appended.
    ///
    /// On an error the builder holds what it held before: `Unsupported` when the images do not
    /// hold every column, `Corrupt` when they do not follow their format, `Value` when a value has
    /// no form in its Arrow type.
    pub fn decode(
        &self,
        event: &RowsEvent<'_>,
        rows: &mut RowsBuilder,
        transaction: u32,
        event_number: u32,
    ) -> Result<usize> {
        let before = rows.len();
        let decoded = self.decode_images(event, rows, transaction, event_number);
        if decoded.is_err() {
            rows.truncate(before);
        }
        decoded
    }

    fn decode_images(
        &self,
        event: &RowsEvent<'_>,
        rows: &mut RowsBuilder,
        transaction: u32,
        event_number: u32,
    ) -> Result<usize> {
        let read = self.reads.iter().filter(|read| **read).count();
        if event.column_count != self.layouts.len()
            || self.reads.len() != self.layouts.len()
            || rows.column_count() != read
        {
            let message = format!(
                "a row event has {} columns, its table map {}, and of those {read} are read into {}",
                event.column_count,
                self.layouts.len(),
                rows.column_count()
            );
            return Err(Error::new(ErrorKind::Schema, message));
        }
        if !event.has_full_images() {
            return Err(Error::new(ErrorKind::Unsupported, "row events leave columns out")
                .hint("set binlog_row_image=FULL at the source, for every session that writes"));
        }
        let bytes = event.data.expand(self.expanded_bytes_max)?;
        let mut cursor = Cursor::new(&bytes);
        let mut appended = 0usize;
        let mut position = RowPosition { transaction, event: event_number, row: 0 };
        while !cursor.is_empty() {
            // An image takes a null bit per column: never no bytes, so this ends.
            match event.kind {
                RowsKind::Write => self.append_image(&mut cursor, rows, RowKind::Insert, &mut position)?,
                RowsKind::Delete => self.append_image(&mut cursor, rows, RowKind::Delete, &mut position)?,
                RowsKind::Update => {
                    self.append_image(&mut cursor, rows, RowKind::UpdateBefore, &mut position)?;
                    self.append_image(&mut cursor, rows, RowKind::UpdateAfter, &mut position)?;
                    rows.split_if_key_changed();
                    appended += 1;
                }
            }
            appended += 1;
        }
        Ok(appended)
    }

    #[inline]
    fn append_image(
        &self,
        cursor: &mut Cursor<'_>,
        rows: &mut RowsBuilder,
        kind: RowKind,
        position: &mut RowPosition,
    ) -> Result<()> {
        let nulls = cursor.take(self.layouts.len().div_ceil(8), "null bits of a row")?;
        let mut bits = 0u8;
        let mut null_bytes = nulls.iter();
        let mut columns = rows.columns_mut();
        for (index, (layout, read)) in self.layouts.iter().zip(&self.reads).enumerate() {
            if index % 8 == 0 {
                bits = null_bytes.next().copied().unwrap_or(0);
            }
            let is_null = bits & 1 != 0;
            let appended = match if *read { columns.next() } else { None } {
                Some(column) if is_null => column.append_null(),
                Some(column) => column.append_wire(*layout, cursor),
                None if is_null => Ok(()),
                None => skip::skip(*layout, cursor),
            };
            if let Err(error) = appended {
                let name = self.names.get(index).map_or("?", String::as_str);
                return Err(error.context("column", name));
            }
            bits >>= 1;
        }
        rows.end_row(kind, *position);
        position.row = position.row.saturating_add(1);
        Ok(())
    }
}
