//! Column types: every spelling the servers accept, turned into the one `information_schema` shows.

use super::character_set::{CharsetClause, normal_charset, normal_collation};
use super::column_spec::{Shape, blob_for, varchar};
use super::cursor::Cursor;
use super::lexer::Kind;

/// What reading a type yields besides its shape.
pub(super) struct TypeClause {
    pub(super) shape: Shape,
    pub(super) charset: CharsetClause,
    pub(super) binary_collation: bool,
    /// `SERIAL` is a unique key, and takes no NULL.
    pub(super) serial: bool,
    /// TIMESTAMP, which may not take NULL by default.
    pub(super) timestamp: bool,
}

impl TypeClause {
    fn of(shape: Shape) -> TypeClause {
        TypeClause {
            shape,
            charset: CharsetClause::default(),
            binary_collation: false,
            serial: false,
            timestamp: false,
        }
    }

    fn plain(text: impl Into<String>) -> TypeClause {
        TypeClause::of(Shape::Plain(text.into()))
    }

    fn national(shape: Shape) -> TypeClause {
        let mut clause = TypeClause::of(shape);
        clause.charset =
            CharsetClause { charset: Some("utf8mb3".to_owned()), collation: None, written: true };
        clause
    }
}

/// Reads a type. `None` when the word is no type this parser knows.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<TypeClause> {
    let token = cursor.peek();
    if token.kind != Kind::Word {
        return None;
    }
    let word = token.raw.to_ascii_uppercase();
    cursor.advance();
    let mut clause = match numeric(cursor, &word) {
        Some(clause) => clause,
        None => match temporal(cursor, &word) {
            Some(clause) => clause,
            None => match bytes_or_text(cursor, &word) {
                Some(clause) => clause,
                None => other(cursor, &word)?,
            },
        },
    };
    charset_attributes(cursor, &mut clause);
    Some(clause)
}

/// The numbers in parentheses, if any: `(10)`, `(10,2)`.
fn arguments(cursor: &mut Cursor<'_>) -> Vec<u64> {
    let mut numbers = Vec::new();
    if !cursor.accept_punct('(') {
        return numbers;
    }
    while !cursor.at_end() && !cursor.accept_punct(')') {
        if let Ok(number) = cursor.peek().raw.parse()
            && numbers.len() < 2
        {
            numbers.push(number);
        }
        cursor.skip();
    }
    numbers
}

fn argument(cursor: &mut Cursor<'_>) -> Option<u64> {
    arguments(cursor).first().copied()
}

/// `UNSIGNED`, `SIGNED`, `ZEROFILL` in any order.
fn signs(cursor: &mut Cursor<'_>) -> (bool, bool) {
    let (mut unsigned, mut zerofill) = (false, false);
    loop {
        if cursor.accept("UNSIGNED") {
            unsigned = true;
        } else if cursor.accept("ZEROFILL") {
            zerofill = true;
        } else if !cursor.accept("SIGNED") {
            // ZEROFILL makes a column unsigned.
            return (unsigned || zerofill, zerofill);
        }
    }
}

fn with_signs(mut text: String, signs: (bool, bool)) -> TypeClause {
    if signs.0 {
        text.push_str(" unsigned");
    }
    if signs.1 {
        text.push_str(" zerofill");
    }
    TypeClause::plain(text)
}

/// An integer type; `widths` are the server's default display widths, signed and unsigned.
fn integer(cursor: &mut Cursor<'_>, name: &str, widths: (u64, u64)) -> TypeClause {
    let width = argument(cursor).filter(|width| *width != 0);
    let signs = signs(cursor);
    let default = if signs.0 { widths.1 } else { widths.0 };
    let shown =
        cursor.options.shows_widths() || signs.1 || (name == "tinyint" && width == Some(1) && !signs.0);
    let text = if shown { format!("{name}({})", width.unwrap_or(default)) } else { name.to_owned() };
    with_signs(text, signs)
}

