//! By which key of the target rows are written, and how well its values can be told apart here.

use arrow_schema::DataType;
use culvert_api::{Error, ErrorKind, Finding, Result, RowKind, TableSchema};

use crate::mysql::column_type::Family;
use crate::mysql::options::Settings;
use crate::mysql::plan::Slot;
use crate::mysql::quote::identifiers;
use crate::mysql::target::{TargetTable, UniqueIndex, same_name};
use crate::placeholder;

/// How well equal bytes of a rendered key mean equal keys in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyMatch {
    /// Exactly.
    Exact,
    /// Different bytes can be one key under the target's collation.
    Folded,
    /// Nothing is known.
    Unsure,
}

/// The key that rows are written by.
pub(crate) struct Key<'a> {
    /// Its index.
    pub(crate) index: &'a UniqueIndex,
    /// Whether the target has unique indexes beside it.
    pub(crate) has_others: bool,
}

/// The key rows are written by; `None` when every row is a new one. Refuses an edge that needs a key
/// and a target that has none.
pub(crate) fn choose<'a>(
    settings: &Settings,
    source: &TableSchema,
    target: &'a TargetTable,
    findings: &mut Vec<Finding>,
) -> Result<Option<Key<'a>>> {
    let wanted = placeholder::fill_list(&settings.shared.primary_keys, source);
    let found = match wanted.is_empty() {
        false => Some(declared_key(&wanted, source, target)?),
        true => usable_key(source, target),
    };
    let Some(index) = found else {
        if source.kinds.is_insert_only() {
            return Ok(None);
        }
        return Err(no_key(settings, source, target));
    };
    if source.kinds.is_insert_only() && wanted.is_empty() {
        findings.push(
            Finding::warning(
                target.name.to_string(),
                format!(
                    "only inserts arrive, and the table has a key ({}): a row with a key that is there replaces it",
                    identifiers(index.columns.iter().map(String::as_str))
                ),
            )
            .hint("drop the target's key, or give it one of its own, to keep every row"),
        );
    }
    let is_key_of_source = is_upstream(source, &index.columns);
    let sees_moves =
        source.kinds.contains(RowKind::UpdateBefore) || !source.kinds.contains(RowKind::UpdateAfter);
    if !is_key_of_source && !sees_moves {
        findings.push(
            Finding::warning(
                target.name.to_string(),
                "rows are written by another key than the source's, and rows before updates do not arrive (a filter \
                 takes them away, or the source does not log them): an update of that key leaves the old row behind",
            )
            .hint(
                "let UPDATE_BEFORE pass, set REPLICA IDENTITY FULL on a PostgreSQL source, or use the source's key",
            ),
        );
    }
    Ok(Some(Key { index, has_others: target.uniques.len() > 1 }))
}

/// The index over exactly the columns of the option `primary_keys`.
fn declared_key<'a>(
    wanted: &[String],
    source: &TableSchema,
    target: &'a TargetTable,
) -> Result<&'a UniqueIndex> {
    for name in wanted {
        if source.column_index(name).is_none() {
            return Err(Error::new(
                ErrorKind::Config,
                format!("option `primary_keys` names column `{name}`, which {} does not have", source.id),
            ));
        }
    }
    let same = target.uniques.iter().filter(|index| same_columns(&index.columns, wanted));
    let mut candidates: Vec<&UniqueIndex> = same.collect();
    candidates.sort_by_key(|index| !index.is_key);
    let columns = identifiers(wanted.iter().map(String::as_str));
    let table = target.name.quoted();
    match candidates.first() {
        Some(index) if index.is_key => Ok(index),
        Some(_) => Err(Error::new(
            ErrorKind::Schema,
            format!(
                "option `primary_keys`: {columns} of {} is unique but takes NULL or is cut to a prefix",
                target.name
            ),
        )
        .hint("declare these columns NOT NULL, and index them whole")),
        None => Err(Error::new(
            ErrorKind::Schema,
            format!("option `primary_keys`: {} has no unique index over exactly {columns}", target.name),
        )
        .hint(match target.has_primary_key() {
            true => format!("run: ALTER TABLE {table} ADD UNIQUE KEY ({columns})"),
            false => format!("run: ALTER TABLE {table} ADD PRIMARY KEY ({columns})"),
        })),
    }
}

