//! The queue between the task that reads the log and its consumer, bounded in bytes.
//!
//! Row images are slices of the buffers they were read into, so an item keeps the whole of its buffer
//! alive. What counts against the bound is therefore what passed since the item before it, up to one
//! buffer, and not the item's own length.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use culvert_api::{Error, Result};
use tokio::sync::mpsc;

use super::{LogItem, Shared};
use crate::walsender::BUFFER_BYTES;

/// The queue is full with this many bytes in it; a single message may be larger.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Reading goes on when this few are left.
const QUEUE_BYTES_LOW: usize = QUEUE_BYTES_MAX / 2;
/// Items travel together up to this size, or as many as one read brought.
const BATCH_BYTES: usize = 256 << 10;

/// Items that travel together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) items: Vec<LogItem>,
    /// What they count for.
    pub(crate) bytes: usize,
}

/// The sender's end.
pub(crate) struct Outbox {
    batches: mpsc::UnboundedSender<Result<Batch>>,
    shared: Arc<Shared>,
    items: Vec<LogItem>,
    bytes: usize,
    /// Bytes read since the last item.
    passed: usize,
}

impl Outbox {
    pub(crate) fn new(batches: mpsc::UnboundedSender<Result<Batch>>, shared: Arc<Shared>) -> Outbox {
        Outbox { batches, shared, items: Vec::new(), bytes: 0, passed: 0 }
    }

    /// A message of this length is about to be looked at.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.passed = self.passed.min(BUFFER_BYTES) + bytes;
    }

    /// Appends an item.
    pub(crate) fn push(&mut self, item: LogItem) {
        self.bytes += std::mem::take(&mut self.passed) + size_of::<LogItem>();
        self.items.push(item);
        if self.bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Sends what has gathered.
    pub(crate) fn flush(&mut self) {
        if self.items.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let items = std::mem::replace(&mut self.items, Vec::with_capacity(64));
        self.shared.queued.fetch_add(bytes, Ordering::AcqRel);
        // Without a consumer the task is about to be ended.
        let _ = self.batches.send(Ok(Batch { items, bytes }));
    }

    /// Ends the queue with an error, behind all items.
    pub(crate) fn fail(&mut self, error: Error) {
        self.flush();
        let _ = self.batches.send(Err(error));
    }

    /// No more may be read now.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.queued.load(Ordering::Acquire) + self.bytes >= QUEUE_BYTES_MAX
    }

    /// Waits until the consumer has made room.
    pub(crate) async fn room(&mut self) {
        self.flush();
        while self.shared.queued.load(Ordering::Acquire) > QUEUE_BYTES_LOW {
            self.shared.room.notified().await;
        }
    }
}
