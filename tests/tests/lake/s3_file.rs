//! Rows into objects of a bucket: there once, whatever becomes of the job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use culvert_tests::s3::{Fault, KEY, Requests, S3, SECRET};
use culvert_tests::{lake_shared, wait};

use crate::local::{
    LIMIT, Local, ROWS, Target, assert_numbered_once, assert_once, fail_at_every_step, kill_again_and_again,
    rows_into,
};

/// A sink's block for a bucket of a server.
pub(super) fn sink(s3: &S3, bucket: &str, more: &str) -> String {
    format!(
        r#"S3File {{
    bucket = "s3a://{bucket}"
    path = "/out"
    fs.s3a.endpoint = "{}"
    fs.s3a.aws.credentials.provider = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
    access_key = "{KEY}"
    secret_key = "{SECRET}"
    hadoop_s3_properties {{ fs.s3a.path.style.access = true }}
    {more}
  }}"#,
        s3.url()
    )
}

/// Lines of all objects of text that a reader sees below a folder, with how often each is there.
pub(super) fn lines(s3: &S3, bucket: &str, folder: &str) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for key in s3.keys(bucket, folder) {
        if key.split('/').any(|part| part.starts_with('.')) {
            continue;
        }
        let object = s3.object(bucket, &key).expect("it was listed");
        for line in String::from_utf8(object).expect("an object of text").lines() {
            *found.entry(line.to_owned()).or_default() += 1;
        }
    }
    found
}

/// A new bucket as a target.
fn target(s3: &Arc<S3>) -> Target {
    let bucket = s3.fresh_bucket("lake");
    let (sink, s3) = (sink(s3, &bucket, ""), Arc::clone(s3));
    Target { sink, lines: Box::new(move |_| lines(&s3, &bucket, "out/")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_again_and_again_writes_each_row_once() {
    kill_again_and_again(target(&Arc::new(S3::start()))).await;
}

#[test]
fn a_failure_in_front_of_or_behind_every_step_of_a_commit_writes_each_row_once() {
    let s3 = Arc::new(S3::start());
    fail_at_every_step(&["s3_file.begun.before", "s3_file.begun.after"], || target(&s3));
}

#[test]
fn what_a_killed_run_left_behind_is_dropped_by_the_next() {
    let s3 = S3::start();
    s3.bucket("lake");
    let job = Local::new(&rows_into(&sink(&s3, "lake", "")));
    let file = job.folder.join("failpoint");
    std::fs::write(&file, "file.staged.after kill 2\n").expect("the file is written");
    job.program(&[]).env("CULVERT_FAILPOINT", &file).run(LIMIT);
    assert!(s3.unfinished_uploads() > 0, "nothing was left behind");
    job.run().assert_code(0);
    assert_eq!(s3.unfinished_uploads(), 0);
    assert_once(&lines(&s3, "lake", "out/"));
}

#[test]
fn folders_are_made_of_values_and_many_partitions_share_few_open_files() {
    let s3 = S3::start();
    s3.bucket("lake");
    let job = Local::new(&rows_into(&sink(
        &s3,
        "lake",
        "have_partition = true, partition_by = [part], is_partition_field_write_in_file = true\n\
         sink_columns = [id, part], batch_size = 1000",
    )));
    job.check().assert_code(0);
    job.run().assert_code(0);
    assert_once(&lines(&s3, "lake", "out/"));
    for part in ["a", "b", "c"] {
        let found = lines(&s3, "lake", &format!("out/part={part}/"));
        assert!(!found.is_empty() && found.keys().all(|line| line.ends_with(&format!(",{part}"))));
    }
}

/// What a reader of lakes finds, which knows nothing of the sink.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_in_folders_by_values_is_read_by_duckdb() {
    let lake = lake_shared().await;
    let s3 = S3::start();
    s3.bucket("lake");
    let more = "file_format_type = parquet, have_partition = true, partition_by = [part]";
    Local::new(&rows_into(&sink(&s3, "lake", more))).run().assert_code(0);
    let query = "SELECT count(*), count(DISTINCT id), min(id), max(id), count(DISTINCT part), count(n) \
                 FROM read_parquet('s3://lake/out/**/*.parquet', hive_partitioning = true)";
    let found = lake.duckdb(query, Some(&s3)).await;
    let texts: Vec<Option<&str>> = found.rows[0].iter().map(|value| value.as_deref()).collect();
    let rows = &*ROWS.to_string();
    assert_eq!(texts, [rows, rows, "1", rows, "3", rows].map(Some));
}

/// More than fits into two parts of an upload, in one checkpoint.
#[test]
fn a_large_object_is_sent_in_parts() {
    const ROWS: u64 = 50_000;
    let s3 = S3::start();
    s3.bucket("lake");
    let job = Local::new(&format!(
        r#"
env {{ job.mode = "BATCH", checkpoint.interval = 600000 }}
source {{
  FakeSource {{
    row.num = {ROWS}, auto.increment.enabled = true, string.length = 600
    schema = {{ table = "d.t", fields {{ id = bigint, text = string }}, primaryKey {{ columnNames = [id] }} }}
  }}
}}
sink {{ {} }}
"#,
        sink(&s3, "lake", "")
    ));
    job.run().assert_code(0);
    assert_numbered_once(&lines(&s3, "lake", "out/"), ROWS);
    assert_eq!(s3.keys("lake", "out/T_").len(), 1, "one object");
    assert!(s3.seen(&Requests::of("PUT").with("partNumber=3")) > 0, "in three parts at least");
}

/// The first run stands in front of the write that would make its checkpoint hold, while the second takes over and comes
/// to the end. The write arrives then, and must not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_taken_over_commits_nothing() {
    let s3 = S3::start();
    s3.bucket("lake");
    let text = rows_into(&sink(&s3, "lake", ""));
    let (first, second) = (Local::new(&text), Local::new(&text));
    let running = first.start();
    wait::until(LIMIT, "the first objects", async || !s3.keys("lake", "out/T_").is_empty()).await;
    s3.next(1, Requests::of("PUT").with(".json"), Fault::Hold);
    s3.until_held(1).await;
    second.run().assert_code(0);
    assert_once(&lines(&s3, "lake", "out/"));
    s3.release();
    let ended = running.wait(LIMIT);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("has taken over"), "{}", ended.stderr);
    assert_once(&lines(&s3, "lake", "out/"));
}

