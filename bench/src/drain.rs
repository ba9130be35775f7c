//! A whole job, from the server's log or table to a sink, until its source ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Result, ensure};
use culvert_api::Sink;
use culvert_engine::{Ended, stop_channel};

use crate::discard::DiscardSink;
use crate::job;
use crate::task::Outcome;

/// Runs the job of this text. Rows are only counted on the way to the discarding sink; what a real
/// sink holds is compared with the source afterwards.
pub(crate) async fn run(text: &str, discard: bool, state: &Path) -> Result<Outcome> {
    if !discard {
        return to_end(text, None, state).await;
    }
    let sink = Arc::new(DiscardSink::default());
    let done = into(text, Arc::clone(&sink) as Arc<dyn Sink>, state).await?;
    Ok(Outcome { checkpoints: done.checkpoints, ..sink.outcome() })
}

/// Runs the job of this text into this sink instead of its own.
pub(crate) async fn into(text: &str, sink: Arc<dyn Sink>, state: &Path) -> Result<Outcome> {
    to_end(text, Some(sink), state).await
}

async fn to_end(text: &str, instead: Option<Arc<dyn Sink>>, state: &Path) -> Result<Outcome> {
    let job = job::build(text, state, instead)?;
    // Nobody asks it to stop.
    let (_stop, signal) = stop_channel();
    let ended = culvert_engine::run(&job, signal).await?;
    ensure!(ended == Ended::Finished, "the job was stopped");
    Ok(Outcome { checkpoints: job.progress.checkpoints.load(Relaxed), ..Outcome::default() })
}
