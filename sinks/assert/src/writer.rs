//! Judges rows as they come, and counts them.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Committer, Error, ErrorKind, JobProgress, Result, SchemaChange,
    SinkWriter, TableId, TableSchema, WriterContext,
};
use tracing::warn;

use crate::count::{Rows, Total};
use crate::judge::{self, Judge, path};
use crate::rules::{RuleSet, Rules};
use crate::sink::Counts;

/// The writer of a job branch.
pub(crate) struct AssertWriter {
    rules: Arc<Rules>,
    counts: Counts,
    context: WriterContext,
    judges: HashMap<TableId, Judge>,
    /// Rows since the last checkpoint.
    came: Rows,
    /// Rows of each table in this attempt, for messages.
    seen: Rows,
    /// As of the last checkpoint.
    total: Option<Total>,
}

impl AssertWriter {
    pub(crate) fn new(rules: Arc<Rules>, counts: Counts, context: WriterContext) -> AssertWriter {
        let (judges, came, seen) = (HashMap::new(), Rows::new(), Rows::new());
        AssertWriter { rules, counts, context, judges, came, seen, total: None }
    }

    /// The judge of a table in this shape.
    fn judge(&mut self, schema: &Arc<TableSchema>) -> Result<()> {
        if !self.judges.get(&schema.id).is_some_and(|judge| judge.is_for(schema)) {
            self.judges.insert(schema.id.clone(), Judge::new(&self.rules, schema)?);
        }
        Ok(())
    }
}

/// Rows that a set of rules is about.
fn rows_of(set: &RuleSet, rows: &Rows) -> u64 {
    let counted = rows.iter().filter(|(table, _)| set.table.as_ref().is_none_or(|wanted| wanted == *table));
    counted.map(|(_, count)| *count).sum()
}

/// An error about the number of rows.
fn wrong_number(rule: &str, bound: u64, rows: u64, set: &RuleSet) -> Error {
    let message = format!("the rule {rule} {bound} is broken: there were {rows} rows");
    Error::new(ErrorKind::Value, message).context("table", set.table.as_deref().unwrap_or("all tables"))
}

#[async_trait]
impl SinkWriter for AssertWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        judge::tables(&self.rules, tables)?;
        tables.iter().try_for_each(|table| self.judge(table))
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        self.judge(&batch.schema)?;
        let table = path(&batch.schema.id);
        let seen = self.seen.entry(table.clone()).or_default();
        if let Some(judge) = self.judges.get(&batch.schema.id) {
            judge.rows(&batch, *seen)?;
        }
        let rows = batch.len() as u64;
        *seen += rows;
        *self.came.entry(table).or_default() += rows;
        self.context.progress.rows_written.fetch_add(rows, Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()> {
        match &change.after {
            Some(schema) => self.judge(schema),
            None => Ok(()),
        }
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        let came = std::mem::take(&mut self.came);
        let total = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.entry(self.context.writer).or_default().reach(marker.checkpoint, &came)
        };
        for set in &self.rules.sets {
            let rows = rows_of(set, &total.rows);
            if let Some(most) = set.rows_max.filter(|most| rows > *most) {
                return Err(wrong_number("MAX_ROW", most, rows, set));
            }
        }
        self.total = Some(total);
        let rows: u64 = came.values().sum();
        Ok(Committable { checkpoint: marker.checkpoint, body: rows.to_le_bytes().to_vec() })
    }

    async fn finish(&mut self) -> Result<()> {
        let total = self.total.clone().unwrap_or(Total { rows: Rows::new(), is_whole: true });
        for set in &self.rules.sets {
            let rows = rows_of(set, &total.rows);
            let Some(least) = set.rows_min.filter(|least| rows < *least) else { continue };
            if total.is_whole {
                return Err(wrong_number("MIN_ROW", least, rows, set));
            }
            warn!(
                rows,
                MIN_ROW = least,
                "MIN_ROW is not judged: the process was started again, and rows of the one before are not counted"
            );
        }
        Ok(())
    }

    async fn close(&mut self) {}
}

/// Has nothing to make visible; counts.
pub(crate) struct AssertCommitter {
    progress: Arc<JobProgress>,
    counted: u64,
}

impl AssertCommitter {
    pub(crate) fn new(progress: Arc<JobProgress>) -> AssertCommitter {
        AssertCommitter { progress, counted: 0 }
    }
}

#[async_trait]
impl Committer for AssertCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            let rows = committable.body.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            self.progress.rows_committed.fetch_add(rows.unwrap_or_default(), Relaxed);
        }
        Ok(())
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }
}
