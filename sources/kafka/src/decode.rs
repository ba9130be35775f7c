//! From messages to rows: the way back of `sinks/kafka/src/encode.rs`.
//!
//! A message is read as a whole before any of its rows is kept, so one that cannot be read leaves
//! nothing behind and can be skipped. What is said about it names fields and columns, never a value.
//!
//! A field that is not there is not NULL. Our sink leaves fields out where the first source's log left
//! the values out, so such a value is *unavailable*, as it was; in a new row, where nothing stands for
//! it, the message is refused. [`Missing`] is for topics of others, whose writers drop
//! nulls.

mod batch;
mod canal;
mod debezium;
mod flat;
mod json;
mod maxwell;
mod ogg;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use culvert_api::{RowKind, TableSchema};

pub use batch::Rows;
pub(crate) use culvert_values::Cell;
use json::{Json, Object};

/// How a change is laid out in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The row, flat; a header says what happened to it.
    Json,
    /// Debezium's envelope, with its schema or without.
    Debezium,
    /// Canal's flat message.
    Canal,
    /// Maxwell's.
    Maxwell,
    /// Oracle GoldenGate's, with row images.
    Ogg,
}

/// What a field means that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// NULL.
    Null,
    /// The value is unavailable: it did not change, or was not told.
    Unavailable,
    /// NULL in flat messages that do not say what happened to the row, which are others'; unavailable
    /// elsewhere.
    ByMessage,
}

/// What decides how messages are read.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Their layout.
    pub layout: Layout,
    /// The table that their rows belong to.
    pub schema: Arc<TableSchema>,
    /// Whether its name was declared, and messages of other tables are refused.
    pub is_named: bool,
    /// What stands for a value the first source's log left out, in Debezium's envelope.
    pub unavailable: String,
    /// What a field means that is not there.
    pub missing: Missing,
}

/// A message as a broker hands it out.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The header `row_kind`.
    pub kind: Option<&'a [u8]>,
}

/// Why a message cannot be read. Completes "the message …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    what: &'static str,
    field: Option<String>,
}

impl Unreadable {
    fn new(what: &'static str) -> Unreadable {
        Unreadable { what, field: None }
    }

    fn field(mut self, name: &str) -> Unreadable {
        self.field.get_or_insert_with(|| name.to_owned());
        self
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {field}", self.what),
            None => f.write_str(self.what),
        }
    }
}

impl std::error::Error for Unreadable {}

/// A row of a message, in the schema's order.
pub(crate) type Row = Vec<Cell>;

/// What a message says happened.
#[derive(Debug)]
enum Change {
    /// Nothing: a tombstone.
    Nothing,
    /// One row of this kind.
    One(RowKind, Row),
    /// An update, with the row before it where that is known.
    Update(Option<Row>, Row),
    /// Several at once, as Canal can have them.
    Many(Vec<Change>),
}

impl Decoder {
    /// Adds a message's rows; of one that cannot be read, none.
    pub fn read(&self, message: &Message<'_>, rows: &mut Rows) -> Result<(), Unreadable> {
        let change = match message.value {
            None => Change::Nothing,
            Some(value) => match self.layout {
                Layout::Json => flat::read(self, value, message.kind)?,
                Layout::Debezium => debezium::read(self, value)?,
                Layout::Canal => canal::read(self, value)?,
                Layout::Maxwell => maxwell::read(self, value)?,
                Layout::Ogg => ogg::read(self, value)?,
            },
        };
        let mut found = Vec::new();
        self.flatten(change, &mut found)?;
        rows.push_message(found);
        Ok(())
    }

