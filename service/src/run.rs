//! `culvert run`: one job in the foreground.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use culvert_api::{Error, ErrorClass, EventKind, JobProgress};
use culvert_config::{Problem, Report};
use culvert_engine::{Ended, Job, ReadLimit, stop_channel};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::arguments::{Format, JobArguments, RunOptions};
use crate::daemon::jobs::figures;
use crate::events::Events;
use crate::job;
use crate::progress;
use crate::state;
use crate::terminal::{answer, complain, complains_in_colour};

/// Events of a job that are kept for its listeners.
const EVENTS_KEPT: u64 = 10_000;
/// How long the end of a job waits until its listeners have been told.
const LAST_EVENTS: Duration = Duration::from_secs(10);

/// Runs a job; the exit code.
pub(crate) async fn run(options: RunOptions) -> u8 {
    let job = match job::read(&options.job, options.metadata.metadata.as_deref()) {
        Ok(job) => job,
        Err(problems) => {
            tell(&problems);
            return 2;
        }
    };
    tell(&job.problems);
    if !job.is_sound() {
        return 2;
    }
    let Some(graph) = job.graph else { return 2 };
    let (store, spool) = match state::open(&graph, &job.name, options.state.clone(), options.fresh).await {
        Ok(state) => state,
        Err(error) => {
            complain(&format!("error: {error}"));
            return 2;
        }
    };
    tracing::info!(job = job.name, delivery = job::delivery(&graph), "job read");
    let folder = state::folder(options.state, &job.name).join("events");
    let events = match job.listeners.is_empty() {
        true => None,
        false => match Events::open(&folder, EVENTS_KEPT) {
            Ok(events) => Some(events),
            Err(error) => {
                complain(&format!("error: {error}"));
                return 2;
            }
        },
    };
    let progress = Arc::new(JobProgress::default());
    if let Some(events) = &events {
        events.start(None, job.listeners);
        progress.set_listener(events.of_job(None, &job.name));
    }
    if let Err(error) = limits_on_hangup(options.job, job.settings.read_limit.clone()) {
        complain(&format!("error: signals cannot be received: {error}"));
        return 2;
    }
    let running = Job { name: job.name, graph, store, spool, settings: job.settings, progress };
    let code = run_to_the_end(&running, options.format).await;
    if let Some(events) = events {
        // The rest is told by the next run.
        let keeping = Arc::clone(&events);
        // An error means that it panicked; what is not on disk cannot be told.
        let _ = tokio::task::spawn_blocking(move || keeping.keep(LAST_EVENTS)).await;
        events.told(LAST_EVENTS).await;
        events.close().await;
    }
    code
}

/// Tells of the problems of a job file.
fn tell(problems: &[Problem]) {
    let mut report = Report::default();
    problems.iter().for_each(|problem| report.add(problem));
    let findings = report.findings_text(complains_in_colour());
    if !findings.is_empty() {
        complain(&findings);
    }
}

async fn run_to_the_end(job: &Job, format: Format) -> u8 {
    let (stop, signal) = stop_channel();
    if let Err(error) = stop_on_signals(stop) {
        complain(&format!("error: signals cannot be received: {error}"));
        return 2;
    }
    let begun = Instant::now();
    let shown = tokio::spawn(progress::show(Arc::clone(&job.progress)));
    let result = culvert_engine::run(job, signal).await;
    shown.abort();
    // The line is taken off the screen before the totals; being cancelled is its normal end.
    let _ = shown.await;
    let ended = ended(&result);
    job.progress.tell(status(&result));
    match format {
        Format::Human => answer(&totals(job, begun, ended)),
        Format::Json => answer(&totals_json(job, begun, ended)),
    }
    match result {
        Ok(_) => 0,
        Err(error) => {
            complain(&format!("error: {error}"));
            match error.class() {
                ErrorClass::Operator => 2,
                ErrorClass::Transient | ErrorClass::Data | ErrorClass::Fatal => 1,
            }
        }
    }
}

/// The first signal asks the job to finish its checkpoint; the second ends the program.
fn stop_on_signals(stop: watch::Sender<bool>) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                complain("stopped at once; the restart point is the last checkpoint");
                std::process::exit(130);
            }
            asked = true;
            tracing::info!("stopping: finishing the checkpoint (again to stop at once)");
            // The job may have ended already.
            let _ = stop.send(true);
        }
    });
    Ok(())
}

/// A hangup asks for the limits on reading to be taken from the job file again, and for nothing else.
fn limits_on_hangup(arguments: JobArguments, limit: ReadLimit) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match job::read_limits(&arguments) {
                Ok((rows, bytes)) => {
                    limit.set(rows, bytes);
                    tracing::info!(
                        rows_per_second = rows,
                        bytes_per_second = bytes,
                        "the limits on reading are those of the job file now (0: none)"
                    );
                }
                Err(problems) => problems.iter().for_each(|problem| {
                    tracing::error!("the limits on reading stay as they were: {problem}");
                }),
            }
        }
    });
    Ok(())
}

fn ended(result: &Result<Ended, Error>) -> &'static str {
    match result {
        Ok(Ended::Stopped) => "stopped",
        Ok(Ended::Finished) => "finished",
        Err(_) => "failed",
    }
}

/// What the listeners are told at the end.
fn status(result: &Result<Ended, Error>) -> EventKind {
    let (status, reason) = match result {
        Ok(Ended::Stopped) => ("CANCELED", None),
        Ok(Ended::Finished) => ("FINISHED", None),
        Err(error) => ("FAILED", Some(error.to_string())),
    };
    EventKind::JobStatus { status, reason }
}

fn totals_json(job: &Job, begun: Instant, ended: &str) -> String {
    let totals = json!({
        "name": job.name,
        "ended": ended,
        "seconds": begun.elapsed().as_secs_f64(),
        "figures": figures(&job.progress),
    });
    // Texts and numbers always serialise.
    serde_json::to_string_pretty(&totals).unwrap_or_default()
}

fn totals(job: &Job, begun: Instant, ended: &str) -> String {
    let progress = &job.progress;
    let seconds = begun.elapsed().as_secs_f64();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(vec!["Job", &job.name]);
    let mut row = |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), value]);
    };
    row("Ended", ended.to_owned());
    row("Total time", format!("{seconds:.1} s"));
    row("Rows read", progress.rows_read.load(Relaxed).to_string());
    row("Rows written", progress.rows_written.load(Relaxed).to_string());
    row("Rows committed", progress.rows_committed.load(Relaxed).to_string());
    row("Bytes read", progress.bytes_read.load(Relaxed).to_string());
    row("Snapshot chunks", progress.chunks_done.load(Relaxed).to_string());
    row("Checkpoints", progress.checkpoints.load(Relaxed).to_string());
    row("Restarts", progress.restarts.load(Relaxed).to_string());
    row("Restart point", progress.position());
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
