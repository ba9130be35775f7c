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

use crate::committer::{LocalFileCommitter, fenced};
use crate::folder::{self, Folder};
use crate::manifest::Manifest;
use crate::options::{SaveMode, Settings};
use crate::plan::{Plan, root};
use crate::writer::LocalFileWriter;

/// The plugin's name as users write it.
pub const PLUGIN: &str = "LocalFile";

/// Writes files.
#[derive(Debug)]
pub struct LocalFileSink {
    settings: Arc<Settings>,
    root: PathBuf,
}

/// Runs what blocks on the disk off the event loop.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = tokio::task::spawn_blocking(call).await;
    ended.map_err(|cause| Error::new(ErrorKind::Internal, "writing files was given up").caused_by(cause))?
}

impl LocalFileSink {
    /// Checks the options against each other; touches no file. Errors are operator errors.
    pub fn from_options(options: &Options) -> Result<LocalFileSink> {
        let settings = Settings::from_options(options)?;
        let root = root(&settings.path);
        Ok(LocalFileSink { settings: Arc::new(settings), root })
    }

    fn folder(&self, job: &str, sink: &str, writer: u32) -> Folder {
        Folder::new(&self.root, self.settings.tmp_path.as_deref(), (job, sink, writer))
    }
}

/// A name that no other start from scratch has.
fn run() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Takes the fence, and makes good what a crash left undone. The marker as it was, and the run's name.
fn take_over(folder: &Folder, context: &WriterContext) -> Result<(Option<CommitMarker>, String)> {
    let _held = folder.lock()?;
    let found = folder.read()?;
    if let Some(found) = &found
        && found.epoch >= context.epoch
    {
        return Err(fenced(&context.job, &context.sink, found.epoch));
    }
    let is_new = found.is_none();
    let mut manifest = found.unwrap_or_else(|| {
        Manifest::fresh(&context.job, &context.sink, context.writer, run(), context.epoch)
    });
    folder.place(&mut manifest)?;
    folder.unstage()?;
    manifest.epoch = context.epoch;
    folder.write(&manifest)?;
    let marker = if is_new { None } else { Some(manifest.marker()?) };
    Ok((marker, manifest.run))
}

#[async_trait]
impl Sink for LocalFileSink {
    fn name(&self) -> &str {
        PLUGIN
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
        if self.settings.needs_folder && !self.root.is_dir() {
            findings.push(Finding::error("path", format!("the folder {} is missing", self.root.display())));
        }
        Ok(findings)
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let folder = self.folder(&context.job, &context.sink, context.writer);
        if self.settings.needs_folder && !self.root.is_dir() {
            return Err(Error::new(ErrorKind::Config, "the folder of the files is missing")
                .context("path", self.root.display())
                .hint("make it, or set schema_save_mode = CREATE_SCHEMA_WHEN_NOT_EXIST"));
        }
        let (work, taker, root) = (folder.clone(), context.clone(), self.root.clone());
        let (marker, run) = blocking(move || {
            work.refuse_far(taker.epoch, &root)?;
            take_over(&work, &taker)
        })
        .await?;
        let (settings, progress) = (Arc::clone(&self.settings), Arc::clone(&context.progress));
        let committer =
            LocalFileCommitter { folder: folder.clone(), epoch: context.epoch, progress, counted: 0 };
        let writer = LocalFileWriter::new(settings, folder, context.clone(), run);
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker })
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        let folder = self.folder(job, sink, writer);
        blocking(move || folder.read()?.map(|manifest| manifest.marker()).transpose()).await
    }

    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        let (root, settings) = (self.root.clone(), Arc::clone(&self.settings));
        let (job, sink) = (job.to_owned(), sink.to_owned());
        blocking(move || folder::forget(&root, settings.tmp_path.as_deref(), &job, &sink)).await
    }
}

#[cfg(test)]
mod tests;
