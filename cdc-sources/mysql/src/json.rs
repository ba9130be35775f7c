//! MySQL's binary JSON, written out exactly as the server prints it.
//!
//! Format: MySQL internals, `sql-common/json_binary.h`. A container begins with its element count
//! and its size, then come the places of the keys (objects only) and of the values, all relative
//! to the container's beginning; short scalars stand in the place itself. Small containers use
//! two-byte places, large ones four-byte places.
//!
//! Text: as `SELECT json_column` answers: `", "` and `": "` between parts, doubles always with a
//! point or an exponent, decimals and temporal values from their packed forms, and what JSON has
//! no form for as base64.

mod number;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use crate::decode::column_type as ty;
use crate::decode::{decimal, temporal};
use crate::wire::{Cursor, DecodeError, WireResult};

pub use number::append_double;

/// Containers inside containers, as many as the server allows.
const DEPTH_MAX: usize = 100;

const SMALL_OBJECT: u8 = 0x00;
const LARGE_OBJECT: u8 = 0x01;
const SMALL_ARRAY: u8 = 0x02;
const LARGE_ARRAY: u8 = 0x03;
const LITERAL: u8 = 0x04;
const INT16: u8 = 0x05;
const UINT16: u8 = 0x06;
const INT32: u8 = 0x07;
const UINT32: u8 = 0x08;
const INT64: u8 = 0x09;
const UINT64: u8 = 0x0a;
const DOUBLE: u8 = 0x0b;
const STRING: u8 = 0x0c;
const OPAQUE: u8 = 0x0f;

/// Appends the text of a document. On an error `out` may hold a part of it.
///
/// The text of a well-formed document is at most eight times its size; places that point into
/// each other could make it endless, so more is an error.
pub fn append_text(document: &[u8], out: &mut String) -> WireResult<()> {
    // What the server stores for a JSON column that was added without a value.
    let Some((value_type, value)) = document.split_first() else {
        out.push_str("null");
        return Ok(());
    };
    let limit = document.len().saturating_mul(8).saturating_add(out.len()).saturating_add(64);
    let mut printer = Printer { out, limit };
    printer.value(*value_type, value, 0)
}

struct Printer<'o> {
    out: &'o mut String,
    /// The most bytes `out` may hold.
    limit: usize,
}

fn malformed(what: &'static str) -> DecodeError {
    DecodeError { what, at: 0 }
}

/// The two layouts of containers.
#[derive(Clone, Copy)]
struct Layout {
    /// Bytes of a count, a size or a place.
    place: usize,
    object: bool,
}

impl Layout {
    fn read(self, cursor: &mut Cursor<'_>, what: &'static str) -> WireResult<usize> {
        let value = cursor.uint_le(self.place, what)?;
        usize::try_from(value).map_err(|_| cursor.error(what))
    }
}

