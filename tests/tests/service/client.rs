//! The commands that ask the service.

use std::io::{Read, Write};
use std::net::TcpListener;

use culvert_tests::process::{Finished, Running};
use culvert_tests::tied::Signal;
use culvert_tests::{Culvert, scratch, wait};
use serde_json::Value;

use super::LIMIT;
use super::api::{Api, ENDLESS, SHORT};

struct Client<'a>(&'a Api);

impl Client<'_> {
    fn program(&self, words: &[&str]) -> Culvert {
        let data = self.0.service.path("data");
        Culvert::new(words).env("CULVERT_DATA", data).current_dir(&self.0.service.folder)
    }

    fn run(&self, line: &str) -> Finished {
        self.program(&line.split(' ').collect::<Vec<_>>()).run(LIMIT)
    }

    fn start(&self, line: &str) -> Running {
        self.program(&line.split(' ').collect::<Vec<_>>()).start()
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let done = self.run(&format!("{line} --format json"));
        done.assert_code(0);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {}", done.stdout))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_tells_people_and_programs() {
    let api = Api::start("").await;
    let client = Client(&api);
    api.service.write("endless.conf", ENDLESS);
    assert_eq!(client.run("list").stdout.trim(), "no jobs");
    let job = client.json("submit -c endless.conf --async");
    let id = job["id"].as_str().expect("a text").to_owned();
    api.until_it_moves(&id).await;
    assert_eq!(client.json("list")["jobs"][0]["id"], id.as_str());
    assert_eq!(client.json("list --status failed")["jobs"], Value::Array(Vec::new()));
    assert_eq!(client.json(&format!("status {id}"))["status"], "RUNNING");
    assert!(client.json(&format!("metrics {id}"))["figures"]["rows_read"].as_u64() > Some(0));
    assert!(client.json(&format!("logs {id}"))["text"].is_string());
    for command in ["list".to_owned(), format!("status {id}"), format!("metrics {id}"), format!("logs {id}")]
    {
        let done = client.run(&command);
        done.assert_code(0);
        assert!(done.stdout.lines().count() > 1, "{command}: {}", done.stdout);
    }
    assert_eq!(client.json(&format!("pause {id}"))["jobs"][0]["status"], "SAVEPOINT_DONE");
    assert_eq!(client.json(&format!("restore {id} --async"))["restored"], true);
    assert_eq!(client.json(&format!("savepoint {id}"))["jobs"][0]["status"], "SAVEPOINT_DONE");
    // Not in a state for it.
    let refused = client.run(&format!("savepoint {id}"));
    refused.assert_code(1);
    assert!(refused.stderr.contains("is not running"), "{}", refused.stderr);
    client.run(&format!("restore {id} -c endless.conf --async")).assert_code(0);
    let mut following = client.start(&format!("logs {id} --follow"));
    following.wait_for_stdout(LIMIT, "INFO").await;
    assert_eq!(client.json(&format!("cancel {id}"))["jobs"][0]["status"], "CANCELED");
    following.wait(LIMIT).assert_code(0);
    client.run("status 42").assert_code(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn submit_waits_for_the_end_and_says_how_it_was() {
    let api = Api::start("").await;
    let client = Client(&api);
    api.service.write("short.conf", SHORT);
    let done = client.run("submit -c short.conf");
    done.assert_code(0);
    assert!(done.stdout.contains("Total Write Count") && done.stderr.contains("is FINISHED"), "{done:?}");
    assert_eq!(client.json("submit -c short.conf --fresh")["status"], "FINISHED");
    let here = client.json("run -c short.conf --state here");
    assert_eq!(
        (here["ended"].as_str(), here["figures"]["rows_committed"].as_u64()),
        (Some("finished"), Some(32))
    );
    // A name that the file does not have is the file's.
    api.service.write("nameless.conf", &SHORT.replace("job.name = \"short\", ", ""));
    assert_eq!(client.json("submit -c nameless.conf")["name"], "nameless");
    let failing = SHORT.replace(
        "InMemory { }",
        "Assert { rules { row_rules = [{ rule_type = MAX_ROW, rule_value = 1 }] } }",
    );
    api.service.write("failing.conf", &failing.replace("\"short\"", "\"failing\""));
    let failed = client.run("submit -c failing.conf");
    failed.assert_code(1);
    assert!(failed.stderr.contains("FAILED"), "{}", failed.stderr);
    api.service.write("wrong.conf", &SHORT.replace("row.num", "row.nun").replace("InMemory", "InMemori"));
    let wrong = client.run("submit -c wrong.conf");
    wrong.assert_code(2);
    assert!(wrong.stderr.contains("InMemori") && wrong.stderr.contains("line "), "{}", wrong.stderr);
    client.run("submit -c nothing.conf").assert_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_leaves_the_job_unless_it_was_to_end_it() {
    let api = Api::start("").await;
    let client = Client(&api);
    api.service.write("endless.conf", ENDLESS);
    let mut waiting = client.start("submit -c endless.conf --id 5");
    waiting.wait_for_stderr(LIMIT, "job 5 is RUNNING").await;
    waiting.signal(Signal::Interrupt);
    let left = waiting.wait(LIMIT);
    left.assert_code(130);
    assert!(left.stderr.contains("job 5 goes on"), "{}", left.stderr);
    assert_eq!(api.job("5")["status"], "RUNNING");
    client.run("savepoint 5").assert_code(0);
    let mut waiting = client.start("restore 5 --close-job");
    waiting.wait_for_stderr(LIMIT, "job 5 is RUNNING").await;
    waiting.signal(Signal::Terminate);
    waiting.wait(LIMIT).assert_code(130);
    assert_eq!(api.job("5")["status"], "CANCELED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_restarts_is_waited_for_and_one_that_is_away_is_told() {
    let api = Api::start("").await;
    let port = api.url.rsplit(':').next().expect("a port").to_owned();
    api.service.write("endless.conf", ENDLESS);
    let mut waiting = Client(&api).start("submit -c endless.conf --id 6");
    waiting.wait_for_stderr(LIMIT, "job 6 is RUNNING").await;
    // The next one listens at the same port.
    api.service.configure(&format!("http {{ port = {port}, requests.per.second = 0 }}"));
    let api = api.again().await;
    api.until_it_moves("6").await;
    Client(&api).run("cancel 6").assert_code(0);
    let cancelled = waiting.wait(LIMIT);
    cancelled.assert_code(1);
    assert!(cancelled.stderr.contains("job 6 is CANCELED"), "{}", cancelled.stderr);
    let Api { service, running, .. } = api;
    running.terminate(LIMIT).assert_code(0);
    let data = service.path("data");
    let away = Culvert::new(&["list"]).env("CULVERT_DATA", &data).run(LIMIT);
    away.assert_code(3);
    assert!(away.stderr.contains("culvert serve"), "{}", away.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_go_where_they_belong_and_stand_on_no_command_line() {
    let api = Api::start("").await;
    let elsewhere = scratch::folder("no-service").display().to_string();
    let list = |words: &[&str], token: Option<&str>| {
        let mut all = vec!["list", "--data", &elsewhere];
        all.extend(words);
        let program = Culvert::new(&all);
        let program = match token {
            Some(token) => program.env("CULVERT_TOKEN", token),
            None => program,
        };
        program.run(LIMIT)
    };
    // Another user's client has the address, and no token.
    let refused = list(&["--master", &api.url], None);
    refused.assert_code(3);
    assert!(refused.stderr.contains("a token is needed"), "{}", refused.stderr);
    list(&["--master", &api.url], Some("wrong")).assert_code(3);
    list(&["--master", &api.url], Some(&api.read)).assert_code(0);
    let file = api.service.path("data/admin.token").display().to_string();
    list(&["--master", &api.url, "--token-file", &file], None).assert_code(0);
    let clear = list(&["--master", "http://192.0.2.1:8080"], Some(&api.read));
    clear.assert_code(2);
    assert!(
        clear.stderr.contains("readable on the way") && !clear.stderr.contains(&api.read),
        "{}",
        clear.stderr
    );
    list(&["--token", "x"], None).assert_code(2);
    // One that may read may not stop.
    let id = api.submit(ENDLESS);
    let cancel =
        Culvert::new(&["cancel", &id, "--master", &api.url]).env("CULVERT_TOKEN", &api.read).run(LIMIT);
    cancel.assert_code(3);
    wait::until(LIMIT, "it to run", async || api.job(&id)["status"] == "RUNNING").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_in_the_place_of_a_service_that_is_gone_gets_no_token() {
    let api = Api::start("").await;
    let own = api.url.trim_start_matches("http://").to_owned();
    Client(&api).run("list").assert_code(0);
    let Api { service, running, admin, .. } = api;
    running.kill();
    let stranger = TcpListener::bind(&own).expect("the port is free again");
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = stranger.accept().expect("somebody asks");
        let mut request = Vec::new();
        let mut bytes = [0_u8; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut bytes).expect("a request");
            assert!(read > 0, "the request has an end");
            request.extend(&bytes[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").expect("it is taken");
        String::from_utf8_lossy(&request).into_owned()
    });
    let listed = Culvert::new(&["list"]).env("CULVERT_DATA", service.path("data")).run(LIMIT);
    listed.assert_code(3);
    assert!(listed.stderr.contains("no culvert service"), "{}", listed.stderr);
    let request = heard.join().expect("it heard something").to_ascii_lowercase();
    assert!(request.contains("get /api/v1/jobs") && !request.contains("authorization"), "{request}");
    assert!(!request.contains(&admin.to_ascii_lowercase()), "{request}");
}
