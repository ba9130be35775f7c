//! Where the state of a job lies, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Spool, StateStore};
use culvert_engine::{JobGraph, needs_spool};
use culvert_state::{FileSpool, JobIdentity, RocksStore};

use crate::job;

/// `$XDG_STATE_HOME/culvert`, or below the home folder.
pub(crate) fn user_folder() -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local").join("state")));
    base.unwrap_or_else(|| PathBuf::from(".")).join("culvert")
}

/// The folder of a service that nobody named one for.
pub(crate) fn service_folder() -> PathBuf {
    user_folder().join("service")
}

/// The folder of a job that nobody named one for.
fn default_folder(name: &str) -> PathBuf {
    let safe: String =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    user_folder().join(safe)
}

/// The folder of a job's state: the one that is given, or its own below the user's.
pub(crate) fn folder(given: Option<PathBuf>, name: &str) -> PathBuf {
    given.unwrap_or_else(|| default_folder(name))
}

/// The store of a job that one process does, and the spool where its sinks can stand apart.
pub(crate) type State = (Option<Arc<dyn StateStore>>, Option<Arc<dyn Spool>>);

/// Opens the state of a job in `folder`, or in its own below the user's. `fresh` forgets it, and the markers
/// at its sinks.
pub(crate) async fn open(
    graph: &JobGraph,
    name: &str,
    folder: Option<PathBuf>,
    fresh: bool,
) -> Result<State, Error> {
    let (source, _) = job::ends(graph)?;
    let Some(group) = source.group() else {
        let folder = self::folder(folder, name);
        tracing::info!(job = name, state = %folder.display(), "opening the state folder");
        return open_state(graph, name, &folder, fresh).await;
    };
    if folder.is_some() {
        tracing::warn!(
            "--state has no effect: what processes share has its state at the sink and in the group"
        );
    }
    if fresh {
        job::refuse_unfit(graph).await?;
        group.forget(name).await?;
        forget_markers(graph, name).await?;
    }
    Ok((None, None))
}

async fn forget_markers(graph: &JobGraph, name: &str) -> Result<(), Error> {
    for (sink_name, sink) in job::sinks(graph)? {
        sink.forget(name, &sink_name).await?;
    }
    tracing::warn!(job = name, "starting over: state and commit markers are forgotten");
    Ok(())
}

async fn open_state(
    graph: &JobGraph,
    name: &str,
    folder: &std::path::Path,
    fresh: bool,
) -> Result<State, Error> {
    let identity = JobIdentity { name: name.to_owned(), fingerprint: job::fingerprint(graph)? };
    if fresh {
        // Nothing is forgotten for the sake of a job that cannot start.
        job::refuse_unfit(graph).await?;
    }
    let path = folder.to_owned();
    let spooled = needs_spool(&job::ends(graph)?.1);
    let opened = tokio::task::spawn_blocking(move || -> Result<State, Error> {
        let store = if fresh {
            RocksStore::open_reset(&path, &identity)?
        } else {
            RocksStore::open(&path, &identity)?
        };
        if fresh {
            FileSpool::reset(&path)?;
        }
        let spool = if spooled { Some(Arc::new(FileSpool::open(&path)?) as Arc<dyn Spool>) } else { None };
        Ok((Some(Arc::new(store) as Arc<dyn StateStore>), spool))
    });
    let state = opened.await.map_err(|error| {
        Error::new(ErrorKind::Internal, "opening the state folder failed").caused_by(error)
    })??;
    if fresh {
        forget_markers(graph, name).await?;
    }
    Ok(state)
}
