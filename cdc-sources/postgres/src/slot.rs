//! The replication slot: what keeps the log at the server until every sink has it.
//!
//! A slot is never made anew in silence while there is state: what lies between the state and the new
//! slot would be lost. Every way out is a person's, with the statement to run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::quote::literal;
use culvert_postgres::{Backend, Client, Endpoint};
use tracing::{info, warn};

use crate::catalog::{ServerInfo, is_true, optional, query, text};
use crate::lsn::Lsn;
use crate::options::{PgConfig, Startup};
use crate::publication::Published;
use crate::shape::TableDef;

/// How often it is told who is being waited for.
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(10);
/// Pause between two looks at who still writes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long writers of a table that joins are waited for.
const WRITERS_GONE_WITHIN: Duration = Duration::from_secs(600);

/// The server's process that reads the slot for this job. One whose connection broke without the server's
/// having noticed goes on holding the slot, and the next attempt has it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnHolder(Arc<Mutex<Option<Backend>>>);

impl OwnHolder {
    /// The slot is read from now on.
    pub(crate) fn note(&self, backend: Option<Backend>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = backend;
    }

    /// Ends the last one, if it is still there.
    pub(crate) async fn end(&self, client: &Client) -> Result<()> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(last) = last {
            last.end(client).await?;
            self.note(None);
        }
        Ok(())
    }
}

/// A slot as the server's view shows it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    plugin: String,
    logical: bool,
    database: String,
    temporary: bool,
    two_phase: bool,
    wal_status: String,
    /// Why it was invalidated, where the server tells.
    reason: Option<String>,
    /// Whose connection reads it.
    holder: Option<String>,
    pub(crate) confirmed: Option<Lsn>,
}

impl Slot {
    /// `None`: there is no such slot.
    pub(crate) async fn read(client: &Client, name: &str) -> Result<Option<Slot>> {
        let statement = format!(
            "SELECT s.slot_name, s.plugin, s.slot_type = 'logical', s.database, s.temporary, \
             coalesce(to_jsonb(s) ->> 'two_phase', 'false') = 'true', coalesce(s.wal_status, ''), \
             coalesce(to_jsonb(s) ->> 'invalidation_reason', CASE WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'conflict with recovery' END), \
             CASE WHEN s.active_pid IS NOT NULL THEN concat('process ', s.active_pid, ' of user ', quote_ident(a.usename), \
              ' from ', coalesce(host(a.client_addr), 'the server itself'), ' (', a.application_name, ')') END, \
             s.confirmed_flush_lsn \
             FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid \
             WHERE s.slot_name = {}",
            literal(name)
        );
        let rows = query(client, &statement, "reading the replication slot").await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Slot {
            name: text(row, 0).to_owned(),
            plugin: text(row, 1).to_owned(),
            logical: is_true(row, 2),
            database: text(row, 3).to_owned(),
            temporary: is_true(row, 4),
            two_phase: is_true(row, 5),
            wal_status: text(row, 6).to_owned(),
            reason: optional(row, 7).filter(|reason| !reason.is_empty()).map(str::to_owned),
            holder: optional(row, 8).map(str::to_owned),
            confirmed: optional(row, 9).map(str::parse).transpose()?,
        }))
    }

    /// The server no longer has the log that the slot stands for.
    fn is_lost(&self) -> bool {
        self.wal_status == "lost" || self.reason.is_some() || self.confirmed.is_none()
    }

    /// Somebody reads it.
    pub(crate) fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    fn drop_statement(&self) -> String {
        format!("SELECT pg_drop_replication_slot({})", literal(&self.name))
    }

    /// Refuses a slot of another make.
    fn judge_make(&self, server: &ServerInfo) -> Result<()> {
        let other = if !self.logical {
            "is a physical one".to_owned()
        } else if self.plugin != "pgoutput" {
            format!("uses the output plugin '{}'", self.plugin)
        } else if self.database != server.database {
            format!("belongs to database '{}'", self.database)
        } else if self.temporary {
            "is a temporary one of another session".to_owned()
        } else if self.two_phase {
            "was made with two_phase, and what is prepared but not committed would be lost at a restart"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, format!("replication slot '{}' {other}", self.name)).hint(format!(
            "set another slot.name, or, when nothing else reads it, run {}",
            self.drop_statement()
        )))
    }

    /// Refuses a slot that somebody reads; that may pass.
    fn judge_holder(&self) -> Result<()> {
        let Some(holder) = &self.holder else { return Ok(()) };
        Err(Error::new(ErrorKind::Contention, format!("replication slot '{}' is in use by {holder}", self.name))
            .hint("two jobs cannot share a slot: give each a slot.name of its own; a connection that a crash left behind ends by itself"))
    }

    /// Whether the slot still has everything behind a position.
    pub(crate) fn judge_position(&self, server: &ServerInfo, position: Lsn) -> Result<()> {
        self.judge_make(server)?;
        if self.is_lost() {
            return Err(lost(self));
        }
        self.judge_holder()?;
        self.judge_moved(position)
    }

    /// Whether nobody has moved it past a position.
    pub(crate) fn judge_moved(&self, position: Lsn) -> Result<()> {
        match self.confirmed {
            Some(confirmed) if confirmed > position => Err(Error::new(
                ErrorKind::StateMismatch,
                format!(
                    "replication slot '{}' is at {confirmed}, past {position}, where this job is: the changes between the \
                     two are gone from it. Either somebody else read from the slot or moved it, or the target lost what \
                     it had committed (a failover to a standby that lagged, a crash with fsync = off, an older backup)",
                    self.name
                ),
            )
            .hint(fresh(&self.name))),
            _ => Ok(()),
        }
    }
}

