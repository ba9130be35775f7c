//! What the source stores in a checkpoint. Versioned by its first byte.

use std::collections::BTreeMap;

use culvert_api::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version this code writes.
const VERSION: u8 = 1;

/// A part, as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartBody {
    /// The place of its table or query in the job.
    pub(crate) item: usize,
    /// Its number there.
    pub(crate) number: u64,
    /// `None`: all rows.
    pub(crate) condition: Option<String>,
    /// How many parts the job has in all.
    pub(crate) of: u64,
}

/// The enumerator's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnumeratorState {
    /// What each item is and which columns it has.
    pub(crate) items: Vec<String>,
    /// Parts that are not read, with their ids.
    pub(crate) parts: Vec<(String, PartBody)>,
}

/// The reader's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReaderState {
    /// Parts that are read.
    pub(crate) finished: u64,
    /// Parts in all; 0 before the first was handed out.
    pub(crate) of: u64,
    /// For parts in order that are being read, by id: the key of the last row that left.
    pub(crate) after: BTreeMap<String, Vec<String>>,
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value)
        .map_err(|error| Error::new(ErrorKind::Internal, "state that cannot be stored").caused_by(error))?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&VERSION, body)) => serde_json::from_slice(body).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the stored state of a Jdbc source cannot be read")
                .caused_by(error)
        }),
        Some((version, _)) => Err(Error::new(
            ErrorKind::StateMismatch,
            format!(
                "the stored state of a Jdbc source has version {version}, and this program knows {VERSION}"
            ),
        )
        .hint("use the program that wrote it, or a newer one")),
        None => Err(Error::new(ErrorKind::Corrupt, "the stored state of a Jdbc source is empty")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_version_reads_and_writes_as_ever() {
        let part = PartBody { item: 0, number: 2, condition: Some("id >= 7".into()), of: 3 };
        let state = EnumeratorState { items: vec!["shop.t".into()], parts: vec![("shop.t:2".into(), part)] };
        let stored = b"\x01{\"items\":[\"shop.t\"],\"parts\":[[\"shop.t:2\",{\"item\":0,\"number\":2,\"condition\":\"id >= 7\",\"of\":3}]]}";
        assert_eq!(encode(&state).unwrap(), stored);
        assert_eq!(decode::<EnumeratorState>(stored).unwrap(), state);
        let after = [("shop.t:2".to_owned(), vec!["i:9".to_owned()])].into();
        let state = ReaderState { finished: 1, of: 3, after };
        let stored = b"\x01{\"finished\":1,\"of\":3,\"after\":{\"shop.t:2\":[\"i:9\"]}}";
        assert_eq!(encode(&state).unwrap(), stored);
        assert_eq!(decode::<ReaderState>(stored).unwrap(), state);
        assert_eq!(decode::<ReaderState>(b"\x09{}").unwrap_err().kind(), ErrorKind::StateMismatch);
        assert_eq!(decode::<ReaderState>(b"\x01{").unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
