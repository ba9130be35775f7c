//! Rules between the options of one block that single definitions cannot express.

use crate::options::Options;
use crate::problem::{Problem, ProblemKind};

/// A rule between options. Names are the definitions' own names.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Exactly one of them must be set.
    OneOf(&'static [&'static str]),
    /// At most one of them may be set.
    AtMostOne(&'static [&'static str]),
    /// All of them or none.
    Together(&'static [&'static str]),
    /// When `option` has this value (in any letter case; its default counts), all of `needs` must
    /// be set.
    RequiredWhen {
        /// The option that decides.
        option: &'static str,
        /// The value that counts.
        is: &'static str,
        /// What must be set then.
        needs: &'static [&'static str],
    },
}

impl Rule {
    /// The rule in words.
    pub fn words(&self) -> String {
        match *self {
            Rule::OneOf(names) => format!("exactly one of {} must be set", quoted(names)),
            Rule::AtMostOne(names) => format!("at most one of {} may be set", quoted(names)),
            Rule::Together(names) => format!("{} are set together or not at all", quoted(names)),
            Rule::RequiredWhen { option, is, needs } => {
                format!("where '{option}' is {is}, {} must be set", quoted(needs))
            }
        }
    }
}

impl Options {
    /// What breaks the rules.
    pub fn check(&self, rules: &[Rule]) -> Vec<Problem> {
        rules.iter().filter_map(|rule| self.check_one(*rule)).collect()
    }

    fn check_one(&self, rule: Rule) -> Option<Problem> {
        match rule {
            Rule::OneOf(names) if names.iter().all(|name| !self.is_set(name)) => {
                let message = format!("{} needs exactly one of {}", self.label(), quoted(names));
                let problem = self.rule_broken(ProblemKind::Missing, names, message);
                Some(problem.known_as(format!(
                    "There are unconfigured options, these options({}) are mutually exclusive, allowing only one \
                     set(\"[] for a set\") of options to be configured.",
                    quoted(names)
                )))
            }
            Rule::OneOf(names) | Rule::AtMostOne(names) => {
                let set: Vec<&str> = names.iter().copied().filter(|name| self.is_set(name)).collect();
                if set.len() < 2 {
                    return None;
                }
                let typed: Vec<&str> = set.iter().map(|name| self.typed_key(name)).collect();
                let message =
                    format!("options {} of {} exclude each other; keep one", quoted(&typed), self.label());
                let problem = self.rule_broken(ProblemKind::Conflict, &set, message);
                Some(problem.known_as(format!(
                    "These options({}) are mutually exclusive, allowing only one set(\"[] for a set\") of options \
                     to be configured.",
                    quoted(&typed)
                )))
            }
            Rule::Together(names) => {
                let (set, absent): (Vec<&str>, Vec<&str>) =
                    names.iter().copied().partition(|name| self.is_set(name));
                if set.is_empty() || absent.is_empty() {
                    return None;
                }
                let message = format!(
                    "options {} of {} belong together; {} is missing",
                    quoted(names),
                    self.label(),
                    quoted(&absent)
                );
                let problem = self.rule_broken(ProblemKind::Missing, &set, message);
                Some(problem.known_as(format!(
                    "These options({}) are bundled, must be present or absent together. The options present are: {}. \
                     The options absent are {}.",
                    quoted(names),
                    set.join(", "),
                    absent.join(", ")
                )))
            }
            Rule::RequiredWhen { option, is, needs } => {
                let applies = self.text_of(option).is_some_and(|text| text.eq_ignore_ascii_case(is));
                let absent: Vec<&str> = needs.iter().copied().filter(|name| !self.is_set(name)).collect();
                if !applies || absent.is_empty() {
                    return None;
                }
                let key = self.typed_key(option);
                let message = format!("{} needs {} because '{key}' is {is}", self.label(), quoted(&absent));
                let problem = self.rule_broken(ProblemKind::Missing, &[option], message);
                Some(problem.known_as(format!(
                    "There are unconfigured options, the options({}) are required because ['{option}' == {is}] is true.",
                    quoted(&absent)
                )))
            }
        }
    }

    fn rule_broken(&self, kind: ProblemKind, names: &[&str], message: String) -> Problem {
        let first = names.first().copied().unwrap_or("");
        let place = names.last().map_or_else(|| self.place(first), |name| self.place(name));
        Problem::error(kind, place.clone(), self.typed_key(first), message)
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<String>>().join(", ")
}
