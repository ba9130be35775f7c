#![allow(clippy::unwrap_used)]

use arrow_array::{Int32Array, RecordBatch};
use culvert_api::{ChangeBatch, Column, JobProgress, RowKind, RowKindSet, RowPosition, TableId, Transaction};

use super::*;
use crate::rules::tests::options;

fn table(name: &str) -> Arc<TableSchema> {
    let columns = vec![Column::derived("a", arrow_schema::DataType::Int32, true)];
    Arc::new(TableSchema::new(TableId::new("d", name), 1, columns, Vec::new(), RowKindSet::ALL))
}

fn batch(schema: &Arc<TableSchema>, rows: i32) -> ChangeBatch {
    let values = Int32Array::from_iter_values(0..rows);
    ChangeBatch {
        schema: Arc::clone(schema),
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), vec![Arc::new(values)]).unwrap(),
        kinds: vec![RowKind::Insert; rows.unsigned_abs() as usize],
        positions: (0..rows.unsigned_abs())
            .map(|event| RowPosition { transaction: 0, event, row: 0 })
            .collect(),
        transactions: vec![Transaction::logged("x", None)],
        unavailable: Vec::new(),
    }
}

/// An attempt: rows of the table `t`, a checkpoint each, from this one on; then its end.
async fn attempt(sink: &AssertSink, first: u64, rows: &[i32]) -> Result<()> {
    let context = WriterContext {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        writer: 0,
        epoch: 1,
        progress: Arc::new(JobProgress::default()),
    };
    let mut opened = sink.open(&context).await?;
    opened.writer.prepare_tables(&[table("t")], true).await?;
    for (checkpoint, rows) in (first..).zip(rows) {
        opened.writer.write(batch(&table("t"), *rows)).await?;
        let marker = CommitMarker {
            job: "j".to_owned(),
            sink: "s".to_owned(),
            writer: 0,
            epoch: 1,
            checkpoint,
            source: None,
        };
        let committable = opened.writer.prepare_commit(&marker).await?;
        opened.committer.commit(&committable).await?;
    }
    opened.writer.finish().await
}

fn sink(rules: &str) -> AssertSink {
    AssertSink::from_options(&options(rules)).unwrap()
}

#[tokio::test]
async fn rows_are_counted_over_the_whole_job() {
    let exact =
        "row_rules = [{ rule_type = MIN_ROW, rule_value = 10 }, { rule_type = MAX_ROW, rule_value = 10 }]";
    attempt(&sink(exact), 1, &[4, 6]).await.unwrap();
    let error = attempt(&sink(exact), 1, &[4, 5]).await.unwrap_err().to_string();
    assert!(error.contains("MIN_ROW 10 is broken: there were 9 rows"), "{error}");
    let error = attempt(&sink(exact), 1, &[4, 5, 2]).await.unwrap_err().to_string();
    assert!(error.contains("MAX_ROW 10 is broken: there were 11 rows"), "{error}");
}

#[tokio::test]
async fn rows_that_are_read_again_count_once() {
    let exact =
        "row_rules = [{ rule_type = MIN_ROW, rule_value = 10 }, { rule_type = MAX_ROW, rule_value = 10 }]";
    let sink = sink(exact);
    // The first attempt ends behind two checkpoints, of which the second was not saved.
    attempt(&sink, 1, &[4, 3]).await.unwrap_err();
    attempt(&sink, 2, &[3, 3]).await.unwrap();
}

#[tokio::test]
async fn another_process_does_not_judge_what_it_has_not_seen() {
    attempt(&sink("row_rules = [{ rule_type = MIN_ROW, rule_value = 10 }]"), 7, &[4]).await.unwrap();
}

#[tokio::test]
async fn rules_of_a_table_count_its_own_rows() {
    let rules = |path: &str| {
        format!(
            "tables_configs = [{{ table_path = {path}, row_rules = [{{ rule_type = MIN_ROW, rule_value = 5 }}] }}]"
        )
    };
    attempt(&sink(&rules("d.t")), 1, &[5]).await.unwrap();
    let error = attempt(&sink(&rules("d.t")), 1, &[4]).await.unwrap_err().to_string();
    assert!(error.contains("table=d.t"), "{error}");
    let error = attempt(&sink(&rules("d.u")), 1, &[4]).await.unwrap_err().to_string();
    assert!(error.contains("the table d.u, which does not come"), "{error}");
}

#[tokio::test]
async fn a_check_finds_what_the_job_would_stop_at() {
    let found = sink("field_rules = [{ field_name = b }]").check(&[table("t")]).await.unwrap();
    assert!(found.len() == 1 && found[0].message.contains("the field b"), "{found:?}");
    assert_eq!(sink("field_rules = [{ field_name = a }]").check(&[table("t")]).await.unwrap(), []);
}
