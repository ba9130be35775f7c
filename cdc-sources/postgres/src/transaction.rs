//! Transactions that the server sends in pieces while they are still open.
//!
//! ```text
//!   Stream Start(xid) … changes … Stream Stop      stored under xid, as they came
//!   Stream Abort(xid, subxid)                      changes of subxid will be left out
//!   Stream Abort(xid, xid)                         thrown away
//!   Stream Commit(xid)                             read back in order: crate::log::pump
//! ```
//!
//! Pieces are kept in memory up to a budget over all transactions; past it the largest goes to its
//! file, and what comes of that one later follows in small portions. A file has no name: the system frees it with the process, however that ends. Stored is the
//! message itself behind its length; a relation message also has the number of its place in the
//! stream behind it, for it competes with those outside (see [`Relations`]).

mod relations;
mod spill;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use bytes::{BufMut, Bytes, BytesMut};
use culvert_api::Result;

pub(crate) use self::relations::Relations;
pub(crate) use self::spill::Replay;
use self::spill::SpillFile;
use crate::pgoutput::kind;
use crate::pgoutput::wire::corrupt;

/// A piece in memory is kept in runs of this size.
const RUN_BYTES: usize = 256 << 10;
/// A transaction that has a file keeps no more than this in memory.
const PORTION_BYTES: usize = 1 << 20;
/// The size of a transaction's first run.
const RUN_BYTES_MIN: usize = 4 << 10;

/// The transactions being put together.
pub(crate) struct Assembly {
    folder: Option<PathBuf>,
    bytes_max: usize,
    bytes: usize,
    open: HashMap<u32, Pieces>,
}

/// What has come of one transaction.
#[derive(Default)]
struct Pieces {
    /// Full runs, then the one being filled.
    runs: Vec<Bytes>,
    tail: BytesMut,
    bytes: usize,
    file: Option<SpillFile>,
    aborted: HashSet<u32>,
}

impl Assembly {
    /// Nothing yet. `bytes_max` bounds what is held in memory, over all transactions.
    pub(crate) fn new(folder: Option<PathBuf>, bytes_max: usize) -> Assembly {
        Assembly { folder, bytes_max, bytes: 0, open: HashMap::new() }
    }

    /// A piece of a transaction begins.
    pub(crate) fn begin_piece(&mut self, xid: u32, is_first: bool) -> Result<()> {
        match (is_first, self.open.contains_key(&xid)) {
            (true, false) => {
                self.open.insert(xid, Pieces::default());
                Ok(())
            }
            (false, true) => Ok(()),
            (true, true) => Err(corrupt("begins a transaction that has begun")),
            (false, false) => Err(corrupt("goes on with a transaction that has not begun")),
        }
    }

    /// Stores a message of the piece; `place` is its number in the stream.
    pub(crate) fn append(&mut self, xid: u32, message: &Bytes, place: u64) -> Result<()> {
        let pieces = self.open.get_mut(&xid).ok_or_else(|| corrupt("belongs to no open transaction"))?;
        let is_relation = message.first() == Some(&kind::RELATION);
        let length = message.len() + if is_relation { size_of::<u64>() } else { 0 };
        let header = u32::try_from(length).map_err(|_| corrupt("is too long"))?;
        let stored = length + size_of::<u32>();
        if pieces.tail.capacity() - pieces.tail.len() < stored {
            pieces.new_run(stored);
        }
        pieces.tail.put_u32(header);
        pieces.tail.put_slice(message);
        if is_relation {
            pieces.tail.put_u64(place);
        }
        pieces.bytes += stored;
        self.bytes += stored;
        Ok(())
    }

    /// Part of a transaction, or with `subxid == xid` all of it, is rolled back.
    pub(crate) fn abort(&mut self, xid: u32, subxid: u32) {
        if xid == subxid {
            self.remove(xid);
        } else if let Some(pieces) = self.open.get_mut(&xid) {
            pieces.aborted.insert(subxid);
        }
    }

    /// The transaction is committed: what came of it.
    pub(crate) fn commit(&mut self, xid: u32) -> Result<Replay> {
        let pieces = self.remove(xid).ok_or_else(|| corrupt("commits a transaction that has not begun"))?;
        let mut runs = pieces.runs;
        runs.push(pieces.tail.freeze());
        Ok(Replay::new(pieces.file, runs, pieces.aborted))
    }

    fn remove(&mut self, xid: u32) -> Option<Pieces> {
        let pieces = self.open.remove(&xid)?;
        self.bytes -= pieces.bytes;
        Some(pieces)
    }

    /// More is held in memory than the budget allows, or than a transaction with a file may keep:
    /// [`Assembly::spill`] is due. `xid` is the transaction that was appended to.
    pub(crate) fn is_spill_due(&self, xid: u32) -> bool {
        self.is_over_budget() || self.open.get(&xid).is_some_and(Pieces::has_portion)
    }

    fn is_over_budget(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Writes the transaction's portion to its file and, when the budget is exceeded, the largest
    /// transactions until half of it is free.
    pub(crate) async fn spill(&mut self, xid: u32) -> Result<()> {
        let target = if self.is_over_budget() { self.bytes_max / 2 } else { self.bytes_max };
        let folder = self.folder.clone();
        if let Some(pieces) = self.open.get_mut(&xid).filter(|pieces| pieces.has_portion()) {
            self.bytes -= pieces.spill(folder.clone()).await?;
        }
        while self.bytes > target {
            let Some(pieces) = self.open.values_mut().max_by_key(|pieces| pieces.bytes) else { break };
            self.bytes -= pieces.spill(folder.clone()).await?;
        }
        Ok(())
    }
}

impl Pieces {
    fn has_portion(&self) -> bool {
        self.file.is_some() && self.bytes >= PORTION_BYTES
    }

    /// Writes what is in memory to the file; gives its bytes.
    async fn spill(&mut self, folder: Option<PathBuf>) -> Result<usize> {
        let mut runs = std::mem::take(&mut self.runs);
        runs.push(std::mem::take(&mut self.tail).freeze());
        self.file = Some(SpillFile::append(self.file.take(), folder, runs).await?);
        Ok(std::mem::take(&mut self.bytes))
    }

    /// Runs grow with their transaction: a small one takes little.
    fn new_run(&mut self, needed: usize) {
        let size = self.bytes.clamp(RUN_BYTES_MIN, RUN_BYTES).max(needed);
        let full = std::mem::replace(&mut self.tail, BytesMut::with_capacity(size));
        if !full.is_empty() {
            self.runs.push(full.freeze());
        }
    }
}

#[cfg(test)]
mod tests;
