//! The captured tables as of the stream's position: shape in, shape out, what of the snapshot is
//! done and what the stream has to look up.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, new_null_array};
use arrow_buffer::BooleanBuffer;
use culvert_api::{
    Comparison, Condition, Error, ErrorKind, Narrowing, Result, RowKind, RowKindSet, TableId, TableSchema,
    Unavailable,
};
use culvert_postgres::quote::identifier;
use culvert_snapshot::RangeSet;

use crate::column::ColumnDef;
use crate::decode::NanPolicy;
use crate::key::{KeyBound, KeyPlan};
use crate::lsn::Lsn;
use crate::shape::{Identity, TableDef};
use crate::standing::Standing;
use crate::state::{RecentRange, TableState};

/// Keys that users declare for tables: `table-names-config`.
pub(crate) type KeyOverrides = HashMap<String, Vec<String>>;

/// How tables become schemas.
#[derive(Clone, Debug)]
pub(crate) struct Conversion {
    pub(crate) nan: NanPolicy,
    pub(crate) keys: KeyOverrides,
    /// Which columns leave; told later.
    pub(crate) narrowing: Narrowing,
}

/// What becomes of a logged row of a table whose snapshot is not behind the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It leaves.
    Emit,
    /// The rows that were read have it already.
    Seen,
    /// A later read will see it.
    Unread,
}

/// One captured table.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) id: TableId,
    /// The shape rows are decoded with.
    pub(crate) def: Arc<TableDef>,
    /// Which columns are read, a flag each: those that leave, and the key's.
    pub(crate) reads: Arc<[bool]>,
    /// The columns that are read.
    pub(crate) read_columns: Arc<[ColumnDef]>,
    /// The same as a schema, for batches before projection.
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) version: u64,
    /// The shape rows leave with.
    pub(crate) output: Arc<TableSchema>,
    output_def: Arc<TableDef>,
    /// For each output column its place in `read_columns`; `None` when the two shapes are equal.
    projection: Option<Vec<Option<usize>>>,
    /// Ranges whose rows have left.
    pub(crate) done: RangeSet<KeyBound>,
    /// Those of them that the stream has not passed yet.
    pub(crate) recent: Vec<RecentRange>,
    /// What the server said of it besides its shape.
    pub(crate) standing: Option<Standing>,
    /// How the table is cut into chunks, for rows of all columns; `None` when it is read whole.
    pub(crate) cut: Option<KeyPlan>,
    /// What rows that were there before have to fulfil to be needed, as the server is asked.
    pub(crate) condition: Option<String>,
}

/// A condition in PostgreSQL's words. Operators are named with their schema, so that nobody's own are called.
pub(crate) fn condition_sql(condition: &Condition) -> String {
    let compare = |column: &str, comparison: Comparison, number: i64| {
        format!("{column} OPERATOR(pg_catalog.{}) '{number}'::pg_catalog.int8", comparison.sql())
    };
    condition.sql(&identifier, &compare)
}

/// The key rows are told apart by: the user's, else the table's.
pub(crate) fn key_of(def: &TableDef, overrides: &KeyOverrides) -> Result<Vec<String>> {
    let full = def.id().to_string();
    let short = format!("{}.{}", def.schema, def.table);
    let Some(key) = overrides.get(&full).or_else(|| overrides.get(&short)) else {
        return Ok(def.key.clone());
    };
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
    if def.identity != Identity::Full && key.iter().any(|name| !def.key.contains(name)) {
        return Err(Error::new(
            ErrorKind::Schema,
            format!("option 'table-names-config': the log of table {full} does not tell the old values of this key"),
        )
        .hint(format!("run ALTER TABLE {} REPLICA IDENTITY FULL", def.quoted())));
    }
    Ok(key.clone())
}

/// The kinds of rows that leave a table.
fn kinds_of(def: &TableDef) -> RowKindSet {
    match def.identity {
        Identity::Full => RowKindSet::ALL,
        Identity::Key => RowKindSet::of(&[RowKind::Insert, RowKind::UpdateAfter, RowKind::Delete]),
        // The publication has inserts only, or the table would have been refused.
        Identity::Nothing => RowKindSet::INSERT_ONLY,
    }
}

