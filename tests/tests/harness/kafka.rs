//! The broker: transactions are real, and it can be stopped, killed, frozen and cut off.

use std::time::Duration;

use culvert_tests::{Isolation, Kafka, KafkaOptions, kafka, kafka_shared, wait};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const PATIENCE: Duration = Duration::from_secs(60);

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work ends")
}

/// A producer with an open transaction that holds these messages.
fn open_transaction(bootstrap: &str, id: &str, topic: &str, values: &[&str]) -> BaseProducer {
    let producer: BaseProducer =
        kafka::client(bootstrap).set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("an id");
    begin(&producer, topic, values);
    producer
}

fn begin(producer: &BaseProducer, topic: &str, values: &[&str]) {
    producer.begin_transaction().expect("a transaction");
    for value in values {
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).key("k").payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    }
    producer.flush(PATIENCE).expect("messages are delivered");
}

async fn values(kafka: &Kafka, topic: &str, isolation: Isolation) -> Vec<String> {
    kafka.read(topic, isolation).await.into_iter().filter_map(|record| record.value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_hide_commit_abort_and_fence() {
    let kafka = kafka_shared().await;
    let topic = kafka.fresh_name("probe");
    kafka.create_topic(&topic, 1, &[]).await;
    let (bootstrap, name) = (kafka.bootstrap(), topic.clone());
    let id = topic.clone();
    let first = blocking(move || open_transaction(&bootstrap, &id, &name, &["c1", "c2"])).await;
    assert_eq!(values(kafka, &topic, Isolation::Committed).await, Vec::<String>::new());
    assert_eq!(values(kafka, &topic, Isolation::Uncommitted).await, ["c1", "c2"]);
    let name = topic.clone();
    let first = blocking(move || {
        first.commit_transaction(PATIENCE).expect("a commit");
        begin(&first, &name, &["a1"]);
        first.abort_transaction(PATIENCE).expect("an abort");
        begin(&first, &name, &["z1"]);
        first
    })
    .await;
    assert_eq!(values(kafka, &topic, Isolation::Committed).await, ["c1", "c2"]);
    // Another producer with the id ends the open transaction and fences the one before.
    let (bootstrap, name) = (kafka.bootstrap(), topic.clone());
    let id = topic.clone();
    let refused = blocking(move || {
        let second = open_transaction(&bootstrap, &id, &name, &["n1"]);
        let refused = first.commit_transaction(PATIENCE).expect_err("it is fenced");
        second.commit_transaction(PATIENCE).expect("a commit");
        refused
    })
    .await;
    let KafkaError::Transaction(refused) = refused else { panic!("{refused:?}") };
    assert!(refused.is_fatal() && refused.code() == RDKafkaErrorCode::Fenced, "{refused:?}");
    assert_eq!(values(kafka, &topic, Isolation::Committed).await, ["c1", "c2", "n1"]);
    assert_eq!(values(kafka, &topic, Isolation::Uncommitted).await, ["c1", "c2", "a1", "z1", "n1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_survives_its_crash_and_takes_messages_through_its_proxy() {
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    kafka.create_topic("t", 2, &[("cleanup.policy", "compact")]).await;
    assert_eq!((kafka.partitions("t").await, kafka.partitions("other").await), (2, 0));
    assert_eq!(kafka.topic_setting("t", "cleanup.policy").await.as_deref(), Some("compact"));
    let bootstrap = kafka.proxied_bootstrap();
    blocking(move || {
        open_transaction(&bootstrap, "id", "t", &["x"]).commit_transaction(PATIENCE).expect("a commit");
    })
    .await;
    // The broker told its clients to come through the proxy: nobody went around it.
    assert!(kafka.proxy().accepted() > 1);
    kafka.kill9();
    kafka.restart().await;
    assert_eq!(values(&kafka, "t", Isolation::Committed).await, ["x"]);
    kafka.stop().await;
    kafka.restart().await;
    assert_eq!(kafka.topic_names().await, ["t"]);
    kafka.freeze();
    kafka.thaw();
    wait::until(PATIENCE, "the broker to go on", async || kafka.partitions("t").await == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_may_do_what_it_is_allowed() {
    let kafka = kafka_shared().await;
    let topic = kafka.fresh_name("rights");
    kafka.create_topic(&topic, 1, &[]).await;
    let send = |topic: String| {
        let bootstrap = kafka.sasl_bootstrap();
        move || {
            let mut config = kafka::client(&bootstrap);
            config.set("security.protocol", "sasl_plaintext").set("sasl.mechanism", "PLAIN");
            config.set("sasl.username", kafka::USER).set("sasl.password", kafka::PASSWORD);
            let producer: BaseProducer =
                config.set("message.timeout.ms", "5000").create().expect("a producer");
            let record: BaseRecord<'_, str, str> = BaseRecord::to(&topic).payload("x");
            producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
            // What was not delivered leaves the queue as well.
            producer.flush(PATIENCE).expect("an end");
        }
    };
    blocking(send(topic.clone())).await;
    assert_eq!(values(kafka, &topic, Isolation::Committed).await, Vec::<String>::new());
    kafka.allow(&["--operation", "Write", "--operation", "Describe", "--topic", &topic]).await;
    kafka.allow(&["--operation", "IdempotentWrite", "--cluster"]).await;
    blocking(send(topic.clone())).await;
    assert_eq!(values(kafka, &topic, Isolation::Committed).await, ["x"]);
}
