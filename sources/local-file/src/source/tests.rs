#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use culvert_api::{JobProgress, SourceEvent};

use super::*;
use crate::options::tests::options;

/// Rows of each of the three files.
const ROWS: [i64; 3] = [10_000, 1, 5_000];

fn source(block: &str) -> LocalFileSource {
    LocalFileSource::from_options(&options(block)).unwrap()
}

fn block(folder: &Path) -> String {
    let path = folder.display();
    format!(
        "path = \"{path}\", file_format_type = csv, skip_header_row_number = 1, schema {{ table = d.t, fields {{ id = bigint, name = string }} }}"
    )
}

/// Files in folders that are columns, with rows counted over all of them.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut next = 1;
    for (at, rows) in ROWS.into_iter().enumerate() {
        let mut text = "id,name\n".to_owned();
        for id in next..next + rows {
            writeln!(text, "{id},\"n\n{id}\"").unwrap();
        }
        next += rows;
        let part = folder.path().join(format!("part={at}"));
        fs::create_dir(&part).unwrap();
        fs::write(part.join("rows.csv"), text).unwrap();
    }
    folder
}

fn context() -> ReaderContext {
    ReaderContext { job: "j".to_owned(), source: "s".to_owned(), progress: Arc::new(JobProgress::default()) }
}

/// Reads on from a state until so many batches came, or to the end; then a barrier. Ids, partitions, state.
async fn read(
    source: &LocalFileSource,
    state: Option<&SourceState>,
    batches: usize,
) -> Result<(Vec<(i64, String)>, SourceState)> {
    source.tables(state).await?;
    let mut enumerator = source.enumerator(context(), state).await?;
    let mut reader = source.reader(context(), state).await?;
    let (mut rows, mut left) = (Vec::new(), batches);
    loop {
        reader.add_splits(enumerator.next_splits(reader.splits_wanted()).await?)?;
        match reader.next().await? {
            SourceEvent::Batch(batch) => {
                let ids = batch.rows.column(0).as_primitive::<Int64Type>();
                let parts = batch.rows.column(2).as_string::<i32>();
                rows.extend((0..batch.len()).map(|row| (ids.value(row), parts.value(row).to_owned())));
                left -= 1;
                if left == 0 {
                    reader.request_barrier();
                }
            }
            SourceEvent::SplitFinished(finished) => enumerator.split_finished(finished)?,
            SourceEvent::Barrier { reader: place, .. } => {
                reader.close().await;
                let enumerator = enumerator.snapshot_state()?;
                return Ok((rows, SourceState { enumerator, reader: place }));
            }
            SourceEvent::End => reader.request_barrier(),
            SourceEvent::Idle | SourceEvent::SchemaChange(_) => {}
        }
    }
}

#[tokio::test]
async fn a_job_that_starts_again_anywhere_reads_every_row_once() {
    let folder = folder();
    let block = block(folder.path());
    let (whole, _) = read(&source(&block), None, usize::MAX).await.unwrap();
    assert!(whole.iter().map(|(id, _)| *id).eq(1..=15_001));
    assert_eq!((whole[0].1.as_str(), whole[10_000].1.as_str(), whole[15_000].1.as_str()), ("0", "1", "2"));
    for step in 1..5 {
        let (mut rows, mut state) = read(&source(&block), None, step).await.unwrap();
        // A file that comes later is none of this run.
        fs::write(folder.path().join("part=0/late.csv"), "id,name\n0,x\n").unwrap();
        while rows.len() < whole.len() {
            let (more, next) = read(&source(&block), Some(&state), step).await.unwrap();
            assert!(!more.is_empty(), "no row is left out");
            rows.extend(more);
            state = next;
        }
        fs::remove_file(folder.path().join("part=0/late.csv")).unwrap();
        assert!(rows == whole, "in steps of {step}");
        let (none, _) = read(&source(&block), Some(&state), usize::MAX).await.unwrap();
        assert_eq!(none, [], "nothing is left");
    }
}

