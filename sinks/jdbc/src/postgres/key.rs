//! By which key of the target rows are written, and how well its values can be told apart here.

use arrow_schema::DataType;
use culvert_api::{Dialect, Error, ErrorKind, Finding, Result, RowKind, SourceType, TableSchema};
use culvert_postgres::quote::{identifier, identifiers};

use crate::placeholder;
use crate::postgres::column_type::Family;
use crate::postgres::options::Settings;
use crate::postgres::plan::Slot;
use crate::postgres::target::{IndexColumn, TargetTable, UniqueIndex, listed};
use culvert_api::sql_text::same_name;

/// How well equal bytes of a rendered key mean equal keys in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyMatch {
    /// Exactly.
    Exact,
    /// Different bytes may be one key (a collation that folds letter case, blanks at the end of a
    /// `character`, 1.0 and 1.00): the server decides.
    Unsure,
}

/// The key rows are written by; `None` when every row is a new one. Refuses an edge that needs a key
/// and a target that has none.
pub(crate) fn choose<'a>(
    settings: &Settings,
    source: &TableSchema,
    target: &'a TargetTable,
    findings: &mut Vec<Finding>,
) -> Result<Option<&'a UniqueIndex>> {
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
                    listed(&index.columns)
                ),
            )
            .hint("drop the target's key, or give it one of its own, to keep every row"),
        );
    }
    let sees_moves =
        source.kinds.contains(RowKind::UpdateBefore) || !source.kinds.contains(RowKind::UpdateAfter);
    if !is_upstream(source, &index.columns) && !sees_moves {
        findings.push(
            Finding::warning(
                target.name.to_string(),
                "rows are written by another key than the source's, and no rows from before updates arrive (a filter \
                 takes them away, or the source table's replica identity is not FULL): an update of that key leaves \
                 the old row behind",
            )
            .hint("let UPDATE_BEFORE pass, run ALTER TABLE … REPLICA IDENTITY FULL, or use the source's key"),
        );
    }
    Ok(Some(index))
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
    let mut candidates: Vec<&UniqueIndex> =
        target.uniques.iter().filter(|index| same_columns(&index.columns, wanted)).collect();
    candidates.sort_by_key(|index| (!index.is_key, index.is_deferrable));
    let columns = identifiers(wanted.iter().map(String::as_str));
    let table = target.name.quoted();
    match candidates.first() {
        Some(index) if index.is_key => Ok(index),
        Some(_) => Err(Error::new(
            ErrorKind::Schema,
            format!(
                "option `primary_keys`: {columns} of {} is unique, but takes NULL or holds for some rows only",
                target.name
            ),
        )
        .hint("declare these columns NOT NULL, and index them without a WHERE")),
        None => Err(Error::new(
            ErrorKind::Schema,
            format!("option `primary_keys`: {} has no unique index over exactly {columns}", target.name),
        )
        .hint(match target.uniques.first().is_some_and(|index| index.is_primary) {
            true => format!("run: ALTER TABLE {table} ADD UNIQUE ({columns})"),
            false => format!("run: ALTER TABLE {table} ADD PRIMARY KEY ({columns})"),
        })),
    }
}

/// The first key of the target whose columns the rows have; the source's own key before others, and
/// one that ON CONFLICT can use before one it cannot.
fn usable_key<'a>(source: &TableSchema, target: &'a TargetTable) -> Option<&'a UniqueIndex> {
    let usable = |index: &&UniqueIndex| {
        index.is_key && index.columns.iter().all(|column| source.column_index(&column.name).is_some())
    };
    let mut keys: Vec<&UniqueIndex> = target.uniques.iter().filter(usable).collect();
    keys.sort_by_key(|index| (!is_upstream(source, &index.columns), index.is_deferrable));
    keys.first().copied()
}

fn no_key(settings: &Settings, source: &TableSchema, target: &TargetTable) -> Error {
    let message = format!(
        "{} has no key, and rows of {} can be updated and deleted: the sink could not tell which row is meant",
        target.name, source.id
    );
    let in_target = |name: &String| {
        target.column(name).map_or_else(|| identifier(name), |column| identifier(&column.name))
    };
    let columns = match source.primary_key.is_empty() {
        true => "…".to_string(),
        false => source.primary_key.iter().map(in_target).collect::<Vec<_>>().join(", "),
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

fn same_columns(a: &[IndexColumn], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().all(|column| b.iter().any(|other| same_name(&column.name, other)))
}

/// Whether these columns are the source's key.
pub(crate) fn is_upstream(source: &TableSchema, columns: &[IndexColumn]) -> bool {
    same_columns(columns, &source.primary_key)
}

/// How well the bytes of a rendered key tell keys apart. `slots` are those of the key, in its order.
pub(crate) fn match_of(source: &TableSchema, index: &UniqueIndex, slots: &[Slot]) -> KeyMatch {
    let of_column = |(slot, column): (&Slot, &IndexColumn)| {
        let Some(upstream) = source.columns.get(slot.source) else { return KeyMatch::Unsure };
        let exact = match (&upstream.data_type, slot.form.family) {
            (kind, Family::Integer | Family::Numeric | Family::Boolean | Family::Bit) => {
                kind.is_integer()
                    || *kind == DataType::Boolean
                    || matches!(kind, DataType::Decimal128(_, _) | DataType::Decimal256(_, _))
            }
            (DataType::Date32, Family::Date)
            | (DataType::Timestamp(_, None), Family::Timestamp | Family::Instant)
            | (DataType::Timestamp(_, Some(_)), Family::Instant)
            | (DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_), Family::Time)
            | (DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_), Family::Binary) => {
                true
            }
            (DataType::Utf8 | DataType::LargeUtf8, Family::Text | Family::Name) => column.is_exact,
            // PostgreSQL prints one uuid in one way.
            (DataType::Utf8 | DataType::LargeUtf8, Family::Parsed) => {
                slot.form.base == "uuid"
                    && upstream.source_type.as_ref().is_some_and(|SourceType { dialect, declaration }| {
                        *dialect == Dialect::Postgres && declaration == "uuid"
                    })
            }
            _ => false,
        };
        if exact { KeyMatch::Exact } else { KeyMatch::Unsure }
    };
    slots.iter().zip(&index.columns).map(of_column).max().unwrap_or(KeyMatch::Unsure)
}
