//! Processes of a group are killed, frozen and added while the source is written to.

use culvert_tests::database::Kind;
use std::time::Duration;

use culvert_tests::tied::Signal;
use culvert_tests::{
    Flavor, Kafka, KafkaOptions, PgVersion, kafka_shared, postgres_shared, random, seed, shared, wait,
};
use rand::Rng;

use super::scene::{Makes, Scene, Worker, logs};
use crate::postgres::job::LIMIT;
use crate::postgres::writers::Writers;

/// Kills of one process in a normal run; `CULVERT_KILLS` asks for more.
const KILLS: u32 = 5;
/// Rows of the table at the start.
const ROWS: u64 = 2_000;

/// How long a standstill may go without a word.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until a change is there after the broker moves again: the producer and the processes have
/// to notice it, one behind the other.
const WELL_WITHIN: Duration = Duration::from_secs(20);

const OURS: &str = "partitions are ours";

fn kills() -> u32 {
    std::env::var("CULVERT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// How often any of these took partitions.
fn takes(workers: &[Worker]) -> usize {
    workers.iter().map(|worker| worker.job().stderr().matches(OURS).count()).sum()
}

async fn shared_under_fire<'a>(what: &str, target: impl Into<Kind<'a>>, makes: Makes) {
    let seed = seed();
    let mut random = random::generator(seed);
    let kafka = kafka_shared().await;
    let scene = Scene::new(shared(Flavor::MariaDb).await, kafka, target, (makes, ROWS)).await;
    let producer = scene.producer.start();
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    // The topic is made by the first job.
    wait::until(LIMIT, "the topic", async || kafka.partitions(&scene.topic).await > 0).await;
    let mut workers: Vec<Worker> = (0..3).map(|_| scene.worker()).collect();
    workers.iter_mut().for_each(Worker::start);
    for worker in &workers {
        worker.job().until_said(OURS).await;
    }
    for _ in 0..kills() {
        let hit = random.random_range(0..workers.len());
        writers.more(20).await;
        workers[hit].kill();
        writers.more(20).await;
        workers[hit].start();
        workers[hit].job().until_said(OURS).await;
    }
    // One stands still until the group gives its partitions to others, and goes on as if nothing were.
    let (still, others) = workers.split_first().expect("three");
    let before = takes(others);
    still.job().running().signal(Signal::Stop);
    wait::until_ok(LIMIT, "the others to take over", async || {
        others.iter().for_each(|worker| worker.job().assert_running());
        if takes(others) > before { Ok(()) } else { Err(logs(others)) }
    })
    .await;
    writers.more(50).await;
    let lost = still.job().stderr().matches(OURS).count();
    still.job().running().signal(Signal::Continue);
    wait::until(LIMIT, "it to be taken in again", async || still.job().stderr().matches(OURS).count() > lost)
        .await;
    // A fourth gets its part.
    let mut fourth = scene.worker();
    fourth.start();
    fourth.job().until_said(OURS).await;
    workers.push(fourth);
    writers.more(50).await;
    let committed = writers.stop().await;
    scene.caught_up(&workers).await;
    let fenced: usize =
        workers.iter().map(|worker| worker.job().stderr().matches("waiting for the group").count()).sum();
    workers.iter_mut().for_each(|worker| {
        worker.stop();
    });
    producer.stop();
    scene.compare().await;
    println!(
        "{what}: {committed} transactions, {} kills, one frozen, one added, fenced {fenced} times, 0 lost, 0 twice",
        kills()
    );
}

/// The broker crashes, and the ways to it break, while two processes share its topic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_crashes_and_connections_that_break() {
    let seed = seed();
    let mut random = random::generator(seed);
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    let (source, target) = (shared(Flavor::MariaDb).await, postgres_shared(PgVersion::V17).await);
    let scene = Scene::by(source, (&kafka, kafka.proxied_bootstrap()), target, (Makes::Log, ROWS)).await;
    let producer = scene.producer.start();
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    wait::until(LIMIT, "the topic", async || kafka.partitions(&scene.topic).await > 0).await;
    let mut workers: Vec<Worker> = (0..2).map(|_| scene.worker()).collect();
    workers.iter_mut().for_each(Worker::start);
    for worker in &workers {
        worker.job().until_said(OURS).await;
    }
    for fault in 0..9 {
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1500))).await;
        match fault % 3 {
            0 => kafka.proxy().cut(),
            1 => kafka.proxy().cut_after_bytes(random.random_range(1..2000)),
            _ => {
                kafka.kill9();
                kafka.restart().await;
            }
        }
    }
    kafka.proxy().heal().await;
    let committed = writers.stop().await;
    scene.caught_up(&workers).await;
    workers.iter_mut().for_each(|worker| {
        worker.stop();
    });
    producer.stop();
    scene.compare().await;
    println!("shared topic of a broken broker: {committed} transactions, 0 lost, 0 twice");
}

/// A broker that stands still is told of, and what comes when it moves again is there soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standstill_is_told_of_and_left_behind() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    let (source, target) = (shared(Flavor::MariaDb).await, postgres_shared(PgVersion::V17).await);
    let scene = Scene::new(source, &kafka, target, (Makes::Mirror, 100)).await;
    let producer = scene.producer.start();
    wait::until(LIMIT, "the topic", async || kafka.partitions(&scene.topic).await > 0).await;
    let mut workers = vec![scene.worker()];
    workers[0].start();
    scene.caught_up(&workers).await;
    kafka.freeze();
    wait::until_ok(TOLD_WITHIN, "the standstill to be told of", async || {
        let log = workers[0].job().stderr();
        if log.contains("next attempt in") || log.contains("STALLED") { Ok(()) } else { Err(log) }
    })
    .await;
    kafka.thaw();
    scene.source.run(&["INSERT INTO item VALUES (-1, 0, 'behind it', NULL, NULL)"]).await;
    wait::until(WELL_WITHIN, "the change that came after it", async || {
        scene.target.value("SELECT name FROM item WHERE id = -1").await.is_some()
    })
    .await;
    workers[0].stop();
    producer.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_in_the_log_of_a_postgres_once() {
    let target = postgres_shared(PgVersion::V17).await;
    shared_under_fire("shared topic to postgres, log", target, Makes::Log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_mirrors_the_source() {
    let target = shared(Flavor::MySql).await;
    shared_under_fire("shared topic to mysql, mirror", target, Makes::Mirror).await;
}
