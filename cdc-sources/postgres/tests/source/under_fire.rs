//! The snapshot runs while everything is written to, and the job dies again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use culvert_api::SourceEvent;
use culvert_tests::{Postgres, postgres_both, random, seed};
use rand::Rng;
use rand::rngs::StdRng;

use super::mirror::{Ended, Row};
use super::{Fate, Mirror, source};

/// Rows a table begins with.
const ROWS: i64 = 1500;
const WRITERS: usize = 4;
/// Transactions of each writer.
const TRANSACTIONS: u32 = 150;

/// Tables with keys of every kind that chunks are cut by, or not; the expression makes the key from a
/// number.
const TABLES: &[(&str, &str, &str, bool)] = &[
    ("by_int", "id int PRIMARY KEY", "%", false),
    ("by_int_full", "id bigint PRIMARY KEY", "%", true),
    ("by_text", "id text PRIMARY KEY", "'k' || %", false),
    ("by_uuid", "id uuid PRIMARY KEY", "md5(%::text)::uuid", true),
    ("by_numeric", "id numeric PRIMARY KEY", "(% / 7.0)::numeric(20,5)", false),
    ("by_two", "a int, id timestamptz, PRIMARY KEY (a, id)", "to_timestamp(%)", false),
    ("by_float", "id float8 PRIMARY KEY", "% / 3.0::float8", true),
    ("by_bytea", "id bytea PRIMARY KEY", "decode(md5(%::text), 'hex')", false),
    ("by_none", "id int", "%", true),
];

fn key(table: &str, number: i64) -> String {
    let (_, _, expression, _) = TABLES.iter().find(|(name, ..)| *name == table).unwrap();
    expression.replace('%', &number.to_string())
}

async fn make_tables(server: &Postgres, database: &str) {
    for (name, columns, expression, full) in TABLES {
        let a = if *name == "by_two" { "g % 3, " } else { "" };
        let key = expression.replace('%', "g");
        let statements = [
            format!("CREATE TABLE {name} ({columns}, v int NOT NULL, t text, n numeric(12,3))"),
            format!(
                "INSERT INTO {name} SELECT {a}{key}, 0, 'row ' || g, g / 8.0 FROM generate_series(1, {ROWS}) g"
            ),
            format!("ALTER TABLE {name} REPLICA IDENTITY {}", if *full { "FULL" } else { "DEFAULT" }),
        ];
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        server.execute(database, &statements).await;
    }
}

/// One statement on a random row of a random table.
fn statement(rng: &mut StdRng) -> String {
    let (table, ..) = TABLES[rng.random_range(0..TABLES.len())];
    let number = rng.random_range(1..ROWS * 2);
    let other = rng.random_range(1..ROWS * 2);
    let (id, other_id) = (key(table, number), key(table, other));
    let value: i32 = rng.random_range(0..1_000_000);
    let a = if table == "by_two" { format!("{}, ", number % 3) } else { String::new() };
    let on_conflict = if table == "by_none" { "" } else { " ON CONFLICT DO NOTHING" };
    match rng.random_range(0..10) {
        0..3 => format!("INSERT INTO {table} VALUES ({a}{id}, {value}, 'new', {value} / 8.0){on_conflict}"),
        3..7 => format!("UPDATE {table} SET v = {value}, t = repeat('x', {}) WHERE id = {id}", value % 50),
        7 => format!("DELETE FROM {table} WHERE id = {id}"),
        // A new key, unless somebody has it.
        8 if table != "by_none" => format!(
            "UPDATE {table} SET id = {other_id} WHERE id = {id} AND NOT EXISTS (SELECT 1 FROM {table} WHERE id = {other_id})"
        ),
        _ => format!("UPDATE {table} SET t = NULL WHERE v % 97 = {}", value % 97),
    }
}

