//! Rules of the repository that no compiler checks: who may know whom, sizes, words, and that the
//! documents tell the truth about paths and commands. Reads files and `cargo metadata`; needs no
//! server and no network.
#![allow(clippy::unwrap_used)]

mod documents;
mod edges;
mod examples;
mod sources;
mod words;

use std::path::{Path, PathBuf};

/// Folders of the checkout that hold nothing of the project.
const OUTSIDE: &[&str] = &[".git", "target"];

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file of the project, relative to the root, in order.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root()).unwrap().to_owned();
            if path.is_symlink() || OUTSIDE.iter().any(|outside| relative == Path::new(outside)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(relative);
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "the checkout at {} looks empty", root().display());
    found
}

/// The Rust files among them.
fn rust_files() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

fn read(relative: impl AsRef<Path>) -> String {
    let path = root().join(relative);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with every violation at once.
fn none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
