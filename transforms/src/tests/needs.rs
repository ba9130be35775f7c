//! What transforms say they need is enough: random chains over rows without the other columns give the same.

use std::sync::Arc;

use arrow_array::RecordBatch;
use culvert_api::{ChangeBatch, Result, TableSchema, Transform, Unavailable};
use proptest::prelude::*;
use serde_json::json;

use super::{Head, Step, rows, steps, transform};
use crate::testing::{lines, names, options_of, run, text_batch, text_schema};
use crate::{FieldRename, Filter, FilterRowKind, RowKindExtractor, TableFilter};

const COLUMNS: [&str; 4] = ["c0", "c1", "c2", "c3"];

/// The tables between the transforms, the first and the last included; `None` where one refuses.
fn schemas(chain: &[Arc<dyn Transform>], first: &TableSchema) -> Option<Vec<TableSchema>> {
    let mut schemas = vec![first.clone()];
    for transform in chain {
        schemas.push(transform.map_schema(schemas.last()?).ok()?.into_iter().next()?);
    }
    Some(schemas)
}

fn through(chain: &[Arc<dyn Transform>], batch: ChangeBatch) -> Result<Vec<String>> {
    let mut going = vec![batch];
    for transform in chain {
        let mut next = Vec::new();
        for batch in going {
            next.extend(run(transform.as_ref(), &batch)?);
        }
        going = next;
    }
    Ok(going.iter().flat_map(lines).collect())
}

/// Places of the columns that the chain needs, and of the key.
fn needed(chain: &[Arc<dyn Transform>], schemas: &[TableSchema]) -> Vec<usize> {
    let mut wanted = vec![true; schemas[chain.len()].columns.len()];
    for (transform, schema) in chain.iter().zip(schemas).rev() {
        wanted = transform.needs(schema, &[wanted]).unwrap();
    }
    let key = schemas[0].key_indices();
    (0..wanted.len()).filter(|place| wanted[*place] || key.contains(place)).collect()
}

/// The same rows, of which only these columns came.
fn narrowed(batch: &ChangeBatch, places: &[usize]) -> ChangeBatch {
    let schema = Arc::new(batch.schema.narrowed(places));
    let columns = places.iter().map(|place| batch.rows.column(*place).clone()).collect();
    let left_out = batch.unavailable.iter().filter_map(|one| {
        let column = places.iter().position(|place| *place == one.column)?;
        Some(Unavailable { column, rows: one.rows.clone() })
    });
    ChangeBatch {
        rows: RecordBatch::try_new(schema.arrow.clone(), columns).unwrap(),
        unavailable: left_out.collect(),
        schema,
        ..batch.clone()
    }
}

fn check(rows: &[String], steps: &[Step]) -> std::result::Result<(), TestCaseError> {
    let written: Vec<&str> = rows.iter().map(String::as_str).collect();
    let batch = text_batch(&COLUMNS, &written);
    let mut chain: Vec<Arc<dyn Transform>> = Vec::new();
    let mut schema: TableSchema = (*batch.schema).clone();
    for step in steps {
        let head = |name: &&str| Head { name: (*name).to_owned(), key: false };
        let heads: Vec<Head> = names(&schema).iter().map(head).collect();
        chain.push(transform(step, &heads));
        let Some(next) = schemas(&chain[chain.len() - 1..], &schema) else { return Ok(()) };
        schema = next[1].clone();
    }
    let Some(between) = schemas(&chain, &batch.schema) else { return Ok(()) };
    let Ok(whole) = through(&chain, batch.clone()) else { return Ok(()) };
    let less = narrowed(&batch, &needed(&chain, &between));
    // Where the shapes are not the same, nothing is left out.
    let Some(after) = schemas(&chain, &less.schema) else { return Ok(()) };
    if !after[chain.len()].is_shaped_like(&between[chain.len()]) {
        return Ok(());
    }
    prop_assert_eq!(through(&chain, less).unwrap(), whole, "{:?}", steps);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_needed_is_enough(rows in rows(), steps in proptest::collection::vec(steps(), 1..6)) {
        check(&rows, &steps)?;
    }
}

#[test]
fn what_passes_needs_what_is_wanted() {
    macro_rules! made {
        ($plugin:ident, $options:expr) => {
            Arc::new($plugin::from_options(&options_of($plugin::PLUGIN, $plugin::OPTIONS, $options)).unwrap())
        };
    }
    let include: Arc<dyn Transform> = made!(Filter, json!({"include_fields": ["c3", "c0"]}));
    let exclude: Arc<dyn Transform> = made!(Filter, json!({"exclude_fields": ["c1", "c2"]}));
    let renamed: Arc<dyn Transform> = made!(Filter, json!({"include_fields": ["pc2"]}));
    let prefix: Arc<dyn Transform> = made!(FieldRename, json!({"prefix": "p"}));
    let kinds: Arc<dyn Transform> = made!(FilterRowKind, json!({"exclude_kinds": ["DELETE"]}));
    let extract: Arc<dyn Transform> = made!(RowKindExtractor, json!({}));
    let stays: Arc<dyn Transform> = made!(TableFilter, json!({"table_pattern": "t"}));
    let first = text_schema(&COLUMNS);
    for (chain, wanted) in [
        (vec![include.clone()], vec![0, 3]),
        (vec![exclude.clone()], vec![0, 3]),
        (vec![kinds, stays, exclude, extract], vec![0, 3]),
        (vec![prefix, renamed], vec![0, 2]),
    ] {
        let between = schemas(&chain, &first).unwrap();
        let places = needed(&chain, &between);
        assert_eq!(places, wanted);
        let after = schemas(&chain, &first.narrowed(&places)).unwrap();
        assert!(after[chain.len()].is_shaped_like(&between[chain.len()]), "{:?}", names(&after[chain.len()]));
    }
}
