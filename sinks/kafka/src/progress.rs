//! Reads the commit marker back from the progress topic.
//!
//! A marker counts when its transaction is committed, so it is read with `read_committed`. Such a
//! reader stops at the first transaction that is open, whoever's it is (the *last stable offset*): a
//! marker of ours that was committed behind the open transaction of another job is there, and is not
//! shown. Taking the last marker that *is* shown would repeat what came after it. So the messages
//! between the last stable offset and the end are looked at too, without regard to their transactions:
//!
//! - none of ours is among them: what is shown is all there is;
//! - the first of all is ours, written with our transactional id: it is in our own open transaction
//!   (of a run that was killed), and so is every message of ours behind it, because one id has one
//!   transaction at a time. Nothing of ours is hidden that is committed;
//! - otherwise one of ours may be committed behind what is open. That ends, at the latest when the
//!   broker's time-out of that transaction has passed, and is waited for.
//!
//! All markers lie in partition 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_api::{CommitMarker, Error, ErrorKind, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::marker::{self, Head, Key, Owner};
use crate::options::Settings;
use culvert_kafka::Aside;
use culvert_kafka::Watch;
use culvert_kafka::error;
use culvert_kafka::{ask, blocking};

/// Where markers lie.
pub(crate) const PARTITION: i32 = 0;
/// The header that says which transactional id a marker was written with.
pub(crate) const ID_HEADER: &str = "transactional_id";

/// How long reading the topic may go without an answer.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(200);
/// How often an open transaction is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// After how long waiting for others is worth a word.
const WAIT_SAID_AFTER: Duration = Duration::from_secs(5);
/// How much longer than our own longest transaction others are waited for.
const WAIT_SLACK: Duration = Duration::from_secs(60);

/// Two ways to see the topic.
pub(crate) struct ProgressReader {
    settings: Arc<Settings>,
    committed: Arc<Aside<BaseConsumer<Watch>>>,
    all: Arc<Aside<BaseConsumer<Watch>>>,
}

/// What is there of an owner.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) head: Head,
    pub(crate) marker: CommitMarker,
}

/// How an attempt to read went.
enum Seen {
    /// This is all there is.
    All(Option<Found>),
    /// A transaction of this job and sink, or of somebody unknown, is in the way.
    Held(String),
}

impl ProgressReader {
    /// Makes the clients; they connect when they are first asked.
    pub(crate) fn new(settings: &Arc<Settings>) -> Result<ProgressReader> {
        let consumer = |isolation| {
            let made = settings.client.consumer(isolation).create_with_context(Watch::default());
            made.map(|made| Arc::new(Aside::new(made)))
                .map_err(|cause| error::convert(&cause, "make a client"))
        };
        Ok(ProgressReader {
            settings: Arc::clone(settings),
            committed: consumer("read_committed")?,
            all: consumer("read_uncommitted")?,
        })
    }

    fn attempt(&self, owner: &Owner, id: &str) -> Look {
        Look {
            topic: self.settings.progress_topic.clone(),
            committed: Arc::clone(&self.committed),
            all: Arc::clone(&self.all),
            owner: owner.clone(),
            id: id.to_owned(),
        }
    }

    /// Other transactional ids that this owner's newest messages were written with, committed or not: of
    /// runs with another `transaction_prefix`.
    pub(crate) async fn other_ids(&self, owner: &Owner, id: &str) -> Result<BTreeSet<String>> {
        let look = self.attempt(owner, id);
        blocking(move || look.other_ids()).await?
    }

    /// Every writer of a job and sink that ever wrote a marker and has not forgotten it, committed or not;
    /// the topic must be there.
    pub(crate) async fn owners(&self, job: &str, sink: &str) -> Result<BTreeSet<Owner>> {
        let look = self.attempt(&Owner::new(job, sink, 0), "");
        blocking(move || look.owners()).await?
    }

