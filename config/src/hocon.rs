//! HOCON text to a syntax tree with lines.
//!
//! The grammar is hocon-rs's; three things around it are ours. A scan of the text before it
//! (`scan`) finds the line of every key, reports what is never closed, and irons out what that
//! parser reads otherwise than the job files' authors: keys that begin with `include`, back
//! slashes in comments, `${x:default}` without quotes, numbers whose spelling matters. A reader of
//! our own (`reader`) knows where an error happened. And includes are spliced in here.
//!
//! The scan and the parser must agree on the number of keys, otherwise the file is refused: a
//! parser that lost a block in silence would lose a transform.

mod reader;
mod scan;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hocon_rs::Error as HoconError;
use hocon_rs::parser::HoconParser;
use hocon_rs::raw::field::ObjectField;
use hocon_rs::raw::include::{Inclusion, Location};
use hocon_rs::raw::raw_object::RawObject;
use hocon_rs::raw::raw_value::RawValue;

use crate::load::read_text;
use crate::problem::{Place, Problem, ProblemKind};
use reader::TextReader;
use scan::{Scan, scan};

/// How many files one job file may include, directly or not.
const MAX_INCLUDES: usize = 32;

/// How deep includes may nest.
const MAX_INCLUDE_DEPTH: usize = 8;

/// A field of an object as it was written: `a.b = node`.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// The key's parts.
    pub(crate) path: Vec<String>,
    /// Where the key stands.
    pub(crate) place: Place,
    /// What it is set to.
    pub(crate) node: Node,
}

/// A value as it was written, before substitution and merging.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Field>),
    /// `${path}` or `${?path}`.
    Substitution {
        path: Vec<String>,
        optional: bool,
    },
    /// Values side by side, each with the blanks before it.
    Concat(Vec<(String, Node)>),
    /// `+=`.
    Append(Box<Node>),
}

/// Parses a text. Includes are looked up beside `path`.
pub(crate) fn parse(text: &str, file: &Arc<str>, path: &Path) -> Result<Vec<Field>, Problem> {
    let included = Cell::new(0);
    parse_nested(text, file, path, 0, &included)
}

fn parse_nested(
    text: &str,
    file: &Arc<str>,
    path: &Path,
    depth: usize,
    included: &Cell<usize>,
) -> Result<Vec<Field>, Problem> {
    let scan = scan(text, file)?;
    let at = Cell::new(0);
    let reader = TextReader::new(&scan.text, &at);
    let object = HoconParser::new(reader).parse().map_err(|error| syntax_error(&error, &scan, at.get()))?;
    let mut tree = Tree { file, path, scan: &scan, next_key: 0, depth, included };
    let fields = tree.fields(object)?;
    if tree.next_key != scan.key_lines.len() {
        return Err(tree.lost_track());
    }
    Ok(fields)
}

struct Tree<'a> {
    file: &'a Arc<str>,
    path: &'a Path,
    scan: &'a Scan,
    next_key: usize,
    depth: usize,
    included: &'a Cell<usize>,
}

