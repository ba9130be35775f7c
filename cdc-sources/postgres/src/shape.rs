//! The shape of a table: what the state keeps of it, and how it compares with what the log says.

use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_postgres::quote;
use serde::{Deserialize, Serialize};

use crate::column::ColumnDef;
use crate::filling::Filling;
use crate::pgoutput::Relation;

/// What the log tells of a row before it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Identity {
    /// All of it.
    Full,
    /// Its key.
    Key,
    /// Nothing: updates and deletes cannot be followed.
    Nothing,
}

/// A published table. Part of the stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableDef {
    pub(crate) oid: u32,
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) table: String,
    /// The published columns, in order.
    pub(crate) columns: Vec<ColumnDef>,
    /// The primary key, or the columns of the index that is the replica identity; in key order.
    pub(crate) key: Vec<String>,
    pub(crate) identity: Identity,
    /// A partitioned table: its rows lie in others.
    pub(crate) partitioned: bool,
    /// The publication names the columns: others that join the table are not published.
    pub(crate) listed: bool,
    /// The publication's row filter.
    pub(crate) filter: Option<String>,
    /// The number of the file that holds the rows (`pg_relation_filenode`), which a rewrite of the table
    /// changes; `None` for a partitioned table, and in states of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) filenode: Option<u32>,
}

impl TableDef {
    pub(crate) fn id(&self) -> TableId {
        TableId {
            database: self.database.clone(),
            schema: Some(self.schema.clone()),
            table: self.table.clone(),
        }
    }

    pub(crate) fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The column that was this one, by its number where both are known.
    pub(crate) fn same_column(&self, column: &ColumnDef) -> Option<&ColumnDef> {
        self.columns.iter().find(|other| match (other.number, column.number) {
            (1.., 1..) => other.number == column.number,
            _ => other.name == column.name,
        })
    }

    /// Columns outside of the key that took NULL before go on doing so: rows that hold it may be at the
    /// target, and ahead in a log that is read behind the catalog.
    pub(crate) fn keep_loose(&mut self, before: &TableDef) {
        for column in self.columns.iter_mut().filter(|column| !self.key.contains(&column.name)) {
            column.nullable |= before.same_column(column).is_some_and(|old| old.nullable);
        }
    }

    /// Whether columns take NULL that did not, in a table of the same columns.
    pub(crate) fn is_looser_than(&self, before: &TableDef) -> bool {
        let looser = |column: &ColumnDef| {
            column.nullable && before.same_column(column).is_some_and(|old| !old.nullable)
        };
        self.columns.iter().any(looser)
    }

    /// The name as statements take it.
    pub(crate) fn quoted(&self) -> String {
        quote::qualified(&self.schema, &self.table)
    }

    /// What stands in a FROM or a LOCK: without tables that inherit, whose rows are their own.
    pub(crate) fn quoted_alone(&self) -> String {
        if self.partitioned { self.quoted() } else { format!("ONLY {}", self.quoted()) }
    }

    /// Whether every value that the log sends in binary is read here.
    pub(crate) fn has_binary(&self) -> bool {
        self.columns.iter().all(|column| column.kind.has_binary())
    }

    /// Whether rows of this relation have these columns.
    pub(crate) fn has_columns_of(&self, relation: &Relation) -> bool {
        self.columns.len() == relation.columns.len()
            && self
                .columns
                .iter()
                .zip(&relation.columns)
                .all(|(column, other)| column.is_like(&other.name, other.type_oid, other.typmod))
    }

    /// The key that the relation's identity says, in the order known so far; `None` when it says
    /// none (every column is the identity, or none is).
    pub(crate) fn key_of(&self, relation: &Relation) -> Option<Vec<String>> {
        if !matches!(relation.identity, 'd' | 'i') {
            return None;
        }
        let named = || relation.columns.iter().filter(|column| column.is_key).map(|column| &column.name);
        let mut key: Vec<String> =
            self.key.iter().filter(|name| named().any(|other| other == *name)).cloned().collect();
        key.extend(named().filter(|name| !self.key.contains(name)).cloned());
        Some(key)
    }
}

