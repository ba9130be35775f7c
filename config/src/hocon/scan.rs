//! A light scan of HOCON text: where the keys are, what is never closed, and what to rewrite
//! before the parser sees it.
//!
//! The rewriting keeps every line where it is. Comments become blanks; double quotes are put
//! around keys that begin with `include`, around `${x:default}` and around numbers that would not
//! come back as they were written (`1.10`).

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use hocon_rs::parser::read::leading_whitespace_bytes;

use crate::problem::{Place, Problem, ProblemKind};

/// Line ends appended to the text: the parser looks up to seven bytes ahead and takes the end of
/// the file for the end of the object.
const PADDING: &str = "\n\n\n\n\n\n\n\n";

/// What the scan found.
#[derive(Debug)]
pub(super) struct Scan {
    /// The text for the parser.
    pub(super) text: String,
    /// The line of each key, in the order of the text; `include` statements are not keys.
    pub(super) key_lines: Vec<u32>,
    file: Arc<str>,
    original: String,
    /// Offsets in `text` of the quotes that were put in.
    inserted: Vec<usize>,
    line_starts: Vec<usize>,
}

impl Scan {
    /// The place in the original text of an offset in the rewritten one.
    pub(super) fn place(&self, offset: usize) -> Place {
        let shift = self.inserted.partition_point(|inserted| *inserted < offset);
        place_of(&self.file, &self.original, &self.line_starts, offset - shift)
    }

    /// Whether nothing but blank space follows the offset.
    pub(super) fn is_end(&self, offset: usize) -> bool {
        self.text.get(offset..).is_none_or(|rest| rest.trim().is_empty())
    }
}

/// Scans a text.
pub(super) fn scan(text: &str, file: &Arc<str>) -> Result<Scan, Problem> {
    let line_starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut scanner = Scanner { text, bytes: text.as_bytes(), ..Scanner::default() };
    if let Err(fault) = scanner.run() {
        let place = place_of(file, text, &line_starts, fault.offset);
        let subject = place.to_string();
        let message = format!("not valid HOCON: {}", fault.message);
        return Err(Problem::error(ProblemKind::Syntax, place, subject, message));
    }
    let key_lines = scanner.keys.iter().map(|at| small(line_of(&line_starts, *at))).collect();
    let (rewritten, inserted) = scanner.rewrite();
    Ok(Scan {
        text: rewritten,
        key_lines,
        file: Arc::clone(file),
        original: text.to_owned(),
        inserted,
        line_starts,
    })
}

fn line_of(line_starts: &[usize], offset: usize) -> usize {
    line_starts.partition_point(|start| *start <= offset)
}

fn place_of(file: &Arc<str>, text: &str, line_starts: &[usize], offset: usize) -> Place {
    // The appended line ends belong to no line of the file.
    let offset = offset.min(text.trim_end().len());
    let line = line_of(line_starts, offset);
    let start = line_starts.get(line - 1).copied().unwrap_or(0);
    let column = text.get(start..offset).map(|before| before.chars().count() + 1);
    Place { file: Arc::clone(file), line: Some(small(line)), column: column.map(small) }
}

/// Lines and columns of a file within the size limit are small.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

struct Fault {
    offset: usize,
    message: String,
}

/// What the scan expects next.
enum Expect {
    /// A key, an element, or the end of the innermost block or list.
    Entry,
    /// The rest of a value: values may stand side by side.
    Value,
    /// Nothing: from here on the parser says what is wrong.
    Nothing,
}

#[derive(Default)]
struct Scanner<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    keys: Vec<usize>,
    quotes: Vec<usize>,
    blanks: Vec<Range<usize>>,
    /// The open blocks and lists: the bracket and where it stands.
    open: Vec<(u8, usize)>,
}

impl<'t> Scanner<'t> {
    fn run(&mut self) -> Result<(), Fault> {
        self.skip_blank();
        let braced = self.peek() == Some(b'{');
        if braced {
            self.open.push((b'{', self.at));
            self.at += 1;
        }
        let mut expect = Expect::Entry;
        loop {
            expect = match expect {
                Expect::Entry => self.entry()?,
                Expect::Value => self.value()?,
                Expect::Nothing => return Ok(()),
            };
            if braced && self.open.is_empty() {
                self.skip_blank();
                return Ok(());
            }
        }
    }

