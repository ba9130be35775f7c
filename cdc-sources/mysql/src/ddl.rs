//! What a statement in the binlog does to the tables, as far as decoding rows needs it.
//!
//! Rows are decoded with the shape their table had at their position. Where the server's table maps
//! carry no names (`binlog_row_metadata` is `MINIMAL`, or MariaDB's default `NO_LOG`), that shape is
//! tracked by following the statements the binlog itself holds: [`parse()`] reads one, [`apply()`]
//! changes one table's definition by an `ALTER TABLE`, and [`apply_statement`] keeps a whole
//! [`Catalog`] current and says what happened to which table.
//!
//! The parser is tolerant on purpose. It knows the table statements of MySQL 5.5 to 9 and MariaDB
//! 10 to 12 to the depth that names, order, types, character sets and keys of columns need, and
//! passes over everything else by balanced tokens. What it cannot make sense of becomes
//! [`Statement::Unknown`], and a tracked table touched by such a statement [`Effect::NeedsReread`]:
//! a guess would put values into the wrong columns. Time is linear in the statement's length, depth
//! of nesting costs nothing, and no input makes it panic.
//!
//! Two kinds of MariaDB tables have more columns in their table maps than in any definition, always
//! behind the others: a system-versioned table without written period columns carries two
//! `timestamp(6)` ([`TableDef::hidden_period`]), and a unique key over a column without a length
//! limit carries one `bigint` hash.

use serde::{Deserialize, Serialize};

mod alter;
mod apply;
mod character_set;
mod column;
mod column_spec;
mod column_type;
mod create;
mod cursor;
mod lexer;
mod parse;
mod statement;
mod track;

#[cfg(test)]
mod tests;

pub use apply::{ApplyError, Changed, apply};
pub use character_set::{CharsetClause, charset_of_collation, normal_charset, normal_collation};
pub use column_spec::ColumnSpec;
pub use parse::parse;
pub use statement::{AlterAction, AlterTable, CreateTable, DmlKind, Place, Statement, XaVerb};
pub use track::{Catalog, Effect, MemoryCatalog, apply_statement};

/// Columns a table can have; both servers stop at this number.
pub const COLUMNS_MAX: usize = 4096;
/// Keys a table can have here; the servers stop at 64 and 128.
pub const KEYS_MAX: usize = 256;
/// Actions one `ALTER TABLE` can have here: every column dropped and as many added.
pub const ACTIONS_MAX: usize = 2 * COLUMNS_MAX + KEYS_MAX;

/// The bits of `sql_mode` that change how a statement reads.
mod sql_mode {
    pub(super) const REAL_AS_FLOAT: u64 = 1;
    pub(super) const ANSI_QUOTES: u64 = 1 << 2;
    pub(super) const MARIADB_ORACLE: u64 = 1 << 9;
    pub(super) const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;
}

/// The session and server a statement ran on, as its event and the handshake tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Whether the server is a MariaDB.
    pub mariadb: bool,
    /// The server's version as 80036 or 101106; 0 when unknown, which reads as the newest.
    pub version: u32,
    /// The session's `sql_mode`, a bit set, from the event's status variables.
    pub sql_mode: u64,
    /// The session's `explicit_defaults_for_timestamp`: without it a TIMESTAMP column that says
    /// nothing else does not take NULL.
    pub explicit_defaults_for_timestamp: bool,
}

impl Default for ParseOptions {
    fn default() -> ParseOptions {
        ParseOptions { mariadb: false, version: 0, sql_mode: 0, explicit_defaults_for_timestamp: true }
    }
}

impl ParseOptions {
    /// A MariaDB of the newest version, with the default modes.
    pub fn mariadb() -> ParseOptions {
        ParseOptions { mariadb: true, ..ParseOptions::default() }
    }

    /// Whether double quotes enclose identifiers.
    pub fn ansi_quotes(&self) -> bool {
        self.sql_mode & sql_mode::ANSI_QUOTES != 0
    }

    /// Whether a backslash escapes the next character of a string.
    pub fn backslash_escapes(&self) -> bool {
        self.sql_mode & sql_mode::NO_BACKSLASH_ESCAPES == 0
    }

    fn real_as_float(&self) -> bool {
        self.sql_mode & sql_mode::REAL_AS_FLOAT != 0
    }

    fn oracle(&self) -> bool {
        self.mariadb && self.sql_mode & sql_mode::MARIADB_ORACLE != 0
    }

    /// Whether `information_schema` shows display widths of integers. MySQL 8.0.19 stopped to.
    fn shows_widths(&self) -> bool {
        self.mariadb || (self.version != 0 && self.version < 80_019)
    }
}

/// A table with its database, spelled as the statement does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The database; the session's default one when the statement names none.
    pub database: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// The name of a table in a database.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> TableName {
        TableName { database: database.into(), table: table.into() }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// One column as `information_schema.COLUMNS` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// The name as written.
    pub name: String,
    /// `COLUMN_TYPE`: lower case, for example `int(10) unsigned` or `enum('a','b')`.
    pub column_type: String,
    /// The character set of a text, enum or set column; `None` for other types, and while the
    /// database's default is not known.
    pub charset: Option<String>,
    /// The collation when a clause named one; `None` stands for the character set's default.
    pub collation: Option<String>,
    /// Whether NULL may occur.
    pub nullable: bool,
    /// Whether the server computes the value. Row events carry it like any other.
    pub generated: bool,
}

/// A unique key other than the primary one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueKey {
    /// The index's name.
    pub name: String,
    /// Its columns in key order.
    pub columns: Vec<String>,
}

/// One table's shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDef {
    /// The database.
    pub database: String,
    /// The table's own name.
    pub table: String,
    /// The columns in the order row events have them.
    pub columns: Vec<ColumnDef>,
    /// The primary key's columns in key order; empty without one.
    pub primary_key: Vec<String>,
    /// The other unique keys whose parts are all columns.
    pub unique_keys: Vec<UniqueKey>,
    /// The table's default character set; `None` while the database's default is not known.
    pub default_charset: Option<String>,
    /// The table's default collation where one was named.
    #[serde(default)]
    pub default_collation: Option<String>,
    /// Whether the table is system-versioned under hidden period columns (MariaDB): its table maps
    /// have two `timestamp(6)` columns, the period's start and end, behind the ones listed here.
    #[serde(default)]
    pub hidden_period: bool,
}

impl TableDef {
    /// The table's full name.
    pub fn name(&self) -> TableName {
        TableName::new(&self.database, &self.table)
    }

    /// The place of a column, names compared without regard to letter case.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| same_name(&column.name, name))
    }

    fn renamed(mut self, name: &TableName) -> TableDef {
        self.database.clone_from(&name.database);
        self.table.clone_from(&name.table);
        self
    }
}

/// Whether two column or index names mean the same.
fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
        || (!left.is_ascii() && !right.is_ascii() && left.to_lowercase() == right.to_lowercase())
}
