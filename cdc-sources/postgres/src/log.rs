//! The write-ahead log as a stream of whole transactions in commit order.
//!
//! ```text
//!   server ==CopyBoth==> pump (a task of its own) ==bounded in bytes==> LogStream::next
//!                          |  parses pgoutput, stores pieces of open transactions (crate::transaction)
//!   server <==status====== |  every few seconds, whatever the consumer does
//! ```
//!
//! The server ends a connection that does not report for `wal_sender_timeout`, so the task reports on
//! its own clock: a consumer may leave the stream alone for hours. When the queue is full the task
//! stops reading, the log waits in the slot, and reporting goes on.
//!
//! The flushed position of a report is what lets the server forget its log. It is what
//! [`LogStream::acknowledge`] was given and nothing else; before the first acknowledgement there is
//! none.
//!
//! A transaction that the server streams while it is still open is stored and comes out between
//! [`LogItem::Begin`] and [`LogItem::Commit`] when its commit arrives. Two-phase decoding stays off: a
//! prepared transaction then comes whole at its COMMIT PREPARED, exactly once. On a slot that has
//! it on, the stream ends with an error, because a position acknowledged behind a PREPARE would lose
//! its rows at the next restart.

mod link;
mod outbox;
mod pump;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::{Backend, BackendWitness, Endpoint, quote};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use self::link::{Link, Timing};
use self::outbox::{Batch, Outbox};
use self::pump::Pump;
pub use crate::lsn::Lsn;
pub use crate::pgoutput::{Columns, OldTuple, Relation, RelationColumn, Tuple, Value};
use crate::transaction::Assembly;
use crate::walsender::Walsender;

/// How long [`LogStream::close`] waits for the server to let go of the slot.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The slot: logical, for `pgoutput`, in the endpoint's database, without two-phase decoding.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// Transactions whose commit lies before this place are left out. The server begins at the slot's
    /// confirmed position when that is later, without a word.
    pub start: Lsn,
    /// Values in their types' binary form, where a type has one (from server 14 on).
    pub binary: bool,
    /// Have the server send large transactions while they are open (from server 14 on).
    pub streaming: bool,
    /// Logical messages, too (from server 14 on).
    pub messages: bool,
    /// Leave out rows that came to the server by replication.
    pub origin_none: bool,
    /// Where open transactions are stored past the budget, in files without a name; `None` for the
    /// machine's folder for temporary files, which may lie in memory.
    pub spill_folder: Option<PathBuf>,
    /// Bytes of open transactions held in memory, over all of them.
    pub spill_bytes_max: usize,
    /// `server_version_num`.
    pub server_version: u32,
}

/// What the log holds, in commit order.
#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    /// A committed transaction begins.
    Begin {
        /// Its top-level transaction id.
        xid: u32,
        /// The place of its commit.
        commit_lsn: Lsn,
        /// When it was committed, in microseconds since 1970, as the server's clock says.
        commit_time_us: i64,
    },
    /// The shape of a table for the rows after it; inside a transaction or right after one.
    Relation(Arc<Relation>),
    /// A new row.
    Insert {
        /// The table's OID.
        relation: u32,
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// The table's OID.
        relation: u32,
        /// What the log has of the row before; nothing when its key stays and the identity is not FULL.
        old: Option<OldTuple>,
        /// The row after.
        new: Tuple,
    },
    /// A row that is gone.
    Delete {
        /// The table's OID.
        relation: u32,
        /// What the log has of it.
        old: OldTuple,
    },
    /// Emptied tables.
    Truncate {
        /// The tables' OIDs.
        relations: Vec<u32>,
        /// With the tables that refer to them.
        cascade: bool,
        /// Sequences were reset.
        restart_identity: bool,
    },
    /// A logical message; one that is not transactional stands outside of transactions.
    Message {
        /// Part of the transaction around it.
        transactional: bool,
        /// Its place.
        lsn: Lsn,
        /// What it is for.
        prefix: String,
        /// Its content.
        content: Bytes,
    },
    /// The transaction ends.
    Commit {
        /// The place of its commit.
        lsn: Lsn,
        /// Behind it: the position to go on from.
        end_lsn: Lsn,
    },
    /// Outside of transactions: everything committed before this place has been returned. Never goes
    /// back; an answer to [`LogStream::request_position`] may repeat the last one.
    Position(Lsn),
}

/// What stream and task tell each other besides the queue.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Bytes in the queue.
    queued: AtomicUsize,
    /// The consumer took something.
    room: Notify,
    /// What every sink has committed; 0 for nothing yet.
    acknowledged: AtomicU64,
    /// A keepalive is wanted.
    position_wanted: AtomicBool,
    /// The stream is to end.
    closing: AtomicBool,
    /// One of the three above changed.
    called: AtomicBool,
    /// Wakes the task after `called`.
    wake: Notify,
    /// Bytes received.
    bytes: AtomicU64,
    /// The furthest place the server has spoken of.
    head: AtomicU64,
}

