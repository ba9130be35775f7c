//! The order of a table's key, as the server sorts it, known on our side as well.
//!
//! A chunk is a key range, and the stream has to tell on which side of a bound the key of a
//! logged row lies. Integers, decimals, temporals and binary strings compare here as they do on
//! the server. Text does not: its order is its collation's. For text columns the server is asked
//! for the sort weight (`WEIGHT_STRING`), once per bound and, only while the table's snapshot
//! runs, once per logged row.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt::Write as _;

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_snapshot::KeyRange;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use serde::{Deserialize, Serialize};

use crate::catalog::{quote, quote_table};
use crate::column::{Conversion, MySqlColumn, MySqlType};
use crate::ddl::TableDef;
use crate::decode::{ColumnBuilder, KeyValue};
use crate::error::from_client;

/// Rows whose weights are asked for in one statement.
const WEIGHTS_PER_QUERY: usize = 200;

/// One end of a chunk: the key's columns as the server wrote them, and what they sort by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyBound {
    /// The raw bytes of each key column, in the column's own character set.
    raw: Vec<Vec<u8>>,
    sort: Vec<KeyValue>,
}

impl PartialEq for KeyBound {
    fn eq(&self, other: &Self) -> bool {
        self.sort == other.sort
    }
}
impl Eq for KeyBound {}
impl PartialOrd for KeyBound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for KeyBound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort.cmp(&other.sort)
    }
}

impl KeyBound {
    /// A bound that is only compared, never written into a statement.
    pub(crate) fn for_comparison(sort: Vec<KeyValue>) -> KeyBound {
        KeyBound { raw: Vec::new(), sort }
    }
}

/// One column that chunks are cut by.
#[derive(Clone, Debug)]
struct KeyColumn {
    index: usize,
    name: String,
    column: MySqlColumn,
    order: KeyOrder,
}

#[derive(Clone, Debug)]
enum KeyOrder {
    Number,
    Temporal,
    Binary,
    Weight { charset: String, collation: String, pads: bool },
}

/// How a table is cut into chunks, and how its rows are told apart.
#[derive(Clone, Debug)]
pub(crate) struct KeyPlan {
    table: TableId,
    columns: Vec<KeyColumn>,
    /// Places of all columns of the primary key.
    identity: Vec<usize>,
    /// No two rows have the same values in the columns that chunks are cut by.
    is_unique: bool,
}

impl KeyPlan {
    /// The plan for a table, or `None` when it has no key that chunks can be cut by; such a table
    /// is read whole.
    pub(crate) fn new(
        table: &TableId,
        def: &TableDef,
        columns: &[MySqlColumn],
        key: &[String],
    ) -> Option<KeyPlan> {
        let mut identity = Vec::new();
        let mut cut_by = Vec::new();
        let mut usable = true;
        for name in key {
            let index = def.column_index(name)?;
            identity.push(index);
            let column = columns.get(index)?;
            // Only a leading run of columns can be cut by; the rest of the key tells rows apart.
            match order_of(column, def.columns.get(index)?.collation.as_deref()) {
                Some(order) if usable => {
                    cut_by.push(KeyColumn { index, name: name.clone(), column: column.clone(), order });
                }
                _ => usable = false,
            }
        }
        if cut_by.is_empty() {
            return None;
        }
        let is_cut_by =
            |name: &String| cut_by.iter().any(|column| Some(column.index) == def.column_index(name));
        let is_unique = !def.primary_key.is_empty() && def.primary_key.iter().all(is_cut_by);
        Some(KeyPlan { table: table.clone(), columns: cut_by, identity, is_unique })
    }

    /// The same for rows whose columns stand elsewhere; `None` when one of them is missing there.
    pub(crate) fn placed(&self, place: impl Fn(usize) -> Option<usize>) -> Option<KeyPlan> {
        let mut plan = self.clone();
        for index in plan.identity.iter_mut().chain(plan.columns.iter_mut().map(|column| &mut column.index)) {
            *index = place(*index)?;
        }
        Some(plan)
    }

    /// The identity of a row: the values of its whole primary key.
    pub(crate) fn identity(&self, batch: &RecordBatch, row: usize) -> Result<Vec<KeyValue>> {
        self.identity.iter().map(|index| key_value(batch, *index, row)).collect()
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| quote(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// Whether rows' sort keys need the server.
    pub(crate) fn needs_server(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.order, KeyOrder::Weight { .. }))
    }

