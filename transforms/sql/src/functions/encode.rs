//! Other forms of a text or of bytes: Base64, hashes, and a value out of JSON.

use std::borrow::Cow;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_values::json::{self, Json};
use encoding_rs::{CoderResult, Encoding};
use md5::{Digest, Md5};

use super::string::{bytes_of, text};
use crate::cast::is_binary;
use crate::function::Returns::Is;
use crate::function::Take::{Any, Text};
use crate::function::{Args, Def, Fault, Outcome};
use crate::text::to_text;

/// Names that a charset goes by in Java and nowhere else, or that mean something else elsewhere.
const LATIN_1: [&str; 3] = ["ISO-8859-1", "LATIN1", "ISO_8859_1"];
const ASCII: [&str; 2] = ["US-ASCII", "ASCII"];

pub(super) static FUNCTIONS: &[Def] = &[
    text(&["TO_BASE64"], &[Any, Text], 1, to_base64),
    text(&["FROM_BASE64"], &[Text, Text], 1, |a| {
        a.texts(|r| {
            let Some(text) = a.text(0, r) else { return Ok(None) };
            let bytes = STANDARD.decode(text).map_err(|_| Fault::new("a text is no Base64"))?;
            decoded(&bytes, charset(a, r)?).map(Some)
        })
    }),
    text(&["MD5"], &[Any], 0, |a| {
        let hex = |bytes: &[u8]| Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        each(a, |_, bytes| Ok(hex(bytes)))
    }),
    Def {
        names: &["MURMUR64"],
        args: &[Text],
        optional: 0,
        repeats: false,
        returns: Is(DataType::Int64),
        run: |a| a.longs(|r| Ok(a.text(0, r).map(|text| murmur64(text.as_bytes())))),
    },
    text(&["GET_JSON_OBJECT"], &[Text, Text], 0, |a| {
        a.texts(|r| {
            let Some((json, path)) = a.text(0, r).zip(a.text(1, r)) else { return Ok(None) };
            let steps = steps(path).ok_or_else(|| {
                Fault::new("a path is not of the form $.name['name'][0], without wildcards and filters")
            })?;
            Ok(found(json, &steps))
        })
    }),
];

/// A text for the bytes of the first argument: those of its UTF-8 where it is none.
fn each(a: &Args, of: impl Fn(usize, &[u8]) -> Result<String, Fault>) -> Outcome {
    let column = a.column(0)?;
    if is_binary(column.data_type()) {
        let bytes = bytes_of(&column)?;
        return a.texts(|r| bytes.is_valid(r).then(|| of(r, bytes.value(r))).transpose());
    }
    let texts = to_text(&column)?;
    let texts = texts.as_string::<i32>();
    a.texts(|r| texts.is_valid(r).then(|| of(r, texts.value(r).as_bytes())).transpose())
}

fn to_base64(a: &Args) -> Outcome {
    let is_raw = is_binary(a.column(0)?.data_type());
    each(a, |r, bytes| {
        if is_raw && a.len() > 1 {
            return Err(Fault::new("a charset goes with a text, and these are bytes"));
        }
        let bytes = if is_raw { Cow::Borrowed(bytes) } else { encoded(bytes, charset(a, r)?)? };
        Ok(STANDARD.encode(bytes))
    })
}

/// How characters are written.
#[derive(Clone, Copy)]
enum Charset {
    /// Code points below this number, a byte for each.
    Single(u32),
    /// Big-endian; a mark of the order in front counts, and is written.
    Utf16,
    Other(&'static Encoding),
}

/// The charset of the second argument; UTF-8 where there is none.
fn charset(a: &Args, row: usize) -> Result<Charset, Fault> {
    let Some(name) = a.text(1, row) else {
        return match a.len() {
            1 => Ok(Charset::Other(encoding_rs::UTF_8)),
            _ => Err(Fault::new("a charset is NULL")),
        };
    };
    let is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is(&LATIN_1) {
        Ok(Charset::Single(0x100))
    } else if is(&ASCII) {
        Ok(Charset::Single(0x80))
    } else if is(&["UTF-16"]) {
        Ok(Charset::Utf16)
    } else {
        let known = Encoding::for_label(name.as_bytes());
        known.map(Charset::Other).ok_or_else(|| Fault::new("a charset is not known"))
    }
}

/// UTF-8 in another charset. A character that it lacks is an error, and no question mark.
fn encoded(utf8: &[u8], charset: Charset) -> Result<Cow<'_, [u8]>, Fault> {
    let lacks = || Fault::new("a text has a character that its charset lacks");
    let text = std::str::from_utf8(utf8).map_err(|_| Fault::new("a text is no UTF-8"))?;
    let units = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    Ok(match charset {
        Charset::Single(end) => {
            let byte =
                |c: char| u8::try_from(u32::from(c)).ok().filter(|_| u32::from(c) < end).ok_or_else(lacks);
            Cow::Owned(text.chars().map(byte).collect::<Result<_, Fault>>()?)
        }
        Charset::Utf16 => Cow::Owned([&[0xfe, 0xff], &units(u16::to_be_bytes)[..]].concat()),
        Charset::Other(found) if found == encoding_rs::UTF_16BE => Cow::Owned(units(u16::to_be_bytes)),
        Charset::Other(found) if found == encoding_rs::UTF_16LE => Cow::Owned(units(u16::to_le_bytes)),
        Charset::Other(found) => match found.encode(text) {
            (bytes, _, false) => bytes,
            _ => return Err(lacks()),
        },
    })
}