impl Shared {
    fn call(&self) {
        self.called.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// The stream of one replication connection.
#[derive(Debug)]
pub struct LogStream {
    batches: mpsc::UnboundedReceiver<Result<Batch>>,
    current: std::vec::IntoIter<LogItem>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    backend: Option<Backend>,
    /// The largest position returned.
    returned: Lsn,
}

impl LogStream {
    /// Connects and starts replication at `options.start`. Errors: as of connecting; `Unavailable`
    /// with the holder's process when the slot is in use; `LogGone` when the slot was invalidated or
    /// its log removed; `Schema` when slot or publication are not there.
    pub async fn open(endpoint: &Endpoint, options: LogOptions) -> Result<LogStream> {
        let opening = async {
            let mut walsender = Walsender::connect(endpoint).await?;
            let timing = Timing::of_server(&mut walsender).await?;
            let who = walsender.query(Backend::WHO).await;
            let who = who.map_err(|failure| failure.into_error("asking for the server's process", ""))?;
            let backend = who.first().and_then(|row| Backend::from_row(row));
            let statement = start_statement(&options);
            let (reader, writer) = walsender
                .start_replication(&statement)
                .await
                .map_err(|failure| failure.into_error("starting replication", &options.slot))?;
            Ok::<_, Error>((timing, backend, reader, writer))
        };
        let (timing, backend, reader, writer) =
            tokio::time::timeout(endpoint.connect_timeout, opening).await.map_err(|_| {
                Error::new(
                    ErrorKind::Connection,
                    format!(
                        "no answer from {} within {:?} while starting replication",
                        endpoint.address(),
                        endpoint.connect_timeout
                    ),
                )
            })??;
        let shared = Arc::new(Shared::default());
        let (sender, batches) = mpsc::unbounded_channel();
        let witness = backend.clone().map(|backend| BackendWitness::new(endpoint, backend));
        let link = Link::new(Box::new(writer), Arc::clone(&shared), timing, witness);
        let outbox = Outbox::new(sender, Arc::clone(&shared));
        let assembly = Assembly::new(options.spill_folder.clone(), options.spill_bytes_max);
        let returned = options.start;
        let pump = Pump::new(reader, link, outbox, assembly, options);
        let task = tokio::spawn(pump.run());
        Ok(LogStream { batches, current: Vec::new().into_iter(), shared, task, backend, returned })
    }

    /// The next item; waits for it. Dropping the future loses nothing. After an error the stream has
    /// ended.
    pub async fn next(&mut self) -> Result<LogItem> {
        loop {
            if let Some(item) = self.take() {
                return Ok(item);
            }
            match self.batches.recv().await {
                Some(batch) => self.open_batch(batch?),
                None => return Err(ended()),
            }
        }
    }

    /// The next item if it is there already.
    pub fn try_next(&mut self) -> Result<Option<LogItem>> {
        loop {
            if let Some(item) = self.take() {
                return Ok(Some(item));
            }
            match self.batches.try_recv() {
                Ok(batch) => self.open_batch(batch?),
                Err(mpsc::error::TryRecvError::Empty) => return Ok(None),
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(ended()),
            }
        }
    }

    fn take(&mut self) -> Option<LogItem> {
        let item = self.current.next()?;
        if let LogItem::Commit { end_lsn: lsn, .. } | LogItem::Position(lsn) = &item {
            self.returned = self.returned.max(*lsn);
        }
        Some(item)
    }

    fn open_batch(&mut self, batch: Batch) {
        self.shared.queued.fetch_sub(batch.bytes, Ordering::AcqRel);
        self.shared.room.notify_one();
        self.current = batch.items.into_iter();
    }

    /// Every sink has committed everything up to this position: the server may forget it. Lower
    /// positions than before are ignored, and nothing that was not returned is ever acknowledged.
    pub fn acknowledge(&self, lsn: Lsn) {
        let mut lsn = lsn;
        if lsn > self.returned {
            tracing::error!(%lsn, returned = %self.returned, "a log position was to be acknowledged before it was read; it is held back");
            lsn = self.returned;
        }
        self.shared.acknowledged.fetch_max(lsn.0, Ordering::AcqRel);
        self.shared.call();
    }

    /// Asks the server where it is; the answer comes as [`LogItem::Position`] in its place.
    pub fn request_position(&self) {
        self.shared.position_wanted.store(true, Ordering::Release);
        self.shared.call();
    }

    /// The server's process behind the connection, where it can be told.
    pub fn backend(&self) -> Option<Backend> {
        self.backend.clone()
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// The furthest place the server has spoken of. Not the end of its log: while it is behind with
    /// decoding, that lies further on.
    pub fn head(&self) -> Lsn {
        Lsn(self.shared.head.load(Ordering::Relaxed))
    }

    /// Reports what was acknowledged last and ends the connection; the slot is free afterwards,
    /// unless the server does not answer.
    pub async fn close(mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.call();
        // Without an answer the connection is cut by dropping the task.
        let _ = tokio::time::timeout(CLOSE_MAX, &mut self.task).await;
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Connection, "the replication stream has ended")
}

/// `START_REPLICATION` ("Streaming Replication Protocol" and "Logical Streaming Replication
/// Parameters" in the manual).
fn start_statement(options: &LogOptions) -> String {
    let version = options.server_version;
    let protocol = match version {
        ..140_000 => 1,
        140_000..150_000 => 2,
        150_000..160_000 => 3,
        160_000.. => 4,
    };
    let publications = quote::identifier(&options.publication).replace('\'', "''");
    let mut parameters =
        vec![format!("proto_version '{protocol}'"), format!("publication_names '{publications}'")];
    if version >= 140_000 {
        for (name, is_on) in
            [("binary", options.binary), ("messages", options.messages), ("streaming", options.streaming)]
        {
            if is_on {
                parameters.push(format!("{name} 'on'"));
            }
        }
    }
    if version >= 160_000 && options.origin_none {
        parameters.push("origin 'none'".to_owned());
    }
    let slot = quote::identifier(&options.slot);
    format!("START_REPLICATION SLOT {slot} LOGICAL {} ({})", options.start, parameters.join(", "))
}

#[cfg(test)]
mod tests;
