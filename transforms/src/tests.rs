#![allow(clippy::unwrap_used)]
//! Random rows through random chains of transforms equal a plain model that goes row by row.

mod needs;

use std::sync::Arc;

use culvert_api::{ChangeBatch, RowKind, TableSchema, Transform};
use proptest::prelude::*;
use serde_json::json;

use crate::testing::{LEFT_OUT, lines, names, options_of, run, text_batch};
use crate::*;

/// One column of the model: its name, and the key column whose values it has.
#[derive(Clone, Debug, PartialEq)]
struct Head {
    name: String,
    key: bool,
}

/// One row of the model: `null` and [`LEFT_OUT`] are themselves.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    kind: RowKind,
    values: Vec<String>,
}

#[derive(Clone, Debug)]
struct Table {
    heads: Vec<Head>,
    rows: Vec<Row>,
}

/// A step: what it is called, how it is made, and what it does to the model.
#[derive(Clone, Debug)]
enum Step {
    Include(Vec<usize>),
    Exclude(usize),
    Map(Vec<(usize, String)>),
    Copy(usize, String),
    Replace(usize),
    Split(usize, String, String),
    Extract(usize, String, String),
    Prefix,
    Mask(usize),
    Hide(usize),
    Validate(usize),
    Kinds(String),
}

fn steps() -> impl Strategy<Value = Step> {
    let column = 0..6_usize;
    let name = "[c-f][0-3]";
    prop_oneof![
        proptest::collection::vec(column.clone(), 1..4).prop_map(Step::Include),
        column.clone().prop_map(Step::Exclude),
        proptest::collection::vec((column.clone(), name), 1..4).prop_map(Step::Map),
        (column.clone(), name).prop_map(|(at, name)| Step::Copy(at, name)),
        column.clone().prop_map(Step::Replace),
        (column.clone(), name, "[x-z]").prop_map(|(at, one, two)| Step::Split(at, one, two)),
        (column.clone(), name, "[x-z]").prop_map(|(at, one, two)| Step::Extract(at, one, two)),
        Just(Step::Prefix),
        column.clone().prop_map(Step::Mask),
        column.clone().prop_map(Step::Hide),
        column.prop_map(Step::Validate),
        "[k-n]".prop_map(Step::Kinds),
    ]
}

/// Rows of four columns, updates whole and under one key.
fn rows() -> impl Strategy<Value = Vec<String>> {
    let value = prop_oneof![
        4 => "[ab -]{0,4}",
        1 => Just("null".to_owned()),
        1 => Just(LEFT_OUT.to_owned()),
    ];
    let known = prop_oneof![4 => "[ab -]{0,4}", 1 => Just("null".to_owned())];
    let change =
        (0..4_usize, 0..9_u8, [known.clone(), known.clone(), known], [value.clone(), value.clone(), value]);
    let written = |(what, id, old, new): (usize, u8, [String; 3], [String; 3])| match what {
        0 => vec![format!("+I {id}|{}", old.join("|"))],
        1 => vec![format!("-D {id}|{}", new.join("|"))],
        _ => vec![format!("-U {id}|{}", old.join("|")), format!("+U {id}|{}", new.join("|"))],
    };
    proptest::collection::vec(change.prop_map(written), 1..12).prop_map(|changes| changes.concat())
}

/// The transform that a step is, for a table with these columns. Columns are counted around.
fn transform(step: &Step, heads: &[Head]) -> Arc<dyn Transform> {
    let at = |place: &usize| heads[place % heads.len()].name.clone();
    macro_rules! made {
        ($plugin:ident, $options:expr) => {
            Arc::new($plugin::from_options(&options_of($plugin::PLUGIN, $plugin::OPTIONS, $options)).unwrap())
        };
    }
    match step {
        Step::Include(places) => {
            made!(Filter, json!({"include_fields": places.iter().map(at).collect::<Vec<_>>()}))
        }
        Step::Exclude(place) => made!(Filter, json!({"exclude_fields": [at(place)]})),
        Step::Map(pairs) => {
            let mut mapper = serde_json::Map::new();
            for (place, to) in pairs {
                mapper.insert(at(place), json!(to));
            }
            made!(FieldMapper, json!({ "field_mapper": mapper }))
        }
        Step::Copy(place, to) => made!(Copy, json!({"src_field": at(place), "dest_field": to})),
        Step::Replace(place) => made!(
            Replace,
            json!({"replace_field": at(place), "pattern": "a+", "replacement": "_", "is_regex": true})
        ),
        Step::Split(place, one, two) => {
            made!(Split, json!({"split_field": at(place), "separator": "-", "output_fields": [one, two]}))
        }
        Step::Extract(place, one, two) => made!(
            RegexExtract,
            json!({"source_field": at(place), "regex_pattern": "(a)(b?)", "output_fields": [one, two], "default_values": ["n", "o"]})
        ),
        Step::Prefix => made!(FieldRename, json!({"prefix": "p"})),
        Step::Mask(place) => made!(Mask, json!({"fields": [at(place)]})),
        Step::Hide(place) => made!(Mask, json!({"fields": [at(place)], "type": "null"})),
        Step::Validate(place) => made!(
            DataValidator,
            json!({"row_error_handle_way": "SKIP", "field_rules": [{"field_name": at(place), "rule_type": "NOT_NULL"}]})
        ),
        Step::Kinds(name) => made!(Metadata, json!({"metadata_fields": {"RowKind": name}})),
    }
}