/// Refuses a name that became another column's: dropped and added, or swapped with another. Its old
/// values at the target are not those of the source, and the log does not tell them.
pub(crate) fn refuse_made_anew(before: &TableDef, after: &TableDef) -> Result<()> {
    let other = |column: &&ColumnDef| {
        let same = before.columns.iter().find(|old| old.name == column.name);
        same.is_some_and(|old| old.number > 0 && column.number > 0 && old.number != column.number)
    };
    let Some(column) = after.columns.iter().find(other) else { return Ok(()) };
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "column '{}' is another one than before under the same name: it was dropped and added again, or two columns \
             swapped their names, and the log does not tell what rows that were there have in it",
            column.name
        ),
    )
    .context("table", after.id())
    .hint("start over with --fresh (a new snapshot; the target should be emptied first)"))
}

/// Finds renamed columns of a relation whose names the catalog no longer has, in three steps by what is
/// certain: a column that is there now was there then; columns keep their order; what is new comes
/// last.
pub(crate) fn number_renamed(columns: &mut [ColumnDef], before: &TableDef, now: Option<&TableDef>) {
    let Some(now) = now else { return };
    let is_now =
        |name: &str| now.columns.iter().find(|column| column.name == name).map(|column| column.number);
    if columns.len() == now.columns.len() && columns.iter().all(|column| is_now(&column.name).is_some()) {
        for column in columns {
            column.number = is_now(&column.name).unwrap_or(0);
        }
        return;
    }
    for old in before.columns.iter().filter(|old| old.number > 0) {
        let survives = now.columns.iter().any(|column| column.number == old.number);
        if !survives || columns.iter().any(|column| column.name == old.name) {
            continue;
        }
        let near = |number: i16, column: &ColumnDef| column.number > 0 && column.number < number;
        let after = columns.iter().rposition(|column| near(old.number, column)).map_or(0, |at| at + 1);
        let until = columns.iter().position(|column| column.number > old.number).unwrap_or(columns.len());
        let mut unknown = (after..until).filter(|at| {
            columns.get(*at).is_some_and(|column| column.number == 0 && column.type_oid == old.type_oid)
        });
        if let (Some(at), None) = (unknown.next(), unknown.next()) {
            columns[at].number = old.number;
        }
    }
}

