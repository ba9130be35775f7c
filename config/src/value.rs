//! Values and plugin blocks of a job file, in the order they were written.

use std::collections::HashMap;
use std::fmt;

use crate::problem::Place;
use crate::secret::{MASK, is_secret_key, mask_secrets};

/// A value with its variables filled in.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `null`: as if the key were not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A text.
    String(String),
    /// `[…]`.
    List(Vec<Value>),
    /// `{…}`, in order, each key once.
    Object(Vec<Entry>),
}

/// A key with its value. Two entries are equal when key and value are, wherever they stand.
#[derive(Clone)]
pub struct Entry {
    /// The key as it was written, dots included.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Where the key stands.
    pub place: Place,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Value {
    /// The text of a scalar; `None` for null, lists and objects.
    pub fn scalar_text(&self) -> Option<&str> {
        match self {
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Number(text) | Value::String(text) => Some(text),
            Value::Null | Value::List(_) | Value::Object(_) => None,
        }
    }

    /// What it is, for messages: `a list`, `a block`, …
    pub fn shape(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "a block",
        }
    }
}

/// What part of a job a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The `env` section.
    Env,
    /// A block of `source`.
    Source,
    /// A block of `transform`.
    Transform,
    /// A block of `sink`.
    Sink,
}

impl Role {
    /// The section's key.
    pub fn section(self) -> &'static str {
        match self {
            Role::Env => "env",
            Role::Source => "source",
            Role::Transform => "transform",
            Role::Sink => "sink",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section())
    }
}

/// A plugin's block, or the `env` section.
#[derive(Clone, PartialEq)]
pub struct Block {
    /// The plugin's name as it was written; `env` for the env section; what a block of a document
    /// that is no job is called.
    pub plugin: String,
    /// What part of the job it is.
    pub role: Role,
    /// The options in order. Keys with dots stay as written; see [`Block::leaves`].
    pub entries: Vec<Entry>,
    /// Where the block begins.
    pub place: Place,
}

/// An option of a block with its full dotted name, whether it was written with dots or nested.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    /// `startup.mode` for `startup.mode = x` and for `startup { mode = x }`.
    pub path: String,
    /// The value: a scalar, a list, null, or an empty block.
    pub value: &'a Value,
    /// Where its key stands.
    pub place: &'a Place,
}

impl Block {
    /// An empty block.
    pub fn new(role: Role, plugin: impl Into<String>, place: Place) -> Block {
        Block { plugin: plugin.into(), role, entries: Vec::new(), place }
    }

    /// The line the block begins in, from 1.
    pub fn line(&self) -> Option<u32> {
        self.place.line
    }

    /// What messages call it: `source MySQL-CDC`, or `env`.
    pub fn label(&self) -> String {
        match self.role {
            Role::Env => self.plugin.clone(),
            role => format!("{role} {}", self.plugin),
        }
    }

    /// All options under their dotted names, in order. Where one name was set twice, as `a.b` and
    /// as `a { b }`, the later one counts and keeps the first one's place in the order.
    pub fn leaves(&self) -> Vec<Leaf<'_>> {
        let mut collected = Leaves { leaves: Vec::new(), by_path: HashMap::new() };
        collected.add("", &self.entries);
        collected.leaves
    }

    /// What lies below a name, as a block of its own, whether it was written `name { … }` or `name.key`; empty
    /// where there is nothing.
    pub fn inside(&self, name: &str) -> Block {
        let mut block = Block::new(self.role, name, self.place.clone());
        let below = format!("{name}.");
        for entry in &self.entries {
            if entry.key == name {
                block.place = entry.place.clone();
                if let Value::Object(inner) = &entry.value {
                    block.entries.extend(inner.iter().cloned());
                }
            } else if let Some(key) = entry.key.strip_prefix(&below) {
                block.entries.push(Entry { key: key.to_owned(), ..entry.clone() });
            }
        }
        block
    }

    /// Where the value under a dotted name stands; where the block begins when it is not set.
    pub fn place_of(&self, path: &str) -> Place {
        let leaves = self.leaves();
        let leaf = leaves.iter().find(|leaf| leaf.path == path);
        leaf.map_or_else(|| self.place.clone(), |leaf| leaf.place.value())
    }

    /// The value under a dotted name; null counts as absent.
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.leaves()
            .into_iter()
            .find(|leaf| leaf.path == path)
            .map(|leaf| leaf.value)
            .filter(|value| !matches!(value, Value::Null))
    }
}

struct Leaves<'a> {
    leaves: Vec<Leaf<'a>>,
    by_path: HashMap<String, usize>,
}

impl<'a> Leaves<'a> {
    fn add(&mut self, prefix: &str, entries: &'a [Entry]) {
        for entry in entries {
            let path = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
            match &entry.value {
                Value::Object(inner) if !inner.is_empty() => self.add(&path, inner),
                value => {
                    let leaf = Leaf { path: path.clone(), value, place: &entry.place };
                    match self.by_path.get(&path).and_then(|index| self.leaves.get_mut(*index)) {
                        Some(earlier) => *earlier = leaf,
                        None => {
                            self.by_path.insert(path, self.leaves.len());
                            self.leaves.push(leaf);
                        }
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(text) => f.write_str(text),
            Value::String(text) => write!(f, "{:?}", mask_secrets(text)),
            Value::List(values) => f.debug_list().entries(values).finish(),
            Value::Object(entries) => write_entries(f, entries),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_secret_key(&self.key) && !matches!(self.value, Value::Null) {
            return write!(f, "{} = {MASK}", self.key);
        }
        match &self.value {
            Value::Object(entries) => {
                write!(f, "{} ", self.key)?;
                write_entries(f, entries)
            }
            value => write!(f, "{} = {value:?}", self.key),
        }
    }
}

fn write_entries(f: &mut fmt::Formatter<'_>, entries: &[Entry]) -> fmt::Result {
    f.write_str("{ ")?;
    for entry in entries {
        write!(f, "{entry:?}, ")?;
    }
    f.write_str("}")
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.label())?;
        write_entries(f, &self.entries)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: Value) -> Entry {
        Entry { key: key.to_owned(), value, place: Place::default() }
    }

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    #[test]
    fn dotted_and_nested_keys_are_alike_and_the_later_counts() {
        let mut block = Block::new(Role::Source, "X", Place::default());
        block.entries = vec![
            entry("a.b", text("1")),
            entry("c", text("2")),
            entry("a", Value::Object(vec![entry("b", text("3")), entry("d", Value::Object(vec![]))])),
        ];
        let leaves: Vec<(String, &Value)> = block.leaves().into_iter().map(|l| (l.path, l.value)).collect();
        let names: Vec<&str> = leaves.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, ["a.b", "c", "a.d"]);
        assert_eq!(block.get("a.b"), Some(&text("3")));
        assert_eq!(block.get("nope"), None);
    }

    #[test]
    fn debug_and_display_hide_secrets() {
        let mut block = Block::new(Role::Sink, "Jdbc", Place::default());
        block.entries = vec![
            entry("url", text("jdbc:mysql://u:hunter2@h/db?password=hunter2")),
            entry("password", text("hunter2")),
            entry("db", Value::Object(vec![entry("access_key", Value::Number("2222".to_owned()))])),
            entry("secret", Value::Object(vec![entry("x", text("hunter2"))])),
            entry("list", Value::List(vec![text("token=hunter2")])),
        ];
        let printed = format!("{block} {block:?} {:?}", block.entries);
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(!printed.contains("2222"), "{printed}");
        assert!(printed.starts_with("sink Jdbc { url = \"jdbc:mysql://u:******@h/db"), "{printed}");
    }
}