/// What the model makes of a step; `None` where the transform has to refuse it.
fn model(step: &Step, table: &Table) -> Option<Table> {
    let count = table.heads.len();
    let at = |place: &usize| place % count;
    let picked = |picks: Vec<(usize, String)>| {
        let heads =
            picks.iter().map(|(from, name)| Head { name: name.clone(), ..table.heads[*from].clone() });
        let row = |row: &Row| Row {
            values: picks.iter().map(|(from, _)| row.values[*from].clone()).collect(),
            kind: row.kind,
        };
        Some(Table { heads: heads.collect(), rows: table.rows.iter().map(row).collect() })
    };
    let same = |from: usize| (from, table.heads[from].name.clone());
    let mut out = table.clone();
    match step {
        Step::Include(places) => return picked(places.iter().map(|place| same(at(place))).collect()),
        Step::Exclude(place) => {
            return picked((0..count).filter(|from| *from != at(place)).map(same).collect());
        }
        Step::Map(pairs) => {
            // One entry per column of the source: the later one counts, in the earlier one's place.
            let mut picks: Vec<(usize, String)> = Vec::new();
            for (place, to) in pairs {
                match picks.iter_mut().find(|(from, _)| *from == at(place)) {
                    Some(there) => there.1 = to.clone(),
                    None => picks.push((at(place), to.clone())),
                }
            }
            return picked(picks);
        }
        Step::Copy(place, to) => {
            // A key under another name is no key.
            let key = table.heads[at(place)].key && table.heads[at(place)].name == *to;
            put(&mut out, to, key, |row| row.values[at(place)].clone(), table);
        }
        Step::Replace(place) => derive(&mut out, at(place), |text| {
            let mut replaced = String::new();
            for c in text.chars() {
                match c {
                    'a' if replaced.ends_with('\u{1}') => {}
                    'a' => replaced.push('\u{1}'),
                    c => replaced.push(c),
                }
            }
            replaced.replace('\u{1}', "_")
        }),
        Step::Mask(place) => derive(&mut out, at(place), |text| "*".repeat(text.chars().count())),
        Step::Hide(place) => {
            out.heads[at(place)].key = false;
            out.rows.iter_mut().for_each(|row| row.values[at(place)] = "null".to_owned());
        }
        Step::Split(place, one, two) => {
            let parts = |row: &Row, part: usize| match row.values[at(place)].as_str() {
                known if known == "null" || known == LEFT_OUT => known.to_owned(),
                text => text.splitn(2, '-').nth(part).unwrap_or("null").to_owned(),
            };
            put(&mut out, one, false, |row| parts(row, 0), table);
            put(&mut out, two, false, |row| parts(row, 1), table);
        }
        Step::Extract(place, one, two) => {
            let groups = |row: &Row, part: usize| {
                let text = row.values[at(place)].as_str();
                let found = if text == "null" || text == LEFT_OUT { None } else { text.find('a') };
                match (text, found, part) {
                    (LEFT_OUT, _, _) => LEFT_OUT,
                    (_, None, 0) => "n",
                    (_, None, _) => "o",
                    (_, Some(_), 0) => "a",
                    (text, Some(found), _) => {
                        if text[found..].starts_with("ab") {
                            "b"
                        } else {
                            ""
                        }
                    }
                }
                .to_owned()
            };
            put(&mut out, one, false, |row| groups(row, 0), table);
            put(&mut out, two, false, |row| groups(row, 1), table);
        }
        Step::Prefix => out.heads.iter_mut().for_each(|head| head.name.insert(0, 'p')),
        Step::Kinds(name) => {
            if table.heads.iter().any(|head| head.name.eq_ignore_ascii_case(name)) {
                return None;
            }
            put(&mut out, name, false, |row| row.kind.short().to_owned(), table);
        }
        Step::Validate(place) => out.rows = validated(&table.rows, at(place))?,
    }
    Some(out)
}

