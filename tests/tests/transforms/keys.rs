//! Keys that are renamed, hidden and encrypted, and values that the log leaves out.

use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use crate::postgres::job::{JobSpec, until, until_rows};

/// Changes of every kind, keys included, to a table `t (id, name)` with text keys.
const CHANGES: &[&str] = &[
    "UPDATE t SET name = 'x' WHERE id = 'a'",
    "UPDATE t SET id = 'bb' WHERE id = 'b'",
    "DELETE FROM t WHERE id = 'c'",
    "INSERT INTO t VALUES ('end', 'end')",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_key_is_a_key() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "sealed").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "sealed").await;
    let back = Database::fresh(postgres_shared(PgVersion::V17).await, "opened").await;
    let create = "CREATE TABLE t (id varchar(20) PRIMARY KEY, name varchar(20))";
    source.run(&[create, "INSERT INTO t VALUES ('a', 'Ann'), ('b', 'Bob'), ('c', 'Cid')"]).await;
    let key = "key = \"base64:AAAAAAAAAAAAAAAAAAAAAA==\"";
    let seal = format!("FieldEncrypt {{ fields = [id, name], {key} }}");
    let name = format!("sealed {}", source.name());
    let job = JobSpec { transform: &seal, ..JobSpec::mirror(&name, &source, &["t"], &target) }.ready();
    let running = job.start();
    until_rows(&target, "t", 3, &running).await;
    source.run(CHANGES).await;
    until(&target, "SELECT count(*) FROM t WHERE length(name) > 0", "3", &running).await;

    // Read back through the other mode, from the log of the target.
    let open = format!("FieldEncrypt {{ fields = [id, name], mode = DECRYPT, {key} }}");
    let opened = format!("opened {}", source.name());
    let job = JobSpec { transform: &open, ..JobSpec::mirror(&opened, &target, &["t"], &back) }.ready();
    let reading = job.start();
    until(&back, "SELECT count(*) FROM t WHERE id = 'end'", "1", &reading).await;
    let rows = "SELECT string_agg(id || ':' || name, ',' ORDER BY id) FROM t";
    assert_eq!(back.value(rows).await.as_deref(), Some("a:x,bb:Bob,end:end"));
    assert_eq!(
        target.value("SELECT count(*) FROM t WHERE name LIKE 'x%' OR id = 'a'").await.as_deref(),
        Some("0")
    );
    running.stop();
    reading.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_key_is_the_key_and_shapes_are_followed() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "renamed").await;
    let target = Database::fresh(shared(Flavor::MariaDb).await, "renamedto").await;
    let create = "CREATE TABLE t (id varchar(20) PRIMARY KEY, name varchar(20))";
    source.run(&[create, "INSERT INTO t VALUES ('a', 'Ann'), ('b', 'Bob'), ('c', 'Cid')"]).await;
    let transform = "FieldRename { convert_case = UPPER, prefix = F_ }\n TableRename { suffix = _copy }";
    let name = format!("renamed {}", source.name());
    let source_options = "schema-changes.enabled = true";
    let job =
        JobSpec { transform, source_options, ..JobSpec::mirror(&name, &source, &["t"], &target) }.ready();
    let running = job.start();
    until_rows(&target, "t_copy", 3, &running).await;
    source.run(CHANGES).await;
    source.run(&["ALTER TABLE t ADD COLUMN more int", "INSERT INTO t VALUES ('last', 'z', 7)"]).await;
    until(&target, "SELECT count(*) FROM t_copy WHERE F_ID = 'last'", "1", &running).await;
    let rows = "SELECT group_concat(F_ID, ':', F_NAME, ':', coalesce(F_MORE, '-') ORDER BY F_ID) FROM t_copy";
    assert_eq!(target.value(rows).await.as_deref(), Some("a:x:-,bb:Bob:-,end:end:-,last:z:7"));
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_of_a_value_that_the_log_leaves_out_stays_at_the_target() {
    let source = Database::fresh(postgres_shared(PgVersion::V17).await, "kept").await;
    let target = Database::fresh(shared(Flavor::MariaDb).await, "kept").await;
    source
        .run(&[
            "CREATE TABLE t (id int PRIMARY KEY, n int, doc text)",
            "ALTER TABLE t ALTER doc SET STORAGE EXTERNAL",
            "INSERT INTO t SELECT 1, 0, '{\"v\": 42, \"long\": \"' || repeat('a', 9000) || '\"}'",
        ])
        .await;
    let transform = "RegexExtract { source_field = doc, regex_pattern = \"\\\"v\\\": (\\\\d+)\", output_fields = [v] }\n \
         Replace { replace_field = doc, pattern = \"a+\", replacement = b, is_regex = true }";
    let name = format!("kept {}", source.name());
    let job = JobSpec { transform, ..JobSpec::mirror(&name, &source, &["t"], &target) }.ready();
    let running = job.start();
    until_rows(&target, "t", 1, &running).await;
    source.run(&["UPDATE t SET n = 1"]).await;
    until(&target, "SELECT n FROM t", "1", &running).await;
    let row = target.rows("SELECT id, n, doc, v FROM t").await;
    let kept = ["1", "1", "{\"v\": 42, \"long\": \"b\"}", "42"].map(|text| Some(text.to_owned())).to_vec();
    assert_eq!(row, [kept]);
    running.stop();
}
