//! How names change: letter case, replacements, prefix and suffix. What FieldRename and TableRename share.

use culvert_api::Result;
use culvert_config::{OptionDef, Options};
use regex::Regex;

use crate::nested::Nested;
use crate::pattern::{compile, matches};

/// A rule for names.
#[derive(Clone, Debug)]
pub(crate) struct Renaming {
    case: Case,
    prefix: String,
    suffix: String,
    replacements: Vec<(Find, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Keep,
    Upper,
    Lower,
}

#[derive(Clone, Debug)]
enum Find {
    Whole(String),
    Pattern(Regex),
}

/// The options that make such a rule.
pub(crate) const CONVERT_CASE: OptionDef =
    OptionDef::choice("convert_case", &["UPPER", "LOWER"]).doc("The letter case that names get.");
/// See [`CONVERT_CASE`].
pub(crate) const PREFIX: OptionDef = OptionDef::string("prefix").doc("What is put in front of a name.");
/// See [`CONVERT_CASE`].
pub(crate) const SUFFIX: OptionDef = OptionDef::string("suffix").doc("What is put behind a name.");
/// See [`CONVERT_CASE`].
pub(crate) const REPLACEMENTS: OptionDef = OptionDef::objects("replacements_with_regex").doc(
    "Replacements in a name: blocks of `replace_from`, `replace_to` and `is_regex` (true; false: the whole name). The last one that finds something counts; what it puts in keeps its letter case.",
);

impl Renaming {
    /// Reads the options. Errors are [`culvert_api::ErrorKind::Config`].
    pub(crate) fn from_options(plugin: &str, options: &Options) -> Result<Renaming> {
        let case = match options.enum_value("convert_case") {
            "UPPER" => Case::Upper,
            "LOWER" => Case::Lower,
            _ => Case::Keep,
        };
        let mut replacements = Vec::new();
        for block in Nested::list(plugin, options, REPLACEMENTS.name) {
            block.only(&["replace_from", "replace_to", "is_regex"])?;
            let from = block.needed("replace_from")?;
            let find = match block.flag("is_regex", true)? {
                true => Find::Pattern(compile(plugin, REPLACEMENTS.name, from)?),
                false => Find::Whole(from.to_owned()),
            };
            replacements.push((find, block.text("replace_to")?.unwrap_or("").trim().to_owned()));
        }
        let text = |name: &str| options.str(name).trim().to_owned();
        Ok(Renaming { case, prefix: text("prefix"), suffix: text("suffix"), replacements })
    }

    /// A name in the letter case alone.
    pub(crate) fn cased(&self, name: &str) -> String {
        match self.case {
            Case::Keep => name.to_owned(),
            Case::Upper => name.to_uppercase(),
            Case::Lower => name.to_lowercase(),
        }
    }

    /// The new name.
    pub(crate) fn rename(&self, name: &str) -> String {
        let mut new = self.prefix.clone();
        let mut copied = 0;
        if let Some((places, with)) = self.found(name) {
            for (start, end) in places {
                new.push_str(&self.cased(&name[copied..start]));
                new.push_str(with);
                copied = end;
            }
        }
        new.push_str(&self.cased(&name[copied..]));
        new.push_str(&self.suffix);
        new
    }

    /// Where the last replacement that finds something does, and what it puts there.
    fn found(&self, name: &str) -> Option<(Vec<(usize, usize)>, &str)> {
        self.replacements.iter().rev().find_map(|(find, with)| {
            let places: Vec<(usize, usize)> = match find {
                Find::Whole(whole) if whole == name => vec![(0, name.len())],
                Find::Whole(_) => Vec::new(),
                Find::Pattern(pattern) => matches(pattern, name)
                    .filter_map(|found| found.get(0).map(|whole| (whole.start(), whole.end())))
                    .collect(),
            };
            (!places.is_empty()).then_some((places, with.as_str()))
        })
    }
}