/// The first key of the target whose columns the rows have; the source's own key before others.
fn usable_key<'a>(source: &TableSchema, target: &'a TargetTable) -> Option<&'a UniqueIndex> {
    let usable = |index: &&UniqueIndex| {
        index.is_key && index.columns.iter().all(|name| source.column_index(name).is_some())
    };
    let mut usable_keys: Vec<&UniqueIndex> = target.uniques.iter().filter(usable).collect();
    usable_keys.sort_by_key(|index| !is_upstream(source, &index.columns));
    usable_keys.first().copied()
}

fn no_key(settings: &Settings, source: &TableSchema, target: &TargetTable) -> Error {
    let message = format!(
        "{} has no key, and rows of {} can be updated and deleted: the sink could not tell which row is meant",
        target.name, source.id
    );
    let columns = match source.primary_key.is_empty() {
        true => "…".to_string(),
        false => identifiers(source.primary_key.iter().map(String::as_str)),
    };
    let index = match settings.shared.create_index {
        true => String::new(),
        false => " (create_index = false creates tables without one)".into(),
    };
    Error::new(ErrorKind::Schema, message).hint(format!(
        "run: ALTER TABLE {} ADD PRIMARY KEY ({columns}){index}; or keep every change as a row of its own with the \
         transform RowKindExtractor",
        target.name.quoted()
    ))
}

impl TargetTable {
    fn has_primary_key(&self) -> bool {
        self.uniques.first().is_some_and(|index| index.is_primary)
    }
}

fn same_columns(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().all(|name| b.iter().any(|other| same_name(name, other)))
}

/// Whether these columns are the source's key.
pub(crate) fn is_upstream(source: &TableSchema, columns: &[String]) -> bool {
    same_columns(columns, &source.primary_key)
}

/// How well the bytes of a rendered key tell keys apart.
pub(crate) fn match_of(
    source: &TableSchema,
    target: &TargetTable,
    slots: &[Slot],
    key: &[usize],
) -> KeyMatch {
    let of_column = |slot: &Slot| {
        let Some(column) = source.columns.get(slot.source) else { return KeyMatch::Unsure };
        let collation =
            target.column(&slot.name).and_then(|column| column.collation.as_deref()).unwrap_or_default();
        match (&column.data_type, slot.form.family) {
            (kind, Family::Integer | Family::Bit | Family::Decimal)
                if kind.is_integer() || *kind == DataType::Boolean =>
            {
                KeyMatch::Exact
            }
            (DataType::Decimal128(_, _) | DataType::Decimal256(_, _), Family::Decimal)
            | (DataType::Date32, Family::Date)
            | (DataType::Timestamp(_, None), Family::Datetime | Family::Timestamp)
            | (DataType::Timestamp(_, Some(_)), Family::Timestamp)
            | (DataType::Duration(_) | DataType::Time32(_) | DataType::Time64(_), Family::Time)
            | (DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_), Family::Binary) => {
                KeyMatch::Exact
            }
            // In UTC no two instants are one wall clock.
            (DataType::Timestamp(_, Some(zone)), Family::Datetime) if zone.as_ref() == "UTC" => {
                KeyMatch::Exact
            }
            (DataType::Utf8 | DataType::LargeUtf8, Family::Text)
                if collation.ends_with("nopad_bin") || collation.ends_with("0900_bin") =>
            {
                KeyMatch::Exact
            }
            (DataType::Utf8 | DataType::LargeUtf8, Family::Text) => KeyMatch::Folded,
            _ => KeyMatch::Unsure,
        }
    };
    key.iter().filter_map(|slot| slots.get(*slot)).map(of_column).max().unwrap_or(KeyMatch::Exact)
}
