//! What the sink writes in a format, the decoder of that format reads back as the same rows.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::types::Decimal256Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int8Array, Int64Array, PrimitiveArray, RecordBatch, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_buffer::i256;
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, CommitMarker, JobProgress, RowKind, RowKindSet, RowPosition, Sink, TableId,
    TableSchema, WriterContext,
};
use culvert_config::{Block, Entry, Options, Place, Role, Value};
use culvert_sink_kafka::{KafkaSink, OPTIONS};
use culvert_source_kafka::decode::{Decoder, Layout, Message, Missing, Rows};
use culvert_tests::{Isolation, kafka_shared};

/// Values at the ends of what their types hold: of the row as it came, and as it is after an update.
fn columns() -> Vec<(&'static str, [ArrayRef; 2])> {
    let wide = |text: &str| {
        let array = PrimitiveArray::<Decimal256Type>::from_iter([i256::from_string(text)]);
        Arc::new(array.with_precision_and_scale(65, 30).unwrap()) as ArrayRef
    };
    let price = |value| {
        let array = Decimal128Array::from(vec![value]).with_precision_and_scale(20, 2).unwrap();
        Arc::new(array) as ArrayRef
    };
    let instant =
        |value| Arc::new(TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC")) as ArrayRef;
    macro_rules! two {
        ($array:ty, $first:expr, $second:expr) => {
            [Arc::new(<$array>::from(vec![$first])), Arc::new(<$array>::from(vec![$second]))]
        };
    }
    vec![
        ("id", two!(Int64Array, i64::MIN, i64::MIN)),
        ("flag", two!(BooleanArray, true, false)),
        ("tiny", two!(Int8Array, Some(i8::MIN), None)),
        ("ubig", two!(UInt64Array, u64::MAX, 9_007_199_254_740_993)),
        ("real", two!(Float32Array, 0.1f32, f32::MIN_POSITIVE)),
        ("double", two!(Float64Array, -0.0, 1e300)),
        ("odd", two!(Float64Array, f64::NEG_INFINITY, f64::INFINITY)),
        ("price", [price(Some(-1_250)), price(None)]),
        ("wide", [wide(&"9".repeat(65)), wide("-1")]),
        ("name", two!(StringArray, "é\"\\\n,{}[]: \u{1f600}", "")),
        ("bytes", two!(BinaryArray, &[0u8, 255][..], &[][..])),
        ("day", two!(Date32Array, -719_529, 2_932_897)),
        ("at", two!(TimestampMicrosecondArray, -1, i64::MAX)),
        ("instant", [instant(1_500_000), instant(i64::MIN)]),
        ("clock", two!(Time64MicrosecondArray, 86_400_000_000, 1)),
        ("span", two!(DurationMicrosecondArray, -3_020_399_000_001, 0)),
        ("same", two!(StringArray, "unchanged", "unchanged")),
    ]
}

/// An insert, an update that changes nearly everything, and a delete.
fn changes(table: &str) -> ChangeBatch {
    let columns = columns();
    let shape: Vec<Column> = columns
        .iter()
        .map(|(name, pair)| Column::derived(*name, pair[0].data_type().clone(), *name != "id"))
        .collect();
    assert_eq!(shape[0].data_type, DataType::Int64);
    let id = TableId::new("src", table);
    let schema = Arc::new(TableSchema::new(id, 1, shape, vec!["id".into()], RowKindSet::ALL));
    let image = |at: usize| {
        let values = columns.iter().map(|(_, pair)| Arc::clone(&pair[at])).collect();
        RecordBatch::try_new(Arc::clone(&schema.arrow), values).unwrap()
    };
    let (before, after) = (image(0), image(1));
    let rows =
        arrow_select::concat::concat_batches(&schema.arrow, [&before, &before, &after, &after]).unwrap();
    let kinds = vec![RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let positions = [(0, 0), (1, 0), (1, 1), (2, 0)]
        .map(|(event, row)| RowPosition { transaction: 0, event, row })
        .to_vec();
    ChangeBatch {
        schema,
        rows,
        kinds,
        positions,
        transactions: vec![culvert_api::Transaction::logged("t", None)],
        unavailable: Vec::new(),
    }
}

fn sink(bootstrap: &str, topic: &str, format: &str, decimals: &str) -> KafkaSink {
    let mut block = Block::new(Role::Sink, "Kafka", Place::default());
    for (key, value) in [
        ("bootstrap.servers", bootstrap),
        ("topic", topic),
        ("format", format),
        ("decimal_format", decimals),
        ("topic_partitions", "1"),
        ("tombstones_on_delete", if format == "json" { "false" } else { "true" }),
    ] {
        let value = Value::String(value.to_owned());
        block.entries.push(Entry { key: key.to_owned(), value, place: Place::default() });
    }
    KafkaSink::from_options(&Options::resolve(&block, OPTIONS).0).unwrap()
}

async fn write(sink: &KafkaSink, topic: &str, batch: &ChangeBatch) {
    let progress = Arc::new(JobProgress::default());
    let context = WriterContext { job: "job".into(), sink: topic.into(), writer: 0, epoch: 1, progress };
    let mut open = sink.open(&context).await.unwrap();
    open.writer.prepare_tables(std::slice::from_ref(&batch.schema), true).await.unwrap();
    open.writer.write(batch.clone()).await.unwrap();
    let (job, sink) = (context.job, context.sink);
    let marker = CommitMarker { job, sink, writer: 0, epoch: 1, checkpoint: 1, source: None };
    let staged = open.writer.prepare_commit(&marker).await.unwrap();
    open.committer.commit(&staged).await.unwrap();
    open.writer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_comes_back_as_the_same_rows() {
    let kafka = kafka_shared().await;
    for (format, layout) in [
        ("json", Layout::Json),
        ("debezium_json", Layout::Debezium),
        ("canal_json", Layout::Canal),
        ("maxwell_json", Layout::Maxwell),
        ("ogg_json", Layout::Ogg),
    ] {
        for decimals in ["NUMBER", "STRING"] {
            let topic = kafka.fresh_name("readback");
            let batch = changes(&topic);
            write(&sink(&kafka.bootstrap(), &topic, format, decimals), &topic, &batch).await;
            let decoder = Decoder {
                layout,
                schema: Arc::clone(&batch.schema),
                unavailable: "__debezium_unavailable_value".into(),
                missing: Missing::ByMessage,
                is_named: true,
            };
            let mut rows = Rows::default();
            for record in kafka.read(&topic, Isolation::Committed).await {
                let message = Message {
                    value: record.value.as_deref().map(str::as_bytes),
                    kind: record.header("row_kind").map(str::as_bytes),
                };
                decoder.read(&message, &mut rows).unwrap_or_else(|failed| panic!("{format} {failed}"));
            }
            let read = rows.take(&batch.schema, "t").unwrap();
            assert_eq!(read.kinds, batch.kinds, "{format} {decimals}");
            assert_eq!(read.rows, batch.rows, "{format} {decimals}");
            assert!(read.unavailable.is_empty(), "{format} {decimals}");
        }
    }
}
