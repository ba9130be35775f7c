//! Variables: `${x}`, `${?x}` and `${x:default}`, filled from `-i` and from the environment.
//!
//! A name that is set nowhere and has no default stays as it is written, because sinks have
//! placeholders of the same look (`${table_name}`); the option check reports what is left over.

use std::fmt;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::problem::{Place, Problem, ProblemKind};

/// Placeholders that sinks fill in per table. They are never variables.
pub const RESERVED_NAMES: &[&str] = &[
    "database_name",
    "schema_name",
    "schema_full_name",
    "table_name",
    "table_full_name",
    "primary_key",
    "unique_key",
    "field_names",
];

/// `${name}` or `${name:default}`; a leading `?` of the name makes it optional.
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{([^:{}]+)(?::([^}]*))?\}").expect("a fixed pattern"));

/// Where the values of variables come from: those given on the command line, then the
/// environment.
#[derive(Clone)]
pub struct Variables {
    given: Vec<(String, String)>,
    environment: fn(&str) -> Option<String>,
    /// Whether quoted texts stay as they are.
    as_written: bool,
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be passwords.
        f.debug_list().entries(self.given.iter().map(|(name, _)| name)).finish()
    }
}

impl Variables {
    /// Variables given by the user, with the process environment behind them. A reserved name is
    /// refused.
    pub fn new(given: &[(String, String)]) -> Result<Variables, Problem> {
        Variables::with_environment(given, |name| std::env::var(name).ok())
    }

    /// The same with another environment.
    pub fn with_environment(
        given: &[(String, String)],
        environment: fn(&str) -> Option<String>,
    ) -> Result<Variables, Problem> {
        if let Some((name, _)) = given.iter().find(|(name, _)| is_reserved(name)) {
            let message = format!("variable '{name}' cannot be set: sinks fill in this name per table");
            return Err(Problem::error(ProblemKind::Variable, Place::default(), name, message)
                .hint(format!("choose a name other than {}", RESERVED_NAMES.join(", ")))
                .known_as(format!(
                    "System placeholders cannot be used. Incorrect config parameter: {name}"
                )));
        }
        Ok(Variables { given: given.to_vec(), environment, as_written: false })
    }

    /// No variables: every `${…}` in a quoted text stays.
    pub fn as_written() -> Variables {
        Variables { given: Vec::new(), environment: |_| None, as_written: true }
    }

    /// The value given on the command line; of several the last.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value in the environment.
    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        // The system's lookup panics on or refuses such names.
        if name.is_empty() || name.contains(['=', '\0']) { None } else { (self.environment)(name) }
    }

    fn value(&self, name: &str) -> Option<String> {
        self.given(name).map(str::to_owned).or_else(|| self.environment(name))
    }

    /// Fills in the variables of a quoted text. Values that are filled in are not looked at again.
    pub(crate) fn fill(&self, text: &str) -> String {
        if self.as_written || !text.contains("${") {
            return text.to_owned();
        }
        VARIABLE.replace_all(text, |captures: &Captures<'_>| self.fill_one(captures)).into_owned()
    }

    fn fill_one(&self, captures: &Captures<'_>) -> String {
        let whole = captures.get(0).map_or("", |m| m.as_str());
        let written = captures.get(1).map_or("", |m| m.as_str()).trim();
        let default = captures.get(2).map(|m| m.as_str().trim());
        let (name, optional) = match written.strip_prefix('?') {
            Some(name) => (name.trim(), true),
            None => (written, false),
        };
        if is_reserved(name) {
            return whole.to_owned();
        }
        match (self.value(name), default) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(default)) => default.to_owned(),
            (None, None) if optional => String::new(),
            (None, None) => whole.to_owned(),
        }
    }
}

/// Whether a name belongs to the sinks.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED_NAMES.contains(&name)
}

