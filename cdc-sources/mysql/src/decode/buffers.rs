//! Growing values of one column: plain vectors, so that rows can be taken back.

use arrow_array::{ArrayRef, BinaryArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use culvert_api::{Error, ErrorKind, Result};
use std::sync::Arc;

/// Strings of bytes or of UTF-8, one after the other.
#[derive(Debug)]
pub(crate) struct Strings<B> {
    pub(crate) data: B,
    /// Where each value begins, and where the last one ends.
    offsets: Vec<i32>,
}

/// What holds the bytes of [`Strings`].
pub(crate) trait Bytes: Default {
    fn length(&self) -> usize;
    fn capacity_bytes(&self) -> usize;
    fn cut(&mut self, length: usize);
    fn view(&self) -> &[u8];
    fn with_room(bytes: usize) -> Self;
    fn array(self, offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>) -> Result<ArrayRef>;
}

impl Bytes for String {
    fn length(&self) -> usize {
        self.len()
    }

    fn capacity_bytes(&self) -> usize {
        self.capacity()
    }

    fn cut(&mut self, length: usize) {
        // Only ever cut where a value ended, which is no place inside a character.
        self.truncate(length);
    }

    fn view(&self) -> &[u8] {
        self.as_bytes()
    }

    fn with_room(bytes: usize) -> String {
        String::with_capacity(bytes)
    }

    fn array(self, offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let array =
            StringArray::try_new(offsets, Buffer::from_vec(self.into_bytes()), nulls).map_err(broken)?;
        Ok(Arc::new(array))
    }
}

impl Bytes for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn capacity_bytes(&self) -> usize {
        self.capacity()
    }

    fn cut(&mut self, length: usize) {
        self.truncate(length);
    }

    fn view(&self) -> &[u8] {
        self
    }

    fn with_room(bytes: usize) -> Vec<u8> {
        Vec::with_capacity(bytes)
    }

    fn array(self, offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let array = BinaryArray::try_new(offsets, Buffer::from_vec(self), nulls).map_err(broken)?;
        Ok(Arc::new(array))
    }
}

/// An array that contradicts itself: a mistake of ours.
pub(crate) fn broken(error: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "decoded rows do not form an Arrow array").caused_by(error)
}

impl<B: Bytes> Strings<B> {
    pub(crate) fn new() -> Strings<B> {
        Strings { data: B::default(), offsets: vec![0] }
    }

    /// Ends the value whose bytes were appended to `data`.
    #[inline]
    pub(crate) fn end_value(&mut self) -> Result<()> {
        match i32::try_from(self.data.length()) {
            Ok(end) => {
                self.offsets.push(end);
                Ok(())
            }
            Err(_) => {
                Err(Error::new(ErrorKind::Unsupported, "one batch holds more than 2 GiB of one column"))
            }
        }
    }

    /// Where the value that is being appended began.
    pub(crate) fn value_start(&self) -> usize {
        self.offsets.last().and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0)
    }

    pub(crate) fn value(&self, row: usize) -> Option<&[u8]> {
        let start = usize::try_from(*self.offsets.get(row)?).ok()?;
        let end = usize::try_from(*self.offsets.get(row + 1)?).ok()?;
        self.data.view().get(start..end)
    }

    /// Keeps the first `rows` values and drops what follows, also a value half appended.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.value_start();
        self.data.cut(end);
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.data.length() + self.offsets.len() * size_of::<i32>()
    }

    /// Takes the values and leaves as much room as they needed.
    pub(crate) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let room = self.data.length().min(self.data.capacity_bytes());
        let data = std::mem::replace(&mut self.data, B::with_room(room));
        let rows = self.offsets.len();
        let mut fresh = Vec::with_capacity(rows);
        fresh.push(0);
        let offsets = std::mem::replace(&mut self.offsets, fresh);
        data.array(OffsetBuffer::new(ScalarBuffer::from(offsets)), nulls)
    }
}

/// Takes the values of a vector and leaves as much room as they needed.
pub(crate) fn take_values<T: arrow_buffer::ArrowNativeType>(values: &mut Vec<T>) -> ScalarBuffer<T> {
    let room = values.len();
    ScalarBuffer::from(std::mem::replace(values, Vec::with_capacity(room)))
}
