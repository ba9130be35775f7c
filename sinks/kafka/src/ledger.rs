//! Transactions of the source as messages tell of them (`provide_transaction_metadata`): how many changes
//! of which table each one has.
//!
//! Batches hold the rows of one table from many transactions, so that a transaction is not known to be
//! over before the barrier, which lies at a transaction's end. What is counted here is therefore told at the
//! checkpoint, in the same Kafka transaction as the changes, and begins anew behind it: a run that starts
//! over counts the same changes again.

use std::collections::HashMap;

use culvert_api::{ChangeBatch, Error, ErrorKind, LogPlace, Result, TableId, Transaction};

use crate::encode::object::{field, quote};

/// Transactions between two checkpoints whose counts are kept.
const TRANSACTIONS_MAX: usize = 1_000_000;
/// More rows than one event of a log has: the place of an event in its transaction, times this, plus the
/// place of the row in the event, rises as the changes do.
const ROWS_PER_EVENT: i64 = 1 << 30;

/// What a message says of its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) id: String,
    /// Rises in the order of the log, with gaps.
    pub(crate) total_order: i64,
    /// Counts the changes of the table in the transaction, from 1.
    pub(crate) data_collection_order: u64,
}

impl Block {
    /// `{"id":…,"total_order":…,"data_collection_order":…}`
    pub(crate) fn append(&self, out: &mut String) {
        out.push('{');
        field("id", &self.id, out);
        let (total, of_table) = (self.total_order, self.data_collection_order);
        out.push_str(&format!("\"total_order\":{total},\"data_collection_order\":{of_table}}}"));
    }
}

/// A transaction whose changes are being counted.
#[derive(Debug)]
struct Counted {
    /// Orders transactions: their place in the log.
    place: (String, u64),
    committed_us: Option<i64>,
    /// Changes per table, in the order in which they came.
    tables: Vec<(String, u64)>,
}

/// The transactions since the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    transactions: HashMap<String, Counted>,
}

impl Ledger {
    /// Counts a change and says what its message tells. Rows of a snapshot, and of sources without a
    /// log, have no transaction.
    pub(crate) fn count(&mut self, batch: &ChangeBatch, row: usize) -> Result<Option<Block>> {
        let Some((transaction, place)) =
            batch.transaction(row).and_then(|transaction| Some((transaction, transaction.place.as_ref()?)))
        else {
            return Ok(None);
        };
        let id = id(place);
        if self.transactions.len() >= TRANSACTIONS_MAX && !self.transactions.contains_key(&id) {
            let what = format!("more than {TRANSACTIONS_MAX} transactions between two checkpoints");
            return Err(Error::new(ErrorKind::Unsupported, what)
                .hint("lower checkpoint.interval, or leave provide_transaction_metadata out"));
        }
        let counted = self.transactions.entry(id.clone()).or_insert_with(|| Counted::new(transaction, place));
        let data_collection_order = counted.add(&collection(&batch.schema.id));
        let position = batch.positions.get(row);
        let (event, row) = position.map_or((0, 0), |position| (position.event, position.row));
        let total_order = i64::from(event) * ROWS_PER_EVENT + i64::from(row) + 1;
        Ok(Some(Block { id, total_order, data_collection_order }))
    }

    /// Takes what was counted: a key and a value for the begin and for the end of every transaction, in
    /// the order of the log.
    pub(crate) fn take(&mut self, with_schema: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all: Vec<(String, Counted)> = self.transactions.drain().collect();
        all.sort_unstable_by(|one, other| (&one.1.place, &one.0).cmp(&(&other.1.place, &other.0)));
        let mut messages = Vec::with_capacity(all.len() * 2);
        for (id, counted) in &all {
            let key = with_head(with_schema, KEY_SCHEMA, |out| {
                out.push_str("{\"id\":");
                quote(id, out);
                out.push('}');
            });
            for ended in [false, true] {
                let value = with_head(with_schema, VALUE_SCHEMA, |out| counted.append(id, ended, out));
                messages.push((key.clone(), value));
            }
        }
        messages
    }
}

