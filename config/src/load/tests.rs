#![allow(clippy::unwrap_used)]

use super::*;
use crate::report::Report;

/// The job file every reader of the manual meets first.
const SELECTIVE_CDC: &str = r#"
env { parallelism = 1, job.mode = "STREAMING" }
source { MySQL-CDC { server-id = 5000, username = "root", password = "root", table-names = ["cdc.w"], url = "jdbc:mysql://localhost:3306/cdc" } }
transform { RowKindExtractor { } }
sink { jdbc { url = "jdbc:mysql://localhost:3306/cdc?useUnicode=true&characterEncoding=UTF-8&rewriteBatchedStatements=true",
  driver = "com.mysql.cj.jdbc.Driver", username = "root", password = "root", database = cdc, table = w2, generate_sink_sql = true } }
"#;

fn environment(name: &str) -> Option<String> {
    (name == "DB_HOST").then(|| "db1".to_owned())
}

fn variables(given: &[(&str, &str)]) -> Variables {
    let given: Vec<(String, String)> = given.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Variables::with_environment(&given, environment).unwrap()
}

fn parse_as(text: &str, format: Format, given: &[(&str, &str)]) -> Result<JobFile, ConfigErrors> {
    JobFile::parse(text, Path::new("jobs/a.conf"), format, &variables(given))
}

fn job(text: &str) -> JobFile {
    parse_as(text, Format::Hocon, &[]).unwrap()
}

fn error(text: &str) -> String {
    parse_as(text, Format::Hocon, &[]).unwrap_err().to_string()
}

/// The options of the only source of a job with this source block.
fn source(body: &str, given: &[(&str, &str)]) -> Block {
    let text = format!("defs {{ host = h1, port = 3306 }}\nsource {{ A {{ {body} }} }}\nsink {{ B {{}} }}");
    parse_as(&text, Format::Hocon, given).unwrap().sources.remove(0)
}

fn text_of(block: &Block, key: &str) -> String {
    block.get(key).and_then(Value::scalar_text).unwrap_or("<none>").to_owned()
}

fn plugins(blocks: &[Block]) -> Vec<&str> {
    blocks.iter().map(|block| block.plugin.as_str()).collect()
}

#[test]
fn the_selective_cdc_job_loads() {
    let job = job(SELECTIVE_CDC);
    assert_eq!(job.warnings, []);
    assert_eq!(text_of(&job.env, "job.mode"), "STREAMING");
    assert_eq!(plugins(&job.sources), ["MySQL-CDC"]);
    assert_eq!(plugins(&job.transforms), ["RowKindExtractor"]);
    assert_eq!(plugins(&job.sinks), ["jdbc"]);
    let source = &job.sources[0];
    assert_eq!(source.get("server-id"), Some(&Value::Number("5000".into())));
    assert_eq!(source.get("table-names"), Some(&Value::List(vec![Value::String("cdc.w".into())])));
    let sink = &job.sinks[0];
    assert_eq!(text_of(sink, "database"), "cdc");
    assert_eq!(sink.get("generate_sink_sql"), Some(&Value::Bool(true)));
    assert_eq!((sink.line(), sink.entries[1].place.line), (Some(5), Some(6)));
    let keys: Vec<&str> = sink.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["url", "driver", "username", "password", "database", "table", "generate_sink_sql"]);
}

#[test]
fn repeated_blocks_and_order_are_kept() {
    let job = job("source { A { n = 1 } }\nsource { B {}, A { n = 2 }\n }\n\
        transform {\n Sql { q = 1 }\n Filter {}\n Sql { q = 2 }\n}\nsink.Console { x = 1 }\nsink { Jdbc {} }");
    assert_eq!(plugins(&job.sources), ["A", "B", "A"]);
    assert_eq!(text_of(&job.sources[2], "n"), "2");
    assert_eq!(plugins(&job.transforms), ["Sql", "Filter", "Sql"]);
    let lines: Vec<Option<u32>> = job.transforms.iter().map(Block::line).collect();
    assert_eq!(lines, [Some(5), Some(6), Some(7)]);
    assert_eq!(plugins(&job.sinks), ["Console", "Jdbc"]);
}

