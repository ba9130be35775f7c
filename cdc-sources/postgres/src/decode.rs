//! From values on the wire to columns: the text and the binary form of a value end as the same bytes
//! in Arrow, so that a row read by the snapshot and the same row from the log are equal.

mod builder;
mod numeric;
mod rows;
pub(crate) mod temporal;
#[cfg(test)]
mod tests;

use culvert_api::{Error, ErrorKind, Result};

pub(crate) use self::builder::{ColumnBuilder, NanPolicy};
pub(crate) use self::numeric::append_printed as append_numeric;
pub(crate) use self::rows::RowsBuilder;

/// One value as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// NULL.
    Null,
    /// The log left it out.
    Unavailable,
    /// What the type's output function prints.
    Text(&'a [u8]),
    /// What the type's send function sends.
    Binary(&'a [u8]),
}

/// Bytes that are no value of the type they are said to be of.
fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a value is no {what}"))
}

fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| malformed(what))
}

/// The bytes of a fixed-size value.
fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| malformed(what))
}

/// Bytes from pairs of hexadecimal digits.
pub(crate) fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// `\x…` as printed with `bytea_output = hex`.
pub(crate) fn bytea_from_text(text: &[u8]) -> Result<Vec<u8>> {
    text.strip_prefix(b"\\x").and_then(from_hex).ok_or_else(|| malformed("bytea in hexadecimal digits"))
}

/// The text of a uuid: 8-4-4-4-12 lower case digits.
pub(crate) fn append_uuid(bytes: &[u8; 16], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(DIGITS[usize::from(nibble)]));
        }
    }
}

/// The digits of a bit string, from its length and its bytes.
pub(crate) fn append_bits(bytes: &[u8], out: &mut String) -> Result<()> {
    let wrong = || malformed("bit string");
    let (length, bits) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
    let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| wrong())?;
    if bits.len() != length.div_ceil(8) {
        return Err(wrong());
    }
    let all = bits.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    out.extend(all.take(length).map(|set| if set { '1' } else { '0' }));
    Ok(())
}
