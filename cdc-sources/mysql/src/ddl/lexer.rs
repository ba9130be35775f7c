//! Cuts a statement into tokens, on demand, in one pass and without ever failing.
//!
//! The rules are the server's own: doubled quotes inside quotes, backslash escapes unless the
//! session switched them off, `--` as a comment only before white space, `#` to the end of the line,
//! and executable comments (`/*!50100 … */`, MariaDB's `/*M!100100 … */`), whose text counts as if
//! the comment marks were not there. A server that did not execute such a comment takes the `!` out
//! before it logs the statement, so what still carries one was executed there.

use std::borrow::Cow;

use super::ParseOptions;

/// How much of one statement is read at most, in bytes. A table statement stays far below it; for
/// a DML statement of any size the first words are enough.
pub(super) const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// MariaDB passes over executable comments of the versions that exist only as MySQL.
const MYSQL_ONLY_VERSIONS: std::ops::RangeInclusive<u32> = 50_700..=99_999;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or an unquoted identifier.
    Word,
    /// An identifier in backticks, or in double quotes under `ANSI_QUOTES`.
    Quoted,
    /// A string literal, quotes included.
    Text,
    /// A number, or a bit or hex literal in any spelling.
    Number,
    /// Any other single character.
    Punct(char),
    /// Nothing is left.
    End,
}

/// One token with its spelling in the statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: Kind,
    /// As written, quotes included.
    pub(super) raw: &'a str,
}

impl<'a> Token<'a> {
    /// Whether this is the keyword `word` (written in capitals), in any letter case.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.raw.eq_ignore_ascii_case(word)
    }

    /// The identifier this token stands for, if it can be one.
    pub(super) fn identifier(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::Word => Some(Cow::Borrowed(self.raw)),
            Kind::Quoted => Some(undouble(self.raw)),
            _ => None,
        }
    }

    /// The value of a string literal. `None` for other tokens.
    pub(super) fn text(&self, backslash_escapes: bool) -> Option<String> {
        if self.kind != Kind::Text {
            return None;
        }
        let plain = undouble(self.raw);
        if !backslash_escapes || !self.raw.contains('\\') {
            return Some(plain.into_owned());
        }
        // Doubled quotes and escapes can meet (`'\''''`), so both are undone in one walk.
        let quote = self.raw.chars().next()?;
        let inner = self.raw.get(1..)?;
        let mut value = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            if c == quote {
                if chars.next() != Some(quote) {
                    break;
                }
                value.push(quote);
            } else if c == '\\' {
                match chars.next() {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    Some('b') => value.push('\u{8}'),
                    Some('0') => value.push('\0'),
                    Some('Z') => value.push('\u{1a}'),
                    Some(other) => value.push(other),
                    None => break,
                }
            } else {
                value.push(c);
            }
        }
        Some(value)
    }
}

/// Takes the quotes off and makes doubled ones single.
fn undouble(raw: &str) -> Cow<'_, str> {
    let Some(quote) = raw.chars().next() else { return Cow::Borrowed(raw) };
    let inner = raw.get(quote.len_utf8()..).unwrap_or("");
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    if inner.contains(quote) {
        let mut pair = String::new();
        pair.push(quote);
        pair.push(quote);
        let single = quote.to_string();
        Cow::Owned(inner.replace(&pair, &single))
    } else {
        Cow::Borrowed(inner)
    }
}

