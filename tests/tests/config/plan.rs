//! `culvert plan`: the graph of a job in each form, and jobs from intents.

use std::path::Path;

use culvert_tests::Culvert;
use culvert_tests::process::Finished;
use serde_json::Value;

use super::LIMIT;

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    Culvert::new(arguments).current_dir(folder).run(LIMIT)
}

fn plan(job: &str, more: &[&str]) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.conf"), job).unwrap();
    let mut arguments = vec!["plan", "-c", "job.conf"];
    arguments.extend(more);
    run(folder.path(), &arguments)
}

/// Asserts that a job is drawn as it is stored.
#[track_caller]
fn drawn(job: &str, format: &str, stored: &str) {
    let finished = plan(job, &["--format", format]);
    finished.assert_code(0);
    assert!(finished.stdout == stored, "it is drawn otherwise:\n{}", finished.stdout);
}

#[test]
fn a_straight_line() {
    let job = include_str!("graphs/line.conf");
    drawn(job, "text", include_str!("graphs/line.txt"));
    drawn(job, "mermaid", include_str!("graphs/line.mmd"));
    drawn(job, "json", include_str!("graphs/line.json"));
}

#[test]
fn one_source_for_many_sinks() {
    let job = include_str!("graphs/fan_out.conf");
    drawn(job, "text", include_str!("graphs/fan_out.txt"));
    drawn(job, "mermaid", include_str!("graphs/fan_out.mmd"));
}

#[test]
fn streams_that_meet() {
    let job = include_str!("graphs/fan_in.conf");
    drawn(job, "text", include_str!("graphs/fan_in.txt"));
    drawn(job, "mermaid", include_str!("graphs/fan_in.mmd"));
}

#[test]
fn a_broken_job_is_not_drawn() {
    let finished = plan("source { MySQL-CDC {} }\nsink { Console {} }\n", &[]);
    finished.assert_code(1);
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains("lacks required options 'url', 'username'"), "{}", finished.stderr);
    let finished = plan("source {", &[]);
    finished.assert_code(2);
    assert!(finished.stderr.contains("is never closed"), "{}", finished.stderr);
}

#[test]
fn an_intent_becomes_a_job_that_passes_once_it_is_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let intent = include_str!("../../../examples/intent/half-known.json");
    std::fs::write(folder.path().join("half.json"), intent).unwrap();
    let planned = run(folder.path(), &["plan", "--intent", "half.json", "--format", "json"]);
    planned.assert_code(1);
    let all: Value = serde_json::from_str(&planned.stdout).unwrap();
    let keys: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["form", "version", "job", "errors", "warnings", "todo_items", "patch_suggestion"]);
    let todo = all["todo_items"].as_array().unwrap();
    assert!(todo.len() >= 4, "{all:#}");

    run(folder.path(), &["plan", "--intent", "half.json", "-o", "job.conf"]).assert_code(1);
    assert_eq!(std::fs::read_to_string(folder.path().join("job.conf")).unwrap(), all["job"]);
    // Nothing that somebody may have filled in is written over.
    let again = run(folder.path(), &["plan", "--intent", "half.json", "-o", "job.conf"]);
    again.assert_code(2);
    assert!(again.stderr.contains("job.conf"), "{}", again.stderr);

    // As it is, the check names what is left; with values it passes.
    let open = run(folder.path(), &["check", "--strict", "-c", "job.conf"]);
    open.assert_code(1);
    let mut arguments = vec!["check".to_owned(), "--strict".into(), "-c".into(), "job.conf".into()];
    for item in todo {
        let name = format!("TODO_{}", item["subject"].as_str().unwrap().replace('.', "_").to_uppercase());
        assert!(open.stdout.contains(&name), "{name} is not in\n{}", open.stdout);
        arguments.extend(["-i".to_owned(), format!("{name}=x")]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let checked = run(folder.path(), &arguments);
    assert!(checked.assert_code(0).stdout.contains("no problems found"), "{}", checked.stdout);
}

#[test]
fn an_intent_with_mistakes_gives_no_job_and_an_edit() {
    let folder = tempfile::tempdir().unwrap();
    let intent = "{\n  \"version\": 1,\n  \"mod\": \"both\",\n  \"source\": {\"kind\": \"mysql\"},\n  \"sink\": {\"kind\": \"console\"}\n}\n";
    std::fs::write(folder.path().join("i.json"), intent).unwrap();
    let planned = run(folder.path(), &["plan", "--intent", "i.json", "-o", "job.conf"]);
    planned.assert_code(1);
    assert!(planned.stdout.contains("--> i.json:3:3"), "{}", planned.stdout);
    assert!(planned.stdout.contains("+  \"mode\": \"both\","), "{}", planned.stdout);
    assert!(!folder.path().join("job.conf").exists());
    run(folder.path(), &["plan", "--intent", "absent.json"]).assert_code(2);
    run(folder.path(), &["plan"]).assert_code(2);
}
