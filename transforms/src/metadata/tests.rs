#![allow(clippy::unwrap_used)]

use culvert_api::Transaction;
use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{lines, mapped, options_of, ran, run, text_batch};

fn metadata(fields: serde_json::Value) -> Result<Metadata> {
    let options = options_of(Metadata::PLUGIN, Metadata::OPTIONS, json!({ "metadata_fields": fields }));
    Ok(Metadata { clock: || 1_700_000_000_100_000, ..Metadata::from_options(&options)? })
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(Metadata::OPTIONS), Vec::<String>::new());
    for (name, _) in KEYS {
        assert!(Metadata::OPTIONS[0].doc.contains(name), "{name}");
    }
}

#[test]
fn the_documented_example() {
    let batch = text_batch(&["id", "name"], &["+I 1|John", "-U 1|John", "+U 1|Joan"]);
    let transform = metadata(json!({
        "Database": "source_database", "Table": "source_table", "RowKind": "change_type",
        "EventTime": "event_timestamp", "Delay": "sync_delay_ms", "SourceTimestamp": "ts",
    }));
    let expected = [
        "+I 1|John|db|t|+I|1700000000000|100|1700000000000",
        "-U 1|John|db|t|-U|1700000000000|100|1700000000000",
        "+U 1|Joan|db|t|+U|1700000000000|100|1700000000000",
    ];
    assert_eq!(ran(&transform.unwrap(), &batch), expected);
}

#[test]
fn the_places_of_both_logs_and_null_for_what_nobody_knows() {
    let mut batch = text_batch(&["id"], &["+I 1", "+I 2", "+I 3"]);
    let mysql = LogPlace::MySql {
        server_id: 1,
        gtid: Some("0-1-7".into()),
        file: "binlog.000003".into(),
        offset: 456,
    };
    let postgres = LogPlace::Postgres { xid: 789, commit_lsn: 0x1_0000_00AF };
    batch.transactions = vec![
        Transaction::placed("a", None, mysql),
        Transaction::placed("b", Some(-1), postgres),
        Transaction::snapshot("db.t:0"),
    ];
    for (row, transaction) in [0, 1, 2].into_iter().enumerate() {
        batch.positions[row].transaction = transaction;
    }
    let transform = metadata(json!({
        "BinlogFile": "f", "BinlogPos": "p", "BinlogRow": "r", "Gtid": "g", "Lsn": "l", "Xid": "x",
        "EventTime": "e", "Delay": "d", "Schema": "s", "Partition": "a", "FileSize": "b",
    }));
    let left = run(&transform.unwrap(), &batch).unwrap();
    let expected = [
        "+I 1|binlog.000003|456|0|0-1-7|null|null|null|null|null|null|null",
        "+I 2|null|null|null|null|1/AF|789|-1|1700000000100|null|null|null",
        "+I 3|null|null|null|null|null|null|null|null|null|null|null",
    ];
    assert_eq!(lines(&left[0]), expected);
}

#[test]
fn keys_count_by_letter_case_and_names_that_are_there_are_refused() {
    let error = metadata(json!({"database": "x"})).unwrap_err();
    assert!(error.to_string().contains("did you mean 'Database'?"), "{error}");
    let batch = text_batch(&["id", "name"], &["+I 1|a"]);
    let error = run(&metadata(json!({"Table": "NAME"})).unwrap(), &batch).unwrap_err();
    assert!(error.to_string().contains("field name NAME already exists"), "{error}");
    let nothing = metadata(json!({})).unwrap();
    assert_eq!(mapped(&nothing, &batch.schema).columns, batch.schema.columns);
}
