//! numeric: its binary form, its printed form, and the scaled integers of Arrow's decimals.
//!
//! The binary form is a count of digits to base 10,000, the weight of the first one, a sign, the
//! number of decimal digits to print behind the point, and the digits (`numeric_send` in the server).

use std::fmt::Write as _;

use arrow_buffer::i256;
use culvert_api::Result;

use super::malformed;

const NUMERIC: &str = "numeric";
const BASE_DIGITS: i64 = 4;

/// A numeric that is no number, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Nan,
    Infinity,
    NegativeInfinity,
}

/// The parts of the binary form.
struct Binary<'a> {
    weight: i64,
    sign: u16,
    scale: usize,
    digits: &'a [[u8; 2]],
}

fn read(bytes: &[u8]) -> Option<Binary<'_>> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let [count, weight, sign, scale] = [0, 2, 4, 6].map(|at| [head[at], head[at + 1]]);
    let (digits, odd) = rest.as_chunks::<2>();
    let sound = odd.is_empty()
        && digits.len() == usize::from(u16::from_be_bytes(count))
        && digits.iter().all(|digit| u16::from_be_bytes(*digit) < 10_000);
    sound.then(|| Binary {
        weight: i64::from(i16::from_be_bytes(weight)),
        sign: u16::from_be_bytes(sign),
        // Fourteen bits in the server.
        scale: usize::from(u16::from_be_bytes(scale)),
        digits,
    })
}

impl Binary<'_> {
    fn special(&self) -> Result<Option<Special>> {
        Ok(Some(match self.sign {
            0x0000 | 0x4000 => return Ok(None),
            0xC000 => Special::Nan,
            0xD000 => Special::Infinity,
            0xF000 => Special::NegativeInfinity,
            _ => return Err(malformed(NUMERIC)),
        }))
    }

    /// The digit to base 10,000 that counts this power of it.
    fn at(&self, power: i64) -> u16 {
        usize::try_from(self.weight - power)
            .ok()
            .and_then(|place| self.digits.get(place))
            .map_or(0, |digit| u16::from_be_bytes(*digit))
    }
}

/// Appends the number as the server prints it.
pub(crate) fn append_printed(bytes: &[u8], out: &mut String) -> Result<()> {
    let binary = read(bytes).ok_or_else(|| malformed(NUMERIC))?;
    if let Some(special) = binary.special()? {
        out.push_str(match special {
            Special::Nan => "NaN",
            Special::Infinity => "Infinity",
            Special::NegativeInfinity => "-Infinity",
        });
        return Ok(());
    }
    if binary.sign != 0 {
        out.push('-');
    }
    if binary.weight < 0 {
        out.push('0');
    } else {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", binary.at(binary.weight));
        for power in (0..binary.weight).rev() {
            let _ = write!(out, "{:04}", binary.at(power));
        }
    }
    if binary.scale > 0 {
        out.push('.');
        let mut left = binary.scale;
        let mut power = -1;
        while left > 0 {
            let digits = format!("{:04}", binary.at(power));
            let shown = left.min(4);
            out.push_str(&digits[..shown]);
            left -= shown;
            power -= 1;
        }
    }
    Ok(())
}

/// The number times ten to the `scale`, exactly. `Err(Some)`: it is none; `Err(None)` inside the
/// result: it has more digits than fit.
pub(crate) fn from_binary(bytes: &[u8], scale: u8) -> Result<Scaled> {
    let binary = read(bytes).ok_or_else(|| malformed(NUMERIC))?;
    if let Some(special) = binary.special()? {
        return Ok(Scaled::Special(special));
    }
    let scale = i64::from(scale);
    let mut value = i256::ZERO;
    // Decimal places that the last digit taken in stands behind the point; grows to `scale`.
    for (place, digit) in binary.digits.iter().enumerate() {
        let power = binary.weight - i64::try_from(place).unwrap_or(i64::MAX);
        let digit = i64::from(u16::from_be_bytes(*digit));
        let shift = power * BASE_DIGITS + scale;
        let part = if shift >= 0 {
            ten_to(shift).and_then(|ten| ten.checked_mul(i256::from(digit)))
        } else {
            let cut = 10_i64.checked_pow(u32::try_from(-shift).unwrap_or(u32::MAX));
            match cut {
                Some(cut) if digit % cut == 0 => Some(i256::from(digit / cut)),
                None if digit == 0 => Some(i256::ZERO),
                _ => None,
            }
        };
        let Some(sum) = part.and_then(|part| value.checked_add(part)) else { return Ok(Scaled::TooLarge) };
        value = sum;
    }
    Ok(Scaled::Value(if binary.sign == 0 { value } else { -value }))
}

fn ten_to(power: i64) -> Option<i256> {
    // Ten to the 76th still fits.
    if power > 76 { None } else { i256::from(10_i64).checked_pow(u32::try_from(power).ok()?) }
}

/// What a numeric is as a scaled integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scaled {
    Value(i256),
    Special(Special),
    /// It has more digits than the declared type allows.
    TooLarge,
}

/// The printed form as a scaled integer.
pub(crate) fn from_text(text: &[u8], scale: u8) -> Result<Scaled> {
    match text {
        b"NaN" => return Ok(Scaled::Special(Special::Nan)),
        b"Infinity" => return Ok(Scaled::Special(Special::Infinity)),
        b"-Infinity" => return Ok(Scaled::Special(Special::NegativeInfinity)),
        _ => {}
    }
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (digits.get(..at).unwrap_or_default(), digits.get(at + 1..).unwrap_or_default()),
        None => (digits, &[][..]),
    };
    let sound = !whole.is_empty() && (point.is_none() || !fraction.is_empty());
    if !sound || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(malformed(NUMERIC));
    }
    let kept = usize::from(scale);
    let (fraction, rest) = fraction.split_at(fraction.len().min(kept));
    if rest.iter().any(|digit| *digit != b'0') {
        return Ok(Scaled::TooLarge);
    }
    let zeros = std::iter::repeat_n(&b'0', kept - fraction.len());
    let all = whole.iter().chain(fraction).chain(zeros).skip_while(|digit| **digit == b'0');
    Ok(match gather(all) {
        Some(value) => Scaled::Value(if negative { -value } else { value }),
        None => Scaled::TooLarge,
    })
}

/// Most numbers fit an i128; the rest goes on wider.
fn gather<'a>(digits: impl Iterator<Item = &'a u8>) -> Option<i256> {
    let mut narrow = 0_i128;
    let mut wide: Option<i256> = None;
    for digit in digits {
        let digit = digit - b'0';
        if let Some(value) = wide {
            wide = Some(value.checked_mul(i256::from(10_i64))?.checked_add(i256::from(i64::from(digit)))?);
            continue;
        }
        match narrow.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit))) {
            Some(value) => narrow = value,
            None => {
                let ten = i256::from(10_i64);
                let value = i256::from_i128(narrow).checked_mul(ten)?;
                wide = Some(value.checked_add(i256::from(i64::from(digit)))?);
            }
        }
    }
    Some(wide.unwrap_or_else(|| i256::from_i128(narrow)))
}
