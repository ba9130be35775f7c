//! `CREATE TABLE`: its list of columns and keys, and its options.

use super::character_set::CharsetClause;
use super::column::{column, key_parts};
use super::column_type::charset_clause;
use super::cursor::Cursor;
use super::lexer::Kind;
use super::{COLUMNS_MAX, ColumnSpec, CreateTable, KEYS_MAX, Statement, TableName, UniqueKey, same_name};

/// Reads the statement behind `CREATE … TABLE`.
pub(super) fn create_table(cursor: &mut Cursor<'_>, or_replace: bool, temporary: bool) -> Statement {
    let if_not_exists = cursor.if_not_exists();
    let Some(table) = cursor.table_name() else { return Statement::Unknown { tables: Vec::new() } };
    let mut create = CreateTable {
        table: table.clone(),
        if_not_exists,
        or_replace,
        temporary,
        columns: Vec::new(),
        primary_key: Vec::new(),
        unique_keys: Vec::new(),
        like: None,
        as_select: false,
        starts_transaction: false,
        hidden_period: false,
        charset: CharsetClause::default(),
    };
    match body(cursor, &mut create) {
        Some(()) if !cursor.truncated() || create.as_select => Statement::CreateTable(create),
        _ => Statement::Unknown { tables: vec![table] },
    }
}

fn body(cursor: &mut Cursor<'_>, create: &mut CreateTable) -> Option<()> {
    if cursor.accept("LIKE") {
        create.like = Some(cursor.table_name()?);
        return Some(());
    }
    if cursor.sees_punct('(') && cursor.peek_at(1).is("LIKE") {
        cursor.advance();
        cursor.advance();
        create.like = Some(cursor.table_name()?);
        return cursor.accept_punct(')').then_some(());
    }
    let mut found = Elements::default();
    if cursor.sees_punct('(') && !starts_query(cursor, 1) {
        cursor.advance();
        elements(cursor, &mut found)?;
    }
    options(cursor, create);
    create.hidden_period &= !found.system_period;
    // Without columns and without a query, the storage engine makes the columns up.
    if found.columns.is_empty() && !create.as_select {
        return None;
    }
    found.into_table(create)
}

/// A key as written, before the server has named it.
struct WrittenKey {
    name: Option<String>,
    columns: Vec<String>,
}

#[derive(Default)]
struct Elements {
    columns: Vec<ColumnSpec>,
    primary_key: Option<Vec<String>>,
    /// Keys over columns, in order.
    unique: Vec<WrittenKey>,
    /// Names of the other keys, which a generated name has to avoid.
    index_names: Vec<String>,
    /// `PERIOD FOR SYSTEM_TIME`: the period columns are written, not hidden.
    system_period: bool,
    /// The columns of all periods, which take no NULL.
    period_columns: Vec<String>,
}

impl Elements {
    fn into_table(self, create: &mut CreateTable) -> Option<()> {
        let mut primary_key = self.primary_key;
        let mut keys = Vec::new();
        for column in &self.columns {
            if column.primary {
                primary_key.get_or_insert_with(|| vec![column.name.clone()]);
            }
            if column.unique {
                keys.push(WrittenKey { name: None, columns: vec![column.name.clone()] });
            }
        }
        keys.extend(self.unique);
        let periods = self.period_columns.len();
        if keys.len() > KEYS_MAX || self.index_names.len() > KEYS_MAX || periods > KEYS_MAX {
            return None;
        }
        for key in &mut keys {
            // A key without a name takes the column's, not as the key spells it.
            if let Some(name) = key.columns.first_mut()
                && let Some(column) = self.columns.iter().find(|column| same_name(&column.name, name))
            {
                name.clone_from(&column.name);
            }
        }
        let mut taken = self.index_names;
        taken.extend(keys.iter().filter_map(|key| key.name.clone()));
        for key in keys {
            let name = key.name.or_else(|| key_name(&key.columns, &taken))?;
            taken.push(name.clone());
            create.unique_keys.push(UniqueKey { name, columns: key.columns });
        }
        create.columns = self.columns;
        for column in &mut create.columns {
            column.nullable &= !self.period_columns.iter().any(|name| same_name(name, &column.name));
        }
        create.primary_key = primary_key.unwrap_or_default();
        Some(())
    }
}

