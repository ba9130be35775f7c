//! The captured tables as of the stream's position: shape in, shape out, what of the snapshot is
//! done.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, new_null_array};
use culvert_api::{Comparison, Condition, Error, ErrorKind, Result, RowKindSet, TableId, TableSchema};
use culvert_snapshot::RangeSet;

use crate::catalog::quote;
use crate::column::{Conversion, MySqlColumn};
use crate::ddl::TableDef;
use crate::key::{KeyBound, KeyPlan};
use crate::options::MySqlConfig;
use crate::position::BinlogPosition;
use crate::state::TableState;

/// Keys that users declare for tables: `table-names-config`.
pub(crate) type KeyOverrides = HashMap<String, Vec<String>>;

/// One captured table.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) id: TableId,
    /// The shape rows are decoded with.
    pub(crate) def: TableDef,
    pub(crate) columns: Arc<[MySqlColumn]>,
    /// Which of them are read, a flag each: those that leave, and the key's.
    pub(crate) reads: Arc<[bool]>,
    /// The columns that are read.
    pub(crate) read_columns: Arc<[MySqlColumn]>,
    /// The same as a schema, for batches before projection.
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) version: u64,
    /// The shape rows leave with.
    pub(crate) output: Arc<TableSchema>,
    output_def: TableDef,
    /// For each output column its place in `read_columns`; `None` when the two shapes are equal.
    projection: Option<Vec<Option<usize>>>,
    pub(crate) done: RangeSet<KeyBound>,
    /// For rows of the columns that are read.
    pub(crate) key: Option<KeyPlan>,
    pub(crate) known_from: Option<BinlogPosition>,
    /// What rows that were there before have to fulfil to be needed, as the server is asked.
    pub(crate) condition: Option<String>,
}

/// A condition in MySQL's words.
pub(crate) fn condition_sql(condition: &Condition) -> String {
    let compare =
        |column: &str, comparison: Comparison, number: i64| format!("{column} {} {number}", comparison.sql());
    condition.sql(&quote, &compare)
}

/// The columns of a definition.
pub(crate) fn columns_of(def: &TableDef) -> Result<Vec<MySqlColumn>> {
    let table = || format!("{}.{}", def.database, def.table);
    def.columns
        .iter()
        .map(|column| {
            MySqlColumn::new(&column.name, &column.column_type, column.nullable, column.charset.as_deref())
                .map_err(|error| error.context("table", table()))
        })
        .collect()
}

/// The key rows are told apart by: the user's, else the table's.
pub(crate) fn key_of(def: &TableDef, overrides: &KeyOverrides) -> Result<Vec<String>> {
    let full = format!("{}.{}", def.database, def.table);
    let Some(key) = overrides.get(&full) else { return Ok(def.primary_key.clone()) };
    for name in key {
        if def.column_index(name).is_none() {
            let columns: Vec<&str> = def.columns.iter().map(|column| column.name.as_str()).collect();
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "option 'table-names-config': primary key column '{name}' is not in table {full} (columns: {})",
                    columns.join(", ")
                ),
            ));
        }
    }
    Ok(key.clone())
}

/// The schema of a definition, all its columns.
fn schema_of(
    def: &TableDef,
    version: u64,
    conversion: &Conversion,
    overrides: &KeyOverrides,
) -> Result<TableSchema> {
    let columns = columns_of(def)?.iter().map(|column| column.to_column(conversion)).collect();
    let id = TableId::new(&def.database, &def.table);
    Ok(TableSchema::new(id, version, columns, key_of(def, overrides)?, RowKindSet::ALL))
}

/// The schema rows leave with.
pub(crate) fn output_of(def: &TableDef, version: u64, config: &MySqlConfig) -> Result<TableSchema> {
    Ok(config.narrowing.narrow(schema_of(def, version, &config.conversion, &config.keys)?))
}

impl Captured {
    pub(crate) fn from_state(state: TableState, config: &MySqlConfig) -> Result<Captured> {
        let id = state.id();
        let columns: Arc<[MySqlColumn]> = columns_of(&state.def)?.into();
        let all = schema_of(&state.def, state.version, &config.conversion, &config.keys)?;
        let output_def = state.output.unwrap_or_else(|| state.def.clone());
        let output = Arc::new(output_of(&output_def, state.version, config)?);
        let key = KeyPlan::new(&id, &state.def, &columns, &all.primary_key);
        let leaving = output.columns.iter().filter_map(|column| all.column_index(&column.name));
        let mut places: Vec<usize> = leaving.chain(all.key_indices()).collect();
        places.extend(key.iter().flat_map(KeyPlan::places));
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            // Something has to tell how many rows there are.
            places.push(0);
        }
        let reads = (0..columns.len()).map(|place| places.binary_search(&place).is_ok()).collect();
        let key = key.and_then(|key| key.placed(|place| places.binary_search(&place).ok()));
        let schema = Arc::new(all.narrowed(&places));
        let projection = projection(&schema, &output)?;
        let condition = config.narrowing.condition(&output, &all).map(|it| condition_sql(&it));
        Ok(Captured {
            id,
            condition,
            def: state.def,
            reads,
            read_columns: places.iter().filter_map(|place| columns.get(*place).cloned()).collect(),
            columns,
            schema,
            version: state.version,
            output,
            output_def,
            projection,
            done: state.done,
            key,
            known_from: state.known_from,
        })
    }

    pub(crate) fn to_state(&self) -> TableState {
        let frozen = self.output_def != self.def;
        TableState {
            def: self.def.clone(),
            output: frozen.then(|| self.output_def.clone()),
            version: self.version,
            done: self.done.clone(),
            known_from: self.known_from.clone(),
        }
    }

    /// Takes a new shape; rows leave with it when `follow` says so, else with the shape of before.
    pub(crate) fn reshape(&mut self, def: TableDef, follow: bool, config: &MySqlConfig) -> Result<()> {
        let version = self.version + 1;
        let state = TableState {
            output: (!follow).then(|| self.output_def.clone()),
            def,
            version,
            done: self.done.clone(),
            known_from: None,
        };
        *self = Captured::from_state(state, config)?;
        Ok(())
    }

    /// Rows as they leave: in the output's shape.
    pub(crate) fn project(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let Some(places) = &self.projection else { return Ok(batch) };
        let columns = places
            .iter()
            .zip(self.output.arrow.fields())
            .map(|(place, field)| match place {
                Some(at) => Arc::clone(batch.column(*at)),
                None => new_null_array(field.data_type(), batch.num_rows()),
            })
            .collect();
        RecordBatch::try_new(Arc::clone(&self.output.arrow), columns).map_err(|error| {
            Error::new(ErrorKind::Schema, "rows no longer fit the shape the job started with")
                .caused_by(error)
                .context("table", &self.id)
                .hint("set schema-changes.enabled = true so that the target follows, or restore the column")
        })
    }
}

fn projection(from: &TableSchema, to: &TableSchema) -> Result<Option<Vec<Option<usize>>>> {
    if from.columns == to.columns {
        return Ok(None);
    }
    let mut places = Vec::with_capacity(to.columns.len());
    for column in &to.columns {
        let place = from.column_index(&column.name);
        if let Some(at) = place
            && from.columns[at].data_type != column.data_type
        {
            return Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "column '{}' changed its type and the job does not follow changes of shape",
                    column.name
                ),
            )
            .context("table", &from.id)
            .hint("set schema-changes.enabled = true so that the target follows"));
        }
        places.push(place);
    }
    Ok(Some(places))
}
