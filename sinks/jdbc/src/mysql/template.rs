//! The option `query`: a statement of the user's with `?` or `:name` for the columns.
//!
//! `INSERT … VALUES (…) …` with all its parameters in the one group of values is cut into what
//! stands before the group, the group, and what stands after, so that one statement can carry many
//! groups; any other statement runs once per row.

use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, RowKind, TableSchema};

use crate::mysql::column_type::{self, Family};
use crate::mysql::encode::Form;
use crate::mysql::key::KeyMatch;
use crate::mysql::plan::{Mode, Piece, Slot, TablePlan};
use crate::mysql::scan::{bare_name, end_of_quoted, is_word, tokens};
use crate::mysql::target::TargetTable;

/// A statement cut at its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// Text before each parameter, and after the last one: one more than `parameters`.
    texts: Vec<String>,
    /// Column names, or `None` for a `?`.
    parameters: Vec<Option<String>>,
}

impl Template {
    /// Cuts the statement. A final semicolon is dropped.
    pub(crate) fn parse(query: &str) -> Result<Template> {
        let query = query.trim().trim_end_matches(';').trim_end();
        let bytes = query.as_bytes();
        let mut template = Template { texts: Vec::new(), parameters: Vec::new() };
        let (mut at, mut start) = (0, 0);
        while let Some(byte) = bytes.get(at).copied() {
            if let Some(end) = end_of_quoted(bytes, at) {
                at = end;
                continue;
            }
            let before_is_word =
                at > 0 && bytes.get(at - 1).is_some_and(|before| is_word(*before) || *before == b':');
            let name_length = match byte {
                b'?' => Some(0),
                // `@a:=1` and `a::b` are no parameters.
                b':' if !before_is_word && bytes.get(at + 1).is_some_and(|next| is_word(*next)) => {
                    let rest = bytes.get(at + 1..).unwrap_or_default();
                    Some(rest.iter().position(|next| !is_word(*next)).unwrap_or(rest.len()))
                }
                _ => None,
            };
            let Some(length) = name_length else {
                at += 1;
                continue;
            };
            let end = at + 1 + length;
            template.texts.push(query.get(start..at).unwrap_or_default().to_string());
            template
                .parameters
                .push((length > 0).then(|| query.get(at + 1..end).unwrap_or_default().to_string()));
            (at, start) = (end, end);
        }
        template.texts.push(query.get(start..).unwrap_or_default().to_string());
        let named = template.parameters.iter().filter(|name| name.is_some()).count();
        if named > 0 && named < template.parameters.len() {
            return Err(refusal("mixes ? and :name", "use one of the two"));
        }
        Ok(template)
    }

    /// The table of `INSERT INTO` or `REPLACE INTO`, as database and name, when it is named plainly.
    pub(crate) fn target(&self) -> Option<(Option<String>, String)> {
        let text = self.texts.join("?");
        let found = tokens(&text);
        let verb = found.first()?;
        if !["insert", "replace"].iter().any(|known| verb.eq_ignore_ascii_case(known)) {
            return None;
        }
        let mut rest = found.iter().skip(1).skip_while(|word| {
            ["low_priority", "high_priority", "delayed", "ignore", "into"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
        });
        let first = bare_name(rest.next()?);
        match rest.next() {
            Some(&".") => Some((Some(first), bare_name(rest.next()?))),
            _ => Some((None, first)),
        }
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
        let columns = self.columns(source)?;
        let homes = self.column_list();
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
        let cut = self.cut();
        let (mode, insert_head, row, insert_tail) = match cut {
            Some((head, row, tail)) => (Mode::Append, head, row, tail),
            None => (Mode::PerRow, Vec::new(), self.pieces(), Vec::new()),
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
        })
    }

    /// The upstream column of every parameter.
    fn columns(&self, source: &TableSchema) -> Result<Vec<usize>> {
        let count = self.parameters.len();
        if self.parameters.iter().all(Option::is_none) {
            if count != source.columns.len() {
                return Err(refusal(
                    &format!(
                        "has {count} parameters, and rows of {} have {} columns",
                        source.id,
                        source.columns.len()
                    ),
                    "write one ? per column, or name columns as :name",
                ));
            }
            return Ok((0..count).collect());
        }
        let find = |name: &String| {
            source.column_index(name).ok_or_else(|| {
                let names: Vec<&str> = source.columns.iter().map(|column| column.name.as_str()).collect();
                refusal(
                    &format!("names :{name}, which {} does not have", source.id),
                    &format!("its columns are {}", names.join(", ")),
                )
            })
        };
        self.parameters.iter().flatten().map(find).collect()
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (place, text) in self.texts.iter().enumerate() {
            pieces.push(Piece::Text(text.clone().into_bytes()));
            if place < self.parameters.len() {
                pieces.push(Piece::Value(place));
            }
        }
        pieces
    }

