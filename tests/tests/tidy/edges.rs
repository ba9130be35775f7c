//! Which crate may depend on which: the direction is one way, and connectors never meet.

use std::process::Command;

use serde_json::Value;

use super::{none, read, root};

/// Our crates that a crate's code may use.
fn allowed(from: &str, to: &str) -> bool {
    let among = |names: &[&str]| names.contains(&to);
    match from {
        // What everything rests on rests on nothing of ours.
        "culvert-api" | "culvert-config" | "culvert-snapshot" | "culvert-tests" => false,
        // The engine knows traits only, and so does who follows the page about connectors.
        "culvert-engine"
        | "culvert-example-connector"
        | "culvert-kafka"
        | "culvert-state"
        | "culvert-storage" => among(&["culvert-api"]),
        // What source and sink share about PostgreSQL: how to reach it, what its errors mean.
        "culvert-transforms" | "culvert-postgres" | "culvert-values" => {
            among(&["culvert-api", "culvert-config"])
        }
        "culvert-transform-sql" => among(&["culvert-api", "culvert-config", "culvert-values"]),
        // It reads without the log what they read before it: the same types and values, by the same code.
        "culvert-source-jdbc" => among(&[
            "culvert-api",
            "culvert-config",
            "culvert-postgres",
            "culvert-source-mysql",
            "culvert-source-postgres",
        ]),
        // What source and sink share about files.
        "culvert-files" => among(&["culvert-api", "culvert-values"]),
        _ if from.starts_with("culvert-source-") => among(&[
            "culvert-api",
            "culvert-config",
            "culvert-files",
            "culvert-kafka",
            "culvert-postgres",
            "culvert-snapshot",
            "culvert-values",
        ]),
        _ if from.starts_with("culvert-sink-") => among(&[
            "culvert-api",
            "culvert-config",
            "culvert-files",
            "culvert-kafka",
            "culvert-postgres",
            "culvert-storage",
            "culvert-values",
        ]),
        // The program puts everything together, except what is there to test and to measure.
        "culvert" => !among(&["culvert-tests", "culvert-bench"]),
        "culvert-bench" => true,
        _ => false,
    }
}

/// The same for tests and benches of a crate: also the harness. The suites see everything.
fn allowed_in_tests(from: &str, to: &str) -> bool {
    from == "culvert-tests" || to == "culvert-tests" || allowed(from, to)
}

struct Edge {
    from: String,
    to: String,
    in_tests: bool,
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn packages(metadata: &Value) -> &Vec<Value> {
    metadata.get("packages").and_then(Value::as_array).unwrap()
}

/// Dependencies between crates of the workspace.
fn edges(metadata: &Value) -> Vec<Edge> {
    let ours: Vec<&str> = packages(metadata).iter().map(|package| text(package, "name")).collect();
    let mut edges = Vec::new();
    for package in packages(metadata) {
        for dependency in package.get("dependencies").and_then(Value::as_array).unwrap() {
            if ours.contains(&text(dependency, "name")) {
                edges.push(Edge {
                    from: text(package, "name").to_owned(),
                    to: text(dependency, "name").to_owned(),
                    in_tests: text(dependency, "kind") == "dev",
                });
            }
        }
    }
    edges
}

#[test]
fn no_crate_depends_on_one_it_must_not_know() {
    let edges = edges(&metadata());
    assert!(edges.iter().any(|edge| edge.from == "culvert" && edge.to == "culvert-engine"), "no edges read");
    let forbidden: Vec<String> = edges
        .iter()
        .filter(|edge| match edge.in_tests {
            true => !allowed_in_tests(&edge.from, &edge.to),
            false => !allowed(&edge.from, &edge.to),
        })
        .map(|edge| format!("{} must not depend on {}: see ARCHITECTURE.md, code map", edge.from, edge.to))
        .collect();
    none(&forbidden);
}

#[test]
fn the_rule_forbids_what_it_is_there_for() {
    for (from, to) in [
        ("culvert-sink-jdbc", "culvert-engine"),
        ("culvert-source-mysql", "culvert-sink-jdbc"),
        ("culvert-sink-console", "culvert-source-mysql"),
        ("culvert-engine", "culvert-state"),
        ("culvert-engine", "culvert-source-mysql"),
        ("culvert-api", "culvert-config"),
        ("culvert-transforms", "culvert-engine"),
        ("culvert", "culvert-tests"),
        ("culvert-of-the-future", "culvert-engine"),
    ] {
        assert!(!allowed(from, to), "{from} -> {to}");
    }
}

#[test]
fn every_crate_is_on_the_code_map_and_takes_the_lints_of_the_workspace() {
    let map = read("ARCHITECTURE.md");
    let mut violations = Vec::new();
    for package in packages(&metadata()) {
        let manifest = text(package, "manifest_path").to_owned();
        let folder = std::path::Path::new(&manifest).parent().unwrap();
        let folder = folder.strip_prefix(root().canonicalize().unwrap()).unwrap().display().to_string();
        if !map.contains(&format!("`{folder}/`")) {
            violations.push(format!("ARCHITECTURE.md: the code map lacks `{folder}/`"));
        }
        if !read(format!("{folder}/Cargo.toml")).contains("[lints]\nworkspace = true") {
            violations.push(format!("{folder}/Cargo.toml: takes no lints from the workspace"));
        }
    }
    none(&violations);
}
