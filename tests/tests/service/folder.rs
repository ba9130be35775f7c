//! Jobs of the jobs folder: they run, change, stop and come back with their files, and after crashes.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use culvert_tests::tied::Signal;
use culvert_tests::wait;

use super::{LIMIT, Service, lines_below};
use crate::local::{assert_numbered_once, lines};

pub(super) const ROWS: usize = 20_000;

/// Copies numbered rows from file to file, slowly enough to be stopped on the way.
pub(super) fn copy(name: &str, rate: u32, more: &str) -> String {
    format!(
        r#"
env {{ job.mode = "BATCH", checkpoint.interval = 20, read_limit.rows_per_second = {rate} }}
source {{
  LocalFile {{
    path = "FOLDER/in", file_format_type = csv
    schema = {{ table = "d.t", fields {{ id = bigint, name = string }}, primaryKey {{ columnNames = [id] }} }}
  }}
}}
{more}
sink {{ LocalFile {{ path = "FOLDER/{name}" }} }}
"#
    )
}

impl Service {
    /// One that has rows to copy.
    pub(super) fn with_rows() -> Service {
        let service = Service::new();
        let mut text = String::new();
        for id in 1..=ROWS {
            writeln!(text, "{id},n{id}").expect("a text takes everything");
        }
        fs::create_dir_all(service.path("in")).expect("the folder is ours");
        service.write("in/rows.csv", &text);
        service
    }

    /// Waits until a job has placed this many rows.
    pub(super) async fn wait_for_rows(&self, name: &str, least: usize) {
        let folder = self.path(name);
        wait::until_ok(LIMIT, &format!("{least} rows of {name}"), async || match lines_below(&folder) {
            found if found >= least => Ok(()),
            found => Err(format!("{found} rows")),
        })
        .await;
    }

    pub(super) fn assert_copied_once(&self, name: &str) {
        assert_numbered_once(&lines(&self.path(name)), ROWS as u64);
    }
}

#[tokio::test]
async fn jobs_go_on_after_the_service_was_killed() {
    let service = Service::with_rows();
    let names = ["a", "b", "c"];
    for name in names {
        service.write(&format!("jobs/{name}.conf"), &copy(name, 20_000, ""));
    }
    for part in 1..=3 {
        let running = service.start();
        for name in names {
            service.wait_for_rows(name, part * ROWS / 5).await;
        }
        running.kill();
    }
    let running = service.start();
    for name in names {
        service.wait_for_rows(name, ROWS).await;
    }
    running.terminate(LIMIT).assert_code(0);
    names.iter().for_each(|name| service.assert_copied_once(name));
}

#[tokio::test]
async fn a_start_does_not_wait_for_the_death_of_the_one_before() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 4_000, ""));
    let mut running = service.start();
    for _ in 0..15 {
        running.wait_for_stderr(LIMIT, "the service is ready").await;
        running.signal(Signal::Kill);
        // Not waited for: it may still be there.
        let next = service.start();
        drop(std::mem::replace(&mut running, next));
    }
    service.wait_for_rows("a", ROWS).await;
    // One that lives is not waited for, and named.
    let refused = service.program().run(LIMIT);
    refused.assert_code(2);
    assert!(refused.stderr.contains(&format!("in use by process {}", running.id())), "{}", refused.stderr);
    running.terminate(LIMIT).assert_code(0);
    service.assert_copied_once("a");
}

#[tokio::test]
async fn a_changed_file_changes_its_job_behind_a_checkpoint() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 3_000, ""));
    let mut running = service.start();
    service.wait_for_rows("a", ROWS / 5).await;
    let upper = "transform { Sql { query = \"select id, upper(name) as name from t\" } }";
    service.write("jobs/a.conf", &copy("a", 50_000, upper));
    service.wait_for_rows("a", ROWS).await;
    running.wait_for_stderr(LIMIT, "the job is FINISHED").await;
    running.terminate(LIMIT).assert_code(0);
    service.assert_copied_once("a");
    let found = lines(&service.path("a"));
    let changed = found.keys().filter(|line| line.contains(",N")).count();
    assert!(changed > 0 && changed < ROWS, "{changed} rows were read after the change");
}

#[tokio::test]
async fn a_change_with_mistakes_is_refused_and_what_ran_goes_on() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 10_000, ""));
    let mut running = service.start();
    service.wait_for_rows("a", 1).await;
    service.write("jobs/a.conf", &copy("a", 10_000, "transform { Sql { qery = \"select 1\" } }"));
    running.wait_for_stderr(LIMIT, "the job file is not taken; what ran goes on").await;
    running.wait_for_stderr(LIMIT, "option 'qery' is not known").await;
    service.wait_for_rows("a", ROWS).await;
    running.terminate(LIMIT).assert_code(0);
    service.assert_copied_once("a");
}

