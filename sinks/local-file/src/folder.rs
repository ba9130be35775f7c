//! The hidden folder of a writer: its manifest, the lock around it, and its staged files. Everything here blocks.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind as Io, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use culvert_api::failpoint::pass;
use culvert_api::{Error, ErrorKind, Result};
use culvert_files::write::io_failed;

use crate::manifest::{Manifest, Placed};

/// The hidden folder below the one of the files.
pub(crate) const HIDDEN: &str = ".culvert";
/// Bytes of the name of a file, less what is put around ours.
const NAME_BYTES_MAX: usize = 200;

/// Where a writer keeps what is not rows yet.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    hidden: PathBuf,
    /// `JOB.SINK.WRITER`, escaped.
    name: String,
    /// Staged files of all epochs.
    stage: PathBuf,
}

/// An error at a path.
pub(crate) fn at(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |cause| io_failed(cause).context("path", &path)
}

impl Folder {
    /// That of a writer. `root` is the folder that all tables have in common.
    pub(crate) fn new(
        root: &Path,
        tmp_path: Option<&Path>,
        (job, sink, writer): (&str, &str, u32),
    ) -> Folder {
        let name = format!("{}.{writer}", prefix(job, sink));
        let hidden = root.join(HIDDEN);
        let stage =
            tmp_path.map_or_else(|| hidden.join("stage"), |tmp_path| tmp_path.join("culvert")).join(&name);
        Folder { hidden, name, stage }
    }

    fn manifest_path(&self) -> PathBuf {
        self.hidden.join(format!("{}.json", self.name))
    }

    /// Makes the folder, and holds the lock for as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File> {
        make(&self.hidden)?;
        let path = self.hidden.join(format!("{}.lock", self.name));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(file)
    }

    /// The manifest; `None` when there is none.
    pub(crate) fn read(&self) -> Result<Option<Manifest>> {
        let path = self.manifest_path();
        match fs::read(&path) {
            Ok(bytes) => {
                Manifest::decode(&bytes).map(Some).map_err(|error| error.context("file", path.display()))
            }
            Err(cause) if cause.kind() == Io::NotFound || cause.kind() == Io::NotADirectory => Ok(None),
            Err(cause) => Err(at(&path)(cause)),
        }
    }

    /// Puts a manifest into its place with one rename. The lock is held.
    pub(crate) fn write(&self, manifest: &Manifest) -> Result<()> {
        let path = self.hidden.join(format!("{}.new", self.name));
        let mut file = File::create(&path).map_err(at(&path))?;
        file.write_all(&manifest.encode()?).and_then(|()| file.sync_all()).map_err(at(&path))?;
        fs::rename(&path, self.manifest_path()).map_err(at(&path))?;
        sync(&self.hidden)
    }

    /// Gives the files of a manifest their places, if they do not have them. The lock is held.
    pub(crate) fn place(&self, manifest: &mut Manifest) -> Result<()> {
        if manifest.placed {
            return Ok(());
        }
        let mut folders = BTreeSet::new();
        for Placed { from, to } in &manifest.files {
            let folder = to.parent().unwrap_or(Path::new("/"));
            make(folder)?;
            folders.insert(folder.to_path_buf());
            let staged = from.try_exists().map_err(at(from))?;
            let there = to.try_exists().map_err(at(to))?;
            match (staged, there) {
                (true, false) => fs::rename(from, to).map_err(at(to))?,
                (false, true) => {}
                (true, true) => {
                    return Err(Error::new(
                        ErrorKind::Config,
                        "a file has the name of one that is to take its place",
                    )
                    .context("file", to.display())
                    .hint("move it away: nothing is overwritten"));
                }
                (false, false) => {
                    return Err(Error::new(ErrorKind::LogGone, "a staged file of a committed checkpoint is gone")
                        .context("file", from.display())
                        .context("checkpoint", manifest.checkpoint)
                        .hint("restore it; its rows cannot be read again, because the source was told that they are kept"));
                }
            }
        }
        for folder in &folders {
            sync(folder)?;
        }
        pass("local_file.placed.before")?;
        manifest.placed = true;
        self.write(manifest)
    }

    /// Where files of an epoch are staged.
    pub(crate) fn stage(&self, epoch: u64) -> PathBuf {
        self.stage.join(epoch.to_string())
    }

    /// Removes what is staged, of all epochs. Only what no manifest names.
    pub(crate) fn unstage(&self) -> Result<()> {
        remove(&self.stage)
    }

    /// Refuses staging on another file system: there is no rename from one to the other.
    pub(crate) fn refuse_far(&self, epoch: u64, target: &Path) -> Result<()> {
        let stage = self.stage(epoch);
        make(&stage)?;
        if device(&stage)? == device(target)? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "files are staged on another file system than they are to be on")
            .context("staged", stage.display())
            .context("folder", target.display())
            .hint("leave out tmp_path, or name a folder of the same file system: only there does a file take its place at once"))
    }
}

/// Removes the manifests of a job and sink, of all writers, and what they staged.
pub(crate) fn forget(root: &Path, tmp_path: Option<&Path>, job: &str, sink: &str) -> Result<()> {
    let hidden = root.join(HIDDEN);
    let prefix = format!("{}.", prefix(job, sink));
    let entries = match fs::read_dir(&hidden) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == Io::NotFound => return Ok(()),
        Err(cause) => return Err(at(&hidden)(cause)),
    };
    for entry in entries {
        let entry = entry.map_err(at(&hidden))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let writer = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".json"));
        if let Some(writer) = writer.and_then(|writer| writer.parse::<u32>().ok()) {
            let folder = Folder::new(root, tmp_path, (job, sink, writer));
            let _held = folder.lock()?;
            if let Some(mut manifest) = folder.read()? {
                // What was committed is there; only the place is forgotten.
                folder.place(&mut manifest)?;
            }
            fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
            folder.unstage()?;
        }
    }
    sync(&hidden)
}

/// `JOB.SINK`, so that no two jobs share one and no dot is part of a name.
fn prefix(job: &str, sink: &str) -> String {
    let name = format!("{}.{}", escape(job), escape(sink));
    match name.get(..NAME_BYTES_MAX) {
        Some(short) if name.len() > NAME_BYTES_MAX => {
            format!("{short}-{:08x}", crc32fast::hash(name.as_bytes()))
        }
        _ => name,
    }
}

/// A name without what a file system, or a dot, could take for something else.
pub(crate) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Makes a folder and those above it last.
pub(crate) fn make(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new("/"));
    if above != folder {
        make(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => sync(above),
        Err(cause) if cause.kind() == Io::AlreadyExists => Ok(()),
        Err(cause) => Err(at(folder)(cause)),
    }
}

/// Makes the names in a folder last.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(at(folder))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != Io::NotFound => Err(at(folder)(cause)),
        _ => Ok(()),
    }
}

/// The file system of a path, or of the folder it is to be in.
fn device(path: &Path) -> Result<u64> {
    let mut path = path;
    loop {
        match fs::metadata(path) {
            Ok(found) => return Ok(found.dev()),
            Err(cause) if cause.kind() == Io::NotFound => match path.parent() {
                Some(above) => path = above,
                None => return Err(at(path)(cause)),
            },
            Err(cause) => return Err(at(path)(cause)),
        }
    }
}
