#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::load::{Format, JobFile};
use crate::option_def::OptionDef;
use crate::options::Options;
use crate::report::Report;
use crate::substitute::Variables;

const DEFS: &[OptionDef] = &[
    OptionDef::string("url").doc("Where."),
    OptionDef::string("password").secret().doc("The password."),
    OptionDef::int_in("size", 1, 9).doc("How many."),
    OptionDef::list("names").doc("Names."),
];

/// The two middle lines of the findings in a job whose source's block is `body`, and of syntax
/// errors: the shown line and its mark.
fn shown(body: &str) -> Vec<String> {
    let text = format!("source {{ A {{\n{body}\n}} }}\nsink {{ B {{}} }}\n");
    let variables = Variables::with_environment(&[], |_| None).unwrap();
    let mut report = Report::default();
    match JobFile::parse(&text, Path::new("a.conf"), Format::Hocon, &variables) {
        Ok(job) => Options::resolve(&job.sources[0], DEFS).1.iter().for_each(|problem| report.add(problem)),
        Err(errors) => errors.0.iter().for_each(|problem| report.add(problem)),
    }
    let all = report.to_string();
    assert!(!all.contains("hunter2"), "{all}");
    let bar = |line: &&str| line.contains(" | ");
    all.lines().filter(bar).map(|line| line.split_once(" | ").unwrap().1.to_owned()).collect()
}

#[test]
fn keys_and_values_are_marked() {
    assert_eq!(shown("  size = 12 # why"), ["  size = 12 # why", "         ^^"]);
    assert_eq!(shown("\tsize:\"a b\", url = x"), ["    size:\"a b\", url = x", "         ^^^^^"]);
    assert_eq!(
        shown("  名 = \"值\", size = 0"),
        ["  名 = …, size = 0", "  ^^", "  名 = \"值\", size = 0", "                    ^",]
    );
    assert_eq!(shown("  size = [1,\n 2]"), ["  size = [1,", "         ^^^"]);
    assert_eq!(shown("  size {\n x = 1 }"), [" x = 1 }", " ^"]);
}

#[test]
fn secrets_are_taken_out_of_the_line() {
    for (body, line) in [
        ("password = hunter2, size = 0", "password = ******, size = 0"),
        ("size = 0, password = \"hun,ter2\"", "size = 0, password = ******"),
        ("pasword = \"hunter2\"", "pasword = …"),
        ("pw = \"hunter2\", size = 0", "pw = ******, size = 0"),
        ("geheim = \"hunter2\"", "geheim = …"),
        ("passwort = \"\"\"\nhunter2\"\"\", size = 0", "******, size = 0"),
        ("db { token { a = hunter2 } }, size = 0", "db { token ****** }, size = 0"),
        ("size = 0, url = \"jdbc:mysql://a:hunter2@h\"", "size = 0, url = \"jdbc:mysql://a:******@h\""),
        ("url = \"x://a:hunter2@h\", size = 0", "url = \"x://a:******@h\", size = 0"),
        ("password = \"hunter2", "password = ******"),
        ("password = hunter2 size = 1", "password = ******"),
        ("password \"hunter2\"", "password ******"),
        ("password hunter2", "password ******"),
        ("url = [], key = hunter2, size = 0", "url = [], key = ******, size = 0"),
    ] {
        assert!(shown(body).contains(&line.to_owned()), "{body}: {:?}", shown(body));
    }
    // The mark moves with what stands before it.
    assert_eq!(
        shown("password = hunter2, size = 0"),
        ["password = ******, size = 0", "                          ^",]
    );
    // A value alone in its line, behind a quote that is not closed.
    let hidden = shown("password =\n  \"hunter2\nsize = 1");
    assert!(hidden.iter().all(|line| line.trim_matches(['*', '^', ' ']).is_empty()), "{hidden:?}");
}

#[test]
fn long_lines_are_cut_around_the_mark() {
    let line = format!("  url = \"{}\", size = 0, names = \"{}\"", "x".repeat(200), "y".repeat(200));
    let [text, mark] = &shown(&line)[..] else { panic!() };
    assert!(text.starts_with('…') && text.ends_with('…') && text.width() <= COLUMNS_MAX + 2, "{text}");
    assert_eq!(text.chars().nth(mark.chars().count() - 1), Some('0'), "{text}\n{mark}");
}

#[test]
fn names_of_secrets_are_recognised() {
    for key in ["password", "pasword", "a.passwort", "pass", "Pwd", "pw", "tokn", "credentials.x", "secrets"]
    {
        assert!(looks_secret(key), "{key}");
    }
    for key in ["url", "username", "table-names", "path", "author", "primary_keys", "pattern", "batch_size"] {
        assert!(!looks_secret(key), "{key}");
    }
}
