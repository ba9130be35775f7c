//! Which plugins there are.

use std::sync::Arc;

use culvert_api::{Result, Sink, Source, Transform};
use culvert_config::{Block, JobSettings, OptionDef, Options, Problem, ProblemKind, Role, Rule, nearest};
use culvert_sink_assert::AssertSink;
use culvert_sink_console::ConsoleSink;
use culvert_sink_dingtalk::DingTalkSink;
use culvert_sink_iceberg::IcebergSink;
use culvert_sink_in_memory::InMemorySink;
use culvert_sink_jdbc::JdbcSink;
use culvert_sink_kafka::KafkaSink;
use culvert_source_fake::FakeSource;
use culvert_source_jdbc::JdbcSource;
use culvert_source_kafka::KafkaSource;
use culvert_source_local_file::LocalFileSource;
use culvert_source_mysql::MySqlSource;
use culvert_source_postgres::PostgresSource;
use culvert_transform_sql::Sql;
use culvert_transforms::{
    Copy, DataValidator, FieldEncrypt, FieldMapper, FieldRename, Filter, FilterRowKind, JsonPath, Mask,
    Metadata, RegexExtract, Replace, RowKindExtractor, Split, TableFilter, TableMerge, TableRename,
    UNSUPPORTED,
};

/// One plugin: its name, its options, and how it is built.
pub(crate) struct Plugin {
    pub(crate) name: &'static str,
    pub(crate) options: &'static [OptionDef],
    /// What holds between options.
    pub(crate) rules: &'static [Rule],
    pub(crate) build: Build,
}

/// How a plugin is built. Building connects to nothing.
pub(crate) enum Build {
    Source(fn(&Options, &JobSettings) -> Result<Arc<dyn Source>>),
    Transform(fn(&Options) -> Result<Arc<dyn Transform>>),
    Sink(fn(&Options) -> Result<Arc<dyn Sink>>),
}

/// The plugin of a transform, which has everything under the same names.
macro_rules! transform {
    ($plugin:ty) => {
        Plugin {
            name: <$plugin>::PLUGIN,
            options: <$plugin>::OPTIONS,
            rules: <$plugin>::RULES,
            build: Build::Transform(|options| Ok(Arc::new(<$plugin>::from_options(options)?))),
        }
    };
}

/// Sources, transforms and sinks, in the order of the reference.
pub(crate) const PLUGINS: &[Plugin] = &[
    Plugin {
        name: MySqlSource::NAME,
        options: culvert_source_mysql::OPTIONS,
        rules: &[],
        build: Build::Source(|options, env| {
            Ok(Arc::new(MySqlSource::from_options(options, env.parallelism)?))
        }),
    },
    Plugin {
        name: PostgresSource::NAME,
        options: culvert_source_postgres::OPTIONS,
        rules: &[],
        build: Build::Source(|options, env| {
            Ok(Arc::new(PostgresSource::from_options(options, env.parallelism)?))
        }),
    },
    Plugin {
        name: JdbcSource::NAME,
        options: culvert_source_jdbc::OPTIONS,
        rules: culvert_source_jdbc::RULES,
        build: Build::Source(|options, env| {
            Ok(Arc::new(JdbcSource::from_options(options, env.parallelism)?))
        }),
    },
    Plugin {
        name: culvert_source_kafka::PLUGIN,
        options: culvert_source_kafka::OPTIONS,
        rules: culvert_source_kafka::RULES,
        build: Build::Source(|options, _| Ok(Arc::new(KafkaSource::from_options(options)?))),
    },
    Plugin {
        name: culvert_source_fake::PLUGIN,
        options: culvert_source_fake::OPTIONS,
        rules: culvert_source_fake::RULES,
        build: Build::Source(|options, env| {
            Ok(Arc::new(FakeSource::from_options(options, env.parallelism, env.mode)?))
        }),
    },
    Plugin {
        name: culvert_source_local_file::PLUGIN,
        options: culvert_source_local_file::OPTIONS,
        rules: culvert_source_local_file::RULES,
        build: Build::Source(|options, _| Ok(Arc::new(LocalFileSource::from_options(options)?))),
    },
    transform!(RowKindExtractor),
    transform!(FilterRowKind),
    transform!(Filter),
    transform!(FieldMapper),
    transform!(FieldRename),
    transform!(Copy),
    transform!(Replace),
    transform!(Split),
    transform!(RegexExtract),
    transform!(JsonPath),
    transform!(Metadata),
    transform!(Mask),
    transform!(FieldEncrypt),
    transform!(DataValidator),
    transform!(TableFilter),
    transform!(TableRename),
    transform!(TableMerge),
    Plugin {
        name: Sql::PLUGIN,
        options: Sql::OPTIONS,
        rules: &[],
        build: Build::Transform(|options| Ok(Arc::new(Sql::from_options(options)?))),
    },
    Plugin {
        name: culvert_sink_console::PLUGIN,
        options: culvert_sink_console::OPTIONS,
        rules: &[],
        build: Build::Sink(|options| Ok(Arc::new(ConsoleSink::from_options(options)?))),
    },
    Plugin {
        name: culvert_sink_assert::PLUGIN,
        options: culvert_sink_assert::OPTIONS,
        rules: &[],
        build: Build::Sink(|options| Ok(Arc::new(AssertSink::from_options(options)?))),
    },
    Plugin {
        name: culvert_sink_jdbc::PLUGIN,
        options: culvert_sink_jdbc::OPTIONS,
        rules: culvert_sink_jdbc::RULES,
        build: Build::Sink(|options| Ok(Arc::new(JdbcSink::from_options(options)?))),
    },
    Plugin {
        name: culvert_sink_kafka::PLUGIN,
        options: culvert_sink_kafka::OPTIONS,
        rules: culvert_sink_kafka::RULES,
        build: Build::Sink(|options| Ok(Arc::new(KafkaSink::from_options(options)?))),
    },
    Plugin {
        name: culvert_sink_file::LOCAL_FILE,
        options: culvert_sink_file::LOCAL_FILE_OPTIONS,
        rules: &[],
        build: Build::Sink(culvert_sink_file::local_file),
    },
    Plugin {
        name: culvert_sink_file::S3_FILE,
        options: culvert_sink_file::S3_FILE_OPTIONS,
        rules: &[],
        build: Build::Sink(culvert_sink_file::s3_file),
    },
    Plugin {
        name: culvert_sink_iceberg::PLUGIN,
        options: culvert_sink_iceberg::OPTIONS,
        rules: &[],
        build: Build::Sink(|options| Ok(Arc::new(IcebergSink::from_options(options)?))),
    },
    Plugin {
        name: culvert_sink_in_memory::PLUGIN,
        options: culvert_sink_in_memory::OPTIONS,
        rules: &[],
        build: Build::Sink(|options| Ok(Arc::new(InMemorySink::from_options(options)?))),
    },
    Plugin {
        name: culvert_sink_dingtalk::PLUGIN,
        options: culvert_sink_dingtalk::OPTIONS,
        rules: &[],
        build: Build::Sink(|options| Ok(Arc::new(DingTalkSink::from_options(options)?))),
    },
];

