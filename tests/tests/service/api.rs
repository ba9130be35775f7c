//! The interface of the service, asked as a program would.

use std::path::PathBuf;

use culvert_tests::process::Running;
use culvert_tests::{Database, Flavor, shared, wait};
use serde_json::{Value, json};
use ureq::http::{HeaderMap, Method, Request};
use ureq::tls::{RootCerts, TlsConfig};

use super::{LIMIT, Service};

/// A job that goes on: made-up rows, slowly, to the log.
pub(super) const ENDLESS: &str = r#"
env { job.name = "endless", job.mode = "STREAMING", checkpoint.interval = 200 }
source { FakeSource { row.num = 1000000000, split.num = 1000000, split.read-interval = 20
  schema = { table = "d.t", fields { id = bigint } } } }
sink { InMemory { } }
"#;

/// A job that ends by itself.
pub(super) const SHORT: &str = r#"
env { job.name = "short", job.mode = "BATCH" }
source { FakeSource { row.num = 32, schema = { table = "d.t", fields { id = bigint } } } }
sink { InMemory { } }
"#;

/// A service that answers.
pub(super) struct Api {
    pub(super) service: Service,
    pub(super) running: Running,
    pub(super) url: String,
    pub(super) admin: String,
    pub(super) read: String,
    agent: ureq::Agent,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    /// Its JSON.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its JSON, of a request that went well.
    #[track_caller]
    pub(super) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }
}

pub(super) fn agent(ca: Option<RootCerts>) -> ureq::Agent {
    let tls = match ca {
        Some(roots) => TlsConfig::builder().root_certs(roots).build(),
        None => TlsConfig::builder().build(),
    };
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        // A connection whose request was refused before it was read is closed behind the answer.
        .max_idle_connections(0)
        .timeout_global(Some(LIMIT));
    config.build().into()
}

impl Api {
    /// Starts a service at a free port, with more options of `http`.
    pub(super) async fn start(http: &str) -> Api {
        let service = Service::new();
        service.configure(&format!("http {{ port = 0, requests.per.second = 0\n{http} }}"));
        Api::of(service, None).await
    }

    /// Starts a service that is configured.
    pub(super) async fn of(service: Service, ca: Option<RootCerts>) -> Api {
        let mut running = service.start();
        running.wait_for_stderr(LIMIT, "the HTTP interface listens").await;
        let told = line(&service, "data/http.address");
        let url = told.lines().next().expect("an address").to_owned();
        let admin = line(&service, "data/admin.token");
        let told = running.stderr();
        let read = told.lines().find_map(|line| line.trim().strip_prefix("read ")).unwrap_or("");
        let read = read.trim().to_owned();
        Api { service, running, url, admin, read, agent: agent(ca) }
    }

    /// Starts it again on the same data.
    pub(super) async fn again(self) -> Api {
        let read = self.read.clone();
        self.running.terminate(LIMIT).assert_code(0);
        let again = Api::of(self.service, None).await;
        Api { read, ..again }
    }

    /// Sends a request as it is given.
    #[track_caller]
    pub(super) fn send(&self, request: Request<Vec<u8>>) -> Answer {
        self.try_send(request).expect("an answer")
    }

    /// Sends a request; `None` where the connection ended without an answer.
    pub(super) fn try_send(&self, request: Request<Vec<u8>>) -> Option<Answer> {
        let mut answer = self.agent.run(request).ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.body_mut().read_to_string().ok()?;
        Some(Answer { status, headers, text })
    }

    /// A request of the admin, to be changed.
    pub(super) fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        request.header("Authorization", format!("Bearer {}", self.admin))
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).body(Vec::new()).expect("a request"))
    }

    pub(super) fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.request(method, path).header("Content-Type", "application/json");
        self.send(request.body(body.to_string().into_bytes()).expect("a request"))
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body)
    }

    /// Starts a job; its number.
    #[track_caller]
    pub(super) fn submit(&self, text: &str) -> String {
        let job = self.post("/api/v1/jobs", &json!({ "text": text })).ok();
        job["id"].as_str().expect("a number").to_owned()
    }

    pub(super) fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/jobs/{id}")).ok()
    }

    /// Waits until a job is in a state.
    pub(super) async fn until(&self, id: &str, status: &str) -> Value {
        wait::until_ok(LIMIT, status, async || {
            let job = self.job(id);
            if job["status"] == status { Ok(job) } else { Err(job.to_string()) }
        })
        .await
    }

    /// Waits until a job has committed rows.
    pub(super) async fn until_it_moves(&self, id: &str) -> u64 {
        wait::until_ok(LIMIT, "rows", async || {
            let job = self.job(id);
            job["figures"]["rows_committed"].as_u64().filter(|rows| *rows > 0).ok_or(job.to_string())
        })
        .await
    }

    /// The audit log, line by line.
    pub(super) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.service.path("data/audit.log")).expect("it is there");
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    }
}