/// Puts a column where its name is, or behind the others.
fn put(out: &mut Table, name: &str, key: bool, value: impl Fn(&Row) -> String, before: &Table) {
    let head = Head { name: name.to_owned(), key };
    let place = out.heads.iter().position(|there| there.name == name);
    match place {
        Some(place) => out.heads[place] = head,
        None => out.heads.push(head),
    }
    for (row, old) in out.rows.iter_mut().zip(&before.rows) {
        match place {
            Some(place) => row.values[place] = value(old),
            None => row.values.push(value(old)),
        }
    }
}

/// Changes the known values of a column, which is no key any more.
fn derive(out: &mut Table, place: usize, change: impl Fn(&str) -> String) {
    out.heads[place].key = false;
    for row in &mut out.rows {
        let value = &mut row.values[place];
        if *value != "null" && *value != LEFT_OUT {
            *value = change(value);
        }
    }
}

/// The rows with a value in a column, updates kept whole.
fn validated(rows: &[Row], place: usize) -> Option<Vec<Row>> {
    if rows.iter().any(|row| row.values[place] == LEFT_OUT) {
        return None;
    }
    let passes = |row: &Row| row.values[place] != "null";
    let mut left = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let pair = rows[at].kind == RowKind::UpdateBefore
            && rows.get(at + 1).is_some_and(|next| next.kind == RowKind::UpdateAfter);
        let changed = |row: &Row, kind| Row { kind, ..row.clone() };
        match (passes(&rows[at]), pair.then(|| passes(&rows[at + 1]))) {
            (true, Some(true)) => left.extend([rows[at].clone(), rows[at + 1].clone()]),
            (true, Some(false)) => left.push(changed(&rows[at], RowKind::Delete)),
            (false, Some(true)) if rows[at + 1].values.iter().any(|value| value == LEFT_OUT) => return None,
            (false, Some(true)) => left.push(changed(&rows[at + 1], RowKind::Insert)),
            (true, None) => left.push(rows[at].clone()),
            (false, _) => {}
        }
        at += if pair { 2 } else { 1 };
    }
    Some(left)
}

/// Whether no column is left, or two have one name.
fn is_no_table(table: &Table) -> bool {
    let names: Vec<&String> = table.heads.iter().map(|head| &head.name).collect();
    table.heads.is_empty() || (1..names.len()).any(|at| names[..at].contains(&names[at]))
}

fn lines_of(table: &Table) -> Vec<String> {
    table.rows.iter().map(|row| format!("{} {}", row.kind.short(), row.values.join("|"))).collect()
}

fn check(rows: &[String], steps: &[Step]) -> Result<(), TestCaseError> {
    let written: Vec<&str> = rows.iter().map(String::as_str).collect();
    let columns = ["c0", "c1", "c2", "c3"];
    let mut batches: Option<ChangeBatch> = Some(text_batch(&columns, &written));
    let row = |row: &ChangeBatch, at: usize| {
        let line = lines(row)[at].split_once(' ').unwrap().1.to_owned();
        Row { kind: row.kinds[at], values: line.split('|').map(str::to_owned).collect() }
    };
    let first = batches.as_ref().unwrap();
    let mut table = Table {
        heads: columns.iter().map(|name| Head { name: (*name).into(), key: *name == "c0" }).collect(),
        rows: (0..first.len()).map(|at| row(first, at)).collect(),
    };
    let mut schema: TableSchema = (*first.schema).clone();
    for step in steps {
        let transform = transform(step, &table.heads);
        let expected = model(step, &table);
        let mapped = transform.map_schema(&schema);
        let refuses = expected.as_ref().is_some_and(is_no_table)
            || matches!(step, Step::Kinds(_)) && expected.is_none();
        prop_assert_eq!(mapped.is_err(), refuses, "{:?}", step);
        let Ok(mut mapped) = mapped else { return Ok(()) };
        schema = mapped.remove(0);
        let Some(batch) = batches.take() else { return Ok(()) };
        let left = run(transform.as_ref(), &batch);
        prop_assert_eq!(left.is_err(), expected.is_none(), "{:?}", step);
        let (Ok(mut left), Some(expected)) = (left, expected) else { return Ok(()) };
        table = expected;
        prop_assert_eq!(
            names(&schema),
            table.heads.iter().map(|head| head.name.as_str()).collect::<Vec<_>>()
        );
        let key: Vec<&Head> = table.heads.iter().filter(|head| head.key).collect();
        prop_assert_eq!(schema.primary_key.is_empty(), key.is_empty());
        prop_assert!(schema.primary_key.iter().all(|name| key.iter().any(|head| head.name == *name)));
        let out: Vec<String> = left.iter().flat_map(lines).collect();
        prop_assert_eq!(out, lines_of(&table), "{:?}", step);
        batches = left.pop();
        if let Some(batch) = &batches {
            prop_assert_eq!(&*batch.schema, &schema, "the schema of the rows is the one that was announced");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn chains_equal_the_model(rows in rows(), steps in proptest::collection::vec(steps(), 1..6)) {
        check(&rows, &steps)?;
    }
}
