//! Fail points: named places where the program fails when a test says so.
//!
//! The program that is tested is the one that is shipped: the places are always compiled in. Where
//! the environment variable [`FAILPOINT_VARIABLE`] is not set, passing one is a look at a flag.
//! Where it is set, it names a file of one line, `POINT ACTION [PASSES]`, which is looked for each
//! time a point is passed: so a test can say it while the program runs. The file is removed before
//! the action is taken; a point acts once.
//!
//! | Action | |
//! |---|---|
//! | `error` | the step fails with a transient error; behind a step: it took effect, and its answer is lost |
//! | `panic` | the task panics |
//! | `kill` | the process ends at once by SIGKILL |
//!
//! `PASSES` is how often the point is passed before it acts, 0 where it is left out.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};

/// Names the file that says which point acts.
pub const FAILPOINT_VARIABLE: &str = "CULVERT_FAILPOINT";

/// Every fail point, `STEP.before` and `STEP.after` for each of these. Those that begin with
/// `engine` are the eight steps of an attempt, the others lie inside a sink's commit.
pub const STEPS: &[&str] = &[
    "engine.restore",
    "engine.enumerate",
    "engine.read",
    "engine.transform",
    "engine.write",
    "engine.schema",
    "engine.prepare",
    "engine.save",
    "engine.commit",
    "engine.forget",
    "jdbc.marker",
    "jdbc.commit",
    "kafka.marker",
    "kafka.commit",
    "iceberg.journal",
    "iceberg.marker",
    "iceberg.table",
    "file.staged",
    "file.marker",
    "file.placed",
    "s3_file.begun",
];

/// Passes a fail point.
///
/// # Errors
/// [`ErrorKind::Unavailable`], when the file says so.
pub fn pass(point: &str) -> Result<()> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    match FILE.get_or_init(|| std::env::var_os(FAILPOINT_VARIABLE).map(PathBuf::from)) {
        None => Ok(()),
        Some(file) => act(file, point),
    }
}

/// Does what the file says of this point. The file's absence, and any other point in it, is the
/// usual case.
fn act(file: &Path, point: &str) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(()) };
    let mut words = text.split_whitespace();
    if words.next() != Some(point) {
        return Ok(());
    }
    let action = words.next().unwrap_or_default().to_owned();
    let passes: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    if passes > 0 {
        // Torn by a reader, it names no point and acts at the next pass.
        let _ = std::fs::write(file, format!("{point} {action} {}\n", passes - 1));
        return Ok(());
    }
    if std::fs::remove_file(file).is_err() {
        // Another task was faster: a point acts once.
        return Ok(());
    }
    match action.as_str() {
        "error" => {
            Err(Error::new(ErrorKind::Unavailable, "a fail point was reached").context("point", point))
        }
        "kill" => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            Ok(())
        }
        _ => panic!("the fail point {point} was reached"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_point_acts_once_and_after_its_passes() {
        let file = std::env::temp_dir().join(format!("failpoint-{}", std::process::id()));
        std::fs::write(&file, "engine.save.after error 2\n").unwrap();
        let results: Vec<bool> = (0..5).map(|_| act(&file, "engine.save.after").is_err()).collect();
        assert_eq!(results, [false, false, true, false, false]);
        assert!(!file.exists());
    }

    #[test]
    fn another_point_does_not_act() {
        let file = std::env::temp_dir().join(format!("failpoint-other-{}", std::process::id()));
        std::fs::write(&file, "engine.save.after error\n").unwrap();
        act(&file, "engine.save.before").unwrap();
        assert!(file.exists());
        std::fs::remove_file(&file).unwrap();
    }
}
