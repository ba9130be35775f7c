//! The bytes of every stored record.
//!
//! Each record is an envelope around a body:
//!
//! ```text
//! byte 0      version of this kind of record, from 1
//! bytes 1-4   CRC-32 (ISO-HDLC, as in zlib) of byte 0 and the body, little-endian
//! bytes 5-    body
//! ```
//!
//! | record | version | body |
//! |---|---|---|
//! | checkpoint | 1 | u32 little-endian length of the header, header (JSON), enumerator state, reader state |
//! | job | 1 | JSON `{"name", "fingerprint"}` |
//! | epoch | 1 | u64 little-endian |
//! | entry of the registry | 1 | JSON, whose keys are its owner's |
//!
//! The header of a checkpoint is `{"id", "epoch", "created_ms", "enumerator_bytes",
//! "reader_bytes"}`. The two states follow as they are: JSON would make four bytes of each.
//!
//! RocksDB has checksums of its own. Ours covers the way from here to there and makes a record
//! readable without RocksDB.
//!
//! A change of a body is a new version: the old one stays readable, and `testdata/` holds a file
//! of every version that was ever written.

use culvert_api::{Checkpoint, Error, ErrorKind, Result, SourceState};
use serde::{Deserialize, Serialize};

/// Version of checkpoint records written now.
pub const CHECKPOINT_VERSION: u8 = 1;
/// Version of job records written now.
pub const JOB_VERSION: u8 = 1;
/// Version of epoch records written now.
pub const EPOCH_VERSION: u8 = 1;

/// Version of registry entries written now.
pub const ENTRY_VERSION: u8 = 1;

/// Largest source state of one checkpoint, enumerator and reader together, in bytes. A schema
/// history of 10,000 tables takes some ten megabytes; RocksDB holds a record in memory several
/// times over while it writes it.
pub const SOURCE_STATE_BYTES_MAX: usize = 256 << 20;

/// Bytes of the envelope: version and checksum.
const ENVELOPE_BYTES: usize = 5;

/// Which job a state folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// The job's name.
    pub name: String,
    /// What must not change between two runs on one state: same text, same job. Made by the
    /// caller from the parts of the job file that a restart point depends on.
    pub fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct CheckpointHeader {
    id: u64,
    epoch: u64,
    created_ms: u64,
    enumerator_bytes: usize,
    reader_bytes: usize,
}

/// Bytes of a checkpoint record. Fails when the source state is larger than
/// [`SOURCE_STATE_BYTES_MAX`].
pub fn encode_checkpoint(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let SourceState { enumerator, reader } = &checkpoint.source;
    let size = enumerator.len() + reader.len();
    if size > SOURCE_STATE_BYTES_MAX {
        let message = format!("the source state has {size} bytes, more than {SOURCE_STATE_BYTES_MAX}");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .context("checkpoint", checkpoint.id)
            .hint("capture fewer tables in one job"));
    }
    let header = CheckpointHeader {
        id: checkpoint.id,
        epoch: checkpoint.epoch,
        created_ms: checkpoint.created_ms,
        enumerator_bytes: enumerator.len(),
        reader_bytes: reader.len(),
    };
    let header = to_json(&header)?;
    let header_bytes = u32::try_from(header.len()).map_err(|_| internal("checkpoint header too long"))?;
    let mut body = Vec::with_capacity(4 + header.len() + size);
    body.extend_from_slice(&header_bytes.to_le_bytes());
    body.extend_from_slice(&header);
    body.extend_from_slice(enumerator);
    body.extend_from_slice(reader);
    Ok(seal(CHECKPOINT_VERSION, &body))
}

