//! One pass over a block: each definition takes the keys that are its own, what is left is unknown.

use std::collections::BTreeMap;

use super::Resolved;
use crate::env::ENV_OPTIONS;
use crate::nearest::nearest;
use crate::option_def::{COMMON_OPTIONS, OptionDef, OptionKind, Support};
use crate::problem::{Fix, Place, Problem, ProblemKind};
use crate::secret::{is_secret_key, mask_secrets};
use crate::setting::{Setting, expected, parse_text, parse_value};
use crate::substitute::unresolved_variables;
use crate::value::{Block, Leaf, Role, Value};

/// Keys of `env` that belong to other engines and pass without a word.
const PASSED_IN_ENV: &[&str] = &["flink.", "spark.", "execution."];

/// How many characters of a wrong value a message repeats.
const SHOWN_CHARS: usize = 60;

/// How many options of a block a hint lists; of more it says how to get at the list.
const LISTED_OPTIONS_MAX: usize = 12;

pub(super) struct Resolution<'b> {
    label: String,
    leaves: Vec<Leaf<'b>>,
    used: Vec<bool>,
    problems: Vec<Problem>,
    settings: BTreeMap<&'static str, Resolved>,
}

impl<'b> Resolution<'b> {
    pub(super) fn new(block: &'b Block) -> Resolution<'b> {
        let leaves = block.leaves();
        let used = vec![false; leaves.len()];
        Resolution { label: block.label(), leaves, used, problems: Vec::new(), settings: BTreeMap::new() }
    }

    pub(super) fn run(
        mut self,
        block: &Block,
        defs: &[OptionDef],
    ) -> (BTreeMap<&'static str, Resolved>, Vec<Problem>) {
        // Names count before the maps around them: `debezium.x` may be an option of its own.
        let (maps, plain): (Vec<&OptionDef>, Vec<&OptionDef>) =
            defs.iter().partition(|def| def.kind == OptionKind::Map);
        plain.into_iter().for_each(|def| self.plain(def));
        maps.into_iter().for_each(|def| self.map(def));
        self.unknown_keys(block, defs);
        self.missing(block, defs);
        (self.settings, self.problems)
    }

    /// Places in `leaves` that `wanted` accepts and nobody took before; they count as taken now.
    fn take(&mut self, wanted: impl Fn(&Leaf<'b>) -> bool) -> Vec<usize> {
        let mut taken = Vec::new();
        for (index, (leaf, used)) in self.leaves.iter().zip(self.used.iter_mut()).enumerate() {
            if !*used && wanted(leaf) {
                *used = true;
                taken.push(index);
            }
        }
        taken
    }

    fn report(&mut self, kind: ProblemKind, index: usize, message: String) {
        if let Some(leaf) = self.leaves.get(index) {
            self.problems.push(Problem::error(kind, leaf.place.clone(), leaf.path.clone(), message));
        }
    }

    /// An option that is one leaf.
    fn plain(&mut self, def: &OptionDef) {
        let taken = self.take(|leaf| def.names().any(|name| name == leaf.path));
        let mut first: Option<(Setting, String, Place)> = None;
        let mut broken: Option<(String, Place)> = None;
        for index in taken {
            let Some(leaf) = self.leaves.get(index).cloned() else { continue };
            if matches!(leaf.value, Value::Null) || self.not_working(def, index, &leaf) {
                continue;
            }
            let setting = match self.typed(def, &leaf) {
                Ok(setting) => setting,
                Err(problem) => {
                    self.problems.push(problem);
                    broken = Some((leaf.path.clone(), leaf.place.clone()));
                    continue;
                }
            };
            match &first {
                Some((earlier, key, _)) if *earlier != setting => {
                    let message = format!(
                        "options '{key}' and '{}' are two names of one option and differ; keep one",
                        leaf.path
                    );
                    self.report(ProblemKind::Conflict, index, message);
                }
                Some(_) => {}
                None => first = Some((setting, leaf.path.clone(), leaf.place.clone())),
            }
        }
        let resolved = match first {
            Some((setting, key, place)) => {
                Resolved { setting: Some(setting), typed: Some((key, place)), secret: def.secret }
            }
            None => {
                let setting = def.default.and_then(|default| parse_text(def.kind, default).ok());
                // A broken value was set: it must not be reported as missing too.
                Resolved { setting, typed: broken, secret: def.secret }
            }
        };
        self.settings.insert(def.name, resolved);
    }

    /// Reports an option that is refused or ignored; `true` when its value does not count.
    fn not_working(&mut self, def: &OptionDef, index: usize, leaf: &Leaf<'_>) -> bool {
        let default = def.default.and_then(|default| parse_text(def.kind, default).ok());
        if default.is_some() && parse_value(def.kind, leaf.value).ok() == default {
            return false;
        }
        match def.support {
            Support::Works => false,
            Support::Refused(reason) => {
                let message = format!("option '{}' of {} is not supported: {reason}", leaf.path, self.label);
                self.report(ProblemKind::Refused, index, message);
                true
            }
            Support::Ignored(reason) => {
                let message = format!("option '{}' of {} has no effect: {reason}", leaf.path, self.label);
                let place = leaf.place.clone();
                self.problems.push(Problem::warning(ProblemKind::Ignored, place, &leaf.path, message));
                true
            }
        }
    }

    fn typed(&self, def: &OptionDef, leaf: &Leaf<'_>) -> Result<Setting, Problem> {
        let error = |kind, message| Problem::error(kind, leaf.place.value(), &leaf.path, message);
        let left_over = if def.placeholders { Vec::new() } else { left_over(leaf.value) };
        if let Some(name) = left_over.first() {
            let message = format!("option '{}' needs variable '{name}', which is not set", leaf.path);
            return Err(error(ProblemKind::Variable, message)
                .hint(format!("pass -i {name}=… or set the environment variable {name}")));
        }
        parse_value(def.kind, leaf.value).map_err(|wanted| {
            let secret = def.secret || is_secret_key(&leaf.path);
            let found = if secret { String::new() } else { format!(", found {}", shown(leaf.value)) };
            let mut problem =
                error(ProblemKind::BadValue, format!("option '{}' must be {wanted}{found}", leaf.path));
            let Some(word) = leaf.value.scalar_text().filter(|_| !secret) else { return problem };
            problem.hint = misspelt(def.kind, word);
            problem.known_as = elsewhere(def, word);
            problem
        })
    }

    /// An option that is a block: everything below its name.
    fn map(&mut self, def: &OptionDef) {
        let below = |path: &str| {
            def.names().find_map(|name| path.strip_prefix(name)?.strip_prefix('.')).map(str::to_owned)
        };
        let taken =
            self.take(|leaf| def.names().any(|name| name == leaf.path) || below(&leaf.path).is_some());
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut typed: Option<(String, Place)> = None;
        for index in taken {
            let Some(leaf) = self.leaves.get(index).cloned() else { continue };
            if matches!(leaf.value, Value::Null) {
                continue;
            }
            if def.support != Support::Works {
                if typed.is_none() {
                    typed = Some((leaf.path.clone(), leaf.place.clone()));
                    self.not_working(def, index, &leaf);
                }
                continue;
            }
            match (below(&leaf.path), map_text(leaf.value)) {
                (Some(key), Some(text)) => pairs.push((key, text)),
                (None, None) if matches!(leaf.value, Value::Object(_)) => {}
                (key, _) => {
                    let wanted = if key.is_some() {
                        "a text or a list of texts".to_owned()
                    } else {
                        expected(def.kind)
                    };
                    let message =
                        format!("option '{}' must be {wanted}, found {}", leaf.path, leaf.value.shape());
                    self.report(ProblemKind::BadValue, index, message);
                }
            }
            typed.get_or_insert((leaf.path.clone(), leaf.place.clone()));
        }
        let works = def.support == Support::Works;
        let setting = typed.is_some().then_some(Setting::Map(pairs)).filter(|_| works);
        let typed = typed.filter(|_| works);
        self.settings.insert(def.name, Resolved { setting, typed, secret: def.secret });
    }

    fn unknown_keys(&mut self, block: &Block, defs: &[OptionDef]) {
        let names: Vec<&str> = defs.iter().flat_map(OptionDef::names).collect();
        for (leaf, used) in self.leaves.iter().zip(&self.used) {
            let env = block.role == Role::Env && block.plugin == Role::Env.section();
            let passes = env && PASSED_IN_ENV.iter().any(|p| leaf.path.starts_with(p));
            let empty_parent = matches!(leaf.value, Value::Object(_))
                && names.iter().any(|name| name.strip_prefix(&leaf.path).is_some_and(|r| r.starts_with('.')));
            if *used || passes || empty_parent {
                continue;
            }
            let place = leaf.place.clone();
            let nested = |name: &&&str| leaf.path.strip_prefix(**name).is_some_and(|r| r.starts_with('.'));
            if let Some(parent) = names.iter().find(nested) {
                let message = format!("option '{parent}' takes a single value; '{}' is not known", leaf.path);
                self.problems.push(Problem::error(ProblemKind::BadValue, place, &leaf.path, message));
                // It was set, if not as it should be: it must not be reported as missing too.
                let def = defs.iter().find(|def| def.names().any(|name| name == *parent));
                if let Some(set) = def.and_then(|def| self.settings.get_mut(def.name)) {
                    set.typed.get_or_insert_with(|| (leaf.path.clone(), leaf.place.clone()));
                }
                continue;
            }
            let message = format!("option '{}' is not known to {}", leaf.path, self.label);
            let mut problem = Problem::warning(ProblemKind::UnknownKey, place, &leaf.path, message);
            if let Some(near) = nearest(&leaf.path, names.iter().copied()) {
                problem = problem
                    .hint(format!("did you mean '{near}'?"))
                    .fix(Fix::RenameKey { from: leaf.path.clone(), to: near.to_owned() });
            } else if block.role != Role::Env && env_knows(&leaf.path) {
                problem = problem.hint("it is an option of the section env");
            } else if !env {
                problem = problem.hint(known_options(block, defs));
            }
            self.problems.push(problem);
        }
    }

    fn missing(&mut self, block: &Block, defs: &[OptionDef]) {
        let unset = |def: &&OptionDef| {
            def.required && self.settings.get(def.name).is_none_or(|resolved| resolved.typed.is_none())
        };
        let missing: Vec<&OptionDef> = defs.iter().filter(unset).collect();
        if missing.is_empty() {
            return;
        }
        let names: Vec<String> = missing.iter().map(|def| format!("'{}'", def.name)).collect();
        let plural = if names.len() == 1 { "option" } else { "options" };
        let message = format!("{} lacks required {plural} {}", self.label, names.join(", "));
        let additions = missing.iter().map(|def| (def.name.to_owned(), def.doc.to_owned())).collect();
        let place = block.place.clone();
        self.problems.push(
            Problem::error(ProblemKind::Missing, place, &block.plugin, message)
                .known_as(format!(
                    "There are unconfigured options, the options({}) are required.",
                    names.join(", ")
                ))
                .fix(Fix::AddOptions(additions)),
        );
    }
}

/// What was probably meant by a value that does not fit.
fn misspelt(kind: OptionKind, word: &str) -> Option<String> {
    let quoted = |quote| word.strip_prefix(quote).is_some_and(|rest| rest.ends_with(quote));
    if quoted('\'') {
        return Some(
            "HOCON knows no single quotes: they are part of the value; use double quotes".to_owned(),
        );
    }
    match kind {
        OptionKind::Enum(words) => {
            nearest(word, words.iter().copied()).map(|near| format!("did you mean '{near}'?"))
        }
        OptionKind::Bool if ["yes", "on", "1"].iter().any(|yes| yes.eq_ignore_ascii_case(word)) => {
            Some("write true".to_owned())
        }
        OptionKind::Bool if ["no", "off", "0"].iter().any(|no| no.eq_ignore_ascii_case(word)) => {
            Some("write false".to_owned())
        }
        _ => None,
    }
}

/// How SeaTunnel words a value that does not fit.
fn elsewhere(def: &OptionDef, word: &str) -> Option<String> {
    let word = shown_text(word);
    match def.kind {
        OptionKind::Enum(words) => Some(format!(
            "Could not parse value for enum {}. Expected one of: [{}]",
            def.name,
            words.join(", ")
        )),
        OptionKind::Bool => Some(format!(
            "Unrecognized option for boolean: {word}. Expected either true or false(case insensitive)"
        )),
        OptionKind::Int { .. } if word.parse::<i128>().is_ok_and(|number| i32::try_from(number).is_err()) => {
            Some(format!("Configuration value {word} overflows/underflows the integer type."))
        }
        _ => None,
    }
}

/// Whether it is an option of the section `env`.
fn env_knows(path: &str) -> bool {
    ENV_OPTIONS.iter().flat_map(OptionDef::names).any(|name| name == path)
}

/// The options that a block may have, or how to get at them where they are many.
fn known_options(block: &Block, defs: &[OptionDef]) -> String {
    let works: Vec<&str> = defs
        .iter()
        .filter(|def| def.support == Support::Works && !is_common(def.name))
        .map(|def| def.name)
        .collect();
    if works.is_empty() {
        format!("{} has no options of its own", block.label())
    } else if works.len() <= LISTED_OPTIONS_MAX {
        format!("its options are {}", works.join(", "))
    } else {
        format!("`culvert connectors {}` lists its options", block.plugin)
    }
}

/// Whether every block may have it.
fn is_common(name: &str) -> bool {
    COMMON_OPTIONS.iter().any(|common| common.name == name)
}

/// Variables that are left over in a value.
fn left_over(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => unresolved_variables(text),
        Value::List(values) => values.iter().flat_map(left_over).collect(),
        _ => Vec::new(),
    }
}

/// A value of a map as a text; lists join with commas.
fn map_text(value: &Value) -> Option<String> {
    match value {
        Value::List(values) => {
            let texts: Option<Vec<&str>> = values.iter().map(Value::scalar_text).collect();
            texts.map(|texts| texts.join(","))
        }
        value => value.scalar_text().map(str::to_owned),
    }
}

/// A wrong value for a message: short, and without what looks like a secret.
fn shown(value: &Value) -> String {
    match value.scalar_text() {
        None => value.shape().to_owned(),
        Some(text) => format!("'{}'", shown_text(text)),
    }
}

fn shown_text(text: &str) -> String {
    let masked = mask_secrets(text);
    let mut short: String = masked.chars().take(SHOWN_CHARS).collect();
    if short.len() < masked.len() {
        short.push('…');
    }
    short
}
