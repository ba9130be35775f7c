//! A target in memory, with checkpoints and crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::{Array, types as arrow};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{
    ChangeBatch, Error, JobProgress, ReaderContext, RowKind, SchemaChange, Source, SourceEvent, SourceReader,
    SourceState, SplitEnumerator, TableSchema,
};
use culvert_source_postgres::PostgresSource;

/// How long a source may take to do what a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A row: its values by column.
pub(super) type Row = BTreeMap<String, Option<String>>;

/// What a test wants after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Go on.
    On,
    /// Take a checkpoint soon.
    Checkpoint,
    /// Drop everything since the last checkpoint and begin anew.
    Crash,
    /// Take a checkpoint and stop.
    Stop,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Crashed,
    Stopped,
    Finished,
}

/// A table at the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    /// Rows by key; without a key by all their values, and how many there are.
    rows: BTreeMap<Vec<Option<String>>, (Row, usize)>,
}

impl Table {
    /// All rows, in order of their keys.
    pub(super) fn rows(&self) -> Vec<Row> {
        let repeat = |(row, count): &(Row, usize)| std::iter::repeat_n(row.clone(), *count);
        let mut rows: Vec<Row> = self.rows.values().flat_map(repeat).collect();
        rows.sort();
        rows
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    tables: BTreeMap<String, Table>,
    /// Every row that came, for tests that look at kinds.
    rows: Vec<(String, RowKind, Row)>,
    changes: Vec<String>,
}

/// The target and its source.
pub(super) struct Mirror {
    pub(super) source: PostgresSource,
    pub(super) job: String,
    committed: Content,
    pub(super) state: Option<SourceState>,
    content: Content,
    /// Rows are kept in the order they came.
    pub(super) keeps_rows: bool,
    pub(super) progress: Arc<JobProgress>,
}

impl Mirror {
    pub(super) fn new(source: PostgresSource, job: &str) -> Mirror {
        Mirror {
            source,
            job: job.to_owned(),
            committed: Content::default(),
            state: None,
            content: Content::default(),
            keeps_rows: false,
            progress: Arc::default(),
        }
    }

    pub(super) fn table(&self, name: &str) -> Vec<Row> {
        self.content.tables.get(name).map(Table::rows).unwrap_or_default()
    }

    /// Whether the source has told of a table.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.content.tables.contains_key(name)
    }

    /// Empties a table at the target.
    pub(super) fn empty(&mut self, name: &str) {
        self.committed.tables.remove(name);
    }

    /// Kinds and rows of a table, as they came.
    pub(super) fn history(&self, name: &str) -> Vec<(RowKind, Row)> {
        let of_table = self.content.rows.iter().filter(|(table, ..)| table == name);
        of_table.map(|(_, kind, row)| (*kind, row.clone())).collect()
    }

    /// Changes of shape, as statements.
    pub(super) fn changes(&self) -> &[String] {
        &self.content.changes
    }

    /// Runs an attempt until the test's word, the source's end, or an error.
    pub(super) async fn run(
        &mut self,
        mut decide: impl FnMut(&Mirror, &SourceEvent) -> Fate,
    ) -> Result<Ended, Error> {
        self.content = self.committed.clone();
        let begun = Instant::now();
        let tables = self.source.tables(self.state.as_ref()).await?;
        for schema in &tables {
            self.content.tables.entry(schema.id.to_string()).or_default();
        }
        let context =
            ReaderContext { job: self.job.clone(), source: "s".into(), progress: Arc::clone(&self.progress) };
        let mut enumerator = self.source.enumerator(context.clone(), self.state.as_ref()).await?;
        let mut reader = self.source.reader(context, self.state.as_ref()).await?;
        let result = self.drive(enumerator.as_mut(), reader.as_mut(), begun, &mut decide).await;
        reader.close().await;
        if !matches!(result, Ok(Ended::Stopped | Ended::Finished)) {
            self.content = self.committed.clone();
        }
        result
    }

