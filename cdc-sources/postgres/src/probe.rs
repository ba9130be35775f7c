//! Asks the server, now and then, how far its log goes beyond what was read and committed, and what the job's slot
//! makes it keep. For people who watch the job; nothing depends on it.
//!
//! A task of its own asks, on a connection of its own, so that the stream waits for nobody. A question that fails
//! leaves the figures absent until one does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use culvert_api::{Error, ErrorKind, LogStanding, ReaderContext, Result, SlotRetention, StandingTeller};
use culvert_postgres::quote::literal;
use culvert_postgres::{Client, Endpoint};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::catalog::{optional, query, text};
use crate::lsn::Lsn;

/// How often the server is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take, connecting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const DOING: &str = "asking how far the log goes";

/// How far the reader is.
#[derive(Debug)]
struct Marks {
    read: AtomicU64,
    committed: AtomicU64,
}

/// Asks for as long as it is there.
#[derive(Debug)]
pub(crate) struct Probe {
    marks: Arc<Marks>,
    teller: Arc<StandingTeller>,
    task: JoinHandle<()>,
}

impl Probe {
    /// Begins to ask. `from` is where the stream begins, which every sink has committed.
    pub(crate) fn begin(endpoint: &Endpoint, slot: &str, context: &ReaderContext, from: Lsn) -> Probe {
        let marks = Arc::new(Marks { read: AtomicU64::new(from.0), committed: AtomicU64::new(from.0) });
        let teller = Arc::new(StandingTeller::begin(&context.progress, &context.source));
        let asker = Asker {
            endpoint: endpoint.clone(),
            slot: slot.to_owned(),
            marks: Arc::clone(&marks),
            teller: Arc::clone(&teller),
        };
        Probe { marks, teller, task: tokio::spawn(asker.run()) }
    }

    /// Everything before this place was read.
    pub(crate) fn read(&self, place: Lsn) {
        self.marks.read.store(place.0, Relaxed);
    }

    /// Every sink has committed everything before this place.
    pub(crate) fn committed(&self, place: Lsn) {
        self.marks.committed.store(place.0, Relaxed);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
        self.teller.end();
    }
}

struct Asker {
    endpoint: Endpoint,
    slot: String,
    marks: Arc<Marks>,
    teller: Arc<StandingTeller>,
}

impl Asker {
    async fn run(self) {
        let mut client = None;
        let mut ticks = tokio::time::interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(client.take())).await;
            let (back, standing) = match asked {
                Ok(Ok((client, standing))) => (Some(client), Some(standing)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the server did not say how far its log goes");
                    (None, None)
                }
                Err(_) => {
                    tracing::debug!("no answer to how far the log goes within {ANSWER_WITHIN:?}");
                    (None, None)
                }
            };
            client = back;
            self.teller.tell(standing);
        }
    }

    async fn ask(&self, client: Option<Client>) -> Result<(Client, LogStanding)> {
        let client = match client.filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.endpoint.connect().await?,
        };
        // In this order: what is committed meanwhile makes the figures too large, never too small.
        let (read, committed) = (self.marks.read.load(Relaxed), self.marks.committed.load(Relaxed));
        // `safe_wal_size` and `wal_status` came with version 13.
        let statement = format!(
            "SELECT pg_catalog.pg_current_wal_lsn(), s.restart_lsn, to_jsonb(s) ->> 'safe_wal_size', \
             coalesce(to_jsonb(s) ->> 'wal_status', '') \
             FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = {}",
            literal(&self.slot)
        );
        let rows = query(&client, &statement, DOING).await?;
        let unfit =
            || Error::new(ErrorKind::Corrupt, "the server tells no end of its log").context("doing", DOING);
        let row = rows.first().ok_or_else(unfit)?;
        let end: Lsn = text(row, 0).parse()?;
        let keeps_from: Option<Lsn> = optional(row, 1).map(str::parse).transpose()?;
        let slot = keeps_from.map(|from| SlotRetention {
            retained_bytes: end.0.saturating_sub(from.0),
            safe_bytes: optional(row, 2).and_then(|bytes| bytes.parse().ok()),
            wal_status: text(row, 3).to_owned(),
        });
        let standing = LogStanding {
            lag_bytes: Some(end.0.saturating_sub(committed)),
            unread_bytes: Some(end.0.saturating_sub(read)),
            slot,
            ..LogStanding::default()
        };
        Ok((client, standing))
    }
}
