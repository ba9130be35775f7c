//! What the server's catalog says: about itself, about tables, columns, keys and types.
//!
//! Everything is asked by simple queries, whose answers are text, and every object is named with its
//! schema: sessions have no search path.

use std::collections::{BTreeMap, HashMap};

use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_postgres::quote::{literal, qualified};
use culvert_postgres::{Client, from_client};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::column::{ColumnDef, PgType, TypeInfo};
use crate::lsn::Lsn;
use crate::partitions::leaf_identity;
use crate::publication::Published;
use crate::selection::TableSelection;
use crate::shape::{Identity, TableDef};

/// Tables asked about in one statement.
const TABLES_PER_QUERY: usize = 500;
/// The oldest server whose log can be read as this source wants it.
const VERSION_MIN: u32 = 140_000;

/// Rows of a statement.
pub(crate) async fn query(client: &Client, statement: &str, doing: &str) -> Result<Vec<SimpleQueryRow>> {
    let messages = client.simple_query(statement).await.map_err(|error| from_client(error, doing))?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect())
}

/// A column of a row; empty text for NULL and for what is not there.
pub(crate) fn text(row: &SimpleQueryRow, column: usize) -> &str {
    row.try_get(column).ok().flatten().unwrap_or_default()
}

pub(crate) fn optional(row: &SimpleQueryRow, column: usize) -> Option<&str> {
    row.try_get(column).ok().flatten()
}

pub(crate) fn parsed<T: std::str::FromStr>(row: &SimpleQueryRow, column: usize) -> Result<T> {
    text(row, column)
        .parse()
        .map_err(|_| Error::new(ErrorKind::Corrupt, "the catalog answers with something that is no number"))
}

pub(crate) fn is_true(row: &SimpleQueryRow, column: usize) -> bool {
    text(row, column) == "t"
}

/// The server, its settings, and what the user may do.
#[derive(Clone, Debug)]
pub(crate) struct ServerInfo {
    pub(crate) version: u32,
    pub(crate) version_text: String,
    /// The cluster's identifier; empty where the user may not know it.
    pub(crate) system: String,
    pub(crate) database: String,
    pub(crate) wal_level: String,
    pub(crate) standby: bool,
    pub(crate) utf8: bool,
    /// Bytes of a page and of a file of the log.
    pub(crate) page_bytes: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) user: String,
    pub(crate) may_replicate: bool,
    pub(crate) slots_max: u32,
    pub(crate) slots_used: u32,
    pub(crate) senders_max: u32,
    /// Text in the database's own collation sorts by its bytes.
    pub(crate) bytewise: bool,
}

impl ServerInfo {
    pub(crate) async fn read(client: &Client) -> Result<ServerInfo> {
        const DOING: &str = "reading the server's settings";
        let rows = query(client, SERVER, DOING).await?;
        let row =
            rows.first().ok_or_else(|| Error::new(ErrorKind::Corrupt, "the server tells no settings"))?;
        let version: u32 = parsed(row, 0)?;
        if version < VERSION_MIN {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the server is PostgreSQL {}, and its log is read from version 14 on", text(row, 1)),
            ));
        }
        let mut server = ServerInfo {
            version,
            version_text: text(row, 1).to_owned(),
            system: String::new(),
            database: text(row, 2).to_owned(),
            wal_level: text(row, 3).to_owned(),
            standby: is_true(row, 4),
            utf8: text(row, 5) == "UTF8",
            page_bytes: parsed(row, 6)?,
            segment_bytes: parsed(row, 7)?,
            user: text(row, 8).to_owned(),
            may_replicate: is_true(row, 9),
            slots_max: parsed(row, 10)?,
            slots_used: parsed(row, 11)?,
            senders_max: parsed(row, 12)?,
            bytewise: is_bytewise(text(row, 13), text(row, 14), text(row, 15)),
        };
        match query(client, "SELECT system_identifier FROM pg_catalog.pg_control_system()", DOING).await {
            Ok(rows) => server.system = rows.first().map(|row| text(row, 0).to_owned()).unwrap_or_default(),
            // Some products keep it to their own administrators.
            Err(error) if error.kind() == ErrorKind::Permission => {}
            Err(error) => return Err(error),
        }
        Ok(server)
    }

    /// The place as positions behind a record are written. The server tells the insert position at the
    /// start of a page as the place behind the page's header, which no record ends at, so that a
    /// quiet log would never reach it.
    pub(crate) fn behind_record(&self, lsn: Lsn) -> Lsn {
        const LONG_HEADER: u64 = 40;
        const SHORT_HEADER: u64 = 24;
        if self.segment_bytes > 0 && lsn.0 % self.segment_bytes == LONG_HEADER {
            return Lsn(lsn.0 - LONG_HEADER);
        }
        if self.page_bytes > 0 && lsn.0 % self.page_bytes == SHORT_HEADER {
            return Lsn(lsn.0 - SHORT_HEADER);
        }
        lsn
    }
}

