//! The commit marker and the fence.

use culvert_api::{ErrorKind, RowKindSet, Severity, Sink, SourceState};
use culvert_tests::both;

use crate::support::{JOB, Run, SINK, checked, context, failure, people, people_in, rows, sink};

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_marker_share_one_transaction() {
    both(async |server| {
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
    both(async |server| {
        let db = server.fresh_database("twice").await;
        let source = people("w2", &[], RowKindSet::INSERT_ONLY);
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
        run.close().await;
        // A new process that is not sure whether its commit happened.
        let mut run = Run::open(&sink, 2).await.unwrap();
        run.open.committer.commit(&first).await.unwrap();
        assert_eq!(failure(run.open.committer.commit(&second).await).kind(), ErrorKind::StateMismatch);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_an_older_epoch_fails_at_the_target() {
    both(async |server| {
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
async fn missing_rights_are_told_with_the_statement_to_run() {
    both(async |server| {
        let db = server.fresh_database("rights").await;
        server.execute(&[&format!("CREATE TABLE {db}.w (id int PRIMARY KEY, name varchar(50))")]).await;
        let user = format!("u_{db}");
        server.create_user(&user, &[&format!("SELECT, INSERT ON {db}.*")]).await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[("username", user.as_str())]).unwrap();
        let findings = checked(&sink, std::slice::from_ref(&source)).await;
        let told = |subject: &str| findings.iter().find(|finding| finding.subject == subject).unwrap();
        let marker = told(&format!("{db}.culvert_commit"));
        assert_eq!(marker.severity, Severity::Todo);
        assert!(marker.hint.as_ref().unwrap().contains("CREATE TABLE IF NOT EXISTS"), "{marker:?}");
        let table = told(&format!("{db}.w"));
        assert!(table.hint.as_ref().unwrap().contains("GRANT SELECT, UPDATE, DELETE ON"), "{table:?}");
        let error = failure(sink.open(&context(1)).await);
        assert_eq!(error.kind(), ErrorKind::Permission);
        assert!(error.to_string().contains("CREATE TABLE IF NOT EXISTS"), "{error}");

        server.execute(&[&format!("GRANT ALL ON {db}.* TO `{user}`@`%`")]).await;
        assert_eq!(checked(&sink, std::slice::from_ref(&source)).await, vec![]);
        let other = people("absent", &["id"], RowKindSet::ALL);
        assert_eq!(checked(&sink, &[other]).await, vec![]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_the_start_would_refuse_and_writes_nothing() {
    both(async |server| {
        let db = server.fresh_database("check").await;
        server.execute(&[&format!("CREATE TABLE {db}.w (id int, name varchar(50))")]).await;
        let sink = sink(server, &db, &[]).unwrap();
        let findings = checked(&sink, &[people("w", &["id"], RowKindSet::ALL)]).await;
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].severity, findings[0].subject.clone()), (Severity::Error, format!("{db}.w")));
        assert!(findings[0].hint.as_ref().unwrap().contains("ADD PRIMARY KEY"));
        server.execute(&[&format!("ALTER TABLE {db}.w ADD PRIMARY KEY (id)")]).await;
        let findings = checked(&sink, &[people("w", &["id"], RowKindSet::INSERT_ONLY)]).await;
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Warning));
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap(), None);
    })
    .await;
}
