//! Stored pieces: written run by run, read back message by message.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bytes::{Buf, Bytes};
use culvert_api::{Error, ErrorKind, Result};

use crate::pgoutput::wire::corrupt;
use crate::pgoutput::{Parsed, kind, parse};

/// How much is read back at a time.
const READ_BYTES: usize = 256 << 10;

/// A file without a name.
pub(crate) struct SpillFile {
    file: File,
    bytes: u64,
}

impl SpillFile {
    /// Writes behind what is there; makes the file where there is none.
    pub(crate) async fn append(
        file: Option<SpillFile>,
        folder: Option<PathBuf>,
        runs: Vec<Bytes>,
    ) -> Result<SpillFile> {
        blocking(move || {
            let folder = folder.unwrap_or_else(std::env::temp_dir);
            let failed = |error| failed(error, "storing a large open transaction", &folder);
            let mut spill = match file {
                Some(spill) => spill,
                None => {
                    std::fs::create_dir_all(&folder).map_err(failed)?;
                    SpillFile { file: tempfile::tempfile_in(&folder).map_err(failed)?, bytes: 0 }
                }
            };
            for run in runs {
                spill.file.write_all(&run).map_err(failed)?;
                spill.bytes += run.len() as u64;
            }
            Ok(spill)
        })
        .await
    }

    /// Reads on from `at`, at most `wanted` bytes, behind what was `carried` over.
    async fn read(mut self, at: u64, wanted: usize, carried: Bytes) -> Result<(SpillFile, Bytes)> {
        blocking(move || {
            let failed = |error| failed(error, "reading back a large transaction", &std::env::temp_dir());
            let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
            let mut buffer = vec![0; carried.len() + wanted.min(left)];
            let (begin, rest) = buffer.split_at_mut(carried.len());
            begin.copy_from_slice(&carried);
            self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
            self.file.read_exact(rest).map_err(failed)?;
            Ok((self, Bytes::from(buffer)))
        })
        .await
    }
}

/// Disks may take their time; the runtime's threads do not wait for them.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(ErrorKind::Internal, "a task on a file ended early").caused_by(error))?
}

fn failed(error: std::io::Error, doing: &str, folder: &std::path::Path) -> Error {
    let full = matches!(error.kind(), IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded);
    let failure = Error::new(ErrorKind::Unavailable, format!("failed while {doing}"))
        .context("folder", folder.display())
        .caused_by(error);
    if full { failure.hint("the folder's disk is full: make room") } else { failure }
}

/// The messages of a committed transaction, in order.
pub(crate) struct Replay {
    file: Option<SpillFile>,
    /// Where to read on in the file.
    at: u64,
    /// What follows the file.
    runs: std::vec::IntoIter<Bytes>,
    buffer: Bytes,
    run: Bytes,
    aborted: HashSet<u32>,
}

/// A message of a [`Replay`].
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) parsed: Parsed,
    /// A relation message's place in the stream; 0 for others.
    pub(crate) place: u64,
    /// Its length as stored.
    pub(crate) bytes: usize,
}

impl Replay {
    pub(crate) fn new(file: Option<SpillFile>, runs: Vec<Bytes>, aborted: HashSet<u32>) -> Replay {
        let (buffer, run) = (Bytes::new(), Bytes::new());
        Replay { file, at: 0, runs: runs.into_iter(), buffer, run, aborted }
    }

    /// The next message that counts, as far as it is in memory. `None`: [`Replay::fill`] first.
    ///
    /// A relation message counts even when its subtransaction was rolled back. The server takes it
    /// as sent for the whole transaction; had the rollback changed the table back, it would have
    /// sent it again.
    pub(crate) fn take(&mut self) -> Result<Option<Replayed>> {
        loop {
            let Some(mut message) = self.cut()? else { return Ok(None) };
            let bytes = message.len();
            let mut place = 0;
            if message.first() == Some(&kind::RELATION) {
                let Some(end) = message.len().checked_sub(size_of::<u64>()) else { return Err(damaged()) };
                place = message.split_off(end).get_u64();
            }
            let is_relation = place != 0;
            let parsed = parse(message, true)?;
            let is_aborted = parsed.xid.is_some_and(|xid| self.aborted.contains(&xid));
            if is_relation || !is_aborted {
                return Ok(Some(Replayed { parsed, place, bytes }));
            }
        }
    }

    /// A whole message off the file's buffer or a run.
    fn cut(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.is_in_file() || !self.buffer.is_empty() {
                let Some(total) = stored_length(&self.buffer)? else { return Ok(None) };
                if self.buffer.len() < total {
                    return Ok(None);
                }
                let mut message = self.buffer.split_to(total);
                message.advance(size_of::<u32>());
                return Ok(Some(message));
            }
            if self.run.is_empty() {
                match self.runs.next() {
                    Some(run) => self.run = run,
                    None => return Ok(None),
                }
                continue;
            }
            // A message never lies across two runs.
            let total =
                stored_length(&self.run)?.filter(|total| *total <= self.run.len()).ok_or_else(damaged)?;
            let mut message = self.run.split_to(total);
            message.advance(size_of::<u32>());
            return Ok(Some(message));
        }
    }

    fn is_in_file(&self) -> bool {
        self.file.as_ref().is_some_and(|file| self.at < file.bytes)
    }

    /// Reads on; `false` at the end.
    pub(crate) async fn fill(&mut self) -> Result<bool> {
        if !self.is_in_file() {
            return if self.buffer.is_empty() { Ok(false) } else { Err(damaged()) };
        }
        let Some(file) = self.file.take() else { return Ok(false) };
        // A message larger than a read is read whole.
        let lacking = stored_length(&self.buffer)?.unwrap_or(0).saturating_sub(self.buffer.len());
        let carried = std::mem::take(&mut self.buffer);
        let before = carried.len() as u64;
        let (file, buffer) = file.read(self.at, lacking.max(READ_BYTES), carried).await?;
        self.at += buffer.len() as u64 - before;
        self.file = Some(file);
        self.buffer = buffer;
        Ok(true)
    }
}

/// Length of the message at the front with its header, when that much is there.
fn stored_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(header) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*header)).map_err(|_| damaged())?;
    if length == 0 { Err(damaged()) } else { Ok(Some(length + size_of::<u32>())) }
}

fn damaged() -> Error {
    corrupt("was damaged in its temporary file")
}