/// The text of bytes in a charset.
fn decoded(bytes: &[u8], charset: Charset) -> Result<String, Fault> {
    let wrong = || Fault::new("bytes are no text of their charset");
    let strictly = |found: &'static Encoding, bytes: &[u8]| {
        let mut decoder = found.new_decoder_without_bom_handling();
        let mut text = String::with_capacity(decoder.max_utf8_buffer_length(bytes.len()).ok_or_else(wrong)?);
        match decoder.decode_to_string(bytes, &mut text, true) {
            (CoderResult::InputEmpty, _, false) => Ok(text),
            _ => Err(wrong()),
        }
    };
    match charset {
        Charset::Single(end) => {
            let one = |byte: &u8| (u32::from(*byte) < end).then_some(char::from(*byte)).ok_or_else(wrong);
            bytes.iter().map(one).collect()
        }
        Charset::Utf16 => match bytes {
            [0xff, 0xfe, rest @ ..] => strictly(encoding_rs::UTF_16LE, rest),
            [0xfe, 0xff, rest @ ..] => strictly(encoding_rs::UTF_16BE, rest),
            _ => strictly(encoding_rs::UTF_16BE, bytes),
        },
        Charset::Other(found) => strictly(found, bytes),
    }
}

/// The first half of MurmurHash3 for 128 bits on 64-bit machines, with seed 0. Source: Austin Appleby's
/// description of the function, which is in the public domain.
fn murmur64(bytes: &[u8]) -> i64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix_1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix_2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let last = |mut k: u64| {
        k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        k ^ (k >> 33)
    };
    let word = |part: &[u8]| part.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let (mut h1, mut h2) = (0u64, 0u64);
    let blocks = bytes.chunks_exact(16);
    let rest = blocks.remainder();
    for block in blocks {
        let (low, high) = block.split_at(8);
        h1 = (h1 ^ mix_1(word(low))).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix_2(word(high))).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let (low, high) = rest.split_at(rest.len().min(8));
    h1 ^= mix_1(word(low));
    h2 ^= mix_2(word(high));
    let length = bytes.len() as u64;
    (h1, h2) = (h1 ^ length, h2 ^ length);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    last(h1).wrapping_add(last(h2)).cast_signed()
}

/// One step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step<'p> {
    Name(&'p str),
    Index(usize),
}

/// The steps of a path; `None` for one of another form.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, behind) = name.split_at(end);
            if name.is_empty() || name.contains('*') {
                return None;
            }
            steps.push(Step::Name(name));
            rest = behind;
            continue;
        }
        let inside = rest.strip_prefix('[')?;
        if let Some(quote) = inside.chars().next().filter(|first| matches!(first, '\'' | '"')) {
            let (name, behind) = inside.get(1..)?.split_once(quote)?;
            steps.push(Step::Name(name));
            rest = behind.strip_prefix(']')?;
        } else {
            let (number, behind) = inside.split_once(']')?;
            steps.push(Step::Index(number.trim().parse().ok()?));
            rest = behind;
        }
    }
    Some(steps)
}

/// What the steps lead to, as text; `None` where there is nothing, NULL, or no JSON.
fn found(text: &str, steps: &[Step<'_>]) -> Option<String> {
    let text = text.trim();
    if !json::is_valid(text) {
        return None;
    }
    let below = |at, step: &Step<'_>| match step {
        // The last one counts where a name comes twice.
        Step::Name(name) => {
            json::members(at)?.into_iter().rev().find(|(key, _)| key == name).map(|(_, at)| at)
        }
        Step::Index(index) => json::items(at)?.get(*index).copied(),
    };
    match json::value(steps.iter().try_fold(text, below)?)? {
        Json::Null => None,
        Json::Bool(value) => Some(value.to_string()),
        Json::Number(written) => Some(written.to_owned()),
        Json::Text(text) => Some(text.into_owned()),
        Json::Nested(written) => Some(compact(written)),
    }
}

/// JSON without blanks between its parts.
fn compact(written: &str) -> String {
    let (mut in_text, mut is_escaped) = (false, false);
    let stays = |c: &char| {
        let stays = in_text || !c.is_ascii_whitespace();
        match c {
            '"' if !is_escaped => in_text = !in_text,
            _ => {}
        }
        is_escaped = in_text && *c == '\\' && !is_escaped;
        stays
    };
    written.chars().filter(stays).collect()
}