#[test]
fn hocon_syntax_of_the_wild() {
    let job = job("// comment\n# another \\ one\nenv.job.mode = BATCH\nenv { job { name : x }, }\n\
        source {\n A {\n  a = unquoted-text.with.dots\n  b : \"quoted\" \n  c = \"\"\"multi\nline\"\"\"\n\
          d = [1, 2, 3,]\n  e { }\n  f { g.h = 1 }\n  i = two words # comment\n  j += 1\n  j += 2\n  include_kinds = [\"INSERT\"]\n\
          k = null\n  debezium { include.schema.changes = true }\n } }\nsink { B { } }");
    assert_eq!((text_of(&job.env, "job.mode"), text_of(&job.env, "job.name")), ("BATCH".into(), "x".into()));
    let block = &job.sources[0];
    for (key, text) in [
        ("a", "unquoted-text.with.dots"),
        ("b", "quoted"),
        ("c", "multi\nline"),
        ("f.g.h", "1"),
        ("i", "two words"),
        ("debezium.include.schema.changes", "true"),
    ] {
        assert_eq!(text_of(block, key), text, "{key}");
    }
    let numbers = |texts: &[&str]| Value::List(texts.iter().map(|t| Value::Number((*t).into())).collect());
    assert_eq!(block.get("d"), Some(&numbers(&["1", "2", "3"])));
    assert_eq!(block.get("j"), Some(&numbers(&["1", "2"])));
    assert_eq!(block.get("e"), Some(&Value::Object(vec![])));
    assert_eq!(block.get("k"), None);
    assert!(block.get("include_kinds").is_some());
}

#[test]
fn values_below_their_keys_and_blank_lines() {
    let job = job(
        "source {\r\n\tA {\r\n\t\tid=5690-5695\r\n\r\n\t\trules =\r\n\t\t\t{\n n=[\n{ k = V\n l = [1, \"A\"] },\n\n{ k = W }\n]\n}\n\
        code=\"\"\"\n x = \"\"; y[] {\n \"\"\"\n\n }\n\n}\nsink\n{\n  # why\n  B\n  {\n t = \"${table_name}\"\n k = [\"${primary_key}\"]\n} }",
    );
    let block = &job.sources[0];
    assert_eq!(text_of(block, "id"), "5690-5695");
    assert!(matches!(block.get("rules.n"), Some(Value::List(values)) if values.len() == 2));
    assert_eq!(text_of(block, "code"), "\n x = \"\"; y[] {\n ");
    assert_eq!((block.line(), block.entries[2].place.line), (Some(2), Some(14)));
    assert_eq!((job.sinks[0].line(), text_of(&job.sinks[0], "t")), (Some(24), "${table_name}".into()));
}

#[test]
fn variables_follow_the_rules() {
    let given = [("v", "given"), ("defs.host", "h2"), ("n", "7")];
    for (body, value) in [
        ("x = ${v}", "given"),
        ("x = \"a-${v}-b\"", "a-given-b"),
        ("x = pre${v}post", "pregivenpost"),
        ("x = ${unset:7}", "7"),
        ("x = \"${unset:a b}\"", "a b"),
        ("x = \"${unset:}\"", ""),
        ("x = ${v:7}", "given"),
        ("x = ${DB_HOST}", "db1"),
        ("x = \"${DB_HOST}:1\"", "db1:1"),
        ("x = ${defs.port}", "3306"),
        ("x = ${defs.host}", "h2"),
        ("x = ${unset}", "${unset}"),
        ("x = \"${unset}\"", "${unset}"),
        ("x = 1, x = ${?unset}", "1"),
        ("x = ${?unset}", "<none>"),
        ("x = \"${?unset}\"", ""),
        ("x = \"${table_name}_${table_name:t}\"", "${table_name}_${table_name:t}"),
        ("x = ${table_name}", "${table_name}"),
        ("x = a${table_name}", "a${table_name}"),
        ("x = jdbc${?unset}x", "jdbcx"),
        ("${defs} { port = 1 }, x = 2", "<error>"),
    ] {
        if value == "<error>" {
            let text = format!("source {{ A {{ {body} }} }}\nsink {{ B {{}} }}");
            assert!(parse_as(&text, Format::Hocon, &given).is_err(), "{body}");
        } else {
            assert_eq!(text_of(&source(body, &given), "x"), value, "{body}");
        }
    }
    assert_eq!(source("x = ${defs.port}", &[]).get("x"), Some(&Value::Number("3306".into())));
}

#[test]
fn objects_and_lists_join() {
    let block = source("x = ${defs} { port = 1, user = u }, l = [1] [2] ${?unset}", &[]);
    assert_eq!((text_of(&block, "x.host"), text_of(&block, "x.port")), ("h1".into(), "1".into()));
    assert_eq!(text_of(&block, "x.user"), "u");
    assert!(matches!(block.get("l"), Some(Value::List(values)) if values.len() == 2));
    let job = job("common { url = u }\nsource { A = ${common} { t = 1 } }\nsink { B = ${common} }");
    assert_eq!((text_of(&job.sources[0], "url"), text_of(&job.sources[0], "t")), ("u".into(), "1".into()));
    assert_eq!(job.warnings, []);
    assert!(error("source { A { x = [1] b } }\nsink { B {} }").contains("a list cannot stand beside"));
}

