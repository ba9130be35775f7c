//! The captured tables as the server's catalog describes them, at a known place of the log.

use std::collections::BTreeMap;

use culvert_api::{Error, ErrorKind, Result, TableId};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::connect::{ServerInfo, log_end};
use crate::ddl::{ColumnDef, TableDef, UniqueKey, charset_of_collation};
use crate::error::from_client;
use crate::position::StreamPosition;
use crate::selection::TableSelection;

const DOING: &str = "reading the catalog";

/// Tables and the place of the log where exactly these definitions hold.
pub(crate) struct Catalog {
    pub(crate) tables: Vec<TableDef>,
    pub(crate) position: StreamPosition,
}

/// Quotes an identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Quotes a table's full name.
pub(crate) fn quote_table(id: &TableId) -> String {
    format!("{}.{}", quote(&id.database), quote(&id.table))
}

/// Every base table that the job captures.
pub(crate) async fn list_tables(conn: &mut Conn, selection: &TableSelection) -> Result<Vec<TableId>> {
    let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = conn
        .query(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES \
             WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_SCHEMA, TABLE_NAME",
        )
        .await
        .map_err(|error| from_client(error, "listing tables"))?;
    let mut existing = Vec::with_capacity(rows.len());
    for (database, table, table_type) in rows {
        let id = TableId::new(text(database), text(table));
        if table_type == b"SYSTEM VERSIONED" && selection.matches(&id) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "system-versioned tables are not supported: their row events hold hidden columns",
            )
            .context("table", &id)
            .hint("leave the table out of table-names"));
        }
        existing.push(id);
    }
    let unmet = selection.unmet(&existing);
    if !unmet.is_empty() {
        return Err(Error::new(ErrorKind::Schema, format!("no table matches '{}'", unmet.join("', '")))
            .hint("write table names as database.table, in the letter case the server shows, and check that the user may SELECT from them"));
    }
    Ok(existing.into_iter().filter(|id| selection.matches(id)).collect())
}

/// Reads definitions and the place of the log they hold at.
///
/// A metadata lock on every table, taken by a transaction that reads nothing, keeps DDL out while
/// both are read; writers are not blocked ("Metadata Locking" in the MySQL manual).
pub(crate) async fn read_catalog(
    conn: &mut Conn,
    server: &ServerInfo,
    selection: &TableSelection,
) -> Result<Catalog> {
    let ids = list_tables(conn, selection).await?;
    run(conn, "START TRANSACTION").await?;
    for id in &ids {
        run(conn, &format!("SELECT 1 FROM {} LIMIT 0", quote_table(id))).await?;
    }
    let position = log_end(conn, server).await?;
    let mut tables = Vec::with_capacity(ids.len());
    for id in &ids {
        tables.push(read_table(conn, id).await?);
    }
    run(conn, "COMMIT").await?;
    Ok(Catalog { tables, position })
}

async fn run(conn: &mut Conn, statement: &str) -> Result<()> {
    conn.query_drop(statement).await.map_err(|error| from_client(error, DOING))
}

type ColumnRow = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>, Vec<u8>);

/// One table's definition as of now.
pub(crate) async fn read_table(conn: &mut Conn, id: &TableId) -> Result<TableDef> {
    let columns: Vec<ColumnRow> = conn
        .exec(
            "SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, EXTRA \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
            (&id.database, &id.table),
        )
        .await
        .map_err(|error| from_client(error, DOING))?;
    if columns.is_empty() {
        return Err(Error::new(ErrorKind::Schema, format!("table {id} does not exist or may not be read")));
    }
    let keys: Vec<(Vec<u8>, Option<Vec<u8>>)> = conn
        .exec(
            "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
             ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            (&id.database, &id.table),
        )
        .await
        .map_err(|error| from_client(error, DOING))?;
    // A part without a column is an expression: such a key is unique over something else.
    let mut by_index: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for (index, column) in keys {
        let parts = by_index.entry(text(index)).or_insert_with(|| Some(Vec::new()));
        match (parts.as_mut(), column) {
            (Some(parts), Some(column)) => parts.push(text(column)),
            _ => *parts = None,
        }
    }
    let primary_key = by_index.remove("PRIMARY").flatten().unwrap_or_default();
    let default_collation: Option<Option<Vec<u8>>> = conn
        .exec_first(
            "SELECT TABLE_COLLATION FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
            (&id.database, &id.table),
        )
        .await
        .map_err(|error| from_client(error, DOING))?;
    let default_collation = default_collation.flatten().map(text);
    let columns = columns
        .into_iter()
        .map(|(name, column_type, charset, collation, nullable, extra)| {
            let extra = text(extra).to_ascii_uppercase();
            ColumnDef {
                name: text(name),
                column_type: text(column_type),
                charset: charset.map(text),
                collation: collation.map(text),
                nullable: text(nullable).eq_ignore_ascii_case("YES"),
                // DEFAULT_GENERATED marks an expression default, which is an ordinary column.
                generated: extra.contains("VIRTUAL")
                    || extra.contains("STORED")
                    || extra.contains("PERSISTENT"),
            }
        })
        .collect();
    Ok(TableDef {
        database: id.database.clone(),
        table: id.table.clone(),
        columns,
        primary_key,
        unique_keys: by_index
            .into_iter()
            .filter_map(|(name, columns)| columns.map(|columns| UniqueKey { name, columns }))
            .collect(),
        default_charset: default_collation.as_deref().and_then(charset_of_collation),
        default_collation,
        hidden_period: false,
    })
}

/// Rows in a table as the storage engine estimates them.
pub(crate) async fn estimated_rows(conn: &mut Conn, id: &TableId) -> Result<u64> {
    let rows: Option<Option<u64>> = conn
        .exec_first(
            "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
            (&id.database, &id.table),
        )
        .await
        .map_err(|error| from_client(error, DOING))?;
    Ok(rows.flatten().unwrap_or(0))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
