//! Tables come into being while others are written, by transactions of every length, and the job dies
//! again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use culvert_api::SourceEvent;
use culvert_tests::{Postgres, postgres_both, random, seed};
use rand::Rng;
use rand::rngs::StdRng;

use super::mirror::Ended;
use super::{Fate, Mirror, columns, rows, source};

const WRITERS: usize = 3;
/// Tables that each writer makes, and transactions on any table in between.
const TABLES: usize = 4;
const TRANSACTIONS: u32 = 40;
const CRASHES: u32 = 6;

fn statement(rng: &mut StdRng, table: &str) -> String {
    let id = rng.random_range(0..400);
    match rng.random_range(0..4) {
        0 => format!("DELETE FROM {table} WHERE id = {id}"),
        1 => format!("UPDATE {table} SET v = v + 1 WHERE id BETWEEN {id} AND {id} + 5"),
        2 => format!("UPDATE {table} SET id = id + 1000 WHERE id = {id}"),
        _ => format!("INSERT INTO {table} VALUES ({id}, 0) ON CONFLICT (id) DO UPDATE SET v = {table}.v + 1"),
    }
}

/// Makes tables, in a transaction with their first rows or without, and writes to every table there is,
/// now and then in a transaction that takes its time.
async fn write(server: &'static Postgres, database: String, seed: u64, number: usize) {
    let mut rng = random::generator(seed + number as u64);
    let client = server.client(&database).await;
    let mut tables = vec!["by_old".to_owned()];
    for made in 0..TABLES {
        let name = format!("by_{number}_{made}");
        let create = format!("CREATE TABLE {name} (id int PRIMARY KEY, v int NOT NULL)");
        let fill = format!("INSERT INTO {name} SELECT g, 0 FROM generate_series(1, 300) g");
        let texts = match rng.random_bool(0.5) {
            true => vec![format!("BEGIN; {create}; {fill}; SELECT pg_sleep(0.1); COMMIT")],
            false => vec![create, fill],
        };
        for text in texts {
            client.batch_execute(&text).await.unwrap();
        }
        tables.push(name);
        for _ in 0..TRANSACTIONS {
            let others = client.query(
                "SELECT relname::text FROM pg_class WHERE relname LIKE 'by\\__\\__' AND relkind = 'r'",
                &[],
            );
            for row in others.await.unwrap() {
                let name: String = row.get(0);
                if !tables.contains(&name) {
                    tables.push(name);
                }
            }
            client.batch_execute("BEGIN").await.unwrap();
            let mut well = true;
            for _ in 0..rng.random_range(1..5) {
                let table = &tables[rng.random_range(0..tables.len())];
                let sleep = if rng.random_bool(0.15) { "; SELECT pg_sleep(0.15)" } else { "" };
                let text = format!("{}{sleep}", statement(&mut rng, table));
                // Deadlocks and keys that are taken belong to the game.
                well = well && client.batch_execute(&text).await.is_ok();
            }
            client.batch_execute(if well { "COMMIT" } else { "ROLLBACK" }).await.unwrap();
        }
    }
}

async fn tables_under_fire(server: &'static Postgres) {
    let database = server.fresh_database("fire").await;
    server.execute(&database, &["CREATE TABLE by_old (id int PRIMARY KEY, v int NOT NULL)"]).await;
    let seed = seed();
    let pairs = [("snapshot.split.size", "50"), ("table.discovery.interval", "50")];
    let mut mirror = Mirror::new(source(server, &database, &["public.by_.*"], &pairs), &database);
    let done = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (database, done) = (database.clone(), Arc::clone(&done));
        async move {
            let writers: Vec<_> = (0..WRITERS)
                .map(|number| tokio::spawn(write(server, database.clone(), seed, number)))
                .collect();
            for writer in writers {
                writer.await.unwrap();
            }
            done.store(true, Relaxed);
        }
    });
    let mut names: Vec<String> =
        (0..WRITERS * TABLES).map(|at| format!("by_{}_{}", at / TABLES, at % TABLES)).collect();
    names.push("by_old".into());
    let full = |name: &str| format!("{database}.public.{name}");
    let mut rng = random::generator(seed ^ 1);
    let (mut crashes, mut joins) = (0, 0);
    loop {
        let crash_at = (crashes < CRASHES).then(|| rng.random_range(1..400));
        let mut events = 0;
        let ended = mirror.run(|mirror, event| {
            events += 1;
            if crash_at == Some(events) {
                return Fate::Crash;
            }
            let all = || names.iter().all(|name| mirror.knows(&full(name)));
            let streams = mirror.progress.phase() == culvert_api::Phase::Stream;
            if matches!(event, SourceEvent::Idle) && streams && done.load(Relaxed) && all() {
                return Fate::Stop;
            }
            if events % 7 == 0 { Fate::Checkpoint } else { Fate::On }
        });
        match ended.await {
            Err(error) if error.to_string().contains("new tables join") => joins += 1,
            Err(error) => panic!("{error}"),
            Ok(Ended::Crashed) => crashes += 1,
            Ok(Ended::Stopped | Ended::Finished) => break,
        }
    }
    writing.await.unwrap();
    // What came while it stopped.
    mirror.catch_up(server, &database).await.unwrap();
    assert!(joins > 0, "no attempt ended for a new table; {crashes} crashes");
    for name in names {
        let found = columns(&mirror.table(&full(&name)), &["id", "v"]);
        assert_eq!(found, rows(server, &database, &format!("SELECT id, v FROM {name}")).await, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tables_under_fire_are_what_they_are_at_the_source() {
    postgres_both(async |server| tables_under_fire(server).await).await;
}
