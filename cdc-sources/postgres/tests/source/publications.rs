//! What a publication leaves out, and what becomes of it while the job is not looking.

use culvert_api::{ErrorKind, Severity, Source as _};
use culvert_tests::postgres_both;

use super::{Mirror, assert_error, database, source};

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