    /// Whether a chunk may end at any row. Rows that are equal in the columns it is cut by must stay
    /// together: what is left begins behind their common value.
    pub(crate) fn can_end_anywhere(&self) -> bool {
        self.is_unique
    }

    /// The order in which chunks are read.
    pub(crate) fn order_by(&self) -> String {
        format!(" ORDER BY {}", self.names())
    }

    /// The clause that selects a range.
    pub(crate) fn condition(&self, range: &KeyRange<KeyBound>) -> String {
        let parts = self.conditions(range);
        if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
    }

    /// The conditions that together select a range.
    pub(crate) fn conditions(&self, range: &KeyRange<KeyBound>) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(after) = &range.after {
            parts.push(self.compare(after, ">", ">"));
        }
        if let Some(up_to) = &range.up_to {
            parts.push(self.compare(up_to, "<", "<="));
        }
        parts
    }

    /// The condition that selects the rows behind a key, from the raw bytes of its columns in plan order.
    pub(crate) fn behind(&self, raw: Vec<Vec<u8>>) -> String {
        self.compare(&KeyBound { raw, sort: Vec::new() }, ">", ">")
    }

    /// `(a > x) OR (a = x AND b > y)`, led by `a >= x` so that the optimizer sees the range.
    fn compare(&self, bound: &KeyBound, strict: &str, last: &str) -> String {
        let literals: Vec<String> =
            self.columns.iter().zip(&bound.raw).map(|(column, raw)| column.literal(raw)).collect();
        let count = literals.len();
        let mut ways = Vec::new();
        for at in 0..count {
            let mut terms: Vec<String> = (0..at)
                .map(|before| format!("{} = {}", quote(&self.columns[before].name), literals[before]))
                .collect();
            let operator = if at + 1 == count { last } else { strict };
            terms.push(format!("{} {operator} {}", quote(&self.columns[at].name), literals[at]));
            ways.push(format!("({})", terms.join(" AND ")));
        }
        if count == 1 {
            return ways.remove(0);
        }
        format!("({} {strict}= {} AND ({}))", quote(&self.columns[0].name), literals[0], ways.join(" OR "))
    }

    /// The key of the row that is `rows` rows after a bound, or `None` past the end.
    pub(crate) async fn bound_after(
        &self,
        conn: &mut Conn,
        range: &KeyRange<KeyBound>,
        rows: u64,
    ) -> Result<Option<KeyBound>> {
        let mut select = String::new();
        for column in &self.columns {
            // The raw bytes, and the weights where the order is a collation's.
            let name = quote(&column.name);
            let _ = write!(select, "{name}, {}, {}, ", column.weight_of(&name), column.weight_of_blank());
        }
        let statement = format!(
            "SELECT {}1 FROM {}{}{} LIMIT 1 OFFSET {}",
            select,
            quote_table(&self.table),
            self.condition(range),
            self.order_by(),
            rows.saturating_sub(1)
        );
        let row: Option<Row> = conn
            .query_first(statement)
            .await
            .map_err(|error| from_client(error, "looking for a chunk's end").context("table", &self.table))?;
        row.map(|row| self.bound_of(row)).transpose()
    }

    /// The bound at a row, from the raw bytes of its key columns in plan order.
    pub(crate) async fn bound_at(&self, conn: &mut Conn, raw: Vec<Vec<u8>>) -> Result<KeyBound> {
        let mut sort = Vec::with_capacity(raw.len());
        for (column, raw) in self.columns.iter().zip(&raw) {
            sort.push(match column.order {
                KeyOrder::Weight { .. } => {
                    let weight = column.weight_of(&column.literal(raw));
                    let row: Option<Row> = conn
                        .query_first(format!("SELECT {weight}, {}", column.weight_of_blank()))
                        .await
                        .map_err(|error| from_client(error, "asking for a sort weight"))?;
                    let mut row = row.ok_or_else(no_value)?;
                    column.sort_of(&bytes(row.take(0))?, &bytes(row.take(1))?)
                }
                _ => column.parse(raw)?,
            });
        }
        Ok(KeyBound { raw, sort })
    }

    /// Places of all columns it looks at.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.identity.iter().copied().chain(self.cut_columns())
    }

    /// Places of the columns that chunks are cut by.
    pub(crate) fn cut_columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().map(|column| column.index)
    }

    fn bound_of(&self, mut row: Row) -> Result<KeyBound> {
        let mut bound = KeyBound { raw: Vec::new(), sort: Vec::new() };
        for (at, column) in self.columns.iter().enumerate() {
            let raw = bytes(row.take(at * 3))?;
            let sort = match column.order {
                KeyOrder::Weight { .. } => {
                    column.sort_of(&bytes(row.take(at * 3 + 1))?, &bytes(row.take(at * 3 + 2))?)
                }
                _ => column.parse(&raw)?,
            };
            bound.raw.push(raw);
            bound.sort.push(sort);
        }
        Ok(bound)
    }

    /// What rows of a batch sort by. Asks the server where the order is a collation's.
    pub(crate) async fn sort_keys(
        &self,
        conn: Option<&mut Conn>,
        batch: &RecordBatch,
    ) -> Result<Vec<KeyBound>> {
        let rows = batch.num_rows();
        let mut keys: Vec<Vec<KeyValue>> = vec![Vec::with_capacity(self.columns.len()); rows];
        let mut conn = conn;
        for column in &self.columns {
            if matches!(column.order, KeyOrder::Weight { .. }) {
                let Some(conn) = conn.as_deref_mut() else {
                    return Err(Error::new(ErrorKind::Internal, "no connection to ask for sort weights"));
                };
                let sorts = column.sorts(conn, batch, &self.table).await?;
                for (key, sort) in keys.iter_mut().zip(sorts) {
                    key.push(sort);
                }
            } else {
                for (row, key) in keys.iter_mut().enumerate() {
                    key.push(key_value(batch, column.index, row)?);
                }
            }
        }
        Ok(keys.into_iter().map(KeyBound::for_comparison).collect())
    }
}

