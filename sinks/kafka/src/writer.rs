//! Takes batches over, and stages checkpoints.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Error, ErrorKind, Result, RowKind, SchemaChange, SinkWriter,
    TableId, TableSchema, WriterContext,
};

use crate::cluster::Cluster;
use crate::encode::avro::stamp;
use crate::encode::{Layout, Message};
use crate::ledger::Ledger;
use crate::link::{Failure, Link, Record};
use crate::marker::{self, Entry, Owner};
use crate::options::Settings;
use crate::plan::TablePlan;
use crate::progress::{ID_HEADER, PARTITION, ProgressReader};
use culvert_kafka::blocking;

/// The header of the flat layouts.
const KIND_HEADER: &str = "row_kind";

/// Begins and ends of transactions keep their order.
const TRANSACTIONS_PARTITION: i32 = 0;

/// What makes a writer exactly once: its transactional id, and the way to look at the marker.
pub(crate) struct Transactional {
    pub(crate) id: String,
    pub(crate) owner: Owner,
    pub(crate) reader: ProgressReader,
}

/// Producer and marker, shared by writer and committer.
pub(crate) struct Session {
    pub(crate) settings: Arc<Settings>,
    pub(crate) context: WriterContext,
    pub(crate) link: Arc<Link>,
    /// `None`: at least once.
    pub(crate) transactional: Option<Transactional>,
}

impl Session {
    /// Runs what blocks at the producer, and says what a failure of it means.
    pub(crate) async fn at_link<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Link) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let link = Arc::clone(&self.link);
        match blocking(move || work(&link)).await? {
            Ok(done) => Ok(done),
            Err(failure) => Err(self.judge(failure).await),
        }
    }

    /// The broker answers alike when another run has taken our transactional id, and when it has given up
    /// a transaction that lasted too long. The marker tells which: a run that took over left its epoch
    /// there.
    async fn judge(&self, failure: Failure) -> Error {
        let Some(transactional) = self.transactional.as_ref().filter(|_| failure.fenced) else {
            return failure.error;
        };
        let found = match transactional.reader.read(&transactional.owner, &transactional.id).await {
            Ok(found) => found,
            Err(_) => return failure.error,
        };
        let ours = self.context.epoch;
        match found.map(|found| found.head.epoch) {
            Some(found) if found > ours => taken_over(&self.context).context("epoch", found),
            _ if self.link.is_overdue() => {
                let timeout = self.settings.client.transaction_timeout.as_millis();
                let what =
                    format!("the broker gave up a transaction that was open for longer than {timeout} ms");
                Error::new(ErrorKind::Unavailable, what)
                    .hint("raise transaction.timeout.ms in `kafka.config` above what a checkpoint can take")
            }
            // Nobody has written an epoch yet, but somebody has our id.
            _ => taken_over(&self.context).caused_by(failure.error),
        }
    }

    /// Sends messages of the progress topic, inside of the open transaction.
    pub(crate) fn send_entries(link: &Link, topic: &str, id: &str, entries: &[Entry]) -> Result<(), Failure> {
        for entry in entries {
            link.send(Record {
                topic,
                partition: Some(PARTITION),
                key: Some(&entry.key),
                value: entry.value.as_deref(),
                header: Some((ID_HEADER, id)),
                headers: &[],
            })?;
        }
        Ok(())
    }
}

impl Drop for Session {
    /// A thread that waits for the broker must not wait for ever.
    fn drop(&mut self) {
        self.link.watch().close();
    }
}

/// Another run is the one that writes.
pub(crate) fn taken_over(context: &WriterContext) -> Error {
    let message = format!("another run of job {} has taken over sink {}", context.job, context.sink);
    Error::new(ErrorKind::Fenced, message)
}

/// Topics that are remembered, besides those of the batch being written. More come where the topic is a
/// row's value; they are asked for again.
const TOPICS_REMEMBERED_MAX: usize = 10_000;