    /// The marker of an owner whose transactional id this is; the topic must be there.
    pub(crate) async fn read(&self, owner: &Owner, id: &str) -> Result<Option<Found>> {
        let begun = Instant::now();
        let limit = self.settings.client.transaction_timeout + WAIT_SLACK;
        let mut said = false;
        loop {
            let look = self.attempt(owner, id);
            match blocking(move || look.look()).await?? {
                Seen::All(found) => return Ok(found),
                Seen::Held(by) if begun.elapsed() > limit => {
                    let what = "an open transaction of somebody else hides commit markers";
                    return Err(Error::new(ErrorKind::Unavailable, what)
                        .context("topic", &self.settings.progress_topic)
                        .context("transaction", by)
                        .hint("restart that job, or give this one a progress_topic of its own"));
                }
                Seen::Held(by) => {
                    if begun.elapsed() > WAIT_SAID_AFTER && !said {
                        said = true;
                        tracing::warn!(
                            transaction = by,
                            "waiting for an open transaction that hides commit markers; it ends when its job starts \
                             again, or by the broker's time-out"
                        );
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }
}

/// One attempt.
struct Look {
    topic: String,
    committed: Arc<Aside<BaseConsumer<Watch>>>,
    all: Arc<Aside<BaseConsumer<Watch>>>,
    owner: Owner,
    id: String,
}

impl Look {
    fn look(&self) -> Result<Seen> {
        let end = self.end(&self.all)?;
        // Asked after the end: what becomes stable in between was not there before it.
        let stable = self.end(&self.committed)?;
        if stable < end
            && let Some(by) = self.hidden(stable)?
        {
            return Ok(Seen::Held(by));
        }
        self.shown().map(Seen::All)
    }

    /// Where this reader's view of the partition ends.
    fn end(&self, consumer: &BaseConsumer<Watch>) -> Result<i64> {
        let doing = format!("ask for the end of the progress topic {}", self.topic);
        ask(consumer, &doing, |step| Ok(consumer.fetch_watermarks(&self.topic, PARTITION, step)?.1))
    }

    fn other_ids(&self) -> Result<BTreeSet<String>> {
        let mut newest: BTreeMap<Option<u32>, String> = BTreeMap::new();
        self.each(&self.all, Offset::Beginning, |message| {
            let key = message.key().and_then(Key::parse).filter(|key| key.owner == self.owner);
            if let (Some(key), Some(id)) = (key, id_of(message)) {
                newest.insert(key.part, id);
            }
            Ok(())
        })?;
        Ok(newest.into_values().filter(|id| *id != self.id).collect())
    }

    fn owners(&self) -> Result<BTreeSet<Owner>> {
        let mut owners = BTreeSet::new();
        self.each(&self.all, Offset::Beginning, |message| {
            let owner = message.key().and_then(Key::parse).map(|key| key.owner);
            owners.extend(owner.filter(|owner| owner.job == self.owner.job && owner.sink == self.owner.sink));
            Ok(())
        })?;
        Ok(owners)
    }

    /// Whose transaction hides what may be a committed marker of ours.
    fn hidden(&self, stable: i64) -> Result<Option<String>> {
        let mut first: Option<(Option<Owner>, Option<String>)> = None;
        let mut ours = false;
        self.each(&self.all, Offset::Offset(stable), |message| {
            let owner = message.key().and_then(Key::parse).map(|key| key.owner);
            ours |= owner.as_ref() == Some(&self.owner);
            first.get_or_insert_with(|| (owner, id_of(message)));
            Ok(())
        })?;
        let Some((owner, id)) = first.filter(|_| ours) else { return Ok(None) };
        if owner.as_ref() == Some(&self.owner) && id.as_deref() == Some(&self.id) {
            return Ok(None);
        }
        Ok(Some(id.unwrap_or_else(|| "of no culvert".to_owned())))
    }

    /// What is shown of our owner.
    fn shown(&self) -> Result<Option<Found>> {
        let mut head: Option<Vec<u8>> = None;
        let mut parts: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        self.each(&self.committed, Offset::Beginning, |message| {
            let Some(key) = message.key().and_then(Key::parse).filter(|key| key.owner == self.owner) else {
                return Ok(());
            };
            let value = message.payload().map(<[u8]>::to_vec);
            match (key.part, value) {
                (None, value) => head = value,
                (Some(part), Some(value)) => {
                    parts.insert(part, value);
                }
                (Some(part), None) => {
                    parts.remove(&part);
                }
            }
            Ok(())
        })?;
        let Some(head) = head else { return Ok(None) };
        let head = Head::parse(&head)?;
        let wanted: Option<Vec<&[u8]>> =
            (1..=head.parts).map(|part| parts.get(&part).map(Vec::as_slice)).collect();
        let marker = marker::assemble(&self.owner, head, &wanted.ok_or_else(marker::damaged)?)?;
        Ok(Some(Found { head, marker }))
    }

    /// Every message from a place to the end of this reader's view.
    fn each(
        &self,
        consumer: &BaseConsumer<Watch>,
        from: Offset,
        take: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<()> {
        let doing = format!("read the progress topic {}", self.topic);
        let failed = |cause: &KafkaError| error::convert(cause, &doing);
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_offset(&self.topic, PARTITION, from).map_err(|cause| failed(&cause))?;
        consumer.assign(&wanted).map_err(|cause| failed(&cause))?;
        let ended = self.each_assigned(consumer, &doing, take);
        // Otherwise it would go on fetching what nobody reads.
        consumer.unassign().map_err(|cause| failed(&cause))?;
        ended
    }

    fn each_assigned(
        &self,
        consumer: &BaseConsumer<Watch>,
        doing: &str,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<()> {
        let failed = |cause: &KafkaError| error::convert(cause, doing).context("topic", &self.topic);
        let mut heard = Instant::now();
        loop {
            match consumer.poll(STEP) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    take(&message)?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                // What waiting does not help ends it; the client connects again by itself.
                Some(Err(cause)) if !is_ours_to_bear(&cause) => return Err(failed(&cause)),
                Some(Err(_)) | None if heard.elapsed() < SILENCE_MAX => {}
                Some(Err(cause)) => return Err(failed(&cause)),
                None => {
                    return Err(Error::new(ErrorKind::Unavailable, format!("could not {doing}: no answer")));
                }
            }
        }
    }
}

/// Failures to wait out. The group's coordinator is nobody's business: nothing is stored for the group,
/// and the account needs no right on it.
fn is_ours_to_bear(cause: &KafkaError) -> bool {
    let transient = error::convert(cause, "").class() == culvert_api::ErrorClass::Transient;
    transient
        || cause.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::GroupAuthorizationFailed)
}

fn id_of(message: &BorrowedMessage<'_>) -> Option<String> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == ID_HEADER)?;
    Some(String::from_utf8_lossy(found.value?).into_owned())
}
