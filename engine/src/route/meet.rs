//! Streams that meet: rows of one table id that come along several ways make one table at the sink.
//!
//! The table has every column that one of the streams has. Types are the narrowest that holds all of them
//! without loss; a column that is missing in one stream is NULL in its rows. Keys have to be equal. While the
//! job runs, columns come and grow and never go: a column that one stream dropped may still come from another,
//! and what the target holds in it was true once.

use std::fmt::Write;
use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema};

use super::conform::conform;
use super::{Path, StreamId};

/// What streams that meet have to agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Every column.
    Alike,
    /// The types of the columns that both have, and the key.
    ColumnsMayLack,
}

/// The streams of one table at a sink.
#[derive(Default)]
pub(super) struct Meeting {
    members: Vec<(StreamId, Arc<TableSchema>)>,
    /// What the sink was told.
    known: Option<Arc<TableSchema>>,
    /// More than one stream was there at some time.
    shared: bool,
}

impl Meeting {
    /// A stream comes; twice where its way forks and meets again.
    pub(super) fn join(&mut self, id: &StreamId, leaf: &Arc<TableSchema>) {
        self.members.push((id.clone(), Arc::clone(leaf)));
        self.shared |= self.members.len() > 1;
    }

    /// A stream goes.
    pub(super) fn part(&mut self, id: &StreamId) {
        self.members.retain(|(member, _)| member != id);
    }

    pub(super) fn is_over(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(super) fn known(&self) -> Option<Arc<TableSchema>> {
        self.known.clone()
    }

    /// The table as of the streams now.
    pub(super) fn settle(
        &mut self,
        sink: &str,
        paths: &[Path],
        strictness: Strictness,
    ) -> Result<Arc<TableSchema>> {
        let mut members = self.members.iter();
        let Some((_, first)) = members.next() else {
            return Err(Error::new(ErrorKind::Internal, "a table without a stream").context("sink", sink));
        };
        if !self.shared {
            self.known = Some(Arc::clone(first));
            return Ok(Arc::clone(first));
        }
        let told = self.known.clone().unwrap_or_else(|| Arc::clone(first));
        let mut table = (*told).clone();
        for (id, leaf) in &self.members {
            table = merged(&table, leaf, strictness).map_err(|why| {
                let (first_id, first) = &self.members[0];
                let (first_id, first) =
                    if Arc::ptr_eq(first, leaf) { (first_id, &told) } else { (first_id, first) };
                let sides = [(side(paths, first_id), first), (side(paths, id), leaf)];
                Error::new(
                    ErrorKind::Schema,
                    format!(
                        "the streams that meet at sink '{sink}' as table {} do not fit: {why}\n{}",
                        leaf.id,
                        side_by_side(&sides)
                    ),
                )
                .hint("make the columns equal with a transform, or give the tables different names")
            })?;
        }
        let version = self.members.iter().map(|(_, leaf)| leaf.version).sum();
        let table = TableSchema::new(table.id, version, table.columns, table.primary_key, table.kinds);
        if self.known.as_ref().is_none_or(|known| **known != table) {
            self.known = Some(Arc::new(table));
        }
        Ok(self.known.clone().unwrap_or(told))
    }

    /// The batch as the sink knows the table.
    pub(super) fn conform(&self, batch: ChangeBatch) -> Result<ChangeBatch> {
        match &self.known {
            Some(known) if self.shared => conform(batch, known),
            _ => Ok(batch),
        }
    }
}

/// Where a stream comes from, in words.
fn side(paths: &[Path], id: &StreamId) -> String {
    let path = paths.get(id.0).map(Path::describe).unwrap_or_default();
    format!("{path} ({})", id.1)
}

/// The table with one more stream in it; the reason when that is not possible.
fn merged(table: &TableSchema, leaf: &TableSchema, strictness: Strictness) -> Result<TableSchema, String> {
    if table.primary_key != leaf.primary_key {
        return Err(format!(
            "their keys are ({}) and ({})",
            table.primary_key.join(", "),
            leaf.primary_key.join(", ")
        ));
    }
    let mut columns = table.columns.clone();
    for column in &leaf.columns {
        let Some(at) = table.column_index(&column.name) else {
            if strictness == Strictness::Alike {
                return Err(format!("column {} is in one of them only", column.name));
            }
            columns.push(Column { nullable: true, ..column.clone() });
            continue;
        };
        let known = &mut columns[at];
        known.data_type = wider(&known.data_type, &column.data_type).ok_or_else(|| {
            format!("column {} is {} and {}", column.name, known.data_type, column.data_type)
        })?;
        known.nullable |= column.nullable;
        if known.source_type != column.source_type {
            known.source_type = None;
        }
    }
    for column in &mut columns {
        if leaf.column_index(&column.name).is_none() {
            if strictness == Strictness::Alike {
                return Err(format!("column {} is in one of them only", column.name));
            }
            column.nullable = true;
        }
    }
    let kinds = table.kinds.union(leaf.kinds);
    Ok(TableSchema { kinds, ..table.with_columns(columns) })
}

/// The narrowest type that holds the values of both without loss.
fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Binary, Decimal128, Float32, Float64, LargeBinary, LargeUtf8, Timestamp, Utf8};
    if one == other {
        return Some(one.clone());
    }
    if let (Some(one), Some(other)) = (bits(one), bits(other)) {
        return whole(one, other);
    }
    match (one, other) {
        (Float32 | Float64, Float32 | Float64) => Some(Float64),
        (Utf8 | LargeUtf8, Utf8 | LargeUtf8) => Some(LargeUtf8),
        (Binary | LargeBinary, Binary | LargeBinary) => Some(LargeBinary),
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let digits = (i16::from(*p1) - i16::from(*s1)).max(i16::from(*p2) - i16::from(*s2));
            let precision = u8::try_from(digits + i16::from(scale)).ok().filter(|p| *p <= 38)?;
            Some(Decimal128(precision, scale))
        }
        (Timestamp(u1, z1), Timestamp(u2, z2)) if z1 == z2 => {
            let fineness = |unit: &TimeUnit| match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 1,
                TimeUnit::Microsecond => 2,
                TimeUnit::Nanosecond => 3,
            };
            Some(Timestamp(if fineness(u1) >= fineness(u2) { *u1 } else { *u2 }, z1.clone()))
        }
        _ => None,
    }
}

