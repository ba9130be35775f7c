//! Both servers start, keep their data across stops and crashes, and follow their options.

use std::time::Duration;

use culvert_tests::certificates::Certificates;
use culvert_tests::oracle::rows;
use culvert_tests::{
    BinlogFormat, Flavor, RowImage, RowMetadata, Server, ServerOptions, both, both_with, shared, wait,
};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, SslOpts};

async fn value(server: &Server, query: &str) -> String {
    rows(&mut server.conn().await, query).await.concat().remove(0).unwrap_or_else(|| "NULL".into())
}

#[tokio::test]
async fn both_servers_answer_as_themselves_with_a_row_binlog() {
    both(async |server| {
        let version = value(server, "SELECT VERSION()").await;
        assert_eq!(version.contains("MariaDB"), server.flavor() == Flavor::MariaDb, "{version}");
        assert_eq!(value(server, "SELECT @@port").await, server.port().to_string());
        assert_eq!(value(server, "SELECT @@binlog_format").await, "ROW");
        assert_eq!(value(server, "SELECT @@binlog_row_image").await, "FULL");
        assert_eq!(value(server, "SELECT @@binlog_row_metadata").await, "FULL");
        assert!(server.data_folder().join("binlog.000001").exists());
        assert_eq!(server.url("d"), format!("jdbc:mysql://127.0.0.1:{}/d", server.port()));
        assert!(server.binary().exists() && server.flavor().binlog_reader().exists());
    })
    .await;
}

#[tokio::test]
async fn servers_do_not_run_as_root() {
    for flavor in Flavor::ALL {
        let server = shared(flavor).await;
        let pid = std::fs::read_to_string(server.data_folder().join("../pid")).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
        let uid = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert!(!uid.split_whitespace().skip(1).any(|id| id == "0"), "{uid}");
    }
}

