//! `ALTER TABLE` and the two index statements that stand for one.

use super::character_set::CharsetClause;
use super::column::{column, key_parts};
use super::column_type::charset_clause;
use super::create::{KeyElement, merge, read_key_element};
use super::cursor::Cursor;
use super::lexer::Kind;
use super::{ACTIONS_MAX, AlterAction, AlterTable, Place, Statement};

/// Reads the statement behind `ALTER … TABLE`.
pub(super) fn alter_table(cursor: &mut Cursor<'_>) -> Statement {
    let if_exists = cursor.if_exists();
    let Some(table) = cursor.table_name() else { return Statement::Unknown { tables: Vec::new() } };
    cursor.skip_wait();
    let mut actions = Vec::new();
    match action_list(cursor, &mut actions) {
        Some(()) if !cursor.truncated() => Statement::AlterTable(AlterTable { table, if_exists, actions }),
        _ => Statement::Unknown { tables: vec![table] },
    }
}

fn action_list(cursor: &mut Cursor<'_>, actions: &mut Vec<AlterAction>) -> Option<()> {
    while !cursor.at_end() {
        action(cursor, actions)?;
        if actions.len() > ACTIONS_MAX {
            return None;
        }
        // What an action leaves of its item are options, which may follow without a comma.
        let mut charset = CharsetClause::default();
        while !cursor.at_item_end() {
            trailing_option(cursor, &mut charset);
        }
        if charset.written {
            actions.push(AlterAction::DefaultCharset(charset));
        }
        if !cursor.accept_punct(',') && !cursor.at_end() {
            return None;
        }
    }
    Some(())
}

/// Reads one table option, noticing the default character set.
fn trailing_option(cursor: &mut Cursor<'_>, charset: &mut CharsetClause) {
    if let Some(clause) = charset_clause(cursor) {
        merge(charset, clause);
        return;
    }
    if cursor.sees("PARTITION") {
        cursor.skip_all();
        return;
    }
    cursor.skip();
    if cursor.accept_punct('=') {
        cursor.skip();
    }
}

/// Reads one action. `None` when it concerns columns or keys and makes no sense.
fn action(cursor: &mut Cursor<'_>, actions: &mut Vec<AlterAction>) -> Option<()> {
    if cursor.accept("ADD") {
        return add(cursor, actions);
    }
    if cursor.accept("DROP") {
        return drop_action(cursor, actions);
    }
    if cursor.accept("CHANGE") {
        cursor.accept("COLUMN");
        let if_exists = cursor.if_exists();
        let name = cursor.column_name()?;
        let column = column(cursor)?;
        let place = place(cursor)?;
        actions.push(AlterAction::ChangeColumn { name, column, if_exists, place });
    } else if cursor.accept("MODIFY") {
        cursor.accept("COLUMN");
        let if_exists = cursor.if_exists();
        // MariaDB and Oracle mode take a list in parentheses, too.
        if cursor.accept_punct('(') {
            return column_list(cursor, |column| {
                let name = column.name.clone();
                actions.push(AlterAction::ChangeColumn { name, column, if_exists, place: None });
            });
        }
        let column = column(cursor)?;
        let place = place(cursor)?;
        actions.push(AlterAction::ChangeColumn { name: column.name.clone(), column, if_exists, place });
    } else if cursor.accept("RENAME") {
        return rename(cursor, actions);
    } else if cursor.accept("CONVERT") {
        return convert(cursor, actions);
    } else if cursor.accept("ALTER") {
        // Defaults, visibility, enforcement: nothing of a column's shape.
        cursor.skip_item();
    } else if cursor.accept_all(&["ORDER", "BY"]) {
        order_by(cursor);
    } else if cursor.accept("EXCHANGE") {
        while !cursor.at_end() && !cursor.accept("WITH") {
            cursor.skip();
        }
        cursor.accept("TABLE");
        let other = Some(cursor.table_name()?);
        actions.push(AlterAction::MoveRows { other });
        cursor.skip_all();
    } else if cursor.sees_all(&["TRUNCATE", "PARTITION"])
        || cursor.sees_all(&["DISCARD", "PARTITION"])
        || cursor.sees_all(&["IMPORT", "PARTITION"])
        || cursor.sees_all(&["DISCARD", "TABLESPACE"])
        || cursor.sees_all(&["IMPORT", "TABLESPACE"])
    {
        actions.push(AlterAction::MoveRows { other: None });
        cursor.skip_all();
    } else if cursor.peek_at(1).is("PARTITION") || cursor.sees("PARTITION") {
        // COALESCE, REORGANIZE, REBUILD …, PARTITION BY: rows move within the table.
        cursor.skip_all();
    }
    Some(())
}

