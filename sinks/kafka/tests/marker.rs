//! The commit marker, the fence, and what consumers see.

use culvert_api::{CommitMarker, ErrorKind, Sink, SourceState};
use culvert_tests::{Isolation, kafka, kafka_shared};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{JOB, LIMIT, Stage, failure, ids, inserts, people, state};

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_marker_share_one_transaction() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "atomic");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    assert_eq!(stage.committed(&sink).await, None);
    let mut run = stage.start(&sink, &source).await;
    assert_eq!(run.open.marker, None);
    assert_eq!(stage.committed(&sink).await.unwrap().checkpoint, 0);
    run.deliver(inserts(&source, 1..3)).await.unwrap();

    // Prepared and not committed: neither rows nor marker.
    run.write(inserts(&source, 3..5)).await.unwrap();
    run.prepare().await.unwrap();
    assert_eq!(stage.committed(&sink).await.unwrap().checkpoint, 1);
    assert_eq!(stage.ids(kafka).await, [1, 2]);
    assert_eq!(ids(kafka, &stage.topic, Isolation::Uncommitted).await, [1, 2, 3, 4]);
    run.close().await;
    assert_eq!(stage.ids(kafka).await, [1, 2]);

    let mut run = stage.open(&sink, 5).await.unwrap();
    let marker = run.open.marker.clone().unwrap();
    assert_eq!((marker.checkpoint, marker.epoch, marker.source), (1, 5, Some(state(1))));
    let committed = stage.committed(&sink).await.unwrap();
    assert_eq!((committed.checkpoint, committed.epoch, committed.source), (1, 5, Some(state(1))));
    assert_eq!(sink.committed("another", &stage.topic, 0).await.unwrap(), None);
    // A checkpoint without rows moves the marker all the same.
    run.commit().await.unwrap();
    assert_eq!(stage.committed(&sink).await.unwrap().checkpoint, 2);
    assert_eq!(kafka.topic_setting(&stage.progress, "cleanup.policy").await.as_deref(), Some("compact"));
    run.close().await;

    sink.forget(JOB, &stage.topic).await.unwrap();
    assert_eq!(stage.committed(&sink).await, None);
    // Forgetting takes the marker, not the rows.
    assert_eq!(stage.ids(kafka).await, [1, 2]);
    let again = stage.open(&sink, 1).await.unwrap();
    assert_eq!(again.open.marker, None);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_twice_is_once_and_aborting_drops() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "twice");
    let source = people("w", &[]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    let mut run = stage.start(&sink, &source).await;
    run.write(inserts(&source, 1..2)).await.unwrap();
    let first = run.prepare().await.unwrap();
    run.open.committer.commit(&first).await.unwrap();
    run.open.committer.commit(&first).await.unwrap();
    run.checkpoint = 1;
    run.write(inserts(&source, 2..3)).await.unwrap();
    let second = run.prepare().await.unwrap();
    run.open.committer.abort(&second).await.unwrap();
    run.open.committer.abort(&second).await.unwrap();
    assert_eq!(failure(run.open.committer.commit(&second).await).kind(), ErrorKind::StateMismatch);
    assert_eq!(stage.ids(kafka).await, [1]);
    // The writer goes on behind an abort.
    run.deliver(inserts(&source, 3..4)).await.unwrap();
    assert_eq!(stage.ids(kafka).await, [1, 3]);
    run.close().await;
    // A new process that is not sure whether its commit happened.
    let mut run = stage.open(&sink, 2).await.unwrap();
    run.open.committer.commit(&second).await.unwrap();
    let third = culvert_api::Committable { checkpoint: 3, body: Vec::new() };
    assert_eq!(failure(run.open.committer.commit(&third).await).kind(), ErrorKind::StateMismatch);
    run.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_an_older_epoch_fails_at_the_broker() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "fence");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    let mut old = stage.start(&sink, &source).await;
    old.deliver(inserts(&source, 1..2)).await.unwrap();
    old.write(inserts(&source, 2..3)).await.unwrap();
    let staged = old.prepare().await.unwrap();

    let mut new = stage.open(&sink, 2).await.unwrap();
    assert_eq!(new.checkpoint, 1);
    let error = failure(old.open.committer.commit(&staged).await);
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(error.to_string().contains("epoch=2"), "{error}");
    // It has nothing to say any more, whatever it tries.
    assert_eq!(failure(old.prepare().await).kind(), ErrorKind::Fenced);
    old.close().await;
    new.open.writer.prepare_tables(std::slice::from_ref(&source), false).await.unwrap();
    new.deliver(inserts(&source, 3..4)).await.unwrap();
    assert_eq!(stage.ids(kafka).await, [1, 3]);

    // An epoch that is not larger than the one there is told, and disturbs nobody.
    for epoch in [1, 2] {
        let error = failure(sink.open(&stage.context(epoch)).await);
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert!(error.to_string().contains("epoch=2"), "{error}");
    }
    new.deliver(inserts(&source, 4..5)).await.unwrap();
    assert_eq!(stage.ids(kafka).await, [1, 3, 4]);
    new.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_prefix_does_not_lose_the_fence() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "prefix");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[("transaction_prefix", "a")]);
    let mut old = stage.start(&sink, &source).await;
    old.deliver(inserts(&source, 1..2)).await.unwrap();
    old.write(inserts(&source, 2..3)).await.unwrap();
    let staged = old.prepare().await.unwrap();
    let other = stage.sink(&kafka.bootstrap(), &[("transaction_prefix", "b")]);
    let mut new = stage.open(&other, 2).await.unwrap();
    assert_eq!(new.checkpoint, 1);
    assert_eq!(failure(old.open.committer.commit(&staged).await).kind(), ErrorKind::Fenced);
    new.deliver(inserts(&source, 3..4)).await.unwrap();
    assert_eq!(stage.ids(kafka).await, [1, 3]);
    old.close().await;
    new.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_source_state_is_stored_whole() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "large");
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    let mut run = stage.open(&sink, 1).await.unwrap();
    // Neither one message's worth, nor compressible.
    let mut value = 1u64;
    let noise = std::iter::repeat_with(|| {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (value >> 56) as u8
    });
    let large = SourceState { enumerator: Vec::new(), reader: noise.take(3 << 20).collect() };
    let marker = CommitMarker { source: Some(large.clone()), ..run.marker() };
    let staged = run.open.writer.prepare_commit(&marker).await.unwrap();
    run.open.committer.commit(&staged).await.unwrap();
    run.close().await;
    let run = stage.open(&sink, 2).await.unwrap();
    assert_eq!(run.open.marker.as_ref().unwrap().source, Some(large));
    run.close().await;
    // A smaller one behind it leaves the other parts behind, unread.
    let mut run = stage.open(&sink, 3).await.unwrap();
    run.checkpoint = 1;
    run.commit().await.unwrap();
    run.close().await;
    assert_eq!(stage.committed(&sink).await.unwrap().source, Some(state(2)));
}

