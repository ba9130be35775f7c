//! This process in the consumer group.
//!
//! One thread polls the group's consumer, which reads nothing: partitions are paused as they come, and each
//! share has a reader of its own. When a partition is taken away, the thread waits inside the callback, for
//! a bounded time, until the share has made its last checkpoint; the group gives it to somebody else
//! after that. Who does not keep to it (stopped, slow, cut off) is fenced at the sink by the next owner.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use culvert_api::{Checkpoint, Error, ErrorClass, ErrorKind, Hold, JobProgress, Member, Result, Share, Turn};
use culvert_kafka::{Watch, error};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::memory::{GroupStore, Outbox};
use crate::options::Settings;
use crate::partition::{Partition, Place};
use crate::start::{Start, starts};

/// How long a partition that is taken away is held for its last checkpoint.
const LAST_CHECKPOINT_PATIENCE: Duration = Duration::from_secs(30);
/// How long one look at the group takes at most.
const POLL: Duration = Duration::from_millis(100);
/// How often the brokers are asked whether they are there.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long they may take to say so.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// How often offsets are committed.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// What the callbacks of librdkafka reach.
pub(crate) struct Seat {
    watch: Watch,
    topic: String,
    turns: mpsc::UnboundedSender<Result<Turn>>,
    outbox: Arc<Outbox>,
    /// Partitions that came and were not passed on yet.
    came: Mutex<Vec<i32>>,
    /// Nobody works on shares any more.
    leaving: Arc<AtomicBool>,
}

impl AsRef<Watch> for Seat {
    fn as_ref(&self) -> &Watch {
        &self.watch
    }
}

impl ClientContext for Seat {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        self.watch.error(cause, reason);
    }
}

impl ConsumerContext for Seat {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let lost = consumer.assignment_lost();
        self.came().retain(|came| !partitions.contains(came));
        if partitions.is_empty() || self.leaving.load(Relaxed) {
            return;
        }
        info!(topic = self.topic, ?partitions, lost, "partitions go to others");
        let writers = partitions.iter().filter_map(|number| u32::try_from(*number).ok()).collect();
        let (hold, end) = Hold::new();
        // Where nobody hears it, nobody works on them.
        let _ = self.turns.send(Ok(Turn::Taken(writers, hold)));
        // What is lost has an owner already: there is nothing to wait for.
        if !lost && !end.wait(LAST_CHECKPOINT_PATIENCE) {
            warn!(topic = self.topic, ?partitions, "let go before their last checkpoint: the sink is slow");
        }
        if !lost {
            self.commit(consumer, CommitMode::Sync);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                if let Err(cause) = consumer.pause(list) {
                    debug!("partitions could not be paused: {cause}");
                }
                let partitions: Vec<i32> =
                    list.elements().iter().map(|element| element.partition()).collect();
                if !partitions.is_empty() {
                    info!(topic = self.topic, ?partitions, "partitions are ours");
                }
                self.came().extend(partitions);
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(cause) => warn!(topic = self.topic, "the group could not share out: {cause}"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(cause) = result {
            // The sink's marker counts; the group is told again with the next checkpoint.
            debug!("offsets were not committed to the group: {cause}");
        }
    }
}

impl Seat {
    fn came(&self) -> std::sync::MutexGuard<'_, Vec<i32>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, mode: CommitMode) {
        if let Some(list) = self.outbox.take(&self.topic)
            && let Err(cause) = consumer.commit(&list, mode)
        {
            debug!("offsets were not committed to the group: {cause}");
        }
    }
}

/// The membership.
pub(crate) struct KafkaMember {
    turns: mpsc::UnboundedReceiver<Result<Turn>>,
    leaving: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaMember {
    /// Joins the group of the job.
    pub(crate) fn join(
        settings: &Arc<Settings>,
        job: &str,
        progress: &Arc<JobProgress>,
    ) -> Result<KafkaMember> {
        let group = settings.group(job);
        let (sender, turns) = mpsc::unbounded_channel();
        let leaving = Arc::new(AtomicBool::new(false));
        let outbox = Arc::new(Outbox::default());
        let seat = Seat {
            watch: Watch::default(),
            topic: settings.topic.clone(),
            turns: sender,
            outbox: Arc::clone(&outbox),
            came: Mutex::new(Vec::new()),
            leaving: Arc::clone(&leaving),
        };
        let failed = |cause| error::convert(&cause, "make a client");
        let consumer: BaseConsumer<Seat> =
            settings.client.member(&group, settings.discovery).create_with_context(seat).map_err(failed)?;
        let asker: BaseConsumer<Watch> =
            settings.client.asker(&group).create_with_context(Watch::default()).map_err(failed)?;
        consumer
            .subscribe(&[settings.topic.as_str()])
            .map_err(|cause| error::convert(&cause, &format!("join the group {group}")))?;
        let table =
            Table { settings: Arc::clone(settings), job: job.to_owned(), group, consumer, asker, outbox };
        let (stop, progress) = (Arc::clone(&leaving), Arc::clone(progress));
        let thread = tokio::task::spawn_blocking(move || table.sit(&stop, &progress));
        Ok(KafkaMember { turns, leaving, thread: Some(thread) })
    }
}

#[async_trait]
impl Member for KafkaMember {
    async fn next(&mut self) -> Result<Turn> {
        match self.turns.recv().await {
            Some(turn) => turn,
            None => Err(Error::new(ErrorKind::Internal, "the group's thread ended without a word")),
        }
    }

