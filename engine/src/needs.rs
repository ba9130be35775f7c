//! What the sinks of a job need of the sources' tables, asked of the transforms on every path.
//!
//! An answer is proven before it is given: the table without the other columns has to leave every path as the
//! whole table does. What cannot be told, or cannot be proven, is needed.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use culvert_api::{Condition, Needs, Result, TableId, TableSchema};
use tracing::info;

use crate::graph::Branch;
use crate::route::{Path, Step};

/// The needs of a job.
pub(crate) struct JobNeeds {
    paths: Vec<Path>,
    /// What was said of each table last.
    told: Mutex<HashMap<(u32, TableId), Vec<usize>>>,
    /// The condition that was said last.
    told_conditions: Mutex<HashMap<(u32, TableId), String>>,
}

impl JobNeeds {
    pub(crate) fn new(branches: &[Branch]) -> JobNeeds {
        let paths = branches.iter().flat_map(|branch| branch.paths.iter().cloned()).collect();
        JobNeeds { paths, told: Mutex::default(), told_conditions: Mutex::default() }
    }

    /// Places of the columns that are needed, ascending; the table without the others was proven equal.
    fn find(&self, table: &TableSchema) -> Result<Option<Vec<usize>>> {
        let paths = || self.paths.iter().filter(|path| path.source == table.source);
        let mut needed = vec![false; table.columns.len()];
        for path in paths() {
            for (all, one) in needed.iter_mut().zip(needs(&path.steps, table)?) {
                *all |= one;
            }
        }
        for key in table.key_indices() {
            needed[key] = true;
        }
        if !needed.contains(&true)
            && let Some(first) = needed.first_mut()
        {
            // Something has to tell how many rows there are.
            *first = true;
        }
        let places: Vec<usize> = (0..needed.len()).filter(|place| needed[*place]).collect();
        if places.len() == needed.len() {
            return Ok(None);
        }
        let narrowed = table.narrowed(&places);
        for path in paths() {
            let (mut whole, mut less) = (Vec::new(), Vec::new());
            leaves(&path.steps, table, &mut whole)?;
            leaves(&path.steps, &narrowed, &mut less)?;
            let is_same = |(whole, less): (&TableSchema, &TableSchema)| {
                whole.is_shaped_like(less) && (whole.version, whole.source) == (less.version, less.source)
            };
            if whole.len() != less.len() || !whole.iter().zip(&less).all(is_same) {
                return Ok(None);
            }
        }
        Ok(Some(places))
    }

    /// The rows that any path lets pass: all, where one path does not say.
    fn any_of(
        &self,
        table: &TableSchema,
        of: impl Fn(&[Step], &TableSchema) -> Option<Condition>,
    ) -> Option<Condition> {
        let paths = self.paths.iter().filter(|path| path.source == table.source);
        Condition::any(paths.map(|path| of(&path.steps, table)).collect::<Option<Vec<_>>>()?)
    }

    fn tell_condition(&self, table: &TableSchema, condition: &Condition) {
        let text = condition.to_string();
        let mut told = self.told_conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert((table.source, table.id.clone()), text.clone());
        if before.is_none_or(|before| before != text) {
            info!(table = %table.id, "pushed down: the table is read where {text}, no sink needs other rows");
        }
    }

    fn tell(&self, table: &TableSchema, places: &[usize]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert((table.source, table.id.clone()), places.to_vec());
        if before.is_none_or(|before| before != places) {
            let (read, of) = (places.len(), table.columns.len());
            info!(table = %table.id, "pushed down: {read} of {of} columns are read, no sink needs the others");
        }
    }
}

impl Needs for JobNeeds {
    fn columns(&self, table: &TableSchema) -> Option<Vec<usize>> {
        // What a transform refuses here it refuses on the way of the rows, and says there why.
        let places = self.find(table).ok().flatten()?;
        self.tell(table, &places);
        Some(places)
    }

    fn condition(&self, table: &TableSchema) -> Option<Condition> {
        let condition = self.any_of(table, condition)?;
        self.tell_condition(table, &condition);
        Some(condition)
    }

    fn log_condition(&self, table: &TableSchema) -> Option<Condition> {
        // Only where the condition comes first: whatever stands in front of it sees the kinds of the rows, which
        // a log without the others tells otherwise.
        self.any_of(table, |steps, table| steps.first()?.transform.condition(table, None))
    }
}

/// What rows have to fulfil to leave these steps.
fn condition(steps: &[Step], table: &TableSchema) -> Option<Condition> {
    let (step, rest) = steps.split_first()?;
    let outputs = step.transform.map_schema(table).ok()?;
    let later = match outputs.as_slice() {
        [output] => condition(rest, output),
        _ => None,
    };
    step.transform.condition(table, later)
}

/// What these steps need of a table, a flag per column.
fn needs(steps: &[Step], table: &TableSchema) -> Result<Vec<bool>> {
    let Some((step, rest)) = steps.split_first() else { return Ok(vec![true; table.columns.len()]) };
    let outputs = step.transform.map_schema(table)?;
    let wanted = outputs.iter().map(|output| needs(rest, output)).collect::<Result<Vec<_>>>()?;
    step.transform.needs(table, &wanted)
}

/// The tables that leave these steps.
fn leaves(steps: &[Step], table: &TableSchema, found: &mut Vec<TableSchema>) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(table.clone());
        return Ok(());
    };
    step.transform.map_schema(table)?.iter().try_for_each(|output| leaves(rest, output, found))
}
