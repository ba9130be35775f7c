//! Every file of a state folder, damaged in every way.

use std::path::{Path, PathBuf};

use culvert_tests::database::Kind;
use culvert_tests::{Flavor, PgVersion, kafka_shared, postgres_shared, shared};

use crate::crash::judge::Verdict;
use crate::crash::scene::Scene;
use crate::postgres::job::{LIMIT, tail};

/// Rows there are at the start.
const ROWS: i64 = 40;

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// A byte in its middle is another.
    Flipped,
    /// Its second half is gone.
    Halved,
    /// It is empty.
    Emptied,
    /// It is gone.
    Gone,
}

const DAMAGES: [Damage; 4] = [Damage::Flipped, Damage::Halved, Damage::Emptied, Damage::Gone];

fn damage(file: &Path, damage: Damage) {
    let mut bytes = std::fs::read(file).expect("the file reads");
    let half = bytes.len() / 2;
    match damage {
        Damage::Flipped => {
            if let Some(byte) = bytes.get_mut(half) {
                *byte ^= 0x55;
            }
        }
        Damage::Halved => bytes.truncate(half),
        Damage::Emptied => bytes.clear(),
        Damage::Gone => {
            std::fs::remove_file(file).expect("the file goes");
            return;
        }
    }
    std::fs::write(file, bytes).expect("the file is written");
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).expect("a folder is made");
    for entry in std::fs::read_dir(from).expect("the folder reads") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("the file is copied");
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder reads")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

/// Goes on, at once or by the way out that the refusal names; returns whether it was refused.
async fn goes_on(scene: &Scene, mark: i64, what: &str) -> bool {
    let mut refused = false;
    let mut job = scene.start();
    // It has either begun or ended soon.
    culvert_tests::wait::until_ok(LIMIT, &format!("a start with {what}"), async || {
        if job.ended().is_some() || job.stderr().contains("INFO starting") {
            return Ok(());
        }
        Err(tail(&job.stderr()))
    })
    .await;
    if job.ended().is_some() {
        let finished = job.wait(LIMIT);
        assert!(matches!(finished.code, Some(1 | 2)), "{what}: {:?}", finished.code);
        let says = finished.stderr.contains("state folder") || finished.stderr.contains("state ");
        assert!(says, "{what}: {}", finished.stderr);
        assert!(!finished.stderr.contains("fresh=true"), "{what}: {}", finished.stderr);
        // The way out that is always there with an exactly-once sink: without the folder it is rebuilt.
        std::fs::remove_dir_all(&scene.job.state).expect("the folder goes");
        refused = true;
        job = scene.start();
    }
    scene.caught_up(mark, &mut job).await;
    let log = job.terminate(LIMIT).stderr;
    assert!(!log.contains("fresh=true"), "{what}: a new snapshot: {log}");
    refused
}

async fn survives(
    source: Kind<'static>,
    target: Option<Kind<'static>>,
    kafka: Option<&'static culvert_tests::Kafka>,
) {
    let scene = Scene::new((source, target, kafka, None), ROWS, 1000).await;
    let mut job = scene.start();
    scene.caught_up(-1, &mut job).await;
    job.terminate(LIMIT).assert_code(0);
    let (state, kept) = (scene.job.state.clone(), scene.job.state.with_extension("kept"));
    let old = scene.job.state.with_extension("old");
    copy(&state, &old);
    let (mut mark, mut refused, mut damaged) = (-1, 0, 0);
    for name in files(&state.join("db")) {
        let name = name.file_name().expect("a name").to_owned();
        // RocksDB's log for people, and its lock, say nothing that counts.
        if ["LOG", "LOCK"].iter().any(|quiet| name.to_string_lossy().starts_with(quiet)) {
            continue;
        }
        for how in DAMAGES {
            copy(&state, &kept);
            let file = state.join("db").join(&name);
            if !file.exists() {
                // Every start makes new files and lets old ones go.
                continue;
            }
            damage(&file, how);
            (mark, damaged) = (mark - 1, damaged + 1);
            refused += u32::from(goes_on(&scene, mark, &format!("{how:?} {name:?}")).await);
        }
    }
    // An older copy, and nothing at all.
    copy(&old, &state);
    mark -= 1;
    assert!(!goes_on(&scene, mark, "an older copy").await, "the markers are the truth");
    std::fs::remove_dir_all(&state).expect("the folder goes");
    mark -= 1;
    assert!(!goes_on(&scene, mark, "no folder").await, "the markers rebuild it");
    for verdict in scene.judge().await {
        let Verdict { lost, twice, first, .. } = verdict;
        assert_eq!((lost, twice, first), (0, 0, None));
    }
    assert!(damaged > 0, "there was something to damage");
    println!("{damaged} damages, {refused} of them refused with the way out, 0 lost, 0 twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_as_target() {
    let target = postgres_shared(PgVersion::V17).await;
    survives(shared(Flavor::MariaDb).await.into(), Some(target.into()), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mysql_as_target() {
    let source = postgres_shared(PgVersion::V17).await;
    survives(source.into(), Some(shared(Flavor::MySql).await.into()), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_kafka_as_target() {
    survives(shared(Flavor::MariaDb).await.into(), None, Some(kafka_shared().await)).await;
}
