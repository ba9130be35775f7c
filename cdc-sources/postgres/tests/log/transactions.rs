//! What a transaction is: streamed while open, prepared, rolled back in part, or plain.

use culvert_api::ErrorKind;
use culvert_source_postgres::log::{LogItem, LogOptions, LogStream, Value};
use culvert_tests::{PgOptions, PgVersion, Postgres, postgres_both, postgres_both_with};

use super::replica::Replica;
use super::{Scene, failure, next, until};

/// Writers and their rounds; each round writes some hundred rows, more than the server keeps in
/// memory for all of them.
const WRITERS: usize = 3;
const ROUNDS: usize = 12;

/// One writer: large rounds in one transaction, some rolled back to a savepoint, nested ones, changes
/// of key, deletes, and a table changed in the middle.
fn round(writer: usize, round: usize) -> String {
    let from = (writer * 1_000_000) + round * 1_000;
    let to = from + 400;
    let insert = format!(
        "INSERT INTO t SELECT g, '{writer}/{round}', repeat('x', (g % 300)::int) FROM generate_series({from}, {to}) g;"
    );
    let touch = format!(
        "UPDATE t SET v = v || '!' WHERE id BETWEEN {from} AND {to} AND id % 3 = 0;
         DELETE FROM t WHERE id BETWEEN {from} AND {to} AND id % 5 = 0;
         UPDATE t SET id = id + 500 WHERE id BETWEEN {from} AND {from} + 20;"
    );
    let (a, b) = (format!("a{round}"), format!("b{round}"));
    match round % 4 {
        // Rolled back whole.
        0 => format!("SAVEPOINT {a}; {insert} {touch} ROLLBACK TO {a}; {insert}"),
        // An inner one kept, inside an outer one that is rolled back.
        1 => format!("SAVEPOINT {a}; SAVEPOINT {b}; {insert} RELEASE {b}; {touch} ROLLBACK TO {a};"),
        // An inner one rolled back, inside an outer one that stays.
        2 => format!("SAVEPOINT {a}; {insert} SAVEPOINT {b}; {touch} ROLLBACK TO {b}; RELEASE {a};"),
        _ => format!("{insert} {touch}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_transactions_that_overlap_leave_the_table_as_it_is() {
    let options = PgOptions { logical_decoding_work_mem: Some("64kB".into()), ..PgOptions::default() };
    postgres_both_with(options, async |server| overlap(&server).await).await;
}

async fn overlap(server: &Postgres) {
    let scene = Scene::new(
        server,
        &[
            "CREATE TABLE t (id bigint PRIMARY KEY, w text, v text)",
            "CREATE TABLE u (id bigint PRIMARY KEY, v text)",
            "ALTER TABLE t REPLICA IDENTITY FULL",
        ],
    )
    .await;
    // Little enough that most of it goes to files.
    let options = LogOptions { spill_bytes_max: 100_000, ..scene.options() };
    let mut stream = scene.open_with(options).await;
    let mut clients = Vec::new();
    for _ in 0..=WRITERS {
        clients.push(server.client(&scene.database).await);
    }
    let rolled_back = clients.pop().unwrap();
    rolled_back.batch_execute("BEGIN").await.unwrap();
    for client in &clients {
        client.batch_execute("BEGIN").await.unwrap();
    }
    for at in 0..ROUNDS {
        for (writer, client) in clients.iter().enumerate() {
            client.batch_execute(&round(writer, at)).await.unwrap();
        }
        rolled_back.batch_execute(&round(8, at)).await.unwrap();
        // Small ones in between, which come first; they also make the server look at the others.
        scene.execute(&[&format!("INSERT INTO u VALUES ({at}, 'small')")]).await;
    }
    rolled_back.batch_execute("ROLLBACK").await.unwrap();
    clients[1]
        .batch_execute("ALTER TABLE u ADD COLUMN w int; INSERT INTO u VALUES (-1, 'wide', 7); COMMIT")
        .await
        .unwrap();
    for writer in [2, 0] {
        clients[writer].batch_execute("COMMIT").await.unwrap();
    }
    scene.execute(&["INSERT INTO u VALUES (-2, 'last', 8)", "UPDATE u SET w = 1 WHERE w IS NULL"]).await;

    let streamed = scene.slot_streamed().await;
    let mut replica = Replica::default();
    for item in until(&mut stream, scene.head().await).await {
        // A column added later is NULL in rows of before.
        replica.apply(&item);
    }
    assert_eq!(replica.transactions, ROUNDS + WRITERS + 2);
    for table in ["t", "u"] {
        replica.assert_same(&scene, table).await;
    }
    let streamed = streamed.max(scene.slot_streamed().await);
    assert!(streamed >= 3, "the server streamed {streamed} transactions");
}

impl Scene<'_> {
    /// How many transactions the server has streamed for the slot.
    async fn slot_streamed(&self) -> usize {
        let query = format!(
            "SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = '{}'",
            self.database
        );
        self.value(&query).await.parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_comes_once_at_its_commit() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
        let mut stream = scene.open().await;
        let (kept, dropped) = (format!("kept {}", scene.database), format!("dropped {}", scene.database));
        scene
            .execute(&[
                &format!("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{kept}'"),
                &format!("BEGIN; INSERT INTO t VALUES (9); PREPARE TRANSACTION '{dropped}'"),
                "INSERT INTO t VALUES (2)",
            ])
            .await;
        let first = until(&mut stream, scene.head().await).await;
        // What is acknowledged now lies behind the PREPARE.
        let Some(LogItem::Position(head) | LogItem::Commit { end_lsn: head, .. }) = first.last() else {
            panic!("no position")
        };
        stream.acknowledge(*head);
        stream.close().await;
        scene
            .execute(&[&format!("COMMIT PREPARED '{kept}'"), &format!("ROLLBACK PREPARED '{dropped}'")])
            .await;
        let mut stream = scene.open_with(LogOptions { start: *head, ..scene.options() }).await;
        let second = until(&mut stream, scene.head().await).await;
        let mut replica = Replica::default();
        first.iter().for_each(|item| replica.apply(item));
        assert_eq!(replica.changes, 1);
        second.iter().for_each(|item| replica.apply(item));
        assert_eq!(replica.changes, 2);
        replica.assert_same(&scene, "t").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_decodes_at_prepare_is_refused() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
        scene.execute(&[&format!("SELECT pg_drop_replication_slot('{}')", scene.database)]).await;
        scene.create_slot(true).await;
        let mut stream = scene.open().await;
        let name = format!("refused {}", scene.database);
        scene.execute(&[&format!("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{name}'")]).await;
        let (error, _) = failure(&mut stream).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        scene.execute(&[&format!("ROLLBACK PREPARED '{name}'")]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_stands_in_a_transaction() {
    postgres_both(async |server| {
        let scene = Scene::new(
            server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY, v text)",
                "CREATE TABLE d (id int PRIMARY KEY, big text, n int)",
                "ALTER TABLE d ALTER COLUMN big SET STORAGE EXTERNAL",
                "INSERT INTO d VALUES (1, repeat('x', 100000), 1)",
            ],
        )
        .await;
        scene
            .execute(&[
                "BEGIN; INSERT INTO t VALUES (1, NULL); SELECT pg_logical_emit_message(true, 'in', 'a'); TRUNCATE t, d RESTART IDENTITY CASCADE; COMMIT",
                "SELECT pg_logical_emit_message(false, 'out', 'b')",
                "INSERT INTO d VALUES (1, repeat('x', 100000), 1)",
                "UPDATE d SET n = 2",
                "UPDATE d SET id = 2",
                "DELETE FROM d",
            ])
            .await;
        let mut stream = scene.open().await;
        let items = until(&mut stream, scene.head().await).await;
        let messages: Vec<(bool, &str, &[u8])> = items
            .iter()
            .filter_map(|item| match item {
                LogItem::Message { transactional, prefix, content, .. } => Some((*transactional, prefix.as_str(), &content[..])),
                _ => None,
            })
            .collect();
        assert_eq!(messages, [(true, "in", &b"a"[..]), (false, "out", b"b")]);
        let truncated = items.iter().find_map(|item| match item {
            LogItem::Truncate { relations, cascade, restart_identity } => Some((relations.len(), *cascade, *restart_identity)),
            _ => None,
        });
        assert_eq!(truncated, Some((2, true, true)));
        let updates: Vec<(bool, Option<bool>)> = items
            .iter()
            .filter_map(|item| match item {
                LogItem::Update { old, new, .. } => {
                    let big = new.columns().nth(1).unwrap().unwrap();
                    Some((matches!(big, Value::Unchanged), old.as_ref().map(|old| old.is_key_only)))
                }
                _ => None,
            })
            .collect();
        assert_eq!(updates, [(true, None), (true, Some(true))]);
        let deleted = items.iter().any(|item| matches!(item, LogItem::Delete { old, .. } if old.is_key_only));
        assert!(deleted);
        let mut xids = items.iter().filter_map(|item| match item {
            LogItem::Begin { xid, commit_lsn, commit_time_us } => Some((*xid, *commit_lsn, *commit_time_us)),
            _ => None,
        });
        let mut last = xids.next().unwrap();
        for (xid, lsn, time) in xids {
            assert!(xid > last.0 && lsn > last.1 && time >= last.2);
            last = (xid, lsn, time);
        }
        let now: f64 = scene.value("SELECT extract(epoch FROM now())").await.parse().unwrap();
        assert!((now - last.2 as f64 / 1e6).abs() < 3600.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_values_and_foreign_rows_as_asked() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &["CREATE TABLE t (id int PRIMARY KEY, v text)"]).await;
        let origin = format!("far {}", scene.database);
        scene
            .execute(&[
                &format!("SELECT pg_replication_origin_create('{origin}')"),
                &format!("SELECT pg_replication_origin_session_setup('{origin}')"),
                "INSERT INTO t VALUES (7, 'far')",
                "SELECT pg_replication_origin_session_reset()",
                "INSERT INTO t VALUES (258, 'near')",
            ])
            .await;
        for origin_none in [true, false] {
            let options = LogOptions { binary: true, origin_none, ..scene.options() };
            let mut stream = scene.open_with(options).await;
            let items = until(&mut stream, scene.head().await).await;
            stream.close().await;
            let ids: Vec<Vec<u8>> = items
                .iter()
                .filter_map(|item| match item {
                    LogItem::Insert { new, .. } => match new.columns().next().unwrap().unwrap() {
                        Value::Binary(bytes) => Some(bytes.to_vec()),
                        _ => panic!("not binary"),
                    },
                    _ => None,
                })
                .collect();
            let expected: &[&[u8]] =
                if origin_none { &[&[0, 0, 1, 2]] } else { &[&[0, 0, 0, 7], &[0, 0, 1, 2]] };
            assert_eq!(ids, expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_list_changed_while_a_transaction_is_open() {
    let options = PgOptions { logical_decoding_work_mem: Some("64kB".into()), ..PgOptions::default() };
    for version in PgVersion::ALL {
        let server = Postgres::start(version, options.clone()).await;
        let scene = Scene::new(&server, &["CREATE TABLE t (id int PRIMARY KEY, a text, b text)"]).await;
        scene.execute(&["DROP PUBLICATION p", "CREATE PUBLICATION p FOR TABLE t (id, a)"]).await;
        scene.execute(&[&format!("SELECT pg_drop_replication_slot('{}')", scene.database)]).await;
        scene.create_slot(false).await;
        let mut stream: LogStream = scene.open().await;
        let open = server.client(&scene.database).await;
        let many = "INSERT INTO t SELECT g, 'a', 'b' FROM generate_series";
        open.batch_execute(&format!("BEGIN; {many}(1000, 6000) g")).await.unwrap();
        scene.execute(&["INSERT INTO t VALUES (1, 'a', 'b')"]).await;
        // Its piece has to be there before the list changes.
        let mut items = Vec::new();
        loop {
            let item = next(&mut stream).await;
            let is_commit = matches!(item, LogItem::Commit { .. });
            items.push(item);
            if is_commit {
                break;
            }
        }
        scene
            .execute(&["ALTER PUBLICATION p SET TABLE t (id, b)", "INSERT INTO t VALUES (2, 'a', 'b')"])
            .await;
        open.batch_execute("COMMIT").await.unwrap();
        scene.execute(&["INSERT INTO t VALUES (3, 'a', 'b')"]).await;
        items.extend(until(&mut stream, scene.head().await).await);
        // Every row under the shape that the server wrote it in.
        let mut column = String::new();
        let mut count = 0;
        for item in &items {
            match item {
                LogItem::Relation(relation) => column.clone_from(&relation.columns[1].name),
                LogItem::Insert { new, .. } => {
                    count += 1;
                    assert_eq!(super::replica::row(new)[1].as_ref(), Some(&column), "row {count}");
                }
                _ => {}
            }
        }
        assert_eq!(count, 5004);
    }
}
