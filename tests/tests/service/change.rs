//! A job between two databases whose file changes: tables come and go, and so does parallelism; and what is changed
//! while it runs goes on from the same place.

use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared, wait};
use serde_json::{Value, json};
use ureq::http::Method;

use super::LIMIT;
use super::api::Api;
use crate::postgres::job::JobSpec;

/// Waits until a table is the same on both sides.
async fn until_equal(source: &Database<'_>, target: &Database<'_>, table: &str, job: impl Fn() -> Value) {
    let query = |database: &Database<'_>| format!("SELECT id, v FROM {} ORDER BY id", database.table(table));
    let wanted = source.rows(&query(source)).await;
    assert!(!wanted.is_empty(), "{table}");
    wait::until_ok(LIMIT, &format!("{table} at the target"), async || {
        let found = target.query(&query(target)).await.map_err(|error| format!("{error}; {}", job()))?;
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{} rows of {}; {}", found.len(), wanted.len(), job()))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_parallelism_change_between_a_savepoint_and_a_restore() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "change").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "change").await;
    for table in ["a", "b", "c"] {
        source.run(&[&format!("CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(20))")]).await;
        let rows: Vec<String> = (0..500).map(|id| format!("({id}, 'first')")).collect();
        source.run(&[&format!("INSERT INTO {table} VALUES {}", rows.join(", "))]).await;
    }
    let text = |tables: &[&str], parallelism: u32| {
        let options = "snapshot.split.size = 50";
        let spec =
            JobSpec { source_options: options, ..JobSpec::mirror("changing", &source, tables, &target) };
        spec.text().replace("parallelism = 2", &format!("job.name = changing, parallelism = {parallelism}"))
    };
    let api = Api::start("").await;
    let id = api.submit(&text(&["a", "b"], 1));
    until_equal(&source, &target, "a", || api.job(&id)).await;
    until_equal(&source, &target, "b", || api.job(&id)).await;
    let paused = api.post(&format!("/api/v1/jobs/{id}/savepoint"), &json!({})).ok();
    assert_eq!(paused["status"], "SAVEPOINT_DONE");
    source.run(&["UPDATE a SET v = 'meanwhile' WHERE id % 3 = 0", "DELETE FROM b WHERE id % 7 = 0"]).await;

    // One table goes, one comes, and it is read by more connections. The target of the one that comes is made.
    let changed = json!({ "text": text(&["a", "c"], 4) });
    let restored = api.post(&format!("/api/v1/jobs/{id}/restore"), &changed).ok();
    assert_eq!(restored["restored"], true);
    until_equal(&source, &target, "c", || api.job(&id)).await;
    until_equal(&source, &target, "a", || api.job(&id)).await;
    let rows = target.value(&format!("SELECT COUNT(*) FROM {}", target.table("b"))).await;
    assert_eq!(rows.as_deref(), Some("500"), "b stays as it was when it left the file");

    // The same without a stop by hand.
    source.run(&["INSERT INTO c VALUES (1000, 'before')"]).await;
    let updated = api.call(Method::PUT, &format!("/api/v1/jobs/{id}"), &json!({ "text": text(&["c"], 2) }));
    assert_eq!(updated.ok()["id"], json!(id));
    source.run(&["INSERT INTO c VALUES (1001, 'behind')", "UPDATE c SET v = 'later' WHERE id < 100"]).await;
    until_equal(&source, &target, "c", || api.job(&id)).await;
    let job = api.job(&id);
    assert_eq!((job["status"].as_str(), &job["reason"]), (Some("RUNNING"), &Value::Null), "{job}");

    // Somebody dropped the target of one that the job had: the rows it held would be lost. The change is taken back,
    // and what the job did before does not go on either.
    target.run(&[&format!("DROP TABLE {}", target.table("c"))]).await;
    api.call(Method::PUT, &format!("/api/v1/jobs/{id}"), &json!({ "text": text(&["a", "c"], 2) }));
    let reason = wait::until_ok(LIMIT, "the job to fail", async || {
        let job = api.job(&id);
        let reason = job["reason"].as_str().unwrap_or_default().to_owned();
        if job["status"] == "FAILED" { Ok(reason) } else { Err(job.to_string()) }
    })
    .await;
    assert!(reason.contains("run: CREATE TABLE"), "{reason}");
    api.running.terminate(LIMIT).assert_code(0);
}