impl KeyColumn {
    /// The raw bytes as a literal that compares as the column does.
    fn literal(&self, raw: &[u8]) -> String {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        match &self.order {
            // Digits, sign and point only: `parse` has read it as a number.
            KeyOrder::Number => String::from_utf8_lossy(raw).into_owned(),
            KeyOrder::Temporal => format!("'{}'", String::from_utf8_lossy(raw)),
            KeyOrder::Binary => format!("x'{}'", hex(raw)),
            KeyOrder::Weight { charset, collation, .. } => {
                format!("_{charset} x'{}' COLLATE {collation}", hex(raw))
            }
        }
    }

    /// Reads the server's text through the one conversion path that rows take, too.
    fn parse(&self, raw: &[u8]) -> Result<KeyValue> {
        let mut builder = ColumnBuilder::new(&self.column, &Conversion::default());
        builder.append_text(raw)?;
        KeyValue::read(builder.finish()?.as_ref(), 0)
    }

    fn weight_of(&self, expression: &str) -> String {
        match &self.order {
            KeyOrder::Weight { .. } => format!("WEIGHT_STRING({expression})"),
            _ => "1".to_owned(),
        }
    }

    fn weight_of_blank(&self) -> String {
        match &self.order {
            KeyOrder::Weight { charset, collation, .. } => {
                format!("WEIGHT_STRING(CONVERT(' ' USING {charset}) COLLATE {collation})")
            }
            _ => "1".to_owned(),
        }
    }

    /// What a text sorts by, from its weight and a blank's.
    fn sort_of(&self, weight: &[u8], blank: &[u8]) -> KeyValue {
        KeyValue::Bytes(match self.order {
            KeyOrder::Weight { pads: true, .. } => padded_for_ever(weight, blank),
            _ => weight.to_vec(),
        })
    }

    async fn sorts(&self, conn: &mut Conn, batch: &RecordBatch, table: &TableId) -> Result<Vec<KeyValue>> {
        let KeyOrder::Weight { charset, collation, .. } = &self.order else { return Ok(Vec::new()) };
        let mut sorts = Vec::with_capacity(batch.num_rows());
        let rows: Vec<usize> = (0..batch.num_rows()).collect();
        for part in rows.chunks(WEIGHTS_PER_QUERY) {
            let mut statement = format!("SELECT {}", self.weight_of_blank());
            for row in part {
                let text = match key_value(batch, self.index, *row)? {
                    KeyValue::Text(text) => text.into_bytes(),
                    KeyValue::Bytes(bytes) => bytes,
                    _ => {
                        return Err(Error::new(ErrorKind::Internal, "a text key that is no text")
                            .context("table", table));
                    }
                };
                let mut hex = String::with_capacity(text.len() * 2);
                for byte in text {
                    let _ = write!(hex, "{byte:02x}");
                }
                let value = format!("CONVERT(_utf8mb4 x'{hex}' USING {charset}) COLLATE {collation}");
                let _ = write!(statement, " UNION ALL SELECT {}", self.weight_of(&value));
            }
            let answer: Vec<Row> = conn
                .query(statement)
                .await
                .map_err(|error| from_client(error, "asking for sort weights").context("table", table))?;
            let mut answer = answer.into_iter();
            let blank = bytes(answer.next().and_then(|mut row| row.take(0)))?;
            for mut row in answer {
                sorts.push(self.sort_of(&bytes(row.take(0))?, &blank));
            }
        }
        if sorts.len() != batch.num_rows() {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the server answered with another number of sort weights",
            )
            .context("table", table));
        }
        Ok(sorts)
    }
}

