//! The commit marker and the fence.

use culvert_api::{ErrorKind, RowKindSet, Severity, Sink, SourceState};
use culvert_tests::{PgOptions, PgVersion, Postgres, postgres_both};

use crate::postgres::support::{people_in, sink};
use crate::support::{JOB, Run, SINK, checked, context, failure, people, rows};

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_marker_share_one_transaction() {
    postgres_both(async |server| {
        let db = server.fresh_database("atomic").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[]).unwrap();
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap(), None);
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        assert_eq!(run.open.marker, None);
        run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();

        // Prepared and not committed: neither rows nor marker.
        run.write(rows(&source, &[("+I", 2, "b")])).await.unwrap();
        run.open.writer.prepare_commit(&run.marker()).await.unwrap();
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap().unwrap().checkpoint, 1);
        run.close().await;
        assert_eq!(people_in(server, &db, "w").await, ["1 a"]);

        let run = Run::open(&sink, 5).await.unwrap();
        let marker = run.open.marker.clone().unwrap();
        assert_eq!((marker.checkpoint, marker.epoch), (1, 5));
        let state = SourceState { enumerator: vec![1, 2], reader: vec![0, 255, b'\''] };
        assert_eq!(marker.source, Some(state));
        run.close().await;
        let committed = sink.committed(JOB, SINK, 0).await.unwrap().unwrap();
        assert_eq!((committed.checkpoint, committed.epoch), (1, 5));
        assert_eq!(sink.committed("another", SINK, 0).await.unwrap(), None);
        sink.forget(JOB, SINK).await.unwrap();
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap(), None);
        // Forgetting takes the marker, not the rows.
        assert_eq!(people_in(server, &db, "w").await, ["1 a"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_twice_is_once_and_aborting_drops() {
    postgres_both(async |server| {
        let db = server.fresh_database("twice").await;
        let source = people("w2", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.write(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        let first = run.open.writer.prepare_commit(&run.marker()).await.unwrap();
        run.open.committer.commit(&first).await.unwrap();
        run.open.committer.commit(&first).await.unwrap();
        run.checkpoint = 1;
        run.write(rows(&source, &[("+I", 2, "b")])).await.unwrap();
        let second = run.open.writer.prepare_commit(&run.marker()).await.unwrap();
        run.open.committer.abort(&second).await.unwrap();
        assert_eq!(failure(run.open.committer.commit(&second).await).kind(), ErrorKind::StateMismatch);
        assert_eq!(people_in(server, &db, "w2").await, ["1 a"]);
        // The session goes on after an abort, though the staging table may have gone with it.
        run.deliver(rows(&source, &[("+I", 3, "c")])).await.unwrap();
        assert_eq!(people_in(server, &db, "w2").await, ["1 a", "3 c"]);
        run.close().await;
        // A new process that is not sure whether its commit happened.
        let mut run = Run::open(&sink, 2).await.unwrap();
        run.open.committer.commit(&first).await.unwrap();
        let third = culvert_api::Committable { checkpoint: 9, body: Vec::new() };
        assert_eq!(failure(run.open.committer.commit(&third).await).kind(), ErrorKind::StateMismatch);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_an_older_epoch_fails_at_the_target() {
    postgres_both(async |server| {
        let db = server.fresh_database("fence").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        // Each in a process of its own: one that opens anew ends what it had left at the server.
        let (sink, other) = (sink(server, &db, &[]).unwrap(), sink(server, &db, &[]).unwrap());
        let mut old = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        old.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        old.write(rows(&source, &[("+I", 2, "zombie")])).await.unwrap();

        let mut new = Run::open(&other, 2).await.unwrap();
        assert_eq!(new.checkpoint, 1);
        let error = failure(old.open.writer.prepare_commit(&old.marker()).await);
        assert_eq!(error.kind(), ErrorKind::Fenced);
        new.open.writer.prepare_tables(std::slice::from_ref(&source), false).await.unwrap();
        new.deliver(rows(&source, &[("+I", 3, "c")])).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 a", "3 c"]);
        old.close().await;

        // An epoch that is not larger than the one there.
        for epoch in [1, 2] {
            let error = failure(sink.open(&context(epoch)).await);
            assert_eq!(error.kind(), ErrorKind::Fenced);
            assert!(error.to_string().contains("epoch=2"), "{error}");
        }
        new.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_begin_at_once_make_the_marker_once() {
    postgres_both(async |server| {
        let db = server.fresh_database("race").await;
        let process = || sink(server, &db, &[("schema", "Meta data")]).unwrap();
        let mut starts = tokio::task::JoinSet::new();
        for epoch in 1..=8 {
            let sink = process();
            starts.spawn(async move { sink.open(&context(epoch)).await.map(drop) });
        }
        let mut done = 0;
        while let Some(result) = starts.join_next().await {
            match result.unwrap() {
                Ok(()) => done += 1,
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Contention), "{error}")
                }
            }
        }
        assert!(done >= 1);
        assert!(process().committed(JOB, SINK, 0).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_told_with_the_statement_to_run() {
    postgres_both(async |server| {
        let db = server.fresh_database("rights").await;
        server
            .execute(
                &db,
                &[
                    "CREATE TABLE w (id int PRIMARY KEY, name varchar(50))",
                    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
                    &format!("REVOKE TEMPORARY ON DATABASE \"{db}\" FROM PUBLIC"),
                ],
            )
            .await;
        let user = format!("u_{db}");
        server.create_role(&user, "", &db, &["SELECT, INSERT ON w"]).await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[("username", user.as_str())]).unwrap();
        let findings = checked(&sink, std::slice::from_ref(&source)).await;
        let told = |subject: &str| findings.iter().find(|finding| finding.subject == subject).unwrap();
        let marker = told("public.culvert_commit");
        assert_eq!(marker.severity, Severity::Todo);
        assert!(marker.hint.as_ref().unwrap().contains("CREATE TABLE IF NOT EXISTS"), "{marker:?}");
        let table = told("public.w");
        assert!(table.hint.as_ref().unwrap().contains("GRANT UPDATE, DELETE ON"), "{table:?}");
        assert!(told(&db).hint.as_ref().unwrap().contains("GRANT TEMPORARY"));
        let error = failure(sink.open(&context(1)).await);
        assert_eq!(error.kind(), ErrorKind::Permission);
        assert!(error.to_string().contains("CREATE TABLE IF NOT EXISTS"), "{error}");

        server
            .execute(
                &db,
                &[
                    &format!("GRANT ALL ON w TO \"{user}\""),
                    &format!("GRANT ALL ON SCHEMA public TO \"{user}\""),
                    &format!("GRANT ALL ON DATABASE \"{db}\" TO \"{user}\""),
                ],
            )
            .await;
        assert_eq!(checked(&sink, std::slice::from_ref(&source)).await, vec![]);
        let other = people("absent", &["id"], RowKindSet::ALL);
        assert_eq!(checked(&sink, &[other]).await, vec![]);
        Run::start(&sink, &[source]).await.unwrap().close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_the_start_would_refuse_and_writes_nothing() {
    postgres_both(async |server| {
        let db = server.fresh_database("check").await;
        server.execute(&db, &["CREATE TABLE w (id int, name varchar(50))"]).await;
        let sink = sink(server, &db, &[]).unwrap();
        let findings = checked(&sink, &[people("w", &["id"], RowKindSet::ALL)]).await;
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].severity, findings[0].subject.as_str()), (Severity::Error, "public.w"));
        assert!(findings[0].hint.as_ref().unwrap().contains("ADD PRIMARY KEY"));
        server.execute(&db, &["ALTER TABLE w ADD PRIMARY KEY (id)"]).await;
        let findings = checked(&sink, &[people("w", &["id"], RowKindSet::INSERT_ONLY)]).await;
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Warning));
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_hide_rows_are_refused() {
    postgres_both(async |server| {
        let db = server.fresh_database("policies").await;
        server
            .execute(
                &db,
                &[
                    "CREATE TABLE w (id int PRIMARY KEY, name varchar(50))",
                    "ALTER TABLE w ENABLE ROW LEVEL SECURITY",
                    "GRANT ALL ON SCHEMA public TO PUBLIC",
                ],
            )
            .await;
        let user = format!("p_{db}");
        server.create_role(&user, "", &db, &["ALL ON w"]).await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[("username", user.as_str())]).unwrap();
        let error = failure(Run::start(&sink, &[source]).await);
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.to_string().contains("BYPASSRLS"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_waits_for_its_disk_gets_no_warning() {
    for version in PgVersion::ALL {
        let options = PgOptions { fsync: true, ..PgOptions::default() };
        let server = Postgres::start(version, options).await;
        let db = server.fresh_database("durable").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(&server, &db, &[]).unwrap();
        assert_eq!(sink.check(std::slice::from_ref(&source)).await.unwrap(), vec![]);
        server.execute("postgres", &["ALTER SYSTEM SET full_page_writes = off"]).await;
        server.restart().await;
        let findings = sink.check(&[source]).await.unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].subject, "full_page_writes");
    }
}
