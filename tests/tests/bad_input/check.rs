//! `culvert check`: the report in both forms, its exit codes, and that it changes nothing.

use culvert_tests::oracle::{Row, rows};
use culvert_tests::process::Finished;
use culvert_tests::{Culvert, Flavor, Server, both, shared};
use serde_json::Value;

use super::fixture::{Bed, JobText, LIMIT, PASSWORD, keeps_the_secret, says, spoilable};

/// The report of a check in JSON, with exactly its four keys.
fn report(finished: &Finished) -> Value {
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", finished.stdout, finished.stderr));
    let mut keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["errors", "patch_suggestion", "todo_items", "warnings"]);
    for list in ["errors", "warnings", "todo_items"] {
        for item in report[list].as_array().unwrap() {
            assert!(item["message"].is_string() && item["subject"].is_string(), "{item:#}");
        }
    }
    report
}

/// The items of a list whose message contains a text.
fn items<'r>(report: &'r Value, list: &str, part: &str) -> Vec<&'r Value> {
    let all = report[list].as_array().unwrap().iter();
    all.filter(|item| item["message"].as_str().unwrap().contains(part)).collect()
}

fn count(report: &Value, list: &str) -> usize {
    report[list].as_array().unwrap().len()
}

fn json(bed: &Bed<'_>, job: &JobText, more: &[&str], code: i32) -> Value {
    let mut arguments = vec!["--format", "json"];
    arguments.extend(more);
    let finished = bed.check(job, &arguments);
    finished.assert_code(code);
    report(&finished)
}

#[tokio::test]
async fn a_sound_job_has_no_problems_and_nothing_is_connected() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "check").await;
    let checked = bed.check(&bed.job(), &[]);
    says(&checked.assert_code(0).stdout, &["no problems found"]);

    // Nobody listens there: without --connect that is of no concern, with it nothing can be said.
    let nowhere = "\"jdbc:mysql://127.0.0.1:1/db\"";
    for job in [bed.job().source("url", nowhere), bed.job().sink("url", nowhere)] {
        let found = json(&bed, &job, &["--strict"], 0);
        assert_eq!(count(&found, "errors") + count(&found, "warnings") + count(&found, "todo_items"), 0);
        assert!(found["patch_suggestion"].is_null());
        let found = json(&bed, &job, &["--connect"], 2);
        assert_eq!(items(&found, "errors", "127.0.0.1:1").len(), 1, "{found:#}");
    }
    assert!(!bed.state().exists());
}

#[tokio::test]
async fn every_problem_of_the_file_is_told_at_once() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "check").await;
    let job = bed
        .job()
        .without_source(&["username"])
        .source("snapshot.split.size", "\"many\"")
        .source("sever-id", "7")
        .sink("batch_sise", "5")
        .sink("schema_save_mode", "\"SOMETIMES\"");
    let human = bed.check(&job, &[]);
    let at = |part: &str| format!("job.conf:{}", job.line(part));
    let said = [
        "error: ",
        "warning: ",
        &at("split.size"),
        &at("sever-id"),
        &at("batch_sise"),
        "did you mean 'server-id'?",
        "suggested edit:",
        "3 errors, 2 warnings, 0 to do",
    ];
    says(&human.assert_code(1).stdout, &said);

    let found = json(&bed, &job, &[], 1);
    assert_eq!((count(&found, "errors"), count(&found, "warnings"), count(&found, "todo_items")), (3, 2, 0));
    let [missing] = items(&found, "errors", "lacks required")[..] else { panic!("{found:#}") };
    assert!(missing["message"].as_str().unwrap().contains("'username'"));
    let [number] = items(&found, "errors", "whole number")[..] else { panic!("{found:#}") };
    assert!(number["location"].as_str().unwrap().ends_with(&at("split.size")));
    let patch = found["patch_suggestion"].as_str().unwrap();
    says(patch, &["-    sever-id = 7", "+    server-id = 7", "+    batch_size = 5", "username"]);
}

#[tokio::test]
async fn strict_makes_unknown_keys_errors() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "check").await;
    let job = bed.job().sink("batch_sise", "5").sink("pasword", format!("\"{PASSWORD}\""));
    let found = json(&bed, &job, &[], 0);
    assert_eq!((count(&found, "errors"), count(&found, "warnings")), (0, 2), "{found:#}");
    let found = json(&bed, &job, &["--strict"], 1);
    assert_eq!((count(&found, "errors"), count(&found, "warnings")), (2, 0), "{found:#}");
}

#[tokio::test]
async fn what_cannot_be_read_cannot_be_checked() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "check").await;
    let broken = bed.file("broken.conf", "env {\n source = \"");
    for path in [bed.path("missing.conf"), broken, bed.path("")] {
        let path = path.display().to_string();
        let finished = keeps_the_secret(Culvert::new(&["check", "-c", &path, "--format", "json"]).run(LIMIT));
        let found = report(finished.assert_code(2));
        assert_eq!(count(&found, "errors"), 1, "{found:#}");
        assert!(found["errors"][0]["location"].as_str().unwrap().starts_with(&path));
        let human = Culvert::new(&["check", "-c", &path]).run(LIMIT);
        says(&human.assert_code(2).stdout, &["error: ", &path]);
    }
}

