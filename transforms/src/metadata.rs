//! Tells in columns where a row comes from and what happened to it.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, new_null_array};
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, LogPlace, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule, nearest};

use crate::clock::{Clock, now_us};
use crate::layout::{Layout, Origin, refusal, the_one};

/// Appends columns of metadata. What the source does not know is NULL.
#[derive(Clone, Debug)]
pub struct Metadata {
    fields: Vec<(Key, String)>,
    clock: Clock,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Database,
    Schema,
    Table,
    RowKind,
    EventTime,
    Delay,
    SourceTimestamp,
    BinlogFile,
    BinlogPos,
    BinlogRow,
    Gtid,
    Lsn,
    Xid,
    /// Known to SeaTunnel, and to no source here.
    UnknownText,
    /// The same, a number.
    UnknownNumber,
}

/// The keys as users write them, in this letter case.
const KEYS: &[(&str, Key)] = &[
    ("Database", Key::Database),
    ("Schema", Key::Schema),
    ("Table", Key::Table),
    ("RowKind", Key::RowKind),
    ("EventTime", Key::EventTime),
    ("Delay", Key::Delay),
    ("SourceTimestamp", Key::SourceTimestamp),
    ("BinlogFile", Key::BinlogFile),
    ("BinlogPos", Key::BinlogPos),
    ("BinlogRow", Key::BinlogRow),
    ("Gtid", Key::Gtid),
    ("Lsn", Key::Lsn),
    ("Xid", Key::Xid),
    ("Partition", Key::UnknownText),
    ("FilePath", Key::UnknownText),
    ("FileType", Key::UnknownText),
    ("FileCreateTime", Key::UnknownNumber),
    ("FileUpdateTime", Key::UnknownNumber),
    ("FileSize", Key::UnknownNumber),
];

impl Metadata {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "Metadata";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[OptionDef::map("metadata_fields").doc(
        "What to tell and in which column, `Key = name`. Keys, in this letter case: Database, Schema, Table, RowKind, EventTime, Delay, SourceTimestamp, BinlogFile, BinlogPos, BinlogRow, Gtid, Lsn, Xid, Partition, FilePath, FileType, FileCreateTime, FileUpdateTime, FileSize.",
    )];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<Metadata> {
        let mut fields = Vec::new();
        for (name, column) in options.map("metadata_fields") {
            let names = || KEYS.iter().map(|(name, _)| *name);
            let Some((_, key)) = KEYS.iter().find(|(known, _)| known == name) else {
                let error = Error::new(ErrorKind::Config, format!("there is no metadata '{name}'"));
                return Err(match nearest(name, names()) {
                    Some(near) => error.hint(format!("did you mean '{near}'? Letter case counts")),
                    None => error.hint(format!("there are: {}", names().collect::<Vec<&str>>().join(", "))),
                });
            };
            if column.is_empty() {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("option `metadata_fields.{name}` is empty"),
                ));
            }
            fields.push((*key, column.clone()));
        }
        Ok(Metadata { fields, clock: now_us })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let mut layout = Layout::of(Metadata::PLUGIN, input);
        for (new, (key, name)) in self.fields.iter().enumerate() {
            if input.column_index(name).is_some() {
                let error = refusal(Metadata::PLUGIN, input, format!("field name {name} already exists"));
                return Err(error.context("column", name).hint("choose another name in metadata_fields"));
            }
            let is_certain = matches!(key, Key::Database | Key::Table | Key::RowKind);
            let column = Column::derived(name, key.data_type(), !is_certain);
            layout.push(column, Origin::New { from: None, new });
        }
        Ok(layout)
    }
}

impl Key {
    fn data_type(self) -> DataType {
        match self {
            Key::EventTime
            | Key::Delay
            | Key::SourceTimestamp
            | Key::BinlogPos
            | Key::Xid
            | Key::UnknownNumber => DataType::Int64,
            Key::BinlogRow => DataType::Int32,
            _ => DataType::Utf8,
        }
    }

    /// The values of a batch's rows.
    fn values(self, batch: &ChangeBatch, now_us: i64) -> ArrayRef {
        let id = &batch.schema.id;
        let rows = 0..batch.len();
        let place = |row| batch.transaction(row).and_then(|transaction| transaction.place.as_ref());
        let committed = |row| batch.transaction(row).and_then(|transaction| transaction.committed_us);
        match self {
            Key::Database => texts(rows.map(|_| Some(id.database.as_str()))),
            Key::Schema => texts(rows.map(|_| id.schema.as_deref())),
            Key::Table => texts(rows.map(|_| Some(id.table.as_str()))),
            Key::RowKind => texts(batch.kinds.iter().map(|kind| Some(kind.short()))),
            Key::EventTime | Key::SourceTimestamp => {
                numbers(rows.map(|row| committed(row).map(|us| us.div_euclid(1000))))
            }
            Key::Delay => {
                numbers(rows.map(|row| committed(row).map(|us| now_us.saturating_sub(us).div_euclid(1000))))
            }
            Key::BinlogFile => texts(rows.map(|row| match place(row)? {
                LogPlace::MySql { file, .. } => Some(file.as_str()),
                LogPlace::Postgres { .. } => None,
            })),
            Key::BinlogPos => numbers(rows.map(|row| match place(row)? {
                LogPlace::MySql { offset, .. } => i64::try_from(*offset).ok(),
                LogPlace::Postgres { .. } => None,
            })),
            Key::BinlogRow => {
                let mut built = Int32Builder::with_capacity(batch.len());
                for row in rows {
                    let is_binlog = matches!(place(row), Some(LogPlace::MySql { .. }));
                    let number = batch.positions.get(row).and_then(|at| i32::try_from(at.row).ok());
                    built.append_option(number.filter(|_| is_binlog));
                }
                Arc::new(built.finish())
            }
            Key::Gtid => texts(rows.map(|row| match place(row)? {
                LogPlace::MySql { gtid, .. } => gtid.as_deref(),
                LogPlace::Postgres { .. } => None,
            })),
            Key::Lsn => texts(rows.map(|row| match place(row)? {
                LogPlace::MySql { .. } => None,
                LogPlace::Postgres { commit_lsn, .. } => {
                    Some(format!("{:X}/{:X}", commit_lsn >> 32, commit_lsn & 0xFFFF_FFFF))
                }
            })),
            Key::Xid => numbers(rows.map(|row| match place(row)? {
                LogPlace::MySql { .. } => None,
                LogPlace::Postgres { xid, .. } => Some(i64::from(*xid)),
            })),
            Key::UnknownText | Key::UnknownNumber => new_null_array(&self.data_type(), batch.len()),
        }
    }
}

fn texts<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    let mut built = StringBuilder::new();
    values.for_each(|value| built.append_option(value));
    Arc::new(built.finish())
}

fn numbers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let mut built = Int64Builder::new();
    values.for_each(|value| built.append_option(value));
    Arc::new(built.finish())
}

impl Transform for Metadata {
    fn name(&self) -> &str {
        Metadata::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema)?;
        let now_us = (self.clock)();
        let new: Vec<ArrayRef> = self.fields.iter().map(|(key, _)| key.values(&batch, now_us)).collect();
        layout.batch(batch, the_one(Metadata::PLUGIN, outputs)?, &new)
    }
}

#[cfg(test)]
mod tests;
