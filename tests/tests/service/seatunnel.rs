//! SeaTunnel's REST v2 and its flags.

use culvert_tests::{Culvert, wait};
use serde_json::{Value, json};
use ureq::http::Method;

use super::LIMIT;
use super::api::{Api, ENDLESS, SHORT};

/// A job as SeaTunnel's page shows it.
fn fake_to_console(rows: u32) -> Value {
    json!({
        "env": { "job.mode": "batch" },
        "source": [{
            "plugin_name": "FakeSource", "plugin_output": "fake", "row.num": rows,
            "schema": { "fields": { "name": "string", "age": "int", "card": "int" } }
        }],
        "transform": [],
        "sink": [{ "plugin_name": "Console", "plugin_input": ["fake"] }]
    })
}

fn endless_hocon(name: &str) -> String {
    ENDLESS.replace("job.name = \"endless\"", &format!("job.name = \"{name}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_submitted_shown_and_stopped_as_there() {
    let api = Api::start("").await;
    let submitted =
        api.post("/submit-job?jobId=733584788375666689&jobName=rest_api_test", &fake_to_console(100)).ok();
    assert_eq!(submitted, json!({ "jobId": "733584788375666689", "jobName": "rest_api_test" }));
    api.until("733584788375666689", "FINISHED").await;
    let job = api.get("/job-info/733584788375666689").ok();
    assert_eq!(job, api.get("/running-job/733584788375666689").ok());
    assert_eq!(job["jobStatus"], "FINISHED");
    assert_eq!(job["errorMsg"], Value::Null);
    assert_eq!(job["metrics"]["SourceReceivedCount"], "100");
    assert_eq!(job["metrics"]["SinkWriteCount"], "100");
    for part in ["TableSourceReceivedCount", "TableSinkWriteCount"] {
        let tables = job["metrics"][part].as_object().expect("tables");
        assert_eq!(tables.values().collect::<Vec<_>>(), [&json!("100")], "{part}");
    }
    assert_ne!(job["metrics"]["SinkWriteBytes"], "0");
    assert_eq!(
        job["jobDag"]["pipelineEdges"],
        json!({ "1": [{ "inputVertexId": "1", "targetVertexId": "2" }] })
    );
    assert_eq!(job["jobDag"]["vertexInfoMap"][0]["type"], "source");
    for time in ["createTime", "startTime", "finishTime"] {
        let text = job[time].as_str().unwrap_or_default();
        assert!(text.len() == 19 && text.as_bytes()[10] == b' ', "{time}: {text}");
    }
    let hocon = api
        .request(Method::POST, "/submit-job?format=hocon")
        .header("content-type", "application/hocon")
        .body(endless_hocon("a").into_bytes());
    let a = api.send(hocon.expect("a request")).ok()["jobId"].as_str().expect("a text").to_owned();
    api.until_it_moves(&a).await;
    let running = api.get("/running-jobs").ok();
    assert_eq!(
        (running[0]["jobId"].clone(), running[0]["isStartWithSavePoint"].clone()),
        (json!(a), json!(false))
    );
    assert_eq!(running[0]["envOptions"]["job.name"], "a");
    let overview = api.get("/overview").ok();
    assert_eq!((overview["runningJobs"].clone(), overview["finishedJobs"].clone()), (json!("1"), json!("1")));
    let number: u64 = a.parse().expect("a number");
    let stopped = api.post("/stop-job", &json!({ "jobId": number, "isStopWithSavePoint": true })).ok();
    assert_eq!(stopped, json!({ "jobId": a }));
    api.until(&a, "SAVEPOINT_DONE").await;
    assert_eq!(api.get("/finished-jobs/SAVEPOINT_DONE").ok()[0]["jobId"], json!(a));
    assert_eq!(api.get("/finished-jobs/UNKNOWABLE").ok(), json!([]));
    assert_eq!(api.get("/finished-jobs").ok().as_array().map(Vec::len), Some(2));
    assert_eq!(api.get("/finished-jobs?page=2&rows=1").ok().as_array().map(Vec::len), Some(1));
    // It goes on under its number.
    let path = format!("/submit-job?format=hocon&jobId={a}&isStartWithSavePoint=true");
    let restore = api.request(Method::POST, &path).header("content-type", "application/hocon");
    let restored = api.send(restore.body(endless_hocon("a").into_bytes()).expect("a request")).ok();
    assert_eq!(restored["jobId"], json!(a));
    api.until_it_moves(&a).await;
    assert_eq!(api.get(&format!("/job-info/{a}")).ok()["isStartWithSavePoint"], true);
    assert_eq!(api.post("/stop-jobs", &json!([{ "jobId": number }])).ok(), json!([{ "jobId": number }]));
    api.until(&a, "CANCELED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_jobs_at_once_and_what_is_refused() {
    let api = Api::start("").await;
    let one = |id: &str, name: &str| {
        let mut job = fake_to_console(10);
        job["params"] = json!({ "jobId": id, "jobName": name });
        job
    };
    let submitted = api
        .post("/submit-jobs", &json!([one("123456", "SeaTunnel-01"), one("1234567", "SeaTunnel-02")]))
        .ok();
    assert_eq!(
        submitted,
        json!([{ "jobId": "123456", "jobName": "SeaTunnel-01" }, { "jobId": "1234567", "jobName": "SeaTunnel-02" }])
    );
    for id in ["123456", "1234567"] {
        api.until(id, "FINISHED").await;
    }
    for (path, body, status, message) in [
        ("/submit-job", json!({ "env": {} }), 400, "mistake"),
        (
            "/submit-job?isStartWithSavePoint=true",
            fake_to_console(1),
            400,
            "Please provide jobId when start with save point.",
        ),
        ("/submit-job?jobId=abc", fake_to_console(1), 400, "a job id is"),
        ("/submit-job?format=sql", fake_to_console(1), 400, "not supported"),
        ("/stop-job", json!({}), 400, "jobId cannot be empty."),
        ("/stop-job", json!([1]), 400, "Invalid JSON format in request body."),
        ("/encrypt-config", fake_to_console(1), 400, "not encrypted"),
        ("/update-tags", json!([1]), 400, "Invalid JSON format in request body."),
    ] {
        let answer = api.post(path, &body);
        assert_eq!(
            (answer.status, answer.json()["status"].clone()),
            (status, json!("fail")),
            "{path} {answer:?}"
        );
        let said = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(message), "{path}: {said}");
    }
    assert_eq!(
        api.get("/job-info/42").ok(),
        json!({ "jobId": "42" }),
        "as SeaTunnel answers of an unknown job"
    );
    assert_eq!(api.post("/stop-job", &json!({ "jobId": 42 })).ok(), json!({ "jobId": "42" }));
    let bare = api.request(Method::POST, "/stop-job").body(Vec::new()).expect("a request");
    assert_eq!(api.send(bare).json()["message"], "Request body is empty.");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_logs_and_rules() {
    let api = Api::start("").await;
    let id = api.submit(SHORT);
    api.until(&id, "FINISHED").await;
    let machine = api.get("/system-monitoring-information").ok();
    assert!(machine[0]["processors"].as_str().is_some_and(|count| count.parse::<u32>().is_ok()), "{machine}");
    assert!(
        machine[0]["physical.memory.total"].as_str().is_some_and(|size| size.ends_with('G')),
        "{machine}"
    );
    let done = json!({ "status": "success", "message": "update node tags done." });
    assert_eq!(api.post("/update-tags", &json!({ "zone": "a" })).ok(), done);
    assert_eq!(api.get("/overview?zone=a").ok()["works"], "1");
    assert_eq!(api.get("/overview?zone=b").ok()["works"], "0");
    let name = format!("job-{id}.log");
    let logs = api.get("/logs?format=json").ok();
    assert_eq!(logs[0]["logName"], json!(name));
    assert_eq!(logs[0]["logLink"], json!(format!("{}/logs/{name}", api.url)));
    assert_eq!(api.get(&format!("/logs/{id}?format=json")).ok(), logs);
    assert_eq!(api.get("/log?format=json").ok(), logs);
    assert!(api.get("/logs").text.contains(&format!("<a href=\"{}/logs/{name}\">", api.url)));
    assert_eq!(api.get(&format!("/log/{name}")).text, api.get(&format!("/logs/{name}")).text);
    assert_eq!(api.get("/get-all-log-name").ok(), json!([name]));
    let rules = api.get("/option-rules?type=source&plugin=fakesource").ok();
    assert_eq!(
        (rules["engineType"].clone(), rules["pluginName"].clone()),
        (json!("seatunnel"), json!("FakeSource"))
    );
    let optional = rules["optionRule"]["optionalOptions"].as_array().expect("a list");
    let rows = optional.iter().find(|option| option["key"] == "row.num").expect("the option");
    assert_eq!((rows["type"].clone(), rows["defaultValue"].clone()), (json!("java.lang.Long"), json!(5)));
    assert_eq!(api.get("/option-rules?type=source").status, 400);
    assert_eq!(api.get("/option-rules?type=source&plugin=Nothing").status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_in_front_counts_for_all() {
    let api = Api::start("context-path = \"/seatunnel\"").await;
    assert!(api.url.ends_with("/seatunnel"), "{}", api.url);
    let submitted = api.post("/submit-job?jobName=front", &fake_to_console(1)).ok();
    let id = submitted["jobId"].as_str().expect("a text").to_owned();
    api.until(&id, "FINISHED").await;
    assert!(api.get("/docs").text.contains("/seatunnel/overview"));
    let outside = api.url.trim_end_matches("/seatunnel");
    let request = ureq::http::Request::builder().uri(format!("{outside}/overview"));
    assert_eq!(api.send(request.body(Vec::new()).expect("a request")).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_written_for_seatunnel_runs_with_its_flags() {
    let api = Api::start("").await;
    let data = api.service.path("data");
    api.service.write("task.conf", &SHORT.replace("row.num = 32", "row.num = ${rows}"));
    let run = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let program = Culvert::new(&words).env("CULVERT_DATA", &data);
        program.current_dir(&api.service.folder).run(LIMIT)
    };
    // What DolphinScheduler's task makes of its form.
    let done = run("--config task.conf --deploy-mode cluster --name nightly -i rows=48");
    done.assert_code(0);
    assert!(done.stdout.contains("Job Statistic Information"), "{}", done.stdout);
    let read = done.stdout.lines().find(|line| line.starts_with("Total Read Count")).unwrap_or_default();
    assert!(read.ends_with(" 48"), "{}", done.stdout);
    run("--config task.conf -e local -i rows=3").assert_code(0);
    run("-c task.conf --check -i rows=3").assert_code(0);
    api.service.write("endless.conf", ENDLESS);
    run("-c endless.conf --async --set-job-id 4711 -cn seatunnel").assert_code(0);
    api.until_it_moves("4711").await;
    let listed = run("-l");
    assert!(listed.stdout.contains("4711") && listed.stdout.contains("endless"), "{}", listed.stdout);
    assert!(run("-j 4711").stdout.contains("RUNNING"));
    assert!(run("--metrics 4711").stdout.contains("Rows committed"));
    run("-s 4711").assert_code(0);
    assert_eq!(api.job("4711")["status"], "SAVEPOINT_DONE");
    run("-r 4711 -c endless.conf --async").assert_code(0);
    api.until_it_moves("4711").await;
    run("-can 4711").assert_code(0);
    assert_eq!(api.job("4711")["status"], "CANCELED");
    run("-c broken.conf").assert_code(2);
    wait::until(LIMIT, "nothing to be left", async || api.get("/running-jobs").text == "[]").await;
}
