//! The commit marker as a file: two lines, the manifest as JSON and its checksum.
//!
//! ```text
//! {"version":1,"job":"j","sink":"s","writer":0,"run":"5f3a…","epoch":3,"checkpoint":7,"source":{…},"files":[…],"placed":false}
//! crc32 0badcafe
//! ```
//!
//! A file is `{"from":…,"to":"/out/T_j.csv"}`; `from` is the path where it is staged, or in a bucket
//! `{"upload":"…","parts":["…"]}`.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::{CommitMarker, Error, ErrorKind, Result, SourceState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version that is written. Older ones are read for good.
const VERSION: u32 = 1;

/// What a writer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest<S> {
    version: u32,
    pub(crate) job: String,
    pub(crate) sink: String,
    pub(crate) writer: u32,
    /// Another one for every start from scratch: the names of its files are never another's.
    pub(crate) run: String,
    pub(crate) epoch: u64,
    pub(crate) checkpoint: u64,
    source: Option<Stored>,
    /// The files of the checkpoint.
    pub(crate) files: Vec<Placed<S>>,
    /// Whether all of them have their names.
    pub(crate) placed: bool,
}

/// A file that takes its place with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed<S> {
    /// Where it is staged.
    pub(crate) from: S,
    /// Its place.
    pub(crate) to: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    enumerator: String,
    reader: String,
}

impl<S: Serialize + DeserializeOwned> Manifest<S> {
    /// One of nothing.
    pub(crate) fn fresh(job: &str, sink: &str, writer: u32, run: String, epoch: u64) -> Manifest<S> {
        Manifest {
            version: VERSION,
            job: job.to_owned(),
            sink: sink.to_owned(),
            writer,
            run,
            epoch,
            checkpoint: 0,
            source: None,
            files: Vec::new(),
            placed: true,
        }
    }

    /// One of a checkpoint, whose files are staged.
    pub(crate) fn of(marker: &CommitMarker, run: &str, files: Vec<Placed<S>>) -> Manifest<S> {
        let stored = |state: &SourceState| Stored {
            enumerator: STANDARD.encode(&state.enumerator),
            reader: STANDARD.encode(&state.reader),
        };
        Manifest {
            checkpoint: marker.checkpoint,
            source: marker.source.as_ref().map(stored),
            placed: files.is_empty(),
            files,
            ..Manifest::fresh(&marker.job, &marker.sink, marker.writer, run.to_owned(), marker.epoch)
        }
    }

    /// The marker that it is.
    pub(crate) fn marker(&self) -> Result<CommitMarker> {
        let source = match &self.source {
            None => None,
            Some(stored) => {
                let bytes = |text: &str| STANDARD.decode(text).map_err(|cause| damaged().caused_by(cause));
                Some(SourceState { enumerator: bytes(&stored.enumerator)?, reader: bytes(&stored.reader)? })
            }
        };
        Ok(CommitMarker {
            job: self.job.clone(),
            sink: self.sink.clone(),
            writer: self.writer,
            epoch: self.epoch,
            checkpoint: self.checkpoint,
            source,
        })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).map_err(|cause| {
            Error::new(ErrorKind::Internal, "a manifest was not written").caused_by(cause)
        })?;
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(format!("\ncrc32 {checksum:08x}\n").as_bytes());
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest<S>> {
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (body, checksum) = text.trim_end().rsplit_once('\n').ok_or_else(damaged)?;
        if checksum != format!("crc32 {:08x}", crc32fast::hash(body.as_bytes())) {
            return Err(damaged());
        }
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned = serde_json::from_str(body).map_err(|cause| damaged().caused_by(cause))?;
        if versioned.version != VERSION {
            let what = format!("the manifest has the format {}, which is not known", versioned.version);
            return Err(
                Error::new(ErrorKind::Unsupported, what).hint("run the version of culvert that wrote it")
            );
        }
        serde_json::from_str(body).map_err(|cause| damaged().caused_by(cause))
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the manifest of a sink of files is damaged")
        .hint("restore it from a backup of the folder; with --fresh the job starts over, and adds its rows to what is there")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The first version, as it was written. It is read for good.
    const GOLDEN: &str = "{\"version\":1,\"job\":\"j\",\"sink\":\"s\",\"writer\":2,\"run\":\"r\",\"epoch\":3,\"checkpoint\":7,\
        \"source\":{\"enumerator\":\"YWI=\",\"reader\":\"\"},\"files\":[{\"from\":\"/a/0\",\"to\":\"/b/T_0.csv\"}],\"placed\":false}\ncrc32 ";

    fn manifest() -> Manifest<PathBuf> {
        let marker = CommitMarker {
            job: "j".to_owned(),
            sink: "s".to_owned(),
            writer: 2,
            epoch: 3,
            checkpoint: 7,
            source: Some(SourceState { enumerator: b"ab".to_vec(), reader: Vec::new() }),
        };
        Manifest::of(&marker, "r", vec![Placed { from: "/a/0".into(), to: "/b/T_0.csv".into() }])
    }

    #[test]
    fn the_stored_form_stays() {
        let written = String::from_utf8(manifest().encode().unwrap()).unwrap();
        assert!(written.starts_with(GOLDEN), "{written}");
        assert_eq!(Manifest::decode(written.as_bytes()).unwrap(), manifest());
        assert_eq!(manifest().marker().unwrap().source.unwrap().enumerator, b"ab");
    }

    #[test]
    fn damage_is_an_error() {
        let written = manifest().encode().unwrap();
        for at in 0..written.len() - 1 {
            let mut damaged = written.clone();
            damaged[at] ^= 1;
            assert!(Manifest::<PathBuf>::decode(&damaged).is_err(), "byte {at}");
            assert!(Manifest::<PathBuf>::decode(&written[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_version_of_the_future_is_refused() {
        let text = String::from_utf8(manifest().encode().unwrap())
            .unwrap()
            .replace("\"version\":1", "\"version\":2");
        let body = text.lines().next().unwrap();
        let signed = format!("{body}\ncrc32 {:08x}\n", crc32fast::hash(body.as_bytes()));
        assert_eq!(
            Manifest::<PathBuf>::decode(signed.as_bytes()).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
    }
}
