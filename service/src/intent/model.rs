//! The intent as it is written: which keys it may have, and what each kind of source and sink needs.

use culvert_config::{
    Block, Entry, OptionDef, Options, Place, Problem, ProblemKind, Role, Value, is_secret_key,
    raise_unknown_keys,
};

use super::VERSION;
use crate::connectors::PLUGINS;

/// Kinds of sources.
const SOURCE_KINDS: &[&str] = &["mysql", "mariadb", "postgresql", "kafka", "fake"];

/// Kinds of sinks.
const SINK_KINDS: &[&str] = &["mysql", "mariadb", "postgresql", "kafka", "files", "console"];

/// Demands on the job.
const CONSTRAINTS: &[&str] =
    &["no_plaintext_secret", "exactly_once", "no_delete", "no_create_table", "follow_schema_changes", "tls"];

/// The keys of the intent itself.
pub(super) const INTENT: &[OptionDef] = &[
    OptionDef::int_in("version", VERSION, VERSION).required().doc("The version of this form: 1."),
    OptionDef::string("name").doc("The job's name."),
    OptionDef::map("source").required().doc("Where rows come from."),
    OptionDef::map("sink").required().doc("Where they go."),
    OptionDef::choice("mode", &["snapshot", "stream", "both"])
        .required()
        .doc("What is there now, what changes from now on, or both."),
    OptionDef::choice("write", &["mirror", "history"])
        .default("mirror")
        .doc("Keep the target equal to the source, or append every change to it."),
    OptionDef::list("constraints").doc("What must hold."),
    OptionDef::objects("transforms").doc("Steps in between, each with plugin and options."),
];

const KIND_OF_SOURCE: OptionDef = OptionDef::choice("kind", SOURCE_KINDS).required().doc("What it is.");
const KIND_OF_SINK: OptionDef = OptionDef::choice("kind", SINK_KINDS).required().doc("What it is.");
const HOST: OptionDef = OptionDef::string("host").placeholders().doc("The server's name or address.");
const PORT: OptionDef = OptionDef::string("port").placeholders().doc("Its port; the usual one without it.");
const DATABASE: OptionDef = OptionDef::string("database").placeholders().doc("The database.");
const SCHEMA: OptionDef =
    OptionDef::string("schema").placeholders().default("public").doc("PostgreSQL: the schema.");
const USER: OptionDef = OptionDef::string("user").placeholders().doc("The account.");
const PASSWORD: OptionDef = OptionDef::string("password").placeholders().secret().doc("As ${NAME}.");
const BROKERS: OptionDef = OptionDef::list("brokers").placeholders().doc("Brokers to begin with, host:port.");
const TOPIC: OptionDef = OptionDef::string("topic").placeholders().doc("The topic.");
const TABLE: OptionDef = OptionDef::string("table").doc("What the table is called.");
const FIELDS: OptionDef = OptionDef::map("fields").doc("The columns: name and type.");
const KEY: OptionDef = OptionDef::list("key").doc("The columns of the table's key.");
const FORMAT: OptionDef = OptionDef::string("format").doc("How changes are written in messages.");

/// What a source that is a database may say.
pub(super) const DATABASE_SOURCE: &[OptionDef] = &[
    KIND_OF_SOURCE,
    HOST,
    PORT,
    DATABASE,
    SCHEMA,
    USER,
    PASSWORD,
    OptionDef::list("tables").placeholders().doc("Tables; `*` for all of the database."),
    OptionDef::choice("read", &["log", "select"])
        .default("log")
        .doc("By the server's log, or once by SELECT alone, which needs no right to the log."),
];

/// What a source that is a topic may say.
pub(super) const KAFKA_SOURCE: &[OptionDef] = &[
    KIND_OF_SOURCE,
    BROKERS,
    TOPIC,
    FORMAT,
    OptionDef::string("group").doc("The consumer group."),
    TABLE,
    FIELDS,
    KEY,
];

/// What a source of made-up rows may say.
pub(super) const FAKE_SOURCE: &[OptionDef] =
    &[KIND_OF_SOURCE, TABLE, FIELDS, KEY, OptionDef::int("rows").doc("How many rows.")];

/// What a sink that is a database may say.
pub(super) const DATABASE_SINK: &[OptionDef] = &[
    KIND_OF_SINK,
    HOST,
    PORT,
    DATABASE,
    SCHEMA,
    USER,
    PASSWORD,
    OptionDef::string("table")
        .placeholders()
        .default("${table_name}")
        .doc("The target table; each source table's own name without it."),
];

/// What a sink that is topics may say.
pub(super) const KAFKA_SINK: &[OptionDef] = &[KIND_OF_SINK, BROKERS, TOPIC, FORMAT];

/// What a sink that is a folder may say.
pub(super) const FILES_SINK: &[OptionDef] = &[
    KIND_OF_SINK,
    OptionDef::string("path").placeholders().doc("The folder; it may hold ${table_name}."),
    OptionDef::choice("format", &["csv", "text", "json", "parquet"])
        .default("csv")
        .doc("How rows are written."),
];

