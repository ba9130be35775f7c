//! Jobs that need no server: made-up rows, rows of files, and what judges them.

mod assert;
mod changes;
mod dingtalk;
mod disk;
mod events;
mod fake;
mod file;
mod forms;
mod limits;
mod memory;
mod read;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use file::{assert_numbered_once, lines};

use culvert_tests::process::{Finished, Running};
use culvert_tests::{Culvert, scratch};

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// A job file made for a test, and the folder it and its state lie in.
struct Local {
    folder: PathBuf,
}

impl Local {
    /// A job of these sections. `FOLDER` in them is the job's own folder.
    fn new(text: &str) -> Local {
        let local = Local { folder: scratch::folder("local") };
        local.write(text);
        local
    }

    /// Writes the job file anew.
    fn write(&self, text: &str) {
        let text = text.replace("FOLDER", &self.folder.to_string_lossy());
        std::fs::write(self.folder.join("job.conf"), text).expect("the job file is written");
    }

    fn program(&self, more: &[&str]) -> Culvert {
        let path = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let (file, state) = (path("job.conf"), path("state"));
        let mut arguments = vec!["run", "-c", &file, "-n", "local", "--state", &state];
        arguments.extend(more);
        Culvert::new(&arguments)
    }

    fn start(&self) -> Running {
        self.program(&[]).start()
    }

    /// Runs it to its end.
    fn run(&self) -> Finished {
        self.program(&[]).run(LIMIT)
    }

    /// `culvert check --strict`.
    fn check(&self) -> Finished {
        let file = self.folder.join("job.conf").to_string_lossy().into_owned();
        Culvert::new(&["check", "--strict", "-c", &file]).run(LIMIT)
    }
}
