//! What the option definitions cannot say about a plugin: a sentence, a whole job as an example, and
//! the settings that decide what a sink promises.
//!
//! The promises are not written down here: a sink is built with each setting and asked.

use culvert_api::DeliveryContract;
use culvert_config::{Block, Format, JobFile, Options, Role, Variables};

use crate::connectors::{Build, Plugin};

/// What is told about one plugin.
pub(crate) struct Page {
    role: Role,
    name: &'static str,
    /// What it does, in one sentence.
    pub(crate) summary: &'static str,
    /// A job that passes `culvert check --strict`.
    pub(crate) example: &'static str,
    /// Options of a sink, as they stand in a job file, that change what it promises.
    settings: &'static [&'static str],
}

/// What a sink promises with a setting.
pub(crate) struct Delivery {
    /// The setting, or "by default".
    pub(crate) setting: String,
    /// The promise's name: `exactly-once`, …
    pub(crate) name: &'static str,
    /// The promise in words.
    pub(crate) words: &'static str,
}

/// A page of a source, transform or sink; its example lies in `examples/connectors`.
macro_rules! page {
    ($role:ident, $name:literal, $file:literal, $summary:literal, $settings:expr) => {
        Page {
            role: Role::$role,
            name: $name,
            summary: $summary,
            example: include_str!(concat!("../../examples/connectors/", $file, ".conf")),
            settings: $settings,
        }
    };
}

/// One page per plugin, in their order.
const PAGES: &[Page] = &[
    page!(
        Source,
        "MySQL-CDC",
        "source-mysql-cdc",
        "Tables of MySQL or MariaDB: a snapshot, and then every change, from the binlog.",
        &[]
    ),
    page!(
        Source,
        "Postgres-CDC",
        "source-postgres-cdc",
        "Tables of PostgreSQL: a snapshot, and then every change, from a replication slot.",
        &[]
    ),
    page!(
        Source,
        "Jdbc",
        "source-jdbc",
        "Tables and queries of MySQL, MariaDB or PostgreSQL, read once; then the job ends.",
        &[]
    ),
    page!(
        Source,
        "Kafka",
        "source-kafka",
        "Messages of a topic, read back into rows; the processes of a group share its partitions.",
        &[]
    ),
    page!(
        Source,
        "LocalFile",
        "source-local-file",
        "Rows of files of csv, text, json and parquet, read once; each row once, also across crashes.",
        &[]
    ),
    page!(
        Source,
        "FakeSource",
        "source-fake-source",
        "Made-up rows, or rows of the job file; needs no server.",
        &[]
    ),
    page!(
        Transform,
        "RowKindExtractor",
        "transform-row-kind-extractor",
        "Makes every change an inserted row, with what happened in a column of its own.",
        &[]
    ),
    page!(
        Transform,
        "FilterRowKind",
        "transform-filter-row-kind",
        "Lets through, or drops, rows by what happened to them.",
        &[]
    ),
    page!(Transform, "Filter", "transform-filter", "Keeps some columns, or all but some.", &[]),
    page!(
        Transform,
        "FieldMapper",
        "transform-field-mapper",
        "Keeps the columns it names, in their order, under new names.",
        &[]
    ),
    page!(
        Transform,
        "FieldRename",
        "transform-field-rename",
        "Renames columns by rules: letter case, prefix, suffix, replacements.",
        &[]
    ),
    page!(Transform, "Copy", "transform-copy", "Puts copies of columns beside them.", &[]),
    page!(
        Transform,
        "Replace",
        "transform-replace",
        "Replaces a text, or what a pattern finds, in a text column.",
        &[]
    ),
    page!(Transform, "Split", "transform-split", "Splits a text column into several.", &[]),
    page!(
        Transform,
        "RegexExtract",
        "transform-regex-extract",
        "Takes the groups of a pattern out of a text column.",
        &[]
    ),
    page!(
        Transform,
        "JsonPath",
        "transform-json-path",
        "Takes values out of a column of JSON by RFC 9535 paths.",
        &[]
    ),
    page!(
        Transform,
        "Metadata",
        "transform-metadata",
        "Appends what is known of a row: table, kind, time and place in the log.",
        &[]
    ),
    page!(Transform, "Mask", "transform-mask", "Hides values, in whole or in part, or hashes them.", &[]),
    page!(
        Transform,
        "FieldEncrypt",
        "transform-field-encrypt",
        "Encrypts or decrypts text columns with AES.",
        &[]
    ),
    page!(
        Transform,
        "DataValidator",
        "transform-data-validator",
        "Judges rows by rules: stops the job, drops them, or sends them to a table of errors.",
        &[]
    ),
    page!(
        Transform,
        "TableFilter",
        "transform-table-filter",
        "Lets tables pass, or drops them, by their names.",
        &[]
    ),
    page!(
        Transform,
        "TableRename",
        "transform-table-rename",
        "Renames tables by rules: letter case, prefix, suffix, replacements.",
        &[]
    ),
    page!(
        Transform,
        "TableMerge",
        "transform-table-merge",
        "Gives several tables one name, for shards.",
        &[]
    ),
    page!(
        Transform,
        "Sql",
        "transform-sql",
        "One SELECT over the rows of every table: expressions, functions and a WHERE.",
        &[]
    ),
    page!(Sink, "Console", "sink-console", "Rows on standard output, for a first look.", &[""]),
    page!(
        Sink,
        "Assert",
        "sink-assert",
        "Fails the job when rows, tables or their number are not as its rules say; for tests.",
        &[""]
    ),
    page!(
        Sink,
        "Jdbc",
        "sink-jdbc",
        "Tables of MySQL, MariaDB or PostgreSQL, kept equal to the source or written as a log of changes.",
        &["", "is_exactly_once = true", "enable_upsert = false"]
    ),
    page!(
        Sink,
        "Kafka",
        "sink-kafka",
        "Changes as messages in topics, in the formats that other tools write.",
        &["", "semantics = AT_LEAST_ONCE", "semantics = EXACTLY_ONCE"]
    ),
    page!(
        Sink,
        "LocalFile",
        "sink-local-file",
        "Rows into files of a folder, in csv, text, json or parquet, each row once.",
        &[""]
    ),
    page!(
        Sink,
        "Iceberg",
        "sink-iceberg",
        "Tables of a lake: every change as a row, or each row as it is now, each once.",
        &["", "iceberg.table.upsert-mode-enabled = true"]
    ),
    page!(
        Sink,
        "S3File",
        "sink-s3-file",
        "Rows into objects of a bucket, in csv, text, json or parquet, each row once.",
        &[""]
    ),
    page!(
        Sink,
        "InMemory",
        "sink-in-memory",
        "Takes every row and keeps none, for trying a job without a target.",
        &[""]
    ),
    page!(Sink, "DingTalk", "sink-dingtalk", "Rows as messages of a DingTalk robot, for people.", &[""]),
];