/// Names of variables that are still in a text, those of sinks left out; each once, in order.
pub fn unresolved_variables(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for captures in VARIABLE.captures_iter(text) {
        let name = captures.get(1).map_or("", |m| m.as_str()).trim();
        if !is_reserved(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Reads `-i` arguments: `k=v`, split at the first `=`; several in one argument are split at
/// commas outside double quotes, where a piece without `=` belongs to the value before it. Double
/// quotes around a value are dropped.
pub fn parse_variables<S: AsRef<str>>(arguments: &[S]) -> Result<Vec<(String, String)>, Problem> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for argument in arguments {
        let mut of_this: Vec<(String, String)> = Vec::new();
        for piece in split_outside_quotes(argument.as_ref()) {
            match (piece.split_once('='), of_this.last_mut()) {
                (Some((name, value)), _) if !name.trim().is_empty() => {
                    of_this.push((name.trim().to_owned(), value.to_owned()));
                }
                (_, Some((_, value))) => {
                    value.push(',');
                    value.push_str(piece);
                }
                _ => {
                    // The argument is not repeated: what was meant as a value may be a password.
                    let message = "a variable must be given as name=value";
                    return Err(Problem::error(ProblemKind::Variable, Place::default(), "-i", message)
                        .hint("write for example -i host=db1.example"));
                }
            }
        }
        variables.append(&mut of_this);
    }
    for (_, value) in &mut variables {
        let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        if let Some(inner) = inner.map(str::to_owned) {
            *value = inner;
        }
    }
    Ok(variables)
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c: char| {
        if c == '"' {
            quoted = !quoted;
        }
        c == ',' && !quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn variables(given: &[(&str, &str)]) -> Variables {
        let given: Vec<(String, String)> =
            given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let environment = |name: &str| match name {
            "HOST" => Some("env-host".to_owned()),
            "table_name" => Some("never".to_owned()),
            _ => None,
        };
        Variables::with_environment(&given, environment).unwrap()
    }

    #[test]
    fn quoted_texts_are_filled_by_the_rules() {
        let vars = variables(&[("a", "1"), ("empty", ""), ("a", "2"), ("nested", "${a}")]);
        let cases = [
            ("x${a}y", "x2y"),
            ("${a:9}", "2"),
            ("${b:9}", "9"),
            ("${b: padded }", "padded"),
            ("${b:}", ""),
            ("${b}", "${b}"),
            ("${?b}|", "|"),
            ("${?a}", "2"),
            ("${empty}|", "|"),
            ("${empty:9}", "9"),
            ("${HOST}", "env-host"),
            ("${nested}", "${a}"),
            ("${table_name} ${table_name:t}", "${table_name} ${table_name:t}"),
            ("$a ${} ${:x} $", "$a ${} ${:x} $"),
        ];
        for (text, filled) in cases {
            assert_eq!(vars.fill(text), filled, "{text}");
        }
    }

    #[test]
    fn command_line_wins_over_environment() {
        assert_eq!(variables(&[("HOST", "given")]).fill("${HOST}"), "given");
    }

    #[test]
    fn reserved_names_are_refused() {
        let given = vec![("table_name".to_owned(), "x".to_owned())];
        let problem = Variables::new(&given).unwrap_err();
        assert!(problem.message.contains("'table_name'"), "{problem}");
    }

    #[test]
    fn what_is_left_over_is_named() {
        assert_eq!(unresolved_variables("${a}/${b:x}/${table_name}/${a}"), ["a", "b"]);
        assert!(unresolved_variables("plain").is_empty());
    }

    #[test]
    fn arguments_split_at_the_first_equals_sign_and_at_commas() {
        let pairs = parse_variables(&["a=b=c", "x=1,y=2", r#"q="l,m""#, "t=a,b"]).unwrap();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "b=c"), ("x", "1"), ("y", "2"), ("q", "l,m"), ("t", "a,b")]);
        let problem = parse_variables(&["hunter2"]).unwrap_err();
        assert!(!problem.to_string().contains("hunter2"));
        assert!(parse_variables(&["=x"]).is_err());
    }

    #[test]
    fn debug_shows_names_only() {
        assert_eq!(format!("{:?}", variables(&[("pw", "hunter2")])), "[\"pw\"]");
    }
}
