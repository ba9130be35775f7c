//! What a publication leaves out, and what becomes of it while the job is not looking.

use culvert_api::{ErrorKind, Severity, Source as _};
use culvert_tests::postgres_both;

use super::{Fate, Mirror, assert_error, database, rows, source};

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_without_truncate_is_refused_unless_they_are_ignored() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY)",
                "INSERT INTO t VALUES (1), (2)",
                "CREATE PUBLICATION p FOR TABLE t WITH (publish = 'insert, update, delete')",
                "CREATE PUBLICATION inserts FOR TABLE t WITH (publish = 'insert, truncate')",
            ],
        )
        .await;
        let with = |name: &'static str, policy: &'static str| {
            source(
                server,
                &database,
                &["public.t"],
                &[("publication.name", name), ("truncate.policy", policy)],
            )
        };
        let statement = "ALTER PUBLICATION \"p\" SET (publish = 'insert, update, delete, truncate')";
        let error = with("p", "FAIL").tables(None).await.unwrap_err();
        assert_error(&error, ErrorKind::Schema, &["TRUNCATE", statement, "truncate.policy = IGNORE"]);
        let findings = with("p", "FAIL").check().await.unwrap();
        assert!(
            findings.iter().any(|finding| finding.severity == Severity::Todo
                && finding.hint.as_deref().is_some_and(|hint| hint.contains(statement))),
            "{findings:?}"
        );
        with("p", "IGNORE").tables(None).await.unwrap();
        // Inserts alone may be what is wanted; it is told.
        with("inserts", "FAIL").tables(None).await.unwrap();
        let findings = with("inserts", "FAIL").check().await.unwrap();
        assert!(
            findings.iter().any(|finding| finding.severity == Severity::Warning
                && finding.subject == "publication.name"
                && finding.message.contains("inserts only")),
            "{findings:?}"
        );
        // One that is changed while a job has state is refused at its next start.
        server.execute(&database, &[statement]).await;
        let pairs = [("publication.name", "p")];
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["ALTER PUBLICATION p SET (publish = 'insert, update, delete')"]).await;
        assert_error(&mirror.fail().await, ErrorKind::Schema, &["TRUNCATE", statement]);
    })
    .await;
}

/// A table of the job is out of the publication while a row is written.
const OUT_AND_IN: &[&str] = &[
    "ALTER PUBLICATION p DROP TABLE t",
    "INSERT INTO t SELECT max(id) + 1 FROM t",
    "ALTER PUBLICATION p ADD TABLE t",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_left_the_publication_and_came_back_is_not_followed_in_silence() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY)",
                "CREATE TABLE u (id int PRIMARY KEY)",
                "INSERT INTO t SELECT generate_series(1, 20)",
                "CREATE PUBLICATION p FOR TABLE t",
            ],
        )
        .await;
        let of = |tables: &[&str]| source(server, &database, tables, &[("publication.name", "p")]);
        let mut mirror = Mirror::new(of(&["public.t", "public.u"]), &database);
        // What the job itself adds is no surprise to it, now and later.
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["INSERT INTO t VALUES (30)", "INSERT INTO u VALUES (1)"]).await;
        mirror.catch_up(server, &database).await.unwrap();
        // Taken out, while the job stands still: it is not added again in silence.
        server.execute(&database, &["ALTER PUBLICATION p DROP TABLE t"]).await;
        let out = ["no longer in publication 'p'", "public.t", "--fresh", "table-names"];
        assert_error(&mirror.fail().await, ErrorKind::StateMismatch, &out);
        server.execute(&database, &["ALTER PUBLICATION p ADD TABLE t"]).await;
        server.execute(&database, OUT_AND_IN).await;
        let again = ["taken out of publication 'p' and put in again", "public.t", "--fresh", "table-names"];
        assert_error(&mirror.fail().await, ErrorKind::StateMismatch, &again);
        // The way out: without the table, and with it again.
        mirror.source = of(&["public.u"]);
        mirror.catch_up(server, &database).await.unwrap();
        let name = format!("{database}.public.t");
        mirror.empty(&name);
        mirror.source = of(&["public.t", "public.u"]);
        mirror.catch_up(server, &database).await.unwrap();
        server.execute(&database, &["DELETE FROM t WHERE id = 1"]).await;
        mirror.catch_up(server, &database).await.unwrap();
        let found = super::columns(&mirror.table(&name), &["id"]);
        assert_eq!(found, rows(server, &database, "SELECT * FROM t").await);
        // The same while it runs.
        let mut done = false;
        let error = mirror
            .run(|_, event| {
                if matches!(event, culvert_api::SourceEvent::Idle) && !done {
                    done = true;
                    let executing = server.execute(&database, OUT_AND_IN);
                    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(executing));
                }
                Fate::On
            })
            .await
            .unwrap_err();
        assert_error(&error, ErrorKind::StateMismatch, &again);
    })
    .await;
}

/// Tables are published by a schema or all at once, and by more than one of these.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_all_tables_that_is_made_anew_is_noticed() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY)",
                "CREATE PUBLICATION p FOR ALL TABLES",
                "CREATE PUBLICATION q FOR TABLES IN SCHEMA public",
            ],
        )
        .await;
        for (name, anew) in [("p", "FOR ALL TABLES"), ("q", "FOR TABLES IN SCHEMA public")] {
            let pairs = [("publication.name", name)];
            let job = format!("{name} of {database}");
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &job);
            mirror.catch_up(server, &database).await.unwrap();
            if name == "q" {
                // It stays published by the schema.
                server.execute(&database, &["ALTER PUBLICATION q ADD TABLE t"]).await;
            }
            server.execute(&database, &["CREATE TABLE IF NOT EXISTS other (id int PRIMARY KEY)"]).await;
            mirror.catch_up(server, &database).await.unwrap();
            let statements =
                [format!("DROP PUBLICATION {name}"), format!("CREATE PUBLICATION {name} {anew}")];
            server.execute(&database, &statements.each_ref().map(String::as_str)).await;
            assert_error(&mirror.fail().await, ErrorKind::StateMismatch, &["put in again", "public.t"]);
        }
    })
    .await;
}

/// Locking a table takes a right to all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_columns_is_not_enough() {
    postgres_both(async |server| {
        let database = database(server, &["CREATE TABLE t (id int PRIMARY KEY, v int)"]).await;
        let role = format!("columns_{database}");
        server.create_role(&role, "REPLICATION", &database, &["SELECT (id, v) ON t"]).await;
        let findings = async || {
            let pairs = [("username", role.as_str()), ("publication.autocreate", "false")];
            let findings = source(server, &database, &["public.t"], &pairs).check().await.unwrap();
            let hints = findings.into_iter().filter_map(|finding| finding.hint);
            hints.filter(|hint| hint.contains("GRANT SELECT ON \"public\".\"t\"")).count()
        };
        assert_eq!(findings().await, 1);
        server.execute(&database, &[&format!("GRANT SELECT ON t TO \"{role}\"")]).await;
        assert_eq!(findings().await, 0);
    })
    .await;
}
