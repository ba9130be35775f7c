//! From the syntax tree to values: substitution, concatenation and merging, with bounds.
//!
//! `${path}` is looked up among the variables of the command line, then in the file, then in the
//! environment. A path that leads back to itself skips the file, so that `HOST = ${?HOST}` reads
//! the environment.

use std::collections::HashSet;

use crate::hocon::{Field, Node};
use crate::problem::{Place, Problem, ProblemKind};
use crate::substitute::{Variables, is_reserved};
use crate::value::{Entry, Value};

/// How many values a job file may come to after substitution.
const MAX_VALUES: usize = 200_000;

/// How many bytes of text a job file may come to after substitution.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// How many keys one block may have.
const MAX_KEYS: usize = 2_000;

/// How deep values may nest after substitution.
const MAX_DEPTH: usize = 64;

/// How many substitutions may lead from one to the next.
const MAX_CHAIN: usize = 16;

/// How many substitutions a file may need in all.
const MAX_SUBSTITUTIONS: usize = 10_000;

/// How many warnings about options set twice are kept.
const MAX_WARNINGS: usize = 100;

/// Turns nodes of one file into values.
pub(crate) struct Resolver<'a> {
    root: &'a [Field],
    variables: &'a Variables,
    chain: Vec<&'a [String]>,
    values: usize,
    text_bytes: usize,
    substitutions: usize,
    depth: usize,
    /// First parts of the paths that substitutions found in the file.
    pub(crate) used: HashSet<&'a str>,
    /// Warnings about options that were set twice.
    pub(crate) warnings: Vec<Problem>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(root: &'a [Field], variables: &'a Variables) -> Resolver<'a> {
        Resolver {
            root,
            variables,
            chain: Vec::new(),
            values: 0,
            text_bytes: 0,
            substitutions: 0,
            depth: 0,
            used: HashSet::new(),
            warnings: Vec::new(),
        }
    }

    /// The entries of an object, each key once: objects merge, anything else replaces.
    pub(crate) fn entries(&mut self, fields: &'a [Field]) -> Result<Vec<Entry>, Problem> {
        let mut entries = Vec::new();
        for field in fields {
            self.set(&mut entries, field, &field.path)?;
        }
        Ok(entries)
    }

    /// Sets one field in the entries of its object, under the key `path` comes to.
    pub(crate) fn set(
        &mut self,
        entries: &mut Vec<Entry>,
        field: &'a Field,
        path: &[String],
    ) -> Result<(), Problem> {
        let key = path.join(".");
        let known = entries.iter().position(|entry| entry.key == key);
        let value = match &field.node {
            Node::Append(node) => {
                let earlier = known.and_then(|index| entries.get_mut(index));
                let mut list = match earlier.map(|entry| std::mem::replace(&mut entry.value, Value::Null)) {
                    Some(Value::List(values)) => values,
                    None | Some(Value::Null) => Vec::new(),
                    Some(other) => vec![other],
                };
                list.extend(self.value(node, &field.place)?);
                Some(Value::List(list))
            }
            node => self.value(node, &field.place)?,
        };
        // An optional variable that is not set leaves what was there before.
        let Some(value) = value else { return Ok(()) };
        let Some(entry) = known.and_then(|index| entries.get_mut(index)) else {
            if entries.len() >= MAX_KEYS {
                return Err(too_much(&field.place, format!("a block has more than {MAX_KEYS} keys")));
            }
            entries.push(Entry { key, value, place: field.place.clone() });
            return Ok(());
        };
        let literal = matches!(field.node, Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::List(_));
        if literal && entry.value != value && entry.place.file == field.place.file {
            let message = match entry.place.line {
                Some(line) => {
                    format!("option '{key}' is set twice, here and in line {line}; this one counts")
                }
                None => format!("option '{key}' is set twice; this one counts"),
            };
            let warning = Problem::warning(ProblemKind::Conflict, field.place.clone(), key, message);
            if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let earlier = std::mem::replace(&mut entry.value, Value::Null);
        entry.value = merged(earlier, value, &field.place)?;
        entry.place = field.place.clone();
        Ok(())
    }

    /// The value of a node; `None` for an optional variable that is not set.
    pub(crate) fn value(&mut self, node: &'a Node, place: &Place) -> Result<Option<Value>, Problem> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_much(place, format!("the file comes to more than {MAX_VALUES} values")));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(too_much(
                place,
                format!("blocks and lists are nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        let value = match node {
            Node::Null => Some(Value::Null),
            Node::Bool(value) => Some(Value::Bool(*value)),
            Node::Number(text) => Some(Value::Number(text.clone())),
            Node::Text(text) => {
                let text = self.variables.fill(text);
                self.count_text(&text, place)?;
                Some(Value::String(text))
            }
            Node::List(nodes) => {
                let mut values = Vec::with_capacity(nodes.len());
                for node in nodes {
                    values.extend(self.value(node, place)?);
                }
                Some(Value::List(values))
            }
            Node::Object(fields) => Some(Value::Object(self.entries(fields)?)),
            Node::Substitution { path, optional } => self.substitution(path, *optional, place)?,
            Node::Concat(pieces) => self.concat(pieces, place)?,
            Node::Append(node) => self.value(node, place)?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn count_text(&mut self, text: &str, place: &Place) -> Result<(), Problem> {
        self.text_bytes += text.len();
        if self.text_bytes > MAX_TEXT_BYTES {
            return Err(too_much(
                place,
                format!("the file comes to more than {MAX_TEXT_BYTES} bytes of text"),
            ));
        }
        Ok(())
    }

    fn substitution(
        &mut self,
        path: &'a [String],
        optional: bool,
        place: &Place,
    ) -> Result<Option<Value>, Problem> {
        self.substitutions += 1;
        if self.substitutions > MAX_SUBSTITUTIONS {
            let message = format!("the file needs more than {MAX_SUBSTITUTIONS} substitutions");
            return Err(too_much(place, message));
        }
        let name = path.join(".");
        if is_reserved(&name) {
            return Ok(Some(Value::String(format!("${{{name}}}"))));
        }
        if let Some(value) = self.variables.given(&name) {
            let value = value.to_owned();
            self.count_text(&value, place)?;
            return Ok(Some(Value::String(value)));
        }
        let circular = self.chain.contains(&path);
        if !circular {
            if self.chain.len() >= MAX_CHAIN {
                let message = format!("'${{{name}}}' is reached over more than {MAX_CHAIN} substitutions");
                return Err(too_much(place, message));
            }
            self.chain.push(path);
            let root = self.root;
            let found = self.lookup(root, path)?;
            self.chain.pop();
            if let Some(value) = found {
                self.used.extend(path.first().map(String::as_str));
                return Ok(Some(value));
            }
        }
        match self.variables.environment(&name) {
            Some(value) => Ok(Some(Value::String(value))),
            None if optional => Ok(None),
            None if circular => {
                let message = format!("'${{{name}}}' refers to itself");
                Err(Problem::error(ProblemKind::Variable, place.clone(), name, message))
            }
            None => Ok(Some(Value::String(format!("${{{name}}}")))),
        }
    }

    /// What a path comes to in these fields: every field on the path counts, in order.
    fn lookup(&mut self, fields: &'a [Field], path: &'a [String]) -> Result<Option<Value>, Problem> {
        let mut found: Option<Value> = None;
        for field in fields {
            let value = if let Some(rest) = path.strip_prefix(field.path.as_slice()) {
                match &field.node {
                    Node::Object(inner) if !rest.is_empty() => self.lookup(inner, rest)?,
                    node => match self.value(node, &field.place)? {
                        Some(value) => dig(value, rest),
                        None => continue,
                    },
                }
            } else if let Some(rest) = field.path.strip_prefix(path) {
                let mut entries = Vec::new();
                self.set(&mut entries, field, rest)?;
                Some(Value::Object(entries))
            } else {
                continue;
            };
            found = match (found, value) {
                (Some(earlier), Some(later)) => Some(merged(earlier, later, &field.place)?),
                (earlier, later) => later.or(earlier),
            };
        }
        Ok(found)
    }

    fn concat(&mut self, pieces: &'a [(String, Node)], place: &Place) -> Result<Option<Value>, Problem> {
        let mut values = Vec::with_capacity(pieces.len());
        for (space, node) in pieces {
            values.push((space, self.value(node, place)?));
        }
        let present = || values.iter().filter_map(|(_, value)| value.as_ref());
        if present().count() == 0 {
            return Ok(None);
        }
        if present().all(|value| matches!(value, Value::Object(_))) {
            let mut joined = Value::Object(Vec::new());
            for value in values.into_iter().filter_map(|(_, value)| value) {
                joined = merged(joined, value, place)?;
            }
            return Ok(Some(joined));
        }
        if present().all(|value| matches!(value, Value::List(_))) {
            let mut list = Vec::new();
            for value in values.into_iter().filter_map(|(_, value)| value) {
                if let Value::List(mut items) = value {
                    list.append(&mut items);
                }
            }
            return Ok(Some(Value::List(list)));
        }
        if let Some(other) = present().find(|value| matches!(value, Value::Object(_) | Value::List(_))) {
            let message = format!("not valid HOCON: {} cannot stand beside another value", other.shape());
            let subject = format!("{place:#}");
            return Err(Problem::error(ProblemKind::Syntax, place.clone(), subject, message)
                .hint("a comma or a line end is missing before it"));
        }
        let mut text = String::new();
        for (space, value) in &values {
            text.push_str(space);
            text.push_str(match value {
                Some(Value::Null) => "null",
                Some(value) => value.scalar_text().unwrap_or(""),
                None => "",
            });
        }
        self.count_text(&text, place)?;
        Ok(Some(Value::String(text)))
    }
}

fn too_much(place: &Place, message: String) -> Problem {
    let subject = format!("{place:#}");
    Problem::error(ProblemKind::Structure, place.clone(), subject, message)
}

/// Objects merge key by key; anything else is replaced.
fn merged(earlier: Value, later: Value, place: &Place) -> Result<Value, Problem> {
    let (mut entries, added) = match (earlier, later) {
        (Value::Object(entries), Value::Object(added)) => (entries, added),
        (_, later) => return Ok(later),
    };
    for entry in added {
        if let Some(known) = entries.iter_mut().find(|known| known.key == entry.key) {
            let before = std::mem::replace(&mut known.value, Value::Null);
            known.value = merged(before, entry.value, place)?;
            known.place = entry.place;
        } else if entries.len() < MAX_KEYS {
            entries.push(entry);
        } else {
            return Err(too_much(place, format!("a block has more than {MAX_KEYS} keys")));
        }
    }
    Ok(Value::Object(entries))
}

/// The value under the rest of a path, where keys may hold dots.
fn dig(value: Value, rest: &[String]) -> Option<Value> {
    if rest.is_empty() {
        return Some(value);
    }
    let Value::Object(entries) = value else { return None };
    (1..=rest.len()).find_map(|length| {
        let (head, tail) = rest.split_at_checked(length)?;
        let key = head.join(".");
        let entry = entries.iter().find(|entry| entry.key == key)?;
        dig(entry.value.clone(), tail)
    })
}
