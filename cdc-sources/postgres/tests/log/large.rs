//! A transaction of a million rows in little memory.
//!
//! Memory is that of a process, so the reading runs in one of its own: the test starts its own
//! binary again, for itself alone, and the child finds the server in its environment.

use std::time::Instant;

use culvert_config::{JdbcUrl, Secret};
use culvert_postgres::Endpoint;
use culvert_source_postgres::log::{LogItem, LogOptions, LogStream, Lsn};
use culvert_tests::postgres::{PASSWORD, USER};
use culvert_tests::{PgOptions, PgVersion, Postgres};

use super::{PATIENCE, Scene};

const ROWS: usize = 1_000_000;
/// What the child may take at its peak, everything included: a queue of 16 MiB, a budget of 8 MiB,
/// and the program itself.
const PEAK_KIB_MAX: usize = 96 << 10;
/// Where the child finds the server: version, url, slot.
const SERVER: &str = "CULVERT_TEST_LOG_SERVER";
const NAME: &str = "log::large::a_million_rows_in_one_transaction_take_little_memory";

#[test]
fn a_million_rows_in_one_transaction_take_little_memory() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::var(SERVER) {
        Ok(server) => runtime.block_on(read(&server)),
        Err(_) => runtime.block_on(async {
            for version in PgVersion::ALL {
                let options =
                    PgOptions { logical_decoding_work_mem: Some("1MB".into()), ..PgOptions::default() };
                let server = Postgres::start(version, options).await;
                start_reader(&server).await;
            }
        }),
    }
}

async fn start_reader(server: &Postgres) {
    let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY, v text)"]).await;
    scene
        .execute(&[&format!("INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, {ROWS}) g")])
        .await;
    for streaming in [true, false] {
        let version = server.version().number() * 10_000;
        let place = format!("{version} {} {} {streaming}", server.url(&scene.database), scene.database);
        let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture"]).env(SERVER, place).kill_on_drop(true);
        let status = tokio::time::timeout(PATIENCE * 3, command.status()).await.expect("a reader in time");
        assert!(status.unwrap().success());
        super::until_free(&scene).await;
    }
}

async fn read(server: &str) {
    let [version, url, slot, streaming] = server.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{SERVER} is `{server}`")
    };
    let url = JdbcUrl::parse(url).unwrap();
    let endpoint = Endpoint::new(&url, USER, Secret::new(PASSWORD), PATIENCE).unwrap();
    let options = LogOptions {
        slot: slot.into(),
        publication: "p".into(),
        start: Lsn(0),
        binary: false,
        streaming: streaming == "true",
        messages: false,
        origin_none: false,
        spill_folder: None,
        spill_bytes_max: 8 << 20,
        server_version: version.parse().unwrap(),
    };
    let begun = Instant::now();
    let mut stream = LogStream::open(&endpoint, options).await.unwrap();
    let mut count = 0;
    loop {
        match stream.next().await.unwrap() {
            LogItem::Insert { new, .. } => {
                assert_eq!(new.columns().filter(|value| value.is_ok()).count(), 2);
                count += 1;
            }
            LogItem::Commit { .. } => break,
            _ => {}
        }
    }
    assert_eq!(count, ROWS);
    let peak = peak_kib();
    eprintln!(
        "{count} rows from {version}, streaming {streaming}: {:.1} s, {} MiB received, peak {} MiB",
        begun.elapsed().as_secs_f64(),
        stream.bytes() >> 20,
        peak >> 10
    );
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

/// The largest resident size of this process so far.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