/// What a sink on standard output may say.
pub(super) const CONSOLE_SINK: &[OptionDef] = &[KIND_OF_SINK];

/// What one transform may say.
const TRANSFORM: &[OptionDef] = &[
    OptionDef::string("plugin").required().doc("The plugin's name."),
    OptionDef::map("options").placeholders().doc("Its options."),
];

/// One step between source and sink: the plugin's name and its options as they are written.
pub(super) struct Step {
    pub(super) plugin: String,
    pub(super) options: Vec<Entry>,
}

/// An intent in which every key is known and every value fits.
pub(super) struct Intent {
    pub(super) all: Options,
    pub(super) source: Options,
    pub(super) sink: Options,
    pub(super) steps: Vec<Step>,
    constraints: Vec<String>,
}

impl Intent {
    /// Reads an intent; everything wrong is told at once.
    pub(super) fn read(root: &Block) -> (Option<Intent>, Vec<Problem>) {
        let (all, mut problems) = Options::resolve(root, INTENT);
        let source = Reader::new(root, "source", &mut problems).options(source_defs);
        let sink = Reader::new(root, "sink", &mut problems).options(sink_defs);
        let steps = steps(&all, &mut problems);
        let constraints = constraints(&all, &mut problems);
        raise_unknown_keys(&mut problems);
        let secrets = constraints.iter().any(|name| name == "no_plaintext_secret");
        plain_secrets(&root.entries, "", secrets, &mut problems);
        let intent = Intent { all, source, sink, steps, constraints };
        intent.fits(&mut problems);
        let sound = !problems.iter().any(Problem::is_error);
        problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
        (sound.then_some(intent), problems)
    }

    /// Whether a constraint is demanded.
    pub(super) fn demands(&self, constraint: &str) -> bool {
        self.constraints.iter().any(|known| known == constraint)
    }

    /// Whether rows must arrive once.
    pub(super) fn exactly_once(&self) -> bool {
        self.demands("exactly_once")
    }

    /// Whether every change is appended instead of applied.
    pub(super) fn keeps_history(&self) -> bool {
        self.all.enum_value("write") == "history"
    }

    /// Whether rows are read once by SELECT.
    pub(super) fn selects(&self) -> bool {
        self.source.enum_value("read") == "select"
    }

    /// What a source cannot do that reads rows and no log.
    fn fits_once(&self, problems: &mut Vec<Problem>) {
        if self.selects() && self.all.enum_value("mode") != "snapshot" {
            let message = "is select, which reads what is there and sees no change";
            problems.push(self.source.problem("read", message).hint("choose the mode snapshot, or log"));
        }
        if self.selects() && self.source.list("tables").iter().any(|table| table.contains('*')) {
            let message = "holds a pattern, and select needs the names of tables";
            problems.push(self.source.problem("tables", message).hint("name each table, or read by the log"));
        }
        let has_no_shapes = self.selects() || matches!(self.source.enum_value("kind"), "kafka" | "fake");
        if has_no_shapes && self.demands("follow_schema_changes") {
            let message = "holds 'follow_schema_changes', and only the log of a database tells of them";
            problems.push(self.all.problem("constraints", message).hint("leave it out, or read by the log"));
        }
    }

    /// What single keys cannot tell.
    fn fits(&self, problems: &mut Vec<Problem>) {
        if self.source.enum_value("kind") == "kafka" && self.all.enum_value("mode") == "snapshot" {
            let message = "is snapshot, and a topic has no end";
            problems.push(self.all.problem("mode", message).hint("choose stream or both"));
        }
        self.fits_once(problems);
        let changes = self.all.enum_value("mode") != "snapshot" && self.source.enum_value("kind") != "fake";
        if self.sink.enum_value("kind") == "files" && changes && !self.keeps_history() {
            let message = "is mirror, and files cannot be kept equal to a table that changes";
            problems.push(self.all.problem("write", message).hint("choose history, or the mode snapshot"));
        }
        for options in [&self.source, &self.sink] {
            let port = options.str("port");
            if !port.is_empty() && !port.contains("${") && port.parse::<u16>().is_err() {
                problems.push(options.problem("port", "must be a number from 0 to 65535"));
            }
        }
        if self.demands("no_delete") && self.keeps_history() {
            let message = "holds 'no_delete', and a history without deletes would not tell what happened";
            problems.push(self.all.problem("constraints", message).hint("leave one of them out"));
        }
    }
}

/// The keys of a source of some kind; of any where the kind is not known.
fn source_defs(kind: &str) -> &'static [OptionDef] {
    match kind.to_ascii_lowercase().as_str() {
        "kafka" => KAFKA_SOURCE,
        "fake" => FAKE_SOURCE,
        _ => DATABASE_SOURCE,
    }
}

fn sink_defs(kind: &str) -> &'static [OptionDef] {
    match kind.to_ascii_lowercase().as_str() {
        "kafka" => KAFKA_SINK,
        "files" => FILES_SINK,
        "console" => CONSOLE_SINK,
        _ => DATABASE_SINK,
    }
}

