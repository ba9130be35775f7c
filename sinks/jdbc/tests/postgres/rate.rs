//! Figures (temporary).
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{ChangeBatch, Column, RowKind, RowKindSet, TableSchema};
use culvert_tests::{PgOptions, PgVersion, Postgres};
use futures_util::{SinkExt, pin_mut};

use crate::postgres::support::{lines, sink};
use crate::support::{Run, batch, schema};

const ROWS: i64 = 300_000;

fn make(schema: &Arc<TableSchema>, from: i64, count: i64, tag: &str, kind: RowKind) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
    let a: ArrayRef = Arc::new(Int32Array::from_iter_values((from..from + count).map(|n| (n * 7919 % 100_003) as i32)));
    let text = |n: i64| format!("{tag} name of row number {n}");
    let b: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + count).map(text)));
    let pad = "x".repeat(100);
    let c: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + count).map(|n| format!("{pad}{n}"))));
    let d: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values((from..from + count).map(|n| 1_700_000_000_000_000 + n * 1_000_001)));
    batch(schema, vec![ids, a, b, c, d], vec![kind; count as usize])
}

#[tokio::test(flavor = "multi_thread")]
async fn figures() {
    for version in PgVersion::ALL {
        let mut options = PgOptions::default();
        options.settings = vec![("shared_buffers".into(), "256MB".into()), ("max_wal_size".into(), "4GB".into())];
        let server = Postgres::start(version, options).await;
        let db = server.fresh_database("rate").await;
        let columns = |_: ()| {
            vec![
                Column::derived("id", DataType::Int64, false),
                Column::derived("a", DataType::Int32, true),
                Column::derived("b", DataType::Utf8, true),
                Column::derived("c", DataType::Utf8, true),
                Column::derived("d", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            ]
        };
        let mirror = schema("mirror", columns(()), &["id"], RowKindSet::ALL);
        let log = schema("log", columns(()), &["id"], RowKindSet::INSERT_ONLY);
        let batches = |schema: &Arc<TableSchema>, tag: &str, kind| -> Vec<ChangeBatch> {
            (0..ROWS / 10_000).map(|n| make(schema, n * 10_000, 10_000, tag, kind)).collect()
        };
        let rate = |since: Instant| (ROWS as f64 / since.elapsed().as_secs_f64()) as u64;
        for size in [None, Some("1000"), Some("50000")] {
            let pairs: Vec<(&str, &str)> = size.map(|s| ("batch_size", s)).into_iter().collect();
            let pairs = [&pairs[..], &[("schema_save_mode", "RECREATE_SCHEMA")]].concat();
            let sink = sink(&server, &db, &pairs).unwrap();
            culvert_api::Sink::forget(&sink, crate::support::JOB, crate::support::SINK).await.unwrap();
            let mut run = Run::start(&sink, &[mirror.clone(), log.clone()]).await.unwrap();
            let b = batches(&log, "log", RowKind::Insert);
            let t = Instant::now();
            for one in b { run.write(one).await.unwrap(); }
            run.commit().await.unwrap();
            let append = rate(t);
            let b = batches(&mirror, "new", RowKind::Insert);
            let t = Instant::now();
            for one in b { run.write(one).await.unwrap(); }
            run.commit().await.unwrap();
            let insert = rate(t);
            let b = batches(&mirror, "upd", RowKind::UpdateAfter);
            let t = Instant::now();
            for one in b { run.write(one).await.unwrap(); }
            run.commit().await.unwrap();
            let update = rate(t);
            let b = batches(&mirror, "upd", RowKind::Delete);
            let t = Instant::now();
            for one in b { run.write(one).await.unwrap(); }
            run.commit().await.unwrap();
            let delete = rate(t);
            run.close().await;
            eprintln!("{} batch {size:?}: append {append} insert {insert} update {update} delete {delete} rows/s", version.name());
        }
        // COPY of the same bytes
        let client = server.client(&db).await;
        for key in ["", "PRIMARY KEY"] {
            client.batch_execute(&format!("DROP TABLE IF EXISTS plain; CREATE TABLE plain (id bigint {key}, a int, b text, c text, d timestamp)")).await.unwrap();
            let body = {
                let out: Vec<String> = lines(&server, &db, "SELECT id || E'\\t' || a || E'\\t' || b || E'\\t' || c || E'\\t' || d FROM log").await;
                let mut text = out.join("\n"); text.push('\n'); bytes::Bytes::from(text)
            };
            let t = Instant::now();
            client.batch_execute("BEGIN").await.unwrap();
            let copy = client.copy_in::<_, bytes::Bytes>("COPY plain FROM STDIN").await.unwrap();
            pin_mut!(copy);
            let mut rest = body.clone();
            while !rest.is_empty() { let part = rest.split_to(rest.len().min(65536)); copy.send(part).await.unwrap(); }
            copy.as_mut().finish().await.unwrap();
            client.batch_execute("COMMIT").await.unwrap();
            eprintln!("{} COPY FROM {key}: {} rows/s, {} bytes", version.name(), rate(t), body.len());
        }
    }
}