/// The name the server gives a key that has none: its first column's, numbered when it is taken.
pub(super) fn key_name(columns: &[String], taken: &[String]) -> Option<String> {
    let first = columns.first()?;
    let is_free = |name: &str| !same_name(name, "PRIMARY") && !taken.iter().any(|used| same_name(used, name));
    if is_free(first) {
        return Some(first.clone());
    }
    (2..=KEYS_MAX + 2).map(|number| format!("{first}_{number}")).find(|name| is_free(name))
}

/// Reads the elements up to and with the closing parenthesis.
fn elements(cursor: &mut Cursor<'_>, found: &mut Elements) -> Option<()> {
    loop {
        if !key_element(cursor, found)? {
            if found.columns.len() >= COLUMNS_MAX {
                return None;
            }
            found.columns.push(column(cursor)?);
        }
        cursor.skip_item();
        if cursor.accept_punct(')') {
            return Some(());
        }
        if !cursor.accept_punct(',') {
            return None;
        }
    }
}

/// What an element or an `ADD` is that does not define a column.
pub(super) enum KeyElement {
    /// `PRIMARY KEY (…)`
    Primary { columns: Vec<String>, if_not_exists: bool },
    /// `UNIQUE (…)` over columns.
    Unique { name: Option<String>, columns: Vec<String>, if_not_exists: bool },
    /// Another index, with its name.
    Index(Option<String>),
    /// `PERIOD FOR …`
    Period { system: bool, columns: Vec<String> },
    /// A constraint without an index of concern here.
    Constraint,
}

/// Reads a key, constraint or period; the inner `None` when a column comes next, the outer one
/// when the clause makes no sense.
#[allow(clippy::option_option, reason = "not there and not understood are two answers")]
pub(super) fn read_key_element(cursor: &mut Cursor<'_>) -> Option<Option<KeyElement>> {
    let mut symbol = None;
    if cursor.accept("CONSTRAINT") {
        cursor.if_not_exists();
        if !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|word| cursor.sees(word)) {
            symbol = Some(cursor.name()?);
        }
    }
    if cursor.accept("PRIMARY") {
        cursor.accept("KEY");
        let if_not_exists = cursor.if_not_exists();
        // A name is allowed, and ignored.
        if !cursor.sees_punct('(') && !cursor.sees("USING") {
            cursor.name();
        }
        let parts = key_parts(cursor)?;
        if parts.period || !parts.columns_only {
            return None;
        }
        return Some(Some(KeyElement::Primary { columns: parts.columns, if_not_exists }));
    }
    if cursor.accept("UNIQUE") {
        cursor.accept_any(&["INDEX", "KEY"]);
        let if_not_exists = cursor.if_not_exists();
        let name = index_name(cursor).or(symbol);
        let parts = key_parts(cursor)?;
        if parts.period || !parts.columns_only {
            return Some(Some(KeyElement::Index(name)));
        }
        return Some(Some(KeyElement::Unique { name, columns: parts.columns, if_not_exists }));
    }
    if cursor.accept_any(&["FULLTEXT", "SPATIAL"]) || vector_index(cursor) {
        cursor.accept_any(&["INDEX", "KEY"]);
        cursor.if_not_exists();
        return Some(Some(KeyElement::Index(index_name(cursor))));
    }
    if cursor.accept_any(&["INDEX", "KEY"]) {
        cursor.if_not_exists();
        return Some(Some(KeyElement::Index(index_name(cursor))));
    }
    if cursor.accept_all(&["FOREIGN", "KEY"]) || cursor.accept("CHECK") || symbol.is_some() {
        return Some(Some(KeyElement::Constraint));
    }
    // Not reserved, so it may be a column's name.
    if cursor.sees_all(&["PERIOD", "FOR"]) {
        cursor.advance();
        cursor.advance();
        let system = cursor.sees("SYSTEM_TIME");
        cursor.name();
        let columns = key_parts(cursor)?.columns;
        return Some(Some(KeyElement::Period { system, columns }));
    }
    Some(None)
}

