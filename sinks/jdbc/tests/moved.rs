//! Random changes as PostgreSQL's log tells them, values left out and keys changed, against a model that
//! knows everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, Result, RowKind, RowKindSet, RowPosition, Sink, SourceType, TableId, TableSchema,
    Unavailable,
};
use culvert_sink_jdbc::JdbcSink;
use culvert_tests::{Postgres, Server, both, postgres_both, random, seed};
use rand::Rng;
use rand::rngs::StdRng;

use crate::postgres::support as of_postgres;
use crate::support::{JOB, Run, SINK, batch, sink, texts};

/// Keys that rows have; few, so that they meet.
const KEYS: i32 = 8;
/// Checkpoints of one run.
const CHECKPOINTS: usize = 25;

/// `docs(id int, code text, body text, note text)`, the last one may be NULL.
fn docs() -> Arc<TableSchema> {
    let column = |(name, data_type, declared): (&str, DataType, &str)| Column {
        name: name.into(),
        data_type,
        nullable: name == "note",
        source_type: Some(SourceType::postgres(declared)),
    };
    let columns = [
        ("id", DataType::Int32, "integer"),
        ("code", DataType::Utf8, "character varying(9)"),
        ("body", DataType::Utf8, "text"),
        ("note", DataType::Utf8, "text"),
    ];
    let id = TableId { schema: Some("shop".into()), ..TableId::new("shop", "docs") };
    let kinds = RowKindSet::of(&[RowKind::UpdateBefore]).complement();
    Arc::new(TableSchema::new(id, 1, columns.map(column).to_vec(), vec!["id".into()], kinds))
}

