//! Rows into files: there once, whatever happens, and as they were.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use culvert_tests::{random, seed};
use rand::Rng;

use super::{LIMIT, Local};

pub(crate) const ROWS: u64 = 60_000;
const KILLS: u32 = 8;

/// Many rows in many checkpoints, into a sink.
pub(crate) fn rows_into(sink: &str) -> String {
    format!(
        r#"
env {{ job.mode = "BATCH", checkpoint.interval = 20, job.retry.interval.seconds = 0 }}
source {{
  FakeSource {{
    row.num = {ROWS}
    split.num = 60
    split.read-interval = 20
    seed = 7
    auto.increment.enabled = true
    string.template = ["a", "b", "c"]
    schema = {{ table = "d.t", fields {{ id = bigint, part = string, n = int }}, primaryKey {{ columnNames = [id] }} }}
  }}
}}
sink {{ {sink} }}
"#
    )
}

/// The same into a folder.
pub(super) fn job(sink: &str) -> String {
    rows_into(&format!("LocalFile {{ path = \"FOLDER/out\", {sink} }}"))
}

/// Looks at what a reader sees of a job's target: lines, with how often each is there.
pub(crate) type Look = Box<dyn Fn(&Local) -> BTreeMap<String, u32>>;

/// Where a job of many rows writes to.
pub(crate) struct Target {
    /// The sink's block.
    pub(crate) sink: String,
    /// What a reader of it sees.
    pub(crate) lines: Look,
}

/// A folder of the job's own.
fn folder() -> Target {
    Target {
        sink: "LocalFile { path = \"FOLDER/out\" }".to_owned(),
        lines: Box::new(|job| lines(&job.folder.join("out"))),
    }
}

/// Lines of all files that a reader sees, with how often each is there.
pub(crate) fn lines(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there").flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for line in std::fs::read_to_string(&path).expect("a file of text").lines() {
                *found.entry(line.to_owned()).or_default() += 1;
            }
        }
    }
    found
}

/// Each row once, by its number in front.
pub(crate) fn assert_once(found: &BTreeMap<String, u32>) {
    assert_numbered_once(found, ROWS);
}

/// Rows whose first column counts from 1 to `rows`, each of them once.
pub(crate) fn assert_numbered_once(found: &BTreeMap<String, u32>, rows: u64) {
    let twice: Vec<&String> =
        found.iter().filter(|(_, count)| **count > 1).map(|(line, _)| line).take(3).collect();
    assert!(twice.is_empty(), "twice: {twice:?}");
    let id = |line: &str| line.split(',').next().and_then(|id| id.parse::<u64>().ok()).expect("a number");
    let mut ids: Vec<u64> = found.keys().map(|line| id(line)).collect();
    ids.sort_unstable();
    assert_eq!(ids.len() as u64, rows, "lost, or made anew with other values");
    assert!(ids.into_iter().eq(1..=rows));
}

/// Kills a job at random moments; in the end each row is there once.
pub(crate) async fn kill_again_and_again(target: Target) {
    let seed = seed();
    let mut random = random::generator(seed);
    let job = Local::new(&rows_into(&target.sink));
    for _ in 0..KILLS {
        let running = job.start();
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        running.kill();
    }
    job.run().assert_code(0);
    let found = (target.lines)(&job);
    assert_once(&found);
    println!("fake to files: {KILLS} kills, {} rows, 0 lost, 0 twice", found.len());
}

/// Fails in front of and behind every step of a commit, and at the points of the target's own; in the end each row
/// is there once.
pub(crate) fn fail_at_every_step(own: &[&str], target: impl Fn() -> Target) {
    let shared = [
        "engine.prepare.after",
        "engine.save.before",
        "engine.save.after",
        "engine.commit.before",
        "file.staged.before",
        "file.staged.after",
        "file.marker.before",
        "file.marker.after",
        "file.placed.before",
        "file.placed.after",
        "engine.commit.after",
    ];
    for point in shared.iter().chain(own) {
        for action in ["error", "kill"] {
            let target = target();
            let job = Local::new(&rows_into(&target.sink));
            let file = job.folder.join("failpoint");
            std::fs::write(&file, format!("{point} {action} 3\n")).expect("the file is written");
            let done = job.program(&[]).env("CULVERT_FAILPOINT", &file).run(LIMIT);
            assert!(!file.exists(), "the point {point} was not reached: {}", done.stderr);
            if action == "kill" {
                job.run().assert_code(0);
            } else {
                done.assert_code(0);
            }
            assert_once(&(target.lines)(&job));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_again_and_again_writes_each_row_once() {
    kill_again_and_again(folder()).await;
}

#[test]
fn a_failure_in_front_of_or_behind_every_step_of_a_commit_writes_each_row_once() {
    fail_at_every_step(&[], folder);
}

#[test]
fn folders_are_made_of_values_and_columns_are_chosen() {
    let job = Local::new(&job(
        "have_partition = true, partition_by = [part], is_partition_field_write_in_file = true, sink_columns = [id, part], \
         enable_header_write = false, batch_size = 1000",
    ));
    job.check().assert_code(0);
    job.run().assert_code(0);
    assert_once(&lines(&job.folder.join("out")));
    for part in ["a", "b", "c"] {
        let found = lines(&job.folder.join(format!("out/part={part}")));
        assert!(!found.is_empty() && found.keys().all(|line| line.ends_with(&format!(",{part}"))));
    }
}

#[test]
fn changes_are_refused_before_the_first_row_and_taken_with_a_column_for_their_kind() {
    let changes = |more: &str| {
        format!(
            "env {{ job.mode = BATCH }}\nsource {{ FakeSource {{ schema = {{ table = \"d.t\", fields {{ id = int, name = string }} }}\n rows = [\
             {{ kind = INSERT, fields = [1, \"A\"] }}, {{ kind = UPDATE_BEFORE, fields = [1, \"A\"] }}, {{ kind = UPDATE_AFTER, fields = [1, \"B\"] }}, \
             {{ kind = DELETE, fields = [1, \"B\"] }}] }} }}\nsink {{ LocalFile {{ path = \"FOLDER/out\"{more} }} }}"
        )
    };
    let refused = Local::new(&changes("")).run();
    assert!(refused.code == Some(2) && refused.stderr.contains("RowKindExtractor"), "{}", refused.stderr);
    let job = Local::new(&changes(", row_kind_column = op"));
    job.run().assert_code(0);
    let found: Vec<String> = lines(&job.folder.join("out")).into_keys().collect();
    assert_eq!(found, ["1,A,+I", "1,A,-U", "1,B,+U", "1,B,-D"]);
}
