//! Character sets of MySQL and MariaDB, decoded to UTF-8.
//!
//! The servers' sets are not always the ones other software means by the same name: `latin1` is
//! Windows-1252 with the five gaps filled, `latin5` keeps the control characters. What a byte
//! means here is what the server's own `CONVERT(… USING utf8mb4)` makes of it. A byte that means
//! nothing is an error; nothing is ever replaced. The East Asian sets know a few characters more
//! than the servers do; none that both know differs.

mod exceptions;
mod tables;
#[cfg(test)]
mod tests;

use culvert_api::{Error, ErrorKind};
use encoding_rs::{DecoderResult, Encoding};
use serde::{Deserialize, Serialize};

/// A character set that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Charset(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Utf8mb4,
    Utf8mb3,
    Ascii,
    Binary,
    Ucs2,
    Utf16,
    Utf16le,
    Utf32,
    Swe7,
    /// An index into [`tables::SINGLE_BYTE`].
    SingleByte(u8),
    MultiByte(MultiByte),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum MultiByte {
    Big5,
    Gb2312,
    Gbk,
    Gb18030,
    Sjis,
    Cp932,
    Ujis,
    Eucjpms,
    Euckr,
}

/// Why a value could not be decoded: a byte sequence that means nothing in its charset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidText(
    /// The charset's name.
    pub &'static str,
);

impl From<InvalidText> for Error {
    fn from(InvalidText(name): InvalidText) -> Error {
        Error::new(ErrorKind::Value, format!("a value has bytes that mean nothing in charset {name}"))
    }
}

impl Charset {
    /// UTF-8, as servers since MySQL 8.0 and MariaDB 11.6 use it by default.
    pub const UTF8MB4: Charset = Charset(Kind::Utf8mb4);
    /// No characters, only bytes.
    pub const BINARY: Charset = Charset(Kind::Binary);
    /// 7-bit ASCII.
    pub const ASCII: Charset = Charset(Kind::Ascii);

    /// The charset of this name (`SHOW CHARACTER SET`). Errors with `Unsupported` and the name.
    pub fn from_name(name: &str) -> Result<Charset, Error> {
        let lower = name.to_ascii_lowercase();
        let kind = match lower.as_str() {
            "utf8mb4" => Kind::Utf8mb4,
            "utf8" | "utf8mb3" => Kind::Utf8mb3,
            "ascii" => Kind::Ascii,
            "binary" => Kind::Binary,
            "ucs2" => Kind::Ucs2,
            "utf16" => Kind::Utf16,
            "utf16le" => Kind::Utf16le,
            "utf32" => Kind::Utf32,
            "swe7" => Kind::Swe7,
            "big5" => Kind::MultiByte(MultiByte::Big5),
            "gb2312" => Kind::MultiByte(MultiByte::Gb2312),
            "gbk" => Kind::MultiByte(MultiByte::Gbk),
            "gb18030" => Kind::MultiByte(MultiByte::Gb18030),
            "sjis" => Kind::MultiByte(MultiByte::Sjis),
            "cp932" => Kind::MultiByte(MultiByte::Cp932),
            "ujis" => Kind::MultiByte(MultiByte::Ujis),
            "eucjpms" => Kind::MultiByte(MultiByte::Eucjpms),
            "euckr" => Kind::MultiByte(MultiByte::Euckr),
            other => {
                let found = tables::SINGLE_BYTE.iter().position(|table| table.name == other);
                match found.and_then(|index| u8::try_from(index).ok()) {
                    Some(index) => Kind::SingleByte(index),
                    None => {
                        return Err(Error::new(
                            ErrorKind::Unsupported,
                            format!("charset {name} is not supported"),
                        ));
                    }
                }
            }
        };
        Ok(Charset(kind))
    }

    /// The charset a collation number belongs to.
    pub fn from_collation(number: u16) -> Result<Charset, Error> {
        let named = |name: &str| Charset::from_name(name).map_err(|error| error.context("collation", number));
        let name = match number {
            // MariaDB: the old collations with NO PAD.
            1024..=2047 => return Charset::from_collation(number - 1024),
            // MariaDB: collations of its own.
            576..=607 => "utf8mb3",
            608..=639 => "utf8mb4",
            640..=671 => "ucs2",
            672..=703 => "utf16",
            736..=767 => "utf32",
            // MariaDB: UCA 14, 256 numbers per charset.
            2048..=2303 => "utf8mb3",
            2304..=2559 => "utf8mb4",
            2560..=2815 => "ucs2",
            2816..=3071 => "utf16",
            3072..=3327 => "utf32",
            // MySQL 8.0: UCA 9. Newer releases add numbers here, all of them utf8mb4.
            255..=511 => "utf8mb4",
            _ => {
                let collation = mysql_common::collations::Collation::resolve(number.into());
                return named(collation.charset());
            }
        };
        named(name)
    }