/// Reads one of the two ends.
struct Reader<'a> {
    block: Option<Block>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(root: &Block, key: &str, problems: &'a mut Vec<Problem>) -> Reader<'a> {
        let entry = root.entries.iter().find(|entry| entry.key == key);
        let block = entry.and_then(|entry| match &entry.value {
            Value::Object(entries) => Some(part(key, entries.clone(), entry.place.clone())),
            _ => None,
        });
        Reader { block, problems }
    }

    fn options(self, defs: fn(&str) -> &'static [OptionDef]) -> Options {
        // Without a block the intent lacks it, which has been told.
        let told = self.block.is_none();
        let block = self.block.unwrap_or_else(|| part("", Vec::new(), Place::default()));
        let kind = block.get("kind").and_then(Value::scalar_text).unwrap_or("").to_owned();
        let (options, found) = Options::resolve(&block, defs(&kind));
        // What else fits depends on the kind.
        let kind_is_known = options.is_set("kind") && !options.enum_value("kind").is_empty();
        let counts = |problem: &Problem| {
            kind_is_known || problem.subject == "kind" || problem.kind == ProblemKind::Missing
        };
        if !told {
            self.problems.extend(found.into_iter().filter(counts));
        }
        options
    }
}

/// A part of the intent, named as messages call it.
fn part(name: &str, entries: Vec<Entry>, place: Place) -> Block {
    Block { plugin: name.to_owned(), role: Role::Env, entries, place }
}

fn steps(all: &Options, problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut steps = Vec::new();
    for entries in all.objects("transforms") {
        let place =
            entries.first().map_or_else(|| all.place("transforms").clone(), |entry| entry.place.clone());
        let (options, found) = Options::resolve(&part("transforms", entries.clone(), place), TRANSFORM);
        problems.extend(found);
        let own = entries.iter().find_map(|entry| match &entry.value {
            Value::Object(own) if entry.key == "options" => Some(own.clone()),
            _ => None,
        });
        steps.push(Step { plugin: options.str("plugin").to_owned(), options: own.unwrap_or_default() });
    }
    steps
}

fn constraints(all: &Options, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut known = Vec::new();
    for name in all.list("constraints") {
        if CONSTRAINTS.contains(&name.as_str()) {
            known.push(name.clone());
            continue;
        }
        let message = format!("holds '{name}', which is none of {}", CONSTRAINTS.join(", "));
        let problem = all.problem("constraints", message);
        problems.push(match culvert_config::nearest(name, CONSTRAINTS.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean '{near}'?")),
            None => problem,
        });
    }
    known
}

/// Secrets that stand there themselves instead of the name of a variable: an error where the intent
/// forbids them, a warning otherwise. Never repeats one.
fn plain_secrets(entries: &[Entry], prefix: &str, forbidden: bool, problems: &mut Vec<Problem>) {
    for entry in entries {
        let path = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        let text = entry.value.scalar_text();
        match &entry.value {
            Value::Object(inner) => plain_secrets(inner, &path, forbidden, problems),
            Value::List(values) => {
                for value in values {
                    if let Value::Object(inner) = value {
                        plain_secrets(inner, &path, forbidden, problems);
                    }
                }
            }
            _ if text.is_some_and(|text| holds_secret(is_secret(prefix, &entry.key), text)) => {
                let message = format!("'{path}' holds a secret in plain text");
                let problem = if forbidden {
                    Problem::error(ProblemKind::PlainSecret, entry.place.value(), path, message)
                } else {
                    Problem::warning(ProblemKind::PlainSecret, entry.place.value(), path, message)
                };
                problems.push(problem.hint("put it into an environment variable and write \"${NAME}\" here"));
            }
            _ => {}
        }
    }
}

/// Whether a key names a secret: by its name, or as such an option of a transform.
fn is_secret(prefix: &str, key: &str) -> bool {
    let mut defs = PLUGINS.iter().filter(|plugin| plugin.role() == Role::Transform).flat_map(|p| p.options);
    is_secret_key(key)
        || (prefix.starts_with("transforms")
            && defs.any(|def| def.secret && def.names().any(|name| name == key)))
}

/// Whether a value is a secret, or contains one, that is not the name of a variable alone.
fn holds_secret(is_secret: bool, text: &str) -> bool {
    if is_secret {
        return !text.is_empty() && !is_reference(text);
    }
    // Passwords inside addresses; one that is the name of a variable is none.
    let mut without = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        without.push_str(before);
        if !is_reference(&format!("${{{name}}}")) {
            without.push_str(name);
        } else if behind.starts_with('@') {
            without = without.trim_end_matches(':').to_owned();
        }
        rest = behind;
    }
    without.push_str(rest);
    culvert_config::mask_secrets(&without) != without
}

/// `${NAME}`, without a default: a default would be the secret itself.
fn is_reference(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && !name.contains([':', '$', '{', '}']))
}