impl Plugin {
    /// What part of a job it is.
    pub(crate) fn role(&self) -> Role {
        match self.build {
            Build::Source(_) => Role::Source,
            Build::Transform(_) => Role::Transform,
            Build::Sink(_) => Role::Sink,
        }
    }
}

/// The plugin of a block, names compared without regard to letter case.
pub(crate) fn find(block: &Block) -> Result<&'static Plugin, Problem> {
    let of_role = || PLUGINS.iter().filter(|plugin| plugin.role() == block.role);
    if let Some(found) = of_role().find(|plugin| plugin.name.eq_ignore_ascii_case(&block.plugin)) {
        return Ok(found);
    }
    if let Some(problem) = unsupported(block) {
        return Err(problem);
    }
    let names: Vec<&str> = of_role().map(|plugin| plugin.name).collect();
    let section = block.role.section();
    let problem = Problem::error(
        ProblemKind::Structure,
        block.place.clone(),
        &block.plugin,
        format!("there is no {section} plugin '{}'", block.plugin),
    )
    .known_as(format!(
        "Could not find any factory for identifier '{}' that implements '{}' in the classpath.",
        block.plugin,
        match block.role {
            Role::Source => "org.apache.seatunnel.api.table.factory.TableSourceFactory",
            Role::Transform => "org.apache.seatunnel.api.table.factory.TableTransformFactory",
            _ => "org.apache.seatunnel.api.table.factory.TableSinkFactory",
        }
    ));
    let elsewhere = PLUGINS
        .iter()
        .find(|plugin| plugin.role() != block.role && plugin.name.eq_ignore_ascii_case(&block.plugin));
    if let Some(plugin) = elsewhere {
        return Err(problem.hint(format!(
            "'{}' is a {}; there are: {}",
            plugin.name,
            plugin.role(),
            names.join(", ")
        )));
    }
    Err(problem.hint(match nearest(&block.plugin, names.iter().copied()) {
        Some(name) => format!("did you mean '{name}'? `culvert connectors --role {section}` lists all"),
        None => format!("there are: {}", names.join(", ")),
    }))
}

/// A transform that SeaTunnel has and that is not here: why, and what to use instead.
fn unsupported(block: &Block) -> Option<Problem> {
    let known = UNSUPPORTED.iter().filter(|_| block.role == Role::Transform);
    let (name, why, instead) = known.copied().find(|(name, ..)| name.eq_ignore_ascii_case(&block.plugin))?;
    let message = format!("transform '{name}' is known and not supported: {why}");
    let problem = Problem::error(ProblemKind::Refused, block.place.clone(), &block.plugin, message);
    Some(problem.hint(instead))
}
