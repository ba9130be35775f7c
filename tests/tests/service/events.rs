//! Events and their listeners: in order, at least once, across crashes, with whatever listeners do.

use std::collections::BTreeMap;
use std::time::Duration;

use culvert_tests::{
    Culvert, Database, Flavor, Heard, Hook, Manner, PgVersion, postgres_shared, shared, wait,
};
use serde_json::{Value, json};

use super::api::{Api, ENDLESS, SHORT};
use super::{LIMIT, Service};
use crate::postgres::job::JobSpec;
use crate::state::full::Small;

/// A service with these listeners of its own.
async fn service(listeners: &str) -> Api {
    let service = Service::new();
    configure(&service, listeners);
    Api::of(service, None).await
}

fn configure(service: &Service, listeners: &str) {
    service.configure(&format!(
        "http {{ port = 0, requests.per.second = 0 }}\nevents {{ listeners = [ {listeners} ] }}"
    ));
}

/// Ends the process without a word, and starts another one on the same data.
async fn killed_and_again(api: Api) -> Api {
    api.running.kill();
    Api::of(api.service, None).await
}

fn events_of(heard: &[Heard]) -> Vec<Value> {
    let array = |heard: &Heard| serde_json::from_str::<Vec<Value>>(&heard.body).expect("an array");
    heard.iter().filter(|heard| heard.taken).flat_map(array).collect()
}

fn sequence(event: &Value) -> u64 {
    event["sequence"].as_u64().expect("a number")
}

/// Whether an event of this type has arrived, with this in its text.
fn has(heard: &[Heard], kind: &str, text: &str) -> bool {
    let fits = |event: &Value| {
        event["type"] == kind && event["text"].as_str().is_some_and(|found| found.contains(text))
    };
    events_of(heard).iter().any(fits)
}

