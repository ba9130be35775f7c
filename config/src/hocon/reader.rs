//! A byte reader for hocon-rs that shares its position, so that errors have a line and a column.

use std::cell::Cell;

use hocon_rs::parser::read::{Position, Read, Reference};
use hocon_rs::{Error, Result};

/// Reads a text and keeps the offset of the next byte in `at`.
pub(super) struct TextReader<'t> {
    bytes: &'t [u8],
    at: &'t Cell<usize>,
}

impl<'t> TextReader<'t> {
    pub(super) fn new(text: &'t str, at: &'t Cell<usize>) -> TextReader<'t> {
        TextReader { bytes: text.as_bytes(), at }
    }

    fn hex4(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Error::InvalidEscape)?;
            code = code * 16 + digit;
        }
        Ok(code)
    }

    /// The character of a `\u` escape whose first two bytes are read; pairs of surrogates join.
    fn unicode_escape(&mut self) -> Result<char> {
        let mut code = self.hex4()?;
        if (0xD800..0xDC00).contains(&code) {
            if self.next()? != b'\\' || self.next()? != b'u' {
                return Err(Error::InvalidEscape);
            }
            let low = self.hex4()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(Error::InvalidEscape);
            }
            code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        char::from_u32(code).ok_or(Error::InvalidEscape)
    }

    fn escape(&mut self) -> Result<char> {
        Ok(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode_escape()?,
            _ => return Err(Error::InvalidEscape),
        })
    }
}

impl<'de> Read<'de> for TextReader<'de> {
    fn position(&self) -> Position {
        // Never asked for by the parser; the offset in `at` says more.
        Position { line: 0, column: self.at.get() }
    }

    fn peek_n(&mut self, n: usize) -> Result<&[u8]> {
        let at = self.at.get();
        self.bytes.get(at..at + n).ok_or(Error::Eof)
    }

    fn next(&mut self) -> Result<u8> {
        let at = self.at.get();
        let byte = self.bytes.get(at).copied().ok_or(Error::Eof)?;
        self.at.set(at + 1);
        Ok(byte)
    }

    fn parse_str<'s, F>(
        &'s mut self,
        escape: bool,
        scratch: &'s mut Vec<u8>,
        delimiter: F,
    ) -> Result<Reference<'de, 's, str>>
    where
        F: Fn(&mut Self) -> Result<bool>,
    {
        while !delimiter(self)? {
            match self.next()? {
                b'\\' if escape => {
                    let mut buffer = [0; 4];
                    scratch.extend_from_slice(self.escape()?.encode_utf8(&mut buffer).as_bytes());
                }
                byte => scratch.push(byte),
            }
        }
        str::from_utf8(scratch).map(Reference::Copied).map_err(|_| Error::InvalidUtf8)
    }
}
