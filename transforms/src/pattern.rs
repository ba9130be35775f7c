//! Regular expressions as job files of SeaTunnel have them, which are Java's, for the engine that is here.
//!
//! `\d`, `\w`, `\s` mean ASCII, as in Java; a dash behind a class (`[\w-.]`) is a dash; `\Q…\E` quotes. What
//! the engine lacks on purpose, because it could take forever (look-around, back-references), is refused.

use culvert_api::{Error, ErrorKind, Result};
use regex::{Captures, Regex, RegexBuilder};

/// Compiles a pattern that may match anywhere. Errors are [`ErrorKind::Config`] and name plugin and option.
pub(crate) fn compile(plugin: &str, option: &str, pattern: &str) -> Result<Regex> {
    build(plugin, option, &translate(pattern), true)
}

/// Compiles a pattern that must match a whole text.
pub(crate) fn compile_whole(
    plugin: &str,
    option: &str,
    pattern: &str,
    case_sensitive: bool,
) -> Result<Regex> {
    build(plugin, option, &format!(r"\A(?:{})\z", translate(pattern)), case_sensitive)
}

fn build(plugin: &str, option: &str, pattern: &str, case_sensitive: bool) -> Result<Regex> {
    RegexBuilder::new(pattern).case_insensitive(!case_sensitive).build().map_err(|error| {
        // The last line of the report is the reason; the ones before repeat the pattern.
        let report = error.to_string();
        let reason = report.lines().last().unwrap_or("").trim().trim_start_matches("error: ");
        Error::new(
            ErrorKind::Config,
            format!("{plugin}: option '{option}' is no regular expression ({reason})"),
        )
        .hint("put a back-slash before characters that are meant as they are: . * + ? ( ) [ ] { } | ^ $")
    })
}

/// Java's pattern in the engine's language.
fn translate(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut depth = 0_usize;
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('\\', Some('Q')) => {
                let from = rest.clone().skip(1).collect::<String>();
                let (quoted, behind) = from.split_once("\\E").unwrap_or((&from, ""));
                translated.push_str(&regex::escape(quoted));
                let left = behind.chars().count();
                while rest.clone().count() > left {
                    rest.next();
                }
            }
            ('\\', Some(class)) => {
                rest.next();
                match ascii_class(class) {
                    Some(ascii) => {
                        translated.push_str(ascii);
                        if depth > 0 && rest.peek() == Some(&'-') {
                            rest.next();
                            translated.push_str(r"\-");
                        }
                    }
                    None => translated.extend(['\\', class]),
                }
            }
            _ => {
                match c {
                    '[' => depth += 1,
                    ']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                translated.push(c);
            }
        }
    }
    translated
}

fn ascii_class(class: char) -> Option<&'static str> {
    Some(match class {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => r"[\t\n\x0B\x0C\r ]",
        'S' => r"[^\t\n\x0B\x0C\r ]",
        _ => return None,
    })
}

/// The matches of a pattern in a text, one behind the other as Java finds them: an empty match may follow
/// directly behind another one.
pub(crate) fn matches<'t>(pattern: &Regex, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let found = pattern.captures_at(text, at?)?;
        let whole = found.get(0)?;
        let next = match whole.is_empty() {
            false => Some(whole.end()),
            true => text[whole.end()..].chars().next().map(|c| whole.end() + c.len_utf8()),
        };
        at = next;
        Some(found)
    })
}

/// What stands in a match's place, in Java's language: `$1`, `${name}`, and `\` before a character that is
/// meant as it is.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Group(usize),
    Named(String),
}

impl Replacement {
    /// Reads a replacement for a pattern. Errors are [`ErrorKind::Config`].
    pub(crate) fn parse(plugin: &str, option: &str, text: &str, pattern: &Regex) -> Result<Replacement> {
        let wrong = |what: String| {
            Error::new(ErrorKind::Config, format!("{plugin}: option '{option}' {what}"))
                .hint("write \\$ for a dollar sign and \\\\ for a back-slash")
        };
        let groups = pattern.captures_len();
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' => match rest.next() {
                    Some(meant) => plain.push(meant),
                    None => return Err(wrong("ends with a back-slash".to_owned())),
                },
                '$' => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    if rest.next_if_eq(&'{').is_some() {
                        let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                        if !pattern.capture_names().flatten().any(|known| known == name) {
                            return Err(wrong(format!("names the group '{name}', which the pattern lacks")));
                        }
                        parts.push(Part::Named(name));
                        continue;
                    }
                    let digit = rest.next().and_then(|c| c.to_digit(10));
                    let Some(mut group) = digit.and_then(|digit| usize::try_from(digit).ok()) else {
                        return Err(wrong("has a dollar sign without a group's number".to_owned()));
                    };
                    if group >= groups {
                        return Err(wrong(format!("names the group {group}, which the pattern lacks")));
                    }
                    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                        let longer = group * 10 + digit as usize;
                        if longer >= groups {
                            break;
                        }
                        group = longer;
                        rest.next();
                    }
                    parts.push(Part::Group(group));
                }
                c => plain.push(c),
            }
        }
        parts.push(Part::Text(plain));
        Ok(Replacement { parts })
    }

    /// Appends what stands in a match's place.
    pub(crate) fn append(&self, found: &Captures<'_>, to: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => to.push_str(text),
                Part::Group(group) => to.push_str(found.get(*group).map_or("", |group| group.as_str())),
                Part::Named(name) => to.push_str(found.name(name).map_or("", |group| group.as_str())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