/// An approximate number, `name(m,d)` when both are given.
fn floating(cursor: &mut Cursor<'_>, name: &str) -> TypeClause {
    let text = match arguments(cursor).as_slice() {
        [size, digits, ..] => format!("{name}({size},{digits})"),
        // FLOAT(p) chooses by precision in bits.
        [bits] if name == "float" && *bits > 24 => "double".to_owned(),
        _ => name.to_owned(),
    };
    with_signs(text, signs(cursor))
}

fn numeric(cursor: &mut Cursor<'_>, word: &str) -> Option<TypeClause> {
    Some(match word {
        "TINYINT" | "INT1" => integer(cursor, "tinyint", (4, 3)),
        "SMALLINT" | "INT2" => integer(cursor, "smallint", (6, 5)),
        "MEDIUMINT" | "MIDDLEINT" | "INT3" => integer(cursor, "mediumint", (9, 8)),
        "INT" | "INTEGER" | "INT4" => integer(cursor, "int", (11, 10)),
        "BIGINT" | "INT8" => integer(cursor, "bigint", (20, 20)),
        "BOOL" | "BOOLEAN" => TypeClause::plain("tinyint(1)"),
        "SERIAL" => {
            let shown = if cursor.options.shows_widths() { "bigint(20) unsigned" } else { "bigint unsigned" };
            TypeClause { serial: true, ..TypeClause::plain(shown) }
        }
        "FLOAT" | "FLOAT4" => floating(cursor, "float"),
        "DOUBLE" | "FLOAT8" => {
            cursor.accept("PRECISION");
            floating(cursor, "double")
        }
        "REAL" if cursor.options.real_as_float() => floating(cursor, "float"),
        "REAL" => floating(cursor, "double"),
        "NUMBER" if !cursor.sees_punct('(') => with_signs("double".to_owned(), signs(cursor)),
        "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" | "NUMBER" => {
            let numbers = arguments(cursor);
            let precision = numbers.first().copied().filter(|precision| *precision != 0).unwrap_or(10);
            let scale = numbers.get(1).copied().unwrap_or(0);
            let text = format!("decimal({precision},{scale})");
            with_signs(text, signs(cursor))
        }
        "BIT" => {
            let bits = argument(cursor).filter(|bits| *bits != 0).unwrap_or(1);
            TypeClause::plain(format!("bit({bits})"))
        }
        _ => return None,
    })
}

fn temporal(cursor: &mut Cursor<'_>, word: &str) -> Option<TypeClause> {
    let fraction = |cursor: &mut Cursor<'_>, name: &str| match argument(cursor) {
        Some(digits) if digits > 0 => TypeClause::plain(format!("{name}({digits})")),
        _ => TypeClause::plain(name),
    };
    Some(match word {
        "DATE" if cursor.options.oracle() => TypeClause::plain("datetime"),
        "DATE" => TypeClause::plain("date"),
        "TIME" => fraction(cursor, "time"),
        "DATETIME" => fraction(cursor, "datetime"),
        "TIMESTAMP" => TypeClause { timestamp: true, ..fraction(cursor, "timestamp") },
        "YEAR" => {
            let width = argument(cursor);
            signs(cursor);
            if !cursor.options.shows_widths() {
                TypeClause::plain("year")
            } else if width == Some(2) && cursor.options.mariadb {
                TypeClause::plain("year(2)")
            } else {
                TypeClause::plain("year(4)")
            }
        }
        _ => return None,
    })
}

