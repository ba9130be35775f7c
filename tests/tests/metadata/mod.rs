//! Jobs that name their options by an id: what the provider gives, gives otherwise later, or does not give.

mod mirror;
mod provider;
mod web;

use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_tests::process::{Finished, Running};
use culvert_tests::{Culvert, scratch};

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// A job, the file of its provider, and what it keeps, in one folder.
struct Scene {
    folder: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        Scene { folder: scratch::folder("metadata") }
    }

    /// Writes a file in one step, as those do who change passwords. `FOLDER` in it is the scene's folder.
    fn write(&self, name: &str, text: &str) {
        let unfinished = self.folder.join(format!("{name}.new"));
        std::fs::write(&unfinished, text.replace("FOLDER", &self.folder.to_string_lossy()))
            .expect("the folder is ours");
        std::fs::rename(unfinished, self.folder.join(name)).expect("the folder is ours");
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    fn program(&self, command: &str, more: &[&str]) -> Culvert {
        let (job, metadata) = (self.path("job.conf"), self.path("culvert.conf"));
        let mut arguments = vec![command, "-c", &job, "--metadata", &metadata];
        arguments.extend(more);
        Culvert::new(&arguments)
    }

    fn check(&self, more: &[&str]) -> Finished {
        self.program("check", more).run(LIMIT)
    }

    fn start(&self) -> Running {
        self.program("run", &["-n", "named", "--state", &self.path("state")]).start()
    }
}

/// The files below a folder that hold these bytes.
fn holding(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, needle));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}
