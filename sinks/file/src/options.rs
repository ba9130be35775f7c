//! The options of both sinks, and what they mean once they are checked.

mod s3;

use std::sync::Arc;

use culvert_api::Result;
use culvert_config::{OptionDef, Options};
use culvert_files::format::{FORMATS, option};
use culvert_files::write::refuse_unwritable;
use culvert_files::{Format, Layout, Pattern};

const FOLDERS: &str = "partition_dir_expression";
const NOT_WRITTEN: &str = "it is of a format that is not written";
const NO_INT96: &str = "timestamps are written as whole microseconds, which every reader of today knows";

pub(crate) use s3::{SERVICE, bucket, service};

/// The options of the sink `LocalFile`.
pub const LOCAL_FILE_OPTIONS: &[OptionDef] = &joined::<{ FILES.len() }, 1, { FILES.len() + 1 }>(
    FILES,
    [OptionDef::string("tmp_path").doc(
        "Where files are staged: a folder of the same mount. Without it, and best, a hidden folder of `path`.",
    )],
);

/// The options of the sink `S3File`.
pub const S3_FILE_OPTIONS: &[OptionDef] =
    &joined::<{ SERVICE.len() }, { FILES.len() }, { SERVICE.len() + FILES.len() }>(SERVICE, FILES);

/// Two lists as one.
const fn joined<const A: usize, const B: usize, const ALL: usize>(
    first: [OptionDef; A],
    second: [OptionDef; B],
) -> [OptionDef; ALL] {
    let mut all = [OptionDef::string(""); ALL];
    let (head, tail) = all.split_at_mut(A);
    head.copy_from_slice(&first);
    tail.copy_from_slice(&second);
    all
}

