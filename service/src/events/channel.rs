//! The ways an event leaves: chat robots, web hooks, a program, the log.
//!
//! Each takes one message and says whether it has arrived. [`ErrorKind::Unavailable`] means that it may arrive
//! later; anything else, that it was refused. No error carries an address, which may hold a token.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::{Error, ErrorKind, EventSeverity, Result};
use culvert_config::Secret;
use culvert_sink_dingtalk::Robot;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::events::message::Message;
use crate::events::model::Numbered;

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Events in one array of a web hook.
const ARRAY_MAX: usize = 100;
/// Between two looks whether a program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where messages go.
pub(crate) enum Channel {
    /// A robot of DingTalk.
    DingTalk { robot: Robot, at: Value, mobiles: Vec<String>, markdown: bool },
    /// A robot of Feishu, or of Lark.
    Feishu { hook: Hook, secret: Secret },
    /// A robot of WeCom.
    WeCom { hook: Hook, mobiles: Vec<String>, markdown: bool },
    /// An incoming web hook of Slack.
    Slack { hook: Hook },
    /// Any web hook: an array of events, or a text of a template for each.
    Webhook { hook: Hook, templated: bool },
    /// A program that reads the event.
    Program { command: Vec<String>, patience: Duration },
    /// The log of the service.
    Log,
}

impl Channel {
    /// Bytes of the text of one message.
    pub(crate) fn bytes_max(&self) -> usize {
        match self {
            // 20,000 each; people read less.
            Channel::DingTalk { .. } | Channel::Feishu { .. } | Channel::Slack { .. } => 4_000,
            // 2,048 for a text, 4,096 for Markdown.
            Channel::WeCom { markdown, .. } => {
                if *markdown {
                    4_000
                } else {
                    2_000
                }
            }
            Channel::Webhook { .. } | Channel::Program { .. } | Channel::Log => 256 << 10,
        }
    }

    /// How many events one call takes as they are, where it takes several.
    pub(crate) fn array_max(&self) -> Option<usize> {
        matches!(self, Channel::Webhook { templated: false, .. }).then_some(ARRAY_MAX)
    }

    /// Sends a message; blocks.
    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        match self {
            Channel::DingTalk { robot, at, mobiles, markdown: true } => {
                let text = with_people(&as_markdown(message), mobiles);
                let body = json!({"msgtype": "markdown", "markdown": {"title": message.title, "text": text}, "at": at});
                robot.post(&body)
            }
            Channel::DingTalk { robot, at, mobiles, markdown: false } => {
                let content = with_people(&message.text, mobiles);
                robot.post(&json!({"msgtype": "text", "text": {"content": content}, "at": at}))
            }
            Channel::Feishu { hook, secret } => {
                let mut body = json!({"msg_type": "text", "content": {"text": message.text}});
                if !secret.is_empty() {
                    let now = now_seconds();
                    body["timestamp"] = json!(now.to_string());
                    body["sign"] = json!(feishu_signature(secret.expose(), now)?);
                }
                let answer = hook.post(body.to_string())?;
                accepted(answer, &["code", "StatusCode"], "msg")
            }
            Channel::WeCom { hook, mobiles, markdown } => {
                let body = match markdown {
                    true => json!({"msgtype": "markdown", "markdown": {"content": as_markdown(message)}}),
                    false => {
                        json!({"msgtype": "text", "text": {"content": message.text, "mentioned_mobile_list": mobiles}})
                    }
                };
                let answer = hook.post(body.to_string())?;
                accepted(answer, &["errcode"], "errmsg")
            }
            Channel::Slack { hook } => {
                hook.post(json!({"text": message.text}).to_string()).and_then(Answer::arrived)
            }
            Channel::Webhook { hook, templated: true } => {
                hook.post(message.text.clone()).and_then(Answer::arrived)
            }
            Channel::Webhook { hook, templated: false } => {
                let events: Vec<Value> = message.events.iter().map(reported).collect();
                hook.post(Value::from(events).to_string()).and_then(Answer::arrived)
            }
            Channel::Program { command, patience } => message.events.iter().try_for_each(|event| {
                let text = serde_json::to_string(event).unwrap_or_default();
                run(command, event, &message.text, &text, *patience)
            }),
            Channel::Log => {
                message.events.iter().for_each(to_log);
                Ok(())
            }
        }
    }
}