pub(super) fn line(service: &Service, file: &str) -> String {
    let text = std::fs::read_to_string(service.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_submitted_paused_restored_changed_cancelled_and_forgotten() {
    let api = Api::start("").await;
    let created = api.post("/api/v1/jobs", &json!({ "text": ENDLESS }));
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.json()["id"].as_str().expect("a text").to_owned();
    assert_eq!(created.headers["location"], format!("/api/v1/jobs/{id}"));
    api.until(&id, "RUNNING").await;
    api.until_it_moves(&id).await;
    assert_eq!(api.get("/api/v1/jobs?status=RUNNING").ok()["jobs"][0]["id"], id);
    assert_eq!(api.get("/api/v1/jobs?status=FAILED").ok()["jobs"], json!([]));
    // The name is taken as long as it runs.
    let taken = api.post("/api/v1/jobs", &json!({ "text": ENDLESS }));
    assert_eq!((taken.status, taken.json()["error"]["code"].clone()), (409, json!("conflict")));
    let stopped = api.post(&format!("/api/v1/jobs/{id}/pause"), &json!({})).ok();
    assert_eq!(stopped["status"], "SAVEPOINT_DONE");
    assert_eq!(api.post(&format!("/api/v1/jobs/{id}/savepoint"), &json!({})).status, 409);
    let restored = api.post(&format!("/api/v1/jobs/{id}/restore"), &Value::Null).ok();
    assert_eq!((restored["restored"].clone(), restored["id"].clone()), (json!(true), json!(id)));
    api.until_it_moves(&id).await;
    // A mistake in a change stops nothing.
    let wrong = ENDLESS.replace("InMemory", "InMemori");
    let refused = api.call(Method::PUT, &format!("/api/v1/jobs/{id}"), &json!({ "text": wrong }));
    assert_eq!(refused.status, 422, "{refused:?}");
    let problem = &refused.json()["error"]["problems"][0];
    assert!(problem["message"].as_str().is_some_and(|text| text.contains("InMemori")), "{problem}");
    assert_eq!(problem["line"], 5);
    assert_eq!(api.job(&id)["status"], "RUNNING");
    let changed = ENDLESS.replace("split.read-interval = 20", "split.read-interval = 10");
    let changed = api.call(Method::PUT, &format!("/api/v1/jobs/{id}"), &json!({ "text": changed }));
    assert_eq!(changed.status, 200, "{changed:?}");
    assert!(
        api.get(&format!("/api/v1/jobs/{id}/definition")).ok()["text"]
            .as_str()
            .is_some_and(|text| text.contains("interval = 10"))
    );
    api.until_it_moves(&id).await;
    assert_eq!(api.call(Method::DELETE, &format!("/api/v1/jobs/{id}"), &Value::Null).status, 409);
    let cancelled = api.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).ok();
    assert_eq!(cancelled["status"], "CANCELED");
    assert_eq!(api.call(Method::DELETE, &format!("/api/v1/jobs/{id}"), &Value::Null).status, 204);
    assert_eq!(api.get(&format!("/api/v1/jobs/{id}")).status, 404);
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_logs_and_health_are_told() {
    let api = Api::start("").await;
    let id = api.submit(SHORT);
    let done = api.until(&id, "FINISHED").await;
    assert_eq!(done["figures"]["rows_read"], 32);
    let metrics = api.get(&format!("/api/v1/jobs/{id}/metrics")).ok();
    assert_eq!(metrics["figures"]["rows_committed"], 32);
    let tables = metrics["tables"].as_array().expect("a list");
    let ends: Vec<_> = tables.iter().map(|table| (&table["role"], &table["rows"]["+I"])).collect();
    assert_eq!(ends, [(&json!("sink"), &json!(32)), (&json!("source"), &json!(32))]);
    let log = api.get(&format!("/api/v1/jobs/{id}/logs")).ok();
    let (text, size) = (log["text"].as_str().expect("lines").to_owned(), log["size"].as_u64());
    assert!(text.lines().count() > 1 && size == log["next_offset"].as_u64(), "{log}");
    let last = api.get(&format!("/api/v1/jobs/{id}/logs?lines=1")).ok();
    assert_eq!(last["text"].as_str().map(str::trim), text.lines().last().map(str::trim));
    let rest = api.get(&format!("/api/v1/jobs/{id}/logs?offset={}", last["offset"])).ok();
    assert_eq!(rest["text"], last["text"]);
    assert_eq!(api.get(&format!("/api/v1/jobs/{id}/logs?bytes=10&offset=0")).ok()["next_offset"], 10);
    assert_eq!(api.get("/healthz").ok()["status"], "ok");
    assert_eq!(api.get("/readyz").ok()["status"], "ok");
    assert_eq!(api.get("/api/v1/service").ok()["jobs"]["FINISHED"], 1);
    assert!(api.get("/metrics").text.contains("culvert_"), "Prometheus' figures");
    let connector = api.get("/api/v1/connectors/mysql-cdc").ok();
    assert_eq!(connector["connectors"][0]["name"], "MySQL-CDC");
    assert_eq!(api.get("/api/v1/connectors/nothing").status, 404);
    let report = api.post("/api/v1/check", &json!({ "text": SHORT, "connect": true })).ok();
    assert_eq!(report["errors"], json!([]));
    let report = api.post("/api/v1/check", &json!({ "text": "source { Nothing { } }" })).ok();
    assert!(!report["errors"].as_array().expect("a list").is_empty(), "{report}");
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_move_makes_the_service_unready() {
    let api = Api::start("").await;
    let job = "env { job.name = stuck, job.mode = BATCH, job.retry.times = 1000 }\n\
        source { Jdbc { url = \"jdbc:mysql://127.0.0.1:1/d\", username = a, password = b, query = \"SELECT 1\" } }\n\
        sink { InMemory { } }\n";
    let id = api.submit(job);
    let unready = wait::until_ok(LIMIT, "it to be told", async || {
        let answer = api.get("/readyz");
        if answer.status == 503 { Ok(answer.json()) } else { Err(answer.text) }
    })
    .await;
    assert!(unready["jobs"][0].as_str().is_some_and(|told| told.contains(&id)), "{unready}");
    let bare = agent(None)
        .run(Request::builder().uri(format!("{}/readyz", api.url)).body(Vec::new()).expect("a request"));
    let mut bare = bare.expect("an answer");
    assert_eq!(bare.status().as_u16(), 503);
    let text = bare.body_mut().read_to_string().expect("text");
    assert!(!text.contains(&id), "details are for those with a token: {text}");
    api.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_goes_on_behind_its_answer_and_a_restart_keeps_all() {
    let api = Api::start("").await;
    let id = api.submit(ENDLESS);
    api.until_it_moves(&id).await;
    let begun = api.post(&format!("/api/v1/jobs/{id}/savepoint?wait_ms=0"), &json!({}));
    assert!([200, 202].contains(&begun.status), "{begun:?}");
    api.until(&id, "SAVEPOINT_DONE").await;
    let short = api.submit(SHORT);
    api.until(&short, "FINISHED").await;
    let api = api.again().await;
    assert_eq!(api.job(&id)["status"], "SAVEPOINT_DONE");
    assert_eq!(api.job(&short)["status"], "FINISHED");
    assert_eq!(api.job(&id)["asked_by"], "admin");
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_mariadb_runs_in_the_service() {
    let database = Database::fresh(shared(Flavor::MariaDb).await, "api").await;
    database.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)"]).await;
    let api = Api::start("").await;
    let out: PathBuf = api.service.path("out");
    let text = format!(
        "env {{ job.name = mirror, job.mode = STREAMING, checkpoint.interval = 100 }}\n\
         source {{ MySQL-CDC {{ url = \"{}\", username = root, password = root, table-names = [\"{}.t\"] }} }}\n\
         sink {{ LocalFile {{ path = \"{}\", file_format_type = json, row_kind_column = kind }} }}\n",
        database.url(),
        database.name(),
        out.display()
    );
    let id = api.submit(&text);
    wait::until_ok(LIMIT, "the rows", async || match super::lines_below(&out) {
        3 => Ok(()),
        lines => Err(format!("{lines}: {}", api.job(&id))),
    })
    .await;
    database.run(&["INSERT INTO t VALUES (4)"]).await;
    wait::until(LIMIT, "the change", async || super::lines_below(&out) == 4).await;
    assert_eq!(
        api.post(&format!("/api/v1/jobs/{id}/savepoint"), &json!({})).ok()["status"],
        "SAVEPOINT_DONE"
    );
    database.run(&["INSERT INTO t VALUES (5)"]).await;
    api.post(&format!("/api/v1/jobs/{id}/restore"), &Value::Null).ok();
    wait::until(LIMIT, "what came meanwhile", async || super::lines_below(&out) == 5).await;
    let limited = api.post(&format!("/api/v1/jobs/{id}/limit"), &json!({ "rows_per_second": 10 }));
    assert_eq!(limited.status, 200, "{limited:?}");
    api.running.terminate(LIMIT).assert_code(0);
}
