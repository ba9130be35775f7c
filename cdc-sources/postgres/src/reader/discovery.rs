//! Tables that come into being while the job runs.
//!
//! Between two transactions the catalog is asked for them now and then, and at once when the log tells
//! of a table that nobody knows. Those that can join are published; then, while the stream goes on, their
//! writers of before are waited for (see [`crate::newcomers`]), and a checkpoint that lies behind all of
//! it. Only then the attempt ends: nothing is read twice because of it, and what the log still told of a
//! table that was dropped and made anew has arrived.
//!
//! Rows of a table that is about to join are left to its read, which has to show them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorClass, ErrorKind, Result, TableId};
use tokio::time::timeout;
use tracing::warn;

use super::{ASK_EVERY, PgReader};
use crate::catalog::{Found, find_tables, log_end, query};
use crate::log::Relation;
use crate::lsn::Lsn;
use crate::newcomers::{Judge, LOCKED_WITHIN_MS, Memory, THE_LOOK, joining};
use crate::publication::Published;
use crate::shape::TableDef;
use crate::slot::{TELL_EVERY, writers};

/// Two looks are never nearer to each other than this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The stream goes on for so many times as long as the last look kept it: one that waited for a lock must
/// not be followed by another at once.
const REST_AFTER_LOOK: u32 = 10;
/// How long a look may keep the stream.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
/// What it is called in messages.
const LOOKING: &str = "looking for new tables";

/// Where the search for new tables stands.
pub(super) struct Discovery {
    memory: Memory,
    /// Rows of before are wanted.
    reads: bool,
    /// When the last look ended, and how long it took.
    looked: Instant,
    took: Duration,
    /// The log told of a table that nobody knows.
    at_once: bool,
    joining: Option<Joining>,
}

/// Tables that are about to join.
struct Joining {
    tables: Vec<TableDef>,
    /// Transactions that wrote them when they were found and have not ended; not asked for yet.
    writers: Option<Vec<(String, String)>>,
    asked: Instant,
    told: Instant,
    /// Behind everything that was before: the attempt ends with a checkpoint that is not before it.
    place: Option<Lsn>,
    barrier: bool,
}

impl Discovery {
    pub(super) fn new(memory: Memory, reads: bool) -> Discovery {
        Discovery {
            memory,
            reads,
            looked: Instant::now(),
            took: Duration::ZERO,
            at_once: false,
            joining: None,
        }
    }

    /// Something is found, or about to be.
    pub(super) fn is_busy(&self) -> bool {
        self.at_once || self.joining.is_some()
    }

    /// Whether rows of this table are left to its read.
    pub(super) fn is_joining(&self, oid: u32) -> bool {
        let joining = self.joining.as_ref().filter(|_| self.reads);
        joining.is_some_and(|joining| joining.tables.iter().any(|def| def.oid == oid))
    }
}

impl PgReader {
    /// Between two transactions: looks, or goes on with what was found.
    pub(super) async fn discover(&mut self) -> Result<()> {
        if self.discovery.joining.is_some() {
            return self.go_on_joining().await;
        }
        let since = self.discovery.looked.elapsed();
        let rest = self.discovery.took.saturating_mul(REST_AFTER_LOOK);
        let due = self.config.discovery.is_some_and(|every| since >= every.max(rest));
        let at_once = self.discovery.at_once && since >= LOOK_AGAIN.max(rest);
        // While tables are read there is enough to do.
        if !(due || at_once) || !self.tables.all_complete() {
            return Ok(());
        }
        let begun = Instant::now();
        let found = timeout(LOOK_WITHIN, self.newcomers()).await;
        (self.discovery.looked, self.discovery.took) = (Instant::now(), begun.elapsed());
        let Some(tables) = self.unless_failed(found) else { return Ok(()) };
        self.discovery.at_once = false;
        if !tables.is_empty() {
            let now = Instant::now();
            self.discovery.joining =
                Some(Joining { tables, writers: None, asked: now, told: now, place: None, barrier: false });
        }
        Ok(())
    }

    /// A look that failed is no reason to end a job: if it is the connection, the log will tell.
    fn unless_failed<T, E>(&mut self, result: Result<Result<T>, E>) -> Option<T> {
        let error = match result {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => error,
            Err(_) => Error::new(ErrorKind::Unavailable, format!("no answer within {LOOK_WITHIN:?}")),
        };
        if self.discovery.memory.tell(THE_LOOK, error.message()) {
            warn!("looking for new tables failed and is tried again: {error}");
        }
        // The session may be in the middle of something.
        self.control = None;
        self.discovery.joining = None;
        self.discovery.at_once &= error.class() == ErrorClass::Transient;
        None
    }

