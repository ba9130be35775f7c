//! A PostgreSQL whose commits are in the log for a while before anybody sees them.
//!
//! A commit that waits for a synchronous standby has been written to the log, and is decoded and
//! sent to whoever reads it, before its rows become visible to other sessions. The standby here
//! stands behind a proxy that holds its answers back.

use std::process::Command;
use std::time::Duration;

use culvert_tests::postgres::{PASSWORD, USER};
use culvert_tests::tied::TiedChild;
use culvert_tests::{Postgres, Proxy, scratch, wait};
use tokio::task::JoinHandle;

use super::job::LIMIT;

/// How long answers are held back, and how long they pass.
const HELD: Duration = Duration::from_millis(25);
const PASSED: Duration = Duration::from_millis(3);

/// The standby; without it commits of the server wait forever.
pub(crate) struct Widened {
    _standby: TiedChild,
    delay: JoinHandle<()>,
}

impl Widened {
    pub(crate) async fn new(server: &Postgres) -> Widened {
        let proxy = Proxy::start(server.port()).await;
        let folder = scratch::folder("w");
        let mut command = Command::new(server.version().program("pg_receivewal"));
        command.args(["--synchronous", "--no-loop", "--directory"]).arg(&folder);
        command.arg("--dbname").arg(format!(
            "host=127.0.0.1 port={} user={USER} password={PASSWORD} application_name=late",
            proxy.port()
        ));
        let standby = TiedChild::spawn(command).expect("pg_receivewal starts");
        let query = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'late' AND state = 'streaming'";
        wait::until(LIMIT, "the standby", async || {
            server.value("postgres", query).await.as_deref() == Some("1")
        })
        .await;
        server
            .execute(
                "postgres",
                &["ALTER SYSTEM SET synchronous_standby_names = 'late'", "SELECT pg_reload_conf()"],
            )
            .await;
        let sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        wait::until(LIMIT, "commits to wait for it", async || {
            server.value("postgres", sync).await.as_deref() == Some("1")
        })
        .await;
        let delay = tokio::spawn(async move {
            loop {
                proxy.stall(true);
                // The delay itself; nothing is waited for.
                tokio::time::sleep(HELD).await;
                proxy.stall(false);
                tokio::time::sleep(PASSED).await;
            }
        });
        Widened { _standby: standby, delay }
    }
}

impl Drop for Widened {
    fn drop(&mut self) {
        self.delay.abort();
    }
}
