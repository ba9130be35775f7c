//! The transform Sql: one SELECT over the rows of every table that enters.
//!
//! [`query`] reads the text once and refuses what one table's rows cannot answer, so that a job file is wrong
//! before it runs. [`plan`] fits the query to a table's shape, once per schema version: it finds columns,
//! turns expressions into DataFusion's ([`translate`]) and those into physical ones. [`run`] evaluates a plan
//! over a batch, column by column; a column that passes as it is is shared, not copied.
//!
//! The results are those of SeaTunnel's Sql transform. Comparisons, CASE, IN and LIKE are DataFusion's; what
//! differs there (arithmetic, casts, nearly every function) is in [`arithmetic`], [`cast`] and [`functions`]. Rows, maps and
//! arrays are looked into and made by [`nested`].
//! docs/sql.md has the language, one line per function, and every place where a result differs on purpose.

mod arithmetic;
mod cast;
mod compare;
mod condition;
mod function;
mod functions;
mod moment;
mod nested;
mod pattern;
mod plan;
mod query;
mod run;
mod text;
mod translate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use culvert_api::{ChangeBatch, Condition, Error, ErrorKind, Result, TableId, TableSchema, Transform};
use culvert_config::{OptionDef, Options};

use crate::plan::Plan;
use crate::query::Query;

/// Versions of one table whose plans are kept: batches of the version before may still be on their way.
const PLANS_PER_TABLE: usize = 4;

/// Plans by source and table, the newest version last.
type Plans = HashMap<(u32, TableId), Vec<Arc<Plan>>>;

/// Runs one SELECT over the rows of every table that enters.
#[derive(Debug)]
pub struct Sql {
    query: Query,
    /// The plans made so far.
    plans: Mutex<Plans>,
}

impl Sql {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "Sql";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::string("query").required().doc(
            "One SELECT over the rows that enter: columns, expressions and functions, and a WHERE. What it can \
             say is in docs/sql.md. The name behind FROM has no effect.",
        ),
        OptionDef::choice("engine", &["ZETA", "INTERNAL"])
            .default("ZETA")
            .doc("Taken for compatibility: there is one engine."),
    ];

    /// Reads the query. Errors are [`ErrorKind::Config`]: a query that does not parse, a part of SQL that rows
    /// of one table cannot answer, a function that does not exist.
    pub fn from_options(options: &Options) -> Result<Sql> {
        Ok(Sql { query: Query::parse(options.str("query"))?, plans: Mutex::default() })
    }

    /// The plan for a table's shape, made at its first batch.
    fn plan(&self, schema: &TableSchema) -> Result<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let of_table = plans.entry((schema.source, schema.id.clone())).or_default();
        if let Some(plan) = of_table.iter().rev().find(|plan| plan.input == *schema) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Plan::new(&self.query, schema)?);
        if of_table.len() == PLANS_PER_TABLE {
            of_table.remove(0);
        }
        of_table.push(plan.clone());
        Ok(plan)
    }
}

impl Transform for Sql {
    fn name(&self) -> &str {
        Sql::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.plan(input)?.output.clone()])
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        let plan = self.plan(input)?;
        let wanted = wanted.first().map_or(&[][..], Vec::as_slice);
        Ok(plan.needs(wanted, self.query.has_wildcard()))
    }

    fn condition(&self, input: &TableSchema, _later: Option<Condition>) -> Option<Condition> {
        self.plan(input).ok()?.condition.clone()
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let [output] = outputs else {
            return Err(Error::new(ErrorKind::Internal, "one table is one table after Sql"));
        };
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let plan = self.plan(&batch.schema)?;
        Ok(run::run(&plan, batch, output)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
