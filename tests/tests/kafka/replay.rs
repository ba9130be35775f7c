//! The oracle for topics: replays Debezium's envelopes from nothing, and stops at the first that cannot
//! have happened.
//!
//! Legal is: `c` and `r` of a key that is not there; `u` and `d` of a row that is there exactly as its
//! `before` says, as far as that is known. A change that is missing or there twice breaks one of these,
//! or the end result. Order counts per partition, and so per key.

use std::collections::BTreeMap;

use culvert_tests::kafka::Record;
use culvert_tests::oracle::Row;
use serde_json::{Map, Value};

/// What stands for a value the source's log left out.
const LEFT_OUT: &str = "__debezium_unavailable_value";

/// What a topic says.
pub(crate) struct Replayed {
    /// The rows there are in the end, sorted, as texts.
    pub(crate) rows: Vec<Row>,
    pub(crate) messages: usize,
}

impl Replayed {
    /// Replays; `Err` is the first change that cannot have happened.
    pub(crate) fn of(records: &[Record], columns: &[String], keyed: bool) -> Result<Replayed, String> {
        let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for record in records {
            step(&mut rows, record, columns, keyed).map_err(|what| {
                let (partition, offset) = (record.partition, record.offset);
                format!(
                    "partition {partition}, offset {offset}: {what}; key {:?}, value {:?}",
                    record.key, record.value
                )
            })?;
        }
        let mut rows: Vec<Row> = rows.into_values().flatten().collect();
        rows.sort_unstable();
        Ok(Replayed { rows, messages: records.len() })
    }
}

fn step(
    rows: &mut BTreeMap<String, Vec<Row>>,
    record: &Record,
    columns: &[String],
    keyed: bool,
) -> Result<(), String> {
    let value: Value =
        serde_json::from_str(record.value.as_deref().unwrap_or("null")).map_err(|e| e.to_string())?;
    let image = |name: &str| value.get(name).and_then(Value::as_object);
    let key = match (&record.key, keyed) {
        (Some(key), true) => key.clone(),
        (None, false) => String::new(),
        _ => return Err("a key where none belongs, or none where one does".into()),
    };
    let there = rows.entry(key).or_default();
    match value.get("op").and_then(Value::as_str) {
        Some("c" | "r") => {
            if keyed && !there.is_empty() {
                return Err("the key is there already".into());
            }
            there.push(row(image("after").ok_or("no row")?, columns, None)?);
        }
        Some("u") => {
            let place = find(there, image("before"), columns)?;
            let before = there.remove(place);
            there.push(row(image("after").ok_or("no row")?, columns, Some(&before))?);
        }
        Some("d") => {
            let place = find(there, image("before"), columns)?;
            there.remove(place);
        }
        _ => return Err("no operation".into()),
    }
    Ok(())
}

/// The place of a row that is as `before` says.
fn find(there: &[Row], before: Option<&Map<String, Value>>, columns: &[String]) -> Result<usize, String> {
    let matches = |found: &&Row| match before {
        None => Ok(true),
        Some(before) => row(before, columns, Some(found)).map(|wanted| wanted == **found),
    };
    for (place, found) in there.iter().enumerate() {
        if matches(&found)? {
            return Ok(place);
        }
    }
    Err(format!("no such row is there; there are {there:?}"))
}

/// A row as texts; what was left out is as it was.
fn row(image: &Map<String, Value>, columns: &[String], known: Option<&Row>) -> Result<Row, String> {
    let one = |(place, column): (usize, &String)| {
        Ok(match image.get(column) {
            None => return Err(format!("the column {column} is missing")),
            Some(Value::Null) => None,
            Some(Value::String(text)) if text == LEFT_OUT => match known.and_then(|row| row.get(place)) {
                Some(known) => known.clone(),
                None => return Err(format!("nothing is known of the column {column}")),
            },
            Some(Value::String(text)) => {
                Some(plain_time(column, text.replace('T', if is_time(column) { " " } else { "T" })))
            }
            Some(other) => Some(other.to_string()),
        })
    };
    columns.iter().enumerate().map(one).collect()
}

fn is_time(column: &str) -> bool {
    matches!(column, "changed" | "at")
}

/// A point in time without zeros at the end of its fraction; servers print them or not.
pub(crate) fn plain_time(column: &str, text: String) -> String {
    if is_time(column) && text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[test]
fn what_cannot_have_happened_is_found() {
    let record = |key: &str, value: &str| Record {
        partition: 0,
        offset: 0,
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
        bytes: (Some(key.as_bytes().to_vec()), Some(value.as_bytes().to_vec())),
        headers: Vec::new(),
    };
    let columns = ["id".to_owned(), "n".to_owned()];
    let insert = record("1", r#"{"before":null,"after":{"id":1,"n":1},"op":"c"}"#);
    let update = record("1", r#"{"before":{"id":1,"n":1},"after":{"id":1,"n":2},"op":"u"}"#);
    let partial =
        record("1", r#"{"before":null,"after":{"id":1,"n":"__debezium_unavailable_value"},"op":"u"}"#);
    let delete = record("1", r#"{"before":{"id":1,"n":2},"after":null,"op":"d"}"#);
    let replay = |records: &[&Record]| {
        let records: Vec<Record> = records.iter().map(|record| (*record).clone()).collect();
        Replayed::of(&records, &columns, true).map(|replayed| replayed.rows)
    };
    let two = vec![vec![Some("1".to_owned()), Some("2".to_owned())]];
    assert_eq!(replay(&[&insert, &update, &partial]), Ok(two));
    assert_eq!(replay(&[&insert, &update, &delete]), Ok(Vec::new()));
    for illegal in
        [&[&insert, &insert][..], &[&update], &[&insert, &update, &update], &[&insert, &delete], &[&partial]]
    {
        assert!(replay(illegal).is_err(), "{illegal:?}");
    }
}
