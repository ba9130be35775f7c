//! What of a table anybody needs: told to a source before it reads, so that it leaves out the rest.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::schema::TableSchema;

/// Knows which columns of a source's tables reach a sink or decide what does.
pub trait Needs: Send + Sync {
    /// Places of the columns that are needed, ascending, those of the key among them, at least one; `None`
    /// when that are all, or cannot be told. The same for the same table. With the other columns left out
    /// ([`TableSchema::narrowed`]) exactly the same reaches every sink.
    fn columns(&self, table: &TableSchema) -> Option<Vec<usize>>;
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
}

impl fmt::Debug for Narrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Narrowing").field("told", &self.0.get().is_some()).finish()
    }
}
