//! `culvert serve`: many jobs in one process.

mod api;
mod browser;
mod change;
mod churn;
mod client;
mod events;
mod folder;
mod fuzz;
mod hung;
mod page;
mod seatunnel;
mod security;
mod soak;
mod standing;
mod systemd;

use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_tests::process::Running;
use culvert_tests::{Culvert, scratch};

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// A service made for a test: its folder holds `jobs`, `data`, and what jobs read and write.
struct Service {
    folder: PathBuf,
}

impl Service {
    fn new() -> Service {
        let service = Service { folder: scratch::folder("service") };
        std::fs::create_dir_all(service.folder.join("jobs")).expect("the folder is ours");
        service.configure("");
        service
    }

    /// Writes the service's file, with more blocks than its own.
    fn configure(&self, more: &str) {
        // Several services run at one time.
        let http = if more.contains("http") { "" } else { "http { port = 0 }" };
        let text = format!(
            "service {{ data = \"FOLDER/data\", jobs.folder = \"FOLDER/jobs\", jobs.folder.interval = 100 }}\n{http}\n{more}\n"
        );
        self.write("culvert.conf", &text);
    }

    /// Writes a file. `FOLDER` in it is the service's folder.
    fn write(&self, name: &str, text: &str) {
        let text = text.replace("FOLDER", &self.folder.to_string_lossy());
        // In one step, as an editor does.
        let unfinished = self.folder.join(format!("{name}.new"));
        std::fs::write(&unfinished, text).expect("the folder is ours");
        std::fs::rename(unfinished, self.path(name)).expect("the folder is ours");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn program(&self) -> Culvert {
        Culvert::new(&["serve", "--config", &self.path("culvert.conf").to_string_lossy()])
    }

    fn start(&self) -> Running {
        self.program().start()
    }
}

/// How many lines the files below a folder hold; those not yet in place, whose names begin with a point, are
/// left out.
fn lines_below(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |entry: std::fs::DirEntry| match entry.path() {
        _ if entry.file_name().to_string_lossy().starts_with('.') => 0,
        path if path.is_dir() => lines_below(&path),
        path => std::fs::read_to_string(path).map_or(0, |text| text.lines().count()),
    };
    entries.flatten().map(count).sum()
}
