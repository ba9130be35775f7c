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

pub(crate) use file::{
    ROWS, Target, assert_numbered_once, assert_once, fail_at_every_step, kill_again_and_again, lines,
    rows_into,
};

use culvert_tests::process::{Finished, Running};
use culvert_tests::{Culvert, scratch};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A job file made for a test, and the folder it and its state lie in.
pub(crate) struct Local {
    pub(crate) folder: PathBuf,
}

impl Local {
    /// A job of these sections. `FOLDER` in them is the job's own folder.
    pub(crate) fn new(text: &str) -> Local {
        let local = Local { folder: scratch::folder("local") };
        local.write(text);
        local
    }

    /// Writes the job file anew.
    fn write(&self, text: &str) {
        let text = text.replace("FOLDER", &self.folder.to_string_lossy());
        std::fs::write(self.folder.join("job.conf"), text).expect("the job file is written");
    }

    pub(crate) fn program(&self, more: &[&str]) -> Culvert {
        let path = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let (file, state) = (path("job.conf"), path("state"));
        let mut arguments = vec!["run", "-c", &file, "-n", "local", "--state", &state];
        arguments.extend(more);
        Culvert::new(&arguments)
    }

    pub(crate) fn start(&self) -> Running {
        self.program(&[]).start()
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Finished {
        self.program(&[]).run(LIMIT)
    }

    /// `culvert check --strict`.
    pub(crate) fn check(&self) -> Finished {
        let file = self.folder.join("job.conf").to_string_lossy().into_owned();
        Culvert::new(&["check", "--strict", "-c", &file]).run(LIMIT)
    }
}