/// What both sinks have.
const FILES: [OptionDef; 36] = [
    OptionDef::string("path").required().placeholders()
        .doc("The folder of the files; `${database_name}`, `${schema_name}` and `${table_name}` are filled in."),
    OptionDef::choice("file_format_type", FORMATS).alias(&["file_format"]).default("csv")
        .doc("The format: csv, text, json or parquet. The others are refused."),
    OptionDef::string("filename_extension").doc("The ending of the files instead of their format's own."),
    OptionDef::boolean("custom_filename").default("false").doc("Whether `file_name_expression` names the files."),
    OptionDef::string("file_name_expression").default("${transactionId}").placeholders()
        .doc("The files' names with `custom_filename`: `${transactionId}`, `${now}` and `${uuid}` are filled in. The first is put in front where it is not there."),
    OptionDef::string("filename_time_format").default("yyyy.MM.dd").doc("How `${now}` is written, in UTC."),
    OptionDef::string("field_delimiter").doc("What stands between two values: `,` for csv and `\\001` for text without it."),
    OptionDef::string("row_delimiter").default("\n").doc("What stands behind a row; another one than the end of a line for text only."),
    OptionDef::string("null_format").default("").doc("What stands for NULL in the format text. With the default it cannot be told from an empty text."),
    OptionDef::boolean("have_partition").default("false").doc("Whether `partition_by` counts."),
    OptionDef::list("partition_by").doc("The columns whose values make folders."),
    OptionDef::string(FOLDERS).placeholders()
        .doc("The folders of the columns: `${k0}` is the name of the first, `${v0}` its value; `${k0}=${v0}/${k1}=${v1}/…` without it."),
    OptionDef::boolean("is_partition_field_write_in_file").default("false").doc("Whether these columns are in the files, too."),
    OptionDef::list("sink_columns").doc("The columns to write, in this order; all of them without it."),
    OptionDef::string("row_kind_column").doc(
        "A column that says what happened to the row: `+I`, `-U`, `+U`, `-D`. Without it changes are refused, since a file holds rows.",
    ),
    OptionDef::boolean("is_enable_transaction").default("true")
        .refused("rows are there once or not at all, in every job").doc("Whether rows are never lost and never there twice."),
    OptionDef::int_in("batch_size", 1, i64::MAX).default("1000000").unit("rows").doc("Rows of a file at most. Every checkpoint begins new files, too."),
    OptionDef::string("compress_codec").default("none").doc("Of parquet: none, snappy, lz4, gzip or zstd."),
    OptionDef::boolean("enable_header_write").default("false").doc("Whether files of the formats csv and text begin with the columns' names."),
    OptionDef::choice("csv_string_quote_mode", &["MINIMAL", "ALL", "NONE"]).default("MINIMAL")
        .doc("Which values of csv are quoted: those that need it, or every text. NONE is refused."),
    OptionDef::string("encoding").default("UTF-8").doc("How characters of csv, text and json are bytes."),
    OptionDef::choice("schema_save_mode", &["CREATE_SCHEMA_WHEN_NOT_EXIST", "RECREATE_SCHEMA", "ERROR_WHEN_SCHEMA_NOT_EXIST", "IGNORE"])
        .default("CREATE_SCHEMA_WHEN_NOT_EXIST")
        .doc("What a first start does with the folder: makes it, makes it anew, or stops when it is missing."),
    OptionDef::choice("data_save_mode", &["APPEND_DATA", "DROP_DATA", "ERROR_WHEN_DATA_EXISTS"]).default("APPEND_DATA")
        .doc("What a first start does with files in the folder: leaves them, removes them, or stops."),
    OptionDef::boolean("schema_evolution_enabled").default("false").ignored("a table's new shape begins new files in any case")
        .doc("Whether changes of a table's shape are followed."),
    OptionDef::boolean("single_file_mode").default("false").refused("a checkpoint never adds to a file of the one before").doc("Whether there is one file for all rows."),
    OptionDef::boolean("create_empty_file_when_no_data").default("false").refused("a checkpoint without rows makes no file").doc("Whether there is a file without rows."),
    OptionDef::boolean("merge_update_event").default("false").ignored(NOT_WRITTEN).doc("Of formats of changes."),
    OptionDef::boolean("parquet_avro_write_timestamp_as_int96").default("false").refused(NO_INT96).doc("Whether timestamps have the old form."),
    OptionDef::list("parquet_avro_write_fixed_as_int96").refused(NO_INT96).doc("Columns that have the old form."),
    OptionDef::int("max_rows_in_memory").ignored(NOT_WRITTEN).doc("Of the format excel."),
    OptionDef::int("sheet_max_rows").ignored(NOT_WRITTEN).doc("Of the format excel."),
    OptionDef::string("sheet_name").ignored(NOT_WRITTEN).doc("Of the format excel."),
    OptionDef::string("xml_root_tag").ignored(NOT_WRITTEN).doc("Of the format xml."),
    OptionDef::string("xml_row_tag").ignored(NOT_WRITTEN).doc("Of the format xml."),
    OptionDef::boolean("xml_use_attr_format").ignored(NOT_WRITTEN).doc("Of the format xml."),
    OptionDef::int_in("multi_table_sink_replica", 1, i64::MAX).default("1").ignored("one writer writes all tables")
        .doc("How many writers share the tables."),
];

/// What a first start does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaveMode {
    Append,
    /// Removes the files, or the folders with them.
    Drop {
        folders: bool,
    },
    /// Stops when there are files.
    Refuse,
}

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// With placeholders.
    pub(crate) path: String,
    pub(crate) layout: Arc<Layout>,
    pub(crate) ending: String,
    pub(crate) name: String,
    pub(crate) name_time: Pattern,
    pub(crate) partition_by: Vec<String>,
    pub(crate) partition_folders: String,
    pub(crate) partitions_in_file: bool,
    /// Empty: all of them.
    pub(crate) columns: Vec<String>,
    pub(crate) row_kind_column: Option<String>,
    pub(crate) file_rows_max: usize,
    pub(crate) save_mode: SaveMode,
    /// Whether the folder must be there.
    pub(crate) needs_folder: bool,
}

