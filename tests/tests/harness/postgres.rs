//! Both PostgreSQL versions start, keep their data across stops and crashes, and follow their
//! options.

use std::process::Command;
use std::time::Duration;

use culvert_tests::certificates::Certificates;
use culvert_tests::oracle::postgres::{columns, rows};
use culvert_tests::postgres::{PASSWORD, USER, connect};
use culvert_tests::{
    PgOptions, PgVersion, Postgres, WalLevel, postgres_both, postgres_both_with, postgres_shared, scratch,
};

async fn show(server: &Postgres, setting: &str) -> String {
    server.value("postgres", &format!("SHOW {setting}")).await.unwrap_or_default()
}

#[tokio::test]
async fn both_versions_answer_as_themselves_with_a_logical_log() {
    postgres_both(async |server| {
        let number = server.version().number().to_string();
        assert!(show(server, "server_version").await.starts_with(&number));
        assert_eq!(show(server, "wal_level").await, "logical");
        assert_eq!(show(server, "max_prepared_transactions").await, "20");
        assert_eq!(show(server, "max_replication_slots").await, "200");
        assert_eq!(show(server, "server_encoding").await, "UTF8");
        let url = format!("jdbc:postgresql://127.0.0.1:{}/d", server.port());
        assert_eq!(server.url("d"), url);
        assert!(server.version().program("pg_recvlogical").exists());
    })
    .await;
}

#[tokio::test]
async fn postgres_does_not_run_as_root() {
    for version in PgVersion::ALL {
        let server = postgres_shared(version).await;
        let file = std::fs::read_to_string(server.data_folder().join("postmaster.pid")).unwrap();
        let pid = file.lines().next().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let uid = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert!(!uid.split_whitespace().skip(1).any(|id| id == "0"), "{uid}");
    }
}

#[tokio::test]
async fn a_postgres_database_per_test_differs_and_has_the_contributed_extensions() {
    postgres_both(async |server| {
        let (a, b) = (server.fresh_database("t").await, server.fresh_database("t").await);
        assert_ne!(a, b);
        let client = server.client(&a).await;
        for extension in ["hstore", "citext", "ltree"] {
            client.batch_execute(&format!("CREATE EXTENSION {extension}")).await.unwrap();
        }
        client.batch_execute("CREATE TABLE t (\"a.b\" text COLLATE \"und-x-icu\", n numeric)").await.unwrap();
        client.batch_execute("INSERT INTO t VALUES ('é', 'NaN'), (NULL, 1.50)").await.unwrap();
        assert_eq!(columns(&client, "t").await, ["a.b", "n"]);
        let text = |text: &str| Some(text.to_owned());
        let found = rows(&client, "SELECT * FROM t").await;
        assert_eq!(found, [vec![None, text("1.50")], vec![text("é"), text("NaN")]]);
    })
    .await;
}

#[tokio::test]
async fn roles_need_their_password_and_have_their_rights_and_no_more() {
    postgres_both(async |server| {
        let db = server.fresh_database("roles").await;
        server.execute(&db, &["CREATE TABLE t (a int)"]).await;
        let name = format!("reader of {db}");
        server.create_role(&name, "REPLICATION", &db, &["SELECT ON t"]).await;
        let client = connect(&server.config(&name, &db)).await.unwrap();
        assert!(rows(&client, "SELECT * FROM t").await.is_empty());
        assert!(client.batch_execute("INSERT INTO t VALUES (1)").await.is_err());
        let mut wrong = server.config(USER, &db);
        wrong.password("other");
        let refused = connect(&wrong).await.map(drop).unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("28P01"), "{refused:?} {PASSWORD}");
    })
    .await;
}

#[tokio::test]
async fn committed_rows_of_postgres_survive_a_stop_and_a_crash_on_the_same_port() {
    postgres_both_with(PgOptions::default(), async |server| {
        let port = server.port();
        server.execute("postgres", &["CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)"]).await;
        server.stop().await;
        assert!(connect(&server.config(USER, "postgres")).await.is_err());
        server.restart().await;
        let idle = server.client("postgres").await;
        server.execute("postgres", &["INSERT INTO t VALUES (2)"]).await;
        server.kill9();
        assert!(idle.batch_execute("SELECT 1").await.is_err());
        server.restart().await;
        assert_eq!(server.port(), port);
        assert_eq!(server.value("postgres", "SELECT count(*) FROM t").await.as_deref(), Some("2"));
    })
    .await;
}

#[tokio::test]
async fn a_frozen_postgres_answers_nobody_and_thaws() {
    let server = Postgres::start(PgVersion::V17, PgOptions::default()).await;
    let client = server.client("postgres").await;
    server.freeze();
    let mut answer = Box::pin(client.simple_query("SELECT 1"));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
    assert!(early.is_err(), "it answered while frozen");
    server.thaw();
    assert!(answer.await.is_ok());
}

#[tokio::test]
async fn postgres_options_reach_the_server() {
    let folder = scratch::folder("c");
    let tls = Certificates::generate(&folder);
    // The client of the harness speaks no TLS; `psql` does.
    let hba = ["hostnossl all postgres 127.0.0.1/32 trust", "hostssl all all 127.0.0.1/32 password"];
    let options = PgOptions {
        wal_level: WalLevel::Replica,
        wal_sender_timeout: Some("2s".into()),
        logical_decoding_work_mem: Some("64kB".into()),
        fsync: true,
        tls: Some(tls.clone()),
        hba: hba.map(String::from).to_vec(),
        ..PgOptions::default()
    };
    let options = options.setting("TimeZone", "Asia/Kolkata");
    postgres_both_with(options, async |server| {
        assert_eq!(show(&server, "wal_level").await, "replica");
        assert_eq!(show(&server, "wal_sender_timeout").await, "2s");
        assert_eq!(show(&server, "logical_decoding_work_mem").await, "64kB");
        assert_eq!(show(&server, "fsync").await, "on");
        assert_eq!(show(&server, "TimeZone").await, "Asia/Kolkata");
        let target = format!(
            "host=127.0.0.1 port={} user=postgres dbname=postgres password={PASSWORD} sslmode=verify-full \
             sslrootcert={}",
            server.port(),
            tls.ca.display()
        );
        let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let output =
            Command::new(server.version().program("psql")).args(["-XAtc", query, &target]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.trim(), "t", "{}", String::from_utf8_lossy(&output.stderr));
    })
    .await;
}