/// Whether text under the default collation of a database sorts by its bytes, from the provider
/// (`c` libc, `i` ICU, `b` the server's own), its locale, and `datcollate`.
fn is_bytewise(provider: &str, locale: &str, collate: &str) -> bool {
    match provider {
        "b" => matches!(locale, "C" | "C.UTF-8" | "C.UTF8"),
        "c" | "" => matches!(collate, "C" | "POSIX"),
        _ => false,
    }
}

/// Settings of the server, in the order [`ServerInfo::read`] takes them.
const SERVER: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
    current_database(), current_setting('wal_level'), pg_is_in_recovery(), current_setting('server_encoding'), \
    (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_block_size'), \
    (SELECT CASE unit WHEN 'B' THEN setting::bigint WHEN '8kB' THEN setting::bigint * 8192 ELSE setting::bigint END \
     FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'), \
    current_user, \
    (SELECT r.rolsuper OR r.rolreplication OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles g \
      WHERE g.rolname IN ('rds_replication', 'cloudsqlreplica', 'azure_pg_admin') \
      AND pg_has_role(current_user, g.oid, 'member')) FROM pg_catalog.pg_roles r WHERE r.rolname = current_user), \
    current_setting('max_replication_slots'), (SELECT count(*) FROM pg_catalog.pg_replication_slots), \
    current_setting('max_wal_senders'), \
    coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), \
    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''), d.datcollate \
    FROM pg_catalog.pg_database d WHERE d.datname = current_database()";

/// A table before its columns are known.
pub(crate) struct Found {
    pub(crate) oid: u32,
    schema: String,
    table: String,
    partitioned: bool,
    unlogged: bool,
    identity: char,
    /// The partitioned tables it is part of.
    roots: Vec<u32>,
    filenode: Option<u32>,
}

impl Found {
    pub(crate) fn id(&self, database: &str) -> TableId {
        TableId {
            database: database.to_owned(),
            schema: Some(self.schema.clone()),
            table: self.table.clone(),
        }
    }

    /// Refuses a table whose changes are not logged.
    pub(crate) fn refuse_unlogged(&self, database: &str) -> Result<()> {
        if !self.unlogged {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Schema, "an unlogged table has no log to read")
            .context("table", self.id(database))
            .hint(format!("run ALTER TABLE {} SET LOGGED", qualified(&self.schema, &self.table))))
    }
}

/// The tables that the selection matches, less partitions of others among them. One query.
pub(crate) async fn find_tables(
    client: &Client,
    server: &ServerInfo,
    selection: &TableSelection,
) -> Result<Vec<Found>> {
    let statement = "SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relpersistence <> 'p', c.relreplident, \
         CASE WHEN c.relispartition THEN (SELECT string_agg(a.relid::oid::text, ',') \
          FROM pg_catalog.pg_partition_ancestors(c.oid) a WHERE a.relid <> c.oid) END, \
         pg_catalog.pg_relation_filenode(c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' ORDER BY 2, 3";
    let mut found = Vec::new();
    for row in query(client, statement, "listing tables").await? {
        let table = Found {
            oid: parsed(&row, 0)?,
            schema: text(&row, 1).to_owned(),
            table: text(&row, 2).to_owned(),
            partitioned: is_true(&row, 3),
            unlogged: is_true(&row, 4),
            identity: text(&row, 5).chars().next().unwrap_or('d'),
            roots: text(&row, 6).split(',').filter_map(|oid| oid.parse().ok()).collect(),
            filenode: optional(&row, 7).and_then(|number| number.parse().ok()),
        };
        if selection.matches(&table.id(&server.database)) {
            found.push(table);
        }
    }
    // Rows of a partition come as rows of the partitioned table.
    let oids: Vec<u32> = found.iter().map(|table| table.oid).collect();
    found.retain(|table| !table.roots.iter().any(|root| oids.contains(root)));
    Ok(found)
}

