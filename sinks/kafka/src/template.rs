//! `topic`, with placeholders: some are the table's, the others are columns of the row.

use culvert_api::TableSchema;

/// Longest name of a topic.
const TOPIC_CHARS_MAX: usize = 249;

/// A topic as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A name, and what stands for it when it is empty.
    Placeholder(String, Option<String>),
}

/// A piece of a table's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The same for all rows.
    Text(String),
    /// The row's value in the column of this name.
    Column(String),
}

/// Whether a broker takes it as a topic's name.
pub(crate) fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty()
        && name.len() <= TOPIC_CHARS_MAX
        && name != "."
        && name != ".."
        && name.chars().all(legal)
}

impl Template {
    /// Reads it. The error completes "option 'topic' …".
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once("${") {
            parts.push(Part::Text(before.to_owned()));
            let (inner, after) = from.split_once('}').ok_or("has a `${` without its `}`")?;
            let (name, default) = match inner.split_once(':') {
                Some((name, default)) => (name, Some(default.trim().to_owned())),
                None => (inner, None),
            };
            parts.push(Part::Placeholder(name.trim().to_owned(), default));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let texts = parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Placeholder(..) => None,
        });
        let written: String = texts.collect();
        let placeholders = parts.len() > 1;
        if !(is_topic_name(&written)
            || placeholders && (written.is_empty() || is_topic_name(&format!("a{written}"))))
        {
            return Err(
                "may hold letters and digits of ASCII, `.`, `_` and `-`, and at most 249 of them".into()
            );
        }
        Ok(Template { parts })
    }

    /// The topic, when it is the same for all tables.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Fills in what is the table's. Names that are the table's count before those of columns.
    pub(crate) fn of_table(&self, table: &TableSchema) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Placeholder(name, default) => match of_table(name, table) {
                    Some(value) if !value.is_empty() => text.push_str(&value),
                    Some(_) => text.push_str(default.as_deref().unwrap_or_default()),
                    None => {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                        pieces.push(Piece::Column(name.clone()));
                    }
                },
            }
        }
        pieces.push(Piece::Text(text));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        pieces
    }
}

fn of_table(name: &str, table: &TableSchema) -> Option<String> {
    let id = &table.id;
    let schema = id.schema.as_deref();
    Some(match name {
        "database_name" => id.database.clone(),
        "schema_name" => schema.unwrap_or_default().to_owned(),
        "table_name" => id.table.clone(),
        "schema_full_name" => match schema {
            Some(schema) => format!("{}.{schema}", id.database),
            None => id.database.clone(),
        },
        "table_full_name" => id.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_schema::DataType;
    use culvert_api::{Column, RowKindSet, TableId};

    use super::*;

    fn pieces(template: &str) -> Vec<Piece> {
        let columns = vec![Column::derived("region", DataType::Utf8, true)];
        let table = TableSchema::new(TableId::new("db", "t"), 1, columns, vec![], RowKindSet::ALL);
        Template::parse(template).unwrap().of_table(&table)
    }

    #[test]
    fn names_of_tables_and_of_columns() {
        let text = |text: &str| Piece::Text(text.into());
        assert_eq!(pieces("plain"), [text("plain")]);
        assert_eq!(pieces("cdc.${database_name}.${schema_name:x}.${table_name}"), [text("cdc.db.x.t")]);
        assert_eq!(pieces("${table_full_name}-${schema_full_name}${schema_name}"), [text("db.t-db")]);
        assert_eq!(pieces("${region}"), [Piece::Column("region".into())]);
        let mixed = [text("t_"), Piece::Column("region".into()), text("_x")];
        assert_eq!(pieces("${table_name}_${region}_x"), mixed);
        assert_eq!(Template::parse("plain").unwrap().fixed(), Some("plain"));
        assert_eq!(Template::parse("${a}").unwrap().fixed(), None);
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        for bad in ["", ".", "..", "a b", "ä", "a/b", "${open", "x ${a}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(!is_topic_name(&"x".repeat(250)) && is_topic_name(&"x".repeat(249)));
    }
}