/// The walk through one statement.
pub(super) struct Lexer<'a> {
    sql: &'a str,
    pos: usize,
    ansi_quotes: bool,
    backslash_escapes: bool,
    mariadb: bool,
    version: u32,
    /// How many executable comments are open.
    executable: u32,
    /// The last token was a `.` right behind an identifier: an identifier follows, even of digits.
    after_dot: bool,
    after_identifier: bool,
    truncated: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str, options: &ParseOptions) -> Lexer<'a> {
        let mut end = sql.len().min(STATEMENT_BYTES_MAX);
        while !sql.is_char_boundary(end) {
            end -= 1;
        }
        Lexer {
            sql: sql.get(..end).unwrap_or(""),
            pos: 0,
            ansi_quotes: options.ansi_quotes(),
            backslash_escapes: options.backslash_escapes(),
            mariadb: options.mariadb,
            version: options.version,
            executable: 0,
            after_dot: false,
            after_identifier: false,
            truncated: end < sql.len(),
        }
    }

    /// Whether the text ended inside a quote or a comment, or was too long to be read whole.
    pub(super) fn truncated(&self) -> bool {
        self.truncated
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.sql.as_bytes().get(at).copied()
    }

    fn rest(&self) -> &'a str {
        self.sql.get(self.pos..).unwrap_or("")
    }

    /// The next token; [`Kind::End`] for ever once nothing is left.
    pub(super) fn token(&mut self) -> Token<'a> {
        self.skip_blanks();
        let start = self.pos;
        let Some(first) = self.byte(start) else {
            return Token { kind: Kind::End, raw: "" };
        };
        let (after_dot, after_identifier) = (self.after_dot, self.after_identifier);
        self.after_dot = false;
        self.after_identifier = false;
        let kind = match first {
            b'`' => self.quoted(b'`', false, Kind::Quoted),
            b'"' if self.ansi_quotes => self.quoted(b'"', false, Kind::Quoted),
            b'\'' | b'"' => self.quoted(first, self.backslash_escapes, Kind::Text),
            b'.' if !after_identifier && self.byte(start + 1).is_some_and(|b| b.is_ascii_digit()) => {
                self.number()
            }
            b'0'..=b'9' if !after_dot => self.number_or_word(),
            _ if is_word_byte(first) => self.word(),
            _ => {
                let c = self.rest().chars().next().unwrap_or('\0');
                self.pos += c.len_utf8();
                self.after_dot = c == '.' && after_identifier;
                Kind::Punct(c)
            }
        };
        self.after_identifier = matches!(kind, Kind::Word | Kind::Quoted);
        Token { kind, raw: self.sql.get(start..self.pos).unwrap_or("") }
    }

    /// Steps over white space and comments, into and out of executable ones.
    fn skip_blanks(&mut self) {
        while let Some(byte) = self.byte(self.pos) {
            match byte {
                0..=b' ' | 0x7f => self.pos += 1,
                b'#' => self.skip_line(),
                b'-' if self.byte(self.pos + 1) == Some(b'-')
                    && self.byte(self.pos + 2).is_none_or(|b| b <= b' ') =>
                {
                    self.skip_line();
                }
                b'/' if self.byte(self.pos + 1) == Some(b'*') => self.comment(),
                b'*' if self.executable > 0 && self.byte(self.pos + 1) == Some(b'/') => {
                    self.executable -= 1;
                    self.pos += 2;
                }
                _ => return,
            }
        }
        self.truncated |= self.executable > 0;
    }

    fn skip_line(&mut self) {
        self.pos = match self.rest().find('\n') {
            Some(length) => self.pos + length + 1,
            None => self.sql.len(),
        };
    }

    /// At `/*`: enters an executable comment, or passes over any other.
    fn comment(&mut self) {
        let marks = match (self.byte(self.pos + 2), self.byte(self.pos + 3)) {
            (Some(b'!'), _) => Some(3),
            (Some(b'M'), Some(b'!')) if self.mariadb => Some(4),
            _ => None,
        };
        if let Some(marks) = marks {
            let digits = self.sql.as_bytes().iter().skip(self.pos + marks).take(6);
            let digits = digits.take_while(|b| b.is_ascii_digit()).count();
            let digits = if digits >= 5 { digits } else { 0 };
            let number = self.sql.get(self.pos + marks..self.pos + marks + digits).unwrap_or("");
            let wanted: u32 = number.parse().unwrap_or(0);
            let foreign = self.mariadb && marks == 3 && MYSQL_ONLY_VERSIONS.contains(&wanted);
            if !foreign && (self.version == 0 || wanted <= self.version) {
                self.executable = self.executable.saturating_add(1);
                self.pos += marks + digits;
                return;
            }
        }
        match self.sql.get(self.pos + 2..).unwrap_or("").find("*/") {
            Some(length) => self.pos += 2 + length + 2,
            None => {
                self.pos = self.sql.len();
                self.truncated = true;
            }
        }
    }

    /// At an opening quote: runs past the closing one.
    fn quoted(&mut self, quote: u8, escapes: bool, kind: Kind) -> Kind {
        self.pos += 1;
        loop {
            match self.byte(self.pos) {
                None => {
                    self.truncated = true;
                    self.pos = self.sql.len();
                    return kind;
                }
                // The escaped character may have several bytes; none of the others is a quote.
                Some(b'\\') if escapes => self.pos += 2,
                Some(byte) if byte == quote => {
                    self.pos += 1;
                    if self.byte(self.pos) != Some(quote) {
                        return kind;
                    }
                    self.pos += 1;
                }
                Some(_) => self.pos += 1,
            }
        }
    }

    fn run_of_word(&mut self) {
        while self.byte(self.pos).is_some_and(is_word_byte) {
            self.pos += 1;
        }
    }

    /// At a letter: a word, or a literal such as `x'4D'`, `b'01'`, `n'text'`.
    fn word(&mut self) -> Kind {
        let start = self.pos;
        self.run_of_word();
        if self.pos == start + 1 && self.byte(self.pos) == Some(b'\'') {
            return match self.byte(start) {
                Some(b'x' | b'X' | b'b' | b'B') => self.quoted(b'\'', false, Kind::Number),
                // The value is the same as without the letter; callers that want it see a word first.
                _ => Kind::Word,
            };
        }
        Kind::Word
    }

    /// At a digit: a number, or an identifier that begins with digits.
    fn number_or_word(&mut self) -> Kind {
        let start = self.pos;
        self.run_of_word();
        let run = self.sql.get(start..self.pos).unwrap_or("");
        if run.bytes().all(|b| b.is_ascii_digit()) {
            self.pos = start;
            return self.number();
        }
        let is_prefixed = |prefix: &str, digit: fn(&u8) -> bool| {
            run.strip_prefix(prefix).is_some_and(|tail| !tail.is_empty() && tail.as_bytes().iter().all(digit))
        };
        if is_prefixed("0x", u8::is_ascii_hexdigit) || is_prefixed("0b", |b| matches!(b, b'0' | b'1')) {
            return Kind::Number;
        }
        let exponent = run.split_once(['e', 'E']);
        let Some((mantissa, exponent)) = exponent else { return Kind::Word };
        if !mantissa.bytes().all(|b| b.is_ascii_digit()) {
            return Kind::Word;
        }
        if exponent.is_empty() && matches!(self.byte(self.pos), Some(b'+' | b'-')) {
            self.pos += 1;
            self.digits();
            return Kind::Number;
        }
        if !exponent.is_empty() && exponent.bytes().all(|b| b.is_ascii_digit()) {
            return Kind::Number;
        }
        Kind::Word
    }

    /// At a digit or a decimal point: digits, point, digits, exponent.
    fn number(&mut self) -> Kind {
        self.digits();
        if self.byte(self.pos) == Some(b'.') {
            self.pos += 1;
            self.digits();
        }
        if matches!(self.byte(self.pos), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(self.pos + 1), Some(b'+' | b'-')));
            if self.byte(self.pos + 1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                self.pos += 1 + sign;
                self.digits();
            }
        }
        Kind::Number
    }

    fn digits(&mut self) {
        while self.byte(self.pos).is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
    }
}

/// What unquoted identifiers are made of; every character outside ASCII counts.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
