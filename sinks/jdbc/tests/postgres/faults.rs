//! A server or a connection that goes away, at every step.

use culvert_api::{ErrorClass, ErrorKind, RowKindSet, Sink};
use culvert_tests::certificates::Certificates;
use culvert_tests::{PgOptions, Proxy, postgres_both, postgres_both_with};

use crate::postgres::support::{end_sessions, lines, people_in, sink};
use crate::support::{JOB, Run, SINK, context, failure, people, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_leaves_all_or_nothing() {
    postgres_both_with(PgOptions::default(), async |server| {
        let db = server.fresh_database("dies").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(&server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        run.write(rows(&source, &[("+I", 2, "b")])).await.unwrap();
        let committable = run.open.writer.prepare_commit(&run.marker()).await.unwrap();
        server.kill9();
        let error = failure(run.open.committer.commit(&committable).await);
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        // The session stays spoiled: nothing can slip through after the failure.
        let again = failure(run.write(rows(&source, &[("+I", 3, "c")])).await.and(run.commit().await));
        assert_eq!(again.class(), ErrorClass::Transient, "{again}");
        run.close().await;
        let refused = failure(sink.open(&context(2)).await);
        assert_eq!(refused.class(), ErrorClass::Transient, "{refused}");

        server.restart().await;
        let marker = sink.committed(JOB, SINK, 0).await.unwrap().unwrap();
        assert_eq!(marker.checkpoint, 1);
        assert_eq!(people_in(&server, &db, "w").await, ["1 a"]);
        let mut run = Run::open(&sink, 2).await.unwrap();
        run.open.writer.prepare_tables(std::slice::from_ref(&source), false).await.unwrap();
        run.deliver(rows(&source, &[("+I", 2, "b")])).await.unwrap();
        assert_eq!(people_in(&server, &db, "w").await, ["1 a", "2 b"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_session_is_transient_at_every_step_and_leaves_nothing() {
    postgres_both(async |server| {
        let db = server.fresh_database("cut").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[]).unwrap();
        Run::start(&sink, std::slice::from_ref(&source)).await.unwrap().close().await;
        for step in 0..6 {
            let mut run = Run::open(&sink, step + 2).await.unwrap();
            let tables = std::slice::from_ref(&source);
            let error = 'failed: {
                let cut = async |at: u64| {
                    if at == step {
                        assert!(end_sessions(server, &db).await >= 1);
                    }
                };
                cut(0).await;
                if let Err(error) = run.open.writer.prepare_tables(tables, false).await {
                    break 'failed error;
                }
                cut(1).await;
                if let Err(error) = run.write(rows(&source, &[("+I", 1, "a")])).await {
                    break 'failed error;
                }
                cut(2).await;
                if let Err(error) = run.open.writer.flush().await {
                    break 'failed error;
                }
                cut(3).await;
                if let Err(error) = run.write(rows(&source, &[("+I", 2, "b")])).await {
                    break 'failed error;
                }
                cut(4).await;
                let committable = match run.open.writer.prepare_commit(&run.marker()).await {
                    Ok(committable) => committable,
                    Err(error) => break 'failed error,
                };
                cut(5).await;
                failure(run.open.committer.commit(&committable).await)
            };
            assert_eq!(error.class(), ErrorClass::Transient, "{step}: {error}");
            assert!(failure(run.open.writer.flush().await).class() == ErrorClass::Transient, "{step}");
            run.close().await;
            assert_eq!(people_in(server, &db, "w").await, Vec::<String>::new(), "{step}");
            assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap().unwrap().checkpoint, 0, "{step}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_happened_or_not_and_the_marker_tells() {
    postgres_both(async |server| {
        let db = server.fresh_database("lost").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let proxy = Proxy::start(server.port()).await;
        let url = format!("jdbc:postgresql://127.0.0.1:{}/{db}", proxy.port());
        let far = sink(server, &db, &[("url", url.as_str())]).unwrap();
        let near = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&far, std::slice::from_ref(&source)).await.unwrap();
        run.write(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        let committable = run.open.writer.prepare_commit(&run.marker()).await.unwrap();
        // The answer to COMMIT has 18 bytes; before it may come the 11 that answer the end of a prepared
        // statement. Either way the cut falls into the answer.
        proxy.cut_after_bytes(14);
        let error = failure(run.open.committer.commit(&committable).await);
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        run.close().await;
        proxy.heal().await;
        // The server had the COMMIT: rows and marker are there, and committing again is nothing.
        let mut run = Run::open(&near, 2).await.unwrap();
        assert_eq!(run.checkpoint, 1);
        run.open.committer.commit(&committable).await.unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 a"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_is_contention() {
    postgres_both(async |server| {
        let db = server.fresh_database("locked").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let plain = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&plain, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        run.close().await;
        let holder = server.client(&db).await;
        holder.batch_execute("BEGIN; UPDATE w SET name = 'held'").await.unwrap();
        // The limit is the session's own; a shorter one, set for the database by a trigger of its own,
        // would be as good. Waiting half a minute is not for tests, so the server ends the wait.
        let waiting = tokio::spawn({
            let retrying = sink(server, &db, &[("max_retries", "1")]).unwrap();
            let source = source.clone();
            async move {
                let mut run = Run::open(&retrying, 2).await.unwrap();
                run.open.writer.prepare_tables(std::slice::from_ref(&source), false).await.unwrap();
                let done = run.deliver(rows(&source, &[("-U", 1, "a"), ("+U", 1, "b")])).await;
                run.close().await;
                done
            }
        });
        let waits =
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        culvert_tests::wait::until(std::time::Duration::from_secs(20), "the sink to wait", async || {
            lines(server, &db, waits).await.len() == 1
        })
        .await;
        holder.batch_execute("ROLLBACK").await.unwrap();
        waiting.await.unwrap().unwrap();
        assert_eq!(people_in(server, &db, "w").await, ["1 b"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_for_the_operator() {
    postgres_both(async |server| {
        let db = server.fresh_database("account").await;
        let sink = sink(server, &db, &[("password", "hunter2")]).unwrap();
        let error = failure(sink.open(&context(1)).await);
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_verified_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::generate(folder.path());
    let stranger = folder.path().join("stranger");
    std::fs::create_dir(&stranger).unwrap();
    let stranger = Certificates::generate(&stranger);
    let options = PgOptions { tls: Some(certificates.clone()), ..PgOptions::default() };
    postgres_both_with(options, async |server| {
        let db = server.fresh_database("tls").await;
        let open = async |params: &str| {
            let url = format!("{}?{params}", server.url(&db));
            sink(&server, &db, &[("url", url.as_str())]).unwrap().committed(JOB, SINK, 0).await
        };
        let trusting = |path: &std::path::Path| format!("sslmode=verify-full&sslrootcert={}", path.display());
        assert_eq!(open("sslmode=require").await.unwrap(), None);
        assert_eq!(open(&trusting(&certificates.ca)).await.unwrap(), None);
        let error = failure(open(&trusting(&stranger.ca)).await);
        assert_eq!(error.class(), ErrorClass::Operator, "{error}");
    })
    .await;
}
