//! The source as the engine sees it: a group, and what `culvert check` asks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Error, ErrorKind, Finding, Group, JobProgress, Member, ReaderContext, Result, Source,
    SourceReader, SourceState, SplitEnumerator, TableSchema,
};
use culvert_config::Options;
use culvert_kafka::error;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use crate::check;
use crate::member::KafkaMember;
use crate::options::Settings;

/// The plugin's name as users write it.
pub const PLUGIN: &str = "Kafka";

/// How long the broker may take to forget a group.
const FORGET_PATIENCE: Duration = Duration::from_secs(30);

/// Reads changes from Kafka.
#[derive(Debug)]
pub struct KafkaSource {
    settings: Arc<Settings>,
}

impl KafkaSource {
    /// Checks the options against each other; connects to nothing. Errors are operator errors.
    pub fn from_options(options: &Options) -> Result<KafkaSource> {
        Ok(KafkaSource { settings: Arc::new(Settings::from_options(options)?) })
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn group(&self) -> Option<Arc<dyn Group>> {
        Some(Arc::new(KafkaGroup { settings: Arc::clone(&self.settings) }))
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        check::run(&self.settings).await
    }

    fn declared_tables(&self) -> Result<Option<Vec<Arc<TableSchema>>>> {
        Ok(Some(vec![Arc::clone(self.settings.schema())]))
    }

    async fn tables(&self, _state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        Ok(vec![Arc::clone(self.settings.schema())])
    }

    async fn enumerator(
        &self,
        _context: ReaderContext,
        _state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Err(shared())
    }

    async fn reader(
        &self,
        _context: ReaderContext,
        _state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        Err(shared())
    }
}

fn shared() -> Error {
    Error::new(ErrorKind::Internal, "a topic is read by shares, not as a whole")
}

/// The consumer group of a job.
struct KafkaGroup {
    settings: Arc<Settings>,
}

#[async_trait]
impl Group for KafkaGroup {
    async fn join(&self, job: &str, progress: &Arc<JobProgress>) -> Result<Box<dyn Member>> {
        Ok(Box::new(KafkaMember::join(&self.settings, job, progress)?))
    }

    async fn forget(&self, job: &str) -> Result<()> {
        let group = self.settings.group(job);
        let doing = format!("forget the group {group}");
        let failed = |cause| error::convert(&cause, &doing);
        let admin: AdminClient<DefaultClientContext> =
            self.settings.client.admin().create().map_err(failed)?;
        let options = AdminOptions::new().request_timeout(Some(FORGET_PATIENCE));
        let answers = admin.delete_groups(&[group.as_str()], &options).await.map_err(failed)?;
        match answers.into_iter().next() {
            None | Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::GroupIdNotFound))) => Ok(()),
            Some(Err((_, RDKafkaErrorCode::NonEmptyGroup))) => {
                let message = format!("group '{group}' has members: other processes work on this job");
                Err(Error::new(ErrorKind::StateLocked, message)
                    .hint("stop them first; --fresh starts the job over for all"))
            }
            Some(Err((_, code))) => Err(error::of_code(code, &doing)),
        }
    }
}