    async fn leave(&mut self) {
        self.leaving.store(true, Relaxed);
        // Turns that nobody takes any more let go of what they hold.
        self.turns.close();
        while self.turns.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take()
            && thread.await.is_err()
        {
            warn!("the group's thread panicked");
        }
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.leaving.store(true, Relaxed);
    }
}

/// What the group's thread works with.
struct Table {
    settings: Arc<Settings>,
    job: String,
    group: String,
    consumer: BaseConsumer<Seat>,
    /// Asks without polling the member, which could take away what is just being given.
    asker: BaseConsumer<Watch>,
    outbox: Arc<Outbox>,
}

impl Table {
    /// Until leaving is asked for, or something happens that waiting does not mend. Blocks.
    fn sit(self, leaving: &AtomicBool, progress: &JobProgress) {
        let mut committed = Instant::now();
        let mut asked = Instant::now();
        // A process without partitions hears nothing, which is no standstill as long as a broker is there.
        let mut waiting = None;
        while !leaving.load(Relaxed) {
            if asked.elapsed() >= ASK_EVERY || (waiting.is_some() && asked.elapsed() >= ANSWER_PATIENCE) {
                asked = Instant::now();
                waiting = match self.asker.fetch_metadata(Some(&self.settings.topic), ANSWER_PATIENCE) {
                    Ok(_) => None,
                    Err(_) => {
                        waiting.or_else(|| Some(progress.waits("reaching the brokers of group", &self.group)))
                    }
                };
            }
            if let Err(failed) = self.look() {
                let _ = self.seat().turns.send(Err(failed));
                break;
            }
            if committed.elapsed() >= COMMIT_EVERY {
                committed = Instant::now();
                self.seat().commit(&self.consumer, CommitMode::Async);
            }
        }
        // After a failure the shares are still at work, until the engine says that they have ended.
        while !leaving.load(Relaxed) && !self.seat().turns.is_closed() {
            std::thread::sleep(POLL);
        }
        leaving.store(true, Relaxed);
        self.seat().commit(&self.consumer, CommitMode::Sync);
        // Dropping the consumer leaves the group.
    }

    fn seat(&self) -> &Seat {
        self.consumer.client().context()
    }

    fn look(&self) -> Result<()> {
        match self.consumer.poll(POLL) {
            // A message that was on its way before its partition was paused.
            None | Some(Ok(_)) => {}
            Some(Err(cause)) => {
                let failed = error::convert(&cause, &format!("take part in the group {}", self.group));
                // Who was away for too long is taken in again by itself.
                let away = cause.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded);
                if failed.class() != ErrorClass::Transient && !away {
                    return Err(failed.context("topic", &self.settings.topic));
                }
                debug!("{failed}");
            }
        }
        if let Some(code) = self.seat().watch.refused_login() {
            return Err(error::of_code(code, &format!("take part in the group {}", self.group)));
        }
        let came = std::mem::take(&mut *self.seat().came());
        if came.is_empty() {
            return Ok(());
        }
        let starts = starts(&self.settings, &self.asker, &self.job, &self.group, &came)?;
        self.pin(&starts)?;
        let shares = starts.into_iter().map(|start| self.share(start)).collect::<Result<Vec<Share>>>()?;
        let _ = self.seat().turns.send(Ok(Turn::Given(shares)));
        Ok(())
    }

    /// Tells the group where new partitions begin, before anybody reads them: whoever has one next begins
    /// at the same place.
    fn pin(&self, starts: &[Start]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for start in starts.iter().filter(|start| start.is_new) {
            let mut element = list.add_partition(&self.settings.topic, start.partition);
            let _ = element.set_offset(Offset::Offset(start.offset));
            element.set_metadata(start.note.text());
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|cause| error::convert(&cause, &format!("commit offsets to the group {}", self.group)))
    }

    fn share(&self, start: Start) -> Result<Share> {
        let Start { partition, offset, note, .. } = start;
        let begins = Place { topic: self.settings.topic.clone(), partition, offset };
        let known = match note.checkpoint {
            0 => None,
            id => Some(Checkpoint { id, epoch: 0, created_ms: 0, source: begins.state()? }),
        };
        let store = Arc::new(GroupStore::new(&self.group, partition, note, known, &self.outbox));
        let writer = u32::try_from(partition)
            .map_err(|cause| Error::new(ErrorKind::Internal, "a partition below 0").caused_by(cause))?;
        let name = format!("{}/{partition}", self.settings.topic);
        let source = Partition {
            settings: Arc::clone(&self.settings),
            group: self.group.clone(),
            begins,
            store: Arc::clone(&store),
        };
        Ok(Share { writer, name, source: Arc::new(source), store })
    }
}
