//! The option `query` on MySQL and MariaDB.

use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, RowKind, TableSchema};

use crate::mysql::column_type::{self, Family};
use crate::mysql::encode::Form;
use crate::mysql::key::KeyMatch;
use crate::mysql::plan::{Mode, Slot, TablePlan};
use crate::mysql::target::TargetTable;
use crate::query::{Query, refusal};
use culvert_api::sql_text::mysql::LEXIS;

/// A statement of the user's.
#[derive(Clone)]
pub(crate) struct Template(Query);

impl Template {
    /// Cuts the statement. A final semicolon is dropped.
    pub(crate) fn parse(query: &str) -> Result<Template> {
        Query::parse(query, &LEXIS).map(Template)
    }

    /// The table of `INSERT INTO` or `REPLACE INTO`, as database and name, when it is named plainly.
    pub(crate) fn target(&self) -> Option<(Option<String>, String)> {
        self.0.target()
    }

    /// The plan for one upstream table. `target` gives the columns' types when the statement is an
    /// INSERT into a table that was found.
    pub(crate) fn plan(&self, source: &Arc<TableSchema>, target: Option<&TargetTable>) -> Result<TablePlan> {
        if source.kinds.contains(RowKind::Delete) {
            return Err(refusal(
                &format!("cannot delete, and rows of {} can be deleted", source.id),
                "drop deletes with the transform FilterRowKind, keep every change as a row with RowKindExtractor, \
                 or use generate_sink_sql = true",
            ));
        }
        let columns = self.0.columns(source)?;
        let homes = self.0.column_list();
        let mut slots = Vec::with_capacity(columns.len());
        for (parameter, source_place) in columns.iter().copied().enumerate() {
            let name = homes.as_ref().and_then(|names| names.get(parameter).cloned().flatten());
            let home = name.as_ref().and_then(|name| target.and_then(|target| target.column(name)));
            slots.push(slot(source, source_place, home.map(|column| (column.name.clone(), column.form)))?);
        }
        let label = match target {
            Some(target) => target.name.to_string(),
            None => "the query's table".into(),
        };
        let cut = self.0.cut();
        let (mode, insert_head, row, insert_tail) = match cut {
            Some((head, row, tail)) => (Mode::Append, head, row, tail),
            None => (Mode::PerRow, Vec::new(), self.0.pieces(), Vec::new()),
        };
        Ok(TablePlan {
            source: source.clone(),
            label,
            slots,
            mode,
            row,
            assignments: Vec::new(),
            key: Vec::new(),
            single_key: false,
            key_match: KeyMatch::Exact,
            watch_moves: false,
            insert_only: true,
            is_referenced: false,
            insert_head,
            insert_tail,
            upsert_tail: Vec::new(),
            delete_head: Vec::new(),
            update_head: Vec::new(),
            where_key: Vec::new(),
            patch_heads: Vec::new(),
            patch_nothing: Vec::new(),
        })
    }
}