/// An event as SeaTunnel reports it, with what it has beside that.
fn reported(event: &Numbered) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    value["eventType"] = json!(event.event.kind);
    value["createdTime"] = json!(event.event.at_ms);
    value["jobId"] = json!(event.event.job_id);
    value
}

fn to_log(event: &Numbered) {
    let Numbered { sequence, event } = event;
    let (job, kind, text) = (event.job.as_deref(), &event.kind, &event.text);
    match event.severity {
        EventSeverity::Error => tracing::error!(job, kind, sequence, "{text}"),
        EventSeverity::Warning => tracing::warn!(job, kind, sequence, "{text}"),
        EventSeverity::Info | EventSeverity::Notice => tracing::info!(job, kind, sequence, "{text}"),
    }
}

/// Lines as paragraphs; what Markdown would take for its own is told as it is.
fn as_markdown(message: &Message) -> String {
    let mut text = String::with_capacity(message.text.len() + 64);
    for (place, line) in message.text.lines().enumerate() {
        if place > 0 {
            text.push_str("\n\n");
        }
        for letter in line.chars() {
            if matches!(letter, '*' | '_' | '`' | '#' | '<' | '>' | '[' | ']' | '\\') {
                text.push('\\');
            }
            text.push(letter);
        }
    }
    text
}

/// DingTalk points out only those whose number stands in the text as well.
fn with_people(text: &str, mobiles: &[String]) -> String {
    let mut text = text.to_owned();
    for mobile in mobiles {
        text.push_str(&format!(" @{mobile}"));
    }
    text
}

/// A place that takes POST requests.
pub(crate) struct Hook {
    url: Secret,
    headers: Vec<(String, Secret)>,
    client: OnceLock<ureq::Agent>,
}

/// What somebody answered.
struct Answer {
    status: u16,
    body: Option<Value>,
}

impl Answer {
    /// Judges by the status alone.
    fn arrived(self) -> Result<()> {
        match self.status {
            200..=299 => Ok(()),
            408 | 429 | 500.. => Err(later(&format!("it answers with the status {}", self.status))),
            status => Err(refused(&format!("it answers with the status {status}"))),
        }
    }
}

impl Hook {
    /// Checks the address; connects to nothing.
    pub(crate) fn new(url: Secret, headers: Vec<(String, Secret)>) -> Result<Hook> {
        let rest = url.expose().strip_prefix("https://").or_else(|| url.expose().strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(Error::new(ErrorKind::Config, "option `webhook.url` is no address of a web hook")
                .hint("it begins with https://"));
        }
        Ok(Hook { url, headers, client: OnceLock::new() })
    }

    fn post(&self, body: String) -> Result<Answer> {
        let mut request = self.client().post(self.url.expose());
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("Content-Type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value.expose());
        }
        let answer = request.send(body).map_err(|cause| match cause {
            ureq::Error::Timeout(_) => later("it does not answer in time"),
            // The text of other errors may hold the address, and with it a token.
            _ => later("it cannot be reached"),
        })?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        Ok(Answer { status, body: body.ok().and_then(|body| serde_json::from_str(&body).ok()) })
    }

    fn client(&self) -> &ureq::Agent {
        self.client.get_or_init(|| {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                // Whom it would lead to was not asked for.
                .max_redirects(0)
                .timeout_global(Some(PATIENCE));
            config.build().into()
        })
    }
}

/// Judges an answer that is 200 whatever became of the message: its code tells.
fn accepted(answer: Answer, codes: &[&str], why: &str) -> Result<()> {
    let Some(body) = answer.body.as_ref().filter(|_| answer.status == 200) else {
        return match answer.status {
            200 => Err(refused("what answers is no such robot")),
            _ => answer.arrived(),
        };
    };
    match codes.iter().find_map(|name| body.get(*name)).and_then(Value::as_i64) {
        Some(0) => Ok(()),
        // Sent too fast: 11232 of Feishu, 45009 of WeCom; -1 of WeCom: busy.
        Some(code @ (11_232 | 45_009 | -1)) => Err(later(&format!("it asks to wait (code {code})"))),
        Some(code) => {
            let said: String =
                body.get(why).and_then(Value::as_str).unwrap_or_default().chars().take(200).collect();
            Err(refused(&format!("it says: {said} (code {code})")))
        }
        None => Err(refused("what answers is no such robot")),
    }
}

fn later(how: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the message has not arrived: {how}"))
}

