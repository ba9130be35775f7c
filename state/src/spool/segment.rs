//! One segment's file: head, items, seal.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_api::{
    Checkpoint, Error, ErrorKind, Result, SegmentReader, SourceState, SpoolItem, TableId, TableSchema,
};
use serde::{Deserialize, Serialize};

use super::failed;
use super::record::{self, Record};
use crate::format::{decode_checkpoint, encode_checkpoint};

/// Bytes gathered before they go to the file.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// Version of segment files written now.
const VERSION: u32 = 1;

/// Where a segment begins: behind this checkpoint, whose source state has this size and checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u32,
    behind: u64,
    state_bytes: usize,
    state_crc: u32,
}

impl Head {
    pub(super) fn new((behind, state): (u64, Option<&SourceState>)) -> Head {
        let mut crc = crc32fast::Hasher::new();
        let mut state_bytes = 0;
        for part in state.iter().flat_map(|state| [&state.enumerator, &state.reader]) {
            crc.update(&part.len().to_le_bytes());
            crc.update(part);
            state_bytes += part.len();
        }
        Head { version: VERSION, behind, state_bytes, state_crc: crc.finalize() }
    }
}

/// Writes the open segment.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    /// The schemas written so far: the newest of each table, and its number.
    schemas: HashMap<TableId, (u32, Arc<TableSchema>)>,
    schemas_written: u32,
}

impl SegmentWriter {
    pub(super) fn create(path: &Path, head: &Head) -> Result<SegmentWriter> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.map_err(|error| failed(path, error))?;
        let mut writer = SegmentWriter {
            path: path.to_owned(),
            file: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            bytes: 0,
            schemas: HashMap::new(),
            schemas_written: 0,
        };
        let head = serde_json::to_vec(head).map_err(|error| record::unwritable("head", error))?;
        writer.write(record::HEAD, &head)?;
        Ok(writer)
    }

    pub(super) fn append(&mut self, item: &SpoolItem) -> Result<()> {
        match item {
            SpoolItem::Batch(batch) => {
                let schema = self.schema(&batch.schema)?;
                self.write(record::BATCH, &record::encode_batch(batch, schema)?)
            }
            SpoolItem::SchemaChange(change) => {
                let before = change.before.as_ref().map(|schema| self.schema(schema)).transpose()?;
                let after = change.after.as_ref().map(|schema| self.schema(schema)).transpose()?;
                self.write(record::CHANGE, &record::encode_change(before, after, &change.statement)?)
            }
        }
    }

    /// Ends the segment; the bytes it has. Durable.
    pub(super) fn seal(&mut self, checkpoint: &Checkpoint) -> Result<u64> {
        let seal_at = self.bytes;
        self.write(record::SEAL, &encode_checkpoint(checkpoint)?)?;
        self.write(record::END, &seal_at.to_le_bytes())?;
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(|error| failed(&self.path, error))?;
        Ok(self.bytes)
    }

    /// The number of a schema, which is written when it is new.
    fn schema(&mut self, schema: &Arc<TableSchema>) -> Result<u32> {
        if let Some((number, known)) = self.schemas.get(&schema.id)
            && (Arc::ptr_eq(known, schema) || **known == **schema)
        {
            return Ok(*number);
        }
        let number = self.schemas_written;
        self.write(record::SCHEMA, &record::encode_schema(schema)?)?;
        self.schemas_written += 1;
        self.schemas.insert(schema.id.clone(), (number, Arc::clone(schema)));
        Ok(number)
    }

    fn write(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let head = record::frame(kind, body)?;
        self.file
            .write_all(&head)
            .and_then(|()| self.file.write_all(body))
            .map_err(|error| failed(&self.path, error))?;
        self.bytes += (head.len() + body.len()) as u64;
        Ok(())
    }
}

/// A sealed segment that is being read.
pub(super) struct SegmentFile {
    path: PathBuf,
    file: BufReader<File>,
    head: Head,
    checkpoint: Checkpoint,
    /// By number.
    schemas: Vec<Arc<TableSchema>>,
}

impl SegmentFile {
    pub(super) fn open(path: &Path) -> Result<SegmentFile> {
        let file = File::open(path).map_err(|error| failed(path, error))?;
        let size = file.metadata().map_err(|error| failed(path, error))?.len();
        let mut file = BufReader::with_capacity(WRITE_BUFFER_BYTES, file);
        let checkpoint = read_seal(&mut file, size).map_err(|error| located(path, error))?;
        let head = read_head(&mut file).map_err(|error| located(path, error))?;
        if head.version != VERSION {
            return Err(Error::new(
                ErrorKind::StateMismatch,
                format!(
                    "{} has version {} of the format, this program reads {VERSION}",
                    path.display(),
                    head.version
                ),
            )
            .hint("use the program that wrote it, or a newer one"));
        }
        Ok(SegmentFile { path: path.to_owned(), file, head, checkpoint, schemas: Vec::new() })
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    fn schema(&self, number: u32) -> Result<Arc<TableSchema>> {
        usize::try_from(number)
            .ok()
            .and_then(|number| self.schemas.get(number))
            .map(Arc::clone)
            .ok_or_else(|| record::damaged("a schema is missing"))
    }

    fn next_item(&mut self) -> Result<Option<SpoolItem>> {
        loop {
            let Record { kind, body } = record::read(&mut self.file)?;
            match kind {
                record::SCHEMA => self.schemas.push(Arc::new(record::decode_schema(&body)?)),
                record::BATCH => {
                    let batch = record::decode_batch(&body, |number| self.schema(number))?;
                    return Ok(Some(SpoolItem::Batch(batch)));
                }
                record::CHANGE => {
                    let change = record::decode_change(&body, |number| self.schema(number))?;
                    return Ok(Some(SpoolItem::SchemaChange(change)));
                }
                record::SEAL => return Ok(None),
                _ => return Err(record::damaged("a record of an unknown kind")),
            }
        }
    }
}

impl SegmentReader for SegmentFile {
    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    fn next(&mut self) -> Result<Option<SpoolItem>> {
        self.next_item().map_err(|error| located(&self.path, error))
    }
}

fn read_seal(file: &mut (impl Read + std::io::Seek), size: u64) -> Result<Checkpoint> {
    let end = size.checked_sub(record::END_BYTES).ok_or_else(|| record::damaged("it is cut off"))?;
    record::seek(file, end)?;
    let last = record::read(file)?;
    let seal_at = match (last.kind, <[u8; 8]>::try_from(last.body.as_slice())) {
        (record::END, Ok(bytes)) => u64::from_le_bytes(bytes),
        _ => return Err(record::damaged("it is cut off")),
    };
    record::seek(file, seal_at)?;
    let seal = record::read(file)?;
    if seal.kind != record::SEAL {
        return Err(record::damaged("its seal is not where it should be"));
    }
    decode_checkpoint(&seal.body)
}

fn read_head(file: &mut (impl Read + std::io::Seek)) -> Result<Head> {
    record::seek(file, 0)?;
    let first = record::read(file)?;
    if first.kind != record::HEAD {
        return Err(record::damaged("it does not begin with its head"));
    }
    serde_json::from_slice(&first.body)
        .map_err(|error| record::damaged("its head does not read").caused_by(error))
}

/// Adds the file and the way out to what is wrong with its bytes.
fn located(path: &Path, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Corrupt => {
            Error::new(ErrorKind::Corrupt, format!("the spooled segment {} does not read", path.display()))
                .caused_by(error)
                .hint("restore the state folder from a backup; docs/fan-out.md says how to go on without it")
        }
        _ => error,
    }
}
