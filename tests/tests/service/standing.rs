//! How far jobs are behind the logs of their sources, and what their servers keep for them: as the servers say.

use culvert_tests::database::assert_same;
use culvert_tests::{
    Database, Flavor, PgOptions, PgVersion, Postgres, Server, ServerOptions, kafka_shared, postgres_shared,
    shared, wait,
};
use serde_json::{Value, json};

use super::LIMIT;
use super::api::Api;
use crate::postgres::job::JobSpec;

/// Bytes that a slot may hold back before it is told of; fewer than are written while a target is locked.
const TOLD_BYTES: u64 = 20_000;
/// Transactions that are written while nothing can be committed at the target.
const HELD: u64 = 40;

/// The first source's figures of a job.
fn standing(api: &Api, id: &str) -> Value {
    api.job(id)["figures"]["sources"][0].clone()
}

/// Waits until an event of this type of a job is there.
async fn until_told(api: &Api, id: &str, kind: &str) -> Value {
    wait::until_ok(LIMIT, kind, async || {
        let told = api.get(&format!("/api/v1/events?job={id}&type={kind}")).ok();
        if told[0].is_object() { Ok(told) } else { Err(told.to_string()) }
    })
    .await
}

/// Waits until the first source's figures are as wanted; they are asked for every few seconds.
async fn until_standing(api: &Api, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until_ok(LIMIT, what, async || {
        let found = standing(api, id);
        if wanted(&found) { Ok(found) } else { Err(api.job(id).to_string()) }
    })
    .await
}

/// Starts a mirror of the table `t` by this account and waits until it has what was there before.
async fn mirror(api: &Api, source: &Database<'_>, target: &Database<'_>, user: &str) -> String {
    source
        .run(&["CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000))", "INSERT INTO t VALUES (0, 'first')"])
        .await;
    let name = format!("standing {} {}", source.name(), source.port());
    let text = JobSpec::mirror(&name, source, &["t"], target).text();
    let text = text.replacen("username = root", &format!("username = {user}"), 1);
    let more = format!("parallelism = 2, slot.retention.threshold = {TOLD_BYTES}, job.name = \"{name}\"");
    let id = api.submit(&text.replace("parallelism = 2", &more));
    wait::until_ok(LIMIT, "the rows that were there before", async || {
        let rows =
            target.query("SELECT id FROM t").await.map_err(|error| format!("{error}; {}", api.job(&id)))?;
        if rows.len() == 1 { Ok(()) } else { Err(api.job(&id).to_string()) }
    })
    .await;
    id
}

/// Writes transactions of one row each.
async fn write(source: &Database<'_>, ids: std::ops::Range<u64>) {
    for id in ids {
        source.run(&[&format!("INSERT INTO t VALUES ({id}, '{}')", "x".repeat(1500))]).await;
    }
}

/// The files of the binlog with their bytes, the oldest first.
async fn binlogs(source: &Database<'_>) -> Vec<(String, u64)> {
    let text = |value: &Option<String>| value.clone().expect("no NULL");
    let rows = source.rows("SHOW BINARY LOGS").await;
    rows.iter().map(|row| (text(&row[0]), text(&row[1]).parse().expect("a number"))).collect()
}

