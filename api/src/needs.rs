//! What of a table anybody needs, columns and rows: told to a source before it reads, so that it leaves out the rest.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::condition::Condition;
use crate::schema::TableSchema;

/// Knows which columns of a source's tables reach a sink or decide what does.
pub trait Needs: Send + Sync {
    /// Places of the columns that are needed, ascending, those of the key among them, at least one; `None`
    /// when that are all, or cannot be told. The same for the same table. With the other columns left out
    /// ([`TableSchema::narrowed`]) exactly the same reaches every sink.
    fn columns(&self, table: &TableSchema) -> Option<Vec<usize>>;

    /// What rows that were there before have to fulfil to reach a sink; `None` when all may. A source may leave
    /// out the others where it reads a table as it is.
    fn condition(&self, table: &TableSchema) -> Option<Condition>;

    /// What rows of a log have to fulfil, where a log that has only such rows makes no difference: an update of
    /// which the row passes on one side alone is then an insert or a delete already. It may be weaker than
    /// [`Needs::condition`].
    fn log_condition(&self, table: &TableSchema) -> Option<Condition>;
}

/// What a source was told of [`Needs`]. Copies share it.
#[derive(Clone, Default)]
pub struct Narrowing(Arc<OnceLock<Arc<dyn Needs>>>);

impl Narrowing {
    /// Takes the needs in. The first stay: a source belongs to one job.
    pub fn set(&self, needs: Arc<dyn Needs>) {
        // Every attempt of the job tells the same.
        let _ = self.0.set(needs);
    }

    /// The table as the source delivers it.
    pub fn narrow(&self, table: TableSchema) -> TableSchema {
        match self.0.get().and_then(|needs| needs.columns(&table)) {
            Some(places) => table.narrowed(&places),
            None => table,
        }
    }

    /// [`Needs::condition`] for a table as the source delivers it, on the columns of the table as it is.
    pub fn condition(&self, delivered: &TableSchema, table: &TableSchema) -> Option<Condition> {
        self.0.get()?.condition(delivered).filter(|condition| condition.fits(table))
    }

    /// [`Needs::log_condition`], as above.
    pub fn log_condition(&self, delivered: &TableSchema, table: &TableSchema) -> Option<Condition> {
        self.0.get()?.log_condition(delivered).filter(|condition| condition.fits(table))
    }
}

impl fmt::Debug for Narrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Narrowing").field("told", &self.0.get().is_some()).finish()
    }
}