#[tokio::test]
async fn a_file_that_changed_or_is_gone_is_refused_and_one_that_is_done_is_not_missed() {
    let folder = folder();
    let block = block(folder.path());
    let (_, state) = read(&source(&block), None, 1).await.unwrap();
    let first = folder.path().join("part=0/rows.csv");
    let whole = fs::read(&first).unwrap();
    fs::write(&first, [whole.as_slice(), b"0,x\n"].concat()).unwrap();
    let error = read(&source(&block), Some(&state), usize::MAX).await.unwrap_err();
    assert!(error.kind() == ErrorKind::LogGone && error.to_string().contains("rows.csv"), "{error}");
    fs::remove_file(&first).unwrap();
    let error = read(&source(&block), Some(&state), usize::MAX).await.unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");

    // Behind the first file, it may be taken away.
    fs::write(&first, &whole).unwrap();
    let (rows, state) = read(&source(&block), None, 4).await.unwrap();
    assert_eq!(rows.len(), 10_001);
    fs::remove_file(&first).unwrap();
    let (rows, _) = read(&source(&block), Some(&state), usize::MAX).await.unwrap();
    assert_eq!(rows.len(), 5_000);
}

#[tokio::test]
async fn another_way_to_read_the_files_is_refused() {
    let folder = folder();
    let block = block(folder.path());
    let (_, state) = read(&source(&block), None, 1).await.unwrap();
    for other in [
        block.replace("skip_header_row_number = 1", "skip_header_row_number = 2"),
        block.replace("name = string", "name = int"),
        block.replace("d.t", "d.u"),
        format!("{block}, read_columns = [id]"),
        format!("{block}, compress_codec = gzip"),
    ] {
        let error = source(&other).tables(Some(&state)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StateMismatch, "{other}");
    }
}

#[tokio::test]
async fn files_are_chosen_and_their_folders_must_agree() {
    let folder = folder();
    let all = block(folder.path());
    let rows = async |more: &str| {
        read(&source(&format!("{all}, {more}")), None, usize::MAX).await.map(|(rows, _)| rows.len())
    };
    assert_eq!(rows("filename_extension = csv").await.unwrap(), 15_001);
    assert_eq!(rows("filename_extension = txt").await.unwrap(), 0);
    assert_eq!(rows("file_filter_pattern = \"rows.*\"").await.unwrap(), 15_001);
    let path = folder.path().display();
    assert_eq!(rows(&format!("file_filter_pattern = \"{path}/part=[12]/.*\"")).await.unwrap(), 5_001);
    assert_eq!(rows("recursive_file_scan = false").await.unwrap(), 0);
    assert_eq!(rows("file_filter_modified_end = \"2000-01-01 00:00:00\"").await.unwrap(), 0);
    fs::write(folder.path().join("outside.csv"), "id,name\n").unwrap();
    let error = rows("encoding = \"UTF-8\"").await.unwrap_err().to_string();
    assert!(error.contains("part") && error.contains("csv"), "{error}");
    let missing = source(&all.replace(&path.to_string(), "/nowhere/at/all")).tables(None).await.unwrap_err();
    assert!(
        missing.kind() == ErrorKind::Config && missing.to_string().contains("/nowhere/at/all"),
        "{missing}"
    );
}

#[tokio::test]
async fn an_error_names_the_file_the_line_and_the_column_and_not_the_value() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "id,name\n1,\"x\ny\"\nsecret,z\n").unwrap();
    let error = read(&source(&block(folder.path())), None, usize::MAX).await.unwrap_err();
    let text = error.to_string();
    for named in ["a.csv", "line=4", "column=id", "table=d.t"] {
        assert!(text.contains(named), "{text}");
    }
    assert!(error.kind() == ErrorKind::Value && !text.contains("secret"), "{text}");
}
