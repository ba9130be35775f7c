//! A plan over a batch: which rows pass, and what their columns are.
//!
//! What the log left out of a row is not NULL, so nothing is computed from it. A row of which something is
//! asked that is not there stops the job with the statement that makes the source tell it. A delete is the
//! exception: it needs its key alone, so it passes a WHERE that cannot be judged (a target that never had the
//! row does nothing), and what would be computed from what is left out is left out, too.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::ArrowError;
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind, TableSchema, Unavailable};
use datafusion_common::DataFusionError;
use datafusion_expr::ColumnarValue;

use crate::Sql;
use crate::function::Fault;
use crate::plan::{Computed, Plan, Source};

/// The rows that leave, with `output` as their schema; `None` when none do.
pub(crate) fn run(plan: &Plan, batch: ChangeBatch, output: &Arc<TableSchema>) -> Result<Option<ChangeBatch>> {
    let now = plan.with_now.as_ref().map(|_| chrono::Utc::now().timestamp_micros());
    let batch = match plan.conditions.is_empty() {
        true => batch,
        false => match passing(plan, batch, now)? {
            Some(batch) => batch,
            None => return Ok(None),
        },
    };
    let rows = visible(plan, &batch.rows, now)?;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.len());
    let mut unavailable = Vec::new();
    for (place, source) in plan.columns.iter().enumerate() {
        match source {
            Source::Passed(from) => {
                let column =
                    batch.rows.columns().get(*from).ok_or_else(|| internal(plan, "a column is missing"))?;
                columns.push(column.clone());
                let left_out = batch.unavailable.iter().filter(|left_out| left_out.column == *from);
                unavailable.extend(
                    left_out.map(|left_out| Unavailable { column: place, rows: left_out.rows.clone() }),
                );
            }
            Source::Computed(computed) => {
                let left_out = left_out_of(&batch, computed);
                if let Some(rows) = left_out {
                    let deleted = |row| batch.kinds.get(row) == Some(&RowKind::Delete);
                    if rows.set_indices().any(|row| !deleted(row)) {
                        return Err(needs_whole_row(plan, &batch, computed));
                    }
                    unavailable.push(Unavailable { column: place, rows });
                }
                columns.push(evaluate(plan, computed, &rows, None)?);
            }
        }
    }
    let rows = RecordBatch::try_new(output.arrow.clone(), columns).map_err(|cause| {
        internal(plan, "a batch does not have the columns of its schema").caused_by(cause)
    })?;
    Ok(Some(ChangeBatch { schema: output.clone(), rows, unavailable, ..batch }))
}

fn internal(plan: &Plan, what: &str) -> Error {
    Error::new(ErrorKind::Internal, what).context("table", &plan.input.id).context("transform", Sql::PLUGIN)
}

/// The rows as expressions see them: with the moment of the batch, where it is asked for.
fn visible(plan: &Plan, rows: &RecordBatch, now: Option<i64>) -> Result<RecordBatch> {
    let (Some(schema), Some(now)) = (&plan.with_now, now) else { return Ok(rows.clone()) };
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(TimestampMicrosecondArray::from_value(now, rows.num_rows())));
    RecordBatch::try_new(schema.clone(), columns)
        .map_err(|cause| internal(plan, "a batch does not have the columns of its schema").caused_by(cause))
}

/// The rows in which something that an expression reads was left out; `None` when there are none.
fn left_out_of(batch: &ChangeBatch, computed: &Computed) -> Option<BooleanBuffer> {
    let needed = batch.unavailable.iter().filter(|left_out| computed.needs.contains(&left_out.column));
    let rows = needed.map(|left_out| left_out.rows.clone()).reduce(|one, other| &one | &other)?;
    (rows.count_set_bits() > 0).then_some(rows)
}

fn needs_whole_row(plan: &Plan, batch: &ChangeBatch, computed: &Computed) -> Error {
    let needed = batch.unavailable.iter().find(|left_out| computed.needs.contains(&left_out.column));
    let column = needed.and_then(|left_out| plan.input.columns.get(left_out.column));
    let what = format!("the log left out a value that `{}` needs", computed.text);
    left_out(plan, what, column.map_or("", |column| &column.name))
}

/// An error that names the column and the way out.
fn left_out(plan: &Plan, what: String, column: &str) -> Error {
    let id = &plan.input.id;
    let table =
        id.schema.as_ref().map_or_else(|| id.table.clone(), |schema| format!("{schema}.{}", id.table));
    Error::new(ErrorKind::Unsupported, what)
        .context("table", id)
        .context("column", column)
        .context("transform", Sql::PLUGIN)
        .hint(format!(
            "run ALTER TABLE {table} REPLICA IDENTITY FULL at the source, and start the job with --fresh"
        ))
}

/// The values of an expression, one per row; where only `some` rows count, the others are NULL.
fn evaluate(
    plan: &Plan,
    computed: &Computed,
    rows: &RecordBatch,
    some: Option<&BooleanArray>,
) -> Result<ArrayRef> {
    let made = match some {
        Some(some) => computed.expr.evaluate_selection(rows, some),
        None => computed.expr.evaluate(rows),
    };
    let column = made.and_then(|made| match made {
        ColumnarValue::Array(column) => Ok(column),
        ColumnarValue::Scalar(value) => value.to_array_of_size(rows.num_rows()),
    });
    column.map_err(|error| {
        let why = reason(&error);
        Error::new(ErrorKind::Value, format!("{why} in `{}`", computed.text))
            .context("table", &plan.input.id)
            .context("transform", Sql::PLUGIN)
            .hint("correct the row at the source, or guard the expression with CASE or TRY_CAST")
    })
}

