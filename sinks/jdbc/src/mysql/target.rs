//! What a target table looks like on its server.

use std::collections::BTreeMap;

use culvert_api::{Error, ErrorKind, Result};

use crate::mysql::column_type::{Family, family};
use crate::mysql::connect::Session;
use crate::mysql::encode::Form;
use crate::mysql::quote::TargetName;
pub(crate) use culvert_api::sql_text::same_name;

/// A column of the target.
#[derive(Clone, Debug)]
pub(crate) struct TargetColumn {
    /// Its name as the target spells it.
    pub(crate) name: String,
    /// Its full type (`int(10) unsigned`).
    pub(crate) column_type: String,
    /// What it holds, and how finely.
    pub(crate) form: Form,
    /// Whether a row may leave it out.
    pub(crate) optional: bool,
    /// Whether it takes NULL.
    pub(crate) nullable: bool,
    /// Whether the target computes it.
    pub(crate) generated: bool,
    /// The collation of a text column.
    pub(crate) collation: Option<String>,
}

/// A unique index of the target, the primary key included.
#[derive(Clone, Debug, Default)]
pub(crate) struct UniqueIndex {
    /// Its columns in order; empty names stand for expressions.
    pub(crate) columns: Vec<String>,
    /// Whether it is the primary key.
    pub(crate) is_primary: bool,
    /// Whether it can tell every row from every other: whole columns, none of which takes NULL.
    pub(crate) is_key: bool,
}

/// A table of the target.
#[derive(Clone, Debug)]
pub(crate) struct TargetTable {
    /// Its name.
    pub(crate) name: TargetName,
    /// Its storage engine.
    pub(crate) engine: String,
    /// Its columns in order.
    pub(crate) columns: Vec<TargetColumn>,
    /// Its unique indexes, the primary key first.
    pub(crate) uniques: Vec<UniqueIndex>,
    /// Whether foreign keys of other tables point here.
    pub(crate) is_referenced: bool,
}

type ColumnRow = (
    String,
    String,
    String,
    String,
    Option<String>,
    String,
    Option<String>,
    Option<u32>,
    Option<i32>,
    Option<u64>,
);
type IndexRow = (String, Option<String>, Option<u64>, String);

impl TargetTable {
    /// Reads a table's shape; `None` when there is no such table.
    pub(crate) async fn read(session: &mut Session, name: &TargetName) -> Result<Option<TargetTable>> {
        let of_table = || (name.database.clone(), name.table.clone());
        let doing = format!("read the columns of {name}");
        let engine: Vec<(Option<String>, String)> = session
            .rows(
                "SELECT ENGINE, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                of_table(),
                &doing,
            )
            .await?;
        let Some((engine, kind)) = engine.into_iter().next() else {
            return Ok(None);
        };
        if !kind.eq_ignore_ascii_case("BASE TABLE") {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("{name} is a {}, not a table", kind.to_lowercase()),
            )
            .hint("name a base table"));
        }
        let columns: Vec<ColumnRow> = session
            .rows(
                "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, COLLATION_NAME, \
                 CAST(DATETIME_PRECISION AS UNSIGNED), CAST(NUMERIC_SCALE AS SIGNED), \
                 CAST(CHARACTER_OCTET_LENGTH AS UNSIGNED) \
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
                of_table(),
                &doing,
            )
            .await?;
        let indexes: Vec<IndexRow> = session
            .rows(
                "SELECT INDEX_NAME, COLUMN_NAME, CAST(SUB_PART AS UNSIGNED), COALESCE(NULLABLE, '') \
                 FROM information_schema.STATISTICS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
                of_table(),
                &doing,
            )
            .await?;
        let references: Vec<(i64,)> = session
            .rows(
                "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS \
                 WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND REFERENCED_TABLE_NAME = ?",
                of_table(),
                &doing,
            )
            .await?;
        Ok(Some(TargetTable {
            name: name.clone(),
            engine: engine.unwrap_or_default(),
            columns: columns.into_iter().map(column).collect(),
            uniques: unique_indexes(indexes),
            is_referenced: references.first().is_some_and(|(count,)| *count > 0),
        }))
    }

    /// A column by name; MySQL does not tell letter cases of column names apart.
    pub(crate) fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| same_name(&column.name, name))
    }

    /// The statement that makes the table take part in transactions.
    pub(crate) fn refuse_engine_without_transactions(&self) -> Result<()> {
        const WITHOUT_TRANSACTIONS: [&str; 9] = [
            "MyISAM",
            "Aria",
            "MEMORY",
            "CSV",
            "ARCHIVE",
            "BLACKHOLE",
            "MRG_MyISAM",
            "FEDERATED",
            "ColumnStore",
        ];
        if !WITHOUT_TRANSACTIONS.iter().any(|engine| engine.eq_ignore_ascii_case(&self.engine)) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Schema,
            format!(
                "table {} uses {}, which has no transactions: rows could arrive twice",
                self.name, self.engine
            ),
        )
        .hint(format!("run: ALTER TABLE {} ENGINE=InnoDB", self.name.quoted())))
    }
}

fn column(row: ColumnRow) -> TargetColumn {
    let (name, data_type, column_type, nullable, default, extra, collation, digits, scale, bytes) = row;
    let family = family(&data_type);
    let extra = extra.to_ascii_lowercase();
    let nullable = nullable.eq_ignore_ascii_case("YES");
    let generated = (extra.contains("generated") && !extra.contains("default_generated"))
        || extra.contains("virtual")
        || extra.contains("persistent");
    let form = Form {
        family,
        second_digits: digits.unwrap_or(6),
        scale: if family == Family::Decimal { scale.unwrap_or(i32::MAX) } else { i32::MAX },
        padded_bytes: match data_type.eq_ignore_ascii_case("binary") {
            true => bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default(),
            false => 0,
        },
        from_year_one: false,
    };
    let optional = nullable || default.is_some() || generated || extra.contains("auto_increment");
    TargetColumn { name, column_type, form, optional, nullable, generated, collation }
}

fn unique_indexes(rows: Vec<IndexRow>) -> Vec<UniqueIndex> {
    let mut by_name: BTreeMap<(bool, String), UniqueIndex> = BTreeMap::new();
    for (index, column, prefix, nullable) in rows {
        let is_primary = index == "PRIMARY";
        let entry = by_name.entry((!is_primary, index)).or_insert_with(|| UniqueIndex {
            columns: Vec::new(),
            is_primary,
            is_key: true,
        });
        entry.is_key &= column.is_some() && prefix.is_none() && !nullable.eq_ignore_ascii_case("YES");
        entry.columns.push(column.unwrap_or_default());
    }
    by_name.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_key_comes_first_and_unfit_indexes_are_no_keys() {
        let row = |index: &str, column: Option<&str>, prefix, nullable: &str| {
            (index.to_string(), column.map(str::to_string), prefix, nullable.to_string())
        };
        let found = unique_indexes(vec![
            row("A", Some("a"), None, ""),
            row("B", Some("b"), Some(3), ""),
            row("C", Some("c"), None, "YES"),
            row("D", None, None, ""),
            row("PRIMARY", Some("x"), None, ""),
            row("PRIMARY", Some("y"), None, ""),
        ]);
        assert_eq!(found[0].columns, ["x", "y"]);
        assert_eq!(
            found.iter().map(|index| index.is_key).collect::<Vec<_>>(),
            [true, true, false, false, false]
        );
    }
}
