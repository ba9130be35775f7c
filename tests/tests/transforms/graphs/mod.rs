//! Random graphs of transforms between several sources and two sinks that write files, killed at random and started again:
//! what lies in the files is what a plain model of the graph says, each row once.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

mod model;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use culvert_tests::process::Running;
use culvert_tests::{Culvert, random, scratch, seed};
use rand::Rng;
use serde_json::Value;

use model::{Graph, SINKS};

/// Graphs in a normal run; `CULVERT_GRAPHS` asks for more.
const GRAPHS: u64 = 6;
/// Kills of each of them, at most: a job may come to its end before.
const KILLS: u32 = 5;
/// Jobs that run at a time.
const SIDE_BY_SIDE: usize = 2;
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn files_behind_a_random_graph_that_is_killed_hold_what_the_model_says() {
    let seed = seed();
    let graphs = std::env::var("CULVERT_GRAPHS").ok().and_then(|text| text.parse().ok()).unwrap_or(GRAPHS);
    let (next, kills, rows) = (AtomicU64::new(0), AtomicU32::new(0), AtomicU64::new(0));
    let play = || {
        let mut wrong = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= graphs {
                return wrong;
            }
            let played = play(seed.wrapping_add(at));
            kills.fetch_add(played.kills, Ordering::Relaxed);
            rows.fetch_add(played.rows, Ordering::Relaxed);
            wrong.extend(played.wrong.map(|what| format!("graph {at}: {what}")));
        }
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(play)).collect();
        players.into_iter().flat_map(|player| player.join().expect("a player ends")).collect()
    });
    let (kills, rows) = (kills.into_inner(), rows.into_inner());
    println!("random graphs: {graphs} graphs, {kills} kills, {rows} rows in the files of both sinks");
    assert!(wrong.is_empty(), "repeat with the seed above:\n{}", wrong.join("\n"));
    assert!(kills > 0 && rows > 0, "nothing was tried: {kills} kills, {rows} rows");
}

/// How a graph went.
struct Played {
    kills: u32,
    rows: u64,
    wrong: Option<String>,
}

/// Runs a graph to its end, through kills.
fn play(seed: u64) -> Played {
    let mut random = random::generator(seed);
    let graph = Graph::of(&mut random);
    let folder = scratch::folder("graph");
    let text = graph.job(&folder.to_string_lossy(), random.random_range(20..120));
    let (file, state) = (folder.join("job.conf"), folder.join("state"));
    std::fs::write(&file, &text).expect("the job file is written");
    let start = || -> Running {
        let (file, state) = (file.to_string_lossy(), state.to_string_lossy());
        Culvert::new(&["run", "-c", &file, "-n", "graph", "--state", &state]).start()
    };
    let mut kills = 0;
    for _ in 0..KILLS {
        let mut running = start();
        // The moment is random on purpose; nothing is waited for.
        std::thread::sleep(Duration::from_millis(random.random_range(50..900)));
        if running.ended().is_some() {
            break;
        }
        running.kill();
        kills += 1;
    }
    let finished = start().wait(LIMIT);
    let mut rows = 0;
    let mut wrong = (finished.code != Some(0))
        .then(|| format!("ended with {:?}: {}\n{text}", finished.code, finished.stderr));
    for sink in 0..SINKS {
        let (expected, found) = (graph.at_sink(sink), lines(&folder.join(format!("out{sink}"))));
        rows += found.values().map(|times| u64::from(*times)).sum::<u64>();
        if wrong.is_none() && expected != found {
            wrong = Some(format!("sink {sink}: {}\n{text}", difference(&expected, &found)));
        }
    }
    Played { kills, rows, wrong }
}

/// Lines of all files below a folder, in one form, behind the name of the folder they lie in; with how often each is there.
fn lines(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for table in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = table.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        for file in std::fs::read_dir(table.path()).expect("a table's folder").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("a file of text");
            for line in text.lines() {
                let row: Value = serde_json::from_str(line).expect("a line is JSON");
                *found.entry(format!("{name} {row}")).or_default() += 1;
            }
        }
    }
    found
}

/// The first lines that are not there as often as they should.
fn difference(expected: &BTreeMap<String, u32>, found: &BTreeMap<String, u32>) -> String {
    let times = |lines: &BTreeMap<String, u32>, line: &String| lines.get(line).copied().unwrap_or(0);
    let differ = |line: &&String| times(expected, line) != times(found, line);
    let missing_first = expected.keys().chain(found.keys().filter(|line| !expected.contains_key(*line)));
    let shown = missing_first.filter(differ).take(5);
    let shown: Vec<String> = shown
        .map(|line| format!("{} times instead of {}: {line}", times(found, line), times(expected, line)))
        .collect();
    shown.join("\n")
}
