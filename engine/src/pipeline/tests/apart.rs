//! Several sinks: each holds every row once, however far apart faults leave them.

use std::sync::Arc;

use culvert_api::{ErrorKind, Spool as _};

use super::every_number;
use super::memory::{Kept, Memory, Scene, Spooled};
use crate::settings::stop_channel;

/// Numbers that look random and are the same for one seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn faults(&mut self) -> Vec<(u64, bool)> {
        let mut commit = 0;
        let mut faults = Vec::new();
        for _ in 0..self.below(6) {
            commit += 1 + self.below(8);
            faults.push((commit, self.below(2) == 0));
        }
        faults
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_behind_takes_what_it_lacks_from_the_spool() {
    // The first commits, the second does not: they stand apart when the attempt starts over.
    let (ahead, behind) = (Memory::failing(&[]), Memory::failing(&[(2, false), (5, false), (6, true)]));
    Scene::of(vec![ahead.stops(), behind.stops()]).run().await;
    assert_eq!(ahead.rows(), every_number());
    assert_eq!(behind.rows(), every_number());
    assert_eq!(ahead.checkpoint(), behind.checkpoint());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_in_three_sinks_neither_lose_nor_repeat_rows() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut sinks = Vec::new();
        for _ in 0..3 {
            let kinds = [ErrorKind::Connection, ErrorKind::Permission];
            let kind = kinds[usize::try_from(random.below(2)).unwrap()];
            let held = random.below(2) == 0;
            // Without the policy to hold it, only what passes by waiting may befall it.
            let kind = if held { kind } else { ErrorKind::Connection };
            let times = u32::try_from(random.below(4)).unwrap();
            let sink = Memory::failing(&random.faults()).away(times, kind);
            sinks.push(if held { sink.is_held() } else { sink.stops() });
        }
        // Where all are held at once, an error that needs a person ends the job: one never fails that way.
        sinks[0].1 = crate::graph::FailurePolicy::Stop;
        sinks[0].0 = Memory::failing(&random.faults());
        let scene = Scene { queue_bytes_max: 1 << random.below(20), ..Scene::of(sinks) };
        scene.run().await;
        for (at, (sink, policy)) in scene.sinks.iter().enumerate() {
            assert_eq!(sink.rows(), every_number(), "seed {seed}, sink {at}, {policy:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_sink_does_not_keep_the_others_from_going_on() {
    let well = Memory::failing(&[]);
    let ill = Memory::failing(&[(2, false)]).away(u32::MAX, ErrorKind::Permission);
    let scene = Scene::of(vec![well.stops(), ill.is_held()]);
    let (stop, signal) = stop_channel();
    let (watched, all) = (well.clone(), every_number().len());
    let stopper = tokio::spawn(async move {
        while watched.rows().len() < all {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
        stop
    });
    scene.run_until(signal).await.unwrap();
    stopper.await.unwrap();
    assert_eq!(well.rows(), every_number());
    assert!(ill.rows().len() < all, "it was away all the time");
    let lacks = ill.checkpoint() + 1;
    assert_eq!(scene.spool.read(lacks).unwrap().checkpoint().id, lacks, "what it lacks is kept");

    // It is there again, in a new run of the job.
    let ill = ill.away(0, ErrorKind::Permission);
    scene.run().await;
    assert_eq!((well.rows(), ill.rows()), (every_number(), every_number()));
    assert_eq!(scene.spool.bytes(), 0, "and then forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_makes_the_job_wait_for_the_sink_that_is_behind() {
    let well = Memory::failing(&[]);
    let ill = Memory::failing(&[(2, false)]).away(200, ErrorKind::Connection);
    let scene = Scene { spool_bytes_max: 3, ..Scene::of(vec![well.stops(), ill.is_held()]) };
    scene.run().await;
    assert_eq!((well.rows(), ill.rows()), (every_number(), every_number()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_apart_without_their_spool_are_refused_and_nothing_is_read_again() {
    let (ahead, behind) =
        (Memory::failing(&[]), Memory::failing(&[(2, false)]).away(99, ErrorKind::Permission));
    let scene = Scene::of(vec![ahead.stops(), behind.stops()]);
    let (_keep, stop) = stop_channel();
    scene.run_until(stop.clone()).await.expect_err("the second sink is away for good");
    let behind = behind.away(0, ErrorKind::Permission);
    let before = (ahead.rows(), behind.rows());

    // The spool is lost; then the store as well.
    let lost = Scene { spool: Arc::new(Spooled::default()), ..Scene::of(scene.sinks.clone()) };
    let lost = Scene { store: Arc::clone(&scene.store), ..lost };
    for scene in [&lost, &Scene { store: Arc::new(Kept::default()), ..Scene::of(scene.sinks.clone()) }] {
        let error = scene.run_until(stop.clone()).await.expect_err("they stand apart");
        assert_eq!(error.kind(), ErrorKind::StateMismatch, "{error}");
        assert!(error.hint_text().unwrap().contains("docs/fan-out.md"));
    }
    assert_eq!((ahead.rows(), behind.rows()), before);
    // With both it goes on.
    scene.run().await;
    assert_eq!((ahead.rows(), behind.rows()), (every_number(), every_number()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_sink_that_another_run_took_over_is_left_to_it() {
    let well = Memory::failing(&[]);
    let ill = Memory::failing(&[(2, false)]).away(20, ErrorKind::Connection);
    let scene = Scene::of(vec![well.stops(), ill.is_held()]);
    let (_keep, stop) = stop_channel();
    let other = ill.clone();
    let taker = tokio::spawn(async move {
        while !other.taken_over() {
            tokio::task::yield_now().await;
        }
    });
    let error = scene.run_until(stop).await.expect_err("it is another run's now");
    taker.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(ill.rows().len() < every_number().len());
}
