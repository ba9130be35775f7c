//! The rows of a binary COPY ("COPY" in the manual, "Binary Format").

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};

use crate::column::{ColumnDef, PgType};
use crate::decode::Cell;

/// What a binary COPY begins with.
const COPY_SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Rows of a binary COPY. The server puts every row into a message of its own.
#[derive(Default)]
pub(crate) struct CopyRows {
    begun: bool,
    pub(crate) ended: bool,
}

/// One row: its fields, each `None` for NULL.
pub(crate) struct CopyRow {
    fields: Vec<Option<Bytes>>,
}

impl CopyRow {
    pub(crate) fn cells<'a>(&'a self, columns: &'a [ColumnDef]) -> impl Iterator<Item = Result<Cell<'a>>> {
        self.fields.iter().zip(columns).map(|(field, column)| {
            Ok(match field {
                None => Cell::Null,
                // What was printed is text in either form.
                Some(bytes) if column.kind == PgType::Printed => Cell::Text(bytes),
                Some(bytes) => Cell::Binary(bytes),
            })
        })
    }
}

impl CopyRows {
    pub(crate) fn next(&mut self, data: &mut Bytes, columns: usize) -> Result<Option<CopyRow>> {
        let wrong = || Error::new(ErrorKind::Corrupt, "rows of a COPY do not follow their format");
        if !self.begun {
            let head = take(data, COPY_SIGNATURE.len()).filter(|head| head == COPY_SIGNATURE);
            head.ok_or_else(wrong)?;
            take_i32(data).ok_or_else(wrong)?;
            let more = take_i32(data).and_then(|length| usize::try_from(length).ok()).ok_or_else(wrong)?;
            take(data, more).ok_or_else(wrong)?;
            self.begun = true;
        }
        if data.is_empty() || self.ended {
            return Ok(None);
        }
        let count = take(data, 2).and_then(|bytes| bytes.as_ref().try_into().ok()).map(i16::from_be_bytes);
        match count.ok_or_else(wrong)? {
            -1 => {
                self.ended = true;
                return Ok(None);
            }
            count if usize::try_from(count) == Ok(columns) => {}
            _ => return Err(wrong()),
        }
        let mut fields = Vec::with_capacity(columns);
        for _ in 0..columns {
            fields.push(match take_i32(data).ok_or_else(wrong)? {
                -1 => None,
                length => {
                    let length = usize::try_from(length).map_err(|_| wrong())?;
                    Some(take(data, length).ok_or_else(wrong)?)
                }
            });
        }
        Ok(Some(CopyRow { fields }))
    }
}

fn take(data: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= data.len()).then(|| data.split_to(length))
}

fn take_i32(data: &mut Bytes) -> Option<i32> {
    take(data, 4).and_then(|bytes| bytes.as_ref().try_into().ok()).map(i32::from_be_bytes)
}