fn bytes_or_text(cursor: &mut Cursor<'_>, word: &str) -> Option<TypeClause> {
    Some(match word {
        "CHAR" | "CHARACTER" | "NCHAR" => {
            let varying = cursor.accept_any(&["VARYING", "VARCHAR", "VARCHARACTER"]);
            let length = argument(cursor).unwrap_or(1);
            let shape = if varying { Shape::Varchar(length) } else { Shape::Char(length) };
            if word == "NCHAR" { TypeClause::national(shape) } else { TypeClause::of(shape) }
        }
        "NATIONAL" => {
            let varying = if cursor.accept_any(&["VARCHAR", "VARCHARACTER"]) {
                true
            } else if cursor.accept_any(&["CHAR", "CHARACTER"]) {
                cursor.accept("VARYING")
            } else {
                return None;
            };
            let length = argument(cursor).unwrap_or(1);
            TypeClause::national(if varying { Shape::Varchar(length) } else { Shape::Char(length) })
        }
        "VARCHAR" | "VARCHARACTER" | "VARCHAR2" => {
            TypeClause::of(Shape::Varchar(argument(cursor).unwrap_or(1)))
        }
        "NVARCHAR" => TypeClause::national(Shape::Varchar(argument(cursor).unwrap_or(1))),
        "BINARY" => TypeClause::plain(format!("binary({})", argument(cursor).unwrap_or(1))),
        "VARBINARY" | "RAW" => TypeClause::plain(varchar(argument(cursor).unwrap_or(1), 1, true).0),
        "TINYTEXT" => TypeClause::of(Shape::Text("tinytext")),
        "TEXT" => TypeClause::of(match argument(cursor) {
            Some(length) if length > 0 => Shape::TextFor(length),
            _ => Shape::Text("text"),
        }),
        "MEDIUMTEXT" => TypeClause::of(Shape::Text("mediumtext")),
        "LONGTEXT" => TypeClause::of(Shape::Text("longtext")),
        "CLOB" => {
            argument(cursor);
            TypeClause::of(Shape::Text("longtext"))
        }
        "TINYBLOB" => TypeClause::plain("tinyblob"),
        "BLOB" => TypeClause::plain(match argument(cursor) {
            Some(length) if length > 0 => blob_for(length),
            _ if cursor.options.oracle() => "longblob",
            _ => "blob",
        }),
        "MEDIUMBLOB" => TypeClause::plain("mediumblob"),
        "LONGBLOB" => TypeClause::plain("longblob"),
        "LONG" => {
            if cursor.accept("VARBINARY") {
                TypeClause::plain("mediumblob")
            } else {
                let _ = cursor.accept_any(&["VARCHAR", "VARCHARACTER"])
                    || cursor.accept_all(&["CHAR", "VARYING"])
                    || cursor.accept_all(&["CHARACTER", "VARYING"]);
                TypeClause::of(Shape::Text("mediumtext"))
            }
        }
        "ENUM" => TypeClause::of(Shape::Labels(labels(cursor, "enum")?)),
        "SET" => TypeClause::of(Shape::Labels(labels(cursor, "set")?)),
        _ => return None,
    })
}

fn other(cursor: &mut Cursor<'_>, word: &str) -> Option<TypeClause> {
    Some(match word {
        "JSON" if cursor.options.mariadb => TypeClause::of(Shape::JsonText),
        "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => {
            let modern =
                !cursor.options.mariadb && (cursor.options.version == 0 || cursor.options.version >= 80_000);
            TypeClause::plain(if modern { "geomcollection" } else { "geometrycollection" })
        }
        "JSON" | "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING"
        | "MULTIPOLYGON" | "INET4" | "INET6" | "UUID" | "XMLTYPE" => {
            arguments(cursor);
            TypeClause::plain(word.to_ascii_lowercase())
        }
        // MySQL's default dimension.
        "VECTOR" => TypeClause::plain(format!("vector({})", argument(cursor).unwrap_or(2048))),
        _ => return None,
    })
}

/// The labels of an ENUM or SET, in the quoting `information_schema` uses.
fn labels(cursor: &mut Cursor<'_>, name: &str) -> Option<String> {
    if !cursor.accept_punct('(') {
        return None;
    }
    let mut text = format!("{name}(");
    loop {
        let label = match cursor.peek().kind {
            Kind::Number => bytes_of_literal(cursor.advance().raw)?,
            _ => cursor.text()?,
        };
        text.push('\'');
        push_label(&mut text, label.trim_end_matches(' '));
        text.push('\'');
        if cursor.accept_punct(')') {
            text.push(')');
            return Some(text);
        }
        if !cursor.accept_punct(',') {
            return None;
        }
        text.push(',');
    }
}

