//! Crashes, lost answers, brokers that go away, transactions that last too long: nothing lost, nothing
//! twice.

use std::time::Duration;

use culvert_api::{ErrorClass, ErrorKind, Sink};
use culvert_tests::{Isolation, Kafka, KafkaOptions, kafka, kafka_shared, wait};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{LIMIT, Run, Stage, failure, ids, inserts, people};

/// Where a process is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    Opened,
    Written,
    Prepared,
    Committed,
}

/// What the next run finds, after a kill at every step: the last checkpoint that was committed, and
/// rows up to it. Then it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_is_one_checkpoint_or_the_next() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "steps");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    stage.start(&sink, &source).await.close().await;
    let (mut epoch, mut checkpoint, mut next) = (1, 0, 1);
    let mut expected: Vec<i64> = Vec::new();
    for kill in [Kill::Opened, Kill::Written, Kill::Prepared, Kill::Committed, Kill::Prepared, Kill::Written]
    {
        epoch += 1;
        // Neither the engine's first question nor the start waits for the time-out of what is open.
        assert_eq!(stage.committed(&sink).await.unwrap().checkpoint, checkpoint, "before {kill:?}");
        let mut run = stage.open(&sink, epoch).await.unwrap();
        assert_eq!(run.checkpoint, checkpoint, "{kill:?}");
        let batch = inserts(&source, next..next + 3);
        match kill {
            Kill::Opened => {}
            Kill::Written => run.write(batch).await.unwrap(),
            Kill::Prepared => {
                run.write(batch).await.unwrap();
                run.prepare().await.unwrap();
            }
            Kill::Committed => {
                run.deliver(batch).await.unwrap();
                checkpoint += 1;
                expected.extend((next..next + 3).map(i64::from));
                next += 3;
            }
        }
        run.vanish();
    }
    let mut last = stage.open(&sink, epoch + 1).await.unwrap();
    assert_eq!(last.checkpoint, checkpoint);
    assert_eq!(stage.ids(kafka).await, expected);
    last.deliver(inserts(&source, next..next + 1)).await.unwrap();
    expected.push(i64::from(next));
    assert_eq!(stage.ids(kafka).await, expected);
    last.close().await;
}

/// The connection is cut in the middle of what the broker answers to a commit, again and again at
/// another byte. librdkafka asks again, or the commit fails and the marker tells.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_at_a_commit_is_told_by_the_marker() {
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    let stage = Stage::new(&kafka, "answer");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.proxied_bootstrap(), &[]);
    let mut run = stage.start(&sink, &source).await;
    let mut expected: Vec<i64> = Vec::new();
    let mut epoch = 1;
    for (id, bytes) in [(1, 1), (2, 5), (3, 11), (4, 0), (5, 30), (6, 60)] {
        run.write(inserts(&source, id..id + 1)).await.unwrap();
        let staged = run.prepare().await.unwrap();
        if bytes == 0 {
            kafka.proxy().cut();
        } else {
            kafka.proxy().cut_after_bytes(bytes);
        }
        let committed = run.open.committer.commit(&staged).await;
        kafka.proxy().heal().await;
        let wanted = run.checkpoint + 1;
        match committed {
            Ok(()) => run.checkpoint = wanted,
            Err(error) => {
                assert_eq!(error.class(), ErrorClass::Transient, "{error}");
                run.close().await;
                epoch += 1;
                run = stage.open(&sink, epoch).await.unwrap();
            }
        }
        // Whether it happened is what the marker says, and the rows say the same.
        if run.checkpoint == wanted {
            expected.push(i64::from(id));
        }
        assert_eq!(stage.ids(&kafka).await, expected);
        assert_eq!(stage.committed(&sink).await.unwrap().checkpoint, run.checkpoint);
    }
    assert!(!expected.is_empty());
    run.close().await;
}

