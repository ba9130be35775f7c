//! The sink as the engine sees it.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Error, ErrorKind, Finding, OpenSink, Result, Sink, TableSchema,
    WriterContext,
};
use culvert_config::Options;

use crate::writer::{InMemoryCommitter, InMemoryWriter};

/// The plugin's name as users write it.
pub const PLUGIN: &str = "InMemory";

/// Takes rows.
#[derive(Debug)]
pub struct InMemorySink {
    /// Two texts that must be the same for every table.
    same: Option<Arc<(String, String)>>,
}

impl InMemorySink {
    /// Takes the options.
    pub fn from_options(options: &Options) -> Result<InMemorySink> {
        let same = options.opt_str("assert_options_key").map(|key| {
            let value = options.str("assert_options_value");
            Arc::new((key.to_owned(), value.to_owned()))
        });
        Ok(InMemorySink { same })
    }
}

/// Fails where the two texts are not the same for a table.
pub(crate) fn compare(same: &(String, String), table: &TableSchema) -> Result<()> {
    let id = &table.id;
    let fill = |text: &String| {
        text.replace("${database_name}", &id.database)
            .replace("${schema_name}", id.schema.as_deref().unwrap_or_default())
            .replace("${table_name}", &id.table)
    };
    let (key, value) = (fill(&same.0), fill(&same.1));
    if key == value {
        return Ok(());
    }
    let message = format!("option 'assert_options_key' is {key}, and 'assert_options_value' is {value}");
    Err(Error::new(ErrorKind::Config, message).context("table", id))
}

#[async_trait]
impl Sink for InMemorySink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::AtLeastOnce
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        let compared = |table: &Arc<TableSchema>| {
            let error = compare(self.same.as_ref()?, table).err()?;
            Some(Finding::error(table.id.to_string(), error.message()))
        };
        Ok(tables.iter().filter_map(compared).collect())
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let writer = InMemoryWriter::new(context.clone(), self.same.clone());
        let committer = InMemoryCommitter::new(Arc::clone(&context.progress));
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker: None })
    }

    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        Ok(None)
    }

    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}
