//! One attempt of a job, from restore to stop: the eight steps.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, JobProgress, Phase, ReaderContext, Result, Source, SourceEvent,
    SourceReader, SourceState, SplitEnumerator, StateStore, TableSchema,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::info;

use crate::branch::{BranchReport, BranchWorker};
use crate::checkpointer::{BranchHandle, Checkpointer};
use crate::graph::{Branch, refuse_unfit_targets};
use crate::queue::{Flow, queue};
use crate::restore::{Restored, look, restore};
use crate::settings::{Settings, StopSignal};

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
    let known = look(attempt.job, attempt.branches, attempt.store).await?;
    let mut tables = attempt.source.tables(known.source.as_ref()).await?;
    if known.checkpoint == 0 {
        refuse_unfit_targets(attempt.branches, &tables).await?;
    }
    // From here on there are writes.
    let restored = restore(attempt, &known).await?;
    pass("engine.restore.after")?;
    let mut state = restored.source.clone();
    if state != known.source {
        tables = attempt.source.tables(state.as_ref()).await?;
    }
    info!(epoch = restored.epoch, checkpoint = restored.checkpoint, fresh = state.is_none(), "starting");
    let context = ReaderContext { job: attempt.job.to_owned(), progress: Arc::clone(attempt.progress) };
    let mut enumerator = attempt.source.enumerator(context.clone(), state.as_ref()).await?;
    let mut reader = attempt.source.reader(context, state.as_ref()).await?;
    let mut tasks = JoinSet::new();
    let mut checkpointer = start_branches(attempt, restored, &tables, state.take(), &mut tasks).await?;
    let result = drive(attempt, stop, enumerator.as_mut(), reader.as_mut(), &mut checkpointer).await;
    reader.close().await;
    // Closing the queues ends the branches; they drop what is not committed.
    drop(checkpointer);
    while tasks.join_next().await.is_some() {}
    result
}

async fn start_branches(
    attempt: &Attempt<'_>,
    restored: Restored,
    tables: &[Arc<TableSchema>],
    last_source: Option<SourceState>,
    tasks: &mut JoinSet<()>,
) -> Result<Checkpointer> {
    let settings = attempt.settings;
    let fresh = restored.checkpoint == 0;
    // One answer per branch and step is the most that can wait.
    let (reports, reports_in) = mpsc::channel(attempt.branches.len() * 4);
    let mut handles = Vec::new();
    for (branch, mut opened) in attempt.branches.iter().zip(restored.sinks) {
        let mapped = branch.map_schemas(tables)?;
        opened.writer.prepare_tables(&mapped, fresh).await?;
        let (queue_in, queue_out) = queue(settings.queue_bytes_max);
        let (orders_in, orders_out) = mpsc::channel(1);
        let worker = BranchWorker::new(
            attempt.job.to_owned(),
            (branch.name.clone(), attempt.writer),
            branch.transforms.clone(),
            (opened.writer, opened.committer),
            queue_out,
            orders_out,
            reports.clone(),
            settings.flush_after_idle,
        );
        tasks.spawn(watch(worker, reports.clone()));
        handles.push(BranchHandle { queue: queue_in, commit_orders: orders_in });
    }
    Ok(Checkpointer::new(
        Arc::clone(attempt.store),
        settings.clone(),
        Arc::clone(attempt.progress),
        restored.epoch,
        (restored.checkpoint, last_source),
        handles,
        reports_in,
    ))
}

/// Runs a branch to its end. A panic in it is a failure like another, or the checkpointer would wait for
/// a word of it for ever.
async fn watch(worker: BranchWorker, reports: mpsc::Sender<BranchReport>) {
    let sink = worker.sink.clone();
    if let Err(panic) = tokio::spawn(worker.run()).await {
        let error = Error::new(ErrorKind::Internal, "the task of a sink panicked")
            .context("sink", sink)
            .caused_by(panic)
            .hint("start the job again: it goes on from its last checkpoint; please report the panic");
        // The coordinator may be gone already, with an error of its own.
        let _ = reports.send(BranchReport::Failed(error)).await;
    }
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
    loop {
        let wanted = reader.splits_wanted();
        if wanted > 0 {
            let splits = enumerator.next_splits(wanted).await?;
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
        }
        pass("engine.read.before")?;
        let event = reader.next().await?;
        pass("engine.read.after")?;
        match event {
            SourceEvent::Batch(batch) => {
                rows_waiting = true;
                send_batch(attempt, checkpointer, batch).await?;
            }
            SourceEvent::SchemaChange(change) => {
                checkpointer.send_all(|| Flow::SchemaChange(change.clone())).await?;
            }
            SourceEvent::SplitFinished(finished) => {
                rows_waiting = true;
                enumerator.split_finished(finished)?;
            }
            SourceEvent::Barrier { reader: state, position } => {
                let source = SourceState { enumerator: enumerator.snapshot_state()?, reader: state };
                checkpointer.begin(source, position, rows_waiting).await?;
                rows_waiting = false;
                if let Some(how) = ending {
                    checkpointer.settle().await?;
                    forget(reader, checkpointer).await?;
                    return Ok(how);
                }
            }
            SourceEvent::Idle => {}
            SourceEvent::End => ending = Some(ending.unwrap_or(Ended::Finished)),
        }
        forget(reader, checkpointer).await?;
    }
}

/// Step 8: what every sink has committed, the source may forget.
async fn forget(reader: &mut dyn SourceReader, checkpointer: &mut Checkpointer) -> Result<()> {
    match checkpointer.poll().await? {
        Some(state) => {
            pass("engine.forget.before")?;
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
    checkpointer.send_batch(batch).await
}
