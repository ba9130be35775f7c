//! A path, and what it finds in a text.
//!
//! A path that can only find one value is walked in the text itself, so that the value is exactly what was
//! written: a number keeps its digits. Any other path finds a list, and is the library's to walk.

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

use super::column_type::Misfit;

/// A parsed path.
#[derive(Clone, Debug)]
pub(super) enum Path {
    /// Names and indices: one value at most.
    Single(Vec<Step>),
    /// Anything else: a list of values.
    List(JpQuery),
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    /// Negative ones count from the end.
    Index(i64),
}

/// The text is no JSON.
#[derive(Debug)]
pub(super) struct NotJson;

impl Path {
    /// Reads a path; the error is the reason, on one line.
    pub(super) fn parse(text: &str) -> Result<Path, String> {
        let text = text.trim();
        let rooted = match text.starts_with('$') {
            true => Cow::Borrowed(text),
            false => Cow::Owned(format!("$.{text}")),
        };
        let query = parse_json_path(&rooted).map_err(|error| {
            let report = error.to_string();
            let reason = report.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("");
            reason.trim_start_matches("= ").to_owned()
        })?;
        let steps: Option<Vec<Step>> = query.segments.iter().map(single).collect();
        Ok(match steps {
            Some(steps) => Path::Single(steps),
            None => Path::List(query),
        })
    }

    /// What it finds, as JSON; `None` when there is nothing.
    pub(super) fn find<'j>(&self, json: &'j str) -> Result<Option<Cow<'j, str>>, NotJson> {
        match self {
            Path::Single(steps) => {
                serde_json::from_str::<IgnoredAny>(json).map_err(|_| NotJson)?;
                let mut at = json.trim();
                for step in steps {
                    match step.down(at)? {
                        Some(below) => at = below,
                        None => return Ok(None),
                    }
                }
                Ok(Some(Cow::Borrowed(at)))
            }
            Path::List(query) => {
                let value: Value = serde_json::from_str(json).map_err(|_| NotJson)?;
                // A filter that compares what cannot be compared finds nothing.
                let found = js_path_process(query, &value).unwrap_or_default();
                let found: Vec<&Value> = found.into_iter().map(|found| found.val).collect();
                serde_json::to_string(&found).map(|list| Some(Cow::Owned(list))).map_err(|_| NotJson)
            }
        }
    }
}

fn single(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Selector(Selector::Name(name)) => Some(Step::Name(name.clone())),
        Segment::Selector(Selector::Index(index)) => Some(Step::Index(*index)),
        _ => None,
    }
}

impl Step {
    /// The value below the one that a text holds.
    fn down<'j>(&self, at: &'j str) -> Result<Option<&'j str>, NotJson> {
        match self {
            Step::Name(name) if at.starts_with('{') => {
                let mut found = None;
                let mut rest = inside(at, ['{', '}'])?;
                while !rest.is_empty() {
                    let (key, behind) = value(rest)?;
                    let (below, behind) = value(behind.strip_prefix(':').ok_or(NotJson)?.trim_start())?;
                    // The last one counts where a name comes twice.
                    if serde_json::from_str::<Cow<'_, str>>(key).is_ok_and(|key| key == name.as_str()) {
                        found = Some(below);
                    }
                    rest = next(behind);
                }
                Ok(found)
            }
            Step::Index(index) if at.starts_with('[') => {
                let mut items = Vec::new();
                let mut rest = inside(at, ['[', ']'])?;
                while !rest.is_empty() {
                    let (item, behind) = value(rest)?;
                    items.push(item);
                    rest = next(behind);
                }
                let size = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
                let at = if *index < 0 { items.len().checked_sub(size) } else { Some(size) };
                Ok(at.and_then(|at| items.get(at).copied()))
            }
            _ => Ok(None),
        }
    }
}

/// What stands between a pair of brackets.
fn inside(text: &str, [open, close]: [char; 2]) -> Result<&str, NotJson> {
    Ok(text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).ok_or(NotJson)?.trim())
}

/// The value that a text begins with, and what is behind it.
fn value(text: &str) -> Result<(&str, &str), NotJson> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let (value, behind) = text.split_at_checked(values.byte_offset()).ok_or(NotJson)?;
            Ok((value.trim(), behind.trim_start()))
        }
        _ => Err(NotJson),
    }
}

/// What is behind a comma.
fn next(behind: &str) -> &str {
    behind.strip_prefix(',').unwrap_or(behind).trim_start()
}

/// What was found, by its form.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar<'j> {
    Null,
    Boolean(bool),
    /// As it was written.
    Number(&'j str),
    Text(String),
    /// A list or an object, as JSON.
    Nested(&'j str),
}

impl<'j> Scalar<'j> {
    /// Reads the JSON of one value. Half of a character that JSON writes in two is no text.
    pub(super) fn read(json: &'j str) -> Result<Scalar<'j>, Misfit> {
        let json = json.trim();
        Ok(match json {
            "null" => Scalar::Null,
            "true" => Scalar::Boolean(true),
            "false" => Scalar::Boolean(false),
            _ if json.starts_with(['[', '{']) => Scalar::Nested(json),
            _ if json.starts_with('"') => Scalar::Text(serde_json::from_str(json).map_err(|_| Misfit)?),
            _ => Scalar::Number(json),
        })
    }
}
