//! Reading integers, strings and byte runs off a message, none of it trusted.

use bytes::{Buf, Bytes};
use culvert_api::{Error, ErrorKind, Result};

use crate::lsn::Lsn;

/// Microseconds from 1970-01-01 to 2000-01-01, where the server's instants begin.
pub(crate) const EPOCH_US: i64 = 946_684_800_000_000;

/// A message that does not follow its format.
pub(crate) fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a message of the replication stream {what}"))
}

/// What is left of a message.
pub(crate) struct Wire {
    rest: Bytes,
}

impl Wire {
    pub(crate) fn new(rest: Bytes) -> Wire {
        Wire { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Everything left.
    pub(crate) fn into_rest(self) -> Bytes {
        self.rest
    }

    /// A place to come back to with [`Wire::since`].
    pub(crate) fn mark(&self) -> Bytes {
        self.rest.clone()
    }

    /// What was read since a mark.
    pub(crate) fn since(&self, mark: Bytes) -> Bytes {
        let read = mark.len().saturating_sub(self.rest.len());
        mark.slice(..read)
    }

    /// The next byte, left in its place.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.rest.try_get_u8().map_err(|_| cut_short())
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.rest.try_get_u16().map_err(|_| cut_short())
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.rest.try_get_u32().map_err(|_| cut_short())
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        self.rest.try_get_i32().map_err(|_| cut_short())
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.rest.try_get_u64().map_err(|_| cut_short())
    }

    pub(crate) fn lsn(&mut self) -> Result<Lsn> {
        self.u64().map(Lsn)
    }

    /// An instant, as microseconds since 1970.
    pub(crate) fn instant_us(&mut self) -> Result<i64> {
        let since_2000 = self.rest.try_get_i64().map_err(|_| cut_short())?;
        Ok(since_2000.saturating_add(EPOCH_US))
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<Bytes> {
        if length > self.rest.len() {
            return Err(cut_short());
        }
        Ok(self.rest.split_to(length))
    }

    /// Bytes behind their length in 32 bits.
    pub(crate) fn counted(&mut self) -> Result<Bytes> {
        let length = usize::try_from(self.i32()?).map_err(|_| corrupt("has a negative length"))?;
        self.bytes(length)
    }

    /// A text up to a zero byte.
    pub(crate) fn string(&mut self) -> Result<String> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or_else(cut_short)?;
        let text = self.rest.split_to(end);
        self.rest.advance(1);
        match std::str::from_utf8(&text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(corrupt("has a name that is not UTF-8")),
        }
    }
}

fn cut_short() -> Error {
    corrupt("is cut short")
}