fn vector_index(cursor: &mut Cursor<'_>) -> bool {
    let is_index = cursor.peek_at(1).is("INDEX") || cursor.peek_at(1).is("KEY");
    is_index && cursor.accept("VECTOR")
}

fn index_name(cursor: &mut Cursor<'_>) -> Option<String> {
    if cursor.sees_punct('(')
        || cursor.sees("USING")
        || (cursor.sees("TYPE") && !cursor.peek_at(1).raw.starts_with('('))
    {
        return None;
    }
    cursor.name()
}

/// Reads an element that is not a column. `Some(false)` when a column comes next.
fn key_element(cursor: &mut Cursor<'_>, found: &mut Elements) -> Option<bool> {
    match read_key_element(cursor)? {
        None => return Some(false),
        Some(KeyElement::Primary { columns, .. }) => found.primary_key = Some(columns),
        Some(KeyElement::Unique { name, columns, .. }) => found.unique.push(WrittenKey { name, columns }),
        Some(KeyElement::Index(name)) => found.index_names.extend(name),
        Some(KeyElement::Period { system, columns }) => {
            found.system_period |= system;
            found.period_columns.extend(columns);
        }
        Some(KeyElement::Constraint) => {}
    }
    Some(true)
}

/// Whether a query begins `distance` tokens ahead.
fn starts_query(cursor: &mut Cursor<'_>, distance: usize) -> bool {
    let token = cursor.peek_at(distance);
    if token.is("WITH") {
        // Otherwise WITH SYSTEM VERSIONING.
        return !cursor.peek_at(distance + 1).is("SYSTEM");
    }
    token.is("SELECT")
        || (token.is("VALUES") && cursor.peek_at(distance + 1).is("ROW"))
        || (token.kind == Kind::Punct('(') && cursor.peek_at(distance + 1).is("SELECT"))
}

/// Reads the table options and sees whether a query follows.
fn options(cursor: &mut Cursor<'_>, create: &mut CreateTable) {
    while !cursor.at_end() {
        if let Some(clause) = charset_clause(cursor) {
            merge(&mut create.charset, clause);
        } else if cursor.accept_all(&["START", "TRANSACTION"]) {
            create.starts_transaction = true;
        } else if cursor.accept_all(&["WITH", "SYSTEM", "VERSIONING"]) {
            create.hidden_period = true;
        } else if cursor.sees("AS") || cursor.sees("TABLE") || starts_query(cursor, 0) {
            // The query may be long, and nothing in it matters here.
            create.as_select = true;
            return;
        } else {
            cursor.skip();
            // A value never begins a clause, whatever word it is.
            if cursor.accept_punct('=') {
                cursor.skip();
            }
        }
    }
}

/// Adds what a further clause of the same statement says; the last word wins.
pub(super) fn merge(target: &mut CharsetClause, clause: CharsetClause) {
    if clause.charset.is_some() {
        target.charset = clause.charset;
    }
    if clause.collation.is_some() {
        target.collation = clause.collation;
    }
    target.written = true;
}

/// The table names of a comma-separated list.
pub(super) fn table_list(cursor: &mut Cursor<'_>) -> Option<Vec<TableName>> {
    let mut tables = vec![cursor.table_name()?];
    while cursor.accept_punct(',') {
        tables.push(cursor.table_name()?);
    }
    Some(tables)
}
