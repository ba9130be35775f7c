//! Column definitions and the lists of columns in keys.

use super::column_spec::ColumnSpec;
use super::column_type::{self, TypeClause};
use super::cursor::Cursor;
use super::lexer::Kind;

/// Reads a column's name and definition. `None` when it cannot be one.
pub(super) fn column(cursor: &mut Cursor<'_>) -> Option<ColumnSpec> {
    let name = cursor.column_name()?;
    definition(cursor, name)
}

/// Reads what follows a column's name, up to the end of the item or to `FIRST` or `AFTER`.
pub(super) fn definition(cursor: &mut Cursor<'_>, name: String) -> Option<ColumnSpec> {
    let mut clause = column_type::read(cursor)?;
    let mut column = ColumnSpec {
        name,
        nullable: true,
        generated: false,
        primary: false,
        unique: clause.serial,
        shape: clause.shape.clone(),
        charset: clause.charset.clone(),
        binary_collation: false,
        compressed: false,
    };
    let strict_timestamp = clause.timestamp && !cursor.options.explicit_defaults_for_timestamp;
    let mut nullable = if clause.serial || strict_timestamp { Some(false) } else { None };
    while !cursor.at_item_end() && !cursor.sees("FIRST") && !cursor.sees("AFTER") {
        if cursor.sees("PARTITION") {
            // Partitioning may follow an action without a comma, and ends the statement.
            cursor.skip_all();
            break;
        }
        attribute(cursor, &mut column, &mut nullable, &mut clause);
    }
    column.nullable = nullable.unwrap_or(true) && !column.primary;
    column.charset = clause.charset;
    column.binary_collation = clause.binary_collation;
    Some(column)
}

/// Reads one attribute; passes over a token it does not know.
fn attribute(
    cursor: &mut Cursor<'_>,
    column: &mut ColumnSpec,
    nullable: &mut Option<bool>,
    clause: &mut TypeClause,
) {
    if cursor.accept_all(&["NOT", "NULL"]) {
        *nullable = Some(false);
    } else if cursor.accept("NOT") {
        // NOT ENFORCED, NOT SECONDARY, NOT INVISIBLE …
        cursor.skip();
    } else if cursor.accept("NULL") {
        *nullable = Some(true);
    } else if cursor.accept_all(&["SERIAL", "DEFAULT", "VALUE"]) {
        *nullable = Some(false);
        column.unique = true;
    } else if cursor.accept("DEFAULT") || cursor.accept_all(&["ON", "UPDATE"]) {
        value(cursor);
    } else if cursor.accept("AUTO_INCREMENT") {
        *nullable = Some(false);
    } else if cursor.accept_all(&["PRIMARY", "KEY"]) || cursor.accept("KEY") {
        column.primary = true;
    } else if cursor.accept("UNIQUE") {
        cursor.accept("KEY");
        column.unique = true;
    } else if cursor.accept("REFERENCES") {
        references(cursor);
    } else if cursor.accept("CHECK") {
        cursor.skip();
    } else if cursor.accept("CONSTRAINT") {
        if !cursor.sees("CHECK") {
            cursor.name();
        }
    } else if cursor.accept_all(&["GENERATED", "ALWAYS"]) {
        // AS follows.
    } else if cursor.accept("AS") {
        column.generated = true;
        if cursor.accept("ROW") {
            // START or END: the period columns of a system-versioned table take no NULL.
            cursor.advance();
            *nullable = Some(false);
        } else {
            cursor.skip();
        }
    } else if cursor.accept("COLUMN_FORMAT") {
        cursor.skip();
    } else if cursor.options.mariadb && cursor.accept("COMPRESSED") {
        column.compressed = true;
        if cursor.accept_punct('=') {
            cursor.skip();
        }
    } else if cursor.accept("COMMENT") {
        cursor.accept_punct('=');
        cursor.skip();
    } else if !column_type::charset_attribute(cursor, clause) {
        let named = cursor.advance().kind == Kind::Word;
        // An option of a storage engine: `name = value`.
        if (named && cursor.accept_punct('=')) || cursor.sees_punct('(') {
            cursor.skip();
        }
    }
}

