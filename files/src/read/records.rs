//! A file's text, cut into records: lines, or lines of values.

use std::io::Read;
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result};
use encoding_rs::{Decoder, DecoderResult};

use super::read_failed;
use crate::format::{Format, Layout};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of a record at most.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// A value of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) is_quoted: bool,
}

/// The text of a file, as far as it was read.
pub(super) struct Records {
    layout: Arc<Layout>,
    bytes: Box<dyn Read + Send>,
    decoder: Decoder,
    /// What was read and not cut off yet.
    text: String,
    /// Where the next record begins in `text`.
    at: usize,
    ended: bool,
    /// The line that the record cut off last begins in, and the one behind it; from 1.
    line: u64,
    next_line: u64,
}

impl Records {
    pub(super) fn new(layout: &Arc<Layout>, bytes: Box<dyn Read + Send>) -> Records {
        let decoder = layout.encoding.new_decoder_with_bom_removal();
        let (layout, text) = (Arc::clone(layout), String::new());
        Records { layout, bytes, decoder, text, at: 0, ended: false, line: 1, next_line: 1 }
    }

    /// The number of the line that the record in hand begins in, from 1. Lines end where rows of the format do.
    pub(super) fn line_number(&self) -> u64 {
        self.line
    }

    /// Reads on; a character that the encoding does not have is a data error.
    fn fill(&mut self) -> Result<()> {
        self.text.drain(..self.at);
        self.at = 0;
        if self.text.len() > RECORD_BYTES_MAX {
            let what = format!("a row has more than {RECORD_BYTES_MAX} bytes: is the row delimiter right?");
            return Err(Error::new(ErrorKind::Value, what));
        }
        let mut bytes = vec![0; CHUNK_BYTES];
        let count = self.bytes.read(&mut bytes).map_err(read_failed)?;
        self.ended = count == 0;
        let mut rest = bytes.get(..count).unwrap_or_default();
        loop {
            let room = self
                .decoder
                .max_utf8_buffer_length_without_replacement(rest.len())
                .unwrap_or(CHUNK_BYTES * 4);
            self.text.reserve(room);
            let (result, read) =
                self.decoder.decode_to_string_without_replacement(rest, &mut self.text, self.ended);
            match result {
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::OutputFull => rest = rest.get(read..).unwrap_or_default(),
                DecoderResult::Malformed(_, _) => {
                    let what = format!(
                        "a file holds bytes that are no text of the encoding {}",
                        self.layout.encoding.name()
                    );
                    return Err(
                        Error::new(ErrorKind::Value, what).hint("set the option encoding to the file's own")
                    );
                }
            }
        }
    }

    /// The next line, without its delimiter; `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<String>> {
        self.line = self.next_line;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            if let Some((line, _)) = rest.split_once(self.layout.row_delimiter.as_str()) {
                let line = line.to_owned();
                self.at += line.len() + self.layout.row_delimiter.len();
                self.next_line += 1;
                return Ok(Some(line));
            }
            if self.ended {
                let line = rest.to_owned();
                self.at = self.text.len();
                return Ok(Some(line).filter(|line| !line.is_empty()));
            }
            self.fill()?;
        }
    }

    /// The next line that has anything in it; `None` at the end.
    pub(super) fn object(&mut self) -> Result<Option<String>> {
        loop {
            match self.line()? {
                Some(line) if line.trim().is_empty() => {}
                line => return Ok(line),
            }
        }
    }

    /// The values of the next row; `None` at the end. Where rows have more than one value, a line without
    /// anything is none.
    pub(super) fn values(&mut self, width: usize) -> Result<Option<Vec<Value>>> {
        loop {
            let values = self.any_values()?;
            let is_blank = match values.as_deref() {
                Some([only]) => width > 1 && only.text.is_empty() && !only.is_quoted,
                _ => false,
            };
            if !is_blank {
                return Ok(values);
            }
        }
    }

    fn any_values(&mut self) -> Result<Option<Vec<Value>>> {
        if self.layout.format != Format::Csv {
            let Some(line) = self.line()? else { return Ok(None) };
            let values = line.split(self.layout.field_delimiter.as_str());
            return Ok(Some(values.map(|text| Value { text: text.to_owned(), is_quoted: false }).collect()));
        }
        self.line = self.next_line;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            if rest.is_empty() && self.ended {
                return Ok(None);
            }
            match quoted(rest, &self.layout.field_delimiter, self.ended)? {
                Some((values, length)) => {
                    let ends = rest.get(..length).unwrap_or_default().matches('\n').count();
                    self.next_line += ends.max(1) as u64;
                    self.at += length;
                    return Ok(Some(values));
                }
                None => self.fill()?,
            }
        }
    }
}

