//! A catalog of table definitions, kept current by the statements of the binlog.

use std::collections::BTreeMap;

use super::apply::{Changed, apply};
use super::character_set::normal_charset;
use super::{AlterAction, AlterTable, CharsetClause, CreateTable, Statement, TableDef, TableName};

/// Where table definitions are kept. How names compare (`lower_case_table_names`) is its business.
pub trait Catalog {
    /// The table's definition, if it is known.
    fn get(&self, table: &TableName) -> Option<&TableDef>;
    /// Keeps a definition, in place of an older one of that name.
    fn put(&mut self, table: TableDef);
    /// Forgets a definition.
    fn remove(&mut self, table: &TableName) -> Option<TableDef>;
    /// The known tables of a database.
    fn tables_of(&self, database: &str) -> Vec<TableName>;
    /// The default character set of a database, if it is known.
    fn database_charset(&self, database: &str) -> Option<String>;
    /// A database was created or altered; `None` stands for the server's default.
    fn set_database_charset(&mut self, database: &str, charset: Option<String>);
    /// Whether this table's definition is to be kept. Say yes to every table of a captured
    /// database: tools for online schema changes build a table under another name and rename it.
    fn tracks(&self, table: &TableName) -> bool;
}

/// What a statement did to one table.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A new table.
    Created {
        /// Its definition.
        after: TableDef,
    },
    /// A changed table; the two names differ when it was renamed.
    Altered {
        /// The definition before.
        before: TableDef,
        /// The definition after.
        after: TableDef,
        /// How much of it changed.
        changed: Changed,
    },
    /// A table is gone, and its rows with it.
    Dropped {
        /// Its name.
        table: TableName,
        /// Its definition; without one it may never have existed (`DROP … IF EXISTS`).
        before: Option<TableDef>,
    },
    /// Rows came or went without row events: `TRUNCATE`, or a partition dropped or exchanged.
    RowsMoved {
        /// The table.
        table: TableName,
        /// All its rows are gone: `TRUNCATE TABLE`.
        emptied: bool,
    },
    /// The definition cannot be told from the statement and is forgotten. Read it from
    /// `information_schema`, or rely on the next table map's metadata.
    NeedsReread {
        /// The table; `None` when it may be any.
        table: Option<TableName>,
        /// Why, for the log: lower case, without values.
        reason: String,
    },
}

/// Applies a statement to the catalog and returns what it did to the tables tracked there, in the
/// order it happened. No effects: the statement is of no consequence to any of them.
pub fn apply_statement(catalog: &mut impl Catalog, statement: &Statement) -> Vec<Effect> {
    let mut effects = Vec::new();
    match statement {
        Statement::CreateTable(create) => create_table(catalog, create, &mut effects),
        Statement::AlterTable(alter) | Statement::CreateIndex(alter) | Statement::DropIndex(alter) => {
            alter_table(catalog, alter, &mut effects);
        }
        Statement::DropTable { tables, temporary: false } => {
            for table in tables {
                drop_table(catalog, table, &mut effects);
            }
        }
        Statement::RenameTable { pairs } => {
            for (from, to) in pairs {
                rename_table(catalog, from, to, &mut effects);
            }
        }
        Statement::TruncateTable { table } => rows_moved(catalog, table, true, &mut effects),
        Statement::CreateDatabase { name, charset, if_not_exists, or_replace } => {
            if *or_replace {
                drop_database(catalog, name, &mut effects);
            }
            if !(*if_not_exists && catalog.database_charset(name).is_some()) {
                catalog.set_database_charset(name, own_charset(charset));
            }
        }
        Statement::AlterDatabase { name, charset } => {
            if charset.written {
                catalog.set_database_charset(name, own_charset(charset));
            }
        }
        Statement::DropDatabase { name } => drop_database(catalog, name, &mut effects),
        Statement::Unknown { tables } => {
            for table in tables {
                reread(catalog, table, "the statement could not be understood", &mut effects);
            }
            if tables.is_empty() {
                let reason = "the statement could not be understood".to_owned();
                effects.push(Effect::NeedsReread { table: None, reason });
            }
        }
        Statement::DropTable { temporary: true, .. }
        | Statement::Dml { .. }
        | Statement::Begin
        | Statement::Commit
        | Statement::Rollback { .. }
        | Statement::Savepoint
        | Statement::Xa { .. }
        | Statement::Other => {}
    }
    effects
}

