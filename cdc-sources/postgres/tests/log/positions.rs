//! What is acknowledged, and where a stream goes on.

use std::time::Duration;

use culvert_source_postgres::log::{LogItem, LogOptions, Lsn};
use culvert_tests::{PgOptions, PgVersion, Postgres, postgres_both, wait};

use super::{PATIENCE, Scene, next, until, until_free};

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_moves_to_what_was_acknowledged_and_no_further() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
        let before = scene.slot("confirmed_flush_lsn").await;
        let mut stream = scene.open().await;
        scene.execute(&["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"]).await;
        let items = until(&mut stream, scene.head().await).await;
        let ends: Vec<Lsn> = items
            .iter()
            .filter_map(|item| match item {
                LogItem::Commit { end_lsn, .. } => Some(*end_lsn),
                _ => None,
            })
            .collect();
        assert_eq!(ends.len(), 2);
        // Everything was received and reported as such; the slot has not moved.
        let received = format!(
            "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
             WHERE s.slot_name = '{}' AND r.write_lsn >= '{}'",
            scene.database, ends[1]
        );
        stream.request_position();
        wait::until(PATIENCE, "a report", async || scene.value(&received).await == "1").await;
        assert_eq!(scene.slot("confirmed_flush_lsn").await, before);
        stream.acknowledge(ends[0]);
        let moved = format!("{}", ends[0]);
        wait::until(PATIENCE, "the slot", async || scene.slot("confirmed_flush_lsn").await == moved).await;
        stream.close().await;
        assert_eq!(scene.slot("active").await, "false");
        assert_eq!(scene.slot("confirmed_flush_lsn").await, moved);

        // The rest comes again, also when an older place is asked for.
        let mut stream = scene.open_with(LogOptions { start: Lsn(0), ..scene.options() }).await;
        let again = until(&mut stream, scene.head().await).await;
        let count = again.iter().filter(|item| matches!(item, LogItem::Insert { .. })).count();
        assert_eq!(count, 1);
        drop(stream);
        until_free(&scene).await;
        let mut stream = scene.open_with(LogOptions { start: ends[1], ..scene.options() }).await;
        let again = until(&mut stream, scene.head().await).await;
        assert!(!again.iter().any(|item| matches!(item, LogItem::Insert { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_move_without_transactions_of_ours() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
        scene.execute(&["DROP PUBLICATION p", "CREATE PUBLICATION p FOR TABLE t"]).await;
        scene.execute(&[&format!("SELECT pg_drop_replication_slot('{}')", scene.database)]).await;
        scene.create_slot(false).await;
        let mut stream = scene.open().await;
        scene
            .execute(&["CREATE TABLE other (id int)", "INSERT INTO other SELECT generate_series(1, 1000)"])
            .await;
        let head = scene.head().await;
        let items = until(&mut stream, head).await;
        assert!(items.iter().all(|item| !matches!(item, LogItem::Insert { .. })));
        stream.acknowledge(head);
        let last = items.last().cloned();
        let Some(LogItem::Position(lsn) | LogItem::Commit { end_lsn: lsn, .. }) = last else {
            panic!("{last:?}")
        };
        assert!(lsn >= head && stream.head() >= head && stream.bytes() > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_pauses_keeps_its_connection() {
    let options = PgOptions { wal_sender_timeout: Some("2s".into()), ..PgOptions::default() };
    let paused = async |version: PgVersion| {
        let server = Postgres::start(version, options.clone()).await;
        let scene = Scene::new(&server, &["CREATE TABLE t (id int PRIMARY KEY, v text)"]).await;
        let options = LogOptions { streaming: false, ..scene.options() };
        let mut stream = scene.open_with(options).await;
        // Far more than queue and sockets hold: the server waits in the middle of sending.
        scene.execute(&["INSERT INTO t SELECT g, repeat('x', 1500) FROM generate_series(1, 100000) g"]).await;
        let first = next(&mut stream).await;
        let pid = scene.slot("active_pid").await;
        // A pause is what is tested: five times the server's patience.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(scene.slot("active_pid").await, pid);
        let mut items = vec![first];
        items.extend(until(&mut stream, scene.head().await).await);
        assert_eq!(items.iter().filter(|item| matches!(item, LogItem::Insert { .. })).count(), 100000);
        assert_eq!(scene.slot("active_pid").await, pid);
    };
    tokio::join!(paused(PgVersion::V15), paused(PgVersion::V17));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_closed_in_the_middle_of_a_transaction_frees_its_slot() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY, v text)"]).await;
        scene.execute(&["INSERT INTO t SELECT g, repeat('x', 1500) FROM generate_series(1, 100000) g"]).await;
        for _ in 0..3 {
            let options = LogOptions { streaming: false, ..scene.options() };
            let mut stream = scene.open_with(options).await;
            while !matches!(next(&mut stream).await, LogItem::Insert { .. }) {}
            stream.close().await;
            assert_eq!(scene.slot("active").await, "false");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_waits_only_for_acknowledgements() {
    for version in PgVersion::ALL {
        let server = Postgres::start(version, PgOptions::default()).await;
        let scene = Scene::new(&server, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
        let mut stream = scene.open().await;
        scene.execute(&["INSERT INTO t VALUES (1)"]).await;
        let acknowledging = async {
            loop {
                match stream.next().await {
                    Ok(LogItem::Position(lsn) | LogItem::Commit { end_lsn: lsn, .. }) => {
                        stream.acknowledge(lsn)
                    }
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        };
        let ((), error) = tokio::join!(server.stop(), acknowledging);
        assert_eq!(error.class(), culvert_api::ErrorClass::Transient, "{error}");
    }
}
