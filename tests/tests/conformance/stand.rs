//! A sink at a real target, what a user of the target sees, and rows for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, CommitMarker, JobProgress, OpenSink, Result, RowKind, RowKindSet, RowPosition, Sink,
    SourceState, SourceType, TableId, TableSchema, WriterContext,
};
use culvert_config::{Block, Entry, OptionDef, Options, Place, Role, Value};
use culvert_sink_console::ConsoleSink;
use culvert_sink_jdbc::JdbcSink;
use culvert_sink_kafka::KafkaSink;
use culvert_tests::s3::{KEY, S3, SECRET};
use culvert_tests::{
    Database, Flavor, Isolation, Kafka, KafkaOptions, PgVersion, Proxy, postgres_shared, scratch, shared,
};
use tokio::sync::OnceCell;

use crate::crash::files;

/// Names that no quoting survives by luck.
pub(crate) const JOB: &str = "jöb 'a\"";
pub(crate) const SINK: &str = "sïnk.1";

/// A target with room of its own.
pub(crate) enum Stand {
    Sql { database: Database<'static>, proxy: Proxy },
    Topics { kafka: &'static Kafka, prefix: String, semantics: &'static str },
    Files { folder: PathBuf },
    Objects { s3: S3, proxy: Proxy },
    Lines(Lines),
}

/// The rows that changes leave, as JSON has them.
#[derive(Default)]
struct Rows(BTreeMap<i64, Vec<String>>);

impl Rows {
    fn values(row: &serde_json::Value) -> (i64, String) {
        let id = row["id"].as_i64().unwrap_or_else(|| panic!("no row: {row}"));
        (id, row["v"].as_str().unwrap_or("NULL").to_owned())
    }

    fn comes(&mut self, row: &serde_json::Value) {
        let (id, text) = Rows::values(row);
        self.0.entry(id).or_default().push(text);
    }

    fn goes(&mut self, row: &serde_json::Value) {
        let (id, text) = Rows::values(row);
        let there = self.0.entry(id).or_default();
        let place = there.iter().position(|known| *known == text);
        there.remove(place.unwrap_or_else(|| panic!("no such row: {row}")));
    }

    /// What changes leave, each with what happened.
    fn of(changes: Vec<serde_json::Value>) -> Rows {
        let mut rows = Rows::default();
        for row in changes {
            match row["op"].as_str() {
                Some("+I" | "+U") => rows.comes(&row),
                _ => rows.goes(&row),
            }
        }
        rows
    }

    fn list(self) -> Vec<(i64, String)> {
        self.0.into_iter().flat_map(|(id, texts)| texts.into_iter().map(move |text| (id, text))).collect()
    }
}

/// What was printed.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics while printing").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The ids and values of the printed rows, `… : ID, VALUE` each.
    fn rows(&self) -> Vec<(i64, String)> {
        let bytes = self.0.lock().expect("nobody panics while printing").clone();
        let text = String::from_utf8(bytes).expect("lines of text");
        let row = |line: &str| {
            let (id, value) = line.rsplit_once(" : ")?.1.split_once(", ")?;
            Some((id.parse().ok()?, value.to_owned()))
        };
        let rows: Vec<(i64, String)> = text
            .lines()
            .filter(|line| !line.starts_with("output rowType"))
            .map(|line| row(line).unwrap_or_else(|| panic!("no row: {line}")))
            .collect();
        rows
    }
}

/// A broker with a proxy, for all tests of this suite, which break it one after the other.
async fn broker() -> &'static Kafka {
    static BROKER: OnceCell<Kafka> = OnceCell::const_new();
    let start = || Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() });
    BROKER.get_or_init(start).await
}

/// Every sink whose contract is exactly once.
pub(crate) async fn stands() -> Vec<Stand> {
    let databases = [
        Database::fresh(shared(Flavor::MySql).await, "conform").await,
        Database::fresh(shared(Flavor::MariaDb).await, "conform").await,
        Database::fresh(postgres_shared(PgVersion::V15).await, "conform").await,
        Database::fresh(postgres_shared(PgVersion::V17).await, "conform").await,
    ];
    let mut stands = Vec::new();
    for database in databases {
        let proxy = Proxy::start(database.port()).await;
        stands.push(Stand::Sql { database, proxy });
    }
    stands.push(topics("EXACTLY_ONCE").await);
    stands.push(Stand::Files { folder: scratch::folder("conform") });
    let s3 = S3::start();
    s3.bucket("conform");
    let proxy = Proxy::start(s3.port()).await;
    stands.push(Stand::Objects { s3, proxy });
    stands
}

