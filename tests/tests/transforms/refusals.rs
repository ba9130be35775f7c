//! What a transform cannot do is told with its name, the table, the column and what to do.

use std::time::Duration;

use culvert_tests::{Culvert, Database, Flavor, scratch, shared};

use crate::postgres::job::{JobSpec, until_rows};

/// A source with `t (id, name, secret)` and a target.
async fn pair(prefix: &str) -> (Database<'static>, Database<'static>, String) {
    let server = shared(Flavor::MariaDb).await;
    let source = Database::fresh(server, prefix).await;
    let target = Database::fresh(server, &format!("{prefix}to")).await;
    let create = "CREATE TABLE t (id int PRIMARY KEY, name varchar(20), secret varchar(20))";
    source.run(&[create, "INSERT INTO t VALUES (1, 'Ann', 'x')"]).await;
    let name = format!("{prefix} {}", source.name());
    (source, target, name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transforms_of_seatunnel_that_are_not_here_are_refused_by_name() {
    let (source, target, name) = pair("unknown").await;
    for (transform, said) in [
        ("LLM { model = x }", ["transform 'LLM' is known and not supported", "behind the target"]),
        ("DynamicCompile { }", ["'DynamicCompile' is known and not supported", "use Sql, Replace"]),
        (
            "Filtre { include_fields = [id] }",
            ["there is no transform plugin 'Filtre'", "did you mean 'Filter'?"],
        ),
        (
            "Filter { include_fields = [id], exclude_fields = [name] }",
            ["exclude each other", "'exclude_fields'"],
        ),
        ("Copy { table_transform = [{ fields { a = name } }] }", ["lacks 'table_path'", "full name"]),
        ("Copy { table_transform = [{ table_path = x.y }] }", ["needs exactly one of", "'fields'"]),
    ] {
        JobSpec { transform, ..JobSpec::mirror(&name, &source, &["t"], &target) }.ready().refused(&said);
    }
    assert!(!target.has_table("t").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_not_there_stops_the_start_and_one_that_goes_stops_the_job() {
    let (source, target, name) = pair("gone").await;
    let source_options = "schema-changes.enabled = true";
    let spec =
        |transform| JobSpec { transform, source_options, ..JobSpec::mirror(&name, &source, &["t"], &target) };
    let table = format!("table={}.t", source.name());
    spec("Filter { exclude_fields = [secrets] }").ready().refused(&[
        "transform=Filter",
        &table,
        "column=secrets",
        "did you mean 'secret'?",
    ]);
    assert!(!target.has_table("t").await);

    let job = spec("Filter { exclude_fields = [secret] }").ready();
    let running = job.start();
    until_rows(&target, "t", 1, &running).await;
    let shape: Vec<String> = target.shape("t").await.columns.into_iter().map(|(name, _)| name).collect();
    assert_eq!(shape, ["id", "name"]);
    source
        .run(&["ALTER TABLE t RENAME COLUMN secret TO hidden", "INSERT INTO t VALUES (2, 'Bob', 'y')"])
        .await;
    let log = running.ended(2);
    for part in ["transform=Filter", "column=secret"] {
        assert!(log.contains(part), "`{part}` is not in: {log}");
    }
    // Nothing of it got through. With options that fit the table before and behind the change the job goes on.
    assert_eq!(target.value("SELECT count(*) FROM t").await.as_deref(), Some("1"));
    job.rewrite(&spec("Filter { include_fields = [id, name] }").text());
    let running = job.start();
    until_rows(&target, "t", 2, &running).await;
    running.stop();
}

/// A made-up table with values that lie in one another.
const DECLARED: &str = r#"
env { job.mode = BATCH }
source { FakeSource { schema { table = "d.t", fields { id = int, list = "array<int>", tags = "map<string, int>", place { city = string } } } } }
transform { TRANSFORM }
sink { Console {} }
"#;

#[test]
fn what_does_not_fit_a_declared_table_is_found_by_check() {
    for (transform, said) in [
        (
            "Sql { query = \"select place.town from t\" }",
            ["there is no field `town`; there are city", "`place.town`"],
        ),
        ("Sql { query = \"select tags.a.b from t\" }", ["there is no `b` in a INT", "`tags.a.b`"]),
        ("Sql { query = \"select list[0] from t\" }", ["only a text in the brackets", "by the path `$[0]`"]),
        (
            "Sql { query = \"select upper(list) as u from t\" }",
            ["is a ARRAY<INT>, and text is wanted", "UPPER"],
        ),
        (
            "Sql { query = \"select id from t where list = list\" }",
            ["a ARRAY<INT> cannot be compared", "list = list"],
        ),
        (
            "Sql { query = \"select cast(place as string) as p from t\" }",
            ["a ROW cannot become a STRING", "CAST(place AS"],
        ),
        ("Filter { include_fields = [ids] }", ["the table has no such column", "did you mean 'id'?"]),
        (
            "JsonPath { columns = [{ src_field = id, path = \"$.a\", dest_field = a }] }",
            ["JSON is text", "name a column of text or bytes"],
        ),
        (
            "Split { split_field = list, separator = x, output_fields = [a] }",
            ["text is needed", "with the transform Sql and CAST"],
        ),
    ] {
        let file = scratch::folder("declared").join("job.conf");
        std::fs::write(&file, DECLARED.replace("TRANSFORM", transform)).expect("the job file is written");
        let checked =
            Culvert::new(&["check", "--strict", "-c", &file.to_string_lossy()]).run(Duration::from_secs(60));
        let output = format!("{}{}", checked.stdout, checked.stderr);
        assert_ne!(checked.code, Some(0), "{transform}: {output}");
        for part in said {
            assert!(output.contains(part), "{transform}: `{part}` is not in: {output}");
        }
    }
}