/// A transaction of somebody else that holds the progress topic.
async fn stranger(bootstrap: String, id: String, topic: String) -> BaseProducer {
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer =
            kafka::client(&bootstrap).set("transactional.id", &id).create().expect("a producer");
        producer.init_transactions(LIMIT).expect("an id");
        producer.begin_transaction().expect("a transaction");
        let key = r#"{"job":"other","sink":"s","writer":0}"#;
        let record = BaseRecord::to(&topic).partition(0).key(key).payload("{}");
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        producer.flush(LIMIT).expect("it is delivered");
        producer
    })
    .await
    .unwrap()
}

/// Behind the open transaction of another job a committed marker is there and not shown. The one
/// before it must not be taken for the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_marker_behind_the_open_transaction_of_another_job_is_waited_for() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "hidden");
    let source = people("w", &["id"]);
    let sink = stage.sink(&kafka.bootstrap(), &[]);
    let mut run = stage.start(&sink, &source).await;
    run.deliver(inserts(&source, 1..2)).await.unwrap();
    let other = stranger(kafka.bootstrap(), stage.progress.clone(), stage.progress.clone()).await;
    // Nothing of ours is hidden yet: nobody has to wait.
    assert_eq!(stage.committed(&sink).await.unwrap().checkpoint, 1);
    run.deliver(inserts(&source, 2..3)).await.unwrap();
    run.close().await;
    let reading = tokio::spawn({
        let (sink, name) = (stage.sink(&kafka.bootstrap(), &[]), stage.topic.clone());
        async move { sink.committed(JOB, &name, 0).await }
    });
    // It has looked, and waits: it asks again and again.
    let waits = tokio::time::timeout(std::time::Duration::from_secs(2), async {
        while !reading.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(waits.await.is_err(), "a marker was taken for the last one although another may be hidden");
    tokio::task::spawn_blocking(move || other.abort_transaction(LIMIT)).await.unwrap().unwrap();
    assert_eq!(reading.await.unwrap().unwrap().unwrap().checkpoint, 2);
    assert_eq!(stage.ids(kafka).await, [1, 2]);
}
