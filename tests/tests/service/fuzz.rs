//! Random requests, made from the interface's own description: nothing makes it fail, hang, or end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use culvert_tests::{random, seed};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use ureq::http::{Method, Request};

use super::LIMIT;
use super::api::{Api, ENDLESS, SHORT};

/// Requests of a normal run; `CULVERT_FUZZ` asks for more.
const REQUESTS: u32 = 3_000;
/// Connections with bytes that are no requests.
const GARBAGE: u32 = 500;
/// Longer than any answer may take, checkpoints that are waited for included.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

const WORDS: &[&str] = &[
    "",
    " ",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e999",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "..",
    "../../etc/passwd",
    "%2e%2e%2f",
    "%00",
    "%",
    "%zz",
    "\u{0}",
    "\r\n\r\nGET / HTTP/1.1",
    "ü",
    "🦀",
    "\u{202e}",
    "' OR 1=1 --",
    "<script>",
    "${HOME}",
    "{{7*7}}",
    "job-1.log",
    "FINISHED",
    "hocon",
    "json",
    "source",
    "FakeSource",
];

struct Fuzzer<'a> {
    api: &'a Api,
    random: StdRng,
    document: Value,
    /// Numbers of jobs that are there.
    known: Vec<String>,
    /// Whether the request that is made now is as the description wants it. Chance alone hardly ever makes one
    /// that is right in all its parts, and what lies behind the first look at a request would be tried by none.
    fits: bool,
}

