//! The source's options, and what they mean once they are checked.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{Column, Result, RowKindSet, TableId, TableSchema};
use culvert_config::{OptionDef, Options, Rule};
use culvert_files::format::{FORMATS, option};
use culvert_files::read::Reading;
use culvert_files::{Format, Layout, Pattern};
use culvert_values::{of_entry, schema};
use regex::Regex;

use crate::source::PLUGIN;
use crate::table::{Choice, Table};

const NOT_READ: &str = "it is of a format that is not read";
const WHOLE: &str = "files are read one after the other, and the restart point has the row";
const ONCE: &str = "the files are those of the first start";
const NO_SYNC: &str = "files are read, not copied";
/// How moments are written in the options.
const MOMENT: &str = "yyyy-MM-dd HH:mm:ss";

/// The options of the source `LocalFile`; those of an entry of `tables_configs` are the same.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("path").doc("The file, or the folder of the files."),
    OptionDef::objects("tables_configs").doc("Several tables: a block with these options for each, instead of `path`."),
    OptionDef::choice("file_format_type", FORMATS).alias(&["type"])
        .doc("The format: csv, text, json or parquet. The others are refused."),
    schema::TABLE,
    schema::FIELDS,
    schema::COLUMNS,
    schema::KEY,
    schema::KEY_NAME,
    schema::CONSTRAINTS,
    schema::COMMENT,
    schema::SCHEMA_FIRST,
    schema::METADATA,
    OptionDef::list("read_columns").doc("The columns to read, in this order; all of them without it. Those of the path follow behind."),
    OptionDef::string("field_delimiter").alias(&["delimiter"])
        .doc("What stands between two values: `,` for csv and `\\001` for text without it."),
    OptionDef::string("row_delimiter").default("\n").doc("What stands behind a row; another one than the end of a line for text only."),
    OptionDef::int("skip_header_row_number").default("0").unit("lines").doc("Lines to leave out at the beginning of every file, of csv and text."),
    OptionDef::boolean("csv_use_header_line").default("false").doc("Whether the first line of a file of csv says which columns it has, in which order."),
    OptionDef::string("null_format").doc("What stands for NULL in csv and text. Without it an empty value does, but in a text of the format text, where nothing is NULL."),
    OptionDef::string("date_format").default("yyyy-MM-dd").doc("How dates are written in csv and text."),
    OptionDef::string("datetime_format").default(MOMENT).doc("How dates with a time are written in csv and text; with the default a `T` and parts of a second may be there, too."),
    OptionDef::string("time_format").default("HH:mm:ss").doc("How times are written in csv and text."),
    OptionDef::boolean("parse_partition_from_path").default("true").doc("Whether folders called `name=value` are columns of the rows below them."),
    OptionDef::regex("file_filter_pattern").doc("Only files whose name matches as a whole; whose path does, where the pattern begins with `path`."),
    OptionDef::string("filename_extension").doc("Only files whose name ends with this."),
    OptionDef::boolean("recursive_file_scan").default("true").doc("Whether files of folders inside the folder are read as well."),
    OptionDef::string("file_filter_modified_start").doc("Only files that were changed at this moment or later: `yyyy-MM-dd HH:mm:ss`, in UTC."),
    OptionDef::string("file_filter_modified_end").doc("Only files that were changed before this moment, written in the same way."),
    OptionDef::boolean("sort_files_by_modification_time").default("false").doc("Whether the file that was changed last is read first; without it they are read by their paths."),
    OptionDef::string("compress_codec").default("none").doc("Of lines: none or gzip. Parquet says it itself."),
    OptionDef::string("archive_compress_codec").default("none").doc("None or gz, which is the same as `compress_codec = gzip`; archives of several files are refused."),
    OptionDef::string("encoding").default("UTF-8").doc("How characters of csv, text and json are bytes."),
    OptionDef::string("quote_char").default("\"").refused("values of csv are quoted by \"").doc("What quotes values of csv."),
    OptionDef::string("escape_char").refused("a quote inside quotes is two of them").doc("What takes a quote its meaning."),
    OptionDef::boolean("enable_file_split").default("false").ignored(WHOLE).doc("Whether large files are read in parts."),
    OptionDef::int("file_split_size").default("134217728").unit("bytes").ignored(WHOLE).doc("Size of these parts."),
    OptionDef::choice("discovery_mode", &["once", "continuous"]).default("once").refused(ONCE).doc("Whether files that come later are read."),
    OptionDef::string("scan_interval").ignored(ONCE).doc("How often to look for them."),
    OptionDef::string("start_mode").ignored(ONCE).doc("Whether files that are there are read."),
    OptionDef::choice("sync_mode", &["full", "update"]).default("full").refused(NO_SYNC).doc("Whether only files that a target lacks are read."),
    OptionDef::string("target_path").ignored(NO_SYNC).doc("The folder to compare with."),
    OptionDef::map("target_hadoop_conf").ignored(NO_SYNC).doc("How to reach it."),
    OptionDef::string("update_strategy").ignored(NO_SYNC).doc("How to compare."),
    OptionDef::string("compare_mode").ignored(NO_SYNC).doc("What to compare."),
    OptionDef::int("update_compare_parallelism").ignored(NO_SYNC).doc("How many files are compared at a time."),
    OptionDef::int("update_compare_bulk_threshold").ignored(NO_SYNC).doc("When whole folders are compared."),
    OptionDef::choice("post_sync_action", &["none", "delete", "backup"]).default("none").refused("files are read and left as they are").doc("What becomes of a file that was read."),
    OptionDef::string("backup_path").ignored(NO_SYNC).doc("Where it goes."),
    OptionDef::string("retention_max_age").ignored(NO_SYNC).doc("How long it stays there."),
    OptionDef::string("retention_check_interval").ignored(NO_SYNC).doc("How often that is looked at."),
    OptionDef::int("binary_chunk_size").ignored(NOT_READ).doc("Of the format binary."),
    OptionDef::boolean("binary_complete_file_mode").ignored(NOT_READ).doc("Of the format binary."),
    OptionDef::string("sheet_name").ignored(NOT_READ).doc("Of the format excel."),
    OptionDef::string("excel_engine").ignored(NOT_READ).doc("Of the format excel."),
    OptionDef::string("xml_row_tag").ignored(NOT_READ).doc("Of the format xml."),
    OptionDef::boolean("xml_use_attr_format").ignored(NOT_READ).doc("Of the format xml."),
    OptionDef::boolean("markdown_rag_metadata_enabled").ignored(NOT_READ).doc("Of the format markdown."),
    OptionDef::boolean("pdf_rag_metadata_enabled").ignored(NOT_READ).doc("Of the format pdf."),
    OptionDef::string("metalake_type").ignored("there is no metadata service").doc("Which service knows the table."),
];