#[test]
fn what_a_person_has_to_correct_is_named() {
    let s3 = S3::start();
    s3.bucket("lake");
    let good = sink(&s3, "lake", "");
    for (sink, told) in [
        (good.replace("s3a://lake", "s3a://sea"), ["the bucket is missing", "option=bucket"]),
        (good.replace(SECRET, "needle-wrong"), ["refuses access", "access_key, secret_key"]),
        (
            good.replace(&format!("\"{KEY}\""), "\"needle-unknown\""),
            ["refuses access", "access_key, secret_key"],
        ),
    ] {
        let job = Local::new(&rows_into(&sink));
        let refused = job.run();
        refused.assert_code(2);
        let file = job.folder.join("job.conf").to_string_lossy().into_owned();
        let checked = culvert_tests::Culvert::new(&["check", "--connect", "-c", &file]).run(LIMIT);
        assert_ne!(checked.code, Some(0), "{}", checked.stdout);
        for told in told {
            assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
            assert!(checked.stdout.contains(told), "{told}: {}", checked.stdout);
        }
        for shown in [&refused.stderr, &refused.stdout, &checked.stderr, &checked.stdout] {
            assert!(!shown.contains("needle") && !shown.contains(SECRET), "{shown}");
        }
    }
    let job = Local::new(&rows_into(&good));
    s3.next(1, Requests::of("PUT").with("partNumber="), Fault::Error("AccessDenied"));
    let refused = job.run();
    refused.assert_code(2);
    assert!(refused.stderr.contains("its policy allows"), "{}", refused.stderr);
    job.run().assert_code(0);
    assert_once(&lines(&s3, "lake", "out/"));
}

#[test]
fn a_first_start_does_with_old_objects_what_it_is_told() {
    let s3 = S3::start();
    s3.bucket("lake");
    s3.put("lake", "out/old.csv", b"old\n");
    let run = |more: &str| Local::new(&rows_into(&sink(&s3, "lake", more))).run();
    let refused = run("data_save_mode = ERROR_WHEN_DATA_EXISTS");
    refused.assert_code(2);
    assert!(refused.stderr.contains("out/old.csv"), "{}", refused.stderr);
    let missing = run("path = \"/none\", schema_save_mode = ERROR_WHEN_SCHEMA_NOT_EXIST");
    assert!(missing.code == Some(2) && missing.stderr.contains("/none"), "{}", missing.stderr);
}

/// How long one of the slow requests takes.
const SLOW: Duration = Duration::from_millis(60);

#[test]
fn a_slow_service_is_waited_for() {
    let s3 = S3::start();
    s3.bucket("lake");
    s3.slow(Some(SLOW));
    Local::new(&rows_into(&sink(&s3, "lake", ""))).run().assert_code(0);
    assert_once(&lines(&s3, "lake", "out/"));
}