/// `FIRST`, `AFTER x` or neither.
#[allow(clippy::option_option, reason = "not there and not understood are two answers")]
fn place(cursor: &mut Cursor<'_>) -> Option<Option<Place>> {
    if cursor.accept("FIRST") {
        return Some(Some(Place::First));
    }
    if cursor.accept("AFTER") {
        return Some(Some(Place::After(cursor.column_name()?)));
    }
    Some(None)
}

/// Reads `a …, b …)` behind the opening parenthesis.
fn column_list(cursor: &mut Cursor<'_>, mut take: impl FnMut(super::ColumnSpec)) -> Option<()> {
    let mut count = 0;
    loop {
        count += 1;
        if count > ACTIONS_MAX {
            return None;
        }
        take(column(cursor)?);
        cursor.skip_item();
        if cursor.accept_punct(')') {
            return Some(());
        }
        if !cursor.accept_punct(',') {
            return None;
        }
    }
}

fn push_key(element: KeyElement, actions: &mut Vec<AlterAction>) {
    match element {
        KeyElement::Primary { columns, if_not_exists } => {
            actions.push(AlterAction::AddPrimaryKey { columns, if_not_exists });
        }
        KeyElement::Unique { name, columns, if_not_exists } => {
            actions.push(AlterAction::AddUnique { name, columns, if_not_exists, or_replace: false });
        }
        KeyElement::Index(_) | KeyElement::Period { .. } | KeyElement::Constraint => {}
    }
}

fn add(cursor: &mut Cursor<'_>, actions: &mut Vec<AlterAction>) -> Option<()> {
    let explicit = cursor.accept("COLUMN");
    if !explicit {
        if cursor.sees("PARTITION") {
            cursor.skip_all();
            return Some(());
        }
        if cursor.accept_all(&["SYSTEM", "VERSIONING"]) {
            actions.push(AlterAction::SystemVersioning(true));
            return Some(());
        }
        if let Some(element) = read_key_element(cursor)? {
            if let KeyElement::Period { system: true, .. } = element {
                // Comes with ADD SYSTEM VERSIONING: the period columns are written, not hidden.
                actions.push(AlterAction::SystemVersioning(false));
            }
            push_key(element, actions);
            cursor.skip_item();
            return Some(());
        }
    }
    let if_not_exists = cursor.if_not_exists();
    if cursor.accept_punct('(') {
        return mixed_list(cursor, if_not_exists, actions);
    }
    let column = column(cursor)?;
    let place = place(cursor)?;
    actions.push(AlterAction::AddColumn { column, if_not_exists, place });
    Some(())
}

/// `ADD (a INT, b INT, KEY (a))`: columns and keys mixed.
fn mixed_list(cursor: &mut Cursor<'_>, if_not_exists: bool, actions: &mut Vec<AlterAction>) -> Option<()> {
    loop {
        match read_key_element(cursor)? {
            Some(element) => push_key(element, actions),
            None => {
                let column = column(cursor)?;
                actions.push(AlterAction::AddColumn { column, if_not_exists, place: None });
            }
        }
        cursor.skip_item();
        if actions.len() > ACTIONS_MAX {
            return None;
        }
        if cursor.accept_punct(')') {
            return Some(());
        }
        if !cursor.accept_punct(',') {
            return None;
        }
    }
}

fn drop_action(cursor: &mut Cursor<'_>, actions: &mut Vec<AlterAction>) -> Option<()> {
    if cursor.accept_all(&["PRIMARY", "KEY"]) {
        actions.push(AlterAction::DropPrimaryKey);
    } else if cursor.accept_all(&["FOREIGN", "KEY"]) || cursor.accept("CHECK") {
        cursor.skip_item();
    } else if cursor.accept_any(&["INDEX", "KEY", "CONSTRAINT"]) {
        cursor.if_exists();
        let name = cursor.name()?;
        actions.push(AlterAction::DropKey { name });
    } else if cursor.sees("PARTITION") {
        actions.push(AlterAction::MoveRows { other: None });
        cursor.skip_all();
    } else if cursor.accept_all(&["SYSTEM", "VERSIONING"]) {
        actions.push(AlterAction::SystemVersioning(false));
    } else if cursor.accept_all(&["PERIOD", "FOR"]) {
        cursor.skip_item();
    } else {
        cursor.accept("COLUMN");
        let if_exists = cursor.if_exists();
        let name = cursor.column_name()?;
        cursor.accept_any(&["RESTRICT", "CASCADE"]);
        actions.push(AlterAction::DropColumn { name, if_exists });
    }
    Some(())
}

