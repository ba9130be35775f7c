//! The publication: what of which tables the server sends.
//!
//! One that this source makes lists the captured tables and publishes partitions as their table. One
//! that is there already may be anybody's: what it leaves out (kinds of change, columns, rows) is read
//! and honoured, or refused.

use std::collections::HashMap;

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::quote::{identifier, literal};
use culvert_postgres::{Client, from_client};

use crate::catalog::{ServerInfo, is_true, optional, query, text};
use crate::options::PgConfig;
use crate::row_filter::{SetFilters, Wishes, as_set, clause, comment, mismatch, read_comment, refused};
use crate::shape::{Identity, TableDef};

/// What the comment on a publication of ours begins with; the job's name follows.
const COMMENT: &str = "made by culvert for job ";

/// A publication as the catalog has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    pub(crate) exists: bool,
    pub(crate) update: bool,
    pub(crate) delete: bool,
    pub(crate) insert: bool,
    pub(crate) truncate: bool,
    pub(crate) via_root: bool,
    /// Generated columns are published, too (from server 18 on).
    pub(crate) generated: bool,
    /// The user may change it.
    pub(crate) ours: bool,
    /// The job it was made for.
    pub(crate) job: Option<String>,
    /// The row filters it was made with.
    pub(crate) set_filters: SetFilters,
    tables: HashMap<(String, String), PublishedTable>,
}

/// What is published of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishedTable {
    /// Its columns, where the publication names them.
    pub(crate) columns: Option<Vec<String>>,
    /// Its row filter.
    pub(crate) filter: Option<String>,
}

impl Published {
    /// What a publication that this source is going to make is like.
    pub(crate) fn to_be_made() -> Published {
        Published {
            update: true,
            delete: true,
            insert: true,
            truncate: true,
            via_root: true,
            ours: true,
            ..Published::default()
        }
    }

    /// Reads a publication; one that does not exist is as if made now.
    pub(crate) async fn read(client: &Client, server: &ServerInfo, name: &str) -> Result<Published> {
        const DOING: &str = "reading the publication";
        let quoted = literal(name);
        let statement = format!(
            "SELECT p.pubinsert, p.pubupdate, p.pubdelete, p.pubviaroot, pg_has_role(current_user, p.pubowner, 'member'), \
             obj_description(p.oid, 'pg_publication'), coalesce(to_jsonb(p) ->> 'pubgencols', 'n') IN ('s', 'true'), p.pubtruncate \
             FROM pg_catalog.pg_publication p WHERE p.pubname = {quoted}"
        );
        let rows = query(client, &statement, DOING).await?;
        let Some(row) = rows.first() else { return Ok(Published::to_be_made()) };
        let told = optional(row, 5).and_then(|comment| read_comment(comment, COMMENT));
        let (job, set_filters) = told.map_or((None, SetFilters::new()), |(job, set)| (Some(job), set));
        let mut published = Published {
            exists: true,
            insert: is_true(row, 0),
            update: is_true(row, 1),
            delete: is_true(row, 2),
            via_root: is_true(row, 3),
            ours: is_true(row, 4),
            job,
            set_filters,
            generated: is_true(row, 6),
            truncate: is_true(row, 7),
            tables: HashMap::new(),
        };
        let statement = format!(
            "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = {quoted}"
        );
        for row in query(client, &statement, DOING).await? {
            let name = (text(&row, 0).to_owned(), text(&row, 1).to_owned());
            published.tables.insert(name, PublishedTable::default());
        }
        if server.version >= 150_000 {
            published.read_parts(client, &quoted, DOING).await?;
        }
        Ok(published)
    }

    /// Column lists and row filters.
    async fn read_parts(&mut self, client: &Client, quoted: &str, doing: &str) -> Result<()> {
        let statement = format!(
            "SELECT n.nspname, c.relname, pg_catalog.pg_get_expr(r.prqual, r.prrelid), \
             CASE WHEN r.prattrs IS NOT NULL THEN (SELECT jsonb_agg(a.attname) FROM pg_catalog.pg_attribute a \
              WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) END \
             FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid \
             JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE p.pubname = {quoted} AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)"
        );
        for row in query(client, &statement, doing).await? {
            let columns = match optional(&row, 3) {
                None => None,
                Some(json) => Some(serde_json::from_str(json).map_err(|error| {
                    Error::new(ErrorKind::Corrupt, "a publication's columns cannot be read").caused_by(error)
                })?),
            };
            let filter = optional(&row, 2).map(str::to_owned);
            let name = (text(&row, 0).to_owned(), text(&row, 1).to_owned());
            self.tables.insert(name, PublishedTable { columns, filter });
        }
        Ok(())
    }