/// What went wrong, in words that hold no value. What the libraries say may hold one.
fn reason(error: &DataFusionError) -> String {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.0.clone();
        }
        match error.downcast_ref::<ArrowError>() {
            Some(ArrowError::DivideByZero) => return "a division by zero".to_owned(),
            Some(ArrowError::ArithmeticOverflow(_)) => {
                return "a number is too large for its type".to_owned();
            }
            Some(ArrowError::CastError(_) | ArrowError::ParseError(_)) => {
                return "a value cannot become one of the type it is compared with".to_owned();
            }
            _ => {}
        }
        next = error.source();
    }
    "a value cannot be computed".to_owned()
}

/// The rows that pass WHERE.
fn passing(plan: &Plan, mut batch: ChangeBatch, now: Option<i64>) -> Result<Option<ChangeBatch>> {
    let rows = visible(plan, &batch.rows, now)?;
    let mut passes = BooleanBuffer::new_set(batch.len());
    let (judged, open): (Vec<&Computed>, Vec<&Computed>) =
        plan.conditions.iter().partition(|condition| left_out_of(&batch, condition).is_none());
    for condition in judged {
        passes = narrowed(plan, condition, &rows, &passes)?;
    }
    for condition in open {
        let Some(unknown) = left_out_of(&batch, condition) else { continue };
        let unknown = &unknown & &passes;
        if unknown.set_indices().any(|row| batch.kinds.get(row) != Some(&RowKind::Delete)) {
            return Err(needs_whole_row(plan, &batch, condition));
        }
        let known = narrowed(plan, condition, &rows, &(&passes & &!&unknown))?;
        passes = &known | &unknown;
    }
    let passes = gone(plan, &mut batch, passes);
    refuse_unknown_rows(plan, &batch, &passes)?;
    batch.keep(&passes)
}

/// Of the rows that pass so far, those that pass one more condition.
fn narrowed(
    plan: &Plan,
    condition: &Computed,
    rows: &RecordBatch,
    passes: &BooleanBuffer,
) -> Result<BooleanBuffer> {
    let all = passes.count_set_bits();
    if all == 0 {
        return Ok(passes.clone());
    }
    // What can fail is asked of the rows that are left alone.
    let some = (condition.can_fail && all < passes.len()).then(|| BooleanArray::new(passes.clone(), None));
    let answers = evaluate(plan, condition, rows, some.as_ref())?;
    let Some(answers) = answers.as_boolean_opt() else {
        return Err(internal(plan, "a condition is neither true nor false"));
    };
    let answered = match answers.nulls() {
        Some(known) => answers.values() & known.inner(),
        None => answers.values().clone(),
    };
    Ok(&answered & passes)
}

/// An update whose old side is not told may end a row's stay among those that pass: it becomes the delete of
/// the row. Where the stream has no deletes, or the key alone decides, it is dropped.
fn gone(plan: &Plan, batch: &mut ChangeBatch, passes: BooleanBuffer) -> BooleanBuffer {
    if plan.by_key_alone || !plan.input.kinds.contains(RowKind::Delete) {
        return passes;
    }
    let alone = |row: usize| is_alone(&batch.kinds, row) && !passes.value(row);
    let ended: Vec<usize> = (0..batch.len()).filter(|row| alone(*row)).collect();
    if ended.is_empty() {
        return passes;
    }
    for row in &ended {
        if let Some(kind) = batch.kinds.get_mut(*row) {
            *kind = RowKind::Delete;
        }
    }
    let mut ended = ended.into_iter().peekable();
    (0..passes.len()).map(|row| ended.next_if_eq(&row).is_some() || passes.value(row)).collect()
}

/// Whether a row is the new side of an update whose old side is not there.
fn is_alone(kinds: &[RowKind], row: usize) -> bool {
    let before = row.checked_sub(1).and_then(|before| kinds.get(before));
    kinds.get(row) == Some(&RowKind::UpdateAfter) && before != Some(&RowKind::UpdateBefore)
}

/// A row that a target may see for the first time has to be whole: what is left out of it is nowhere else.
fn refuse_unknown_rows(plan: &Plan, batch: &ChangeBatch, passes: &BooleanBuffer) -> Result<()> {
    for left_out_rows in &batch.unavailable {
        let leaves = plan
            .columns
            .iter()
            .any(|source| matches!(source, Source::Passed(place) if *place == left_out_rows.column));
        if !leaves {
            continue;
        }
        let unknown =
            left_out_rows.rows.set_indices().filter(|row| *row < passes.len() && passes.value(*row));
        for row in unknown {
            let dropped = |before: usize| !passes.value(before);
            let is_new = match batch.kinds.get(row) {
                Some(RowKind::Insert) => batch.moved_from(row).is_some_and(dropped),
                Some(RowKind::UpdateAfter) if is_alone(&batch.kinds, row) => !plan.by_key_alone,
                Some(RowKind::UpdateAfter) => row.checked_sub(1).is_some_and(dropped),
                _ => false,
            };
            if is_new {
                let column = plan.input.columns.get(left_out_rows.column).map_or("", |column| &column.name);
                let what = "a row may begin to pass WHERE while the log left out a value of it";
                return Err(left_out(plan, what.to_owned(), column));
            }
        }
    }
    Ok(())
}
