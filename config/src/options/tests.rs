#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::load::{Format, JobFile};
use crate::option_def::definition_mistakes;
use crate::problem::{Severity, raise_unknown_keys};
use crate::rules::Rule;
use crate::substitute::Variables;

const DEFS: &[OptionDef] = &[
    OptionDef::string("url").alias(&["base-url"]).required().doc("Where the server is."),
    OptionDef::string("username").alias(&["user"]).required().doc("The user."),
    OptionDef::string("password").secret().doc("The password."),
    OptionDef::list("table-names").doc("Tables."),
    OptionDef::regex("table-pattern").doc("Tables by pattern."),
    OptionDef::int_in("batch_size", 1, 1000).default("100").unit("rows").doc("Rows in a batch."),
    OptionDef::boolean("enabled").default("true").doc("Whether."),
    OptionDef::float("factor").default("0.5").doc("How much."),
    OptionDef::duration_ms("timeout").default("30s").doc("How long."),
    OptionDef::choice("startup.mode", &["INITIAL", "LATEST", "SPECIFIC"])
        .default("INITIAL")
        .doc("Where to start."),
    OptionDef::string("startup.specific-offset.file").doc("File."),
    OptionDef::int("startup.specific-offset.pos").doc("Position."),
    OptionDef::boolean("schema-changes.enabled").alias(&["debezium.include.schema.changes"]).doc("DDL."),
    OptionDef::map("debezium").doc("More."),
    OptionDef::map("legacy").refused("nobody needs it").doc("Old."),
    OptionDef::objects("tables").doc("Per table."),
    OptionDef::string("topic").placeholders().doc("Topic."),
    OptionDef::boolean("is_exactly_once").default("false").refused("the marker keeps it").doc("XA."),
    OptionDef::string("driver").ignored("there is one driver").doc("Driver."),
];

fn block(body: &str) -> Block {
    let text = format!("source {{ MySQL-CDC {{\n{body}\n}} }}\nsink {{ B {{}} }}");
    let variables = Variables::with_environment(&[], |_| None).unwrap();
    JobFile::parse(&text, Path::new("jobs/a.conf"), Format::Hocon, &variables).unwrap().sources.remove(0)
}

fn resolve(body: &str) -> (Options, Vec<String>) {
    let (options, problems) = Options::resolve(&block(body), DEFS);
    (options, problems.iter().map(ToString::to_string).collect())
}

/// With everything required set; lines of `body` begin at 3.
fn good(body: &str) -> Options {
    let (options, problems) = resolve(&format!("url = u, username = n\n{body}"));
    assert_eq!(problems, Vec::<String>::new());
    options
}

fn wrong(body: &str) -> Vec<String> {
    resolve(&format!("url = u, username = n\n{body}")).1
}

#[test]
fn the_test_table_is_sound() {
    assert_eq!(definition_mistakes(DEFS), Vec::<String>::new());
    let broken = [
        OptionDef::int("a").alias(&["b"]).default("x").doc("A."),
        OptionDef::string("b").required().default("y"),
    ];
    assert_eq!(
        definition_mistakes(&broken),
        [
            "the default of 'a' is not a whole number from 0 up",
            "the name 'b' occurs twice",
            "'b' is required and has a default",
            "'b' has no sentence",
        ]
    );
}

#[test]
fn values_are_typed_and_defaults_fill_in() {
    let options = good(
        "password = 12345678901234567890, table-names = \"a.b, c.d\", batch_size = \"7\", enabled = \"False\"\n\
         factor = 2, timeout = 5, startup { mode = latest }, topic = \"${field}\", tables = [{ table = x }]",
    );
    assert_eq!((options.str("url"), options.str("username")), ("u", "n"));
    assert_eq!(options.secret("password").expose(), "12345678901234567890");
    assert_eq!(options.list("table-names"), ["a.b", "c.d"]);
    assert_eq!((options.int("batch_size"), options.bool("enabled")), (7, false));
    assert_eq!((options.float("factor"), options.int("timeout")), (2.0, 5));
    assert_eq!((options.enum_value("startup.mode"), options.str("topic")), ("LATEST", "${field}"));
    assert_eq!(options.objects("tables").len(), 1);
    let defaults = good("");
    assert_eq!(
        (defaults.int("batch_size"), defaults.bool("enabled"), defaults.float("factor")),
        (100, true, 0.5)
    );
    assert_eq!((defaults.int("timeout"), defaults.enum_value("startup.mode")), (30_000, "INITIAL"));
    assert!(!defaults.is_set("batch_size") && options.is_set("batch_size"));
    assert_eq!((defaults.opt_str("topic"), defaults.opt_int("startup.specific-offset.pos")), (None, None));
    assert!(defaults.list("table-names").is_empty() && defaults.map("debezium").is_empty());
}

