//! The proxy breaks what it is told to break, and nothing else.

use std::time::Duration;

use culvert_tests::{Flavor, Proxy, Server, shared, wait};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

async fn connect(server: &Server, proxy: &Proxy) -> Result<Conn, mysql_async::Error> {
    Conn::new(Opts::from(server.opts("root").tcp_port(proxy.port()))).await
}

#[tokio::test]
async fn a_proxy_forwards_and_a_cut_resets_what_is_open() {
    let server = shared(Flavor::MariaDb).await;
    let proxy = Proxy::start(server.port()).await;
    let mut conn = connect(server, &proxy).await.unwrap();
    let long: Option<String> = conn.query_first("SELECT REPEAT('x', 1000000)").await.unwrap();
    assert_eq!(long.unwrap().len(), 1_000_000);
    assert!(proxy.bytes_from_target() > 1_000_000);
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
    proxy.cut();
    assert!(conn.query_drop("SELECT 1").await.is_err());
    let mut conn = connect(server, &proxy).await.unwrap();
    conn.query_drop("SELECT 1").await.unwrap();
    wait::until(Duration::from_secs(5), "the old connection to be gone", async || proxy.connections() == 1)
        .await;
}

#[tokio::test]
async fn a_cut_after_bytes_falls_in_the_middle_of_an_answer_once() {
    let server = shared(Flavor::MariaDb).await;
    let proxy = Proxy::start(server.port()).await;
    let mut conn = connect(server, &proxy).await.unwrap();
    let before = proxy.bytes_from_target();
    proxy.cut_after_bytes(400_000);
    assert!(proxy.cut_pending());
    assert!(conn.query_drop("SELECT REPEAT('x', 1000000)").await.is_err());
    assert_eq!(proxy.bytes_from_target() - before, 400_000);
    assert!(!proxy.cut_pending());
    let mut conn = connect(server, &proxy).await.unwrap();
    conn.query_drop("SELECT REPEAT('x', 1000000)").await.unwrap();
}

#[tokio::test]
async fn a_refusing_proxy_is_down_until_healed() {
    let server = shared(Flavor::MariaDb).await;
    let proxy = Proxy::start(server.port()).await;
    let mut conn = connect(server, &proxy).await.unwrap();
    proxy.refuse(true).await;
    assert!(conn.query_drop("SELECT 1").await.is_err());
    let raw = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port())).await;
    assert_eq!(raw.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.heal().await;
    connect(server, &proxy).await.unwrap();
}

#[tokio::test]
async fn a_stalled_proxy_is_silent_and_goes_on_where_it_was() {
    let server = shared(Flavor::MariaDb).await;
    let proxy = Proxy::start(server.port()).await;
    let mut conn = connect(server, &proxy).await.unwrap();
    proxy.stall(true);
    let answer = conn.query_first::<u32, _>("SELECT 42");
    tokio::pin!(answer);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut answer).await.is_err());
    assert_eq!(proxy.connections(), 1);
    proxy.heal().await;
    assert_eq!(answer.await.unwrap(), Some(42));
}
