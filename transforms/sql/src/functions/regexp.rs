//! Regular expressions. The syntax is Java's as far as both have it; what needs backtracking (looking around,
//! references back into the pattern) is refused when the query is planned.

use std::cell::RefCell;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_schema::DataType;
use regex::{Captures, Regex, RegexBuilder};

use crate::function::Returns::From;
use crate::function::Take::{Int, Text};
use crate::function::{Args, Def, Fault, Known, Outcome};
use crate::nested::list;

pub(super) static FUNCTIONS: &[Def] = &[
    Def {
        names: &["REGEXP_REPLACE"],
        args: &[Text, Text, Text, Text],
        optional: 1,
        repeats: false,
        returns: From(|args| judged(args, 3, DataType::Utf8)),
        run: replace,
    },
    Def {
        names: &["REGEXP_LIKE"],
        args: &[Text, Text, Text],
        optional: 1,
        repeats: false,
        returns: From(|args| judged(args, 2, DataType::Boolean)),
        run: like,
    },
    Def {
        names: &["REGEXP_SUBSTR"],
        args: &[Text, Text, Int, Int, Text, Int],
        optional: 4,
        repeats: false,
        returns: From(|args| judged(args, 4, DataType::Utf8)),
        run: substring,
    },
    Def {
        names: &["SPLIT"],
        args: &[Text, Text],
        optional: 0,
        repeats: false,
        returns: From(|args| judged(args, 2, list(DataType::Utf8))),
        run: split,
    },
];

/// Compiles a pattern and flags that are written out, so that a mistake shows before a row does.
fn judged(args: &[Known], flags: usize, returns: DataType) -> Result<DataType, String> {
    let flags = args.get(flags).and_then(|arg| arg.literal.as_deref());
    if let Some(pattern) = args.get(1).and_then(|arg| arg.literal.as_deref()) {
        compile(pattern, flags).map_err(|fault| fault.0)?;
    }
    Ok(returns)
}

fn compile(pattern: &str, flags: Option<&str>) -> Result<Regex, Fault> {
    let mut builder = RegexBuilder::new(pattern);
    for flag in flags.unwrap_or_default().chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'n' => builder.dot_matches_new_line(true),
            'm' => builder.multi_line(true),
            _ => return Err(Fault::new("the flags of a regular expression are i, c, n and m")),
        };
    }
    builder.build().map_err(|_| {
        Fault::new("a regular expression is not understood, or needs what is not supported: looking around, references back")
    })
}

/// The expression of the row before, compiled: as a rule it is the same in every row.
#[derive(Default)]
struct Compiled(RefCell<Option<(String, Option<String>, Regex)>>);

impl Compiled {
    fn with<T>(&self, pattern: &str, flags: Option<&str>, of: impl FnOnce(&Regex) -> T) -> Result<T, Fault> {
        let mut kept = self.0.borrow_mut();
        match kept.as_ref() {
            Some((known, known_flags, regex)) if known == pattern && known_flags.as_deref() == flags => {
                Ok(of(regex))
            }
            _ => {
                let regex = compile(pattern, flags)?;
                let result = of(&regex);
                *kept = Some((pattern.to_owned(), flags.map(str::to_owned), regex));
                Ok(result)
            }
        }
    }
}

fn like(a: &Args) -> Outcome {
    let compiled = Compiled::default();
    a.flags(|r| {
        let Some((text, pattern)) = a.text(0, r).zip(a.text(1, r)) else { return Ok(None) };
        compiled.with(pattern, a.text(2, r), |regex| Some(regex.is_match(text)))
    })
}

fn replace(a: &Args) -> Outcome {
    let compiled = Compiled::default();
    a.texts(|r| {
        let Some((text, pattern)) = a.text(0, r).zip(a.text(1, r)) else { return Ok(None) };
        let Some(replacement) = a.text(2, r) else { return Ok(None) };
        compiled.with(pattern, a.text(3, r), |regex| {
            let pieces = pieces(replacement, regex.captures_len())?;
            let fill = |captures: &Captures<'_>| filled(&pieces, captures);
            Ok(Some(regex.replace_all(text, fill).into_owned()))
        })?
    })
}

/// A part of a replacement.
enum Piece {
    Text(String),
    Group(usize),
}