/// What holds between options.
pub const RULES: &[Rule] = &[
    Rule::OneOf(&["path", "tables_configs"]),
    Rule::AtMostOne(&["schema.fields", "schema.columns", "tables_configs"]),
];

/// The tables of a job file's block.
pub(crate) fn tables(options: &Options) -> Result<Vec<Table>> {
    if !options.is_set("tables_configs") {
        return Ok(vec![table(options)?]);
    }
    let mut tables = Vec::new();
    for (number, entries) in (1usize..).zip(options.objects("tables_configs")) {
        let inner = of_entry(PLUGIN, (OPTIONS, RULES), options, (number, entries))?;
        tables.push(table(&inner).map_err(|error| error.context("entry of tables_configs", number))?);
    }
    if tables.is_empty() {
        return Err(option("tables_configs", "names no table"));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = tables.iter().find(|table| !names.insert(&table.id)) {
        return Err(option("tables_configs", &format!("has two tables {}", twice.id))
            .hint("give each a name of its own: schema { table = \"orders\" }"));
    }
    Ok(tables)
}

fn table(options: &Options) -> Result<Table> {
    if !options.is_set("file_format_type") {
        return Err(option("file_format_type", "is missing").hint("use one of csv, text, json, parquet"));
    }
    let format = Format::of(options.enum_value("file_format_type"))?;
    let mut layout = Layout::usual(format);
    let field_delimiter = options.opt_str("field_delimiter").map(without_regex);
    layout.delimiters(field_delimiter.as_deref(), options.opt_str("row_delimiter"))?;
    layout.encoding(options.str("encoding"))?;
    let declared = declared(options, format)?;
    if declared.is_none() && format != Format::Parquet {
        // A line is one value, whatever is in it.
        layout.format = Format::Text;
        layout.field_delimiter = layout.row_delimiter.clone();
    }
    let names = |schema: &TableSchema| schema.columns.iter().map(|column| column.name.clone()).collect();
    let reading = Reading {
        skip: if matches!(format, Format::Csv | Format::Text) {
            options.unsigned("skip_header_row_number")
        } else {
            0
        },
        names_in_header: format == Format::Csv && options.bool("csv_use_header_line"),
        columns: declared.as_ref().map(names).unwrap_or_default(),
        gzip: gzip(options, format)?,
        date: pattern(options, "date_format")?,
        time: pattern(options, "time_format")?,
        datetime: pattern(options, "datetime_format")?,
        null: options.opt_str("null_format").map(str::to_owned),
    };
    if reading.names_in_header && declared.is_none() {
        return Err(option("csv_use_header_line", "is true, and `schema` does not say the columns' types"));
    }
    Ok(Table {
        id: options
            .opt_str("schema.table")
            .filter(|name| !name.is_empty())
            .map_or_else(unnamed, schema::table_id),
        path: path(options.str("path"))?,
        choice: choice(options)?,
        declared: declared.or_else(|| (format != Format::Parquet).then(content)),
        key: options.list("schema.primaryKey.columnNames").to_vec(),
        columns: options.list("read_columns").to_vec(),
        partitions: options.bool("parse_partition_from_path"),
        layout: Arc::new(layout),
        reading: Arc::new(reading),
    })
}

fn unnamed() -> TableId {
    let name = || "default".to_owned();
    TableId { database: name(), schema: Some(name()), table: name() }
}

/// The columns that the job file declares. `None`: it leaves them to the files.
fn declared(options: &Options, format: Format) -> Result<Option<TableSchema>> {
    let is_declared = options.is_set("schema.fields") || options.is_set("schema.columns");
    if !is_declared && format != Format::Json {
        return Ok(None);
    }
    let declared = schema::declared(options, unnamed())?.schema;
    Ok(Some(TableSchema { kinds: RowKindSet::INSERT_ONLY, ..declared }))
}

/// The one column of lines that are not declared.
fn content() -> TableSchema {
    let column = Column::derived("content", DataType::Utf8, true);
    TableSchema::new(unnamed(), 1, vec![column], Vec::new(), RowKindSet::INSERT_ONLY)
}

fn path(written: &str) -> Result<PathBuf> {
    let path = written.strip_prefix("file://").unwrap_or(written);
    if !path.starts_with('/') {
        let what = "is not absolute: it would mean another folder wherever the job is started";
        return Err(option("path", what));
    }
    Ok(PathBuf::from(path))
}

/// A delimiter may be written as a regular expression has it: `\|`.
fn without_regex(written: &str) -> String {
    match written.strip_prefix('\\') {
        Some(one) if one.len() == 1 && one.chars().all(|c| c.is_ascii_punctuation() && c != '\\') => {
            one.to_owned()
        }
        _ => written.to_owned(),
    }
}

fn gzip(options: &Options, format: Format) -> Result<bool> {
    let mut is_gzip = false;
    for name in ["compress_codec", "archive_compress_codec"] {
        match options.str(name).to_ascii_lowercase().as_str() {
            "none" => {}
            // Files of this format say themselves how they are compressed.
            _ if format == Format::Parquet => {}
            "gzip" | "gz" => is_gzip = true,
            other => {
                return Err(option(name, &format!("is {other}, which is not read"))
                    .hint("use none or gzip, or the format parquet, which is compressed inside"));
            }
        }
    }
    Ok(is_gzip)
}

/// The pattern of an option; `None` for the default, with which more is understood.
fn pattern(options: &Options, name: &str) -> Result<Option<Pattern>> {
    let written = options.str(name);
    if ["yyyy-MM-dd", MOMENT, "HH:mm:ss"].contains(&written) {
        return Ok(None);
    }
    let what = || option(name, &format!("is {written}, which is no pattern of yyyy, MM, dd, HH, mm, ss, S"));
    Pattern::of(written).map(Some).ok_or_else(what)
}

fn choice(options: &Options) -> Result<Choice> {
    let moment = |name: &str| {
        let Some(written) = options.opt_str(name) else { return Ok(None) };
        let read = Pattern::of(MOMENT).and_then(|pattern| pattern.read(written));
        let micros = read.ok_or_else(|| option(name, &format!("is no moment like {MOMENT}")))?;
        Ok(Some(micros.saturating_mul(1000)))
    };
    let pattern = match options.opt_str("file_filter_pattern") {
        None => None,
        Some(written) => {
            let of_path = written.starts_with(options.str("path"));
            let whole = Regex::new(&format!("^(?:{written})$"));
            Some((whole.map_err(|_| option("file_filter_pattern", "is no regular expression"))?, of_path))
        }
    };
    Ok(Choice {
        pattern,
        ending: options
            .opt_str("filename_extension")
            .map(|ending| format!(".{}", ending.trim_start_matches('.'))),
        recursive: options.bool("recursive_file_scan"),
        from_ns: moment("file_filter_modified_start")?,
        until_ns: moment("file_filter_modified_end")?,
        newest_first: options.bool("sort_files_by_modification_time"),
    })
}

#[cfg(test)]
pub(crate) mod tests;