impl Tree<'_> {
    fn fields(&mut self, object: RawObject) -> Result<Vec<Field>, Problem> {
        let mut fields = Vec::with_capacity(object.len());
        for field in object.into_inner() {
            match field {
                ObjectField::KeyValue { key, value, .. } => {
                    let Some(line) = self.scan.key_lines.get(self.next_key) else {
                        return Err(self.lost_track());
                    };
                    self.next_key += 1;
                    let path = key.as_path().into_iter().map(str::to_owned).collect();
                    let node = self.node(value)?;
                    fields.push(Field { path, place: Place::line(self.file, *line), node });
                }
                ObjectField::Inclusion { inclusion, .. } => fields.append(&mut self.include(&inclusion)?),
                ObjectField::NewlineComment(_) => {}
            }
        }
        Ok(fields)
    }

    fn node(&mut self, value: RawValue) -> Result<Node, Problem> {
        Ok(match value {
            RawValue::Null => Node::Null,
            RawValue::Boolean(value) => Node::Bool(value),
            RawValue::Number(number) => Node::Number(number.to_string()),
            RawValue::String(text) => Node::Text(text.to_string()),
            RawValue::Array(values) => {
                let nodes: Result<Vec<Node>, Problem> =
                    values.into_inner().into_iter().map(|value| self.node(value)).collect();
                Node::List(nodes?)
            }
            RawValue::Object(object) => Node::Object(self.fields(object)?),
            RawValue::Substitution(substitution) => Node::Substitution {
                path: substitution.path.as_path().into_iter().map(|part| part.trim().to_owned()).collect(),
                optional: substitution.optional,
            },
            RawValue::Concat(concat) => {
                let (values, spaces) = concat.into_inner();
                let spaces = std::iter::once(None).chain(spaces);
                let pieces: Result<Vec<(String, Node)>, Problem> = spaces
                    .zip(values)
                    .map(|(space, value)| Ok((space.unwrap_or_default(), self.node(value)?)))
                    .collect();
                Node::Concat(pieces?)
            }
            RawValue::AddAssign(value) => Node::Append(Box::new(self.node(RawValue::from(value))?)),
        })
    }

    /// The fields of an included file. Without `required` a missing file is as good as an empty
    /// one, as HOCON has it.
    fn include(&mut self, inclusion: &Inclusion) -> Result<Vec<Field>, Problem> {
        let name = inclusion.path.as_str();
        let refuse = |message: String| {
            Problem::error(
                ProblemKind::Syntax,
                Place::file(self.file),
                format!("include \"{name}\""),
                message,
            )
        };
        if matches!(inclusion.location, Some(Location::Url | Location::Classpath)) {
            let message = format!("include \"{name}\" by url(…) or classpath(…) is not supported");
            return Err(refuse(message).hint("include a file by its path"));
        }
        self.included.set(self.included.get() + 1);
        if self.depth >= MAX_INCLUDE_DEPTH || self.included.get() > MAX_INCLUDES {
            return Err(refuse(format!(
                "include \"{name}\" goes too far: at most {MAX_INCLUDES} files, {MAX_INCLUDE_DEPTH} deep"
            ))
            .hint("look for files that include each other"));
        }
        let base = self.path.parent().unwrap_or(Path::new("")).join(name);
        let candidates = [base.clone(), with_extension(&base, "conf"), with_extension(&base, "json")];
        let Some(found) = candidates.into_iter().find(|candidate| candidate.is_file()) else {
            if inclusion.required {
                return Err(refuse(format!("include \"{name}\": no such file")));
            }
            return Ok(Vec::new());
        };
        let text = read_text(&found)?;
        let file: Arc<str> = found.display().to_string().into();
        parse_nested(&text, &file, &found, self.depth + 1, self.included)
    }

    fn lost_track(&self) -> Problem {
        let message = "the nesting of this file is unclear: some keys would be lost";
        Problem::error(ProblemKind::Syntax, Place::file(self.file), &**self.file, message)
            .hint("give every option its own line and close every block on a line of its own")
    }
}

fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Says what the parser stumbled over, at its place in the original text.
fn syntax_error(error: &HoconError, scan: &Scan, offset: usize) -> Problem {
    let place = scan.place(offset);
    let found = scan.text.get(offset..).and_then(|rest| rest.chars().next());
    let shown = match found {
        None => "the end of the file".to_owned(),
        Some('\n') if scan.is_end(offset) => "the end of the file".to_owned(),
        Some('\n' | '\r') => "the end of the line".to_owned(),
        Some(c) => format!("'{c}'"),
    };
    let mut hint = None;
    let message = match error {
        HoconError::UnexpectedToken { expected, .. } => {
            hint = match found {
                Some('=' | ':') => Some("two options in one line need a comma between them"),
                Some('*' | '?' | '!' | '@' | '&' | '^' | '`' | '\\' | '+') => {
                    Some("put the value in double quotes")
                }
                _ => None,
            };
            format!("not valid HOCON: expected {expected}, found {shown}")
        }
        HoconError::InvalidEscape => {
            hint = Some("write two back slashes for one, or use triple quotes");
            "not valid HOCON: unknown escape sequence in a string".to_owned()
        }
        HoconError::RecursionDepthExceeded { max_depth } => {
            format!("blocks and lists are nested deeper than {max_depth} levels")
        }
        HoconError::Eof => format!("not valid HOCON: unfinished before {shown}"),
        other => format!("not valid HOCON: {}", other.to_string().to_lowercase()),
    };
    let subject = place.to_string();
    let problem = Problem::error(ProblemKind::Syntax, place, subject, message);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

#[cfg(test)]
mod tests;
