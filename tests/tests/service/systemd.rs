//! The service under systemd: what it tells it, and the unit that starts it.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use culvert_tests::process::culvert_binary;
use culvert_tests::scratch;
use serde_json::Value;

use super::folder::copy;
use super::{LIMIT, Service};

/// What systemd would be told within so long at the latest.
const WATCHDOG: Duration = Duration::from_secs(3);

/// The next word that is told.
fn told(socket: &UnixDatagram, within: Duration) -> String {
    let mut bytes = [0; 256];
    socket.set_read_timeout(Some(within)).expect("a time");
    let read = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("nothing within {within:?}: {error}"));
    String::from_utf8_lossy(&bytes[..read]).trim().to_owned()
}

#[tokio::test]
async fn it_says_when_it_is_ready_that_it_lives_and_that_it_ends() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 2_000, ""));
    // Paths of sockets are short.
    let folder = scratch::folder("s");
    let path = folder.join("n");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let program = service.program();
    let program = program.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    let running = program.start();
    assert_eq!(told(&socket, LIMIT), "READY=1");
    assert!(service.path("data/http.address").exists(), "it is ready and does not answer");
    for _ in 0..4 {
        assert_eq!(told(&socket, WATCHDOG), "WATCHDOG=1");
    }
    service.wait_for_rows("a", 1).await;
    let begun = Instant::now();
    running.terminate(LIMIT).assert_code(0);
    // What systemd would kill it after.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != "STOPPING=1") {
        words.push(told(&socket, WATCHDOG));
    }
    assert!(words.iter().rev().skip(1).all(|word| word == "WATCHDOG=1"), "{words:?}");
}

#[tokio::test]
async fn its_log_can_be_read_by_programs() {
    let service = Service::with_rows();
    service.write("jobs/a.conf", &copy("a", 50_000, ""));
    let mut running = service.program().env("CULVERT_LOG_FORMAT", "json").start();
    running.wait_for_stderr(LIMIT, "the job is FINISHED").await;
    let ended = running.terminate(LIMIT);
    ended.assert_code(0);
    // What is printed once for people, the tokens, stands in front.
    let lines = ended.stderr.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("an object")).collect();
    let of_job: Vec<&Value> = lines.iter().filter(|line| line["job_id"].is_string()).collect();
    assert!(!of_job.is_empty() && of_job.len() < lines.len(), "{lines:?}");
    for line in &lines {
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert!(["ERROR", "WARN", "INFO"].contains(&line["level"].as_str().expect("a level")), "{line}");
        assert!(line["message"].is_string(), "{line}");
    }
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/culvert.service");
    let unit = std::fs::read_to_string(unit).expect("the unit is there");
    let program = culvert_binary().to_string_lossy().into_owned();
    let folder = scratch::folder("unit");
    let file = folder.join("culvert.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/culvert", &program)).expect("the folder is ours");
    let verified = Command::new("systemd-analyze").arg("verify").arg(&file).output();
    let verified = verified.expect("systemd-analyze is there: tests/servers/install.sh");
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !told.contains("culvert.service:"), "{told}");
}
