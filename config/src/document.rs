//! A file in JSON or HOCON that is no job: its keys with their places.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::hocon;
use crate::load::{check_json, is_json, read_text};
use crate::problem::{Place, Problem};
use crate::resolve::Resolver;
use crate::substitute::Variables;
use crate::value::{Block, Role};

/// A document that was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file as the user named it.
    pub path: PathBuf,
    /// All of its keys; named as the document is in messages.
    pub root: Block,
}

/// Reads a document: JSON when its name ends in `.json`, HOCON otherwise. `name` is what messages
/// call it. Errors name the file and, where there is one, the line.
pub fn read_document(path: &Path, name: &str, variables: &Variables) -> Result<Document, Problem> {
    let text = read_text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let file: Arc<str> = path.display().to_string().into();
    if is_json(path) {
        check_json(text, &file)?;
    }
    let fields = hocon::parse(text, &file, Some(path))?;
    let entries = Resolver::new(&fields, variables).entries(&fields)?;
    let root = Block { plugin: name.to_owned(), role: Role::Env, entries, place: Place::file(&file) };
    Ok(Document { path: path.to_owned(), root })
}
