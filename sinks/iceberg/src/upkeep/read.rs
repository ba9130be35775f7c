//! Rows of a table's files as they are now, for those who rewrite them.
//!
//! Deletes by places are left to the library. Deletes by keys are not: it compares them with the values as the file has
//! them, where a column that was widened, or is NULL, compares as unknown, and drops the row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, SchemaRef as ArrowSchemaRef};
use arrow_select::filter::filter_record_batch;
use culvert_api::{Error, ErrorKind, Result};
use futures_util::stream::{self, BoxStream, StreamExt};
use iceberg::Runtime;
use iceberg::arrow::{ArrowReaderBuilder, schema_to_arrow_schema};
use iceberg::io::FileIO;
use iceberg::scan::{FileScanTask, FileScanTaskDeleteFile};
use iceberg::spec::{DataFile, PartitionSpecRef, SchemaRef};

use super::Keeper;
use crate::error::failed;

/// Keys of deletes that are held at once, some hundred bytes each; a table with more is left alone.
const KEYS_MAX: usize = 5_000_000;

/// What failed when rows were read.
pub(super) const NOT_READ: fn(iceberg::Error) -> Error =
    |cause| failed("rows to be rewritten were not read")(cause);

fn unfit(cause: ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "rows to be rewritten do not fit the table").caused_by(cause)
}

type Batches = BoxStream<'static, iceberg::Result<RecordBatch>>;

/// How the files of a table are read.
pub(super) struct Reading {
    files: FileIO,
    schema: SchemaRef,
    arrow: ArrowSchemaRef,
}

impl Reading {
    pub(super) fn new(keeper: &Keeper, schema: &SchemaRef) -> Result<Reading> {
        let arrow = Arc::new(schema_to_arrow_schema(schema).map_err(NOT_READ)?);
        Ok(Reading { files: keeper.commits.files.clone(), schema: Arc::clone(schema), arrow })
    }

    /// The rows of a file, without those that are deleted by their places.
    pub(super) fn rows(
        &self,
        file: &DataFile,
        spec: &PartitionSpecRef,
        by_place: &[&DataFile],
    ) -> Result<Batches> {
        let deletes = by_place.iter().map(|delete| {
            FileScanTaskDeleteFile::builder()
                .with_file_path(delete.file_path().to_owned())
                .with_file_size_in_bytes(delete.file_size_in_bytes())
                .with_file_type(delete.content_type())
                .with_partition_spec_id(spec.spec_id())
                .with_equality_ids(None)
                .build()
        });
        let ids = self.schema.as_struct().fields().iter().map(|field| field.id).collect();
        let place = Some((file.partition().clone(), Arc::clone(spec)));
        self.read(file, ids, deletes.collect(), place)
    }

    fn read(
        &self,
        file: &DataFile,
        ids: Vec<i32>,
        deletes: Vec<FileScanTaskDeleteFile>,
        place: Option<(iceberg::spec::Struct, PartitionSpecRef)>,
    ) -> Result<Batches> {
        let (partition, spec) = place.unzip();
        let task = FileScanTask::builder()
            .with_file_size_in_bytes(file.file_size_in_bytes())
            .with_start(0)
            .with_length(file.file_size_in_bytes())
            .with_record_count(Some(file.record_count()))
            .with_data_file_path(file.file_path().to_owned())
            .with_data_file_format(file.file_format())
            .with_schema(Arc::clone(&self.schema))
            .with_project_field_ids(ids)
            .with_deletes(deletes)
            .with_partition(partition)
            .with_partition_spec(spec)
            .with_case_sensitive(true)
            .build();
        let reader = ArrowReaderBuilder::new(self.files.clone(), Runtime::current())
            .with_data_file_concurrency_limit(1)
            .build();
        Ok(reader.read(stream::iter([Ok(task)]).boxed()).map_err(NOT_READ)?.stream().boxed())
    }

