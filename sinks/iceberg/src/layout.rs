//! How rows of an upstream table become rows of an Iceberg table, in one of its shapes.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, SchemaRef as ArrowSchemaRef, TimeUnit};
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind, TableSchema};
use iceberg::TableIdent;
use iceberg::arrow::{RecordBatchPartitionSplitter, schema_to_arrow_schema};
use iceberg::spec::{
    FormatVersion, NestedField, PartitionKey, PartitionSpecRef, PrimitiveType, Schema, SchemaRef, Type,
};

use crate::catalog::Table;
use crate::error::failed;
use crate::options::{Added, Settings};
use crate::types::{Ids, convert, fits, of_column};

/// Where a column's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// The upstream column at this place.
    Column(usize),
    Kind,
    Position,
    CommitTime,
    /// Nowhere: NULL.
    Nothing,
}

/// How a table is written, in one of its shapes.
pub(crate) struct Layout {
    pub(crate) table: Arc<TableSchema>,
    pub(crate) target: Table,
    pub(crate) schema: SchemaRef,
    pub(crate) arrow: ArrowSchemaRef,
    pub(crate) spec: PartitionSpecRef,
    from: Vec<From>,
    splitter: Option<RecordBatchPartitionSplitter>,
    /// Upsert mode: the key's columns, by their place and number in the table.
    pub(crate) key: Vec<(usize, i32)>,
    /// Upsert mode: whether a row that is new (`+I`) can be there already.
    pub(crate) inserts_replace: bool,
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layout").field("target", &self.target.ident).finish_non_exhaustive()
    }
}

/// The columns that are added to a table, with the type of each.
fn added(added: &Added, upsert: bool, table: &TableSchema) -> Vec<(String, From, PrimitiveType)> {
    if upsert || (table.kinds.is_insert_only() && !added.always) {
        return Vec::new();
    }
    let columns = [
        (&added.kind, From::Kind, PrimitiveType::String),
        (&added.position, From::Position, PrimitiveType::String),
        (&added.commit_time, From::CommitTime, PrimitiveType::Timestamptz),
    ];
    columns.into_iter().filter_map(|(name, from, kind)| Some((name.clone()?, from, kind))).collect()
}

/// Columns that tell rows apart in upsert mode.
fn key_names(settings: &Settings, table: &TableSchema) -> Result<Vec<String>> {
    let names = if settings.primary_keys.is_empty() { &table.primary_key } else { &settings.primary_keys };
    if names.is_empty() {
        return Err(Error::new(
            ErrorKind::Schema,
            "upsert mode needs columns that tell rows apart, and the table has no key",
        )
        .context("table", &table.id)
        .hint(
            "set iceberg.table.primary-keys, or leave upsert mode off: every change is a row of its own then",
        ));
    }
    Ok(names.clone())
}

/// Whether an update can leave its row behind under an old key: by a key that is not the source's, and without the row
/// in front of the update.
pub(crate) fn leaves_rows_behind(settings: &Settings, table: &TableSchema) -> bool {
    let sees_moves =
        table.kinds.contains(RowKind::UpdateBefore) || !table.kinds.contains(RowKind::UpdateAfter);
    let is_sources = || {
        let names = &settings.primary_keys;
        names.is_empty()
            || (names.len() == table.primary_key.len()
                && names
                    .iter()
                    .all(|name| table.primary_key.iter().any(|key| key.eq_ignore_ascii_case(name))))
    };
    settings.upsert && !sees_moves && !is_sources()
}

/// The schema of a table that is made.
pub(crate) fn new_schema(settings: &Settings, table: &TableSchema) -> Result<Schema> {
    let key = if settings.upsert { key_names(settings, table)? } else { Vec::new() };
    let more = added(&settings.added, settings.upsert, table);
    if let Some((name, ..)) = more.iter().find(|(name, ..)| table.column_index(name).is_some()) {
        return Err(Error::new(ErrorKind::Config, format!("a column {name} is to be added, and the table has one of that name"))
            .context("table", &table.id)
            .hint("give it another name, or none, with row_kind_column, row_position_column or row_commit_time_column"));
    }
    let mut ids = Ids(0);
    // The outer ones are numbered first, as other engines number them.
    let outer: Vec<i32> = table.columns.iter().map(|_| ids.next()).collect();
    let more_ids: Vec<i32> = more.iter().map(|_| ids.next()).collect();
    let mut fields = Vec::with_capacity(outer.len() + more.len());
    let mut identifiers = Vec::new();
    for (column, id) in table.columns.iter().zip(outer) {
        let is_key = key.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
        let field_type = of_column(&table.id, column, &mut ids)?;
        if is_key {
            refuse_key(table, &column.name, &field_type)?;
            identifiers.push(id);
        }
        fields.push(NestedField::new(id, &column.name, field_type, is_key).into());
    }
    for ((name, _, kind), id) in more.into_iter().zip(more_ids) {
        fields.push(NestedField::optional(id, name, Type::Primitive(kind)).into());
    }
    let schema = Schema::builder().with_fields(fields).with_identifier_field_ids(identifiers).build();
    schema.map_err(failed("a table's schema was not made")).map_err(|error| error.context("table", &table.id))
}

