//! The examples of SeaTunnel's documents as whole jobs: the rows that a page shows, its transform as it stands there,
//! and what it says comes out.
//!
//! `forms/NAME.conf` is the job, and its first line names the page. `forms/NAME.rows` is what the sink Console prints: a
//! table's columns in brackets, then its rows. Where a job has to fail, `forms/NAME.error` has parts of the message, one a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use culvert_tests::process::Finished;
use culvert_tests::{Culvert, scratch};

const FORMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transforms/forms");
const LIMIT: Duration = Duration::from_secs(120);
/// Jobs that run at a time.
const SIDE_BY_SIDE: usize = 2;

#[test]
fn every_example_gives_what_its_page_says() {
    let forms = forms();
    assert!(forms.len() > 40, "the forms are there: {}", forms.len());
    let next = AtomicUsize::new(0);
    let judged = || {
        let mut wrong = Vec::new();
        while let Some(form) = forms.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(judge(form));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(judged)).collect();
        players.into_iter().flat_map(|player| player.join().expect("a player ends")).collect()
    });
    assert!(wrong.is_empty(), "{} of {} forms:\n{}", wrong.len(), forms.len(), wrong.join("\n"));
}

fn forms() -> Vec<PathBuf> {
    let entries = fs::read_dir(FORMS).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut forms: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    forms.sort();
    forms
}

/// Runs a job; what is wrong with what it did.
fn judge(form: &Path) -> Option<String> {
    let name = form.file_stem().expect("a name").to_string_lossy();
    let state = scratch::folder("form").join("state");
    let arguments = ["run", "-c", &form.to_string_lossy(), "-n", &name, "--state", &state.to_string_lossy()];
    let finished = Culvert::new(&arguments).run(LIMIT);
    let beside = |end: &str| fs::read_to_string(form.with_extension(end)).ok();
    match (beside("rows"), beside("error")) {
        (Some(rows), None) => differs(&finished, &rows),
        (None, Some(parts)) => fails_otherwise(&finished, &parts),
        _ => Some("one of .rows and .error stands beside the job".to_owned()),
    }
    .map(|what| format!("--- {name}\n{what}"))
}

fn differs(finished: &Finished, rows: &str) -> Option<String> {
    if finished.code != Some(0) {
        return Some(format!("ended with {:?}: {}", finished.code, finished.stderr));
    }
    let expected: Vec<String> = rows.lines().map(str::to_owned).collect();
    let found = by_table(finished.stdout.lines().filter_map(shown).collect());
    (found != by_table(expected)).then(|| format!("printed\n{}\ninstead of\n{rows}", found.join("\n")))
}

/// A printed line without what is the sink's own; `None` for other lines.
fn shown(line: &str) -> Option<String> {
    match line.strip_prefix("output rowType: ") {
        Some(columns) => Some(format!("({columns})")),
        None => {
            let (table, rest) =
                line.split_once("SeaTunnelRow#tableId=")?.1.split_once(" SeaTunnelRow#kind=")?;
            let (kind, values) = rest.split_once(" : ")?;
            Some(format!("{table} {kind}: {values}"))
        }
    }
}

/// Tables have no order among each other, the rows of one have.
fn by_table(mut lines: Vec<String>) -> Vec<String> {
    let table = |line: &str| match line.starts_with('(') {
        true => line.to_owned(),
        false => line.split(' ').next().unwrap_or("").to_owned(),
    };
    lines.sort_by_key(|line| table(line));
    lines
}

fn fails_otherwise(finished: &Finished, parts: &str) -> Option<String> {
    let lacking: Vec<&str> = parts.lines().filter(|part| !finished.stderr.contains(part)).collect();
    match finished.code {
        Some(0) => Some("did not fail".to_owned()),
        _ if !lacking.is_empty() => Some(format!("does not say {lacking:?}: {}", finished.stderr)),
        _ => None,
    }
}
