//! A connection that is open and dead: the job says so within thirty seconds.

use std::time::Duration;

use culvert_tests::{Flavor, Kafka, KafkaOptions, PgVersion, postgres_shared, shared, wait};

use futures_util::join;

use super::scene::{HEALED_WITHIN, Scene, To};
use crate::postgres::job::{Job, tail};

/// Within this a job tells that it stands still.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

async fn told(job: &Job, words: &[&str]) {
    wait::until_ok(TOLD_WITHIN, &format!("one of {words:?} in the job's log"), async || {
        job.assert_running();
        let log = job.stderr();
        if words.iter().any(|word| log.contains(word)) { Ok(()) } else { Err(tail(&log)) }
    })
    .await;
}

/// Nothing passes on one side; the job tells, and goes on when it passes again.
async fn stands_still(scene: Scene<'_>, at_source: bool, words: &[&str]) {
    let job = scene.started().await;
    let proxy = if at_source { &scene.to_source } else { scene.to_target() };
    proxy.stall(true);
    scene.mark().await;
    told(&job, words).await;
    proxy.heal().await;
    let mark = scene.mark().await;
    scene.arrived(mark, &job, HEALED_WITHIN, "a stall").await;
    scene.ended_well(job).await;
}

/// All at once, for each takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_stands_still_says_so() {
    let (mariadb, mysql) = (shared(Flavor::MariaDb).await, shared(Flavor::MySql).await);
    let postgres = postgres_shared(PgVersion::V17).await;
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    let at_sink = |sink: &str| [format!("at sink {sink} takes"), format!("writing to sink {sink} takes")];
    let (jdbc, topics) = (at_sink("sink.jdbc"), at_sink("sink.kafka"));
    let (jdbc, topics) = ([jdbc[0].as_str(), jdbc[1].as_str()], [topics[0].as_str(), topics[1].as_str()]);
    join!(
        async {
            let scene = Scene::new(mariadb, To::Database(postgres.into())).await;
            stands_still(scene, true, &["no event and no heartbeat"]).await;
        },
        async {
            let scene = Scene::new(postgres, To::Database(mysql.into())).await;
            stands_still(scene, true, &["STALLED: the server has said nothing"]).await;
        },
        async { stands_still(Scene::new(mariadb, To::Database(postgres.into())).await, false, &jdbc).await },
        async { stands_still(Scene::new(mariadb, To::Database(mysql.into())).await, false, &jdbc).await },
        async { stands_still(Scene::new(mariadb, To::Kafka(&kafka)).await, false, &topics).await },
    );
}
