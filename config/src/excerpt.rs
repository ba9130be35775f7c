//! The line of a job file that a problem is about, with the part that is meant marked.
//!
//! A job file holds passwords, so a line is shown only after what may be a secret is taken out of
//! it: the values of keys whose names say so, of keys that look like a misspelt one of these, and
//! passwords inside URLs. It is better to hide too much.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use unicode_width::UnicodeWidthStr;

use crate::nearest::nearest;
use crate::problem::{Fix, Problem, ProblemKind, Span};
use crate::secret::{MASK, is_secret_key, mask_secrets};

/// How many columns of a line are shown.
const COLUMNS_MAX: usize = 120;

/// How many columns are shown before the mark where a line is cut.
const COLUMNS_BEFORE: usize = 60;

/// What stands for a tabulator, as its width is the reader's matter.
const TAB: &str = "    ";

/// What stands for the value of a key that nobody knows, which may be a secret by another name.
const UNSHOWN: &str = "…";

/// The text of a job file. Its Debug form shows nothing of it.
#[derive(Clone)]
pub(crate) struct SourceText {
    text: Arc<str>,
    /// Values of keys that look secret, as ranges of bytes.
    secrets: Arc<[Range<usize>]>,
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceText")
    }
}

impl SourceText {
    /// A text, and where in it the values of keys stand that look secret.
    pub(crate) fn new(text: &str, secrets: Vec<Range<usize>>) -> SourceText {
        SourceText { text: text.into(), secrets: secrets.into() }
    }

    /// A line without its end, and the byte it begins at; lines count from 1.
    fn line(&self, number: u32) -> Option<(usize, &str)> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let line = self.text.split('\n').nth(index)?;
        let start = line.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        Some((start, line.trim_end_matches('\r')))
    }
}

/// The bytes of a span in its line.
fn bytes_of(line: &str, span: Span) -> Range<usize> {
    let offset = |column: u32| {
        let characters = usize::try_from(column).unwrap_or(usize::MAX);
        line.char_indices().nth(characters).map_or(line.len(), |(at, _)| at)
    };
    let first = span.column.saturating_sub(1);
    offset(first)..offset(first.saturating_add(span.length))
}

/// Whether a key may name a secret: by the words of [`is_secret_key`], by a slip in one, or as the key
/// of a cipher.
pub(crate) fn looks_secret(key: &str) -> bool {
    const WORDS: &[&str] =
        &["password", "passwd", "pwd", "passphrase", "secret", "token", "credentials", "private_key", "auth"];
    let last = key.rsplit('.').next().unwrap_or(key).trim_matches('"').to_lowercase();
    is_secret_key(key)
        || last.starts_with("pass")
        || matches!(last.as_str(), "key" | "hash_key" | "cipher_key" | "encryption_key")
        || nearest(&last, WORDS.iter().copied()).is_some()
}

/// A line ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// Its number.
    pub(crate) line: u32,
    /// Its text without secrets, cut where it is long.
    pub(crate) text: String,
    /// Columns before the mark.
    pub(crate) before: usize,
    /// Columns of the mark, at least 1.
    pub(crate) width: usize,
}

impl Excerpt {
    /// The line of a problem; `None` when there is none or its text is not at hand.
    pub(crate) fn of(problem: &Problem) -> Option<Excerpt> {
        let span = problem.place.marked()?;
        let source = problem.place.text()?;
        let (start, line) = source.line(span.line)?;
        let hidden = hidden_in(&[problem], source, start, line);
        let (text, before, width) = marked(line, &hidden, bytes_of(line, span));
        Some(cut(span.line, &text, before, width))
    }
}

/// The line that all of these problems are about, whole, without what may be a secret.
pub(crate) fn whole_line(problems: &[&Problem]) -> Option<String> {
    let place = &problems.first()?.place;
    let source = place.text()?;
    let (start, line) = source.line(place.line?)?;
    Some(mask_secrets(&without(line, &hidden_in(problems, source, start, line))))
}

/// What must not be shown of a line that problems are about, and what stands for it.
fn hidden_in(
    problems: &[&Problem],
    source: &SourceText,
    start: usize,
    line: &str,
) -> Vec<(Range<usize>, &'static str)> {
    let mut hidden = Vec::new();
    for problem in problems {
        if let Some(value) = unshown_value(problem).filter(|value| Some(value.line) == problem.place.line) {
            hidden.push((bytes_of(line, value), UNSHOWN));
        }
    }
    for secret in source.secrets.iter() {
        let range = secret.start.max(start)..secret.end.min(start + line.len());
        if range.start < range.end {
            hidden.push((range.start - start..range.end - start, MASK));
        }
    }
    hidden.extend(secret_values(line).map(|range| (range, MASK)));
    apart(hidden)
}