/// Goes on from wherever the marker says, until all rows are there.
async fn until_delivered(stage: &Stage, sink: &culvert_sink_kafka::KafkaSink, kafka: &Kafka, rows: i32) {
    let source = people("w", &["id"]);
    let mut epoch = stage.committed(sink).await.unwrap().epoch;
    loop {
        epoch += 1;
        let mut run = match stage.open(sink, epoch).await {
            Ok(run) => run,
            Err(error) => {
                assert_eq!(error.class(), ErrorClass::Transient, "{error}");
                continue;
            }
        };
        // One row per checkpoint: the checkpoint says which rows are there.
        let next = i32::try_from(run.checkpoint).unwrap() + 1;
        if next > rows {
            run.close().await;
            break;
        }
        if let Err(error) = run.deliver(inserts(&source, next..next + 1)).await {
            assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        }
        run.close().await;
    }
    let expected: Vec<i64> = (1..=i64::from(rows)).collect();
    assert_eq!(stage.ids(kafka).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_inside_a_checkpoint_loses_and_repeats_nothing() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    let stage = Stage::new(&kafka, "crash");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(inserts(&source, 1..2)).await.unwrap();
    // Between rows and marker: the producer waits for the broker, and goes on.
    run.write(inserts(&source, 2..3)).await.unwrap();
    kafka.kill9();
    kafka.restart().await;
    let ended = run.commit().await;
    if let Err(error) = &ended {
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    }
    run.close().await;
    // Between marker and commit.
    let epoch = stage.committed(&sink).await.unwrap().epoch + 1;
    let mut run = stage.open(&sink, epoch).await.unwrap();
    let next = i32::try_from(run.checkpoint).unwrap() + 1;
    run.write(inserts(&source, next..next + 1)).await.unwrap();
    let staged = run.prepare().await.unwrap();
    kafka.kill9();
    kafka.restart().await;
    if let Err(error) = run.open.committer.commit(&staged).await {
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    }
    run.close().await;
    until_delivered(&stage, &sink, &kafka, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_a_transient_failure_that_comes_soon() {
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    let stage = Stage::new(&kafka, "away");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.proxied_bootstrap(), &[("kafka.config.message.timeout.ms", "3000")]);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(inserts(&source, 1..2)).await.unwrap();
    kafka.proxy().refuse(true).await;
    run.write(inserts(&source, 2..3)).await.unwrap();
    let error = failure(run.prepare().await);
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    run.close().await;
    for failed in [failure(sink.open(&stage.context(2)).await), failure(sink.check(&[]).await)] {
        assert_eq!(failed.kind(), ErrorKind::Connection, "{failed}");
        assert!(failed.to_string().contains("refused"), "{failed}");
    }
    kafka.proxy().refuse(false).await;
    until_delivered(&stage, &sink, &kafka, 3).await;
}

/// Waits until the broker has given up the transaction that holds this row. A message outside of
/// transactions is shown only when no transaction is open before it.
async fn until_given_up(kafka: &Kafka, stage: &Stage, row: i32) {
    wait::until(LIMIT, "the row to be in the open transaction", async || {
        ids(kafka, &stage.topic, Isolation::Uncommitted).await.contains(&i64::from(row))
    })
    .await;
    let (bootstrap, topic) = (kafka.bootstrap(), stage.topic.clone());
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = kafka::client(&bootstrap).create().expect("a producer");
        let record: BaseRecord<'_, str, str> = BaseRecord::to(&topic).key("mark");
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        producer.flush(LIMIT).expect("it is delivered");
    })
    .await
    .unwrap();
    let end = |records: Vec<kafka::Record>| records.last().map(|record| record.offset);
    let all = end(kafka.read(&stage.topic, Isolation::Uncommitted).await);
    wait::until(LIMIT, "the broker to give the transaction up", async || {
        end(kafka.read(&stage.topic, Isolation::Committed).await) >= all
    })
    .await;
}

/// A broker gives up transactions that last too long, and answers then as if another producer had
/// taken over. It is no reason to stop a job.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_lasted_too_long_is_done_again() {
    let interval = ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "200".to_owned());
    let kafka = Kafka::start(KafkaOptions { settings: vec![interval], ..KafkaOptions::default() }).await;
    let stage = Stage::new(&kafka, "late");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[("kafka.config.transaction.timeout.ms", "4000")]);
    for prepared in [false, true] {
        let epoch = stage.committed(&sink).await.map_or(1, |marker| marker.epoch + 1);
        let mut run = stage.open(&sink, epoch).await.unwrap();
        run.open.writer.prepare_tables(std::slice::from_ref(&source), true).await.unwrap();
        let next = i32::try_from(run.checkpoint).unwrap() + 1;
        run.write(inserts(&source, next..next + 1)).await.unwrap();
        let staged = if prepared { Some(run.prepare().await.unwrap()) } else { None };
        until_given_up(&kafka, &stage, next).await;
        let error = match staged {
            Some(staged) => failure(run.open.committer.commit(&staged).await),
            None => failure(run.commit().await),
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("transaction.timeout.ms"), "{error}");
        run.close().await;
        until_delivered(&stage, &sink, &kafka, next).await;
    }
    let too_long = [("kafka.config.transaction.timeout.ms", "90000000")];
    let error = failure(stage.sink(&kafka.bootstrap(), &too_long).open(&stage.context(99)).await);
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("transaction.max.timeout.ms"), "{error}");
}

/// A full queue waits for the broker; it neither fails nor drops.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_waits() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "queue");
    let source = people("w", &["id"]);
    let pairs = [("kafka.config.queue.buffering.max.messages", "10"), ("topic_partitions", "3")];
    let sink = stage.sink(&kafka.bootstrap(), &pairs);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(inserts(&source, 1..2001)).await.unwrap();
    run.close().await;
    let mut ids = stage.ids(kafka).await;
    ids.sort_unstable();
    assert_eq!(ids, (1..=2000).collect::<Vec<i64>>());
}

/// A writer that is dropped while it waits for a broker that stands still leaves no thread behind that
/// waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_a_broker_that_stands_still() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    let stage = Stage::new(&kafka, "frozen");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(inserts(&source, 1..2)).await.unwrap();
    kafka.freeze();
    run.write(inserts(&source, 2..3)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), run.close()).await.expect("it leaves");
    kafka.thaw();
    until_delivered(&stage, &sink, &kafka, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_delivers_without_transactions() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "least");
    let source = people("w", &["id"]);
    for semantics in ["NON", "AT_LEAST_ONCE"] {
        let sink = stage.sink(&kafka.bootstrap(), &[("semantics", semantics)]);
        assert_eq!(sink.contract(), culvert_api::DeliveryContract::AtLeastOnce);
        let mut run: Run = stage.start(&sink, &source).await;
        assert_eq!(run.open.marker, None);
        run.deliver(inserts(&source, 1..3)).await.unwrap();
        assert_eq!(stage.committed(&sink).await, None);
        run.close().await;
    }
    assert_eq!(stage.ids(kafka).await, [1, 2, 1, 2]);
    assert_eq!(kafka.partitions(&stage.progress).await, 0);
    assert_eq!(ids(kafka, &stage.topic, Isolation::Uncommitted).await.len(), 4);
}
