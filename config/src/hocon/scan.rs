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

use crate::excerpt::{SourceText, looks_secret};
use crate::problem::{Place, Problem, ProblemKind, Span};

/// Line ends appended to the text: the parser looks up to seven bytes ahead and takes the end of
/// the file for the end of the object.
const PADDING: &str = "\n\n\n\n\n\n\n\n";

/// What the scan found.
#[derive(Debug)]
pub(super) struct Scan {
    /// The text for the parser.
    pub(super) text: String,
    /// The place of each key, in the order of the text; `include` statements are not keys.
    pub(super) keys: Vec<Place>,
    /// The places of `include` statements, in order.
    pub(super) includes: Vec<Place>,
    lines: Lines,
    /// Offsets in `text` of the quotes that were put in.
    inserted: Vec<usize>,
}

impl Scan {
    /// The offset in the original text of one in the rewritten text.
    fn original(&self, offset: usize) -> usize {
        offset - self.inserted.partition_point(|inserted| *inserted < offset)
    }

    /// The place in the original text of an offset in the rewritten one.
    pub(super) fn place(&self, offset: usize) -> Place {
        self.lines.place(self.original(offset), 1)
    }

    /// The line of the original text up to an offset in the rewritten one, and the rest of it.
    pub(super) fn around(&self, offset: usize) -> (&str, &str) {
        self.lines.around(self.original(offset))
    }

    /// Whether nothing but blank space follows the offset.
    pub(super) fn is_end(&self, offset: usize) -> bool {
        self.text.get(offset..).is_none_or(|rest| rest.trim().is_empty())
    }
}

/// A text and where its lines begin.
#[derive(Debug)]
struct Lines {
    file: Arc<str>,
    text: String,
    source: SourceText,
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str, file: &Arc<str>, source: SourceText) -> Lines {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { file: Arc::clone(file), text: text.to_owned(), source, starts }
    }

    /// The number of the line of an offset, and where it begins.
    fn line_of(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        (line, self.starts.get(line - 1).copied().unwrap_or(0))
    }

    /// A range of bytes, as far as it is in the line it begins in.
    fn span(&self, range: &Range<usize>) -> Span {
        let (line, start) = self.line_of(range.start);
        let characters =
            |range: Range<usize>| small(self.text.get(range).map_or(0, |part| part.chars().count()));
        let line_end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let end = range.end.clamp(range.start, line_end.max(range.start));
        Span {
            line: small(line),
            column: characters(start..range.start).saturating_add(1),
            length: characters(range.start..end),
        }
    }

    fn place(&self, offset: usize, length: usize) -> Place {
        // The appended line ends belong to no line of the file.
        let offset = offset.min(self.text.trim_end().len());
        let end = (offset + length..=self.text.len()).find(|end| self.text.is_char_boundary(*end));
        let span = self.span(&(offset..end.unwrap_or(offset)));
        Place::span(&self.file, span, &self.source)
    }

    fn around(&self, offset: usize) -> (&str, &str) {
        let offset = offset.min(self.text.len());
        let (line, start) = self.line_of(offset);
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        (self.text.get(start..offset).unwrap_or(""), self.text.get(offset..end).unwrap_or(""))
    }
}

/// Scans a text.
pub(super) fn scan(text: &str, file: &Arc<str>) -> Result<Scan, Problem> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), ..Scanner::default() };
    let result = scanner.run();
    let lines = Lines::new(text, file, SourceText::new(text, scanner.secrets()));
    if let Err(fault) = result {
        let place = lines.place(fault.offset, fault.length);
        let message = format!("not valid HOCON: {}", fault.message);
        let problem = Problem::error(ProblemKind::Syntax, place.clone(), format!("{place:#}"), message);
        return Err(match fault.hint.or_else(|| scanner.suspect(&lines)) {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }
    let place = |range: &Range<usize>| Place::span(file, lines.span(range), &lines.source);
    let keys = scanner.keys.iter().map(|key| {
        let value = key.value.as_ref().filter(|value| !value.is_empty());
        place(&key.name).with_value(value.map(|value| lines.span(value)))
    });
    let (keys, includes) = (keys.collect(), scanner.includes.iter().map(place).collect());
    let (rewritten, inserted) = scanner.rewrite();
    Ok(Scan { text: rewritten, keys, includes, lines, inserted })
}

/// A place in a text that another parser found wrong; both numbers count from 1.
pub(super) fn place_at(text: &str, file: &Arc<str>, line: usize, column: usize) -> Place {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), ..Scanner::default() };
    // What is wrong is known already.
    let _ = scanner.run();
    let source = SourceText::new(text, scanner.secrets());
    let span = Span { line: small(line.max(1)), column: small(column.max(1)), length: 1 };
    Place::span(file, span, &source)
}

/// Lines and columns of a file within the size limit are small.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

struct Fault {
    offset: usize,
    /// How many bytes are meant.
    length: usize,
    message: String,
    hint: Option<String>,
}

impl Fault {
    /// One byte is wrong.
    fn at(offset: usize, message: impl Into<String>) -> Fault {
        Fault { offset, length: 1, message: message.into(), hint: None }
    }
}

