//! A queue bounded in bytes between the source and one sink.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Checkpoint, SchemaChange, SpoolItem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What travels from the source to a sink, in band.
#[derive(Debug)]
pub(crate) enum Flow {
    /// Rows; the permit gives their bytes back when they have been written.
    Batch(ChangeBatch, OwnedSemaphorePermit),
    /// A captured table changed its shape.
    SchemaChange(SchemaChange),
    /// Everything before it belongs to this checkpoint.
    Barrier(Arc<Checkpoint>),
    /// The job has come to its end, and everything is committed.
    End,
}

/// Control items that may wait besides the bytes of batches.
const ITEMS_MAX: usize = 4096;
/// Semaphores count in `u32`: bytes are counted in units of this size.
const UNIT_BYTES: usize = 1024;

/// The source's end.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    items: mpsc::Sender<Flow>,
    room: Arc<Semaphore>,
    units_max: u32,
}

/// The receiver is gone: the branch has ended, with an error of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// A queue that holds at most `bytes_max` bytes of batches. A single batch larger than that
/// passes alone.
pub(crate) fn queue(bytes_max: usize) -> (Sender, mpsc::Receiver<Flow>) {
    let units_max = u32::try_from((bytes_max / UNIT_BYTES).max(1)).unwrap_or(u32::MAX >> 4);
    let (items, receiver) = mpsc::channel(ITEMS_MAX);
    (Sender { items, room: Arc::new(Semaphore::new(units_max as usize)), units_max }, receiver)
}

impl Sender {
    /// Asks how many bytes wait, without keeping the queue open.
    pub(crate) fn depth(&self) -> impl Fn() -> u64 + Send + 'static {
        let (room, units_max) = (Arc::clone(&self.room), self.units_max as usize);
        move || (units_max.saturating_sub(room.available_permits()) * UNIT_BYTES) as u64
    }

    /// Waits for the room that a batch needs. Dropping the future gives up the place in the line.
    async fn room_for(&self, batch: &ChangeBatch) -> Result<OwnedSemaphorePermit, Closed> {
        let units = u32::try_from(batch.memory_bytes().div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let permit = tokio::select! {
            permit = self.room.clone().acquire_many_owned(units.clamp(1, self.units_max)) => permit,
            () = self.items.closed() => return Err(Closed),
        };
        permit.map_err(|_| Closed)
    }

    /// Sends rows, waiting for the room they need, or a change of shape. Dropping the future sends nothing.
    pub(crate) async fn deliver(&self, item: &SpoolItem) -> Result<(), Closed> {
        match item {
            SpoolItem::Batch(batch) => {
                let room = self.room_for(batch).await?;
                self.send(Flow::Batch(batch.clone(), room)).await
            }
            SpoolItem::SchemaChange(change) => self.send(Flow::SchemaChange(change.clone())).await,
        }
    }

    /// Sends an item that takes no room.
    pub(crate) async fn send(&self, item: Flow) -> Result<(), Closed> {
        self.items.send(item).await.map_err(|_| Closed)
    }
}
