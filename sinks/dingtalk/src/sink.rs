//! The sink as the engine sees it.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::Options;
use serde_json::{Value, json};

use crate::robot::Robot;
use crate::text::Telling;
use crate::writer::{DingTalkCommitter, DingTalkWriter, Minute};

/// The plugin's name as users write it.
pub const PLUGIN: &str = "DingTalk";

/// Tells rows to a robot.
#[derive(Debug)]
pub struct DingTalkSink {
    robot: Arc<Robot>,
    /// Whom each message points out.
    at: Value,
    telling: Telling,
    per_minute: usize,
}

impl DingTalkSink {
    /// Checks the options; connects to nothing.
    pub fn from_options(options: &Options) -> Result<DingTalkSink> {
        Ok(DingTalkSink {
            robot: Arc::new(Robot::new(options.secret("url"), options.secret("secret"))?),
            at: json!({"atMobiles": options.list("at.mobiles"), "isAtAll": options.bool("at.all")}),
            telling: Telling::new(options.opt_str("message"))?,
            per_minute: usize::try_from(options.unsigned("messages.per.minute")).unwrap_or(1).max(1),
        })
    }
}

#[async_trait]
impl Sink for DingTalkSink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::AtLeastOnce
    }

    /// A robot cannot be asked whether it would take a message, so only the tables are looked at.
    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        let unfit = |table: &Arc<TableSchema>| {
            let error = self.telling.fit(table).err()?;
            Some(Finding::error(table.id.to_string(), error.message()))
        };
        Ok(tables.iter().filter_map(unfit).collect())
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let minute = Minute::new(self.per_minute);
        let robot = (Arc::clone(&self.robot), self.at.clone());
        let writer = DingTalkWriter::new(context.clone(), robot, self.telling.clone(), minute);
        let committer = DingTalkCommitter::new(Arc::clone(&context.progress));
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker: None })
    }

    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        Ok(None)
    }

    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}