/// Refuses a key that no delete can name.
fn refuse_key(table: &TableSchema, name: &str, field_type: &Type) -> Result<()> {
    match field_type {
        Type::Primitive(PrimitiveType::Float | PrimitiveType::Double) => {}
        Type::Primitive(_) => return Ok(()),
        _ => {}
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("a key of the type {field_type} does not tell rows apart in Iceberg"),
    )
    .context("table", &table.id)
    .context("column", name)
    .hint("set iceberg.table.primary-keys to other columns, or leave upsert mode off"))
}

impl Layout {
    /// Plans how a table is written into one that is there. Operator errors name the column.
    pub(crate) fn new(
        settings: &Settings,
        table: &Arc<TableSchema>,
        target: Table,
        run: &str,
    ) -> Result<Layout> {
        refuse_version(&target)?;
        let schema = Arc::clone(target.metadata.current_schema());
        let located = |error: Error| error.context("table", &table.id).context("target", &target.ident);
        let find = |name: &str| match settings.case_sensitive {
            true => schema.field_by_name(name),
            false => schema.field_by_name(name).or_else(|| schema.field_by_name_case_insensitive(name)),
        };
        let place = |id: i32| schema.as_struct().fields().iter().position(|field| field.id == id);
        let mut from = vec![From::Nothing; schema.as_struct().fields().len()];
        let mut fill = |name: &str, value: From, value_type: &Type, nullable: bool| -> Result<()> {
            let missing = || {
                located(Error::new(ErrorKind::Schema, format!("the table lacks the column {name}")).hint(
                    "set iceberg.table.schema-evolution-enabled = true, add it to the table, or drop it with a transform",
                ))
            };
            let field = find(name).ok_or_else(missing)?;
            let at = place(field.id).ok_or_else(missing)?;
            if !fits(value_type, &field.field_type) || (nullable && field.required) {
                let null = if field.required { " NOT NULL" } else { "" };
                let what = format!(
                    "the table's column {name} is {}{null}, and the source's is {value_type}",
                    field.field_type
                );
                return Err(located(Error::new(ErrorKind::Schema, what))
                    .hint("change the table's column, or the source's with the transform Sql"));
            }
            match from.get_mut(at) {
                Some(slot) if *slot == From::Nothing => *slot = value,
                _ => {
                    return Err(located(Error::new(
                        ErrorKind::Schema,
                        format!("two columns are for the table's column {name}"),
                    )));
                }
            }
            Ok(())
        };
        let key_names = if settings.upsert { key_names(settings, table)? } else { Vec::new() };
        let is_key = |name: &str| key_names.iter().any(|key| key.eq_ignore_ascii_case(name));
        for (at, column) in table.columns.iter().enumerate() {
            let value_type = of_column(&table.id, column, &mut Ids(0))?;
            fill(&column.name, From::Column(at), &value_type, column.nullable && !is_key(&column.name))?;
        }
        for (name, value, kind) in added(&settings.added, settings.upsert, table) {
            fill(&name, value, &Type::Primitive(kind), false)?;
        }
        if let Some((field, _)) = schema
            .as_struct()
            .fields()
            .iter()
            .zip(&from)
            .find(|(field, from)| field.required && **from == From::Nothing)
        {
            let what = format!(
                "the table's column {} takes no NULL, and the source has none of that name",
                field.name
            );
            return Err(located(Error::new(ErrorKind::Schema, what)));
        }
        let mut key = Vec::with_capacity(key_names.len());
        for name in &key_names {
            let field = find(name).ok_or_else(|| {
                located(Error::new(
                    ErrorKind::Config,
                    format!("the key names the column {name}, which is not there"),
                ))
            })?;
            refuse_key(table, name, &field.field_type)?;
            key.push((place(field.id).unwrap_or_default(), field.id));
        }
        let spec = Arc::clone(target.metadata.default_partition_spec());
        refuse_partition(settings, &spec, &schema, &key).map_err(located)?;
        if settings.upsert && target.metadata.partition_specs_iter().len() > 1 {
            let what =
                "the table was parted otherwise before, and a delete of now does not find the rows of then";
            return Err(located(Error::new(ErrorKind::Unsupported, what))
                .hint("have an engine write it into a new table, or leave upsert mode off"));
        }
        let planning = failed("a table's layout was not planned");
        let splitter = match spec.is_unpartitioned() {
            true => None,
            false => Some(
                RecordBatchPartitionSplitter::try_new_with_computed_values(
                    Arc::clone(&schema),
                    Arc::clone(&spec),
                )
                .map_err(planning)?,
            ),
        };
        let made_by = target.metadata.properties().get(MADE_BY).map(String::as_str);
        Ok(Layout {
            arrow: Arc::new(schema_to_arrow_schema(&schema).map_err(planning)?),
            inserts_replace: table.kinds.is_insert_only() || made_by != Some(run),
            table: Arc::clone(table),
            target,
            schema,
            spec,
            from,
            splitter,
            key,
        })
    }