/// Whether a whole number has a sign, and its bits.
fn bits(data_type: &DataType) -> Option<(bool, u8)> {
    match data_type {
        DataType::Int8 => Some((true, 8)),
        DataType::Int16 => Some((true, 16)),
        DataType::Int32 => Some((true, 32)),
        DataType::Int64 => Some((true, 64)),
        DataType::UInt8 => Some((false, 8)),
        DataType::UInt16 => Some((false, 16)),
        DataType::UInt32 => Some((false, 32)),
        DataType::UInt64 => Some((false, 64)),
        _ => None,
    }
}

fn whole(one: (bool, u8), other: (bool, u8)) -> Option<DataType> {
    let signed = one.0 || other.0;
    // An unsigned number takes a bit more beside signed ones.
    let needed = |(has_sign, bits): (bool, u8)| if signed && !has_sign { bits + 1 } else { bits };
    match (signed, needed(one).max(needed(other))) {
        (true, ..=16) => Some(DataType::Int16),
        (true, ..=32) => Some(DataType::Int32),
        (true, ..=64) => Some(DataType::Int64),
        (true, _) => None,
        (false, ..=16) => Some(DataType::UInt16),
        (false, ..=32) => Some(DataType::UInt32),
        (false, _) => Some(DataType::UInt64),
    }
}

/// Two schemas as a text of two columns, a line each for every column of either; `*` marks a difference.
fn side_by_side(sides: &[(String, &Arc<TableSchema>); 2]) -> String {
    let [(left_name, left), (right_name, right)] = sides;
    let cell = |schema: &TableSchema, name: &str| {
        schema.column_index(name).and_then(|at| schema.columns.get(at)).map(|column| {
            let null = if column.nullable { "" } else { " not null" };
            let key = if schema.primary_key.contains(&column.name) { ", key" } else { "" };
            format!("{} {}{null}{key}", column.name, column.data_type)
        })
    };
    let mut lines = vec![(String::new(), left_name.clone(), right_name.clone())];
    let only_right = right.columns.iter().filter(|column| left.column_index(&column.name).is_none());
    for column in left.columns.iter().chain(only_right) {
        let (one, other) = (cell(left, &column.name), cell(right, &column.name));
        let mark = if one == other { "" } else { "*" };
        lines.push((mark.to_owned(), one.unwrap_or_default(), other.unwrap_or_default()));
    }
    let width = lines.iter().map(|line| line.1.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (mark, one, other) in lines {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {mark:1} {one:width$} | {other}");
    }
    text.truncate(text.trim_end().len());
    text
}