/// The tables that the job captures, by oid and name.
pub(crate) async fn list_tables(
    client: &Client,
    server: &ServerInfo,
    selection: &TableSelection,
) -> Result<Vec<(u32, TableId)>> {
    let found = find_tables(client, server, selection).await?;
    Ok(found.iter().map(|table| (table.oid, table.id(&server.database))).collect())
}

/// The definitions of all captured tables. Errors with `Schema` when a rule is met by no table.
pub(crate) async fn read_tables(
    client: &Client,
    server: &ServerInfo,
    selection: &TableSelection,
    published: &Published,
) -> Result<Vec<TableDef>> {
    let found = find_tables(client, server, selection).await?;
    refuse_unmet(server, selection, &found)?;
    describe(client, server, &found, published).await
}

/// Refuses a rule that no table meets.
pub(crate) fn refuse_unmet(server: &ServerInfo, selection: &TableSelection, found: &[Found]) -> Result<()> {
    let ids: Vec<TableId> = found.iter().map(|table| table.id(&server.database)).collect();
    let unmet = selection.unmet(&ids);
    if unmet.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Schema,
        format!("no table of database '{}' matches {}", server.database, unmet.join(", ")),
    )
    .hint("names are `database.schema.table` or `schema.table`, in the letters the server has"))
}

/// The definition of one table, by its oid; `None` when it is gone.
pub(crate) async fn read_table(
    client: &Client,
    server: &ServerInfo,
    oid: u32,
    published: &Published,
) -> Result<Option<TableDef>> {
    let statement = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relpersistence <> 'p', c.relreplident, \
         pg_catalog.pg_relation_filenode(c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {oid}"
    );
    let rows = query(client, &statement, "reading a table's definition").await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let found = Found {
        oid: parsed(row, 0)?,
        schema: text(row, 1).to_owned(),
        table: text(row, 2).to_owned(),
        partitioned: is_true(row, 3),
        unlogged: is_true(row, 4),
        identity: text(row, 5).chars().next().unwrap_or('d'),
        roots: Vec::new(),
        filenode: optional(row, 6).and_then(|number| number.parse().ok()),
    };
    Ok(describe(client, server, &[found], published).await?.pop())
}

/// The definitions of tables. One that is not logged is refused.
pub(crate) async fn describe(
    client: &Client,
    server: &ServerInfo,
    found: &[Found],
    published: &Published,
) -> Result<Vec<TableDef>> {
    let mut defs = Vec::with_capacity(found.len());
    for part in found.chunks(TABLES_PER_QUERY) {
        let oids: Vec<String> = part.iter().map(|table| table.oid.to_string()).collect();
        let oids = oids.join(", ");
        let mut columns = read_columns(client, server, &oids).await?;
        let keys = read_keys(client, &oids).await?;
        for table in part {
            table.refuse_unlogged(&server.database)?;
            let of_table = published.table(&table.schema, &table.table);
            let listed = of_table.and_then(|table| table.columns.as_ref());
            let columns = columns.remove(&table.oid).unwrap_or_default().into_iter();
            let columns: Vec<ColumnDef> = columns
                .filter(|(column, computed)| {
                    let named = listed.is_some_and(|names| names.contains(&column.name));
                    match computed {
                        Computed::Not => listed.is_none() || named,
                        // A column list decides alone.
                        Computed::Stored => named || (listed.is_none() && published.generated),
                        Computed::Virtual => false,
                    }
                })
                .map(|(column, _)| column)
                .collect();
            let (key, identity) = identity_of(client, table, &keys, published)
                .await
                .map_err(|error| error.context("table", table.id(&server.database)))?;
            defs.push(TableDef {
                oid: table.oid,
                database: server.database.clone(),
                schema: table.schema.clone(),
                table: table.table.clone(),
                columns,
                key,
                identity,
                partitioned: table.partitioned,
                listed: listed.is_some(),
                filter: of_table.and_then(|table| table.filter.clone()),
                filenode: table.filenode,
            });
        }
    }
    Ok(defs)
}

/// Key columns of tables: of the primary key, and of the index that is the replica identity.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) primary: Vec<String>,
    identity: Vec<String>,
}

pub(crate) async fn read_keys(client: &Client, oids: &str) -> Result<HashMap<u32, Keys>> {
    let statement = format!(
        "SELECT i.indrelid, i.indisprimary, i.indisreplident, a.attname FROM pg_catalog.pg_index i \
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indrelid IN ({oids}) AND (i.indisprimary OR i.indisreplident) AND k.place <= i.indnkeyatts \
         ORDER BY i.indexrelid, k.place"
    );
    let mut keys: HashMap<u32, Keys> = HashMap::new();
    for row in query(client, &statement, "reading keys").await? {
        let of_table = keys.entry(parsed(&row, 0)?).or_default();
        let name = text(&row, 3);
        if is_true(&row, 1) {
            of_table.primary.push(name.to_owned());
        }
        if is_true(&row, 2) {
            of_table.identity.push(name.to_owned());
        }
    }
    Ok(keys)
}

