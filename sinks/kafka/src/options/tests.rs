#![allow(clippy::unwrap_used)]

use culvert_api::ErrorKind;
use culvert_config::{Block, Entry, Place, Role, Value, definition_mistakes};

use super::*;

/// Settings of these options, with defaults for the required ones.
pub(crate) fn settings(pairs: &[(&str, &str)]) -> Result<Settings> {
    let mut block = Block::new(Role::Sink, "Kafka", Place::default());
    let defaults = [("bootstrap.servers", "127.0.0.1:1"), ("topic", "t")];
    let kept = defaults.iter().filter(|(key, _)| !pairs.iter().any(|(other, _)| other == key));
    for (key, value) in kept.chain(pairs) {
        let value = Value::String((*value).to_owned());
        block.entries.push(Entry { key: (*key).to_owned(), value, place: Place::default() });
    }
    let (options, problems) = Options::resolve(&block, OPTIONS);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:?}");
    Settings::from_options(&options)
}

#[track_caller]
fn refused(pairs: &[(&str, &str)], words: &[&str]) {
    let error = settings(pairs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
}

#[test]
fn defaults() {
    let settings = settings(&[]).unwrap();
    assert!(!settings.exactly_once && settings.create_topics);
    assert_eq!(settings.transactional_id("job", "sink-0", 0), "culvert-job-sink-0-0");
    assert_eq!(
        (settings.topic_partitions, settings.topic_replication_factor, settings.partition),
        (-1, -1, None)
    );
    assert_eq!(settings.encoder.layout, Layout::Json);
    assert_eq!(settings.client.transaction_timeout, Duration::from_secs(900));
    assert_eq!(settings.client.message_timeout, Duration::from_secs(60));
}

#[test]
fn what_would_break_the_promise_is_refused_by_name() {
    for (key, value) in [
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("enable.idempotence", "false"),
        ("transactional.id", "mine"),
        ("isolation.level", "read_uncommitted"),
        ("delivery.report.only.error", "true"),
        ("bootstrap.servers", "other:9092"),
        ("metadata.broker.list", "other:9092"),
        ("retries", "0"),
    ] {
        refused(&[(&format!("kafka.config.{key}"), value)], &["kafka.config", key]);
    }
    for (key, value) in [("acks", "all"), ("acks", "-1"), ("enable.idempotence", "true"), ("retries", "5")] {
        settings(&[(&format!("kafka.config.{key}"), value)]).unwrap();
    }
}

#[test]
fn settings_of_the_java_client_are_understood_or_named() {
    let settings = settings(&[
        ("kafka.config.buffer.memory", "33554432"),
        ("kafka.config.kafka.request.timeout.ms", "5000"),
        ("kafka.config.max.request.size", "2000000"),
        ("kafka.config.key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer"),
        ("kafka.config.compression.type", "zstd"),
        ("kafka.config.transaction.timeout.ms", "20000"),
    ])
    .unwrap();
    let producer = settings.client.producer(Some("id"));
    assert_eq!(producer.get("queue.buffering.max.kbytes"), Some("32768"));
    assert_eq!(producer.get("request.timeout.ms"), Some("5000"));
    assert_eq!(producer.get("message.max.bytes"), Some("2000000"));
    assert_eq!(producer.get("key.serializer"), None);
    assert_eq!(producer.get("transaction.timeout.ms"), Some("20000"));
    assert_eq!(producer.get("message.timeout.ms"), Some("20000"));
    refused(&[("kafka.config.sasl.jaas.config", "x")], &["sasl.jaas.config", "sasl.username"]);
    refused(
        &[("kafka.config.ssl.truststore.location", "/x.jks")],
        &["ssl.truststore.location", "ssl.ca.location"],
    );
}

#[test]
fn values_of_settings_are_never_shown() {
    refused(&[("kafka.config.security.protocol", "hunter2")], &["security.protocol"]);
    refused(&[("kafka.config.no.such.setting", "1")], &["no.such.setting"]);
    for pairs in [[("kafka.config.security.protocol", "hunter2")], [("kafka.config.no.such", "hunter2")]] {
        assert!(!settings(&pairs).unwrap_err().to_string().contains("hunter2"));
    }
    let settings = settings(&[("kafka.config.ssl.key.password", "hunter2")]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
}

#[test]
fn formats_that_are_not_there_are_refused_by_name() {
    for format in ["compatible_kafka_connect_json", "protobuf", "native"] {
        refused(&[("format", format)], &["format", format]);
    }
}

#[test]
fn avro_has_a_registry_and_nothing_else_has() {
    let avro = ("format", "avro");
    refused(&[avro], &["schema.registry.url"]);
    refused(&[("schema.registry.url", "http://r")], &["schema.registry.url", "avro"]);
    for url in ["registry:8081", "ftp://r", "http://", "http:///x", " , ", "http://r?x", "http://a b"] {
        refused(&[avro, ("schema.registry.url", url)], &["schema.registry.url"]);
    }
    let url = ("schema.registry.url", "http://a:1/ , https://b/apis/ccompat/v7");
    refused(&[avro, url, ("schema.registry.password", "hunter2")], &["schema.registry.user"]);
    let account = [("schema.registry.user", "alice"), ("schema.registry.password", "hunter2")];
    let settings = settings(&[avro, url, account[0], account[1]]).unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains(r#"["http://a:1", "https://b/apis/ccompat/v7"]"#), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn an_account_in_an_address_is_refused_and_not_shown() {
    let pairs = [("format", "avro"), ("schema.registry.url", "http://alice:hunter2@r")];
    refused(&pairs, &["schema.registry.user"]);
    assert!(!settings(&pairs).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn schemas_have_all_columns() {
    for option in ["kafka_headers_fields", "kafka_message_value_fields"] {
        refused(&[("format", "compatible_debezium_json"), (option, "id")], &[option]);
    }
}

#[test]
fn transactions_have_a_topic_of_their_own_and_a_format() {
    let on = ("provide_transaction_metadata", "true");
    refused(&[on], &["provide_transaction_metadata", "debezium_json"]);
    let format = ("format", "debezium_json");
    for topic in ["t", "culvert_commit", "a b"] {
        refused(&[on, format, ("transaction_topic", topic)], &["transaction_topic"]);
    }
    assert_eq!(settings(&[on, format]).unwrap().transaction_topic.as_deref(), Some("culvert_transactions"));
    assert_eq!(settings(&[format]).unwrap().transaction_topic, None);
}

#[test]
fn topics_are_names() {
    refused(&[("topic", "a b")], &["topic"]);
    refused(&[("topic", "${open")], &["topic"]);
    refused(&[("progress_topic", "")], &["progress_topic"]);
    refused(&[("topic", "culvert_commit")], &["progress_topic"]);
    refused(&[("field_delimiter", "")], &["field_delimiter"]);
}