fn own_charset(clause: &CharsetClause) -> Option<String> {
    clause.or_default(None, None).charset
}

fn reread(catalog: &mut impl Catalog, table: &TableName, reason: &str, effects: &mut Vec<Effect>) {
    catalog.remove(table);
    if catalog.tracks(table) {
        effects.push(Effect::NeedsReread { table: Some(table.clone()), reason: reason.to_owned() });
    }
}

fn rows_moved(catalog: &impl Catalog, table: &TableName, emptied: bool, effects: &mut Vec<Effect>) {
    if catalog.tracks(table) {
        effects.push(Effect::RowsMoved { table: table.clone(), emptied });
    }
}

fn drop_table(catalog: &mut impl Catalog, table: &TableName, effects: &mut Vec<Effect>) {
    let before = catalog.remove(table);
    if before.is_some() || catalog.tracks(table) {
        effects.push(Effect::Dropped { table: table.clone(), before });
    }
}

fn drop_database(catalog: &mut impl Catalog, database: &str, effects: &mut Vec<Effect>) {
    for table in catalog.tables_of(database) {
        drop_table(catalog, &table, effects);
    }
}

/// Keeps a definition under its name and reports it.
fn created(catalog: &mut impl Catalog, after: TableDef, effects: &mut Vec<Effect>) {
    catalog.put(after.clone());
    effects.push(Effect::Created { after });
}

fn create_table(catalog: &mut impl Catalog, create: &CreateTable, effects: &mut Vec<Effect>) {
    let table = &create.table;
    if create.temporary || !catalog.tracks(table) {
        return;
    }
    if catalog.get(table).is_some() {
        if create.if_not_exists {
            return;
        }
        if create.or_replace {
            drop_table(catalog, table, effects);
        }
    }
    if let Some(like) = &create.like {
        match catalog.get(like).cloned() {
            Some(source) => created(catalog, source.renamed(table), effects),
            None => reread(catalog, table, "it was created like a table that is not tracked", effects),
        }
    } else if create.as_select {
        reread(catalog, table, "it was created from a query", effects);
    } else {
        let charset = catalog.database_charset(&table.database);
        created(catalog, create.definition(charset.as_deref()), effects);
    }
}

fn rename_table(catalog: &mut impl Catalog, from: &TableName, to: &TableName, effects: &mut Vec<Effect>) {
    match catalog.remove(from) {
        Some(before) => {
            let after = before.clone().renamed(to);
            if catalog.tracks(to) {
                catalog.put(after.clone());
            }
            effects.push(Effect::Altered { before, after, changed: Changed::Definition });
        }
        None => {
            if catalog.tracks(from) {
                effects.push(Effect::Dropped { table: from.clone(), before: None });
            }
            reread(catalog, to, "it was renamed from a table that is not tracked", effects);
        }
    }
}

