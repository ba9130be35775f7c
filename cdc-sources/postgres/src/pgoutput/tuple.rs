//! Row images, kept as the bytes they came in and read column by column when asked for.
//!
//! A tuple is a count of columns and, for each: `n` NULL, `u` a stored-apart value that the update
//! did not change and the log leaves out, `t` a text or `b` the type's binary form behind its length.

use std::fmt;

use bytes::Bytes;
use culvert_api::Result;

use crate::pgoutput::wire::{Wire, corrupt};

/// One column of a row image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Unchanged by the update, and not in the log.
    Unchanged,
    /// As the type's output function prints it, in UTF-8.
    Text(&'a [u8]),
    /// As the type's send function gives it.
    Binary(&'a [u8]),
}

/// A row image; cloning it copies no bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Tuple {
    data: Bytes,
    count: u16,
}

/// The image of a row before an update or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldTuple {
    /// Only the columns of the replica identity are there; the others look like NULLs.
    pub is_key_only: bool,
    /// The image.
    pub tuple: Tuple,
}

impl Tuple {
    /// The image that the message ends with.
    pub(crate) fn last(mut wire: Wire) -> Result<Tuple> {
        let count = wire.u16()?;
        Ok(Tuple { count, data: wire.into_rest() })
    }

    /// An image with more after it.
    pub(crate) fn next(wire: &mut Wire) -> Result<Tuple> {
        let count = wire.u16()?;
        let start = wire.mark();
        for _ in 0..count {
            match wire.u8()? {
                b'n' | b'u' => {}
                b't' | b'b' => drop(wire.counted()?),
                _ => return Err(unknown_kind()),
            }
        }
        Ok(Tuple { count, data: wire.since(start) })
    }

    /// How many columns the image says it has.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes of the image.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The columns in order. Ends after the first error; bytes after the last column are one.
    pub fn columns(&self) -> Columns<'_> {
        Columns { rest: &self.data, left: self.count, done: false }
    }
}

impl fmt::Debug for Tuple {
    /// Values of rows are never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tuple({} columns, {} bytes)", self.count, self.data.len())
    }
}

/// Iterator over the columns of a [`Tuple`].
pub struct Columns<'a> {
    rest: &'a [u8],
    left: u16,
    done: bool,
}

impl<'a> Columns<'a> {
    fn read(&mut self) -> Option<Value<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        let (value, rest) = match kind {
            b'n' => (Value::Null, rest),
            b'u' => (Value::Unchanged, rest),
            b't' | b'b' => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
                let (bytes, rest) = rest.split_at_checked(length)?;
                (if *kind == b't' { Value::Text(bytes) } else { Value::Binary(bytes) }, rest)
            }
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Result<Value<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Result<Value<'a>>> {
        if self.done {
            return None;
        }
        if self.left == 0 {
            self.done = true;
            return (!self.rest.is_empty()).then(|| Err(corrupt("has more bytes than its row image says")));
        }
        self.left -= 1;
        let value = self.read();
        self.done = value.is_none();
        Some(value.ok_or_else(|| corrupt("has a row image that is cut short or of an unknown kind")))
    }
}

fn unknown_kind() -> culvert_api::Error {
    corrupt("has a column of an unknown kind")
}
