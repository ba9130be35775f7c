//! Options.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use culvert_config::{Format, JobFile, Problem, Variables, definition_mistakes};

use super::*;

/// A catalog that is nowhere yet.
const HADOOP: &str = "catalog_name = c, iceberg.catalog.config { type = hadoop, warehouse = \"/w\" }";

/// The options of a block.
pub(crate) fn options(block: &str) -> Options {
    let text = format!("source {{ A {{}} }}\nsink {{ Iceberg {{ {block} }} }}");
    let job =
        JobFile::parse(&text, Path::new("j.conf"), Format::Hocon, &Variables::new(&[]).unwrap()).unwrap();
    let (options, problems) = Options::resolve(&job.sinks[0], OPTIONS);
    assert!(!problems.iter().any(Problem::is_error), "{problems:?}");
    options
}

/// The settings of a block beside a catalog.
pub(crate) fn settings(block: &str) -> Settings {
    Settings::from_options(&options(&format!("{HADOOP}, {block}"))).unwrap()
}

#[test]
fn the_options_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_named() {
    for (config, named) in [
        ("{ warehouse = \"/w\" }", "lacks type"),
        ("{ type = hive, warehouse = \"/w\" }", "type hive"),
        ("{ catalog-impl = org.example.Mine, warehouse = \"/w\" }", "catalog-impl Mine"),
        ("{ type = hadoop }", "lacks warehouse"),
        ("{ type = hadoop, warehouse = w }", "no location"),
        ("{ type = hadoop, warehouse = \"hdfs://n/w\" }", "no location"),
        ("{ type = jdbc, warehouse = \"/w\" }", "lacks uri"),
        ("{ type = jdbc, warehouse = \"/w\", uri = \"jdbc:mysql://h/d\" }", "database that is not known"),
        ("{ type = rest }", "lacks uri"),
        ("{ type = hadoop, warehouse = \"/w\", wearhouse = x }", "setting wearhouse"),
        ("{ type = hadoop, warehouse = \"s3://b/w\", s3.access-key-id = k }", "one half of the credentials"),
    ] {
        let built =
            Settings::from_options(&options(&format!("catalog_name = c, iceberg.catalog.config {config}")));
        let error = built.unwrap_err().to_string();
        assert!(error.contains(CATALOG) && error.contains(named), "{config}: {error}");
    }
    let orc =
        "iceberg.table.write-props { write.format.default = orc, write.target-file-size-bytes = 536870912 }";
    let built = Settings::from_options(&options(&format!("{HADOOP}, {orc}")));
    assert!(built.unwrap_err().to_string().contains("format orc"));
    let built = Settings::from_options(&options(&format!("{HADOOP}, data_save_mode = CUSTOM_PROCESSING")));
    assert!(built.unwrap_err().to_string().contains("'data_save_mode' is CUSTOM_PROCESSING"));
}

#[test]
fn seatunnels_ways_to_name_a_catalog_are_known() {
    for config in [
        "{ type = Hadoop, warehouse = \"file:///w\" }",
        "{ catalog-impl = \"org.apache.iceberg.hadoop.HadoopCatalog\", warehouse = \"/w\" }",
        "{ catalog-impl = \"org.apache.iceberg.jdbc.JdbcCatalog\", uri = \"jdbc:sqlite:/c.db\", warehouse = \"/w\" }",
        "{ type = jdbc, uri = \"jdbc:postgresql://h/d\", jdbc.user = u, jdbc.password = p, warehouse = \"s3a://b/w\" }",
        "{ type = rest, uri = \"http://h:1/\", token = t }",
    ] {
        let settings =
            Settings::from_options(&options(&format!("catalog_name = c, iceberg.catalog.config {config}")));
        assert!(settings.is_ok(), "{config}: {settings:?}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = "{ type = jdbc, uri = \"jdbc:postgresql://h/d\", jdbc.user = u, jdbc.password = hush, warehouse = \"s3://b/w\", \
                  s3.access-key-id = k, s3.secret-access-key = hush }";
    let settings =
        Settings::from_options(&options(&format!("catalog_name = c, iceberg.catalog.config {config}")));
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn hadoops_names_say_where_a_bucket_is() {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
    };
    let hadoop =
        map(&[("fs.s3a.endpoint", "http://e"), ("fs.s3a.access.key", "k"), ("fs.s3a.secret.key", "s")]);
    let found = s3_options(&map(&[("s3.endpoint", "http://i")]), &hadoop).unwrap();
    assert_eq!((found.endpoint.as_deref(), found.access_key.as_deref()), (Some("http://i"), Some("k")));
    assert!(!found.virtual_hosted);
}
