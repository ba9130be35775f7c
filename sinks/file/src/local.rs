//! Folders of this machine: a file is staged in a hidden folder and takes its place with one rename.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind as Io, Write};
use std::path::{Path, PathBuf};

use culvert_api::{Error, ErrorKind, Result};
use culvert_files::write::io_failed;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::manifest::{Manifest, Placed};
use crate::names::{HIDDEN, prefix};
use crate::options::SaveMode;
use crate::place::{Place, Root, Seen};
use crate::plan::NAME_BYTES_MAX;

/// The folder that all tables have in common.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) root: PathBuf,
    pub(crate) tmp_path: Option<PathBuf>,
}

/// The hidden folder of a writer: its manifest, the lock around it, and its staged files.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    hidden: PathBuf,
    /// `JOB.SINK.WRITER`, escaped.
    name: String,
    /// Staged files of all epochs.
    stage: PathBuf,
}

/// A staged file.
pub(crate) struct StagedFile {
    file: File,
    path: PathBuf,
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// An error at a path.
fn at(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |cause| io_failed(cause).context("path", &path)
}

impl Folders {
    /// The folder below `tmp_path`, which sinks of other folders may name as well.
    fn shared(&self) -> String {
        format!("culvert-{:08x}", crc32fast::hash(self.root.as_os_str().as_encoded_bytes()))
    }
}

impl Root for Folders {
    type Place = Folder;

    const PLUGIN: &'static str = "LocalFile";

    fn place(&self, job: &str, sink: &str, writer: u32) -> Folder {
        let name = format!("{}{writer}", prefix(job, sink));
        let hidden = self.root.join(HIDDEN);
        let tmp_path = self.tmp_path.as_ref();
        let stage = tmp_path
            .map_or_else(|| hidden.join("stage"), |tmp_path| tmp_path.join(self.shared()))
            .join(&name);
        Folder { hidden, name, stage }
    }

    fn is_there(&self) -> Result<bool> {
        Ok(self.root.is_dir())
    }

    fn writers(&self, job: &str, sink: &str) -> Result<Vec<u32>> {
        let hidden = self.root.join(HIDDEN);
        let prefix = prefix(job, sink);
        let entries = match fs::read_dir(&hidden) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == Io::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(at(&hidden)(cause)),
        };
        let mut writers = Vec::new();
        for entry in entries {
            let name = entry.map_err(at(&hidden))?.file_name().to_string_lossy().into_owned();
            let writer = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".json"));
            writers.extend(writer.and_then(|writer| writer.parse::<u32>().ok()));
        }
        Ok(writers)
    }

    fn clear(&self, folder: &Path, mode: SaveMode) -> Result<()> {
        clear(folder, mode)
    }
}

fn clear(folder: &Path, mode: SaveMode) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        if entry.file_name() == HIDDEN {
            continue;
        }
        let is_folder = entry.file_type().map_err(at(&path))?.is_dir();
        match mode {
            SaveMode::Drop { folders: true } if is_folder => fs::remove_dir_all(&path).map_err(at(&path))?,
            _ if is_folder => clear(&path, mode)?,
            SaveMode::Drop { .. } => fs::remove_file(&path).map_err(at(&path))?,
            SaveMode::Append | SaveMode::Refuse => return Err(not_empty(&path.display())),
        }
    }
    Ok(())
}

/// There is a file, and there was to be none.
pub(crate) fn not_empty(file: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, "there are files in the folder already")
        .context("file", file)
        .hint("move them away, or set data_save_mode = APPEND_DATA")
}

impl Folder {
    fn manifest_path(&self) -> PathBuf {
        self.hidden.join(format!("{}.json", self.name))
    }

    /// Refuses staging where there is no rename to the target: on another file system, or on another mount of the same one.
    fn refuse_far(&self, target: &Path) -> Result<()> {
        if mount(&self.stage)? == mount(target)? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "files are staged on another file system, or another mount of it, than they are to be on")
            .context("staged", self.stage.display())
            .context("folder", target.display())
            .hint("leave out tmp_path, or name a folder of the same mount: only there does a file take its place at once"))
    }
}

impl Place for Folder {
    type File = StagedFile;
    type Staged = PathBuf;

    /// Each has a buffer of 256 KiB.
    const LINE_FILES_MAX: usize = 64;

    /// Makes the folder, and holds a lock for as long as the file is open.
    fn hold(&self) -> Result<Option<File>> {
        make(&self.hidden)?;
        self.refuse_far(&self.hidden)?;
        let path = self.hidden.join(format!("{}.lock", self.name));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(Some(file))
    }

    fn read(&self) -> Result<(Option<Manifest<PathBuf>>, Seen)> {
        let path = self.manifest_path();
        match fs::read(&path) {
            Ok(bytes) => {
                let found =
                    Manifest::decode(&bytes).map_err(|error| error.context("file", path.display()))?;
                Ok((Some(found), Seen::Locked))
            }
            Err(cause) if cause.kind() == Io::NotFound || cause.kind() == Io::NotADirectory => {
                Ok((None, Seen::Nothing))
            }
            Err(cause) => Err(at(&path)(cause)),
        }
    }

