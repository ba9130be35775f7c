//! `culvert plan`: the graph of a job in each form, and jobs from intents.

use std::path::Path;

use culvert_tests::process::Finished;
use culvert_tests::{Culvert, Database, Flavor, shared};
use serde_json::Value;

use super::LIMIT;

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    Culvert::new(arguments).current_dir(folder).run(LIMIT)
}

fn plan(job: &str, more: &[&str]) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.conf"), job).unwrap();
    let mut arguments = vec!["plan", "-c", "job.conf"];
    arguments.extend(more);
    run(folder.path(), &arguments)
}

/// Asserts that a job is drawn as it is stored.
#[track_caller]
fn drawn(job: &str, format: &str, stored: &str) {
    let finished = plan(job, &["--format", format]);
    finished.assert_code(0);
    assert!(finished.stdout == stored, "it is drawn otherwise:\n{}", finished.stdout);
}

#[test]
fn a_straight_line() {
    let job = include_str!("graphs/line.conf");
    drawn(job, "text", include_str!("graphs/line.txt"));
    drawn(job, "mermaid", include_str!("graphs/line.mmd"));
    drawn(job, "json", include_str!("graphs/line.json"));
}

#[test]
fn one_source_for_many_sinks() {
    let job = include_str!("graphs/fan_out.conf");
    drawn(job, "text", include_str!("graphs/fan_out.txt"));
    drawn(job, "mermaid", include_str!("graphs/fan_out.mmd"));
}

#[test]
fn streams_that_meet() {
    let job = include_str!("graphs/fan_in.conf");
    drawn(job, "text", include_str!("graphs/fan_in.txt"));
    drawn(job, "mermaid", include_str!("graphs/fan_in.mmd"));
}

/// Transforms that change names, columns, keys and kinds; a table of rejected rows; two sources.
#[test]
fn tables_change_on_their_way() {
    let job = include_str!("graphs/shapes.conf");
    drawn(job, "text", include_str!("graphs/shapes.txt"));
    drawn(job, "mermaid", include_str!("graphs/shapes.mmd"));
    let finished = plan(job, &["--format", "json"]);
    let all: Value = serde_json::from_str(&finished.assert_code(0).stdout).unwrap();
    let nodes = all["nodes"].as_array().unwrap();
    let node = |id: &str| nodes.iter().find(|node| node["id"] == id).unwrap();
    let parallelism = |id: &str| node(id)["parallelism"].as_u64().unwrap();
    assert_eq!(["shards", "people", "orders", "sink.console"].map(parallelism), [2, 3, 1, 1]);
    let kinds = |id: &str| &node(id)["tables"][0]["kinds"];
    assert_eq!(kinds("history"), &serde_json::json!(["+I"]));
    assert_eq!(all["delivery"]["contract"], "at-least-once");
    assert_eq!(node("sink.localfile")["delivery"]["contract"], "exactly-once");
    let edge = all["edges"].as_array().unwrap().iter().find(|edge| edge["from"] == "many").unwrap();
    assert_eq!((&edge["to"], &edge["tables"]), (&Value::from("raw"), &node("many")["tables"]));
}

/// What does not fit is drawn with both shapes, and told as `check` tells it.
#[test]
fn streams_that_do_not_fit_stand_side_by_side() {
    let finished = plan(include_str!("graphs/unfit.conf"), &[]);
    finished.assert_code(1);
    let stored = include_str!("graphs/unfit.txt");
    assert!(finished.stdout == stored, "it is drawn otherwise:\n{}", finished.stdout);
    assert!(finished.stderr.contains("--> job.conf:13:3"), "{}", finished.stderr);
}

/// No line is wider than the narrowest of usual terminals, unless one word alone is.
#[test]
fn long_names_go_on_in_the_next_line() {
    let job = include_str!("graphs/wide.conf");
    drawn(job, "text", include_str!("graphs/wide.txt"));
    for line in include_str!("graphs/wide.txt").lines() {
        assert!(culvert_config::columns_of(line) <= 80, "{line}");
    }
}