impl Counted {
    fn new(transaction: &Transaction, place: &LogPlace) -> Counted {
        let place = match place {
            LogPlace::MySql { file, offset, .. } => (file.clone(), *offset),
            LogPlace::Postgres { commit_lsn, .. } => (String::new(), *commit_lsn),
        };
        Counted { place, committed_us: transaction.committed_us, tables: Vec::new() }
    }

    /// One change more of this table: how many there are now.
    fn add(&mut self, table: &str) -> u64 {
        let place = match self.tables.iter().position(|(name, _)| name == table) {
            Some(place) => place,
            None => {
                self.tables.push((table.to_owned(), 0));
                self.tables.len() - 1
            }
        };
        self.tables.get_mut(place).map_or(0, |(_, count)| {
            *count += 1;
            *count
        })
    }

    fn append(&self, id: &str, ended: bool, out: &mut String) {
        out.push('{');
        field("status", if ended { "END" } else { "BEGIN" }, out);
        field("id", id, out);
        let millis = self.committed_us.map_or(0, |micros| micros.div_euclid(1000));
        out.push_str(&format!("\"ts_ms\":{millis},\"event_count\":"));
        if !ended {
            out.push_str("null,\"data_collections\":null}");
            return;
        }
        let total: u64 = self.tables.iter().map(|(_, count)| count).sum();
        out.push_str(&format!("{total},\"data_collections\":["));
        let mut tables: Vec<&(String, u64)> = self.tables.iter().collect();
        tables.sort_unstable();
        for (place, (table, count)) in tables.into_iter().enumerate() {
            out.push_str(if place == 0 { "{" } else { ",{" });
            field("data_collection", table, out);
            out.push_str(&format!("\"event_count\":{count}}}"));
        }
        out.push_str("]}");
    }
}

/// The identifier, as Debezium's connectors make it.
fn id(place: &LogPlace) -> String {
    match place {
        LogPlace::MySql { gtid: Some(gtid), .. } => gtid.clone(),
        LogPlace::MySql { file, offset, .. } => format!("file={file},pos={offset}"),
        LogPlace::Postgres { xid, commit_lsn } => format!("{xid}:{commit_lsn}"),
    }
}

/// A table as Debezium names it: without PostgreSQL's database.
fn collection(id: &TableId) -> String {
    match &id.schema {
        Some(schema) => format!("{schema}.{}", id.table),
        None => id.to_string(),
    }
}

const KEY_SCHEMA: &str = "{\"type\":\"struct\",\"fields\":[\
    {\"type\":\"string\",\"optional\":false,\"field\":\"id\"}],\
    \"optional\":false,\"name\":\"io.debezium.connector.common.TransactionMetadataKey\",\"version\":1}";

const VALUE_SCHEMA: &str = "{\"type\":\"struct\",\"fields\":[\
    {\"type\":\"string\",\"optional\":false,\"field\":\"status\"},\
    {\"type\":\"string\",\"optional\":false,\"field\":\"id\"},\
    {\"type\":\"int64\",\"optional\":false,\"field\":\"ts_ms\"},\
    {\"type\":\"int64\",\"optional\":true,\"field\":\"event_count\"},\
    {\"type\":\"array\",\"items\":{\"type\":\"struct\",\"fields\":[\
    {\"type\":\"string\",\"optional\":false,\"field\":\"data_collection\"},\
    {\"type\":\"int64\",\"optional\":false,\"field\":\"event_count\"}],\
    \"optional\":false,\"name\":\"event.collection\",\"version\":1},\
    \"optional\":true,\"field\":\"data_collections\"}],\
    \"optional\":false,\"name\":\"io.debezium.connector.common.TransactionMetadataValue\",\"version\":1}";

/// A payload, behind its schema where messages have one.
fn with_head(with_schema: bool, schema: &str, payload: impl Fn(&mut String)) -> Vec<u8> {
    let mut out = String::new();
    if with_schema {
        out.push_str("{\"schema\":");
        out.push_str(schema);
        out.push_str(",\"payload\":");
    }
    payload(&mut out);
    if with_schema {
        out.push('}');
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests;
