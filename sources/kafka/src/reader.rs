//! Reads one partition, from a place on.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use culvert_api::{
    Error, ErrorKind, JobProgress, Phase, ReaderContext, Result, SourceEvent, SourceReader, SourceState,
    Split,
};
use culvert_kafka::{Aside, Watch, ask, blocking, error};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tracing::warn;

use crate::decode::{Message, Rows};
use crate::memory::GroupStore;
use crate::options::Settings;
use crate::partition::Place;
use crate::probe::Probe;

/// Rows of a batch at most, but for those of its last message.
const BATCH_ROWS_MAX: usize = 8_192;
/// Bytes of its values at most, but for its last message.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How long to wait for a first message.
const LINGER: Duration = Duration::from_millis(50);
/// How long the first half of an update waits for the other, which is the next message.
const HALF_PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing may come before the broker is asked whether it is there.
const QUIET: Duration = Duration::from_secs(3);
/// How long it may take to say so.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);
/// Skipped messages that are told one by one; after that every thousandth.
const SKIPS_TOLD: u64 = 20;

/// The reader of a partition.
pub(crate) struct PartitionReader {
    /// Away while a thread that may block works with it.
    reading: Option<Reading>,
    store: Arc<GroupStore>,
    barrier_wanted: bool,
    probe: Option<Probe>,
}

/// What reads.
struct Reading {
    settings: Arc<Settings>,
    consumer: Arc<Aside<BaseConsumer<Watch>>>,
    progress: Arc<JobProgress>,
    /// Of the next message.
    place: Place,
    rows: Rows,
    /// Where `rows` begin.
    first: i64,
    half_since: Option<Instant>,
    /// The last word of the broker.
    heard: Instant,
    skipped: u64,
}

impl PartitionReader {
    /// Goes to the place; an error when there are no messages there any more.
    pub(crate) async fn open(
        settings: &Arc<Settings>,
        group: &str,
        place: Place,
        store: &Arc<GroupStore>,
        context: ReaderContext,
    ) -> Result<PartitionReader> {
        let settings = Arc::clone(settings);
        let made = settings.client.partition(group).create_with_context(Watch::default());
        let consumer = made.map_err(|cause| error::convert(&cause, "make a client"))?;
        let consumer = Arc::new(Aside::new(consumer));
        let progress = Arc::clone(&context.progress);
        let reading = blocking(move || {
            let first = place.offset;
            let rows = Rows::default();
            let (half_since, heard) = (None, Instant::now());
            let reading =
                Reading { settings, consumer, progress, place, rows, first, half_since, heard, skipped: 0 };
            reading.go().map(|()| reading)
        })
        .await??;
        reading.progress.set_phase(Phase::Stream);
        let probe = Some(Probe::begin(&reading.consumer, &context, &reading.place));
        Ok(PartitionReader { reading: Some(reading), store: Arc::clone(store), barrier_wanted: false, probe })
    }
}

impl Reading {
    fn name(&self) -> String {
        format!("{}/{}", self.place.topic, self.place.partition)
    }

    fn go(&self) -> Result<()> {
        let Place { topic, partition, offset } = &self.place;
        let doing = format!("read {}", self.name());
        let (low, high) =
            ask(&self.consumer, &doing, |step| self.consumer.fetch_watermarks(topic, *partition, step))?;
        if *offset < low || *offset > high {
            return Err(self.gone(&format!("the partition has offsets {low} to {high}")));
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|cause| error::convert(&cause, &doing))
    }

    /// The place is not there any more.
    fn gone(&self, why: &str) -> Error {
        let message = format!("{} cannot be read on at offset {}: {why}", self.name(), self.place.offset);
        Error::new(ErrorKind::LogGone, message).hint(
            "messages were deleted before they were read, or the topic was made anew; start over with --fresh and a \
             start_mode, or restore the topic. Nothing was skipped",
        )
    }

