//! From a statement's first words to what it is.

use super::character_set::CharsetClause;
use super::column_type::charset_clause;
use super::create::{merge, table_list};
use super::cursor::Cursor;
use super::lexer::Kind;
use super::{DmlKind, ParseOptions, Statement, TableName, XaVerb, alter, create};

/// First words of statements that leave every table's shape and rows alone.
const HARMLESS: &[&str] = &[
    "ANALYZE",
    "BACKUP",
    "BINLOG",
    "CACHE",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "CLONE",
    "DEALLOCATE",
    "DELIMITER",
    "DESC",
    "DESCRIBE",
    "EXECUTE",
    "EXPLAIN",
    "FLUSH",
    "GET",
    "GRANT",
    "HANDLER",
    "HELP",
    "INSTALL",
    "KILL",
    "LOCK",
    "OPTIMIZE",
    "PREPARE",
    "PURGE",
    "REPAIR",
    "RESET",
    "RESIGNAL",
    "RESTART",
    "REVOKE",
    "SET",
    "SHOW",
    "SHUTDOWN",
    "SIGNAL",
    "START",
    "STOP",
    "UNINSTALL",
    "UNLOCK",
    "USE",
];

/// Reads a statement as the binlog has it, in the session's default database.
///
/// Never fails: what it cannot make sense of is [`Statement::Unknown`].
pub fn parse(sql: &str, default_database: &str, options: &ParseOptions) -> Statement {
    statement(&mut Cursor::new(sql, default_database, options))
}

fn statement(cursor: &mut Cursor<'_>) -> Statement {
    // MariaDB logs the whole of `SET STATEMENT variable = value FOR …`.
    if cursor.accept_all(&["SET", "STATEMENT"]) {
        while !cursor.at_end() && !cursor.accept("FOR") {
            cursor.skip();
        }
    }
    if cursor.at_end() {
        return Statement::Other;
    }
    let word = match cursor.peek().kind {
        Kind::Word => cursor.peek().raw.to_ascii_uppercase(),
        // A query in parentheses.
        Kind::Punct('(') => return Statement::Dml { kind: DmlKind::Call, table: None },
        _ => return Statement::Unknown { tables: Vec::new() },
    };
    cursor.advance();
    match word.as_str() {
        "CREATE" => create_statement(cursor),
        "ALTER" => alter_statement(cursor),
        "DROP" => drop_statement(cursor),
        "RENAME" => rename_statement(cursor),
        "TRUNCATE" => {
            cursor.accept("TABLE");
            match cursor.table_name() {
                Some(table) => Statement::TruncateTable { table },
                None => Statement::Unknown { tables: Vec::new() },
            }
        }
        "BEGIN" => Statement::Begin,
        "START" if cursor.sees("TRANSACTION") => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" => {
            cursor.accept("WORK");
            Statement::Rollback { to_savepoint: cursor.sees("TO") }
        }
        "SAVEPOINT" | "RELEASE" => Statement::Savepoint,
        "XA" => xa(cursor),
        word if HARMLESS.contains(&word) => Statement::Other,
        word => dml(cursor, word).unwrap_or(Statement::Unknown { tables: Vec::new() }),
    }
}

fn create_statement(cursor: &mut Cursor<'_>) -> Statement {
    let or_replace = cursor.accept_all(&["OR", "REPLACE"]);
    let temporary = cursor.accept("TEMPORARY");
    if cursor.accept("TABLE") {
        return create::create_table(cursor, or_replace, temporary);
    }
    if cursor.accept_any(&["DATABASE", "SCHEMA"]) {
        let if_not_exists = cursor.if_not_exists();
        let Some(name) = cursor.name() else { return Statement::Unknown { tables: Vec::new() } };
        let charset = database_options(cursor);
        return Statement::CreateDatabase { name, charset, if_not_exists, or_replace };
    }
    cursor.accept_any(&["ONLINE", "OFFLINE"]);
    let unique = cursor.accept("UNIQUE");
    if cursor.sees("SPATIAL") && cursor.peek_at(1).is("REFERENCE") {
        return Statement::Other;
    }
    cursor.accept_any(&["FULLTEXT", "SPATIAL", "VECTOR"]);
    if cursor.accept("INDEX") {
        return alter::create_index(cursor, unique, or_replace);
    }
    // Views, routines, triggers, events, users, servers, sequences …
    Statement::Other
}

fn alter_statement(cursor: &mut Cursor<'_>) -> Statement {
    while cursor.accept_any(&["ONLINE", "OFFLINE", "IGNORE"]) {}
    if cursor.accept("TABLE") {
        return alter::alter_table(cursor);
    }
    if cursor.accept_any(&["DATABASE", "SCHEMA"]) {
        let unnamed = ["DEFAULT", "CHARACTER", "CHARSET", "CHAR", "COLLATE", "ENCRYPTION", "READ"];
        let name = if unnamed.iter().any(|word| cursor.sees(word)) && cursor.peek_at(1).kind != Kind::End {
            cursor.default_database().to_owned()
        } else {
            match cursor.name() {
                Some(name) => name,
                None => return Statement::Unknown { tables: Vec::new() },
            }
        };
        let charset = database_options(cursor);
        return Statement::AlterDatabase { name, charset };
    }
    Statement::Other
}

