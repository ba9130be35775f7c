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
mod column_type;
mod create;
mod cursor;
mod lexer;
mod parse;
mod track;

#[cfg(test)]
mod tests;

pub use apply::{ApplyError, Changed, apply};
pub use character_set::{CharsetClause, charset_of_collation, normal_charset, normal_collation};
pub use column_type::ColumnSpec;
pub use parse::parse;
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

/// What a statement is.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `CREATE TABLE`
    CreateTable(CreateTable),
    /// `ALTER TABLE`
    AlterTable(AlterTable),
    /// `CREATE INDEX`, as the `ALTER TABLE` it stands for.
    CreateIndex(AlterTable),
    /// `DROP INDEX`, as the `ALTER TABLE` it stands for.
    DropIndex(AlterTable),
    /// `DROP TABLE`
    DropTable {
        /// All tables named.
        tables: Vec<TableName>,
        /// Only the session's temporary tables are meant.
        temporary: bool,
    },
    /// `RENAME TABLE`, pairs in the order they take effect.
    RenameTable {
        /// Old name, new name.
        pairs: Vec<(TableName, TableName)>,
    },
    /// `TRUNCATE TABLE`
    TruncateTable {
        /// The table that lost its rows.
        table: TableName,
    },
    /// `CREATE DATABASE`
    CreateDatabase {
        /// The database.
        name: String,
        /// Its default character set, as far as written.
        charset: CharsetClause,
        /// `IF NOT EXISTS`
        if_not_exists: bool,
        /// `OR REPLACE`: one of that name was dropped with its tables.
        or_replace: bool,
    },
    /// `ALTER DATABASE`
    AlterDatabase {
        /// The database.
        name: String,
        /// Its new default character set, as far as written.
        charset: CharsetClause,
    },
    /// `DROP DATABASE`
    DropDatabase {
        /// The database.
        name: String,
    },
    /// A data change logged as text: the server, or this session, uses `STATEMENT` format.
    Dml {
        /// Which statement.
        kind: DmlKind,
        /// The (first) table it changes, where one is named in the usual place.
        table: Option<TableName>,
    },
    /// `BEGIN`, `START TRANSACTION`
    Begin,
    /// `COMMIT`
    Commit,
    /// `ROLLBACK`
    Rollback {
        /// Only back to a savepoint; the transaction goes on.
        to_savepoint: bool,
    },
    /// `SAVEPOINT`, `RELEASE SAVEPOINT`
    Savepoint,
    /// `XA …`
    Xa {
        /// Which step.
        verb: XaVerb,
        /// The transaction's identifier as written, blanks taken out.
        xid: String,
    },
    /// Understood, and of no consequence to tables: `GRANT`, `CREATE VIEW`, `SET`, `ANALYZE` …
    Other,
    /// Not understood. With no table named it may concern any.
    Unknown {
        /// The tables it touches, as far as they could be read.
        tables: Vec<TableName>,
    },
}

/// The data changes that can be logged as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmlKind {
    /// `INSERT`
    Insert,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
    /// `REPLACE`
    Replace,
    /// `LOAD DATA`, `LOAD XML`
    Load,
    /// `CALL`, `DO` or `SELECT`: a routine with side effects.
    Call,
}

/// The steps of a distributed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XaVerb {
    /// `XA START`, `XA BEGIN`
    Start,
    /// `XA END`
    End,
    /// `XA PREPARE`
    Prepare,
    /// `XA COMMIT`
    Commit,
    /// `XA ROLLBACK`
    Rollback,
    /// `XA RECOVER`
    Recover,
}

