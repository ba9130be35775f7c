//! Which tables a job captures.

use culvert_api::{Error, ErrorKind, Result, TableId};
use regex::Regex;

/// The rules of `table-names`, `table-pattern` and `schema-names`, in one database.
#[derive(Clone, Debug)]
pub(crate) struct TableSelection {
    schemas: Vec<String>,
    tables: Vec<TableRule>,
}

#[derive(Clone, Debug)]
struct TableRule {
    /// As the user wrote it.
    text: String,
    pattern: Regex,
}

impl TableSelection {
    /// Builds the rules. An entry of `table-names` is a regular expression on `database.schema.table`
    /// or on `schema.table`, anchored at both ends, as in the job files users have; a name that is
    /// meant as it stands may hold anything.
    pub(crate) fn new(
        schemas: Vec<String>,
        tables: Vec<String>,
        table_pattern: Option<&str>,
    ) -> Result<TableSelection> {
        let mut rules = Vec::new();
        for text in tables {
            let pattern = anchored("table-names", &text).or_else(|error| {
                // A name such as `public.f(x` is no expression, and means itself.
                anchored("table-names", &regex::escape(&text)).map_err(|_| error)
            })?;
            rules.push(TableRule { pattern, text });
        }
        if let Some(text) = table_pattern {
            rules.push(TableRule { pattern: anchored("table-pattern", text)?, text: text.to_owned() });
        }
        if rules.is_empty() {
            return Err(Error::new(ErrorKind::Config, "no table is named")
                .hint("set table-names = [\"database.schema.table\"] or table-pattern"));
        }
        Ok(TableSelection { schemas, tables: rules })
    }

    /// Whether the job captures this table. The server's own schemas are never captured.
    pub(crate) fn matches(&self, id: &TableId) -> bool {
        let schema = id.schema.as_deref().unwrap_or_default();
        if schema == "information_schema" || schema.starts_with("pg_") {
            return false;
        }
        let listed = self.schemas.is_empty() || self.schemas.iter().any(|name| name == schema);
        listed && self.tables.iter().any(|rule| rule.matches(id))
    }

    /// Whether the table's very name is written, and not only an expression that matches it.
    pub(crate) fn names(&self, id: &TableId) -> bool {
        self.matches(id) && self.tables.iter().any(|rule| rule.names(id))
    }

    /// The rules that no existing table meets, as the user wrote them.
    pub(crate) fn unmet(&self, existing: &[TableId]) -> Vec<&str> {
        let met = |rule: &&TableRule| existing.iter().any(|id| rule.matches(id));
        self.tables.iter().filter(|rule| !met(rule)).map(|rule| rule.text.as_str()).collect()
    }
}

impl TableRule {
    fn matches(&self, id: &TableId) -> bool {
        self.names(id) || both_names(id).iter().any(|name| self.pattern.is_match(name))
    }

    fn names(&self, id: &TableId) -> bool {
        both_names(id).contains(&self.text)
    }
}

/// With the database and without it.
fn both_names(id: &TableId) -> [String; 2] {
    let short = format!("{}.{}", id.schema.as_deref().unwrap_or_default(), id.table);
    [id.to_string(), short]
}

fn anchored(option: &str, text: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        Error::new(ErrorKind::Config, format!("option '{option}' is not a regular expression: {error}"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(schema: &str, table: &str) -> TableId {
        TableId { database: "shop".into(), schema: Some(schema.into()), table: table.into() }
    }

    #[test]
    fn names_are_anchored_expressions_with_or_without_the_database() {
        let names =
            vec!["shop.public.w".into(), r"public\.order_\d+".into(), "public.drop table x;--(".into()];
        let selection = TableSelection::new(vec![], names, None).unwrap();
        for table in ["w", "order_17", "drop table x;--("] {
            assert!(selection.matches(&id("public", table)), "{table}");
        }
        for (table, written) in [("w", true), ("drop table x;--(", true), ("order_17", false), ("w2", false)]
        {
            assert_eq!(selection.names(&id("public", table)), written, "{table}");
        }
        for table in ["w2", "order_x"] {
            assert!(!selection.matches(&id("public", table)), "{table}");
        }
        assert_eq!(
            selection.unmet(&[id("public", "w"), id("public", "order_1")]),
            ["public.drop table x;--("]
        );
    }

    #[test]
    fn schemas_narrow_and_the_servers_own_are_never_captured() {
        let selection = TableSelection::new(vec!["a".into()], vec![], Some(".*")).unwrap();
        assert!(selection.matches(&id("a", "t")));
        assert!(!selection.matches(&id("b", "t")));
        let all = TableSelection::new(vec![], vec![".*".into()], None).unwrap();
        assert!(!all.matches(&id("pg_catalog", "pg_class")));
    }

    #[test]
    fn a_bad_expression_names_its_option() {
        let error = TableSelection::new(vec![], vec![], Some("db.(")).unwrap_err();
        assert!(error.to_string().contains("table-pattern"), "{error}");
    }
}