fn named(name: &str) -> String {
    SHORT.replace("short", name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_is_told_signed_of_a_job_and_of_a_table_that_changes() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "events").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "events").await;
    source
        .run(&["CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO a VALUES (1, 'x')"])
        .await;
    let robot = Hook::start(vec![Manner::taken()]);
    let api = service("").await;
    let options = "schema-changes.enabled = true";
    let spec = JobSpec { source_options: options, ..JobSpec::mirror("told", &source, &["a"], &target) };
    let text = spec.text().replace("parallelism = 2", "job.name = told, parallelism = 2");
    let properties = [
        format!("dingtalk.webhook.url={}", robot.url("/robot/send?access_token=needle-token")),
        "dingtalk.secret=SECneedle".to_owned(),
        "dingtalk.at.mobiles=13800000000".to_owned(),
    ];
    let job = api.post("/api/v1/jobs", &json!({ "text": text, "properties": properties })).ok();
    let id = job["id"].as_str().expect("a number").to_owned();
    let told = |heard: &[Heard], text: &str| heard.iter().any(|heard| heard.body.contains(text));
    robot.until(LIMIT, "the job's start", |heard| told(heard, "told: the job is RUNNING"));
    robot.until(LIMIT, "the snapshot", |heard| told(heard, "the snapshot has been read: 1 chunks, 1 rows"));
    source.run(&["ALTER TABLE a ADD COLUMN note VARCHAR(30)", "INSERT INTO a VALUES (2, 'y', 'new')"]).await;
    let heard = robot.until(LIMIT, "the column", |heard| told(heard, "SCHEMA_CHANGE_ADD_COLUMN"));
    assert!(told(&heard, "has a new column: + note varchar(30)"), "{heard:#?}");
    api.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).ok();
    let heard = robot.until(LIMIT, "its end", |heard| told(heard, "told: the job is CANCELED"));
    for message in &heard {
        message.assert_signed("SECneedle");
        let body: Value = serde_json::from_str(&message.body).expect("an object");
        assert_eq!((&body["msgtype"], &body["at"]["atMobiles"][0]), (&json!("text"), &json!("13800000000")));
        assert!(
            body["text"]["content"].as_str().is_some_and(|text| text.ends_with(" @13800000000")),
            "{body}"
        );
    }
    // No more than people want to hear.
    assert!(!told(&heard, "LIFECYCLE_"), "{heard:#?}");
    let listed = api.get(&format!("/api/v1/events?job={id}&limit=1000")).ok();
    let kinds: Vec<&str> =
        listed.as_array().expect("a list").iter().rev().filter_map(|event| event["type"].as_str()).collect();
    let at = |kind: &str| {
        kinds.iter().position(|found| *found == kind).unwrap_or_else(|| panic!("{kind} in {kinds:?}"))
    };
    let order = [
        "JOB_STATUS",
        "LIFECYCLE_READER_OPEN",
        "SNAPSHOT_STARTED",
        "SNAPSHOT_FINISHED",
        "SCHEMA_CHANGE_ADD_COLUMN",
        "LIFECYCLE_READER_CLOSE",
        "LIFECYCLE_WRITER_CLOSE",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{kinds:?}");
    // Secrets are kept for the listener alone.
    let ended = api.running.terminate(LIMIT);
    for secret in ["needle-token", "SECneedle"] {
        assert!(!ended.stderr.contains(secret) && !listed.to_string().contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_by_crashes_and_a_listener_that_is_not_there() {
    let port = Hook::free_port();
    let mut api = service(&format!("{{ type = webhook, url = \"http://127.0.0.1:{port}/events\" }}")).await;
    // Nobody listens, and no job waits for that.
    for round in 0..4 {
        let id = api.submit(&named(&format!("round {round}")));
        api.until(&id, "FINISHED").await;
        api.submit(&ENDLESS.replace("\"endless\"", &format!("\"endless {round}\"")));
        api = killed_and_again(api).await;
    }
    let listed = api.get("/api/v1/listeners").ok();
    assert!(listed[0]["behind"].as_u64() > Some(0), "{listed}");
    let hook = Hook::at(port, vec![Manner::Silent, Manner::HangUp, Manner::Answer(503, String::new())]);
    let limit = LIMIT;
    wait::until(limit, "the hook to be tried in every bad way", async || hook.heard().len() >= 3).await;
    api = killed_and_again(api).await;
    hook.set(Manner::Answer(204, String::new()));
    let id = api.submit(&named("last"));
    api.until(&id, "FINISHED").await;
    let heard = hook.until(LIMIT, "the last job's end", |heard| {
        events_of(heard)
            .iter()
            .any(|event| event["job"] == "last" && event["details"]["status"] == "FINISHED")
    });
    let events = events_of(&heard);
    let newest = sequence(events.last().expect("events"));
    let mut first_told: BTreeMap<u64, usize> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        first_told.entry(sequence(event)).or_insert(place);
    }
    // From the first to the last, each at least once, in order.
    assert_eq!(first_told.keys().copied().collect::<Vec<u64>>(), (1..=newest).collect::<Vec<u64>>());
    assert!(first_told.values().is_sorted(), "{first_told:?}");
    for round in 0..4 {
        let name = format!("round {round}");
        let ends = |event: &&Value| event["job"] == name.as_str() && event["details"]["status"] == "FINISHED";
        assert!(events.iter().any(|event| ends(&event)), "{name}");
    }
    assert_eq!(
        (&events[0]["eventType"], events[0]["createdTime"].is_u64(), events[0]["jobId"].is_string()),
        (&events[0]["type"], true, true)
    );
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_leaves_what_it_owes_its_own_listener_to_the_next_process() {
    let port = Hook::free_port();
    let api = service("").await;
    let listener = format!(
        "event.listeners = [{{ type = webhook, name = mine, url = \"http://127.0.0.1:{port}/\", types = [JOB_STATUS] }}], job.mode = \"BATCH\""
    );
    let id = api.submit(&named("owing").replace("job.mode = \"BATCH\"", &listener));
    api.until(&id, "FINISHED").await;
    let other = api.submit(&named("other"));
    api.until(&other, "FINISHED").await;
    let api = killed_and_again(api).await;
    let hook = Hook::at(port, vec![Manner::Answer(200, String::new())]);
    let heard = hook.until(LIMIT, "the end of the job", |heard| has(heard, "JOB_STATUS", "FINISHED"));
    assert!(events_of(&heard).iter().all(|event| event["job"] == "owing"), "{heard:#?}");
    // Then it is let go.
    wait::until_ok(LIMIT, "no listener", async || {
        let id = api.submit(&named("another"));
        api.until(&id, "FINISHED").await;
        let listed = api.get("/api/v1/listeners").ok();
        if listed == json!([]) { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_200_and_no_are_not_taken_for_yes() {
    let robot = Hook::start(vec![
        Manner::refused(130_101, "send too fast"),
        Manner::Late(Duration::from_millis(300), 502, "<html>".to_owned()),
        Manner::refused(310_000, "keywords not in content"),
        Manner::taken(),
    ]);
    let url = robot.url("/robot/send?access_token=needle");
    let api = service(&format!(
        "{{ type = dingtalk, url = \"{url}\", types = [JOB_STATUS], severity = info, template = \"in my words: {{{{ text }}}}\" }}"
    ))
    .await;
    let id = api.submit(&named("refused"));
    api.until(&id, "FINISHED").await;
    let heard = robot.until(LIMIT, "a message that is taken", |heard| heard.len() >= 4);
    assert!(heard[0].body.contains("in my words"), "{heard:#?}");
    // A text of somebody's that is refused again and again is told in plain words at last.
    let told = heard[3..].iter().any(|heard| heard.body.contains("[info] refused: the job is SCHEDULED"));
    assert!(told, "{heard:#?}");
    robot.until(LIMIT, "the job's end", |heard| heard.iter().any(|it| it.body.contains("is FINISHED")));
    let ended = api.running.terminate(LIMIT);
    assert!(ended.stderr.contains("keywords not in content") || ended.stderr.contains("asks to wait"));
    assert!(!ended.stderr.contains("needle"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_faster_than_a_robot_takes_shares_a_message() {
    let robot = Hook::start(vec![Manner::Answer(500, String::new())]);
    let url = robot.url("/robot/send?access_token=x");
    let api = service(&format!(
        "{{ type = dingtalk, url = \"{url}\", types = [JOB_STATUS], severity = info, messages.per.minute = 5 }}"
    ))
    .await;
    let names: Vec<String> = (0..12).map(|number| format!("job {number:02}")).collect();
    for name in &names {
        let id = api.submit(&named(name));
        api.until(&id, "FINISHED").await;
    }
    robot.set(Manner::taken());
    let all_told = |heard: &[Heard]| {
        let told: Vec<&Heard> = heard.iter().filter(|heard| heard.taken).collect();
        names
            .iter()
            .all(|name| told.iter().any(|heard| heard.body.contains(&format!("{name}: the job is FINISHED"))))
    };
    robot.until(LIMIT, "the ends of all jobs", all_told);
    let taken = robot.taken();
    assert!(taken.len() <= 3, "36 events in {} messages", taken.len());
    assert!(taken.iter().any(|heard| heard.body.contains("Culvert: ")), "{taken:#?}");
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_what_is_not_urgent_and_keep_the_order() {
    let hour = |from_now: &str| {
        let date = std::process::Command::new("date").args(["-d", from_now, "+%H:%M"]).output();
        String::from_utf8(date.expect("date is there").stdout).expect("an hour").trim().to_owned()
    };
    let hook = Hook::start(vec![Manner::Answer(200, "ok".to_owned())]);
    let api = service(&format!(
        "{{ type = slack, url = \"{}\", severity = info, types = [JOB_STATUS], quiet.hours = \"{}-{}\" }}",
        hook.url("/services/x"),
        hour("-2 hours"),
        hour("+2 hours")
    ))
    .await;
    let id = api.submit(&named("calm"));
    api.until(&id, "FINISHED").await;
    // A job that cannot go on: its file is a folder.
    let broken = named("broken")
        .replace("InMemory { }", "LocalFile { path = \"/proc/nowhere\", file_format_type = \"json\" }");
    let id = api.submit(&broken);
    api.until(&id, "FAILED").await;
    let heard = hook.until(LIMIT, "what is urgent", |heard| {
        heard.iter().any(|heard| heard.body.contains("broken: the job is FAILED"))
    });
    let told: Vec<String> = heard
        .iter()
        .map(|heard| serde_json::from_str::<Value>(&heard.body).expect("an object")["text"].to_string())
        .collect();
    let told = told.join("\n");
    let at = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text} in {told}"));
    assert!(at("calm: the job is FINISHED") < at("broken: the job is FAILED"), "{told}");
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_and_again_is_told_once() {
    let hook = Hook::start(vec![Manner::Answer(200, "ok".to_owned())]);
    let listener = |name: &str, window: &str| {
        format!(
            "{{ type = slack, name = {name}, url = \"{}\", types = [JOB_STATUS], dedup.window = {window} }}",
            hook.url(&format!("/{name}"))
        )
    };
    let api = service(&format!("{}, {}", listener("once", "1h"), listener("always", "0"))).await;
    for _ in 0..3 {
        let id = api.submit(&named("same"));
        api.until(&id, "FINISHED").await;
    }
    let ends = |heard: &[Heard], path: &str| {
        let of = |heard: &&Heard| heard.path == path && heard.body.contains("is FINISHED");
        heard.iter().filter(of).count()
    };
    let heard = hook.until(LIMIT, "three ends", |heard| ends(heard, "/always") >= 3);
    assert!(ends(&heard, "/once") <= 1, "{heard:#?}");
    wait::until(LIMIT, "both to be told", async || {
        let listed = api.get("/api/v1/listeners").ok();
        listed.as_array().is_some_and(|all| all.iter().all(|listener| listener["behind"] == 0))
    })
    .await;
    assert_eq!(ends(&hook.heard(), "/once"), 1, "{:#?}", hook.heard());
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_service_may_run_no_program_of_this_machine() {
    let api = service("").await;
    let text = named("command").replace(
        "job.mode",
        "event.listeners = [{ type = command, command = [touch, \"/tmp/culvert-was-here\"] }], job.mode",
    );
    let refused = api.post("/api/v1/jobs", &json!({ "text": text }));
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.text.contains("runs a program"), "{refused:?}");
    let properties = json!({ "text": named("x"), "properties": ["command.command=/bin/true"] });
    assert_eq!(api.post("/api/v1/jobs", &properties).status, 422);
    let unknown = json!({ "text": named("x"), "properties": ["dingtak.secret=needle"] });
    let refused = api.post("/api/v1/jobs", &unknown);
    assert!(refused.status == 422 && !refused.text.contains("needle"), "{refused:?}");
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_listener_takes_a_sample() {
    let hook = Hook::start(vec![Manner::Answer(200, r#"{"errcode":0,"code":0}"#.to_owned())]);
    let define = |kind: &str| format!("{kind}.webhook.url={}", hook.url(&format!("/{kind}")));
    let mut words = vec!["events".to_owned(), "test".to_owned(), "--format".to_owned(), "json".to_owned()];
    for kind in ["dingtalk", "webhook", "slack", "feishu", "wecom"] {
        words.extend(["-D".to_owned(), define(kind)]);
    }
    for more in ["feishu.secret=abc", "wecom.format=markdown", "log.types=TEST", "command.command=true"] {
        words.extend(["-D".to_owned(), more.to_owned()]);
    }
    let done = Culvert::new(&words).run(LIMIT);
    done.assert_code(0);
    let told: Vec<Value> = serde_json::from_str(&done.stdout).expect("a list");
    assert_eq!(told.len(), 7, "{told:?}");
    assert!(told.iter().all(|listener| listener["arrived"] == true), "{told:?}");
    let heard = hook.heard();
    let body = |kind: &str| -> Value {
        let heard = heard.iter().find(|heard| heard.path == format!("/{kind}"));
        serde_json::from_str(&heard.unwrap_or_else(|| panic!("{kind}")).body).expect("JSON")
    };
    let text = |value: &Value| value.as_str().is_some_and(|text| text.contains("this is a test"));
    assert!(text(&body("dingtalk")["text"]["content"]) && text(&body("slack")["text"]));
    assert_eq!(body("webhook")[0]["type"], "TEST");
    assert!(text(&body("wecom")["markdown"]["content"]), "{}", body("wecom"));
    let feishu = body("feishu");
    assert!(text(&feishu["content"]["text"]), "{feishu}");
    let time = feishu["timestamp"].as_str().expect("a time");
    assert_eq!(feishu["sign"], culvert_tests::hook::hmac(&format!("{time}\nabc"), ""));
    // One that refuses is told of, without the address.
    hook.set(Manner::Answer(403, String::new()));
    let refused = Culvert::new(&["events", "test", "-D", &define("webhook")]).run(LIMIT);
    refused.assert_code(1);
    assert!(refused.stdout.contains("status 403") && !refused.stdout.contains("127.0.0.1"), "{refused:?}");
    let nobody = Culvert::new(&["events", "test"]).run(LIMIT);
    nobody.assert_code(2);
    assert!(nobody.stderr.contains("there are no listeners"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_by_the_command_as_they_are_by_the_interface() {
    let api = service("").await;
    let id = api.submit(&named("listed"));
    api.until(&id, "FINISHED").await;
    let list = |more: &[&str]| {
        let words = [&["events", "list"], more].concat();
        Culvert::new(&words).env("CULVERT_DATA", api.service.path("data")).run(LIMIT)
    };
    let json = list(&["--format", "json", "--job", &id, "--type", "JOB_*"]);
    json.assert_code(0);
    let events: Vec<Value> = serde_json::from_str(&json.stdout).expect("a list");
    let status: Vec<&str> = events.iter().filter_map(|event| event["details"]["status"].as_str()).collect();
    assert_eq!(status, ["FINISHED", "RUNNING", "SCHEDULED"]);
    let table = list(&["--severity", "notice"]);
    assert!(table.stdout.contains("listed") && table.stdout.contains("the job is FINISHED"), "{table:?}");
    assert!(!table.stdout.contains("LIFECYCLE"), "{table:?}");
    let after = list(&["--after", "1", "--limit", "1", "--format", "json"]);
    let after: Vec<Value> = serde_json::from_str(&after.stdout).expect("a list");
    assert_eq!((after.len(), sequence(&after[0])), (1, 2));
    assert_eq!(api.get("/api/v1/events?severity=loud").status, 400);
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_events_up_and_loses_none() {
    let hook = Hook::start(vec![Manner::Answer(200, String::new())]);
    let service = Service::new();
    configure(&service, &format!("{{ type = webhook, url = \"{}\" }}", hook.url("/")));
    let small = Small::of(&service.path("data"), 48);
    let mut api = Api::of(service, None).await;
    // What RocksDB took of the disk in advance is used up first, by many checkpoints.
    let hasty = ENDLESS.replace("interval = 200", "interval = 1").replace("interval = 20", "interval = 1");
    let id = api.submit(&hasty);
    api.until_it_moves(&id).await;
    small.fill();
    api.running.wait_for_stderr(LIMIT, "No space left on device").await;
    api.until(&id, "DEGRADED").await;
    assert!(api.running.ended().is_none());
    small.empty();
    hook.until(LIMIT, "the job to recover", |heard| has(heard, "JOB_RECOVERED", ""));
    let newest = sequence(&api.get("/api/v1/events?limit=1").ok()[0]);
    let heard = hook
        .until(LIMIT, "the newest", |heard| events_of(heard).iter().any(|event| sequence(event) >= newest));
    let told: Vec<u64> = events_of(&heard).iter().map(sequence).collect();
    assert_eq!(told, (1..=told.len() as u64).collect::<Vec<u64>>());
    assert!(has(&heard, "JOB_DEGRADED", "") && !has(&heard, "EVENTS_LOST", ""), "{heard:#?}");
    api.running.terminate(LIMIT).assert_code(0);
}
