//! The job file of an intent, with comments that say why a line is there.

use std::path::Path;

use culvert_config::{Entry, Options, Value};

use super::model::Intent;

/// Something that nobody but the user knows.
pub(super) struct Todo {
    /// The key of the intent that would say it: `source.host`.
    pub(super) key: String,
    /// The variable that stands in the job file.
    pub(super) variable: String,
    /// What it is.
    pub(super) what: &'static str,
    /// How to fill it in.
    pub(super) hint: String,
    /// A value of the right shape, for checking the rest of the job.
    stand_in: &'static str,
}

/// A job file on its way.
pub(super) struct Draft {
    /// The job file.
    pub(super) text: String,
    /// What is left to do, in the order of the file.
    pub(super) todo: Vec<Todo>,
}

impl Draft {
    /// The job that an intent asks for; `path` is where the intent came from.
    pub(super) fn of(intent: &Intent, path: &Path) -> Draft {
        let mut draft = Draft { text: String::new(), todo: Vec::new() };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        draft.line(0, &format!("# Planned by `culvert plan` from {name}: {}.", summary(intent)));
        draft.line(
            0,
            "# Everything marked ${TODO_…} was not said there; give it with -i, or write it down here.",
        );
        draft.env(intent);
        draft.source(intent);
        draft.transforms(intent);
        draft.sink(intent);
        draft
    }

