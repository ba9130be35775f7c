//! Lakes read by engines that no one here wrote: pyiceberg, pyarrow and DuckDB.
//!
//! One process of `tests/servers/lake.py` takes questions and gives answers, one line of JSON each. It keeps
//! nothing between them: every question looks at the table as it is then. Values come as texts in the form
//! that [`crate::database`] compares databases in, so that [`assert_same`] holds a lake against its source.
//!
//! pyiceberg reads tables through a catalog or from a metadata file, and writes those that a test wants to
//! be there already. DuckDB reads the same tables by its own extension (it is given the metadata file that
//! the catalog names), which also knows equality deletes, and Parquet files by any query.

mod table;

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::scratch;
use crate::server::program::{present, servers_folder};
use crate::server::{blocking, tail};
use crate::tied::TiedChild;

pub use table::{Foreign, LakeFile, LakeTable, Read, assert_same};

/// Time one answer may take, the engines' start included, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest answer: some hundred thousand rows.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// The engines; gone when this is dropped or the test process ends.
#[derive(Debug)]
pub struct Lake {
    talk: Arc<Mutex<Talk>>,
}

#[derive(Debug)]
struct Talk {
    _child: TiedChild,
    folder: PathBuf,
    questions: PipeWriter,
    answers: Receiver<String>,
}

impl Lake {
    /// Starts the engines.
    pub fn start() -> Lake {
        let folder = scratch::folder("lake");
        let (theirs, questions) = std::io::pipe().expect("a pipe");
        let (answers, theirs_too) = std::io::pipe().expect("a pipe");
        let mut command = Command::new(present(servers_folder().join("lake/bin/python")));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/lake.py"));
        // Nothing of the user's: no settings of pyiceberg, no credentials of a cloud.
        command.env("HOME", &folder).env("PYICEBERG_HOME", &folder).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("PYTHONWARNINGS", "ignore").current_dir(&folder);
        command.stdin(theirs).stdout(theirs_too);
        command.stderr(File::create(folder.join("stderr")).expect("the scratch folder is ours"));
        let child = TiedChild::spawn(command).unwrap_or_else(|error| {
            panic!("the engines do not start: {error}; run tests/servers/install.sh")
        });
        let talk = Talk { _child: child, folder, questions, answers: listen(answers) };
        Lake { talk: Arc::new(Mutex::new(talk)) }
    }

    /// The rows of a table by pyiceberg.
    ///
    /// # Panics
    /// Here and below: when the table cannot be read, with the engine's words.
    pub async fn rows(&self, table: &LakeTable) -> Read {
        Read::of(self.ask("rows", json!({ "table": table.place() })).await)
    }

    /// The rows of a table as it was at a snapshot.
    pub async fn rows_at(&self, table: &LakeTable, snapshot: i64) -> Read {
        Read::of(self.ask("rows", json!({ "table": table.place(), "snapshot": snapshot })).await)
    }

    /// [`Lake::rows`] that tells what went wrong: no such table yet, for example.
    ///
    /// # Errors
    /// The engine's words.
    pub async fn try_rows(&self, table: &LakeTable) -> Result<Read, String> {
        self.try_ask("rows", json!({ "table": table.place() })).await.map(Read::of)
    }

    /// The rows of a table by DuckDB.
    pub async fn rows_by_duckdb(&self, table: &LakeTable) -> Read {
        Read::of(self.ask("rows_by_duckdb", json!({ "table": table.place() })).await)
    }

    /// [`Lake::rows_by_duckdb`] that tells what went wrong: no such table yet, for example.
    ///
    /// # Errors
    /// The engine's words.
    pub async fn try_rows_by_duckdb(&self, table: &LakeTable) -> Result<Read, String> {
        self.try_ask("rows_by_duckdb", json!({ "table": table.place() })).await.map(Read::of)
    }

    /// What DuckDB answers to a query, `SELECT * FROM read_parquet('…/**/*.parquet')` for example. It reaches
    /// the objects of `s3` when that is given, as `s3://bucket/key`.
    pub async fn duckdb(&self, sql: &str, s3: Option<&crate::S3>) -> Read {
        let properties = s3.map(table::properties_of_s3).unwrap_or_default();
        Read::of(self.ask("duckdb_rows", json!({ "sql": sql, "properties": properties })).await)
    }

    /// The rows of every Parquet file below a folder by pyarrow. Files whose names begin with a dot or an
    /// underscore are not looked at; a folder `a=1` makes a column `a`.
    pub async fn parquet(&self, folder: &Path) -> Read {
        Read::of(self.ask("parquet", json!({ "folder": folder })).await)
    }

    /// What pyarrow says of one Parquet file: `fields` (name, Arrow type, whether it may be NULL), `codecs`,
    /// `row_groups`, `rows`, `created_by`.
    pub async fn parquet_schema(&self, file: &Path) -> Value {
        self.ask("parquet_schema", json!({ "file": file })).await
    }