/// Topics written with these semantics.
pub(crate) async fn topics(semantics: &'static str) -> Stand {
    let kafka = broker().await;
    Stand::Topics { kafka, prefix: kafka.fresh_name("conform"), semantics }
}

impl Stand {
    pub(crate) fn name(&self) -> String {
        match self {
            Stand::Sql { database, .. } => format!("Jdbc at port {}", database.port()),
            Stand::Topics { semantics, .. } => format!("Kafka {semantics}"),
            Stand::Files { .. } => "LocalFile".to_owned(),
            Stand::Objects { .. } => "S3File".to_owned(),
            Stand::Lines(_) => "Console".to_owned(),
        }
    }

    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        match self {
            Stand::Sql { database, .. } => self.jdbc(database.port()),
            Stand::Topics { kafka, .. } => self.kafka_at(&kafka.bootstrap()),
            Stand::Files { folder } => {
                let path = format!("{}/${{table_name}}", folder.display());
                let pairs =
                    [("path", path.as_str()), ("file_format_type", "json"), ("row_kind_column", "op")];
                let options = options("LocalFile", culvert_sink_file::LOCAL_FILE_OPTIONS, &pairs);
                culvert_sink_file::local_file(&options).expect("sound options")
            }
            Stand::Objects { s3, .. } => objects(s3.port()),
            Stand::Lines(lines) => {
                let options = options("Console", culvert_sink_console::OPTIONS, &[]);
                Arc::new(ConsoleSink::to(&options, Box::new(lines.clone())))
            }
        }
    }

    /// The same through the proxy.
    pub(crate) fn sink_by_proxy(&self) -> Arc<dyn Sink> {
        match self {
            Stand::Sql { proxy, .. } => self.jdbc(proxy.port()),
            Stand::Topics { kafka, .. } => self.kafka_at(&kafka.proxied_bootstrap()),
            Stand::Objects { proxy, .. } => objects(proxy.port()),
            Stand::Files { .. } | Stand::Lines(_) => self.sink(),
        }
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        match self {
            Stand::Sql { proxy, .. } | Stand::Objects { proxy, .. } => proxy,
            Stand::Topics { kafka, .. } => kafka.proxy(),
            Stand::Files { .. } | Stand::Lines(_) => panic!("there is no way to cut"),
        }
    }

    fn jdbc(&self, port: u16) -> Arc<dyn Sink> {
        let Stand::Sql { database, .. } = self else { panic!("no database") };
        let url = database.url().replace(&format!(":{}/", database.port()), &format!(":{port}/"));
        let user = if database.is_postgres() { "postgres" } else { "root" };
        let table = if database.is_postgres() { "public.${table_name}" } else { "${table_name}" };
        let options = options(
            "Jdbc",
            culvert_sink_jdbc::OPTIONS,
            &[
                ("url", &url),
                ("username", user),
                ("password", "root"),
                ("generate_sink_sql", "true"),
                ("database", database.name()),
                ("table", table),
            ],
        );
        Arc::new(JdbcSink::from_options(&options).expect("sound options"))
    }

    fn kafka_at(&self, bootstrap: &str) -> Arc<dyn Sink> {
        let Stand::Topics { prefix, semantics, .. } = self else { panic!("no broker") };
        let options = options(
            "Kafka",
            culvert_sink_kafka::OPTIONS,
            &[
                ("bootstrap.servers", bootstrap),
                ("topic", &format!("{prefix}.${{table_name}}")),
                ("semantics", semantics),
                ("format", "debezium_json"),
                ("progress_topic", &format!("{prefix}.progress")),
                ("transaction_prefix", prefix),
            ],
        );
        Arc::new(KafkaSink::from_options(&options).expect("sound options"))
    }

    /// The values of column `v` per `id`, in order, as a user sees them. Where rows are changed in place,
    /// the last one; what was deleted is gone in both cases.
    pub(crate) async fn seen(&self, table: &str) -> Vec<(i64, String)> {
        match self {
            Stand::Sql { database, .. } => {
                if !database.has_table(table).await {
                    return Vec::new();
                }
                let query = format!("SELECT id, v FROM {} ORDER BY id, v", database.table(table));
                let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".into());
                let rows = database.rows(&query).await.into_iter().map(|row| {
                    let mut row = row.into_iter();
                    let id = text(row.next().flatten()).parse().expect("a number");
                    (id, text(row.next().flatten()))
                });
                rows.collect()
            }
            Stand::Lines(lines) => lines.rows(),
            Stand::Topics { .. } => {
                let mut rows = Rows::default();
                for message in self.messages(table).await {
                    let op = message["op"].as_str().unwrap_or_default();
                    if matches!(op, "u" | "d") {
                        rows.goes(&message["before"]);
                    }
                    if op != "d" {
                        rows.comes(&message["after"]);
                    }
                }
                rows.list()
            }
            Stand::Files { folder } => Rows::of(files::rows(folder, table)).list(),
            Stand::Objects { s3, .. } => {
                let text = |key: String| {
                    let object = s3.object("conform", &key).expect("it was listed");
                    (key, String::from_utf8(object).expect("lines of text"))
                };
                let files: Vec<_> =
                    s3.keys("conform", &format!("out/{table}/")).into_iter().map(text).collect();
                Rows::of(files::rows_of(&files)).list()
            }
        }
    }

    /// The messages of a table's topic.
    async fn messages(&self, table: &str) -> Vec<serde_json::Value> {
        let Stand::Topics { kafka, prefix, .. } = self else { return Vec::new() };
        let records = kafka.read(&format!("{prefix}.{table}"), Isolation::Committed).await;
        let parsed =
            |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        records.iter().filter_map(|record| record.value.as_deref().map(parsed)).collect()
    }

    /// Opens the sink, ready for a table.
    pub(crate) async fn open(&self, sink: &Arc<dyn Sink>, epoch: u64, table: &Arc<TableSchema>) -> Run {
        self.try_open(sink, epoch, table).await.unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    pub(crate) async fn try_open(
        &self,
        sink: &Arc<dyn Sink>,
        epoch: u64,
        table: &Arc<TableSchema>,
    ) -> Result<Run> {
        Run::open(sink, (JOB, SINK, 0), epoch, table).await
    }
}