/// Sends the messages of one job branch.
pub(crate) struct KafkaWriter {
    session: Arc<Session>,
    cluster: Cluster,
    plans: HashMap<TableId, Planned>,
    /// Topics that are there, and how many partitions they have.
    topics: HashMap<String, i32>,
    rows_since_commit: u64,
    /// The source's transactions since the last checkpoint, where they are told of.
    ledger: Option<Ledger>,
}

struct Planned {
    schema: Arc<TableSchema>,
    plan: Arc<TablePlan>,
}

impl KafkaWriter {
    pub(crate) fn new(session: Arc<Session>, cluster: Cluster) -> KafkaWriter {
        let ledger = session.settings.transaction_topic.is_some().then(Ledger::default);
        let (plans, topics) = (HashMap::new(), HashMap::new());
        KafkaWriter { session, cluster, plans, topics, rows_since_commit: 0, ledger }
    }

    fn plan(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<TablePlan>> {
        if let Some(known) = self.plans.get(&schema.id)
            && (Arc::ptr_eq(&known.schema, schema) || *known.schema == **schema)
        {
            return Ok(Arc::clone(&known.plan));
        }
        let plan = Arc::new(TablePlan::new(&self.session.settings, schema)?);
        let planned = Planned { schema: Arc::clone(schema), plan: Arc::clone(&plan) };
        self.plans.insert(schema.id.clone(), planned);
        Ok(plan)
    }

    /// Looks a topic up once, and makes it when it is missing.
    async fn topic(&mut self, topic: &str) -> Result<()> {
        if !self.topics.contains_key(topic) {
            let partitions = self.cluster.ensure_topic(topic).await?;
            if let Some(wanted) = self.session.settings.partition.filter(|wanted| *wanted >= partitions) {
                let what =
                    format!("option 'partition' is {wanted}, and the topic has {partitions} partitions");
                return Err(Error::new(ErrorKind::Config, what).context("topic", topic));
            }
            self.topics.insert(topic.to_owned(), partitions);
        }
        Ok(())
    }

    async fn prepare(&mut self, schema: &Arc<TableSchema>) -> Result<()> {
        let plan = self.plan(schema)?;
        let Some(topic) = plan.fixed_topic() else { return Ok(()) };
        if let (Some(registry), Some(avro)) = (&self.session.settings.registry, &plan.avro) {
            registry.ids(&topic, avro).await.map_err(|error| error.context("table", &schema.id))?;
        }
        self.topic(&topic).await
    }

    /// Puts the numbers of their schemas into messages whose format has them.
    async fn stamp(&self, plan: &TablePlan, messages: &mut [Message]) -> Result<()> {
        let (Some(registry), Some(avro)) = (&self.session.settings.registry, &plan.avro) else {
            return Ok(());
        };
        for of_topic in messages.chunk_by_mut(|left, right| left.topic == right.topic) {
            let Some(first) = of_topic.first() else { continue };
            let ids = registry.ids(&first.topic, avro).await?;
            of_topic.iter_mut().for_each(|message| stamp(message, ids));
        }
        Ok(())
    }

    /// Sends a begin and an end for every transaction of the source since the last checkpoint.
    async fn tell_transactions(&mut self) -> Result<()> {
        let settings = &self.session.settings;
        let (Some(ledger), Some(topic)) = (&mut self.ledger, settings.transaction_topic.clone()) else {
            return Ok(());
        };
        let messages = ledger.take(settings.encoder.layout == Layout::Connect);
        let transactional = self.session.transactional.is_some();
        let sent = self.session.at_link(move |link| {
            if transactional && !messages.is_empty() {
                link.begin().map_err(Failure::plain)?;
            }
            messages.iter().try_for_each(|(key, value)| {
                link.send(Record {
                    topic: &topic,
                    partition: Some(TRANSACTIONS_PARTITION),
                    key: Some(key),
                    value: Some(value),
                    header: None,
                    headers: &[],
                })
            })
        });
        sent.await
    }

    /// The partition of a message; `None` leaves it to the key's hash.
    fn partition(&self, plan: &TablePlan, message: &Message) -> Option<i32> {
        if self.session.settings.partition.is_some() {
            return self.session.settings.partition;
        }
        let partitions = self.topics.get(&message.topic).and_then(|count| u32::try_from(*count).ok());
        let partitions = partitions.filter(|count| message.key.is_none() && *count > 0)?;
        i32::try_from(plan.without_key % partitions).ok()
    }
}

#[async_trait]
impl SinkWriter for KafkaWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        for schema in tables {
            self.prepare(schema).await?;
        }
        if let Some(topic) = self.session.settings.transaction_topic.clone() {
            self.cluster.ensure_topic(&topic).await?;
        }
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        if self.topics.len() > TOPICS_REMEMBERED_MAX {
            self.topics.clear();
        }
        let plan = self.plan(&batch.schema)?;
        let mut messages = self.session.settings.encoder.messages(&plan, &batch, self.ledger.as_mut())?;
        let stamped = self.stamp(&plan, &mut messages).await;
        stamped.map_err(|error| error.context("table", &batch.schema.id))?;
        for message in &messages {
            self.topic(&message.topic).await?;
        }
        let placed: Vec<(Option<i32>, Message)> =
            messages.into_iter().map(|message| (self.partition(&plan, &message), message)).collect();
        let transactional = self.session.transactional.is_some();
        let sent = self.session.at_link(move |link| {
            if transactional && !placed.is_empty() {
                link.begin().map_err(Failure::plain)?;
            }
            placed.iter().try_for_each(|(partition, message)| link.send(record(*partition, message)))
        });
        sent.await.map_err(|error| error.context("table", &batch.schema.id))?;
        let rows = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.rows_since_commit += rows;
        self.session.context.progress.rows_written.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    /// Nothing is held back here: librdkafka sends by itself.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Later messages have other fields; there is nothing to alter, but perhaps a topic to make.
    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()> {
        if let Some(before) = &change.before {
            self.plans.remove(&before.id);
        }
        match &change.after {
            Some(after) => self.prepare(after).await,
            None => Ok(()),
        }
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        self.tell_transactions().await?;
        let rows = std::mem::take(&mut self.rows_since_commit);
        let committable = Committable { checkpoint: marker.checkpoint, body: rows.to_le_bytes().to_vec() };
        let Some(transactional) = &self.session.transactional else {
            self.session.at_link(Link::flush).await?;
            return Ok(committable);
        };
        if marker.epoch != self.session.context.epoch {
            return Err(Error::new(ErrorKind::Internal, "a marker of another epoch than the writer's"));
        }
        let entries = marker::entries(marker)?;
        let (topic, id) = (self.session.settings.progress_topic.clone(), transactional.id.clone());
        let checkpoint = marker.checkpoint;
        let staged = self.session.at_link(move |link| {
            link.begin().map_err(Failure::plain)?;
            pass("kafka.marker.before").map_err(Failure::plain)?;
            Session::send_entries(link, &topic, &id, &entries)?;
            link.flush()?;
            pass("kafka.marker.after").map_err(Failure::plain)?;
            link.prepared(checkpoint);
            Ok(())
        });
        staged.await?;
        Ok(committable)
    }

    async fn close(&mut self) {
        let link = Arc::clone(&self.session.link);
        if let Err(error) = blocking(move || link.leave()).await {
            tracing::debug!("the producer was not left in order: {error}");
        }
    }
}

fn record(partition: Option<i32>, message: &Message) -> Record<'_> {
    // A column of this name says it in its place: RowKindExtractor makes one.
    let named = message.headers.iter().any(|(name, _)| name == KIND_HEADER);
    Record {
        topic: &message.topic,
        partition,
        key: message.key.as_deref(),
        value: message.value.as_deref(),
        header: message.kind.filter(|_| !named).map(|kind: RowKind| (KIND_HEADER, kind.short())),
        headers: &message.headers,
    }
}
