//! Connections that break, slots that are taken or gone.

use culvert_api::{ErrorClass, ErrorKind};
use culvert_source_postgres::log::{LogItem, LogOptions, LogStream, Lsn};
use culvert_tests::{PgOptions, Proxy, postgres_both, postgres_both_with, wait};

use super::replica::Replica;
use super::{PATIENCE, Scene, endpoint, failure, next, until, until_free};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sender_is_a_transient_failure_and_nothing_is_lost() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY, v text)"]).await;
        let options = LogOptions { streaming: false, ..scene.options() };
        let mut stream = scene.open_with(options).await;
        scene.execute(&["INSERT INTO t SELECT g, repeat('x', 1500) FROM generate_series(1, 100000) g"]).await;
        while !matches!(next(&mut stream).await, LogItem::Begin { .. }) {}
        let pid = scene.slot("active_pid").await;
        scene.execute(&[&format!("SELECT pg_terminate_backend({pid}, 30000)")]).await;
        let (error, count) = failure(&mut stream).await;
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        assert!(count < 100000, "{count} items had come: {error}");
        until_free(&scene).await;
        let mut stream = scene.open().await;
        let mut replica = Replica::default();
        until(&mut stream, scene.head().await).await.iter().for_each(|item| replica.apply(item));
        replica.assert_same(&scene, "t").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_a_transient_failure() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY, v text)"]).await;
        let proxy = Proxy::start(server.port()).await;
        let url = format!("jdbc:postgresql://127.0.0.1:{}/{}", proxy.port(), scene.database);
        let endpoint = endpoint(&url, "sslmode=disable", culvert_tests::postgres::USER);
        let mut stream = LogStream::open(&endpoint, scene.options()).await.unwrap();
        proxy.cut_after_bytes(1 << 20);
        scene.execute(&["INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g"]).await;
        let (error, _) = failure(&mut stream).await;
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        until_free(&scene).await;
        let mut stream = LogStream::open(&endpoint, scene.options()).await.unwrap();
        let items = until(&mut stream, scene.head().await).await;
        assert_eq!(items.iter().filter(|item| matches!(item, LogItem::Insert { .. })).count(), 5000);
        proxy.refuse(true).await;
        drop(stream);
        let error = LogStream::open(&endpoint, scene.options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_and_publications_that_are_not_there_or_taken() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
        let held = scene.open().await;
        let open =
            async |options: LogOptions| LogStream::open(&scene.endpoint("sslmode=disable"), options).await;
        let error = open(scene.options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(&scene.slot("active_pid").await), "{error}");
        held.close().await;

        let error = open(LogOptions { slot: "nobodys".into(), ..scene.options() }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
        assert!(error.to_string().contains("nobodys"), "{error}");

        // The server looks for the publication only when there is something to publish.
        scene.execute(&["INSERT INTO t VALUES (1)"]).await;
        let mut stream =
            open(LogOptions { publication: "nobody's".into(), ..scene.options() }).await.unwrap();
        let (error, _) = failure(&mut stream).await;
        assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("publication")), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_fell_behind_says_the_way_out() {
    let options = PgOptions::default()
        .setting("max_slot_wal_keep_size", "1MB")
        .setting("max_wal_size", "32MB")
        .setting("min_wal_size", "32MB");
    postgres_both_with(options, async |server| {
        let scene = Scene::new(&server, &["CREATE TABLE t (id int PRIMARY KEY, v text)"]).await;
        let start = scene.head().await;
        wait::until(PATIENCE, "the slot to be lost", async || {
            scene
                .execute(&[
                    "SELECT pg_switch_wal()",
                    "TRUNCATE t",
                    "INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g",
                    "CHECKPOINT",
                ])
                .await;
            scene.slot("wal_status").await == "lost"
        })
        .await;
        let options = LogOptions { start, ..scene.options() };
        let error = LogStream::open(&scene.endpoint("sslmode=disable"), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LogGone, "{error}");
        assert!(error.to_string().contains(&scene.database), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_logical_log_says_what_to_set() {
    let options = PgOptions { wal_level: culvert_tests::WalLevel::Replica, ..PgOptions::default() };
    postgres_both_with(options, async |server| {
        let database = server.fresh_database("log").await;
        let scene = Scene { server: &server, database };
        let options = LogOptions { start: Lsn(0), ..scene.options() };
        let error = LogStream::open(&scene.endpoint("sslmode=disable"), options).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Operator, "{error}");
    })
    .await;
}
