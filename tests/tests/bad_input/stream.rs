//! What stops a running job for a person to act: and that the way out it names is one.

use culvert_tests::both;

use super::fixture::{Bed, LIMIT, keeps_the_secret, says};

#[tokio::test]
async fn an_emptied_table_stops_the_job_and_the_policy_lets_it_go_on() {
    both(async |server| {
        let bed = Bed::new(server, "truncate").await;
        let running = bed.start(&bed.job()).await;
        server.execute(&[&format!("TRUNCATE TABLE {}.w", bed.db)]).await;
        bed.insert(&[7]).await;
        let finished = keeps_the_secret(running.wait(LIMIT));
        finished.assert_code(2);
        says(&finished.stderr, &[&format!("{}.w", bed.db), "truncated", "truncate.policy = IGNORE"]);
        assert_eq!(bed.ids().await, "1,2", "a row from behind the stop arrived");

        // The same again: it does not get past by itself.
        bed.refused_rows(&bed.job(), &["truncate.policy"]).await;

        // The way out.
        let job = bed.job().source("truncate.policy", "IGNORE");
        let mut running = bed.run(&job).start();
        bed.await_ids(&mut running, "1,2,7").await;
        server.execute(&[&format!("TRUNCATE TABLE {}.w", bed.db)]).await;
        bed.insert(&[8]).await;
        bed.await_ids(&mut running, "1,2,7,8").await;
        keeps_the_secret(running.terminate(LIMIT)).assert_code(0);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_logs_statements_stops_the_job() {
    both(async |server| {
        let bed = Bed::new(server, "statement").await;
        let db = &bed.db;
        server.execute(&[&format!("CREATE TABLE {db}.other (id INT PRIMARY KEY)")]).await;
        let mut running = bed.start(&bed.job()).await;
        let by_statement = "SET SESSION binlog_format = 'STATEMENT'";
        // Of no concern: the job does not capture that table.
        server.execute(&[by_statement, &format!("INSERT INTO {db}.other VALUES (1)")]).await;
        bed.insert(&[3]).await;
        bed.await_ids(&mut running, "1,2,3").await;

        server.execute(&[by_statement, &format!("INSERT INTO {db}.w VALUES (4, 'hidden')")]).await;
        let finished = keeps_the_secret(running.wait(LIMIT));
        finished.assert_code(2);
        says(&finished.stderr, &[&format!("{db}.w"), "statement", "binlog_format=ROW"]);
        assert!(!finished.stderr.contains("hidden"), "a row value was printed:\n{}", finished.stderr);
        assert_eq!(bed.ids().await, "1,2,3");
    })
    .await;
}

#[tokio::test]
async fn a_server_id_of_another_running_job_is_told_as_such() {
    both(async |server| {
        let first = Bed::new(server, "first").await;
        let second = Bed::new(server, "second").await;
        let running = first.start(&first.job()).await;
        let job = second.job().source("server-id", first.server_id.to_string());
        let mut other = second.start(&job).await;
        // A server keeps the newer of two connections with one id.
        let finished = keeps_the_secret(running.wait(LIMIT));
        finished.assert_code(2);
        says(&finished.stderr, &["server-id", "another replica or job"]);
        second.insert(&[3]).await;
        second.await_ids(&mut other, "1,2,3").await;
        keeps_the_secret(other.terminate(LIMIT)).assert_code(0);
        // With an id of its own it goes on where it was.
        first.insert(&[3]).await;
        let mut running = first.run(&first.job().source("server-id", "80001")).start();
        first.await_ids(&mut running, "1,2,3").await;
        keeps_the_secret(running.terminate(LIMIT)).assert_code(0);
    })
    .await;
}