#[test]
fn substitutions_end() {
    assert!(
        error("a = ${b}\nb = ${a}\nsource { A { x = ${a} } }\nsink { B {} }").contains("refers to itself")
    );
    // A name that stands for the variable of the same name reads the environment.
    let job =
        job("DB_HOST = localhost\nDB_HOST = ${?DB_HOST}\nsource { A { x = ${DB_HOST} } }\nsink { B {} }");
    assert_eq!(text_of(&job.sources[0], "x"), "db1");
    let mut text = String::from("l0 = [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = vec![format!("${{l{}}}", level - 1); 10].join(", ");
        text.push_str(&format!("l{level} = [{below}]\n"));
    }
    text.push_str("source { A { x = ${l9} } }\nsink { B {} }");
    assert!(error(&text).contains("more than"), "{}", error(&text));
    let mut text = String::from("t0 = \"0123456789\"\n");
    for level in 1..14 {
        text.push_str(&format!("t{level} = {}\n", format!("${{t{}}}", level - 1).repeat(10)));
    }
    text.push_str("source { A { x = ${t13} } }\nsink { B {} }");
    assert!(error(&text).contains("more than"));
    let chain: String = (0..50).map(|n| format!("c{n} = ${{c{}}}\n", n + 1)).collect();
    assert!(
        error(&format!("{chain}source {{ A {{ x = ${{c0}} }} }}\nsink {{ B {{}} }}")).contains("more than")
    );
}

#[test]
fn json_files_name_their_plugins() {
    let text = r#"{
  "env": { "job.mode": "batch", "parallelism": 1.50 },
  "source": [
    { "plugin_name": "MySQL-CDC", "url": "jdbc:mysql://${v}/x", "table-names": ["a.b"] },
    { "plugin_name": "MySQL-CDC" }
  ],
  "transform": [],
  "sink": [ { "plugin_name": "Console", "nested": { "include": { "a": "\u0041" } } } ]
}"#;
    let job = parse_as(text, Format::Json, &[("v", "h")]).unwrap();
    assert_eq!(plugins(&job.sources), ["MySQL-CDC", "MySQL-CDC"]);
    assert_eq!(text_of(&job.sources[0], "url"), "jdbc:mysql://h/x");
    assert_eq!((job.sources[0].line(), job.sources[1].line()), (Some(4), Some(5)));
    assert_eq!(text_of(&job.env, "parallelism"), "1.50");
    assert_eq!(text_of(&job.sinks[0], "nested.include.a"), "A");
    assert!(job.transforms.is_empty());

    let broken = parse_as("{\n \"source\": [1,],\n}", Format::Json, &[]).unwrap_err().to_string();
    assert!(broken.starts_with("jobs/a.conf:2:") && broken.contains("not valid JSON: "), "{broken}");
    let nameless =
        parse_as(r#"{"source": [{"x": 1}], "sink": ["y"]}"#, Format::Json, &[]).unwrap_err().to_string();
    assert!(nameless.contains("a block of section 'source' has no 'plugin_name'"), "{nameless}");
    assert!(nameless.contains("section 'sink' lists a text"), "{nameless}");
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(500), "]".repeat(500));
    let deep = parse_as(&deep, Format::Json, &[]).unwrap_err().to_string();
    assert!(deep.contains("nested deeper") || deep.contains("recursion"), "{deep}");
}

#[test]
fn missing_sections_are_named() {
    assert_eq!(
        error("sources { A {} }\nsink { B {} }"),
        "jobs/a.conf:1: the job has no source: section 'source' is missing or empty; did you mean 'source' instead of \
         'sources'?"
    );
    let both = error("");
    assert!(both.contains("no source") && both.contains("no sink"), "{both}");
    assert!(error("source { url = x }\nsink { B {} }").contains("'url' stands directly in section 'source'"));
    assert!(error("source = 1\nsink { B {} }").contains("must hold plugin blocks, found a number"));
    assert!(error("env = 1\nsource { A {} }\nsink { B {} }").contains("'env' must be a block"));
}

#[test]
fn doubtful_files_are_warned_about() {
    let job = job("source { A {\n x = 1\n x = 2\n} }\nsink { B {} }\nstray { y = 1 }");
    let warnings: Vec<String> = job.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "jobs/a.conf:3: option 'x' is set twice, here and in line 2; this one counts",
            "jobs/a.conf:6: 'stray' is not a section of a job file and nothing refers to it; sections are env, source, \
             transform and sink",
        ]
    );
    assert_eq!(text_of(&job.sources[0], "x"), "2");
}

