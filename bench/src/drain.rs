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
    let sink = discard.then(|| Arc::new(DiscardSink::default()));
    let job = job::build(text, state, sink.clone().map(|sink| sink as Arc<dyn Sink>))?;
    // Nobody asks it to stop.
    let (_stop, signal) = stop_channel();
    let ended = culvert_engine::run(&job, signal).await?;
    ensure!(ended == Ended::Finished, "the job was stopped");
    let outcome = sink.map(|sink| sink.outcome()).unwrap_or_default();
    Ok(Outcome { checkpoints: job.progress.checkpoints.load(Relaxed), ..outcome })
}