fn fresh(slot: &str) -> String {
    format!(
        "start over with --fresh (a new snapshot; the target should be emptied first), after SELECT pg_drop_replication_slot({}) where the slot is not the job's own",
        literal(slot)
    )
}

fn lost(slot: &Slot) -> Error {
    let why = slot.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    Error::new(
        ErrorKind::LogGone,
        format!("replication slot '{}' is lost{why}: the server removed log that this job has not read; nothing was written", slot.name),
    )
    .hint(format!(
        "run {}, then start over with --fresh (a new snapshot; the target should be emptied first); raise \
         max_slot_wal_keep_size so that it does not happen again",
        slot.drop_statement()
    ))
}

/// The slot is not there, and the state says that it was.
pub(crate) fn gone(name: &str) -> Error {
    Error::new(
        ErrorKind::LogGone,
        format!(
            "replication slot '{name}' does not exist any more: the server no longer keeps the changes behind this \
             job's position; nothing was written"
        ),
    )
    .hint("start over with --fresh (a new snapshot; the target should be emptied first); a new slot is never made in silence")
}

/// Whether a new stream begins behind everything that is in the log so far.
pub(crate) fn begins_anew(config: &PgConfig) -> bool {
    matches!(config.startup, Startup::Initial | Startup::SnapshotOnly | Startup::Latest)
}

/// Whether a job without state would throw away what a slot that it did not make has kept: unless its
/// mode goes on from the slot, it begins at the end of the log. A slot has no place for a name; one
/// that was made for a job has a publication made for a job beside it.
pub(crate) fn would_take_over(config: &PgConfig, found: Option<&Slot>, published: &Published) -> bool {
    begins_anew(config) && config.slot.is_some() && found.is_some() && published.job.is_none()
}

/// The refusal of that.
pub(crate) fn not_ours(name: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "replication slot '{name}' is there already, and nothing says that it was made for this job: to begin anew it would \
             be moved or dropped, and whoever else reads it would miss changes"
        ),
    )
    .hint(format!(
        "set another slot.name; or, when nobody else reads it, run SELECT pg_drop_replication_slot({}); or go on from where \
         it is with startup.mode = COMMITTED-OFFSET",
        literal(name)
    ))
}

