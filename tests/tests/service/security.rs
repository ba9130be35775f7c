//! What strangers, other sites, and tokens that may only read cannot do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use culvert_tests::certificates::Certificates;
use culvert_tests::wait;
use serde_json::{Value, json};
use std::sync::Arc;
use ureq::http::{Method, Request};
use ureq::tls::{PemItem, RootCerts, parse_pem};

use super::api::{Answer, Api, ENDLESS, SHORT, line};
use super::{LIMIT, Service};

/// What no answer and no log may hold.
const NEEDLE: &str = "hunter2-needle";

/// Bytes as they are, and what comes back until the other side closes or says nothing more.
fn raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    // It may be refused before it was read to its end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn address(api: &Api) -> String {
    api.url.trim_start_matches("http://").to_owned()
}

fn with(api: &Api, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", api.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(Vec::new()).expect("a request"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for_by_default_and_made_once() {
    let api = Api::start("").await;
    let told = api.running.stderr();
    assert!(api.admin.starts_with("culvert_admin_") && api.read.starts_with("culvert_read_"), "{told}");
    assert_eq!(told.matches(&api.admin).count(), 1, "printed once");
    let kept = line(&api.service, "data/tokens");
    assert!(!kept.contains(&api.admin) && !kept.contains(&api.read), "only sums are kept: {kept}");
    for file in ["data/tokens", "data/admin.token", "data/http.address", "data/audit.log"] {
        let mode = std::fs::metadata(api.service.path(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let id = api.submit(SHORT);
    for path in [
        "/api/v1/jobs".to_owned(),
        format!("/api/v1/jobs/{id}"),
        format!("/api/v1/jobs/{id}/definition"),
        format!("/api/v1/jobs/{id}/logs"),
        "/api/v1/connectors".to_owned(),
        "/api/v1/service".to_owned(),
        "/metrics".to_owned(),
        "/overview".to_owned(),
        "/running-jobs".to_owned(),
        "/logs".to_owned(),
        "/nothing".to_owned(),
    ] {
        for headers in [
            &[][..],
            &[("authorization", "Bearer wrong")],
            &[("authorization", api.admin.as_str())],
            &[("authorization", "Basic YWRtaW46YWRtaW4=")],
        ] {
            let answer = with(&api, Method::GET, &path, headers);
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"culvert\"");
        }
    }
    for path in ["/healthz", "/docs", "/api/v1/openapi.json"] {
        assert_eq!(with(&api, Method::GET, path, &[]).status, 200, "{path}");
    }
    let (admin, read) = (api.admin.clone(), api.read.clone());
    let again = api.again().await;
    assert_eq!((again.admin.clone(), again.read.clone()), (admin.clone(), read));
    assert!(!again.running.stderr().contains(&admin), "never printed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_read_changes_nothing() {
    let api = Api::start("").await;
    let id = api.submit(ENDLESS);
    let bearer = format!("Bearer {}", api.read);
    let header = [("authorization", bearer.as_str())];
    assert_eq!(with(&api, Method::GET, &format!("/api/v1/jobs/{id}"), &header).status, 200);
    for (method, path) in [
        (Method::POST, "/api/v1/jobs".to_owned()),
        (Method::PUT, format!("/api/v1/jobs/{id}")),
        (Method::DELETE, format!("/api/v1/jobs/{id}")),
        (Method::POST, format!("/api/v1/jobs/{id}/cancel")),
        (Method::POST, format!("/api/v1/jobs/{id}/limit")),
        (Method::POST, "/api/v1/check".to_owned()),
        (Method::POST, "/submit-job".to_owned()),
        (Method::POST, "/stop-job".to_owned()),
        (Method::POST, "/update-tags".to_owned()),
        (Method::PATCH, format!("/api/v1/jobs/{id}")),
    ] {
        assert_eq!(with(&api, method.clone(), &path, &header).status, 403, "{method} {path}");
    }
    api.until(&id, "RUNNING").await;
    let refused: Vec<Value> = api.audit().into_iter().filter(|line| line["event"] == "refused").collect();
    assert_eq!((refused.len(), refused[0]["who"].clone()), (10, json!("read")));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_cannot_make_a_browser_ask() {
    // Without tokens nothing else is between a page and the jobs.
    let api = Api::of(
        {
            let service = Service::new();
            service.configure("http { port = 0, auth = false }");
            std::fs::create_dir_all(service.path("data")).expect("the folder is ours");
            std::fs::write(service.path("data/admin.token"), "none\n").expect("the folder is ours");
            service
        },
        None,
    )
    .await;
    let id = api.submit(ENDLESS);
    let path = format!("/api/v1/jobs/{id}/cancel");
    let own = address(&api);
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("host", "evil.example")],
        &[("host", "evil.example"), ("origin", "http://evil.example")],
    ] {
        let answer = with(&api, Method::POST, &path, headers);
        assert!([403, 421].contains(&answer.status), "{headers:?} {answer:?}");
    }
    for content in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/plain"] {
        assert_eq!(with(&api, Method::POST, &path, &[("content-type", content)]).status, 415, "{content}");
        assert_eq!(with(&api, Method::POST, "/submit-job", &[("content-type", content)]).status, 415);
    }
    // A name that a stranger made point here reads nothing either.
    assert_eq!(with(&api, Method::GET, "/api/v1/jobs", &[("host", "evil.example")]).status, 421);
    let answer = with(&api, Method::GET, "/api/v1/jobs", &[("origin", "http://evil.example")]);
    assert!(!answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
    api.until(&id, "RUNNING").await;
    let same = [("origin", format!("http://{own}")), ("sec-fetch-site", "same-origin".to_owned())];
    let same: Vec<(&str, &str)> = same.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(with(&api, Method::POST, &path, &same).status, 200, "our own page may");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_do_not_lead_out_of_the_folder_of_logs() {
    let api = Api::start("").await;
    let id = api.submit(SHORT);
    api.until(&id, "FINISHED").await;
    let log = api.get(&format!("/logs/job-{id}.log"));
    assert!(log.status == 200 && log.headers["content-type"] == "text/plain; charset=utf-8", "{log:?}");
    assert_eq!(log.headers["x-content-type-options"], "nosniff");
    for path in [
        "/logs/..%2ftokens",
        "/logs/..%2F..%2F..%2Fetc%2Fpasswd",
        "/logs/%2e%2e%2ftokens",
        "/logs/../tokens",
        "/logs/job-1.log%00.txt",
        "/logs/%2fetc%2fpasswd",
        "/log/..%2fadmin.token",
        "/log/..%5cadmin.token",
        "/log/job-..%2f..%2ftokens.log",
        "/log/....//tokens",
        "/api/v1/jobs/..%2f..%2ftokens/logs",
        "/api/v1/jobs/1%2f..%2f2/logs",
        "//etc/passwd",
        "/%2e%2e/tokens",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            address(&api),
            api.admin
        );
        let answer = raw(&address(&api), request.as_bytes());
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "404"].contains(&status), "{path}: {answer}");
        assert!(!answer.contains("root:") && !answer.contains("sha256"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_and_no_log_holds_a_secret() {
    let api = Api::start("").await;
    let text = format!(
        "env {{ job.name = secret, job.mode = BATCH, job.retry.times = 0 }}\n\
         source {{ Jdbc {{ url = \"jdbc:mysql://127.0.0.1:1/d?password={NEEDLE}\", username = u, password = \"{NEEDLE}\", query = \"SELECT 1\" }} }}\n\
         sink {{ Jdbc {{ url = \"jdbc:mysql://127.0.0.1:1/d\", username = u, password = ${{PW}}, query = \"INSERT INTO t VALUES (?)\" }} }}\n"
    );
    let variable = format!("PW={NEEDLE}");
    let body = json!({ "text": text, "variables": [variable] });
    let created = api.post("/api/v1/jobs", &body);
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.json()["id"].as_str().expect("a number").to_owned();
    wait::until_ok(LIMIT, "an attempt to fail", async || {
        let job = api.job(&id);
        if ["FAILED", "DEGRADED"].iter().any(|status| job["status"] == *status) {
            Ok(())
        } else {
            Err(job.to_string())
        }
    })
    .await;
    let mut answers = vec![created.text];
    let document = api.get("/api/v1/openapi.json").ok();
    for path in document["paths"].as_object().expect("paths").keys() {
        let path = path.replace("{id}", &id).replace("{jobId}", &id).replace("{state}", "FAILED");
        let path =
            path.replace("{job}", &format!("job-{id}.log")).replace("{file}", &format!("job-{id}.log"));
        answers.push(api.get(&path.replace("{name}", "Jdbc")).text);
    }
    // Mistakes are told without the values beside them.
    for wrong in
        [text.replace("username", "usrname"), text.replace("query", "qury"), text.replace("sink {", "sink [")]
    {
        let body = json!({ "text": wrong, "variables": [variable] });
        answers.push(api.post("/api/v1/jobs", &body).text);
        answers.push(api.post("/api/v1/check", &body).text);
    }
    answers.push(api.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).text);
    answers.push(api.running.stderr());
    answers.push(line(&api.service, "data/audit.log"));
    for answer in answers {
        assert!(!answer.contains(NEEDLE), "{answer}");
        assert!(!answer.contains(&api.admin) || answer.contains("printed this once"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_written_down_before_and_behind() {
    let api = Api::start("").await;
    let id = api.submit(ENDLESS);
    api.until(&id, "RUNNING").await;
    api.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).ok();
    api.post("/api/v1/jobs", &json!({ "text": "source" }));
    api.get("/api/v1/jobs").ok();
    let lines = api.audit();
    let short: Vec<(String, String, Value, Value)> = lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            (text("event"), text("path"), line["job"].clone(), line["status"].clone())
        })
        .collect();
    let entry =
        |event: &str, path: &str, job: Value, status: Value| (event.to_owned(), path.to_owned(), job, status);
    let cancel = format!("/api/v1/jobs/{id}/cancel");
    assert_eq!(
        short,
        [
            entry("asked", "/api/v1/jobs", Value::Null, Value::Null),
            entry("done", "/api/v1/jobs", json!(id), json!(201)),
            entry("asked", &cancel, json!(id), Value::Null),
            entry("done", &cancel, json!(id), json!(200)),
            entry("asked", "/api/v1/jobs", Value::Null, Value::Null),
            entry("done", "/api/v1/jobs", Value::Null, json!(422)),
        ]
    );
    for line in &lines {
        assert_eq!(
            (line["who"].clone(), line["role"].clone(), line["method"].clone()),
            (json!("admin"), json!("admin"), json!("POST"))
        );
        assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_frequent_or_silent_is_limited() {
    let api = Api::start("request.bytes.max = 4096, connections.max = 4").await;
    let large = api.post("/api/v1/jobs", &json!({ "text": "x".repeat(5000) }));
    assert_eq!((large.status, large.json()["error"]["code"].clone()), (413, json!("too_large")));
    let own = address(&api);
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert!(raw(&own, head.as_bytes()).starts_with("HTTP/1.1 431"), "too many headers");
    // Peers that say nothing, or drip, are let go, and the others have their turn.
    let begun = Instant::now();
    let mut silent: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(&own).expect("it listens")).collect();
    for stream in &mut silent {
        stream.write_all(b"GET / HTTP/1.1\r\n").expect("it takes that");
    }
    let agent = super::api::agent(None);
    let answer = agent
        .run(Request::builder().uri(format!("{}/healthz", api.url)).body(Vec::new()).expect("a request"));
    assert_eq!(answer.expect("its turn came").status().as_u16(), 200);
    assert!(begun.elapsed() < LIMIT);
    drop(silent);

    let api = {
        let service = Service::new();
        service.configure("http { port = 0, requests.per.second = 5 }");
        Api::of(service, None).await
    };
    let refused = wait::until_ok(LIMIT, "too many", async || {
        let answer = api.get("/healthz");
        if answer.status == 429 { Ok(answer) } else { Err("not yet") }
    })
    .await;
    assert_eq!(refused.json()["error"]["code"], "too_many_requests");
    wait::until(LIMIT, "its turn again", async || api.get("/healthz").status == 200).await;
}

/// Sends all of a request before it looks for the answer; its status.
fn sent_first(stream: &mut TcpStream, head: &str, body: &[u8]) -> String {
    stream.write_all(head.as_bytes()).expect("the head is taken");
    stream.write_all(body).unwrap_or_else(|error| panic!("{head}: {error}"));
    let mut answer = Vec::new();
    let mut some = [0; 4096];
    let told = loop {
        let count = stream.read(&mut some).unwrap_or_else(|error| panic!("{head}: {error}"));
        answer.extend_from_slice(&some[..count]);
        assert!(count > 0, "{head}: it ends within {}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        if Some(body.len()) == length {
            break text;
        }
    };
    told.split(' ').nth(1).expect("a status").to_owned()
}

/// One connection takes them all: nothing of a body is left in it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_all_before_it_listens_hears_why_it_is_refused() {
    let api = Api::start("").await;
    let own = address(&api);
    let mut stream = TcpStream::connect(&own).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let body = vec![b' '; 8 << 20];
    let admin = format!("Authorization: Bearer {}\r\n", api.admin);
    for (method, path, headers, status) in [
        ("POST", "/api/v1/jobs", "Content-Type: application/json\r\n".to_owned(), "401"),
        ("POST", "/api/v1/jobs", format!("{admin}Content-Type: text/plain\r\n"), "415"),
        ("POST", "/api/v1/jobs", format!("{admin}Content-Type: application/json\r\n"), "413"),
        ("POST", "/api/v1/nothing", admin.clone(), "404"),
        ("DELETE", "/api/v1/jobs", admin.clone(), "405"),
        ("GET", "/healthz", String::new(), "200"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {own}\r\n{headers}");
        let whole = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        assert_eq!(sent_first(&mut stream, &whole, &body), status, "{head}");
        let mut pieces = format!("{:x}\r\n", body.len()).into_bytes();
        pieces.extend_from_slice(&body);
        pieces.extend_from_slice(b"\r\n0\r\n\r\n");
        let whole = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
        assert_eq!(sent_first(&mut stream, &whole, &pieces), status, "{head}");
    }
    // A client that waits to be told to go on is answered at once, and is not told to.
    let head = format!("POST /api/v1/jobs HTTP/1.1\r\nHost: {own}\r\nContent-Length: 9\r\n");
    let answer = raw(&own, format!("{head}Expect: 100-continue\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered_and_leaves_nothing_behind() {
    // A server that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let api = Api::start("request.timeout = 500").await;
    let text = format!(
        "env {{ job.mode = BATCH }}\n\
         source {{ Jdbc {{ url = \"jdbc:mysql://127.0.0.1:{port}/d\", username = a, password = b, query = \"SELECT 1\" }} }}\n\
         sink {{ InMemory {{ }} }}\n"
    );
    let late = api.post("/api/v1/check", &json!({ "text": text, "connect": true }));
    assert_eq!((late.status, late.json()["error"]["code"].clone()), (408, json!("timeout")));
    wait::until(LIMIT, "it to be written down", async || {
        api.audit().last().is_some_and(|line| line["event"] == "left")
    })
    .await;
    assert_eq!(api.get("/healthz").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_down_is_not_done() {
    let service = Service::new();
    std::fs::create_dir_all(service.path("data")).expect("the folder is ours");
    // A disk without room.
    std::os::unix::fs::symlink("/dev/full", service.path("data/audit.log")).expect("the folder is ours");
    let api = Api::of(service, None).await;
    let refused = api.post("/api/v1/jobs", &json!({ "text": SHORT }));
    assert_eq!((refused.status, refused.json()["error"]["code"].clone()), (503, json!("unavailable")));
    assert_eq!(api.get("/api/v1/jobs").ok()["jobs"], json!([]), "looking goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_headers_that_keep_browsers_from_guessing() {
    let api = Api::start("").await;
    for (path, status) in [("/docs", 200), ("/api/v1/jobs", 200), ("/nothing", 404), ("/api/v1/jobs/x", 400)]
    {
        let answer = api.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let policy = answer.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
    }
    let page = api.get("/docs").text;
    assert!(page.contains("/api/v1/jobs/{id}/savepoint") && !page.contains("<script"), "{page}");
    let wrong = api.call(Method::PATCH, "/api/v1/jobs", &json!({}));
    assert_eq!((wrong.status, wrong.json()["error"]["code"].clone()), (405, json!("method_not_allowed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_to_this_machine_alone_unless_it_is_told_and_safe() {
    let api = Api::start("").await;
    assert!(api.url.starts_with("http://127.0.0.1:"), "{}", api.url);
    for (http, why) in [
        ("address = 0.0.0.0", "without TLS"),
        ("address = 0.0.0.0, auth = false", "without TLS and without tokens"),
        ("address = nowhere", "is no IP address"),
        ("tls.key = a", "tls.certificate"),
        ("tls { certificate = /nothing, key = /nothing }", "the TLS file cannot be used"),
        ("prot = 1", "prot"),
    ] {
        let service = Service::new();
        service.configure(&format!("http {{ port = 0, {http} }}"));
        let ended = service.program().run(Duration::from_secs(60));
        ended.assert_code(2);
        assert!(ended.stderr.contains(why), "{http}: {}", ended.stderr);
    }
    let service = Service::new();
    service.configure("http { port = 0, address = 0.0.0.0, insecure.open = true }");
    let open = Api::of(service, None).await;
    assert_eq!(open.get("/api/v1/jobs").status, 200);
    // A port that is taken starts nothing.
    let service = Service::new();
    let port = api.url.rsplit(':').next().expect("a port").to_owned();
    service.configure(&format!("http {{ port = {port} }}"));
    let ended = service.program().run(Duration::from_secs(60));
    ended.assert_code(2);
    assert!(ended.stderr.contains("cannot listen there"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_a_silent_handshake_holds_up_nobody() {
    let service = Service::new();
    let certificates = Certificates::generate(&service.folder);
    service.configure(&format!(
        "http {{ port = 0, tls {{ certificate = \"{}\", key = \"{}\" }} }}",
        certificates.certificate.display(),
        certificates.key.display()
    ));
    let pem = std::fs::read(&certificates.ca).expect("it is there");
    let roots = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let api = Api::of(service, Some(RootCerts::Specific(Arc::new(roots.collect())))).await;
    assert!(api.url.starts_with("https://127.0.0.1:"), "{}", api.url);
    let own = api.url.trim_start_matches("https://").to_owned();
    let silent: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(&own).expect("it listens")).collect();
    assert_eq!(api.get("/api/v1/jobs").ok()["jobs"], json!([]));
    let id = api.submit(SHORT);
    api.until(&id, "FINISHED").await;
    let plain = raw(&own, format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\n\r\n").as_bytes());
    assert!(!plain.contains("200 OK"), "nothing is answered in the clear: {plain}");
    let untrusted = super::api::agent(None)
        .run(Request::builder().uri(format!("{}/healthz", api.url)).body(Vec::new()).expect("a request"));
    assert!(untrusted.is_err(), "a client that does not know the authority turns away");
    drop(silent);
    // The client finds it, and trusts what it is told to.
    let data = api.service.path("data").display().to_string();
    let ca = certificates.ca.display().to_string();
    let listed =
        culvert_tests::Culvert::new(&["list", "--data", &data, "--ca", &ca, "--format", "json"]).run(LIMIT);
    listed.assert_code(0);
    assert!(listed.stdout.contains(&id), "{}", listed.stdout);
    culvert_tests::Culvert::new(&["list", "--data", &data]).run(LIMIT).assert_code(3);
}
