//! Where a job begins and where it ends.

use culvert_tests::{Database, Postgres, postgres_both};

use super::job::{JobSpec, TestJob, until};

struct Modes<'a> {
    source: Database<'a>,
    target: Database<'a>,
}

impl<'a> Modes<'a> {
    async fn new(server: &'a Postgres) -> Modes<'a> {
        let source = Database::fresh(server, "modes").await;
        let target = Database::fresh(server, "copy").await;
        source.run(&["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)"]).await;
        Modes { source, target }
    }

    fn name(&self, table: &str) -> String {
        format!("{} {table} {}", self.source.name(), self.source.port())
    }

    fn job(&self, table: &str, options: &str) -> TestJob {
        let name = self.name(table);
        let sink = format!("table = \"public.{table}\"");
        let spec = JobSpec {
            source_options: options,
            sink_options: &sink,
            ..JobSpec::mirror(&name, &self.source, &["t"], &self.target)
        };
        spec.ready()
    }

    async fn ids(&self, table: &str) -> String {
        let query = format!("SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM {table}");
        self.target.value(&query).await.expect("a text")
    }

    /// Runs a job to its own end and returns the ids at the target.
    async fn bounded(&self, table: &str, options: &str) -> String {
        self.job(table, options).run().assert_code(0);
        self.ids(table).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begin_and_end() {
    postgres_both(async |server| {
        let modes = Modes::new(server).await;
        assert_eq!(modes.bounded("initial", "stop.mode = LATEST").await, "1,2,3");
        assert_eq!(modes.bounded("snapshot", "startup.mode = \"snapshot-only\"").await, "1,2,3");
        let own = |name: &str| {
            let slot = JobSpec::slot(&modes.name(name));
            format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}'")
        };
        assert_eq!(
            modes.source.value(&own("snapshot")).await.as_deref(),
            Some("0"),
            "nobody would read from it"
        );

        // From now on, also across a kill before the first row.
        let job = modes.job("latest", "startup.mode = LATEST");
        let running = job.start();
        until(&modes.source, &(own("latest") + " AND active"), "1", &running).await;
        until(
            &modes.target,
            "SELECT count(*) FROM culvert_commit WHERE job LIKE '% latest %' AND checkpoint > 0",
            "1",
            &running,
        )
        .await;
        running.kill();
        modes.source.run(&["INSERT INTO t VALUES (4)"]).await;
        let running = job.start();
        until(&modes.target, "SELECT count(*) FROM latest WHERE id = 4", "1", &running).await;
        running.stop();
        assert_eq!(modes.ids("latest").await, "4");

        // Everything up to a place, and everything behind it, as far as a slot goes back.
        modes.source.run(&["INSERT INTO t VALUES (5)"]).await;
        for name in ["until", "behind", "committed", "earliest"] {
            let slot = JobSpec::slot(&modes.name(name));
            let (make, copy) = (
                format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
                format!("CREATE PUBLICATION \"{slot}\" FOR TABLE t"),
            );
            modes.source.run(&[&copy, &make]).await;
        }
        modes.source.run(&["INSERT INTO t VALUES (6)"]).await;
        let place = modes.source.value("SELECT pg_current_wal_lsn()").await.expect("a place");
        modes.source.run(&["INSERT INTO t VALUES (7)"]).await;
        let behind =
            format!("startup.mode = SPECIFIC, startup.specific-offset.lsn = \"{place}\", stop.mode = LATEST");
        assert_eq!(modes.bounded("behind", &behind).await, "7");
        let until =
            format!("startup.mode = EARLIEST, stop.mode = SPECIFIC, stop.specific-offset.lsn = \"{place}\"");
        assert_eq!(modes.bounded("until", &until).await, "6");
        for mode in ["committed-offset", "earliest"] {
            let table = mode.split('-').next().expect("a word");
            let options = format!("startup.mode = \"{mode}\", stop.mode = LATEST, slot.drop.on.stop = true");
            assert_eq!(modes.bounded(table, &options).await, "6,7");
            assert_eq!(modes.source.value(&own(table)).await.as_deref(), Some("0"), "{mode} drops its slot");
        }
        // Nothing was left there to go on from.
        modes.job("nothing", "startup.mode = \"committed-offset\"").refused(&["slot"]);
    })
    .await;
}
