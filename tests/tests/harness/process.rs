//! Child processes are watched, killed, and never left behind.

use std::path::Path;
use std::time::Duration;

use culvert_tests::tied::Signal;
use culvert_tests::{Culvert, wait};

const LIMIT: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Culvert {
    Culvert::program(Path::new("/bin/sh"), &["-c", script])
}

#[test]
fn output_and_exit_code_are_kept() {
    let finished = shell("echo out; echo $WORD >&2; exit 3").env("WORD", "err").run(LIMIT);
    finished.assert_code(3);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
}

#[tokio::test]
async fn a_kill_leaves_what_was_written() {
    let mut running = shell("echo ready; exec sleep 600").start();
    running.wait_for_stdout(LIMIT, "ready").await;
    let finished = running.kill();
    assert_eq!((finished.code, finished.stdout.as_str()), (None, "ready\n"));
}

#[tokio::test]
async fn a_signal_reaches_it() {
    let script = "trap 'echo bye >&2; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut running = shell(script).start();
    running.wait_for_stdout(LIMIT, "ready").await;
    let finished = running.terminate(LIMIT);
    finished.assert_code(7);
    assert_eq!(finished.stderr, "bye\n");
}

#[test]
#[should_panic(expected = "still runs after")]
fn a_program_that_does_not_end_is_told() {
    shell("exec sleep 600").run(Duration::from_millis(50));
}

#[tokio::test]
#[should_panic(expected = "ended without `never`")]
async fn a_program_that_ends_too_early_is_told() {
    shell("echo something").start().wait_for_stdout(LIMIT, "never").await;
}

#[tokio::test]
async fn a_frozen_program_can_still_be_killed() {
    let mut running = shell("echo ready; exec sleep 600").start();
    running.wait_for_stdout(LIMIT, "ready").await;
    running.signal(Signal::Stop);
    assert_eq!(running.kill().code, None);
}

/// Plays a test process that dies: this program again, running only this test.
#[tokio::test]
async fn children_die_with_a_killed_test_process() {
    const PLAYS_DEAD: &str = "CULVERT_HARNESS_PLAYS_DEAD";
    if std::env::var_os(PLAYS_DEAD).is_some() {
        let grandchild = shell("exec sleep 600").start();
        eprintln!("grandchild {}.", grandchild.id());
        std::future::pending::<()>().await;
    }
    let this = std::env::current_exe().unwrap();
    let name = "harness::process::children_die_with_a_killed_test_process";
    let arguments = ["--exact", name, "--nocapture"];
    let mut running = Culvert::program(&this, &arguments).env(PLAYS_DEAD, "1").start();
    running.wait_for_stderr(LIMIT, ".\n").await;
    let stderr = running.kill().stderr;
    let id = stderr.split("grandchild ").nth(1).unwrap().trim_end().trim_end_matches('.').to_string();
    wait::until_ok(LIMIT, "the grandchild to be gone", async || {
        // Nobody may be there to wait for it: then it stays as a zombie, which is gone enough.
        match std::fs::read_to_string(format!("/proc/{id}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        }
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "for the moon; last state: not yet")]
async fn waiting_names_what_it_waited_for() {
    wait::until(Duration::from_millis(30), "the moon", async || false).await;
}

#[tokio::test]
#[should_panic(expected = "the last look at it did not end")]
async fn a_condition_that_hangs_ends_the_wait() {
    wait::until(Duration::from_millis(30), "an answer", std::future::pending::<bool>).await;
}
