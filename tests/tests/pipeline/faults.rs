//! Faults of servers and connections: the job waits, says why, and goes on.

use std::time::Duration;

use culvert_tests::process::Running;
use culvert_tests::{Flavor, Proxy, Server, ServerOptions, random, seed, wait};
use rand::Rng;

use super::workload::{Scene, Writers};
use super::{JobSpec, LIMIT, TestJob, until_count};

const ROWS: u64 = 3_000;

/// Both jobs of a scene, started and through with their snapshot.
async fn started(scene: &Scene, server: &Server, target: &Server) -> (Running, Running) {
    let mirror = scene.mirror_job.start();
    let log = scene.log_job.start();
    scene.catch_up_to(-2, server, target, [&mirror, &log]).await;
    (mirror, log)
}

async fn ended_well(scene: &Scene, server: &Server, target: &Server, jobs: (Running, Running)) -> String {
    scene.catch_up_to(-1, server, target, [&jobs.0, &jobs.1]).await;
    let mirror = jobs.0.terminate(LIMIT);
    mirror.assert_code(0);
    let log = jobs.1.terminate(LIMIT);
    log.assert_code(0);
    scene.compare(server, target).await;
    mirror.stderr + &log.stderr
}

async fn source_restarted(flavor: Flavor) {
    let seed = seed();
    let server = Server::start(flavor, ServerOptions::default()).await;
    let target = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    let scene = Scene::new(&server, &target, ROWS, 500, None).await;
    let jobs = started(&scene, &server, &target).await;
    for round in 0..2 {
        let writers = Writers::start(&server, &scene.source, 2, ROWS, seed + round).await;
        wait::until(LIMIT, "transactions", async || writers.committed() > 50).await;
        writers.stop().await;
        if round == 0 {
            server.stop_graceful().await;
        } else {
            server.kill();
        }
        server.restart().await;
    }
    let log = ended_well(&scene, &server, &target, jobs).await;
    assert!(log.contains("next attempt in"), "the job says that it waits: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_restarted_mariadb() {
    source_restarted(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_restarted_mysql() {
    source_restarted(Flavor::MySql).await;
}

async fn connection_cut_mid_event(flavor: Flavor) {
    let seed = seed();
    let mut random = random::generator(seed);
    let server = Server::start(flavor, ServerOptions::default()).await;
    let proxy = Proxy::start(server.port()).await;
    let scene = Scene::new(&server, &server, ROWS, 200, Some(proxy.url("x"))).await;
    let mirror = scene.mirror_job.start();
    let log = scene.log_job.start();
    let writers = Writers::start(&server, &scene.source, 2, ROWS, seed).await;
    for _ in 0..12 {
        // Somewhere inside an event, a result set or a handshake.
        proxy.cut_after_bytes(random.random_range(1..120_000));
        wait::until(LIMIT, "the cut", async || !proxy.cut_pending()).await;
    }
    writers.stop().await;
    let text = ended_well(&scene, &server, &server, (mirror, log)).await;
    assert!(text.contains("next attempt in"), "the job says that it waits: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_cut_mid_event_mariadb() {
    connection_cut_mid_event(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_cut_mid_event_mysql() {
    connection_cut_mid_event(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_down_for_twenty_seconds() {
    let seed = seed();
    let server = Server::start(Flavor::MySql, ServerOptions::default()).await;
    let target = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    let scene = Scene::new(&server, &target, ROWS, 500, None).await;
    let jobs = started(&scene, &server, &target).await;
    let writers = Writers::start(&server, &scene.source, 2, ROWS, seed).await;
    wait::until(LIMIT, "transactions", async || writers.committed() > 20).await;
    target.kill();
    // The outage itself; nothing is waited for.
    tokio::time::sleep(Duration::from_secs(20)).await;
    target.restart().await;
    writers.stop().await;
    let log = ended_well(&scene, &server, &target, jobs).await;
    assert!(log.contains("next attempt in"), "the job says that it waits: {log}");
}

/// The system tablespace of the target is full: the server refuses a write as on a full disk,
/// until somebody gives it more room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_disk_refuses_a_write() {
    let options = |room: &str| {
        ServerOptions::default()
            .arg("--innodb-file-per-table=0")
            .arg(format!("--innodb-data-file-path=ibdata1:12M:autoextend:max:{room}"))
    };
    let server = Server::start(Flavor::MySql, ServerOptions::default()).await;
    let mut target = Server::start(Flavor::MariaDb, options("24M")).await;
    let scene = Scene::new(&server, &target, 100, 500, None).await;
    let (mut mirror, log) = started(&scene, &server, &target).await;
    let rows: Vec<String> =
        (1..60_000).map(|n| format!("({}, 1, 'more', REPEAT('y', 200), NULL)", 1_000_000 + n)).collect();
    server.execute(&[&format!("INSERT INTO {}.item VALUES {}", scene.source, rows.join(","))]).await;
    mirror.wait_for_stderr(LIMIT, "next attempt in").await;
    assert!(mirror.stderr().contains("1114"), "the job says why: {}", mirror.stderr());
    target.restart_with(options("1G")).await;
    ended_well(&scene, &server, &target, (mirror, log)).await;
}

/// The source stands still with its connections open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_source_is_noticed() {
    let server = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    let target = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    let scene = Scene::new(&server, &target, 100, 500, None).await;
    let (mut mirror, log) = started(&scene, &server, &target).await;
    server.pause();
    mirror.wait_for_stderr(Duration::from_secs(60), "no event and no heartbeat").await;
    server.resume();
    ended_well(&scene, &server, &target, (mirror, log)).await;
}

/// Two runs of one job: the later one takes over, the earlier one ends, nothing is twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_run_fences_the_first() {
    let seed = seed();
    let server = Server::start(Flavor::MySql, ServerOptions::default()).await;
    let scene = Scene::new(&server, &server, ROWS, 500, None).await;
    let (mirror, log) = started(&scene, &server, &server).await;
    let writers = Writers::start(&server, &scene.source, 2, ROWS, seed).await;
    wait::until(LIMIT, "transactions", async || writers.committed() > 20).await;
    let file = std::fs::read_to_string(&scene.log_job.file).expect("the job file is there");
    // Another replica id: otherwise the server itself ends the first one's stream.
    let other = TestJob {
        name: scene.log_job.name.clone(),
        file: scene.log_job.file.with_extension("2.conf"),
        state: scene.log_job.state.join("../other"),
    };
    let id = file.lines().find(|line| line.contains("server-id")).expect("it has an id");
    std::fs::write(&other.file, file.replace(id, "server-id = 77777")).expect("it is written");
    let second = other.start();
    let first = log.wait(LIMIT);
    first.assert_code(2);
    assert!(first.stderr.contains("epoch"), "it says who took over: {}", first.stderr);
    writers.stop().await;
    ended_well(&scene, &server, &server, (mirror, second)).await;
}

/// The state folder is a cache: lost or rolled back, the markers at the target put it right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_or_old_state_is_rebuilt_from_the_markers() {
    let seed = seed();
    let server = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    let scene = Scene::new(&server, &server, ROWS, 500, None).await;
    let (mirror, log) = started(&scene, &server, &server).await;
    mirror.terminate(LIMIT).assert_code(0);
    log.terminate(LIMIT).assert_code(0);
    let old = scene.mirror_job.state.with_extension("old");
    copy_folder(&scene.mirror_job.state, &old);
    for round in 0..2 {
        let writers = Writers::start(&server, &scene.source, 2, ROWS, seed + round).await;
        let mirror = scene.mirror_job.start();
        let log = scene.log_job.start();
        // In the second round the log's state is gone until the job has rebuilt it.
        wait::until(LIMIT, "transactions and a state", async || {
            writers.committed() > 100 && scene.log_job.state.exists()
        })
        .await;
        mirror.kill();
        log.kill();
        writers.stop().await;
        std::fs::remove_dir_all(&scene.log_job.state).expect("the state is removed");
        std::fs::remove_dir_all(&scene.mirror_job.state).expect("the state is removed");
        copy_folder(&old, &scene.mirror_job.state);
    }
    let jobs = (scene.mirror_job.start(), scene.log_job.start());
    let log = ended_well(&scene, &server, &server, jobs).await;
    assert!(log.contains("commit marker"), "the job says where its state came from: {log}");
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp starts");
    assert!(status.success(), "the folder is copied");
}

/// The largest row passes: packets past 16 MiB in log, snapshot and target.
async fn large_rows(flavor: Flavor) {
    let options = ServerOptions::default().arg("--max-allowed-packet=128M");
    let server = Server::start(flavor, options).await;
    let source = server.fresh_database("large").await;
    let target = server.fresh_database("copy").await;
    server
        .execute(&[
            &format!("CREATE TABLE {source}.t (id INT PRIMARY KEY, data LONGBLOB)"),
            &format!("INSERT INTO {source}.t VALUES (1, REPEAT('a', 20000000))"),
        ])
        .await;
    let job = TestJob::new(&JobSpec {
        name: &format!("large-{}", flavor.name()),
        source_url: server.url(&source),
        server_id: 4711,
        tables: &[&format!("{source}.t")],
        source: "",
        transform: "",
        sink_url: server.url(&target),
        target_database: &target,
        sink: "",
    });
    let running = job.start();
    until_count(&server, &format!("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{target}' AND TABLE_NAME = 't'"), 1, Some(&running)).await;
    until_count(&server, &format!("SELECT COUNT(*) FROM {target}.t"), 1, Some(&running)).await;
    server.execute(&[&format!("INSERT INTO {source}.t VALUES (2, REPEAT('b', 33000000))")]).await;
    server.execute(&[&format!("UPDATE {source}.t SET data = REPEAT('c', 18000000) WHERE id = 1")]).await;
    let same =
        format!("SELECT COUNT(*) FROM {source}.t s JOIN {target}.t c ON s.id = c.id AND s.data = c.data");
    until_count(&server, &same, 2, Some(&running)).await;
    running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_rows_mariadb() {
    large_rows(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_rows_mysql() {
    large_rows(Flavor::MySql).await;
}
