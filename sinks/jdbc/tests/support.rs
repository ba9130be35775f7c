//! Sinks, schemas and batches for the tests.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, CommitMarker, Error, Finding, JobProgress, OpenSink, Result, RowKind, RowKindSet,
    RowPosition, Sink, SourceState, SourceType, TableId, TableSchema, WriterContext,
};
use culvert_config::{Block, Entry, Options, Place, Role, Value};
use culvert_sink_jdbc::{JdbcSink, OPTIONS};
use culvert_tests::Server;
use mysql_async::prelude::Queryable;

/// The job's name in all tests.
pub(crate) const JOB: &str = "job";
/// The sink's name in all tests.
pub(crate) const SINK: &str = "sink-0";

/// A sink that writes to a database of the server as root, with generated statements unless the
/// options say otherwise.
pub(crate) fn sink(server: &Server, database: &str, pairs: &[(&str, &str)]) -> Result<JdbcSink> {
    from_pairs(&[("url", &server.url(database)), ("username", "root"), ("password", "root")], pairs)
}

/// A sink with these options, the second ones before the first, and generated statements unless they
/// say otherwise.
pub(crate) fn from_pairs(defaults: &[(&str, &str)], pairs: &[(&str, &str)]) -> Result<JdbcSink> {
    let defaults = [defaults, &[("generate_sink_sql", "true")]].concat();
    let mut block = Block::new(Role::Sink, "Jdbc", Place::default());
    let kept = defaults.iter().filter(|(key, _)| !pairs.iter().any(|(other, _)| other == key));
    for (key, value) in kept.chain(pairs) {
        block.entries.push(Entry {
            key: (*key).to_string(),
            value: Value::String((*value).to_string()),
            place: Place::default(),
        });
    }
    let (options, problems) = Options::resolve(&block, OPTIONS);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:?}");
    JdbcSink::from_options(&options)
}

/// What a check finds, without the warning that every server of the tests gets: they wait for no disk.
pub(crate) async fn checked(sink: &JdbcSink, tables: &[Arc<TableSchema>]) -> Vec<Finding> {
    let mut findings = sink.check(tables).await.unwrap();
    let all = findings.len();
    findings.retain(|found| !["fsync", "innodb_flush_log_at_trx_commit"].contains(&found.subject.as_str()));
    assert_eq!(findings.len() + 1, all, "{findings:?}");
    findings
}

/// What the engine hands to a writer.
pub(crate) fn context(epoch: u64) -> WriterContext {
    WriterContext {
        job: JOB.into(),
        sink: SINK.into(),
        writer: 0,
        epoch,
        progress: Arc::new(JobProgress::default()),
    }
}

/// An open sink and the number of its next checkpoint.
pub(crate) struct Run {
    pub(crate) open: OpenSink,
    pub(crate) context: WriterContext,
    pub(crate) checkpoint: u64,
}

impl Run {
    /// Opens the sink and prepares the tables, as a job that never committed does.
    pub(crate) async fn start(sink: &JdbcSink, tables: &[Arc<TableSchema>]) -> Result<Run> {
        let mut run = Run::open(sink, 1).await?;
        run.open.writer.prepare_tables(tables, true).await?;
        Ok(run)
    }

    /// Opens the sink only.
    pub(crate) async fn open(sink: &JdbcSink, epoch: u64) -> Result<Run> {
        let context = context(epoch);
        let open = sink.open(&context).await?;
        let checkpoint = open.marker.as_ref().map(|marker| marker.checkpoint).unwrap_or_default();
        Ok(Run { open, context, checkpoint })
    }

    /// The marker of the next checkpoint.
    pub(crate) fn marker(&self) -> CommitMarker {
        CommitMarker {
            job: JOB.into(),
            sink: SINK.into(),
            writer: 0,
            epoch: self.context.epoch,
            checkpoint: self.checkpoint + 1,
            source: Some(SourceState { enumerator: vec![1, 2], reader: vec![0, 255, b'\''] }),
        }
    }

