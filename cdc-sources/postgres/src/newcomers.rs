//! Newcomers: tables that the selection matches and that the job, which has state, does not know.
//!
//! They join a job that is healthy, and so none of them may end it: one that cannot be followed is told
//! of, once per reason, and left out until it can. One that can is published; from then on its changes
//! are in the log. What transactions wrote before is not, so the table is read only when they have
//! ended (see [`crate::slot::wait_for_writers`]). A running job waits for them while it goes on with its
//! other tables (see [`crate::reader`]); then it ends its attempt, and the next one begins with the table.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use culvert_api::{Error, ErrorClass, ErrorKind, Result, TableId};
use culvert_postgres::Client;
use culvert_postgres::quote::identifier;

use crate::catalog::{Found, ServerInfo, describe, is_true, parsed, query};
use crate::options::PgConfig;
use crate::publication::{Published, run};
use crate::row_filter::Wishes;
use crate::shape::TableDef;
use crate::tables::schema_of;

/// How long somebody's lock on a new table may be waited for: the stream stands still meanwhile.
pub(crate) const LOCKED_WITHIN_MS: u32 = 1000;
/// Stands for no table, but for the look at all of them.
pub(crate) const THE_LOOK: u32 = 0;

/// What the attempts of one process hand on.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Why tables are left out, as it was told.
    told: HashMap<u32, String>,
    /// Tables that can be read: nobody writes them any more who did before they were published.
    awaited: HashSet<u32>,
    /// An attempt has begun: from now on no table that comes or goes ends the job.
    begun: bool,
}

impl Memory {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt begins.
    pub(crate) fn begin(&self) {
        self.known().begun = true;
    }

    /// Whether the job was started by hand, so that it may be refused.
    pub(crate) fn is_first(&self) -> bool {
        !self.known().begun
    }

    /// Nobody writes the table any more who did before it was published.
    pub(crate) fn add_awaited(&self, oid: u32) {
        self.known().awaited.insert(oid);
    }

    pub(crate) fn is_awaited(&self, oid: u32) -> bool {
        self.known().awaited.contains(&oid)
    }

    /// Forgets what was told of tables that are not there any more.
    pub(crate) fn retain(&self, there: &[Found]) {
        let mut known = self.known();
        if !known.told.is_empty() {
            known.told.retain(|oid, _| there.iter().any(|table| table.oid == *oid));
        }
    }

    /// True: this was not told before.
    pub(crate) fn tell(&self, oid: u32, reason: &str) -> bool {
        self.known().told.insert(oid, reason.to_owned()).is_none_or(|before| before != reason)
    }

    fn untell(&self, oid: u32) {
        self.known().told.remove(&oid);
    }
}

/// Who judges newcomers, and by what.
pub(crate) struct Judge<'a> {
    pub(crate) client: &'a Client,
    pub(crate) server: &'a ServerInfo,
    pub(crate) config: &'a PgConfig,
    pub(crate) publication: &'a str,
    pub(crate) memory: &'a Memory,
}

/// What the account may do with a table.
struct Rights {
    schema: bool,
    read: bool,
    row_security: bool,
    own: bool,
}