/// What became of a table's columns, as a statement: sinks read renames and defaults from it.
pub(crate) fn alteration(before: &TableDef, after: &TableDef, filling: &dyn Fn(&str) -> Filling) -> String {
    let renamed = |column: &ColumnDef| {
        let same = |other: &&ColumnDef| column.number > 0 && other.number == column.number;
        before.columns.iter().find(same).filter(|other| other.name != column.name)
    };
    let is_renamed = |column: &ColumnDef| {
        let same = |other: &ColumnDef| column.number > 0 && other.number == column.number;
        after.columns.iter().any(|other| same(other) && other.name != column.name)
    };
    let mut parts = Vec::new();
    for column in &before.columns {
        if after.column_index(&column.name).is_none() && !is_renamed(column) {
            parts.push(format!("DROP COLUMN {}", quote::identifier(&column.name)));
        }
    }
    for column in &after.columns {
        let name = quote::identifier(&column.name);
        let known = before.columns.iter().find(|other| other.name == column.name).or_else(|| {
            let old = renamed(column)?;
            parts.push(format!("RENAME COLUMN {} TO {name}", quote::identifier(&old.name)));
            Some(old)
        });
        let Some(old) = known else {
            let default = match filling(&column.name) {
                Filling::Nothing => String::new(),
                Filling::Value(text) => format!(" DEFAULT {}", quote::literal(&text).trim_start()),
                Filling::Computed => " DEFAULT (computed)".to_owned(),
            };
            let not_null = if column.nullable { "" } else { " NOT NULL" };
            parts.push(format!("ADD COLUMN {name} {}{not_null}{default}", column.declaration));
            continue;
        };
        if (old.type_oid, old.typmod) != (column.type_oid, column.typmod) {
            parts.push(format!("ALTER COLUMN {name} TYPE {}", column.declaration));
        }
        if old.nullable != column.nullable {
            let what = if column.nullable { "DROP" } else { "SET" };
            parts.push(format!("ALTER COLUMN {name} {what} NOT NULL"));
        }
    }
    format!("ALTER TABLE {} {}", after.quoted(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::column::PgType;

    fn column(name: &str, number: i16, type_oid: u32) -> ColumnDef {
        ColumnDef {
            name: name.into(),
            number,
            type_oid,
            typmod: -1,
            kind: PgType::Text,
            declaration: format!("type{type_oid}"),
            nullable: true,
            bytewise: true,
        }
    }

    fn table(columns: Vec<ColumnDef>) -> TableDef {
        TableDef {
            oid: 1,
            database: "d".into(),
            schema: "s".into(),
            table: "t".into(),
            columns,
            key: Vec::new(),
            identity: Identity::Full,
            partitioned: false,
            listed: false,
            filter: None,
            filenode: None,
        }
    }

    #[test]
    fn a_change_is_told_as_a_statement() {
        let before = table(vec![column("a", 1, 25), column("b", 2, 25), column("c", 3, 25)]);
        let mut last = column("e", 5, 23);
        last.nullable = false;
        let after = table(vec![column("a", 1, 20), column("bb", 2, 25), column("d\"", 4, 23), last]);
        let filling = |name: &str| match name {
            "e" => Filling::Value("it's".into()),
            _ => Filling::Nothing,
        };
        assert_eq!(
            alteration(&before, &after, &filling),
            "ALTER TABLE \"s\".\"t\" DROP COLUMN \"c\", ALTER COLUMN \"a\" TYPE type20, \
             RENAME COLUMN \"b\" TO \"bb\", ADD COLUMN \"d\"\"\" type23, \
             ADD COLUMN \"e\" type23 NOT NULL DEFAULT 'it''s'"
        );
    }

    #[test]
    fn a_renamed_column_is_found_although_it_has_another_name_by_now() {
        let before = table(vec![column("id", 1, 23), column("a", 2, 23), column("b", 3, 23)]);
        let now =
            table(vec![column("id", 1, 23), column("a3", 2, 23), column("b", 3, 23), column("c", 4, 23)]);
        let of = |names: &[(&str, i16)]| {
            let mut columns: Vec<ColumnDef> =
                names.iter().map(|(name, number)| column(name, *number, 23)).collect();
            number_renamed(&mut columns, &before, Some(&now));
            columns.iter().map(|column| column.number).collect::<Vec<_>>()
        };
        assert_eq!(of(&[("id", 1), ("a2", 0), ("b", 3)]), [1, 2, 3]);
        assert_eq!(of(&[("id", 1), ("a2", 0), ("b", 3), ("x", 0)]), [1, 2, 3, 0]);
        assert_eq!(of(&[("id", 1), ("a3", 0), ("b", 0), ("c", 0)]), [1, 2, 3, 4]);
        // Two that it could be: neither is.
        assert_eq!(of(&[("id", 1), ("x", 0), ("y", 0), ("b", 3)]), [1, 0, 0, 3]);
        assert!(refuse_made_anew(&before, &now).is_ok());
        let swapped = table(vec![column("id", 1, 23), column("b", 2, 23), column("a", 3, 23)]);
        let error = refuse_made_anew(&before, &swapped).unwrap_err();
        assert!(error.to_string().contains("column 'b'"), "{error}");
    }

    #[test]
    fn what_took_null_goes_on_doing_so() {
        let strict = |mut column: ColumnDef| {
            column.nullable = false;
            column
        };
        let before = table(vec![column("id", 1, 23), column("a", 2, 23), strict(column("b", 3, 23))]);
        let names = [("id", 1), ("a2", 2), ("b", 3), ("c", 4)];
        let mut now = table(names.map(|(name, number)| strict(column(name, number, 23))).to_vec());
        now.key = vec!["id".into()];
        now.keep_loose(&before);
        let nullable: Vec<bool> = now.columns.iter().map(|column| column.nullable).collect();
        assert_eq!(nullable, [false, true, false, false]);
        assert!(!now.is_looser_than(&before));
        now.columns[2].nullable = true;
        assert!(now.is_looser_than(&before));
    }

    #[test]
    fn the_key_keeps_its_order() {
        let mut def = table(vec![column("a", 1, 25), column("b", 2, 25), column("c", 3, 25)]);
        def.key = vec!["b".into(), "a".into()];
        let of = |name: &str, is_key| crate::pgoutput::RelationColumn {
            name: name.into(),
            type_oid: 25,
            typmod: -1,
            is_key,
        };
        let mut relation = Relation {
            id: 1,
            schema: "s".into(),
            table: "t".into(),
            identity: 'd',
            columns: vec![of("a", true), of("b", true), of("c", false)],
        };
        assert!(def.has_columns_of(&relation));
        assert_eq!(def.key_of(&relation), Some(vec!["b".into(), "a".into()]));
        relation.columns[0].is_key = false;
        relation.columns[2].is_key = true;
        assert_eq!(def.key_of(&relation), Some(vec!["b".into(), "c".into()]));
        relation.identity = 'f';
        assert_eq!(def.key_of(&relation), None);
        relation.columns[2].typmod = 7;
        assert!(!def.has_columns_of(&relation));
    }
}