fn rename(cursor: &mut Cursor<'_>, actions: &mut Vec<AlterAction>) -> Option<()> {
    if cursor.accept("COLUMN") {
        let if_exists = cursor.if_exists();
        let from = cursor.column_name()?;
        let to = if cursor.accept_any(&["TO", "AS"]) { cursor.column_name()? } else { return None };
        actions.push(AlterAction::RenameColumn { from, to, if_exists });
    } else if cursor.accept_any(&["INDEX", "KEY"]) {
        cursor.if_exists();
        let from = cursor.name()?;
        let to = if cursor.accept_any(&["TO", "AS"]) { cursor.name()? } else { return None };
        actions.push(AlterAction::RenameKey { from, to });
    } else {
        let _ = cursor.accept_any(&["TO", "AS"]) || cursor.accept_punct('=');
        actions.push(AlterAction::RenameTable { to: cursor.table_name()? });
    }
    Some(())
}

fn convert(cursor: &mut Cursor<'_>, actions: &mut Vec<AlterAction>) -> Option<()> {
    if cursor.accept("TO") {
        let mut clause = charset_clause(cursor)?;
        while let Some(more) = charset_clause(cursor) {
            merge(&mut clause, more);
        }
        actions.push(AlterAction::ConvertCharset(clause));
    } else if cursor.accept("PARTITION") {
        cursor.name()?;
        if !cursor.accept_all(&["TO", "TABLE"]) {
            return None;
        }
        actions.push(AlterAction::SplitOff { to: cursor.table_name()? });
        cursor.skip_all();
    } else if cursor.accept("TABLE") {
        actions.push(AlterAction::Absorb { from: cursor.table_name()? });
        cursor.skip_all();
    } else {
        return None;
    }
    Some(())
}

/// `ORDER BY a, b DESC`: its commas are not those of the actions.
fn order_by(cursor: &mut Cursor<'_>) {
    loop {
        cursor.column_name();
        cursor.accept_any(&["ASC", "DESC"]);
        let mut after = 2;
        if cursor.peek_at(2).is("ASC") || cursor.peek_at(2).is("DESC") {
            after = 3;
        }
        let item_follows = cursor.sees_punct(',')
            && cursor.peek_at(1).identifier().is_some()
            && matches!(cursor.peek_at(after).kind, Kind::End | Kind::Punct(',' | ';' | '.'));
        if !item_follows {
            return;
        }
        cursor.advance();
    }
}

/// Reads `CREATE [UNIQUE …] INDEX` behind the word INDEX.
pub(super) fn create_index(cursor: &mut Cursor<'_>, unique: bool, or_replace: bool) -> Statement {
    let if_not_exists = cursor.if_not_exists();
    let name = if cursor.sees("ON") || cursor.sees("USING") { None } else { cursor.name() };
    if cursor.accept_any(&["USING", "TYPE"]) {
        cursor.skip();
    }
    let table = if cursor.accept("ON") { cursor.table_name() } else { None };
    let Some(table) = table else { return Statement::Unknown { tables: Vec::new() } };
    cursor.skip_wait();
    let mut actions = Vec::new();
    if unique {
        match key_parts(cursor) {
            Some(parts) if parts.columns_only && !parts.period => {
                actions.push(AlterAction::AddUnique {
                    name,
                    columns: parts.columns,
                    if_not_exists,
                    or_replace,
                });
            }
            Some(_) => {}
            None => return Statement::Unknown { tables: vec![table] },
        }
    } else if or_replace {
        // It may take the place of a unique one.
        actions.extend(name.map(|name| AlterAction::DropKey { name }));
    }
    Statement::CreateIndex(AlterTable { table, if_exists: false, actions })
}

/// Reads `DROP INDEX` behind the word INDEX.
pub(super) fn drop_index(cursor: &mut Cursor<'_>) -> Statement {
    cursor.if_exists();
    let name = cursor.name();
    let table = if cursor.accept("ON") { cursor.table_name() } else { None };
    match (name, table) {
        (Some(name), Some(table)) => Statement::DropIndex(AlterTable {
            table,
            if_exists: false,
            actions: vec![AlterAction::DropKey { name }],
        }),
        (_, table) => Statement::Unknown { tables: table.into_iter().collect() },
    }
}
