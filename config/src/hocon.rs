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

/// Parses a text. Includes are looked up beside `path`, and refused where it has none.
pub(crate) fn parse(text: &str, file: &Arc<str>, path: Option<&Path>) -> Result<Vec<Field>, Problem> {
    let included = Cell::new(0);
    parse_nested(text, file, path, 0, &included)
}

fn parse_nested(
    text: &str,
    file: &Arc<str>,
    path: Option<&Path>,
    depth: usize,
    included: &Cell<usize>,
) -> Result<Vec<Field>, Problem> {
    let scan = scan(text, file)?;
    let at = Cell::new(0);
    let reader = TextReader::new(&scan.text, &at);
    let object = HoconParser::new(reader).parse().map_err(|error| syntax_error(&error, &scan, at.get()))?;
    let mut tree = Tree { file, path, scan: &scan, next_key: 0, next_include: 0, depth, included };
    let fields = tree.fields(object)?;
    if tree.next_key != scan.keys.len() {
        return Err(tree.lost_track());
    }
    Ok(fields)
}

struct Tree<'a> {
    file: &'a Arc<str>,
    path: Option<&'a Path>,
    scan: &'a Scan,
    next_key: usize,
    next_include: usize,
    depth: usize,
    included: &'a Cell<usize>,
}

