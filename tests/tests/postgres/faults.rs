//! Faults of servers and connections: the job waits, says why, and goes on.

use std::time::Duration;

use culvert_tests::database::Kind;
use culvert_tests::{
    Flavor, PgOptions, PgVersion, Postgres, Proxy, Server, ServerOptions, postgres_shared, random, seed,
    shared, wait,
};
use rand::Rng;

use super::job::{JobSpec, LIMIT, TestJob, until};
use super::scene::{Jobs, Scene};
use super::writers::Writers;

const ROWS: u64 = 3_000;
const WAITS: &str = "next attempt in";

/// A stop waits until every reader of the log says that it has everything; a crash waits for
/// nobody.
async fn source_restarted(version: PgVersion) {
    let seed = seed();
    let server = Postgres::start(version, PgOptions::default()).await;
    let target = Postgres::start(version, PgOptions::default()).await;
    let scene = Scene::new(&server, &target, ROWS, 500, None).await;
    let jobs = scene.started().await;
    for round in 0..2 {
        let writers = Writers::start(&scene.source, 2, ROWS, seed + round).await;
        writers.more(50).await;
        writers.stop().await;
        if round == 0 {
            server.stop().await;
        } else {
            server.kill9();
        }
        server.restart().await;
    }
    let log = scene.ended_well(jobs).await;
    assert!(log.contains(WAITS), "the job says that it waits: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_restarted_on_15() {
    source_restarted(PgVersion::V15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_restarted_on_17() {
    source_restarted(PgVersion::V17).await;
}

/// How often a connection is cut.
const CUTS: u32 = 12;

/// Connections to the source break anywhere: inside a message, a copied row, an event or a login.
async fn source_cut_at_random<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let seed = seed();
    let mut random = random::generator(seed);
    let source: Kind<'_> = source.into();
    let proxy = Proxy::start(source.port()).await;
    let url = |database: &str| format!("{}{}/{database}", address(source), proxy.port());
    let scene = Scene::new(source, target, ROWS, 200, Some(&url)).await;
    let jobs = scene.start();
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    for _ in 0..CUTS {
        proxy.cut_after_bytes(random.random_range(1..120_000));
        wait::until(LIMIT, "the cut", async || !proxy.cut_pending()).await;
    }
    writers.stop().await;
    let log = scene.ended_well(jobs).await;
    assert!(log.contains(WAITS), "the job says that it waits: {log}");
}

/// Connections to the target break, also while a commit is being answered.
async fn target_cut_at_random<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let seed = seed();
    let mut random = random::generator(seed);
    let target: Kind<'_> = target.into();
    let scene = Scene::new(source, target, ROWS, 200, None).await;
    let proxy = Proxy::start(target.port()).await;
    for job in [&scene.mirror_job, &scene.log_job] {
        through(job, target, &proxy);
    }
    let jobs = scene.start();
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    for _ in 0..CUTS {
        // Answers of a target are short.
        proxy.cut_after_bytes(random.random_range(1..3_000));
        wait::until(LIMIT, "the cut", async || !proxy.cut_pending()).await;
    }
    writers.stop().await;
    let log = scene.ended_well(jobs).await;
    assert!(log.contains(WAITS), "the job says that it waits: {log}");
}

/// What a url of such a server begins with, up to the port.
fn address(server: Kind<'_>) -> &'static str {
    match server {
        Kind::MySql(_) => "jdbc:mysql://127.0.0.1:",
        Kind::Postgres(_) => "jdbc:postgresql://127.0.0.1:",
    }
}

/// Lets the sink of a job reach its server through the proxy.
fn through(job: &TestJob, server: Kind<'_>, proxy: &Proxy) {
    let text = std::fs::read_to_string(&job.file).expect("the job file is there");
    let (source, sink) = text.split_at(text.find("sink {").expect("it has a sink"));
    let sink = sink.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    job.rewrite(&format!("{source}{sink}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_cut_at_random_on_15() {
    let server = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    source_cut_at_random(&server, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_cut_at_random_on_17() {
    let server = Postgres::start(PgVersion::V17, PgOptions::default()).await;
    source_cut_at_random(&server, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_cut_at_random_from_mysql_to_postgres() {
    source_cut_at_random(shared(Flavor::MySql).await, postgres_shared(PgVersion::V15).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_cut_at_random_from_postgres_to_mysql() {
    source_cut_at_random(postgres_shared(PgVersion::V17).await, shared(Flavor::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_cut_at_random_on_15() {
    let server = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    target_cut_at_random(&server, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_cut_at_random_on_17() {
    let server = Postgres::start(PgVersion::V17, PgOptions::default()).await;
    target_cut_at_random(&server, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_cut_at_random_from_mariadb_to_postgres() {
    target_cut_at_random(shared(Flavor::MariaDb).await, postgres_shared(PgVersion::V17).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_cut_at_random_from_postgres_to_mariadb() {
    target_cut_at_random(postgres_shared(PgVersion::V15).await, shared(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_cut_at_random_from_mysql_to_mariadb() {
    let (source, target) = (shared(Flavor::MySql).await, shared(Flavor::MariaDb).await);
    source_cut_at_random(source, target).await;
    target_cut_at_random(source, target).await;
}

async fn target_down<'a>(target: impl Into<Kind<'a>>, kill: impl AsyncFnOnce(), restart: impl AsyncFnOnce()) {
    let seed = seed();
    let server = Postgres::start(PgVersion::V17, PgOptions::default()).await;
    let target: Kind<'_> = target.into();
    let scene = Scene::new(&server, target, ROWS, 500, None).await;
    let jobs = scene.started().await;
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    writers.more(20).await;
    kill().await;
    for job in [&jobs.mirror, &jobs.log] {
        job.until_said(WAITS).await;
    }
    writers.more(100).await;
    restart().await;
    writers.stop().await;
    scene.ended_well(jobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_postgres_down() {
    let target = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    target_down(&target, async || target.kill9(), async || target.restart().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_mariadb_down() {
    let target = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    target_down(&target, async || target.kill(), async || target.restart().await).await;
}

/// The source stands still with its connections open: the job can be stopped, and what it then did
/// not hear it hears later. (How a silent server is noticed is tested beside the log reader.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_source_keeps_nobody() {
    for (source, target) in [(PgVersion::V15, PgVersion::V17), (PgVersion::V17, PgVersion::V15)] {
        frozen_source(source, target).await;
    }
}

async fn frozen_source(source: PgVersion, target: PgVersion) {
    let server = Postgres::start(source, PgOptions::default()).await;
    let target = Postgres::start(target, PgOptions::default()).await;
    let scene = Scene::new(&server, &target, 100, 500, None).await;
    let jobs = scene.started().await;
    scene.source.run(&["INSERT INTO item VALUES (1, 1, 'one', NULL, NULL)"]).await;
    server.freeze();
    jobs.log.stop();
    server.thaw();
    let jobs = Jobs { mirror: jobs.mirror, log: scene.log_job.start() };
    scene.ended_well(jobs).await;
}

/// A quiet job answers its server, which would else end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_job_is_not_ended_by_its_server() {
    let options = PgOptions { wal_sender_timeout: Some("1s".into()), ..PgOptions::default() };
    let server = Postgres::start(PgVersion::V15, options).await;
    let scene = Scene::new(&server, &server, 100, 500, None).await;
    let jobs = scene.started().await;
    let backends = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_replication";
    let before = scene.source.value(backends).await;
    assert!(before.is_some(), "two jobs read the log");
    // Three times the server's patience; nothing is waited for.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.source.value(backends).await, before, "the same connections still read");
    let log = scene.ended_well(jobs).await;
    assert!(!log.contains(WAITS), "nothing failed: {log}");
}

/// An administrator ends the server's side of every connection of the job, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_terminated() {
    let seed = seed();
    let server = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    let target = Postgres::start(PgVersion::V17, PgOptions::default()).await;
    let scene = Scene::new(&server, &target, ROWS, 100, None).await;
    let jobs = scene.start();
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    for round in 0..6 {
        let senders = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_replication";
        wait::until(LIMIT, "a log reader to terminate", async || {
            scene.source.value(senders).await.as_deref() == Some("t")
        })
        .await;
        writers.more(20 * round).await;
    }
    writers.stop().await;
    let log = scene.ended_well(jobs).await;
    assert!(log.contains(WAITS), "the job says that it waits: {log}");
}

/// Two runs of one job: one reads from the slot, the other one waits and says for whom; when the
/// first is gone it goes on where that one was, and nothing is twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_takes_over() {
    let seed = seed();
    let server = Postgres::start(PgVersion::V17, PgOptions::default()).await;
    let scene = Scene::new(&server, &server, ROWS, 500, None).await;
    let jobs = scene.started().await;
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    writers.more(20).await;
    let other = TestJob {
        name: scene.log_job.name.clone(),
        file: scene.log_job.file.clone(),
        state: scene.log_job.state.with_extension("other"),
    };
    let holder = format!(
        "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'",
        JobSpec::slot(&scene.log_job.name)
    );
    let holder = scene.source.value(&holder).await.expect("the first one holds its slot");
    let second = other.start();
    second.until_said(&holder).await;
    writers.more(200).await;
    jobs.log.kill();
    writers.stop().await;
    scene.ended_well(Jobs { mirror: jobs.mirror, log: second }).await;
}

/// The state folder is a cache: lost or rolled back, the markers at the target put it right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_state_is_rebuilt_from_the_markers() {
    let seed = seed();
    let server = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    let scene = Scene::new(&server, &server, ROWS, 500, None).await;
    let jobs = scene.started().await;
    jobs.mirror.stop();
    jobs.log.stop();
    for round in 0..2 {
        let writers = Writers::start(&scene.source, 2, ROWS, seed + round).await;
        let jobs = scene.start();
        writers.more(100).await;
        jobs.mirror.kill();
        jobs.log.kill();
        writers.stop().await;
        for job in [&scene.mirror_job, &scene.log_job] {
            std::fs::remove_dir_all(&job.state).expect("the state is removed");
        }
    }
    let jobs = scene.start();
    let log = scene.ended_well(jobs).await;
    assert!(log.contains("commit marker"), "the job says where its state came from: {log}");
}

/// The target refuses writes for a while, as a server that became a replica does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_read_only_for_a_while() {
    for (source, target) in [(PgVersion::V15, PgVersion::V17), (PgVersion::V17, PgVersion::V15)] {
        target_read_only(source, target).await;
    }
}

async fn target_read_only(source: PgVersion, target: PgVersion) {
    let server = Postgres::start(source, PgOptions::default()).await;
    let target = Postgres::start(target, PgOptions::default()).await;
    let scene = Scene::new(&server, &target, 100, 500, None).await;
    let jobs = scene.started().await;
    let set = |on: &str| format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
    target.execute("postgres", &[&set("on"), "SELECT pg_reload_conf()"]).await;
    scene.source.run(&["INSERT INTO item VALUES (1, 1, 'one', NULL, NULL)"]).await;
    jobs.mirror.until_said(WAITS).await;
    let writable = "SET default_transaction_read_only = off";
    let client = target.client("postgres").await;
    for statement in [writable, &set("off"), "SELECT pg_reload_conf()"] {
        client.batch_execute(statement).await.expect("the setting goes back");
    }
    until(&scene.mirror, "SELECT COUNT(*) FROM item WHERE id = 1", "1", &jobs.mirror).await;
    scene.ended_well(jobs).await;
}
