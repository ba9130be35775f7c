//! Shards on two servers of different kinds become one table, exactly once.

use std::time::Duration;

use culvert_tests::{random, seed};
use rand::Rng;

use super::scene::Scene;
use crate::postgres::job::until;

/// Kills in a normal run; `CULVERT_KILLS` asks for more.
const KILLS: u32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_neither_lose_nor_repeat_a_row_of_any_source() {
    let kills = std::env::var("CULVERT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let seed = seed();
    let mut random = random::generator(seed);
    let scene = Scene::new("").await;
    let writers = scene.writers(seed);
    for _ in 0..kills {
        let job = scene.job.start();
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(300..2500))).await;
        job.kill();
    }
    let job = scene.job.start();
    let changes = writers.stop().await;
    scene.caught_up(&job).await;
    job.stop();
    scene.compare("id, amount").await;
    println!("two shards and a third source: {kills} kills, {changes} changes, 0 lost, 0 twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_one_shard_gets_first_comes_to_the_target_once() {
    let scene = Scene::new("").await;
    let job = scene.job.start();
    scene.caught_up(&job).await;
    for (at, shard) in scene.shards.iter().enumerate() {
        let statements = [
            "ALTER TABLE orders ADD COLUMN note VARCHAR(30)".to_owned(),
            format!("INSERT INTO orders VALUES ({}, 1, 'of shard {at}')", 900_000 + at),
        ];
        shard.run(&[&statements[0], &statements[1]]).await;
        let there = format!("SELECT note FROM public.orders WHERE id = {}", 900_000 + at);
        until(&scene.mirror, &there, &format!("of shard {at}"), &job).await;
        if at == 0 {
            // The other has no such column yet, and the job has to go on from here all the same.
            scene.shards[1].run(&["INSERT INTO orders VALUES (900010, 2)"]).await;
            let there = "SELECT COUNT(*) FROM public.orders WHERE id = 900010 AND note IS NULL";
            until(&scene.mirror, there, "1", &job).await;
        }
    }
    job.stop();
    scene.compare("id, amount, note").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_the_changes_of_two_shards_goes_on() {
    let scene = Scene::new("").await;
    let job = scene.job.start();
    scene.caught_up(&job).await;
    let alter = "ALTER TABLE orders ADD COLUMN note VARCHAR(30)";
    scene.shards[0].run(&[alter, "INSERT INTO orders VALUES (900000, 1, 'a')"]).await;
    let there = "SELECT COUNT(*) FROM public.orders WHERE id >= 900000";
    until(&scene.mirror, there, "1", &job).await;
    job.kill();
    scene.shards[1]
        .run(&["INSERT INTO orders VALUES (900010, 2)", alter, "INSERT INTO orders VALUES (900011, 3, 'b')"])
        .await;
    let job = scene.job.start();
    until(&scene.mirror, there, "3", &job).await;
    job.stop();
    scene.compare("id, amount, note").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_do_not_fit_are_refused_before_anything_is_written() {
    let scene = Scene::new(", note VARCHAR(30)").await;
    let log = scene.job.refused(&["do not fit: column note is in one of them only", "shard_0", "shard_1"]);
    assert!(log.contains('|'), "both schemas side by side: {log}");
    let tables = scene.mirror.value("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables.as_deref(), Some("0"));
}
