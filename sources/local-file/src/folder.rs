//! Which files there are, and what their paths say.

use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use culvert_api::{Error, ErrorKind, Result};
use culvert_files::read::read_failed;
use serde::{Deserialize, Serialize};

use crate::table::{Choice, Table};

/// Files of a job at most: the restart point has them all.
const FILES_MAX: usize = 20_000;
/// How deep folders may lie in one another; a link that leads back would have no end.
const DEPTH_MAX: usize = 64;
/// The value of a folder that stands for NULL, as in Hive.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// A file as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Below the table's path; empty where that is the file.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub(crate) modified_ns: i64,
}

impl Seen {
    fn of(name: String, found: &Metadata) -> Seen {
        let modified = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified_ns = modified.and_then(|at| i64::try_from(at.as_nanos()).ok()).unwrap_or(0);
        Seen { name, bytes: found.len(), modified_ns }
    }

    /// Where it is.
    pub(crate) fn path(&self, table: &Path) -> PathBuf {
        if self.name.is_empty() { table.to_path_buf() } else { table.join(&self.name) }
    }

    /// Fails when it is not what it was. Blocks.
    pub(crate) fn refuse_changed(&self, table: &Path) -> Result<()> {
        let path = self.path(table);
        let what = match fs::metadata(&path) {
            Ok(found) if Seen::of(self.name.clone(), &found) == *self => return Ok(()),
            Ok(_) => "a file changed after the job began",
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                "a file that the job began with is gone"
            }
            Err(cause) => return Err(read_failed(cause).context("file", path.display())),
        };
        Err(Error::new(ErrorKind::LogGone, what)
            .context("file", path.display())
            .hint("put the file back as it was (its time as well), or start over with --fresh"))
    }
}

/// The files of a table, in the order they are read in. Blocks.
pub(crate) fn files(table: &Table) -> Result<Vec<Seen>> {
    let located = |cause| read_failed(cause).context("path", table.path.display());
    let mut found = Vec::new();
    let root = fs::metadata(&table.path).map_err(located)?;
    if root.is_dir() {
        walk(table, "", DEPTH_MAX, &mut found)?;
    } else {
        found.push(Seen::of(String::new(), &root));
    }
    let mut chosen: Vec<Seen> =
        found.into_iter().filter(|seen| table.choice.takes(&table.path, seen)).collect();
    chosen.sort_by(|left, right| left.name.cmp(&right.name));
    if table.choice.newest_first {
        chosen.sort_by_key(|seen| std::cmp::Reverse(seen.modified_ns));
    }
    Ok(chosen)
}

fn walk(table: &Table, below: &str, depth: usize, found: &mut Vec<Seen>) -> Result<()> {
    let folder = table.path.join(below);
    let located = |cause| read_failed(cause).context("path", folder.display());
    for entry in fs::read_dir(&folder).map_err(located)? {
        let entry = entry.map_err(located)?;
        let name = entry.file_name().into_string().map_err(|_| {
            Error::new(ErrorKind::Unsupported, "the name of a file is no UTF-8")
                .context("path", folder.display())
        })?;
        // Hidden ones are other programs' business, our own sink's among them.
        if name.starts_with('.') || name == "_SUCCESS" {
            continue;
        }
        let name = if below.is_empty() { name } else { format!("{below}/{name}") };
        let is = fs::metadata(entry.path())
            .map_err(|cause| read_failed(cause).context("file", entry.path().display()))?;
        if is.is_dir() && table.choice.recursive {
            if depth == 0 {
                return Err(Error::new(ErrorKind::Config, "folders lie too deep in one another")
                    .context("path", folder.display())
                    .hint("does a link lead back?"));
            }
            walk(table, &name, depth - 1, found)?;
        } else if is.is_file() {
            found.push(Seen::of(name, &is));
        }
        if found.len() > FILES_MAX {
            return Err(Error::new(ErrorKind::Config, format!("there are more than {FILES_MAX} files"))
                .context("path", table.path.display())
                .hint("read them in several jobs: narrow path or file_filter_pattern"));
        }
    }
    Ok(())
}

impl Choice {
    fn takes(&self, root: &Path, seen: &Seen) -> bool {
        let path = seen.path(root);
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let matches = |(pattern, of_path): &(regex::Regex, bool)| {
            pattern.is_match(if *of_path { path.to_str().unwrap_or_default() } else { &name })
        };
        self.pattern.as_ref().is_none_or(matches)
            && self.ending.as_ref().is_none_or(|ending| name.ends_with(ending.as_str()))
            && self.from_ns.is_none_or(|from| seen.modified_ns >= from)
            && self.until_ns.is_none_or(|until| seen.modified_ns < until)
    }
}

/// Names and values of the folders called `name=value` that a file lies in. `None` is NULL.
pub(crate) fn partitions(file: &Path) -> Vec<(String, Option<String>)> {
    let folders = file.parent().into_iter().flat_map(Path::components);
    let pair = |component: Component<'_>| {
        let (name, value) = component.as_os_str().to_str()?.split_once('=')?;
        let value = if value == NULL_FOLDER { None } else { Some(unescape(value)?) };
        (!name.is_empty()).then_some((unescape(name)?, value))
    };
    folders.filter_map(pair).collect()
}

/// The text that a folder's name stands for: `%2F` and the like are bytes of it.
fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = behind.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = behind;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_columns() {
        let found = partitions(Path::new("/data/city=Rome%2FEast/n=__HIVE_DEFAULT_PARTITION__/x=/a=b.csv"));
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(found, [pair("city", Some("Rome/East")), pair("n", None), pair("x", Some(""))]);
        assert_eq!(unescape("50%").as_deref(), Some("50%"));
    }
}
