//! The sink as the engine sees it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Error, ErrorKind, Finding, OpenSink, Result, Sink, TableSchema,
    WriterContext,
};
use culvert_config::Options;
use culvert_files::format::option;
use culvert_storage::Storage;

use crate::bucket::Buckets;
use crate::committer::FileCommitter;
use crate::local::Folders;
use crate::options::{SaveMode, Settings, bucket, service};
use crate::place::{self, Place, Root};
use crate::plan::{Plan, root};
use crate::writer::FileWriter;

/// The name of the sink of folders, as users write it.
pub const LOCAL_FILE: &str = Folders::PLUGIN;
/// The name of the sink of buckets, as users write it.
pub const S3_FILE: &str = Buckets::PLUGIN;

/// Writes files.
#[derive(Debug)]
struct FileSink<R> {
    settings: Arc<Settings>,
    root: Arc<R>,
}

/// The sink `LocalFile`. Checks the options against each other; touches no file. Errors are operator errors.
pub fn local_file(options: &Options) -> Result<Arc<dyn Sink>> {
    let settings = Settings::from_options(options)?;
    let tmp_path = options.opt_str("tmp_path").filter(|path| !path.is_empty()).map(PathBuf::from);
    let root = Folders { root: root(&settings.path), tmp_path };
    Ok(Arc::new(FileSink { settings: Arc::new(settings), root: Arc::new(root) }))
}

/// The sink `S3File`. Checks the options against each other; connects to nothing. Errors are operator errors.
pub fn s3_file(options: &Options) -> Result<Arc<dyn Sink>> {
    let settings = Settings::from_options(options)?;
    let bucket = bucket(options)?;
    let storage = Storage::of(&format!("s3://{bucket}"), || service(options))?;
    let root = Buckets { storage, bucket, root: root(&settings.path) };
    Ok(Arc::new(FileSink { settings: Arc::new(settings), root: Arc::new(root) }))
}

/// Runs what blocks on the disk off the event loop.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = tokio::task::spawn_blocking(call).await;
    ended.map_err(|cause| Error::new(ErrorKind::Internal, "writing files was given up").caused_by(cause))?
}

/// A name that no other start from scratch has.
fn run() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

#[async_trait]
impl<R: Root> Sink for FileSink<R> {
    fn name(&self) -> &str {
        R::PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::ExactlyOnce
    }

    fn shareable(&self) -> Result<()> {
        match self.settings.save_mode {
            SaveMode::Append => Ok(()),
            _ => Err(option(
                "data_save_mode",
                "looks at files that may be another writer's; several share this folder",
            )
            .hint("use APPEND_DATA, and clear the folder by hand")),
        }
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for table in tables {
            if let Err(error) = Plan::new(&self.settings, table) {
                findings.push(match error.hint_text() {
                    Some(hint) => Finding::error(table.id.to_string(), error.message()).hint(hint),
                    None => Finding::error(table.id.to_string(), error.to_string()),
                });
            }
        }
        let root = Arc::clone(&self.root);
        if !blocking(move || root.is_there()).await? && self.settings.needs_folder {
            findings.push(Finding::error("path", format!("the folder {} is missing", self.settings.path)));
        }
        Ok(findings)
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let root = Arc::clone(&self.root);
        if self.settings.needs_folder && !blocking(move || root.is_there()).await? {
            return Err(Error::new(ErrorKind::Config, "the folder of the files is missing")
                .context("path", &self.settings.path)
                .hint("make it, or set schema_save_mode = CREATE_SCHEMA_WHEN_NOT_EXIST"));
        }
        let place = self.root.place(&context.job, &context.sink, context.writer);
        let (work, taker) = (place.clone(), context.clone());
        let (marker, run) = blocking(move || place::take_over(&work, &taker, run)).await?;
        let (settings, root) = (Arc::clone(&self.settings), Arc::clone(&self.root));
        let progress = Arc::clone(&context.progress);
        let committer = FileCommitter { place: place.clone(), epoch: context.epoch, progress, counted: 0 };
        let writer = FileWriter::new(settings, root, place, context.clone(), run);
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker })
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        let place = self.root.place(job, sink, writer);
        blocking(move || place.read()?.0.map(|manifest| manifest.marker()).transpose()).await
    }

    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        let root = Arc::clone(&self.root);
        let (job, sink) = (job.to_owned(), sink.to_owned());
        blocking(move || place::forget(&*root, &job, &sink)).await
    }
}

#[cfg(test)]
mod tests;