    /// Its name; `utf8` is called `utf8mb3`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Utf8mb4 => "utf8mb4",
            Kind::Utf8mb3 => "utf8mb3",
            Kind::Ascii => "ascii",
            Kind::Binary => "binary",
            Kind::Ucs2 => "ucs2",
            Kind::Utf16 => "utf16",
            Kind::Utf16le => "utf16le",
            Kind::Utf32 => "utf32",
            Kind::Swe7 => "swe7",
            Kind::SingleByte(index) => {
                tables::SINGLE_BYTE.get(usize::from(index)).map_or("", |table| table.name)
            }
            Kind::MultiByte(set) => set.name(),
        }
    }

    /// Appends the text in UTF-8. On an error `out` may hold a part of it.
    #[inline]
    pub fn append(self, bytes: &[u8], out: &mut String) -> Result<(), InvalidText> {
        match self.0 {
            Kind::Utf8mb4 | Kind::Utf8mb3 => match std::str::from_utf8(bytes) {
                Ok(text) => {
                    out.push_str(text);
                    Ok(())
                }
                Err(_) => Err(self.invalid()),
            },
            _ => self.append_other(bytes, out).ok_or_else(|| self.invalid()),
        }
    }

    fn invalid(self) -> InvalidText {
        InvalidText(self.name())
    }

    fn append_other(self, bytes: &[u8], out: &mut String) -> Option<()> {
        match self.0 {
            Kind::Utf8mb4 | Kind::Utf8mb3 => out.push_str(std::str::from_utf8(bytes).ok()?),
            Kind::Ascii => {
                out.push_str(std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())?);
            }
            Kind::Binary => return None,
            Kind::Ucs2 => {
                for unit in units(bytes, u16::from_be_bytes)? {
                    out.push(char::from_u32(u32::from(unit))?);
                }
            }
            Kind::Utf16 => append_utf16(units(bytes, u16::from_be_bytes)?, out)?,
            Kind::Utf16le => append_utf16(units(bytes, u16::from_le_bytes)?, out)?,
            Kind::Utf32 => {
                for unit in units(bytes, u32::from_be_bytes)? {
                    out.push(char::from_u32(unit)?);
                }
            }
            Kind::Swe7 => {
                for byte in bytes {
                    out.push(tables::swe7(*byte)?);
                }
            }
            Kind::SingleByte(index) => {
                append_single(bytes, &tables::SINGLE_BYTE.get(usize::from(index))?.upper, out)?;
            }
            Kind::MultiByte(set) => set.append(bytes, out)?,
        }
        Some(())
    }
}

impl TryFrom<String> for Charset {
    type Error = Error;

    fn try_from(name: String) -> Result<Charset, Error> {
        Charset::from_name(&name)
    }
}

impl From<Charset> for &'static str {
    fn from(charset: Charset) -> &'static str {
        charset.name()
    }
}

/// The bytes in groups of `N`; `None` when they do not come out even.
fn units<'a, const N: usize, T>(
    bytes: &'a [u8],
    convert: impl Fn([u8; N]) -> T + 'a,
) -> Option<impl Iterator<Item = T> + 'a> {
    let (groups, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| groups.iter().map(move |group| convert(*group)))
}

fn append_utf16(units: impl Iterator<Item = u16>, out: &mut String) -> Option<()> {
    for decoded in char::decode_utf16(units) {
        out.push(decoded.ok()?);
    }
    Some(())
}

fn append_single(bytes: &[u8], upper: &[char; 128], out: &mut String) -> Option<()> {
    let mut rest = bytes;
    loop {
        // Runs of ASCII are copied whole.
        let run = rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (ascii, tail) = rest.split_at_checked(run)?;
        out.push_str(std::str::from_utf8(ascii).ok()?);
        let Some((byte, tail)) = tail.split_first() else { return Some(()) };
        let decoded = *upper.get(usize::from(byte & 0x7f))?;
        if decoded == char::REPLACEMENT_CHARACTER {
            return None;
        }
        out.push(decoded);
        rest = tail;
    }
}

impl MultiByte {
    fn name(self) -> &'static str {
        match self {
            MultiByte::Big5 => "big5",
            MultiByte::Gb2312 => "gb2312",
            MultiByte::Gbk => "gbk",
            MultiByte::Gb18030 => "gb18030",
            MultiByte::Sjis => "sjis",
            MultiByte::Cp932 => "cp932",
            MultiByte::Ujis => "ujis",
            MultiByte::Eucjpms => "eucjpms",
            MultiByte::Euckr => "euckr",
        }
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            MultiByte::Big5 => encoding_rs::BIG5,
            MultiByte::Gb2312 | MultiByte::Gbk => encoding_rs::GBK,
            MultiByte::Gb18030 => encoding_rs::GB18030,
            MultiByte::Sjis | MultiByte::Cp932 => encoding_rs::SHIFT_JIS,
            MultiByte::Ujis | MultiByte::Eucjpms => encoding_rs::EUC_JP,
            MultiByte::Euckr => encoding_rs::EUC_KR,
        }
    }

    fn append(self, bytes: &[u8], out: &mut String) -> Option<()> {
        if !self.has_exceptions() || bytes.is_ascii() {
            return self.append_encoding(bytes, out);
        }
        // What lies between two exceptions is decoded at once.
        let (mut start, mut at) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let length = self.length(rest);
            if let Some(exception) = rest.get(..length).and_then(|code| self.exception(code)) {
                self.append_encoding(bytes.get(start..at)?, out)?;
                out.push(exception);
                start = at + length;
            }
            at += length;
        }
        self.append_encoding(bytes.get(start..)?, out)
    }

    fn append_encoding(self, bytes: &[u8], out: &mut String) -> Option<()> {
        let mut decoder = self.encoding().new_decoder_without_bom_handling();
        out.reserve(decoder.max_utf8_buffer_length_without_replacement(bytes.len())?);
        let (result, _) = decoder.decode_to_string_without_replacement(bytes, out, true);
        matches!(result, DecoderResult::InputEmpty).then_some(())
    }
}
