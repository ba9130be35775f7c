//! The jobs folder: every job file in it is a job that runs as long as the file is there.
//!
//! A new file is submitted, a changed one updates its job, and where a file is gone its job stops behind a
//! checkpoint, to go on when the file comes back. A file is taken when two looks find it alike, so that none
//! is read half written. What was refused is not tried again until the file changes, unless only the
//! metadata provider could not be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_config::MAX_FILE_BYTES;
use tokio::time::{Duration, interval};

use crate::daemon::jobs::{Jobs, Submission};
use crate::daemon::model::{Definition, Refusal, TextFormat};

/// Who asks, in the records of jobs.
const BY: &str = "jobs folder";

/// Looks at a folder until it is dropped.
pub(crate) struct JobsFolder {
    path: PathBuf,
    jobs: Arc<Jobs>,
    /// What the last look found.
    seen: BTreeMap<String, String>,
    /// What has been taken, whatever came of it.
    taken: BTreeMap<String, String>,
    /// Files that the metadata provider keeps from being taken, as was told.
    waiting: BTreeSet<String>,
    /// Why the folder could not be read, as it was told last.
    trouble: Option<String>,
}

impl JobsFolder {
    pub(crate) fn new(path: PathBuf, jobs: Arc<Jobs>) -> JobsFolder {
        let mut taken = BTreeMap::new();
        for file in jobs.files() {
            if let Some((_, _, text)) = jobs.of_file(&file) {
                taken.insert(file, text);
            }
        }
        JobsFolder { path, jobs, seen: BTreeMap::new(), taken, waiting: BTreeSet::new(), trouble: None }
    }

    /// Looks again and again.
    pub(crate) async fn watch(mut self, every: Duration) {
        let mut looks = interval(every);
        loop {
            looks.tick().await;
            let path = self.path.clone();
            let found = tokio::task::spawn_blocking(move || read(&path)).await;
            match found.map_err(std::io::Error::other).and_then(|found| found) {
                Ok(found) => {
                    self.trouble = None;
                    self.look(found).await;
                }
                // A folder that cannot be read says nothing about its files: no job stops for it.
                Err(error) => self.tell(error.to_string()),
            }
        }
    }

    fn tell(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::error!(folder = %self.path.display(), "the jobs folder cannot be read: {trouble}");
        }
        self.trouble = Some(trouble);
    }

    async fn look(&mut self, found: BTreeMap<String, String>) {
        let gone: Vec<String> =
            self.taken.keys().filter(|file| !found.contains_key(*file)).cloned().collect();
        for file in gone {
            // Two looks must agree on this as well.
            if !self.seen.contains_key(&file) {
                self.taken.remove(&file);
                self.stop(&file).await;
            }
        }
        for (file, text) in &found {
            if self.seen.get(file) == Some(text) && self.taken.get(file) != Some(text) {
                let came_back = !self.taken.contains_key(file);
                let before = self.taken.insert(file.clone(), text.clone());
                if let Err(refusal) = self.take(file, text, came_back).await {
                    if refusal.passes() {
                        // The next look tries it again, as a file that is new or has changed.
                        self.again(file, before);
                        if !self.waiting.insert(file.clone()) {
                            continue;
                        }
                    }
                    tracing::error!(file, "the job file is not taken; what ran goes on: {refusal}");
                } else {
                    self.waiting.remove(file);
                }
            }
        }
        self.seen = found;
    }

    /// Forgets that a file was taken.
    fn again(&mut self, file: &str, before: Option<String>) {
        match before {
            Some(before) => self.taken.insert(file.to_owned(), before),
            None => self.taken.remove(file),
        };
    }

    /// Submits a file, or gives its job the new text.
    async fn take(&self, file: &str, text: &str, came_back: bool) -> Result<(), Refusal> {
        let definition =
            Definition { text: text.to_owned(), format: format_of(file), ..Definition::default() };
        match self.jobs.of_file(file) {
            None => {
                let file = Some(file.to_owned());
                let submission = Submission { id: None, definition, restore: false, fresh: false, file };
                self.jobs.submit(submission, BY).await?;
            }
            Some((id, true, _)) => drop(self.jobs.restore(id, Some(definition), BY).await?),
            Some((id, false, _)) if !came_back => drop(self.jobs.update(id, definition, BY).await?),
            Some((id, false, before)) if before != text => drop(self.jobs.update(id, definition, BY).await?),
            Some((_, false, _)) => {}
        }
        Ok(())
    }

    async fn stop(&self, file: &str) {
        let Some((id, false, _)) = self.jobs.of_file(file) else { return };
        tracing::info!(file, job = %id, "the job file is gone: its job stops behind a checkpoint");
        match self.jobs.savepoint(id, BY).await {
            Ok(_) | Err(Refusal::Conflict(_)) => {}
            Err(refusal) => tracing::error!(file, job = %id, "the job could not be stopped: {refusal}"),
        }
    }
}

fn format_of(file: &str) -> TextFormat {
    let is_json = Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    if is_json { TextFormat::Json } else { TextFormat::Hocon }
}

/// The job files of a folder with their texts. Hidden files and other endings are no job files.
fn read(folder: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if name.starts_with('.') || !["conf", "json"].contains(&ending) {
            continue;
        }
        // It may be gone again, or not be text yet: the next look tells.
        let Ok(about) = std::fs::metadata(&path) else { continue };
        if !about.is_file() || about.len() > MAX_FILE_BYTES {
            continue;
        }
        if let Ok(text) = std::fs::read_to_string(&path) {
            found.insert(path.display().to_string(), text);
        }
    }
    Ok(found)
}