impl Tree<'_> {
    fn fields(&mut self, object: RawObject) -> Result<Vec<Field>, Problem> {
        let mut fields = Vec::with_capacity(object.len());
        for field in object.into_inner() {
            match field {
                ObjectField::KeyValue { key, value, .. } => {
                    let Some(place) = self.scan.keys.get(self.next_key) else {
                        return Err(self.lost_track());
                    };
                    self.next_key += 1;
                    let path = key.as_path().into_iter().map(str::to_owned).collect();
                    let node = self.node(value)?;
                    fields.push(Field { path, place: place.clone(), node });
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
        let place = self.scan.includes.get(self.next_include).cloned();
        let place = place.unwrap_or_else(|| Place::file(self.file));
        self.next_include += 1;
        let refuse = |message: String| {
            Problem::error(ProblemKind::Syntax, place.clone(), format!("include \"{name}\""), message)
        };
        if matches!(inclusion.location, Some(Location::Url | Location::Classpath)) {
            let message = format!("include \"{name}\" by url(…) or classpath(…) is not supported");
            return Err(refuse(message).hint("include a file by its path"));
        }
        let Some(path) = self.path else {
            // Whoever sends a text must not read the files of whom it is sent to.
            let message = format!("include \"{name}\": a job that was sent as text cannot include files");
            return Err(refuse(message).hint("send it in one piece"));
        };
        self.included.set(self.included.get() + 1);
        if self.depth >= MAX_INCLUDE_DEPTH || self.included.get() > MAX_INCLUDES {
            return Err(refuse(format!(
                "include \"{name}\" goes too far: at most {MAX_INCLUDES} files, {MAX_INCLUDE_DEPTH} deep"
            ))
            .hint("look for files that include each other"));
        }
        let base = path.parent().unwrap_or(Path::new("")).join(name);
        let candidates = [base.clone(), with_extension(&base, "conf"), with_extension(&base, "json")];
        let Some(found) = candidates.into_iter().find(|candidate| candidate.is_file()) else {
            if inclusion.required {
                return Err(refuse(format!("include \"{name}\": no such file"))
                    .hint(format!("it is looked for beside this file, at {}", base.display())));
            }
            return Ok(Vec::new());
        };
        let text = read_text(&found)?;
        let file: Arc<str> = found.display().to_string().into();
        parse_nested(&text, &file, Some(&found), self.depth + 1, self.included)
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

/// Where another parser found a text wrong; both numbers count from 1.
pub(crate) fn place_at(text: &str, file: &Arc<str>, line: usize, column: usize) -> Place {
    scan::place_at(text, file, line, column)
}

/// Says what the parser stumbled over, at its place in the original text.
fn syntax_error(error: &HoconError, scan: &Scan, offset: usize) -> Problem {
    let place = scan.place(offset);
    let (message, hint) = match error {
        HoconError::UnexpectedToken { expected, .. } => unexpected(expected, scan, offset, place.line),
        HoconError::InvalidEscape => (
            "unknown escape sequence in a text".to_owned(),
            Some("write two back slashes for one, or put the text between \"\"\"".to_owned()),
        ),
        HoconError::RecursionDepthExceeded { max_depth } => {
            let message = format!("blocks and lists are nested deeper than {max_depth} levels");
            return Problem::error(ProblemKind::Syntax, place.clone(), format!("{place:#}"), message);
        }
        HoconError::Eof => (format!("unfinished before {}", found(scan, offset)), None),
        other => (other.to_string().to_lowercase(), None),
    };
    let message = format!("not valid HOCON: {message}");
    let problem = Problem::error(ProblemKind::Syntax, place.clone(), format!("{place:#}"), message);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// What stands at an offset of the rewritten text.
fn found(scan: &Scan, offset: usize) -> String {
    match scan.text.get(offset..).and_then(|rest| rest.chars().next()) {
        None => "the end of the file".to_owned(),
        Some('\n') if scan.is_end(offset) => "the end of the file".to_owned(),
        Some('\n' | '\r') => "the end of the line".to_owned(),
        Some(c) => format!("'{c}'"),
    }
}

/// What was expected in the words of a job file, and what to do.
fn unexpected(
    expected: &'static str,
    scan: &Scan,
    offset: usize,
    line: Option<u32>,
) -> (String, Option<String>) {
    let (before, rest) = scan.around(offset);
    let shown = found(scan, offset);
    let quotes = || Some("put the value in double quotes".to_owned());
    // A key whose value would begin in this line, because its own line has none.
    let valueless = scan
        .keys
        .last()
        .filter(|key| key.line < line && key.value_span().is_some_and(|value| Some(value.line) == line));
    match (expected, rest.chars().next()) {
        ("a valid unquoted string", Some('=' | ':')) if valueless.is_some() => {
            let above = valueless.and_then(|key| key.line).unwrap_or_default();
            (
                format!("the option in line {above} has no value"),
                Some("give it a value, or remove it".to_owned()),
            )
        }
        ("a valid unquoted string", Some(':')) if !before.ends_with(char::is_whitespace) => {
            ("':' ends a text without quotes".to_owned(), quotes())
        }
        ("a valid unquoted string", Some('=' | ':')) if before.trim().is_empty() => {
            (format!("expected the name of an option, found {shown}"), None)
        }
        ("a valid unquoted string", Some('=' | ':')) => (
            format!("expected a comma or a line end before the next option, found {shown}"),
            Some("two options in one line need a comma between them".to_owned()),
        ),
        ("a valid unquoted string", Some('*' | '?' | '!' | '@' | '&' | '^' | '`' | '\\' | '+')) => {
            (format!("{shown} cannot stand in a text without quotes"), quotes())
        }
        ("a valid path expression" | ": or =", Some('*')) if before.trim_end().ends_with('/') => (
            "HOCON knows no comments of the form /* … */".to_owned(),
            Some("begin the comment with # or //, in every line".to_owned()),
        ),
        ("a valid path expression" | ": or =", _) => match before.split([',', '{', '}']).next_back() {
            Some(key) if !key.trim().is_empty() => (
                format!("expected '=', ':' or '{{' after the key '{}', found {shown}", key.trim()),
                Some("an option is written: name = value".to_owned()),
            ),
            _ => (format!("expected the name of an option, found {shown}"), None),
        },
        ("value" | "a valid value", _) => (format!("expected a value, found {shown}"), None),
        ("end of file", _) => (format!("expected the end of the file, found {shown}"), None),
        (expected, _) => (format!("expected {expected}, found {shown}"), None),
    }
}

#[cfg(test)]
mod tests;