    fn entry(&mut self) -> Result<Expect, Fault> {
        loop {
            self.skip_blank();
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        let innermost = self.open.last().copied();
        match (self.peek(), innermost) {
            (None, None) => Ok(Expect::Nothing),
            (None, Some((bracket, offset))) => {
                Err(Fault { offset, message: format!("this '{}' is never closed", char::from(bracket)) })
            }
            (Some(b'}'), Some((b'{', _))) | (Some(b']'), Some((b'[', _))) => {
                self.open.pop();
                self.at += 1;
                Ok(Expect::Value)
            }
            (Some(bracket @ (b'}' | b']')), opened) => {
                let message = match opened {
                    Some((other, _)) => {
                        format!("'{}' does not close '{}'", char::from(bracket), char::from(other))
                    }
                    None => format!("'{}' closes nothing", char::from(bracket)),
                };
                Err(Fault { offset: self.at, message })
            }
            (Some(_), Some((b'[', _))) => Ok(Expect::Value),
            (Some(_), _) => self.key(),
        }
    }

    /// A key and what separates it from its value, or an `include` statement.
    fn key(&mut self) -> Result<Expect, Fault> {
        let start = self.at;
        if self.rest().starts_with("include") {
            if let Some(end) = self.include_statement()? {
                self.at = end;
                return Ok(Expect::Entry);
            }
            let end = start + self.bare_length(start, false);
            self.quotes.extend([start, end]);
        }
        loop {
            self.skip_horizontal();
            match self.peek() {
                Some(b'"') => self.string()?,
                _ => match self.bare_length(self.at, false) {
                    0 => return Ok(Expect::Nothing),
                    length => self.at += length,
                },
            }
            self.skip_horizontal();
            if self.peek() != Some(b'.') {
                break;
            }
            self.at += 1;
        }
        self.keys.push(start);
        // The parser wants separator or brace on the key's line; people write them below it too.
        let end_of_key = self.at;
        self.skip_blank();
        if matches!(self.peek(), Some(b'{' | b'=' | b':')) && self.at > end_of_key {
            self.blanks.push(end_of_key..self.at);
        }
        match (self.peek(), self.bytes.get(self.at + 1)) {
            (Some(b'='), _) | (Some(b':'), _) => self.at += 1,
            (Some(b'+'), Some(b'=')) => self.at += 2,
            (Some(b'{'), _) => {}
            _ => return Ok(Expect::Nothing),
        }
        self.skip_blank();
        Ok(Expect::Value)
    }

    fn value(&mut self) -> Result<Expect, Fault> {
        loop {
            let Some(byte) = self.peek() else { return Ok(Expect::Entry) };
            match byte {
                b'{' | b'[' => {
                    self.open.push((byte, self.at));
                    self.at += 1;
                    return Ok(Expect::Entry);
                }
                b'"' => self.string()?,
                b'$' => {
                    if !self.substitution() {
                        return Ok(Expect::Nothing);
                    }
                }
                b',' | b'\n' | b'}' | b']' | b'#' => return Ok(Expect::Entry),
                b'/' if self.rest().starts_with("//") => return Ok(Expect::Entry),
                _ => {
                    let before = self.at;
                    self.skip_horizontal();
                    if self.at == before && !self.bare_value() {
                        return Ok(Expect::Nothing);
                    }
                }
            }
        }
    }

    /// The end of an `include "…"`, `include file("…")` or the like at the current place.
    fn include_statement(&mut self) -> Result<Option<usize>, Fault> {
        const FORMS: [&str; 5] = ["\"", "file(", "url(", "classpath(", "required("];
        let start = self.at;
        self.at += "include".len();
        self.skip_horizontal();
        let is_statement = FORMS.iter().any(|form| self.rest().starts_with(form));
        let quote = self.rest().find(['"', '\n']).map(|found| self.at + found);
        let end = match quote.filter(|at| is_statement && self.bytes.get(*at) == Some(&b'"')) {
            None => None,
            Some(quote) => {
                self.at = quote;
                self.string()?;
                loop {
                    self.skip_horizontal();
                    if self.peek() != Some(b')') {
                        break;
                    }
                    self.at += 1;
                }
                Some(self.at)
            }
        };
        self.at = start;
        Ok(end)
    }

    /// Passes a quoted text, in single or triple double quotes.
    fn string(&mut self) -> Result<(), Fault> {
        let offset = self.at;
        if self.rest().starts_with("\"\"\"") {
            self.at += 3;
            let Some(end) = self.rest().find("\"\"\"") else {
                return Err(Fault { offset, message: "this triple quote is never closed".to_owned() });
            };
            self.at += end + 3;
            return Ok(());
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                None | Some(b'\n') => {
                    let message = "this quote is not closed in its line".to_owned();
                    return Err(Fault { offset, message });
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Passes `${…}`; one with a default becomes a quoted text.
    fn substitution(&mut self) -> bool {
        let rest = self.rest();
        let Some(end) = rest.find(['}', '\n']).filter(|_| rest.starts_with("${")) else { return false };
        if rest.as_bytes().get(end) != Some(&b'}') {
            return false;
        }
        let inner = rest.get(2..end).unwrap_or("");
        if inner.contains(':') && !inner.contains(['"', '\\', '{']) {
            self.quotes.extend([self.at, self.at + end + 1]);
        }
        self.at += end + 1;
        true
    }

    /// Passes an unquoted text; a number that would change its spelling gets quotes.
    fn bare_value(&mut self) -> bool {
        let length = self.bare_length(self.at, true);
        let token = self.rest().get(..length).unwrap_or("");
        if serde_json::Number::from_str(token).is_ok_and(|number| number.to_string() != token) {
            self.quotes.extend([self.at, self.at + length]);
        }
        self.at += length;
        length > 0
    }

    /// The length of the unquoted text at an offset; a dot ends it in keys.
    fn bare_length(&self, from: usize, dots: bool) -> usize {
        let Some(rest) = self.bytes.get(from..) else { return 0 };
        let ends = |(index, byte): (usize, &u8)| match byte {
            b'$' | b'"' | b'{' | b'}' | b'[' | b']' | b':' | b'=' | b',' | b'+' | b'#' | b'`' | b'^'
            | b'?' | b'!' | b'@' | b'*' | b'&' | b'\\' => true,
            b'/' => rest.get(index + 1) == Some(&b'/'),
            b'.' => !dots,
            _ => rest.get(index..).is_some_and(|tail| leading_whitespace_bytes(tail) > 0),
        };
        rest.iter().enumerate().position(|(index, byte)| ends((index, byte))).unwrap_or(rest.len())
    }

    fn skip_horizontal(&mut self) {
        while let Some(rest) = self.bytes.get(self.at..).filter(|rest| rest.first() != Some(&b'\n')) {
            match leading_whitespace_bytes(rest) {
                0 => return,
                width => self.at += width,
            }
        }
    }

    /// Passes blank space, line ends and comments; comments are to be blanked out.
    fn skip_blank(&mut self) {
        while let Some(rest) = self.bytes.get(self.at..) {
            let width = leading_whitespace_bytes(rest);
            if width > 0 {
                self.at += width;
            } else if rest.starts_with(b"#") || rest.starts_with(b"//") {
                let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                self.blanks.push(self.at..self.at + length);
                self.at += length;
            } else {
                return;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The text for the parser, and where quotes were put into it.
    fn rewrite(&self) -> (String, Vec<usize>) {
        let mut blanked = self.text.to_owned();
        for range in &self.blanks {
            blanked.replace_range(range.clone(), &" ".repeat(range.len()));
        }
        let mut rewritten = String::with_capacity(blanked.len() + self.quotes.len() + PADDING.len());
        let mut inserted = Vec::with_capacity(self.quotes.len());
        let mut from = 0;
        for at in &self.quotes {
            rewritten.push_str(blanked.get(from..*at).unwrap_or(""));
            inserted.push(rewritten.len());
            rewritten.push('"');
            from = *at;
        }
        rewritten.push_str(blanked.get(from..).unwrap_or(""));
        rewritten.push_str(PADDING);
        (rewritten, inserted)
    }
}
