use crate::support::{Run, batch, schema, sink};
use arrow_array::*;
use culvert_api::*;
use culvert_tests::both;
use std::sync::Arc;
use std::time::Instant;
#[tokio::test(flavor = "multi_thread")]
async fn probe() {
    both(async |server| {
        for (label, kinds, key) in
            [("append", RowKindSet::INSERT_ONLY, &[][..]), ("upsert", RowKindSet::ALL, &["id"][..])]
        {
            let db = server.fresh_database("probe").await;
            let col = |n: &str, t: arrow_schema::DataType, s: &str| Column {
                name: n.into(),
                data_type: t,
                nullable: n != "id",
                source_type: Some(s.into()),
            };
            let tz =
                arrow_schema::DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
            let cols = vec![
                col("id", arrow_schema::DataType::Int64, "bigint"),
                col("a", arrow_schema::DataType::Utf8, "varchar(400)"),
                col(
                    "b",
                    arrow_schema::DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, None),
                    "datetime(6)",
                ),
                col("c", tz.clone(), "timestamp(6)"),
                col("d", arrow_schema::DataType::Float64, "double"),
                col("e", arrow_schema::DataType::Decimal128(12, 2), "decimal(12,2)"),
            ];
            let source = schema("t", cols, key, kinds);
            let sink = sink(server, &db, &[("batch_size", "2000")]).unwrap();
            let mut run = Run::start(&sink, std::slice::from_ref(&source)).await.unwrap();
            let t = Instant::now();
            let n = 4000i64;
            for b in 0..50i64 {
                let cols: Vec<ArrayRef> = vec![
                    Arc::new(Int64Array::from_iter_values(b * n..(b + 1) * n)),
                    Arc::new(StringArray::from_iter_values((0..n).map(|_| "x".repeat(400)))),
                    Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|i| i * 1_000_000_007))),
                    Arc::new(
                        TimestampMicrosecondArray::from_iter_values(
                            (0..n).map(|i| 1_000_000 + i * 1_000_007),
                        )
                        .with_timezone("UTC"),
                    ),
                    Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64 / 7.0))),
                    Arc::new(
                        Decimal128Array::from_iter_values((0..n).map(|i| i as i128))
                            .with_precision_and_scale(12, 2)
                            .unwrap(),
                    ),
                ];
                run.write(batch(&source, cols, vec![RowKind::Insert; n as usize])).await.unwrap();
            }
            run.commit().await.unwrap();
            eprintln!("{label}: {:.0} rows/s", 200_000.0 / t.elapsed().as_secs_f64());
            run.close().await;
        }
    })
    .await;
}
