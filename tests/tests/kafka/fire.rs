//! A broker that crashes, and connections to it that break, under a running job.

use std::time::Duration;

use culvert_tests::{Flavor, Kafka, KafkaOptions, random, seed, shared};
use rand::Rng;

use super::scene::Scene;
use crate::postgres::writers::Writers;

/// Rows of the largest table.
const ROWS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_crashes_and_connections_that_break() {
    let seed = seed();
    let mut random = random::generator(seed);
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    let scene = Scene::new(shared(Flavor::MariaDb).await, &kafka, kafka.proxied_bootstrap(), ROWS).await;
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    let job = scene.job.start();
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
    scene.caught_up(&job).await;
    job.stop();
    let messages = scene.compare().await;
    println!("broken broker: {committed} transactions, {messages} messages, 0 lost, 0 twice");
}
