//! Work that several processes share: the promises of a source whose parts are handed out by a group.
//!
//! A *share* is one part, a partition of a topic for example. It is a small source of its own, with its own
//! commit marker (the writer number tells them apart), so taking a share over from another process is what
//! restarting a job is: a new epoch at the target fences whoever had it. The group only decides who tries;
//! what keeps rows from being lost or written twice is the marker.

use std::sync::{Arc, mpsc};

use async_trait::async_trait;

use crate::error::Result;
use crate::progress::JobProgress;
use crate::source::Source;
use crate::store::StateStore;

/// One part of a source's work.
#[derive(Clone)]
pub struct Share {
    /// The number of its writers, part of its commit marker's name; the same in every process and for ever.
    pub writer: u32,
    /// What it is, for people: `orders/3`.
    pub name: String,
    /// Reads this part alone.
    pub source: Arc<dyn Source>,
    /// What the group remembers of it: the restart point where sinks keep no marker, and the witness
    /// against a marker that was lost.
    pub store: Arc<dyn StateStore>,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Keeps shares from being given to somebody else, for a bounded time, while a clone of it is there.
#[derive(Clone, Debug)]
pub struct Hold {
    _open: mpsc::Sender<()>,
}

/// The other end of a [`Hold`].
#[derive(Debug)]
pub struct HoldEnd(mpsc::Receiver<()>);

impl Hold {
    /// A hold and its end.
    pub fn new() -> (Hold, HoldEnd) {
        let (sender, receiver) = mpsc::channel();
        (Hold { _open: sender }, HoldEnd(receiver))
    }
}

impl HoldEnd {
    /// Blocks until every clone is gone; `false` when the time was over first.
    pub fn wait(&self, limit: std::time::Duration) -> bool {
        self.0.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

/// What happened to the shares of this process.
#[derive(Debug)]
pub enum Turn {
    /// They are this process's from now on.
    Given(Vec<Share>),
    /// They are to be let go, by number: a last checkpoint, then the hold is dropped.
    Taken(Vec<u32>, Hold),
}

/// A source whose work is shared.
#[async_trait]
pub trait Group: Send + Sync {
    /// Joins. The first turn comes when the members have agreed.
    async fn join(&self, job: &str, progress: &Arc<JobProgress>) -> Result<Box<dyn Member>>;

    /// Forgets what the group remembers (asked for by the user: start from scratch). Refused while there
    /// are members.
    async fn forget(&self, job: &str) -> Result<()>;
}

/// This process's membership.
#[async_trait]
pub trait Member: Send {
    /// The next turn. The engine drops this future when something else happens first: nothing is lost by it.
    /// An error ends the membership.
    async fn next(&mut self) -> Result<Turn>;

    /// Leaves, so that others get what this process had at once. Called when its shares have ended.
    async fn leave(&mut self);
}