    fn flatten(&self, change: Change, rows: &mut Vec<(RowKind, Row)>) -> Result<(), Unreadable> {
        match change {
            Change::Nothing => {}
            Change::One(kind, row) => {
                if kind == RowKind::Insert && row.contains(&Cell::LeftOut) {
                    return Err(self.lacking("has a new row without a value for a column", &row));
                }
                self.needs_key(&row)?;
                rows.push((kind, row));
            }
            Change::Update(None, after) => {
                if self.schema.primary_key.is_empty() {
                    return Err(Unreadable::new(
                        "has an update without the row before it, which a table without a key needs",
                    ));
                }
                self.needs_key(&after)?;
                rows.push((RowKind::UpdateAfter, after));
            }
            Change::Update(Some(before), after) => {
                self.needs_key(&before)?;
                self.needs_key(&after)?;
                let moved = self.schema.key_indices().iter().any(|at| before.get(*at) != after.get(*at));
                let kinds = match moved {
                    true => (RowKind::Delete, RowKind::Insert),
                    false => (RowKind::UpdateBefore, RowKind::UpdateAfter),
                };
                rows.extend([(kinds.0, before), (kinds.1, after)]);
            }
            Change::Many(changes) => {
                for change in changes {
                    self.flatten(change, rows)?;
                }
            }
        }
        Ok(())
    }

    /// A row is found by its key, so all of it has to be there.
    fn needs_key(&self, row: &Row) -> Result<(), Unreadable> {
        let key = self.schema.key_indices();
        match key.iter().find(|at| matches!(row.get(**at), None | Some(Cell::Null | Cell::LeftOut))) {
            Some(at) => Err(self.of_column("has no value for a column of the key", *at)),
            None => Ok(()),
        }
    }

    fn lacking(&self, what: &'static str, row: &Row) -> Unreadable {
        let at = row.iter().position(|cell| *cell == Cell::LeftOut).unwrap_or_default();
        self.of_column(what, at)
    }

    fn of_column(&self, what: &'static str, at: usize) -> Unreadable {
        Unreadable::new(what).field(self.schema.columns.get(at).map_or("?", |column| &column.name))
    }

    /// The row of an object; what `value` makes of a member decides.
    fn row_with<'a>(
        &self,
        object: &Object<'a>,
        value: impl Fn(usize, Json<'a>) -> Result<Cell, Unreadable>,
    ) -> Result<Row, Unreadable> {
        let absent = if self.missing == Missing::Null { Cell::Null } else { Cell::LeftOut };
        self.row_or(object, &absent, value)
    }

    fn row_or<'a>(
        &self,
        object: &Object<'a>,
        absent: &Cell,
        value: impl Fn(usize, Json<'a>) -> Result<Cell, Unreadable>,
    ) -> Result<Row, Unreadable> {
        let mut row = Vec::with_capacity(self.schema.columns.len());
        for (at, column) in self.schema.columns.iter().enumerate() {
            let cell = match object.get(&column.name)? {
                Some(json) => value(at, json).map_err(|failed| failed.field(&column.name))?,
                None => absent.clone(),
            };
            if cell == Cell::Null && !column.nullable {
                return Err(self.of_column("has a null for a column that takes none", at));
            }
            row.push(cell);
        }
        Ok(row)
    }

    /// The row of an object whose values have our own forms.
    fn row(&self, object: &Object<'_>) -> Result<Row, Unreadable> {
        self.row_with(object, |at, json| self.cell(at, &json))
    }

    fn cell(&self, at: usize, json: &Json<'_>) -> Result<Cell, Unreadable> {
        let column = self.schema.columns.get(at).ok_or_else(|| Unreadable::new("has a column too many"))?;
        value::read(json, &column.data_type)
    }

    /// Refuses a message that names another table than the one that was declared. A message that names none is
    /// taken, as is any where no name was declared.
    fn same_table(
        &self,
        table: Option<Cow<'_, str>>,
        database: Option<Cow<'_, str>>,
    ) -> Result<(), Unreadable> {
        let id = &self.schema.id;
        let differs = |found: Option<Cow<'_, str>>, declared: &str| {
            !declared.is_empty() && found.is_some_and(|name| name != declared)
        };
        let other = self.is_named && (differs(table, &id.table) || differs(database, &id.database));
        if other { Err(Unreadable::new("is about another table")) } else { Ok(()) }
    }
}

/// An update whose message holds the values before it of those columns alone that it changed.
fn update_by_difference<'a>(
    decoder: &Decoder,
    data: &Object<'a>,
    old: Option<&Object<'a>>,
) -> Result<Change, Unreadable> {
    let after = decoder.row(data)?;
    let before = old.map(|old| decoder.row(&old.over(data))).transpose()?;
    Ok(Change::Update(before, after))
}

#[cfg(test)]
mod tests;
