//! Values that PostgreSQL prints, as numbers: numerics, bits, intervals, times with a zone, arrays.
//!
//! The texts are those of a session with `IntervalStyle` postgres and `lc_monetary` C, as the source has
//! them. What does not read is `None`; the caller says which column it was.

/// Microseconds.
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 365.25 / 12 days, as Debezium counts them.
const MONTH: i64 = 2_629_800 * SECOND;

/// A decimal as the two numbers it is: an unscaled one, big-endian in two's complement, and how many of
/// its digits stand behind the point.
pub(super) fn decimal(text: &str) -> Option<(Vec<u8>, u32)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = u32::try_from(fraction.len()).ok()?;
    // Little-endian while it grows.
    let mut bytes: Vec<u8> = Vec::new();
    for digit in whole.chars().chain(fraction.chars()) {
        let mut carry = digit.to_digit(10)?;
        for byte in &mut bytes {
            carry += u32::from(*byte) * 10;
            let [low, ..] = carry.to_le_bytes();
            *byte = low;
            carry >>= 8;
        }
        if carry > 0 {
            let [low, ..] = carry.to_le_bytes();
            bytes.push(low);
        }
    }
    // A byte for the sign.
    bytes.push(0);
    if negative {
        let mut carry = true;
        for byte in &mut bytes {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    bytes.reverse();
    Some((minimal(&bytes).to_vec(), scale))
}

/// The shortest two's complement of the same number.
pub(super) fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let sign = if second & 0x80 == 0 { 0 } else { 0xff };
        if *first != sign {
            break;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    rest
}

/// `-$1,234.50` as `-1234.50`.
pub(super) fn money(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '$' | ',')).collect()
}

/// Digits 0 and 1, the highest first, as little-endian bytes.
pub(super) fn bits(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; text.len().div_ceil(8)];
    for (place, digit) in text.bytes().rev().enumerate() {
        match digit {
            b'0' => {}
            b'1' => *bytes.get_mut(place / 8)? |= 1 << (place % 8),
            _ => return None,
        }
    }
    Some(bytes)
}

/// `1 year 2 mons -3 days 04:05:06.7` in microseconds.
pub(super) fn interval(text: &str) -> Option<i64> {
    let (mut months, mut days, mut micros) = (0i64, 0i64, 0i64);
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word.contains(':') {
            micros = clock(word)?;
            continue;
        }
        let number: i64 = word.parse().ok()?;
        match words.next()? {
            "year" | "years" => months = months.checked_add(number.checked_mul(12)?)?,
            "mon" | "mons" => months = months.checked_add(number)?,
            "day" | "days" => days = number,
            _ => return None,
        }
    }
    let of_days = days.checked_mul(DAY)?.checked_add(micros)?;
    months.checked_mul(MONTH)?.checked_add(of_days)
}

/// `[-]hh:mm:ss[.ffffff]` in microseconds.
fn clock(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = rest.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let seconds = parts.next().unwrap_or("0");
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let seconds: i64 = seconds.parse().ok()?;
    if fraction.len() > 6 {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    let whole = hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds)?;
    whole.checked_mul(SECOND)?.checked_add(fraction)?.checked_mul(sign)
}

/// `10:00:00.5+02:30` at GMT: microseconds since midnight.
pub(super) fn time_at_gmt(text: &str) -> Option<i64> {
    let at = text.rfind(['+', '-'])?;
    let (time, zone) = text.split_at_checked(at)?;
    let offset = if zone.contains(':') { clock(zone)? } else { clock(&format!("{zone}:00"))? };
    Some((clock(time)? - offset).rem_euclid(DAY))
}

/// The elements of an array of one dimension: `{1,NULL,"a \"b\""}`.
pub(super) fn array(text: &str) -> Option<Vec<Option<String>>> {
    // Bounds that do not begin at 1 stand in front: `[0:1]={1,2}`.
    let inner = match text.split_once('=') {
        Some((bounds, rest)) if bounds.starts_with('[') => rest,
        _ => text,
    };
    let inner = inner.strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    if inner.is_empty() {
        return Some(elements);
    }
    let mut chars = inner.chars();
    loop {
        let (mut element, mut quoted, mut ended) = (String::new(), false, true);
        let mut inside = false;
        while let Some(c) = chars.next() {
            match c {
                '"' => (quoted, inside) = (true, !inside),
                '\\' => element.push(chars.next()?),
                ',' if !inside => {
                    ended = false;
                    break;
                }
                // More than one dimension.
                '{' | '}' if !inside => return None,
                c => element.push(c),
            }
        }
        elements.push((quoted || element != "NULL").then_some(element));
        if ended {
            return (!inside).then_some(elements);
        }
    }
}