    async fn drive(
        &mut self,
        enumerator: &mut dyn SplitEnumerator,
        reader: &mut dyn SourceReader,
        begun: Instant,
        decide: &mut impl FnMut(&Mirror, &SourceEvent) -> Fate,
    ) -> Result<Ended, Error> {
        let mut ending = None;
        reader.request_barrier();
        loop {
            assert!(begun.elapsed() < PATIENCE, "the source does not get done");
            let wanted = reader.splits_wanted();
            if wanted > 0 {
                let splits = enumerator.next_splits(wanted).await?;
                reader.add_splits(splits)?;
            }
            let event = reader.next().await?;
            match decide(self, &event) {
                Fate::Crash => return Ok(Ended::Crashed),
                Fate::On => {}
                Fate::Checkpoint => reader.request_barrier(),
                Fate::Stop => {
                    ending.get_or_insert(Ended::Stopped);
                    reader.request_barrier();
                }
            }
            match event {
                SourceEvent::Batch(batch) => self.apply(&batch),
                SourceEvent::SchemaChange(change) => self.change_shape(&change),
                SourceEvent::SplitFinished(finished) => enumerator.split_finished(finished)?,
                SourceEvent::Barrier { reader: bytes, .. } => {
                    let state = SourceState { enumerator: enumerator.snapshot_state()?, reader: bytes };
                    self.committed = self.content.clone();
                    self.state = Some(state.clone());
                    reader.checkpoint_complete(&state).await?;
                    if let Some(ended) = ending {
                        return Ok(ended);
                    }
                }
                SourceEvent::Idle => {}
                SourceEvent::End => {
                    ending.get_or_insert(Ended::Finished);
                    reader.request_barrier();
                }
            }
        }
    }

    fn change_shape(&mut self, change: &SchemaChange) {
        self.content.changes.push(change.statement.clone());
        let Some(after) = &change.after else { return };
        let Some(before) = &change.before else {
            // It came into being; what an earlier one of its name left stays.
            self.content.tables.entry(after.id.to_string()).or_default();
            return;
        };
        assert_eq!(after.version, before.version + 1, "{}", change.statement);
        let renames: Vec<(String, String)> = change
            .statement
            .split("RENAME COLUMN \"")
            .skip(1)
            .filter_map(|part| part.split_once("\" TO \""))
            .filter_map(|(old, rest)| Some((old.to_owned(), rest.split_once('"')?.0.to_owned())))
            .collect();
        let table = self.content.tables.entry(after.id.to_string()).or_default();
        for (row, _) in table.rows.values_mut() {
            for (old, new) in &renames {
                let value = row.remove(old).expect("a column that is renamed is there");
                row.insert(new.clone(), value);
            }
            row.retain(|name, _| after.columns.iter().any(|column| column.name == *name));
            for column in &after.columns {
                if !row.contains_key(&column.name) {
                    let default = format!("ADD COLUMN \"{}\"", column.name);
                    let rest =
                        change.statement.split_once(&default).map(|(_, rest)| rest).unwrap_or_default();
                    let rest = rest.split(", ").next().unwrap_or_default();
                    let value =
                        rest.split_once("DEFAULT '").map(|(_, text)| text.trim_end_matches('\'').to_owned());
                    row.insert(column.name.clone(), value);
                }
            }
        }
    }

    /// Applies rows as strictly as their kinds allow: an insert finds no row of its key, an update and
    /// a delete find one.
    fn apply(&mut self, batch: &ChangeBatch) {
        let schema = &batch.schema;
        let name = schema.id.to_string();
        assert_eq!(batch.rows.num_rows(), batch.kinds.len());
        // The row under its old key, when the next one is the same under its new one.
        let mut moves: Option<Row> = None;
        for row in 0..batch.len() {
            let kind = batch.kinds[row];
            assert!(schema.kinds.contains(kind), "{kind} does not occur in {name}");
            let position = batch.positions[row];
            let origin = &batch.transactions[position.transaction as usize];
            let (mut values, mut left_out) = read(batch, row);
            if self.keeps_rows {
                let known = values.iter().filter(|(column, _)| !left_out.contains(column));
                let known = known.map(|(column, value)| (column.clone(), value.clone())).collect();
                self.content.rows.push((name.clone(), kind, known));
            }
            let table = self
                .content
                .tables
                .get_mut(&name)
                .unwrap_or_else(|| panic!("rows of {name}, which is not prepared"));
            let what = format!("{name} {origin}");
            if kind == RowKind::Insert && !left_out.is_empty() {
                let before = moves.take().filter(|_| batch.moved_from(row).is_some());
                let before = before.unwrap_or_else(|| panic!("{what}: an insert leaves out {left_out:?}"));
                left_out.drain(..).for_each(|column| {
                    let value = before[&column].clone();
                    values.insert(column, value);
                });
            }
            moves = batch
                .moved_from(row + 1)
                .and_then(|_| table.rows.get(&key_of(schema, &values)))
                .map(|(row, _)| row.clone());
            apply(table, schema, kind, values, &left_out, &what);
        }
    }
}