/// What only a server knows is asked for with `--connect`, and goes through the transforms like the rest.
#[tokio::test]
async fn a_server_is_asked_for_its_tables() {
    let database = Database::fresh(shared(Flavor::MariaDb).await, "plan").await;
    database
        .run(&["CREATE TABLE pears (id int PRIMARY KEY, name varchar(20) NOT NULL, weight decimal(6,2))"])
        .await;
    let job = format!(
        "env {{ job.mode = STREAMING }}\n\
         source {{ MySQL-CDC {{ url = \"{}\", username = root, password = root, table-names = [\"{}.pears\"] }} }}\n\
         transform {{\n  TableRename {{ prefix = \"my_\" }}\n  Filter {{ exclude_fields = [weight] }}\n}}\n\
         sink {{ Console {{}} }}\n",
        database.url(),
        database.name()
    );
    let unasked = plan(&job, &[]);
    assert!(unasked.assert_code(0).stdout.contains("add --connect"), "{}", unasked.stdout);
    assert!(!unasked.stdout.contains("pears"), "{}", unasked.stdout);
    let asked = plan(&job, &["--connect"]);
    let drawn = asked.assert_code(0).stdout.replace(database.name(), "DB");
    for line in [
        "│ DB.pears: key id\n│     id int(11), name varchar(20), weight decimal(6,2)?\n",
        "    │ DB.my_pears: key id\n    │     id int(11), name varchar(20), weight decimal(6,2)?\n",
        "        │ DB.my_pears: key id\n        │     id int(11), name varchar(20)\n",
    ] {
        assert!(drawn.contains(line), "{line}\nis not in\n{drawn}");
    }

    // A transform that does not fit what the server has: at its place in the file.
    let unfit = job.replace("[weight]", "[wieght]");
    let asked = plan(&unfit, &["--connect"]);
    assert!(asked.assert_code(1).stdout.contains("! the table has no such column"), "{}", asked.stdout);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.conf"), &unfit).unwrap();
    let checked = run(folder.path(), &["check", "--connect", "-c", "job.conf"]);
    assert!(checked.assert_code(1).stdout.contains("--> job.conf:5:29"), "{}", checked.stdout);
    assert!(checked.stdout.contains("did you mean 'weight'?"), "{}", checked.stdout);

    // Nobody is there: nothing is drawn wrongly, and the exit code says that nothing could be asked.
    let nowhere = job.replace(&format!(":{}/", database.port()), ":1/");
    let asked = plan(&nowhere, &["--connect"]);
    assert!(asked.assert_code(2).stderr.contains("127.0.0.1:1"), "{}", asked.stderr);
}

#[test]
fn a_broken_job_is_not_drawn() {
    let finished = plan("source { MySQL-CDC {} }\nsink { Console {} }\n", &[]);
    finished.assert_code(1);
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains("lacks required options 'url', 'username'"), "{}", finished.stderr);
    let finished = plan("source {", &[]);
    finished.assert_code(2);
    assert!(finished.stderr.contains("is never closed"), "{}", finished.stderr);
}