#[test]
fn files_are_read_with_their_limits() {
    let folder = std::env::temp_dir().join(format!("culvert-config-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let fails = |path: &Path| load(path, &[]).unwrap_err().to_string();

    let good = write("good.conf", format!("\u{feff}{SELECTIVE_CDC}").as_bytes());
    assert_eq!(load(&good, &[]).unwrap().sinks.len(), 1);
    assert!(fails(&folder.join("absent.conf")).contains("no such file"));
    assert!(fails(&folder).contains("a folder"));
    assert!(fails(&write("big.conf", &vec![b' '; (1 << 20) + 1])).contains("at most 1048576 bytes"));
    assert!(
        fails(&write("latin.conf", b"a = 1\nb = \xff"))
            .ends_with(":2: the file is not valid UTF-8; save it as UTF-8")
    );
    assert!(fails(&write("job.sql", b"")).contains("not supported"));
    let json = write("job.JSON", br#"{"source": [{"plugin_name": "A"}], "sink": [{"plugin_name": "B"}]}"#);
    assert_eq!(load(&json, &[]).unwrap().sources[0].plugin, "A");
    let reserved = load(&good, &[("field_names".to_owned(), "x".to_owned())]).unwrap_err().to_string();
    assert!(reserved.contains("'field_names' cannot be set"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn too_many_keys_are_refused() {
    let keys: String = (0..2_001).map(|n| format!("k{n} = 1\n")).collect();
    assert!(
        error(&format!("source {{ A {{\n{keys}}} }}\nsink {{ B {{}} }}")).contains("more than 2000 keys")
    );
}

#[test]
fn debug_output_has_no_secrets() {
    let text = SELECTIVE_CDC.replace("password = \"root\"", "password = \"hunter2\"");
    let job = job(&text.replace("localhost:3306/cdc?", "u:hunter2@localhost:3306/cdc?password=hunter2&"));
    let printed = format!("{job:?} {:?} {}", job.sinks, job.sources[0]);
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("******"));
}

/// Nothing that a file can hold makes the loader panic or take long, and whatever loads has lines
/// inside the file.
#[test]
fn mutated_files_never_panic() {
    let seeds = [
        SELECTIVE_CDC,
        "include \"x\"\nincludes = ${a:b} ${?c}\n\"q.r\" : [{a=1}{b=2}]\nx += \"\"\"t\"\"\"\nsource{A{}}\nsink{B{}}",
        "{\"source\":[{\"plugin_name\":\"A\",\"x\":-1.50e3}],\"sink\":[{\"plugin_name\":\"\\u0042\"}]}",
    ];
    let pieces = [
        "{", "}", "[", "]", "\"", "\"\"\"", "${", "}", "\\", "#", "//", "\n", ",", "=", "include", "é", ".",
        "+=",
    ];
    let mut state: u64 = 0x5eed;
    let mut next = move |below: usize| {
        // xorshift64*: the same sequence in every run.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % below.max(1)
    };
    let mut loaded = 0;
    for round in 0..6_000 {
        let mut chars: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..=next(4) {
            let at = next(chars.len());
            match next(3) {
                0 => drop(chars.drain(at..(at + next(6)).min(chars.len()))),
                1 => drop(chars.splice(at..at, pieces[next(pieces.len())].chars())),
                _ => chars.truncate(chars.len().saturating_sub(next(40))),
            }
        }
        let text: String = chars.into_iter().collect();
        for format in [Format::Hocon, Format::Json] {
            let lines = u32::try_from(text.lines().count().max(1)).unwrap();
            match parse_as(&text, format, &[("a", "1")]) {
                Ok(job) => {
                    loaded += 1;
                    let _ = (job.graph(), job.settings());
                    let blocks = job.sources.iter().chain(&job.sinks);
                    assert!(blocks.filter_map(Block::line).all(|line| (1..=lines).contains(&line)), "{text}");
                }
                Err(errors) => {
                    assert!(!errors.0.is_empty());
                    let mut at = errors.0.iter().filter_map(|problem| problem.place.line);
                    assert!(at.all(|line| line <= lines + 1), "{text}\n{errors}");
                    let mut report = Report::default();
                    errors.0.iter().for_each(|problem| report.add(problem));
                    assert!(!report.to_string().contains("password = \"root"), "{text}\n{report}");
                }
            }
        }
    }
    assert!(loaded > 100, "{loaded}");
}
