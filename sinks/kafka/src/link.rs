//! The producer: messages out, every delivery report in, and the transaction they belong to.
//!
//! Everything here blocks, until the broker answers or a named limit is reached, and is called from
//! threads that may.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use culvert_api::failpoint::pass;
use culvert_api::{Error, ErrorKind, Result};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use crate::options::Settings;
use culvert_kafka::Aside;
use culvert_kafka::error;
use culvert_kafka::watch::{Deliveries, Watch};

/// How long one call into librdkafka waits before it looks up again.
const STEP: Duration = Duration::from_secs(1);
/// How long a new producer may take to get its id, while brokers elect and load.
const INIT_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may go without any contact to a broker.
const CONTACT_PATIENCE: Duration = Duration::from_secs(10);
/// How long leaving may take to tell the broker that a transaction is over.
const LEAVE_PATIENCE: Duration = Duration::from_secs(3);
/// What reports may take longer than the messages' own limit.
const REPORT_SLACK: Duration = Duration::from_secs(30);

/// A message to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) header: Option<(&'a str, &'a str)>,
    /// More of them, without a value where a column is NULL.
    pub(crate) headers: &'a [(String, Option<String>)],
}

/// A producer.
pub(crate) struct Link {
    producer: Aside<ThreadedProducer<Watch>>,
    transaction: Mutex<Transaction>,
    /// How long a transaction may last.
    transaction_timeout: Duration,
    /// How long a message may wait.
    patience: Duration,
}

#[derive(Default)]
struct Transaction {
    /// When its first message was sent; `None` between transactions.
    begun: Option<Instant>,
    /// The checkpoint it ends with, once everything is staged.
    prepared: Option<u64>,
    /// The last checkpoint that was committed here.
    committed: u64,
}

/// All headers of a message; none at all where there is none.
fn headers(record: &Record<'_>) -> Option<OwnedHeaders> {
    let more = record.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
    let mut all = record.header.map(|(key, value)| (key, Some(value))).into_iter().chain(more).peekable();
    all.peek()?;
    Some(all.fold(OwnedHeaders::new(), |made, (key, value)| made.insert(Header { key, value })))
}

impl Link {
    /// Makes a producer; with an id, one that has transactions after [`Link::init`].
    pub(crate) fn new(settings: &Settings, transactional_id: Option<&str>) -> Result<Link> {
        let config = settings.client.producer(transactional_id);
        let producer: ThreadedProducer<Watch> = config
            .create_with_context(Watch::default())
            .map_err(|cause| error::convert(&cause, "make a producer"))?;
        Ok(Link {
            producer: Aside::new(producer),
            transaction: Mutex::default(),
            transaction_timeout: settings.client.transaction_timeout,
            patience: settings.patience(),
        })
    }

    pub(crate) fn watch(&self) -> &Arc<Watch> {
        self.producer.client().context()
    }

    fn transaction(&self) -> MutexGuard<'_, Transaction> {
        self.transaction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the transactional id: ends the open transaction of whoever had it, and fences them.
    pub(crate) fn init(&self) -> Result<()> {
        let doing = "take the transactional id";
        let begun = Instant::now();
        loop {
            let Err(failure) = self.producer.init_transactions(STEP) else { return Ok(()) };
            if let Some(code) = self.watch().refused_login() {
                return Err(self.with_reason(error::of_code(code, doing)));
            }
            let contact = self.watch().trouble();
            let limit = if contact.is_some() { CONTACT_PATIENCE } else { INIT_PATIENCE };
            if !may_be_repeated(&failure) || begun.elapsed() >= limit {
                let known = contact.map(|(code, _)| code).filter(|_| may_be_repeated(&failure));
                return Err(self.with_reason(match known {
                    Some(code) => error::of_code(code, doing),
                    None => error::convert(&failure, doing),
                }));
            }
        }
    }

    /// Begins a transaction, if none is open.
    pub(crate) fn begin(&self) -> Result<()> {
        let mut transaction = self.transaction();
        if transaction.begun.is_none() {
            self.producer
                .begin_transaction()
                .map_err(|cause| error::convert(&cause, "begin a transaction"))?;
            transaction.begun = Some(Instant::now());
        }
        Ok(())
    }

    /// Whether the open transaction is older than the broker lets it be.
    pub(crate) fn is_overdue(&self) -> bool {
        self.transaction().begun.is_some_and(|begun| begun.elapsed() >= self.transaction_timeout)
    }

