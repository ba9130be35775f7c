//! Where a job begins and where it ends.

use culvert_tests::{Flavor, RowMetadata, Server, ServerOptions, oracle};
use mysql_async::Row;
use mysql_async::prelude::Queryable;

use super::{JobSpec, LIMIT, TestJob, until_count};

struct Modes {
    server: Server,
    source: String,
    target: String,
}

impl Modes {
    /// Row 1 lies in the first log file, row 2 in the second, row 3 in the third.
    async fn new(flavor: Flavor, gtid: bool) -> Modes {
        let options = ServerOptions { gtid, row_metadata: RowMetadata::Minimal, ..ServerOptions::default() };
        let server = Server::start(flavor, options).await;
        let source = server.fresh_database("modes").await;
        let target = server.fresh_database("copy").await;
        server
            .execute(&[
                &format!("CREATE TABLE {source}.t (id INT PRIMARY KEY)"),
                &format!("INSERT INTO {source}.t VALUES (1)"),
                "FLUSH BINARY LOGS",
                &format!("INSERT INTO {source}.t VALUES (2)"),
                "FLUSH BINARY LOGS",
                &format!("INSERT INTO {source}.t VALUES (3)"),
            ])
            .await;
        Modes { server, source, target }
    }

    /// File and offset of the log's end, and the GTIDs up to there.
    async fn end(&self) -> (String, u64, String) {
        let mut conn = self.server.conn().await;
        let (statement, gtids) = match self.server.flavor() {
            Flavor::MariaDb => ("SHOW MASTER STATUS", "SELECT @@gtid_binlog_pos"),
            Flavor::MySql => ("SHOW BINARY LOG STATUS", "SELECT @@GLOBAL.gtid_executed"),
        };
        let row: Row = conn.query_first(statement).await.expect("it answers").expect("a row");
        let gtids: String = conn.query_first(gtids).await.expect("it answers").expect("a row");
        (row.get(0).expect("a file"), row.get(1).expect("an offset"), gtids.replace('\n', ""))
    }

    fn job(&self, name: &str, source: &str) -> TestJob {
        TestJob::new(&JobSpec {
            name: &format!("modes-{}-{name}", self.source),
            source_url: self.server.url(&self.source),
            server_id: 4713,
            tables: &[&format!("{}.t", self.source)],
            source,
            transform: "",
            sink_url: self.server.url(&self.target),
            target_database: &self.target,
            sink: &format!("table = {name}"),
        })
    }

    /// Runs a job to its own end and returns the ids at the target.
    async fn bounded(&self, name: &str, source: &str) -> Vec<String> {
        self.job(name, source).start().wait(LIMIT).assert_code(0);
        self.ids(name).await
    }

    /// Starts a job, adds a row once it runs, and returns the ids after it has arrived.
    async fn endless(&self, name: &str, source: &str, id: u32) -> Vec<String> {
        let mut running = self.job(name, source).start();
        running.wait_for_stderr(LIMIT, "following the binlog").await;
        until_count(
            &self.server,
            &format!(
                "SELECT COUNT(*) FROM {}.culvert_commit WHERE job LIKE '%-{name}' AND checkpoint > 0",
                self.target
            ),
            1,
            Some(&running),
        )
        .await;
        self.server.execute(&[&format!("INSERT INTO {}.t VALUES ({id})", self.source)]).await;
        until_count(
            &self.server,
            &format!("SELECT COUNT(*) FROM {}.{name} WHERE id = {id}", self.target),
            1,
            Some(&running),
        )
        .await;
        running.terminate(LIMIT).assert_code(0);
        self.ids(name).await
    }

    async fn ids(&self, table: &str) -> Vec<String> {
        let mut conn = self.server.conn().await;
        let rows = oracle::rows(&mut conn, &format!("SELECT id FROM {}.{table}", self.target)).await;
        rows.into_iter().map(|mut row| row.remove(0).expect("an id")).collect()
    }
}

async fn begin_and_end(flavor: Flavor, gtid: bool) {
    let modes = Modes::new(flavor, gtid).await;
    let (file, offset, gtids) = modes.end().await;
    // The table's creation is in the log, too: the snapshot modes must not see it twice.
    assert_eq!(modes.bounded("initial", "stop.mode = LATEST").await, ["1", "2", "3"]);
    assert_eq!(modes.bounded("snapshot", "startup.mode = \"snapshot-only\"").await, ["1", "2", "3"]);
    let all = modes.bounded("earliest", "startup.mode = EARLIEST, stop.mode = LATEST").await;
    assert_eq!(all, ["1", "2", "3"]);
    assert_eq!(modes.endless("latest", "startup.mode = LATEST", 4).await, ["4"]);
    let specific = format!(
        "startup.mode = SPECIFIC, startup.specific-offset.file = \"{file}\", startup.specific-offset.pos = {offset}, stop.mode = LATEST"
    );
    assert_eq!(modes.bounded("specific", &specific).await, ["4"]);
    let until = format!(
        "startup.mode = EARLIEST, stop.mode = SPECIFIC, stop.specific-offset.file = \"{file}\", stop.specific-offset.pos = {offset}"
    );
    assert_eq!(modes.bounded("until", &until).await, ["1", "2", "3"]);
    if gtid {
        let behind = format!(
            "startup.mode = SPECIFIC, startup.specific-offset.gtid-set = \"{gtids}\", stop.mode = LATEST"
        );
        assert_eq!(modes.bounded("behind", &behind).await, ["4"]);
    }
    // The server's clock counts seconds here: the next row is in a later one.
    let mut conn = modes.server.conn().await;
    let _: Option<u8> = conn.query_first("SELECT SLEEP(1.1)").await.expect("it answers");
    let now: Option<u64> = conn.query_first("SELECT UNIX_TIMESTAMP()").await.expect("it answers");
    let now = now.expect("a time") * 1000;
    modes.server.execute(&[&format!("INSERT INTO {}.t VALUES (5)", modes.source)]).await;
    let later = format!("startup.mode = TIMESTAMP, startup.timestamp = {now}, stop.mode = LATEST");
    assert_eq!(modes.bounded("later", &later).await, ["5"]);
    let before = format!("startup.mode = EARLIEST, stop.mode = TIMESTAMP, stop.timestamp = {}", now - 500);
    assert_eq!(modes.bounded("before", &before).await, ["1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begin_and_end_on_mariadb() {
    begin_and_end(Flavor::MariaDb, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begin_and_end_on_mysql() {
    begin_and_end(Flavor::MySql, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begin_and_end_on_mysql_without_gtids() {
    begin_and_end(Flavor::MySql, false).await;
}
