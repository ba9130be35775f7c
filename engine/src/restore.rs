//! Step 1: where a job goes on. The sinks' markers are the truth, the store is a cache of it, and the
//! spool has what lies between sinks that stand apart.

use culvert_api::{Checkpoint, CommitMarker, Error, ErrorKind, OpenSink, Result, SourceState, Spool};
use tracing::{error, info, warn};

use crate::checkpointer::blocking;
use crate::graph::{Branch, FailurePolicy};
use crate::opener::{Opener, Place, off_loop};
use crate::pipeline::Attempt;

/// What is known before anything is written.
pub(crate) struct Known {
    /// The checkpoint to go on from; `None` when nothing was ever committed.
    pub(crate) point: Option<Checkpoint>,
    /// The largest epoch of a marker.
    epoch: u64,
}

impl Known {
    /// The source state to go on from.
    pub(crate) fn source(&self) -> Option<&SourceState> {
        self.point.as_ref().map(|point| &point.source)
    }
}

/// What a run starts from.
pub(crate) struct Restored {
    /// This attempt's epoch.
    pub(crate) epoch: u64,
    /// The checkpoint to go on from; `None` when nothing was ever committed.
    pub(crate) point: Option<Checkpoint>,
    /// The sinks, in branch order.
    pub(crate) sinks: Vec<Standing>,
}

/// One sink at the start.
pub(crate) enum Standing {
    /// It is open, and holds this.
    At(OpenSink, Place),
    /// It cannot be reached, and its policy lets the others go on.
    Away,
}

/// What a sink answered when it was asked for its marker.
enum Answer {
    /// Its marker, if it has one.
    Marker(Option<CommitMarker>),
    /// It keeps none, for its contract is below exactly-once.
    Without,
    /// It cannot be reached, and its policy lets the others go on.
    Away(Error),
}