fn database_options(cursor: &mut Cursor<'_>) -> CharsetClause {
    let mut charset = CharsetClause::default();
    while !cursor.at_end() {
        match charset_clause(cursor) {
            Some(clause) => merge(&mut charset, clause),
            None => {
                cursor.skip();
                if cursor.accept_punct('=') {
                    cursor.skip();
                }
            }
        }
    }
    charset
}

fn drop_statement(cursor: &mut Cursor<'_>) -> Statement {
    let temporary = cursor.accept("TEMPORARY");
    if cursor.accept_any(&["TABLE", "TABLES"]) {
        cursor.if_exists();
        return match table_list(cursor) {
            Some(tables) => Statement::DropTable { tables, temporary },
            None => Statement::Unknown { tables: Vec::new() },
        };
    }
    if cursor.accept_any(&["DATABASE", "SCHEMA"]) {
        cursor.if_exists();
        return match cursor.name() {
            Some(name) => Statement::DropDatabase { name },
            None => Statement::Unknown { tables: Vec::new() },
        };
    }
    cursor.accept_any(&["ONLINE", "OFFLINE"]);
    if cursor.accept("INDEX") {
        return alter::drop_index(cursor);
    }
    Statement::Other
}

fn rename_statement(cursor: &mut Cursor<'_>) -> Statement {
    if !cursor.accept_any(&["TABLE", "TABLES"]) {
        // RENAME USER
        return Statement::Other;
    }
    cursor.if_exists();
    let mut pairs: Vec<(TableName, TableName)> = Vec::new();
    loop {
        let from = cursor.table_name();
        cursor.skip_wait();
        let to = if cursor.accept("TO") { cursor.table_name() } else { None };
        let (Some(from), Some(to)) = (from, to) else {
            let tables = pairs.into_iter().flat_map(|(from, to)| [from, to]).collect();
            return Statement::Unknown { tables };
        };
        pairs.push((from, to));
        if !cursor.accept_punct(',') {
            return Statement::RenameTable { pairs };
        }
    }
}

fn xa(cursor: &mut Cursor<'_>) -> Statement {
    let verb = match cursor.advance().raw.to_ascii_uppercase().as_str() {
        "START" | "BEGIN" => XaVerb::Start,
        "END" => XaVerb::End,
        "PREPARE" => XaVerb::Prepare,
        "COMMIT" => XaVerb::Commit,
        "ROLLBACK" => XaVerb::Rollback,
        "RECOVER" => XaVerb::Recover,
        _ => return Statement::Unknown { tables: Vec::new() },
    };
    let mut xid = String::new();
    while matches!(cursor.peek().kind, Kind::Text | Kind::Number | Kind::Punct(',')) {
        xid.push_str(cursor.advance().raw);
    }
    Statement::Xa { verb, xid }
}

fn dml(cursor: &mut Cursor<'_>, word: &str) -> Option<Statement> {
    let modifiers = ["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "HISTORY"];
    let (kind, before_table) = match word {
        "INSERT" => (DmlKind::Insert, "INTO"),
        "REPLACE" => (DmlKind::Replace, "INTO"),
        "UPDATE" => (DmlKind::Update, ""),
        "DELETE" => (DmlKind::Delete, "FROM"),
        "LOAD" => {
            if !(cursor.sees("DATA") || cursor.sees("XML")) {
                // LOAD INDEX INTO CACHE
                return Some(Statement::Other);
            }
            while !cursor.at_end() && !cursor.accept_all(&["INTO", "TABLE"]) {
                cursor.skip();
            }
            return Some(Statement::Dml { kind: DmlKind::Load, table: cursor.table_name() });
        }
        "WITH" => {
            let verbs = ["UPDATE", "DELETE", "INSERT", "REPLACE", "SELECT", "TABLE", "VALUES"];
            while !cursor.at_end() {
                if let Some(verb) = verbs.into_iter().find(|verb| cursor.sees(verb)) {
                    cursor.advance();
                    return dml(cursor, verb);
                }
                cursor.skip();
            }
            return None;
        }
        "CALL" | "DO" | "SELECT" | "VALUES" | "TABLE" => {
            return Some(Statement::Dml { kind: DmlKind::Call, table: None });
        }
        _ => return None,
    };
    while cursor.accept_any(&modifiers) {}
    cursor.accept(before_table);
    Some(Statement::Dml { kind, table: cursor.table_name() })
}