/// `REFERENCES t (a) MATCH FULL ON DELETE SET NULL …`: its `SET NULL` says nothing about the column.
fn references(cursor: &mut Cursor<'_>) {
    cursor.table_name();
    if cursor.sees_punct('(') {
        cursor.skip();
    }
    loop {
        if cursor.accept("MATCH") {
            cursor.skip();
        } else if cursor.accept_all(&["ON", "DELETE"]) || cursor.accept_all(&["ON", "UPDATE"]) {
            if !cursor.accept_all(&["SET", "NULL"])
                && !cursor.accept_all(&["SET", "DEFAULT"])
                && !cursor.accept_all(&["NO", "ACTION"])
            {
                cursor.skip();
            }
        } else {
            return;
        }
    }
}

/// Passes over the expression behind `DEFAULT` or `ON UPDATE`, which ends where no operator joins
/// it to what follows.
fn value(cursor: &mut Cursor<'_>) {
    loop {
        while matches!(cursor.peek().kind, Kind::Punct('+' | '-' | '~' | '!')) {
            cursor.advance();
        }
        operand(cursor);
        let mut joined = false;
        while matches!(
            cursor.peek().kind,
            Kind::Punct('+' | '-' | '*' | '/' | '%' | '|' | '&' | '^' | '<' | '>' | '=' | '!')
        ) {
            cursor.advance();
            joined = true;
        }
        if !joined {
            return;
        }
    }
}

fn operand(cursor: &mut Cursor<'_>) {
    if cursor.at_item_end() {
        return;
    }
    if cursor.accept_all(&["NEXT", "VALUE", "FOR"]) || cursor.accept_all(&["PREVIOUS", "VALUE", "FOR"]) {
        cursor.table_name();
        return;
    }
    if cursor.accept("CASE") {
        let mut depth = 1_usize;
        while depth > 0 && !cursor.at_item_end() {
            if cursor.sees("CASE") {
                depth += 1;
            } else if cursor.sees("END") {
                depth -= 1;
            }
            cursor.skip();
        }
        return;
    }
    let word = matches!(cursor.peek().kind, Kind::Word | Kind::Quoted);
    cursor.skip();
    if word {
        while cursor.accept_punct('.') {
            cursor.skip();
        }
        // An introducer or a typed literal (`_utf8mb4 'a'`, `DATE '2020-01-01'`), or a call.
        if matches!(cursor.peek().kind, Kind::Text | Kind::Number | Kind::Punct('(')) {
            cursor.skip();
        }
    }
    while cursor.peek().kind == Kind::Text {
        cursor.skip();
    }
}

/// Parts a key can have here; the servers stop at 16 and 32.
const KEY_PARTS_MAX: usize = 64;

/// The parts of a key.
pub(super) struct KeyParts {
    /// The columns, in order.
    pub(super) columns: Vec<String>,
    /// Whether all parts are columns, none an expression.
    pub(super) columns_only: bool,
    /// A period takes part (`WITHOUT OVERLAPS`): the server adds columns the clause does not name.
    pub(super) period: bool,
}

/// Reads `(a, b(10) DESC, (expr))`, behind an index type and before index options.
pub(super) fn key_parts(cursor: &mut Cursor<'_>) -> Option<KeyParts> {
    if cursor.accept_any(&["USING", "TYPE"]) {
        cursor.skip();
    }
    if !cursor.accept_punct('(') {
        return None;
    }
    let mut parts = KeyParts { columns: Vec::new(), columns_only: true, period: false };
    loop {
        if cursor.sees_punct('(') {
            parts.columns_only = false;
            cursor.skip();
        } else {
            parts.columns.push(cursor.column_name()?);
            if parts.columns.len() > KEY_PARTS_MAX {
                return None;
            }
        }
        while !cursor.at_item_end() {
            parts.period |= cursor.sees("OVERLAPS");
            cursor.skip();
        }
        if cursor.accept_punct(')') {
            return Some(parts);
        }
        if !cursor.accept_punct(',') {
            return None;
        }
    }
}
