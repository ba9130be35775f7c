//! A connection that is cut at every step of its protocol: greeting, login, session, snapshot, stream, rows,
//! commit. The cut comes after so many bytes of the server, more each time.

use culvert_tests::{Flavor, PgVersion, Proxy, postgres_shared, shared, wait};

use super::scene::{Scene, To};
use crate::postgres::job::LIMIT;

/// Bytes between two cuts in a normal run; `CULVERT_NETWORK_STEP` asks for smaller ones.
const STEP_BYTES: usize = 401;
/// The last cut.
const LAST_BYTES: usize = 5200;

fn step() -> usize {
    let asked = std::env::var("CULVERT_NETWORK_STEP").ok().and_then(|text| text.parse().ok());
    asked.filter(|step| *step > 0).unwrap_or(STEP_BYTES)
}

async fn cut_at_every_step<'a>(scene: &'a Scene<'a>, proxy: impl Fn(&'a Scene<'a>) -> &'a Proxy) {
    let proxy = proxy(scene);
    let mut cuts = 0;
    for bytes in (1..LAST_BYTES).step_by(step()) {
        // The job begins a new connection, and loses it this far in.
        proxy.cut_after_bytes(bytes);
        let job = scene.job.start();
        let mark = scene.mark().await;
        wait::until(LIMIT, "the connection to be cut", async || {
            job.assert_running();
            // Where fewer bytes are said than that, more rows make more.
            scene.mark().await;
            !proxy.cut_pending()
        })
        .await;
        scene.arrived(mark, &job, LIMIT, &format!("a cut after {bytes} bytes")).await;
        job.kill();
        cuts += 1;
    }
    println!("{cuts} cuts, from byte 1 to byte {LAST_BYTES}");
    let job = scene.job.start();
    scene.ended_well(job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_mariadb_as_source() {
    let target = postgres_shared(PgVersion::V17).await;
    let scene = Scene::new(shared(Flavor::MariaDb).await, To::Database(target.into())).await;
    cut_at_every_step(&scene, |scene| &scene.to_source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgres_as_source() {
    let source = postgres_shared(PgVersion::V17).await;
    let scene = Scene::new(source, To::Database(shared(Flavor::MySql).await.into())).await;
    cut_at_every_step(&scene, |scene| &scene.to_source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgres_as_target() {
    let target = postgres_shared(PgVersion::V17).await;
    let scene = Scene::new(shared(Flavor::MariaDb).await, To::Database(target.into())).await;
    cut_at_every_step(&scene, Scene::to_target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_mysql_as_target() {
    let source = shared(Flavor::MariaDb).await;
    let scene = Scene::new(source, To::Database(shared(Flavor::MySql).await.into())).await;
    cut_at_every_step(&scene, Scene::to_target).await;
}