#[tokio::test]
async fn a_database_per_test_differs_and_is_empty() {
    both(async |server| {
        let (a, b) = (server.fresh_database("t").await, server.fresh_database("t").await);
        assert_ne!(a, b);
        assert_eq!(rows(&mut server.conn().await, &format!("SHOW TABLES FROM {a}")).await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn users_have_the_rights_they_were_given_and_no_more() {
    both(async |server| {
        let db = server.fresh_database("users").await;
        server.execute(&[&format!("CREATE TABLE {db}.t (a INT)")]).await;
        let name = format!("reader_{db}");
        for _ in 0..2 {
            server.create_user(&name, &[&format!("SELECT ON {db}.*"), "REPLICATION SLAVE ON *.*"]).await;
        }
        let mut conn = Conn::new(Opts::from(server.opts(&name))).await.unwrap();
        assert_eq!(rows(&mut conn, &format!("SELECT * FROM {db}.t")).await.len(), 0);
        let refused = conn.query_drop(format!("INSERT INTO {db}.t VALUES (1)")).await;
        assert!(refused.unwrap_err().to_string().contains("denied"));
    })
    .await;
}

#[tokio::test]
async fn committed_rows_survive_a_stop_and_a_crash_on_the_same_port() {
    both_with(ServerOptions::default(), async |server| {
        let port = server.port();
        server.execute(&["CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY)"]).await;
        server.execute(&["INSERT INTO d.t VALUES (1)"]).await;
        server.stop_graceful().await;
        assert!(Conn::new(Opts::from(server.opts("root"))).await.is_err());
        server.restart().await;
        server.execute(&["INSERT INTO d.t VALUES (2)"]).await;
        server.kill();
        assert!(Conn::new(Opts::from(server.opts("root"))).await.is_err());
        server.restart().await;
        server.execute(&["INSERT INTO d.t VALUES (3)"]).await;
        server.restart().await;
        assert_eq!(server.port(), port);
        assert_eq!(value(&server, "SELECT GROUP_CONCAT(a ORDER BY a) FROM d.t").await, "1,2,3");
    })
    .await;
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_it_goes_on() {
    both_with(ServerOptions::default(), async |server| {
        let mut conn = server.conn().await;
        server.pause();
        let answer = conn.query_drop("SELECT 1");
        tokio::pin!(answer);
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut answer).await.is_err());
        server.resume();
        tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn two_servers_of_one_flavor_differ_in_everything_that_must() {
    let first = Server::mysql(ServerOptions::default()).await;
    let second = Server::mysql(ServerOptions { server_id: 7, ..Default::default() }).await;
    for variable in ["@@server_uuid", "@@port", "@@server_id", "@@datadir"] {
        let query = format!("SELECT {variable}");
        assert_ne!(value(&first, &query).await, value(&second, &query).await, "{variable}");
    }
}

#[tokio::test]
async fn options_reach_mysql() {
    let options = ServerOptions {
        gtid: false,
        row_metadata: RowMetadata::NoLog,
        transaction_compression: true,
        binlog_format: BinlogFormat::Mixed,
        row_image: RowImage::NoBlob,
        fsync: true,
        server_id: 55,
        ..Default::default()
    };
    let server = Server::mysql(options.arg("--max-allowed-packet=64M")).await;
    for (variable, wanted) in [
        ("gtid_mode", "OFF"),
        ("binlog_row_metadata", "MINIMAL"),
        ("binlog_transaction_compression", "1"),
        ("binlog_format", "MIXED"),
        ("binlog_row_image", "NOBLOB"),
        ("sync_binlog", "1"),
        ("server_id", "55"),
        ("max_allowed_packet", "67108864"),
    ] {
        assert_eq!(value(&server, &format!("SELECT @@global.{variable}")).await, wanted, "{variable}");
    }
}

#[tokio::test]
async fn options_reach_mariadb() {
    let options = ServerOptions {
        row_metadata: RowMetadata::NoLog,
        transaction_compression: true,
        binlog_format: BinlogFormat::Statement,
        row_image: RowImage::Minimal,
        fsync: true,
        ..Default::default()
    };
    let server = Server::mariadb(options).await;
    for (variable, wanted) in [
        ("binlog_row_metadata", "NO_LOG"),
        ("log_bin_compress", "1"),
        ("binlog_format", "STATEMENT"),
        ("binlog_row_image", "MINIMAL"),
        ("innodb_flush_log_at_trx_commit", "1"),
        ("sync_binlog", "1"),
    ] {
        assert_eq!(value(&server, &format!("SELECT @@global.{variable}")).await, wanted, "{variable}");
    }
}

#[tokio::test]
async fn a_server_without_a_binlog_has_none() {
    both_with(ServerOptions { log_bin: false, ..Default::default() }, async |server| {
        assert_eq!(value(&server, "SELECT @@log_bin").await, "0");
    })
    .await;
}

#[tokio::test]
async fn tls_is_offered_with_the_given_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Certificates::generate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let stranger = Certificates::generate(other.path());
    both_with(ServerOptions { tls: Some(tls.clone()), ..Default::default() }, async |server| {
        let connect = async |ca: &std::path::Path| {
            let trust = SslOpts::default().with_root_certs(vec![ca.to_path_buf().into()]);
            let trust = trust.with_disable_built_in_roots(true);
            Conn::new(Opts::from(server.opts("root").ssl_opts(trust))).await
        };
        let mut conn = connect(&tls.ca).await.unwrap();
        let cipher = rows(&mut conn, "SHOW STATUS LIKE 'Ssl_cipher'").await.concat().remove(1).unwrap();
        assert!(!cipher.is_empty());
        assert!(connect(&stranger.ca).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_data() {
    both_with(ServerOptions::default(), async |server| {
        let data = server.data_folder();
        let pid = std::fs::read_to_string(data.join("../pid")).unwrap();
        drop(server);
        assert!(!data.exists());
        wait::until(Duration::from_secs(5), "the process to be gone", async || {
            !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists()
        })
        .await;
    })
    .await;
}
