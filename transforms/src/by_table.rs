//! One transform for several tables, each with options of its own. Around every transform.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Condition, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::OptionDef;
use regex::Regex;

use crate::layout::needs_as_wanted;
use crate::pattern::compile_whole;

/// The options that every transform accepts beside its own.
pub const TABLE_OPTIONS: &[OptionDef] = &[
    OptionDef::string("table_match_regex")
        .default(".*")
        .doc("A regular expression that the table's full name (`database.table`, `database.schema.table`) matches. Other tables pass unchanged."),
    OptionDef::objects("table_transform")
        .secret()
        .doc("Options for single tables: blocks of `table_path`, the full name, and this transform's own options. They take the place of the outer ones for that table."),
    OptionDef::choice("rule_match_mode", &["FIRST_MATCH", "ALL_MATCH"])
        .doc("What several blocks of one `table_path` do: the first counts, or all, one after the other. Without it they are refused."),
];

/// A transform that knows which tables it is for.
pub struct ByTable {
    plugin: &'static str,
    /// For the tables that match; `None` when only single tables have options.
    general: Option<(Regex, Arc<dyn Transform>)>,
    /// For single tables, in the order of the job file.
    single: Vec<(String, Arc<dyn Transform>)>,
    all_match: bool,
}

impl ByTable {
    /// Puts it together: the transform with the outer options, those for single tables by full name, and
    /// the options `table_match_regex` and `rule_match_mode`. Errors are [`ErrorKind::Config`].
    pub fn new(
        plugin: &'static str,
        matching: &str,
        mode: &str,
        general: Option<Arc<dyn Transform>>,
        single: Vec<(String, Arc<dyn Transform>)>,
    ) -> Result<ByTable> {
        let matching = compile_whole(plugin, "table_match_regex", matching, true)?;
        let twice = single
            .iter()
            .enumerate()
            .find(|(at, (path, _))| single.iter().take(*at).any(|(before, _)| before == path));
        if let Some((_, (path, _))) = twice
            && mode.is_empty()
        {
            let message = format!("option `table_transform` names the table '{path}' twice");
            return Err(Error::new(ErrorKind::Config, message)
                .hint("set rule_match_mode to FIRST_MATCH or ALL_MATCH, or name it once"));
        }
        let general = general.map(|transform| (matching, transform));
        Ok(ByTable { plugin, general, single, all_match: mode == "ALL_MATCH" })
    }

    /// The transforms for a table, in order.
    fn chain(&self, input: &TableSchema) -> Vec<&dyn Transform> {
        let path = input.id.to_string();
        let own = self.single.iter().filter(|(table, _)| *table == path).map(|(_, t)| t.as_ref());
        let mut chain: Vec<&dyn Transform> = own.take(if self.all_match { usize::MAX } else { 1 }).collect();
        if chain.is_empty()
            && let Some((matching, transform)) = &self.general
            && matching.is_match(&path)
        {
            chain.push(transform.as_ref());
        }
        chain
    }
}

/// What leaves a chain, of which every transform takes the first table that left the one before it: the
/// table itself. Others, such as dead letters, leave at once.
fn map_chain(chain: &[&dyn Transform], input: &TableSchema) -> Result<Vec<TableSchema>> {
    let mut left = vec![input.clone()];
    for transform in chain {
        let Some(first) = left.first() else { break };
        let mapped = transform.map_schema(first)?;
        if mapped.is_empty() {
            left.remove(0);
            break;
        }
        left.splice(0..1, mapped);
    }
    Ok(left)
}

impl Transform for ByTable {
    fn name(&self) -> &str {
        self.plugin
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        map_chain(&self.chain(input), input)
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        match self.chain(input).as_slice() {
            [] => Ok(needs_as_wanted(input, wanted)),
            [one] => one.needs(input, wanted),
            // What leaves one on its way to the next is told to nobody.
            _ => Ok(vec![true; input.columns.len()]),
        }
    }

    fn condition(&self, input: &TableSchema, later: Option<Condition>) -> Option<Condition> {
        match self.chain(input).as_slice() {
            [] => later,
            [one] => one.condition(input, later),
            _ => None,
        }
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        self.apply_counted(batch, outputs, &mut 0)
    }

    fn apply_counted(
        &self,
        batch: ChangeBatch,
        outputs: &[Arc<TableSchema>],
        rejected: &mut u64,
    ) -> Result<Vec<ChangeBatch>> {
        let chain = self.chain(&batch.schema);
        let Some((first, rest)) = chain.split_first() else {
            let Some(schema) = outputs.first().cloned() else { return Ok(Vec::new()) };
            return Ok(if batch.is_empty() { Vec::new() } else { vec![ChangeBatch { schema, ..batch }] });
        };
        if rest.is_empty() {
            return first.apply_counted(batch, outputs, rejected);
        }
        let mut left: Vec<ChangeBatch> = Vec::new();
        let mut going = vec![batch];
        for transform in chain {
            let mut next = Vec::new();
            for batch in going {
                let mapped: Vec<Arc<TableSchema>> =
                    transform.map_schema(&batch.schema)?.into_iter().map(Arc::new).collect();
                for out in transform.apply_counted(batch, &mapped, rejected)? {
                    let is_table = mapped.first().is_some_and(|first| Arc::ptr_eq(first, &out.schema));
                    if is_table { next.push(out) } else { left.push(out) }
                }
            }
            going = next;
        }
        left.splice(0..0, going);
        // The schemas of the caller, of which these are equals.
        let known = |batch: ChangeBatch| {
            let schema = outputs.iter().find(|output| **output == batch.schema).cloned();
            let schema = schema.ok_or_else(|| {
                Error::new(ErrorKind::Internal, "a table leaves that was not announced")
                    .context("transform", self.plugin)
                    .context("table", &batch.schema.id)
            })?;
            Ok(ChangeBatch { schema, ..batch })
        };
        left.into_iter().map(known).collect()
    }
}

#[cfg(test)]
mod tests;
