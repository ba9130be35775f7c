//! The commit marker as it lies in the progress topic.
//!
//! One message, the head, has the key `{"job":…,"sink":…,"writer":0}` and as its value
//!
//! ```text
//! {"format":1,"epoch":3,"checkpoint":12,"parts":1}
//! ```
//!
//! The source state can be larger than a broker takes in one message. It is compressed and cut into
//! parts, whose keys have `"part":1` and so on behind the writer. A part is `1` (the format) as a byte,
//! the checkpoint as 8 bytes little endian, and its share of the compressed state. Compaction keeps the
//! newest message of each key, and head and parts are written in one transaction, so they fit
//! together; a part of another checkpoint than the head's is damage.

use std::io::Read;

use culvert_api::{CommitMarker, Error, ErrorKind, Result, SourceState};
use serde::{Deserialize, Serialize};

/// The format of head and parts.
const FORMAT: u8 = 1;
/// Largest part; brokers take a million bytes by default.
const PART_BYTES_MAX: usize = 512 << 10;
/// Largest state, expanded: what a damaged part can make us allocate.
const STATE_BYTES_MAX: u64 = 1 << 30;

/// Whose marker it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) job: String,
    pub(crate) sink: String,
    pub(crate) writer: u32,
}

/// A message's key.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    #[serde(flatten)]
    pub(crate) owner: Owner,
    /// The part's number from 1; the head has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<u32>,
}

/// The head's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    format: u8,
    pub(crate) epoch: u64,
    pub(crate) checkpoint: u64,
    pub(crate) parts: u32,
}

/// A message of the progress topic; without a value it is a tombstone.
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Owner {
    pub(crate) fn new(job: &str, sink: &str, writer: u32) -> Owner {
        Owner { job: job.to_owned(), sink: sink.to_owned(), writer }
    }

    fn key(&self, part: Option<u32>) -> Vec<u8> {
        let key = Key { owner: self.clone(), part };
        serde_json::to_vec(&key).expect("texts and numbers have a JSON form")
    }
}

impl Head {
    /// The head of a sink that has committed nothing.
    pub(crate) fn first(epoch: u64) -> Head {
        Head { format: FORMAT, epoch, checkpoint: 0, parts: 0 }
    }

    /// The same place, taken over.
    pub(crate) fn with_epoch(self, epoch: u64) -> Head {
        Head { epoch, ..self }
    }

    /// The message.
    pub(crate) fn entry(&self, owner: &Owner) -> Entry {
        let value = serde_json::to_vec(self).expect("numbers have a JSON form");
        Entry { key: owner.key(None), value: Some(value) }
    }

    pub(crate) fn parse(value: &[u8]) -> Result<Head> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let format: Format = serde_json::from_slice(value).map_err(|_| damaged())?;
        if format.format != u64::from(FORMAT) {
            return Err(unknown(format.format));
        }
        serde_json::from_slice(value).map_err(|_| damaged())
    }
}

impl Key {
    /// `None`: a message of somebody else.
    pub(crate) fn parse(key: &[u8]) -> Option<Key> {
        serde_json::from_slice(key).ok()
    }
}

/// The messages of a marker: the parts, then the head.
pub(crate) fn entries(marker: &CommitMarker) -> Result<Vec<Entry>> {
    let owner = Owner::new(&marker.job, &marker.sink, marker.writer);
    let compressed = match &marker.source {
        Some(state) => compress(state)?,
        None => Vec::new(),
    };
    let mut entries = Vec::new();
    for (share, part) in compressed.chunks(PART_BYTES_MAX).zip(1..) {
        let mut value = Vec::with_capacity(9 + share.len());
        value.push(FORMAT);
        value.extend_from_slice(&marker.checkpoint.to_le_bytes());
        value.extend_from_slice(share);
        entries.push(Entry { key: owner.key(Some(part)), value: Some(value) });
    }
    let parts = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let head = Head { format: FORMAT, epoch: marker.epoch, checkpoint: marker.checkpoint, parts };
    entries.push(head.entry(&owner));
    Ok(entries)
}

/// The messages that remove a marker: no reader finds a head without its parts.
pub(crate) fn tombstones(owner: &Owner, parts: u32) -> Vec<Entry> {
    let keys = std::iter::once(None).chain((1..=parts).map(Some));
    keys.map(|part| Entry { key: owner.key(part), value: None }).collect()
}

/// The marker that a head and the values of its parts make, in their order.
pub(crate) fn assemble(owner: &Owner, head: Head, parts: &[&[u8]]) -> Result<CommitMarker> {
    let mut compressed = Vec::new();
    for part in parts {
        let (format, rest) = part.split_first().ok_or_else(damaged)?;
        if *format != FORMAT {
            return Err(unknown(u64::from(*format)));
        }
        let (checkpoint, share) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        if u64::from_le_bytes(*checkpoint) != head.checkpoint {
            return Err(damaged());
        }
        compressed.extend_from_slice(share);
    }
    let source = if parts.is_empty() { None } else { Some(expand(&compressed)?) };
    let Owner { job, sink, writer } = owner.clone();
    Ok(CommitMarker { job, sink, writer, epoch: head.epoch, checkpoint: head.checkpoint, source })
}

/// Zstandard over the length of the enumerator's state (8 bytes, little endian), that state, and the
/// reader's.
fn compress(state: &SourceState) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 + state.enumerator.len() + state.reader.len());
    // A length in memory fits 64 bits.
    bytes.extend_from_slice(&u64::try_from(state.enumerator.len()).unwrap_or(u64::MAX).to_le_bytes());
    bytes.extend_from_slice(&state.enumerator);
    bytes.extend_from_slice(&state.reader);
    zstd::encode_all(bytes.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL).map_err(|cause| {
        Error::new(ErrorKind::Internal, "could not compress the commit marker").caused_by(cause)
    })
}

fn expand(compressed: &[u8]) -> Result<SourceState> {
    let mut bytes = Vec::new();
    let decoder = zstd::Decoder::new(compressed).map_err(|_| damaged())?;
    decoder.take(STATE_BYTES_MAX).read_to_end(&mut bytes).map_err(|_| damaged())?;
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
    let (enumerator, reader) = rest.split_at_checked(length).ok_or_else(damaged)?;
    Ok(SourceState { enumerator: enumerator.to_vec(), reader: reader.to_vec() })
}

pub(crate) fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the commit marker in the progress topic is damaged")
        .hint("has somebody else written to it, or is its cleanup.policy not compact?")
}

fn unknown(format: u64) -> Error {
    let message = format!("the commit marker in the progress topic has format {format}, which is not known");
    Error::new(ErrorKind::Unsupported, message).hint("run the version of culvert that wrote it")
}

#[cfg(test)]
mod tests;
