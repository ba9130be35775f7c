//! Which tables a job captures.

use culvert_api::{Error, ErrorKind, Result, TableId};
use regex::Regex;

/// The rules of `table-names`, `table-pattern`, `database-names` and `database-pattern`.
#[derive(Clone, Debug)]
pub(crate) struct TableSelection {
    databases: Vec<String>,
    database_pattern: Option<Regex>,
    tables: Vec<TableRule>,
}

#[derive(Clone, Debug)]
struct TableRule {
    /// As the user wrote it.
    text: String,
    pattern: Regex,
}

impl TableSelection {
    /// Builds the rules. An entry of `table-names` is a regular expression on the full name
    /// `database.table`, anchored at both ends, as in the job files users have.
    pub(crate) fn new(
        databases: Vec<String>,
        database_pattern: Option<&str>,
        tables: Vec<String>,
        table_pattern: Option<&str>,
    ) -> Result<TableSelection> {
        let mut rules = Vec::new();
        for text in tables {
            rules.push(TableRule { pattern: anchored("table-names", &text)?, text });
        }
        if let Some(text) = table_pattern {
            rules.push(TableRule { pattern: anchored("table-pattern", text)?, text: text.to_owned() });
        }
        if rules.is_empty() {
            return Err(Error::new(ErrorKind::Config, "no table is named")
                .hint("set table-names = [\"database.table\"] or table-pattern"));
        }
        let database_pattern = database_pattern.map(|text| anchored("database-pattern", text)).transpose()?;
        Ok(TableSelection { databases, database_pattern, tables: rules })
    }

    /// Whether the job captures this table. The server's own databases are never captured.
    pub(crate) fn matches(&self, id: &TableId) -> bool {
        let own = ["mysql", "information_schema", "performance_schema", "sys"];
        if own.iter().any(|name| id.database.eq_ignore_ascii_case(name)) {
            return false;
        }
        let database = &id.database;
        let listed = self.databases.is_empty() || self.databases.iter().any(|name| name == database);
        let matched = self.database_pattern.as_ref().is_none_or(|pattern| pattern.is_match(database));
        let full = id.to_string();
        listed && matched && self.tables.iter().any(|rule| rule.pattern.is_match(&full))
    }

    /// The rules that no existing table meets, as the user wrote them.
    pub(crate) fn unmet(&self, existing: &[TableId]) -> Vec<&str> {
        let names: Vec<String> = existing.iter().map(TableId::to_string).collect();
        let met = |rule: &&TableRule| names.iter().any(|name| rule.pattern.is_match(name));
        self.tables.iter().filter(|rule| !met(rule)).map(|rule| rule.text.as_str()).collect()
    }
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

    #[test]
    fn names_are_anchored_expressions() {
        let selection =
            TableSelection::new(vec![], None, vec!["cdc.w".into(), r"shop\.order_\d+".into()], None).unwrap();
        assert!(selection.matches(&TableId::new("cdc", "w")));
        assert!(!selection.matches(&TableId::new("cdc", "w2")));
        assert!(selection.matches(&TableId::new("shop", "order_17")));
        assert!(!selection.matches(&TableId::new("shop", "order_x")));
        assert_eq!(selection.unmet(&[TableId::new("cdc", "w")]), vec![r"shop\.order_\d+"]);
    }

    #[test]
    fn databases_narrow_and_the_servers_own_are_never_captured() {
        let selection = TableSelection::new(vec!["a".into()], None, vec![], Some(".*")).unwrap();
        assert!(selection.matches(&TableId::new("a", "t")));
        assert!(!selection.matches(&TableId::new("b", "t")));
        let all = TableSelection::new(vec![], None, vec![".*".into()], None).unwrap();
        assert!(!all.matches(&TableId::new("mysql", "user")));
    }

    #[test]
    fn a_bad_expression_names_its_option() {
        let error = TableSelection::new(vec![], None, vec!["db.(".into()], None).unwrap_err();
        assert!(error.to_string().contains("table-names"), "{error}");
    }
}
