//! A table of the job file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use culvert_api::{Column, Error, ErrorKind, Result, RowKindSet, TableId, TableSchema};
use culvert_files::Layout;
use culvert_files::format::option;
use culvert_files::read::{Reading, parquet_schema};
use regex::Regex;

/// Which files of a folder are read.
#[derive(Debug)]
pub(crate) struct Choice {
    /// What a name has to match; or a path, if so.
    pub(crate) pattern: Option<(Regex, bool)>,
    /// With its dot.
    pub(crate) ending: Option<String>,
    pub(crate) recursive: bool,
    /// Nanoseconds since 1970.
    pub(crate) from_ns: Option<i64>,
    /// The first moment that is too late.
    pub(crate) until_ns: Option<i64>,
    pub(crate) newest_first: bool,
}

/// A table: where its files are, and how they are read.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    pub(crate) path: PathBuf,
    pub(crate) choice: Choice,
    pub(crate) layout: Arc<Layout>,
    pub(crate) reading: Arc<Reading>,
    /// The columns of a file; `None`: a file of Parquet tells them.
    pub(crate) declared: Option<TableSchema>,
    /// The columns of the key, where nothing is declared.
    pub(crate) key: Vec<String>,
    /// The columns to read. Empty: all of them.
    pub(crate) columns: Vec<String>,
    /// Whether the path has columns.
    pub(crate) partitions: bool,
}

/// A table whose columns are known.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The table as rows leave it.
    pub(crate) schema: Arc<TableSchema>,
    /// What is read of a file: without the columns of its path.
    pub(crate) of_file: SchemaRef,
    /// The columns of the path, behind the others.
    pub(crate) partitions: Vec<String>,
}

impl Table {
    /// The table's columns. `told_by` is the file that tells them, where nothing else does; `partitions` are
    /// the columns of the paths. Blocks.
    pub(crate) fn shape(&self, told_by: Option<&Path>, partitions: Vec<String>) -> Result<Shape> {
        let located = |error: Error| error.context("table", &self.id);
        let whole = match (&self.declared, told_by) {
            (Some(declared), _) => declared.clone(),
            (None, Some(file)) => self.of_file(file)?,
            (None, None) => {
                return Err(located(Error::new(
                    ErrorKind::Config,
                    "there is no file that would tell the columns",
                ))
                .context("path", self.path.display())
                .hint("declare them: schema { fields { id = bigint } }"));
            }
        };
        let read = self.chosen(&whole, &partitions).map_err(located)?;
        let whole = TableSchema { id: self.id.clone(), ..whole };
        let of_file = whole.with_columns(read);
        let mut columns = of_file.columns.clone();
        // A file's own column is the better one: it has a type.
        let partitions: Vec<String> =
            partitions.into_iter().filter(|name| of_file.column_index(name).is_none()).collect();
        columns.extend(partitions.iter().map(|name| Column::derived(name, DataType::Utf8, true)));
        let schema = Arc::new(of_file.with_columns(columns));
        Ok(Shape { schema, of_file: of_file.arrow, partitions })
    }

    fn of_file(&self, file: &Path) -> Result<TableSchema> {
        let found = parquet_schema(file)?;
        let column = |field: &arrow_schema::FieldRef| {
            let takes_null = !self.key.contains(field.name());
            Column::derived(field.name(), field.data_type().clone(), takes_null)
        };
        let columns: Vec<Column> = found.fields().iter().map(column).collect();
        if let Some(name) = self.key.iter().find(|name| columns.iter().all(|column| column.name != **name)) {
            let what = format!("names the column {name}, which the file does not have");
            return Err(option("schema.primaryKey", &what).context("file", file.display()));
        }
        Ok(TableSchema::new(self.id.clone(), 1, columns, self.key.clone(), RowKindSet::INSERT_ONLY))
    }

    /// The columns that are read of a file.
    fn chosen(&self, whole: &TableSchema, partitions: &[String]) -> Result<Vec<Column>> {
        let is_declared = self.declared.is_some();
        if let Some(both) = partitions.iter().find(|name| is_declared && whole.column_index(name).is_some()) {
            let what = format!("has the column {both}, which a folder's name has as well");
            return Err(option("schema", &what)
                .hint("leave it out of the schema, or set parse_partition_from_path = false"));
        }
        if self.columns.is_empty() {
            return Ok(whole.columns.clone());
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for name in self.columns.iter().filter(|name| !partitions.contains(name)) {
            let found = whole.columns.iter().find(|column| column.name == *name);
            columns.push(found.cloned().ok_or_else(|| {
                option("read_columns", &format!("names the column {name}, which is not there"))
            })?);
        }
        Ok(columns)
    }

    /// What decides which row of a file is which, and what a row looks like; as a text to compare.
    pub(crate) fn fingerprint(&self, shape: &Shape) -> String {
        let columns =
            shape.schema.columns.iter().map(|column| format!("{} {}", column.name, column.data_type));
        let (layout, reading) = (&self.layout, &self.reading);
        format!(
            "{} as {:?}, fields by {:?}, rows by {:?}, {}, skip {}, header {}, gzip {}, key {}: {}",
            self.path.display(),
            layout.format,
            layout.field_delimiter,
            layout.row_delimiter,
            layout.encoding.name(),
            reading.skip,
            reading.names_in_header,
            reading.gzip,
            shape.schema.primary_key.join(", "),
            columns.collect::<Vec<_>>().join(", ")
        )
    }
}
