//! Private Apache Kafka brokers.
//!
//! One process is broker and controller (KRaft), with its own data folder and free ports on
//! 127.0.0.1. It runs as nobody when the tests run as root, and dies with the test process (see
//! [`crate::tied`]). Clients that give no account may do everything; the account [`USER`] may do what
//! it is allowed with [`Kafka::allow`].

mod options;
mod reader;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

pub use options::KafkaOptions;
pub use reader::{Isolation, Record};

use crate::proxy::Proxy;
use crate::server::program::{command, give, present, servers_folder};
use crate::server::{blocking, free_port, tail};
use crate::tied::{Signal, TiedChild};
use crate::{scratch, wait};

/// An account that logs in by SASL PLAIN and has no rights at first.
pub const USER: &str = "alice";
/// Its password.
pub const PASSWORD: &str = "alice-secret";

/// Time a broker may take to start or stop, on a busy machine, after a crash.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time one question may take.
const ASK_PATIENCE: Duration = Duration::from_secs(5);
/// How often a start is tried when somebody else was faster to take a port.
const STARTS_MAX: u32 = 5;

/// A running broker; killed, and its data removed, when dropped.
#[derive(Debug)]
pub struct Kafka {
    options: KafkaOptions,
    folder: PathBuf,
    cluster: String,
    ports: Ports,
    proxy: Option<Proxy>,
    child: Mutex<Option<TiedChild>>,
    topics: AtomicU32,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Everybody may do everything.
    pub(crate) plain: u16,
    /// The same; clients are told the proxy's port.
    pub(crate) behind_proxy: u16,
    /// Clients log in.
    pub(crate) sasl: u16,
    /// By TLS, where the options have certificates.
    pub(crate) secure: u16,
    pub(crate) controller: u16,
}

impl Ports {
    fn free() -> Ports {
        let mut ports: Vec<u16> = Vec::new();
        while ports.len() < 5 {
            let port = free_port();
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        Ports {
            plain: ports[0],
            behind_proxy: ports[1],
            sasl: ports[2],
            secure: ports[3],
            controller: ports[4],
        }
    }
}

impl Kafka {
    /// Starts a broker and waits until it answers.
    pub async fn start(options: KafkaOptions) -> Kafka {
        // 22 characters of the URL's base64: a cluster id as the broker's tools make them.
        let cluster = format!("culvert{:015x}", rand::random::<u64>() >> 4);
        for attempt in 1.. {
            let ports = Ports::free();
            let proxy = if options.proxied { Some(Proxy::start(ports.behind_proxy).await) } else { None };
            let folder = scratch::folder("k");
            give(&folder);
            let kafka = Kafka {
                options: options.clone(),
                folder,
                cluster: cluster.clone(),
                ports,
                proxy,
                child: Mutex::new(None),
                topics: AtomicU32::new(0),
            };
            kafka.write_settings();
            kafka.format().await;
            match kafka.run().await {
                Ok(()) => return kafka,
                Err(port_taken) if attempt < STARTS_MAX => eprintln!("{port_taken}; trying other ports"),
                Err(port_taken) => panic!("{port_taken}"),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// What clients connect to: `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// The same through the proxy, which clients are kept to: the broker tells them its port.
    pub fn proxied_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.proxy().port())
    }

    /// The proxy, when the options asked for one.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("KafkaOptions::proxied")
    }

