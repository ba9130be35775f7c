//! `culvert connectors`: what the program tells of its plugins.

use culvert_tests::Culvert;
use culvert_tests::process::Finished;
use serde_json::Value;

use super::LIMIT;

fn connectors(more: &[&str]) -> Finished {
    let mut arguments = vec!["connectors"];
    arguments.extend(more);
    Culvert::new(&arguments).run(LIMIT)
}

fn json(more: &[&str]) -> Value {
    let mut arguments = vec!["--format", "json"];
    arguments.extend(more);
    let finished = connectors(&arguments);
    serde_json::from_str(&finished.assert_code(0).stdout).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_list_names_every_plugin_with_its_part() {
    let finished = connectors(&[]);
    let listed = &finished.assert_code(0).stdout;
    for (role, name) in [("source", "MySQL-CDC"), ("transform", "FilterRowKind"), ("sink", "Jdbc")] {
        let line = listed.lines().find(|line| line.contains(role) && line.contains(name));
        assert!(line.is_some(), "{role} {name} is not in\n{listed}");
    }
    assert!(listed.lines().all(|line| line.chars().count() <= 100), "{listed}");
    let sinks = connectors(&["--role", "sink"]);
    assert!(!sinks.assert_code(0).stdout.contains("MySQL-CDC"), "{}", sinks.stdout);
}

#[test]
fn one_plugin_is_told_with_options_rules_promises_and_an_example() {
    let finished = connectors(&["jdbc", "--role", "sink"]);
    let told = &finished.assert_code(0).stdout;
    for part in [
        "Jdbc (sink)",
        "  url: text, required\n",
        "  username, user: text\n",
        "  password: secret text\n",
        "  batch_size: integer 1 to 100000 (rows), default 1000\n",
        "\nRules:\n",
        "\nDelivery:\n  - by default: exactly once",
        "\nRefused:\n",
        "\nAccepted without effect:\n",
        "\nExample, a whole job:\n",
        "sink {\n  Jdbc {\n",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    let kafka = connectors(&["Kafka"]);
    for part in [
        "Kafka (source)",
        "Kafka (sink)",
        "semantics = EXACTLY_ONCE: exactly once",
        "by default: at least once",
    ] {
        assert!(kafka.assert_code(0).stdout.contains(part), "{part} is not in\n{}", kafka.stdout);
    }
}

#[test]
fn an_unknown_plugin_is_told_with_the_nearest() {
    let finished = connectors(&["MySQL-CDX"]);
    assert!(finished.assert_code(2).stderr.contains("did you mean 'MySQL-CDC'?"), "{}", finished.stderr);
    let finished = connectors(&["wibble", "--role", "transform"]);
    assert!(finished.assert_code(2).stderr.contains("RowKindExtractor"), "{}", finished.stderr);
}

/// The keys that docs/connectors-json.md describes; the options themselves are those of the table
/// that job files are checked with.
#[test]
fn the_json_form_is_the_documented_one() {
    let all = json(&[]);
    assert_eq!(keys(&all), ["form", "version", "program", "connectors", "common_options", "env_options"]);
    assert_eq!((all["form"].as_str(), all["version"].as_u64()), (Some("culvert.connectors"), Some(1)));
    let documented = include_str!("../../../docs/connectors-json.md");
    let connectors = all["connectors"].as_array().unwrap();
    assert!(connectors.len() >= 8);
    for connector in connectors {
        assert_eq!(keys(connector), ["name", "role", "summary", "options", "rules", "delivery", "example"]);
        for option in connector["options"].as_array().unwrap() {
            for key in keys(option) {
                assert!(documented.contains(&format!("`{key}`")), "{key}");
            }
        }
        let is_sink = connector["role"] == "sink";
        assert_eq!(is_sink, !connector["delivery"].as_array().unwrap().is_empty(), "{connector:#}");
        assert!(connector["summary"].is_string() && connector["example"].is_string(), "{connector:#}");
    }
    let one = json(&["mysql-cdc", "--role", "source"]);
    assert_eq!(one["connectors"].as_array().unwrap().len(), 1);
}

/// Every example passes the strict check, word for word as it is printed.
#[test]
fn every_example_passes_a_strict_check() {
    let folder = tempfile::tempdir().unwrap();
    for connector in json(&[])["connectors"].as_array().unwrap() {
        std::fs::write(folder.path().join("job.conf"), connector["example"].as_str().unwrap()).unwrap();
        let arguments = ["check", "--strict", "-c", "job.conf"];
        let checked = Culvert::new(&arguments).current_dir(folder.path()).run(LIMIT);
        assert!(checked.stdout.contains("no problems found"), "{}: {}", connector["name"], checked.stdout);
    }
}

/// Every example that makes its own rows runs to its end, and prints them.
#[test]
fn every_example_without_a_server_runs() {
    let all = json(&[]);
    let examples: Vec<(&str, &str)> = all["connectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connector| (connector["name"].as_str().unwrap(), connector["example"].as_str().unwrap()))
        .filter(|(_, example)| example.contains("FakeSource {"))
        .collect();
    assert!(examples.len() >= 18, "{}", examples.len());
    std::thread::scope(|scope| {
        for half in examples.chunks(examples.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(|(name, example)| runs(name, example)));
        }
    });
}

fn runs(name: &str, example: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.conf"), example).unwrap();
    let state = folder.path().join("state").display().to_string();
    let arguments = ["run", "-c", "job.conf", "--state", &state];
    let finished = Culvert::new(&arguments).current_dir(folder.path()).run(LIMIT);
    finished.assert_code(0);
    match name {
        // They print nothing and would have failed.
        "Assert" | "InMemory" => {}
        _ => assert!(finished.stdout.contains("SeaTunnelRow#"), "{name}: {}", finished.stdout),
    }
}