impl Settings {
    /// Checks the options against each other.
    pub(crate) fn from_options(options: &Options) -> Result<Settings> {
        let layout = layout(options)?;
        let set = |name: &str| options.opt_str(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let partition_by =
            if options.bool("have_partition") { options.list("partition_by").to_vec() } else { Vec::new() };
        let levels = (0..partition_by.len()).map(|at| format!("${{k{at}}}=${{v{at}}}"));
        let usual = levels.collect::<Vec<String>>().join("/");
        let partition_folders = set(FOLDERS).unwrap_or(usual);
        let partitions_in_file = options.bool("is_partition_field_write_in_file");
        refuse_incomplete(&partition_folders, &partition_by, partitions_in_file)?;
        let time = options.str("filename_time_format");
        Ok(Settings {
            path: path(options.str("path"))?,
            ending: set("filename_extension").map_or_else(
                || layout.format.ending().to_owned(),
                |ending| format!(".{}", ending.trim_start_matches('.')),
            ),
            layout: Arc::new(layout),
            name: if options.bool("custom_filename") {
                options.str("file_name_expression")
            } else {
                "${transactionId}"
            }
            .to_owned(),
            name_time: Pattern::of(time).ok_or_else(|| {
                option(
                    "filename_time_format",
                    &format!("is {time}, which is no pattern of yyyy, MM, dd, HH, mm, ss, S"),
                )
            })?,
            partition_folders,
            partition_by,
            partitions_in_file,
            columns: options.list("sink_columns").to_vec(),
            row_kind_column: set("row_kind_column"),
            file_rows_max: usize::try_from(options.unsigned("batch_size")).unwrap_or(usize::MAX),
            save_mode: match (options.enum_value("schema_save_mode"), options.enum_value("data_save_mode")) {
                ("RECREATE_SCHEMA", _) => SaveMode::Drop { folders: true },
                (_, "DROP_DATA") => SaveMode::Drop { folders: false },
                (_, "ERROR_WHEN_DATA_EXISTS") => SaveMode::Refuse,
                _ => SaveMode::Append,
            },
            needs_folder: options.enum_value("schema_save_mode") == "ERROR_WHEN_SCHEMA_NOT_EXIST",
        })
    }
}

/// Refuses folders that leave out a column whose values would be nowhere then, or that name one that is not there.
fn refuse_incomplete(folders: &str, columns: &[String], in_file: bool) -> Result<()> {
    let mut left = folders.to_owned();
    for (at, column) in columns.iter().enumerate() {
        let value = format!("${{v{at}}}");
        if !in_file && !left.contains(&value) {
            return Err(option(FOLDERS, &format!("lacks {value}: the values of {column} would be nowhere"))
                .hint("add it, or set is_partition_field_write_in_file = true"));
        }
        left = left.replace(&value, "").replace(&format!("${{k{at}}}"), "");
    }
    match left.find("${").filter(|_| !columns.is_empty()) {
        Some(at) => {
            let name = left.get(at..).unwrap_or_default().split_inclusive('}').next().unwrap_or_default();
            Err(option(FOLDERS, &format!("names {name}, and partition_by has {} columns", columns.len())))
        }
        None => Ok(()),
    }
}

/// The path, of which at least the first folder is the same for every table.
fn path(written: &str) -> Result<String> {
    let path = written.strip_prefix("file://").unwrap_or(written);
    if !path.starts_with('/') {
        return Err(option("path", "is not absolute: it begins with a stroke"));
    }
    if let Some((fixed, _)) = path.split_once("${")
        && fixed.trim_end_matches(|c| c != '/').trim_matches('/').is_empty()
    {
        return Err(option(
            "path",
            "has no folder of its own in front of the first placeholder, for the commit marker",
        ));
    }
    if path.trim_matches('/').is_empty() {
        return Err(option("path", "is the root of all folders"));
    }
    Ok(path.trim_end_matches('/').to_owned())
}

fn layout(options: &Options) -> Result<Layout> {
    let format = Format::of(options.enum_value("file_format_type"))?;
    let mut layout = Layout::usual(format);
    layout.delimiters(options.opt_str("field_delimiter"), options.opt_str("row_delimiter"))?;
    layout.encoding(options.str("encoding"))?;
    refuse_unwritable(&layout)?;
    layout.compression(options.str("compress_codec"))?;
    layout.null = options.str("null_format").to_owned();
    layout.header = options.bool("enable_header_write");
    match options.enum_value("csv_string_quote_mode") {
        "NONE" => {
            return Err(option(
                "csv_string_quote_mode",
                "is NONE: values that hold a delimiter could not be read back",
            )
            .hint("use MINIMAL, which quotes these values only"));
        }
        mode => layout.quote_all = mode == "ALL",
    }
    Ok(layout)
}

#[cfg(test)]
pub(crate) mod tests;
