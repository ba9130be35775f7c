//! A file of ids and their options.
//!
//! ```hocon
//! datasource { shop { url = "…", username = culvert, password = ${SHOP_PASSWORD} } }
//! table { shop.orders { columns = [ … ] } }
//! ```

use std::path::PathBuf;

use culvert_config::{Entry, Problem, ProblemKind, Value, Variables, read_document};

use super::Missing;

/// The file. It is read at every question, so that what was changed counts at once.
#[derive(Debug)]
pub(crate) struct MetadataFile {
    pub(super) path: PathBuf,
}

impl MetadataFile {
    pub(super) fn datasource(&self, id: &str) -> Result<Vec<Entry>, Missing> {
        self.entries("datasource", id)
    }

    pub(super) fn table(&self, id: &str) -> Result<Vec<Entry>, Missing> {
        self.entries("table", id)
    }

    fn entries(&self, section: &str, id: &str) -> Result<Vec<Entry>, Missing> {
        let read = Variables::new(&[])
            .and_then(|variables| read_document(&self.path, "the metadata file", &variables));
        let root = read.map_err(missing)?.root;
        let known = root.inside(section).entries;
        let found = known.iter().find(|entry| entry.key == id).map(|entry| entry.value.clone());
        match found {
            Some(Value::Object(entries)) => Ok(entries),
            Some(other) => Err(Missing::Broken(format!("it holds {} for it, not a block", other.shape()))),
            None => Err(Missing::Unknown(known.into_iter().map(|entry| entry.key).collect())),
        }
    }
}

/// A file that is not there may come; one that does not read may be half written, which only its writer knows.
fn missing(problem: Problem) -> Missing {
    match problem.kind {
        ProblemKind::File => Missing::Away(problem.message),
        // Messages of the file's text name keys and never values; its lines are not shown.
        _ => Missing::Broken(match problem.place.line {
            Some(line) => format!("line {line}: {}", problem.message),
            None => problem.message,
        }),
    }
}