/// Where the sink writes to.
enum Target {
    MySql(&'static Server, String),
    Postgres(&'static Postgres, String),
}

impl Target {
    async fn make(&self, unique: bool) {
        let code = if unique { "code varchar(9) NOT NULL UNIQUE" } else { "code varchar(9) NOT NULL" };
        let columns = format!("(id int PRIMARY KEY, {code}, body text NOT NULL, note text)");
        match self {
            Target::MySql(server, db) => {
                let statements =
                    [format!("DROP TABLE IF EXISTS {db}.docs"), format!("CREATE TABLE {db}.docs {columns}")];
                server.execute(&statements.each_ref().map(String::as_str)).await;
            }
            Target::Postgres(server, db) => {
                let create = format!("CREATE TABLE shop.docs {columns}");
                let statements =
                    ["CREATE SCHEMA IF NOT EXISTS shop", "DROP TABLE IF EXISTS shop.docs", &create];
                server.execute(db, &statements).await;
            }
        }
    }

    fn sink(&self, pairs: &[(&str, &str)]) -> Result<JdbcSink> {
        match self {
            Target::MySql(server, db) => sink(server, db, pairs),
            Target::Postgres(server, db) => of_postgres::sink(server, db, pairs),
        }
    }

    async fn rows(&self) -> Vec<String> {
        match self {
            Target::MySql(server, db) => {
                let query = "SELECT CONCAT_WS(' ', id, code, body, COALESCE(note, '~'))";
                texts(server, &format!("{query} FROM {db}.docs ORDER BY id")).await
            }
            Target::Postgres(server, db) => {
                of_postgres::lines(server, db, "SELECT id, code, body, note FROM shop.docs ORDER BY id").await
            }
        }
    }

    /// Partial rows that exchange unique values are beyond MySQL.
    fn may_exchange(&self) -> bool {
        matches!(self, Target::Postgres(..))
    }
}

#[derive(Clone)]
struct Doc {
    code: String,
    body: String,
    note: Option<String>,
}

/// A side of a change as the log has it: `None` is left out.
struct Logged {
    kind: RowKind,
    id: i32,
    code: Option<String>,
    body: Option<String>,
    note: Option<Option<String>>,
    position: RowPosition,
}

/// The table as it is, and what the log has told.
struct Source {
    rng: StdRng,
    rows: BTreeMap<i32, Doc>,
    /// Codes that nobody has any more.
    free_codes: Vec<String>,
    may_exchange: bool,
    made: u32,
    events: u32,
    log: Vec<Logged>,
}

impl Source {
    fn value(&mut self, letter: char) -> String {
        self.made += 1;
        format!("{letter}{}", self.made)
    }

    fn code(&mut self, reuse: bool) -> String {
        let count = self.free_codes.len();
        match reuse && count > 0 && self.rng.random_bool(0.7) {
            true => self.free_codes.swap_remove(self.rng.random_range(0..count)),
            false => self.value('c'),
        }
    }

    fn key(&mut self, taken: bool) -> Option<i32> {
        let rows = &self.rows;
        let keys: Vec<i32> = (1..=KEYS).filter(|key| rows.contains_key(key) == taken).collect();
        (!keys.is_empty()).then(|| keys[self.rng.random_range(0..keys.len())])
    }

    fn tell(&mut self, kind: RowKind, id: i32, side: u32, doc: Option<(&Doc, [bool; 3])>) {
        let known = |part: usize| doc.filter(|(_, left_out)| !left_out[part]).map(|(doc, _)| doc);
        self.log.push(Logged {
            kind,
            id,
            code: known(0).map(|doc| doc.code.clone()),
            body: known(1).map(|doc| doc.body.clone()),
            note: known(2).map(|doc| doc.note.clone()),
            position: RowPosition { transaction: 0, event: self.events, row: side },
        });
    }

    /// New values for a row, and which of its values the log leaves out.
    fn changed(&mut self, mut doc: Doc) -> (Doc, [bool; 3]) {
        let mut changes = [0.3, 0.3, 0.3].map(|chance| self.rng.random_bool(chance));
        // What did not change may be told all the same.
        let told = [0.8, 0.2, 0.2].map(|chance| self.rng.random_bool(chance));
        if changes[0] {
            let code = self.code(self.may_exchange);
            let before = std::mem::replace(&mut doc.code, code);
            if self.may_exchange {
                self.free_codes.push(before);
            }
        }
        if changes[1] {
            doc.body = self.value('b');
        }
        if changes[2] {
            doc.note = self.rng.random_bool(0.7).then(|| self.value('n'));
        }
        changes.iter_mut().zip(told).for_each(|(changed, told)| *changed = !*changed && !told);
        (doc, changes)
    }

    fn insert(&mut self) {
        let Some(id) = self.key(false) else { return };
        let doc = Doc { code: self.code(true), body: self.value('b'), note: None };
        self.tell(RowKind::Insert, id, 0, Some((&doc, [false; 3])));
        self.rows.insert(id, doc);
    }

    fn update(&mut self) {
        let Some(id) = self.key(true) else { return };
        let (doc, left_out) = self.changed(self.rows[&id].clone());
        self.tell(RowKind::UpdateAfter, id, 0, Some((&doc, left_out)));
        self.rows.insert(id, doc);
    }

    fn delete(&mut self) {
        let Some(id) = self.key(true) else { return };
        self.tell(RowKind::Delete, id, 0, None);
        if let Some(doc) = self.rows.remove(&id) {
            self.free_codes.push(doc.code);
        }
    }

    fn change_key(&mut self, from: i32, to: i32) {
        let doc = self.rows.remove(&from).unwrap();
        let (doc, left_out) = self.changed(doc);
        self.tell(RowKind::Delete, from, 0, None);
        self.tell(RowKind::Insert, to, 1, Some((&doc, left_out)));
        self.rows.insert(to, doc);
    }

    fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0..2 => self.insert(),
            2..5 => self.update(),
            5 => self.delete(),
            6..9 => {
                if let (Some(from), Some(to)) = (self.key(true), self.key(false)) {
                    self.change_key(from, to);
                }
            }
            // Two rows change places by way of a free key.
            _ => {
                if let (Some(one), Some(other), Some(free)) =
                    (self.key(true), self.key(true), self.key(false))
                    && one != other
                {
                    for (from, to) in [(one, free), (other, one), (free, other)] {
                        self.change_key(from, to);
                        self.events += 1;
                    }
                }
            }
        }
        self.events += 1;
    }