/// The key, and what of old rows the log tells.
async fn identity_of(
    client: &Client,
    table: &Found,
    keys: &HashMap<u32, Keys>,
    published: &Published,
) -> Result<(Vec<String>, Identity)> {
    let none = Keys::default();
    let keys = keys.get(&table.oid).unwrap_or(&none);
    let key = if table.identity == 'i' { keys.identity.clone() } else { keys.primary.clone() };
    let identity = if table.partitioned {
        // Rows are logged by the partitions, each with its own identity.
        leaf_identity(client, table.oid, &key, published.update).await?
    } else {
        match table.identity {
            'f' => Identity::Full,
            'd' | 'i' if !key.is_empty() => Identity::Key,
            _ => Identity::Nothing,
        }
    };
    let identity = if identity == Identity::Key && key.is_empty() { Identity::Nothing } else { identity };
    Ok((key, identity))
}

/// Whether a column `a` of the catalog holds no NULL. From 18 on a constraint that was not validated is one,
/// too, and says nothing about the rows that are there.
pub(crate) const NOT_NULL: &str = "(a.attnotnull AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint v \
    WHERE v.conrelid = a.attrelid AND v.contype = 'n' AND v.conkey = ARRAY[a.attnum] AND NOT v.convalidated))";

/// Whether the server computes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Computed {
    Not,
    Stored,
    /// When it is read (from 18 on): never in the log.
    Virtual,
}

/// Columns of tables, each with whether it is generated.
async fn read_columns(
    client: &Client,
    server: &ServerInfo,
    oids: &str,
) -> Result<BTreeMap<u32, Vec<(ColumnDef, Computed)>>> {
    let statement = format!(
        "SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod, {NOT_NULL}, a.attgenerated, \
         pg_catalog.format_type(a.atttypid, a.atttypmod), a.attcollation = 0, a.attcollation = 100, \
         coalesce(co.collnamespace = 11 AND co.collname IN ('C', 'POSIX', 'ucs_basic'), false) \
         FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation \
         WHERE a.attrelid IN ({oids}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"
    );
    let rows = query(client, &statement, "reading columns").await?;
    let mut wanted = Vec::with_capacity(rows.len());
    for row in &rows {
        wanted.push(parsed::<u32>(row, 3)?);
    }
    let types = read_types(client, wanted).await?;
    let mut tables: BTreeMap<u32, Vec<(ColumnDef, Computed)>> = BTreeMap::new();
    for row in &rows {
        let (type_oid, typmod) = (parsed(row, 3)?, parsed(row, 4)?);
        let kind = PgType::resolve(type_oid, typmod, &|oid| types.get(&oid));
        // Enums have no collation and sort by the order of their labels.
        let by_type = is_true(row, 8) && !matches!(kind, PgType::Text | PgType::Char);
        let is_name = type_oid == 19;
        let bytes = is_true(row, 10) || (is_true(row, 9) && server.bytewise) || is_name;
        // citext compares in lower case, whatever its collation.
        let is_own_order =
            type_oid >= FIRST_USER_OID && types.get(&type_oid).is_some_and(|info| info.kind != 'd');
        let column = ColumnDef {
            name: text(row, 1).to_owned(),
            number: parsed(row, 2)?,
            type_oid,
            typmod,
            kind,
            declaration: text(row, 7).to_owned(),
            nullable: !is_true(row, 5),
            bytewise: by_type || (bytes && server.utf8 && !is_own_order && !over_own_order(&types, type_oid)),
        };
        let computed = match text(row, 6) {
            "" => Computed::Not,
            "s" => Computed::Stored,
            _ => Computed::Virtual,
        };
        tables.entry(parsed(row, 0)?).or_default().push((column, computed));
    }
    Ok(tables)
}

/// Oids below are the server's own (`FirstNormalObjectId` in the server).
const FIRST_USER_OID: u32 = 16_384;

