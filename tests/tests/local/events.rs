//! Listeners of a job in the foreground.

use std::time::Duration;

use culvert_tests::{Heard, Hook, Manner};
use serde_json::Value;

use super::{LIMIT, Local};

fn job(env: &str, sink: &str) -> Local {
    Local::new(&format!(
        r#"
env {{ job.mode = "BATCH", {env} }}
source {{ FakeSource {{ row.num = 20, schema = {{ table = "d.t", fields {{ id = bigint }} }} }} }}
sink {{ {sink} }}
"#
    ))
}

#[test]
fn a_program_reads_each_event_in_order() {
    let job = job(
        r#"event.listeners = [{ type = command, severity = info, command = [sh, "-c", "cat >> FOLDER/told; echo >> FOLDER/told"] }]"#,
        "InMemory {}",
    );
    job.check().assert_code(0);
    job.run().assert_code(0);
    let told = std::fs::read_to_string(job.folder.join("told")).expect("it was told");
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let kinds: Vec<&str> = told.iter().filter_map(|event| event["type"].as_str()).collect();
    for kind in ["LIFECYCLE_READER_OPEN", "LIFECYCLE_WRITER_OPEN", "LIFECYCLE_WRITER_CLOSE", "JOB_STATUS"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    assert_eq!(told.last().map(|event| event["details"]["status"].clone()), Some("FINISHED".into()));
    assert!(told.iter().all(|event| event["job"] == "local"), "{told:?}");
}

#[test]
fn a_failure_is_told_and_what_could_not_be_told_is_told_by_the_next_run() {
    let port = Hook::free_port();
    let listener = format!(
        "event.listeners = [{{ type = webhook, url = \"http://127.0.0.1:{port}/\", types = [JOB_STATUS] }}]"
    );
    // A file's folder that cannot be.
    let job = job(&listener, "LocalFile { path = \"/proc/nowhere\", file_format_type = \"json\" }");
    let failed = job.run();
    assert_ne!(failed.code, Some(0));
    let hook = Hook::at(port, vec![Manner::Answer(200, String::new())]);
    assert_ne!(job.run().code, Some(0));
    let heard = hook.taken();
    let events: Vec<Value> =
        heard.iter().flat_map(|it| serde_json::from_str::<Vec<Value>>(&it.body).expect("an array")).collect();
    let failures = events.iter().filter(|event| event["details"]["status"] == "FAILED").count();
    assert_eq!(failures, 2, "{events:#?}");
}

#[test]
fn texts_are_made_by_templates_of_ones_own() {
    let hook = Hook::start(vec![Manner::Answer(200, String::new())]);
    let listener = format!(
        r#"event.listeners = [{{ type = webhook, url = "{}", headers {{ Authorization = "Bearer needle" }}
          templates {{ "LIFECYCLE_*" = "{{\"open\": {{{{ details.source | tojson }}}}}}" }}
          template = "{{\"job\": {{{{ job | tojson }}}}, \"what\": {{{{ type | tojson }}}}}}"
          types = [JOB_STATUS, LIFECYCLE_READER_OPEN] }}]"#,
        hook.url("/hook")
    );
    let job = job(&listener, "InMemory {}");
    let done = job.run();
    done.assert_code(0);
    let heard: Vec<Heard> = hook.until(Duration::from_secs(1).max(LIMIT), "messages", |it| it.len() >= 3);
    let bodies: Vec<&str> = heard.iter().map(|heard| heard.body.as_str()).collect();
    assert!(bodies.contains(&r#"{"open": "FakeSource"}"#), "{bodies:?}");
    assert_eq!(bodies.last(), Some(&r#"{"job": "local", "what": "JOB_STATUS"}"#));
    assert!(heard.iter().all(|it| it.headers.contains("Bearer needle")), "{heard:?}");
    assert!(!done.stderr.contains("needle"), "{}", done.stderr);
}

#[test]
fn mistakes_in_listeners_are_mistakes_of_the_job_file() {
    let wrong = job(
        "event.listeners = [{ type = dingtalk, secret = needle }, { type = slak }, { type = log, types = [JOB_STATS] }]",
        "InMemory {}",
    );
    let checked = wrong.check();
    checked.assert_code(1);
    for told in ["needs `webhook.url`", "slak", "did you mean JOB_STATUS?", "job.conf:2"] {
        assert!(checked.stdout.contains(told) || checked.stderr.contains(told), "{told}: {checked:?}");
    }
    assert!(!checked.stdout.contains("needle") && !checked.stderr.contains("needle"), "{checked:?}");
}