    /// Hands a message over. A full queue is waited for.
    pub(crate) fn send(&self, record: Record<'_>) -> Result<(), Failure> {
        let watch = self.watch();
        let mut made: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(record.topic);
        made.partition = record.partition;
        made.key = record.key;
        made.payload = record.value;
        made.headers = headers(&record);
        loop {
            let before = watch.deliveries();
            self.sound(&before)?;
            watch.hand_over();
            let Err((refused, back)) = self.producer.send(made) else { return Ok(()) };
            watch.take_back();
            if refused.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.failure(refused, record.topic));
            }
            made = back;
            watch.wait_beyond(before.reports, STEP);
        }
    }

    /// Waits until every message is delivered.
    pub(crate) fn flush(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let now = self.watch().deliveries();
            self.sound(&now)?;
            if now.waiting == 0 {
                return Ok(());
            }
            if begun.elapsed() > self.patience + REPORT_SLACK {
                let what = "the client does not tell whether messages were delivered";
                return Err(Failure { error: Error::new(ErrorKind::Unavailable, what), fenced: false });
            }
            self.watch().wait_beyond(now.reports, STEP);
        }
    }

    fn sound(&self, deliveries: &Deliveries) -> Result<(), Failure> {
        if let Some((cause, topic)) = &deliveries.failed {
            return Err(self.failure(cause.clone(), topic));
        }
        if deliveries.closed {
            return Err(Failure {
                error: Error::new(ErrorKind::Unavailable, "the sink was closed"),
                fenced: false,
            });
        }
        Ok(())
    }

    /// A message that was not delivered. What ended the producer or its transaction as a whole says more
    /// than what this did to one message.
    fn failure(&self, cause: KafkaError, topic: &str) -> Failure {
        use RDKafkaErrorCode::{PurgeInflight, PurgeQueue};
        let purged = matches!(cause.rdkafka_error_code(), Some(PurgeInflight | PurgeQueue));
        let why = match self.producer.client().fatal_error() {
            Some((code, _)) => Some(KafkaError::MessageProduction(code)),
            // librdkafka has given the transaction up before it purged, and tells why when it is asked to
            // commit what it can only abort.
            None if purged && self.transaction().begun.is_some() => {
                self.producer.commit_transaction(STEP).err()
            }
            None => None,
        };
        let error = match &why {
            // It need not be about the topic of the message that was purged first.
            Some(why) => error::convert(why, "deliver the messages of the transaction"),
            None => error::convert(&cause, "deliver messages").context("topic", topic),
        };
        let fenced = error::is_fenced(why.as_ref().unwrap_or(&cause));
        Failure { fenced, error: self.with_reason(error) }
    }

    /// Everything of this checkpoint is staged.
    pub(crate) fn prepared(&self, checkpoint: u64) {
        self.transaction().prepared = Some(checkpoint);
    }

    /// Commits the transaction of a checkpoint. `false`: none is staged for it here.
    pub(crate) fn commit(&self, checkpoint: u64) -> Result<bool, Failure> {
        let mut transaction = self.transaction();
        if transaction.prepared != Some(checkpoint) {
            return Ok(transaction.committed >= checkpoint && checkpoint > 0);
        }
        pass("kafka.commit.before").map_err(Failure::plain)?;
        self.repeat(self.patience, || self.producer.commit_transaction(STEP))
            .map_err(|cause| self.failed_end(&cause, "commit the transaction"))?;
        pass("kafka.commit.after").map_err(Failure::plain)?;
        *transaction = Transaction { begun: None, prepared: None, committed: checkpoint };
        Ok(true)
    }

    /// Commits what was sent outside of a checkpoint.
    pub(crate) fn commit_now(&self) -> Result<(), Failure> {
        self.flush()?;
        self.prepared(0);
        self.commit(0).map(drop)
    }

    /// Drops the open transaction, if there is one.
    pub(crate) fn abort(&self) -> Result<(), Failure> {
        let mut transaction = self.transaction();
        if transaction.begun.is_none() {
            return Ok(());
        }
        self.repeat(self.patience, || self.producer.abort_transaction(STEP))
            .map_err(|cause| self.failed_end(&cause, "abort the transaction"))?;
        *transaction = Transaction { begun: None, prepared: None, committed: transaction.committed };
        self.watch().forgive();
        Ok(())
    }

    /// Leaves. An open transaction is aborted, so that consumers need not wait for its time-out; a
    /// broker that does not answer is not waited for.
    pub(crate) fn leave(&self) {
        self.watch().close();
        let mut transaction = self.transaction();
        if transaction.begun.take().is_some()
            && let Err(cause) = self.producer.abort_transaction(LEAVE_PATIENCE)
        {
            tracing::debug!("the open transaction was left to its time-out: {cause}");
        }
        *transaction = Transaction::default();
    }

    /// Repeats a call as long as librdkafka says that it may be.
    fn repeat(
        &self,
        limit: Duration,
        mut call: impl FnMut() -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let begun = Instant::now();
        loop {
            match call() {
                Err(cause)
                    if may_be_repeated(&cause) && begun.elapsed() < limit && !self.watch().is_closed() => {}
                ended => return ended,
            }
        }
    }

    fn failed_end(&self, cause: &KafkaError, doing: &str) -> Failure {
        Failure { fenced: error::is_fenced(cause), error: self.with_reason(error::convert(cause, doing)) }
    }

    /// Adds what was last said about the connection, where that can be why.
    fn with_reason(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Connection | ErrorKind::Unavailable | ErrorKind::Permission => {
                error::told(error, self.watch().trouble().map(|(_, reason)| reason))
            }
            _ => error,
        }
    }
}

/// A failure, and whether it looks as if another producer had taken over.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) fenced: bool,
}

impl Failure {
    /// A failure that says nothing of another producer.
    pub(crate) fn plain(error: Error) -> Failure {
        Failure { error, fenced: false }
    }
}

fn may_be_repeated(cause: &KafkaError) -> bool {
    match cause {
        KafkaError::Transaction(inner) => inner.is_retriable(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}
