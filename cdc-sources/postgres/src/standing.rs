//! What the server says of a captured table besides its shape: how it came to be published, and which
//! partitions hold its rows.
//!
//! The log tells neither. A table that leaves the publication and comes back lacks the changes between,
//! and a partition that leaves, is emptied, or joins with rows in it changes its table without a row in
//! the log. So both are kept in the state, and compared with the catalog at every start and every now
//! and then.

use std::collections::HashMap;

use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_postgres::Client;
use culvert_postgres::quote::literal;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::catalog::{ServerInfo, is_true, optional, parsed, query, text};
use crate::partitions::{self, Leaf, Partitions};
use crate::shape::TableDef;
use crate::state::TableState;

#[cfg(test)]
mod tests;

/// Part of the stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    membership: Membership,
    /// The partitions that hold rows, at any depth; empty for a table of its own.
    leaves: Vec<Leaf>,
}

/// How a table is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Membership {
    /// The rows of the catalog that publish it, by their oids: `all`, `schema` or `table`. One that was
    /// removed and added again, or got another filter or other columns, has another oid.
    entries: Vec<String>,
    /// The kinds of change that are published.
    kinds: Vec<String>,
    /// The transaction that wrote the publication's options.
    written: String,
}

/// A captured table to look at.
#[derive(Clone, Debug)]
pub(crate) struct Examined {
    oid: u32,
    id: TableId,
    partitioned: bool,
    /// The publication leaves out rows or columns of it.
    narrowed: bool,
    /// No row of it was read yet.
    unread: bool,
    before: Option<Standing>,
}

impl Examined {
    pub(crate) fn new(def: &TableDef, unread: bool, before: Option<Standing>) -> Examined {
        Examined {
            oid: def.oid,
            id: def.id(),
            partitioned: def.partitioned,
            narrowed: def.listed || def.filter.is_some(),
            unread,
            before,
        }
    }
}

/// Compares tables with what is known of them. Gives what is known now, by oid, of those that are
/// still there. Errors when changes of a table may have been missed.
pub(crate) async fn examine(
    client: &Client,
    server: &ServerInfo,
    (publication, fail_on_truncate): (&str, bool),
    tables: &[Examined],
) -> Result<HashMap<u32, Standing>> {
    let mut memberships = memberships(client, server, publication, tables).await?;
    let roots: Vec<u32> = tables.iter().filter(|table| table.partitioned).map(|table| table.oid).collect();
    let mut partitions = partitions::read(client, &roots).await?;
    let mut standings = HashMap::new();
    for table in tables {
        // A table that is gone is no member of anything; the log tells what else there is to it.
        let Some(membership) = memberships.remove(&table.oid) else { continue };
        let now = partitions.remove(&table.oid).unwrap_or_default();
        let before = table.before.as_ref();
        let rule = Rule { publication, narrowed: table.narrowed, fail_on_truncate };
        compare(before.map(|before| &before.membership), &membership, &rule)
            .map_err(|error| error.context("table", &table.id))?;
        let leaves = match before {
            Some(before) if !table.unread => {
                examine_leaves(client, (&table.id, fail_on_truncate), &before.leaves, &now).await?
            }
            _ => now.settled(&[]),
        };
        standings.insert(table.oid, Standing { membership, leaves });
    }
    Ok(standings)
}

/// The same for tables of a state, before anything is published: one that the publication lacks has
/// missed changes, however it comes in again.
pub(crate) async fn judge(
    client: &Client,
    server: &ServerInfo,
    (publication, fail_on_truncate): (&str, bool),
    tables: &mut [TableState],
) -> Result<()> {
    let examined: Vec<Examined> = tables.iter().map(of_state).collect();
    let mut standings = examine(client, server, (publication, fail_on_truncate), &examined).await?;
    for table in tables {
        table.standing = standings.remove(&table.def.oid).or(table.standing.take());
    }
    Ok(())
}

/// Notes the standing of tables that have none yet, once they are published.
pub(crate) async fn note(
    client: &Client,
    server: &ServerInfo,
    publication: &str,
    tables: &mut [TableState],
) -> Result<()> {
    let news: Vec<Examined> = tables.iter().filter(|table| table.standing.is_none()).map(of_state).collect();
    if news.is_empty() {
        return Ok(());
    }
    let mut standings = examine(client, server, (publication, false), &news).await?;
    for table in tables {
        table.standing = table.standing.take().or_else(|| standings.remove(&table.def.oid));
    }
    Ok(())
}

fn of_state(table: &TableState) -> Examined {
    Examined::new(&table.def, table.done.ranges().is_empty(), table.standing.clone())
}