    /// A batch as the table holds it: what a partition makes constant comes in a form of its own.
    pub(super) fn fitting(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let fields = self.arrow.fields().iter().zip(batch.columns());
        let columns = fields.map(|(field, column)| plain(column, field.data_type()));
        RecordBatch::try_new(Arc::clone(&self.arrow), columns.collect::<Result<_>>()?).map_err(unfit)
    }

    /// The place of a column.
    fn place(&self, id: i32) -> Result<usize> {
        let place = self.schema.as_struct().fields().iter().position(|field| field.id == id);
        place.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "rows are deleted by a column that the table has no more")
                .context("field", id)
                .hint("have an engine rewrite the table")
        })
    }
}

fn plain(column: &ArrayRef, data_type: &arrow_schema::DataType) -> Result<ArrayRef> {
    match column.data_type() == data_type {
        true => Ok(Arc::clone(column)),
        false => arrow_cast::cast(column, data_type).map_err(unfit),
    }
}

/// Keys of rows that are deleted, by the columns they are made of.
#[derive(Default)]
pub(super) struct Deleted(HashMap<Vec<i32>, Keys>);

struct Keys {
    places: Vec<usize>,
    converter: RowConverter,
    /// The youngest delete of each key: it is about rows of files that are older.
    youngest: HashMap<Box<[u8]>, i64>,
}

impl Deleted {
    /// Takes in a file of deletes.
    pub(super) async fn add(&mut self, reading: &Reading, file: &DataFile, sequence: i64) -> Result<()> {
        let mut ids = file.equality_ids().unwrap_or_default();
        ids.sort_unstable();
        let places = ids.iter().map(|id| reading.place(*id)).collect::<Result<Vec<usize>>>()?;
        let fields: Vec<_> = places.iter().filter_map(|at| reading.arrow.fields().get(*at)).collect();
        if !self.0.contains_key(&ids) {
            let sorted = fields.iter().map(|field| SortField::new(field.data_type().clone()));
            let converter = RowConverter::new(sorted.collect()).map_err(unfit)?;
            self.0.insert(ids.clone(), Keys { places, converter, youngest: HashMap::new() });
        }
        let Some(keys) = self.0.get_mut(&ids) else { return Ok(()) };
        let mut batches = reading.read(file, ids, Vec::new(), None)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(NOT_READ)?;
            let columns = fields.iter().zip(batch.columns());
            let columns = columns.map(|(field, column)| plain(column, field.data_type()));
            let rows =
                keys.converter.convert_columns(&columns.collect::<Result<Vec<_>>>()?).map_err(unfit)?;
            for row in rows.iter() {
                let known = keys.youngest.entry(row.as_ref().into()).or_insert(sequence);
                *known = sequence.max(*known);
            }
            if keys.youngest.len() > KEYS_MAX {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the table has too many deletes for this upkeep",
                )
                .context("most", KEYS_MAX)
                .hint("have an engine rewrite the table, or lower upkeep.delete-files.max"));
            }
        }
        Ok(())
    }

    /// The rows of a file of this sequence number that no younger delete is about.
    pub(super) fn without(&self, batch: &RecordBatch, sequence: i64) -> Result<RecordBatch> {
        let mut stays = vec![true; batch.num_rows()];
        for keys in self.0.values() {
            let columns = keys.places.iter().filter_map(|at| batch.columns().get(*at)).cloned();
            let rows = keys.converter.convert_columns(&columns.collect::<Vec<_>>()).map_err(unfit)?;
            for (stays, row) in stays.iter_mut().zip(rows.iter()) {
                *stays &= keys.youngest.get(row.as_ref()).is_none_or(|deleted| *deleted <= sequence);
            }
        }
        match stays.iter().all(|stays| *stays) {
            true => Ok(batch.clone()),
            false => filter_record_batch(batch, &BooleanArray::from(stays)).map_err(unfit),
        }
    }
}
