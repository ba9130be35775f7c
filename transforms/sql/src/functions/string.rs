//! Functions of text. Positions and lengths count characters, the first one is 1.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow_schema::DataType;

use super::literal;
use crate::cast::{is_binary, is_moment};
use crate::function::Returns::{From, Is};
use crate::function::Take::{Any, Int, Text};
use crate::function::{Args, Def, Fault, Known, Outcome};
use crate::moment::Moments;
use crate::pattern::Pattern;
use crate::text::to_text;

/// Bytes of one text that a function may make.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// A function of text that gives text.
pub(super) const fn text(
    names: &'static [&'static str],
    args: &'static [crate::function::Take],
    optional: usize,
    run: fn(&Args) -> Outcome,
) -> Def {
    Def { names, args, optional, repeats: false, returns: Is(DataType::Utf8), run }
}

/// A function of text that gives something else.
const fn other(
    names: &'static [&'static str],
    args: &'static [crate::function::Take],
    returns: DataType,
    run: fn(&Args) -> Outcome,
) -> Def {
    Def { names, args, optional: 0, repeats: false, returns: Is(returns), run }
}

pub(super) static FUNCTIONS: &[Def] = &[
    other(&["ASCII"], &[Text], DataType::Int32, |a| {
        a.ints(|r| {
            Ok(a.text(0, r)
                .and_then(|text| text.chars().next())
                .and_then(|first| i32::try_from(u32::from(first)).ok()))
        })
    }),
    other(&["BIT_LENGTH"], &[Any], DataType::Int64, |a| byte_length(a, 8)),
    other(&["OCTET_LENGTH"], &[Any], DataType::Int64, |a| byte_length(a, 1)),
    other(&["CHAR_LENGTH", "LENGTH"], &[Text], DataType::Int64, |a| {
        a.longs(|r| Ok(a.text(0, r).map(|text| long(text.chars().count()))))
    }),
    text(&["CHAR", "CHR"], &[Int], 0, |a| a.texts(|r| a.int(0, r).map(character).transpose())),
    Def {
        names: &["CONCAT"],
        args: &[Text, Text],
        optional: 1,
        repeats: true,
        returns: Is(DataType::Utf8),
        run: concat,
    },
    Def {
        names: &["CONCAT_WS"],
        args: &[Text, Text],
        optional: 0,
        repeats: true,
        returns: Is(DataType::Utf8),
        run: concat_ws,
    },
    text(&["||"], &[Text, Text], 0, |a| {
        a.texts(|r| Ok(a.text(0, r).zip(a.text(1, r)).map(|(left, right)| format!("{left}{right}"))))
    }),
    text(&["HEXTORAW"], &[Text], 0, |a| a.texts(|r| a.text(0, r).map(hextoraw).transpose())),
    text(&["RAWTOHEX"], &[Any], 0, rawtohex),
    text(&["INSERT"], &[Text, Int, Int, Text], 0, |a| a.texts(|r| Ok(insert(a, r)))),
    text(&["LOWER", "LCASE"], &[Text], 0, |a| a.texts(|r| Ok(a.text(0, r).map(str::to_lowercase)))),
    text(&["UPPER", "UCASE"], &[Text], 0, |a| a.texts(|r| Ok(a.text(0, r).map(str::to_uppercase)))),
    text(&["LEFT"], &[Text, Int], 0, |a| {
        a.texts(|r| {
            Ok(a.text(0, r).zip(a.int(1, r)).map(|(text, count)| text.chars().take(size(count)).collect()))
        })
    }),
    text(&["RIGHT"], &[Text, Int], 0, |a| {
        a.texts(|r| {
            Ok(a.text(0, r).zip(a.int(1, r)).map(|(text, count)| {
                let skipped = text.chars().count().saturating_sub(size(count));
                text.chars().skip(skipped).collect()
            }))
        })
    }),
    Def {
        names: &["LOCATE"],
        args: &[Text, Text, Int],
        optional: 1,
        repeats: false,
        returns: Is(DataType::Int32),
        run: |a| locate(a, 0, 1),
    },
    Def {
        names: &["INSTR"],
        args: &[Text, Text, Int],
        optional: 1,
        repeats: false,
        returns: Is(DataType::Int32),
        run: |a| locate(a, 1, 0),
    },
    other(&["POSITION"], &[Text, Text], DataType::Int32, |a| locate(a, 0, 1)),
    text(&["LPAD"], &[Text, Int, Text], 1, |a| a.texts(|r| pad(a, r, true))),
    text(&["RPAD"], &[Text, Int, Text], 1, |a| a.texts(|r| pad(a, r, false))),
    text(&["LTRIM"], &[Text, Text], 1, |a| {
        a.texts(|r| Ok(a.text(0, r).map(|text| text.trim_start_matches(trimmed(a, r)).to_owned())))
    }),
    text(&["RTRIM"], &[Text, Text], 1, |a| {
        a.texts(|r| Ok(a.text(0, r).map(|text| text.trim_end_matches(trimmed(a, r)).to_owned())))
    }),
    text(&["TRIM"], &[Text, Text], 1, |a| {
        a.texts(|r| Ok(a.text(0, r).map(|text| text.trim_matches(trimmed(a, r)).to_owned())))
    }),
    text(&["REPEAT"], &[Text, Int], 0, |a| a.texts(|r| repeat(a.text(0, r), a.int(1, r)))),
    text(&["SPACE"], &[Int], 0, |a| a.texts(|r| repeat(Some(" "), a.int(0, r)))),
    text(&["REPLACE"], &[Text, Text, Text], 1, |a| a.texts(|r| Ok(replace(a, r)))),
    text(&["SOUNDEX"], &[Text], 0, |a| a.texts(|r| Ok(a.text(0, r).map(soundex)))),
    Def {
        names: &["SUBSTRING", "SUBSTR"],
        args: &[Any, Int, Int],
        optional: 1,
        repeats: false,
        returns: From(substring_type),
        run: |a| {
            let texts = substring_text(&a.column(0)?)?;
            let texts = texts.as_string::<i32>();
            a.texts(|r| Ok(texts.is_valid(r).then(|| texts.value(r)).and_then(|text| substring(text, a, r))))
        },
    },
    Def {
        names: &["TO_CHAR"],
        args: &[Any, Text],
        optional: 1,
        repeats: false,
        returns: From(to_char_type),
        run: to_char,
    },
    text(&["TRANSLATE"], &[Text, Text, Text], 0, |a| a.texts(|r| Ok(translate(a, r)))),
];