    /// Writes a batch.
    pub(crate) async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        self.open.writer.write(batch).await
    }

    /// Prepares and commits the next checkpoint.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        let committable = self.open.writer.prepare_commit(&self.marker()).await?;
        self.open.committer.commit(&committable).await?;
        self.checkpoint += 1;
        Ok(())
    }

    /// Writes and commits.
    pub(crate) async fn deliver(&mut self, batch: ChangeBatch) -> Result<()> {
        self.write(batch).await?;
        self.commit().await
    }

    /// Ends the connection without a commit.
    pub(crate) async fn close(mut self) {
        self.open.writer.close().await;
    }
}

/// `src.<table>(id int, name varchar(50))`.
pub(crate) fn people(table: &str, key: &[&str], kinds: RowKindSet) -> Arc<TableSchema> {
    let column = |name: &str, data_type, source: &str| Column {
        name: name.into(),
        data_type,
        nullable: !key.contains(&name),
        source_type: Some(SourceType::mysql(source)),
    };
    let columns =
        vec![column("id", DataType::Int32, "int(11)"), column("name", DataType::Utf8, "varchar(50)")];
    schema(table, columns, key, kinds)
}

/// A table of the database `src`.
pub(crate) fn schema(table: &str, columns: Vec<Column>, key: &[&str], kinds: RowKindSet) -> Arc<TableSchema> {
    let key = key.iter().map(ToString::to_string).collect();
    Arc::new(TableSchema::new(TableId::new("src", table), 1, columns, key, kinds))
}

/// Rows of [`people`].
pub(crate) fn rows(schema: &Arc<TableSchema>, rows: &[(&str, i32, &str)]) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)));
    let kinds: Vec<RowKind> = rows.iter().map(|row| kind(row.0)).collect();
    batch(schema, vec![ids, names], kinds)
}

/// A batch of any columns.
pub(crate) fn batch(schema: &Arc<TableSchema>, columns: Vec<ArrayRef>, kinds: Vec<RowKind>) -> ChangeBatch {
    let rows = RecordBatch::try_new(schema.arrow.clone(), columns).unwrap();
    let positions =
        (0..kinds.len()).map(|row| RowPosition { transaction: 0, event: row as u32, row: 0 }).collect();
    ChangeBatch {
        schema: schema.clone(),
        rows,
        kinds,
        positions,
        transactions: vec![culvert_api::Transaction::logged("0-1-1", None)],
        unavailable: Vec::new(),
    }
}

/// The batch as a source sends it: an insert that leaves values out is the other side of the delete in
/// front of it.
pub(crate) fn with_moves(mut batch: ChangeBatch) -> ChangeBatch {
    for row in 1..batch.len() {
        let lacks = (0..batch.rows.num_columns()).any(|column| batch.is_unavailable(row, column));
        if lacks && batch.kinds[row - 1..=row] == [RowKind::Delete, RowKind::Insert] {
            batch.positions[row] = RowPosition { row: 1, ..batch.positions[row - 1] };
        }
    }
    batch
}

fn kind(short: &str) -> RowKind {
    RowKind::ALL.into_iter().find(|kind| kind.short() == short).unwrap()
}

/// The rows of a query, every row as one text.
pub(crate) async fn texts(server: &Server, query: &str) -> Vec<String> {
    let mut conn = server.conn().await;
    conn.query(query).await.unwrap()
}

/// The rows of `people`, ordered.
pub(crate) async fn people_in(server: &Server, database: &str, table: &str) -> Vec<String> {
    texts(server, &format!("SELECT CONCAT_WS(' ', id, name) FROM `{database}`.`{table}` ORDER BY id, name"))
        .await
}

/// The error of a result, as text.
pub(crate) fn failure<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("expected a failure"),
        Err(error) => error,
    }
}