/// Writes in transactions of several statements, some of them long, some rolled back, in whole or to
/// a savepoint, some prepared first.
async fn write(server: &'static Postgres, database: String, seed: u64, number: usize) {
    let mut rng = random::generator(seed + number as u64);
    let client = server.client(&database).await;
    for transaction in 0..TRANSACTIONS {
        let mut text = "BEGIN;".to_owned();
        for _ in 0..rng.random_range(1..6) {
            text.push_str(&statement(&mut rng));
            text.push(';');
            if rng.random_bool(0.2) {
                text.push_str(&format!("SAVEPOINT s; {}; ROLLBACK TO s;", statement(&mut rng)));
            }
            if rng.random_bool(0.1) {
                text.push_str("SELECT pg_sleep(0.02);");
            }
        }
        let gid = format!("{database}-{number}-{transaction}");
        text.push_str(&match rng.random_range(0..20) {
            0 => "ROLLBACK".to_owned(),
            1 => format!("PREPARE TRANSACTION '{gid}'; SELECT pg_sleep(0.01); COMMIT PREPARED '{gid}'"),
            2 => format!("PREPARE TRANSACTION '{gid}'; ROLLBACK PREPARED '{gid}'"),
            _ => "COMMIT".to_owned(),
        });
        // Deadlocks and keys that are taken end a transaction; the next one is another.
        for part in text.split("; ").flat_map(|part| part.split_inclusive(';')) {
            if client.batch_execute(part).await.is_err() {
                client.batch_execute("ROLLBACK").await.unwrap();
                break;
            }
        }
    }
}

/// The rows of a table as the mirror has them.
async fn rows_of(server: &Postgres, database: &str, table: &str) -> Vec<Row> {
    let client = server.client(database).await;
    client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
    let names: Vec<String> = culvert_tests::oracle::postgres::columns(&client, table).await;
    let list: Vec<String> = names
        .iter()
        .map(|name| match (table, name.as_str()) {
            // As Arrow counts them.
            ("by_two", "id") => "(extract(epoch FROM id) * 1000000)::bigint".to_owned(),
            _ => name.clone(),
        })
        .collect();
    let query = format!("SELECT {} FROM {table}", list.join(", "));
    let rows = culvert_tests::oracle::postgres::rows(&client, &query).await;
    let mut rows: Vec<Row> = rows.into_iter().map(|row| names.iter().cloned().zip(row).collect()).collect();
    rows.sort();
    rows
}

async fn under_fire(server: &'static Postgres, crash_in: Option<(u32, u32)>) {
    let database = server.fresh_database("fire").await;
    make_tables(server, &database).await;
    let seed = seed();
    let pairs = [("snapshot.split.size", "40"), ("snapshot.parallelism", "3")];
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
    let mut rng = random::generator(seed ^ 1);
    let mut crashes = 0;
    loop {
        let times = crash_in.map_or(0, |(_, times)| times);
        let crash_at = crash_in.filter(|_| crashes < times).map(|(most, _)| rng.random_range(1..most));
        let mut events = 0;
        let ended = mirror.run(|mirror, event| {
            events += 1;
            if crash_at == Some(events) {
                return Fate::Crash;
            }
            if matches!(event, SourceEvent::Idle) {
                let all = mirror.progress.phase() == culvert_api::Phase::Stream;
                return if all && done.load(Relaxed) && crash_at.is_none() { Fate::Stop } else { Fate::On };
            }
            if events % 7 == 0 { Fate::Checkpoint } else { Fate::On }
        });
        match ended.await.unwrap() {
            Ended::Crashed => crashes += 1,
            Ended::Stopped | Ended::Finished => break,
        }
    }
    writing.await.unwrap();
    // What came while it stopped.
    mirror.catch_up(server, &database).await.unwrap();
    assert_eq!(crashes, crash_in.map_or(0, |(_, times)| times));
    for (table, ..) in TABLES {
        let (found, expected) =
            (mirror.table(&format!("{database}.public.{table}")), rows_of(server, &database, table).await);
        assert_eq!(found.len(), expected.len(), "{table}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_fire_is_what_the_tables_are() {
    postgres_both(async |server| under_fire(server, None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_fire_survives_any_number_of_crashes() {
    postgres_both(async |server| under_fire(server, Some((60, 20))).await).await;
}