    /// One rename. The lock is held, so nobody was faster.
    fn write(&self, manifest: &Manifest<PathBuf>, _: &Seen) -> Result<Option<Seen>> {
        let path = self.hidden.join(format!("{}.new", self.name));
        let mut file = File::create(&path).map_err(at(&path))?;
        file.write_all(&manifest.encode()?).and_then(|()| file.sync_all()).map_err(at(&path))?;
        fs::rename(&path, self.manifest_path()).map_err(at(&path))?;
        sync(&self.hidden)?;
        Ok(Some(Seen::Locked))
    }

    fn remove(&self) -> Result<()> {
        let path = self.manifest_path();
        fs::remove_file(&path).map_err(at(&path))?;
        sync(&self.hidden)
    }

    fn begin(&self, epoch: u64, number: u64, to: &Path) -> Result<StagedFile> {
        let stage = self.stage.join(epoch.to_string());
        make(&stage)?;
        self.refuse_far(to)?;
        let name = to.file_name().unwrap_or_default();
        if name.len() > NAME_BYTES_MAX {
            return Err(too_long(name.len(), NAME_BYTES_MAX).context("file", to.display()));
        }
        let path = stage.join(number.to_string());
        let file = File::create_new(&path).map_err(at(&path))?;
        Ok(StagedFile { file, path })
    }

    fn pass_on(&self, _: &mut StagedFile) -> Result<()> {
        Ok(())
    }

    fn end(&self, files: Vec<StagedFile>) -> Result<Vec<PathBuf>> {
        let mut staged = Vec::with_capacity(files.len());
        let mut folders = BTreeSet::new();
        for StagedFile { file, path } in files {
            file.sync_all().map_err(at(&path))?;
            folders.extend(path.parent().map(Path::to_path_buf));
            staged.push(path);
        }
        folders.iter().try_for_each(|folder| sync(folder))?;
        Ok(staged)
    }

    fn refuse_lost(&self, files: &[Placed<PathBuf>]) -> Result<()> {
        for Placed { from, .. } in files {
            if !from.try_exists().map_err(at(from))? {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "a staged file is gone before its checkpoint was committed",
                )
                .context("file", from.display())
                .hint("see who removes files there; the job reads its rows again by itself"));
            }
        }
        Ok(())
    }

    fn publish(&self, manifest: &Manifest<PathBuf>) -> Result<()> {
        let mut folders = BTreeSet::new();
        let (mut lost, mut taken) = (Vec::new(), None);
        for Placed { from, to } in &manifest.files {
            let folder = to.parent().unwrap_or(Path::new("/"));
            make(folder)?;
            folders.insert(folder.to_path_buf());
            let staged = from.try_exists().map_err(at(from))?;
            let there = to.try_exists().map_err(at(to))?;
            match (staged, there) {
                (true, false) => fs::rename(from, to).map_err(at(to))?,
                (false, true) => {}
                (true, true) => taken = Some(to),
                (false, false) => lost.push(to.display().to_string()),
            }
        }
        folders.iter().try_for_each(|folder| sync(folder))?;
        if let Some(to) = taken {
            return Err(Error::new(
                ErrorKind::Config,
                "a file has the name of one that is to take its place",
            )
            .context("file", to.display())
            .hint("move it away: nothing is overwritten"));
        }
        refuse_gone(&lost, manifest.checkpoint)
    }

    fn discard(&self, files: &[Placed<PathBuf>]) -> Result<()> {
        for Placed { from, .. } in files {
            match fs::remove_file(from) {
                Err(cause) if cause.kind() != Io::NotFound => return Err(at(from)(cause)),
                _ => {}
            }
        }
        Ok(())
    }

    fn clean(&self, _: &Manifest<PathBuf>) -> Result<()> {
        remove(&self.stage)
    }
}

/// A name that no file can have.
pub(crate) fn too_long(bytes: usize, most: usize) -> Error {
    Error::new(ErrorKind::Config, "the name of a file is too long")
        .context("bytes", bytes)
        .context("most", most)
        .hint("shorten path, file_name_expression or the values of the columns that make folders")
}

/// What was staged for a checkpoint that holds is not there. All else is published.
pub(crate) fn refuse_gone(targets: &[String], checkpoint: u64) -> Result<()> {
    let Some(first) = targets.first() else { return Ok(()) };
    Err(Error::new(ErrorKind::LogGone, "staged files of a committed checkpoint are gone")
        .context("file", first)
        .context("files", targets.len())
        .context("checkpoint", checkpoint)
        .hint(
            "restore them under these names, or put empty files there: their rows cannot be read again, because the source \
             was told that they are kept; with --fresh the job takes a new snapshot",
        ))
}

/// Makes a folder and those above it last.
fn make(folder: &Path) -> Result<()> {
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
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(at(folder))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != Io::NotFound => Err(at(folder)(cause)),
        _ => Ok(()),
    }
}

/// The file system of a path, or of the folder it is to be in, and its mount: there is no rename from one mount to
/// another (rename(2), EXDEV), be it of one file system. Linux tells mounts apart since 5.8.
fn mount(path: &Path) -> Result<(u32, u32, Option<u64>)> {
    let mut path = path;
    loop {
        match statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).map_err(std::io::Error::from) {
            Ok(found) => {
                let knows_mounts = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
                return Ok((
                    found.stx_dev_major,
                    found.stx_dev_minor,
                    knows_mounts.then_some(found.stx_mnt_id),
                ));
            }
            Err(cause) if cause.kind() == Io::NotFound => match path.parent() {
                Some(above) => path = above,
                None => return Err(at(path)(cause)),
            },
            Err(cause) => return Err(at(path)(cause)),
        }
    }
}