/// The sink of the bucket `conform` of a server at this port.
fn objects(port: u16) -> Arc<dyn Sink> {
    let endpoint = format!("http://127.0.0.1:{port}");
    let pairs = [
        ("bucket", "s3a://conform"),
        ("path", "/out/${table_name}"),
        ("fs.s3a.endpoint", endpoint.as_str()),
        ("access_key", KEY),
        ("secret_key", SECRET),
        ("file_format_type", "json"),
        ("row_kind_column", "op"),
    ];
    let options = options("S3File", culvert_sink_file::S3_FILE_OPTIONS, &pairs);
    culvert_sink_file::s3_file(&options).expect("sound options")
}

fn options(plugin: &str, known: &'static [OptionDef], pairs: &[(&str, &str)]) -> Options {
    let mut block = Block::new(Role::Sink, plugin, Place::default());
    for (key, value) in pairs {
        let value = Value::String((*value).to_owned());
        block.entries.push(Entry { key: (*key).to_owned(), value, place: Place::default() });
    }
    let (options, problems) = Options::resolve(&block, known);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:?}");
    options
}

/// An open sink, and what it holds.
pub(crate) struct Run {
    pub(crate) sink: OpenSink,
    context: WriterContext,
    /// The checkpoint that its marker names.
    pub(crate) holds: u64,
}

impl Run {
    pub(crate) async fn open(
        sink: &Arc<dyn Sink>,
        (job, name, writer): (&str, &str, u32),
        epoch: u64,
        table: &Arc<TableSchema>,
    ) -> Result<Run> {
        let progress = Arc::new(JobProgress::default());
        let context = WriterContext { job: job.into(), sink: name.into(), writer, epoch, progress };
        let mut open = sink.open(&context).await?;
        let holds = open.marker.as_ref().map_or(0, |marker| marker.checkpoint);
        open.writer.prepare_tables(std::slice::from_ref(table), holds == 0).await?;
        Ok(Run { sink: open, context, holds })
    }

