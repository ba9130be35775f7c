//! The sink as the engine sees it.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::Options;

use crate::check;
use crate::cluster::Cluster;
use crate::committer::KafkaCommitter;
use crate::link::{Failure, Link};
use crate::marker::{self, Entry, Head, Owner};
use crate::options::Settings;
use crate::progress::{Found, ProgressReader};
use crate::writer::{KafkaWriter, Session, Transactional, taken_over};
use culvert_kafka::blocking;

/// The plugin's name as users write it.
pub const PLUGIN: &str = "Kafka";

/// Sends changes to Kafka.
#[derive(Debug)]
pub struct KafkaSink {
    settings: Arc<Settings>,
}

impl KafkaSink {
    /// Checks the options against each other; connects to nothing. Errors are
    /// [`culvert_api::ErrorKind::Config`] and name the option.
    pub fn from_options(options: &Options) -> Result<KafkaSink> {
        Ok(KafkaSink { settings: Arc::new(Settings::from_options(options)?) })
    }

    /// A producer that owns this id from now on; whoever had it is fenced.
    async fn producer(&self, id: &str) -> Result<Arc<Link>> {
        let (settings, id) = (Arc::clone(&self.settings), id.to_owned());
        blocking(move || {
            let link = Link::new(&settings, Some(&id))?;
            link.init()?;
            Ok(Arc::new(link))
        })
        .await?
    }

    /// Sends messages of the progress topic as one transaction.
    async fn commit_entries(&self, link: &Arc<Link>, id: &str, entries: Vec<Entry>) -> Result<()> {
        let (link, id) = (Arc::clone(link), id.to_owned());
        let topic = self.settings.progress_topic.clone();
        let done = blocking(move || {
            link.begin().map_err(Failure::plain)?;
            Session::send_entries(&link, &topic, &id, &entries)?;
            link.commit_now()
        });
        done.await?.map_err(|failure: Failure| failure.error)
    }

    /// Takes the fence. The order is the promise: first whoever had the id can commit nothing more and
    /// their open transaction is over, then the marker is read, then the new epoch is written.
    async fn take_over(
        &self,
        cluster: &Cluster,
        context: &WriterContext,
    ) -> Result<(Arc<Link>, Transactional, Option<CommitMarker>)> {
        let id = self.settings.transactional_id(&context.job, &context.sink, context.writer);
        let owner = Owner::new(&context.job, &context.sink, context.writer);
        cluster.ensure_progress_topic().await?;
        let reader = ProgressReader::new(&self.settings)?;
        let others = reader.other_ids(&owner, &id).await?;
        if others.is_empty() {
            // Who comes too late is told before anybody is disturbed.
            refuse_older(context, reader.read(&owner, &id).await?.as_ref())?;
        }
        for other in others {
            tracing::info!(transactional_id = other, "fencing the runs with another transaction_prefix");
            let link = self.producer(&other).await?;
            blocking(move || link.leave()).await?;
        }
        let link = self.producer(&id).await?;
        let found = reader.read(&owner, &id).await?;
        refuse_older(context, found.as_ref())?;
        let head =
            found.as_ref().map_or(Head::first(context.epoch), |found| found.head.with_epoch(context.epoch));
        self.commit_entries(&link, &id, vec![head.entry(&owner)]).await?;
        let marker = found.map(|found| CommitMarker { epoch: context.epoch, ..found.marker });
        Ok((link, Transactional { id, owner, reader }, marker))
    }
}

/// An epoch in the marker that is not smaller than ours belongs to a run that came later.
fn refuse_older(context: &WriterContext, found: Option<&Found>) -> Result<()> {
    match found.map(|found| found.head.epoch) {
        Some(epoch) if epoch >= context.epoch => Err(taken_over(context).context("epoch", epoch)),
        _ => Ok(()),
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        match self.settings.exactly_once {
            true => DeliveryContract::ExactlyOnce,
            false => DeliveryContract::AtLeastOnce,
        }
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        check::run(&self.settings, tables).await
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let cluster = Cluster::new(&self.settings)?;
        let (link, transactional, marker) = if self.settings.exactly_once {
            let (link, transactional, marker) = self.take_over(&cluster, context).await?;
            (link, Some(transactional), marker)
        } else {
            let settings = Arc::clone(&self.settings);
            let link = blocking(move || Link::new(&settings, None)).await??;
            (Arc::new(link), None, None)
        };
        let session = Arc::new(Session {
            settings: Arc::clone(&self.settings),
            context: context.clone(),
            link,
            transactional,
        });
        let committer = KafkaCommitter { session: Arc::clone(&session), counted: 0 };
        let writer = KafkaWriter::new(session, cluster);
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker })
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        if !self.settings.exactly_once {
            return Ok(None);
        }
        let cluster = Cluster::new(&self.settings)?;
        if cluster.partitions(&self.settings.progress_topic).await?.is_none() {
            return Ok(None);
        }
        let id = self.settings.transactional_id(job, sink, writer);
        let reader = ProgressReader::new(&self.settings)?;
        let found = reader.read(&Owner::new(job, sink, writer), &id).await?;
        Ok(found.map(|found| found.marker))
    }

    /// Takes the fences as well: an open transaction of a run that was killed would hide the removal.
    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        if !self.settings.exactly_once {
            return Ok(());
        }
        let cluster = Cluster::new(&self.settings)?;
        if cluster.partitions(&self.settings.progress_topic).await?.is_none() {
            return Ok(());
        }
        let reader = ProgressReader::new(&self.settings)?;
        for owner in reader.owners(job, sink).await? {
            let id = self.settings.transactional_id(job, sink, owner.writer);
            let link = self.producer(&id).await?;
            if let Some(found) = reader.read(&owner, &id).await? {
                let entries = marker::tombstones(&owner, found.head.parts);
                self.commit_entries(&link, &id, entries).await?;
            }
            blocking(move || link.leave()).await?;
        }
        Ok(())
    }
}