#[test]
fn both_naming_generations_are_accepted() {
    let (options, problems) =
        resolve("base-url = u, user = n, source_table_name = \"a,b\", result_table_name = c");
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!((options.str("url"), options.typed_key("url")), ("u", "base-url"));
    assert_eq!(
        (options.list("plugin_input"), options.str("plugin_output")),
        (&["a".into(), "b".into()][..], "c")
    );
    assert_eq!(resolve("url = u, base-url = u, username = n").1, Vec::<String>::new());
    assert_eq!(
        resolve("url = u\nbase-url = v, username = n").1,
        ["jobs/a.conf:3: options 'url' and 'base-url' are two names of one option and differ; keep one"]
    );
}

#[test]
fn maps_take_dotted_and_nested_keys() {
    let nested = good("debezium { a.b = 1, include.schema.changes = true, c { d = [x, y] } }");
    let dotted = good("debezium.a.b = 1\ndebezium.include.schema.changes = true\ndebezium.c.d = \"x,y\"");
    for options in [&nested, &dotted] {
        let pairs: Vec<(&str, &str)> =
            options.map("debezium").iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a.b", "1"), ("c.d", "x,y")]);
        assert!(options.bool("schema-changes.enabled"));
    }
    assert!(good("debezium {}").map("debezium").is_empty());
    assert_eq!(
        wrong("debezium = 5"),
        ["jobs/a.conf:3: option 'debezium' must be a block of keys and values, found a number"]
    );
}

#[test]
fn unknown_keys_are_warned_about_with_the_nearest_name() {
    let (_, problems) =
        Options::resolve(&block("url = u, username = n\ntabel-names = [a]\nwhatever = 1"), DEFS);
    let mut problems = problems;
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "jobs/a.conf:3: option 'tabel-names' is not known to source MySQL-CDC; did you mean 'table-names'?",
            "jobs/a.conf:4: option 'whatever' is not known to source MySQL-CDC; `culvert connectors MySQL-CDC` lists its \
             options",
        ]
    );
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
    raise_unknown_keys(&mut problems);
    assert!(problems.iter().all(Problem::is_error));
    assert_eq!(
        wrong("startup { mod = INITIAL }"),
        [
            "jobs/a.conf:3: option 'startup.mod' is not known to source MySQL-CDC; did you mean 'startup.mode'?"
        ]
    );
    assert_eq!(
        wrong("timeout { read = 5 }"),
        ["jobs/a.conf:3: option 'timeout' takes a single value; 'timeout.read' is not known"]
    );
    assert_eq!(wrong("startup { }"), Vec::<String>::new());
    assert_eq!(wrong("flink.x = 1").len(), 1);
}