    /// What is published of a table; `None` when nothing is.
    pub(crate) fn table(&self, schema: &str, table: &str) -> Option<&PublishedTable> {
        self.tables.get(&(schema.to_owned(), table.to_owned()))
    }

    /// The captured tables that it lacks.
    pub(crate) fn lacks<'a>(&self, tables: &[&'a TableDef]) -> Vec<&'a TableDef> {
        tables.iter().copied().filter(|def| self.table(&def.schema, &def.table).is_none()).collect()
    }

    /// Refuses a publication that leaves out what a mirror needs, and a table whose changes could not
    /// be followed. Above all nothing may be published without an identity: the server would refuse
    /// the application's own updates.
    pub(crate) fn judge(&self, name: &str, def: &TableDef, config: &PgConfig) -> Result<()> {
        self.judge_kinds(name, config).map_err(|error| error.context("table", def.id()))?;
        let id = def.id();
        let quoted = identifier(name);
        if def.partitioned && !self.via_root {
            return Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "publication '{name}' sends the rows of a partitioned table as rows of its partitions"
                ),
            )
            .context("table", &id)
            .hint(format!("run ALTER PUBLICATION {quoted} SET (publish_via_partition_root = true)")));
        }
        let full = format!("run ALTER TABLE {} REPLICA IDENTITY FULL", def.quoted());
        if self.update && def.identity == Identity::Nothing {
            return Err(Error::new(
                ErrorKind::Schema,
                "the table has no replica identity: updates and deletes could not be logged, and the server would \
                 refuse them to every application once the table is published",
            )
            .context("table", &id)
            .hint(if def.partitioned { format!("{full} for each of its partitions, or give it a primary key") } else { format!("{full}, or give it a primary key") }));
        }
        if config.require_full && def.identity != Identity::Full {
            return Err(Error::new(
                ErrorKind::Schema,
                "the log does not tell all old values of the table (require-replica-identity-full = true)",
            )
            .context("table", &id)
            .hint(full));
        }
        if def.identity == Identity::Key && def.key.iter().any(|name| def.column_index(name).is_none()) {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("publication '{name}' leaves out columns of the table's key"),
            )
            .context("table", &id)
            .hint("publish the key's columns, too"));
        }
        Ok(())
    }

    /// Refuses one that leaves out kinds of change.
    fn judge_kinds(&self, name: &str, config: &PgConfig) -> Result<()> {
        let quoted = identifier(name);
        if !self.insert || self.update != self.delete {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("publication '{name}' leaves out kinds of change"),
            )
            .hint(format!(
                "run ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate')"
            )));
        }
        if config.fail_on_truncate && !self.truncate {
            let kinds = if self.update { "insert, update, delete, truncate" } else { "insert, truncate" };
            return Err(Error::new(
                ErrorKind::Schema,
                format!("publication '{name}' leaves out TRUNCATE: the job could not stop at one (truncate.policy = FAIL)"),
            )
            .hint(format!(
                "run ALTER PUBLICATION {quoted} SET (publish = '{kinds}'), or set truncate.policy = IGNORE: the rows that a \
                 TRUNCATE removes then stay at the target, without a word"
            )));
        }
        Ok(())
    }

    /// Why rows of a mirror would go stale: only new rows are published.
    pub(crate) fn inserts_only(&self, name: &str) -> Option<String> {
        let is_so = self.exists && self.insert && !self.update && !self.delete;
        is_so.then(|| {
            format!("publication '{name}' publishes inserts only: updated and deleted rows stay at the target as they were")
        })
    }

    /// Refuses what a person has to do first, when the source may not.
    pub(crate) fn judge_absence(&self, name: &str, tables: &[&TableDef], autocreate: bool) -> Result<()> {
        let lacking = self.lacks(tables);
        if lacking.is_empty() || (autocreate && self.ours) {
            return Ok(());
        }
        let statement = self.statement(name, &lacking, &Wishes::new());
        let message = match (self.exists, autocreate) {
            (false, _) => format!("publication '{name}' does not exist (publication.autocreate = false)"),
            (true, false) => format!(
                "publication '{name}' lacks {} captured tables (publication.autocreate = false)",
                lacking.len()
            ),
            (true, true) => format!(
                "publication '{name}' lacks {} captured tables and is not the user's to change",
                lacking.len()
            ),
        };
        let first = lacking.first().map(|def| def.id().to_string()).unwrap_or_default();
        Err(Error::new(ErrorKind::Schema, message).context("table", first).hint(format!("run {statement}")))
    }

    /// The statement that makes it, or adds what it lacks. Tables that are added have no row filter: what was
    /// sent of them so far is nothing, and what will be is all.
    pub(crate) fn statement(&self, name: &str, lacking: &[&TableDef], wishes: &Wishes) -> String {
        let clause = |def: &TableDef| if self.exists { String::new() } else { clause(wishes, def) };
        let table = |def: &&TableDef| format!("{}{}", def.quoted_alone(), clause(def));
        let tables: Vec<String> = lacking.iter().map(table).collect();
        let (name, tables) = (identifier(name), tables.join(", "));
        if self.exists {
            format!("ALTER PUBLICATION {name} ADD TABLE {tables}")
        } else {
            format!("CREATE PUBLICATION {name} FOR TABLE {tables} WITH (publish_via_partition_root = true)")
        }
    }

    /// What the server leaves out of a table, as it prints it.
    pub(crate) fn filter(&self, def: &TableDef) -> Option<String> {
        self.table(&def.schema, &def.table)?.filter.clone()
    }

    /// Refuses row filters that were set for another condition than the job has now, or changed since. A
    /// stream that begins anew, behind whatever was left out, sets its own.
    pub(crate) async fn settle_filters(
        &self,
        client: &Client,
        (name, job): (&str, &str),
        tables: &[&TableDef],
        wishes: &Wishes,
        begins_anew: bool,
    ) -> Result<()> {
        let filter = |def: &TableDef| self.filter(def);
        let Some(found) = mismatch(&self.set_filters, wishes, tables, filter) else { return Ok(()) };
        if !begins_anew || !self.ours {
            return Err(refused(name, found));
        }
        let table = |def: &&TableDef| format!("{}{}", def.quoted_alone(), clause(wishes, def));
        let listed: Vec<String> = tables.iter().map(table).collect();
        let statement = format!("ALTER PUBLICATION {} SET TABLE {}", identifier(name), listed.join(", "));
        self.write_filtered(client, (name, job), &statement, tables, wishes).await
    }

    /// Runs a statement that makes the publication or sets its tables, and notes in the same transaction
    /// whose it is and which filters it has.
    async fn write_filtered(
        &self,
        client: &Client,
        (name, job): (&str, &str),
        statement: &str,
        tables: &[&TableDef],
        wishes: &Wishes,
    ) -> Result<()> {
        const DOING: &str = "making the publication";
        run(client, &format!("BEGIN; {statement}"), DOING).await.map_err(|error| match error.kind() {
            ErrorKind::Permission => error.hint(format!("have somebody who may run: {statement}")),
            _ => error,
        })?;
        let mut now = Published::default();
        if tables.iter().any(|def| !clause(wishes, def).is_empty()) {
            now.read_parts(client, &literal(name), DOING).await?;
        }
        let set = as_set(wishes, tables, |def| now.filter(def));
        for (table, set) in &set {
            tracing::info!(table, "pushed down: the server sends rows where {}", set.condition);
        }
        let comment = literal(&comment(COMMENT, job, &set)?);
        run(client, &format!("COMMENT ON PUBLICATION {} IS {comment}; COMMIT", identifier(name)), DOING).await
    }

    /// Makes it, or adds what it lacks. True: something was written.
    pub(crate) async fn ensure(
        &self,
        client: &Client,
        server: &ServerInfo,
        (name, job): (&str, &str),
        tables: &[&TableDef],
        (autocreate, wishes): (bool, &Wishes),
    ) -> Result<bool> {
        if let Some(other) = self.job.as_ref().filter(|other| *other != job) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("publication '{name}' was made for job '{other}', and this is job '{job}'"),
            )
            .hint("give every job a slot.name and a publication.name of its own"));
        }
        self.judge_absence(name, tables, autocreate)?;
        let lacking = self.lacks(tables);
        if lacking.is_empty() {
            return Ok(false);
        }
        let statement = self.statement(name, &lacking, wishes);
        if self.exists {
            run(client, &statement, "making the publication").await.map_err(|error| match error.kind() {
                ErrorKind::Permission => error.hint(format!("have somebody who may run: {statement}")),
                _ => error,
            })?;
        } else {
            self.write_filtered(client, (name, job), &statement, &lacking, wishes).await?;
        }
        tracing::info!(publication = name, tables = lacking.len(), "tables published");
        let now = Published::read(client, server, name).await?;
        match now.lacks(tables).first() {
            None => Ok(true),
            Some(def) => Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "publication '{name}' sends the table's rows as rows of the table it is a partition of"
                ),
            )
            .context("table", def.id())
            .hint("capture the partitioned table, or use a publication of the job's own")),
        }
    }
}

/// Runs a statement without rows.
pub(crate) async fn run(client: &Client, statement: &str, doing: &str) -> Result<()> {
    client.batch_execute(statement).await.map_err(|error| from_client(error, doing))
}
