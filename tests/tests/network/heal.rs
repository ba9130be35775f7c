//! Every kind of fault on both sides: the job goes on soon after the network is well again.

use culvert_tests::{Flavor, Kafka, KafkaOptions, PgVersion, Proxy, postgres_shared, shared};

use super::scene::{HEALED_WITHIN, Scene, To};

/// What befalls the connections of one side.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// They are reset.
    Reset,
    /// They end in order.
    End,
    /// They are reset, and new ones refused for a while.
    Refused,
    /// Nothing passes for a while, and then what was held back.
    Stalled,
    /// Bytes pass a few at a time.
    Slow,
}

const FAULTS: [Fault; 5] = [Fault::Reset, Fault::End, Fault::Refused, Fault::Stalled, Fault::Slow];

async fn befall(fault: Fault, proxy: &Proxy) {
    match fault {
        Fault::Reset => proxy.cut(),
        Fault::End => proxy.end(),
        Fault::Refused => proxy.refuse(true).await,
        Fault::Stalled => proxy.stall(true),
        Fault::Slow => proxy.trickle(true),
    }
}

async fn heals(scene: Scene<'_>) {
    let job = scene.started().await;
    for fault in FAULTS {
        for (side, proxy) in [("source", &scene.to_source), ("target", scene.to_target())] {
            befall(fault, proxy).await;
            scene.mark().await;
            if matches!(fault, Fault::Refused) {
                job.until_said_again("next attempt in").await;
            }
            proxy.heal().await;
            let mark = scene.mark().await;
            scene.arrived(mark, &job, HEALED_WITHIN, &format!("{fault:?} at the {side}")).await;
        }
    }
    scene.ended_well(job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_mariadb_to_postgres() {
    let target = postgres_shared(PgVersion::V17).await;
    heals(Scene::new(shared(Flavor::MariaDb).await, To::Database(target.into())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_postgres_to_mysql() {
    let source = postgres_shared(PgVersion::V17).await;
    heals(Scene::new(source, To::Database(shared(Flavor::MySql).await.into())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_mysql_to_kafka() {
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    heals(Scene::new(shared(Flavor::MySql).await, To::Kafka(&kafka)).await).await;
}
