//! Where a partition begins: what the group knows of it, otherwise what the job file says.

use culvert_api::{Error, ErrorKind, Result};
use culvert_kafka::{Watch, ask, error};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::memory::Note;
use crate::options::{Settings, StartMode};

/// A partition at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) partition: i32,
    /// Of the first message to read.
    pub(crate) offset: i64,
    /// What is written beside it.
    pub(crate) note: Note,
    /// The group did not know it: it has to be told before the first message is read.
    pub(crate) is_new: bool,
}

/// How many partitions the topic has. Blocks.
pub(crate) fn partitions(asker: &BaseConsumer<Watch>, topic: &str) -> Result<i32> {
    let doing = format!("ask for the topic {topic}");
    let found = ask(asker, &doing, |step| {
        let metadata = asker.fetch_metadata(Some(topic), step)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.and_then(|found| found.error()).map(RDKafkaErrorCode::from) {
            Some(code) if !error::is_missing(code) => Err(KafkaError::MetadataFetch(code)),
            Some(_) => Ok(0),
            None => Ok(found.map_or(0, |found| found.partitions().len())),
        }
    });
    let count = found.map_err(|failed| failed.context("topic", topic))?;
    match i32::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::new(ErrorKind::Schema, "the topic is missing")
            .context("topic", topic)
            .hint("create it")),
    }
}

/// Where these partitions begin. Blocks.
pub(crate) fn starts(
    settings: &Settings,
    asker: &BaseConsumer<Watch>,
    job: &str,
    group: &str,
    wanted: &[i32],
) -> Result<Vec<Start>> {
    let topic = settings.topic.as_str();
    let count = partitions(asker, topic)?;
    let mut all = TopicPartitionList::new();
    all.add_partition_range(topic, 0, count - 1);
    let known = ask(asker, &format!("read the offsets of the group {group}"), |step| {
        asker.committed_offsets(all.clone(), step)
    })?;
    let mut notes = Vec::new();
    for element in known.elements() {
        let note = Note::parse(element.metadata());
        if let Some(note) = &note
            && note.job != job
        {
            return Err(of_another_job(group, &note.job));
        }
        notes.push((element.partition(), element.offset(), note));
    }
    // Before this job wrote anything into the group, no partition is new.
    let first_count = notes.iter().filter_map(|(_, _, note)| note.as_ref()).map(|note| note.partitions).max();
    let mut found = Vec::with_capacity(wanted.len());
    for partition in wanted.iter().copied() {
        let entry = notes.iter().find(|(number, _, _)| *number == partition);
        let fresh = Note { checkpoint: 0, partitions: count, job: job.to_owned() };
        let start = match entry {
            Some((_, Offset::Offset(offset), Some(note))) => {
                Start { partition, offset: *offset, note: note.clone(), is_new: false }
            }
            Some((_, Offset::Offset(offset), None)) if settings.start == StartMode::GroupOffsets => {
                Start { partition, offset: *offset, note: fresh, is_new: true }
            }
            _ => {
                let is_added = first_count.is_some_and(|count| partition >= count);
                let mode = if is_added { &StartMode::Earliest } else { &settings.start };
                Start {
                    partition,
                    offset: resolve(topic, asker, partition, mode)?,
                    note: fresh,
                    is_new: true,
                }
            }
        };
        found.push(start);
    }
    Ok(found)
}

/// The offset that a mode means for a partition.
fn resolve(topic: &str, asker: &BaseConsumer<Watch>, partition: i32, mode: &StartMode) -> Result<i64> {
    let doing = format!("ask for the offsets of {topic}/{partition}");
    let ends = || ask(asker, &doing, |step| asker.fetch_watermarks(topic, partition, step));
    match mode {
        StartMode::Earliest | StartMode::GroupOffsets => Ok(ends()?.0),
        StartMode::Latest => Ok(ends()?.1),
        StartMode::Offsets(offsets) => match offsets.iter().find(|(number, _)| *number == partition) {
            Some((_, offset)) => Ok(*offset),
            None => Err(error::option("start_mode.offsets", &format!("does not name {topic}-{partition}"))),
        },
        StartMode::Timestamp(millis) => {
            let mut list = TopicPartitionList::new();
            // A time is any number from 0 up, which is all that could be refused.
            list.add_partition_offset(topic, partition, Offset::Offset(*millis))
                .map_err(|cause| error::convert(&cause, &doing))?;
            let found = ask(asker, &doing, |step| asker.offsets_for_times(list.clone(), step))?;
            match found.elements().first().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset)
            {
                Some(Offset::Offset(offset)) => Ok(offset),
                // Nothing is that new yet.
                _ => Ok(ends()?.1),
            }
        }
    }
}

fn of_another_job(group: &str, other: &str) -> Error {
    Error::new(
        ErrorKind::StateMismatch,
        format!(
            "consumer group '{group}' belongs to job '{other}': this one would take partitions away from it"
        ),
    )
    .hint("give each job a consumer.group of its own; --fresh makes the group forget a job that is gone")
}