fn refused(how: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the message is refused: {how}"))
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// "Custom bot usage guide" of Feishu's open platform: the key is `SECONDS\nSECRET`, the text is empty.
fn feishu_signature(secret: &str, seconds: u64) -> Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(format!("{seconds}\n{secret}").as_bytes())
        .map_err(|cause| Error::new(ErrorKind::Config, "option `secret` is no key").caused_by(cause))?;
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

/// Runs a program, which reads the event as JSON from its standard input. It is no shell.
fn run(command: &[String], event: &Numbered, text: &str, json: &str, patience: Duration) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(refused("there is no program"));
    };
    let told = &event.event;
    let mut child = Command::new(program)
        .args(arguments)
        .env("CULVERT_EVENT_TYPE", &told.kind)
        .env("CULVERT_EVENT_SEVERITY", told.severity.word())
        .env("CULVERT_EVENT_JOB", told.job.as_deref().unwrap_or_default())
        .env("CULVERT_EVENT_SEQUENCE", event.sequence.to_string())
        .env("CULVERT_EVENT_TEXT", text)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|cause| refused("the program cannot be started").caused_by(cause))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that reads nothing may have ended already.
        let _ = input.write_all(json.as_bytes());
    }
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(later(&format!("the program ended with {status}"))),
            Ok(None) if begun.elapsed() < patience => std::thread::sleep(LOOK_EVERY),
            Ok(None) | Err(_) => {
                // It may be gone by itself now.
                let _ = child.kill();
                let _ = child.wait();
                return Err(later(&format!("the program did not end within {} s", patience.as_secs())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use culvert_api::EventKind;

    use super::*;
    use crate::events::model::Event;

    #[test]
    fn feishu_signs_with_the_time_in_the_key() {
        // Made with `printf '' | openssl dgst -sha256 -hmac $'1700000000\nabc' -binary | base64`.
        assert_eq!(
            feishu_signature("abc", 1_700_000_000).unwrap(),
            "VIS10b0EBvzzSdFnuk4tznEmK5wHaruvf/WnViv2yR4="
        );
    }

    #[test]
    fn the_code_of_an_answer_decides() {
        let judged = |status: u16, body: &str| {
            let answer = Answer { status, body: serde_json::from_str(body).ok() };
            accepted(answer, &["code", "StatusCode"], "msg").map_err(|error| error.kind())
        };
        assert_eq!(judged(200, r#"{"code":0}"#), Ok(()));
        assert_eq!(judged(200, r#"{"StatusCode":0}"#), Ok(()));
        assert_eq!(judged(200, r#"{"code":11232}"#), Err(ErrorKind::Unavailable));
        assert_eq!(judged(200, r#"{"code":19021,"msg":"sign match fail"}"#), Err(ErrorKind::Config));
        assert_eq!(judged(200, "<html>"), Err(ErrorKind::Config));
        assert_eq!(judged(503, "<html>"), Err(ErrorKind::Unavailable));
        assert_eq!(judged(404, "{}"), Err(ErrorKind::Config));
    }

    #[test]
    fn markdown_of_an_event_is_shown_and_not_obeyed() {
        let message = Message {
            title: "t".to_owned(),
            text: "a_b *c* [d](http://e)\nf".to_owned(),
            events: Vec::new(),
        };
        assert_eq!(as_markdown(&message), "a\\_b \\*c\\* \\[d\\](http://e)\n\nf");
    }

    #[test]
    fn a_program_reads_the_event_and_its_end_decides() {
        let event = Numbered { sequence: 3, event: Event::new(5, None, &EventKind::Test) };
        let call = |script: &str, patience: Duration| {
            let command = ["sh", "-c", script].map(str::to_owned);
            run(&command, &event, "text", r#"{"sequence":3}"#, patience).map_err(|error| error.kind())
        };
        let long = Duration::from_secs(30);
        let script = r#"read line; test "$line" = '{"sequence":3}' && test "$CULVERT_EVENT_TYPE" = TEST"#;
        // `read` wants a line's end, which JSON has not; it still fills the variable.
        assert_eq!(call(&script.replace("read line;", "read line || true;"), long), Ok(()));
        assert_eq!(call("exit 3", long), Err(ErrorKind::Unavailable));
        assert_eq!(call("sleep 60", Duration::from_millis(50)), Err(ErrorKind::Unavailable));
        let missing = ["/no/such/program".to_owned()];
        let error = run(&missing, &event, "", "", long).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
