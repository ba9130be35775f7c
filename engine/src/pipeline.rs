//! One attempt of a job, from restore to stop: the eight steps.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, EventKind, JobProgress, Phase, ReaderContext, Result, Source, SourceEvent,
    SourceReader, SourceState, SplitEnumerator, Spool, SpoolItem, StateStore, TableSchema,
};
use tokio::sync::mpsc;
use tracing::info;

use crate::branch::{Report, watch};
use crate::checkpointer::Checkpointer;
use crate::graph::{Branch, refuse_unfit_targets};
use crate::lane::{Lane, LaneState};
use crate::limit::Pace;
use crate::needs::JobNeeds;
use crate::opener::{Opener, off_loop};
use crate::restore::{Restored, Standing, look, restore};
use crate::settings::{Settings, StopSignal};

/// Reports that can wait per sink: one answer per step, and a failure.
const REPORTS_MAX: usize = 4;

/// How a job ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop; the restart point is its last checkpoint.
    Stopped,
    /// The source has returned everything.
    Finished,
}

/// What one attempt works with.
pub(crate) struct Attempt<'a> {
    pub(crate) job: &'a str,
    /// The index of its writers, part of every marker's name; 0 where one process does the whole job.
    pub(crate) writer: u32,
    pub(crate) source: &'a Arc<dyn Source>,
    pub(crate) branches: &'a [Branch],
    pub(crate) store: &'a Arc<dyn StateStore>,
    /// Where [`crate::needs_spool`] says so.
    pub(crate) spool: Option<&'a Arc<dyn Spool>>,
    pub(crate) settings: &'a Settings,
    pub(crate) progress: &'a Arc<JobProgress>,
}

/// Runs one attempt.
///
/// 1 restore the checkpoint · 2 enumerate splits · 3 read a batch · 4 transform · 5 write ·
/// 6 prepare the commit · 7 save the checkpoint, then commit · 8 tell the source what it may forget.
/// Steps 4 to 6 happen in each branch's own task, behind a queue bounded in bytes.
pub(crate) async fn run(attempt: &Attempt<'_>, stop: &StopSignal) -> Result<Ended> {
    attempt.progress.set_phase(Phase::Starting);
    pass("engine.restore.before")?;
    if attempt.spool.is_none() {
        // What a spool holds is as needed when it was written, and the job may have been changed since.
        attempt.source.push_down(Arc::new(JobNeeds::new(attempt.branches)));
    }
    let known = look(attempt).await?;
    let opening = attempt.progress.waits("opening source", attempt.source.name());
    let mut tables = attempt.source.tables(known.source()).await?;
    drop(opening);
    if known.point.is_none() {
        refuse_unfit_targets(attempt.branches, &tables).await?;
    }
    // From here on there are writes.
    let (reports_in, reports) = mpsc::channel(attempt.branches.len() * REPORTS_MAX);
    let opener = Opener::new(attempt, reports_in);
    let restored = restore(attempt, &opener, &known).await?;
    pass("engine.restore.after")?;
    let state = restored.point.as_ref().map(|point| point.source.clone());
    if state.as_ref() != known.source() {
        tables = attempt.source.tables(state.as_ref()).await?;
    }
    attempt.progress.tables.set(&tables);
    let checkpoint = restored.point.as_ref().map_or(0, |point| point.id);
    if let Some(spool) = attempt.spool.cloned() {
        let (from, tables) = (state.clone(), tables.clone());
        off_loop(move || spool.start((checkpoint, from.as_ref()), &tables)).await?;
    }
    info!(epoch = restored.epoch, checkpoint, fresh = state.is_none(), "starting");
    let opening = attempt.progress.waits("opening source", attempt.source.name());
    let context = ReaderContext {
        job: attempt.job.to_owned(),
        source: attempt.source.name().to_owned(),
        progress: Arc::clone(attempt.progress),
    };
    let mut enumerator = attempt.source.enumerator(context.clone(), state.as_ref()).await?;
    let mut reader = attempt.source.reader(context, state.as_ref()).await?;
    drop(opening);
    let source = || attempt.source.name().to_owned();
    attempt.progress.tell(EventKind::EnumeratorOpened { source: source() });
    attempt.progress.tell(EventKind::ReaderOpened { source: source() });
    let mut checkpointer = start_branches(opener, reports, restored, &tables).await?;
    let result = drive(attempt, stop, enumerator.as_mut(), reader.as_mut(), &mut checkpointer).await;
    if let (Err(error), Some(checkpoint)) = (&result, checkpointer.under_way()) {
        attempt.progress.tell(EventKind::CheckpointFailed { checkpoint, reason: error.to_string() });
    }
    reader.close().await;
    attempt.progress.tell(EventKind::ReaderClosed { source: source() });
    attempt.progress.tell(EventKind::EnumeratorClosed { source: source() });
    checkpointer.close().await;
    result
}

