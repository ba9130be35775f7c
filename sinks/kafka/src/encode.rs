//! From rows to messages.
//!
//! The two rows of an update make one message in every layout but `json`, `text` and `avro`, whose messages are rows.
//! A row before an update that has lost the row after it (FilterRowKind can do that) is a delete; the
//! row after it alone is an update whose earlier state is not known.

pub(crate) mod avro;
mod canal;
pub(crate) mod connect;
mod debezium;
mod maxwell;
pub(crate) mod object;
mod ogg;
mod text;
pub(crate) mod value;

use std::time::{SystemTime, UNIX_EPOCH};

use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind};

use crate::ledger::{Block, Ledger};
use crate::plan::TablePlan;
use connect::ConnectPlan;
use object::Row;

/// How a change is laid out in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The row, flat.
    Json,
    /// The row's values, with a delimiter between them.
    Text,
    /// The row, flat, in Avro's binary form.
    Avro,
    /// Debezium's envelope without a schema.
    Debezium,
    /// Debezium's envelope with its schemas.
    Connect,
    /// Canal's flat message.
    Canal,
    /// Maxwell's.
    Maxwell,
    /// Oracle GoldenGate's.
    Ogg,
}

impl Layout {
    /// Whether every row is a message of its own, and a header says what happened to it.
    pub(crate) fn is_flat(self) -> bool {
        matches!(self, Layout::Json | Layout::Text | Layout::Avro)
    }
}

/// What decides about messages.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    pub(crate) layout: Layout,
    pub(crate) decimals_as_text: bool,
    pub(crate) tombstones: bool,
    /// BIGINT UNSIGNED is a decimal in Debezium's schemas; an int64 otherwise.
    pub(crate) unsigned_as_decimal: bool,
    /// What stands between the values of a text.
    pub(crate) delimiter: String,
    /// What stands for a value the log left out, in Debezium's envelope and in texts.
    pub(crate) unavailable: String,
}

/// A message, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    /// The header `row_kind`; the layouts that say it in the value have none.
    pub(crate) kind: Option<RowKind>,
    /// Columns that are sent as headers; a tombstone has none.
    pub(crate) headers: Vec<Header>,
}

/// A column's name, and its value as text.
pub(crate) type Header = (String, Option<String>);

impl Message {
    fn tombstone(topic: &str, key: Option<&Vec<u8>>) -> Message {
        Message { topic: topic.to_owned(), key: key.cloned(), value: None, kind: None, headers: Vec::new() }
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// It is new.
    Insert(Row<'a>),
    /// It is another now.
    Update(Option<Row<'a>>, Row<'a>),
    /// It is gone.
    Delete(Row<'a>),
}

impl<'a> Event<'a> {
    /// The row whose key and topic are the message's.
    fn row(self) -> Row<'a> {
        match self {
            Event::Insert(row) | Event::Update(_, row) | Event::Delete(row) => row,
        }
    }
}

impl Encoder {
    /// The messages of a batch, in order.
    ///
    /// With a ledger every change is counted in its transaction, and its message says so.
    pub(crate) fn messages(
        &self,
        plan: &TablePlan,
        batch: &ChangeBatch,
        ledger: Option<&mut Ledger>,
    ) -> Result<Vec<Message>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.messages_at(plan, batch, ledger, i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }

    fn messages_at(
        &self,
        plan: &TablePlan,
        batch: &ChangeBatch,
        mut ledger: Option<&mut Ledger>,
        now_ms: i64,
    ) -> Result<Vec<Message>> {
        let mut messages = Vec::with_capacity(batch.len());
        let row = |index| Row { encoder: self, plan, batch, index, now_ms };
        let mut index = 0;
        while let Some(kind) = batch.kinds.get(index) {
            if self.layout.is_flat() {
                self.flat(row(index), *kind, &mut messages)?;
                index += 1;
                continue;
            }
            let followed = batch.kinds.get(index + 1) == Some(&RowKind::UpdateAfter);
            let event = match kind {
                RowKind::Insert => Event::Insert(row(index)),
                RowKind::UpdateBefore if followed => {
                    index += 1;
                    Event::Update(Some(row(index - 1)), row(index))
                }
                RowKind::UpdateAfter => Event::Update(None, row(index)),
                RowKind::UpdateBefore | RowKind::Delete => Event::Delete(row(index)),
            };
            let block = match &mut ledger {
                Some(ledger) => ledger.count(batch, index)?,
                None => None,
            };
            self.event(event, block.as_ref(), &mut messages)?;
            index += 1;
        }
        Ok(messages)
    }

    fn event(&self, event: Event<'_>, block: Option<&Block>, messages: &mut Vec<Message>) -> Result<()> {
        let row = event.row();
        let mut text = String::new();
        match self.layout {
            Layout::Debezium => debezium::append(event, block, &mut text)?,
            Layout::Canal => canal::append(event, &mut text)?,
            Layout::Maxwell => maxwell::append(event, &mut text)?,
            Layout::Ogg => ogg::append(event, &mut text)?,
            Layout::Connect => connect::append(event, connected(row)?, block, &mut text)?,
            Layout::Json | Layout::Text | Layout::Avro => {
                return Err(Error::new(ErrorKind::Internal, "rows of a flat format came as changes"));
            }
        }
        let key = match self.layout {
            Layout::Connect => connect::key(row, connected(row)?)?,
            _ => row.key()?,
        };
        let topic = row.topic()?;
        let tombstone = self.tombstones && matches!(event, Event::Delete(_)) && key.is_some();
        let after = tombstone.then(|| Message::tombstone(&topic, key.as_ref()));
        let headers = row.headers()?;
        messages.push(Message { topic, key, value: Some(text.into_bytes()), kind: None, headers });
        messages.extend(after);
        Ok(())
    }

    /// The flat layouts: every row is a message, and a header says what happened to it.
    fn flat(&self, row: Row<'_>, kind: RowKind, messages: &mut Vec<Message>) -> Result<()> {
        if self.tombstones && kind == RowKind::UpdateBefore {
            return Ok(());
        }
        let topic = row.topic()?;
        let key = match self.layout {
            Layout::Avro => avro::key(row)?,
            _ => row.key()?,
        };
        let value = if self.tombstones && kind == RowKind::Delete && key.is_some() {
            None
        } else if self.layout == Layout::Avro {
            Some(avro::value(row)?)
        } else {
            let mut text = String::new();
            match self.layout {
                Layout::Text => text::append(row, &mut text)?,
                _ => row.object(&mut text)?,
            }
            Some(text.into_bytes())
        };
        let headers = if value.is_some() { row.headers()? } else { Vec::new() };
        messages.push(Message { topic, key, value, kind: Some(kind), headers });
        Ok(())
    }
}

/// The plan of a table whose messages have schemas.
fn connected(row: Row<'_>) -> Result<&ConnectPlan> {
    let missing = || Error::new(ErrorKind::Internal, "a table was planned for another format");
    row.plan.connect.as_ref().ok_or_else(missing)
}

/// An error about a value: the column is named, the value never.
fn column_error(row: Row<'_>, column: usize, what: &str) -> Error {
    let name = row.plan.column_name(column);
    Error::new(ErrorKind::Value, what).context("table", &row.batch.schema.id).context("column", name)
}

#[cfg(test)]
mod tests;