impl Judge<'_> {
    /// Those that can be followed. Writes nothing.
    pub(crate) async fn fit(&self, published: &Published, found: Vec<Found>) -> Result<Vec<TableDef>> {
        let database = &self.server.database;
        let mut logged = Vec::new();
        for table in found {
            match table.refuse_unlogged(database) {
                Ok(()) => logged.push(table),
                Err(error) => self.leave_out(table.oid, &table.id(database), &error),
            }
        }
        let defs = describe(self.client, self.server, &logged, published).await?;
        let rights = self.rights(&defs).await?;
        let mut fit = Vec::new();
        for def in defs {
            // One without rights is gone again.
            let Some(rights) = rights.get(&def.oid) else { continue };
            match self.judge(published, &def, rights) {
                Ok(()) => fit.push(def),
                Err(error) => self.leave_out(def.oid, &def.id(), &error),
            }
        }
        Ok(fit)
    }

    fn judge(&self, published: &Published, def: &TableDef, rights: &Rights) -> Result<()> {
        published.judge(self.publication, def, self.config)?;
        published.judge_absence(self.publication, &[def], self.config.autocreate)?;
        schema_of(def, 0, &self.config.conversion)?;
        let user = identifier(&self.server.user);
        let refused = |message: &str, hint: String| {
            Err(Error::new(ErrorKind::Permission, message).hint(format!("run {hint}")))
        };
        let table = def.quoted();
        if !published.lacks(&[def]).is_empty() && !rights.own {
            let statement = published.statement(self.publication, &[def], &Wishes::new());
            return refused("only its owner may publish it", format!("{statement} as the owner"));
        }
        if !self.config.snapshots() {
            return Ok(());
        }
        if !rights.schema {
            let schema = identifier(&def.schema);
            return refused(
                "the user may not use its schema",
                format!("GRANT USAGE ON SCHEMA {schema} TO {user}"),
            );
        }
        if !rights.read {
            return refused("the user may not read it", format!("GRANT SELECT ON TABLE {table} TO {user}"));
        }
        if rights.row_security {
            return refused(
                "its row security would hide rows from the user",
                format!("ALTER ROLE {user} BYPASSRLS"),
            );
        }
        Ok(())
    }

    async fn rights(&self, defs: &[TableDef]) -> Result<HashMap<u32, Rights>> {
        let mut rights = HashMap::new();
        if defs.is_empty() {
            return Ok(rights);
        }
        let oids: Vec<String> = defs.iter().map(|def| def.oid.to_string()).collect();
        let statement = format!(
            "SELECT c.oid, pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'), \
             pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.row_security_active(c.oid), \
             pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c WHERE c.oid IN ({})",
            oids.join(", ")
        );
        for row in query(self.client, &statement, "reading the user's rights").await? {
            let of_table = Rights {
                schema: is_true(&row, 1),
                read: is_true(&row, 2),
                row_security: is_true(&row, 3),
                own: is_true(&row, 4),
            };
            rights.insert(parsed(&row, 0)?, of_table);
        }
        Ok(rights)
    }

    /// Publishes those that are not, and gives back the ones whose changes the log has from now on.
    pub(crate) async fn publish(&self, published: &Published, fit: Vec<TableDef>) -> Result<Vec<TableDef>> {
        let mut left_out = HashSet::new();
        let mut written = false;
        for def in published.lacks(&fit.iter().collect::<Vec<_>>()) {
            let statement = published.statement(self.publication, &[def], &Wishes::new());
            let statement = format!("SET LOCAL lock_timeout = {LOCKED_WITHIN_MS}; {statement}");
            match run(self.client, &statement, "publishing a new table").await {
                Ok(()) => {
                    written = true;
                    tracing::info!(publication = self.publication, table = %def.id(), "a new table is published");
                }
                Err(error) if matches!(error.class(), ErrorClass::Operator) || is_locked(&error) => {
                    left_out.insert(def.oid);
                    self.leave_out(def.oid, &def.id(), &error);
                }
                Err(error) => return Err(error),
            }
        }
        let now = match written {
            true => Published::read(self.client, self.server, self.publication).await?,
            false => published.clone(),
        };
        let mut joining = Vec::new();
        for def in fit.into_iter().filter(|def| !left_out.contains(&def.oid)) {
            if now.lacks(&[&def]).is_empty() {
                self.memory.untell(def.oid);
                joining.push(def);
                continue;
            }
            let message = "the publication sends its rows as rows of the table it is a partition of";
            let error = Error::new(ErrorKind::Schema, message)
                .hint("capture the partitioned table, or use a publication of the job's own");
            self.leave_out(def.oid, &def.id(), &error);
        }
        Ok(joining)
    }

    /// Tells of a table that cannot join, unless it was told.
    fn leave_out(&self, oid: u32, id: &TableId, error: &Error) {
        let mut reason = error.message().to_owned();
        if let Some(hint) = error.hint_text() {
            reason.push_str("; ");
            reason.push_str(hint);
        }
        if !self.memory.tell(oid, &reason) {
            return;
        }
        let again = match self.config.discovery {
            Some(_) => "it joins by itself once it can",
            None => "it joins at a later start, once it can",
        };
        tracing::warn!(table = %id, "a table that the job would capture is left out: {reason} ({again})");
    }
}

/// Somebody held a lock for too long.
fn is_locked(error: &Error) -> bool {
    error.kind() == ErrorKind::Contention
}

/// Ends the attempt; the next one begins with the tables.
pub(crate) fn joining<'a>(tables: impl Iterator<Item = &'a TableId>) -> Error {
    /// Names in the message.
    const NAMED_MAX: usize = 5;
    let all: Vec<String> = tables.map(TableId::to_string).collect();
    let mut names = all.get(..NAMED_MAX).unwrap_or(&all).join(", ");
    if all.len() > NAMED_MAX {
        names.push_str(&format!(" and {} more", all.len() - NAMED_MAX));
    }
    Error::new(ErrorKind::Unavailable, "new tables join: the job goes on with them").context("tables", names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_and_another_one_again() {
        let memory = Memory::default();
        let told = ["a", "a", "b", "a"].map(|reason| memory.tell(7, reason));
        assert_eq!(told, [true, false, true, true]);
        memory.untell(7);
        assert!(memory.tell(7, "a") && memory.clone().tell(8, "a"));
        memory.retain(&[]);
        assert!(memory.tell(7, "a"));
    }

    #[test]
    fn many_tables_make_a_short_message() {
        let id = |number: usize| TableId {
            database: "d".into(),
            schema: Some("s".into()),
            table: format!("t{number}"),
        };
        let ids: Vec<TableId> = (0..8).map(id).collect();
        let said = joining(ids.iter()).to_string();
        assert!(said.contains("d.s.t4 and 3 more") && !said.contains("d.s.t5"), "{said}");
        assert!(joining(ids.iter().take(1)).to_string().ends_with("(tables=d.s.t0)"));
    }
}
