#![allow(clippy::unwrap_used)]

use std::path::Path;

use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, Committable, JobProgress, RowKind, RowKindSet, RowPosition, SourceState, TableId,
    Transaction,
};

use super::*;
use crate::local::Folder;
use crate::manifest::Manifest;
use crate::options::tests::options;
use crate::place::Seen;

fn table() -> Arc<TableSchema> {
    let columns = vec![Column::derived("id", DataType::Int32, true)];
    Arc::new(TableSchema::new(TableId::new("d", "t"), 1, columns, Vec::new(), RowKindSet::INSERT_ONLY))
}

fn batch(ids: std::ops::Range<i32>) -> ChangeBatch {
    let schema = table();
    let ids = Int32Array::from_iter_values(ids);
    let count = arrow_array::Array::len(&ids);
    let columns: Vec<ArrayRef> = vec![Arc::new(ids)];
    ChangeBatch {
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), columns).unwrap(),
        schema,
        kinds: vec![RowKind::Insert; count],
        positions: (0..).map(|event| RowPosition { transaction: 0, event, row: 0 }).take(count).collect(),
        transactions: vec![Transaction::logged("x", None)],
        unavailable: Vec::new(),
    }
}

fn sink(folder: &Path, more: &str) -> Arc<dyn Sink> {
    local_file(&options(&format!("path = \"{}\", {more}", folder.display()))).unwrap()
}

/// The hidden folder of the sink's writer.
fn place(folder: &Path) -> Folder {
    Folders { root: folder.to_path_buf(), tmp_path: None }.place("j", "s", 0)
}

async fn open(sink: &Arc<dyn Sink>, epoch: u64) -> Result<OpenSink> {
    let progress = Arc::new(JobProgress::default());
    let context = WriterContext { job: "j".into(), sink: "s".into(), writer: 0, epoch, progress };
    let mut open = sink.open(&context).await?;
    let fresh = open.marker.as_ref().is_none_or(|marker| marker.checkpoint == 0);
    open.writer.prepare_tables(&[table()], fresh).await?;
    Ok(open)
}

async fn prepare(open: &mut OpenSink, epoch: u64, checkpoint: u64) -> Committable {
    let source = Some(SourceState { enumerator: vec![1], reader: checkpoint.to_le_bytes().to_vec() });
    let marker = CommitMarker { job: "j".into(), sink: "s".into(), writer: 0, epoch, checkpoint, source };
    open.writer.prepare_commit(&marker).await.unwrap()
}

/// The lines of all files that a reader sees, sorted, and how many files there are.
fn seen(folder: &Path) -> (Vec<i32>, usize) {
    let (mut lines, mut files) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(entry.path()).unwrap();
        lines.extend(text.lines().map(|line| line.parse::<i32>().unwrap()));
    }
    lines.sort_unstable();
    (lines, files)
}

#[tokio::test]
async fn files_take_their_places_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), "batch_size = 4");
    let mut run = open(&sink, 1).await.unwrap();
    run.writer.write(batch(0..10)).await.unwrap();
    let staged = prepare(&mut run, 1, 1).await;
    assert_eq!(seen(folder.path()), (vec![], 0));
    run.committer.commit(&staged).await.unwrap();
    run.committer.commit(&staged).await.unwrap();
    assert_eq!(seen(folder.path()), ((0..10).collect(), 3), "four rows in a file at most");
}

/// What a crash between the manifest and the renames leaves is made good by whoever comes next, however often it
/// is tried, and what a reader has taken away meanwhile is not missed.
#[tokio::test]
async fn a_commit_that_was_cut_off_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), "batch_size = 4");
    let mut run = open(&sink, 1).await.unwrap();
    run.writer.write(batch(0..10)).await.unwrap();
    let staged = prepare(&mut run, 1, 1).await;
    // The manifest is in its place, and one of three files.
    let manifest: Manifest<PathBuf> = Manifest::decode(&staged.body[8..]).unwrap();
    place(folder.path()).write(&manifest, &Seen::Locked).unwrap();
    std::fs::rename(&manifest.files[1].from, &manifest.files[1].to).unwrap();
    drop(run);
    assert_eq!(sink.committed("j", "s", 0).await.unwrap().unwrap().checkpoint, 1);
    let run = open(&sink, 2).await.unwrap();
    assert_eq!(run.marker.unwrap().checkpoint, 1);
    assert_eq!(seen(folder.path()), ((0..10).collect(), 3));
    for file in &manifest.files {
        std::fs::remove_file(&file.to).unwrap();
    }
    assert_eq!(open(&sink, 3).await.unwrap().marker.unwrap().checkpoint, 1);
}

