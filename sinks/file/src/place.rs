//! Where files are staged and published, and the protocol that every such place follows.

use std::fmt::Debug;
use std::io::Write;
use std::path::Path;

use culvert_api::failpoint::pass;
use culvert_api::{CommitMarker, Error, ErrorKind, Result, WriterContext};
use culvert_storage::Version;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::manifest::{Manifest, Placed};
use crate::options::SaveMode;

/// What the tables of a sink have in common: a folder, or a part of a bucket. Everything here blocks.
pub(crate) trait Root: Debug + Send + Sync + 'static {
    /// Where a writer stages.
    type Place: Place;

    /// The plugin's name as users write it.
    const PLUGIN: &'static str;

    /// The place of a writer.
    fn place(&self, job: &str, sink: &str, writer: u32) -> Self::Place;

    /// Whether there is anything; reads nothing else and writes nothing.
    fn is_there(&self) -> Result<bool>;

    /// The writers of a sink that left a manifest.
    fn writers(&self, job: &str, sink: &str) -> Result<Vec<u32>>;

    /// Does with the files of a table's folder what a first start is told to do. With `APPEND_DATA` it is not asked.
    fn clear(&self, folder: &Path, mode: SaveMode) -> Result<()>;
}

/// Which manifest was read. Only over that one another is written.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// There was none.
    Nothing,
    /// One that nobody else changes, because the lock is held.
    Locked,
    /// One that the service compares when it is replaced.
    Object(Version),
}

/// The place of one writer. Everything here blocks.
pub(crate) trait Place: Clone + Debug + Send + Sync + 'static {
    /// A file that is being staged. What is written to it may stay in memory.
    type File: Write + Send + 'static;
    /// Where a staged file is, as manifests keep it.
    type Staged: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Files of lines that are open at once: what is written to each waits in memory for its turn.
    const LINE_FILES_MAX: usize;

    /// Keeps other runs away from the manifest for as long as the answer is held, where no [`Seen`] does that.
    fn hold(&self) -> Result<Option<std::fs::File>>;

    /// The manifest.
    fn read(&self) -> Result<(Option<Manifest<Self::Staged>>, Seen)>;

    /// Puts a manifest over the one that was seen, at once and for good. `None`: another run was faster.
    fn write(&self, manifest: &Manifest<Self::Staged>, over: &Seen) -> Result<Option<Seen>>;

    /// Removes the manifest.
    fn remove(&self) -> Result<()>;

    /// Begins a file of this epoch that is to be at `to`.
    fn begin(&self, epoch: u64, number: u64, to: &Path) -> Result<Self::File>;

    /// Lets go of what a file has in memory, as far as it can.
    fn pass_on(&self, file: &mut Self::File) -> Result<()>;

    /// Ends files: they last, and nobody sees them.
    fn end(&self, files: Vec<Self::File>) -> Result<Vec<Self::Staged>>;

    /// Refuses a checkpoint one of whose staged files is not there any more, where that can be seen: in front of the
    /// manifest its rows can still be read again.
    fn refuse_lost(&self, files: &[Placed<Self::Staged>]) -> Result<()>;

    /// Gives the files of a manifest their places, each whole. Those that have it keep it. One that is lost keeps none of the
    /// others back.
    fn publish(&self, manifest: &Manifest<Self::Staged>) -> Result<()>;

    /// Removes staged files.
    fn discard(&self, files: &[Placed<Self::Staged>]) -> Result<()>;

    /// Removes what earlier runs staged. All that this manifest names is published.
    fn clean(&self, manifest: &Manifest<Self::Staged>) -> Result<()>;
}

/// Another run works on this sink.
fn fenced(job: &str, sink: &str, found: u64) -> Error {
    let message = format!("another run of job {job} has taken over sink {sink}");
    Error::new(ErrorKind::Fenced, message).context("epoch", found)
}

