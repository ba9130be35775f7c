//! Which tables: those without an identity, those that join, partitions, names of every kind.

use culvert_api::{ErrorKind, Source as _};
use culvert_tests::{PgOptions, postgres_both, postgres_both_with, wait};

use super::{Fate, Mirror, PATIENCE, assert_error, database, rows, source};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_an_identity_is_refused_before_it_is_published() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE t (id int)",
                "CREATE TABLE k (id int PRIMARY KEY)",
                "ALTER TABLE k REPLICA IDENTITY NOTHING",
                "CREATE TABLE by_index (a int NOT NULL UNIQUE, b int)",
                "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a_key",
                "INSERT INTO by_index VALUES (1, 1), (2, 2)",
                "CREATE UNLOGGED TABLE u (id int PRIMARY KEY)",
            ],
        )
        .await;
        for table in ["t", "k"] {
            let source = source(server, &database, &[&format!("public.{table}")], &[]);
            let statement = format!("ALTER TABLE \"public\".\"{table}\" REPLICA IDENTITY FULL");
            assert_error(
                &source.tables(None).await.unwrap_err(),
                ErrorKind::Schema,
                &["replica identity", &statement],
            );
        }
        let unlogged = source(server, &database, &["public.u"], &[]);
        assert_error(
            &unlogged.tables(None).await.unwrap_err(),
            ErrorKind::Schema,
            &["unlogged", "SET LOGGED"],
        );
        // Applications still write.
        server.execute(&database, &["INSERT INTO t VALUES (1)", "UPDATE t SET id = 2"]).await;
        let strict =
            source(server, &database, &["public.by_index"], &[("require-replica-identity-full", "true")]);
        assert_error(
            &strict.tables(None).await.unwrap_err(),
            ErrorKind::Schema,
            &["require-replica-identity-full"],
        );
        let mut mirror = Mirror::new(source(server, &database, &["public.by_index"], &[]), &database);
        assert_eq!(mirror.source.tables(None).await.unwrap()[0].primary_key, ["a"]);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "UPDATE by_index SET b = 7 WHERE a = 1",
                    "UPDATE by_index SET a = 9 WHERE a = 2",
                    "DELETE FROM by_index WHERE a = 1",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.by_index"));
        assert_eq!(
            super::columns(&found, &["a", "b"]),
            rows(server, &database, "SELECT * FROM by_index").await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_joins_whole_although_it_is_being_written() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE a (id int PRIMARY KEY)",
                "CREATE TABLE b (id int PRIMARY KEY, v int)",
                "INSERT INTO b SELECT g, 0 FROM generate_series(1, 200) g",
            ],
        )
        .await;
        let mut mirror = Mirror::new(
            source(server, &database, &["public.a"], &[("snapshot.split.size", "10")]),
            &database,
        );
        mirror.catch_up(server, &database).await.unwrap();
        // Written before the table is published, committed after.
        let writer = server.client(&database).await;
        writer
            .batch_execute("BEGIN; INSERT INTO b VALUES (1000, 1); UPDATE b SET v = 1 WHERE id = 5")
            .await
            .unwrap();
        mirror.source =
            source(server, &database, &["public.a", "public.b"], &[("snapshot.split.size", "10")]);
        let committing = tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            writer.batch_execute("INSERT INTO b VALUES (1001, 1); COMMIT").await.unwrap();
        });
        mirror.catch_up(server, &database).await.unwrap();
        committing.await.unwrap();
        server
            .execute(
                &database,
                &[
                    "UPDATE b SET v = 2 WHERE id IN (7, 1000)",
                    "DELETE FROM b WHERE id = 8",
                    "INSERT INTO a VALUES (1)",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        for table in ["a", "b"] {
            let found = mirror.table(&format!("{database}.public.{table}"));
            let names: Vec<&str> = if table == "a" { vec!["id"] } else { vec!["id", "v"] };
            assert_eq!(
                super::columns(&found, &names),
                rows(server, &database, &format!("SELECT * FROM {table}")).await,
                "{table}"
            );
        }
        // One that leaves the job leaves its state, too.
        mirror.source = source(server, &database, &["public.b"], &[]);
        mirror.catch_up(server, &database).await.unwrap();
        assert_eq!(mirror.source.tables(mirror.state.as_ref()).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_sees_yet_is_not_lost_to_the_snapshot() {
    postgres_both_with(PgOptions::default().setting("synchronous_commit", "off"), async |server| {
        let database = database(
            &server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY, v int)",
                "INSERT INTO t SELECT g, 0 FROM generate_series(1, 50) g",
            ],
        )
        .await;
        let pairs = [("startup.mode", "LATEST"), ("slot.name", "s")];
        Mirror::new(source(&server, &database, &["public.t"], &pairs), &database)
            .run(|_, _| Fate::Stop)
            .await
            .unwrap();
        // A standby that never answers: the commit is in the log, and its row stays invisible.
        server
            .execute(
                "postgres",
                &["ALTER SYSTEM SET synchronous_standby_names = 'away'", "SELECT pg_reload_conf()"],
            )
            .await;
        let writer = server.client(&database).await;
        wait::until(PATIENCE, "the setting", async || {
            server.value(&database, "SHOW synchronous_standby_names").await.as_deref() == Some("away")
        })
        .await;
        let writing = tokio::spawn(async move {
            writer.batch_execute("SET synchronous_commit = on; INSERT INTO t VALUES (777, 1)").await.unwrap();
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        wait::until(PATIENCE, "the commit to wait", async || {
            server.value(&database, waits).await.as_deref() == Some("1")
        })
        .await;
        assert_eq!(
            server.value(&database, "SELECT count(*) FROM t WHERE id = 777").await.as_deref(),
            Some("0")
        );
        // The log has it before the first chunk is read: nothing of the table is read yet, and the row
        // is left to the read.
        let release = tokio::spawn({
            let (config, limit) =
                (server.config("postgres", "postgres"), std::time::Duration::from_millis(1500));
            async move {
                tokio::time::sleep(limit).await;
                let client = culvert_tests::postgres::connect(&config).await.unwrap();
                for statement in ["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"] {
                    client.batch_execute(statement).await.unwrap();
                }
            }
        });
        let mut mirror = Mirror::new(
            source(&server, &database, &["public.t"], &[("snapshot.split.size", "10")]),
            &database,
        );
        mirror.catch_up(&server, &database).await.unwrap();
        writing.await.unwrap();
        release.await.unwrap();
        mirror.catch_up(&server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        assert_eq!(super::columns(&found, &["id", "v"]), rows(&server, &database, "SELECT * FROM t").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_rows_of_their_table() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE p (id int, at date, v int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
                "CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
                "CREATE TABLE p_2 (v int, at date NOT NULL, id int NOT NULL)",
                "ALTER TABLE p ATTACH PARTITION p_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
                "INSERT INTO p SELECT g, '2024-01-01'::date + g % 60, 0 FROM generate_series(1, 300) g",
                "CREATE TABLE parent (id int PRIMARY KEY)",
                "CREATE TABLE child (extra int, PRIMARY KEY (id)) INHERITS (parent)",
                "INSERT INTO parent VALUES (1)",
                "INSERT INTO child VALUES (2, 2)",
            ],
        )
        .await;
        let mut mirror = Mirror::new(
            source(server, &database, &["public.p.*"], &[("snapshot.split.size", "25")]),
            &database,
        );
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &[
                    "UPDATE p SET v = 1 WHERE id < 50",
                    "UPDATE p SET at = '2024-02-15' WHERE id = 60",
                    "DELETE FROM p_2 WHERE id < 100",
                    "CREATE TABLE p_3 PARTITION OF p FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')",
                    "INSERT INTO p VALUES (999, '2024-03-05', 3)",
                    "INSERT INTO parent VALUES (3)",
                    "INSERT INTO child VALUES (4, 4)",
                ],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.p"));
        let expected = rows(server, &database, "SELECT id, at - '1970-01-01'::date, v FROM p").await;
        assert_eq!(super::columns(&found, &["id", "at", "v"]), expected);
        // Tables that inherit are tables of their own.
        let found = mirror.table(&format!("{database}.public.parent"));
        assert_eq!(
            super::columns(&found, &["id"]),
            rows(server, &database, "SELECT id FROM ONLY parent").await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_names_whatever_they_hold() {
    postgres_both(async |server| {
        let table = "\"we\"\"ird.sch;ema\".\"drop table x;--😀\"";
        let database = database(server, &[
            "CREATE SCHEMA \"we\"\"ird.sch;ema\"",
            &format!("CREATE TABLE {table} (\"a\"\"b\" int PRIMARY KEY, \"select\" text, \"e'mo.ji 😀\" int GENERATED ALWAYS AS (\"a\"\"b\" * 2) STORED)"),
            &format!("INSERT INTO {table} SELECT g, g FROM generate_series(1, 100) g"),
        ]).await;
        let name = "we\"ird.sch;ema.drop table x;--😀";
        let job = "job 'quoted' \"😀\"";
        let mut mirror = Mirror::new(source(server, &database, &[name], &[("snapshot.split.size", "7"), ("schema-changes.enabled", "true")]), job);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &[&format!("UPDATE {table} SET \"select\" = 'x' WHERE \"a\"\"b\" = 5"), &format!("ALTER TABLE {table} ADD \"; drop\" int DEFAULT 1"), &format!("DELETE FROM {table} WHERE \"a\"\"b\" = 6")]).await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.{name}"));
        // Generated columns are not in the log, and therefore not in the snapshot.
        let query = format!("SELECT \"a\"\"b\", \"select\", \"; drop\" FROM {table}");
        assert_eq!(super::columns(&found, &["a\"b", "select", "; drop"]), rows(server, &database, &query).await);
        assert!(found.iter().all(|row| row.len() == 3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_300_columns_and_one_of_none_but_its_key() {
    postgres_both(async |server| {
        let wide: Vec<String> = (0..300).map(|number| format!("c{number} int")).collect();
        let database = database(
            server,
            &[
                &format!("CREATE TABLE wide (id int PRIMARY KEY, {})", wide.join(", ")),
                "INSERT INTO wide (id, c7) SELECT g, g FROM generate_series(1, 100) g",
            ],
        )
        .await;
        let mut mirror = Mirror::new(source(server, &database, &["public.wide"], &[]), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(&database, &["UPDATE wide SET c299 = 5", "INSERT INTO wide (id, c0) VALUES (0, 1)"])
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.wide"));
        assert_eq!(
            super::columns(&found, &["id", "c0", "c7", "c299"]),
            rows(server, &database, "SELECT id, c0, c7, c299 FROM wide").await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_leading_key_stay_in_one_chunk() {
    postgres_both(async |server| {
        // Only the first column of the key is cut by, and it is the same for most rows.
        let database = database(
            server,
            &[
                "CREATE TABLE t (a int, b float8, PRIMARY KEY (a, b))",
                "INSERT INTO t SELECT CASE WHEN g < 400 THEN 5 ELSE g END, g FROM generate_series(1, 600) g",
            ],
        )
        .await;
        let mut mirror = Mirror::new(
            source(
                server,
                &database,
                &["public.t"],
                &[("snapshot.split.size", "10"), ("stop.mode", "LATEST")],
            ),
            &database,
        );
        mirror.run(|_, _| Fate::On).await.unwrap();
        assert_eq!(mirror.table(&format!("{database}.public.t")).len(), 600);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn computed_columns_are_left_out_and_named() {
    postgres_both(async |server| {
        let statements = [
            "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
            "INSERT INTO t VALUES (1)",
        ];
        let database = database(server, &statements).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        let findings = mirror.source.check().await.unwrap();
        let named = findings.iter().find(|finding| finding.message.contains("'twice'"));
        assert!(
            named.is_some_and(|finding| finding.subject == format!("{database}.public.t")),
            "{findings:?}"
        );
        server.execute(&database, &["INSERT INTO t VALUES (2)"]).await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        assert!(found.len() == 2 && found.iter().all(|row| row.len() == 1), "{found:?}");
    })
    .await;
}

/// Names whose texts are the same once they stand one behind the other.
#[tokio::test(flavor = "multi_thread")]
async fn dots_in_names_are_no_bounds() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE SCHEMA a",
                "CREATE SCHEMA \"a.b\"",
                "CREATE TABLE a.\"b.c\" (id int PRIMARY KEY)",
                "CREATE TABLE \"a.b\".c (id int PRIMARY KEY)",
                "INSERT INTO a.\"b.c\" SELECT generate_series(1, 100)",
                "INSERT INTO \"a.b\".c SELECT generate_series(101, 200)",
            ],
        )
        .await;
        let pairs = [("snapshot.split.size", "10")];
        let mut mirror = Mirror::new(source(server, &database, &["a.b.c"], &pairs), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server
            .execute(
                &database,
                &["DELETE FROM a.\"b.c\" WHERE id < 20", "INSERT INTO \"a.b\".c VALUES (999)"],
            )
            .await;
        mirror.catch_up(server, &database).await.unwrap();
        // The mirror calls both by one text.
        let found = super::columns(&mirror.table(&format!("{database}.a.b.c")), &["id"]);
        let query = "SELECT id FROM a.\"b.c\" UNION ALL SELECT id FROM \"a.b\".c";
        assert_eq!(found, rows(server, &database, query).await);
    })
    .await;
}