/// One file of a committed checkpoint is lost: the others are published, the error names it, and there are two ways on.
#[tokio::test]
async fn a_staged_file_that_is_gone_is_no_silence() {
    for starts_over in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let sink = sink(folder.path(), "batch_size = 4");
        let mut run = open(&sink, 1).await.unwrap();
        run.writer.write(batch(0..10)).await.unwrap();
        let staged = prepare(&mut run, 1, 1).await;
        let manifest: Manifest<PathBuf> = Manifest::decode(&staged.body[8..]).unwrap();
        place(folder.path()).write(&manifest, &Seen::Locked).unwrap();
        std::fs::remove_file(&manifest.files[0].from).unwrap();
        let error = open(&sink, 2).await.err().unwrap();
        let lost = &manifest.files[0].to;
        assert_eq!(error.kind(), ErrorKind::LogGone, "{error}");
        assert!(error.to_string().contains(&lost.display().to_string()), "{error}");
        assert_eq!(seen(folder.path()), ((4..10).collect(), 2), "the others have their places");
        if starts_over {
            sink.forget("j", "s").await.unwrap();
            assert!(open(&sink, 1).await.unwrap().marker.is_none());
        } else {
            std::fs::write(lost, "").unwrap();
            assert_eq!(open(&sink, 3).await.unwrap().marker.unwrap().checkpoint, 1);
        }
        assert_eq!(seen(folder.path()).0, (4..10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_file_that_is_lost_before_its_checkpoint_holds_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), "");
    let mut run = open(&sink, 1).await.unwrap();
    run.writer.write(batch(0..3)).await.unwrap();
    let staged = prepare(&mut run, 1, 1).await;
    let manifest: Manifest<PathBuf> = Manifest::decode(&staged.body[8..]).unwrap();
    std::fs::remove_file(&manifest.files[0].from).unwrap();
    let error = run.committer.commit(&staged).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let mut again = open(&sink, 2).await.unwrap();
    assert_eq!(again.marker.as_ref().unwrap().checkpoint, 0, "it does not hold");
    again.writer.write(batch(0..3)).await.unwrap();
    let staged = prepare(&mut again, 2, 1).await;
    again.committer.commit(&staged).await.unwrap();
    assert_eq!(seen(folder.path()), (vec![0, 1, 2], 1));
}

/// Two jobs of one name, with folders of their own.
#[tokio::test]
async fn sinks_that_share_a_folder_for_staging_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let options = format!("tmp_path = \"{}\"", folder.path().join("staged").display());
    let folders = [folder.path().join("one"), folder.path().join("two")];
    let [one, two] = [&folders[0], &folders[1]].map(|folder| sink(folder, &options));
    let mut first = open(&one, 1).await.unwrap();
    first.writer.write(batch(0..3)).await.unwrap();
    let mut second = open(&two, 1).await.unwrap();
    second.writer.write(batch(3..5)).await.unwrap();
    let staged = prepare(&mut first, 1, 1).await;
    first.committer.commit(&staged).await.unwrap();
    let staged = prepare(&mut second, 1, 1).await;
    second.committer.commit(&staged).await.unwrap();
    assert_eq!((seen(&folders[0]), seen(&folders[1])), ((vec![0, 1, 2], 1), (vec![3, 4], 1)));
}

#[tokio::test]
async fn a_run_that_was_taken_over_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), "");
    let mut zombie = open(&sink, 1).await.unwrap();
    zombie.writer.write(batch(0..3)).await.unwrap();
    let staged = prepare(&mut zombie, 1, 1).await;
    let mut run = open(&sink, 2).await.unwrap();
    assert_eq!(zombie.committer.commit(&staged).await.unwrap_err().kind(), ErrorKind::Fenced);
    run.writer.write(batch(0..3)).await.unwrap();
    let staged = prepare(&mut run, 2, 1).await;
    run.committer.commit(&staged).await.unwrap();
    assert_eq!(seen(folder.path()), (vec![0, 1, 2], 1));
    assert_eq!(open(&sink, 2).await.err().unwrap().kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn a_start_from_scratch_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), "");
    for start in 1..=2 {
        let mut run = open(&sink, start).await.unwrap();
        assert!(run.marker.is_none());
        run.writer.write(batch(0..3)).await.unwrap();
        let staged = prepare(&mut run, start, 1).await;
        run.committer.commit(&staged).await.unwrap();
        sink.forget("j", "s").await.unwrap();
    }
    assert_eq!(seen(folder.path()), (vec![0, 0, 1, 1, 2, 2], 2));
}

#[tokio::test]
async fn a_first_start_does_with_old_files_what_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.csv"), "7\n").unwrap();
    let refused =
        open(&sink(folder.path(), "data_save_mode = ERROR_WHEN_DATA_EXISTS"), 1).await.err().unwrap();
    assert!(refused.to_string().contains("old.csv"), "{refused}");
    open(&sink(folder.path(), ""), 2).await.unwrap();
    assert_eq!(seen(folder.path()).0, [7]);
    open(&sink(folder.path(), "data_save_mode = DROP_DATA"), 3).await.unwrap();
    assert_eq!(seen(folder.path()).0, [0i32; 0]);
    let missing = folder.path().join("none");
    assert!(open(&sink(&missing, "schema_save_mode = ERROR_WHEN_SCHEMA_NOT_EXIST"), 1).await.is_err());
    assert!(!missing.exists());
}

#[tokio::test]
async fn staging_on_another_file_system_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // The memory file system is another one than that of the folder.
    let far = Path::new("/dev/shm").join(format!("culvert-far-{}", std::process::id()));
    std::fs::create_dir(&far).unwrap();
    let error =
        open(&sink(folder.path(), &format!("tmp_path = \"{}\"", far.display())), 1).await.err().unwrap();
    std::fs::remove_dir_all(&far).unwrap();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("tmp_path"), "{error}");
    let near = folder.path().join("near");
    open(&sink(&folder.path().join("out"), &format!("tmp_path = \"{}\"", near.display())), 1).await.unwrap();
}
