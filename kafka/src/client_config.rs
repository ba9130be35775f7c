//! What librdkafka gets: our defaults, what the promise rests on, and the user's `kafka.config`.

use std::fmt;
use std::time::Duration;

use culvert_api::Result;
use rdkafka::ClientConfig;

use crate::error;

/// Messages that wait for delivery at most, all topics together; a full queue waits.
const QUEUE_KBYTES_MAX: u64 = 64 << 10;
/// The same as a number of messages.
const QUEUE_MESSAGES_MAX: u64 = 500_000;
/// How long a transaction may take, from its first message: the most that brokers allow by default.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(900);
/// How long a message may wait for its broker.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that wait in front of the reader of one partition.
const PREFETCH_KBYTES_MAX: u64 = 8 << 10;
/// How long a request may go without an answer; it is sent again then, on a new connection. The broker knows a
/// message that it has already. A member's word comes through again before [`SESSION_TIMEOUT`] is over.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// The same for a reader, whose answers are larger.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// What a request keeps at least to the end of its transaction, as librdkafka wants it.
const REQUEST_MARGIN: Duration = Duration::from_millis(100);
/// How long a connection may take to be made, with its login.
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member may be silent before its partitions are given to others.
const SESSION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the group waits for a member that takes part and says nothing, and a member for the group's answer to
/// its joining. More than a last checkpoint is waited for.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// The consumer group of reads of the progress topic. Nothing is stored for it.
const GROUP: &str = "culvert";

const OWN_OPTION: &str = "it is an option of its own: bootstrap.servers";

/// A setting that a user may not make: its name, the values that are as good as not set, and why.
pub type Refused = (&'static str, &'static [&'static str], &'static str);

/// What no client of ours lets a user set.
const ALWAYS_REFUSED: &[Refused] = &[
    ("bootstrap.servers", &[], OWN_OPTION),
    ("metadata.broker.list", &[], OWN_OPTION),
    ("sasl.jaas.config", &[], "this client takes sasl.username and sasl.password instead"),
    ("ssl.truststore.location", &[], "this client takes ssl.ca.location (PEM) instead"),
    ("ssl.truststore.password", &[], "this client takes ssl.ca.location (PEM) instead"),
    (
        "ssl.keystore.type",
        &["PKCS12"],
        "this client takes PKCS#12 only, or ssl.certificate.location and ssl.key.location (PEM)",
    ),
];

/// Settings of the Java client that mean nothing here.
const WITHOUT_MEANING: &[&str] =
    &["key.serializer", "value.serializer", "key.deserializer", "value.deserializer", "max.block.ms"];

/// How clients are made.
#[derive(Clone)]
pub struct ClientSettings {
    servers: String,
    /// The user's settings, by librdkafka's names.
    user: Vec<(String, String)>,
    /// How long a transaction may take.
    pub transaction_timeout: Duration,
    /// How long a message may wait for its broker.
    pub message_timeout: Duration,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.user.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ClientSettings").field("servers", &self.servers).field("user", &names).finish()
    }
}

impl ClientSettings {
    /// Takes the user's settings over, each checked by librdkafka itself.
    pub fn new(
        servers: &str,
        pairs: &[(String, String)],
        refused: &'static [Refused],
    ) -> Result<ClientSettings> {
        let mut settings = ClientSettings {
            servers: servers.to_owned(),
            user: Vec::new(),
            transaction_timeout: TRANSACTION_TIMEOUT,
            message_timeout: MESSAGE_TIMEOUT,
        };
        for (name, value) in pairs {
            settings.take(name.strip_prefix("kafka.").unwrap_or(name), value, refused)?;
        }
        settings.message_timeout = settings.message_timeout.min(settings.transaction_timeout);
        // Each by itself, so that the error names the one that is wrong.
        for (name, value) in &settings.user {
            let mut alone = ClientConfig::new();
            alone.set(name, value);
            alone.create_native_config().map_err(|_| error::config(name))?;
        }
        Ok(settings)
    }