/// The value of a key that nobody knows, unless it is plainly a slip of a key that is no secret; and a
/// value that was found to hold a secret.
fn unshown_value(problem: &Problem) -> Option<Span> {
    if problem.kind == ProblemKind::PlainSecret {
        return problem.place.value_span();
    }
    if problem.kind != ProblemKind::UnknownKey {
        return None;
    }
    let meant = match problem.fix.as_deref() {
        Some(Fix::RenameKey { to, .. }) => !looks_secret(to),
        _ => false,
    };
    problem.place.value_span().filter(|_| !meant)
}

/// Values of keys that look secret in a line that may be broken: from behind the separator, or the blanks
/// where one should be, to the end of the quotes, to the comma, or to the end of the line.
fn secret_values(line: &str) -> impl Iterator<Item = Range<usize>> {
    static KEY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?:"([^"]*)"|([\w.-]+))\s*(?:(?:\+?=|[:{])[\s=:{\[]*|\s)"#).expect("a fixed pattern")
    });
    KEY.captures_iter(line).filter_map(move |captures| {
        let key = captures.get(1).or_else(|| captures.get(2))?;
        let start = captures.get(0)?.end();
        if !looks_secret(key.as_str()) {
            return None;
        }
        let value = line.get(start..)?;
        let end = match value.strip_prefix('"') {
            Some(quoted) if !quoted.starts_with('"') => end_of_quote(quoted).map(|at| at + 2),
            Some(_) => None,
            None => value.find([',', '}', ']']),
        };
        let length = end.unwrap_or(value.len());
        (length > 0).then_some(start..start + length)
    })
}

/// Where the quote ends that a text begins inside of; one behind a back slash does not end it.
fn end_of_quote(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// The line with what stands for what is hidden.
fn without(line: &str, hidden: &[(Range<usize>, &str)]) -> String {
    let mut text = String::new();
    let mut at = 0;
    for (range, shown) in hidden {
        text.push_str(line.get(at..range.start).unwrap_or(""));
        text.push_str(shown);
        at = range.end;
    }
    text.push_str(line.get(at..).unwrap_or(""));
    text
}

/// The line without what is hidden, the columns before what is marked, and its columns.
fn marked(line: &str, hidden: &[(Range<usize>, &str)], marked: Range<usize>) -> (String, usize, usize) {
    let text = without(line, hidden);
    // Passwords inside URLs change the width once more.
    let columns = |offset: usize| columns_of(&mask_secrets(text.get(..offset).unwrap_or(&text)));
    let before = columns(moved(marked.start, hidden, false));
    let until = columns(moved(marked.end, hidden, true));
    (mask_secrets(&text).replace('\t', TAB), before, until.saturating_sub(before))
}

/// In order, and none inside another.
fn apart(mut hidden: Vec<(Range<usize>, &'static str)>) -> Vec<(Range<usize>, &'static str)> {
    hidden.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut kept: Vec<(Range<usize>, &str)> = Vec::new();
    for (range, shown) in hidden {
        match kept.last_mut() {
            Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
            _ => kept.push((range, shown)),
        }
    }
    kept
}

/// Where an offset of the line is after the hidden ranges were replaced; one inside such a range
/// goes to its start, or as an end behind it.
fn moved(offset: usize, hidden: &[(Range<usize>, &str)], end: bool) -> usize {
    let (mut at, mut new) = (0, 0);
    for (range, shown) in hidden.iter().take_while(|(range, _)| range.start < offset) {
        new += range.start - at;
        if range.end > offset {
            return if end { new + shown.len() } else { new };
        }
        new += shown.len();
        at = range.end;
    }
    new + (offset - at)
}

/// Columns that a text takes on a terminal; a tabulator takes four.
pub fn columns_of(text: &str) -> usize {
    text.replace('\t', TAB).width()
}

/// Cuts a long line around the mark.
fn cut(line: u32, text: &str, before: usize, width: usize) -> Excerpt {
    let text = text.trim_end();
    let total = text.width();
    let before = before.min(total);
    let skipped = if total > COLUMNS_MAX { before.saturating_sub(COLUMNS_BEFORE) } else { 0 };
    let mut shown = String::new();
    let mut column = 0;
    for c in text.chars() {
        let wide = c.to_string().width();
        if column >= skipped && column + wide <= skipped + COLUMNS_MAX {
            shown.push(c);
        }
        column += wide;
    }
    let mut before = before - skipped;
    if skipped > 0 {
        shown.insert(0, '…');
        before += 1;
    }
    if total > skipped + COLUMNS_MAX {
        shown.push('…');
    }
    let room = shown.width().saturating_sub(before);
    Excerpt { line, text: shown, before, width: width.min(room).max(1) }
}

#[cfg(test)]
mod tests;
