//! The restart point.

use std::collections::VecDeque;

use culvert_api::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::folder::Seen;
use crate::plan::Work;

/// Of both parts. An older one is read for good.
const VERSION: u32 = 1;

/// A table as it was at the first start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableState {
    pub(crate) name: String,
    /// Its columns, and how its files are read.
    pub(crate) shape: String,
    /// The file that told the columns, where the job file does not.
    pub(crate) told_by: Option<Seen>,
    /// The columns that the paths have.
    pub(crate) names: Vec<String>,
}

/// The enumerator's part: which files are left. They are handed out one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    version: u32,
    pub(crate) tables: Vec<TableState>,
    /// Files done.
    pub(crate) finished: u64,
    /// The others, in order.
    pub(crate) left: VecDeque<Work>,
}

/// The reader's part: the file it is in, and the row it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    version: u32,
    /// The file's number and its next row.
    pub(crate) at: Option<(u64, u64)>,
}

impl Progress {
    /// Nothing is done.
    pub(crate) fn start(tables: Vec<TableState>, left: Vec<Work>) -> Progress {
        Progress { version: VERSION, tables, finished: 0, left: left.into() }
    }

    /// Files in all.
    pub(crate) fn count(&self) -> u64 {
        self.finished + self.left.len() as u64
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Progress> {
        decode(bytes, |progress: &Progress| progress.version)
    }
}

impl Place {
    pub(crate) fn new(at: Option<(u64, u64)>) -> Place {
        Place { version: VERSION, at }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Place> {
        decode(bytes, |place: &Place| place.version)
    }
}

/// A value as bytes.
pub(crate) fn encode<T: Serialize>(state: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|cause| Error::new(ErrorKind::Internal, "a restart point was not written").caused_by(cause))
}

fn decode<T: DeserializeOwned>(bytes: &[u8], version: impl Fn(&T) -> u32) -> Result<T> {
    let broken = || Error::new(ErrorKind::Corrupt, "the restart point is none of this source");
    let state: T = serde_json::from_slice(bytes).map_err(|cause| broken().caused_by(cause))?;
    match version(&state) {
        VERSION => Ok(state),
        found => Err(broken().context("version", found)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The first version, as it was written. It is read for good.
    const ENUMERATOR: &str = r#"{"version":1,"tables":[{"name":"d.t","shape":"csv","told_by":null,"names":["city"]}],"finished":3,"left":[{"table":0,"file":{"name":"city=Rome/a.csv","bytes":9,"modified_ns":1700000000000000001}}]}"#;
    const READER: &str = r#"{"version":1,"at":[3,500]}"#;

    #[test]
    fn the_stored_form_stays() {
        let progress = Progress::decode(ENUMERATOR.as_bytes()).unwrap();
        assert_eq!((progress.count(), progress.left[0].file.bytes), (4, 9));
        assert_eq!(progress.encode().unwrap(), ENUMERATOR.as_bytes());
        let place = Place::decode(READER.as_bytes()).unwrap();
        assert_eq!(place, Place::new(Some((3, 500))));
        assert_eq!(place.encode().unwrap(), READER.as_bytes());
    }

    #[test]
    fn another_form_is_refused() {
        for reader in ["", "{}", "null", r#"{"version":2,"at":null}"#] {
            assert_eq!(Place::decode(reader.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{reader}");
        }
    }
}
