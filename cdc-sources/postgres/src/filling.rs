//! What rows that were there have in an added column.
//!
//! The log does not tell. The catalog keeps a constant default for the rows of before (`attmissingval`),
//! until something rewrites the table; from then on only its files know. The file's number tells
//! whether that happened since it was looked at last.

use std::collections::HashMap;

use culvert_api::Result;
use culvert_postgres::Client;

use crate::catalog::{NOT_NULL, is_true, optional, parsed, query, text};
use crate::shape::TableDef;

/// What rows that were there get in an added column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Filling {
    /// NULL.
    #[default]
    Nothing,
    /// One value for all of them, as printed.
    Value(String),
    /// Values that neither log nor catalog tell.
    Computed,
}

/// What the catalog tells of the columns of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fillings {
    /// The table's file; `None` for a partitioned table.
    filenode: Option<u32>,
    columns: HashMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    /// `attnum`.
    number: i16,
    /// Values kept for rows of before the column, by tables that hold rows: all different ones.
    kept: Vec<String>,
    /// Tables that hold rows and keep none.
    without: bool,
    /// New rows get a value by themselves.
    has_default: bool,
    not_null: bool,
}

impl Fillings {
    /// Reads them from the catalog, as of the client's view.
    pub(crate) async fn read(client: &Client, oid: u32) -> Result<Fillings> {
        let statement = format!(
            "SELECT a.attname, {NOT_NULL}, \
             d.adbin IS NOT NULL OR a.attidentity <> '' OR t.typdefault IS NOT NULL, \
             pg_catalog.pg_relation_filenode(a.attrelid), \
             k.kept, coalesce(k.without, true), a.attnum \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             LEFT JOIN LATERAL (SELECT jsonb_agg(DISTINCT (p.attmissingval::text::text[])[1]) \
              FILTER (WHERE p.atthasmissing) AS kept, bool_or(NOT p.atthasmissing) AS without \
              FROM (SELECT {oid}::oid AS relid UNION SELECT relid FROM pg_catalog.pg_partition_tree({oid})) f \
              JOIN pg_catalog.pg_class c ON c.oid = f.relid AND c.relkind = 'r' \
              JOIN pg_catalog.pg_attribute p ON p.attrelid = f.relid AND p.attname = a.attname AND NOT p.attisdropped) k ON true \
             WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped"
        );
        let mut fillings = Fillings::default();
        for row in query(client, &statement, "reading defaults").await? {
            fillings.filenode = optional(&row, 3).and_then(|number| number.parse().ok());
            let kept = optional(&row, 4).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
            let known = Known {
                number: parsed(&row, 6)?,
                kept,
                without: is_true(&row, 5),
                has_default: is_true(&row, 2),
                not_null: is_true(&row, 1),
            };
            fillings.columns.insert(text(&row, 0).to_owned(), known);
        }
        Ok(fillings)
    }

    /// What rows that were there have in a column that is in the shape after and not in the one before.
    pub(crate) fn of(&self, column: &str, before: &TableDef, after: &TableDef) -> Filling {
        if let Some(known) = self.columns.get(column) {
            return self.judge(known, before.filenode);
        }
        // It has another name by now, or is gone. Which of those that came it is, nobody tells.
        let may_be_it = |(name, known): &(&String, &Known)| {
            after.column_index(name).is_none()
                && !before.columns.iter().any(|old| old.number == known.number || old.name == **name)
        };
        let mut fillings =
            self.columns.iter().filter(may_be_it).map(|(_, known)| self.judge(known, before.filenode));
        if fillings.all(|filling| filling == Filling::Nothing) { Filling::Nothing } else { Filling::Computed }
    }

    fn judge(&self, known: &Known, filenode: Option<u32>) -> Filling {
        let is_known = filenode.is_some() && self.filenode.is_some();
        match known.kept.as_slice() {
            [value] if !known.without => Filling::Value(value.clone()),
            // Nothing was kept, and nothing was rewritten: there was no default.
            [] if is_known && self.filenode == filenode => Filling::Nothing,
            [] if known.has_default => Filling::Computed,
            // The default was taken away again, or an update gave the rows their values.
            [] if is_known && known.not_null => Filling::Computed,
            [] => Filling::Nothing,
            _ => Filling::Computed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_a_value() {
        let known = |kept: &[&str], without, has_default, not_null| Known {
            number: 3,
            kept: kept.iter().map(ToString::to_string).collect(),
            without,
            has_default,
            not_null,
        };
        let value = || Filling::Value("5".into());
        for (before, now, known, expected) in [
            (Some(1), Some(1), known(&["5"], false, true, true), value()),
            (Some(1), Some(2), known(&["5"], false, false, false), value()),
            (Some(1), Some(1), known(&[], true, true, true), Filling::Nothing),
            (Some(1), Some(2), known(&[], true, true, false), Filling::Computed),
            (Some(1), Some(2), known(&[], true, false, true), Filling::Computed),
            (Some(1), Some(2), known(&[], true, false, false), Filling::Nothing),
            // Nothing is known of before.
            (None, Some(2), known(&[], true, true, false), Filling::Computed),
            (None, Some(2), known(&[], true, false, true), Filling::Nothing),
            // Partitions: they agree, they do not, some were rewritten.
            (None, None, known(&["5"], false, true, false), value()),
            (None, None, known(&["5", "6"], false, true, false), Filling::Computed),
            (None, None, known(&["5"], true, true, false), Filling::Computed),
            (None, None, known(&[], true, false, false), Filling::Nothing),
        ] {
            let fillings = Fillings { filenode: now, columns: HashMap::new() };
            assert_eq!(fillings.judge(&known, before), expected, "{before:?} {now:?} {known:?}");
        }
    }
}