/// A parsed `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    /// The new table.
    pub table: TableName,
    /// `IF NOT EXISTS`: nothing happens when the table is there.
    pub if_not_exists: bool,
    /// `OR REPLACE`: a table of that name is dropped first.
    pub or_replace: bool,
    /// Only this session sees it.
    pub temporary: bool,
    /// The columns as written; their character sets may still depend on the table's.
    pub columns: Vec<ColumnSpec>,
    /// The primary key's columns; empty without one.
    pub primary_key: Vec<String>,
    /// The other unique keys whose parts are all columns.
    pub unique_keys: Vec<UniqueKey>,
    /// The table whose definition is copied, for `LIKE`.
    pub like: Option<TableName>,
    /// A query fills the table and may add columns to those written.
    pub as_select: bool,
    /// `START TRANSACTION`: the rows of a `CREATE TABLE … SELECT` follow in the same transaction,
    /// without a `BEGIN` (MySQL 8.0.21 on).
    pub starts_transaction: bool,
    /// `WITH SYSTEM VERSIONING` without written period columns.
    pub hidden_period: bool,
    /// The default character set, as far as written.
    pub charset: CharsetClause,
}

impl CreateTable {
    /// The table this statement makes in a database of that default character set. Not meaningful
    /// for `LIKE` and for `as_select`.
    pub fn definition(&self, database_charset: Option<&str>) -> TableDef {
        let charset = self.charset.or_default(database_charset, None);
        let resolve =
            |column: &ColumnSpec| column.resolve(charset.charset.as_deref(), charset.collation.as_deref());
        let mut table = TableDef {
            database: self.table.database.clone(),
            table: self.table.table.clone(),
            columns: self.columns.iter().map(resolve).collect(),
            primary_key: self.primary_key.clone(),
            unique_keys: self.unique_keys.clone(),
            default_charset: charset.charset.clone(),
            default_collation: charset.collation.clone(),
            hidden_period: self.hidden_period,
        };
        apply::settle_keys(&mut table);
        table
    }
}

/// A parsed `ALTER TABLE`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterTable {
    /// The table, by its name before.
    pub table: TableName,
    /// `IF EXISTS`: nothing happens when the table is not there.
    pub if_exists: bool,
    /// The actions that concern the table's shape, in the order written.
    pub actions: Vec<AlterAction>,
}

/// Where a column goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    First,
    /// Right behind the named column.
    After(String),
}

/// One action of an `ALTER TABLE`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants' fields carry the statement's own words")]
pub enum AlterAction {
    /// `ADD COLUMN`
    AddColumn { column: ColumnSpec, if_not_exists: bool, place: Option<Place> },
    /// `DROP COLUMN`
    DropColumn { name: String, if_exists: bool },
    /// `CHANGE COLUMN`, and `MODIFY COLUMN` with equal names.
    ChangeColumn { name: String, column: ColumnSpec, if_exists: bool, place: Option<Place> },
    /// `RENAME COLUMN`
    RenameColumn { from: String, to: String, if_exists: bool },
    /// `ADD PRIMARY KEY`
    AddPrimaryKey { columns: Vec<String>, if_not_exists: bool },
    /// `DROP PRIMARY KEY`
    DropPrimaryKey,
    /// `ADD UNIQUE`; the server names the key when the statement does not.
    AddUnique { name: Option<String>, columns: Vec<String>, if_not_exists: bool, or_replace: bool },
    /// `DROP KEY`, `DROP CONSTRAINT`; names of other keys and constraints may come along.
    DropKey { name: String },
    /// `RENAME KEY`
    RenameKey { from: String, to: String },
    /// `CONVERT TO CHARACTER SET`; without a name, to the database's default.
    ConvertCharset(CharsetClause),
    /// `DEFAULT CHARACTER SET`, `COLLATE`: for columns added from now on.
    DefaultCharset(CharsetClause),
    /// `RENAME TO`
    RenameTable { to: TableName },
    /// `ADD SYSTEM VERSIONING` (true) and `DROP SYSTEM VERSIONING`.
    SystemVersioning(bool),
    /// `CONVERT PARTITION … TO TABLE`: the rows leave for a new table of the same shape.
    SplitOff { to: TableName },
    /// `CONVERT TABLE … TO PARTITION`: that table is gone, its rows are here.
    Absorb { from: TableName },
    /// Rows came or went without row events: a partition dropped, truncated or exchanged with
    /// `other`, a tablespace discarded or imported.
    MoveRows { other: Option<TableName> },
}