    /// Whether it was made for this shape.
    pub(crate) fn is_for(&self, table: &Arc<TableSchema>) -> bool {
        Arc::ptr_eq(&self.table, table) || *self.table == **table
    }

    pub(crate) fn ident(&self) -> &TableIdent {
        &self.target.ident
    }

    /// The rows of a batch as the table holds them.
    pub(crate) fn rows(&self, batch: &ChangeBatch) -> Result<RecordBatch> {
        let located = |error: Error| error.context("table", &self.table.id);
        self.refuse_left_out(batch).map_err(located)?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.from.len());
        for (from, field) in self.from.iter().zip(self.arrow.fields()) {
            columns.push(match from {
                From::Column(at) => {
                    let values = batch.rows.columns().get(*at).ok_or_else(|| {
                        located(
                            Error::new(ErrorKind::Internal, "a batch lacks a column")
                                .context("column", field.name()),
                        )
                    })?;
                    convert(values, field).map_err(located)?
                }
                From::Kind => {
                    Arc::new(StringArray::from_iter_values(batch.kinds.iter().map(|kind| kind.short())))
                }
                From::Position => positions(batch),
                From::CommitTime => commit_times(batch, field.data_type()).map_err(located)?,
                From::Nothing => new_null_array(field.data_type(), batch.len()),
            });
        }
        RecordBatch::try_new(Arc::clone(&self.arrow), columns).map_err(|cause| {
            // A NULL where none may be is the one thing that is about values.
            located(Error::new(ErrorKind::Value, "rows do not fit the table").caused_by(cause.to_string()))
        })
    }

    /// A value that the log left out is not NULL. In upsert mode a row that goes needs its key alone.
    fn refuse_left_out(&self, batch: &ChangeBatch) -> Result<()> {
        let needs = |row: usize, column: usize| {
            let is_key = self.key.iter().any(|(at, _)| self.from.get(*at) == Some(&From::Column(column)));
            let is_gone = matches!(batch.kinds.get(row), Some(RowKind::Delete | RowKind::UpdateBefore));
            self.key.is_empty() || is_key || !is_gone
        };
        for left_out in &batch.unavailable {
            if left_out.rows.set_indices().any(|row| needs(row, left_out.column)) {
                let name = self.table.columns.get(left_out.column).map_or("", |column| column.name.as_str());
                return Err(Error::new(
                    ErrorKind::Value,
                    "the source's log left out a value, and a file needs the whole row",
                )
                .context("column", name)
                .hint("let the source log whole rows (PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL)"));
            }
        }
        Ok(())
    }

    /// The rows of each partition; all of them together where the table is not parted.
    pub(crate) fn split(&self, rows: &RecordBatch) -> Result<Vec<(Option<PartitionKey>, RecordBatch)>> {
        match &self.splitter {
            None => Ok(vec![(None, rows.clone())]),
            Some(splitter) => {
                let parts = splitter.split(rows).map_err(failed("rows were not parted"))?;
                Ok(parts.into_iter().map(|(key, rows)| (Some(key), rows)).collect())
            }
        }
    }
}

/// Refuses a table whose form is not written.
fn refuse_version(target: &Table) -> Result<()> {
    if target.metadata.format_version() == FormatVersion::V2 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "the table is not of format version 2")
        .context("target", &target.ident)
        .hint("tables of version 1 can be upgraded by their engine; version 3 is not written yet"))
}

/// The property of a table that says which run made it: no row was in it before.
pub(crate) const MADE_BY: &str = "culvert.made-by";

/// Upsert mode: a delete is looked for in its row's partition, and so the partition must follow from the key.
fn refuse_partition(
    settings: &Settings,
    spec: &PartitionSpecRef,
    schema: &Schema,
    key: &[(usize, i32)],
) -> Result<()> {
    let beside = spec.fields().iter().find(|field| !key.iter().any(|(_, id)| *id == field.source_id));
    match beside {
        Some(field) if settings.upsert => {
            let column = schema.name_by_field_id(field.source_id).unwrap_or_default();
            let what = format!(
                "the table is parted by {column}, which is not part of the key: a row could not be found where it was"
            );
            Err(Error::new(ErrorKind::Unsupported, what)
                .hint("part it by columns of the key, make the column part of iceberg.table.primary-keys, or leave upsert mode off"))
        }
        _ => Ok(()),
    }
}

/// `TRANSACTION:EVENT:ROW`.
fn positions(batch: &ChangeBatch) -> ArrayRef {
    let text = |row: usize| {
        let at = batch.positions.get(row)?;
        Some(format!("{}:{}:{}", batch.transaction(row)?, at.event, at.row))
    };
    Arc::new(StringArray::from_iter((0..batch.len()).map(text)))
}

fn commit_times(batch: &ChangeBatch, data_type: &DataType) -> Result<ArrayRef> {
    let times =
        (0..batch.len()).map(|row| batch.transaction(row).and_then(|transaction| transaction.committed_us));
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            Ok(Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone(Arc::clone(zone))))
        }
        DataType::Int64 => Ok(Arc::new(times.collect::<Int64Array>())),
        other => Err(Error::new(
            ErrorKind::Schema,
            format!("the column of commit times is {other}, and no instant"),
        )),
    }
}
