#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::load::{Format, JobFile};
use crate::option_def::OptionDef;
use crate::options::Options;
use crate::substitute::Variables;

const DEFS: &[OptionDef] = &[
    OptionDef::string("url").required().doc("Where the server is."),
    OptionDef::string("username").required().doc("The user."),
    OptionDef::string("password").secret().doc("The password."),
    OptionDef::choice("startup.mode", &["INITIAL"]).doc("Where to start."),
];

fn report(body: &str) -> Report {
    let text = format!("source {{\n  A {{\n{body}\n  }}\n}}\nsink {{ B {{}} }}\n");
    let variables = Variables::with_environment(&[], |_| None).unwrap();
    let job = JobFile::parse(&text, Path::new("a.conf"), Format::Hocon, &variables).unwrap();
    let (_, problems) = Options::resolve(&job.sources[0], DEFS);
    let mut report = Report::default();
    report.add_with_patch(&job.path, &problems);
    report
}

#[test]
fn json_has_exactly_four_keys() {
    let mut report = Report::default();
    report.push(Severity::Todo, "REPLICATION SLAVE", "a right is missing", Some("GRANT …".to_owned()));
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["errors", "warnings", "todo_items", "patch_suggestion"]);
    let item: Vec<&String> = json["todo_items"][0].as_object().unwrap().keys().collect();
    assert_eq!(item, ["subject", "location", "line", "column", "message", "hint"]);
    assert_eq!(json["todo_items"][0]["hint"], "GRANT …");
    assert_eq!(json["patch_suggestion"], serde_json::Value::Null);
    assert!(!report.is_ok() && Report::default().is_ok());
}

#[test]
fn the_patch_renames_keys_and_names_what_is_missing() {
    let report = report("    usrname = n\n    startup { mod = INITIAL }");
    assert_eq!(
        report.patch_suggestion.as_deref().unwrap(),
        "--- a.conf\n+++ a.conf\n\
         @@ -2,0 +3,2 @@\n+    # url = …  (required) Where the server is.\n+    # username = …  (required) The user.\n\
         @@ -3 +5 @@\n-    usrname = n\n+    username = n\n\
         @@ -4 +6 @@\n-    startup { mod = INITIAL }\n+    startup { mode = INITIAL }\n"
    );
    assert_eq!(
        report.to_string().split("suggested edit").next().unwrap(),
        "error: source A lacks required options 'url', 'username'\n \
         --> a.conf:2:3\n  |\n2 |   A {\n  |   ^\n  \
         = note: SeaTunnel words this: There are unconfigured options, the options('url', 'username') are required.\n\n\
         warning: option 'usrname' is not known to source A\n \
         --> a.conf:3:5\n  |\n3 |     usrname = n\n  |     ^^^^^^^\n  = help: did you mean 'username'?\n\n\
         warning: option 'startup.mod' is not known to source A\n \
         --> a.conf:4:15\n  |\n4 |     startup { mod = INITIAL }\n  |               ^^^\n  \
         = help: did you mean 'startup.mode'?\n\n"
    );
    assert!(report.to_string().ends_with("\n1 error, 2 warnings, 0 to do\n"), "{report}");
}

#[test]
fn findings_stand_in_the_order_of_the_file_and_colours_only_frame_them() {
    let report = report("    startup.mode = LATEST\n    x = 1\n    username = [1]");
    let lines: Vec<Option<u32>> = report.errors.iter().map(|item| item.line).collect();
    assert_eq!(lines, [Some(2), Some(3), Some(5)]);
    assert_eq!((report.errors[1].column, report.errors[2].column), (Some(20), Some(16)));
    let coloured = report.to_text(true);
    assert!(coloured.contains("\u{1b}[1;31merror\u{1b}[0m"), "{coloured}");
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, code)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = code.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, report.to_string());
}

#[test]
fn the_patch_keeps_secrets() {
    let report =
        report("    pasword = \"hunter2\", url = \"mysql://a:hunter2@h\", username = n, pass = hunter2");
    let patch = report.patch_suggestion.as_deref().unwrap();
    assert!(patch.contains("-    pasword = …, url") && patch.contains("+    password = …, url"), "{patch}");
    let whole = format!("{report} {} {report:?}", report.to_json());
    assert!(!whole.contains("hunter2"), "{whole}");
    // The end of a text over several lines, and a key whose name is known to this plugin alone.
    for body in
        ["    password = \"\"\"x\nhunter2\"\"\", usrname = n", "    usrname = n, key = \"hunter2\", url = u"]
    {
        let report = self::report(body);
        let patch = report.patch_suggestion.as_deref().unwrap();
        assert!(patch.contains("usrname = n") && patch.contains("username = n"), "{patch}");
        assert!(!format!("{report} {patch}").contains("hunter2"), "{report}");
    }
}

#[test]
fn pushed_texts_are_masked_and_not_repeated() {
    let mut report = Report::default();
    for _ in 0..2 {
        report.push(Severity::Error, "url", "cannot reach mysql://u:hunter2@h", None);
    }
    assert_eq!(report.errors.len(), 1);
    assert_eq!(
        report.to_string(),
        "error: url: cannot reach mysql://u:******@h\n\n1 error, 0 warnings, 0 to do\n"
    );
    assert_eq!(Report::default().to_string(), "no problems found\n");
}
