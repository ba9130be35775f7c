//! A sink, its runs, and rows for them.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, CommitMarker, Error, JobProgress, OpenSink, Result, RowKind, RowKindSet,
    RowPosition, Sink, SourceState, SourceType, TableId, TableSchema, WriterContext,
};
use culvert_config::{Block, Entry, Options, Place, Role, Value};
use culvert_sink_kafka::{KafkaSink, OPTIONS};
use culvert_tests::{Isolation, Kafka};

/// The job's name in all tests.
pub(crate) const JOB: &str = "job";
/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A topic of messages and one of markers that no other test uses; the sink's name is the topic's, so
/// that tests share no transactional id.
pub(crate) struct Stage {
    pub(crate) topic: String,
    pub(crate) progress: String,
}

impl Stage {
    pub(crate) fn new(kafka: &Kafka, name: &str) -> Stage {
        Stage { topic: kafka.fresh_name(name), progress: kafka.fresh_name(&format!("{name}-progress")) }
    }

    /// An exactly-once sink at this broker, with further options before the defaults.
    pub(crate) fn sink(&self, bootstrap: &str, pairs: &[(&str, &str)]) -> KafkaSink {
        let defaults = [
            ("bootstrap.servers", bootstrap),
            ("topic", self.topic.as_str()),
            ("semantics", "EXACTLY_ONCE"),
            ("progress_topic", self.progress.as_str()),
        ];
        from_pairs(&defaults, pairs).unwrap()
    }

    /// What the engine hands to a writer.
    pub(crate) fn context(&self, epoch: u64) -> WriterContext {
        let progress = Arc::new(JobProgress::default());
        WriterContext { job: JOB.into(), sink: self.topic.clone(), writer: 0, epoch, progress }
    }

    /// Opens the sink.
    pub(crate) async fn open(&self, sink: &KafkaSink, epoch: u64) -> Result<Run> {
        let context = self.context(epoch);
        let open = sink.open(&context).await?;
        let checkpoint = open.marker.as_ref().map(|marker| marker.checkpoint).unwrap_or_default();
        Ok(Run { open, context, checkpoint })
    }

    /// Opens the sink and prepares the table, as a job that never committed does.
    pub(crate) async fn start(&self, sink: &KafkaSink, table: &Arc<TableSchema>) -> Run {
        let mut run = self.open(sink, 1).await.unwrap();
        run.open.writer.prepare_tables(std::slice::from_ref(table), true).await.unwrap();
        run
    }

    /// The marker as of now.
    pub(crate) async fn committed(&self, sink: &KafkaSink) -> Option<CommitMarker> {
        sink.committed(JOB, &self.topic, 0).await.unwrap()
    }

    /// The ids of the rows that a consumer of committed messages sees, partition after partition.
    pub(crate) async fn ids(&self, kafka: &Kafka) -> Vec<i64> {
        ids(kafka, &self.topic, Isolation::Committed).await
    }
}

/// The ids of the rows in a topic.
pub(crate) async fn ids(kafka: &Kafka, topic: &str, isolation: Isolation) -> Vec<i64> {
    let records = kafka.read(topic, isolation).await;
    let id = |value: &String| {
        let row: serde_json::Value = serde_json::from_str(value).unwrap();
        row.get("id").and_then(serde_json::Value::as_i64).unwrap()
    };
    records.iter().filter_map(|record| record.value.as_ref()).map(id).collect()
}

/// A sink with these options, the second ones before the first.
pub(crate) fn from_pairs(defaults: &[(&str, &str)], pairs: &[(&str, &str)]) -> Result<KafkaSink> {
    let mut block = Block::new(Role::Sink, "Kafka", Place::default());
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
    KafkaSink::from_options(&options)
}

/// An open sink and the number of its last checkpoint.
pub(crate) struct Run {
    pub(crate) open: OpenSink,
    pub(crate) context: WriterContext,
    pub(crate) checkpoint: u64,
}

impl Run {
    /// The marker of the next checkpoint.
    pub(crate) fn marker(&self) -> CommitMarker {
        CommitMarker {
            job: JOB.into(),
            sink: self.context.sink.clone(),
            writer: 0,
            epoch: self.context.epoch,
            checkpoint: self.checkpoint + 1,
            source: Some(state(self.checkpoint + 1)),
        }
    }

    pub(crate) async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        self.open.writer.write(batch).await
    }

    /// Stages the next checkpoint.
    pub(crate) async fn prepare(&mut self) -> Result<culvert_api::Committable> {
        self.open.writer.prepare_commit(&self.marker()).await
    }

    /// Stages and commits the next checkpoint.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        let committable = self.prepare().await?;
        self.open.committer.commit(&committable).await?;
        self.checkpoint += 1;
        Ok(())
    }

    /// Writes and commits.
    pub(crate) async fn deliver(&mut self, batch: ChangeBatch) -> Result<()> {
        self.write(batch).await?;
        self.commit().await
    }

    /// Leaves in order, without a commit.
    pub(crate) async fn close(mut self) {
        self.open.writer.close().await;
    }

    /// Leaves as a killed process does, as far as the broker can tell: an open transaction stays open.
    pub(crate) fn vanish(self) {
        // The client goes on talking to the broker, and says nothing of the transaction any more.
        std::mem::forget(self);
    }
}

/// The source's state at a checkpoint.
pub(crate) fn state(checkpoint: u64) -> SourceState {
    SourceState { enumerator: vec![1, 2], reader: checkpoint.to_le_bytes().to_vec() }
}

/// `src.<table>(id int, name varchar(50))`.
pub(crate) fn people(table: &str, key: &[&str]) -> Arc<TableSchema> {
    let column = |name: &str, data_type, source: &str| Column {
        name: name.into(),
        data_type,
        nullable: !key.contains(&name),
        source_type: Some(SourceType::mysql(source)),
    };
    let columns =
        vec![column("id", DataType::Int32, "int(11)"), column("name", DataType::Utf8, "varchar(50)")];
    let key = key.iter().map(ToString::to_string).collect();
    Arc::new(TableSchema::new(TableId::new("src", table), 1, columns, key, RowKindSet::ALL))
}

/// Rows of [`people`].
pub(crate) fn rows(schema: &Arc<TableSchema>, rows: &[(&str, i32, &str)]) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)));
    let kind = |short: &str| RowKind::ALL.into_iter().find(|kind| kind.short() == short).unwrap();
    ChangeBatch {
        schema: schema.clone(),
        rows: RecordBatch::try_new(schema.arrow.clone(), vec![ids, names]).unwrap(),
        kinds: rows.iter().map(|row| kind(row.0)).collect(),
        positions: rows.iter().map(|_| RowPosition { transaction: 0, event: 0, row: 0 }).collect(),
        transactions: vec![culvert_api::Transaction::logged("0-1-1", None)],
        unavailable: Vec::new(),
    }
}

/// Inserted rows with these ids.
pub(crate) fn inserts(schema: &Arc<TableSchema>, ids: std::ops::Range<i32>) -> ChangeBatch {
    let list: Vec<(&str, i32, &str)> = ids.map(|id| ("+I", id, "x")).collect();
    rows(schema, &list)
}

/// The error of a result.
pub(crate) fn failure<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("expected a failure"),
        Err(error) => error,
    }
}
