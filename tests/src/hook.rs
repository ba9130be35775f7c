//! A web hook of this machine: hears what it is sent, and answers well, badly, late or not at all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long it waits for the rest of a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Manner {
    /// This status with this body.
    Answer(u16, String),
    /// The same, later.
    Late(Duration, u16, String),
    /// It is read and never answered.
    Silent,
    /// The connection is closed behind the request.
    HangUp,
}

impl Manner {
    /// What a robot of DingTalk says to a message that it takes.
    pub fn taken() -> Manner {
        Manner::Answer(200, r#"{"errcode":0,"errmsg":"ok"}"#.to_owned())
    }

    /// What it says to one that it does not take.
    pub fn refused(code: i64, why: &str) -> Manner {
        Manner::Answer(200, format!(r#"{{"errcode":{code},"errmsg":"{why}"}}"#))
    }
}

/// A request that came in whole.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The path with its query.
    pub path: String,
    /// The headers, one a line.
    pub headers: String,
    /// The body.
    pub body: String,
    /// It was answered with a status below 300.
    pub taken: bool,
}

impl Heard {
    /// A parameter of the query, as it was written.
    ///
    /// # Panics
    /// It is missing.
    pub fn parameter(&self, name: &str) -> String {
        let mut parts = self.path.split(['?', '&']);
        let value = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{name} is missing in {}", self.path)).to_owned()
    }

    /// Checks the signature of a robot of DingTalk, by a program that no one here wrote.
    ///
    /// # Panics
    /// It is not the secret's.
    pub fn assert_signed(&self, secret: &str) {
        let text = format!("{}\n{secret}", self.parameter("timestamp"));
        let expected = hmac(secret, &text);
        let sign = self.parameter("sign").replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        assert_eq!(sign, expected, "the signature of {}", self.path);
    }
}

/// The base64 of HMAC-SHA256, by openssl.
pub fn hmac(key: &str, text: &str) -> String {
    let script = r#"openssl dgst -sha256 -hmac "$1" -binary | openssl base64 -A"#;
    let mut child = Command::new("bash")
        .args(["-c", script, "hmac", key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash is there");
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("openssl reads");
    let signed = child.wait_with_output().expect("openssl ends");
    String::from_utf8(signed.stdout).expect("base64 is text").trim().to_owned()
}

/// A web hook at an address of this machine. It answers until the test process ends.
pub struct Hook {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// In turn; the last one again and again.
    manners: Mutex<Vec<Manner>>,
    heard: Mutex<Vec<Heard>>,
    news: Condvar,
}

impl Hook {
    /// Starts one at a free port. It treats requests in these manners, in turn; the last one again and again.
    pub fn start(manners: Vec<Manner>) -> Hook {
        Hook::at(0, manners)
    }

    /// Starts one at a port.
    pub fn at(port: u16, manners: Vec<Manner>) -> Hook {
        assert!(!manners.is_empty(), "a hook has a manner");
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared =
            Arc::new(Shared { manners: Mutex::new(manners), heard: Mutex::default(), news: Condvar::new() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Hook { port, shared }
    }

    /// A port at which nobody listens now.
    pub fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Treats further requests in another manner.
    pub fn set(&self, manner: Manner) {
        *self.shared.manners.lock().unwrap_or_else(PoisonError::into_inner) = vec![manner];
    }

    /// What it has heard.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has heard and taken.
    pub fn taken(&self) -> Vec<Heard> {
        self.heard().into_iter().filter(|heard| heard.taken).collect()
    }

    /// Waits until what it has heard is enough.
    ///
    /// # Panics
    /// After `limit`, with what it has heard.
    pub fn until(&self, limit: Duration, what: &str, enough: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
        let heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.news.wait_timeout_while(heard, limit, |heard| !enough(heard));
        let (heard, end) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!end.timed_out(), "waited {limit:?} for {what}; heard {heard:#?}");
        heard.clone()
    }
}

impl Shared {
    /// Keeps a request; its place.
    fn hear(&self, request: Heard) -> usize {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(request);
        self.news.notify_all();
        heard.len() - 1
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some((path, headers, body)) = request(&mut stream) else { return };
        let manner = {
            let mut manners = self.manners.lock().unwrap_or_else(PoisonError::into_inner);
            if manners.len() > 1 { manners.remove(0) } else { manners[0].clone() }
        };
        // Heard before it is answered: whoever has the answer may send the next one at once.
        let place = self.hear(Heard { path, headers, body, taken: false });
        if let Manner::Late(time, ..) = &manner {
            std::thread::sleep(*time);
        }
        let answer = match &manner {
            Manner::Answer(status, text) | Manner::Late(_, status, text) => Some((*status, text)),
            Manner::Silent | Manner::HangUp => None,
        };
        let written = answer.is_some_and(|(status, text)| {
            let answer = format!(
                "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            stream.write_all(answer.as_bytes()).is_ok()
        });
        let taken = written && answer.is_some_and(|(status, _)| status < 300);
        if let Some(heard) = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            heard.taken = taken;
        }
        self.news.notify_all();
        if matches!(manner, Manner::Silent) {
            // Open until the other side has had enough.
            let _ = stream.read(&mut [0]);
        }
    }
}

/// Reads one request: its path, its headers, its body.
fn request(stream: &mut TcpStream) -> Option<(String, String, String)> {
    stream.set_read_timeout(Some(REQUEST_WITHIN)).ok()?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
        });
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
            let path = head.split(' ').nth(1)?.to_owned();
            return Some((path, head, body));
        }
    }
}
