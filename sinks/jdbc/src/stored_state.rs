//! The source state as the commit marker's column `source_state` holds it: `1` (the format) as a byte,
//! the length of the enumerator's state as 8 bytes little endian, that state, then the reader's.

use culvert_api::{Error, ErrorKind, Result, SourceState};

/// The format.
const STATE_FORMAT: u8 = 1;

/// The stored form.
pub(crate) fn encode(state: &SourceState) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + state.enumerator.len() + state.reader.len());
    bytes.push(STATE_FORMAT);
    // A length in memory fits 64 bits.
    bytes.extend_from_slice(&u64::try_from(state.enumerator.len()).unwrap_or(u64::MAX).to_le_bytes());
    bytes.extend_from_slice(&state.enumerator);
    bytes.extend_from_slice(&state.reader);
    bytes
}

/// What [`encode`] stored.
pub(crate) fn decode(bytes: &[u8]) -> Result<SourceState> {
    let damaged = || Error::new(ErrorKind::Corrupt, "the source state in the commit marker is damaged");
    let (format, rest) = bytes.split_first().ok_or_else(damaged)?;
    if *format != STATE_FORMAT {
        let message =
            format!("the source state in the commit marker has format {format}, which is not known");
        return Err(
            Error::new(ErrorKind::Unsupported, message).hint("run the version of culvert that wrote it")
        );
    }
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
    let (enumerator, reader) = rest.split_at_checked(length).ok_or_else(damaged)?;
    Ok(SourceState { enumerator: enumerator.to_vec(), reader: reader.to_vec() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_stored_format_is_fixed() {
        let state = SourceState { enumerator: b"ab".to_vec(), reader: b"xyz".to_vec() };
        let stored = b"\x01\x02\0\0\0\0\0\0\0abxyz";
        assert_eq!(encode(&state), stored);
        assert_eq!(decode(stored).unwrap(), state);
        assert_eq!(decode(b"\x01\0\0\0\0\0\0\0\0").unwrap(), SourceState::default());
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in
            [&b""[..], b"\x01", b"\x01\x09\0\0\0\0\0\0\0ab", b"\x01\xff\xff\xff\xff\xff\xff\xff\xffa"]
        {
            assert_eq!(decode(bytes).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(decode(b"\x02abc").unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