/// Backslashes are shown escaped whatever mode the statement ran in.
fn push_label(text: &mut String, label: &str) {
    for c in label.chars() {
        match c {
            '\'' => text.push_str("''"),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\0' => text.push_str("\\0"),
            other => text.push(other),
        }
    }
}

/// The text a hex or bit literal stands for; `None` when it is not UTF-8.
fn bytes_of_literal(raw: &str) -> Option<String> {
    let lower = raw.to_ascii_lowercase();
    let (digits, bits) = if let Some(tail) = lower.strip_prefix("0x") {
        (tail, 4)
    } else if let Some(tail) = lower.strip_prefix("0b") {
        (tail, 1)
    } else if let Some(tail) = lower.strip_prefix("x'") {
        (tail.trim_end_matches('\''), 4)
    } else if let Some(tail) = lower.strip_prefix("b'") {
        (tail.trim_end_matches('\''), 1)
    } else {
        return None;
    };
    let per_byte = 8 / bits;
    // Missing leading digits count as zeros.
    let missing = (per_byte - digits.len() % per_byte) % per_byte;
    let padded = "0".repeat(missing) + digits;
    let mut bytes = Vec::with_capacity(padded.len() / per_byte);
    for chunk in padded.as_bytes().chunks(per_byte) {
        let chunk = std::str::from_utf8(chunk).ok()?;
        bytes.push(u8::from_str_radix(chunk, 1 << bits).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// What can follow a text type: character set, collation, and their old spellings.
fn charset_attributes(cursor: &mut Cursor<'_>, clause: &mut TypeClause) {
    while charset_attribute(cursor, clause) {}
}

/// Reads one such attribute, if one is next.
pub(super) fn charset_attribute(cursor: &mut Cursor<'_>, clause: &mut TypeClause) -> bool {
    let named =
        |charset: &str| CharsetClause { charset: Some(charset.to_owned()), collation: None, written: true };
    if let Some(read) = charset_clause(cursor) {
        clause.charset.charset = read.charset.or(clause.charset.charset.take());
        clause.charset.collation = read.collation.or(clause.charset.collation.take());
        clause.charset.written = true;
    } else if cursor.accept("ASCII") {
        clause.charset = named("latin1");
    } else if cursor.accept("UNICODE") {
        clause.charset = named("ucs2");
    } else if cursor.accept("BYTE") {
        clause.charset = named("binary");
    } else if matches!(clause.shape, Shape::Plain(_)) || !cursor.accept("BINARY") {
        return false;
    } else {
        clause.binary_collation = true;
    }
    true
}

/// `CHARACTER SET x`, `CHARSET x`, `CHAR SET x` or `COLLATE y`, with or without `=`.
pub(super) fn charset_clause(cursor: &mut Cursor<'_>) -> Option<CharsetClause> {
    let charset = if cursor.accept_all(&["CHARACTER", "SET"])
        || cursor.accept_all(&["CHAR", "SET"])
        || cursor.accept("CHARSET")
    {
        true
    } else if cursor.accept("COLLATE") {
        false
    } else {
        return None;
    };
    cursor.accept_punct('=');
    let is_default = cursor.sees("DEFAULT");
    let name = match cursor.peek().kind {
        Kind::Text => cursor.text(),
        _ => cursor.name(),
    };
    let name = name.filter(|_| !is_default);
    Some(if charset {
        CharsetClause { charset: name.as_deref().map(normal_charset), collation: None, written: true }
    } else {
        CharsetClause { charset: None, collation: name.as_deref().map(normal_collation), written: true }
    })
}