/// Writes a manifest. Who was faster is named when it is a later run; an earlier one may try what it likes.
fn put<P: Place>(place: &P, manifest: &Manifest<P::Staged>, over: &Seen) -> Result<Seen> {
    if let Some(seen) = place.write(manifest, over)? {
        return Ok(seen);
    }
    match place.read()?.0 {
        Some(found) if found.epoch > manifest.epoch => {
            Err(fenced(&manifest.job, &manifest.sink, found.epoch))
        }
        _ => Err(Error::new(ErrorKind::Contention, "another run changed the manifest at the same moment")
            .context("sink", &manifest.sink)
            .hint("the job tries again by itself")),
    }
}

/// Gives the files of a manifest that was written their places, if they do not have them.
fn settle<P: Place>(place: &P, mut manifest: Manifest<P::Staged>, seen: &Seen) -> Result<()> {
    if manifest.placed {
        return Ok(());
    }
    place.publish(&manifest)?;
    pass("file.placed.before")?;
    manifest.placed = true;
    put(place, &manifest, seen).map(drop)
}

/// Takes the fence, and makes good what a crash left undone. The marker as it was, and the run's name.
pub(crate) fn take_over<P: Place>(
    place: &P,
    context: &WriterContext,
    run: impl FnOnce() -> String,
) -> Result<(Option<CommitMarker>, String)> {
    let _held = place.hold()?;
    let (found, seen) = place.read()?;
    if let Some(found) = &found
        && found.epoch >= context.epoch
    {
        return Err(fenced(&context.job, &context.sink, found.epoch));
    }
    let is_new = found.is_none();
    let mut manifest = found.unwrap_or_else(|| {
        Manifest::fresh(&context.job, &context.sink, context.writer, run(), context.epoch)
    });
    manifest.epoch = context.epoch;
    let seen = put(place, &manifest, &seen)?;
    settle(place, manifest.clone(), &seen)?;
    place.clean(&manifest)?;
    let marker = if is_new { None } else { Some(manifest.marker()?) };
    Ok((marker, manifest.run))
}

/// The manifest must be of this epoch.
pub(crate) fn owned<P: Place>(
    place: &P,
    epoch: u64,
    (job, sink): (&str, &str),
) -> Result<(Manifest<P::Staged>, Seen)> {
    match place.read()? {
        (Some(found), seen) if found.epoch == epoch => Ok((found, seen)),
        (Some(found), _) => Err(fenced(job, sink, found.epoch)),
        (None, _) => Err(Error::new(ErrorKind::LogGone, format!("the manifest of sink {sink} is gone"))
            .hint("restore the hidden folder .culvert; with --fresh the job starts over, and adds its rows to what is there")),
    }
}

/// Commits the checkpoint of a manifest.
pub(crate) fn commit<P: Place>(place: &P, epoch: u64, manifest: Manifest<P::Staged>) -> Result<()> {
    let _held = place.hold()?;
    let (found, seen) = owned(place, epoch, (&manifest.job, &manifest.sink))?;
    if found.checkpoint >= manifest.checkpoint {
        return settle(place, found, &seen);
    }
    place.refuse_lost(&manifest.files)?;
    pass("file.marker.before")?;
    let seen = put(place, &manifest, &seen)?;
    pass("file.marker.after")?;
    settle(place, manifest, &seen)?;
    pass("file.placed.after")
}

/// Drops what was staged for a checkpoint. What was committed before the word came is not taken back.
pub(crate) fn abort<P: Place>(place: &P, manifest: &Manifest<P::Staged>) -> Result<()> {
    let _held = place.hold()?;
    match place.read()?.0 {
        Some(found) if found.checkpoint >= manifest.checkpoint => Ok(()),
        _ => place.discard(&manifest.files),
    }
}

/// Forgets the markers of all writers of a sink. What was committed is there; only the place is forgotten.
pub(crate) fn forget<R: Root>(root: &R, job: &str, sink: &str) -> Result<()> {
    for writer in root.writers(job, sink)? {
        let place = root.place(job, sink, writer);
        let _held = place.hold()?;
        if let (Some(manifest), seen) = place.read()? {
            match settle(&place, manifest.clone(), &seen) {
                // A new snapshot is the way on from here.
                Err(error) if error.kind() == ErrorKind::LogGone => {
                    tracing::warn!(job, sink, %error, "forgotten with what was lost");
                }
                settled => settled?,
            }
            place.clean(&manifest)?;
            place.remove()?;
        }
    }
    Ok(())
}
