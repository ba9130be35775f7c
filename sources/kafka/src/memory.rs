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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn note(checkpoint: u64) -> Note {
        Note { checkpoint, partitions: 6, job: "orders to \"w\"".to_owned() }
    }

    fn checkpoint(id: u64, offset: i64) -> Checkpoint {
        let place = Place { topic: "t".to_owned(), partition: 2, offset };
        Checkpoint { id, epoch: 1, created_ms: 0, source: place.state().unwrap() }
    }

    #[test]
    fn notes_are_told_from_what_others_left() {
        assert_eq!(Note::parse(&note(7).text()), Some(note(7)));
        for other in ["", "culvert1", "culvert1 x 6 j", "culvert1 7 6", "culvert2 7 6 j", "NULL"] {
            assert_eq!(Note::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_group_is_told_of_what_every_sink_holds_and_of_nothing_else() {
        let outbox = Arc::new(Outbox::default());
        let store = GroupStore::new("g", 2, note(4), Some(checkpoint(4, 40)), &outbox);
        assert_eq!(store.load().unwrap(), [checkpoint(4, 40)]);
        store.save(&checkpoint(5, 50)).unwrap();
        assert!(outbox.take("t").is_none(), "it is saved, not committed");
        store.completed(&checkpoint(5, 50).source).unwrap();
        store.completed(&checkpoint(9, 90).source).unwrap();
        let list = outbox.take("t").unwrap();
        let told: Vec<_> =
            list.elements().iter().map(|e| (e.partition(), e.offset(), e.metadata().to_owned())).collect();
        assert_eq!(told, [(2, Offset::Offset(50), note(5).text())]);
        assert!(outbox.take("t").is_none(), "once");
    }

    #[test]
    fn it_remembers_a_bounded_number_of_checkpoints_and_epochs_rise() {
        let store = GroupStore::new("g", 2, note(0), None, &Arc::new(Outbox::default()));
        for id in 1..=20 {
            store.save(&checkpoint(id, 0)).unwrap();
        }
        let ids: Vec<u64> = store.load().unwrap().iter().map(|kept| kept.id).collect();
        assert_eq!(ids, (13..=20).collect::<Vec<u64>>());
        assert_eq!(store.next_epoch(7).unwrap(), 8);
        assert_eq!(store.next_epoch(0).unwrap(), 9);
    }
}