/// A checkpoint from its record, of any version up to [`CHECKPOINT_VERSION`].
pub fn decode_checkpoint(record: &[u8]) -> Result<Checkpoint> {
    let body = open("checkpoint", CHECKPOINT_VERSION, record)?;
    let short = || damaged("checkpoint", "it ends too early");
    let (length, rest) = body.split_first_chunk::<4>().ok_or_else(short)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| short())?;
    let (header, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let header: CheckpointHeader = from_json("checkpoint", header)?;
    let (enumerator, rest) = rest.split_at_checked(header.enumerator_bytes).ok_or_else(short)?;
    let (reader, rest) = rest.split_at_checked(header.reader_bytes).ok_or_else(short)?;
    if !rest.is_empty() {
        return Err(damaged("checkpoint", "it is longer than it says"));
    }
    Ok(Checkpoint {
        id: header.id,
        epoch: header.epoch,
        created_ms: header.created_ms,
        source: SourceState { enumerator: enumerator.to_vec(), reader: reader.to_vec() },
    })
}

/// Bytes of a job record.
pub fn encode_job(job: &JobIdentity) -> Result<Vec<u8>> {
    Ok(seal(JOB_VERSION, &to_json(job)?))
}

/// A job from its record, of any version up to [`JOB_VERSION`].
pub fn decode_job(record: &[u8]) -> Result<JobIdentity> {
    from_json("job", open("job", JOB_VERSION, record)?)
}

/// Bytes of an epoch record.
pub fn encode_epoch(epoch: u64) -> Vec<u8> {
    seal(EPOCH_VERSION, &epoch.to_le_bytes())
}

/// An epoch from its record, of any version up to [`EPOCH_VERSION`].
pub fn decode_epoch(record: &[u8]) -> Result<u64> {
    let body = open("epoch", EPOCH_VERSION, record)?;
    let bytes = body.try_into().map_err(|_| damaged("epoch", "it is not 8 bytes long"))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Bytes of an entry of the registry.
pub fn encode_entry<T: Serialize>(entry: &T) -> Result<Vec<u8>> {
    Ok(seal(ENTRY_VERSION, &to_json(entry)?))
}

/// An entry of the registry from its record, of any version up to [`ENTRY_VERSION`].
pub fn decode_entry<T: for<'a> Deserialize<'a>>(record: &[u8]) -> Result<T> {
    from_json("entry of the registry", open("entry of the registry", ENTRY_VERSION, record)?)
}

fn seal(version: u8, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(ENVELOPE_BYTES + body.len());
    record.push(version);
    record.extend_from_slice(&checksum(version, body).to_le_bytes());
    record.extend_from_slice(body);
    record
}

/// The body of a record, after version and checksum were found right. Bodies of all versions up
/// to `newest` are the same so far.
fn open<'a>(what: &'static str, newest: u8, record: &'a [u8]) -> Result<&'a [u8]> {
    let (&version, rest) = record.split_first().ok_or_else(|| damaged(what, "it is empty"))?;
    let (stored, body) = rest.split_first_chunk::<4>().ok_or_else(|| damaged(what, "it ends too early"))?;
    // The checksum first: a flipped bit in the version must not pass for a newer format.
    if u32::from_le_bytes(*stored) != checksum(version, body) {
        return Err(damaged(what, "its checksum is wrong"));
    }
    if version > newest {
        let message = format!("the stored {what} has format {version}; this program reads up to {newest}");
        return Err(Error::new(ErrorKind::StateMismatch, message)
            .hint("run the version of the program that wrote it, or a newer one"));
    }
    if version == 0 {
        return Err(damaged(what, "its version is 0"));
    }
    Ok(body)
}

fn checksum(version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize()
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| internal("a record cannot be written as JSON").caused_by(error))
}

fn from_json<'a, T: Deserialize<'a>>(what: &'static str, body: &'a [u8]) -> Result<T> {
    // The parser's message can quote the text, so only the place is passed on.
    serde_json::from_slice(body)
        .map_err(|error| damaged(what, &format!("its JSON breaks at column {}", error.column())))
}

fn damaged(what: &'static str, how: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the stored {what} is damaged: {how}"))
}

fn internal(message: &str) -> Error {
    Error::new(ErrorKind::Internal, message)
}

#[cfg(test)]
mod tests;
