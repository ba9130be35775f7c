//! One mistake per case, with every word that `culvert check` says about it.
//!
//! A case in `mistakes/*.txt` is a line `### name`, the job file, a line `--- says`, and what is
//! printed. A name that begins with `json::` stands for a job file in JSON, one with `crlf::` for one whose
//! lines end as Windows ends them.

use std::path::Path;

use culvert_tests::Culvert;
use culvert_tests::process::Finished;
use serde_json::Value;
use tempfile::TempDir;

use super::LIMIT;

/// The password in the job files, which must never be seen.
const PASSWORD: &str = "zebra-S3cret-41";

/// A folder with the files that cases include.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.conf"), "# A comment.\ncommon {\n  a = \"x\n}\n").unwrap();
    let values = "env {\n  checkpoint.interval = \"3 fortnights\"\n}\n";
    std::fs::write(folder.path().join("values.conf"), values).unwrap();
    folder
}

fn check(folder: &Path, file: &str, text: &str, more: &[&str]) -> Finished {
    std::fs::write(folder.join(file), text).unwrap();
    let mut arguments = vec!["check", "-c", file];
    arguments.extend(more);
    let finished = Culvert::new(&arguments).current_dir(folder).run(LIMIT);
    assert!(!finished.stdout.contains(PASSWORD) && !finished.stderr.contains(PASSWORD), "{finished:?}");
    finished
}

struct Case<'t> {
    name: &'t str,
    job: &'t str,
    says: &'t str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let case = |part| -> Option<Case<'_>> {
        let (name, rest): (&str, &str) = str::split_once(part, '\n')?;
        let (job, says) = rest.split_once("--- says\n")?;
        Some(Case { name, job, says })
    };
    text.split("### ").skip(1).map(|part| case(part).expect("a case has a job and what is said")).collect()
}

#[track_caller]
fn all_say(text: &str, least: usize) {
    let folder = folder();
    let cases = cases(text);
    assert!(cases.len() >= least, "{} cases", cases.len());
    let mut differing = String::new();
    for case in cases {
        let file = if case.name.starts_with("json::") { "job.json" } else { "job.conf" };
        let crlf = case.name.starts_with("crlf::").then(|| case.job.replace('\n', "\r\n"));
        let finished = check(folder.path(), file, crlf.as_deref().unwrap_or(case.job), &[]);
        if finished.stdout != case.says {
            differing.push_str(&format!("### {}\n{}--- says\n{}", case.name, case.job, finished.stdout));
        }
    }
    assert!(differing.is_empty(), "these say something else:\n{differing}");
}

#[test]
fn broken_syntax() {
    all_say(include_str!("mistakes/syntax.txt"), 12);
}

#[test]
fn sections_and_plugins() {
    all_say(include_str!("mistakes/structure.txt"), 12);
}

#[test]
fn options() {
    all_say(include_str!("mistakes/options.txt"), 35);
}

#[test]
fn tables_that_do_not_fit() {
    all_say(include_str!("mistakes/tables.txt"), 10);
}

/// Line ends, tabulators, wide characters, texts over several lines, the other forms of a job file.
#[test]
fn ways_of_writing() {
    all_say(include_str!("mistakes/writing.txt"), 14);
}

/// In every case a secret stands in a line that is shown.
#[test]
fn secrets_in_shown_lines() {
    all_say(include_str!("mistakes/secrets.txt"), 10);
}

#[test]
fn names_of_datasets() {
    all_say(include_str!("mistakes/graph.txt"), 8);
}

#[test]
fn variables_and_included_files() {
    all_say(include_str!("mistakes/variables.txt"), 7);
}

/// Line and column of every finding are those of the text, in the JSON form too.
#[test]
fn json_tells_lines_and_columns() {
    let folder = folder();
    let job = "env { job.mode = STREAMING }\nsource {\n  MySQL-CDC {\n    url = \"jdbc:mysql://h:3306/d\"\n    \
               username = u\n    table-names = [\"d.t\"], sever-id = 7\n    snapshot.split.size = \"many\"\n  }\n}\nsink { Console {} }\n";
    let finished = check(folder.path(), "job.conf", job, &["--format", "json"]);
    finished.assert_code(1);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let places = |list: &str| -> Vec<(u64, u64)> {
        let items = report[list].as_array().unwrap().iter();
        items.map(|item| (item["line"].as_u64().unwrap(), item["column"].as_u64().unwrap())).collect()
    };
    assert_eq!(places("errors"), [(7, 27)]);
    assert_eq!(places("warnings"), [(6, 28)]);
    assert_eq!(report["errors"][0]["location"], "job.conf:7");
}

/// `run` says of a job file what `check` says, on standard error.
#[test]
fn run_tells_the_same() {
    let folder = folder();
    let job = "source { MySQL-CDC { url = \"jdbc:mysql://h:3306/d\", usrname = u } }\nsink { Console {} }\n";
    let checked = check(folder.path(), "job.conf", job, &[]);
    let state = folder.path().join("state").display().to_string();
    let arguments = ["run", "-c", "job.conf", "--state", &state];
    let finished = Culvert::new(&arguments).current_dir(folder.path()).run(LIMIT);
    finished.assert_code(2);
    let (findings, _) = checked.stdout.split_once("suggested edit").unwrap();
    assert!(finished.stderr.contains(findings), "{}\nis not in\n{}", findings, finished.stderr);
}
