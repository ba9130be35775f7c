//! Headless Chromium, driven over the DevTools protocol by the tests of pages.
//!
//! It speaks over the two pipes of `--remote-debugging-pipe`: messages of JSON, each with a NUL behind it. So there is
//! no port that another process could ask. Chromium wants the pipes as descriptors 3 and 4; a shell that becomes
//! Chromium moves its standard input and output there.
//!
//! A call is answered within [`LIMIT`] or fails the test. Events are kept as they come, for [`Browser::requests`] and
//! [`Browser::complaints`].

mod look;

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tied::TiedChild;
use crate::{scratch, wait};

pub use look::{Named, Picture, Scheme};

/// How long an answer, or a condition of a page, may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How long the processes of a killed browser may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// Largest message: a picture of a long page is a few MiB.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;

/// Most events that are kept of one browser.
const EVENTS_MAX: usize = 200_000;

/// Every process of a browser has it in its environment, with the browser's own folder.
const MARK: &str = "CULVERT_TEST_BROWSER";

/// A key of the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// To the next element.
    Tab,
    /// To the one before: Shift and Tab.
    BackTab,
    /// Follows a link, presses a button.
    Enter,
    /// Closes a question.
    Escape,
}

/// A browser with one tab; gone, with all its processes, when this is dropped or the test process ends.
#[derive(Debug)]
pub struct Browser {
    child: TiedChild,
    folder: PathBuf,
    orders: PipeWriter,
    told: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    events: Vec<Value>,
}

