#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, RowKindSet, Transform};

use super::*;

/// Transforms of the tests.
enum Act {
    /// Only these columns, and says so.
    Only(&'static [&'static str]),
    /// The same, and says what is wrong: that it needs nothing but the first of them.
    Lies(&'static [&'static str]),
    /// The same, and says nothing.
    Silent(&'static [&'static str]),
    /// No table.
    Drops,
}

impl Transform for Act {
    fn name(&self) -> &str {
        "Act"
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        let (Act::Only(names) | Act::Lies(names) | Act::Silent(names)) = self else { return Ok(Vec::new()) };
        let stays = |column: &&Column| names.contains(&column.name.as_str());
        Ok(vec![input.with_columns(input.columns.iter().filter(stays).cloned().collect())])
    }

    fn needs(&self, input: &TableSchema, _wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        let is_needed = |column: &Column| match self {
            Act::Only(names) => names.contains(&column.name.as_str()),
            Act::Lies(names) => names[..1].contains(&column.name.as_str()),
            Act::Silent(_) => true,
            Act::Drops => false,
        };
        Ok(input.columns.iter().map(is_needed).collect())
    }

    fn apply(&self, _batch: ChangeBatch, _outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        unreachable!("no rows in these tests")
    }
}

/// `t` of a source: `a, b, id, c, d` with the key `id`.
fn table(source: u32) -> TableSchema {
    let column = |name: &&str| Column::derived(*name, DataType::Int32, true);
    let columns = ["a", "b", "id", "c", "d"].iter().map(column).collect();
    let schema = TableSchema::new(TableId::new("db", "t"), 4, columns, vec!["id".into()], RowKindSet::ALL);
    TableSchema { source, ..schema }
}

/// What is needed behind these paths, each a source and its transforms.
fn needed(paths: Vec<(u32, Vec<Act>)>, table: &TableSchema) -> Option<Vec<usize>> {
    let step = |transform: Act| Step { node: "act".into(), transform: Arc::new(transform) };
    let path = |(source, acts): (u32, Vec<Act>)| Path {
        source,
        from: format!("source {source}"),
        steps: acts.into_iter().map(step).collect(),
    };
    let paths = paths.into_iter().map(path).collect();
    JobNeeds { paths, told: Mutex::default(), told_conditions: Mutex::default() }.columns(table)
}

#[test]
fn what_no_path_needs_is_left_out_and_the_key_never() {
    let t = table(0);
    assert_eq!(needed(vec![(0, vec![Act::Only(&["b"])])], &t), Some(vec![1, 2]));
    let two = vec![(0, vec![Act::Only(&["b"])]), (0, vec![Act::Only(&["d", "id"])])];
    assert_eq!(needed(two, &t), Some(vec![1, 2, 4]));
    let other = vec![(0, vec![Act::Only(&["b"])]), (1, vec![])];
    assert_eq!(needed(other, &t), Some(vec![1, 2]), "another source's path asks for nothing here");
    assert_eq!(needed(vec![(0, vec![Act::Drops])], &t), Some(vec![2]));
}

#[test]
fn a_sink_behind_the_source_or_a_silent_transform_needs_all() {
    let t = table(0);
    assert_eq!(needed(vec![(0, vec![])], &t), None);
    assert_eq!(needed(vec![(0, vec![Act::Only(&["b"])]), (0, vec![])], &t), None);
    assert_eq!(needed(vec![(0, vec![Act::Silent(&["b"])])], &t), None);
    assert_eq!(needed(vec![(0, vec![Act::Only(&["a", "b", "c", "d"])])], &t), None);
}

#[test]
fn what_is_not_proven_is_not_left_out() {
    assert_eq!(needed(vec![(0, vec![Act::Lies(&["a", "b"])])], &table(0)), None);
}

#[test]
fn a_narrowed_table_says_what_it_lacks() {
    let narrowed = table(3).narrowed(&[1, 2]);
    let names: Vec<&str> = narrowed.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["b", "id"]);
    assert_eq!(narrowed.withheld, ["a", "c", "d"]);
    assert_eq!((narrowed.source, narrowed.version), (3, 4));
    assert_eq!(narrowed.primary_key, ["id"]);
}