    /// What there is to say about a table: `location`, `metadata` (the file), `format` (1, 2 or 3),
    /// `properties`, `fields` (`id`, `name`, `type` as Iceberg writes it, `required`, `doc`), `schemas` (how
    /// many it has had), `identifier` (names), `partition` (`name`, `transform`, `source`), `snapshots` (`id`,
    /// `parent`, `sequence`, `operation`, `summary`) in their order, and `current`, the snapshot's id.
    pub async fn describe(&self, table: &LakeTable) -> Value {
        self.ask("describe", json!({ "table": table.place() })).await
    }

    /// The files that make up a table now, deletes included.
    pub async fn files(&self, table: &LakeTable) -> Vec<LakeFile> {
        let files = self.ask("files", json!({ "table": table.place() })).await;
        files.as_array().into_iter().flatten().map(LakeFile::of).collect()
    }

    /// The tables of a table's namespace, sorted; none without the namespace.
    pub async fn tables(&self, table: &LakeTable) -> Vec<String> {
        let names = self.ask("tables", json!({ "table": table.place() })).await;
        names.as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    }

    /// Has pyiceberg make a table, and its namespace, and write what DuckDB answers to a query into it.
    pub async fn make(&self, table: &LakeTable, sql: &str, foreign: Foreign<'_>) {
        let question = json!({
            "table": table.place(), "sql": sql, "partition": foreign.partition,
            "identifier": foreign.identifier, "properties": table::object(foreign.properties),
        });
        self.ask("make", question).await;
    }

    /// Has pyiceberg append what DuckDB answers to a query: a commit of somebody else.
    pub async fn append(&self, table: &LakeTable, sql: &str) {
        self.ask("append", json!({ "table": table.place(), "sql": sql })).await;
    }

    /// [`Lake::append`] that tells when somebody else was first, which pyiceberg does not try again.
    ///
    /// # Errors
    /// The engine's words.
    pub async fn try_append(&self, table: &LakeTable, sql: &str) -> Result<(), String> {
        self.try_ask("append", json!({ "table": table.place(), "sql": sql })).await.map(drop)
    }

    /// Has pyiceberg let go of all snapshots of a table but the current one; tells when somebody else was
    /// first.
    ///
    /// # Errors
    /// The engine's words.
    pub async fn try_expire(&self, table: &LakeTable) -> Result<(), String> {
        self.try_ask("expire", json!({ "table": table.place() })).await.map(drop)
    }

    /// Has pyiceberg delete the rows for which a condition holds, such as `id = 1`.
    pub async fn delete(&self, table: &LakeTable, condition: &str) {
        self.ask("delete", json!({ "table": table.place(), "condition": condition })).await;
    }

    /// Has pyiceberg change a table's columns: adds those of the SELECT list `add` (nothing when empty), drops
    /// some, and gives others a new name.
    pub async fn alter(&self, table: &LakeTable, add: &str, drop: &[&str], rename: &[(&str, &str)]) {
        let question = json!({ "table": table.place(), "add": add, "drop": drop, "rename": rename });
        self.ask("alter", question).await;
    }

    /// Has pyiceberg drop a table; its files stay.
    pub async fn drop_table(&self, table: &LakeTable) {
        self.ask("drop", json!({ "table": table.place() })).await;
    }

    async fn ask(&self, what: &str, question: Value) -> Value {
        let answer = self.try_ask(what, question).await;
        answer.unwrap_or_else(|error| panic!("the lake's engines refuse {what}: {error}"))
    }

    async fn try_ask(&self, what: &str, mut question: Value) -> Result<Value, String> {
        question["ask"] = json!(what);
        let talk = Arc::clone(&self.talk);
        blocking(move || talk.lock().unwrap_or_else(PoisonError::into_inner).ask(&question)).await
    }
}

impl Talk {
    fn ask(&mut self, question: &Value) -> Result<Value, String> {
        if let Err(error) = writeln!(self.questions, "{question}") {
            panic!("the lake's engines take no questions: {error}; {}", self.said());
        }
        let Ok(answer) = self.answers.recv_timeout(PATIENCE) else {
            panic!("the lake's engines do not answer {question}; {}", self.said());
        };
        let mut answer: Value = serde_json::from_str(&answer).expect("an answer is JSON");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        format!("their standard error:\n{}", tail(&text))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Answers as they come, until the process ends.
fn listen(answers: PipeReader) -> Receiver<String> {
    let (sender, told) = channel();
    std::thread::spawn(move || {
        let mut answers = BufReader::new(answers);
        loop {
            let mut line = String::new();
            match answers.by_ref().take(ANSWER_BYTES_MAX).read_line(&mut line) {
                Ok(_) if line.ends_with('\n') => {}
                _ => return,
            }
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    told
}