/// The column a parameter takes its values from, and the form they get.
fn slot(source: &TableSchema, place: usize, home: Option<(String, Form)>) -> Result<Slot> {
    let column = source.columns.get(place);
    let (name, data_type) = match column {
        Some(column) => (column.name.clone(), &column.data_type),
        None => return Err(Error::new(ErrorKind::Internal, "a parameter without a column")),
    };
    if !column_type::is_writable(data_type) {
        return Err(refusal(
            &format!("column {name} has type {data_type}, which cannot be written"),
            "leave it out",
        ));
    }
    let zoned = matches!(data_type, arrow_schema::DataType::Timestamp(_, Some(_)));
    match home {
        Some((home_name, form)) => Ok(Slot { source: place, name: home_name, form }),
        // As an instant or as a wall clock? A guess could shift every value.
        None if zoned => Err(refusal(
            &format!(
                "does not tell whether column {name}, a point in time, goes to a timestamp or a datetime column"
            ),
            "write INSERT INTO table (columns) VALUES (…) with this parameter standing alone, or use generate_sink_sql",
        )),
        None => Ok(Slot { source: place, name, form: Form::of(Family::Unknown) }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_schema::DataType;
    use culvert_api::{Column, RowKindSet, TableId};

    use super::*;
    use crate::query::Piece;

    fn source(kinds: RowKindSet) -> Arc<TableSchema> {
        let columns = ["id", "name", "kind"].map(|name| Column::derived(name, DataType::Utf8, true)).to_vec();
        Arc::new(TableSchema::new(TableId::new("db", "t"), 1, columns, vec![], kinds))
    }

    fn shown(pieces: &[Piece]) -> String {
        let one = |piece: &Piece| match piece {
            Piece::Text(text) => String::from_utf8(text.clone()).unwrap(),
            Piece::Value(slot) => format!("<{slot}>"),
        };
        pieces.iter().map(one).collect()
    }

    fn plan(query: &str) -> TablePlan {
        Template::parse(query).unwrap().plan(&source(RowKindSet::INSERT_ONLY), None).unwrap()
    }

    #[test]
    fn an_insert_is_cut_into_head_group_and_tail() {
        let plan = plan(
            "INSERT INTO `a.b`.t (x, y, z) VALUES (?, lower( ? ), concat('?', ?)) ON DUPLICATE KEY UPDATE x = x;",
        );
        assert_eq!(plan.mode, Mode::Append);
        assert_eq!(plan.insert_head, b"INSERT INTO `a.b`.t (x, y, z) VALUES ");
        assert_eq!(shown(&plan.row), "(<0>, lower( <1> ), concat('?', <2>))");
        assert_eq!(plan.insert_tail, b" ON DUPLICATE KEY UPDATE x = x");
    }

    #[test]
    fn names_are_columns_in_any_order_and_number() {
        let plan = plan("replace into t values (:kind, :id, :id, ':no')");
        assert_eq!(plan.slots.iter().map(|slot| slot.source).collect::<Vec<_>>(), [2, 0, 0]);
        assert_eq!(shown(&plan.row), "(<0>, <1>, <2>, ':no')");
    }

    #[test]
    fn other_statements_run_once_per_row() {
        for query in [
            "UPDATE t SET a = :name WHERE id = :id",
            "INSERT INTO t SELECT ?, ?, ?",
            "INSERT INTO t (a) VALUES (?), (?), (?)",
            "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = ?",
        ] {
            assert_eq!(plan(query).mode, Mode::PerRow, "{query}");
        }
        assert_eq!(shown(&plan("call p(?, ?, ?)").row), "call p(<0>, <1>, <2>)");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |query: &str, kinds| {
            let planned = Template::parse(query).and_then(|template| template.plan(&source(kinds), None));
            planned.unwrap_err().to_string()
        };
        let inserts = RowKindSet::INSERT_ONLY;
        assert!(refused("insert into t values (?, ?)", inserts).contains("2 parameters"));
        assert!(refused("insert into t values (:nme)", inserts).contains(":nme"));
        assert!(refused("insert into t values (?, :id)", inserts).contains("mixes"));
        assert!(refused("insert into t values (?, ?, ?)", RowKindSet::ALL).contains("FilterRowKind"));
    }

    #[test]
    fn the_table_and_the_columns_of_an_insert_are_known() {
        let target = |query: &str| Template::parse(query).unwrap().target();
        assert_eq!(
            target("insert ignore into `a b`.`c``d` values (?)"),
            Some((Some("a b".into()), "c`d".into()))
        );
        assert_eq!(target("REPLACE t(a) VALUES (?)"), Some((None, "t".into())));
        assert_eq!(target("update t set a = ?"), None);
        let template = Template::parse("insert into t (a, `b`, c) values (?, upper(?), :x)");
        assert!(template.is_err());
        let template = Template::parse("insert into t (a, `b`, c) values (?, upper(?), ?)").unwrap();
        assert_eq!(template.0.column_list().unwrap(), [Some("a".to_string()), None, Some("c".to_string())]);
    }
}