    /// Where clients log in by SASL PLAIN.
    pub fn sasl_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.sasl)
    }

    /// What clients connect to by TLS.
    pub fn secure_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.secure)
    }

    /// The broker's own log as it is now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A name for a topic that no other test uses: `PREFIX-1` and so on.
    pub fn fresh_name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.topics.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes a topic with these settings.
    pub async fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let made = self.admin().create_topics(&[topic], &options).await;
        match made.map(|mut made| made.pop()) {
            Ok(Some(Ok(_))) => {}
            other => panic!("the topic {name} was not made: {other:?}"),
        }
    }

    /// Gives a topic as many partitions.
    pub async fn add_partitions(&self, topic: &str, count: usize) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let made = self.admin().create_partitions(&[NewPartitions::new(topic, count)], &options).await;
        assert!(matches!(made.as_deref(), Ok([Ok(_)])), "{topic} did not get {count} partitions: {made:?}");
    }

    /// Deletes a partition's messages below this offset, as retention does.
    pub async fn delete_below(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        self.admin().delete_records(&list, &options).await.expect("messages are deleted");
    }

    /// Sends messages to a partition and waits until they are there.
    pub async fn send(&self, topic: &str, partition: i32, values: &[&str]) {
        let bootstrap = self.bootstrap();
        let (topic, values) = (topic.to_owned(), values.iter().map(|value| (*value).to_owned()));
        let values: Vec<String> = values.collect();
        blocking(move || {
            let producer: BaseProducer = client(&bootstrap).create().expect("a producer");
            for value in &values {
                let record = BaseRecord::<(), str>::to(&topic).partition(partition).payload(value);
                producer.send(record).map_err(|(cause, _)| cause).expect("the message is taken");
            }
            producer.flush(PATIENCE).expect("the messages are there");
        })
        .await;
    }

    /// One setting of a topic; `None` when there is no such topic.
    pub async fn topic_setting(&self, name: &str, setting: &str) -> Option<String> {
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let answer = self.admin().describe_configs(&[ResourceSpecifier::Topic(name)], &options).await;
        let config = answer.expect("the broker answers").pop()?.ok()?;
        config.get(setting)?.value.clone()
    }

    /// How many partitions a topic has; 0 when there is no such topic.
    pub async fn partitions(&self, topic: &str) -> usize {
        let bootstrap = self.bootstrap();
        let topic = topic.to_owned();
        blocking(move || reader::partitions(&bootstrap, &topic).len()).await
    }

    /// Everything in the topic's partitions as of now, in their order; empty without such a topic.
    pub async fn read(&self, topic: &str, isolation: Isolation) -> Vec<Record> {
        let (bootstrap, topic) = (self.bootstrap(), topic.to_owned());
        blocking(move || reader::read(&bootstrap, &topic, isolation)).await
    }

    /// Names of the topics there are, in order, without the broker's own.
    pub async fn topic_names(&self) -> Vec<String> {
        let bootstrap = self.bootstrap();
        blocking(move || reader::topics(&bootstrap)).await
    }

    /// Lets [`USER`] do something, in the words of the broker's own tool: `["--operation", "Write",
    /// "--topic", "t"]`.
    pub async fn allow(&self, what: &[&str]) {
        let mut arguments = vec!["--bootstrap-server".to_owned(), self.bootstrap(), "--add".to_owned()];
        arguments.extend(["--allow-principal".to_owned(), format!("User:{USER}")]);
        arguments.extend(what.iter().map(|word| (*word).to_owned()));
        let mut java = self.java();
        java.arg("kafka.admin.AclCommand").args(arguments);
        let output = blocking(move || java.output()).await.expect("java starts");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "no right was given: {}", String::from_utf8_lossy(&said));
    }

    /// Stops it as an administrator would and waits until it is gone.
    pub async fn stop(&self) {
        let Some(mut child) = self.child().take() else { return };
        child.signal(Signal::Continue);
        child.signal(Signal::Terminate);
        let log = self.folder.join("log");
        blocking(move || {
            wait::until_ok_blocking(PATIENCE, "the broker to stop", || {
                child.ended().ok_or_else(|| tail(&fs::read_to_string(&log).unwrap_or_default()))
            });
        })
        .await;
    }

    /// Ends it at once, as a crash would.
    pub fn kill9(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill();
        }
    }

    /// Starts it again on the same ports and data, after a stop or kill; stops it first when it runs.
    /// Returns when it answers.
    pub async fn restart(&self) {
        self.stop().await;
        for attempt in 1.. {
            match self.run().await {
                Ok(()) => break,
                Err(port_taken) if attempt < STARTS_MAX => eprintln!("{port_taken}; trying again"),
                Err(port_taken) => panic!("{port_taken}"),
            }
        }
    }

    /// Freezes it: from when this returns connections stay and nothing answers.
    pub fn freeze(&self) {
        if let Some(child) = self.child().as_mut() {
            child.freeze();
        }
    }

    /// Ends [`Kafka::freeze`].
    pub fn thaw(&self) {
        if let Some(child) = self.child().as_mut() {
            child.signal(Signal::Continue);
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        reader::config(&self.bootstrap()).create().expect("a client for administration")
    }

    fn child(&self) -> MutexGuard<'_, Option<TiedChild>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_settings(&self) {
        let proxy = self.proxy.as_ref().map(Proxy::port);
        let texts = [
            ("server.properties", self.options.properties(self.ports, proxy, &self.folder.join("data"))),
            ("log4j.properties", options::LOGGING.to_owned()),
        ];
        for (name, text) in texts {
            let file = self.folder.join(name);
            fs::write(&file, text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
            give(&file);
        }
    }

    /// A small Java with the broker's jars.
    fn java(&self) -> std::process::Command {
        let mut java = command(Path::new("java"));
        let logging = self.folder.join("log4j.properties");
        java.args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
        java.arg(format!("-Dlog4j.configuration=file:{}", logging.display()));
        java.arg("-cp").arg(format!("{}/*", jars().display()));
        java
    }

    /// Prepares the data folder.
    async fn format(&self) {
        let mut java = self.java();
        java.args(["kafka.tools.StorageTool", "format", "--cluster-id", &self.cluster, "--config"]);
        java.arg(self.folder.join("server.properties"));
        let output = blocking(move || java.output()).await;
        let output = output
            .unwrap_or_else(|error| panic!("java does not start: {error}; run tests/servers/install.sh"));
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Kafka's data folder was not made: {said}");
    }

    /// Spawns the program and waits until it answers. `Err` when a port is somebody else's.
    async fn run(&self) -> Result<(), String> {
        let path = self.folder.join("log");
        let log = File::options().create(true).append(true).open(path).expect("the scratch folder is ours");
        // What it logged before it was stopped says nothing about this start.
        let begun_at = self.log().len();
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.folder.join("server.properties"));
        java.stdout(log.try_clone().expect("one more file handle")).stderr(log);
        let mut child = TiedChild::spawn(java).unwrap_or_else(|error| panic!("java does not start: {error}"));
        let log = || self.log().get(begun_at..).unwrap_or_default().to_owned();
        let begun = Instant::now();
        let answer = wait::until_ok(PATIENCE + ASK_PATIENCE * 2, "the broker to answer", async || {
            if let Some(status) = child.ended() {
                let log = log();
                let clash = log.contains("Address already in use");
                assert!(clash, "the broker ended while starting ({status}); its log:\n{}", tail(&log));
                return Ok(Err(format!("a port of {:?} was taken before the broker had it", self.ports)));
            }
            assert!(begun.elapsed() < PATIENCE, "the broker does not answer; its log:\n{}", tail(&log()));
            self.assert_own().await
        })
        .await;
        if answer.is_ok() {
            *self.child() = Some(child);
        }
        answer
    }

    /// Another broker on this port would answer as well: ask this one for its cluster.
    async fn assert_own(&self) -> Result<Result<(), String>, String> {
        let (bootstrap, cluster) = (self.bootstrap(), self.cluster.clone());
        blocking(move || {
            let consumer: BaseConsumer = reader::config(&bootstrap).create().expect("a client");
            let metadata = consumer.fetch_metadata(None, ASK_PATIENCE).map_err(|error| error.to_string())?;
            if metadata.brokers().is_empty() {
                return Err("no broker has joined yet".to_owned());
            }
            match consumer.client().fetch_cluster_id(ASK_PATIENCE) {
                Some(found) if found == cluster => Ok(Ok(())),
                Some(found) => Ok(Err(format!("{bootstrap} is the cluster {found}'s"))),
                None => Err("no cluster id yet".to_owned()),
            }
        })
        .await
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.child().take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How a client of the tests reaches a broker.
pub fn client(bootstrap: &str) -> ClientConfig {
    reader::config(bootstrap)
}

/// The broker's jars.
fn jars() -> PathBuf {
    present(servers_folder().join("kafka/libs"))
}
