//! Options that are lists of blocks: one block of them, read with errors that name it.

use culvert_api::{Error, ErrorKind, Result};
use culvert_config::{Entry, Options, Value, nearest};

/// One block of a list.
#[derive(Clone, Debug)]
pub(crate) struct Nested<'o> {
    /// What messages call it: `DataValidator: option 'field_rules[0]'`.
    what: String,
    entries: &'o [Entry],
}

impl<'o> Nested<'o> {
    /// The blocks of an option.
    pub(crate) fn list(plugin: &str, options: &'o Options, option: &str) -> Vec<Nested<'o>> {
        let nested = |(at, entries): (usize, &'o Vec<Entry>)| Nested {
            what: format!("{plugin}: option '{option}[{at}]'"),
            entries,
        };
        options.objects(option).iter().enumerate().map(nested).collect()
    }

    /// The blocks of a key inside the block; `None` when it is not set.
    pub(crate) fn blocks(&self, key: &str) -> Result<Option<Vec<Nested<'o>>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let Value::List(values) = value else { return Err(self.wrong(key, "must be a list of blocks")) };
        let block = |(at, value): (usize, &'o Value)| match value {
            Value::Object(entries) => {
                Ok(Nested { what: format!("{}.{key}[{at}]", self.what), entries: entries.as_slice() })
            }
            _ => Err(self.wrong(key, "must be a list of blocks")),
        };
        values.iter().enumerate().map(block).collect::<Result<Vec<Nested<'o>>>>().map(Some)
    }

    fn get(&self, key: &str) -> Option<&'o Value> {
        let found = self.entries.iter().rev().find(|entry| entry.key == key)?;
        (!matches!(found.value, Value::Null)).then_some(&found.value)
    }

    /// Refuses keys that nobody reads.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        let Some(stray) = self.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) else {
            return Ok(());
        };
        let error = self.wrong(&stray.key, "is not known");
        Err(match nearest(&stray.key, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error.hint(format!("there are: {}", known.join(", "))),
        })
    }

    /// A text, a number or a boolean, as text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'o str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.scalar_text().map(Some).ok_or_else(|| self.wrong(key, "must be a single value"))
    }

    /// A text that must be there.
    pub(crate) fn needed(&self, key: &str) -> Result<&'o str> {
        match self.text(key)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.wrong(key, "is missing")),
        }
    }

    /// One text, or a list of them; `None` when it is not set.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&'o str>>> {
        let wrong = || self.wrong(key, "must be a text or a list of texts");
        Ok(match self.get(key) {
            None => None,
            Some(Value::List(values)) => Some(
                values
                    .iter()
                    .map(|value| value.scalar_text().ok_or_else(wrong))
                    .collect::<Result<Vec<_>>>()?,
            ),
            Some(value) => Some(vec![value.scalar_text().ok_or_else(wrong)?]),
        })
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.text(key)? {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(self.wrong(key, "must be true or false")),
        }
    }

    /// A whole number from 0 up.
    pub(crate) fn number(&self, key: &str) -> Result<Option<usize>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let wrong = || self.wrong(key, "must be a whole number from 0 up");
        text.trim().parse().map(Some).map_err(|_| wrong())
    }

    /// One of some words, in any letter case.
    pub(crate) fn word(&self, key: &str, words: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
        let wrong = || self.wrong(key, format!("must be one of {}", words.join(", ")));
        found.copied().map(Some).ok_or_else(wrong)
    }

    /// An error about a key of the block.
    pub(crate) fn wrong(&self, key: &str, what: impl AsRef<str>) -> Error {
        let line = self.entries.iter().find_map(|entry| entry.place.line);
        let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
        Error::new(ErrorKind::Config, format!("{}: '{key}' {}{line}", self.what, what.as_ref()))
    }
}