    /// What was told since, in batches of any size; the sides of a change stay together.
    fn batches(&mut self, schema: &Arc<TableSchema>) -> Vec<ChangeBatch> {
        let log = std::mem::take(&mut self.log);
        let mut batches: Vec<Vec<Logged>> = vec![Vec::new()];
        for logged in log {
            if logged.position.row == 0 && self.rng.random_bool(0.15) {
                batches.push(Vec::new());
            }
            batches.last_mut().unwrap().push(logged);
        }
        batches.retain(|rows| !rows.is_empty());
        batches.iter().map(|rows| to_batch(schema, rows)).collect()
    }

    fn shown(&self) -> Vec<String> {
        let note = |doc: &Doc| doc.note.clone().unwrap_or_else(|| "~".into());
        let rows = self.rows.iter();
        rows.map(|(id, doc)| format!("{id} {} {} {}", doc.code, doc.body, note(doc))).collect()
    }
}

fn to_batch(schema: &Arc<TableSchema>, rows: &[Logged]) -> ChangeBatch {
    let column = |of: fn(&Logged) -> Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(of)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.id))),
        column(|row| Some(row.code.as_deref().unwrap_or(""))),
        column(|row| Some(row.body.as_deref().unwrap_or(""))),
        column(|row| row.note.as_ref().and_then(|note| note.as_deref())),
    ];
    let left_out = |column: usize, of: fn(&Logged) -> bool| Unavailable {
        column,
        rows: rows.iter().map(of).collect::<Vec<bool>>().into(),
    };
    ChangeBatch {
        positions: rows.iter().map(|row| row.position).collect(),
        unavailable: vec![
            left_out(1, |row| row.code.is_none()),
            left_out(2, |row| row.body.is_none()),
            left_out(3, |row| row.note.is_none()),
        ],
        ..batch(schema, columns, rows.iter().map(|row| row.kind).collect())
    }
}

async fn follows(target: &Target, unique: bool, pairs: &[(&str, &str)], seed: u64) {
    target.make(unique).await;
    let schema = docs();
    let sink = target.sink(pairs).unwrap();
    sink.forget(JOB, SINK).await.unwrap();
    let mut source = Source {
        rng: random::generator(seed),
        rows: BTreeMap::new(),
        free_codes: Vec::new(),
        may_exchange: target.may_exchange() || !unique,
        made: 0,
        events: 0,
        log: Vec::new(),
    };
    let mut run = Run::start(&sink, std::slice::from_ref(&schema)).await.unwrap();
    for checkpoint in 0..CHECKPOINTS {
        for _ in 0..source.rng.random_range(1..25) {
            source.step();
        }
        for batch in source.batches(&schema) {
            run.write(batch).await.unwrap();
        }
        run.commit().await.unwrap();
        assert_eq!(target.rows().await, source.shown(), "checkpoint {checkpoint} {pairs:?} unique: {unique}");
    }
    run.close().await;
}

async fn follows_every_way(target: &Target) {
    let seed = seed();
    let ways: [(bool, &[(&str, &str)]); 6] = [
        (false, &[]),
        (false, &[("batch_size", "1")]),
        (false, &[("batch_size", "5")]),
        (false, &[("enable_upsert", "false")]),
        (true, &[]),
        (true, &[("batch_size", "4")]),
    ];
    for (unique, pairs) in ways {
        follows(target, unique, pairs, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_of_rows_and_keys_into_mysql() {
    both(async |server| {
        let target = Target::MySql(server, server.fresh_database("walk").await);
        follows_every_way(&target).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_of_rows_and_keys_into_postgres() {
    postgres_both(async |server| {
        let target = Target::Postgres(server, server.fresh_database("walk").await);
        follows_every_way(&target).await;
    })
    .await;
}