/// Whether a domain is over a type with an order of its own.
fn over_own_order(types: &HashMap<u32, TypeInfo>, oid: u32) -> bool {
    let mut oid = oid;
    // Domains over domains; the server itself has no cycles.
    for _ in 0..64 {
        match types.get(&oid) {
            Some(info) if info.kind == 'd' => oid = info.base,
            Some(_) => return oid >= FIRST_USER_OID,
            None => return false,
        }
    }
    true
}

/// What is known about types that are not built in, and what they are over.
pub(crate) async fn read_types(client: &Client, oids: Vec<u32>) -> Result<HashMap<u32, TypeInfo>> {
    let mut known: HashMap<u32, TypeInfo> = HashMap::new();
    let mut wanted = oids;
    loop {
        wanted.retain(|oid| *oid >= FIRST_USER_OID && !known.contains_key(oid));
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(known);
        }
        let list: Vec<String> = wanted.iter().map(u32::to_string).collect();
        let statement = format!(
            "SELECT oid, typname, typtype, typbasetype, typtypmod FROM pg_catalog.pg_type WHERE oid IN ({})",
            list.join(", ")
        );
        let rows = query(client, &statement, "reading types").await?;
        let mut next = Vec::new();
        for row in &rows {
            let info = TypeInfo {
                oid: parsed(row, 0)?,
                name: text(row, 1).to_owned(),
                kind: text(row, 2).chars().next().unwrap_or('b'),
                base: parsed(row, 3)?,
                base_typmod: parsed(row, 4)?,
            };
            next.push(info.base);
            known.insert(info.oid, info);
        }
        wanted = next;
    }
}

/// How the server writes these types.
pub(crate) async fn declarations(client: &Client, types: &[(u32, i32)]) -> Result<Vec<String>> {
    let list: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(place, (oid, typmod))| format!("({place}, {oid}::oid, {typmod})"))
        .collect();
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let statement = format!(
        "SELECT pg_catalog.format_type(t.oid, t.typmod) FROM (VALUES {}) AS t (place, oid, typmod) ORDER BY t.place",
        list.join(", ")
    );
    let rows = query(client, &statement, "reading types").await?;
    Ok(rows.iter().map(|row| text(row, 0).to_owned()).collect())
}

/// The numbers of the files that hold the rows of tables.
pub(crate) async fn read_files(client: &Client, oids: impl Iterator<Item = &u32>) -> Result<Vec<(u32, u32)>> {
    let oids: Vec<String> = oids.map(u32::to_string).collect();
    let statement = format!(
        "SELECT oid, pg_catalog.pg_relation_filenode(oid) FROM pg_catalog.pg_class WHERE oid IN ({}) \
         AND pg_catalog.pg_relation_filenode(oid) IS NOT NULL",
        oids.join(", ")
    );
    let rows = query(client, &statement, "reading the files of tables").await?;
    rows.iter().map(|row| Ok((parsed(row, 0)?, parsed(row, 1)?))).collect()
}

/// The planner's idea of how many rows a table has.
pub(crate) async fn estimated_rows(client: &Client, id: &TableId) -> Result<u64> {
    let statement = format!(
        "SELECT coalesce(sum(greatest(l.reltuples, 0)), 0)::bigint FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         CROSS JOIN LATERAL (SELECT c.oid UNION SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t) AS part (oid) \
         JOIN pg_catalog.pg_class l ON l.oid = part.oid AND l.relkind = 'r' \
         WHERE n.nspname = {} AND c.relname = {}",
        literal(id.schema.as_deref().unwrap_or_default()),
        literal(&id.table)
    );
    let rows = query(client, &statement, "estimating a table's rows").await?;
    Ok(rows.first().and_then(|row| text(row, 0).parse().ok()).unwrap_or(0))
}

/// The end of the log: behind everything that a read view opened before shows.
pub(crate) async fn log_end(client: &Client, server: &ServerInfo) -> Result<Lsn> {
    let rows =
        query(client, "SELECT pg_catalog.pg_current_wal_insert_lsn()", "asking for the end of the log")
            .await?;
    let row =
        rows.first().ok_or_else(|| Error::new(ErrorKind::Corrupt, "the server tells no end of its log"))?;
    Ok(server.behind_record(text(row, 0).parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_databases_own_collation_may_go_by_bytes() {
        assert!(is_bytewise("c", "", "C") && is_bytewise("", "", "POSIX"));
        assert!(is_bytewise("b", "C.UTF-8", "de_DE.UTF-8") && !is_bytewise("b", "PG_UNICODE_FAST", "C"));
        assert!(!is_bytewise("c", "", "C.UTF-8") && !is_bytewise("i", "C", "C"));
    }
}