impl Fuzzer<'_> {
    fn word(&mut self) -> String {
        match self.random.random_range(0..12) {
            0 => "a".repeat(self.random.random_range(0..5_000)),
            1 => (0..self.random.random_range(0..40)).map(|_| self.random.random::<char>()).collect(),
            2 | 3 => self.known[self.random.random_range(0..self.known.len())].clone(),
            4 => self.random.random::<u64>().to_string(),
            _ => WORDS[self.random.random_range(0..WORDS.len())].to_owned(),
        }
    }

    fn text_of_a_job(&mut self) -> String {
        let name = format!("job.name = \"fuzz-{}\"", self.random.random_range(0..5));
        let job = SHORT.replace("job.name = \"short\"", &name);
        let mut bytes = job.into_bytes();
        match self.random.random_range(0..4) {
            0 => {}
            1 => {
                for _ in 0..self.random.random_range(1..4) {
                    let at = self.random.random_range(0..bytes.len());
                    bytes[at] = self.random.random_range(32..127);
                }
            }
            2 => bytes.truncate(self.random.random_range(0..bytes.len())),
            _ => return "a {".repeat(self.random.random_range(0..3_000)),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A value for a schema, or one that does not fit.
    fn value(&mut self, schema: &Value, depth: u32) -> Value {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            let schema = self.document["components"]["schemas"][name].clone();
            return self.value(&schema, depth);
        }
        if depth > 6 || self.strays(1, 8) {
            return self.wrong();
        }
        if let Some(several) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            let one = several[self.random.random_range(0..several.len())].clone();
            return self.value(&one, depth);
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[self.random.random_range(0..words.len())].clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds[self.random.random_range(0..kinds.len())].clone(),
            kind => kind.clone(),
        };
        match kind.as_str() {
            Some("object") => {
                let mut object = serde_json::Map::new();
                let required = schema["required"].as_array();
                for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                    let needed = required.is_some_and(|names| names.contains(&json!(name)));
                    if self.strays(1, 6) || (self.fits && !needed && self.random.random_ratio(3, 4)) {
                        continue;
                    }
                    let value = match name.as_str() {
                        "text" if !self.strays(1, 3) => Value::String(self.text_of_a_job()),
                        _ => self.value(field, depth + 1),
                    };
                    object.insert(name.clone(), value);
                }
                if self.strays(1, 10) {
                    object.insert(self.word(), self.wrong());
                }
                Value::Object(object)
            }
            Some("array") => {
                let items = self.random.random_range(0..4);
                (0..items).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            Some("string") => Value::String(self.word()),
            Some("integer" | "number") => {
                json!(self.random.random::<i64>() >> self.random.random_range(0..64))
            }
            Some("boolean") => json!(self.random.random::<bool>()),
            Some("null") => Value::Null,
            // Anything: mostly what the paths of SeaTunnel take.
            _ => match self.random.random_range(0..4) {
                0 => json!({ "jobId": self.word(), "isStopWithSavePoint": self.word() }),
                1 => {
                    json!({ "env": { "job.mode": "batch" }, "source": [{ "plugin_name": self.word() }], "sink": self.wrong() })
                }
                2 => json!([{ "params": { "jobId": self.word() }, "source": [] }]),
                _ => self.wrong(),
            },
        }
    }

    /// Whether something is not as it should be, by this chance; never in a request that fits.
    fn strays(&mut self, one: u32, of: u32) -> bool {
        !self.fits && self.random.random_ratio(one, of)
    }

    fn wrong(&mut self) -> Value {
        match self.random.random_range(0..8) {
            0 => Value::Null,
            1 => json!(self.random.random::<bool>()),
            2 => json!(self.random.random::<f64>() * 1e300),
            3 => json!(u64::MAX),
            4 => json!([self.word(), [[[]]]]),
            5 => json!({ self.word(): self.word() }),
            _ => json!(self.word()),
        }
    }

    fn body(&mut self, operation: &Value) -> Vec<u8> {
        let content = operation["requestBody"]["content"].as_object();
        let Some(schema) =
            content.and_then(|content| content.values().next()).map(|body| body["schema"].clone())
        else {
            return if self.strays(1, 4) { self.word().into_bytes() } else { Vec::new() };
        };
        let mut bytes = match self.random.random_range(0..12) {
            0 if !self.fits => {
                return (0..self.random.random_range(0..200)).map(|_| self.random.random::<u8>()).collect();
            }
            1 if !self.fits => return "[".repeat(self.random.random_range(0..20_000)).into_bytes(),
            2 if !self.fits => return vec![b' '; 3 << 20],
            _ => self.value(&schema, 0).to_string().into_bytes(),
        };
        if self.strays(1, 10) {
            bytes.truncate(self.random.random_range(0..=bytes.len()));
        }
        bytes
    }

    /// One request of an operation; `None` where it is no HTTP at all.
    fn request(&mut self, path: &str, method: &str, operation: &Value) -> Option<Request<Vec<u8>>> {
        self.fits = self.random.random_ratio(1, 2);
        let mut path = path.to_owned();
        let mut query = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default();
            let value = match name {
                "id" | "jobId" | "job" if !self.strays(1, 2) => {
                    self.known[self.random.random_range(0..self.known.len())].clone()
                }
                // Long waits are another test's.
                "wait_ms" if !self.strays(1, 2) => "5".to_owned(),
                _ => self.word(),
            };
            let value = if self.strays(1, 8) { value } else { escaped(&value) };
            if parameter["in"] == "path" {
                path = path.replace(&format!("{{{name}}}"), &value);
            } else if self.random.random_ratio(if self.fits { 1 } else { 2 }, 3) {
                query.push(format!("{name}={value}"));
            }
        }
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let method = match self.strays(1, 20) {
            true => ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
                [self.random.random_range(0..7)]
            .to_owned(),
            false => method.to_uppercase(),
        };
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let body = if [Method::GET, Method::HEAD, Method::OPTIONS].contains(&method) {
            Vec::new()
        } else {
            self.body(operation)
        };
        let mut request = self.api.request(method, &format!("{path}{query}"));
        if !body.is_empty() || self.strays(1, 3) {
            let content = ["application/json", "application/hocon", "text/plain", "", "a/b; c"];
            let content =
                if self.strays(4, 7) { content[self.random.random_range(1..5)] } else { content[0] };
            request = request.header("content-type", content);
        }
        if self.strays(1, 20) {
            request = request.header("origin", escaped(&self.word()));
        }
        request.body(body).ok()
    }
}

