//! A server that goes away, and an account that is wrong.

use culvert_api::{ErrorClass, ErrorKind, RowKindSet, Sink};
use culvert_tests::certificates::Certificates;
use culvert_tests::{ServerOptions, both, both_with};
use mysql_async::prelude::Queryable;

use crate::support::{JOB, Run, SINK, context, failure, people, people_in, rows, sink};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_leaves_all_or_nothing() {
    both_with(ServerOptions::default(), async |server| {
        let db = server.fresh_database("dies").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(&server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        run.write(rows(&source, &[("+I", 2, "b")])).await.unwrap();
        let committable = run.open.writer.prepare_commit(&run.marker()).await.unwrap();
        server.kill();
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
async fn a_killed_connection_is_transient_and_leaves_nothing() {
    both(async |server| {
        let db = server.fresh_database("cut").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let sink = sink(server, &db, &[]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.write(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        run.open.writer.flush().await.unwrap();
        let mut conn = server.conn().await;
        let ids: Vec<u64> = conn
            .query(format!("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{db}'"))
            .await
            .unwrap();
        assert_eq!(ids.len(), 1);
        conn.query_drop(format!("KILL {}", ids[0])).await.unwrap();
        let error = failure(run.commit().await);
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        assert_eq!(people_in(server, &db, "w").await, Vec::<String>::new());
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_is_contention_and_a_read_only_server_is_waited_for() {
    both_with(ServerOptions::default(), async |server| {
        let db = server.fresh_database("locked").await;
        let source = people("w", &["id"], RowKindSet::ALL);
        let user = "writer";
        server.create_user(user, &[&format!("ALL ON {db}.*")]).await;
        let url = format!("{}?sessionVariables=innodb_lock_wait_timeout=1", server.url(&db));
        let sink = sink(&server, &db, &[("url", url.as_str()), ("username", user)]).unwrap();
        let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        let mut holder = server.conn().await;
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder.query_drop(format!("UPDATE {db}.w SET name = 'held'")).await.unwrap();
        let error = failure(run.deliver(rows(&source, &[("-U", 1, "a"), ("+U", 1, "b")])).await);
        assert_eq!(error.kind(), ErrorKind::Contention, "{error}");
        holder.query_drop("ROLLBACK").await.unwrap();
        run.close().await;

        let mut run = Run::open(&sink, 2).await.unwrap();
        run.open.writer.prepare_tables(std::slice::from_ref(&source), false).await.unwrap();
        server.execute(&["SET GLOBAL read_only = 1"]).await;
        let error = failure(run.deliver(rows(&source, &[("+I", 2, "b")])).await);
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        server.execute(&["SET GLOBAL read_only = 0"]).await;
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_for_the_operator() {
    both(async |server| {
        let db = server.fresh_database("account").await;
        let sink = sink(server, &db, &[("password", "hunter2")]).unwrap();
        let error = failure(sink.open(&context(1)).await);
        assert_eq!(error.kind(), ErrorKind::Permission);
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
    let options = ServerOptions { tls: Some(certificates.clone()), ..ServerOptions::default() };
    both_with(options, async |server| {
        let db = server.fresh_database("tls").await;
        server.create_user("sealed", &[&format!("ALL ON {db}.*")]).await;
        server.execute(&["ALTER USER 'sealed'@'%' REQUIRE SSL"]).await;
        let open = async |params: &str| {
            let url = format!("{}?{params}", server.url(&db));
            let sink = sink(&server, &db, &[("url", url.as_str()), ("username", "sealed")]).unwrap();
            sink.committed(JOB, SINK, 0).await
        };
        let trusting = |path: &std::path::Path| {
            format!("sslMode=VERIFY_IDENTITY&trustCertificateKeyStoreUrl=file:{}", path.display())
        };
        assert_eq!(open("sslMode=REQUIRED").await.unwrap(), None);
        assert_eq!(open(&trusting(&certificates.ca)).await.unwrap(), None);
        assert_eq!(failure(open("sslMode=DISABLED").await).kind(), ErrorKind::Permission);
        let error = failure(open(&trusting(&stranger.ca)).await);
        assert_eq!(error.class(), ErrorClass::Operator, "{error}");
        let error = failure(open("sslMode=VERIFY_IDENTITY").await);
        assert_eq!(error.class(), ErrorClass::Operator, "{error}");
    })
    .await;
}
