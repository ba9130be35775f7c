//! The state store's promises, as the engine needs them.

use crate::checkpoint::Checkpoint;
use crate::error::Result;

/// State of one job, held by one process. Calls block on the disk; the engine keeps them off
/// its event loop.
pub trait StateStore: Send + Sync {
    /// What it is, for messages to people.
    fn name(&self) -> String {
        "the state folder".to_owned()
    }

    /// All saved checkpoints, oldest first.
    fn load(&self) -> Result<Vec<Checkpoint>>;

    /// Saves a checkpoint. `Ok` promises that it survives a crash of the machine.
    fn save(&self, checkpoint: &Checkpoint) -> Result<()>;

    /// Forgets checkpoints with an id below `from`.
    fn prune_below(&self, from: u64) -> Result<()>;

    /// Forgets checkpoints with an id above `last`: no sink ever committed them.
    fn prune_above(&self, last: u64) -> Result<()>;

    /// Takes a new epoch, larger than every earlier one of this store and than `above`. Durable
    /// before it returns.
    fn next_epoch(&self, above: u64) -> Result<u64>;

    /// Forgets everything about the job (asked for by the user: start from scratch).
    fn reset(&self) -> Result<()>;
}
