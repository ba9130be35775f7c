//! Limits on reading: they hold, and they change while the job runs.

use culvert_tests::tied::Signal;

use super::{LIMIT, Local};

/// Rows of the job: at one row a second they would take weeks.
const ROWS: usize = 2_000_000;

fn job(limit: &str) -> String {
    format!(
        "env {{ job.mode = BATCH, {limit} }}\n\
         source {{ FakeSource {{ row.num = {ROWS}, schema = {{ fields {{ id = bigint, name = string }} }} }} }}\n\
         sink {{ Assert {{ rules {{ row_rules = [\n\
           {{ rule_type = MIN_ROW, rule_value = {ROWS} }}, {{ rule_type = MAX_ROW, rule_value = {ROWS} }}\n\
         ] }} }} }}\n"
    )
}

/// The job would not end in the time of the test, if the limit did not hold before and were not lifted then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_read_again_at_a_hangup_and_a_bad_file_changes_nothing() {
    for (slow, fast) in [
        ("read_limit.rows_per_second = 1", ""),
        ("read_limit.bytes_per_second = 10", "read_limit.bytes_per_second = 4000000000"),
    ] {
        let local = Local::new(&job(slow));
        let mut running = local.start();
        running.wait_for_stderr(LIMIT, "job read").await;
        local.write("env { read_limit.rows_per_second = 0 }\nsource {}\nsink {}\n");
        running.signal(Signal::Hangup);
        running.wait_for_stderr(LIMIT, "the limits on reading stay as they were").await;
        assert!(running.ended().is_none(), "{}", running.stderr());
        local.write(&job(fast));
        running.signal(Signal::Hangup);
        running.wait_for_stderr(LIMIT, "the limits on reading are those of the job file now").await;
        running.wait(LIMIT).assert_code(0);
    }
}

/// A stop does not wait until what was read is paid for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_limit() {
    let text = job("read_limit.rows_per_second = 1");
    let sink = text.find("sink {").expect("there is a sink");
    let local = Local::new(&format!("{}sink {{ Console {{}} }}\n", &text[..sink]));
    let mut running = local.start();
    running.wait_for_stdout(LIMIT, "INSERT").await;
    let stopped = running.terminate(LIMIT);
    stopped.assert_code(0);
    assert!(stopped.stdout.contains("stopped"), "{}", stopped.stdout);
    let rows = stopped.stdout.lines().filter(|line| line.contains("INSERT")).count();
    assert!(rows < ROWS, "{rows} rows: there was no limit");
}