    /// Head, group and tail of `INSERT … VALUES (…) …`; `None` when the statement has another form.
    fn cut(&self) -> Option<(Vec<u8>, Vec<Piece>, Vec<u8>)> {
        self.target()?;
        let first = self.texts.first()?;
        let last = self.texts.last()?;
        let group_at = self.group_start()?;
        let (head, opening) = first.split_at_checked(group_at)?;
        let (mut row, mut depth) = (vec![Piece::Text(opening.as_bytes().to_vec())], depth_of(opening, 0)?.0);
        for (place, text) in self.texts.iter().enumerate().skip(1) {
            row.push(Piece::Value(place - 1));
            if place + 1 == self.texts.len() {
                break;
            }
            // The group must stay open until the last parameter.
            let (after, closed) = depth_of(text, depth)?;
            if closed.is_some() {
                return None;
            }
            depth = after;
            row.push(Piece::Text(text.as_bytes().to_vec()));
        }
        let (_, closed) = depth_of(last, depth)?;
        let (rest_of_group, tail) = last.split_at_checked(closed?)?;
        row.push(Piece::Text(rest_of_group.as_bytes().to_vec()));
        // A second group would have to repeat with the first.
        if tail.trim_start().starts_with(',') {
            return None;
        }
        Some((head.as_bytes().to_vec(), row, tail.as_bytes().to_vec()))
    }

    /// Where the parenthesis after the word VALUES opens, in the text before the first parameter.
    fn group_start(&self) -> Option<usize> {
        let first = self.texts.first()?;
        if self.parameters.is_empty() {
            return None;
        }
        let bytes = first.as_bytes();
        let (mut at, mut after_values, mut found) = (0, false, None);
        while let Some(byte) = bytes.get(at).copied() {
            if let Some(end) = end_of_quoted(bytes, at) {
                at = end;
            } else if is_word(byte) {
                let end = bytes.get(at..)?.iter().position(|b| !is_word(*b)).map_or(bytes.len(), |n| at + n);
                let word = first.get(at..end)?;
                if found.is_some() && word.eq_ignore_ascii_case("values") {
                    return None;
                }
                after_values = word.eq_ignore_ascii_case("values") || word.eq_ignore_ascii_case("value");
                at = end;
            } else {
                if byte == b'(' && after_values && found.is_none() {
                    found = Some(at);
                }
                if !byte.is_ascii_whitespace() {
                    after_values = false;
                }
                at += 1;
            }
        }
        found
    }

    /// The target column of each parameter in `INSERT INTO t (a, b) VALUES (?, ?)`, for parameters
    /// that stand alone as a value.
    fn column_list(&self) -> Option<Vec<Option<String>>> {
        let text = self.texts.join(" ? ");
        let found = tokens(&text);
        let values = found.iter().position(|word| word.eq_ignore_ascii_case("values"))?;
        let (before, after) = found.split_at_checked(values)?;
        let open = before.iter().position(|word| *word == "(")?;
        let list = before.get(open + 1..before.len().checked_sub(1)?)?;
        let names: Vec<String> =
            list.iter().filter(|word| **word != ",").map(|word| bare_name(word)).collect();
        let (mut depth, mut place, mut expression, mut homes) = (0_usize, 0, Vec::new(), Vec::new());
        let mut close = |expression: &mut Vec<&str>, place: usize| {
            let alone = expression.as_slice() == ["?"];
            for _ in expression.iter().filter(|word| **word == "?") {
                homes.push(alone.then(|| names.get(place).cloned()).flatten());
            }
            expression.clear();
        };
        for word in after.iter().skip(1) {
            match *word {
                "(" if depth == 0 => depth = 1,
                ")" if depth == 1 => {
                    close(&mut expression, place);
                    break;
                }
                "," if depth == 1 => {
                    close(&mut expression, place);
                    place += 1;
                }
                other => {
                    match other {
                        "(" => depth += 1,
                        ")" => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    expression.push(other);
                }
            }
        }
        Some(homes)
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

/// Walks over text from a depth of parentheses on: the depth behind it, and where the depth first
/// fell to zero, if it did.
fn depth_of(text: &str, mut depth: usize) -> Option<(usize, Option<usize>)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        if let Some(end) = end_of_quoted(bytes, at) {
            at = end;
            continue;
        }
        match byte {
            b'(' => depth += 1,
            b')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((0, Some(at + 1)));
                }
            }
            _ => {}
        }
        at += 1;
    }
    Some((depth, None))
}

fn refusal(what: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option `query` {what}")).hint(hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_schema::DataType;
    use culvert_api::{Column, RowKindSet, TableId};

    use super::*;

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
        assert_eq!(template.column_list().unwrap(), [Some("a".to_string()), None, Some("c".to_string())]);
    }
}
