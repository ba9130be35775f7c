//! DECIMAL: packed digits and text, to the scaled integers Arrow holds.
//!
//! Packed form (MySQL internals, `strings/decimal.cc`, `decimal2bin`): the digits before and after
//! the point are cut into groups of nine, counted from the point; a group has four bytes, highest
//! first, and the shorter groups at both ends have as few as hold them. The highest bit is
//! inverted, and for negative numbers all bits are.

use std::fmt::Write;

use arrow_buffer::i256;

use crate::wire::{Cursor, WireResult};

/// The most digits a packed number can have: nine groups. A column has at most 65; a number in a
/// JSON document may be declared with more, for the zeros in front.
const PRECISION_MAX: u8 = 81;

/// Digits of a full group.
const GROUP: u8 = 9;

/// Bytes of a group by its digits.
fn group_bytes(digits: u8) -> usize {
    match digits {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 2,
        5 | 6 => 3,
        _ => 4,
    }
}

pub(super) fn part_bytes(digits: u8) -> usize {
    usize::from(digits / GROUP) * 4 + group_bytes(digits % GROUP)
}

/// Reads the packed form and hands on each group's value and number of digits, first group
/// first. Returns whether the number is negative.
fn read_groups(
    cursor: &mut Cursor<'_>,
    precision: u8,
    scale: u8,
    mut group: impl FnMut(u32, u8),
) -> WireResult<bool> {
    let invalid = cursor.error("decimal");
    let whole =
        precision.checked_sub(scale).filter(|_| (1..=PRECISION_MAX).contains(&precision)).ok_or(invalid)?;
    let length = part_bytes(whole) + part_bytes(scale);
    let mut plain = [0u8; 40];
    let plain = plain.get_mut(..length).ok_or(invalid)?;
    plain.copy_from_slice(cursor.take(length, "decimal")?);
    let negative = plain.first().is_some_and(|byte| byte & 0x80 == 0);
    if let Some(first) = plain.first_mut() {
        *first ^= 0x80;
    }
    if negative {
        plain.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut rest = Cursor::new(plain);
    let mut next = |digits: u8| {
        let value = rest.uint_be(group_bytes(digits), "decimal digits")?;
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        // A group that holds more than its digits comes from no server.
        if value >= 10u32.pow(u32::from(digits)) {
            return Err(invalid);
        }
        group(value, digits);
        Ok(())
    };
    if whole % GROUP > 0 {
        next(whole % GROUP)?;
    }
    for _ in 0..whole / GROUP + scale / GROUP {
        next(GROUP)?;
    }
    let tail = scale % GROUP;
    if tail > 0 {
        next(tail)?;
    }
    Ok(negative)
}

/// A packed DECIMAL of at most 38 digits, times ten to the power of its scale.
pub(crate) fn read_i128(cursor: &mut Cursor<'_>, precision: u8, scale: u8) -> WireResult<i128> {
    if precision > 38 {
        return Err(cursor.error("decimal"));
    }
    let mut value = 0i128;
    let negative = read_groups(cursor, precision, scale, |group, digits| {
        // At most 38 digits in all: no overflow.
        value = value.wrapping_mul(i128::from(10u32.pow(u32::from(digits)))).wrapping_add(i128::from(group));
    })?;
    Ok(if negative { -value } else { value })
}

/// A packed DECIMAL of any precision, times ten to the power of its scale.
pub(crate) fn read_i256(cursor: &mut Cursor<'_>, precision: u8, scale: u8) -> WireResult<i256> {
    let invalid = cursor.error("decimal");
    let mut value = Some(i256::ZERO);
    let negative = read_groups(cursor, precision, scale, |group, digits| {
        let power = i256::from_i128(i128::from(10u32.pow(u32::from(digits))));
        let group = i256::from_i128(i128::from(group));
        value = value.and_then(|value| value.checked_mul(power)?.checked_add(group));
    })?;
    let value = value.ok_or(invalid)?;
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// The digits of a decimal text with the fraction filled up to `scale`: whether it is negative,
/// and the digits one by one. `None` when it is no decimal or has a longer fraction.
fn text_digits(text: &[u8], scale: u8, mut digit: impl FnMut(u8) -> Option<()>) -> Option<bool> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let filler = usize::from(scale).checked_sub(fraction.len())?;
    for byte in whole.iter().chain(fraction).copied().chain(std::iter::repeat_n(b'0', filler)) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digit(byte - b'0')?;
    }
    Some(negative)
}

/// A decimal text times ten to the power of `scale`; `None` when it does not fit exactly.
pub(crate) fn parse_i128(text: &[u8], scale: u8) -> Option<i128> {
    let mut value = 0i128;
    let negative = text_digits(text, scale, |digit| {
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        Some(())
    })?;
    Some(if negative { -value } else { value })
}

/// The same for more than 38 digits.
pub(crate) fn parse_i256(text: &[u8], scale: u8) -> Option<i256> {
    let ten = i256::from_i128(10);
    let mut value = i256::ZERO;
    let negative = text_digits(text, scale, |digit| {
        value = value.checked_mul(ten)?.checked_add(i256::from_i128(i128::from(digit)))?;
        Some(())
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Appends a scaled integer as text: all digits of the fraction, at least one digit before it.
pub(crate) fn append_text(value: i256, scale: u8, out: &mut String) {
    let digits = value.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let scale = usize::from(scale);
    out.push_str(sign);
    // Pads with zeros to one digit more than the fraction has. Writing to a String cannot fail.
    let mut padded = String::new();
    let _ = write!(padded, "{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at_checked(padded.len() - scale).unwrap_or((padded.as_str(), ""));
    out.push_str(whole);
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
    }
}