#[tokio::test]
async fn a_change_that_fails_at_its_start_is_taken_back() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 3_000, ""));
    let mut running = service.start();
    service.wait_for_rows("a", 1).await;
    // It reads well, and its sink cannot be opened.
    fs::write(service.path("file"), "not a folder").expect("the folder is ours");
    let elsewhere = copy("a", 3_000, "").replace("FOLDER/a", "FOLDER/file/a");
    service.write("jobs/a.conf", &elsewhere);
    running.wait_for_stderr(LIMIT, "the change is taken back").await;
    service.wait_for_rows("a", ROWS).await;
    running.terminate(LIMIT).assert_code(0);
    service.assert_copied_once("a");
}

#[tokio::test]
async fn a_job_stops_with_its_file_and_comes_back_with_it() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 2_000, ""));
    let mut running = service.start();
    service.wait_for_rows("a", 1).await;
    fs::remove_file(service.path("jobs/a.conf")).expect("it is there");
    running.wait_for_stderr(LIMIT, "the job is SAVEPOINT_DONE").await;
    let stopped_at = lines_below(&service.path("a"));
    assert!(stopped_at < ROWS, "the job was over before its file was gone");
    // Another process knows that it was stopped.
    running.terminate(LIMIT).assert_code(0);
    let mut running = service.start();
    running.wait_for_stderr(LIMIT, "the service is ready").await;
    assert!(!running.stderr().contains("the job starts"));
    service.write("jobs/a.conf", &copy("a", 50_000, ""));
    service.wait_for_rows("a", ROWS).await;
    running.terminate(LIMIT).assert_code(0);
    service.assert_copied_once("a");
}

#[tokio::test]
async fn a_job_that_panics_harms_no_other() {
    let service = Service::with_rows();
    for name in ["a", "b"] {
        service.write(&format!("jobs/{name}.conf"), &copy(name, 2_500, ""));
    }
    let failpoint = service.path("failpoint");
    let mut running = service.program().env("CULVERT_FAILPOINT", &failpoint).start();
    for name in ["a", "b"] {
        service.wait_for_rows(name, 1).await;
    }
    // Whichever of the two passes first.
    service.write("failpoint", "engine.read.before panic\n");
    running.wait_for_stderr(LIMIT, "the job failed: the job panicked").await;
    running.wait_for_stderr(LIMIT, "the job is FINISHED").await;
    let whole: Vec<&str> =
        ["a", "b"].into_iter().filter(|name| lines_below(&service.path(name)) == ROWS).collect();
    assert_eq!(whole.len(), 1, "one has all its rows, the other failed on the way");
    service.assert_copied_once(whole[0]);
    running.terminate(LIMIT).assert_code(0);
}

#[tokio::test]
async fn the_service_ends_in_time_and_its_jobs_go_on_with_the_next() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 1_000, ""));
    let running = service.start();
    service.wait_for_rows("a", 1).await;
    // Within what systemd is told, and within the 20 s that the whole copy takes.
    running.terminate(Duration::from_secs(15)).assert_code(0);
    let mut running = service.start();
    running.wait_for_stderr(LIMIT, "the job starts").await;
    assert!(running.stderr().contains("restored=true"), "{}", running.stderr());
    running.kill();
}

#[tokio::test]
async fn a_folder_belongs_to_one_service() {
    let service = Service::new();
    let mut running = service.start();
    running.wait_for_stderr(LIMIT, "the service is ready").await;
    let second = service.program().run(LIMIT);
    second.assert_code(2);
    assert!(second.stderr.contains(&running.id().to_string()), "{}", second.stderr);
    running.terminate(LIMIT).assert_code(0);
}

#[test]
fn mistakes_in_the_services_file_are_told_with_their_lines() {
    let service = Service::new();
    service.write("culvert.conf", "service { data = \"FOLDER/data\"\n  jobs.foldr = x }\nservce { }\n");
    let refused = service.program().run(LIMIT);
    refused.assert_code(2);
    for expected in
        ["error: option 'jobs.foldr'", "'jobs.folder'", "culvert.conf:2:3", "servce", "culvert.conf:3:1"]
    {
        assert!(refused.stderr.contains(expected), "{expected} is missing in {}", refused.stderr);
    }
}