    pub(crate) async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        self.sink.writer.write(batch).await
    }

    /// Stages everything with the next marker.
    pub(crate) async fn prepare(&mut self) -> Result<culvert_api::Committable> {
        self.sink.writer.prepare_commit(&self.marker(&state(self.holds + 1))).await
    }

    pub(crate) fn marker(&self, source: &SourceState) -> CommitMarker {
        CommitMarker {
            job: self.context.job.clone(),
            sink: self.context.sink.clone(),
            writer: self.context.writer,
            epoch: self.context.epoch,
            checkpoint: self.holds + 1,
            source: Some(source.clone()),
        }
    }

    pub(crate) async fn commit(&mut self) -> Result<()> {
        let staged = self.prepare().await?;
        self.sink.committer.commit(&staged).await?;
        self.holds += 1;
        Ok(())
    }

    pub(crate) async fn deliver(&mut self, batch: ChangeBatch) -> Result<()> {
        self.write(batch).await?;
        self.commit().await
    }
}

/// A state that is another at every checkpoint, with bytes of every sort.
pub(crate) fn state(checkpoint: u64) -> SourceState {
    SourceState { enumerator: (0..=255).collect(), reader: checkpoint.to_le_bytes().to_vec() }
}

/// `db.<name>(id, v)`, appended to: what comes twice is there twice.
pub(crate) fn log_table(name: &str) -> Arc<TableSchema> {
    table(name, 0, &[], RowKindSet::INSERT_ONLY)
}

/// The same with a key, changed in place.
pub(crate) fn keyed_table(name: &str) -> Arc<TableSchema> {
    table(name, 0, &["id"], RowKindSet::ALL)
}

fn table(name: &str, more: usize, key: &[&str], kinds: RowKindSet) -> Arc<TableSchema> {
    let column = |name: &str, data_type, declared: &str| Column {
        name: name.into(),
        data_type,
        nullable: name != "id",
        source_type: Some(SourceType::mysql(declared)),
    };
    let mut columns =
        vec![column("id", DataType::Int64, "bigint"), column("v", DataType::Utf8, "varchar(60)")];
    columns.extend((0..more).map(|n| column(&format!("x{n}"), DataType::Int64, "bigint")));
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    Arc::new(TableSchema::new(TableId::new("db", name), more as u64, columns, key, kinds))
}

/// The table with one more column.
pub(crate) fn widened(schema: &TableSchema) -> Arc<TableSchema> {
    let key: Vec<&str> = schema.primary_key.iter().map(String::as_str).collect();
    table(&schema.id.table, schema.columns.len() - 1, &key, schema.kinds)
}

/// Rows of these kinds, ids and values.
pub(crate) fn rows(schema: &Arc<TableSchema>, rows: &[(RowKind, i64, Option<&str>)]) -> ChangeBatch {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2))),
    ];
    for _ in columns.len()..schema.columns.len() {
        columns.push(Arc::new(Int64Array::from_iter(rows.iter().map(|_| Some(7)))));
    }
    let position = |(row, _)| RowPosition { transaction: 0, event: 0, row: row as u32 };
    ChangeBatch {
        schema: Arc::clone(schema),
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), columns).expect("columns that fit"),
        kinds: rows.iter().map(|row| row.0).collect(),
        positions: rows.iter().enumerate().map(position).collect(),
        transactions: vec![culvert_api::Transaction::logged("t", None)],
        unavailable: Vec::new(),
    }
}

/// Inserted rows with these ids.
pub(crate) fn inserts(schema: &Arc<TableSchema>, ids: std::ops::Range<i64>) -> ChangeBatch {
    let list: Vec<(RowKind, i64, Option<&str>)> = ids.map(|id| (RowKind::Insert, id, Some("x"))).collect();
    rows(schema, &list)
}

/// What is seen of [`inserts`], once each.
pub(crate) fn once(ids: std::ops::Range<i64>) -> Vec<(i64, String)> {
    ids.map(|id| (id, "x".to_owned())).collect()
}
