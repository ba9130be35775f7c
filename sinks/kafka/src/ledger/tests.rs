#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_schema::DataType;
use culvert_api::{Column, RowKind, RowKindSet, RowPosition, TableSchema};
use serde_json::{Value, json};

use super::*;
use crate::options::tests::settings;
use crate::plan::TablePlan;

fn mysql(offset: u64) -> Arc<Transaction> {
    let place = LogPlace::MySql { server_id: 1, gtid: None, file: "binlog.000001".into(), offset };
    Transaction::placed("t", Some(5_000_000), place)
}

/// A row per pair of transaction and event.
fn batch(table: TableId, transactions: Vec<Arc<Transaction>>, rows: &[(u32, u32)]) -> ChangeBatch {
    let columns = vec![Column::derived("id", DataType::Int32, false)];
    let schema = Arc::new(TableSchema::new(table, 1, columns, vec!["id".into()], RowKindSet::ALL));
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1; rows.len()]));
    ChangeBatch {
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), vec![ids]).unwrap(),
        schema,
        kinds: vec![RowKind::Insert; rows.len()],
        positions: rows
            .iter()
            .map(|(transaction, event)| RowPosition { transaction: *transaction, event: *event, row: 0 })
            .collect(),
        transactions,
        unavailable: Vec::new(),
    }
}

fn blocks(ledger: &mut Ledger, batch: &ChangeBatch) -> Vec<Option<Block>> {
    (0..batch.len()).map(|row| ledger.count(batch, row).unwrap()).collect()
}

fn told(ledger: &mut Ledger) -> Vec<(Value, Value)> {
    let parsed = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
    ledger.take(false).iter().map(|(key, value)| (parsed(key), parsed(value))).collect()
}

#[test]
fn changes_are_counted_per_transaction_and_table() {
    let mut ledger = Ledger::default();
    // One transaction changed both tables by turns; the batches come table by table.
    let first = batch(TableId::new("shop", "a"), vec![mysql(900), mysql(100)], &[(0, 0), (0, 2), (1, 0)]);
    let second = batch(TableId::new("shop", "b"), vec![mysql(900)], &[(0, 1)]);
    let counted: Vec<Block> =
        blocks(&mut ledger, &first).into_iter().chain(blocks(&mut ledger, &second)).flatten().collect();
    let of_table: Vec<u64> = counted.iter().map(|block| block.data_collection_order).collect();
    assert_eq!(of_table, [1, 2, 1, 1]);
    assert_eq!(counted[0].id, "file=binlog.000001,pos=900");
    let order = |place: usize| counted[place].total_order;
    assert!(order(0) == 1 && order(0) < order(3) && order(3) < order(1), "the order of the log: {counted:?}");
    let messages = told(&mut ledger);
    assert_eq!(messages.len(), 4);
    assert_eq!(
        messages[0],
        (
            json!({"id": "file=binlog.000001,pos=100"}),
            json!({
                "status": "BEGIN", "id": "file=binlog.000001,pos=100", "ts_ms": 5000, "event_count": null,
                "data_collections": null,
            })
        )
    );
    assert_eq!(
        messages[3].1,
        json!({
            "status": "END", "id": "file=binlog.000001,pos=900", "ts_ms": 5000, "event_count": 3,
            "data_collections": [
                {"data_collection": "shop.a", "event_count": 2},
                {"data_collection": "shop.b", "event_count": 1},
            ],
        })
    );
    // Behind a checkpoint the counts begin anew.
    assert_eq!(told(&mut ledger), []);
    assert_eq!(blocks(&mut ledger, &second)[0].as_ref().unwrap().data_collection_order, 1);
}

#[test]
fn rows_of_snapshots_and_of_sources_without_a_log_have_none() {
    let mut ledger = Ledger::default();
    let transactions = vec![Transaction::snapshot("t:1"), Transaction::logged("topic", None)];
    let rows = batch(TableId::new("shop", "a"), transactions, &[(0, 0), (1, 0)]);
    assert_eq!(blocks(&mut ledger, &rows), [None, None]);
    assert_eq!(told(&mut ledger), []);
}

#[test]
fn messages_of_both_debezium_formats_have_the_block() {
    let place = LogPlace::Postgres { xid: 7, commit_lsn: 99 };
    let table = TableId { database: "shop".into(), schema: Some("public".into()), table: "a".into() };
    let rows = batch(table, vec![Transaction::placed("t", Some(1), place)], &[(0, 3)]);
    let block = json!({"id": "7:99", "total_order": 3 * ROWS_PER_EVENT + 1, "data_collection_order": 1});
    for format in ["debezium_json", "compatible_debezium_json"] {
        let settings = settings(&[("format", format), ("provide_transaction_metadata", "true")]).unwrap();
        let plan = TablePlan::new(&settings, &rows.schema).unwrap();
        let mut ledger = Ledger::default();
        let made = settings.encoder.messages(&plan, &rows, Some(&mut ledger)).unwrap();
        let value: Value = serde_json::from_slice(made[0].value.as_ref().unwrap()).unwrap();
        let payload = if format == "debezium_json" { &value } else { &value["payload"] };
        assert_eq!(payload["transaction"], block);
        let (key, end) = ledger.take(true).pop().unwrap();
        let (key, end): (Value, Value) =
            (serde_json::from_slice(&key).unwrap(), serde_json::from_slice(&end).unwrap());
        assert_eq!(key["payload"], json!({"id": "7:99"}));
        assert_eq!(end["payload"]["data_collections"][0]["data_collection"], "public.a");
        let fields: Vec<&Value> =
            end["schema"]["fields"].as_array().unwrap().iter().map(|field| &field["field"]).collect();
        assert_eq!(fields, ["status", "id", "ts_ms", "event_count", "data_collections"]);
    }
}
