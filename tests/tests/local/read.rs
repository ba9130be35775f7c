//! Rows out of files: each once, whatever happens, and as they were.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use culvert_tests::{random, seed};
use rand::Rng;

use super::fake::EVERY_TYPE;
use super::file::{ROWS, assert_once, lines};
use super::{LIMIT, Local};

const KILLS: u32 = 6;
const FILES: u64 = 5;

/// Rows numbered over all files, one file of them in a folder of its own.
fn write_files(folder: &Path) {
    let part = ROWS / FILES;
    for file in 0..FILES {
        let mut text = "id,part,n\n".to_owned();
        for id in file * part + 1..=(file + 1) * part {
            writeln!(text, "{id},\"p,{file}\",{}", id % 7).expect("a text takes everything");
        }
        let folder = folder.join(format!("of={}", file % 2));
        fs::create_dir_all(&folder).expect("the folder is made");
        fs::write(folder.join(format!("{file}.csv")), text).expect("the file is written");
    }
}

/// From files to files, slowly enough to be killed.
const COPY: &str = r#"
env { job.mode = "BATCH", checkpoint.interval = 20, job.retry.interval.seconds = 0, read_limit.rows_per_second = 60000 }
source {
  LocalFile {
    path = "FOLDER/in"
    file_format_type = csv
    csv_use_header_line = true
    schema = { table = "d.t", fields { id = bigint, part = string, n = int }, primaryKey { columnNames = [id] } }
  }
}
sink { LocalFile { path = "FOLDER/out" } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_again_and_again_reads_each_row_once() {
    let seed = seed();
    let mut random = random::generator(seed);
    let job = Local::new(COPY);
    write_files(&job.folder.join("in"));
    job.check().assert_code(0);
    for _ in 0..KILLS {
        let running = job.start();
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        running.kill();
    }
    job.run().assert_code(0);
    let found = lines(&job.folder.join("out"));
    assert_once(&found);
    let wrong = |line: &&String| {
        let id: u64 = line.split(',').next().and_then(|id| id.parse().ok()).expect("a number");
        let file = (id - 1) / (ROWS / FILES);
        **line != format!("{id},\"p,{file}\",{},{}", id % 7, file % 2)
    };
    assert_eq!(found.keys().find(wrong), None);
    println!("files to files: {KILLS} kills, {} rows, 0 lost, 0 twice", found.len());
}

#[test]
fn a_failure_in_front_of_or_behind_a_checkpoint_reads_each_row_once() {
    for (point, action) in [
        ("engine.enumerate.after", "error"),
        ("engine.read.after", "kill"),
        ("engine.save.before", "error"),
        ("engine.commit.after", "kill"),
    ] {
        // With its limit it takes a second, in which there are more checkpoints than are passed.
        let job = Local::new(COPY);
        write_files(&job.folder.join("in"));
        let passes = if point.starts_with("engine.enumerate") { 0 } else { 3 };
        let file = job.folder.join("failpoint");
        fs::write(&file, format!("{point} {action} {passes}\n")).expect("the file is written");
        let done = job.program(&[]).env("CULVERT_FAILPOINT", &file).run(LIMIT);
        assert!(!file.exists(), "the point {point} was not reached: {}", done.stderr);
        if action == "kill" {
            job.run().assert_code(0);
        } else {
            done.assert_code(0);
        }
        assert_once(&lines(&job.folder.join("out")));
    }
}

/// What the sink writes in a format, read back and judged value by value.
#[test]
fn every_type_of_every_format_is_read_back_as_it_was_written() {
    let (source, judge) = EVERY_TYPE.split_once("sink {").expect("it has a sink");
    let fields = source.split_once("fields {").and_then(|(_, rest)| rest.split_once("rows = ["));
    let schema = format!("schema = {{ fields {{{}", fields.expect("it has columns").0);
    for format in [
        "file_format_type = csv",
        "file_format_type = csv, csv_string_quote_mode = ALL, encoding = gbk",
        "file_format_type = text, null_format = \"\\\\N\"",
        "file_format_type = json",
        "file_format_type = parquet, compress_codec = zstd",
    ] {
        let job =
            Local::new(&format!("{source}\nsink {{ LocalFile {{ path = \"FOLDER/out\", {format} }} }}"));
        job.run().assert_code(0);
        let read = format.replace(", csv_string_quote_mode = ALL", "").replace(", compress_codec = zstd", "");
        let schema = if format.contains("parquet") { "" } else { &schema };
        job.write(&format!(
            "env {{ job.mode = BATCH }}\nsource {{ LocalFile {{ path = \"FOLDER/out\", {read}\n{schema}\nplugin_output = \"fake\" }} }}\n\
             sink {{{judge}"
        ));
        let judged = job.program(&["--fresh"]).run(LIMIT);
        assert_eq!(judged.code, Some(0), "{format}: {}", judged.stderr);
    }
}

#[test]
fn changes_written_with_their_kind_are_read_back_as_columns() {
    let job = Local::new(
        "env { job.mode = BATCH }\nsource { FakeSource { schema = { table = \"d.t\", fields { id = int, name = string } }\n rows = [\
         { kind = INSERT, fields = [1, \"A\"] }, { kind = UPDATE_BEFORE, fields = [1, \"A\"] }, { kind = UPDATE_AFTER, fields = [1, \"B\"] }, \
         { kind = DELETE, fields = [1, \"B\"] }] } }\nsink { LocalFile { path = \"FOLDER/out\", row_kind_column = op } }",
    );
    job.run().assert_code(0);
    job.write(
        "env { job.mode = BATCH }\nsource { LocalFile { path = \"FOLDER/out\", file_format_type = csv\n\
         schema = { table = \"d.t\", fields { id = int, name = string, op = string } } } }\nsink { Console {} }",
    );
    let done = job.program(&["--fresh"]).run(LIMIT);
    done.assert_code(0);
    let rows: Vec<&str> =
        done.stdout.lines().filter_map(|line| line.split("SeaTunnelRow#kind=").nth(1)).collect();
    assert_eq!(rows, ["INSERT : 1, A, +I", "INSERT : 1, A, -U", "INSERT : 1, B, +U", "INSERT : 1, B, -D"]);
}

#[test]
fn a_bad_line_and_a_changed_file_end_the_job_with_what_to_do() {
    let job = Local::new(&COPY.replace(", read_limit.rows_per_second = 60000", ""));
    let folder = job.folder.join("in");
    fs::create_dir_all(&folder).expect("the folder is made");
    fs::write(folder.join("a.csv"), "id,part,n\n1,a,2\nsecret,b,3\n").expect("the file is written");
    let failed = job.run();
    failed.assert_code(1);
    for named in ["a.csv", "line=3", "column=id"] {
        assert!(failed.stderr.contains(named), "{}", failed.stderr);
    }
    assert!(!failed.stderr.contains("secret") && lines(&job.folder.join("out")).is_empty());

    // Killed on the way, and the file is another one when it starts again.
    write_files(&folder);
    fs::remove_file(folder.join("a.csv")).expect("it is there");
    let point = job.folder.join("failpoint");
    fs::write(&point, "engine.read.after kill 8\n").expect("the file is written");
    let killed = job.program(&["--fresh"]).env("CULVERT_FAILPOINT", &point).run(LIMIT);
    assert_eq!(killed.code, None, "{}", killed.stderr);
    for file in 0..FILES {
        let path = folder.join(format!("of={}/{file}.csv", file % 2));
        let text = fs::read_to_string(&path).expect("it is there");
        fs::write(&path, text + "1,x,1\n").expect("the file is written");
    }
    let refused = job.run();
    refused.assert_code(2);
    assert!(refused.stderr.contains("a file changed after the job began"), "{}", refused.stderr);
}
