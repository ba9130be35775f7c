//! The restart point.

use std::time::{SystemTime, UNIX_EPOCH};

use culvert_api::{Error, ErrorKind, Result, SourceState};
use serde::{Deserialize, Serialize};

use crate::content::Table;

/// Of both parts. An older one is read for good.
const VERSION: u32 = 1;

/// What every made-up value follows from; fixed when the job first starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Where values begin.
    pub(crate) seed: u64,
    /// The time of day that `CURRENT_TIMESTAMP` means, in microseconds since 1970 UTC.
    pub(crate) now_us: i64,
}

impl Origin {
    /// One of a fresh start.
    pub(crate) fn fresh(seed: Option<u64>) -> Origin {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Origin {
            seed: seed.unwrap_or_else(rand::random),
            now_us: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
        }
    }
}

/// How many rows and splits a table has: whoever changes them in the job file means other rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    table: String,
    rows: u64,
    splits: usize,
}

/// The enumerator's part: how many splits are done. They are handed out one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    version: u32,
    pub(crate) origin: Origin,
    layout: Vec<Layout>,
    pub(crate) finished: usize,
}

/// The reader's part: the split it is in, and the row it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    version: u32,
    /// The split's number and its next row.
    pub(crate) at: Option<(usize, u64)>,
}

impl Place {
    pub(crate) fn new(at: Option<(usize, u64)>) -> Place {
        Place { version: VERSION, at }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    pub(crate) fn decode(state: &SourceState) -> Result<Place> {
        decode(&state.reader, |place: &Place| place.version)
    }
}

fn layout(tables: &[Table]) -> Vec<Layout> {
    let layout = |table: &Table| Layout {
        table: table.schema.id.to_string(),
        rows: table.rows(),
        splits: table.splits.len(),
    };
    tables.iter().map(layout).collect()
}

impl Progress {
    /// Nothing is done.
    pub(crate) fn start(tables: &[Table], origin: Origin) -> Progress {
        Progress { version: VERSION, origin, layout: layout(tables), finished: 0 }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    /// The restored one, held against the tables of the job file.
    pub(crate) fn restore(state: &SourceState, tables: &[Table]) -> Result<Progress> {
        let progress: Progress = decode(&state.enumerator, |progress: &Progress| progress.version)?;
        if progress.layout == layout(tables) {
            return Ok(progress);
        }
        Err(Error::new(
            ErrorKind::StateMismatch,
            "the job file names other tables, or other numbers of rows or splits, than the restart point",
        )
        .hint("take the change back, or start over with --fresh"))
    }
}

fn encode<T: Serialize>(state: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|cause| Error::new(ErrorKind::Internal, "a restart point was not written").caused_by(cause))
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8], version: impl Fn(&T) -> u32) -> Result<T> {
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
    const ENUMERATOR: &str =
        r#"{"version":1,"origin":{"seed":18446744073709551615,"now_us":7},"layout":[],"finished":3}"#;
    const READER: &str = r#"{"version":1,"at":[3,500]}"#;

    #[test]
    fn the_stored_form_stays() {
        let state = SourceState { enumerator: ENUMERATOR.into(), reader: READER.into() };
        let progress = Progress::restore(&state, &[]).unwrap();
        assert_eq!((progress.origin, progress.finished), (Origin { seed: u64::MAX, now_us: 7 }, 3));
        assert_eq!(progress.encode().unwrap(), ENUMERATOR.as_bytes());
        let place = Place::decode(&state).unwrap();
        assert_eq!(place, Place::new(Some((3, 500))));
        assert_eq!(place.encode().unwrap(), READER.as_bytes());
    }

    #[test]
    fn another_form_is_refused() {
        for reader in ["", "{}", "null", r#"{"version":2,"at":null}"#] {
            let state = SourceState { enumerator: Vec::new(), reader: reader.into() };
            assert_eq!(Place::decode(&state).unwrap_err().kind(), ErrorKind::Corrupt, "{reader}");
        }
    }
}