/// How tables are published now, by oid; without those that are gone.
async fn memberships(
    client: &Client,
    server: &ServerInfo,
    publication: &str,
    tables: &[Examined],
) -> Result<HashMap<u32, Membership>> {
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    // A partition is published with the tables it is a part of.
    let itself = "SELECT t.oid UNION ALL SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors(t.oid) a";
    let schemas = if server.version < 150_000 {
        String::new()
    } else {
        format!(
            " UNION SELECT 'schema ' || s.oid FROM pg_catalog.pg_publication_namespace s \
             JOIN pg_catalog.pg_class k ON k.relnamespace = s.pnnspid WHERE s.pnpubid = p.oid AND k.oid IN ({itself})"
        )
    };
    let statement = format!(
        "SELECT t.oid, p.xmin, p.pubinsert, p.pubupdate, p.pubdelete, p.pubviaroot, p.pubtruncate, \
         (SELECT jsonb_agg(m.entry ORDER BY m.entry) FROM (SELECT 'all ' || p.oid AS entry WHERE p.puballtables \
          UNION SELECT 'table ' || r.oid FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid IN ({itself})\
          {schemas}) m) \
         FROM unnest('{{{}}}'::oid[]) AS t (oid) JOIN pg_catalog.pg_class c ON c.oid = t.oid \
         LEFT JOIN pg_catalog.pg_publication p ON p.pubname = {}",
        oids.join(","),
        literal(publication)
    );
    let mut found = HashMap::new();
    for row in query(client, &statement, "comparing the publication with the tables").await? {
        let entries = match optional(&row, 7) {
            None => Vec::new(),
            Some(json) => serde_json::from_str(json).map_err(|error| {
                Error::new(ErrorKind::Corrupt, "the entries of a publication cannot be read").caused_by(error)
            })?,
        };
        let kinds = ["insert", "update", "delete", "as its root", TRUNCATE];
        let kinds = kinds.iter().zip(2..).filter(|(_, column)| is_true(&row, *column));
        let kinds = kinds.map(|(kind, _)| (*kind).to_owned()).collect();
        found.insert(parsed(&row, 0)?, Membership { entries, kinds, written: text(&row, 1).to_owned() });
    }
    Ok(found)
}

/// The kind of change whose absence matters only to a job that stops at it.
const TRUNCATE: &str = "truncate";

/// What a membership is held to.
struct Rule<'a> {
    publication: &'a str,
    narrowed: bool,
    fail_on_truncate: bool,
}

/// Refuses a membership that was not there all the time.
fn compare(before: Option<&Membership>, now: &Membership, rule: &Rule<'_>) -> Result<()> {
    let Rule { publication, narrowed, fail_on_truncate } = *rule;
    if now.entries.is_empty() {
        return Err(missed(&format!("the table is no longer in publication '{publication}'")));
    }
    let Some(before) = before else { return Ok(()) };
    // One entry that stayed is enough, unless it is another that says which rows and columns.
    let stayed = now.entries.iter().any(|entry| before.entries.contains(entry));
    if !stayed || (narrowed && now.entries != before.entries) {
        return Err(missed(&format!(
            "the table was taken out of publication '{publication}' and put in again, or its row filter or columns there \
             were changed"
        )));
    }
    let rows = |kinds: &[String]| kinds.iter().filter(|kind| *kind != TRUNCATE).cloned().collect::<Vec<_>>();
    let truncates = |kinds: &[String]| kinds.iter().any(|kind| kind == TRUNCATE);
    let untold = fail_on_truncate && truncates(&before.kinds) && !truncates(&now.kinds);
    if untold || rows(&now.kinds) != rows(&before.kinds) {
        return Err(missed(&format!(
            "publication '{publication}' published {}, and publishes {} now",
            before.kinds.join(", "),
            now.kinds.join(", ")
        )));
    }
    if now.written != before.written {
        warn!(
            publication,
            "the publication's options or owner were altered since the job looked last: if it left out kinds of change \
             meanwhile, they are missing, and the job cannot tell"
        );
    }
    Ok(())
}

fn missed(what: &str) -> Error {
    Error::new(ErrorKind::StateMismatch, format!("{what}: changes of it may be missing from the log that this job gets"))
        .hint(
            "start over with --fresh, or let this one table be read anew: take it out of table-names and start the job, empty \
             it at the target, put it into table-names again and start once more",
        )
}

/// Compares partitions, and gives those to remember. What changes the table without a row in the log
/// stops the job or is told, as `truncate.policy` says.
async fn examine_leaves(
    client: &Client,
    (table, fail): (&TableId, bool),
    before: &[Leaf],
    now: &Partitions,
) -> Result<Vec<Leaf>> {
    for change in now.changes(before) {
        let Some(finding) = change.weigh(client).await? else { continue };
        if finding.certain && fail {
            return Err(Error::new(ErrorKind::Unsupported, finding.message).context("table", table).hint(
                "bring the target in line by hand (or start over with --fresh), then set truncate.policy = IGNORE to go on \
                 past this place",
            ));
        }
        warn!(table = %table, "{}; the target stays as it is", finding.message);
    }
    Ok(now.settled(before))
}
