//! Where options come from that a job file names by an id: docs/metadata.md.
//!
//! [`settings`] says which provider there is, `file`, `environment` and `http` ask it, [`named`] lays what it
//! gives under a block, [`renewed`] does so again at every attempt. What a provider gave is kept in memory alone.

mod environment;
mod file;
mod http;
pub(crate) mod named;
pub(crate) mod renewed;
mod settings;

use std::path::Path;
use std::sync::Arc;

use culvert_config::{Block, Entry, JobFile, OptionDef, Problem, ProblemKind, Variables, read_document};

use environment::Environment;
use file::MetadataFile;
use http::MetadataService;

pub(crate) use settings::METADATA_OPTIONS;

/// Why there are no options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The provider knows no such id; it knows these, where it can tell.
    Unknown(Vec<String>),
    /// It cannot be asked now.
    Away(String),
    /// It gives what no options are, or refuses.
    Broken(String),
}

/// Gives options for ids.
#[derive(Debug)]
pub(crate) enum Provider {
    File(MetadataFile),
    Environment(Environment),
    Http(MetadataService),
}

impl Provider {
    /// The provider of a block `metadata`; `None` where the block is empty.
    pub(crate) fn from_block(block: &Block) -> Result<Option<Arc<Provider>>, Vec<Problem>> {
        settings::provider(block).map(|provider| provider.map(Arc::new))
    }

    /// The provider of the block `metadata` of a file.
    pub(crate) fn from_file(path: &Path) -> Result<Option<Arc<Provider>>, Vec<Problem>> {
        let read = Variables::new(&[])
            .and_then(|variables| read_document(path, "the file of the metadata provider", &variables));
        let root = read.map_err(|problem| vec![problem])?.root;
        let provider = Provider::from_block(&root.inside("metadata"))?;
        if provider.is_none() {
            let message = "the file has no block 'metadata' with a 'kind'";
            let problem = Problem::error(ProblemKind::Missing, root.place.clone(), "metadata", message);
            return Err(vec![
                problem.hint("metadata { kind = file, file.path = \"…\" }, see docs/metadata.md"),
            ]);
        }
        Ok(provider)
    }

    /// The provider of a job that no service runs: its own, otherwise that of the command line.
    pub(crate) fn of_job(
        file: &JobFile,
        given: Option<&Path>,
    ) -> Result<Option<Arc<Provider>>, Vec<Problem>> {
        match Provider::from_block(&file.env.inside("metadata"))? {
            None => given.map_or(Ok(None), Provider::from_file),
            own => Ok(own),
        }
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Provider::File(file) => format!("the metadata file '{}'", file.path.display()),
            Provider::Environment(environment) => {
                format!("the environment (variables {}…)", environment.prefix)
            }
            Provider::Http(service) => format!("the metadata service at '{}'", service.url),
        }
    }

    /// The options of a datasource, as of now. Waits.
    pub(crate) fn datasource(&self, id: &str, defs: &[OptionDef]) -> Result<Vec<Entry>, Missing> {
        match self {
            Provider::File(file) => file.datasource(id),
            Provider::Environment(environment) => environment.datasource(id, defs),
            Provider::Http(service) => service.datasource(id),
        }
    }

    /// What `schema` says of a table, as of now. Waits.
    pub(crate) fn table(&self, id: &str) -> Result<Vec<Entry>, Missing> {
        match self {
            Provider::File(file) => file.table(id),
            Provider::Environment(_) => {
                Err(Missing::Broken("the environment tells of no tables; declare the columns".to_owned()))
            }
            Provider::Http(service) => service.table(id),
        }
    }
}

/// Runs what may wait for a provider. Other tasks of this thread are given to another one meanwhile, where there is
/// one.
pub(crate) fn waiting<T>(call: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(call),
        _ => call(),
    }
}

#[cfg(test)]
mod tests;
