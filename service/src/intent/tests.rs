#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use culvert_config::{JobFile, ReportItem, Variables, raise_unknown_keys};
use tempfile::TempDir;

use super::*;

/// Nothing that is printed or written may hold it.
const PASSWORD: &str = "zebra-S3cret-41";

fn planned_from(text: &str) -> Planned {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("intent.json");
    std::fs::write(&path, text).unwrap();
    let planned = plan(&path, Path::new("job.conf")).unwrap();
    let told = format!("{} {} {:?}", planned.report, planned.report.to_json(), planned.report);
    assert!(!told.contains(PASSWORD), "{told}");
    planned
}

fn messages(items: &[ReportItem]) -> Vec<String> {
    items.iter().map(|item| item.message.clone()).collect()
}

/// Errors of an intent with their places and hints.
fn errors(text: &str) -> Vec<String> {
    let planned = planned_from(text);
    assert!(planned.job.is_none());
    let one = |item: &ReportItem| {
        let hint = item.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}:{}: {}{hint}", item.line.unwrap_or(0), item.column.unwrap_or(0), item.message)
    };
    planned.report.errors.iter().map(one).collect()
}

/// Fills in what is left to do as a user would: variables with `-i`, blocks in the file.
fn filled(planned: &Planned) -> String {
    let mut job = planned.job.clone().unwrap();
    for item in &planned.report.todo_items {
        let name = format!("TODO_{}", item.subject.replace('.', "_").to_uppercase());
        let value = match item.subject.as_str() {
            "source.fields" => {
                job = format!("{name} {{ id = bigint, name = string }}\n{job}");
                continue;
            }
            "source.tables" if job.contains("table_path") => "orders",
            "source.tables" => "shop.orders",
            "source.key" => "id",
            "sink.path" => "/data",
            "source.format" => "debezium_json",
            "source.brokers" | "sink.brokers" => "localhost:9092",
            _ => "shop",
        };
        assert!(job.contains(&format!("${{{name}}}")), "{name} is not in\n{job}");
        job = job.replace(&format!("${{{name}}}"), value);
    }
    job
}

#[track_caller]
fn passes(job: &str) {
    let mut built =
        job::read_text(job, Path::new("job.conf")).unwrap_or_else(|problems| panic!("{problems:?}\n{job}"));
    raise_unknown_keys(&mut built.problems);
    assert_eq!(built.problems, [], "{job}");
    assert!(built.graph.is_some(), "{job}");
}

