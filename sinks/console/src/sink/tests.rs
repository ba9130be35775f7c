#![allow(clippy::unwrap_used)]

use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Int32Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use culvert_api::{ChangeBatch, Column, JobProgress, RowKind, RowKindSet, RowPosition, TableId, Unavailable};
use culvert_config::{Block, Entry, Place, Role, Value, definition_mistakes};

use super::*;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn options(pairs: &[(&str, &str)]) -> Options {
    let mut block = Block::new(Role::Sink, PLUGIN, Place::default());
    for (key, value) in pairs {
        block.entries.push(Entry {
            key: (*key).to_string(),
            value: Value::String((*value).to_string()),
            place: Place::default(),
        });
    }
    let (options, problems) = Options::resolve(&block, OPTIONS);
    assert_eq!(problems, vec![]);
    options
}

fn batch(columns: Vec<(&str, ArrayRef)>, kinds: Vec<RowKind>) -> ChangeBatch {
    let declared: Vec<Column> =
        columns.iter().map(|(name, array)| Column::derived(*name, array.data_type().clone(), true)).collect();
    let schema = TableSchema::new(TableId::new("cdc", "w"), 1, declared, vec![], RowKindSet::ALL);
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let rows = RecordBatch::try_new(schema.arrow.clone(), arrays).unwrap();
    let positions = kinds.iter().map(|_| RowPosition { transaction: 0, event: 0, row: 0 }).collect();
    ChangeBatch {
        schema: Arc::new(schema),
        rows,
        kinds,
        positions,
        transactions: vec![culvert_api::Transaction::logged("t", None)],
        unavailable: Vec::new(),
    }
}

async fn printed(pairs: &[(&str, &str)], batch: ChangeBatch) -> String {
    let screen = Screen::default();
    let sink = ConsoleSink::to(&options(pairs), Box::new(screen.clone()));
    let progress = Arc::new(JobProgress::default());
    let context =
        WriterContext { job: "j".into(), sink: "s".into(), writer: 0, epoch: 1, progress: progress.clone() };
    let mut open = sink.open(&context).await.unwrap();
    assert!(open.marker.is_none());
    let rows = batch.len() as u64;
    open.writer.prepare_tables(std::slice::from_ref(&batch.schema), true).await.unwrap();
    open.writer.write(batch).await.unwrap();
    let marker =
        CommitMarker { job: "j".into(), sink: "s".into(), writer: 0, epoch: 1, checkpoint: 1, source: None };
    let committable = open.writer.prepare_commit(&marker).await.unwrap();
    open.committer.commit(&committable).await.unwrap();
    open.committer.commit(&committable).await.unwrap();
    assert_eq!(progress.rows_committed.load(std::sync::atomic::Ordering::Relaxed), rows);
    String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
}

#[tokio::test]
async fn a_line_per_row() {
    let batch = batch(
        vec![
            ("id", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec![Some("Al\nice"), None]))),
        ],
        vec![RowKind::Insert, RowKind::UpdateBefore],
    );
    for pairs in [&[][..], &[("log.print.delay.ms", "1")]] {
        assert_eq!(
            printed(pairs, batch.clone()).await,
            "output rowType: id<Int32>, name<Utf8>\n\
             subtaskIndex=0  rowIndex=1:  SeaTunnelRow#tableId=cdc.w SeaTunnelRow#kind=INSERT : 1, Al\\nice\n\
             subtaskIndex=0  rowIndex=2:  SeaTunnelRow#tableId=cdc.w SeaTunnelRow#kind=UPDATE_BEFORE : 2, null\n"
        );
    }
    assert_eq!(printed(&[("log.print.data", "false")], batch).await, "");
}

#[tokio::test]
async fn values_for_people() {
    let decimal = Decimal128Array::from(vec![-5]).with_precision_and_scale(10, 2).unwrap();
    let instant = TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC");
    let batch = batch(
        vec![
            ("a", Arc::new(decimal) as ArrayRef),
            ("b", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]]))),
            ("c", Arc::new(Date32Array::from(vec![-1]))),
            ("d", Arc::new(instant)),
            ("e", Arc::new(DurationMicrosecondArray::from(vec![-90_000_000_001]))),
        ],
        vec![RowKind::Delete],
    );
    let text = printed(&[], batch).await;
    assert!(
        text.ends_with(" : -0.05, 0x00ff, 1969-12-31, 1970-01-01T00:00:01.500Z, -25:00:00.000001\n"),
        "{text}"
    );
}

#[tokio::test]
async fn what_the_log_left_out_is_no_null() {
    let mut batch = batch(
        vec![
            ("id", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
            ("body", Arc::new(StringArray::from(vec![None::<&str>, None]))),
        ],
        vec![RowKind::UpdateAfter, RowKind::UpdateAfter],
    );
    batch.unavailable = vec![Unavailable { column: 1, rows: vec![true, false].into() }];
    let text = printed(&[], batch).await;
    assert!(text.contains("UPDATE_AFTER : 1, <unavailable>\n") && text.ends_with(": 2, null\n"), "{text}");
}

#[tokio::test]
async fn infinite_points_in_time_have_their_names() {
    let instants = || TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN, i64::MAX - 1]);
    let batch = batch(
        vec![
            ("d", Arc::new(Date32Array::from(vec![i32::MAX, i32::MIN, i32::MAX - 1])) as ArrayRef),
            ("w", Arc::new(instants())),
            ("t", Arc::new(instants().with_timezone("UTC"))),
        ],
        vec![RowKind::Insert; 3],
    );
    let text = printed(&[], batch).await;
    let shown: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(" : ").nth(1)).collect();
    assert_eq!(shown, ["infinity, infinity, infinity", "-infinity, -infinity, -infinity", "?, ?, ?"]);
}