/// Java's replacements: `$1` is a group, of as many digits as there are groups for; `\` makes the next character
/// one like others.
fn pieces(replacement: &str, groups: usize) -> Result<Vec<Piece>, Fault> {
    let wrong = || Fault::new("the replacement of a regular expression names a group that is not there");
    let mut pieces = vec![Piece::Text(String::new())];
    let mut rest = replacement.chars().peekable();
    while let Some(next) = rest.next() {
        let letter = match next {
            '$' => {
                let first = rest.next().and_then(|digit| digit.to_digit(10)).ok_or_else(wrong)?;
                let mut group = usize::try_from(first).map_err(|_| wrong())?;
                while let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(10)) {
                    let longer = group * 10 + usize::try_from(digit).map_err(|_| wrong())?;
                    if longer >= groups {
                        break;
                    }
                    group = longer;
                    rest.next();
                }
                if group >= groups {
                    return Err(wrong());
                }
                pieces.push(Piece::Group(group));
                pieces.push(Piece::Text(String::new()));
                continue;
            }
            '\\' => rest
                .next()
                .ok_or_else(|| Fault::new("the replacement of a regular expression ends in a backslash"))?,
            letter => letter,
        };
        if let Some(Piece::Text(text)) = pieces.last_mut() {
            text.push(letter);
        }
    }
    Ok(pieces)
}

fn filled(pieces: &[Piece], captures: &Captures<'_>) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Group(group) => {
            captures.get(*group).map_or_else(String::new, |found| found.as_str().to_owned())
        }
    };
    pieces.iter().map(piece).collect()
}

fn substring(a: &Args) -> Outcome {
    let compiled = Compiled::default();
    a.texts(|r| {
        let Some((text, pattern)) = a.text(0, r).zip(a.text(1, r)) else { return Ok(None) };
        let place = |arg, default| a.int(arg, r).map_or(Some(default), |given| usize::try_from(given).ok());
        let (Some(start), Some(nth), Some(group)) = (place(2, 1), place(3, 1), place(5, 0)) else {
            return Err(Fault::new("a position, an occurrence or a group of REGEXP_SUBSTR is negative"));
        };
        compiled.with(pattern, a.text(4, r), |regex| {
            if group >= regex.captures_len() {
                return Err(Fault::new("REGEXP_SUBSTR names a group that is not there"));
            }
            let places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let Some(from) = places.clone().nth(start.saturating_sub(1)) else { return Ok(None) };
            let mut matches = Matches { regex, text, at: Some(from) };
            let found = matches.nth(nth.saturating_sub(1));
            Ok(found.and_then(|captures| captures.get(group)).map(|found| found.as_str().to_owned()))
        })?
    })
}

fn split(a: &Args) -> Outcome {
    let compiled = Compiled::default();
    let mut built = ListBuilder::new(StringBuilder::new());
    for r in 0..a.rows() {
        match a.text(0, r).zip(a.text(1, r)) {
            Some((text, delimiter)) if !text.is_empty() => {
                let parts = compiled.with(delimiter, None, |regex| parts(regex, text))?;
                built.append_value(parts.into_iter().map(Some));
            }
            _ => built.append_null(),
        }
    }
    Ok(Arc::new(built.finish()))
}

/// The parts of a text as Java's `split` gives them: empty ones at the end are dropped, and an empty match at the
/// beginning parts nothing.
fn parts<'t>(delimiter: &Regex, text: &'t str) -> Vec<&'t str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    for found in delimiter.find_iter(text).filter(|found| found.end() > 0) {
        parts.push(text.get(from..found.start()).unwrap_or_default());
        from = found.end();
    }
    parts.push(text.get(from..).unwrap_or_default());
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

/// The matches from a place on, each of which sees the text before it, too.
struct Matches<'a> {
    regex: &'a Regex,
    text: &'a str,
    at: Option<usize>,
}

impl<'a> Iterator for Matches<'a> {
    type Item = Captures<'a>;

    fn next(&mut self) -> Option<Captures<'a>> {
        let captures = self.regex.captures_at(self.text, self.at?)?;
        let found = captures.get(0)?;
        self.at = match found.is_empty() {
            true => self
                .text
                .get(found.end()..)
                .and_then(|rest| rest.chars().next())
                .map(|c| found.end() + c.len_utf8()),
            false => Some(found.end()),
        };
        Some(captures)
    }
}
