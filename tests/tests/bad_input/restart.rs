//! Restarts that must not happen as asked: state in use, of another job, or ahead of what the
//! server and the target still have. Never a new snapshot in silence.

use culvert_tests::oracle::rows;
use culvert_tests::{Flavor, Server, both, wait};

use super::fixture::{Bed, LIMIT, keeps_the_secret, says, set_gtid_mode, spoilable};

impl Bed<'_> {
    /// Runs a job that has state and must be refused: exit code 2, the parts said, and the rows of
    /// the target as they were. The epoch in the marker may count up.
    pub(super) async fn refused_rows(&self, job: &super::fixture::JobText, said: &[&str]) {
        let before = self.ids().await;
        let finished = keeps_the_secret(self.run(job).run(LIMIT));
        finished.assert_code(2);
        says(&finished.stderr, said);
        assert_eq!(self.ids().await, before, "rows were written; it said:\n{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_state_folder_in_use_names_its_holder() {
    both(async |server| {
        let bed = Bed::new(server, "locked").await;
        let mut running = bed.start(&bed.job()).await;
        let holder = format!("process {}", running.id());
        let state = bed.state().display().to_string();
        let finished = keeps_the_secret(bed.run(&bed.job()).run(LIMIT));
        finished.assert_code(2);
        says(&finished.stderr, &[&state, "in use", &holder]);
        // The first run does not mind.
        bed.insert(&[3]).await;
        bed.await_ids(&mut running, "1,2,3").await;
        keeps_the_secret(running.terminate(LIMIT)).assert_code(0);
    })
    .await;
}

#[tokio::test]
async fn the_state_of_another_job_is_refused() {
    both(async |server| {
        let bed = Bed::new(server, "other").await;
        keeps_the_secret(bed.start(&bed.job()).await.terminate(LIMIT)).assert_code(0);
        let file = bed.file("job.conf", &bed.job().text());
        let said = [&*bed.state().display().to_string(), &bed.db, "`another`", "state folder of its own"];
        bed.refused_run(bed.run_file(&file, &["-n", "another"]), &said).await;
        // Another sink is another job, whatever its name.
        let text = bed.job().text();
        let console = format!("{}sink {{\n  Console {{ }}\n}}\n", &text[..text.find("sink {").unwrap()]);
        let file = bed.file("console.conf", &console);
        bed.refused_run(bed.run_file(&file, &[]), &["changed", "Console", "new name or state folder"]).await;
        // A file where the folder should be.
        let plain = bed.file("plain", "x").display().to_string();
        let file = bed.file("job.conf", &bed.job().text()).display().to_string();
        let culvert = culvert_tests::Culvert::new(&["run", "-c", &file, "--state", &plain]);
        bed.refused_run(culvert, &[&plain, "a folder, not a file"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_commit_marker_is_refused_until_asked_to_start_over() {
    both(async |server| {
        let bed = Bed::new(server, "marker").await;
        keeps_the_secret(bed.start(&bed.job()).await.terminate(LIMIT)).assert_code(0);
        server.execute(&[&format!("DROP TABLE {}.culvert_commit", bed.db)]).await;
        // The second refusal shows that the first left no marker behind.
        for _ in 0..2 {
            bed.refused(&bed.job(), &["no commit marker", &bed.db, "--fresh"]).await;
        }
        server.execute(&[&format!("DELETE FROM {}.w2", bed.db)]).await;
        let file = bed.file("job.conf", &bed.job().text());
        let mut running = bed.run_file(&file, &["--fresh"]).start();
        bed.await_ids(&mut running, "1,2").await;
        bed.insert(&[3]).await;
        bed.await_ids(&mut running, "1,2,3").await;
        keeps_the_secret(running.terminate(LIMIT)).assert_code(0);
    })
    .await;
}

/// Removes every log file but the newest, as soon as no connection reads them.
async fn purge(server: &Server) {
    server.execute(&["FLUSH BINARY LOGS"]).await;
    wait::until(LIMIT, "the old log files to be gone", async || {
        let mut conn = server.conn().await;
        let files = rows(&mut conn, "SHOW BINARY LOGS").await;
        let newest = files.last().and_then(|file| file[0].clone()).expect("a log file");
        server.execute(&[&format!("PURGE BINARY LOGS TO '{newest}'")]).await;
        rows(&mut conn, "SHOW BINARY LOGS").await.len() == 1
    })
    .await;
}

/// Stops a job, lets the log go away under it, and starts it again.
async fn restart_without_its_log(server: &Server, name: &str, gone: impl AsyncFn()) {
    let bed = Bed::new(server, name).await;
    keeps_the_secret(bed.start(&bed.job()).await.terminate(LIMIT)).assert_code(0);
    bed.insert(&[3]).await;
    gone().await;
    bed.insert(&[4]).await;
    for _ in 0..2 {
        bed.refused_rows(&bed.job(), &["binlog", "--fresh"]).await;
    }
    // The way out that it names.
    server.execute(&[&format!("DELETE FROM {}.w2", bed.db)]).await;
    let file = bed.file("job.conf", &bed.job().text());
    let mut running = bed.run_file(&file, &["--fresh"]).start();
    bed.await_ids(&mut running, "1,2,3,4").await;
    keeps_the_secret(running.terminate(LIMIT)).assert_code(0);
}

#[tokio::test]
async fn a_purged_log_is_never_a_silent_new_snapshot_on_mariadb() {
    let held = spoilable(Flavor::MariaDb).await;
    let server = &held.server;
    restart_without_its_log(server, "purge", async || purge(server).await).await;
    restart_without_its_log(server, "reset", async || server.execute(&["RESET MASTER"]).await).await;
}

#[tokio::test]
async fn a_purged_log_is_never_a_silent_new_snapshot_on_mysql() {
    let held = spoilable(Flavor::MySql).await;
    let server = &held.server;
    let reset = async || server.execute(&["RESET BINARY LOGS AND GTIDS"]).await;
    restart_without_its_log(server, "purge", async || purge(server).await).await;
    restart_without_its_log(server, "reset", reset).await;
    // By file and offset.
    set_gtid_mode(server, false).await;
    // So that the saved place is not in the file that a reset begins with.
    server.execute(&["FLUSH BINARY LOGS"]).await;
    restart_without_its_log(server, "purge", async || purge(server).await).await;
    server.execute(&["FLUSH BINARY LOGS"]).await;
    restart_without_its_log(server, "reset", reset).await;
    // The new file has grown past the place: there is a log there, and it is another one.
    let grown = async || {
        reset().await;
        server.execute(&["CREATE DATABASE IF NOT EXISTS filler", "CREATE TABLE filler.t (a TEXT)"]).await;
        for size in [60_000; 8] {
            server.execute(&[&format!("INSERT INTO filler.t VALUES (REPEAT('x', {size}))")]).await;
        }
        server.execute(&["DROP DATABASE filler"]).await;
    };
    restart_without_its_log(server, "reset", grown).await;
    set_gtid_mode(server, true).await;
}
