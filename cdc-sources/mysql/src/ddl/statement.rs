//! What a statement can be.

use super::character_set::CharsetClause;
use super::{ColumnSpec, TableDef, TableName, UniqueKey, apply};

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
    /// `START TRANSACTION` at the end (MySQL 8.0.21 on): the rows of a `CREATE TABLE … SELECT` follow
    /// in the same transaction, which this statement does not end as other DDL does.
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
