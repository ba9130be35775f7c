//! Step 2: many files, each a split.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use culvert_api::{
    Error, ErrorKind, Result, SourceEvent, SourceReader, SourceState, Split, SplitEnumerator, SplitFinished,
};

use crate::one_reader::{BATCH_ROWS, batch, lines_of};

/// The files of a folder, in the order of their names.
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |cause: std::io::Error| {
        let error = Error::new(ErrorKind::Unavailable, "a folder cannot be read").caused_by(cause);
        error.context("folder", folder.display())
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        files.push(entry.map_err(refused)?.path());
    }
    files.sort();
    Ok(files)
}

/// A file as a piece of work.
pub fn split_of(path: &Path) -> Split {
    let name = path.to_string_lossy().into_owned();
    Split { body: name.clone().into_bytes(), id: name }
}

/// Hands out files, and keeps which are not done.
pub struct FileEnumerator {
    waiting: VecDeque<Split>,
    /// Handed out and not finished, by id.
    out: BTreeMap<String, Split>,
}

impl FileEnumerator {
    /// One that has all of these to hand out; another one is being read already.
    pub fn new(files: impl IntoIterator<Item = PathBuf>, being_read: Option<&Path>) -> FileEnumerator {
        let waiting = files.into_iter().map(|path| split_of(&path)).collect();
        let out = being_read.map(split_of).into_iter().map(|split| (split.id.clone(), split));
        FileEnumerator { waiting, out: out.collect() }
    }

    /// The files that are not done, those that are being read among them.
    pub fn left(&self) -> Vec<PathBuf> {
        let all = self.out.values().chain(&self.waiting);
        all.map(|split| PathBuf::from(&split.id)).collect()
    }
}

#[async_trait]
impl SplitEnumerator for FileEnumerator {
    async fn next_splits(&mut self, wanted: usize) -> Result<Vec<Split>> {
        let splits: Vec<Split> = self.waiting.drain(..wanted.min(self.waiting.len())).collect();
        self.out.extend(splits.iter().map(|split| (split.id.clone(), split.clone())));
        Ok(splits)
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        for split in splits {
            self.out.remove(&split.id);
            self.waiting.push_front(split);
        }
    }

    fn split_finished(&mut self, finished: SplitFinished) -> Result<()> {
        self.out.remove(&finished.id);
        Ok(())
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        let left: Vec<String> =
            self.left().into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
        serde_json::to_vec(&left)
            .map_err(|cause| Error::new(ErrorKind::Internal, "names that cannot be kept").caused_by(cause))
    }
}

/// Reads one file after the other.
pub struct FileReader {
    /// How many files there are yet; told by the source at the start.
    left: usize,
    at_work: VecDeque<(PathBuf, Vec<String>, usize)>,
    barrier: bool,
    ended: bool,
}

impl FileReader {
    /// A reader of so many files, which it is given one by one. The file that is being read, if any, goes on
    /// behind the lines that were read of it.
    pub fn new(left: usize, going_on: Option<(PathBuf, Vec<String>, usize)>) -> FileReader {
        FileReader { left, at_work: going_on.into_iter().collect(), barrier: false, ended: false }
    }

    /// The file that is being read, and how many of its lines have left.
    pub fn place(&self) -> Option<(&Path, usize)> {
        self.at_work.front().map(|(path, _, next)| (path.as_path(), *next))
    }
}

#[async_trait]
impl SourceReader for FileReader {
    fn splits_wanted(&self) -> usize {
        // One at a time; the next one when this is done.
        usize::from(self.at_work.is_empty())
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            let path = PathBuf::from(&split.id);
            let lines = lines_of(&path)?;
            self.at_work.push_back((path, lines, 0));
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        if std::mem::take(&mut self.barrier) {
            let place = self.place().map(|(path, next)| (path.to_string_lossy().into_owned(), next));
            let position = match &place {
                Some((file, line)) => format!("line {line} of {file}"),
                None => format!("{} files are left", self.left),
            };
            let reader = serde_json::to_vec(&place).map_err(|cause| {
                Error::new(ErrorKind::Internal, "a place that cannot be kept").caused_by(cause)
            })?;
            return Ok(SourceEvent::Barrier { reader, position });
        }
        if let Some((path, lines, next)) = self.at_work.front_mut() {
            let (from, to) = (*next, (*next + BATCH_ROWS).min(lines.len()));
            if let Some(rows) = lines.get(from..to).filter(|rows| !rows.is_empty()) {
                let batch = batch(path, from, rows)?;
                *next = to;
                return Ok(SourceEvent::Batch(batch));
            }
            let id = path.to_string_lossy().into_owned();
            self.at_work.pop_front();
            self.left -= 1;
            return Ok(SourceEvent::SplitFinished(SplitFinished { id, remainder: None }));
        }
        if self.left > 0 || std::mem::replace(&mut self.ended, true) {
            return Ok(SourceEvent::Idle);
        }
        Ok(SourceEvent::End)
    }

    fn request_barrier(&mut self) {
        self.barrier = true;
    }

    async fn checkpoint_complete(&mut self, _state: &SourceState) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) {}
}
