#![allow(clippy::unwrap_used)]

use std::path::Path;

use culvert_config::{Format as FileFormat, JobFile, Problem, Variables, definition_mistakes};

use super::*;

/// The options of a block of the sink `LocalFile`.
pub(crate) fn options(block: &str) -> Options {
    resolved("LocalFile", LOCAL_FILE_OPTIONS, block)
}

/// The options of a block.
pub(super) fn resolved(plugin: &str, defs: &[OptionDef], block: &str) -> Options {
    let text = format!("source {{ A {{}} }}\nsink {{ {plugin} {{ {block} }} }}");
    let job =
        JobFile::parse(&text, Path::new("j.conf"), FileFormat::Hocon, &Variables::new(&[]).unwrap()).unwrap();
    let (options, problems) = Options::resolve(&job.sinks[0], defs);
    assert!(!problems.iter().any(Problem::is_error), "{problems:?}");
    options
}

#[test]
fn the_options_are_sound() {
    assert_eq!(definition_mistakes(LOCAL_FILE_OPTIONS), Vec::<String>::new());
    assert_eq!(definition_mistakes(S3_FILE_OPTIONS), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_named() {
    for (block, named) in [
        ("path = \"out\"", "'path' is not absolute"),
        ("path = \"/${table_name}\"", "in front of the first placeholder"),
        ("path = \"/a\", file_format_type = orc", "is orc, which is neither read nor written"),
        ("path = \"/a\", compress_codec = lzo", "'compress_codec' is lzo"),
        ("path = \"/a\", encoding = utf-16", "can be read and not written"),
        ("path = \"/a\", filename_time_format = \"yy\"", "is yy, which is no pattern"),
        ("path = \"/a\", csv_string_quote_mode = NONE", "is NONE"),
        (
            "path = \"/a\", have_partition = true, partition_by = [a, b], partition_dir_expression = \"${k0}=${v0}\"",
            "lacks ${v1}: the values of b would be nowhere",
        ),
        (
            "path = \"/a\", have_partition = true, partition_by = [a], partition_dir_expression = \"${v0}/${v3}/x\"",
            "names ${v3}, and partition_by has 1 columns",
        ),
    ] {
        let error = Settings::from_options(&options(block)).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn what_other_programs_have_by_default_is_so_here() {
    let settings = Settings::from_options(&options("path = \"/a/b/\"")).unwrap();
    assert_eq!(
        (settings.path.as_str(), settings.ending.as_str(), settings.name.as_str()),
        ("/a/b", ".csv", "${transactionId}")
    );
    assert_eq!((settings.layout.field_delimiter.as_str(), settings.file_rows_max), (",", 1_000_000));
    let text = Settings::from_options(&options(
        "path = \"/a\", file_format_type = text, have_partition = true, partition_by = [x, y]",
    ))
    .unwrap();
    assert_eq!((text.layout.field_delimiter.as_str(), text.ending.as_str()), ("\u{1}", ".txt"));
    assert_eq!(text.partition_folders, "${k0}=${v0}/${k1}=${v1}");
}
