//! The options of one block, typed by its connector's definitions.

mod resolution;

use std::collections::BTreeMap;
use std::fmt;

use crate::option_def::{COMMON_OPTIONS, OptionDef};
use crate::problem::{Place, Problem, ProblemKind};
use crate::secret::{MASK, Secret, is_secret_key, mask_secrets};
use crate::setting::Setting;
use crate::value::{Block, Entry, Role};
use resolution::Resolution;

/// The typed options of a block. Names are the definitions' own names, never aliases.
///
/// The getters of an option that is not set and has no default give an empty value: `""`, 0,
/// `false`. What must be set is marked `required`, so that [`Options::resolve`] reports it.
#[derive(Clone)]
pub struct Options {
    label: String,
    place: Place,
    settings: BTreeMap<&'static str, Resolved>,
}

#[derive(Clone)]
struct Resolved {
    setting: Option<Setting>,
    /// The key and place as the user wrote it; `None` when the default counts.
    typed: Option<(String, Place)>,
    secret: bool,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, resolved) in &self.settings {
            if let Some(setting) = &resolved.setting {
                let secret = resolved.secret || is_secret_key(name);
                let shown = if secret { MASK.to_owned() } else { setting_text(setting) };
                map.entry(name, &format_args!("{shown}"));
            }
        }
        map.finish()
    }
}

impl Options {
    /// Types the options of a block. Everything wrong is reported at once: unknown keys, values
    /// that do not fit, refused options, options set twice under different names, missing ones.
    /// [`COMMON_OPTIONS`] are added to the definitions unless the block is `env`.
    pub fn resolve(block: &Block, defs: &[OptionDef]) -> (Options, Vec<Problem>) {
        let mut defs: Vec<OptionDef> = defs.to_vec();
        if block.role != Role::Env {
            let common = COMMON_OPTIONS.iter().filter(|c| !defs.iter().any(|def| def.name == c.name));
            let common: Vec<OptionDef> = common.copied().collect();
            defs.extend(common);
        }
        let (settings, mut problems) = Resolution::new(block).run(block, &defs);
        problems.sort_by_key(|problem| problem.place.line);
        (Options { label: block.label(), place: block.place.clone(), settings }, problems)
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)?.setting.as_ref()
    }

    /// The text of an option; `""` when it is not set.
    pub fn str(&self, name: &str) -> &str {
        self.opt_str(name).unwrap_or("")
    }

    /// The text of an option.
    pub fn opt_str(&self, name: &str) -> Option<&str> {
        match self.setting(name)? {
            Setting::Text(text) => Some(text),
            Setting::Word(word) => Some(word),
            _ => None,
        }
    }

    /// A secret; empty when it is not set.
    pub fn secret(&self, name: &str) -> Secret {
        Secret::new(self.str(name))
    }

    /// A whole number, or milliseconds of a length of time; 0 when it is not set.
    pub fn int(&self, name: &str) -> i64 {
        self.opt_int(name).unwrap_or(0)
    }

    /// A whole number, or milliseconds of a length of time.
    pub fn opt_int(&self, name: &str) -> Option<i64> {
        match self.setting(name)? {
            Setting::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number as an unsigned one; 0 when it is not set or negative.
    pub fn unsigned(&self, name: &str) -> u64 {
        u64::try_from(self.int(name)).unwrap_or(0)
    }

    /// A decimal number; 0 when it is not set.
    pub fn float(&self, name: &str) -> f64 {
        match self.setting(name) {
            Some(Setting::Float(number)) => *number,
            _ => 0.0,
        }
    }

    /// A boolean; `false` when it is not set.
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.setting(name), Some(Setting::Bool(true)))
    }

    /// A list of texts; empty when it is not set.
    pub fn list(&self, name: &str) -> &[String] {
        match self.setting(name) {
            Some(Setting::List(texts)) => texts,
            _ => &[],
        }
    }

    /// The keys and texts of a block, in order; empty when it is not set.
    pub fn map(&self, name: &str) -> &[(String, String)] {
        match self.setting(name) {
            Some(Setting::Map(pairs)) => pairs,
            _ => &[],
        }
    }

    /// The blocks of a list of blocks; empty when it is not set.
    pub fn objects(&self, name: &str) -> &[Vec<Entry>] {
        match self.setting(name) {
            Some(Setting::Objects(blocks)) => blocks,
            _ => &[],
        }
    }

    /// The word of a choice, spelt as its definition spells it; `""` when it is not set.
    pub fn enum_value(&self, name: &str) -> &'static str {
        match self.setting(name) {
            Some(Setting::Word(word)) => word,
            _ => "",
        }
    }

    /// Whether the user set it; a default does not count.
    pub fn is_set(&self, name: &str) -> bool {
        self.settings.get(name).is_some_and(|resolved| resolved.typed.is_some())
    }

    /// The key as the user typed it, or the option's name when it is not set. For messages.
    pub fn typed_key<'o>(&'o self, name: &'o str) -> &'o str {
        self.settings
            .get(name)
            .and_then(|resolved| resolved.typed.as_ref())
            .map_or(name, |(key, _)| key.as_str())
    }

    /// Where the option is set, otherwise where its block begins. For messages.
    pub fn place(&self, name: &str) -> &Place {
        let typed = self.settings.get(name).and_then(|resolved| resolved.typed.as_ref());
        typed.map_or(&self.place, |(_, place)| place)
    }

    /// What messages call the block: `source MySQL-CDC`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// An error about an option, at its place and with the key as typed: for rules that a table
    /// of definitions cannot express. `message` completes "option 'x' ".
    pub fn problem(&self, name: &str, message: impl fmt::Display) -> Problem {
        let key = self.typed_key(name);
        let message = format!("option '{key}' {message}");
        Problem::error(ProblemKind::BadValue, self.place(name).clone(), key, message)
    }

    /// The value as a text to compare with, for rules.
    pub(crate) fn text_of(&self, name: &str) -> Option<String> {
        self.setting(name).map(setting_text)
    }
}

fn setting_text(setting: &Setting) -> String {
    match setting {
        Setting::Text(text) => mask_secrets(text),
        Setting::Word(word) => (*word).to_owned(),
        Setting::Int(number) => number.to_string(),
        Setting::Float(number) => number.to_string(),
        Setting::Bool(value) => value.to_string(),
        Setting::List(texts) => mask_secrets(&texts.join(",")),
        Setting::Map(pairs) => {
            let masked = |(key, text): &(String, String)| {
                let text = if is_secret_key(key) { MASK.to_owned() } else { mask_secrets(text) };
                format!("{key}={text}")
            };
            pairs.iter().map(masked).collect::<Vec<String>>().join(",")
        }
        Setting::Objects(blocks) => format!("{blocks:?}"),
    }
}

#[cfg(test)]
mod tests;
