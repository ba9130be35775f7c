//! Partitions: the tables in which the rows of a partitioned table lie, and which log them.
//!
//! Each partition has a replica identity of its own, whatever its table's is. A change is published as
//! one of the table, with the old values that the partition's identity tells.

use std::collections::HashMap;

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::Client;
use culvert_postgres::quote::qualified;

use serde::{Deserialize, Serialize};

use crate::catalog::{is_true, optional, parsed, query, text};
use crate::shape::Identity;

#[cfg(test)]
mod tests;

/// Names of the columns that are the identity of `c`, as JSON; NULL where there is none.
const IDENTITY: &str = "(SELECT jsonb_agg(a.attname) FROM pg_catalog.pg_index i \
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE i.indrelid = c.oid AND k.place <= i.indnkeyatts \
    AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END)";

/// What the log of all partitions of a table tells of old rows. `updates`: changes of rows are
/// published. Then refuses a partition that would tell other columns than the table's key: its updates
/// and deletes would hit rows of other keys at the target, or none.
pub(crate) async fn leaf_identity(
    client: &Client,
    root: u32,
    key: &[String],
    updates: bool,
) -> Result<Identity> {
    // `pg_partition_tree` would wait for whoever holds a lock on a partition.
    let statement = format!(
        "WITH RECURSIVE part (oid) AS (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = {root} \
         UNION ALL SELECT h.inhrelid FROM part JOIN pg_catalog.pg_inherits h ON h.inhparent = part.oid) \
         SELECT n.nspname, c.relname, c.relreplident, {IDENTITY} FROM part JOIN pg_catalog.pg_class c ON c.oid = part.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind <> 'p' ORDER BY 1, 2"
    );
    let rows = query(client, &statement, "reading the replica identity of partitions").await?;
    let mut all_full = !rows.is_empty();
    for row in &rows {
        if text(row, 2) == "f" {
            continue;
        }
        all_full = false;
        let Some(json) = optional(row, 3) else { return Ok(Identity::Nothing) };
        let identity: Vec<String> = serde_json::from_str(json).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the columns of a replica identity cannot be read")
                .caused_by(error)
        })?;
        if updates && !key.iter().all(|name| identity.contains(name)) {
            let leaf = (text(row, 0), text(row, 1));
            return Err(other_identity(leaf, key, &identity));
        }
    }
    Ok(if all_full { Identity::Full } else { Identity::Key })
}

/// A partition that does not log the key of old rows.
pub(crate) fn other_identity(
    (schema, table): (&str, &str),
    key: &[String],
    identity: &[impl AsRef<str>],
) -> Error {
    let identity: Vec<&str> = identity.iter().map(AsRef::as_ref).collect();
    let told = if identity.is_empty() { "nothing".to_owned() } else { identity.join(", ") };
    let wanted = if key.is_empty() { "the whole row".to_owned() } else { key.join(", ") };
    Error::new(
        ErrorKind::Schema,
        format!(
            "partition {schema}.{table} logs {told} of old rows, and its table is followed by {wanted}: updates and \
             deletes would miss their rows"
        ),
    )
    .hint(format!(
        "run ALTER TABLE {} REPLICA IDENTITY FULL, or give it the replica identity that its table has",
        qualified(schema, table)
    ))
}

/// A partition that holds rows. Part of the stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaf {
    oid: u32,
    schema: String,
    table: String,
    /// Its file: another one after a TRUNCATE, and after whatever else writes it anew.
    file: u32,
    /// The file was not empty.
    filled: bool,
}

impl Leaf {
    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}

/// The partitions of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partitions {
    leaves: Vec<Leaf>,
    /// Partitions that somebody has locked: nothing is known of their files.
    locked: Vec<u32>,
    /// For those that were tables before they joined: the transaction that let them in.
    attached: HashMap<u32, String>,
}

/// What became of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was dropped or detached.
    Gone(Leaf),
    /// It had rows, has another file, and is empty.
    Emptied(Leaf),
    /// It has another file.
    Rewritten(Leaf),
    /// It was a table of its own, which the transaction attached, and has rows.
    Attached(Leaf, String),
}

/// What a change means for the target.
pub(crate) struct Weighed {
    pub(crate) message: String,
    /// It is known that the table lost or got rows without the log.
    pub(crate) certain: bool,
}

/// The partitions of tables, by the table's oid.
pub(crate) async fn read(client: &Client, roots: &[u32]) -> Result<HashMap<u32, Partitions>> {
    if roots.is_empty() {
        return Ok(HashMap::new());
    }
    let roots: Vec<String> = roots.iter().map(u32::to_string).collect();
    // The columns of the system come with a table and are never written again: when a table joined in
    // the transaction that made it, both have one writer. The size of a file is not to be had while
    // somebody has locked the table out.
    let statement = format!(
        "WITH RECURSIVE link (parent, child, xid, late) AS (SELECT h.inhparent, h.inhrelid, h.xmin, h.xmin <> a.xmin \
          FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_attribute a ON a.attrelid = h.inhrelid AND a.attnum = -6), \
         part (root, oid, late) AS (SELECT parent, child, CASE WHEN late THEN xid END FROM link WHERE parent IN ({roots}) \
          UNION ALL SELECT part.root, link.child, CASE WHEN NOT link.late THEN part.late \
           WHEN part.late IS NULL OR age(link.xid) < age(part.late) THEN link.xid ELSE part.late END \
          FROM part JOIN link ON link.parent = part.oid), \
         locked (oid) AS MATERIALIZED (SELECT l.relation FROM pg_catalog.pg_locks l \
          JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database() \
          WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock') \
         SELECT part.root, c.oid, n.nspname, c.relname, c.relfilenode, part.late, \
          CASE WHEN c.oid NOT IN (SELECT oid FROM locked) THEN pg_catalog.pg_relation_size(c.oid) > 0 END \
         FROM part JOIN pg_catalog.pg_class c ON c.oid = part.oid AND c.relkind = 'r' \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 3, 4",
        roots = roots.join(", ")
    );
    let mut found: HashMap<u32, Partitions> = HashMap::new();
    for row in query(client, &statement, "listing partitions").await? {
        let of_table = found.entry(parsed(&row, 0)?).or_default();
        let oid = parsed(&row, 1)?;
        if let Some(xid) = optional(&row, 5) {
            of_table.attached.insert(oid, xid.to_owned());
        }
        let filled = optional(&row, 6).map(|filled| filled == "t");
        if filled.is_none() {
            of_table.locked.push(oid);
        }
        of_table.leaves.push(Leaf {
            oid,
            schema: text(&row, 2).to_owned(),
            table: text(&row, 3).to_owned(),
            file: parsed(&row, 4)?,
            filled: filled.unwrap_or(false),
        });
    }
    Ok(found)
}