/// The schema rows leave with.
pub(crate) fn output_of(def: &TableDef, version: u64, conversion: &Conversion) -> Result<TableSchema> {
    Ok(conversion.narrowing.narrow(schema_of(def, version, conversion)?))
}

/// The schema of a definition, all its columns.
pub(crate) fn schema_of(def: &TableDef, version: u64, conversion: &Conversion) -> Result<TableSchema> {
    let nan_is_null = conversion.nan == NanPolicy::Null;
    let columns = def.columns.iter().map(|column| column.to_column(nan_is_null)).collect();
    Ok(TableSchema::new(def.id(), version, columns, key_of(def, &conversion.keys)?, kinds_of(def)))
}

impl Captured {
    pub(crate) fn from_state(state: TableState, conversion: &Conversion) -> Result<Captured> {
        let all = schema_of(&state.def, state.version, conversion)?;
        let def = Arc::new(state.def);
        let output_def = state.output.map_or_else(|| Arc::clone(&def), Arc::new);
        let output = Arc::new(output_of(&output_def, state.version, conversion)?);
        let cut = KeyPlan::new(&def, &all.primary_key);
        let leaves = |name: &String| output.columns.iter().any(|column| column.name == *name);
        let is_read = |column: &ColumnDef| leaves(&column.name) || all.primary_key.contains(&column.name);
        let mut reads: Vec<bool> = def.columns.iter().map(is_read).collect();
        if !reads.contains(&true)
            && let Some(first) = reads.first_mut()
        {
            // Something has to tell how many rows there are.
            *first = true;
        }
        let places: Vec<usize> = (0..reads.len()).filter(|place| reads[*place]).collect();
        let schema = Arc::new(all.narrowed(&places));
        let projection = projection(&schema, &output)?;
        let condition = conversion.narrowing.condition(&output, &all).map(|it| condition_sql(&it));
        Ok(Captured {
            id: def.id(),
            condition,
            reads: reads.into(),
            read_columns: places.iter().filter_map(|place| def.columns.get(*place).cloned()).collect(),
            def,
            schema,
            version: state.version,
            output,
            output_def,
            projection,
            done: state.done,
            recent: state.recent,
            standing: state.standing,
            cut,
        })
    }

    pub(crate) fn to_state(&self) -> TableState {
        let frozen = self.output_def != self.def;
        TableState {
            def: (*self.def).clone(),
            output: frozen.then(|| (*self.output_def).clone()),
            version: self.version,
            done: self.done.clone(),
            recent: self.recent.clone(),
            standing: self.standing.clone(),
        }
    }

    /// Takes a new shape; rows leave with it when `follow` says so, else with the shape of before, in
    /// which NULL stands for what is gone.
    pub(crate) fn reshape(&mut self, def: TableDef, follow: bool, conversion: &Conversion) -> Result<()> {
        let mut output = (*self.output_def).clone();
        let key = &self.output.primary_key;
        for column in output.columns.iter_mut().filter(|column| !key.contains(&column.name)) {
            let same = def.columns.iter().find(|other| other.name == column.name);
            column.nullable |= same.is_none_or(|same| same.nullable);
        }
        let state = TableState {
            output: (!follow).then_some(output),
            def,
            version: self.version + 1,
            done: self.done.clone(),
            recent: self.recent.clone(),
            standing: self.standing.clone(),
        };
        *self = Captured::from_state(state, conversion)?;
        Ok(())
    }

    /// How the table is cut into chunks, for rows of the columns that are read.
    pub(crate) fn cut_of_read(&self) -> Option<KeyPlan> {
        let place = |name: &str| self.read_columns.iter().position(|column| column.name == name);
        self.cut.as_ref().and_then(|plan| plan.placed(place))
    }