async fn of_a_binlog(flavor: Flavor, expire: (&str, u64)) {
    let server = Server::start(flavor, ServerOptions::default().arg(expire.0)).await;
    let source = Database::fresh(&server, "standing").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "standing").await;
    let api = Api::start("").await;
    let id = mirror(&api, &source, &target, "root").await;
    let level = |it: &Value| (it["lag_bytes"] == 0) && it["unread_bytes"] == 0 && it["lag_transactions"] == 0;
    write(&source, 1..2).await;
    wait::until_ok(LIMIT, "the row", async || {
        let rows = target.rows("SELECT id FROM t").await;
        if rows.len() == 2 { Ok(()) } else { Err(api.job(&id).to_string()) }
    })
    .await;
    let found = until_standing(&api, &id, "nothing to be behind", level).await;
    assert_eq!(found["source"], "MySQL-CDC");
    assert_eq!(
        found["binlog_purge_left_ms"],
        expire.1 * 1000,
        "the file that is written to has all its time"
    );
    assert_eq!((&found["slot_retained_bytes"], &found["lag_messages"]), (&Value::Null, &Value::Null));

    // The sink is stuck: what is written now is read, and no more than that.
    let before = binlogs(&source).await;
    let mut holder = postgres_shared(PgVersion::V17).await.client(target.name()).await;
    let lock = holder.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.expect("the lock");
    write(&source, 2..20).await;
    source.run(&["FLUSH BINARY LOGS"]).await;
    write(&source, 20..2 + HELD).await;
    let bytes = |files: &[(String, u64)]| files.iter().map(|(_, bytes)| bytes).sum::<u64>();
    // MariaDB notes in a new file, some time later, that the one before is done with.
    let (found, after, behind) = wait::until_ok(LIMIT, "the job to be behind", async || {
        let after = binlogs(&source).await;
        let behind = bytes(&after) - bytes(&before);
        let found = standing(&api, &id);
        if found["lag_bytes"] == behind && found["unread_bytes"] == 0 && found["lag_transactions"] == HELD {
            return Ok((found, after, behind));
        }
        Err(format!("{behind} bytes: {}", api.job(&id)))
    })
    .await;
    assert!(after.len() == before.len() + 1 && behind > HELD * 1500, "{after:?}");
    assert_eq!(found["binlog_files_before"], before.len() - 1);
    let left = found["binlog_purge_left_ms"].as_u64().expect("a time");
    assert!(left < expire.1 * 1000 && left > (expire.1 - LIMIT.as_secs()) * 1000, "{found}");
    let page = api.get("/metrics").text;
    let line =
        |name: &str| page.lines().any(|line| line.starts_with(name) && line.ends_with(&format!(" {behind}")));
    assert!(line("culvert_source_lag_bytes{"), "{page}");

    lock.rollback().await.expect("the lock is let go");
    until_standing(&api, &id, "to have caught up", level).await;
    assert_same((&source, "t"), (&target, "t")).await;
    let found =
        until_standing(&api, &id, "the new file", |it| it["binlog_files_before"] == after.len() - 1).await;
    assert_eq!(found["binlog_bytes_before"], bytes(&after[..after.len() - 1]));
    source.run(&[&format!("PURGE BINARY LOGS TO '{}'", after[after.len() - 1].0)]).await;
    until_standing(&api, &id, "the older files to be gone", |it| it["binlog_files_before"] == 0).await;
    let end_to_end = api.job(&id)["figures"]["end_to_end_lag_ms"].clone();
    assert!(end_to_end.as_u64().is_some_and(|ms| ms < LIMIT.as_millis() as u64), "{end_to_end}");

    // What is not asked is not told, and what is not running neither.
    api.post(&format!("/api/v1/jobs/{id}/pause"), &json!({})).ok();
    assert_eq!(api.job(&id)["figures"]["sources"], json!([]));
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_mysql() {
    of_a_binlog(Flavor::MySql, ("--binlog-expire-logs-seconds=100000", 100_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_mariadb() {
    of_a_binlog(Flavor::MariaDb, ("--expire-logs-days=2", 172_800)).await;
}

/// The right to ask goes while the job runs: there are no figures any more, and nothing else changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_server_that_does_not_say() {
    let server = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    let source = Database::fresh(&server, "standing").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "standing").await;
    server.create_user("cdc", &["SELECT, RELOAD, REPLICATION SLAVE, BINLOG MONITOR ON *.*"]).await;
    let api = Api::start("").await;
    let id = mirror(&api, &source, &target, "cdc").await;
    until_standing(&api, &id, "figures", |it| it["lag_bytes"] == 0).await;
    source.run(&["REVOKE BINLOG MONITOR ON *.* FROM 'cdc'@'%'"]).await;
    // A session keeps the rights it began with.
    let idle = "SELECT id FROM information_schema.processlist WHERE user = 'cdc' AND command = 'Sleep'";
    for session in source.rows(idle).await {
        source.run(&[&format!("KILL {}", session[0].as_deref().expect("a number"))]).await;
    }
    until_standing(&api, &id, "no figures", Value::is_null).await;
    write(&source, 1..5).await;
    wait::until_ok(LIMIT, "the rows", async || {
        let rows = target.rows("SELECT id FROM t").await;
        if rows.len() == 5 { Ok(()) } else { Err(api.job(&id).to_string()) }
    })
    .await;
    let job = api.job(&id);
    assert_eq!((&job["figures"]["restarts"], &job["figures"]["sources"]), (&json!(0), &json!([])), "{job}");
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_slot() {
    let options = PgOptions::default().setting("max_slot_wal_keep_size", "1GB");
    let server = Postgres::start(PgVersion::V17, options).await;
    let source = Database::fresh(&server, "standing").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "standing").await;
    let api = Api::start("").await;
    let id = mirror(&api, &source, &target, "root").await;
    until_standing(&api, &id, "figures", |it| it["lag_bytes"].is_u64()).await;

    let mut holder = postgres_shared(PgVersion::V17).await.client(target.name()).await;
    let lock = holder.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.expect("the lock");
    let end = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn";
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok()).expect("a number");
    let before = number(source.value(end).await);
    write(&source, 1..HELD).await;
    let written = number(source.value(end).await) - before;
    assert!(written > HELD * 1500);
    let behind = |it: &Value| it["lag_bytes"].as_u64().is_some_and(|lag| lag >= written);
    until_standing(&api, &id, &format!("to be {written} bytes behind"), behind).await;
    let slot =
        "SELECT pg_current_wal_lsn() - restart_lsn, safe_wal_size, wal_status FROM pg_replication_slots";
    wait::until_ok(LIMIT, "the figures of the slot to be the server's", async || {
        let told = source.rows(slot).await;
        let ours = standing(&api, &id);
        let ours = [&ours["slot_retained_bytes"], &ours["slot_safe_bytes"], &ours["slot_wal_status"]]
            .map(|value| Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        if told[0] == ours { Ok(()) } else { Err(format!("{ours:?}, the server: {told:?}")) }
    })
    .await;

    let told = until_told(&api, &id, "SLOT_RETENTION").await;
    assert!(told[0]["details"]["bytes"].as_u64() > Some(TOLD_BYTES), "{told}");

    lock.rollback().await.expect("the lock is let go");
    until_standing(&api, &id, "to have caught up", |it| it["lag_bytes"] == 0).await;
    assert_same((&source, "t"), (&target, "t")).await;
    let found = standing(&api, &id);
    assert_eq!((&found["lag_transactions"], &found["binlog_files_before"]), (&Value::Null, &Value::Null));
    let page = api.get("/metrics").text;
    for name in ["culvert_slot_retained_bytes{", "culvert_slot_safe_bytes{", "culvert_job_end_to_end_lag_ms{"]
    {
        assert!(page.lines().any(|line| line.starts_with(name)), "{name} in {page}");
    }
    assert!(page.contains("status=\"reserved\""), "{page}");
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_partitions_of_a_topic() {
    let kafka = kafka_shared().await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "standing").await;
    target.run(&["CREATE TABLE messages (id int PRIMARY KEY)"]).await;
    let topic = kafka.fresh_name("standing");
    kafka.create_topic(&topic, 2, &[]).await;
    let text = format!(
        "env {{ job.mode = STREAMING, job.name = \"{topic}\", checkpoint.interval = 200 }}\n\
         source {{ Kafka {{ bootstrap.servers = \"{}\", topic = \"{topic}\", consumer.group = \"{topic}\"\n  \
         start_mode = earliest, format = json, schema {{ fields {{ id = int }}, primaryKey {{ columnNames = [id] }} }} }} }}\n\
         sink {{ Jdbc {{ url = \"{}\", driver = \"org.postgresql.Driver\", username = postgres, password = root\n  \
         database = \"{}\", table = \"public.messages\", generate_sink_sql = true }} }}\n",
        kafka.bootstrap(),
        target.url(),
        target.name(),
    );
    let api = Api::start("").await;
    let id = api.submit(&text);
    kafka.send(&topic, 0, &["{\"id\": 1}"]).await;
    kafka.send(&topic, 1, &["{\"id\": 2}"]).await;
    let level = |it: &Value| it["lag_messages"] == 0;
    until_standing(&api, &id, "nothing to be behind", level).await;
    let mut holder = postgres_shared(PgVersion::V17).await.client(target.name()).await;
    let lock = holder.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE").await.expect("the lock");
    kafka.send(&topic, 0, &["{\"id\": 3}", "{\"id\": 4}", "{\"id\": 5}"]).await;
    kafka.send(&topic, 1, &["{\"id\": 6}"]).await;
    let found = until_standing(&api, &id, "to be four behind", |it| it["lag_messages"] == 4).await;
    assert_eq!((&found["source"], &found["lag_bytes"]), (&json!("Kafka"), &Value::Null));
    lock.rollback().await.expect("the lock is let go");
    until_standing(&api, &id, "to have caught up", level).await;
    api.running.terminate(LIMIT).assert_code(0);
}

/// Rejected rows are as many as there are dead letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_a_transform_turns_away() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "rejected").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "rejected").await;
    source
        .run(&[
            "CREATE TABLE p (id INT PRIMARY KEY, age INT)",
            "INSERT INTO p VALUES (1, 30), (2, 200), (3, 40)",
        ])
        .await;
    let rules = "DataValidator { row_error_handle_way = ROUTE_TO_TABLE, row_error_handle_way.error_table = letters\n  \
         field_rules = [{ field_name = age, rule_type = RANGE, min_value = 0, max_value = 150 }] }";
    let name = format!("rejected {} {}", source.name(), source.port());
    let spec = JobSpec { transform: rules, ..JobSpec::mirror(&name, &source, &["p"], &target) };
    let text = spec.text().replace("parallelism = 2", &format!("parallelism = 2, job.name = \"{name}\""));
    let api = Api::start("").await;
    let id = api.submit(&text);
    let reaches = async |row: u64| {
        wait::until_ok(LIMIT, &format!("row {row}"), async || {
            let query = format!("SELECT count(*) FROM p WHERE id = {row}");
            let found = target.query(&query).await.map_err(|error| format!("{error}; {}", api.job(&id)))?;
            if found[0][0].as_deref() == Some("1") { Ok(()) } else { Err(api.job(&id).to_string()) }
        })
        .await;
    };
    reaches(3).await;
    // A good row goes bad, a bad one gets well, one comes bad and goes.
    source
        .run(&[
            "UPDATE p SET age = 151 WHERE id = 1",
            "UPDATE p SET age = 50 WHERE id = 2",
            "INSERT INTO p VALUES (4, -1)",
            "DELETE FROM p WHERE id = 4",
            "INSERT INTO p VALUES (5, 1)",
        ])
        .await;
    reaches(5).await;
    let letters = target.value("SELECT count(*) FROM letters").await.expect("a number");
    assert_eq!(letters, "3");
    assert_eq!(api.job(&id)["figures"]["rows_rejected"].to_string(), letters);
    let page = api.get("/metrics").text;
    let line = page.lines().find(|line| line.starts_with("culvert_rows_rejected_total{")).expect("a figure");
    assert!(line.contains("transform=\"transform.datavalidator\"") && line.ends_with(" 3"), "{line}");
    wait::until_ok(LIMIT, "every rejected row to be told", async || {
        let told = until_told(&api, &id, "DEAD_LETTER_ROWS").await;
        let rows = |event: &Value| event["details"]["rows"].as_u64().unwrap_or_default();
        let rows: u64 = told.as_array().expect("a list").iter().map(rows).sum();
        if rows == 3 { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    api.running.terminate(LIMIT).assert_code(0);
}
