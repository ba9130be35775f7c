//! Hides values: behind a character, in part, as a hash, or altogether.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_cast::cast;
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule, Secret};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::layout::{Layout, Origin, column, find, find_text, refusal, the_one, values};
use crate::text::map_text;

/// Hides the values of columns. Ours: SeaTunnel has it as the functions MASK and MASK_HASH of its SQL.
#[derive(Clone, Debug)]
pub struct Mask {
    fields: Vec<String>,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// Every character becomes this one, but for so many at the beginning and at the end.
    Characters {
        mask: char,
        first: usize,
        last: usize,
    },
    /// SHA-256 in hex, or HMAC-SHA-256 with a key.
    Hash(Secret),
    Null,
}

impl Mask {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "Mask";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::list("fields").required().doc("The columns whose values are hidden."),
        OptionDef::choice("type", &["mask", "partial", "hash", "null"]).default("mask").doc(
            "`mask`: every character becomes mask_char. `partial`: all but keep_first and keep_last. `hash`: SHA-256 in hex, of text and whole numbers. `null`: NULL.",
        ),
        OptionDef::string("mask_char").default("*").doc("The character that hides others."),
        OptionDef::int_in("keep_first", 0, 1_000_000)
            .default("0")
            .unit("characters")
            .doc("What `partial` shows at the beginning. A text that would be shown whole is hidden whole."),
        OptionDef::int_in("keep_last", 0, 1_000_000)
            .default("0")
            .unit("characters")
            .doc("What `partial` shows at the end."),
        OptionDef::string("hash_key")
            .secret()
            .doc("Makes the hash an HMAC with this key, which nobody without it can look up in a list of likely values."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<Mask> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        let fields = options.list("fields").to_vec();
        if fields.is_empty() {
            return wrong("option `fields` names no column");
        }
        let mut characters = options.str("mask_char").chars();
        let (Some(mask), None) = (characters.next(), characters.next()) else {
            return wrong("option `mask_char` is not one character");
        };
        let size = |name: &str| usize::try_from(options.unsigned(name)).unwrap_or(usize::MAX);
        let how = match options.enum_value("type") {
            "partial" if size("keep_first") + size("keep_last") == 0 => {
                return wrong("`type = partial` needs `keep_first`, `keep_last` or both");
            }
            "partial" => How::Characters { mask, first: size("keep_first"), last: size("keep_last") },
            "hash" => How::Hash(options.secret("hash_key")),
            "null" => How::Null,
            _ => How::Characters { mask, first: 0, last: 0 },
        };
        Ok(Mask { fields, how })
    }

    /// The place of a column, if its type can be hidden this way.
    fn place(&self, input: &TableSchema, name: &str) -> Result<usize> {
        if let How::Characters { .. } = self.how {
            return find_text(Mask::PLUGIN, input, name);
        }
        let place = find(Mask::PLUGIN, input, name)?;
        let data_type = column(Mask::PLUGIN, input, place)?.data_type;
        let hashable = data_type.is_integer() || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8);
        if matches!(self.how, How::Hash(_)) && !hashable {
            let error =
                refusal(Mask::PLUGIN, input, format!("the column holds {data_type}, which is not hashed"));
            return Err(error
                .context("column", name)
                .hint("hash text and whole numbers, or use `type = null`"));
        }
        Ok(place)
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let mut layout = Layout::of(Mask::PLUGIN, input);
        for (new, name) in self.fields.iter().enumerate() {
            let place = self.place(input, name)?;
            let old = column(Mask::PLUGIN, input, place)?;
            match self.how {
                How::Null => {
                    let hidden = Column::derived(old.name, old.data_type, true);
                    // NULL is NULL, whatever the log told.
                    layout.put(hidden, Origin::New { from: None, new });
                }
                How::Hash(_) => {
                    let hidden = Column::derived(old.name, DataType::Utf8, old.nullable);
                    layout.put(hidden, Origin::OneToOne { from: place, new });
                }
                How::Characters { .. } => {
                    let hidden = Column::derived(old.name, DataType::Utf8, old.nullable);
                    layout.put(hidden, Origin::New { from: Some(place), new });
                }
            }
        }
        Ok(layout)
    }

    fn hidden(&self, batch: &ChangeBatch, place: usize) -> Result<ArrayRef> {
        match &self.how {
            How::Null => {
                let column = column(Mask::PLUGIN, &batch.schema, place)?;
                Ok(new_null_array(&column.data_type, batch.len()))
            }
            How::Characters { mask, first, last } => {
                map_text(Mask::PLUGIN, batch, place, |_, text| Ok(masked(text, *mask, *first, *last)))
            }
            How::Hash(key) => {
                let array = values(Mask::PLUGIN, batch, place)?;
                if array.data_type() == &DataType::Utf8 || array.data_type() == &DataType::LargeUtf8 {
                    return map_text(Mask::PLUGIN, batch, place, |_, text| Ok(hash(text, key)));
                }
                let broken = |cause| {
                    let error = Error::new(ErrorKind::Internal, "whole numbers have no text");
                    error.context("transform", Mask::PLUGIN).caused_by(cause)
                };
                let texts = cast(array, &DataType::Utf8).map_err(broken)?;
                let hashed =
                    (0..texts.len()).map(|row| crate::text::text_at(&texts, row).map(|text| hash(text, key)));
                Ok(Arc::new(hashed.collect::<arrow_array::StringArray>()))
            }
        }
    }
}

/// A text behind a character. One that would be shown whole is hidden whole.
fn masked(text: &str, mask: char, first: usize, last: usize) -> String {
    let length = text.chars().count();
    let shows = first.saturating_add(last) < length;
    let is_shown = |at: usize| shows && (at < first || at >= length - last);
    text.chars().enumerate().map(|(at, c)| if is_shown(at) { c } else { mask }).collect()
}

/// SHA-256 in hex, keyed where there is a key.
fn hash(text: &str, key: &Secret) -> String {
    let mut hex = String::with_capacity(64);
    let digest = match (key.is_empty(), Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())) {
        (false, Ok(mut mac)) => {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes()
        }
        _ => Sha256::digest(text.as_bytes()),
    };
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

impl Transform for Mask {
    fn name(&self) -> &str {
        Mask::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema)?;
        let hide = |name: &String| self.hidden(&batch, self.place(&batch.schema, name)?);
        let new = self.fields.iter().map(hide).collect::<Result<Vec<ArrayRef>>>()?;
        layout.batch(batch, the_one(Mask::PLUGIN, outputs)?, &new)
    }
}

#[cfg(test)]
mod tests;