    /// Remembers the file that holds the table's rows.
    pub(crate) fn note_file(&mut self, filenode: Option<u32>) {
        let is_frozen = self.output_def != self.def;
        Arc::make_mut(&mut self.def).filenode = filenode;
        if !is_frozen {
            self.output_def = Arc::clone(&self.def);
        }
    }

    /// Every row of before has left.
    pub(crate) fn is_complete(&self) -> bool {
        self.done.is_complete()
    }

    /// Every logged row leaves.
    pub(crate) fn is_settled(&self) -> bool {
        self.recent.is_empty() && self.done.is_complete()
    }

    /// No row has been read.
    pub(crate) fn is_unread(&self) -> bool {
        self.done.ranges().is_empty()
    }

    /// Whether the transaction is seen by every range read so far, so that what it did to the whole
    /// table is nothing new.
    pub(crate) fn all_have_seen(&self, xid: u32) -> bool {
        // A range that the stream has passed was read before the transaction was committed.
        let mut unpassed = RangeSet::default();
        self.recent.iter().for_each(|recent| unpassed.insert(recent.range.clone()));
        unpassed == self.done && self.recent.iter().all(|recent| recent.snapshot.shows(xid))
    }

    /// What becomes of a row with this key.
    pub(crate) fn judge(&self, key: &KeyBound, xid: u32) -> Verdict {
        if !self.done.contains(key) {
            return Verdict::Unread;
        }
        match self.recent.iter().find(|recent| recent.range.contains(key)) {
            Some(recent) if recent.snapshot.shows(xid) => Verdict::Seen,
            _ => Verdict::Emit,
        }
    }

    /// What becomes of a row of a table that is read whole.
    pub(crate) fn judge_whole(&self, xid: u32) -> Verdict {
        match self.recent.first() {
            _ if !self.done.is_complete() => Verdict::Unread,
            Some(recent) if recent.snapshot.shows(xid) => Verdict::Seen,
            _ => Verdict::Emit,
        }
    }

    /// A range's rows have left.
    pub(crate) fn add_done(&mut self, range: RecentRange) {
        self.done.insert(range.range.clone());
        self.recent.push(range);
    }

    /// Forgets the views that the stream has passed: later transactions are in none of them.
    pub(crate) fn pass(&mut self, position: Lsn) {
        self.recent.retain(|range| range.high > position);
    }

    /// Rows as they leave: in the output's shape.
    pub(crate) fn project(
        &self,
        batch: RecordBatch,
        unavailable: Vec<Unavailable>,
    ) -> Result<(RecordBatch, Vec<Unavailable>)> {
        let Some(places) = &self.projection else { return Ok((batch, unavailable)) };
        let rows = batch.num_rows();
        let bits = |place: usize| -> Option<BooleanBuffer> {
            unavailable.iter().find(|left_out| left_out.column == place).map(|left_out| left_out.rows.clone())
        };
        let mut columns = Vec::with_capacity(places.len());
        let mut left_out = Vec::new();
        for (column, (place, field)) in places.iter().zip(self.output.arrow.fields()).enumerate() {
            match place {
                Some(at) => {
                    columns.push(Arc::clone(batch.column(*at)));
                    if let Some(rows) = bits(*at) {
                        left_out.push(Unavailable { column, rows });
                    }
                }
                None => columns.push(new_null_array(field.data_type(), rows)),
            }
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.output.arrow), columns).map_err(|error| {
            Error::new(ErrorKind::Schema, "rows no longer fit the shape the job started with")
                .caused_by(error)
                .context("table", &self.id)
                .hint("set schema-changes.enabled = true so that the target follows, or restore the column")
        })?;
        Ok((batch, left_out))
    }
}

fn projection(from: &TableSchema, to: &TableSchema) -> Result<Option<Vec<Option<usize>>>> {
    if from.columns == to.columns {
        return Ok(None);
    }
    let mut places = Vec::with_capacity(to.columns.len());
    for column in &to.columns {
        let place = from.columns.iter().position(|other| other.name == column.name);
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
