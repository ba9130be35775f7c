//! Messages as consumers find them: keys, partitions, topics, headers, values.

use culvert_api::ErrorKind;
use culvert_tests::kafka::Record;
use culvert_tests::{Isolation, kafka_shared};

use crate::support::{Stage, failure, inserts, people, rows};

const CHANGES: &[(&str, i32, &str)] = &[("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "b"), ("-D", 1, "b")];

fn shown(records: &[Record]) -> Vec<(&str, &str, &str)> {
    records
        .iter()
        .map(|record| {
            let kind = record.header("row_kind").unwrap_or("");
            (kind, record.key.as_deref().unwrap_or("-"), record.value.as_deref().unwrap_or("-"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_carries_the_row_kind_in_a_header() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "json");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(rows(&source, CHANGES)).await.unwrap();
    run.close().await;
    let records = kafka.read(&stage.topic, Isolation::Committed).await;
    assert_eq!(
        shown(&records),
        [
            ("+I", r#"{"id":1}"#, r#"{"id":1,"name":"a"}"#),
            ("-U", r#"{"id":1}"#, r#"{"id":1,"name":"a"}"#),
            ("+U", r#"{"id":1}"#, r#"{"id":1,"name":"b"}"#),
            ("-D", r#"{"id":1}"#, r#"{"id":1,"name":"b"}"#),
        ]
    );
}

/// Nothing of a transaction is told before its checkpoint is committed, with either promise.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_told_at_the_checkpoint() {
    let kafka = kafka_shared().await;
    for semantics in ["EXACTLY_ONCE", "AT_LEAST_ONCE"] {
        let stage = Stage::new(kafka, "told");
        let source = people("w", &["id"]);
        let topic = format!("{}-transactions", stage.topic);
        let pairs = [
            ("format", "debezium_json"),
            ("semantics", semantics),
            ("provide_transaction_metadata", "true"),
            ("transaction_topic", topic.as_str()),
        ];
        let sink = stage.sink(&kafka.bootstrap(), &pairs);
        let mut run = stage.start(&sink, &source).await;
        let mut batch = rows(&source, CHANGES);
        let place = culvert_api::LogPlace::Postgres { xid: 5, commit_lsn: 77 };
        batch.transactions = vec![culvert_api::Transaction::placed("t", Some(1000), place)];
        run.write(batch).await.unwrap();
        assert_eq!(shown(&kafka.read(&topic, Isolation::Committed).await), []);
        let committable = run.prepare().await.unwrap();
        if semantics == "EXACTLY_ONCE" {
            assert_eq!(shown(&kafka.read(&topic, Isolation::Committed).await), []);
        }
        run.open.committer.commit(&committable).await.unwrap();
        run.close().await;
        let records = kafka.read(&topic, Isolation::Committed).await;
        assert_eq!(
            shown(&records),
            [
                (
                    "",
                    r#"{"id":"5:77"}"#,
                    r#"{"status":"BEGIN","id":"5:77","ts_ms":1,"event_count":null,"data_collections":null}"#
                ),
                (
                    "",
                    r#"{"id":"5:77"}"#,
                    r#"{"status":"END","id":"5:77","ts_ms":1,"event_count":3,"data_collections":[{"data_collection":"src.w","event_count":3}]}"#
                ),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_as_headers_beside_a_text() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "headers");
    let source = people("w", &["id"]);
    let pairs =
        [("format", "text"), ("kafka_headers_fields", "name"), ("kafka_message_value_fields", "name,id")];
    let sink = stage.sink(&kafka.bootstrap(), &pairs);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(rows(&source, &CHANGES[..1])).await.unwrap();
    run.close().await;
    let records = kafka.read(&stage.topic, Isolation::Committed).await;
    assert_eq!(shown(&records), [("+I", r#"{"id":1}"#, "a,1")]);
    assert_eq!(records[0].header("name"), Some("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn debezium_json_with_tombstones() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "debezium");
    let source = people("w", &["id"]);
    let pairs = [("format", "debezium_json"), ("tombstones_on_delete", "true"), ("topic", "${table_name}-x")];
    let table = people(&stage.topic, &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &pairs);
    let mut run = stage.start(&sink, &table).await;
    run.deliver(rows(&table, CHANGES)).await.unwrap();
    run.close().await;
    let records = kafka.read(&format!("{}-x", stage.topic), Isolation::Committed).await;
    let from = format!(r#""source":{{"db":"src","table":"{}","snapshot":"false"}}"#, stage.topic);
    let values = [
        format!(r#"{{"before":null,"after":{{"id":1,"name":"a"}},{from},"op":"c"}}"#),
        format!(r#"{{"before":{{"id":1,"name":"a"}},"after":{{"id":1,"name":"b"}},{from},"op":"u"}}"#),
        format!(r#"{{"before":{{"id":1,"name":"b"}},"after":null,{from},"op":"d"}}"#),
        "-".to_owned(),
    ];
    let wanted: Vec<(&str, &str, &str)> =
        values.iter().map(|value| ("", r#"{"id":1}"#, value.as_str())).collect();
    assert_eq!(shown(&records), wanted);
    // The table's name is part of the topic: another table, another topic.
    assert_eq!(kafka.partitions(&source.id.table).await, 0);
}

/// Rows of one key share a partition, the one that Java clients choose; rows without a key keep their
/// order in one partition.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_by_key() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "keys");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[("topic_partitions", "4")]);
    let mut run = stage.start(&sink, &source).await;
    assert_eq!(kafka.partitions(&stage.topic).await, 4);
    run.write(inserts(&source, 0..40)).await.unwrap();
    run.write(inserts(&source, 0..40)).await.unwrap();
    run.commit().await.unwrap();
    let records = kafka.read(&stage.topic, Isolation::Committed).await;
    let partition = |id: i32| {
        let key = format!(r#"{{"id":{id}}}"#);
        let mut found: Vec<i32> =
            records.iter().filter(|r| r.key.as_ref() == Some(&key)).map(|r| r.partition).collect();
        found.dedup();
        assert_eq!(found.len(), 1, "{key}");
        found[0]
    };
    let partitions: Vec<i32> = (0..40).map(partition).collect();
    // Murmur2 over the key's bytes, as org.apache.kafka.common.utils.Utils has it.
    let murmur: Vec<i32> =
        (0..40).map(|id| java_partition(format!(r#"{{"id":{id}}}"#).as_bytes(), 4)).collect();
    assert_eq!(partitions, murmur);
    // A table without a key, in the same topic.
    let keyless = people("keyless", &[]);
    run.deliver(inserts(&keyless, 100..140)).await.unwrap();
    run.close().await;
    let records = kafka.read(&stage.topic, Isolation::Committed).await;
    let without: Vec<&Record> = records.iter().filter(|record| record.key.is_none()).collect();
    assert_eq!(without.len(), 40);
    assert!(without.iter().all(|record| record.partition == without[0].partition));
    let values: Vec<&str> = without.iter().map(|record| record.value.as_deref().unwrap()).collect();
    assert_eq!((values[0], values[39]), (r#"{"id":100,"name":"x"}"#, r#"{"id":139,"name":"x"}"#));
}

fn java_partition(key: &[u8], partitions: u32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(key.len()).unwrap();
    let mut hash = 0x9747_b28c_u32 ^ length;
    let chunks = key.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    i32::try_from((hash & 0x7fff_ffff) % partitions).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_by_column_and_a_fixed_partition() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "bycolumn");
    let source = people("w", &["id"]);
    let topic = format!("{}.${{name}}", stage.topic);
    let pairs = [("topic", topic.as_str()), ("partition", "1"), ("topic_partitions", "2")];
    let sink = stage.sink(&kafka.bootstrap(), &pairs);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(rows(&source, &[("+I", 1, "north"), ("+I", 2, "south"), ("+I", 3, "north")])).await.unwrap();
    for (name, ids) in [("north", vec![1, 3]), ("south", vec![2])] {
        let records = kafka.read(&format!("{}.{name}", stage.topic), Isolation::Committed).await;
        assert!(records.iter().all(|record| record.partition == 1));
        let keys: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        let found: Vec<String> = records.into_iter().filter_map(|record| record.key).collect();
        assert_eq!(found, keys);
    }
    let error = failure(run.write(rows(&source, &[("+I", 4, "no topic")])).await);
    assert_eq!(error.kind(), ErrorKind::Value);
    assert!(error.to_string().contains("column=name") && !error.to_string().contains("no topic)"), "{error}");
    run.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_names_topic_and_setting_and_no_value() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "size");
    kafka.create_topic(&stage.topic, 1, &[("max.message.bytes", "2000")]).await;
    let source = people("w", &["id"]);
    let secret = "hunter2".repeat(400_000);
    // Too large for the topic, and too large for the client.
    for (size, semantics) in [(500, "EXACTLY_ONCE"), (400_000, "EXACTLY_ONCE"), (500, "NON")] {
        let sink = stage.sink(&kafka.bootstrap(), &[("semantics", semantics)]);
        let epoch = stage.committed(&sink).await.map_or(1, |marker| marker.epoch + 1);
        let mut run = stage.open(&sink, epoch).await.unwrap();
        let wrote = run.write(rows(&source, &[("+I", 1, &secret[..size * 7])])).await;
        let error = match wrote {
            Ok(()) => failure(run.prepare().await),
            Err(error) => error,
        };
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Value, "{text}");
        assert!(text.contains(&stage.topic) && text.contains("max.message.bytes"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        run.close().await;
    }
    assert_eq!(stage.ids(kafka).await, Vec::<i64>::new());
}
