//! The log that the server has to keep: an idle table pins none of it.

use culvert_tests::{Database, PgOptions, postgres_both_with, wait};

use super::job::{JobSpec, LIMIT, until, until_rows};

/// Bytes written elsewhere, in all, and what may be retained of them in the end.
const ROUNDS: u64 = 6;
const RETAINED_MAX: u64 = 40 << 20;

/// Somebody writes into another table and another database while the captured table rests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_table_pins_no_log() {
    // The server tells a reader of quiet tables its place every half of this time.
    let options = PgOptions { wal_sender_timeout: Some("2s".into()), ..PgOptions::default() };
    let options = options.setting("max_wal_size", "64MB");
    postgres_both_with(options, async |server| {
        let source = Database::fresh(&server, "idle").await;
        let target = Database::fresh(&server, "copy").await;
        let other = Database::fresh(&server, "busy").await;
        source.run(&["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        for database in [&source, &other] {
            database.run(&["CREATE TABLE busy (a text)"]).await;
        }
        let name = format!("idle {}", server.port());
        let job = JobSpec::mirror(&name, &source, &["t"], &target).ready().start();
        until_rows(&target, "t", 1, &job).await;
        let slot = JobSpec::slot(&name);
        let position = |column: &str| {
            format!(
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), {column})::bigint FROM pg_replication_slots \
                 WHERE slot_name = '{slot}'"
            )
        };
        let begun = source.value("SELECT pg_current_wal_lsn()").await.expect("a place");
        for _ in 0..ROUNDS {
            let fill = "INSERT INTO busy SELECT repeat(md5(n::text), 30) FROM generate_series(1, 11000) n";
            source.run(&[fill, "TRUNCATE busy"]).await;
            // The place a slot may restart from moves where the server has noted who is running.
            other.run(&[fill, "TRUNCATE busy", "CHECKPOINT"]).await;
        }
        let written = format!("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{begun}')::bigint");
        let written: u64 = source.value(&written).await.and_then(|n| n.parse().ok()).expect("a number");
        assert!(written > 3 * RETAINED_MAX, "only {written} bytes were written");
        for column in ["confirmed_flush_lsn", "restart_lsn"] {
            wait::until_ok(LIMIT, &format!("{column} to follow"), async || {
                job.assert_running();
                source.run(&["CHECKPOINT"]).await;
                let behind = source.value(&position(column)).await.unwrap_or_default();
                match behind.parse::<u64>() {
                    Ok(bytes) if bytes <= RETAINED_MAX => Ok(()),
                    _ => Err(format!("{behind} bytes behind")),
                }
            })
            .await;
        }
        // It did not go past what the job still needs.
        source.run(&["INSERT INTO t VALUES (2)"]).await;
        until(&target, "SELECT count(*) FROM t", "2", &job).await;
        job.stop();
    })
    .await;
}
