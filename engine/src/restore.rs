//! Step 1: where a job goes on. The sinks' markers are the truth, the store is a cache of it.

use std::sync::Arc;

use culvert_api::{
    Checkpoint, CommitMarker, DeliveryContract, Error, ErrorKind, OpenSink, Result, SourceState, StateStore,
    WriterContext,
};
use tracing::{info, warn};

use crate::checkpointer::blocking;
use crate::graph::Branch;
use crate::pipeline::Attempt;

/// What is known before anything is written.
pub(crate) struct Known {
    /// The last checkpoint that every sink holds; 0 when nothing was ever committed.
    pub(crate) checkpoint: u64,
    /// The source state of that checkpoint.
    pub(crate) source: Option<SourceState>,
    /// The largest epoch of a marker.
    epoch: u64,
}

/// What a run starts from.
pub(crate) struct Restored {
    /// This attempt's epoch.
    pub(crate) epoch: u64,
    /// The last checkpoint that every sink holds; 0 when nothing was ever committed.
    pub(crate) checkpoint: u64,
    /// The source state of that checkpoint.
    pub(crate) source: Option<SourceState>,
    /// The opened sinks, in branch order.
    pub(crate) sinks: Vec<OpenSink>,
}

/// Reads markers and store and finds the checkpoint to go on from. Writes nothing: what refuses a
/// start must leave no trace, above all no new marker in the place of a lost one, which would make
/// the next start look like the first.
pub(crate) async fn look(job: &str, branches: &[Branch], store: &Arc<dyn StateStore>) -> Result<Known> {
    let mut markers = Vec::with_capacity(branches.len());
    for branch in branches {
        markers.push(branch.sink.committed(job, &branch.name).await?);
    }
    let epoch = markers.iter().flatten().map(|marker| marker.epoch).max().unwrap_or(0);
    let last = last_checkpoint(job, branches, markers.iter().map(Option::as_ref), store).await?;
    let checkpoint = last.as_ref().map_or(0, |checkpoint| checkpoint.id);
    Ok(Known { checkpoint, source: last.map(|checkpoint| checkpoint.source), epoch })
}

/// Takes a new epoch, fences every sink with it, and finds the checkpoint to go on from: another
/// run may have moved it since `known` was read.
pub(crate) async fn restore(attempt: &Attempt<'_>, known: &Known) -> Result<Restored> {
    let &Attempt { job, writer, branches, store, progress, .. } = attempt;
    let epoch_above = known.epoch;
    let epoch = blocking(store, move |store| store.next_epoch(epoch_above)).await?;
    let mut sinks = Vec::with_capacity(branches.len());
    for branch in branches {
        let context = WriterContext {
            job: job.to_owned(),
            sink: branch.name.clone(),
            writer,
            epoch,
            progress: Arc::clone(progress),
        };
        sinks.push(branch.sink.open(&context).await?);
    }
    let last =
        last_checkpoint(job, branches, sinks.iter().map(|opened| opened.marker.as_ref()), store).await?;
    let checkpoint = last.as_ref().map_or(0, |checkpoint| checkpoint.id);
    blocking(store, move |store| store.prune_above(checkpoint)).await?;
    Ok(Restored { epoch, checkpoint, source: last.map(|checkpoint| checkpoint.source), sinks })
}

/// The last checkpoint by these markers, one per branch, and the store.
async fn last_checkpoint(
    job: &str,
    branches: &[Branch],
    markers: impl Iterator<Item = Option<&CommitMarker>>,
    store: &Arc<dyn StateStore>,
) -> Result<Option<Checkpoint>> {
    let truth = branches
        .iter()
        .zip(markers)
        .find(|(branch, _)| branch.sink.contract() == DeliveryContract::ExactlyOnce)
        .map(|(branch, marker)| (branch.name.as_str(), marker.cloned()));
    let saved = blocking(store, |store| store.load()).await?;
    match truth {
        Some((sink, marker)) => reconcile(job, sink, marker.as_ref(), saved),
        None => Ok(saved.into_iter().last()),
    }
}

