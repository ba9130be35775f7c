//! JSON, as far as a message needs it: objects whose values keep their own text, so that no number
//! loses a digit on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;

use culvert_values::json as pieces;

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
        if !pieces::is_valid(text) {
            return Err(none());
        }
        Object::cut(text).ok_or_else(none)
    }

    /// The members of what is known to be JSON; `None`: it is no object.
    fn cut(text: &'a str) -> Option<Object<'a>> {
        pieces::members(text).map(|members| Object(members.into_iter().collect()))
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
                let items = pieces::items(text).ok_or_else(none)?;
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

fn json(text: &str) -> Result<Json<'_>, Unreadable> {
    let value = pieces::value(text).ok_or_else(|| Unreadable::new("has a text that is none"))?;
    Ok(match value {
        pieces::Json::Null => Json::Null,
        pieces::Json::Bool(value) => Json::Bool(value),
        pieces::Json::Number(text) => Json::Number(text),
        pieces::Json::Text(text) => Json::Text(text),
        pieces::Json::Nested(_) => Json::Nested,
    })
}
