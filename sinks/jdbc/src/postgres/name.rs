//! The name of a target table.

use std::fmt;

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::quote;

/// Bytes of a name; the server would cut a longer one without an error.
const NAME_BYTES_MAX: usize = 63;

/// A table of the target database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TargetName {
    /// Its schema.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) table: String,
}

impl TargetName {
    /// The name as it stands in statements.
    pub(crate) fn quoted(&self) -> String {
        quote::qualified(&self.schema, &self.table)
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Refuses a name the server would cut.
pub(crate) fn refuse_long(what: &str, name: &str) -> Result<()> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the {what} name '{name}' has {} bytes", name.len());
    Err(Error::new(ErrorKind::Config, message)
        .hint(format!("the server keeps {NAME_BYTES_MAX} and would cut the rest: choose a shorter name")))
}