fn read(batch: &ChangeBatch, row: usize) -> (Row, Vec<String>) {
    let mut values = Row::new();
    let mut left_out = Vec::new();
    for (at, column) in batch.schema.columns.iter().enumerate() {
        if batch.is_unavailable(row, at) {
            left_out.push(column.name.clone());
        }
        values.insert(column.name.clone(), value(batch.rows.column(at).as_ref(), row));
    }
    (values, left_out)
}

fn key_of(schema: &TableSchema, values: &Row) -> Vec<Option<String>> {
    schema.primary_key.iter().map(|name| values[name].clone()).collect()
}

fn apply(
    table: &mut Table,
    schema: &TableSchema,
    kind: RowKind,
    mut values: Row,
    left_out: &[String],
    what: &str,
) {
    let keyless = schema.primary_key.is_empty();
    let key: Vec<Option<String>> = if keyless {
        assert!(left_out.is_empty(), "{what}: a row without a key is not whole");
        values.values().cloned().collect()
    } else {
        assert!(!schema.primary_key.iter().any(|name| left_out.contains(name)), "{what}: a key is left out");
        key_of(schema, &values)
    };
    match kind {
        RowKind::Insert => {
            assert!(left_out.is_empty(), "{what}: an insert leaves out {left_out:?}");
            let found = table.rows.entry(key.clone()).or_insert((values, 0));
            assert!(keyless || found.1 == 0, "{what}: {key:?} was inserted and is there already");
            found.1 += 1;
        }
        RowKind::UpdateBefore | RowKind::Delete => {
            // The next row of an update has the same key: it is there again right away.
            let found = table
                .rows
                .get_mut(&key)
                .unwrap_or_else(|| panic!("{what}: {kind} of {key:?}, which is not there"));
            for (column, value) in &values {
                assert!(
                    left_out.contains(column) || found.0[column] == *value,
                    "{what}: {kind} of {key:?} tells another {column}"
                );
            }
            found.1 -= 1;
            if found.1 == 0 && (kind == RowKind::Delete || keyless) {
                table.rows.remove(&key);
            } else if kind == RowKind::UpdateBefore && !keyless {
                found.1 = 1;
            }
        }
        RowKind::UpdateAfter if keyless => table.rows.entry(key).or_insert((values, 0)).1 += 1,
        RowKind::UpdateAfter => {
            let found = table
                .rows
                .get_mut(&key)
                .unwrap_or_else(|| panic!("{what}: update of {key:?}, which is not there"));
            for column in left_out {
                let old = found.0[column].clone();
                values.insert(column.clone(), old);
            }
            found.0 = values;
        }
    }
}

/// A value as text.
pub(super) fn value(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => (if array.as_boolean().value(row) { "t" } else { "f" }).to_owned(),
        DataType::Int16 => array.as_primitive::<arrow::Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<arrow::Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<arrow::Int64Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<arrow::UInt32Type>().value(row).to_string(),
        DataType::Float32 => array.as_primitive::<arrow::Float32Type>().value(row).to_string(),
        DataType::Float64 => array.as_primitive::<arrow::Float64Type>().value(row).to_string(),
        DataType::Decimal128(..) => array.as_primitive::<arrow::Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<arrow::Decimal256Type>().value_as_string(row),
        DataType::Date32 => array.as_primitive::<arrow::Date32Type>().value(row).to_string(),
        DataType::Time64(TimeUnit::Microsecond) => {
            array.as_primitive::<arrow::Time64MicrosecondType>().value(row).to_string()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<arrow::TimestampMicrosecondType>().value(row).to_string()
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        }
        other => panic!("no test has columns of type {other}"),
    })
}