    /// The tables that can join now; all of them are published.
    async fn newcomers(&mut self) -> Result<Vec<TableDef>> {
        let (server, publication) = (self.server.clone(), self.publication.clone());
        let (config, memory) = (Arc::clone(&self.config), self.discovery.memory.clone());
        let known = self.tables.oids();
        let client = self.control().await?;
        let found = find_tables(client, &server, &config.selection).await?;
        memory.retain(&found);
        // One that was renamed is known; its next row tells.
        let new: Vec<Found> = found.into_iter().filter(|table| !known.contains(&table.oid)).collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let published = Published::read(client, &server, &publication).await?;
        if !published.exists {
            return Ok(Vec::new());
        }
        // For functions of the catalog that lock partitions; a session with an error is given up.
        query(client, &format!("SET lock_timeout = {LOCKED_WITHIN_MS}"), LOOKING).await?;
        let judge =
            Judge { client, server: &server, config: &config, publication: &publication, memory: &memory };
        let fit = judge.fit(&published, new).await?;
        let joining = judge.publish(&published, fit).await?;
        query(client, "SET lock_timeout = 0", LOOKING).await?;
        Ok(joining)
    }

    async fn go_on_joining(&mut self) -> Result<()> {
        if self.discovery.joining.as_ref().is_some_and(|joining| joining.place.is_none()) {
            let asked = timeout(LOOK_WITHIN, self.ask_for_writers()).await;
            if self.unless_failed(asked).is_none() {
                return Ok(());
            }
        }
        let Some(joining_now) = &mut self.discovery.joining else { return Ok(()) };
        let Some(place) = joining_now.place.filter(|place| self.position >= *place) else { return Ok(()) };
        if self.acknowledged >= place {
            let ids: Vec<TableId> = joining_now.tables.iter().map(TableDef::id).collect();
            return Err(joining(ids.iter()));
        }
        if !std::mem::replace(&mut joining_now.barrier, true) {
            self.push_barrier(self.skip)?;
        }
        Ok(())
    }

    /// Looks whether the writers of before have ended. The place behind them is known when they have.
    async fn ask_for_writers(&mut self) -> Result<()> {
        let Some(joining_now) = &mut self.discovery.joining else { return Ok(()) };
        if joining_now.writers.is_some() && joining_now.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        joining_now.asked = Instant::now();
        let tables = joining_now.tables.clone();
        let (server, reads) = (self.server.clone(), self.discovery.reads);
        let client = self.control().await?;
        let writing = match reads {
            true => writers(client, &tables.iter().collect::<Vec<_>>()).await?,
            false => Vec::new(),
        };
        let end = log_end(client, &server).await?;
        let Some(joining_now) = &mut self.discovery.joining else { return Ok(()) };
        let left = match joining_now.writers.take() {
            None => writing,
            Some(mut left) => {
                left.retain(|(transaction, _)| writing.iter().any(|(other, _)| other == transaction));
                left
            }
        };
        if left.is_empty() {
            joining_now.place = Some(end);
            tables.iter().for_each(|def| self.discovery.memory.add_awaited(def.oid));
            return Ok(());
        }
        if joining_now.told.elapsed() > TELL_EVERY {
            joining_now.told = Instant::now();
            let pids: Vec<&str> = left.iter().map(|(_, pid)| pid.as_str()).collect();
            warn!("new tables wait for transactions that write them: processes {}", pids.join(", "));
        }
        joining_now.writers = Some(left);
        Ok(())
    }

    /// A table that the job does not know, or knows under another oid: it was made anew.
    pub(super) async fn take_unknown_relation(&mut self, relation: &Arc<Relation>) -> Result<()> {
        self.other_told(relation);
        let id = TableId {
            database: self.server.database.clone(),
            schema: Some(relation.schema.clone()),
            table: relation.table.clone(),
        };
        if !self.config.selection.matches(&id) {
            return Ok(());
        }
        self.discovery.at_once = true;
        // Its rows are read later, or else they are all there is, and none of them may pass.
        if !self.discovery.reads {
            // A partition is told beside the table whose rows it holds; it is no newcomer.
            let found = self.newcomers().await?;
            if found.iter().any(|def| def.oid == relation.id) {
                return Err(joining(std::iter::once(&id)));
            }
        }
        Ok(())
    }

    /// A place in the log that new tables wait for.
    pub(super) fn joins_behind(&self) -> Option<Lsn> {
        self.discovery.joining.as_ref().and_then(|joining| joining.place)
    }
}
