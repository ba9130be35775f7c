//! Partitions: the tables in which the rows of a partitioned table lie, and which log them.
//!
//! Each partition has a replica identity of its own, whatever its table's is. A change is published as
//! one of the table, with the old values that the partition's identity tells.

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::Client;
use culvert_postgres::quote::qualified;

use crate::catalog::{optional, query, text};
use crate::shape::Identity;

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