/// Where a job without state begins; makes the slot, or moves the one that is there.
pub(crate) async fn begin(
    client: &Client,
    server: &ServerInfo,
    config: &PgConfig,
    name: &str,
) -> Result<Lsn> {
    let found = Slot::read(client, name).await?;
    judge_begin(server, config, name, found.as_ref())?;
    match (found, &config.startup) {
        (Some(slot), Startup::Committed | Startup::Earliest) => slot.confirmed.ok_or_else(|| lost(&slot)),
        (Some(_), Startup::At(place)) => Ok(Lsn(*place)),
        (Some(slot), _) if config.slot.is_none() || slot.is_lost() => {
            info!(slot = name, "starting over: the job's slot is made anew");
            query(client, &slot.drop_statement(), "dropping the replication slot").await?;
            create(client, server, config, name).await
        }
        (Some(slot), _) => {
            info!(slot = name, "starting over: the slot that is there is moved to the end of the log");
            let statement = format!(
                "SELECT end_lsn FROM pg_replication_slot_advance({}, pg_current_wal_insert_lsn())",
                literal(name)
            );
            query(client, &statement, "moving the replication slot").await?;
            let moved = Slot::read(client, name).await?;
            moved.and_then(|slot| slot.confirmed).ok_or_else(|| lost(&slot))
        }
        (None, _) => create(client, server, config, name).await,
    }
}

/// Refuses what a fresh start cannot use. Writes nothing.
pub(crate) fn judge_begin(
    server: &ServerInfo,
    config: &PgConfig,
    name: &str,
    found: Option<&Slot>,
) -> Result<()> {
    let continues = matches!(config.startup, Startup::Committed | Startup::At(_));
    let Some(slot) = found else {
        if continues {
            return Err(Error::new(
                ErrorKind::Config,
                format!("replication slot '{name}' does not exist, and the startup.mode goes on from it"),
            )
            .hint("name the slot in slot.name, or use startup.mode = INITIAL or LATEST"));
        }
        if server.slots_used >= server.slots_max {
            return Err(Error::new(
                ErrorKind::Config,
                format!("all {} replication slots of the server are in use", server.slots_max),
            )
            .hint("drop one that is not needed (pg_replication_slots lists them), or raise max_replication_slots"));
        }
        return Ok(());
    };
    slot.judge_make(server)?;
    slot.judge_holder()?;
    if (continues || config.startup == Startup::Earliest) && slot.is_lost() {
        return Err(lost(slot));
    }
    match (&config.startup, slot.confirmed) {
        (Startup::At(place), Some(confirmed)) if confirmed > Lsn(*place) => Err(Error::new(
            ErrorKind::LogGone,
            format!(
                "replication slot '{name}' is at {confirmed}, past the place to begin at, {}",
                Lsn(*place)
            ),
        )
        .hint("use startup.mode = COMMITTED-OFFSET to go on from where the slot is")),
        _ => Ok(()),
    }
}

async fn create(client: &Client, server: &ServerInfo, config: &PgConfig, name: &str) -> Result<Lsn> {
    let failover = match (config.failover, server.version >= 170_000) {
        (false, _) => "",
        (true, true) => ", failover => true",
        (true, false) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("slot.failover needs server version 17, this is {}", server.version_text),
            ));
        }
    };
    let statement = format!(
        "SELECT lsn FROM pg_create_logical_replication_slot({}, 'pgoutput', false, false{failover})",
        literal(name)
    );
    let creating = query(client, &statement, "making the replication slot");
    let rows = told_of_waiting(creating, &config.endpoint).await?;
    let row = rows.first().ok_or_else(|| Error::new(ErrorKind::Corrupt, "a new slot without a place"))?;
    let lsn: Lsn = text(row, 0).parse()?;
    info!(slot = name, %lsn, "replication slot made");
    Ok(lsn)
}

