//! Topics and settings of the broker: what there is, and what is missing and may be made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::options::Settings;
use culvert_kafka::Watch;
use culvert_kafka::error;
use culvert_kafka::{Aside, ask, blocking};

/// How long an answer to a client for administration may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a new topic may take to be known everywhere.
const NEW_TOPIC_PATIENCE: Duration = Duration::from_secs(30);
const NEW_TOPIC_STEP: Duration = Duration::from_millis(50);
/// Segments of the progress topic: compaction keeps the newest one out, and a start reads them all.
const PROGRESS_SEGMENT_BYTES: &str = "16777216";

/// A way to ask.
#[derive(Clone)]
pub(crate) struct Cluster {
    settings: Arc<Settings>,
    asker: Arc<Aside<BaseConsumer<Watch>>>,
}

impl Cluster {
    /// Makes the client; connects when it is first asked.
    pub(crate) fn new(settings: &Arc<Settings>) -> Result<Cluster> {
        let asker = settings.client.consumer("read_committed").create_with_context(Watch::default());
        let asker = asker.map_err(|cause| error::convert(&cause, "make a client"))?;
        Ok(Cluster { settings: Arc::clone(settings), asker: Arc::new(Aside::new(asker)) })
    }

    /// How many partitions a topic has; `None` when there is no such topic.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        let (asker, topic) = (Arc::clone(&self.asker), topic.to_owned());
        blocking(move || {
            let doing = format!("ask for the topic {topic}");
            ask(&asker, &doing, |step| {
                let metadata = asker.fetch_metadata(Some(&topic), step)?;
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                let Some(found) = found else { return Ok(None) };
                match found.error().map(RDKafkaErrorCode::from) {
                    None => Ok(i32::try_from(found.partitions().len()).ok()),
                    Some(code) if error::is_missing(code) => Ok(None),
                    Some(code) => Err(KafkaError::MetadataFetch(code)),
                }
            })
            .map_err(|failed| failed.context("topic", &topic))
        })
        .await?
    }

    /// The number of any broker; an answer means that one can be reached.
    pub(crate) async fn any_broker(&self) -> Result<Option<i32>> {
        let asker = Arc::clone(&self.asker);
        blocking(move || {
            ask(&asker, "reach a broker", |step| {
                // Asked for a topic that is there or not: all topics can be many.
                let metadata = asker.fetch_metadata(Some("culvert-check"), step)?;
                Ok(metadata.brokers().first().map(|broker| broker.id()))
            })
        })
        .await?
    }

    /// Makes a topic for messages, unless it is there, and returns its number of partitions.
    pub(crate) async fn ensure_topic(&self, topic: &str) -> Result<i32> {
        if let Some(partitions) = self.partitions(topic).await? {
            return Ok(partitions);
        }
        if !self.settings.create_topics {
            return Err(Error::new(ErrorKind::Schema, "the topic is missing")
                .context("topic", topic)
                .hint("create it, or set create_topics = true"));
        }
        let new = NewTopic::new(topic, self.settings.topic_partitions, self.replication());
        self.create(new, topic).await
    }

    /// Makes the progress topic, unless it is there.
    pub(crate) async fn ensure_progress_topic(&self) -> Result<()> {
        let topic = self.settings.progress_topic.as_str();
        if self.partitions(topic).await?.is_none() {
            let new = NewTopic::new(topic, 1, self.replication())
                .set("cleanup.policy", "compact")
                .set("segment.bytes", PROGRESS_SEGMENT_BYTES)
                .set("min.cleanable.dirty.ratio", "0.1");
            self.create(new, topic).await?;
        }
        match self.topic_setting(topic, "cleanup.policy").await {
            Ok(Some(policy)) if !policy.contains("compact") || policy.contains("delete") => {
                Err(not_compact(topic, &policy))
            }
            // Reading settings is a right of its own, and the check is there for who lacks it.
            _ => Ok(()),
        }
    }

    fn replication(&self) -> TopicReplication<'static> {
        TopicReplication::Fixed(self.settings.topic_replication_factor)
    }

    async fn create(&self, new: NewTopic<'_>, topic: &str) -> Result<i32> {
        let doing = format!("create the topic {topic}");
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let made = self.admin()?.create_topics(&[new], &options).await;
        let made = made.map_err(|cause| error::convert(&cause, &doing))?;
        match made.into_iter().next() {
            Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
            Some(Err((_, code))) => return Err(error::of_code(code, &doing)),
            None => return Err(Error::new(ErrorKind::Unavailable, format!("could not {doing}"))),
        }
        tracing::info!(topic, "topic created");
        let begun = Instant::now();
        loop {
            if let Some(partitions) = self.partitions(topic).await? {
                return Ok(partitions);
            }
            if begun.elapsed() > NEW_TOPIC_PATIENCE {
                let what = "the topic was created and is still not known";
                return Err(Error::new(ErrorKind::Unavailable, what).context("topic", topic));
            }
            tokio::time::sleep(NEW_TOPIC_STEP).await;
        }
    }

    /// A setting of a topic.
    pub(crate) async fn topic_setting(&self, topic: &str, name: &str) -> Result<Option<String>> {
        self.setting(ResourceSpecifier::Topic(topic), name).await
    }

    /// A setting of a broker.
    pub(crate) async fn broker_setting(&self, broker: i32, name: &str) -> Result<Option<String>> {
        self.setting(ResourceSpecifier::Broker(broker), name).await
    }

    async fn setting(&self, of: ResourceSpecifier<'_>, name: &str) -> Result<Option<String>> {
        let doing = format!("read the setting {name}");
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let answer = self.admin()?.describe_configs(&[of], &options).await;
        let answer = answer.map_err(|cause| error::convert(&cause, &doing))?;
        match answer.into_iter().next() {
            Some(Ok(config)) => Ok(config.get(name).and_then(|entry| entry.value.clone())),
            Some(Err(code)) => Err(error::of_code(code, &doing)),
            None => Ok(None),
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        let admin = self.settings.client.admin().create();
        admin.map_err(|cause| error::convert(&cause, "make a client for administration"))
    }
}

/// A progress topic that would lose markers.
pub(crate) fn not_compact(topic: &str, policy: &str) -> Error {
    let what =
        format!("the progress topic has cleanup.policy={policy}, which removes commit markers in time");
    Error::new(ErrorKind::Schema, what)
        .context("topic", topic)
        .hint(format!("set cleanup.policy=compact on it (kafka-configs.sh --alter --topic {topic} …)"))
}