fn order_of(column: &MySqlColumn, collation: Option<&str>) -> Option<KeyOrder> {
    match &column.kind {
        MySqlType::Int { .. } | MySqlType::Year => Some(KeyOrder::Number),
        MySqlType::Decimal { precision, .. } if *precision <= 38 => Some(KeyOrder::Number),
        MySqlType::Date | MySqlType::DateTime { .. } | MySqlType::Timestamp { .. } => {
            Some(KeyOrder::Temporal)
        }
        MySqlType::Binary { .. } | MySqlType::VarBinary => Some(KeyOrder::Binary),
        MySqlType::Char | MySqlType::VarChar => {
            let collation = collation?;
            if !has_usable_weights(collation) {
                return None;
            }
            // MariaDB's index has CHAR in the order of the padded values, its comparisons are without
            // the padding: a range by such a key leaves rows out.
            if column.kind == MySqlType::Char && collation.contains("nopad") {
                return None;
            }
            let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let charset = collation.split('_').next()?;
            // UCA 9.0.0 collations and MariaDB's nopad ones do not pad when they compare.
            let pads = !collation.contains("_0900_") && !collation.contains("nopad");
            let charset = if charset == "utf8" { "utf8mb3" } else { charset };
            (word(collation) && word(charset)).then(|| KeyOrder::Weight {
                charset: charset.to_owned(),
                collation: collation.to_owned(),
                pads,
            })
        }
        _ => None,
    }
}

/// Whether text in the order of its weights is in the order of the server's index. Found by asking
/// both servers about every collation they have, see `every_collation_sorts_as_we_think`.
fn has_usable_weights(collation: &str) -> bool {
    // Weights of several widths, and the weights of several passes over the text.
    let uneven = collation.starts_with("big5_chinese")
        || matches!(collation, "gb18030_chinese_ci" | "cp1250_czech_cs" | "latin2_czech_cs");
    // Of several levels, whose padding lies between the levels.
    let levels =
        collation.ends_with("_w2") || collation.contains("uca1400") && !collation.ends_with("_ai_ci");
    !uneven && !levels
}

/// A weight as bytes that compare as if blanks followed without end, which is how a collation that
/// pads compares: before each unit of the weight stands whether what is left of it sorts before
/// blanks only (1), is blanks only (2, and ends it), or sorts after them (3).
fn padded_for_ever(weight: &[u8], blank: &[u8]) -> Vec<u8> {
    let units: Vec<&[u8]> = weight.chunks(blank.len().max(1)).collect();
    let mut padded = Vec::with_capacity(weight.len() + units.len() + 1);
    let mut rest = units.as_slice();
    while let Some(at) = rest.iter().position(|unit| *unit != blank) {
        let marker = if rest[at] < blank { 1 } else { 3 };
        for unit in &rest[..=at] {
            padded.push(marker);
            padded.extend_from_slice(unit);
        }
        rest = &rest[at + 1..];
    }
    padded.push(2);
    padded
}

fn key_value(batch: &RecordBatch, column: usize, row: usize) -> Result<KeyValue> {
    if column >= batch.num_columns() {
        return Err(Error::new(ErrorKind::Internal, "a key column outside its batch"));
    }
    KeyValue::read(batch.column(column).as_ref(), row)
}

fn bytes(value: Option<Value>) -> Result<Vec<u8>> {
    match value {
        Some(Value::Bytes(bytes)) => Ok(bytes),
        _ => Err(no_value()),
    }
}

fn no_value() -> Error {
    Error::new(ErrorKind::Corrupt, "a key column without a value")
}
