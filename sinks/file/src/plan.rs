//! Where a table's rows go: which columns, which folders, which names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, TableSchema};
use culvert_files::format::option;
use culvert_files::write::{refuse_unfit, text_of};

use crate::options::Settings;

/// What stands for NULL in the name of a folder, as in Hive.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";
/// Bytes of the name of a folder or file at most, on most file systems.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// How a table is written, in one of its shapes.
#[derive(Debug)]
pub(crate) struct Plan {
    table: Arc<TableSchema>,
    /// The folder of its files, or of its partitions.
    pub(crate) folder: PathBuf,
    /// Places of the columns that are written.
    columns: Vec<usize>,
    /// Places of the columns that make folders.
    partitions: Vec<usize>,
    /// What a file holds.
    pub(crate) schema: SchemaRef,
}

impl Plan {
    /// Plans a table; operator errors name the column or option.
    pub(crate) fn new(settings: &Settings, table: &Arc<TableSchema>) -> Result<Plan> {
        let located = |error: Error| error.context("table", &table.id);
        if settings.row_kind_column.is_none() && !table.kinds.is_insert_only() {
            let what = "a file holds rows, and this table's rows can change";
            return Err(located(Error::new(ErrorKind::Config, what)).hint(
                "put the transform RowKindExtractor in front, which makes every change a row, or FilterRowKind with include_kinds = [INSERT]; \
                 or name the column that is to say what happened: row_kind_column = \"row_kind\"",
            ));
        }
        let place = |name: &String, option_name: &str| {
            table.column_index(name).ok_or_else(|| {
                located(option(option_name, &format!("names the column {name}, which is not there")))
            })
        };
        let partitions = settings
            .partition_by
            .iter()
            .map(|name| place(name, "partition_by"))
            .collect::<Result<Vec<_>>>()?;
        if let Some(nested) = partitions
            .iter()
            .filter_map(|at| table.columns.get(*at))
            .find(|column| column.data_type.is_nested())
        {
            return Err(located(option(
                "partition_by",
                &format!("names the column {}, whose values make no folder", nested.name),
            )));
        }
        let chosen = match settings.columns.is_empty() {
            true => (0..table.columns.len()).collect(),
            false => {
                settings.columns.iter().map(|name| place(name, "sink_columns")).collect::<Result<Vec<_>>>()?
            }
        };
        let columns: Vec<usize> =
            chosen.into_iter().filter(|at| settings.partitions_in_file || !partitions.contains(at)).collect();
        let mut fields: Vec<Field> = columns
            .iter()
            .filter_map(|at| table.arrow.fields().get(*at))
            .map(|field| field.as_ref().clone())
            .collect();
        if let Some(name) = &settings.row_kind_column {
            if fields.iter().any(|field| field.name() == name) {
                return Err(located(option(
                    "row_kind_column",
                    &format!("is {name}, which is a column of the table"),
                )));
            }
            fields.push(Field::new(name, DataType::Utf8, false));
        }
        if fields.is_empty() {
            return Err(located(Error::new(ErrorKind::Config, "no column is left for the files"))
                .hint("set is_partition_field_write_in_file, or write more columns"));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        refuse_unfit(&settings.layout, &schema).map_err(located)?;
        Ok(Plan {
            table: Arc::clone(table),
            folder: folder(&settings.path, table),
            columns,
            partitions,
            schema,
        })
    }

    /// Whether it was made for this shape.
    pub(crate) fn is_for(&self, table: &Arc<TableSchema>) -> bool {
        Arc::ptr_eq(&self.table, table) || *self.table == **table
    }

    /// The columns of a batch as files hold them.
    pub(crate) fn rows(&self, batch: &ChangeBatch) -> Result<RecordBatch> {
        if let Some(left_out) = batch.unavailable.iter().find(|left_out| {
            self.columns.contains(&left_out.column) || self.partitions.contains(&left_out.column)
        }) {
            let name = self.table.columns.get(left_out.column).map_or("", |column| column.name.as_str());
            return Err(Error::new(
                ErrorKind::Value,
                "the source's log left out a value, and a file needs the whole row",
            )
            .context("table", &self.table.id)
            .context("column", name)
            .hint("let the source log whole rows (PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL)"));
        }
        let mut columns: Vec<ArrayRef> =
            self.columns.iter().filter_map(|at| batch.rows.columns().get(*at)).cloned().collect();
        if columns.len() < self.schema.fields().len() {
            columns
                .push(Arc::new(StringArray::from_iter_values(batch.kinds.iter().map(|kind| kind.short()))));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|cause| {
            Error::new(ErrorKind::Internal, "rows do not make a file's columns")
                .context("table", &self.table.id)
                .caused_by(cause)
        })
    }

    /// The rows of each folder below the table's, by their places in the batch.
    pub(crate) fn partitions(
        &self,
        settings: &Settings,
        batch: &ChangeBatch,
    ) -> Result<BTreeMap<String, Vec<u64>>> {
        let mut folders: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        if self.partitions.is_empty() {
            folders.insert(String::new(), (0..batch.len() as u64).collect());
            return Ok(folders);
        }
        for row in 0..batch.len() {
            let mut values = Vec::with_capacity(self.partitions.len());
            for at in &self.partitions {
                let found = self.table.columns.get(*at).zip(batch.rows.columns().get(*at));
                values.extend(found.map(|(column, values)| {
                    // Hive has one folder for both, and Spark reads none without a value.
                    let text = text_of(values.as_ref(), row).filter(|text| !text.is_empty());
                    (escape(&column.name), text.map_or_else(|| NULL_FOLDER.to_owned(), |text| escape(&text)))
                }));
            }
            let segments = settings.partition_folders.split('/').filter(|segment| !segment.is_empty());
            let segments: Vec<String> = segments.map(|segment| fill(segment, &values)).collect();
            if let Some(long) = segments.iter().find(|segment| segment.len() > NAME_BYTES_MAX) {
                return Err(Error::new(ErrorKind::Value, "values are too long for the name of a folder")
                    .context("table", &self.table.id)
                    .context("columns", settings.partition_by.join(", "))
                    .context("bytes", long.len())
                    .context("most", NAME_BYTES_MAX)
                    .hint("part the table by other columns, or shorten the values with the transform Sql"));
            }
            folders.entry(segments.join("/")).or_default().push(row as u64);
        }
        Ok(folders)
    }
}

/// A folder of the expression, with names and values for its placeholders. What begins with a value is hidden from no
/// reader: they pass over dots and underscores.
fn fill(segment: &str, values: &[(String, String)]) -> String {
    let mut filled = segment.to_owned();
    for (level, (name, value)) in values.iter().enumerate() {
        filled = filled.replace(&format!("${{k{level}}}"), name).replace(&format!("${{v{level}}}"), value);
    }
    match filled.as_bytes().first() {
        Some(first @ (b'.' | b'_')) if segment.starts_with("${v") => {
            format!("%{first:02X}{}", filled.get(1..).unwrap_or_default())
        }
        _ => filled,
    }
}

/// The folder of a table.
fn folder(path: &str, table: &TableSchema) -> PathBuf {
    let id = &table.id;
    let filled = path
        .replace("${database_name}", &escape(&id.database))
        .replace("${schema_name}", &escape(id.schema.as_deref().unwrap_or_default()))
        .replace("${table_name}", &escape(&id.table));
    PathBuf::from(filled)
}

/// The folder that all tables have in common: where the commit marker lies.
pub(crate) fn root(path: &str) -> PathBuf {
    match path.split_once("${") {
        None => PathBuf::from(path),
        Some((fixed, _)) => {
            let end = fixed.rfind('/').unwrap_or(0);
            Path::new(fixed.get(..end).unwrap_or_default()).to_path_buf()
        }
    }
}

/// Characters that Hive writes as `%XX` in the names of folders, beside those of control, and our placeholders' own.
const ESCAPED: &str = "\"#%'*/:=?\\{[]^$";

/// A value as the name of a folder: nothing of it leads to another folder, and it can be read back.
fn escape(text: &str) -> String {
    let dots_only = text.chars().all(|c| c == '.');
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if ESCAPED.contains(c) || c.is_control() || dots_only {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Names for files, unique for ever. A file has its name from the beginning, so no checkpoint is in it.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// `T_JOB_RUN_WRITER_EPOCH`.
    pub(crate) transaction: String,
    /// Another one for every attempt.
    pub(crate) unique: String,
}

impl Naming {
    /// The name of the n-th file of an attempt, begun at a moment in microseconds since 1970.
    pub(crate) fn file(&self, settings: &Settings, number: u64, now_us: i64) -> String {
        let filled = settings
            .name
            .replace("${transactionId}", &self.transaction)
            .replace("${now}", &settings.name_time.write(now_us))
            .replace("${uuid}", &self.unique)
            .replace('/', "_");
        let front =
            if filled.contains(&self.transaction) { String::new() } else { format!("{}_", self.transaction) };
        format!("{front}{filled}_{number}{}", settings.ending)
    }
}

#[cfg(test)]
mod tests;