#[tokio::test]
async fn missing_rights_are_to_do_with_the_statement_that_grants_them() {
    both(async |server| {
        let bed = Bed::new(server, "check").await;
        let reader = format!("r_{}", bed.db);
        bed.account(&reader, &[&format!("SELECT ON {}.*", bed.db)]).await;
        let job = bed.job().source("username", format!("\"{reader}\""));
        let found = json(&bed, &job, &["--connect"], 1);
        assert_eq!((count(&found, "errors"), count(&found, "todo_items")), (0, 2), "{found:#}");
        assert_eq!(items(&found, "todo_items", "REPLICATION SLAVE").len(), 1, "{found:#}");
        // What it says is what is needed.
        for item in found["todo_items"].as_array().unwrap() {
            server.execute(&[item["hint"].as_str().unwrap()]).await;
        }
        json(&bed, &job, &["--connect"], 0);
        let running = bed.start(&job).await;
        keeps_the_secret(running.terminate(LIMIT)).assert_code(0);

        let blind = format!("b_{}", bed.db);
        bed.account(&blind, &["REPLICATION SLAVE, REPLICATION CLIENT ON *.*"]).await;
        let found = json(&bed, &bed.job().source("username", format!("\"{blind}\"")), &["--connect"], 1);
        assert_eq!(items(&found, "todo_items", "SELECT").len(), 1, "{found:#}");

        // The sink's account may read only.
        bed.server.execute(&[&format!("DROP TABLE {}.culvert_commit", bed.db)]).await;
        let found = json(&bed, &bed.job().sink("username", format!("\"{reader}\"")), &["--connect"], 1);
        assert_eq!(items(&found, "todo_items", "commit markers").len(), 1, "{found:#}");
        let [lacks] = items(&found, "todo_items", "lacks the right INSERT")[..] else { panic!("{found:#}") };
        says(lacks["hint"].as_str().unwrap(), &["GRANT SELECT, INSERT ON", "w2"]);
    })
    .await;
}

#[tokio::test]
async fn connected_findings_name_tables_keys_and_columns() {
    both(async |server| {
        let bed = Bed::new(server, "check").await;
        let db = &bed.db;
        server
            .execute(&[
                &format!("CREATE TABLE {db}.narrow (id INT, row_kind VARCHAR(13))"),
                &format!("CREATE TABLE {db}.keyless (id INT, name VARCHAR(50))"),
            ])
            .await;
        let connect = |job: &JobText| json(&bed, job, &["--connect"], 1);

        let found = connect(&bed.job().source("password", "\"wrong\""));
        assert_eq!(items(&found, "errors", "Access denied").len(), 1, "{found:#}");
        let found = connect(&bed.job().sink("password", "\"wrong\""));
        assert_eq!(items(&found, "errors", "Access denied").len(), 1, "{found:#}");
        let found = connect(&bed.job().source("table-names", format!("[\"{db}.nothing\"]")));
        assert_eq!(items(&found, "errors", &format!("no table matches '{db}.nothing'")).len(), 1);
        let found = connect(&bed.job().sink("table", "narrow"));
        assert_eq!(items(&found, "errors", "no column `name`").len(), 1, "{found:#}");
        let found = connect(&bed.job().transforms(&[]).sink("table", "keyless"));
        assert_eq!(items(&found, "errors", &format!("{db}.keyless has no key")).len(), 1, "{found:#}");
        let missing = bed.job().sink("table", "missing").sink("schema_save_mode", "\"IGNORE\"");
        let found = connect(&missing);
        assert_eq!(items(&found, "errors", "does not exist").len(), 1, "{found:#}");
        let found =
            json(&bed, &bed.job().source("table-names", format!("[\"{db}.keyless\"]")), &["--connect"], 0);
        assert_eq!(items(&found, "warnings", "no primary key").len(), 1, "{found:#}");
    })
    .await;
}

/// Databases, tables, accounts and the end of the log.
async fn traces(server: &Server) -> Vec<Vec<Row>> {
    let log = match server.flavor() {
        Flavor::MariaDb => "SHOW MASTER STATUS",
        Flavor::MySql => "SHOW BINARY LOG STATUS",
    };
    let tables = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES";
    let mut conn = server.conn().await;
    let mut all = Vec::new();
    for query in [log, tables, "SELECT User, Host FROM mysql.user"] {
        all.push(rows(&mut conn, query).await);
    }
    all
}

#[tokio::test]
async fn a_connected_check_writes_nothing() {
    for flavor in Flavor::ALL {
        let held = spoilable(flavor).await;
        let bed = Bed::new(&held.server, "check").await;
        let before = traces(&held.server).await;
        for job in [
            bed.job(),
            // Targets that a run would create, empty or drop.
            bed.job().sink("table", "made").sink("schema_save_mode", "\"RECREATE_SCHEMA\""),
            bed.job().sink("data_save_mode", "\"DROP_DATA\""),
        ] {
            let checked = bed.check(&job, &["--connect", "--strict"]);
            // Nothing but that the servers of the tests wait for no disk.
            let told = ["innodb_flush_log_at_trx_commit is 2", "0 errors, 1 warning, 0 to do"];
            says(&checked.assert_code(0).stdout, &told);
        }
        assert_eq!(traces(&held.server).await, before);
        assert!(!bed.state().exists());
    }
}

#[tokio::test]
async fn a_connected_check_does_not_disturb_the_job_while_it_runs() {
    both(async |server| {
        let bed = Bed::new(server, "check").await;
        let mut running = bed.start(&bed.job()).await;
        bed.check(&bed.job(), &["--connect"]).assert_code(0);
        bed.insert(&[3]).await;
        bed.await_ids(&mut running, "1,2,3").await;
        let finished = keeps_the_secret(running.terminate(LIMIT));
        finished.assert_code(0);
        assert!(!finished.stderr.contains("next attempt"), "{}", finished.stderr);
    })
    .await;
}
