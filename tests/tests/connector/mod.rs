//! The connectors of docs/write-a-connector.md, run as a job runs them, and the page itself.

mod page;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use culvert_api::{ErrorKind, JobProgress, Sink, Source, StateStore, WriterContext};
use culvert_engine::{
    Ended, FailurePolicy, Job, JobGraph, Node, NodeKind, ReadLimit, Settings, stop_channel,
};
use culvert_example_connector::one_reader::OneFile;
use culvert_example_connector::state::Folder;
use culvert_example_connector::two_phases::NumberedFiles;
use culvert_state::{JobIdentity, RocksStore};
use culvert_tests::{scratch, wait};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);

/// A folder with these files of so many lines, and one for the sink.
fn folders(files: &[(&str, usize)]) -> (PathBuf, PathBuf) {
    let folder = scratch::folder("connector");
    let (from, to) = (folder.join("in"), folder.join("out"));
    std::fs::create_dir_all(&from).expect("the folder is ours");
    std::fs::create_dir_all(&to).expect("the folder is ours");
    for (name, lines) in files {
        let text: String = (1..=*lines).map(|line| format!("{name} {line}\n")).collect();
        std::fs::write(from.join(name), text).expect("the folder is ours");
    }
    (from, to)
}

fn job(source: impl Source + 'static, to: &Path, progress: &Arc<JobProgress>) -> Job {
    let state = to.with_file_name("state");
    let identity = JobIdentity { name: "job".into(), fingerprint: "a page".into() };
    let store: Arc<dyn StateStore> = Arc::new(RocksStore::open(&state, &identity).expect("a state"));
    let node = |name: &str, kind: NodeKind, inputs: Vec<usize>| Node {
        name: name.to_owned(),
        kind,
        inputs,
        on_failure: FailurePolicy::Stop,
    };
    let sink: Arc<dyn Sink> = Arc::new(NumberedFiles::new(to));
    let graph = JobGraph {
        nodes: vec![
            node("source", NodeKind::Source(Arc::new(source)), Vec::new()),
            node("sink", NodeKind::Sink(sink), vec![0]),
        ],
    };
    // A checkpoint at every look, and no hurry: many places to die at.
    let read_limit = ReadLimit::new(5_000, 0);
    let settings = Settings { checkpoint_interval: Duration::ZERO, read_limit, ..Settings::default() };
    let progress = Arc::clone(progress);
    Job { name: "job".into(), graph, store: Some(store), spool: None, settings, progress }
}

async fn to_its_end(source: impl Source + 'static, to: &Path) {
    let progress = Arc::default();
    let (_stop, signal) = stop_channel();
    let job = job(source, to, &progress);
    let ended = culvert_engine::run(&job, signal).await.expect("the job ends well");
    assert_eq!(ended, Ended::Finished);
}

/// How often each line of each file arrived.
fn arrived(to: &Path) -> BTreeMap<(String, u64), usize> {
    let mut arrived = BTreeMap::new();
    for number in 1.. {
        let Ok(text) = std::fs::read_to_string(to.join(format!("{number:012}.jsonl"))) else { break };
        // The first line is the marker.
        for line in text.lines().skip(1) {
            let row: Value = serde_json::from_str(line).expect("a row");
            let (file, line) = (row["file"].as_str().expect("a file"), row["line"].as_u64().expect("a line"));
            let name = Path::new(file).file_name().expect("a name").to_string_lossy().into_owned();
            assert_eq!(row["text"], format!("{name} {line}"));
            *arrived.entry((name, line)).or_insert(0) += 1;
        }
    }
    arrived
}

fn assert_each_once(to: &Path, files: &[(&str, usize)]) {
    let arrived = arrived(to);
    let expected: usize = files.iter().map(|(_, lines)| lines).sum();
    assert_eq!(arrived.len(), expected, "lines that arrived");
    let twice: Vec<_> = arrived.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reader_reads_one_file() {
    let files = [("a", 1_234)];
    let (from, to) = folders(&files);
    to_its_end(OneFile::new(from.join("a")), &to).await;
    assert_each_once(&to, &files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn splits_and_state_give_each_line_once_however_often_the_job_dies() {
    let files = [("a", 3_000), ("b", 1), ("c", 0), ("d", 2_500), ("e", 1_999)];
    let (from, to) = folders(&files);
    let mut deaths = 0;
    for stop_at in [1_u64, 3, 2, 7, 5, 1, 11] {
        let progress: Arc<JobProgress> = Arc::default();
        let (_stop, signal) = stop_channel();
        let job = job(Folder::new(&from), &to, &progress);
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let threads = threads.expect("threads");
        let working = threads.spawn(async move { culvert_engine::run(&job, signal).await });
        // It dies in the middle of something behind this checkpoint, and nothing of it is tidied up.
        wait::until(LIMIT, "checkpoints", async || {
            working.is_finished() || progress.checkpoints.load(Relaxed) >= stop_at
        })
        .await;
        deaths += usize::from(!working.is_finished());
        tokio::task::block_in_place(|| threads.shutdown_timeout(LIMIT));
    }
    assert!(deaths >= 3, "the job was over after {deaths} deaths");
    to_its_end(Folder::new(&from), &to).await;
    assert_each_once(&to, &files);
    let left: Vec<String> = std::fs::read_dir(&to)
        .expect("it is there")
        .map(|found| found.expect("a name").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".jsonl"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_run_that_was_taken_over_can_commit_nothing_more() {
    let (_, to) = folders(&[]);
    let context = |epoch: u64| WriterContext {
        job: "job".into(),
        sink: "sink".into(),
        writer: 0,
        epoch,
        progress: Arc::default(),
    };
    let marker = |epoch: u64, checkpoint: u64| culvert_api::CommitMarker {
        job: "job".into(),
        sink: "sink".into(),
        writer: 0,
        epoch,
        checkpoint,
        source: None,
    };
    let sink = NumberedFiles::new(&to);
    let mut old = sink.open(&context(1)).await.expect("the first run");
    assert_eq!(old.marker, None);
    let staged = old.writer.prepare_commit(&marker(1, 1)).await.expect("prepared");
    assert_eq!(sink.committed("job", "sink", 0).await.expect("a marker").map(|it| it.checkpoint), Some(0));
    old.committer.commit(&staged).await.expect("committed");
    old.committer.commit(&staged).await.expect("committing twice is once");
    let staged = old.writer.prepare_commit(&marker(1, 2)).await.expect("prepared");
    let new = sink.open(&context(2)).await.expect("the second run");
    assert_eq!(new.marker.map(|marker| (marker.epoch, marker.checkpoint)), Some((1, 1)));
    // What it had prepared is swept away, and its number is taken.
    old.committer.commit(&staged).await.expect("there is nothing to commit");
    let staged = old.writer.prepare_commit(&marker(1, 3)).await.expect("prepared");
    let fenced = old.committer.commit(&staged).await.expect_err("it is fenced");
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
    assert_eq!(sink.committed("job", "sink", 0).await.expect("a marker").map(|it| it.epoch), Some(2));
    let late = sink.open(&context(2)).await.err().expect("an epoch is used once");
    assert_eq!(late.kind(), ErrorKind::Fenced);
}