/// The values of a row that may be quoted, and the row's length with its end. `None`: it is not all there.
fn quoted(text: &str, delimiter: &str, ended: bool) -> Result<Option<(Vec<Value>, usize)>> {
    let mut values = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let (value, length) = match rest.strip_prefix('"') {
            Some(inside) => match unquote(inside, ended)? {
                Some((text, length)) => (Value { text, is_quoted: true }, length + 1),
                None => return Ok(None),
            },
            None => {
                let end = rest
                    .find(['\n', '\r'])
                    .unwrap_or(rest.len())
                    .min(rest.find(delimiter).unwrap_or(rest.len()));
                (Value { text: rest.get(..end).unwrap_or_default().to_owned(), is_quoted: false }, end)
            }
        };
        values.push(value);
        at += length;
        let behind = text.get(at..).unwrap_or_default();
        // A delimiter or an end of more than one character may be cut off.
        if !ended && (behind.len() < delimiter.len() || behind == "\r" || behind.is_empty()) {
            return Ok(None);
        }
        if let Some(rest) = behind.strip_prefix(delimiter) {
            at = text.len() - rest.len();
            continue;
        }
        let end = if behind.starts_with("\r\n") { 2 } else { usize::from(behind.starts_with(['\n', '\r'])) };
        if end == 0 && !behind.is_empty() {
            return Err(Error::new(ErrorKind::Value, "a value goes on behind its closing quote"));
        }
        return Ok(Some((values, at + end)));
    }
}

/// The text up to a closing quote, and its length with that quote; two of them are one. `None`: it is not all there.
fn unquote(text: &str, ended: bool) -> Result<Option<(String, usize)>> {
    let mut value = String::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some((before, behind)) = rest.split_once('"') else {
            if ended {
                return Err(Error::new(ErrorKind::Value, "a value in quotes has no closing quote"));
            }
            return Ok(None);
        };
        value.push_str(before);
        at += before.len() + 1;
        if !behind.starts_with('"') {
            // The one that would make it two may not be read yet.
            return Ok(if behind.is_empty() && !ended { None } else { Some((value, at)) });
        }
        value.push('"');
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(text: &str) -> Vec<(String, bool)> {
        let (values, _) = quoted(text, ",", true).unwrap().unwrap();
        values.into_iter().map(|value| (value.text, value.is_quoted)).collect()
    }

    #[test]
    fn values_may_be_quoted() {
        let value = |text: &str, is_quoted| (text.to_owned(), is_quoted);
        assert_eq!(
            row("a,,\"\",\"x,\n\"\"y\"\"\"\r\nnext"),
            [value("a", false), value("", false), value("", true), value("x,\n\"y\"", true),]
        );
        assert_eq!(row("\n"), [value("", false)]);
        assert!(quoted("\"a\"b,c\n", ",", true).is_err());
        assert!(quoted("\"a", ",", true).is_err());
    }

    #[test]
    fn a_row_that_is_cut_off_anywhere_is_not_all_there() {
        let text = "a||\"x\"\"||y\"||\"\"\r\n";
        for cut in 0..text.len() {
            assert_eq!(quoted(&text[..cut], "||", false).unwrap(), None, "{}", &text[..cut]);
        }
        assert_eq!(quoted(text, "||", false).unwrap().unwrap().1, text.len());
    }
}