#[test]
fn an_intent_becomes_a_job_that_passes_once_it_is_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let intent = include_str!("../../../examples/intent/half-known.json");
    std::fs::write(folder.path().join("half.json"), intent).unwrap();
    let planned = run(folder.path(), &["plan", "--intent", "half.json", "--format", "json"]);
    planned.assert_code(1);
    let all: Value = serde_json::from_str(&planned.stdout).unwrap();
    let keys: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["form", "version", "job", "errors", "warnings", "todo_items", "patch_suggestion"]);
    let todo = all["todo_items"].as_array().unwrap();
    assert!(todo.len() >= 4, "{all:#}");

    run(folder.path(), &["plan", "--intent", "half.json", "-o", "job.conf"]).assert_code(1);
    assert_eq!(std::fs::read_to_string(folder.path().join("job.conf")).unwrap(), all["job"]);
    // Nothing that somebody may have filled in is written over.
    let again = run(folder.path(), &["plan", "--intent", "half.json", "-o", "job.conf"]);
    again.assert_code(2);
    assert!(again.stderr.contains("job.conf"), "{}", again.stderr);

    // As it is, the check names what is left; with values it passes.
    let open = run(folder.path(), &["check", "--strict", "-c", "job.conf"]);
    open.assert_code(1);
    let mut arguments = vec!["check".to_owned(), "--strict".into(), "-c".into(), "job.conf".into()];
    for item in todo {
        let name = format!("TODO_{}", item["subject"].as_str().unwrap().replace('.', "_").to_uppercase());
        assert!(open.stdout.contains(&name), "{name} is not in\n{}", open.stdout);
        arguments.extend(["-i".to_owned(), format!("{name}=x")]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let checked = run(folder.path(), &arguments);
    assert!(checked.assert_code(0).stdout.contains("no problems found"), "{}", checked.stdout);
}

#[test]
fn an_intent_with_mistakes_gives_no_job_and_an_edit() {
    let folder = tempfile::tempdir().unwrap();
    let intent = "{\n  \"version\": 1,\n  \"mod\": \"both\",\n  \"source\": {\"kind\": \"mysql\"},\n  \"sink\": {\"kind\": \"console\"}\n}\n";
    std::fs::write(folder.path().join("i.json"), intent).unwrap();
    let planned = run(folder.path(), &["plan", "--intent", "i.json", "-o", "job.conf"]);
    planned.assert_code(1);
    assert!(planned.stdout.contains("--> i.json:3:3"), "{}", planned.stdout);
    assert!(planned.stdout.contains("+  \"mode\": \"both\","), "{}", planned.stdout);
    assert!(!folder.path().join("job.conf").exists());
    run(folder.path(), &["plan", "--intent", "absent.json"]).assert_code(2);
    run(folder.path(), &["plan"]).assert_code(2);
}

/// Wherever a secret stands in an intent that forbids it, nothing that is printed or written holds it.
#[test]
fn a_secret_in_plain_text_comes_back_nowhere() {
    const SECRET: &str = "zebra-S3cret-41";
    let folder = tempfile::tempdir().unwrap();
    let intent = |host: &str, password: &str, key: &str| {
        format!(
            "{{\"version\": 1, \"mode\": \"both\", \"constraints\": [\"no_plaintext_secret\"], \"sink\": {{\"kind\": \"console\"}},\n\
             \"source\": {{\"kind\": \"mysql\", \"host\": \"{host}\", \"password\": \"{password}\", \"usr\": \"u\"}},\n\
             \"transforms\": [{{\"plugin\": \"FieldEncrypt\", \"options\": {{\"fields\": [\"a\"], \"key\": \"{key}\"}}}}]}}"
        )
    };
    let secrets = [
        intent(&format!("root:{SECRET}@h"), "${P}", "${K}"),
        intent(&format!("h?password={SECRET}"), "${P}", "${K}"),
        intent("h", SECRET, "${K}"),
        intent("h", &format!("${{P:{SECRET}}}"), "${K}"),
        intent("h", "${P}", SECRET),
        intent(&format!("root:{SECRET}@h"), SECRET, SECRET),
    ];
    for text in secrets {
        std::fs::write(folder.path().join("i.json"), &text).unwrap();
        for more in [&[][..], &["--format", "json"], &["-o", "job.conf"]] {
            let mut arguments = vec!["plan", "--intent", "i.json"];
            arguments.extend(more);
            let planned = run(folder.path(), &arguments);
            let printed = format!("{}{}", planned.assert_code(1).stdout, planned.stderr);
            assert!(printed.contains("holds a secret in plain text"), "{text}\n{printed}");
            assert!(!printed.contains(SECRET), "{text}\n{printed}");
            assert!(!folder.path().join("job.conf").exists());
        }
    }
}
