//! Checked reads over bytes from a server.
//!
//! Every read names what it was after, and running out of bytes is an error, never a panic. No
//! length that comes over the wire is allocated before that many bytes are there.
//!
//! Integers and strings follow the MySQL internals manual, "Protocol Basics: Basic Data Types"
//! (`page_protocol_basic_dt_integers`, `page_protocol_basic_dt_strings`).

use culvert_api::{Error, ErrorKind};

/// Bytes that do not follow their format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was being read.
    pub what: &'static str,
    /// The offset from the beginning of the bytes given to the cursor.
    pub at: usize,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed binary log data at {}, offset {}", self.what, self.at)
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Error {
        Error::new(ErrorKind::Corrupt, format!("malformed binary log data at {}", error.what))
            .context("offset", error.at)
    }
}

/// Result of a checked read.
pub type WireResult<T> = Result<T, DecodeError>;

/// A place in bytes from a server.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of these bytes.
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes, total: bytes.len() }
    }

    /// How many bytes were read.
    pub fn at(&self) -> usize {
        self.total - self.rest.len()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at this place.
    pub fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, at: self.at() }
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> WireResult<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(self.error(what)),
        }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize, what: &'static str) -> WireResult<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(self.error(what)),
        }
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> WireResult<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Two bytes, least significant first.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> WireResult<u16> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// Three bytes, least significant first.
    #[inline]
    pub fn u24(&mut self, what: &'static str) -> WireResult<u32> {
        self.array::<3>(what).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Three bytes, least significant first, two's complement.
    #[inline]
    pub fn i24(&mut self, what: &'static str) -> WireResult<i32> {
        // Shifting the three bytes up and back down repeats the sign bit.
        self.array::<3>(what).map(|[a, b, c]| i32::from_le_bytes([0, a, b, c]) >> 8)
    }

    /// Four bytes, least significant first.
    #[inline]
    pub fn u32(&mut self, what: &'static str) -> WireResult<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Six bytes, least significant first.
    #[inline]
    pub fn u48(&mut self, what: &'static str) -> WireResult<u64> {
        self.uint_le(6, what)
    }

    /// Eight bytes, least significant first.
    #[inline]
    pub fn u64(&mut self, what: &'static str) -> WireResult<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Up to eight bytes, least significant first.
    pub fn uint_le(&mut self, bytes: usize, what: &'static str) -> WireResult<u64> {
        let mut wide = [0u8; 8];
        match wide.get_mut(..bytes) {
            Some(part) => part.copy_from_slice(self.take(bytes, what)?),
            None => return Err(self.error(what)),
        }
        Ok(u64::from_le_bytes(wide))
    }

    /// Up to eight bytes, most significant first.
    #[inline]
    pub fn uint_be(&mut self, bytes: usize, what: &'static str) -> WireResult<u64> {
        if bytes > 8 {
            return Err(self.error(what));
        }
        Ok(self.take(bytes, what)?.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    /// An integer whose first byte tells its length. The byte 251 (NULL in a text row) and 255
    /// (an error packet) are no integers.
    pub fn lenenc(&mut self, what: &'static str) -> WireResult<u64> {
        match self.u8(what)? {
            short @ 0..=250 => Ok(u64::from(short)),
            252 => self.u16(what).map(u64::from),
            253 => self.u24(what).map(u64::from),
            254 => self.u64(what),
            251 | 255 => Err(self.error(what)),
        }
    }

    /// The same, as a count that has to fit a machine word.
    pub fn lenenc_usize(&mut self, what: &'static str) -> WireResult<usize> {
        let wide = self.lenenc(what)?;
        usize::try_from(wide).map_err(|_| self.error(what))
    }

    /// A string after its length.
    pub fn lenenc_bytes(&mut self, what: &'static str) -> WireResult<&'a [u8]> {
        let length = self.lenenc_usize(what)?;
        self.take(length, what)
    }

    /// A name after a length of one byte and followed by a zero byte.
    pub fn short_name(&mut self, what: &'static str) -> WireResult<&'a str> {
        let length = usize::from(self.u8(what)?);
        let name = self.take(length, what)?;
        self.u8(what)?;
        std::str::from_utf8(name).map_err(|_| self.error(what))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_both_byte_orders() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Cursor::new(&bytes).u16("x"), Ok(0x0201));
        assert_eq!(Cursor::new(&bytes).u24("x"), Ok(0x03_0201));
        assert_eq!(Cursor::new(&bytes).u48("x"), Ok(0x0605_0403_0201));
        assert_eq!(Cursor::new(&bytes).uint_be(5, "x"), Ok(0x01_0203_0405));
        assert_eq!(Cursor::new(&bytes).u64("x"), Ok(0x0807_0605_0403_0201));
    }

    #[test]
    fn three_byte_integers_keep_their_sign() {
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff]).i24("x"), Ok(-1));
        assert_eq!(Cursor::new(&[0x00, 0x00, 0x80]).i24("x"), Ok(-8_388_608));
        assert_eq!(Cursor::new(&[0xff, 0xff, 0x7f]).i24("x"), Ok(8_388_607));
    }

    #[test]
    fn length_encoded_integers_at_their_limits() {
        assert_eq!(Cursor::new(&[250]).lenenc("x"), Ok(250));
        assert_eq!(Cursor::new(&[252, 251, 0]).lenenc("x"), Ok(251));
        assert_eq!(Cursor::new(&[253, 0, 0, 1]).lenenc("x"), Ok(65_536));
        assert_eq!(Cursor::new(&[254, 255, 255, 255, 255, 255, 255, 255, 255]).lenenc("x"), Ok(u64::MAX));
        assert!(Cursor::new(&[251]).lenenc("x").is_err());
        assert!(Cursor::new(&[255]).lenenc("x").is_err());
    }

    #[test]
    fn running_out_of_bytes_tells_where() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        cursor.u16("first").unwrap();
        assert_eq!(cursor.u32("second"), Err(DecodeError { what: "second", at: 2 }));
        assert_eq!(cursor.rest(), &[3]);
        let huge = [254, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert!(Cursor::new(&huge).lenenc_bytes("x").is_err());
    }
}
