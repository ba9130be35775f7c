//! The store's promises on a real disk: reopening, kill -9, ownership, damage.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use culvert_api::SourceState;
use tempfile::TempDir;

use super::*;
use crate::database::database_path;

/// Names the folder for a copy of this test program that plays the other process.
const CHILD_FOLDER: &str = "CULVERT_STATE_TEST_FOLDER";

fn job() -> JobIdentity {
    JobIdentity { name: "orders".into(), fingerprint: "a1".into() }
}

fn checkpoint(id: u64) -> Checkpoint {
    let reader = format!("position {id}").into_bytes();
    Checkpoint {
        id,
        epoch: 1,
        created_ms: 1_000 + id,
        source: SourceState { enumerator: vec![id.to_le_bytes()[0]; 100], reader },
    }
}

fn open(folder: &TempDir) -> RocksStore {
    RocksStore::open(folder.path(), &job()).unwrap()
}

fn ids(store: &RocksStore) -> Vec<u64> {
    store.load().unwrap().iter().map(|checkpoint| checkpoint.id).collect()
}

/// This test program again, running only the test `name`, with `folder` in its environment.
struct Copy {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Copy {
    fn start(name: &str, folder: &TempDir) -> Copy {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("store::tests::{name}"), "--nocapture", "--test-threads=1"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Copy { child, answers }
    }

    /// The next number it answered; `None` when it has ended.
    fn answer(&mut self) -> Option<u64> {
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A line cut by the kill carries no end and counts as not said.
            if let Some(number) = line.strip_prefix("answer ").and_then(|rest| rest.strip_suffix('\n')) {
                return Some(number.parse().unwrap());
            }
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the copy: the folder to work on.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD_FOLDER).map(PathBuf::from)
}

/// In the copy: tells the test a number. The harness prints in front of the first line.
fn answer(number: u64) {
    let mut out = std::io::stdout().lock();
    // The leading newline ends whatever the test runner has printed on this line.
    write!(out, "\nanswer {number}\n").unwrap();
    out.flush().unwrap();
}

#[test]
fn a_new_store_is_empty_and_its_folder_is_private() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("a/b");
    let store = RocksStore::open(&folder, &job()).unwrap();
    assert_eq!(store.load().unwrap(), []);
    assert_eq!(store.job().unwrap(), job());
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn checkpoints_survive_reopening_oldest_first() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    // Past 255 the order of bytes shows.
    let saved = [254, 255, 256, 257, 65_536].map(checkpoint);
    for checkpoint in &saved {
        store.save(checkpoint).unwrap();
    }
    drop(store);
    assert_eq!(open(&folder).load().unwrap(), saved);
}

#[test]
fn saving_an_id_again_replaces_it_and_going_back_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.save(&checkpoint(1)).unwrap();
    store.save(&checkpoint(2)).unwrap();
    let again = Checkpoint { epoch: 9, ..checkpoint(2) };
    store.save(&again).unwrap();
    assert_eq!(store.load().unwrap(), [checkpoint(1), again]);
    for id in [0, 1] {
        assert_eq!(store.save(&checkpoint(id)).unwrap_err().kind(), ErrorKind::Internal);
    }
    store.prune_above(0).unwrap();
    store.save(&checkpoint(1)).unwrap();
    assert_eq!(ids(&store), [1]);
}

#[test]
fn pruning_keeps_the_bound_itself_and_survives_reopening() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for id in 1..=9 {
        store.save(&checkpoint(id)).unwrap();
    }
    store.prune_below(4).unwrap();
    store.prune_above(7).unwrap();
    assert_eq!(ids(&store), [4, 5, 6, 7]);
    store.prune_below(0).unwrap();
    store.prune_above(u64::MAX).unwrap();
    drop(store);
    let store = open(&folder);
    assert_eq!(ids(&store), [4, 5, 6, 7]);
    store.prune_below(u64::MAX).unwrap();
    assert_eq!(store.load().unwrap(), []);
}

#[test]
fn the_number_of_checkpoints_has_a_limit() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let last = CHECKPOINTS_KEPT_MAX as u64 + 3;
    for id in 1..=last {
        store.save(&checkpoint(id)).unwrap();
    }
    assert_eq!(ids(&store), (4..=last).collect::<Vec<_>>());
}

#[test]
fn epochs_only_grow_across_reopening_reset_and_a_sinks_answer() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    assert_eq!(store.next_epoch(0).unwrap(), 1);
    assert_eq!(store.next_epoch(0).unwrap(), 2);
    assert_eq!(store.next_epoch(10).unwrap(), 11);
    drop(store);
    let store = open(&folder);
    assert_eq!(store.next_epoch(3).unwrap(), 12);
    store.reset().unwrap();
    assert_eq!(store.next_epoch(0).unwrap(), 13);
    assert_eq!(store.next_epoch(u64::MAX).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.next_epoch(0).unwrap(), 14);
}