/// The page of a plugin.
pub(crate) fn page(plugin: &Plugin) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.role == plugin.role() && page.name.eq_ignore_ascii_case(plugin.name))
}

impl Page {
    /// What the sink promises with each setting that decides it.
    pub(crate) fn deliveries(&self, plugin: &Plugin) -> Vec<Delivery> {
        let promised = |setting: &&str| {
            let contract = self.contract(plugin, setting)?;
            let (name, words) = contract_words(contract);
            let setting = if setting.is_empty() { "by default" } else { setting };
            Some(Delivery { setting: setting.to_owned(), name, words })
        };
        self.settings.iter().filter_map(promised).collect()
    }

    /// Builds the sink of the example with a further setting, and asks.
    fn contract(&self, plugin: &Plugin, setting: &str) -> Option<DeliveryContract> {
        let Build::Sink(build) = plugin.build else { return None };
        let mut block = self.block(self.example)?;
        // The example itself may hold one of the settings, and "by default" means none of them.
        let decides =
            |key: &str| self.settings.iter().any(|setting| setting.split(" = ").next() == Some(key));
        block.entries.retain(|known| !decides(&known.key));
        let setting = format!("source {{ A {{}} }}\nsink {{ {} {{ {setting} }} }}", self.name);
        for entry in self.block(&setting)?.entries {
            block.entries.push(entry);
        }
        let (options, problems) = Options::resolve(&block, plugin.options);
        if !problems.is_empty() {
            return None;
        }
        Some(build(&options).ok()?.contract())
    }

    /// The plugin's block in a job.
    fn block(&self, job: &str) -> Option<Block> {
        let variables = Variables::new(&[]).ok()?;
        let job = JobFile::parse(job, "example.conf".as_ref(), Format::Hocon, &variables).ok()?;
        let mut blocks = job.blocks(self.role).iter();
        blocks.find(|block| block.plugin.eq_ignore_ascii_case(self.name)).cloned()
    }
}

/// A promise's name, and what it means.
pub(crate) fn contract_words(contract: DeliveryContract) -> (&'static str, &'static str) {
    match contract {
        DeliveryContract::ExactlyOnce => {
            ("exactly-once", "exactly once: rows and commit marker become visible in one step")
        }
        DeliveryContract::EffectivelyOnceByKey => (
            "effectively-once-by-key",
            "effectively once: after a crash rows can be written again, over themselves by their key",
        ),
        DeliveryContract::AtLeastOnce => {
            ("at-least-once", "at least once: after a crash rows can come again; none is lost")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::arguments::JobArguments;
    use crate::connectors::PLUGINS;
    use crate::job;

    #[test]
    fn every_plugin_has_a_page_and_every_page_a_plugin() {
        let missing: Vec<&str> =
            PLUGINS.iter().filter(|plugin| page(plugin).is_none()).map(|plugin| plugin.name).collect();
        assert!(missing.is_empty(), "no page in service/src/plugin_pages.rs: {missing:?}");
        assert_eq!(PAGES.len(), PLUGINS.len());
    }

    /// The whole job is read and built, and nothing is said about it.
    #[test]
    fn every_example_is_a_job_without_a_problem() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/connectors");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let config = entry.unwrap().path();
            let (path, none) = (config.clone(), Vec::new);
            let arguments = JobArguments { config: path, variables: none(), name: None, properties: none() };
            let job = job::read(&arguments, None);
            let job = job.unwrap();
            assert_eq!(job.problems, [], "{}", config.display());
            assert!(job.graph.is_some(), "{}", config.display());
            files += 1;
        }
        assert_eq!(files, PAGES.len());
    }

    #[test]
    fn every_sink_tells_what_it_promises() {
        for plugin in PLUGINS.iter().filter(|plugin| plugin.role() == Role::Sink) {
            let page = page(plugin).unwrap();
            assert!(page.block(page.example).is_some(), "the example of {} lacks it", plugin.name);
            assert_eq!(page.deliveries(plugin).len(), page.settings.len(), "{}", plugin.name);
            assert!(!page.settings.is_empty(), "{}", plugin.name);
        }
    }
}