impl Partitions {
    /// The partitions to remember: of a locked one what was known, if anything.
    pub(crate) fn settled(&self, before: &[Leaf]) -> Vec<Leaf> {
        let known = |leaf: &Leaf| before.iter().find(|old| old.oid == leaf.oid).cloned();
        let settle =
            |leaf: &Leaf| if self.locked.contains(&leaf.oid) { known(leaf) } else { Some(leaf.clone()) };
        self.leaves.iter().filter_map(settle).collect()
    }

    /// What became of the partitions since.
    pub(crate) fn changes(&self, before: &[Leaf]) -> Vec<Change> {
        let old: HashMap<u32, &Leaf> = before.iter().map(|leaf| (leaf.oid, leaf)).collect();
        let now: HashMap<u32, &Leaf> = self.leaves.iter().map(|leaf| (leaf.oid, leaf)).collect();
        let gone = before.iter().filter(|leaf| !now.contains_key(&leaf.oid)).cloned().map(Change::Gone);
        let known = self.leaves.iter().filter(|leaf| !self.locked.contains(&leaf.oid));
        let others = known.filter_map(|leaf| match old.get(&leaf.oid) {
            Some(old) if old.file == leaf.file || !old.filled => None,
            Some(_) if leaf.filled => Some(Change::Rewritten(leaf.clone())),
            Some(_) => Some(Change::Emptied(leaf.clone())),
            None if leaf.filled => {
                self.attached.get(&leaf.oid).map(|xid| Change::Attached(leaf.clone(), xid.clone()))
            }
            None => None,
        });
        gone.chain(others).collect()
    }
}

impl Change {
    /// What it means; `None`: nothing.
    pub(crate) async fn weigh(&self, client: &Client) -> Result<Option<Weighed>> {
        Ok(Some(match self {
            Change::Gone(leaf) => Weighed {
                message: format!(
                    "partition {} was dropped or detached, and the log does not name the rows that the table lost",
                    leaf.name()
                ),
                certain: leaf.filled,
            },
            Change::Emptied(leaf) => Weighed {
                message: format!(
                    "partition {} was truncated, or emptied and written anew, and the log does not name the rows of a TRUNCATE",
                    leaf.name()
                ),
                certain: true,
            },
            Change::Rewritten(leaf) => Weighed {
                message: format!(
                    "partition {} was written anew (VACUUM FULL, CLUSTER, ALTER TABLE), or truncated and filled again: \
                     the log does not name the rows of a TRUNCATE, and the job cannot tell which it was",
                    leaf.name()
                ),
                certain: false,
            },
            Change::Attached(leaf, xid) => match holds_older(client, leaf, xid).await? {
                Some(false) => return Ok(None),
                older => Weighed {
                    message: format!(
                        "partition {} was attached as a table that {} rows of before, which the log does not tell: to have \
                         them at the target, detach it and insert them through the table",
                        leaf.name(),
                        if older.is_some() { "had" } else { "may have had" }
                    ),
                    certain: older.is_some(),
                },
            },
        }))
    }
}

/// Pages of an attached table that are searched for rows of before: a table that had rows has some at
/// its beginning.
const PAGES_SEARCHED: u32 = 4096;

/// Whether a partition has rows that are older than the transaction that attached it; `None` when
/// that cannot be found out.
async fn holds_older(client: &Client, leaf: &Leaf, xid: &str) -> Result<Option<bool>> {
    let table = qualified(&leaf.schema, &leaf.table);
    let begins = format!("ctid < '({PAGES_SEARCHED},0)'");
    let statement = format!(
        "SELECT EXISTS (SELECT 1 FROM ONLY {table} WHERE {begins} AND age(xmin) > age('{xid}'::xid)), \
         EXISTS (SELECT 1 FROM ONLY {table} WHERE {begins} AND xmin = '{xid}'::xid), pg_catalog.pg_relation_size({oid}) > {PAGES_SEARCHED} * current_setting('block_size')::bigint",
        oid = leaf.oid
    );
    match query(client, &statement, "looking for rows of an attached partition").await {
        Ok(rows) => {
            Ok(rows.first().and_then(|row| match (is_true(row, 0), is_true(row, 1), is_true(row, 2)) {
                (true, ..) => Some(true),
                (_, false, false) => Some(false),
                // Rows of the transaction itself may have come through the table, or before it was attached.
                _ => None,
            }))
        }
        // The user reads the table, and need not be let read its partitions; or it is gone again.
        Err(error) if matches!(error.kind(), ErrorKind::Permission | ErrorKind::Schema) => Ok(None),
        Err(error) => Err(error),
    }
}
