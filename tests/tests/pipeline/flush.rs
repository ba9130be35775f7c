//! `sink.flush.interval`: when rows that a sink holds back reach the server.

use culvert_tests::{Database, Flavor, shared, wait};
use mysql_async::prelude::Queryable as _;

use crate::postgres::job::{JobSpec, LIMIT, TestJob, until};

/// Rows of the open transactions of others, as READ UNCOMMITTED shows them.
async fn uncommitted(target: &Database<'_>) -> u64 {
    let server = shared(Flavor::MariaDb).await;
    let mut conn = server.conn().await;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        .await
        .expect("the level is there");
    let query = format!("SELECT COUNT(*) FROM {}.t", target.name());
    conn.query_first(query).await.ok().flatten().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_reach_the_server_after_the_interval_and_not_before() {
    let server = shared(Flavor::MariaDb).await;
    let source = Database::fresh(server, "flush").await;
    source.run(&[&format!("CREATE TABLE {} (id int PRIMARY KEY)", source.table("t"))]).await;
    let mut jobs = Vec::new();
    for interval in [50, 3_600_000] {
        let target = Database::fresh(server, "flush").await;
        let name = format!("flush {interval} {}", source.name());
        let spec = JobSpec {
            source_options: "startup.mode = LATEST",
            sink_options: "batch_interval_ms = 3600000",
            ..JobSpec::mirror(&name, &source, &["t"], &target)
        };
        let text = spec.text();
        let rare = format!("sink.flush.interval = {interval}, checkpoint.interval = 3600000");
        let running = TestJob::new(&name, &text.replace("checkpoint.interval = 200", &rare)).start();
        // Behind the checkpoint that pins the start, the next one is an hour away.
        let marker = format!("SELECT MAX(checkpoint) FROM {}", target.table("culvert_commit"));
        until(&target, &marker, "1", &running).await;
        jobs.push((target, running));
    }
    let [(soon, first), (late, second)] = jobs.as_slice() else { unreachable!("two jobs") };
    for id in 1..=20 {
        source.run(&[&format!("INSERT INTO {} VALUES ({id})", source.table("t"))]).await;
        wait::until_ok(LIMIT, "the row at the first target", async || {
            first.assert_running();
            second.assert_running();
            let found = uncommitted(soon).await;
            if found == id { Ok(()) } else { Err(found) }
        })
        .await;
        // Twenty times as long as the other needed, it has held them all back.
        assert_eq!(uncommitted(late).await, 0, "after row {id}");
    }
    // A stop takes a checkpoint, and with it everything is there.
    for (target, running) in jobs {
        running.stop();
        let rows = target.value(&format!("SELECT COUNT(*) FROM {}", target.table("t"))).await;
        assert_eq!(rows.as_deref(), Some("20"));
    }
}
