//! Debezium's own form, from every kind of source: schemas, and the place of a change in its server's log.

use culvert_tests::{Database, Flavor, PgVersion, kafka_shared, postgres_shared, shared};
use serde_json::Value;

use super::scene::{job_text, until};
use crate::postgres::job::TestJob;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_tell_where_their_change_stands() {
    let kafka = kafka_shared().await;
    let sources = [
        Database::fresh(shared(Flavor::MariaDb).await, "placed").await,
        Database::fresh(shared(Flavor::MySql).await, "placed").await,
        Database::fresh(postgres_shared(PgVersion::V17).await, "placed").await,
    ];
    for source in sources {
        source.run(&["CREATE TABLE w (id INT PRIMARY KEY, n INT)", "INSERT INTO w VALUES (1, 1)"]).await;
        let prefix = kafka.fresh_name(&format!("placed-{}-{}", source.name(), source.port()));
        let topic = format!("{prefix}.w");
        let sink = format!(
            "Kafka {{ bootstrap.servers = \"{}\", topic = \"{prefix}.${{table_name}}\", \
             format = compatible_debezium_json, tombstones_on_delete = true }}",
            kafka.bootstrap()
        );
        let job = TestJob::new(&prefix, &job_text(&source, &["w"], "", &sink));
        let running = job.start();
        until(kafka, &topic, 1, &running).await;
        source
            .run(&[
                "INSERT INTO w VALUES (2, 2)",
                "UPDATE w SET n = 3 WHERE id = 2",
                "DELETE FROM w WHERE id = 2",
            ])
            .await;
        let records = until(kafka, &topic, 5, &running).await;
        running.stop();
        let parsed =
            |text: Option<&str>| -> Value { serde_json::from_str(text.expect("a text")).expect("JSON") };
        let values: Vec<Value> = records[..4].iter().map(|record| parsed(record.value.as_deref())).collect();
        assert_eq!(records[4].value, None, "a tombstone");
        let key = parsed(records[3].key.as_deref());
        assert_eq!(key["schema"]["name"], format!("{topic}.Key"));
        assert_eq!(key["payload"]["id"], 2);
        let ops: Vec<&Value> = values.iter().map(|value| &value["payload"]["op"]).collect();
        assert_eq!(ops, ["r", "c", "u", "d"]);
        assert_eq!(values[2]["payload"]["after"]["n"], 3);
        let places: Vec<&Value> = values.iter().map(|value| &value["payload"]["source"]).collect();
        assert_eq!(places[0]["snapshot"], "true");
        if places[1]["connector"] == "postgresql" {
            let lsns: Vec<u64> = places[1..].iter().filter_map(|place| place["lsn"].as_u64()).collect();
            assert!(lsns.len() == 3 && lsns.is_sorted() && lsns[0] < lsns[2], "{places:?}");
            assert!(
                places[1..].iter().all(|place| place["txId"].as_u64().is_some_and(|id| id > 0)),
                "{places:?}"
            );
        } else {
            for place in &places[1..] {
                assert!(place["server_id"].as_u64().is_some_and(|id| id > 0), "{place}");
                assert!(place["file"].as_str().is_some_and(|file| file.contains('.')), "{place}");
                assert!(place["gtid"].is_string(), "{place}");
            }
            let offsets: Vec<u64> = places[1..].iter().filter_map(|place| place["pos"].as_u64()).collect();
            assert!(
                offsets.len() == 3 && offsets.is_sorted() && offsets[0] > 4 && offsets[0] < offsets[2],
                "{places:?}"
            );
        }
    }
}