/// A new slot waits for every transaction that was running; who they are is worth a line.
async fn told_of_waiting<T>(work: impl Future<Output = Result<T>>, endpoint: &Endpoint) -> Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(TELL_EVERY) => {}
        }
        let statement = "SELECT string_agg(concat(pid, ' (', application_name, ')'), ', ' ORDER BY xact_start) \
            FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL";
        let watch = async {
            let client = endpoint.connect().await?;
            let rows = query(&client, statement, "asking who runs a transaction").await?;
            Ok::<_, Error>(rows.first().map(|row| text(row, 0).to_owned()).unwrap_or_default())
        };
        match watch.await {
            Ok(who) => warn!(
                "the replication slot waits for transactions that were running before it: processes {who}"
            ),
            Err(error) => warn!(
                "the replication slot waits for running transactions; who they are is not known: {error}"
            ),
        }
    }
}

/// Waits until the transactions that write these tables now have ended.
///
/// A change written before the table was published is not in the log we get, and neither is one of a
/// transaction whose commit is in the log before the slot begins. Both hold their lock on the table
/// until every later read view shows them.
pub(crate) async fn wait_for_writers(client: &Client, tables: &[&TableDef]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let begun = Instant::now();
    let mut told = begun;
    let first = writers(client, tables).await?;
    let mut left = first;
    while !left.is_empty() {
        let pids: Vec<&str> = left.iter().map(|(_, pid)| pid.as_str()).collect();
        if begun.elapsed() > WRITERS_GONE_WITHIN {
            return Err(Error::new(
                ErrorKind::Contention,
                format!("transactions that write captured tables did not end within {WRITERS_GONE_WITHIN:?}: processes {}", pids.join(", ")),
            )
            .hint("end them, or wait: pg_stat_activity and pg_prepared_xacts tell what they are"));
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            warn!("the snapshot waits for transactions that write its tables: processes {}", pids.join(", "));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let now = writers(client, tables).await?;
        left.retain(|(transaction, _)| now.iter().any(|(other, _)| other == transaction));
    }
    Ok(())
}

/// Transactions that hold a lock to write one of the tables, with their processes.
pub(crate) async fn writers(client: &Client, tables: &[&TableDef]) -> Result<Vec<(String, String)>> {
    let oids: Vec<String> = tables.iter().map(|def| format!("({}::oid)", def.oid)).collect();
    let statement = format!(
        "WITH named (oid) AS (VALUES {}), part AS (SELECT oid FROM named UNION \
         SELECT t.relid FROM named CROSS JOIN LATERAL pg_catalog.pg_partition_tree(named.oid) t) \
         SELECT DISTINCT l.virtualtransaction, coalesce(l.pid::text, 'prepared') FROM pg_catalog.pg_locks l \
         JOIN part ON part.oid = l.relation JOIN pg_catalog.pg_database d ON d.oid = l.database \
         WHERE l.locktype = 'relation' AND l.granted AND d.datname = current_database() \
         AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') \
         AND l.pid IS DISTINCT FROM pg_backend_pid()",
        oids.join(", ")
    );
    let rows = query(client, &statement, "asking who writes captured tables").await?;
    Ok(rows.iter().map(|row| (text(row, 0).to_owned(), text(row, 1).to_owned())).collect())
}

/// Drops the slot, and a publication that was made for the job.
pub(crate) async fn drop_both(
    client: &Client,
    server: &ServerInfo,
    slot: &str,
    publication: &str,
    job: &str,
) -> Result<()> {
    if let Some(found) = Slot::read(client, slot).await? {
        query(client, &found.drop_statement(), "dropping the replication slot").await?;
        info!(slot, "replication slot dropped");
    }
    let published = Published::read(client, server, publication).await?;
    if published.exists && published.job.as_deref() == Some(job) {
        let statement = format!("DROP PUBLICATION {}", culvert_postgres::quote::identifier(publication));
        crate::publication::run(client, &statement, "dropping the publication").await?;
        info!(publication, "publication dropped");
    }
    Ok(())
}