    /// The job with stand-ins for what is left to do and for variables that are not set here.
    pub(super) fn checkable(&self) -> String {
        let mut text = self.text.clone();
        for todo in &self.todo {
            text = text.replace(&format!("${{{}}}", todo.variable), todo.stand_in);
        }
        for name in culvert_config::unresolved_variables(&text) {
            let written = format!("${{{name}}}");
            if std::env::var_os(&name).is_none() {
                // A number is a text too, and a port.
                text = text.replace(&written, "1");
            }
        }
        text
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn comment(&mut self, text: &str) {
        self.line(2, &format!("# {text}"));
    }

    /// `key = "value"` inside a plugin's block.
    fn option(&mut self, key: &str, value: &str) {
        self.line(2, &format!("{key} = {}", quoted(value)));
    }

    /// `key = value` inside a plugin's block, for words and numbers.
    fn word(&mut self, key: &str, value: &str) {
        self.line(2, &format!("{key} = {value}"));
    }

    fn list(&mut self, key: &str, values: &[String]) {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        self.line(2, &format!("{key} = [{}]", values.join(", ")));
    }

    /// What the intent says under a key, or a mark and an item of what is left to do.
    fn known(
        &mut self,
        end: &str,
        options: &Options,
        key: &str,
        what: &'static str,
        stand_in: &'static str,
    ) -> String {
        match options.opt_str(key).filter(|text| !text.is_empty()) {
            Some(text) => text.to_owned(),
            None => self.unknown(end, key, what, stand_in),
        }
    }

    fn unknown(&mut self, end: &str, key: &str, what: &'static str, stand_in: &'static str) -> String {
        let variable = format!("TODO_{end}_{key}").to_uppercase();
        let hint = format!("say it in the intent, pass -i {variable}=…, or write it into the job file");
        let mark = format!("${{{variable}}}");
        self.todo.push(Todo { key: format!("{end}.{key}"), variable, what, hint, stand_in });
        mark
    }

    fn env(&mut self, intent: &Intent) {
        self.line(0, "");
        self.line(0, "env {");
        if let Some(name) = intent.all.opt_str("name").filter(|name| !name.is_empty()) {
            self.line(1, &format!("job.name = {}", quoted(name)));
        }
        match intent.all.enum_value("mode") {
            "snapshot" => {
                self.line(1, "# It ends when all rows that are there have been read.");
                self.line(1, "job.mode = BATCH");
            }
            _ => {
                self.line(1, "# It goes on until it is stopped, and then again from where it was.");
                self.line(1, "job.mode = STREAMING");
            }
        }
        self.line(0, "}");
        self.line(0, "");
    }

    fn source(&mut self, intent: &Intent) {
        self.line(0, "source {");
        match intent.source.enum_value("kind") {
            "kafka" => self.kafka_source(intent),
            "fake" => self.fake_source(intent),
            kind if intent.selects() => self.selecting_source(intent, kind),
            kind => self.database_source(intent, kind),
        }
        self.line(1, "}");
        self.line(0, "}");
    }

    fn selecting_source(&mut self, intent: &Intent, kind: &str) {
        let source = &intent.source;
        let postgres = kind == "postgresql";
        self.line(1, "Jdbc {");
        let database = self.address("source", source, kind, intent.demands("tls"));
        self.account("source", source);
        let schema = postgres.then(|| source.str("schema"));
        let name = |table: &String| name_parts(table, &database, schema).join(".");
        let tables: Vec<String> = source.list("tables").iter().map(name).collect();
        self.comment("Read once, by SELECT alone.");
        match tables.as_slice() {
            [] => {
                let table = self.unknown("source", "tables", "which table to read", "t");
                self.option("table_path", &name_parts(&table, &database, schema).join("."));
            }
            [table] => self.option("table_path", table),
            tables => {
                self.line(2, "table_list = [");
                for table in tables {
                    self.line(3, &format!("{{ table_path = {} }}", quoted(table)));
                }
                self.line(2, "]");
            }
        }
    }

    fn fake_source(&mut self, intent: &Intent) {
        let source = &intent.source;
        self.line(1, "FakeSource {");
        if let Some(rows) = source.opt_int("rows") {
            self.word("row.num", &rows.to_string());
        }
        self.schema(intent);
        if !source.list("key").is_empty() {
            self.comment("Whole numbers of the key count up.");
            self.word("auto.increment.enabled", "true");
        }
    }

    fn database_source(&mut self, intent: &Intent, kind: &str) {
        let source = &intent.source;
        let postgres = kind == "postgresql";
        self.line(1, if postgres { "Postgres-CDC {" } else { "MySQL-CDC {" });
        let database = self.address("source", source, kind, intent.demands("tls"));
        self.account("source", source);
        let schema = postgres.then(|| source.str("schema").to_owned());
        let mut tables: Vec<String> = source
            .list("tables")
            .iter()
            .map(|table| full_name(table, &database, schema.as_deref()))
            .collect();
        if tables.is_empty() {
            let what = "which tables to read, with their database in front";
            let stand_in = if postgres { "1.public.t" } else { "d.t" };
            tables.push(self.unknown("source", "tables", what, stand_in));
        }
        self.comment("Each entry is a regular expression on the table's full name.");
        self.list("table-names", &tables);
        match intent.all.enum_value("mode") {
            "snapshot" => self.word("startup.mode", "SNAPSHOT-ONLY"),
            "stream" => {
                self.comment("Rows that are there already are left where they are.");
                self.word("startup.mode", "LATEST");
            }
            _ => self.word("startup.mode", "INITIAL"),
        }
        if intent.demands("follow_schema_changes") {
            self.word("schema-changes.enabled", "true");
        }
    }

    fn kafka_source(&mut self, intent: &Intent) {
        let source = &intent.source;
        self.line(1, "Kafka {");
        self.brokers("source", source);
        let topic = self.known("source", source, "topic", "the topic to read", "t");
        self.option("topic", &topic);
        if let Some(group) = source.opt_str("group") {
            self.option("consumer.group", group);
        }
        let format =
            self.known("source", source, "format", "how changes are written in the messages", "json");
        self.option("format", &format);
        let start = if intent.all.enum_value("mode") == "stream" { "LATEST" } else { "EARLIEST" };
        self.word("start_mode", start);
        self.schema(intent);
    }

    /// The declared table of a source that has no catalog.
    fn schema(&mut self, intent: &Intent) {
        let source = &intent.source;
        self.line(2, "schema {");
        if let Some(table) = source.opt_str("table") {
            self.line(3, &format!("table = {}", quoted(table)));
        }
        self.fields(source);
        let key = source.list("key");
        if !key.is_empty() {
            let columns: Vec<String> = key.iter().map(|column| quoted(column)).collect();
            self.line(3, &format!("primaryKey {{ columnNames = [{}] }}", columns.join(", ")));
        } else if !intent.keeps_history()
            && intent.sink.is_set("kind")
            && !matches!(intent.sink.enum_value("kind"), "console" | "files")
        {
            let what = "the column of the key that rows are written by";
            let column = self.unknown("source", "key", what, "c");
            self.line(3, &format!("primaryKey {{ columnNames = [{}] }}", quoted(&column)));
        }
        self.line(2, "}");
    }

    fn fields(&mut self, source: &Options) {
        let fields = source.map("fields");
        if fields.is_empty() {
            let variable = "TODO_SOURCE_FIELDS".to_owned();
            self.line(3, &format!("fields = ${{{variable}}}"));
            self.todo.push(Todo {
                key: "source.fields".to_owned(),
                hint: format!("say it in the intent, or add {variable} {{ name = type, … }} to the job file"),
                variable,
                what: "the columns of the messages",
                stand_in: "{ c = int }",
            });
            return;
        }
        self.line(3, "fields {");
        for (name, kind) in fields {
            self.line(4, &format!("{} = {}", quoted(name), quoted(kind)));
        }
        self.line(3, "}");
    }

    fn transforms(&mut self, intent: &Intent) {
        let drops_deletes = intent.demands("no_delete");
        // The log's own snapshot could bring changes by its kind, and files take none.
        let inserts_only = intent.sink.enum_value("kind") == "files"
            && !intent.keeps_history()
            && !intent.selects()
            && intent.source.enum_value("kind") != "fake";
        if intent.steps.is_empty() && !drops_deletes && !inserts_only && !intent.keeps_history() {
            self.line(0, "");
            return;
        }
        self.line(0, "");
        self.line(0, "transform {");
        for step in &intent.steps {
            self.line(1, &format!("{} {{", step.plugin));
            self.entries(2, &step.options);
            self.line(1, "}");
        }
        if inserts_only {
            self.line(1, "FilterRowKind {");
            self.comment("Files take rows that are inserted; a snapshot has no others.");
            self.line(2, "include_kinds = [INSERT]");
            self.line(1, "}");
        }
        if drops_deletes {
            self.line(1, "FilterRowKind {");
            self.comment("No row is ever deleted at the target.");
            self.line(2, "exclude_kinds = [DELETE]");
            self.line(1, "}");
        }
        if intent.keeps_history() {
            self.line(1, "RowKindExtractor {");
            self.comment("Every change is appended as a row, with what happened in the column row_kind.");
            self.line(2, "custom_field_name = \"row_kind\"");
            self.line(1, "}");
        }
        self.line(0, "}");
        self.line(0, "");
    }

    fn sink(&mut self, intent: &Intent) {
        self.line(0, "sink {");
        match intent.sink.enum_value("kind") {
            "kafka" => self.kafka_sink(intent),
            "files" => self.files_sink(intent),
            "console" => self.line(1, "Console {"),
            kind => self.database_sink(intent, kind),
        }
        self.line(1, "}");
        self.line(0, "}");
    }

    fn database_sink(&mut self, intent: &Intent, kind: &str) {
        let sink = &intent.sink;
        self.line(1, "Jdbc {");
        let database = self.address("sink", sink, kind, intent.demands("tls"));
        self.account("sink", sink);
        self.option("database", &database);
        if kind == "postgresql" {
            self.option("schema", sink.str("schema"));
        }
        self.option("table", sink.str("table"));
        self.comment("The statements are made from the target table's columns and keys.");
        self.word("generate_sink_sql", "true");
        if intent.demands("no_create_table") {
            self.word("schema_save_mode", "ERROR_WHEN_SCHEMA_NOT_EXIST");
        }
    }

    fn files_sink(&mut self, intent: &Intent) {
        let sink = &intent.sink;
        self.line(1, "LocalFile {");
        let what = "the folder to write to; it may hold ${table_name}";
        let path = self.known("sink", sink, "path", what, "/out");
        self.option("path", &path);
        self.word("file_format_type", sink.enum_value("format"));
    }

    fn kafka_sink(&mut self, intent: &Intent) {
        let sink = &intent.sink;
        self.line(1, "Kafka {");
        self.brokers("sink", sink);
        let topic =
            self.known("sink", sink, "topic", "the topic to write to; it may hold ${table_name}", "t");
        self.option("topic", &topic);
        let format = match sink.opt_str("format") {
            Some(format) => format,
            None if intent.keeps_history() => "json",
            None => "debezium_json",
        };
        self.option("format", format);
        if intent.exactly_once() {
            self.comment("Everything between two checkpoints is one Kafka transaction.");
            self.word("semantics", "EXACTLY_ONCE");
        }
    }

    fn brokers(&mut self, end: &str, options: &Options) {
        let brokers = match options.list("brokers") {
            [] => self.unknown(end, "brokers", "where the brokers are, host:port", "h:9092"),
            brokers => brokers.join(","),
        };
        self.option("bootstrap.servers", &brokers);
    }

    /// Writes the address of a database; the database's name.
    fn address(&mut self, end: &str, options: &Options, kind: &str, tls: bool) -> String {
        let host = self.known(end, options, "host", "where the server is", "h");
        let database = self.known(end, options, "database", "the name of the database", "d");
        let (scheme, usual, parameter) = match kind {
            "postgresql" => ("postgresql", "5432", "?sslmode=require"),
            _ => ("mysql", "3306", "?sslMode=REQUIRED"),
        };
        let port = options.opt_str("port").unwrap_or(usual);
        let parameter = if tls { parameter } else { "" };
        self.option("url", &format!("jdbc:{scheme}://{host}:{port}/{database}{parameter}"));
        database
    }

    fn account(&mut self, end: &str, options: &Options) {
        let user = self.known(end, options, "user", "the account", "u");
        self.option("username", &user);
        let password = options.secret("password");
        let password = match password.expose() {
            "" => self.unknown(end, "password", "the account's password", "p"),
            text => text.to_owned(),
        };
        self.option("password", &password);
    }

    /// Options as they are written, blocks within blocks.
    fn entries(&mut self, depth: usize, entries: &[Entry]) {
        for entry in entries {
            let key = key(&entry.key);
            match &entry.value {
                Value::Object(inner) => {
                    self.line(depth, &format!("{key} {{"));
                    self.entries(depth + 1, inner);
                    self.line(depth, "}");
                }
                value => self.line(depth, &format!("{key} = {}", literal(value))),
            }
        }
    }
}

/// What the job does, for its first line.
fn summary(intent: &Intent) -> String {
    let what = match intent.all.enum_value("mode") {
        "snapshot" => "the rows that are there",
        "stream" => "every change from now on",
        _ => "the rows that are there and every change after them",
    };
    let how = if intent.keeps_history() { "appended as a history" } else { "kept equal" };
    format!("{what}, from {} to {}, {how}", intent.source.enum_value("kind"), intent.sink.enum_value("kind"))
}

/// A key of a job file, in quotes where it needs them.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quoted(name) }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::List(values) => {
            let values: Vec<String> = values.iter().map(literal).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{} = {}", key(&entry.key), literal(&entry.value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    // A text always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

/// The parts of a table's full name: its database, on PostgreSQL its schema, and its own name.
fn name_parts<'t>(table: &'t str, database: &'t str, schema: Option<&'t str>) -> Vec<&'t str> {
    let parts: Vec<&str> = table.split('.').collect();
    let wanted = if schema.is_some() { 3 } else { 2 };
    let mut full: Vec<&str> = [Some(database), schema].into_iter().flatten().collect();
    full.truncate(wanted - parts.len().min(wanted));
    full.extend(parts);
    full
}

/// A table's full name as a pattern.
fn full_name(table: &str, database: &str, schema: Option<&str>) -> String {
    let pattern = |part: &&str| match *part {
        "*" => "[^.]*".to_owned(),
        part if part.starts_with("${") => part.to_owned(),
        part => escaped(part),
    };
    name_parts(table, database, schema).iter().map(pattern).collect::<Vec<String>>().join("\\.")
}

/// A name as a regular expression that matches itself.
fn escaped(name: &str) -> String {
    let mut pattern = String::new();
    for c in name.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
