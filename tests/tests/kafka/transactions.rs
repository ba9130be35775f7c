//! Transactions of the source as messages and their own topic tell of them, across a kill.

use std::collections::BTreeMap;

use culvert_tests::kafka::Record;
use culvert_tests::{Database, Flavor, Isolation, PgVersion, kafka_shared, postgres_shared, shared, wait};
use serde_json::Value;

use super::scene::job_text;
use crate::postgres::job::{LIMIT, TestJob, tail};

/// Transactions of three changes, in two tables by turns.
const TRANSACTIONS: usize = 45;
const CHANGES: usize = 3;

fn transaction(number: usize) -> [String; 5] {
    let first = number * CHANGES + 1;
    [
        "BEGIN".into(),
        format!("INSERT INTO a VALUES ({first})"),
        format!("INSERT INTO b VALUES ({})", first + 1),
        format!("INSERT INTO a VALUES ({})", first + 2),
        "COMMIT".into(),
    ]
}

fn parsed(records: &[Record]) -> Vec<Value> {
    let values = records.iter().filter_map(|record| record.value.as_deref());
    values.map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transaction_is_told_once_and_counts_its_messages() {
    let kafka = kafka_shared().await;
    let sources = [
        Database::fresh(shared(Flavor::MariaDb).await, "told").await,
        Database::fresh(postgres_shared(PgVersion::V17).await, "told").await,
    ];
    for source in sources {
        let tables = ["CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)"];
        source.run(&[tables[0], tables[1], "INSERT INTO a VALUES (0)"]).await;
        let prefix = kafka.fresh_name(&format!("told-{}-{}", source.name(), source.port()));
        let told = format!("{prefix}.transactions");
        let sink = format!(
            "Kafka {{ bootstrap.servers = \"{}\", topic = \"{prefix}.${{table_name}}\", format = debezium_json, \
             semantics = EXACTLY_ONCE, progress_topic = \"{prefix}.progress\", provide_transaction_metadata = true, \
             transaction_topic = \"{told}\" }}",
            kafka.bootstrap()
        );
        let job = TestJob::new(&prefix, &job_text(&source, &["a", "b"], "", &sink));
        let messages = async || {
            let mut all = kafka.read(&format!("{prefix}.a"), Isolation::Committed).await;
            all.extend(kafka.read(&format!("{prefix}.b"), Isolation::Committed).await);
            parsed(&all)
        };
        let mut running = job.start();
        let mut expected = 1;
        for round in 0..3 {
            wait::until_ok(LIMIT, "committed messages", async || {
                running.assert_running();
                let found = messages().await.len();
                if found == expected {
                    Ok(())
                } else {
                    Err(format!("{found} messages\n{}", tail(&running.stderr())))
                }
            })
            .await;
            for number in round * TRANSACTIONS / 3..(round + 1) * TRANSACTIONS / 3 {
                let statements = transaction(number);
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                source.run(&statements).await;
                expected += CHANGES;
            }
            // Somewhere between the changes and the checkpoint that has them.
            running.kill();
            running = job.start();
        }
        let ends = wait::until_ok(LIMIT, "an end of every transaction", async || {
            running.assert_running();
            let found = parsed(&kafka.read(&told, Isolation::Committed).await);
            let ends: Vec<Value> = found.iter().filter(|value| value["status"] == "END").cloned().collect();
            match (ends.len(), found.len()) {
                (TRANSACTIONS, total) if total == 2 * TRANSACTIONS => Ok(ends),
                seen => Err(format!("{seen:?}\n{}", tail(&running.stderr()))),
            }
        })
        .await;
        let all = messages().await;
        running.stop();
        assert_eq!(all.len(), expected);
        check(&all, &ends);
    }
}

/// Every message but that of the snapshot belongs to one of the transactions, whose counts fit.
fn check(messages: &[Value], ends: &[Value]) {
    let mut by_id: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for message in messages.iter().filter(|message| message["op"] != "r") {
        let id = message["transaction"]["id"].as_str().expect("a transaction").to_owned();
        by_id.entry(id).or_default().push(message);
    }
    assert_eq!(by_id.len(), TRANSACTIONS);
    let ids: Vec<&str> = ends.iter().filter_map(|end| end["id"].as_str()).collect();
    let mut firsts = Vec::new();
    for (end, id) in ends.iter().zip(&ids) {
        let of_it = by_id.get_mut(*id).expect("messages of the transaction");
        assert_eq!(end["event_count"].as_u64(), u64::try_from(of_it.len()).ok());
        for collection in end["data_collections"].as_array().expect("an array") {
            let name = collection["data_collection"].as_str().expect("a name");
            let table = name.rsplit('.').next().expect("a table");
            let mut orders: Vec<u64> = of_it
                .iter()
                .filter(|message| message["source"]["table"] == table)
                .filter_map(|message| message["transaction"]["data_collection_order"].as_u64())
                .collect();
            orders.sort_unstable();
            let count = collection["event_count"].as_u64().expect("a count");
            assert_eq!(orders, (1..=count).collect::<Vec<u64>>());
        }
        of_it.sort_by_key(|message| message["transaction"]["total_order"].as_u64());
        let rows: Vec<u64> = of_it.iter().filter_map(|message| message["after"]["id"].as_u64()).collect();
        assert_eq!(rows, [rows[0], rows[0] + 1, rows[0] + 2], "the order of the log");
        firsts.push(rows[0]);
    }
    assert!(firsts.is_sorted(), "transactions are told in the order of the log: {firsts:?}");
}