/// Puts the sink's marker and the store's checkpoints together.
fn reconcile(
    job: &str,
    sink: &str,
    marker: Option<&CommitMarker>,
    saved: Vec<Checkpoint>,
) -> Result<Option<Checkpoint>> {
    let Some(marker) = marker else {
        let Some(newest) = saved.last() else { return Ok(None) };
        return Err(Error::new(
            ErrorKind::StateMismatch,
            format!(
                "the state folder knows checkpoint {} of job '{job}', but sink '{sink}' has no commit marker \
                 of it: the target was replaced or its marker table was removed",
                newest.id
            ),
        )
        .hint(
            "restore the target, or start over with --fresh, which forgets the state and takes a new snapshot",
        ));
    };
    if marker.checkpoint == 0 {
        return Ok(None);
    }
    if let Some(found) = saved.into_iter().find(|checkpoint| checkpoint.id == marker.checkpoint) {
        if marker.source.as_ref().is_none_or(|source| *source == found.source) {
            return Ok(Some(found));
        }
        warn!(
            checkpoint = marker.checkpoint,
            sink, "the state folder differs from the sink's marker; the marker is the truth"
        );
    } else {
        info!(checkpoint = marker.checkpoint, sink, "state rebuilt from the sink's commit marker");
    }
    let Some(source) = marker.source.clone() else {
        return Err(Error::new(
            ErrorKind::StateMismatch,
            format!(
                "sink '{sink}' is at checkpoint {}, which the state folder does not have",
                marker.checkpoint
            ),
        )
        .hint("restore the state folder from a backup, or start over with --fresh"));
    };
    Ok(Some(Checkpoint { id: marker.checkpoint, epoch: marker.epoch, created_ms: 0, source }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn state(text: &str) -> SourceState {
        SourceState { enumerator: Vec::new(), reader: text.as_bytes().to_vec() }
    }

    fn saved(id: u64, text: &str) -> Checkpoint {
        Checkpoint { id, epoch: 1, created_ms: 0, source: state(text) }
    }

    fn marker(checkpoint: u64, text: Option<&str>) -> CommitMarker {
        let source = text.map(state);
        CommitMarker { job: "j".into(), sink: "s".into(), writer: 0, epoch: 1, checkpoint, source }
    }

    #[test]
    fn a_checkpoint_saved_but_not_committed_is_not_the_restart_point() {
        let found =
            reconcile("j", "s", Some(&marker(4, Some("four"))), vec![saved(4, "four"), saved(5, "five")]);
        assert_eq!(found.unwrap(), Some(saved(4, "four")));
    }

    #[test]
    fn a_lost_store_is_rebuilt_from_the_marker() {
        let found = reconcile("j", "s", Some(&marker(4, Some("four"))), vec![]).unwrap().unwrap();
        assert_eq!((found.id, found.source), (4, state("four")));
    }

    #[test]
    fn a_store_that_was_rolled_back_gives_way_to_the_marker() {
        let found =
            reconcile("j", "s", Some(&marker(4, Some("four"))), vec![saved(2, "two")]).unwrap().unwrap();
        assert_eq!((found.id, found.source), (4, state("four")));
        let other =
            reconcile("j", "s", Some(&marker(4, Some("four"))), vec![saved(4, "other")]).unwrap().unwrap();
        assert_eq!(other.source, state("four"));
    }

    #[test]
    fn a_lost_marker_is_refused_and_never_a_new_snapshot() {
        let error = reconcile("j", "s", None, vec![saved(7, "seven")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StateMismatch);
        assert!(error.to_string().contains("checkpoint 7"), "{error}");
        assert!(error.hint_text().unwrap().contains("--fresh"));
    }

    #[test]
    fn nothing_committed_is_a_fresh_start() {
        assert_eq!(reconcile("j", "s", None, vec![]).unwrap(), None);
        assert_eq!(reconcile("j", "s", Some(&marker(0, None)), vec![saved(1, "one")]).unwrap(), None);
    }
}
