#![allow(clippy::unwrap_used)]

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use culvert_api::{ErrorKind, JobProgress, SourceEvent};

use super::*;
use crate::options::tests::options;

const BLOCK: &str =
    "schema { table = d.t, fields { id = bigint, name = string }, primaryKey { columnNames = [id] } }
    auto.increment.enabled = true, row.num = 10000, split.num = 7, split.read-interval = 0";

fn source(block: &str) -> FakeSource {
    FakeSource::from_options(&options(block), 1, JobMode::Batch).unwrap()
}

fn context() -> ReaderContext {
    ReaderContext { job: "j".to_owned(), source: "s".to_owned(), progress: Arc::new(JobProgress::default()) }
}

/// Reads on from a state until so many batches came, or to the end; then a barrier. Ids, texts, state.
async fn read(
    source: &FakeSource,
    state: Option<&SourceState>,
    batches: usize,
) -> (Vec<(i64, String)>, SourceState) {
    let mut enumerator = source.enumerator(context(), state).await.unwrap();
    let mut reader = source.reader(context(), state).await.unwrap();
    let (mut rows, mut left) = (Vec::new(), batches);
    loop {
        let splits = enumerator.next_splits(reader.splits_wanted()).await.unwrap();
        reader.add_splits(splits).unwrap();
        match reader.next().await.unwrap() {
            SourceEvent::Batch(batch) => {
                let (ids, names) = (
                    batch.rows.column(0).as_primitive::<Int64Type>(),
                    batch.rows.column(1).as_string::<i32>(),
                );
                rows.extend((0..batch.len()).map(|row| (ids.value(row), names.value(row).to_owned())));
                left -= 1;
                if left == 0 {
                    reader.request_barrier();
                }
            }
            SourceEvent::SplitFinished(finished) => enumerator.split_finished(finished).unwrap(),
            SourceEvent::Barrier { reader, .. } => {
                let enumerator = enumerator.snapshot_state().unwrap();
                return (rows, SourceState { enumerator, reader });
            }
            SourceEvent::End => {
                reader.request_barrier();
            }
            SourceEvent::Idle | SourceEvent::SchemaChange(_) => {}
        }
    }
}

#[tokio::test]
async fn a_job_that_starts_again_anywhere_reads_every_row_once() {
    let (whole, _) = read(&source(&format!("{BLOCK}, seed = 5")), None, usize::MAX).await;
    assert_eq!(whole.len(), 10_000);
    assert!(whole.iter().map(|(id, _)| *id).eq(1..=10_000));
    for step in 1..5 {
        // The seed comes from the state, whatever the source would choose now.
        let (mut rows, mut state) = read(&source(&format!("{BLOCK}, seed = 5")), None, step).await;
        while rows.len() < whole.len() {
            let (more, next) = read(&source(BLOCK), Some(&state), step).await;
            assert!(!more.is_empty(), "no row is left out");
            rows.extend(more);
            state = next;
        }
        assert!(rows == whole, "in steps of {step}");
        let (none, _) = read(&source(BLOCK), Some(&state), usize::MAX).await;
        assert_eq!(none, [], "nothing is left");
    }
}

#[tokio::test]
async fn attempts_without_a_restart_point_make_the_same_rows() {
    let source = source(BLOCK);
    let (first, _) = read(&source, None, 2).await;
    let (second, _) = read(&source, None, 2).await;
    assert_eq!(first, second);
}

#[tokio::test]
async fn another_number_of_rows_does_not_fit_the_restart_point() {
    let (_, state) = read(&source(BLOCK), None, 1).await;
    let other = source(&BLOCK.replace("10000", "20000"));
    let error = other.tables(Some(&state)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateMismatch);
    assert!(error.to_string().contains("--fresh"));
}

#[tokio::test]
async fn in_a_streaming_job_it_goes_on_behind_its_last_row() {
    let options = options("schema { fields { a = int } }, row.num = 1");
    for (mode, ends) in [(JobMode::Batch, true), (JobMode::Streaming, false)] {
        let source = FakeSource::from_options(&options, 1, mode).unwrap();
        let mut enumerator = source.enumerator(context(), None).await.unwrap();
        let mut reader = source.reader(context(), None).await.unwrap();
        let mut events = Vec::new();
        for _ in 0..3 {
            let splits = enumerator.next_splits(reader.splits_wanted()).await.unwrap();
            reader.add_splits(splits).unwrap();
            events.push(reader.next().await.unwrap());
        }
        assert!(
            matches!(events[0], SourceEvent::Batch(_)) && matches!(events[1], SourceEvent::SplitFinished(_))
        );
        assert_eq!(matches!(events[2], SourceEvent::End), ends);
        assert_eq!(matches!(events[2], SourceEvent::Idle), !ends);
    }
}

#[tokio::test]
async fn the_halves_of_an_update_leave_together() {
    let rows = "{ kind = UPDATE_BEFORE, fields = [1] }, { kind = UPDATE_AFTER, fields = [2] },".repeat(4_000);
    let block =
        format!("schema {{ fields {{ a = bigint }} }}, split.num = 3, rows = [{{ fields = [1] }}, {rows}]");
    let source = source(&block);
    let mut enumerator = source.enumerator(context(), None).await.unwrap();
    let mut reader = source.reader(context(), None).await.unwrap();
    let mut kinds = Vec::new();
    loop {
        let splits = enumerator.next_splits(reader.splits_wanted()).await.unwrap();
        reader.add_splits(splits).unwrap();
        match reader.next().await.unwrap() {
            SourceEvent::Batch(batch) => {
                assert_ne!(batch.kinds.last(), Some(&culvert_api::RowKind::UpdateBefore));
                assert_ne!(batch.kinds.first(), Some(&culvert_api::RowKind::UpdateAfter));
                kinds.extend(batch.kinds);
            }
            SourceEvent::SplitFinished(finished) => enumerator.split_finished(finished).unwrap(),
            SourceEvent::End => break,
            _ => {}
        }
    }
    assert_eq!(kinds.len(), 8_001);
}