/// Text that can stand in a URL.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Bytes that are no request, or nearly one.
fn garbage(random: &mut StdRng, host: &str, token: &str) -> Vec<u8> {
    let head = format!("POST /api/v1/check HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n");
    let mut bytes = match random.random_range(0..8) {
        0 => (0..random.random_range(1..3_000)).map(|_| random.random::<u8>()).collect(),
        1 => format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
        2 => format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}").into_bytes(),
        3 => format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n").into_bytes(),
        4 => format!("{head}Content-Length: 18446744073709551616\r\n\r\n").into_bytes(),
        5 => format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a/".repeat(random.random_range(0..40_000)))
            .into_bytes(),
        6 => format!("{head}X: {}\r\n\r\n", "y".repeat(random.random_range(0..600_000))).into_bytes(),
        _ => format!(
            "{head}Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        )
        .into_bytes(),
    };
    for _ in 0..random.random_range(0..3) {
        let at = random.random_range(0..bytes.len());
        bytes[at] = random.random();
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_requests_harm_nobody() {
    let seed = seed();
    let mut random = random::generator(seed);
    let api = Api::start("").await;
    let host = api.url.trim_start_matches("http://").to_owned();
    for turn in 0..GARBAGE {
        let bytes = garbage(&mut random, &host, &api.admin);
        let mut stream = TcpStream::connect(&host).expect("it listens");
        stream.set_read_timeout(Some(ANSWERED_WITHIN)).expect("a timeout");
        // It may be refused before it was read to its end.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let waited = read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!waited, "turn {turn}: no answer, and no end: {:.300}", String::from_utf8_lossy(&bytes));
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "turn {turn}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(api.get("/healthz").ok()["status"], "ok");
    assert!(!api.running.stderr().contains("panicked"), "{}", api.running.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_description_allows_or_forbids_makes_it_fail() {
    let requests = std::env::var("CULVERT_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(REQUESTS);
    let seed = seed();
    let api = Api::start("").await;
    let document = api.get("/api/v1/openapi.json").ok();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            operations.push((path.clone(), method.clone(), operation.clone()));
        }
    }
    assert!(operations.len() > 30, "{operations:?}");
    let short = api.submit(SHORT);
    api.until(&short, "FINISHED").await;
    let mut fuzzer = Fuzzer {
        api: &api,
        random: random::generator(seed),
        document,
        known: vec![short.clone(), "42".to_owned()],
        fits: false,
    };
    // A job that nobody names in a request, to see that it goes on.
    let witness = api.submit(ENDLESS);
    let before = api.until_it_moves(&witness).await;
    let mut answered = std::collections::BTreeMap::<u16, u32>::new();
    for turn in 0..requests {
        let (path, method, operation) = operations[fuzzer.random.random_range(0..operations.len())].clone();
        let Some(request) = fuzzer.request(&path, &method, &operation) else { continue };
        // The job's number can come out of a list by chance alone.
        let shown = format!(
            "turn {turn}: {} {} {:.300}",
            request.method(),
            request.uri(),
            String::from_utf8_lossy(request.body())
        );
        let begun = Instant::now();
        let answer = fuzzer.api.try_send(request).unwrap_or_else(|| panic!("{shown}: no answer"));
        assert!(answer.status < 500 || (answer.status == 503 && path == "/readyz"), "{shown}: {answer:?}");
        assert!(begun.elapsed() < ANSWERED_WITHIN, "{shown}");
        if answer.status >= 400 && answer.status != 503 && !answer.text.is_empty() {
            let body = answer.json();
            assert!(
                body["error"]["message"].is_string() || body["message"].is_string(),
                "{shown}: {answer:?}"
            );
        }
        if answer.status == 201 && fuzzer.known.len() < 50 {
            fuzzer.known.push(answer.json()["id"].as_str().expect("a number").to_owned());
        }
        *answered.entry(answer.status).or_default() += 1;
    }
    assert!([200, 400, 422].iter().all(|status| answered.contains_key(status)), "{answered:?}");
    assert_eq!(api.get("/healthz").ok()["status"], "ok");
    let after = culvert_tests::wait::until_ok(LIMIT, "more rows", async || {
        let job = api.job(&witness);
        let rows = job["figures"]["rows_committed"].as_u64().unwrap_or(0);
        if rows > before { Ok(rows) } else { Err(job.to_string()) }
    })
    .await;
    assert!(after > before);
    assert_eq!(api.job(&witness)["status"], "RUNNING");
    assert!(!api.running.stderr().contains("panicked"), "{}", api.running.stderr());
    api.running.terminate(LIMIT).assert_code(0);
}