impl Browser {
    /// Starts Chromium with an empty tab of this size.
    pub fn start(width: u32, height: u32) -> Browser {
        let folder = scratch::folder("browser");
        let (ours, orders) = std::io::pipe().expect("a pipe");
        let (answers, theirs) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("bash");
        command.args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >&2", "chromium"]);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--disable-dev-shm-usage", "--force-color-profile=srgb", "--remote-debugging-pipe"]);
        command.arg(format!("--window-size={width},{height}"));
        command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
        command.env(MARK, &folder).env("HOME", &folder).env_remove("DISPLAY");
        command.stdin(ours).stdout(theirs);
        command.stderr(File::create(folder.join("stderr")).expect("the scratch folder is ours"));
        let child = TiedChild::spawn(command).unwrap_or_else(|error| panic!("bash does not start: {error}"));
        let told = listen(answers);
        let mut browser =
            Browser { child, folder, orders, told, session: None, calls: 0, events: Vec::new() };
        let tab = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": tab["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attached);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(width, height);
        browser
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, which [`processes`] knows it by.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Calls a method of the protocol.
    ///
    /// # Panics
    /// When it is refused, and when Chromium ends or does not answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    #[track_caller]
    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.calls += 1;
        let id = self.calls;
        let mut order = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        if let Err(error) = self.orders.write_all(&bytes) {
            panic!("Chromium takes no orders: {error}; {}", self.said());
        }
        let begun = Instant::now();
        loop {
            let left = LIMIT.saturating_sub(begun.elapsed());
            let Ok(mut told) = self.told.recv_timeout(left) else {
                panic!("no answer of Chromium to {method} after {:?}; {}", begun.elapsed(), self.said());
            };
            if told["id"] == id {
                return match told.get("error") {
                    Some(error) => Err(error.to_string()),
                    None => Ok(told["result"].take()),
                };
            }
            self.keep(told);
        }
    }

    fn keep(&mut self, event: Value) {
        assert!(self.events.len() < EVENTS_MAX, "more than {EVENTS_MAX} events");
        self.events.push(event);
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(20).collect();
        format!(
            "its standard error, the last line first (no such program? tests/servers/install.sh): {lines:#?}"
        )
    }

    /// What came without being asked for, of one kind, so far.
    fn events(&mut self, method: &str) -> Vec<Value> {
        // Whatever was sent before this answer is here.
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
        let of_kind = |event: &&Value| event["method"] == method;
        self.events.iter().filter(of_kind).map(|event| event["params"].clone()).collect()
    }

    /// Goes to an address; the page is not there yet when this returns.
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert_eq!(opened.get("errorText"), None, "{url}");
    }

    /// What an expression of the page's own language is, awaited; `Err` says what was thrown.
    ///
    /// # Errors
    /// What was thrown, or that the page is being replaced.
    pub fn try_eval(&mut self, expression: &str) -> Result<Value, String> {
        let question = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.try_call("Runtime.evaluate", question)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// [`Browser::try_eval`] of what throws nothing.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is something else than nothing, false, zero or an empty text, and returns it.
    ///
    /// # Panics
    /// After a minute, with the page's text.
    pub async fn until(&mut self, expression: &str) -> Value {
        wait::until_ok(LIMIT, expression, async || {
            let found = self.try_eval(expression)?;
            let empty = [Value::Null, json!(false), json!(0), json!("")].contains(&found);
            if empty { Err(self.try_eval("document.body.innerText")?.to_string()) } else { Ok(found) }
        })
        .await
    }

    /// Presses a key and lets it go.
    pub fn press(&mut self, key: Key) {
        let (name, code, text, modifiers) = match key {
            Key::Tab => ("Tab", 9, "", 0),
            Key::BackTab => ("Tab", 9, "", 8),
            Key::Enter => ("Enter", 13, "\r", 0),
            Key::Escape => ("Escape", 27, "", 0),
        };
        let mut event = json!({
            "type": if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "key": name, "code": name,
            "windowsVirtualKeyCode": code, "modifiers": modifiers, "text": text,
        });
        self.call("Input.dispatchKeyEvent", event.clone());
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", event);
    }

    /// Types a text where the focus is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Clicks on the middle of what a selector finds.
    pub fn click(&mut self, selector: &str) {
        let middle = self.eval(&format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{ block: 'center' }}); \
             const box = it.getBoundingClientRect(); return {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }}; }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": middle["x"], "y": middle["y"], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// The addresses that anything in the tab asked for, in their order.
    pub fn requests(&mut self) -> Vec<String> {
        let sent = self.events("Network.requestWillBeSent");
        sent.iter().filter_map(|event| event["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// What the page threw, wrote as an error or a warning, or was not allowed. Answers of the server that are
    /// failures are not among it.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut all: Vec<Value> = self.events("Runtime.exceptionThrown");
        let loud = |event: &Value| matches!(event["type"].as_str(), Some("error" | "warning" | "assert"));
        all.extend(self.events("Runtime.consoleAPICalled").into_iter().filter(loud));
        let own =
            |event: &Value| event["entry"]["source"] != "network" && event["entry"]["level"] != "verbose";
        all.extend(self.events("Log.entryAdded").into_iter().filter(own));
        all.iter().map(Value::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.child.kill();
        // The others see that the first is gone.
        let begun = Instant::now();
        while !processes(&self.folder).is_empty() && begun.elapsed() < GONE {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The processes of the browser that has or had this folder, those that have ended aside.
pub fn processes(folder: &std::path::Path) -> Vec<u32> {
    let mark = format!("{MARK}={}\0", folder.display()).into_bytes();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // One that has ended has no environment.
    let is_ours = |id: &u32| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|found| found == mark)
    };
    ids.filter(is_ours).collect()
}

/// Messages as they come, until Chromium closes its end.
fn listen(answers: PipeReader) -> Receiver<Value> {
    let (sender, told) = channel();
    std::thread::spawn(move || {
        let mut answers = BufReader::new(answers);
        let mut message = Vec::new();
        loop {
            message.clear();
            match answers.by_ref().take(MESSAGE_BYTES_MAX).read_until(0, &mut message) {
                Ok(_) if message.pop() == Some(0) => {}
                _ => return,
            }
            let Ok(value) = serde_json::from_slice(&message) else { return };
            if sender.send(value).is_err() {
                return;
            }
        }
    });
    told
}
