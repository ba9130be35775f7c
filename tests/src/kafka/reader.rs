//! What is in topics, as a consumer sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Time reading a topic may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time one question may take.
const ASK_PATIENCE: Duration = Duration::from_secs(30);

/// Which records a consumer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions, up to the first one that is open.
    Committed,
    /// All.
    Uncommitted,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Its key, as text.
    pub key: Option<String>,
    /// Its value, as text; `None` is a tombstone.
    pub value: Option<String>,
    /// Key and value as they are.
    pub bytes: (Option<Vec<u8>>, Option<Vec<u8>>),
    /// Its headers, as texts.
    pub headers: Vec<(String, String)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Record {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(text),
            value: message.payload().map(text),
            bytes: (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec)),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.map(text).unwrap_or_default()))
                .collect(),
        }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A client of this broker.
pub(super) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "culvert-tests");
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    // Tests read to the end and go.
    config.set("fetch.wait.max.ms", "10");
    config
}

/// Numbers of a topic's partitions.
pub(super) fn partitions(bootstrap: &str, topic: &str) -> Vec<i32> {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a consumer");
    of_topic(&consumer, topic)
}

/// Asks for all topics: asking for one that is missing could make it.
fn of_topic(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(None, ASK_PATIENCE).expect("the broker answers");
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    found.into_iter().flat_map(|found| found.partitions()).map(|partition| partition.id()).collect()
}

pub(super) fn topics(bootstrap: &str) -> Vec<String> {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(None, ASK_PATIENCE).expect("the broker answers");
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    let names: BTreeSet<String> = names.filter(|name| !name.starts_with("__")).collect();
    names.into_iter().collect()
}

/// Everything there is to be seen now, and perhaps some of what comes meanwhile.
pub(super) fn read(bootstrap: &str, topic: &str, isolation: Isolation) -> Vec<Record> {
    let level = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let consumer: BaseConsumer =
        config(bootstrap).set("isolation.level", level).create().expect("a consumer");
    let mut unread: BTreeSet<i32> = of_topic(&consumer, topic).into_iter().collect();
    if unread.is_empty() {
        return Vec::new();
    }
    let mut wanted = TopicPartitionList::new();
    for partition in &unread {
        wanted.add_partition_offset(topic, *partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&wanted).expect("an assignment");
    // A topic that is written to all the time has no end to wait for.
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    for partition in &unread {
        let (_, end) =
            consumer.fetch_watermarks(topic, *partition, ASK_PATIENCE).expect("the broker answers");
        ends.insert(*partition, end);
    }
    let mut records = Vec::new();
    let begun = Instant::now();
    while !unread.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{topic} was not read to its end; partitions left: {unread:?}");
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Ok(message)) => {
                let record = Record::of(&message);
                if ends.get(&record.partition).is_some_and(|end| record.offset + 1 >= *end) {
                    unread.remove(&record.partition);
                }
                records.push(record);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            // The client connects again by itself; the deadline is above.
            Some(Err(error)) => eprintln!("reading {topic}: {error}"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}