fn alter_table(catalog: &mut impl Catalog, alter: &AlterTable, effects: &mut Vec<Effect>) {
    let name = &alter.table;
    let new_name = alter.actions.iter().rev().find_map(|action| match action {
        AlterAction::RenameTable { to } => Some(to),
        _ => None,
    });
    match catalog.get(name).cloned() {
        None if alter.actions.is_empty() => {}
        None => {
            if let Some(to) = new_name {
                rename_table(catalog, name, to, effects);
            } else {
                reread(catalog, name, "it was altered while its definition was not known", effects);
            }
        }
        Some(before) => {
            let charset = catalog.database_charset(&name.database);
            let mut after = before.clone();
            match apply(&mut after, alter, charset.as_deref()) {
                Ok(Changed::Nothing) => {}
                Ok(changed) => {
                    catalog.remove(name);
                    if catalog.tracks(&after.name()) {
                        catalog.put(after.clone());
                    }
                    effects.push(Effect::Altered { before, after, changed });
                }
                Err(error) => {
                    if let Some(to) = new_name {
                        catalog.remove(name);
                        reread(catalog, to, &error.to_string(), effects);
                    }
                    reread(catalog, name, &error.to_string(), effects);
                }
            }
        }
    }
    partitions(catalog, alter, effects);
}

/// What partition actions do to the rows of this and other tables.
fn partitions(catalog: &mut impl Catalog, alter: &AlterTable, effects: &mut Vec<Effect>) {
    for action in &alter.actions {
        match action {
            AlterAction::MoveRows { other } => {
                rows_moved(catalog, &alter.table, false, effects);
                if let Some(other) = other {
                    rows_moved(catalog, other, false, effects);
                }
            }
            AlterAction::SplitOff { to } => {
                rows_moved(catalog, &alter.table, false, effects);
                match catalog.get(&alter.table).cloned() {
                    Some(source) if catalog.tracks(to) => created(catalog, source.renamed(to), effects),
                    _ => reread(catalog, to, "it was split off a table that is not tracked", effects),
                }
            }
            AlterAction::Absorb { from } => {
                drop_table(catalog, from, effects);
                rows_moved(catalog, &alter.table, false, effects);
            }
            _ => {}
        }
    }
}

/// A catalog in memory that tracks every table.
#[derive(Clone, Debug, Default)]
pub struct MemoryCatalog {
    tables: BTreeMap<TableName, TableDef>,
    databases: BTreeMap<String, Option<String>>,
    server_charset: Option<String>,
    ignore_case: bool,
}

impl MemoryCatalog {
    /// An empty catalog. `server_charset` is the default of databases that name none;
    /// `ignore_case` compares names without regard to letter case (`lower_case_table_names` of 1
    /// or 2).
    pub fn new(server_charset: Option<&str>, ignore_case: bool) -> MemoryCatalog {
        MemoryCatalog {
            tables: BTreeMap::new(),
            databases: BTreeMap::new(),
            server_charset: server_charset.map(normal_charset),
            ignore_case,
        }
    }

    /// All definitions, by name.
    pub fn tables(&self) -> impl Iterator<Item = &TableDef> {
        self.tables.values()
    }

    fn folded(&self, name: &str) -> String {
        if self.ignore_case { name.to_lowercase() } else { name.to_owned() }
    }

    fn key(&self, table: &TableName) -> TableName {
        TableName::new(self.folded(&table.database), self.folded(&table.table))
    }
}

impl Catalog for MemoryCatalog {
    fn get(&self, table: &TableName) -> Option<&TableDef> {
        self.tables.get(&self.key(table))
    }

    fn put(&mut self, table: TableDef) {
        self.tables.insert(self.key(&table.name()), table);
    }

    fn remove(&mut self, table: &TableName) -> Option<TableDef> {
        self.tables.remove(&self.key(table))
    }

    fn tables_of(&self, database: &str) -> Vec<TableName> {
        let database = self.folded(database);
        self.tables
            .range(TableName::new(database.as_str(), "")..)
            .take_while(|(key, _)| key.database == database)
            .map(|(_, table)| table.name())
            .collect()
    }

    fn database_charset(&self, database: &str) -> Option<String> {
        let known = self.databases.get(&self.folded(database)).cloned().flatten();
        known.or_else(|| self.server_charset.clone())
    }

    fn set_database_charset(&mut self, database: &str, charset: Option<String>) {
        let database = self.folded(database);
        self.databases.insert(database, charset);
    }

    fn tracks(&self, _table: &TableName) -> bool {
        true
    }
}