#[test]
fn bad_values_name_what_is_allowed() {
    for (body, message) in [
        ("batch_size = many", "option 'batch_size' must be a whole number from 1 to 1000, found 'many'"),
        ("batch_size = 0", "option 'batch_size' must be a whole number from 1 to 1000, found '0'"),
        ("batch_size = [1]", "option 'batch_size' must be a whole number from 1 to 1000, found a list"),
        ("enabled = yes", "option 'enabled' must be true or false, found 'yes'; write true"),
        (
            "startup.mode = LATES",
            "option 'startup.mode' must be one of INITIAL, LATEST, SPECIFIC, found 'LATES'; did you mean 'LATEST'?",
        ),
        (
            "table-pattern = \"a(b\"",
            "option 'table-pattern' must be a regular expression (unclosed group), found 'a(b'",
        ),
        ("password = [hunter2]", "option 'password' must be a text"),
        (
            "table-names = [\"${db}.t\"]",
            "option 'table-names' needs variable 'db', which is not set; pass -i db=… or set the environment variable db",
        ),
        (
            "is_exactly_once = true",
            "option 'is_exactly_once' of source MySQL-CDC is not supported: the marker keeps it",
        ),
        ("driver = x", "option 'driver' of source MySQL-CDC has no effect: there is one driver"),
        (
            "legacy { a = 1, b = 2 }",
            "option 'legacy.a' of source MySQL-CDC is not supported: nobody needs it",
        ),
    ] {
        assert_eq!(wrong(body), [format!("jobs/a.conf:3: {message}")], "{body}");
    }
    assert_eq!(wrong("is_exactly_once = \"FALSE\""), Vec::<String>::new());
    let long = wrong(&format!("batch_size = {}", "x".repeat(500)));
    assert!(long[0].chars().count() < 200, "{long:?}");
}

#[test]
fn all_missing_options_are_named_at_once() {
    let (_, problems) = resolve("batch_size = 5");
    assert_eq!(problems, ["jobs/a.conf:1: source MySQL-CDC lacks required options 'url', 'username'"]);
    // A broken value is reported as such, not as missing; null is as good as nothing.
    let (_, problems) = resolve("url = [x]\nusername = null");
    assert_eq!(
        problems,
        [
            "jobs/a.conf:1: source MySQL-CDC lacks required option 'username'",
            "jobs/a.conf:2: option 'url' must be a text, found a list",
        ]
    );
    let (_, problems) = resolve("url = \"jdbc:mysql://${host}/x\"\nuser = ${user}");
    assert_eq!(problems.len(), 2);
    assert!(problems[0].contains("'url' needs variable 'host'"), "{problems:?}");
    assert!(problems[1].contains("'user' needs variable 'user'"), "{problems:?}");
}

#[test]
fn rules_between_options() {
    const RULES: &[Rule] = &[
        Rule::OneOf(&["table-names", "table-pattern"]),
        Rule::AtMostOne(&["timeout", "factor"]),
        Rule::Together(&["password", "topic"]),
        Rule::RequiredWhen {
            option: "startup.mode",
            is: "specific",
            needs: &["startup.specific-offset.file", "startup.specific-offset.pos"],
        },
    ];
    let check = |body: &str| -> Vec<String> {
        let options = good(body);
        options.check(RULES).iter().map(ToString::to_string).collect()
    };
    assert_eq!(check("table-names = [a]"), Vec::<String>::new());
    assert_eq!(
        check(""),
        ["jobs/a.conf:1: source MySQL-CDC needs exactly one of 'table-names', 'table-pattern'"]
    );
    assert_eq!(
        check(
            "table-names = [a], password = x, timeout = 1\nfactor = 1\ntable-pattern = b\nstartup.mode = Specific\n\
            startup.specific-offset.pos = 4"
        ),
        [
            "jobs/a.conf:5: options 'table-names', 'table-pattern' of source MySQL-CDC exclude each other; keep one",
            "jobs/a.conf:4: options 'timeout', 'factor' of source MySQL-CDC exclude each other; keep one",
            "jobs/a.conf:3: options 'password', 'topic' of source MySQL-CDC belong together; 'topic' is missing",
            "jobs/a.conf:6: source MySQL-CDC needs 'startup.specific-offset.file' because 'startup.mode' is specific",
        ]
    );
    let problem = good("topic = x").problem("topic", "names no table");
    assert_eq!(problem.to_string(), "jobs/a.conf:3: option 'topic' names no table");
}

#[test]
fn debug_output_has_no_secrets() {
    let (options, problems) = resolve(
        "url = \"jdbc:mysql://root:hunter2@h/d?password=hunter2\", username = n, password = hunter2\n\
         debezium { database.password = hunter2 }, pasword = hunter2, tables = [{ password = hunter2 }]",
    );
    let printed = format!("{options:?} {problems:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(problems.len(), 1);
}
