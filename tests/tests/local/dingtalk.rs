//! Rows as messages, told to a robot that checks signatures and answers as it likes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{LIMIT, Local};

/// What a robot answers, in turn; the last answer again and again.
type Answers = &'static [(u16, &'static str)];

const OK: (u16, &str) = (200, r#"{"errcode":0,"errmsg":"ok"}"#);

/// A robot at an address of this machine.
struct Robot {
    port: u16,
    /// The path with its query, and the body, of every request.
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Robot {
    fn start(answers: Answers) -> Robot {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let heard: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            for (turn, stream) in listener.incoming().flatten().enumerate() {
                let answer = answers[turn.min(answers.len() - 1)];
                if let Some(request) = answered(stream, answer) {
                    told.lock().expect("nobody panics here").push(request);
                }
            }
        });
        Robot { port, heard }
    }

    fn heard(&self) -> Vec<(String, Value)> {
        self.heard.lock().expect("nobody panics here").clone()
    }

    /// The lines of all messages.
    fn lines(&self) -> Vec<String> {
        let texts =
            self.heard().into_iter().map(|(_, body)| body["text"]["content"].as_str().map(str::to_owned));
        texts.flatten().flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// Reads one request and answers it.
fn answered(mut stream: TcpStream, (status, body): (u16, &str)) -> Option<(String, Value)> {
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let (head, length) = loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
        });
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            break (head, bytes.split_off(end + 4));
        }
    };
    let path = head.split(' ').nth(1)?.to_owned();
    let answer = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).ok()?;
    Some((path, serde_json::from_slice(&length).ok()?))
}

/// Five rows, told to a robot.
fn job(robot: &Robot, more: &str) -> Local {
    let rows: Vec<String> =
        (1..=5).map(|id| format!("{{ kind = INSERT, fields = [{id}, \"fruit {id}\"] }}")).collect();
    Local::new(&format!(
        r#"
env {{ job.mode = "BATCH", job.retry.interval.seconds = 0 }}
source {{
  FakeSource {{
    schema = {{ table = "shop.orders", fields {{ id = bigint, fruit = string }} }}
    rows = [ {} ]
  }}
}}
sink {{
  DingTalk {{
    url = "http://127.0.0.1:{}/robot/send?access_token=needle-token"
    {more}
  }}
}}
"#,
        rows.join(", "),
        robot.port
    ))
}

#[test]
fn rows_arrive_as_signed_messages() {
    let robot = Robot::start(&[OK]);
    let job = job(&robot, "secret = \"SECneedle\"\n    at.mobiles = [\"13800000000\"]");
    job.check().assert_code(0);
    let finished = job.run();
    finished.assert_code(0);
    let expected: Vec<String> =
        (1..=5).map(|id| format!("shop.orders +I id={id} fruit=fruit {id}")).collect();
    assert_eq!(robot.lines(), expected);
    let (path, body) = robot.heard().remove(0);
    assert_eq!(
        (body["msgtype"].as_str(), body["at"]["atMobiles"][0].as_str()),
        (Some("text"), Some("13800000000"))
    );
    let of = |name: &str| {
        let query = path.split(['?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        query.unwrap_or_else(|| panic!("{name} is missing in {path}")).to_owned()
    };
    // The robot's own check, by a program that no one here wrote.
    let signed = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "SECneedle", "-binary"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut openssl| {
            let text = format!("{}\nSECneedle", of("timestamp"));
            openssl.stdin.take().expect("it is piped").write_all(text.as_bytes())?;
            openssl.wait_with_output()
        })
        .expect("openssl is there");
    let expected: String = signed.stdout.iter().map(|byte| format!("{byte:02x}")).collect();
    let sign = of("sign").replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    assert_eq!(hex_of_base64(&sign), expected);
    for secret in ["needle-token", "SECneedle"] {
        assert!(!finished.stderr.contains(secret) && !finished.stdout.contains(secret), "{secret}");
    }
}

fn hex_of_base64(text: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut hex) = (0_u32, 0, String::new());
    for letter in text.trim_end_matches('=').chars() {
        let place = LETTERS.find(letter).and_then(|place| u32::try_from(place).ok()).expect("base64");
        bits = (bits << 6) | place;
        count += 6;
        if count >= 8 {
            count -= 8;
            hex.push_str(&format!("{:02x}", (bits >> count) & 0xff));
        }
    }
    hex
}

#[test]
fn a_message_of_ones_own_has_the_columns_it_names() {
    let robot = Robot::start(&[OK]);
    job(&robot, "message = \"${row_kind} in ${table_name}: ${fruit}!\"").run().assert_code(0);
    assert_eq!(robot.lines()[1], "INSERT in shop.orders: fruit 2!");
    let refused = job(&robot, "message = \"${frut}\"").run();
    refused.assert_code(2);
    assert!(refused.stderr.contains("names the column frut"), "{}", refused.stderr);
}

#[test]
fn what_passes_is_waited_out_and_what_does_not_stops_the_job() {
    let slow = Robot::start(&[(502, "<html>"), (200, r#"{"errcode":130101,"errmsg":"too fast"}"#), OK]);
    job(&slow, "").run().assert_code(0);
    assert_eq!(slow.heard().len(), 3, "two attempts were waited out");
    assert!(slow.lines().ends_with(&["shop.orders +I id=5 fruit=fruit 5".to_owned()]));
    let strict = Robot::start(&[(200, r#"{"errcode":310000,"errmsg":"sign not match"}"#)]);
    let refused = job(&strict, "").run();
    refused.assert_code(2);
    assert!(
        refused.stderr.contains("sign not match") && refused.stderr.contains("310000"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("needle-token"), "{}", refused.stderr);
}