impl Printer<'_> {
    fn value(&mut self, value_type: u8, bytes: &[u8], depth: usize) -> WireResult<()> {
        let mut cursor = Cursor::new(bytes);
        match value_type {
            SMALL_OBJECT => self.container(bytes, Layout { place: 2, object: true }, depth),
            LARGE_OBJECT => self.container(bytes, Layout { place: 4, object: true }, depth),
            SMALL_ARRAY => self.container(bytes, Layout { place: 2, object: false }, depth),
            LARGE_ARRAY => self.container(bytes, Layout { place: 4, object: false }, depth),
            LITERAL => {
                self.out.push_str(match cursor.u8("json literal")? {
                    0 => "null",
                    1 => "true",
                    2 => "false",
                    _ => return Err(cursor.error("json literal")),
                });
                Ok(())
            }
            INT16 => self.display(cursor.array("json number").map(i16::from_le_bytes)?),
            UINT16 => self.display(cursor.u16("json number")?),
            INT32 => self.display(cursor.array("json number").map(i32::from_le_bytes)?),
            UINT32 => self.display(cursor.u32("json number")?),
            INT64 => self.display(cursor.array("json number").map(i64::from_le_bytes)?),
            UINT64 => self.display(cursor.u64("json number")?),
            DOUBLE => {
                append_double(cursor.array("json number").map(f64::from_le_bytes)?, self.out);
                Ok(())
            }
            STRING => {
                let text = variable_length(&mut cursor)?;
                self.quoted(std::str::from_utf8(text).map_err(|_| cursor.error("json string"))?)
            }
            OPAQUE => {
                let field_type = cursor.u8("json opaque type")?;
                self.opaque(field_type, variable_length(&mut cursor)?)
            }
            _ => Err(cursor.error("json value type")),
        }
    }

    fn display(&mut self, number: impl std::fmt::Display) -> WireResult<()> {
        // Writing to a String cannot fail.
        write!(self.out, "{number}").map_err(|_| malformed("json number"))
    }

    fn container(&mut self, bytes: &[u8], layout: Layout, depth: usize) -> WireResult<()> {
        if depth >= DEPTH_MAX {
            return Err(malformed("json nesting depth"));
        }
        let mut head = Cursor::new(bytes);
        let count = layout.read(&mut head, "json element count")?;
        let size = layout.read(&mut head, "json container size")?;
        let container = bytes.get(..size).ok_or_else(|| head.error("json container size"))?;
        let keys_length = if layout.object { count.checked_mul(layout.place + 2) } else { Some(0) };
        let places_length = count.checked_mul(layout.place + 1);
        let (Some(keys_length), Some(places_length)) = (keys_length, places_length) else {
            return Err(head.error("json element count"));
        };
        let mut keys = Cursor::new(head.take(keys_length, "json keys")?);
        let mut places = Cursor::new(head.take(places_length, "json values")?);
        self.out.push(if layout.object { '{' } else { '[' });
        for index in 0..count {
            if index > 0 {
                self.out.push_str(", ");
            }
            if layout.object {
                let at = layout.read(&mut keys, "json key")?;
                let length = usize::from(keys.u16("json key")?);
                let key = container.get(at..).and_then(|rest| rest.get(..length));
                let key = key.and_then(|key| std::str::from_utf8(key).ok());
                self.quoted(key.ok_or_else(|| keys.error("json key"))?)?;
                self.out.push_str(": ");
            }
            let value_type = places.u8("json value")?;
            let place = places.take(layout.place, "json value")?;
            let inline = match value_type {
                LITERAL | INT16 | UINT16 => true,
                INT32 | UINT32 => layout.place == 4,
                _ => false,
            };
            if inline {
                self.value(value_type, place, depth + 1)?;
            } else {
                let at = layout.read(&mut Cursor::new(place), "json value place")?;
                let value = container.get(at..).ok_or_else(|| places.error("json value place"))?;
                self.value(value_type, value, depth + 1)?;
            }
            if self.out.len() > self.limit {
                return Err(malformed("json document with overlapping values"));
            }
        }
        self.out.push(if layout.object { '}' } else { ']' });
        Ok(())
    }

    /// Escapes what the server escapes: quote, backslash and control characters, nothing else.
    fn quoted(&mut self, text: &str) -> WireResult<()> {
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            let (plain, tail) = rest.split_at_checked(at).ok_or_else(|| malformed("json string"))?;
            self.out.push_str(plain);
            let mut chars = tail.chars();
            match chars.next() {
                Some('\u{8}') => self.out.push_str("\\b"),
                Some('\t') => self.out.push_str("\\t"),
                Some('\n') => self.out.push_str("\\n"),
                Some('\u{c}') => self.out.push_str("\\f"),
                Some('\r') => self.out.push_str("\\r"),
                Some(sign @ ('"' | '\\')) => self.out.extend(['\\', sign]),
                Some(control) => {
                    write!(self.out, "\\u{:04x}", u32::from(control))
                        .map_err(|_| malformed("json string"))?;
                }
                None => break,
            }
            rest = chars.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
        Ok(())
    }

    /// A value of an SQL type, in that type's packed form.
    fn opaque(&mut self, field_type: u8, bytes: &[u8]) -> WireResult<()> {
        match field_type {
            ty::NEWDECIMAL => {
                let mut cursor = Cursor::new(bytes);
                let [precision, scale] = cursor.array("json decimal")?;
                let value = decimal::read_i256(&mut cursor, precision, scale)?;
                decimal::append_text(value, scale, self.out);
                Ok(())
            }
            ty::DATE | ty::DATETIME | ty::TIMESTAMP | ty::TIME => {
                let packed = Cursor::new(bytes).array("json date or time").map(i64::from_le_bytes)?;
                self.out.push('"');
                match field_type {
                    ty::DATE => temporal::append_packed_date(packed, self.out),
                    ty::TIME => temporal::append_packed_time(packed, self.out),
                    _ => temporal::append_packed_datetime(packed, self.out),
                }
                self.out.push('"');
                Ok(())
            }
            ty::VAR_STRING if std::str::from_utf8(bytes).is_ok() => {
                self.quoted(std::str::from_utf8(bytes).unwrap_or_default())
            }
            _ => self.base64(field_type, bytes),
        }
    }

    /// The server breaks base64 after 76 characters, and then escapes the line feed.
    fn base64(&mut self, field_type: u8, bytes: &[u8]) -> WireResult<()> {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digit = |six_bits: u32| {
            let index = usize::try_from(six_bits & 0x3f).unwrap_or(0);
            char::from(DIGITS.get(index).copied().unwrap_or(b'='))
        };
        write!(self.out, "\"base64:type{field_type}:").map_err(|_| malformed("json opaque value"))?;
        for (index, group) in bytes.chunks(3).enumerate() {
            if index > 0 && index % 19 == 0 {
                self.out.push_str("\\n");
            }
            let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            self.out.extend([digit(bits >> 18), digit(bits >> 12)]);
            self.out.push(if group.len() > 1 { digit(bits >> 6) } else { '=' });
            self.out.push(if group.len() > 2 { digit(bits) } else { '=' });
        }
        self.out.push('"');
        Ok(())
    }
}

/// Bytes after their length, which has seven bits in each byte, lowest first; the highest bit
/// says that another byte follows.
fn variable_length<'a>(cursor: &mut Cursor<'a>) -> WireResult<&'a [u8]> {
    let mut length = 0u64;
    for shift in 0..5 {
        let byte = cursor.u8("json length")?;
        length |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            let length = usize::try_from(length).map_err(|_| cursor.error("json length"))?;
            return cursor.take(length, "json data");
        }
    }
    Err(cursor.error("json length"))
}
