#![allow(clippy::unwrap_used)]

use std::path::Path;

use culvert_config::{Format as FileFormat, JobFile, Problem, Variables, definition_mistakes};

use super::*;

/// The options of a block; panics when they are refused by the definitions alone.
pub(crate) fn options(block: &str) -> Options {
    let text = format!("source {{ LocalFile {{ {block} }} }}\nsink {{ B {{}} }}");
    let job =
        JobFile::parse(&text, Path::new("j.conf"), FileFormat::Hocon, &Variables::new(&[]).unwrap()).unwrap();
    let (options, mut problems) = Options::resolve(&job.sources[0], OPTIONS);
    problems.extend(options.check(RULES));
    assert!(!problems.iter().any(Problem::is_error), "{problems:?}");
    options
}

fn one(block: &str) -> Table {
    tables(&options(block)).unwrap().remove(0)
}

fn refused(block: &str) -> String {
    tables(&options(block)).unwrap_err().to_string()
}

#[test]
fn the_options_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
}

#[test]
fn what_is_not_declared_is_one_column_or_told_by_a_file() {
    let content = one("path = /d, type = text");
    assert_eq!(content.declared.unwrap().columns[0].name, "content");
    assert_eq!(one("path = /d, file_format_type = csv").layout.format, Format::Text, "a line is one value");
    assert!(one("path = /d, file_format_type = parquet").declared.is_none());
    assert!(refused("path = /d, file_format_type = json").contains("'schema' is missing"));
    assert!(
        refused("path = /d, file_format_type = csv, csv_use_header_line = true")
            .contains("csv_use_header_line")
    );
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    for (block, named) in [
        ("path = /d", "'file_format_type' is missing"),
        ("path = d, file_format_type = csv", "'path' is not absolute"),
        ("path = /d, file_format_type = orc", "orc"),
        ("path = /d, file_format_type = text, compress_codec = lzo", "lzo"),
        ("path = /d, file_format_type = text, archive_compress_codec = zip", "zip"),
        ("path = /d, file_format_type = text, date_format = \"d.M.yy\"", "date_format"),
        (
            "path = /d, file_format_type = text, file_filter_modified_start = yesterday",
            "file_filter_modified_start",
        ),
        ("tables_configs = [{ file_format_type = csv }]", "entry 1"),
        ("tables_configs = [{ path = /d, file_format_type = csv, x = 1 }]", "entry 1"),
        (
            "tables_configs = [{ path = /d, type = csv }, { path = /e, type = csv }]",
            "default.default.default",
        ),
    ] {
        let error = refused(block);
        assert!(error.contains(named), "{block}: {error}");
    }
}

#[test]
fn delimiters_may_be_written_as_regular_expressions() {
    assert_eq!(
        one("path = /d, type = text, delimiter = \"\\\\|\", schema { fields { a = int } }")
            .layout
            .field_delimiter,
        "|"
    );
    assert_eq!(without_regex("\\t"), "\\t");
    assert_eq!(without_regex("\\\\"), "\\\\");
}