/// A key and its value, as ranges of bytes. The value of a key that is being read ends where the
/// scan is.
struct Key {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

/// An open block or list.
#[derive(Clone, Copy)]
struct Open {
    bracket: u8,
    offset: usize,
    /// The key whose value it is or begins.
    key: Option<usize>,
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
    keys: Vec<Key>,
    includes: Vec<Range<usize>>,
    quotes: Vec<usize>,
    blanks: Vec<Range<usize>>,
    open: Vec<Open>,
    /// The key whose value is being read.
    current: Option<usize>,
    /// Blocks that end at another depth of indentation than they begin: where.
    crooked: Vec<(usize, usize)>,
}

impl<'t> Scanner<'t> {
    fn run(&mut self) -> Result<(), Fault> {
        self.skip_blank();
        let braced = self.peek() == Some(b'{');
        if braced {
            self.push(b'{');
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
        let opened = innermost.map(|open| open.bracket);
        match (self.peek(), innermost) {
            (None, None) => Ok(Expect::Nothing),
            (None, Some(open)) => {
                let message = format!("this '{}' is never closed", char::from(open.bracket));
                Err(Fault::at(open.offset, message))
            }
            (Some(b'}'), Some(Open { bracket: b'{', .. }))
            | (Some(b']'), Some(Open { bracket: b'[', .. })) => {
                self.pop();
                Ok(Expect::Value)
            }
            (Some(bracket @ (b'}' | b']')), _) => {
                let message = match opened {
                    Some(other) => {
                        format!("'{}' does not close '{}'", char::from(bracket), char::from(other))
                    }
                    None => format!("'{}' closes nothing", char::from(bracket)),
                };
                Err(Fault::at(self.at, message))
            }
            (Some(_), Some(Open { bracket: b'[', .. })) => Ok(Expect::Value),
            (Some(_), _) => self.key(),
        }
    }

    /// Enters a block or list.
    fn push(&mut self, bracket: u8) {
        self.open.push(Open { bracket, offset: self.at, key: self.current.take() });
        self.at += 1;
    }

    /// Leaves the innermost block or list.
    fn pop(&mut self) {
        if let Some(open) = self.open.pop() {
            if self.indent(open.offset).0 != self.indent(self.at).0 && self.indent(self.at).1 {
                self.crooked.push((open.offset, self.at));
            }
            self.current = open.key;
        }
        self.at += 1;
        self.end_value(self.at);
    }

    /// The blanks that the line of an offset begins with, and whether nothing else is before it.
    fn indent(&self, offset: usize) -> (usize, bool) {
        let before = self.text.get(..offset).unwrap_or("");
        let line = self.text.get(before.rfind('\n').map_or(0, |at| at + 1)..).unwrap_or("");
        let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
        (blanks, before.len() == self.text.len() - line.len() + blanks)
    }

    /// Notes how far the value of the current key reaches.
    fn end_value(&mut self, end: usize) {
        let Some(key) = self.current.and_then(|index| self.keys.get_mut(index)) else { return };
        if let Some(value) = &mut key.value {
            value.end = value.end.max(end);
        }
    }

    /// The current key's value is at its end.
    fn close_value(&mut self) {
        let end = self.text.get(..self.at).unwrap_or("").trim_end().len();
        self.end_value(end);
        self.current = None;
    }

    /// Values of keys that look secret. One that is being read may go on to the end.
    fn secrets(&self) -> Vec<Range<usize>> {
        let open: Vec<usize> = self
            .open
            .iter()
            .filter_map(|open| open.key)
            .chain(self.current)
            .chain(self.keys.len().checked_sub(1))
            .collect();
        let values = self.keys.iter().enumerate().filter_map(|(index, key)| {
            let value = key.value.clone()?;
            let unfinished = open.contains(&index) && self.at < self.text.len();
            let name = self.text.get(key.name.clone())?;
            let end = if unfinished { self.text.len() } else { value.end };
            looks_secret(name).then_some(value.start..end)
        });
        values.collect()
    }

    /// The first block whose end is indented otherwise than its beginning: where a bracket is
    /// missing or one too many, it is mostly in there.
    fn suspect(&self, lines: &Lines) -> Option<String> {
        let (from, to) =
            self.crooked.iter().min().map(|(from, to)| (lines.line_of(*from).0, lines.line_of(*to).0))?;
        Some(format!(
            "the block that begins in line {from} ends in line {to}, which is indented otherwise: look there"
        ))
    }

    /// A key and what separates it from its value, or an `include` statement.
    fn key(&mut self) -> Result<Expect, Fault> {
        let start = self.at;
        if self.rest().starts_with("include") {
            if let Some(end) = self.include_statement()? {
                self.includes.push(start..end);
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
        let name = self.text.get(start..self.at).unwrap_or("").trim_end();
        self.current = Some(self.keys.len());
        self.keys.push(Key { name: start..start + name.len(), value: None });
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
        if let Some(key) = self.keys.last_mut() {
            key.value = Some(self.at..self.at);
        }
        Ok(Expect::Value)
    }

    fn value(&mut self) -> Result<Expect, Fault> {
        loop {
            let Some(byte) = self.peek() else {
                self.close_value();
                return Ok(Expect::Entry);
            };
            match byte {
                b'{' | b'[' => {
                    self.push(byte);
                    return Ok(Expect::Entry);
                }
                b'"' => self.string()?,
                b'$' => {
                    if !self.substitution() {
                        self.end_value(self.at);
                        return Ok(Expect::Nothing);
                    }
                }
                b',' | b'\n' | b'}' | b']' | b'#' => {
                    self.close_value();
                    return Ok(Expect::Entry);
                }
                b'/' if self.rest().starts_with("//") => {
                    self.close_value();
                    return Ok(Expect::Entry);
                }
                _ => {
                    let before = self.at;
                    self.skip_horizontal();
                    if self.at == before && !self.bare_value() {
                        self.end_value(self.at);
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
                return Err(Fault { length: 3, ..Fault::at(offset, "this triple quote is never closed") });
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
                    let hint = "close it with '\"' in the same line; a text over several lines stands between \"\"\"".to_owned();
                    let message = "this quote is not closed in its line";
                    return Err(Fault { hint: Some(hint), ..Fault::at(offset, message) });
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
