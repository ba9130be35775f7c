//! JSON, as far as a message needs it: objects whose values keep their own text, so that no number
//! loses a digit on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Unreadable;

/// The members of an object, each with its value as it was written. Of a name that occurs twice the last
/// one counts, as in most readers.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(BTreeMap<Cow<'a, str>, &'a str>);

/// One value, told apart by its first character.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// An array or an object.
    Nested,
}

impl<'a> Object<'a> {
    /// Reads an object and nothing behind it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Object<'a>, Unreadable> {
        let none = || Unreadable::new("is no JSON object");
        let text = std::str::from_utf8(bytes).map_err(|_| none())?;
        // From here on it is known to follow the grammar, which makes cutting it simple.
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| none())?;
        Object::cut(text).ok_or_else(none)
    }

    /// The members of what is known to be JSON; `None`: it is no object.
    fn cut(text: &'a str) -> Option<Object<'a>> {
        let mut members = BTreeMap::new();
        for member in inside(text, '{', '}')? {
            let (name, value) = member.split_at_checked(text_end(member)?)?;
            members.insert(unquote(name).ok()?, value.trim_start().strip_prefix(':')?.trim());
        }
        Some(Object(members))
    }

    /// A member; `None` when it is not there.
    pub(super) fn get(&self, name: &str) -> Result<Option<Json<'a>>, Unreadable> {
        self.0.get(name).map(|text| json(text)).transpose()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A member that is a text.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, Unreadable> {
        match self.get(name)? {
            Some(Json::Text(text)) => Ok(Some(text)),
            None | Some(Json::Null) => Ok(None),
            Some(_) => Err(Unreadable::new("has a field that is no text").field(name)),
        }
    }

    /// A member that is an object; `None` when it is null or not there.
    pub(super) fn object(&self, name: &'static str) -> Result<Option<Object<'a>>, Unreadable> {
        let none = || Unreadable::new("has a field that is no object").field(name);
        match self.0.get(name).copied() {
            None | Some("null") => Ok(None),
            Some(text) => Object::cut(text).map(Some).ok_or_else(none),
        }
    }

    /// A member that is an array of objects; `None` when it is null or not there.
    pub(super) fn objects(&self, name: &'static str) -> Result<Option<Vec<Object<'a>>>, Unreadable> {
        let none = || Unreadable::new("has a field that is no array of objects").field(name);
        match self.0.get(name).copied() {
            None | Some("null") => Ok(None),
            Some(text) => {
                let items = inside(text, '[', ']').ok_or_else(none)?;
                items
                    .into_iter()
                    .map(|item| Object::cut(item).ok_or_else(none))
                    .collect::<Result<_, _>>()
                    .map(Some)
            }
        }
    }

    /// The members of `self`, and of `below` those that `self` has not.
    pub(super) fn over(&self, below: &Object<'a>) -> Object<'a> {
        let mut all = below.0.clone();
        all.extend(self.0.iter().map(|(name, value)| (name.clone(), *value)));
        Object(all)
    }
}

/// What stands between these brackets, cut at its own commas. `None`: it does not stand between them.
fn inside(text: &str, open: char, close: char) -> Option<Vec<&str>> {
    let inner = text.trim().strip_prefix(open)?.strip_suffix(close)?;
    let mut items = Vec::new();
    let (mut from, mut at, mut depth) = (0usize, 0usize, 0usize);
    while let Some(byte) = inner.as_bytes().get(at) {
        match byte {
            b'"' => {
                at += text_end(inner.get(at..)?)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                items.push(inner.get(from..at)?.trim());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let last = inner.get(from..)?.trim();
    if !last.is_empty() {
        items.push(last);
    }
    Some(items)
}

/// Where the text ends that begins here, its last quote included.
fn text_end(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn json(text: &str) -> Result<Json<'_>, Unreadable> {
    Ok(match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'"') => Json::Text(unquote(text)?),
        Some(b'[' | b'{') => Json::Nested,
        _ => Json::Number(text),
    })
}

fn unquote(text: &str) -> Result<Cow<'_, str>, Unreadable> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let parsed: Result<Text<'_>, _> = serde_json::from_str(text);
    parsed.map(|text| text.0).map_err(|_| Unreadable::new("has a text that is none"))
}