fn long(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count of characters; a negative one is none.
fn size(count: i64) -> usize {
    usize::try_from(count.max(0)).unwrap_or(usize::MAX)
}

/// Bytes of every value, times `unit`.
fn byte_length(a: &Args, unit: i64) -> Outcome {
    let column = a.column(0)?;
    if is_binary(column.data_type()) {
        let bytes = bytes_of(&column)?;
        return a.longs(|r| Ok(bytes.is_valid(r).then(|| long(bytes.value(r).len()) * unit)));
    }
    let texts = to_text(&column)?;
    let texts = texts.as_string::<i32>();
    a.longs(|r| Ok(texts.is_valid(r).then(|| long(texts.value(r).len()) * unit)))
}

pub(super) fn bytes_of(column: &ArrayRef) -> Result<BinaryArray, Fault> {
    let column = crate::cast::cast(column, &DataType::Binary, crate::cast::Mode::Strict)?;
    Ok(column.as_binary::<i32>().clone())
}

fn character(code: i64) -> Result<String, Fault> {
    let found = u32::try_from(code).ok().and_then(char::from_u32);
    found.map(String::from).ok_or_else(|| Fault::new("a number is no code of a character"))
}

fn concat(a: &Args) -> Outcome {
    a.texts(|r| Ok(Some((0..a.len()).filter_map(|arg| a.text(arg, r)).collect())))
}

fn concat_ws(a: &Args) -> Outcome {
    a.texts(|r| {
        let parts: Vec<&str> = (1..a.len()).filter_map(|arg| a.text(arg, r)).collect();
        Ok(Some(parts.join(a.text(0, r).unwrap_or_default())))
    })
}

/// Four digits are one unit of UTF-16, as Java's characters are.
fn hextoraw(digits: &str) -> Result<String, Fault> {
    let wrong = || Fault::new("a text is no sequence of four hexadecimal digits per character");
    let bytes = digits.as_bytes();
    if !bytes.len().is_multiple_of(4) || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    let units: Vec<u16> = bytes
        .chunks_exact(4)
        .map(|four| std::str::from_utf8(four).ok().and_then(|four| u16::from_str_radix(four, 16).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    String::from_utf16(&units).map_err(|_| wrong())
}

fn rawtohex(a: &Args) -> Outcome {
    let column = a.column(0)?;
    if is_binary(column.data_type()) {
        let bytes = bytes_of(&column)?;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        return a.texts(|r| Ok(bytes.is_valid(r).then(|| hex(bytes.value(r)))));
    }
    let texts = to_text(&column)?;
    let texts = texts.as_string::<i32>();
    let hex = |text: &str| text.encode_utf16().map(|unit| format!("{unit:04x}")).collect::<String>();
    a.texts(|r| Ok(texts.is_valid(r).then(|| hex(texts.value(r)))))
}

fn insert(a: &Args, r: usize) -> Option<String> {
    let (Some(text), Some(added)) = (a.text(0, r), a.text(3, r)) else {
        return a.text(0, r).or(a.text(3, r)).map(str::to_owned);
    };
    let (start, length) = (a.int(1, r)?, a.int(2, r)?);
    let characters = text.chars().count();
    if start < 1 || length < 1 || added.is_empty() || size(start - 1) > characters {
        return Some(text.to_owned());
    }
    let before: String = text.chars().take(size(start - 1)).collect();
    let behind: String = text.chars().skip(size(start.saturating_add(length) - 1)).collect();
    Some(format!("{before}{added}{behind}"))
}

/// Where one text is in another; from a start on, or backwards from a negative one.
fn locate(a: &Args, searched: usize, within: usize) -> Outcome {
    let start_given = a.len() > 2;
    a.ints(|r| {
        let Some(text) = a.text(within, r) else { return Ok(Some(0)) };
        let Some(searched) = a.text(searched, r) else { return Ok(None) };
        let start = if start_given { a.int(2, r) } else { Some(1) };
        let Some(start) = start else { return Ok(None) };
        let found = match start {
            ..0 => {
                let last = long(text.chars().count()).saturating_add(start);
                match usize::try_from(last) {
                    Ok(last) => {
                        text.rmatch_indices(searched).map(|(at, _)| place(text, at)).find(|at| *at <= last)
                    }
                    Err(_) => None,
                }
            }
            _ => {
                let skipped = size(start.saturating_sub(1));
                let from = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(skipped);
                from.and_then(|from| text.get(from..)?.find(searched).map(|at| place(text, from + at)))
            }
        };
        Ok(Some(found.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX))))
    })
}

/// Characters before a byte.
fn place(text: &str, byte: usize) -> usize {
    text.get(..byte).map_or(0, |before| before.chars().count())
}

fn pad(a: &Args, r: usize, left: bool) -> Result<Option<String>, Fault> {
    let Some((text, length)) = a.text(0, r).zip(a.int(1, r)) else { return Ok(None) };
    let length = size(length);
    let characters = text.chars().count();
    if length <= characters {
        return Ok(Some(text.chars().take(length).collect()));
    }
    let filler = a.text(2, r).and_then(|text| text.chars().next()).unwrap_or(' ');
    let missing = length - characters;
    bounded(missing.saturating_mul(filler.len_utf8()))?;
    let filled: String = std::iter::repeat_n(filler, missing).collect();
    Ok(Some(if left { format!("{filled}{text}") } else { format!("{text}{filled}") }))
}

fn bounded(bytes: usize) -> Result<(), Fault> {
    match bytes <= TEXT_BYTES_MAX {
        true => Ok(()),
        false => Err(Fault::new("a text would become longer than 64 MiB")),
    }
}

/// The character to trim: the first of the second argument, or a blank.
fn trimmed(a: &Args, r: usize) -> char {
    a.text(1, r).and_then(|text| text.chars().next()).unwrap_or(' ')
}

fn repeat(text: Option<&str>, count: Option<i64>) -> Result<Option<String>, Fault> {
    let Some((text, count)) = text.zip(count) else { return Ok(None) };
    bounded(text.len().saturating_mul(size(count)))?;
    Ok(Some(text.repeat(size(count))))
}

fn replace(a: &Args, r: usize) -> Option<String> {
    let (text, searched) = (a.text(0, r)?, a.text(1, r)?);
    let replacement = if a.len() > 2 { a.text(2, r)? } else { "" };
    match searched.is_empty() {
        true => Some(text.to_owned()),
        false => Some(text.replace(searched, replacement)),
    }
}

fn soundex(text: &str) -> String {
    let mut code = String::with_capacity(4);
    let mut last = 0;
    for letter in text.chars().filter(char::is_ascii_alphabetic) {
        let digit = match letter.to_ascii_uppercase() {
            'B' | 'F' | 'P' | 'V' => 1,
            'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => 2,
            'D' | 'T' => 3,
            'L' => 4,
            'M' | 'N' => 5,
            'R' => 6,
            // H and W stand between two equal sounds without parting them; vowels part them.
            'H' | 'W' => last,
            _ => 0,
        };
        if code.is_empty() {
            code.push(letter.to_ascii_uppercase());
        } else if digit != 0 && digit != last {
            code.push(char::from(b'0' + digit));
        }
        last = digit;
        if code.len() == 4 {
            break;
        }
    }
    format!("{code:0<4}")
}

fn substring_type(args: &[Known]) -> Result<DataType, String> {
    match args.first().map(|text| &text.data_type) {
        Some(bytes) if is_binary(bytes) => {
            Err("SUBSTRING takes no bytes; bring them to STRING with CAST".to_owned())
        }
        _ => Ok(DataType::Utf8),
    }
}

/// A point in time has all of its seconds here, and a blank before the time.
fn substring_text(column: &ArrayRef) -> Outcome {
    if !matches!(column.data_type(), DataType::Timestamp(_, _)) {
        return to_text(column);
    }
    let pattern = Pattern::parse("yyyy-MM-dd HH:mm:ss")?;
    let moments = Moments::new(column)?;
    let text = |row: usize| moments.get(row)?.map(|moment| pattern.format(&moment)).transpose();
    let texts: StringArray = (0..column.len()).map(text).collect::<Result<_, Fault>>()?;
    Ok(Arc::new(texts))
}

fn substring(text: &str, a: &Args, r: usize) -> Option<String> {
    let start = a.int(1, r)?;
    let characters = long(text.chars().count());
    let start = match start {
        0 => 1,
        ..0 => characters + start + 1,
        _ => start,
    };
    let end = match a.len() > 2 {
        true => match a.int(2, r) {
            Some(length) => start.saturating_add(length),
            None => characters + 1,
        },
        false => characters + 1,
    };
    let (start, end) = (start.max(1), end.min(characters + 1));
    if start > characters || end <= start {
        return None;
    }
    Some(text.chars().skip(size(start - 1)).take(size(end - start)).collect())
}

fn to_char_type(args: &[Known]) -> Result<DataType, String> {
    if let (Some(value), 2) = (args.first(), args.len()) {
        if !is_moment(&value.data_type) {
            return Err("TO_CHAR takes a pattern for dates and times only".to_owned());
        }
        Pattern::parse(literal(args, 1, "the pattern")?).map_err(|fault| fault.0)?;
    }
    if args.first().is_some_and(|value| is_binary(&value.data_type)) {
        return Err("TO_CHAR takes no bytes; RAWTOHEX does".to_owned());
    }
    Ok(DataType::Utf8)
}

fn to_char(a: &Args) -> Outcome {
    match a.len() {
        1 => to_text(&a.column(0)?),
        _ => super::time::formatted(a),
    }
}

fn translate(a: &Args, r: usize) -> Option<String> {
    let (text, searched) = (a.text(0, r)?, a.text(1, r)?);
    let replacements: Vec<char> = a.text(2, r).unwrap_or_default().chars().collect();
    let translated = |letter: char| {
        let place = searched.chars().position(|searched| searched == letter);
        place.and_then(|place| replacements.get(place)).copied().unwrap_or(letter)
    };
    Some(text.chars().map(translated).collect())
}
