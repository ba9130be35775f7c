//! Gathers rows of one table into a record batch.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use culvert_api::{Error, ErrorKind, Result, RowKind, RowPosition, TableSchema};

use super::buffers::broken;
use super::builder::ColumnBuilder;
use crate::column::{Conversion, MySqlColumn};

/// Rows of one table in one shape, as they are decoded.
#[derive(Debug)]
pub struct RowsBuilder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    /// Places of the primary key's columns.
    key: Vec<usize>,
    kinds: Vec<RowKind>,
    positions: Vec<RowPosition>,
}

/// What a [`RowsBuilder`] gathered.
#[derive(Clone, Debug)]
pub struct FinishedRows {
    /// The values.
    pub rows: RecordBatch,
    /// One per row.
    pub kinds: Vec<RowKind>,
    /// One per row.
    pub positions: Vec<RowPosition>,
}

impl RowsBuilder {
    /// For a table with these columns; `schema` is made from the same ones by
    /// [`MySqlColumn::to_column`]. An error when it is not.
    pub fn new(
        schema: &TableSchema,
        columns: &[MySqlColumn],
        conversion: &Conversion,
    ) -> Result<RowsBuilder> {
        let fields = schema.arrow.fields();
        let same = fields.len() == columns.len()
            && fields.iter().zip(columns).all(|(field, column)| {
                *field.data_type() == column.data_type(conversion)
                    && field.is_nullable() == column.arrow_nullable(conversion)
            });
        if !same {
            let message = "the columns to decode are not those of the table's schema";
            return Err(Error::new(ErrorKind::Internal, message).context("table", &schema.id));
        }
        Ok(RowsBuilder {
            schema: schema.arrow.clone(),
            columns: columns.iter().map(|column| ColumnBuilder::new(column, conversion)).collect(),
            key: schema.key_indices(),
            kinds: Vec::new(),
            positions: Vec::new(),
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Number of columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Bytes the rows occupy.
    pub fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(ColumnBuilder::bytes).sum();
        columns + self.len() * (size_of::<RowKind>() + size_of::<RowPosition>())
    }

    /// Appends a row of the text protocol, one value per column (see
    /// [`ColumnBuilder::append_text`]). On an error the builder holds what it held before.
    pub fn append_text_row<'v>(
        &mut self,
        values: impl IntoIterator<Item = Option<&'v [u8]>>,
        kind: RowKind,
        position: RowPosition,
    ) -> Result<()> {
        let before = self.len();
        let mut values = values.into_iter();
        for (index, column) in self.columns.iter_mut().enumerate() {
            let appended = match values.next() {
                Some(Some(value)) => column.append_text(value),
                Some(None) => column.append_null(),
                None => Err(Error::new(ErrorKind::Internal, "a row has fewer values than the table columns")),
            };
            if let Err(error) = appended {
                let name = self.schema.fields().get(index).map_or("?", |field| field.name().as_str());
                let error = error.context("column", name);
                self.truncate(before);
                return Err(error);
            }
        }
        self.end_row(kind, position);
        Ok(())
    }

    /// Keeps the first `rows` rows and drops the others, also a row half appended.
    pub fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.kinds.truncate(rows);
        self.positions.truncate(rows);
    }

    /// Takes the rows and begins anew. Errors only on a mistake of ours.
    pub fn finish(&mut self) -> Result<FinishedRows> {
        let arrays = self.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatch::try_new(self.schema.clone(), arrays).map_err(broken)?;
        Ok(FinishedRows {
            rows,
            kinds: std::mem::take(&mut self.kinds),
            positions: std::mem::take(&mut self.positions),
        })
    }

    pub(super) fn columns_mut(&mut self) -> std::slice::IterMut<'_, ColumnBuilder> {
        self.columns.iter_mut()
    }

    pub(super) fn end_row(&mut self, kind: RowKind, position: RowPosition) {
        self.kinds.push(kind);
        self.positions.push(position);
    }

    /// The last two rows are an update. If they differ in the key, it is another row that goes
    /// than the one that comes.
    pub(super) fn split_if_key_changed(&mut self) {
        let Some(after) = self.len().checked_sub(1) else { return };
        let Some(before) = after.checked_sub(1) else { return };
        let same =
            |place: &usize| self.columns.get(*place).is_none_or(|column| column.equal_rows(before, after));
        if !self.key.iter().all(same)
            && let Some([first, second]) = self.kinds.get_mut(before..)
        {
            *first = RowKind::Delete;
            *second = RowKind::Insert;
        }
    }
}
