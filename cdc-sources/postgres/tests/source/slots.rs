//! Slot and publication: made, judged, moved by others, lost, dropped.

use culvert_api::{ErrorKind, JobProgress, ReaderContext, Severity, Source as _};
use culvert_tests::{PgOptions, Postgres, postgres_both, postgres_both_with, wait};

use super::{Fate, Mirror, PATIENCE, assert_error, database, rows, source, try_source};

const TABLE: &[&str] = &[
    "CREATE TABLE t (id int PRIMARY KEY, v int)",
    "INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g",
];

async fn slots(server: &Postgres, database: &str) -> String {
    let query = format!(
        "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots WHERE database = '{database}'"
    );
    server.value(database, &query).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_names_has_a_slot_and_a_publication_of_its_own() {
    postgres_both(async |server| {
        let database = database(server, TABLE).await;
        let job = format!("Job {database}");
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &job);
        // Looking writes nothing.
        assert_eq!(mirror.source.tables(None).await.unwrap().len(), 1);
        assert!(
            mirror.source.check().await.unwrap().iter().all(|finding| finding.severity != Severity::Error)
        );
        assert_eq!(slots(server, &database).await, "");
        assert_eq!(
            server.value(&database, "SELECT count(*) FROM pg_publication").await.as_deref(),
            Some("0")
        );
        mirror.catch_up(server, &database).await.unwrap();
        let slot = slots(server, &database).await;
        assert!(slot.starts_with("culvert_job_source_"), "{slot}");
        let comment = server
            .value(&database, "SELECT obj_description(oid, 'pg_publication') FROM pg_publication")
            .await;
        assert_eq!(comment, Some(format!("made by culvert for job {job}")));
        // Another job does not take it.
        let mut other =
            Mirror::new(source(server, &database, &["public.t"], &[("slot.name", &slot)]), "other");
        assert_error(&other.fail().await, ErrorKind::Config, &["was made for job", &job]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_gone_lost_moved_or_held_is_told_with_the_way_out() {
    let options =
        PgOptions::default().setting("max_slot_wal_keep_size", "16MB").setting("wal_keep_size", "0");
    postgres_both_with(options, async |server| {
        let database = database(&server, TABLE).await;
        let slot = [("slot.name", "s_1")];
        let mut mirror = Mirror::new(source(&server, &database, &["public.t"], &slot), &database);
        mirror.catch_up(&server, &database).await.unwrap();
        // Held: by a job of the same slot.
        let mut second = Mirror::new(source(&server, &database, &["public.t"], &slot), &database);
        second.state.clone_from(&mirror.state);
        let mut held = None;
        mirror
            .run(|_, event| {
                if matches!(event, culvert_api::SourceEvent::Idle) && held.is_none() {
                    held = Some(tokio::task::block_in_place(|| {
                        tokio::runtime::Handle::current().block_on(second.run(|_, _| Fate::Stop))
                    }));
                }
                if held.is_some() { Fate::Stop } else { Fate::On }
            })
            .await
            .unwrap();
        assert_error(
            &held.unwrap().unwrap_err(),
            ErrorKind::Contention,
            &["in use by process", "postgres", "127.0.0.1"],
        );
        // Moved by somebody.
        server
            .execute(
                &database,
                &["UPDATE t SET v = 1", "SELECT pg_replication_slot_advance('s_1', pg_current_wal_lsn())"],
            )
            .await;
        assert_error(&mirror.fail().await, ErrorKind::StateMismatch, &["s_1", "somebody else", "--fresh"]);
        // A fresh start goes on with it: everything is read anew.
        let mut fresh = Mirror::new(source(&server, &database, &["public.t"], &slot), &database);
        fresh.catch_up(&server, &database).await.unwrap();
        let found = fresh.table(&format!("{database}.public.t"));
        assert_eq!(super::columns(&found, &["id", "v"]), rows(&server, &database, "SELECT * FROM t").await);
        // Lost: the server removed its log.
        let fill = "INSERT INTO t SELECT g, 0 FROM generate_series(1000, 150000) g";
        let lost = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 's_1'";
        server.execute(&database, &[fill]).await;
        wait::until(PATIENCE, "the slot to be lost", async || {
            server
                .execute(&database, &["UPDATE t SET v = v + 1", "SELECT pg_switch_wal()", "CHECKPOINT"])
                .await;
            server.value(&database, lost).await.as_deref() == Some("lost")
        })
        .await;
        assert_error(
            &fresh.fail().await,
            ErrorKind::LogGone,
            &["s_1", "is lost", "pg_drop_replication_slot('s_1')", "max_slot_wal_keep_size"],
        );
        // Gone: never made anew in silence.
        server.execute(&database, &["SELECT pg_drop_replication_slot('s_1')"]).await;
        assert_error(&fresh.fail().await, ErrorKind::LogGone, &["s_1", "does not exist any more", "--fresh"]);
        assert_eq!(slots(&server, &database).await, "");
        // Set to another one.
        fresh.source = source(&server, &database, &["public.t"], &[("slot.name", "s_2")]);
        assert_error(&fresh.fail().await, ErrorKind::StateMismatch, &["s_1", "s_2", "slot.name"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_another_make_are_refused() {
    postgres_both(async |server| {
        let database = database(server, TABLE).await;
        let of = |name: &str| format!("{name}_{database}");
        let (physical, plugin, prepared) = (of("physical"), of("plugin"), of("prepared"));
        server
            .execute(
                &database,
                &[
                    &format!("SELECT pg_create_physical_replication_slot('{physical}')"),
                    &format!("SELECT pg_create_logical_replication_slot('{plugin}', 'test_decoding')"),
                    &format!(
                        "SELECT pg_create_logical_replication_slot('{prepared}', 'pgoutput', false, true)"
                    ),
                ],
            )
            .await;
        for (name, part) in
            [(&physical, "is a physical one"), (&plugin, "'test_decoding'"), (&prepared, "two_phase")]
        {
            let source = source(server, &database, &["public.t"], &[("slot.name", name)]);
            let error = source.tables(None).await.unwrap_err();
            assert_error(&error, ErrorKind::Config, &[part, &format!("pg_drop_replication_slot('{name}')")]);
        }
        server.execute(&database, &[&format!("SELECT pg_drop_replication_slot('{physical}')")]).await;
        let error =
            try_source(server, &database, &["public.t"], &[("slot.name", "Not-Valid")]).err().unwrap();
        assert_error(&error, ErrorKind::Config, &["slot.name", "Not-Valid"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_begins_where_its_mode_says() {
    postgres_both(async |server| {
        let database = database(server, TABLE).await;
        let slot = format!("modes_{database}");
        let with = |mode: &'static str| {
            vec![("slot.name".to_owned(), slot.clone()), ("startup.mode".to_owned(), mode.to_owned())]
        };
        let run = async |pairs: Vec<(String, String)>| {
            let pairs: Vec<(&str, &str)> =
                pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
            mirror.keeps_rows = true;
            mirror
                .catch_up(server, &database)
                .await
                .map(|()| mirror.history(&format!("{database}.public.t")).len())
        };
        assert_error(
            &run(with("COMMITTED-OFFSET")).await.unwrap_err(),
            ErrorKind::Config,
            &[&slot, "does not exist"],
        );
        assert_eq!(run(with("LATEST")).await.unwrap(), 0);
        server.execute(&database, &["DELETE FROM t WHERE id = 1"]).await;
        let place = server.value(&database, "SELECT pg_current_wal_insert_lsn()").await.unwrap();
        server.execute(&database, &["DELETE FROM t WHERE id = 2", "DELETE FROM t WHERE id = 3"]).await;
        let at = |place: &str| {
            [with("SPECIFIC"), vec![("startup.specific-offset.lsn".to_owned(), place.to_owned())]].concat()
        };
        // The slot is at its place until somebody acknowledges more: each of these looks only.
        let first = |pairs: Vec<(String, String)>| {
            let (server, database) = (server, database.clone());
            async move {
                let pairs: Vec<(&str, &str)> =
                    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
                let mut rows = 0;
                mirror
                    .run(|_, event| match event {
                        culvert_api::SourceEvent::Batch(batch) => {
                            rows += batch.len();
                            Fate::Crash
                        }
                        _ => Fate::On,
                    })
                    .await
                    .unwrap();
                rows
            }
        };
        assert_eq!(first(with("COMMITTED-OFFSET")).await, 3);
        assert_eq!(first(with("EARLIEST")).await, 3);
        assert_eq!(first(at(&place)).await, 2);
        assert_error(&run(at("0/1")).await.unwrap_err(), ErrorKind::LogGone, &[&slot, "past the place"]);
        let error =
            try_source(server, &database, &["public.t"], &[("startup.mode", "TIMESTAMP")]).err().unwrap();
        assert_error(&error, ErrorKind::Config, &["startup.mode", "TIMESTAMP"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_job_ends_and_leaves_nothing_when_asked() {
    postgres_both(async |server| {
        let database = database(server, TABLE).await;
        let mut mirror = Mirror::new(
            source(server, &database, &["public.t"], &[("startup.mode", "SNAPSHOT-ONLY")]),
            &database,
        );
        mirror.run(|_, _| Fate::On).await.unwrap();
        assert_eq!(mirror.table(&format!("{database}.public.t")).len(), 100);
        assert_eq!(slots(server, &database).await, "");
        assert_eq!(
            server.value(&database, "SELECT count(*) FROM pg_publication").await.as_deref(),
            Some("0")
        );
        // Again: it knows that it is at its end.
        mirror.run(|_, _| Fate::On).await.unwrap();
        assert_eq!(slots(server, &database).await, "");
        let mut mirror =
            Mirror::new(source(server, &database, &["public.t"], &[("stop.mode", "LATEST")]), &database);
        mirror.run(|_, _| Fate::On).await.unwrap();
        assert_ne!(slots(server, &database).await, "");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_somebody_else_is_honoured_or_refused() {
    postgres_both(async |server| {
        let database = database(server, &[
            "CREATE TABLE t (id int PRIMARY KEY, v int, secret text)",
            "INSERT INTO t SELECT g, g % 10, 'x' FROM generate_series(1, 100) g",
            "CREATE PUBLICATION part FOR TABLE t (id, v) WHERE (v > 5) WITH (publish = 'insert, update, delete')",
            "ALTER TABLE t REPLICA IDENTITY FULL",
            "CREATE PUBLICATION inserts FOR TABLE t WITH (publish = 'insert')",
            "CREATE PUBLICATION half FOR TABLE t WITH (publish = 'insert, update')",
            "CREATE PUBLICATION empty",
        ]).await;
        // Row filters and column lists need the identity's columns.
        server.execute(&database, &["ALTER TABLE t REPLICA IDENTITY DEFAULT", "DROP PUBLICATION part",
            "CREATE PUBLICATION part FOR TABLE t (id, v) WHERE (id > 50)"]).await;
        let with = |name: &'static str| [("publication.name", name), ("publication.autocreate", "false")];
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &with("part")), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["INSERT INTO t VALUES (20, 1, 'y') ON CONFLICT DO NOTHING", "UPDATE t SET v = 77 WHERE id > 45", "DELETE FROM t WHERE id IN (3, 99)"]).await;
        mirror.catch_up(server, &database).await.unwrap();
        let name = format!("{database}.public.t");
        let found = mirror.table(&name);
        assert!(found.iter().all(|row| !row.contains_key("secret")));
        assert_eq!(super::columns(&found, &["id", "v"]), rows(server, &database, "SELECT id, v FROM t WHERE id > 50").await);
        for (name, kind, parts) in [
            ("half", ErrorKind::Schema, ["half", "kinds of change"]),
            ("empty", ErrorKind::Schema, ["lacks", "ALTER PUBLICATION \"empty\" ADD TABLE ONLY \"public\".\"t\""]),
            ("absent", ErrorKind::Schema, ["does not exist", "CREATE PUBLICATION \"absent\" FOR TABLE ONLY \"public\".\"t\""]),
        ] {
            let source = source(server, &database, &["public.t"], &[("publication.name", name), ("publication.autocreate", "false")]);
            assert_error(&source.tables(None).await.unwrap_err(), kind, &parts);
        }
        // One of inserts only: nothing else will come.
        let slot = format!("inserts_{database}");
        server.execute(&database, &["ALTER TABLE t REPLICA IDENTITY NOTHING", "DROP PUBLICATION half", "DROP PUBLICATION part"]).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[("publication.name", "inserts"), ("slot.name", &slot), ("truncate.policy", "IGNORE")]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["INSERT INTO t VALUES (1000, 1, 'y')", "DELETE FROM t WHERE id = 4"]).await;
        mirror.catch_up(server, &database).await.unwrap();
        assert_eq!(mirror.table(&name).len(), 99);
    })
    .await;
}

/// Between the look at the slot and its reader there is time for others.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_moved_while_the_job_starts_is_not_followed() {
    postgres_both(async |server| {
        let database = database(server, TABLE).await;
        let slot = format!("late_{database}");
        let pairs = [("slot.name", slot.as_str())];
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
        mirror.catch_up(server, &database).await.unwrap();
        let state = mirror.state.as_ref();
        let context = || ReaderContext {
            job: database.clone(),
            source: "s".into(),
            progress: JobProgress::default().into(),
        };
        mirror.source.tables(state).await.unwrap();
        let mut enumerator = mirror.source.enumerator(context(), state).await.unwrap();
        let mut reader = mirror.source.reader(context(), state).await.unwrap();
        reader.add_splits(enumerator.next_splits(1).await.unwrap()).unwrap();
        let advance = format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())");
        server.execute(&database, &["UPDATE t SET v = 1", &advance]).await;
        let error = reader.next().await.map(|_| ()).unwrap_err();
        assert_error(&error, ErrorKind::StateMismatch, &[&slot, "somebody else", "--fresh"]);
        reader.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_somebody_else_is_neither_moved_nor_dropped() {
    postgres_both(async |server| {
        let database = database(server, TABLE).await;
        let slot = format!("theirs_{database}");
        let create = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
        server.execute(&database, &["CREATE PUBLICATION p FOR TABLE t", &create, "UPDATE t SET v = 1"]).await;
        let place =
            format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'");
        let before = server.value(&database, &place).await;
        assert!(before.is_some());
        let with = |mode: &'static str, publication: &'static str| {
            let pairs =
                [("slot.name", slot.as_str()), ("startup.mode", mode), ("publication.name", publication)];
            source(server, &database, &["public.t"], &pairs)
        };
        for mode in ["INITIAL", "SNAPSHOT-ONLY", "LATEST"] {
            for publication in ["p", "of_the_job"] {
                let mut mirror = Mirror::new(with(mode, publication), &database);
                let parts = [&slot, "is there already", "slot.name", "COMMITTED-OFFSET"];
                assert_error(&mirror.fail().await, ErrorKind::Config, &parts);
            }
        }
        assert_eq!(server.value(&database, &place).await, before);
        assert_eq!(
            server.value(&database, "SELECT string_agg(pubname, ',') FROM pg_publication").await.as_deref(),
            Some("p")
        );
        let findings = with("INITIAL", "p").check().await.unwrap();
        assert!(
            findings
                .iter()
                .any(|finding| finding.severity == Severity::Warning && finding.subject == "slot.name"),
            "{findings:?}"
        );
        // A mode that goes on from it has been told to.
        let mut mirror = Mirror::new(with("COMMITTED-OFFSET", "p"), &database);
        mirror.keeps_rows = true;
        let mut seen = 0;
        mirror
            .run(|_, event| match event {
                culvert_api::SourceEvent::Batch(batch) => {
                    seen += batch.len();
                    Fate::Crash
                }
                _ => Fate::On,
            })
            .await
            .unwrap();
        assert_eq!(seen, 100);
    })
    .await;
}