    /// Reads until there is a batch's worth, or nothing more for now. Blocks.
    fn fill(&mut self) -> Result<()> {
        loop {
            let wait = if self.rows.is_empty() { LINGER } else { Duration::ZERO };
            let consumer = &self.consumer;
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let read = read(&self.settings, &message, &mut self.rows, self.place.offset);
                    let (offset, at) = (message.offset(), message.timestamp().to_millis());
                    let bytes = message.payload_len();
                    drop(message);
                    self.took(offset, at, bytes, read)?;
                }
                Some(Err(cause)) => self.failed(&cause)?,
            }
            if self.rows.len() >= BATCH_ROWS_MAX || self.rows.memory_bytes() >= BATCH_BYTES_MAX {
                break;
            }
        }
        self.ask_when_quiet()
    }

    fn took(&mut self, offset: i64, at: Option<i64>, bytes: usize, read: Result<(), String>) -> Result<()> {
        if offset < self.place.offset {
            return Ok(());
        }
        if let Err(why) = read {
            if !self.settings.skip_unreadable {
                let message = format!("the message at {} offset {offset} {why}", self.name());
                return Err(Error::new(ErrorKind::Value, message).hint(
                    "correct `format` or `schema`; format_error_handle_way = SKIP leaves such messages out",
                ));
            }
            self.skipped += 1;
            if self.skipped <= SKIPS_TOLD || self.skipped.is_multiple_of(1000) {
                warn!(
                    partition = self.name(),
                    offset,
                    skipped = self.skipped,
                    "left out a message that {why}"
                );
            }
        }
        self.heard = Instant::now();
        self.place.offset = offset + 1;
        self.half_since = self.rows.ends_half_way().then(|| self.half_since.unwrap_or_else(Instant::now));
        self.progress.bytes_read.fetch_add(bytes as u64, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        if let Some(at) = at.and_then(|at| u128::try_from(at).ok()) {
            let lag = u64::try_from(now.saturating_sub(at)).unwrap_or(u64::MAX);
            self.progress.lag_ms.store(lag, Relaxed);
        }
        Ok(())
    }

    fn failed(&mut self, cause: &KafkaError) -> Result<()> {
        use RDKafkaErrorCode as C;
        match cause.rdkafka_error_code() {
            Some(C::AutoOffsetReset | C::OffsetOutOfRange) => Err(self.gone("the broker does not have it")),
            // Whether somebody is there is asked below.
            Some(code) if error::is_about_connecting(code) && !error::is_refused_login(code) => Ok(()),
            _ => Err(error::convert(cause, &format!("read {}", self.name()))),
        }
    }

    /// librdkafka connects again by itself, and says nothing while it cannot.
    fn ask_when_quiet(&mut self) -> Result<()> {
        if self.heard.elapsed() < QUIET {
            return Ok(());
        }
        let doing = format!("read {}", self.name());
        let context: &Watch = self.consumer.client().context();
        match self.consumer.fetch_watermarks(&self.place.topic, self.place.partition, ANSWER_PATIENCE) {
            Ok(_) => {
                context.calm();
                self.heard = Instant::now();
                Ok(())
            }
            Err(cause) => {
                let reason = context.trouble().map(|(_, reason)| reason);
                Err(error::told(error::convert(&cause, &doing), reason))
            }
        }
    }

    /// Whether the rows end between the halves of an update, and the other half may still come.
    fn is_half_way(&self) -> bool {
        self.half_since.is_some_and(|since| since.elapsed() < HALF_PATIENCE)
    }
}

/// Adds a message's rows. The error completes "the message … ".
fn read(
    settings: &Settings,
    message: &BorrowedMessage<'_>,
    rows: &mut Rows,
    from: i64,
) -> Result<(), String> {
    if message.offset() < from {
        return Ok(());
    }
    let header = |name: &str| {
        let headers = message.headers()?;
        headers.iter().find(|header| header.key == name).and_then(|header| header.value)
    };
    let message = Message { value: message.payload(), kind: header("row_kind") };
    settings.decoder.read(&message, rows).map_err(|unreadable| unreadable.to_string())
}

#[async_trait]
impl SourceReader for PartitionReader {
    fn splits_wanted(&self) -> usize {
        0
    }

    fn add_splits(&mut self, _splits: Vec<Split>) -> Result<()> {
        Err(Error::new(ErrorKind::Internal, "a partition has no splits"))
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        let given_up = || Error::new(ErrorKind::Internal, "a partition is read on after a failure");
        let mut reading = self.reading.take().ok_or_else(given_up)?;
        if self.barrier_wanted && reading.rows.is_empty() {
            self.barrier_wanted = false;
            let reader = reading.place.encode()?;
            let position = format!("{}@{}", reading.name(), reading.place.offset);
            self.reading = Some(reading);
            return Ok(SourceEvent::Barrier { reader, position });
        }
        let (mut reading, filled) = blocking(move || {
            let filled = reading.fill();
            (reading, filled)
        })
        .await?;
        let batch = match filled {
            Ok(()) if reading.rows.is_empty() || reading.is_half_way() => Ok(None),
            Ok(()) => {
                let name = format!("{}@{}", reading.name(), reading.first);
                reading.first = reading.place.offset;
                reading.half_since = None;
                let Reading { rows, settings, .. } = &mut reading;
                rows.take(settings.schema(), &name).map(Some)
            }
            Err(failed) => Err(failed),
        };
        self.reading = Some(reading);
        Ok(batch?.map_or(SourceEvent::Idle, SourceEvent::Batch))
    }

    fn request_barrier(&mut self) {
        self.barrier_wanted = true;
    }

    async fn checkpoint_complete(&mut self, state: &SourceState) -> Result<()> {
        if let Some(probe) = &self.probe {
            probe.committed(Place::decode(&state.reader)?.offset);
        }
        self.store.completed(state)
    }

    async fn close(&mut self) {
        self.probe = None;
        self.reading = None;
    }
}
