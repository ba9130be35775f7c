//! Judges rows by rules; rows that break one stop the job, are dropped, or go to a dead-letter table.

mod letters;
mod rules;

use std::sync::Arc;

use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, TableId, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule as OptionRule};

use crate::clock::{Clock, now_us};
use crate::layout::{
    comes, find, keep, kinds_when_rows_are_dropped, lacks_value, refusal, the_one, turned_away, unfit_row,
};
use rules::{Checked, Rule, Verdict};

/// Judges rows by rules for their columns.
///
/// A row that comes (`+I`, `+U`) and breaks a rule stops the job (FAIL), or leaves the table (SKIP,
/// ROUTE_TO_TABLE): a sink learns of an update whose new side is dropped as of a delete, and of one whose
/// old side was, as of an insert. ROUTE_TO_TABLE tells of it in a dead-letter table; an old state (`-U`,
/// `-D`) was told of when it came.
#[derive(Clone, Debug)]
pub struct DataValidator {
    rules: Vec<(String, Rule)>,
    on_error: OnError,
    clock: Clock,
}

#[derive(Clone, Debug)]
enum OnError {
    Fail,
    Skip,
    Route(String),
}

impl DataValidator {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "DataValidator";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::objects("field_rules").required().doc(
            "Blocks of `field_name` and a rule, or of `field_name` and `rules`, a list of them. A rule is `rule_type` NOT_NULL; RANGE with `min_value`, `max_value`, `min_inclusive`, `max_inclusive`; LENGTH with `min_length`, `max_length`, `exact_length`; REGEX with `pattern`, `case_sensitive`; or UDF with `function_name` = EMAIL; and `custom_message`.",
        ),
        OptionDef::choice("row_error_handle_way", &["FAIL", "SKIP", "ROUTE_TO_TABLE"]).default("FAIL").doc(
            "What a row that breaks a rule does: stop the job, be dropped, or go to the error table.",
        ),
        OptionDef::string("row_error_handle_way.error_table").doc(
            "The error table: a name in the table's own database and schema, or `database.table`, or `database.schema.table`.",
        ),
    ];

    /// What holds between options.
    pub const RULES: &'static [OptionRule] = &[OptionRule::RequiredWhen {
        option: "row_error_handle_way",
        is: "ROUTE_TO_TABLE",
        needs: &["row_error_handle_way.error_table"],
    }];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<DataValidator> {
        let on_error = match options.enum_value("row_error_handle_way") {
            "SKIP" => OnError::Skip,
            "ROUTE_TO_TABLE" => OnError::Route(options.str("row_error_handle_way.error_table").to_owned()),
            _ => OnError::Fail,
        };
        if let OnError::Route(table) = &on_error
            && !(1..=3).contains(&table.split('.').filter(|part| !part.is_empty()).count())
        {
            let message = "option `row_error_handle_way.error_table` is no table's name";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let rules = rules::read(DataValidator::PLUGIN, options)?;
        if rules.is_empty() {
            return Err(Error::new(ErrorKind::Config, "option `field_rules` is empty"));
        }
        Ok(DataValidator { rules, on_error, clock: now_us })
    }

    /// The rules with the places of their columns.
    fn placed(&self, input: &TableSchema) -> Result<Vec<Checked<'_>>> {
        self.rules
            .iter()
            .map(|(name, rule)| {
                let place = find(DataValidator::PLUGIN, input, name)?;
                rule.refuse_unfit(DataValidator::PLUGIN, input, place)?;
                Ok(Checked { place, name, rule })
            })
            .collect()
    }

    /// Stops at the first row that comes and breaks a rule. A value that the log left out did not change,
    /// and stopped nothing when it came.
    fn refuse(&self, checks: &[Checked<'_>], batch: &ChangeBatch) -> Result<()> {
        for (row, _) in batch.kinds.iter().enumerate().filter(|(_, kind)| comes(**kind)) {
            if let Verdict::Broken(check) = rules::judge(checks, batch, row) {
                let message = format!("a row breaks a rule: {}", check.message(None));
                return Err(unfit_row(DataValidator::PLUGIN, batch, row, check.name, message).hint(
                    "correct the row at its source, or set row_error_handle_way to SKIP or ROUTE_TO_TABLE",
                ));
            }
        }
        Ok(())
    }

    /// Which rows keep every rule.
    fn passing(&self, checks: &[Checked<'_>], batch: &ChangeBatch) -> Result<BooleanBuffer> {
        let mut passes = BooleanBufferBuilder::new(batch.len());
        for row in 0..batch.len() {
            passes.append(match rules::judge(checks, batch, row) {
                Verdict::Kept => true,
                Verdict::Broken(_) => false,
                Verdict::Unknown(check) => {
                    return Err(lacks_value(DataValidator::PLUGIN, batch, row, check.place));
                }
            });
        }
        Ok(passes.finish())
    }
}

/// The dead-letter table of a table.
fn letter_table(name: &str, input: &TableId) -> TableId {
    let parts: Vec<&str> = name.split('.').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [database, schema, table] => {
            TableId { schema: Some((*schema).to_owned()), ..TableId::new(*database, *table) }
        }
        [database, table] => TableId::new(*database, *table),
        _ => TableId { table: name.to_owned(), ..input.clone() },
    }
}

impl Transform for DataValidator {
    fn name(&self) -> &str {
        DataValidator::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        self.placed(input)?;
        let valid = TableSchema { kinds: kinds_when_rows_are_dropped(input.kinds), ..input.clone() };
        Ok(match &self.on_error {
            OnError::Fail => vec![input.clone()],
            OnError::Skip => vec![valid],
            OnError::Route(table) => {
                let id = letter_table(table, &input.id);
                if id == input.id {
                    let error = refusal(DataValidator::PLUGIN, input, "the error table is the table itself");
                    return Err(error.hint("name another table in row_error_handle_way.error_table"));
                }
                vec![valid, letters::schema(id, input)]
            }
        })
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
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let input = Arc::clone(&batch.schema);
        let checks = self.placed(&input)?;
        let on =
            |batch: ChangeBatch, schema: &Arc<TableSchema>| ChangeBatch { schema: schema.clone(), ..batch };
        match &self.on_error {
            OnError::Fail => {
                self.refuse(&checks, &batch)?;
                Ok(vec![on(batch, the_one(DataValidator::PLUGIN, outputs)?)])
            }
            OnError::Skip => {
                let passes = self.passing(&checks, &batch)?;
                *rejected += turned_away(&batch, &passes);
                let output = the_one(DataValidator::PLUGIN, outputs)?;
                keep(DataValidator::PLUGIN, on(batch, output), &passes)
            }
            OnError::Route(_) => {
                let [valid, letters] = outputs else {
                    return Err(Error::new(ErrorKind::Internal, "a table and its error table leave")
                        .context("transform", DataValidator::PLUGIN));
                };
                let passes = self.passing(&checks, &batch)?;
                *rejected += turned_away(&batch, &passes);
                let told = letters::batch(&checks, &batch, letters, &passes, (self.clock)())?;
                let mut left = keep(DataValidator::PLUGIN, on(batch, valid), &passes)?;
                left.extend(told);
                Ok(left)
            }
        }
    }
}

#[cfg(test)]
mod tests;