#[test]
fn epochs_taken_by_many_threads_differ() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut taken: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..10).map(|_| store.next_epoch(0).unwrap()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    taken.sort_unstable();
    assert_eq!(taken, (1..=40).collect::<Vec<_>>());
}

#[test]
fn a_reset_forgets_the_checkpoints_and_keeps_the_job() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.save(&checkpoint(5)).unwrap();
    store.reset().unwrap();
    assert_eq!(store.load().unwrap(), []);
    store.save(&checkpoint(1)).unwrap();
    drop(store);
    assert_eq!(ids(&open(&folder)), [1]);
}

#[test]
fn another_job_is_refused_by_both_names() {
    let folder = TempDir::new().unwrap();
    open(&folder).save(&checkpoint(1)).unwrap();
    let other = JobIdentity { name: "invoices".into(), ..job() };
    let error = RocksStore::open(folder.path(), &other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateMismatch);
    let text = error.to_string();
    for part in ["`orders`", "`invoices`", "state folder of its own", folder.path().to_str().unwrap()] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    // Nothing changed for the job it belongs to.
    assert_eq!(ids(&open(&folder)), [1]);
}

#[test]
fn a_changed_job_is_refused_until_it_is_reset() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.save(&checkpoint(1)).unwrap();
    assert_eq!(store.next_epoch(6).unwrap(), 7);
    drop(store);
    let changed = JobIdentity { fingerprint: "b2".into(), ..job() };
    let error = RocksStore::open(folder.path(), &changed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateMismatch);
    let text = error.to_string();
    assert!(text.contains("`a1`") && text.contains("`b2`"), "{text}");
    let store = RocksStore::open_reset(folder.path(), &changed).unwrap();
    assert_eq!(store.load().unwrap(), []);
    assert_eq!(store.next_epoch(0).unwrap(), 8);
    drop(store);
    RocksStore::open(folder.path(), &changed).unwrap();
    assert_eq!(RocksStore::open(folder.path(), &job()).unwrap_err().kind(), ErrorKind::StateMismatch);
}

#[test]
fn a_second_store_in_this_process_is_refused() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder);
    let error = RocksStore::open(folder.path(), &job()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateLocked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(first);
    open(&folder);
}

#[test]
fn a_store_of_another_process_is_refused_until_that_is_killed() {
    if let Some(folder) = child_folder() {
        let _store = RocksStore::open(&folder, &job()).unwrap();
        answer(0);
        loop {
            std::thread::park();
        }
    }
    let folder = TempDir::new().unwrap();
    let mut holder = Copy::start("a_store_of_another_process_is_refused_until_that_is_killed", &folder);
    assert_eq!(holder.answer(), Some(0));
    let error = RocksStore::open(folder.path(), &job()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateLocked);
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", holder.child.id())), "{text}");
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    holder.kill();
    open(&folder);
}

#[test]
fn a_kill_in_the_middle_of_saves_loses_nothing_acknowledged() {
    if let Some(folder) = child_folder() {
        let store = RocksStore::open(&folder, &job()).unwrap();
        let newest = store.load().unwrap().last().map_or(0, |checkpoint| checkpoint.id);
        store.next_epoch(0).unwrap();
        for id in newest + 1.. {
            store.save(&checkpoint(id)).unwrap();
            answer(id);
            store.prune_below(id.saturating_sub(3)).unwrap();
        }
    }
    let folder = TempDir::new().unwrap();
    let mut newest = 0;
    for round in 1..=8 {
        let mut saver = Copy::start("a_kill_in_the_middle_of_saves_loses_nothing_acknowledged", &folder);
        for _ in 0..round * 3 {
            newest = saver.answer().unwrap();
        }
        saver.kill();
        // What it said before it died counts as well.
        while let Some(id) = saver.answer() {
            newest = id;
        }
        let store = open(&folder);
        let found = store.load().unwrap();
        let last = found.last().unwrap().id;
        assert!(last == newest || last == newest + 1, "acknowledged {newest}, found {last}");
        let first = found.first().unwrap().id;
        assert_eq!(found, (first..=last).map(checkpoint).collect::<Vec<_>>(), "whole and without a gap");
        // The prune after the last acknowledged save may have happened or not, the one before did.
        let kept = newest.saturating_sub(4).max(1)..=newest.saturating_sub(3).max(1);
        assert!(kept.contains(&first), "acknowledged {newest}, pruned below {first}");
        assert_eq!(store.next_epoch(0).unwrap(), round * 2);
        newest = last;
    }
}

/// Files of the database with this ending, newest last.
fn files(folder: &TempDir, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(database_path(folder.path()))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending) && fs::metadata(path).unwrap().len() > 0)
        .collect();
    found.sort();
    found
}