    fn take(&mut self, name: &str, value: &str, refused: &[Refused]) -> Result<()> {
        let mut all = ALWAYS_REFUSED.iter().chain(refused);
        if let Some((_, harmless, why)) = all.find(|(refused, _, _)| *refused == name) {
            if harmless.iter().any(|word| word.eq_ignore_ascii_case(value)) {
                return Ok(());
            }
            return Err(error::option("kafka.config", &format!("does not take '{name}': {why}")));
        }
        let number = || {
            let wanted = || error::option("kafka.config", &format!("needs a whole number for '{name}'"));
            value.trim().parse::<u64>().map_err(|_| wanted())
        };
        let mut set = |name: &str, value: String| self.user.push((name.to_owned(), value));
        match name {
            name if WITHOUT_MEANING.contains(&name) => {}
            "retries" | "message.send.max.retries" if number()? == 0 => {
                let what = format!("does not take '{name}' = 0: a lost answer must be asked for again");
                return Err(error::option("kafka.config", &what));
            }
            "transaction.timeout.ms" => self.transaction_timeout = Duration::from_millis(number()?),
            "message.timeout.ms" | "delivery.timeout.ms" => {
                self.message_timeout = Duration::from_millis(number()?);
            }
            "buffer.memory" => set("queue.buffering.max.kbytes", (number()? / 1024).max(1).to_string()),
            "max.request.size" => set("message.max.bytes", number()?.to_string()),
            name => set(name, value.to_owned()),
        }
        Ok(())
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("client.id", "culvert");
        // A broker that is there again is found again soon.
        config.set("reconnect.backoff.max.ms", "2000").set("socket.keepalive.enable", "true");
        config.set("socket.connection.setup.timeout.ms", SETUP_TIMEOUT.as_millis().to_string());
        config
    }

    /// The user's value of a setting.
    fn user_value(&self, wanted: &str) -> Option<&str> {
        self.user.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.trim())
    }

    fn with_user(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.user {
            config.set(name, value);
        }
        config
    }

    /// A producer: idempotent, and so with all replicas' acknowledgement; transactional with an id.
    pub fn producer(&self, transactional_id: Option<&str>) -> ClientConfig {
        let mut config = self.common();
        config.set("enable.idempotence", "true");
        config.set("queue.buffering.max.kbytes", QUEUE_KBYTES_MAX.to_string());
        config.set("queue.buffering.max.messages", QUEUE_MESSAGES_MAX.to_string());
        config.set("message.timeout.ms", self.message_timeout.as_millis().to_string());
        let request = REQUEST_TIMEOUT.min(self.transaction_timeout.saturating_sub(REQUEST_MARGIN));
        config.set("socket.timeout.ms", request.as_millis().to_string());
        // The Java client's: who joins this topic with another finds equal keys in equal partitions.
        config.set("partitioner", "murmur2_random");
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
            config.set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string());
        }
        self.with_user(config)
    }

    /// A consumer that stores nothing and makes no topics by asking for them.
    pub fn consumer(&self, isolation: &str) -> ClientConfig {
        let mut config = self.with_user(self.common());
        config.set("group.id", GROUP).set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("isolation.level", isolation);
        config.set("allow.auto.create.topics", "false");
        // It reads to the end and goes: the broker need not wait there for more.
        config.set("fetch.wait.max.ms", "10");
        config
    }

    /// A member of a consumer group that reads nothing itself: partitions are paused as they come.
    pub fn member(&self, group: &str, discovery: Duration) -> ClientConfig {
        let mut config = self.common();
        // A process that is gone is missed soon; who wants it otherwise sets it.
        config.set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string());
        config.set("socket.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string());
        // librdkafka wants it no shorter than the other.
        let session = self.user_value("session.timeout.ms").and_then(|value| value.parse().ok());
        let join = session.map_or(JOIN_TIMEOUT, |millis| JOIN_TIMEOUT.max(Duration::from_millis(millis)));
        config.set("max.poll.interval.ms", join.as_millis().to_string());
        let mut config = self.with_user(config);
        config.set("group.id", group).set("partition.assignment.strategy", "cooperative-sticky");
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("allow.auto.create.topics", "false");
        config.set("topic.metadata.refresh.interval.ms", discovery.as_millis().to_string());
        config
    }

    /// A reader of one partition, from an offset it is given.
    pub fn partition(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        config.set("queued.max.messages.kbytes", PREFETCH_KBYTES_MAX.to_string());
        config.set("fetch.queue.backoff.ms", "10").set("fetch.wait.max.ms", "100");
        config.set("socket.timeout.ms", FETCH_TIMEOUT.as_millis().to_string());
        let mut config = self.with_user(config);
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
        config.set("allow.auto.create.topics", "false");
        config
    }

    /// Asks about a group and its topics, and is no member.
    pub fn asker(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        config.set("socket.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string());
        let mut config = self.with_user(config);
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("allow.auto.create.topics", "false");
        config
    }

    /// A client for administration.
    pub fn admin(&self) -> ClientConfig {
        self.with_user(self.common())
    }
}
