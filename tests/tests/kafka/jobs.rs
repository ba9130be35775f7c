//! What job files ask for, end to end.

use culvert_tests::{
    Culvert, Database, Flavor, Isolation, PgVersion, kafka_shared, postgres_shared, shared, wait,
};

use super::scene::job_text;
use crate::postgres::job::{LIMIT, TestJob, tail};

/// A job of SeaTunnel's, unchanged: rows as flat JSON, at least once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_with_their_kind_as_a_column() {
    let kafka = kafka_shared().await;
    let source = Database::fresh(shared(Flavor::MariaDb).await, "flat").await;
    let statements = [
        "CREATE TABLE w (id INT PRIMARY KEY, name VARCHAR(20))",
        "INSERT INTO w VALUES (1, 'Alice'), (2, 'Bob')",
    ];
    source.run(&statements).await;
    let topic = kafka.fresh_name("flat");
    let sink = format!(
        "kafka {{ bootstrap.servers = \"{}\", topic = \"{topic}\", format = json, \
         kafka.config = {{ acks = \"all\", request.timeout.ms = 60000, buffer.memory = 33554432 }} }}",
        kafka.bootstrap()
    );
    let job = TestJob::new(&topic, &job_text(&source, &["w"], "RowKindExtractor { }", &sink));
    let running = job.start();
    let until = async |count: usize| {
        wait::until_ok(LIMIT, "rows in the topic", async || {
            running.assert_running();
            let found = kafka.read(&topic, Isolation::Committed).await.len();
            if found >= count { Ok(()) } else { Err(format!("{found}: {}", tail(&running.stderr()))) }
        })
        .await;
    };
    until(2).await;
    source.run(&["UPDATE w SET name = 'Charlie' WHERE id = 2", "DELETE FROM w WHERE id = 2"]).await;
    until(5).await;
    running.stop();
    let records = kafka.read(&topic, Isolation::Committed).await;
    let values: Vec<&str> = records.iter().filter_map(|record| record.value.as_deref()).collect();
    assert_eq!(
        values,
        [
            r#"{"id":1,"name":"Alice","row_kind":"+I"}"#,
            r#"{"id":2,"name":"Bob","row_kind":"+I"}"#,
            r#"{"id":2,"name":"Bob","row_kind":"-U"}"#,
            r#"{"id":2,"name":"Charlie","row_kind":"+U"}"#,
            r#"{"id":2,"name":"Charlie","row_kind":"-D"}"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_what_is_wrong_at_the_broker() {
    let kafka = kafka_shared().await;
    let source = Database::fresh(shared(Flavor::MariaDb).await, "checked").await;
    source.run(&["CREATE TABLE w (id INT PRIMARY KEY)"]).await;
    let topic = kafka.fresh_name("checked");
    let check = |sink: &str| {
        let job = TestJob::new(&topic, &job_text(&source, &["w"], "", sink));
        let file = job.file.to_string_lossy().into_owned();
        Culvert::new(&["check", "-c", &file, "--connect"]).run(LIMIT)
    };
    let (bootstrap, sasl) = (kafka.bootstrap(), kafka.sasl_bootstrap());
    let sound = format!(
        "Kafka {{ bootstrap.servers = \"{bootstrap}\", topic = \"{topic}\", semantics = EXACTLY_ONCE }}"
    );
    check(&sound).assert_code(0);
    let options =
        format!("bootstrap.servers = \"{bootstrap}\", topic = \"{topic}\", semantics = EXACTLY_ONCE");
    for (more, words) in [
        ("kafka.config { acks = 1 }", "'acks'"),
        ("kafka.config { transaction.timeout.ms = 1000000 }", "transaction.max.timeout.ms"),
        ("create_topics = false", "create_topics is false"),
        ("format = protobuf", "protobuf"),
        ("format = avro", "schema.registry.url"),
    ] {
        let finished = check(&format!("Kafka {{ {options}\n{more} }}"));
        let said = finished.stdout.clone() + &finished.stderr;
        assert!(finished.code != Some(0) && said.contains(words), "`{words}` is not in:\n{said}");
    }
    let wrong = format!(
        "Kafka {{ bootstrap.servers = \"{sasl}\", topic = \"{topic}\"\n kafka.config {{ security.protocol = sasl_plaintext, \
         sasl.mechanism = PLAIN, sasl.username = alice, sasl.password = hunter2 }} }}"
    );
    let finished = check(&wrong);
    let said = finished.stdout.clone() + &finished.stderr;
    assert!(
        finished.code == Some(1) && said.contains("sasl.password") && !said.contains("hunter2"),
        "{said}"
    );
}

/// The time of the commit reaches the message, from both kinds of source; a snapshot has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_tell_when_their_change_was_committed() {
    let kafka = kafka_shared().await;
    let sources = [
        Database::fresh(shared(Flavor::MariaDb).await, "timed").await,
        Database::fresh(shared(Flavor::MySql).await, "timed").await,
        Database::fresh(postgres_shared(PgVersion::V17).await, "timed").await,
    ];
    for source in sources {
        source.run(&["CREATE TABLE w (id INT PRIMARY KEY)", "INSERT INTO w VALUES (1)"]).await;
        let topic = kafka.fresh_name(&format!("timed-{}-{}", source.name(), source.port()));
        let sink = format!(
            "Kafka {{ bootstrap.servers = \"{}\", topic = \"{topic}\", format = debezium_json }}",
            kafka.bootstrap()
        );
        let job = TestJob::new(&topic, &job_text(&source, &["w"], "", &sink));
        let running = job.start();
        let until = async |count: usize| {
            wait::until_ok(LIMIT, "messages in the topic", async || {
                running.assert_running();
                let found = kafka.read(&topic, Isolation::Committed).await;
                if found.len() >= count { Ok(found) } else { Err(tail(&running.stderr())) }
            })
            .await
        };
        until(1).await;
        let millis = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            i64::try_from(since.expect("a clock after 1970").as_millis()).expect("a clock before 292 million")
        };
        let before = millis();
        source.run(&["INSERT INTO w VALUES (2)"]).await;
        let records = until(2).await;
        let after = millis();
        running.stop();
        let times: Vec<Option<i64>> = records
            .iter()
            .map(|record| {
                let text = record.value.as_deref().expect("a value");
                let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
                value["source"]["ts_ms"].as_i64()
            })
            .collect();
        // MariaDB's log has whole seconds.
        let fits = |time: i64| (before / 1000 * 1000..=after).contains(&time);
        assert!(times[0].is_none() && times[1].is_some_and(fits), "{times:?} in {before}..={after}");
    }
}