/// Opening or loading ends in this error.
fn damage(folder: &TempDir) -> Error {
    match RocksStore::open(folder.path(), &job()) {
        Err(error) => error,
        Ok(store) => store.load().unwrap_err(),
    }
}

fn assert_damaged(folder: &TempDir, what: &str) {
    let error = damage(folder);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()), "{what}: {text}");
    assert!(text.contains("commit markers"), "{what}: {text}");
}

#[test]
fn a_damaged_log_is_refused_not_forgotten() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for id in 1..=20 {
        store.save(&checkpoint(id)).unwrap();
    }
    drop(store);
    let log = files(&folder, ".log").pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.windows(11).position(|part| part == b"position 10").unwrap();
    *bytes.get_mut(middle).unwrap() ^= 1;
    fs::write(&log, bytes).unwrap();
    assert_damaged(&folder, "a flipped bit in the middle of the log");
}

#[test]
fn a_log_that_ends_in_half_a_record_loses_only_that_record() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for id in 1..=20 {
        store.save(&checkpoint(id)).unwrap();
    }
    drop(store);
    let log = files(&folder, ".log").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    let last = bytes.windows(11).position(|part| part == b"position 20").unwrap();
    fs::write(&log, bytes.get(..last).unwrap()).unwrap();
    assert_eq!(ids(&open(&folder)), (1..=19).collect::<Vec<_>>());
}

#[test]
fn lost_files_are_refused_not_replaced_by_an_empty_store() {
    let lose = |which: fn(&TempDir) -> PathBuf| {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        store.save(&checkpoint(1)).unwrap();
        store.db.flush_cf(store.family(CHECKPOINTS).unwrap()).unwrap();
        drop(store);
        let path = which(&folder);
        fs::remove_file(&path).unwrap();
        assert_damaged(&folder, path.to_str().unwrap());
    };
    lose(|folder| database_path(folder.path()).join("CURRENT"));
    lose(|folder| files(folder, ".sst").pop().unwrap());
    lose(|folder| {
        let current = fs::read_to_string(database_path(folder.path()).join("CURRENT")).unwrap();
        database_path(folder.path()).join(current.trim())
    });
}

#[test]
fn a_damaged_table_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.save(&checkpoint(1)).unwrap();
    store.db.flush_cf(store.family(CHECKPOINTS).unwrap()).unwrap();
    drop(store);
    for table in files(&folder, ".sst") {
        let mut bytes = fs::read(&table).unwrap();
        for byte in bytes.iter_mut().take(64) {
            *byte ^= 0xff;
        }
        fs::write(&table, bytes).unwrap();
    }
    assert_damaged(&folder, "table files");
}

#[test]
fn damaged_records_are_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.save(&checkpoint(1)).unwrap();
    let checkpoints = store.family(CHECKPOINTS).unwrap();
    store.db.put_cf(checkpoints, 2u64.to_be_bytes(), b"\x01not a record").unwrap();
    assert_eq!(store.load().unwrap_err().kind(), ErrorKind::Corrupt);
    store.db.put_cf(checkpoints, 2u64.to_be_bytes(), encode_checkpoint(&checkpoint(3)).unwrap()).unwrap();
    let error = store.load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("another id"), "{error}");
    store.db.put_cf(store.family(META).unwrap(), EPOCH_KEY, b"").unwrap();
    assert_eq!(store.next_epoch(0).unwrap_err().kind(), ErrorKind::Corrupt);
    store.db.delete_cf(store.family(META).unwrap(), JOB_KEY).unwrap();
    drop(store);
    assert_damaged(&folder, "no job");
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut record = vec![2];
    let body = b"something new";
    record.extend_from_slice(&crc32fast::hash(&[&[2u8][..], body].concat()).to_le_bytes());
    record.extend_from_slice(body);
    store.db.put_cf(store.family(CHECKPOINTS).unwrap(), 1u64.to_be_bytes(), record).unwrap();
    drop(store);
    let error = damage(&folder);
    assert_eq!(error.kind(), ErrorKind::StateMismatch, "{error}");
    assert!(error.to_string().contains("newer"), "{error}");

    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    store.db.create_cf("alerts", &rocksdb::Options::default()).unwrap();
    drop(store);
    let error = damage(&folder);
    assert_eq!(error.kind(), ErrorKind::StateMismatch, "{error}");
    assert!(error.to_string().contains("`alerts`"), "{error}");
}

#[test]
fn a_store_that_was_never_completed_is_made_again() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("db.new")).unwrap();
    fs::write(folder.path().join("db.new/MANIFEST-000001"), b"half").unwrap();
    assert_eq!(open(&folder).load().unwrap(), []);
    assert!(!folder.path().join("db.new").exists());
}

#[test]
fn a_place_that_is_no_folder_is_told() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for place in [file.clone(), file.join("below")] {
        let error = RocksStore::open(&place, &job()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains("not a file"), "{error}");
    }
}
