//! The sink as the engine sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Error, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::Options;

use crate::count::Count;
use crate::judge::{self, Judge};
use crate::rules::Rules;
use crate::writer::{AssertCommitter, AssertWriter};

/// The plugin's name as users write it.
pub const PLUGIN: &str = "Assert";

/// What each writer counted; it outlives an attempt.
pub(crate) type Counts = Arc<Mutex<BTreeMap<u32, Count>>>;

/// Judges rows.
#[derive(Debug)]
pub struct AssertSink {
    rules: Arc<Rules>,
    counts: Counts,
}

impl AssertSink {
    /// Reads the rules. Errors are operator errors that name the rule.
    pub fn from_options(options: &Options) -> Result<AssertSink> {
        Ok(AssertSink { rules: Arc::new(Rules::from_options(options)?), counts: Counts::default() })
    }
}

#[async_trait]
impl Sink for AssertSink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::AtLeastOnce
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        let judged = judge::tables(&self.rules, tables)
            .and_then(|()| tables.iter().try_for_each(|table| Judge::new(&self.rules, table).map(drop)));
        Ok(judged.err().iter().map(finding).collect())
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let writer = AssertWriter::new(Arc::clone(&self.rules), Arc::clone(&self.counts), context.clone());
        let committer = AssertCommitter::new(Arc::clone(&context.progress));
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker: None })
    }

    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        Ok(None)
    }

    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}

fn finding(error: &Error) -> Finding {
    Finding::error(PLUGIN, error.to_string())
}

#[cfg(test)]
mod tests;