#[test]
fn every_source_goes_with_every_sink() {
    let sources = [
        (
            "mysql",
            r#""host": "h", "database": "shop", "user": "u", "password": "p", "tables": ["orders", "*"]"#,
        ),
        ("mariadb", r#""host": "h", "port": 3307, "user": "u", "tables": ["shop.orders"]"#),
        (
            "postgresql",
            r#""host": "h", "database": "shop", "user": "u", "tables": ["orders", "sales.items"]"#,
        ),
        (
            "kafka",
            r#""brokers": ["b:9092"], "topic": "t", "format": "debezium_json", "table": "shop.t", "fields": {"id": "bigint"}, "key": ["id"], "group": "g""#,
        ),
        ("fake", r#""table": "shop.t", "fields": {"id": "bigint"}, "key": ["id"], "rows": 3"#),
    ];
    let sinks = [
        ("files", r#""path": "/data/${table_name}", "format": "parquet""#),
        ("mysql", r#""host": "h", "database": "mirror", "user": "u", "password": "p""#),
        ("mariadb", r#""host": "h", "database": "mirror", "user": "u", "table": "x_${table_name}""#),
        ("postgresql", r#""host": "h", "database": "mirror", "schema": "shop", "user": "u""#),
        ("kafka", r#""brokers": ["b:9092", "c:9092"], "topic": "${table_name}""#),
        ("console", ""),
    ];
    let mut jobs = 0;
    for (source, said) in sources {
        for (sink, wanted) in sinks {
            for (mode, write) in [("both", "mirror"), ("stream", "history"), ("snapshot", "mirror")] {
                // With everything said, and with nothing but the kinds.
                for (said, wanted) in [(said, wanted), ("", "")] {
                    // A topic has no end, and files are not kept equal to what changes.
                    let endless = (source, mode) == ("kafka", "snapshot");
                    if endless || (sink, mode) == ("files", "both") && source != "fake" {
                        continue;
                    }
                    let comma = |text: &str| if text.is_empty() { "" } else { ", " };
                    let planned = planned_from(&format!(
                        r#"{{"version": 1, "mode": "{mode}", "write": "{write}",
                           "source": {{"kind": "{source}"{}{said}}}, "sink": {{"kind": "{sink}"{}{wanted}}}}}"#,
                        comma(said),
                        comma(wanted)
                    ));
                    assert_eq!(messages(&planned.report.errors), [""; 0], "{source} {sink} {mode} {write}");
                    passes(&filled(&planned));
                    jobs += 1;
                }
            }
        }
    }
    assert_eq!(jobs, ((5 * 3 - 1) * 6 - 4) * 2);
}

#[test]
fn tables_are_read_by_select_where_that_is_said() {
    let intent = |kind: &str, tables: &str, mode: &str, constraint: &str| {
        format!(
            r#"{{"version": 1, "mode": "{mode}", "sink": {{"kind": "files"}}, "constraints": [{constraint}],
 "source": {{"kind": "{kind}", "read": "select", "host": "h", "database": "shop", "user": "u", "password": "p"{tables}}}}}"#
        )
    };
    for (kind, tables, line) in [
        ("mysql", r#", "tables": ["orders"]"#, "    table_path = \"shop.orders\"\n"),
        ("mariadb", r#", "tables": ["a", "other.b"]"#, "      { table_path = \"other.b\" }\n"),
        ("postgresql", r#", "tables": ["orders"]"#, "    table_path = \"shop.public.orders\"\n"),
        ("postgresql", "", "    table_path = \"shop.public.${TODO_SOURCE_TABLES}\"\n"),
    ] {
        let planned = planned_from(&intent(kind, tables, "snapshot", ""));
        assert_eq!(messages(&planned.report.errors), [""; 0]);
        let job = planned.job.as_deref().unwrap();
        assert!(job.contains(line) && !job.contains("FilterRowKind"), "{job}");
        passes(&filled(&planned));
    }
    let tables = r#", "tables": ["orders", "*"]"#;
    let found = errors(&intent("mysql", tables, "both", "\"follow_schema_changes\""));
    let said = |part: &str| assert!(found.iter().any(|text| text.contains(part)), "{part}: {found:#?}");
    said("option 'read' is select, which reads what is there and sees no change");
    said("option 'tables' holds a pattern, and select needs the names of tables");
    said("holds 'follow_schema_changes', and only the log of a database tells of them");
    said("option 'write' is mirror, and files cannot be kept equal to a table that changes");
}

#[test]
fn the_examples_are_planned() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/intent");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let planned = plan(&path, Path::new("job.conf")).unwrap();
        assert_eq!(messages(&planned.report.errors), [""; 0], "{}", path.display());
        let job = filled(&planned);
        let variables = Variables::new(&[]).unwrap();
        let job =
            JobFile::parse(&job, Path::new("job.conf"), culvert_config::Format::Hocon, &variables).unwrap();
        assert!(job.graph().is_ok(), "{}", path.display());
    }
}

#[test]
fn what_is_not_known_is_left_to_do_at_its_line() {
    let planned = planned_from(
        r#"{"version": 1, "mode": "both", "source": {"kind": "mysql", "host": "h"}, "sink": {"kind": "console"}}"#,
    );
    let todo: Vec<(&str, u32)> =
        planned.report.todo_items.iter().map(|item| (item.subject.as_str(), item.line.unwrap())).collect();
    let job = planned.job.as_deref().unwrap();
    let lines: Vec<&str> = job.lines().collect();
    assert_eq!(todo.len(), 4, "{todo:?}");
    for (subject, line) in todo {
        let mark = format!("${{TODO_{}}}", subject.replace('.', "_").to_uppercase());
        assert!(lines[usize::try_from(line).unwrap() - 1].contains(&mark), "{subject}\n{job}");
    }
    assert!(!planned.report.is_ok());
}

#[test]
fn the_job_reads_as_it_was_meant() {
    let planned = planned_from(
        r#"{
  "version": 1, "name": "a", "mode": "stream", "write": "mirror",
  "source": {"kind": "postgresql", "host": "h", "port": "${PG_PORT}", "database": "shop", "user": "u", "password": "${PG_PASSWORD}", "tables": ["a$b", "sales.*"]},
  "sink": {"kind": "kafka", "brokers": ["b:9092"], "topic": "t.${table_name}"},
  "constraints": ["exactly_once", "no_plaintext_secret", "no_delete", "follow_schema_changes", "tls"],
  "transforms": [{"plugin": "FilterRowKind", "options": {"exclude_kinds": ["UPDATE_BEFORE"]}}]
}"#,
    );
    assert_eq!(messages(&planned.report.errors), [""; 0]);
    assert_eq!(
        planned.job.unwrap(),
        include_str!("tests/stream_to_kafka.conf"),
        "the stored job is written by hand after looking at it"
    );
}

#[test]
fn unknown_keys_and_words_are_errors_with_the_nearest_name() {
    let found = errors(
        "{\n\"version\": 1, \"mode\": \"botch\", \"constrains\": [],\n\"source\": {\"kind\": \"mysql\", \"hots\": \"h\"},\n\
         \"sink\": {\"kind\": \"consol\", \"x\": 1},\n\"constraints\": [\"exactly_ones\"], \"transforms\": [{\"plugn\": \"Sql\"}]\n}",
    );
    let said = |part: &str| assert!(found.iter().any(|text| text.contains(part)), "{part}: {found:#?}");
    said("2:23: option 'mode' must be one of snapshot, stream, both, found 'botch'; did you mean 'both'?");
    said("2:32: option 'constrains' is not known to intent; did you mean 'constraints'?");
    said("3:29: option 'hots' is not known to source; did you mean 'host'?");
    said(
        "4:18: option 'kind' must be one of mysql, mariadb, postgresql, kafka, files, console, found 'consol'; did you mean 'console'?",
    );
    said("option 'constraints' holds 'exactly_ones'");
    said("did you mean 'exactly_once'?");
    said("transforms lacks required option 'plugin'");
    let lines: Vec<&String> = found.iter().collect();
    assert!(
        lines.windows(2).all(|pair| pair[0].split(':').next() <= pair[1].split(':').next()),
        "{found:#?}"
    );
}

#[test]
fn a_new_version_and_missing_parts_are_told() {
    let found = errors(r#"{"version": 2}"#);
    assert!(
        found.iter().any(|text| text.contains("option 'version' must be a whole number from 1 to 1")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|text| text.contains("intent lacks required options 'source', 'sink', 'mode'")),
        "{found:?}"
    );
}

#[test]
fn secrets_in_plain_text_are_refused_and_never_repeated() {
    let intent = |password: &str, constraint: &str| {
        format!(
            r#"{{"version": 1, "mode": "both", "constraints": [{constraint}], "sink": {{"kind": "console"}},
 "source": {{"kind": "mysql", "host": "h", "database": "d", "tables": ["t"], "user": "u", "password": "{password}"}},
 "transforms": [{{"plugin": "FilterRowKind", "options": {{"include_kinds": ["INSERT"]}}}}]}}"#
        )
    };
    for plain in [PASSWORD, &format!("${{P:{PASSWORD}}}"), &format!("x${{P}}{PASSWORD}")] {
        let found = errors(&intent(plain, "\"no_plaintext_secret\""));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("2:"), "{found:?}");
        assert!(found[0].contains("'source.password' holds a secret in plain text"), "{found:?}");
    }
    let planned = planned_from(&intent("${P}", "\"no_plaintext_secret\""));
    assert!(planned.report.is_ok(), "{}", planned.report);
    assert!(planned.job.unwrap().contains("password = \"${P}\""));
    // The secret of a transform, whose key tells nothing by its name.
    let encrypting = |key: &str| {
        let transform = format!(
            "{{\"plugin\": \"FieldEncrypt\", \"options\": {{\"fields\": [\"a\"], \"key\": \"{key}\"}}}}"
        );
        intent("${P}", "\"no_plaintext_secret\"")
            .replace("\"transforms\": [", &format!("\"transforms\": [{transform}, "))
    };
    let found = errors(&encrypting(PASSWORD));
    assert!(found.len() == 1 && found[0].contains("'transforms.options.key' holds a secret"), "{found:?}");
    let planned = planned_from(&intent(PASSWORD, ""));
    assert_eq!(messages(&planned.report.warnings), ["'source.password' holds a secret in plain text"]);
    assert!(planned.report.is_ok());
    let address = intent("${P}", "\"no_plaintext_secret\"")
        .replace("\"h\"", &format!("\"a:{PASSWORD}@h?password={PASSWORD}\""));
    assert_eq!(errors(&address).len(), 1);
}

#[test]
fn what_cannot_be_together_is_refused() {
    let found = errors(
        r#"{"version": 1, "mode": "snapshot", "write": "history", "constraints": ["exactly_once", "no_delete"],
 "source": {"kind": "kafka", "brokers": ["b:1"], "topic": "t"}, "sink": {"kind": "console"}}"#,
    );
    assert!(found.iter().any(|text| text.contains("a topic has no end; choose stream or both")), "{found:?}");
    assert!(found.iter().any(|text| text.contains("a history without deletes")), "{found:?}");
    let found = errors(
        r#"{"version": 1, "mode": "both", "constraints": ["exactly_once"],
 "source": {"kind": "mysql", "host": "h", "database": "d", "tables": ["t"], "user": "u", "password": "p"}, "sink": {"kind": "console"}}"#,
    );
    assert_eq!(
        found,
        [
            "0:0: the sink sink.console is not exactly-once, as the intent demands; choose another kind of sink, or leave out the constraint"
        ]
    );
    let found = errors(
        r#"{"version": 1, "mode": "both", "source": {"kind": "mysql", "port": "many"}, "sink": {"kind": "mysql", "port": 99999}}"#,
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_transform_that_is_not_there_is_found() {
    let found = errors(
        r#"{"version": 1, "mode": "both", "source": {"kind": "mysql"}, "sink": {"kind": "console"},
 "transforms": [{"plugin": "FilterRowKnd", "options": {}}]}"#,
    );
    assert!(found[0].contains("there is no transform plugin 'FilterRowKnd'"), "{found:?}");
}
