//! A column as a statement writes it, and what it becomes in a table of a certain character set.

use super::ColumnDef;
use super::character_set::{CharsetClause, bytes_per_character};

/// The longest VARCHAR and VARBINARY, in bytes. What is longer, the server makes a TEXT or BLOB.
const VARCHAR_BYTES_MAX: u64 = 65_535;

/// A column as a statement writes it. Its character set, and with it the size class of a `TEXT(n)`,
/// may depend on the table: [`ColumnSpec::resolve`] settles both.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSpec {
    /// The name.
    pub name: String,
    /// Whether NULL may occur, as far as the column's own clause says.
    pub nullable: bool,
    /// Whether the server computes the value.
    pub generated: bool,
    /// The clause makes the column the primary key.
    pub primary: bool,
    /// The clause gives the column a unique key of its own.
    pub unique: bool,
    /// The shape of its type.
    pub(super) shape: Shape,
    /// The character set and collation the clause names.
    pub(super) charset: CharsetClause,
    /// `BINARY` behind a text type: the `_bin` collation of whatever character set it has.
    pub(super) binary_collation: bool,
    /// MariaDB's `COMPRESSED`, which shows in the type's text.
    pub(super) compressed: bool,
}

/// A type, as far as it depends on nothing but the clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The final text of a type without a character set.
    Plain(String),
    /// `enum(…)` or `set(…)`: the final text of a type with a character set.
    Labels(String),
    /// `CHAR(n)` in characters.
    Char(u64),
    /// `VARCHAR(n)` in characters.
    Varchar(u64),
    /// A text type of that name.
    Text(&'static str),
    /// `TEXT(n)`: the smallest text type for so many characters.
    TextFor(u64),
    /// MariaDB's JSON: a LONGTEXT whose character set the table has no say in.
    JsonText,
}

/// The four size classes: text name, blob name, bytes.
const SIZE_CLASSES: [(&str, &str, u64); 4] = [
    ("tinytext", "tinyblob", 255),
    ("text", "blob", 65_535),
    ("mediumtext", "mediumblob", 16_777_215),
    ("longtext", "longblob", 4_294_967_295),
];

/// The smallest text type for so many bytes.
fn text_for(bytes: u64) -> &'static str {
    SIZE_CLASSES.iter().find(|class| bytes <= class.2).map_or("longtext", |class| class.0)
}

/// The smallest blob type for so many bytes.
pub(super) fn blob_for(bytes: u64) -> &'static str {
    SIZE_CLASSES.iter().find(|class| bytes <= class.2).map_or("longblob", |class| class.1)
}

/// The blob type of a text type's size.
fn blob_of(text: &str) -> &'static str {
    SIZE_CLASSES.iter().find(|class| class.0 == text).map_or("longblob", |class| class.1)
}

impl ColumnSpec {
    /// The column in a table of that default character set and collation.
    pub fn resolve(&self, table_charset: Option<&str>, table_collation: Option<&str>) -> ColumnDef {
        let mut clause = self.charset.or_default(table_charset, table_collation);
        let charset = clause.charset.clone();
        if self.binary_collation && self.charset.collation.is_none() {
            clause.collation =
                charset.as_deref().filter(|set| *set != "binary").map(|set| format!("{set}_bin"));
        }
        let binary = charset.as_deref() == Some("binary");
        let width = bytes_per_character(charset.as_deref().unwrap_or(""));
        let (column_type, has_charset) = match &self.shape {
            Shape::Plain(text) => (text.clone(), false),
            Shape::Labels(text) => (text.clone(), true),
            Shape::Char(length) if binary => (format!("binary({length})"), false),
            Shape::Char(length) => (format!("char({length})"), true),
            Shape::Varchar(length) => varchar(*length, width, binary),
            Shape::Text(name) if binary => (blob_of(name).to_owned(), false),
            Shape::Text(name) => ((*name).to_owned(), true),
            Shape::TextFor(length) if binary => (blob_for(*length).to_owned(), false),
            Shape::TextFor(length) => (text_for(length.saturating_mul(width)).to_owned(), true),
            Shape::JsonText => {
                clause = CharsetClause {
                    charset: Some("utf8mb4".to_owned()),
                    collation: Some("utf8mb4_bin".to_owned()),
                    written: true,
                };
                ("longtext".to_owned(), true)
            }
        };
        ColumnDef {
            name: self.name.clone(),
            column_type: if self.compressed {
                format!("{column_type} /*M!100301 COMPRESSED*/")
            } else {
                column_type
            },
            charset: clause.charset.filter(|_| has_charset),
            collation: clause.collation.filter(|_| has_charset),
            nullable: self.nullable,
            generated: self.generated,
        }
    }
}

/// A VARCHAR or VARBINARY of so many characters of that width, or the type it becomes when that is
/// too long; and whether the type has a character set.
pub(super) fn varchar(length: u64, width: u64, binary: bool) -> (String, bool) {
    if length.saturating_mul(width) > VARCHAR_BYTES_MAX {
        let bytes = length.saturating_mul(width);
        return if binary { (blob_for(bytes).to_owned(), false) } else { (text_for(bytes).to_owned(), true) };
    }
    if binary { (format!("varbinary({length})"), false) } else { (format!("varchar({length})"), true) }
}

/// The column after `CONVERT TO CHARACTER SET`. Text columns keep room for as many characters as
/// before, so a TEXT may grow into a MEDIUMTEXT. A VARCHAR that no longer fits becomes a text type
/// of the size MariaDB chooses; MySQL makes a TEXT of all of them.
pub(super) fn convert(column: &mut ColumnDef, charset: &str, collation: Option<&str>) {
    let Some(before) = column.charset.clone() else { return };
    let (kind, suffix) = match column.column_type.split_once(" /*M!") {
        Some((kind, suffix)) => (kind.to_owned(), format!(" /*M!{suffix}")),
        None => (column.column_type.clone(), String::new()),
    };
    let (was, is) = (bytes_per_character(&before), bytes_per_character(charset));
    let binary = charset == "binary";
    let mut has_charset = true;
    let length = |prefix: &str| -> Option<u64> {
        kind.strip_prefix(prefix)?.strip_prefix('(')?.strip_suffix(')')?.parse().ok()
    };
    let new_type = if let Some(length) = length("char") {
        has_charset = !binary;
        // The number stays and counts bytes from now on, on both servers.
        if binary { format!("binary({length})") } else { kind.clone() }
    } else if let Some(length) = length("varchar") {
        let (text, keeps) = varchar(length, is, binary);
        has_charset = keeps;
        text
    } else if let Some(class) = SIZE_CLASSES.iter().find(|class| class.0 == kind) {
        has_charset = !binary;
        if binary {
            class.1.to_owned()
        } else {
            let grown = text_for((class.2 / was).saturating_mul(is));
            // Never into a smaller class.
            if is > was { grown.to_owned() } else { kind.clone() }
        }
    } else {
        kind.clone()
    };
    column.column_type = new_type + &suffix;
    column.charset = has_charset.then(|| charset.to_owned());
    column.collation = collation.filter(|_| has_charset).map(str::to_owned);
}