impl Answer {
    fn of(branch: &Branch, asked: Result<Option<CommitMarker>>) -> Result<Answer> {
        match asked {
            Ok(_) if !branch.is_exact() => Ok(Answer::Without),
            Ok(marker) => Ok(Answer::Marker(marker)),
            Err(error) if branch.on_failure == FailurePolicy::Hold && error.kind() != ErrorKind::Fenced => {
                Ok(Answer::Away(error))
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads markers and store and finds the checkpoint to go on from. Writes nothing: what refuses a
/// start must leave no trace, above all no new marker in the place of a lost one, which would make
/// the next start look like the first.
pub(crate) async fn look(attempt: &Attempt<'_>) -> Result<Known> {
    let mut answers = Vec::with_capacity(attempt.branches.len());
    for branch in attempt.branches {
        let _waiting = attempt.progress.waits("asking for the commit marker of sink", &branch.name);
        answers.push(Answer::of(
            branch,
            branch.sink.committed(attempt.job, &branch.name, attempt.writer).await,
        )?);
    }
    let epochs = answers.iter().filter_map(|answer| match answer {
        Answer::Marker(Some(marker)) => Some(marker.epoch),
        _ => None,
    });
    let epoch = epochs.max().unwrap_or(0);
    Ok(Known { point: find(attempt, answers).await?, epoch })
}

/// Takes a new epoch, fences every sink with it, and finds the checkpoint to go on from: another
/// run may have moved it since `known` was read.
pub(crate) async fn restore(attempt: &Attempt<'_>, opener: &Opener, known: &Known) -> Result<Restored> {
    let epoch_above = known.epoch;
    let epoch = blocking(attempt.store, move |store| store.next_epoch(epoch_above)).await?;
    let mut opened = Vec::with_capacity(attempt.branches.len());
    let mut answers = Vec::with_capacity(attempt.branches.len());
    for (at, branch) in attempt.branches.iter().enumerate() {
        let _waiting = attempt.progress.waits("opening sink", &branch.name);
        let result = branch.sink.open(&opener.context(at, epoch)).await;
        let (sink, marker) = match result {
            Ok(sink) => {
                let marker = sink.marker.clone();
                (Some(sink), Ok(marker))
            }
            Err(error) => (None, Err(error)),
        };
        opened.push(sink);
        answers.push(Answer::of(branch, marker)?);
    }
    let places: Vec<Option<Place>> = answers.iter().map(place).collect();
    let point = find(attempt, answers).await?;
    let last = point.as_ref().map_or(0, |point| point.id);
    blocking(attempt.store, move |store| store.prune_above(last)).await?;
    let at_point: Place = (last, point.as_ref().map(|point| point.source.clone()));
    let sinks = opened.into_iter().zip(places).map(|(sink, place)| match sink {
        Some(sink) => Standing::At(sink, place.unwrap_or_else(|| at_point.clone())),
        None => Standing::Away,
    });
    let sinks = sinks.collect();
    Ok(Restored { epoch, point, sinks })
}

/// Where a sink stands by its marker; `None` for one that keeps none or is away.
fn place(answer: &Answer) -> Option<Place> {
    match answer {
        Answer::Marker(Some(marker)) if marker.checkpoint > 0 => {
            Some((marker.checkpoint, marker.source.clone()))
        }
        Answer::Marker(_) => Some((0, None)),
        Answer::Without | Answer::Away(_) => None,
    }
}

/// The checkpoint to go on from, by what the sinks answered and the store.
async fn find(attempt: &Attempt<'_>, answers: Vec<Answer>) -> Result<Option<Checkpoint>> {
    let saved = blocking(attempt.store, |store| store.load()).await?;
    let job = attempt.job.to_owned();
    let names: Vec<String> = attempt.branches.iter().map(|branch| branch.name.clone()).collect();
    let spool = attempt.spool.cloned();
    let store = attempt.store.name();
    off_loop(move || restart_point((&job, &store), &names, answers, saved, spool.as_deref())).await
}

/// Puts what the sinks answered, the store's checkpoints and the spool together.
///
/// Sinks that agree are the truth. Where they stand apart, or one cannot be asked, the newest saved
/// checkpoint is the place: no sink can be past it, because it is saved before any commits it, and the spool
/// has what the others lack.
fn restart_point(
    (job, store): (&str, &str),
    names: &[String],
    answers: Vec<Answer>,
    saved: Vec<Checkpoint>,
    spool: Option<&dyn Spool>,
) -> Result<Option<Checkpoint>> {
    let mut markers: Vec<(&str, Option<CommitMarker>)> = Vec::new();
    let mut away = None;
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Answer::Marker(marker) => markers.push((name, marker)),
            Answer::Without => {}
            Answer::Away(error) => {
                error!(sink = name, "the sink cannot be reached, the others go on: {error}");
                away = Some(error);
            }
        }
    }
    let number = |marker: &Option<CommitMarker>| marker.as_ref().map_or(0, |marker| marker.checkpoint);
    let apart = markers.windows(2).any(|pair| number(&pair[0].1) != number(&pair[1].1));
    if let Some(error) = away {
        // Without a checkpoint, or another sink to go on with, there is nothing to wait for it with.
        if saved.is_empty() || markers.is_empty() {
            return Err(error);
        }
    } else if !apart {
        return match markers.into_iter().max_by_key(|(_, marker)| marker.is_none()) {
            Some((sink, marker)) => reconcile((job, store), sink, marker.as_ref(), saved),
            None => Ok(saved.into_iter().last()),
        };
    }
    for (sink, marker) in &markers {
        if marker.is_none() && !saved.is_empty() {
            return reconcile((job, store), sink, None, saved);
        }
    }
    let Some(point) = saved.into_iter().last() else {
        return Err(stand_apart(job, &markers, &format!("{store} was lost")));
    };
    let Some(spool) = spool else {
        return Err(Error::new(ErrorKind::Internal, "a job of several sinks without a spool"));
    };
    for (_, marker) in &markers {
        let place = match marker {
            Some(marker) if marker.checkpoint > 0 => (marker.checkpoint, marker.source.as_ref()),
            _ => (0, None),
        };
        if let Err(error) = spool.verify(place, &point) {
            return match error.kind() {
                ErrorKind::StateMismatch | ErrorKind::Corrupt => {
                    Err(stand_apart(job, &markers, &error.to_string()))
                }
                _ => Err(error),
            };
        }
    }
    let places: Vec<String> =
        markers.iter().map(|(sink, marker)| format!("{sink} {}", number(marker))).collect();
    info!(checkpoint = point.id, "going on from the spool; the sinks stand at: {}", places.join(", "));
    Ok(Some(point))
}

/// The sinks stand apart and what lies between them is gone.
fn stand_apart(job: &str, markers: &[(&str, Option<CommitMarker>)], why: &str) -> Error {
    let places: Vec<String> = markers
        .iter()
        .map(|(sink, marker)| format!("'{sink}' {}", marker.as_ref().map_or(0, |marker| marker.checkpoint)))
        .collect();
    Error::new(
        ErrorKind::StateMismatch,
        format!(
            "the sinks of job '{job}' hold different checkpoints ({}), and the spool does not have what lies \
             between: {why}",
            places.join(", ")
        ),
    )
    .hint("restore the state folder from a backup; docs/fan-out.md says how to go on without it")
}

/// Puts the sink's marker and the store's checkpoints together.
fn reconcile(
    (job, store): (&str, &str),
    sink: &str,
    marker: Option<&CommitMarker>,
    saved: Vec<Checkpoint>,
) -> Result<Option<Checkpoint>> {
    let Some(marker) = marker else {
        let Some(newest) = saved.last() else { return Ok(None) };
        return Err(Error::new(
            ErrorKind::StateMismatch,
            format!(
                "{store} knows checkpoint {} of job '{job}', but sink '{sink}' has no commit marker \
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
            sink, "{store} differs from the sink's marker; the marker is the truth"
        );
    } else {
        info!(checkpoint = marker.checkpoint, sink, "state rebuilt from the sink's commit marker");
    }
    let Some(source) = marker.source.clone() else {
        return Err(Error::new(
            ErrorKind::StateMismatch,
            format!("sink '{sink}' is at checkpoint {}, which {store} does not have", marker.checkpoint),
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
        let found = reconcile(
            ("j", "the state folder"),
            "s",
            Some(&marker(4, Some("four"))),
            vec![saved(4, "four"), saved(5, "five")],
        );
        assert_eq!(found.unwrap(), Some(saved(4, "four")));
    }

    #[test]
    fn a_lost_store_is_rebuilt_from_the_marker() {
        let found = reconcile(("j", "the state folder"), "s", Some(&marker(4, Some("four"))), vec![])
            .unwrap()
            .unwrap();
        assert_eq!((found.id, found.source), (4, state("four")));
    }

    #[test]
    fn a_store_that_was_rolled_back_gives_way_to_the_marker() {
        let found =
            reconcile(("j", "the state folder"), "s", Some(&marker(4, Some("four"))), vec![saved(2, "two")])
                .unwrap()
                .unwrap();
        assert_eq!((found.id, found.source), (4, state("four")));
        let other = reconcile(
            ("j", "the state folder"),
            "s",
            Some(&marker(4, Some("four"))),
            vec![saved(4, "other")],
        )
        .unwrap()
        .unwrap();
        assert_eq!(other.source, state("four"));
    }

    #[test]
    fn a_lost_marker_is_refused_and_never_a_new_snapshot() {
        let error = reconcile(("j", "the state folder"), "s", None, vec![saved(7, "seven")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StateMismatch);
        assert!(error.to_string().contains("checkpoint 7"), "{error}");
        assert!(error.hint_text().unwrap().contains("--fresh"));
    }

    #[test]
    fn nothing_committed_is_a_fresh_start() {
        assert_eq!(reconcile(("j", "the state folder"), "s", None, vec![]).unwrap(), None);
        assert_eq!(
            reconcile(("j", "the state folder"), "s", Some(&marker(0, None)), vec![saved(1, "one")]).unwrap(),
            None
        );
    }
}