async fn start_branches(
    opener: Opener,
    reports: mpsc::Receiver<Report>,
    restored: Restored,
    tables: &[Arc<TableSchema>],
) -> Result<Checkpointer> {
    let last = restored.point.as_ref().map_or(0, |point| point.id);
    let mut lanes = Vec::new();
    let mut workers = Vec::new();
    for (at, standing) in restored.sinks.into_iter().enumerate() {
        let (state, place) = match standing {
            Standing::At(sink, place) => {
                let behind = place.0 < last;
                let older = if behind { opener.tables_at(place.0).await? } else { Vec::new() };
                let tables = if behind { older.as_slice() } else { tables };
                let opened = opener.ready(at, restored.epoch, sink, place, tables).await?;
                workers.push(opened.worker);
                opener.told_open(at);
                let link = opened.link;
                let state =
                    if behind { LaneState::Behind { link, feeding: None } } else { LaneState::Live(link) };
                (state, Some(opened.place))
            }
            Standing::Away => (LaneState::Held { again: Instant::now(), opening: false }, None),
        };
        lanes.push(Lane { state, place, failures: 0 });
    }
    let mut checkpointer =
        Checkpointer::new(opener, restored.epoch, restored.point, (lanes, tables.to_vec()), reports);
    for worker in workers {
        checkpointer.tasks.spawn(watch(worker));
    }
    checkpointer.tell_holdings();
    Ok(checkpointer)
}

async fn drive(
    attempt: &Attempt<'_>,
    stop: &StopSignal,
    enumerator: &mut dyn SplitEnumerator,
    reader: &mut dyn SourceReader,
    checkpointer: &mut Checkpointer,
) -> Result<Ended> {
    // The first barrier pins the start position: from here on a crash cannot move it.
    let mut barrier_wanted = true;
    let mut rows_waiting = false;
    let mut ending: Option<Ended> = None;
    let mut pace = Pace::default();
    loop {
        let wanted = reader.splits_wanted();
        if wanted > 0 {
            let waiting = attempt.progress.waits("planning splits of source", attempt.source.name());
            let splits = enumerator.next_splits(wanted).await?;
            drop(waiting);
            if !splits.is_empty() {
                pass("engine.enumerate.before")?;
                reader.add_splits(splits)?;
                pass("engine.enumerate.after")?;
            }
        }
        if ending.is_none() && stop.is_set() {
            attempt.progress.set_phase(Phase::Stopping);
            ending = Some(Ended::Stopped);
        }
        if barrier_wanted || ending.is_some() || checkpointer.due(rows_waiting) {
            reader.request_barrier();
            barrier_wanted = false;
            pace.barrier_comes = true;
        }
        if ending.is_none() && checkpointer.spool_is_full() {
            checkpointer.wait().await?;
            forget(reader, checkpointer).await?;
            continue;
        }
        if ending.is_none() && pace.waited(&attempt.settings.read_limit).await {
            forget(reader, checkpointer).await?;
            continue;
        }
        pass("engine.read.before")?;
        let waiting = attempt.progress.waits("reading from source", attempt.source.name());
        let event = reader.next().await?;
        drop(waiting);
        pass("engine.read.after")?;
        match event {
            SourceEvent::Batch(batch) => {
                rows_waiting = true;
                send_batch(attempt, checkpointer, batch).await?;
            }
            SourceEvent::SchemaChange(change) => {
                attempt.progress.tell(EventKind::of_change(&change));
                attempt.progress.tables.follow(&change);
                checkpointer.send_all(SpoolItem::SchemaChange(change)).await?;
            }
            SourceEvent::SplitFinished(finished) => {
                rows_waiting = true;
                enumerator.split_finished(finished)?;
            }
            SourceEvent::Barrier { reader: state, position } => {
                attempt.progress.tell_of_snapshot(false);
                let source = SourceState { enumerator: enumerator.snapshot_state()?, reader: state };
                checkpointer.begin(source, position, rows_waiting).await?;
                rows_waiting = false;
                pace.barrier_comes = false;
                if let Some(how) = ending {
                    checkpointer.settle().await?;
                    if how == Ended::Finished {
                        // What is held is not finished.
                        checkpointer.level(stop).await?;
                        if checkpointer.all_level() {
                            checkpointer.finish().await?;
                        }
                    }
                    forget(reader, checkpointer).await?;
                    return Ok(if checkpointer.all_level() { how } else { Ended::Stopped });
                }
            }
            SourceEvent::Idle => {}
            SourceEvent::End => {
                attempt.progress.tell_of_snapshot(true);
                ending = Some(ending.unwrap_or(Ended::Finished));
            }
        }
        forget(reader, checkpointer).await?;
    }
}

/// Step 8: what every sink has committed, the source may forget.
async fn forget(reader: &mut dyn SourceReader, checkpointer: &mut Checkpointer) -> Result<()> {
    match checkpointer.poll().await? {
        Some(state) => {
            pass("engine.forget.before")?;
            let _waiting = checkpointer.opener.progress.waits("telling the source what it may forget", "");
            reader.checkpoint_complete(&state).await?;
            pass("engine.forget.after")
        }
        None => Ok(()),
    }
}

async fn send_batch(
    attempt: &Attempt<'_>,
    checkpointer: &mut Checkpointer,
    batch: ChangeBatch,
) -> Result<()> {
    if batch.rows.num_rows() != batch.kinds.len() || batch.positions.len() != batch.kinds.len() {
        return Err(Error::new(
            ErrorKind::Internal,
            "a batch whose columns, kinds and positions differ in length",
        )
        .context("table", &batch.schema.id));
    }
    attempt.progress.rows_read.fetch_add(batch.len() as u64, Relaxed);
    attempt.progress.read.count(attempt.source.name(), &batch);
    attempt.settings.read_limit.took(batch.len(), batch.memory_bytes());
    checkpointer.note_commit_times(&batch);
    checkpointer.send_all(SpoolItem::Batch(batch)).await
}
