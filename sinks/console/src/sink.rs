//! The sink as the engine sees it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::{OptionDef, Options};

use crate::writer::{ConsoleCommitter, ConsoleWriter};

/// The plugin's name as users write it.
pub const PLUGIN: &str = "Console";

/// The options.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::boolean("log.print.data")
        .default("true")
        .doc("Whether rows are printed; with false they are dropped."),
    OptionDef::duration_ms("log.print.delay.ms").default("0").doc("How long to wait after every row."),
    OptionDef::int_in("multi_table_sink_replica", 1, i64::MAX)
        .default("1")
        .ignored("one writer prints all tables")
        .doc("How many writers share the tables."),
];

/// Where lines go; shared by the writers of a sink.
pub(crate) type Output = Arc<Mutex<Box<dyn Write + Send>>>;

/// Prints rows.
pub struct ConsoleSink {
    print: bool,
    delay: Duration,
    output: Output,
}

impl ConsoleSink {
    /// Prints to standard output.
    pub fn from_options(options: &Options) -> Result<ConsoleSink> {
        Ok(ConsoleSink::to(options, Box::new(std::io::stdout())))
    }

    /// Prints somewhere else.
    pub fn to(options: &Options, output: Box<dyn Write + Send>) -> ConsoleSink {
        ConsoleSink {
            print: options.bool("log.print.data"),
            delay: Duration::from_millis(options.unsigned("log.print.delay.ms")),
            output: Arc::new(Mutex::new(output)),
        }
    }
}

#[async_trait]
impl Sink for ConsoleSink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::AtLeastOnce
    }

    async fn check(&self, _tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let writer = ConsoleWriter::new(context.clone(), self.output.clone(), self.print, self.delay);
        let committer = ConsoleCommitter::new(context.progress.clone());
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker: None })
    }

    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        Ok(None)
    }

    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
