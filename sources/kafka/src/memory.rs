//! What the group remembers of a partition: an offset, and beside it who committed it and when.
//!
//! A marker at the sink is the truth. The group's offset is the second memory: where a sink keeps no marker
//! it is the restart point, and where the marker is gone although the group knows of a checkpoint, it is the
//! witness that keeps the job from quietly starting anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use culvert_api::{Checkpoint, Result, SourceState, StateStore};
use rdkafka::{Offset, TopicPartitionList};

use crate::partition::Place;

/// Checkpoints that a share remembers.
const CHECKPOINTS_MAX: usize = 8;
/// What our metadata begins with; the version of its layout.
const MARK: &str = "culvert1";

/// What stands beside a committed offset: `culvert1 CHECKPOINT PARTITIONS JOB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The checkpoint that is complete with it; 0 for the place where a partition begins.
    pub(crate) checkpoint: u64,
    /// How many partitions the topic had: those from this number on were added later.
    pub(crate) partitions: i32,
    pub(crate) job: String,
}

impl Note {
    /// `None` for what somebody else left.
    pub(crate) fn parse(metadata: &str) -> Option<Note> {
        let mut parts = metadata.splitn(4, ' ');
        if parts.next() != Some(MARK) {
            return None;
        }
        let checkpoint = parts.next()?.parse().ok()?;
        let partitions = parts.next()?.parse().ok()?;
        Some(Note { checkpoint, partitions, job: parts.next()?.to_owned() })
    }

    pub(crate) fn text(&self) -> String {
        format!("{MARK} {} {} {}", self.checkpoint, self.partitions, self.job)
    }
}

/// Offsets on their way to the group: the newest of every partition.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<BTreeMap<i32, (i64, Note)>>);

impl Outbox {
    pub(crate) fn put(&self, partition: i32, offset: i64, note: Note) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, (offset, note));
    }

    /// What has not been taken yet, as a list to commit; `None` when there is nothing.
    pub(crate) fn take(&self, topic: &str) -> Option<TopicPartitionList> {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return None;
        }
        let mut list = TopicPartitionList::new();
        for (partition, (offset, note)) in waiting {
            let mut element = list.add_partition(topic, partition);
            // Offsets of messages are no special values, which is all that could be refused.
            let _ = element.set_offset(Offset::Offset(offset));
            element.set_metadata(note.text());
        }
        Some(list)
    }
}

/// A share's state store: the group's memory, and this process's own checkpoints since.
pub(crate) struct GroupStore {
    group: String,
    partition: i32,
    note: Note,
    outbox: Arc<Outbox>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    checkpoints: Vec<Checkpoint>,
    epoch: u64,
}

impl GroupStore {
    /// `known` is the checkpoint that the group knows of, with its source state.
    pub(crate) fn new(
        group: &str,
        partition: i32,
        note: Note,
        known: Option<Checkpoint>,
        outbox: &Arc<Outbox>,
    ) -> GroupStore {
        GroupStore {
            group: group.to_owned(),
            partition,
            note,
            outbox: Arc::clone(outbox),
            kept: Mutex::new(Kept { checkpoints: known.into_iter().collect(), epoch: 0 }),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every sink holds this state: the group is told.
    pub(crate) fn completed(&self, state: &SourceState) -> Result<()> {
        let place = Place::decode(&state.reader)?;
        let id = self.kept().checkpoints.iter().rev().find(|kept| kept.source == *state).map(|kept| kept.id);
        if let Some(checkpoint) = id {
            self.outbox.put(self.partition, place.offset, Note { checkpoint, ..self.note.clone() });
        }
        Ok(())
    }
}

impl StateStore for GroupStore {
    fn name(&self) -> String {
        format!("consumer group '{}' (partition {})", self.group, self.partition)
    }

    fn load(&self) -> Result<Vec<Checkpoint>> {
        Ok(self.kept().checkpoints.clone())
    }

    fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let kept = &mut self.kept().checkpoints;
        kept.push(checkpoint.clone());
        let above = kept.len().saturating_sub(CHECKPOINTS_MAX);
        kept.drain(..above);
        Ok(())
    }

    fn prune_below(&self, from: u64) -> Result<()> {
        self.kept().checkpoints.retain(|kept| kept.id >= from);
        Ok(())
    }

    fn prune_above(&self, last: u64) -> Result<()> {
        self.kept().checkpoints.retain(|kept| kept.id <= last);
        Ok(())
    }

    fn next_epoch(&self, above: u64) -> Result<u64> {
        let mut kept = self.kept();
        kept.epoch = kept.epoch.max(above) + 1;
        Ok(kept.epoch)
    }

    fn reset(&self) -> Result<()> {
        *self.kept() = Kept::default();
        Ok(())
    }
}
