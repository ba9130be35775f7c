//! What statements of the log do to the shapes of tables.

use std::collections::{BTreeMap, BTreeSet};

use culvert_api::{Result, TableId};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::connect::{Flavor, ServerInfo};
use crate::ddl::{
    Catalog, Effect, MemoryCatalog, ParseOptions, Statement, TableDef, TableName, apply_statement, parse,
};
use crate::error::from_client;

/// Definitions kept beside the captured ones, for tools that build a table under another name and
/// rename it. Past this many, new ones are not kept; a rename then makes the source read the
/// catalog again.
const TRACKED_MAX: usize = 10_000;

/// The catalog as of the stream's position, for the databases that have captured tables.
#[derive(Debug)]
pub(crate) struct Shapes {
    catalog: MemoryCatalog,
    databases: BTreeSet<String>,
    charsets: BTreeMap<String, String>,
    options: ParseOptions,
    tracked: usize,
}

impl Shapes {
    /// `tables` are the definitions known at the position, captured or not.
    pub(crate) fn new(
        server: &ServerInfo,
        charsets: BTreeMap<String, String>,
        tables: impl Iterator<Item = TableDef>,
    ) -> Shapes {
        let options = ParseOptions {
            mariadb: server.flavor == Flavor::MariaDb,
            version: version_number(&server.version),
            ..ParseOptions::default()
        };
        let mut shapes = Shapes {
            catalog: MemoryCatalog::new(None, false),
            databases: BTreeSet::new(),
            charsets,
            options,
            tracked: 0,
        };
        for (database, charset) in shapes.charsets.clone() {
            shapes.catalog.set_database_charset(&database, Some(charset));
        }
        for def in tables {
            shapes.follow(def);
        }
        shapes
    }

    /// Every definition, for the checkpoint.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableDef> {
        self.catalog.tables()
    }

    /// Default character sets of databases, for the checkpoint.
    pub(crate) fn charsets(&self) -> BTreeMap<String, String> {
        let known =
            |name: &String| self.catalog.database_charset(name).map(|charset| (name.clone(), charset));
        self.charsets.keys().filter_map(known).collect()
    }

    /// Reads a statement and applies it.
    pub(crate) fn apply(
        &mut self,
        sql: &[u8],
        schema: &str,
        sql_mode: Option<u64>,
    ) -> (Statement, Vec<Effect>) {
        let text = String::from_utf8_lossy(sql);
        let options = ParseOptions { sql_mode: sql_mode.unwrap_or(0), ..self.options.clone() };
        let statement = parse(&text, schema, &options);
        let effects = apply_statement(self, &statement);
        (statement, effects)
    }

    /// Follows a table from now on, and the statements in its database.
    pub(crate) fn follow(&mut self, def: TableDef) {
        self.databases.insert(def.database.clone());
        self.put(def);
    }

    /// Puts in a definition that was read from the server.
    pub(crate) fn replace(&mut self, def: TableDef) {
        self.put(def);
    }
}

impl Catalog for Shapes {
    fn get(&self, table: &TableName) -> Option<&TableDef> {
        self.catalog.get(table)
    }

    fn put(&mut self, table: TableDef) {
        if self.catalog.get(&table.name()).is_none() {
            if self.tracked >= TRACKED_MAX && !self.databases.is_empty() {
                return;
            }
            self.tracked += 1;
        }
        self.catalog.put(table);
    }

    fn remove(&mut self, table: &TableName) -> Option<TableDef> {
        let removed = self.catalog.remove(table);
        if removed.is_some() {
            self.tracked -= 1;
        }
        removed
    }

    fn tables_of(&self, database: &str) -> Vec<TableName> {
        self.catalog.tables_of(database)
    }

    fn database_charset(&self, database: &str) -> Option<String> {
        self.catalog.database_charset(database)
    }

    fn set_database_charset(&mut self, database: &str, charset: Option<String>) {
        if self.databases.contains(database) {
            self.catalog.set_database_charset(database, charset);
        }
    }

    fn tracks(&self, table: &TableName) -> bool {
        self.databases.contains(&table.database)
    }
}

/// Default character sets of all databases.
pub(crate) async fn database_charsets(conn: &mut Conn) -> Result<BTreeMap<String, String>> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = conn
        .query("SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA")
        .await
        .map_err(|error| from_client(error, "reading the character sets of databases"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(rows.into_iter().map(|(name, charset)| (text(name), text(charset))).collect())
}

/// The table's name as the rest of the service writes it.
pub(crate) fn id_of(table: &TableName) -> TableId {
    TableId::new(&table.database, &table.table)
}

/// 8.0.36 as 80036.
fn version_number(version: &str) -> u32 {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0).min(99);
    next() * 10_000 + next() * 100 + next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version_number("8.0.36"), 80_036);
        assert_eq!(version_number("10.11.19-MariaDB-0+deb12u1-log"), 101_119);
        assert_eq!(version_number(""), 0);
    }
}
