//! The crash matrix: every fail point × what happens there × what the job is doing × source × target.
//!
//! A *cell* is one fail point and one action. A *scene* is a source that is written to, a target, and a
//! job; cells follow each other in it, and in the end a judge reads the target as a user would and
//! compares it with the source's history. `make crash-matrix` runs all cells and writes
//! `docs/crash-matrix.md`; a normal run takes a slice that its seed chooses.

#![allow(clippy::print_stdout)]

mod cells;
pub(crate) mod files;
pub(crate) mod judge;
mod lake;
mod report;
pub(crate) mod scene;

use std::time::Instant;

use culvert_tests::database::Kind;
use culvert_tests::{
    Flavor, PgVersion, kafka_shared, lake_shared, postgres_shared, random, s3_shared, seed, shared,
};
use futures_util::{StreamExt as _, stream};
use rand::Rng;
use rand::seq::SliceRandom;

use cells::{Cell, PHASES, Phase, cells};
use lake::LakeServers;
use report::{Line, Report};
use scene::{SOURCES, Server, TARGETS, Target, play};

/// What the variable of this name asks for: all cells.
const ALL_VARIABLE: &str = "CULVERT_CRASH_MATRIX";
/// Limits a run to lines that contain this, for example `MySQL to Kafka, DDL`.
const ONLY_VARIABLE: &str = "CULVERT_CRASH_ONLY";
/// Cells of a pair and phase in a normal run.
const SLICE: usize = 4;
/// Scenes side by side.
const SIDE_BY_SIDE: usize = 3;

/// A source and a target.
#[derive(Clone, Copy)]
struct Pair {
    source: Server,
    target: Target,
}

impl Pair {
    fn all() -> impl Iterator<Item = Pair> {
        SOURCES.into_iter().flat_map(|source| TARGETS.map(|target| Pair { source, target }))
    }

    fn name(self) -> String {
        format!("{} to {}", self.source.name(), self.target.name())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix() {
    let begun = Instant::now();
    let seed = seed();
    let all = std::env::var_os(ALL_VARIABLE).is_some();
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let mut scenes = Vec::new();
    let only_files_of = SOURCES[usize::try_from(seed % 3).expect("a small number")].name();
    for (at, pair) in Pair::all().enumerate() {
        let mut random = random::generator(seed.wrapping_add(at as u64));
        // A slice has every pair, but of files one, and every phase somewhere.
        if !all && pair.target.is_files() && pair.source.name() != only_files_of {
            continue;
        }
        let phases: Vec<Phase> =
            if all { PHASES.to_vec() } else { vec![PHASES[(at + at / TARGETS.len()) % PHASES.len()]] };
        for phase in phases {
            if !format!("{}, {phase}", pair.name()).contains(&only) {
                continue;
            }
            let mut chosen = cells(phase, pair.target, all);
            chosen.shuffle(&mut random);
            if !all {
                chosen.truncate(SLICE);
            }
            scenes.push(run(pair, phase, chosen, random.random()));
        }
    }
    let mut report = Report::new(seed);
    let mut lines = stream::iter(scenes).buffer_unordered(SIDE_BY_SIDE);
    while let Some(line) = lines.next().await {
        println!("{line}");
        report.add(line);
    }
    report.seconds = begun.elapsed().as_secs();
    println!("{}", report.summary());
    if all && only.is_empty() {
        report.write();
    }
    assert_eq!(report.faults(), Vec::<String>::new(), "repeat with the seed above");
    assert!(report.acted() > 0, "no fail point acted");
}

/// Plays the cells of a pair and phase, in as many scenes as it takes.
async fn run(pair: Pair, phase: Phase, cells: Vec<Cell>, seed: u64) -> Line {
    let mut line = Line::new(pair.name(), phase);
    let begun = Instant::now();
    let mut left = cells;
    let mut number = 0;
    while !left.is_empty() {
        let source: Kind<'static> = match pair.source {
            Server::MySql => shared(Flavor::MySql).await.into(),
            Server::MariaDb => shared(Flavor::MariaDb).await.into(),
            Server::Postgres => postgres_shared(PgVersion::V17).await.into(),
        };
        let kafka = if pair.target.is_kafka() { Some(kafka_shared().await) } else { None };
        let target: Option<Kind<'static>> = match pair.target {
            Target::MySql => Some(shared(Flavor::MySql).await.into()),
            Target::Postgres => Some(postgres_shared(PgVersion::V17).await.into()),
            _ => None,
        };
        let lake = match pair.target.lake() {
            Some((layout, on_s3)) => {
                let s3 = if on_s3 { Some(s3_shared().await) } else { None };
                Some(LakeServers { lake: lake_shared().await, s3, layout })
            }
            None => None,
        };
        left = play((source, target, kafka, lake), phase, left, seed + number, &mut line).await;
        number += 1;
    }
    line.seconds = begun.elapsed().as_secs_f64();
    line
}
