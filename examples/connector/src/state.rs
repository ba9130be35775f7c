//! Step 3: the source goes on where a checkpoint stands.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Error, ErrorKind, Finding, ReaderContext, Result, Source, SourceReader, SourceState,
    SplitEnumerator, TableSchema,
};
use serde::Deserialize;

use crate::one_reader::{lines_of, table};
use crate::splits::{FileEnumerator, FileReader, files_of};

/// The lines of all files of a folder, each once.
pub struct Folder {
    path: PathBuf,
}

/// What a checkpoint holds of this source.
struct Kept {
    /// The files that are not done, the one that is being read among them.
    left: Vec<PathBuf>,
    /// The file that is being read, and how many of its lines are done.
    place: Option<(PathBuf, usize)>,
}

impl Folder {
    /// Looks at nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into() }
    }

    /// What is to be read: as kept, or everything at a fresh start.
    fn kept(&self, state: Option<&SourceState>) -> Result<Kept> {
        let Some(state) = state else { return Ok(Kept { left: files_of(&self.path)?, place: None }) };
        Ok(Kept { left: decoded(&state.enumerator)?, place: decoded(&state.reader)? })
    }
}

/// A state that does not read is an error with a way out, never a fresh start.
fn decoded<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|cause| {
        Error::new(ErrorKind::Corrupt, "the state of the source does not read")
            .caused_by(cause)
            .hint("start over with --fresh")
    })
}

#[async_trait]
impl Source for Folder {
    fn name(&self) -> &str {
        "Folder"
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        let found = files_of(&self.path);
        Ok(found.err().map(|error| Finding::error("path", error.to_string())).into_iter().collect())
    }

    async fn tables(&self, _state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        Ok(vec![table()])
    }

    async fn enumerator(
        &self,
        _context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        let Kept { left, place } = self.kept(state)?;
        // The file that is being read is the reader's, and is handed out to nobody.
        let waiting = left.into_iter().filter(|path| place.as_ref().is_none_or(|(at, _)| at != path));
        Ok(Box::new(FileEnumerator::new(waiting, place.as_ref().map(|(path, _)| path.as_path()))))
    }

    async fn reader(
        &self,
        _context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let Kept { left, place } = self.kept(state)?;
        let going_on = match place {
            Some((path, next)) => Some((path.clone(), lines_of(&path)?, next)),
            None => None,
        };
        Ok(Box::new(FileReader::new(left.len(), going_on)))
    }
}
