//! Exact decimal numbers, read from text.

use std::cmp::Ordering;

use arrow_buffer::i256;

/// A number as digits and how many of them stand behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) digits: i256,
    /// Never negative.
    pub(crate) scale: u32,
}

/// Digits that a number may have, and zeros that an exponent may add: more fit no column.
const DIGITS_MAX: usize = 76;

impl Decimal {
    /// Reads `-12.50`, `+3`, `1.5e3`. `None` when it is no number, or has too many digits.
    pub(crate) fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, plain) = match mantissa.strip_prefix('-') {
            Some(plain) => (true, plain),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        // Zeros at the end of a fraction say nothing.
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        if digits.len() > DIGITS_MAX {
            return None;
        }
        let number = if digits.is_empty() { i256::ZERO } else { i256::from_string(digits)? };
        let number = if negative { number.wrapping_neg() } else { number };
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(scale) {
            Ok(scale) => Some(Decimal { digits: number, scale }),
            Err(_) => Some(Decimal { digits: number.checked_mul(ten_to(scale.unsigned_abs())?)?, scale: 0 }),
        }
    }

    /// The digits with so many behind the point; `None` when some would be lost.
    pub(crate) fn at_scale(self, scale: u32) -> Option<i256> {
        if self.digits == i256::ZERO {
            return Some(i256::ZERO);
        }
        if scale >= self.scale {
            return self.digits.checked_mul(ten_to(scale - self.scale)?);
        }
        let divisor = ten_to(self.scale - scale)?;
        (self.digits.checked_rem(divisor)? == i256::ZERO).then(|| self.digits.checked_div(divisor))?
    }

    /// Which of two is greater.
    pub(crate) fn compare(self, other: Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(one), Some(two)) => one.cmp(&two),
            // A side that leaves the range with more zeros is the greater one by its amount.
            (None, _) => self.digits.cmp(&i256::ZERO),
            (_, None) => i256::ZERO.cmp(&other.digits),
        }
    }
}

fn ten_to(exponent: u32) -> Option<i256> {
    (exponent as usize <= DIGITS_MAX).then(|| i256::from_i128(10).checked_pow(exponent))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_read_exactly() {
        assert_eq!(read("-12.50"), Decimal { digits: i256::from_i128(-125), scale: 1 });
        assert_eq!(read("1.5e3").at_scale(2), Some(i256::from_i128(150_000)));
        assert_eq!(read("25e-1").at_scale(0), None);
        assert_eq!(read("0.000").at_scale(0), Some(i256::ZERO));
        assert_eq!(
            read("12345678901234567890.123456789").at_scale(9),
            i256::from_string("12345678901234567890123456789")
        );
        for wrong in ["", ".", "-", "1e", "1.2.3", "0x1", "NaN", " 1", "1e99999999999"] {
            assert_eq!(Decimal::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_compare_by_their_amount() {
        for (one, two, order) in [
            ("0", "0.00", Ordering::Equal),
            ("-1", "-1.5", Ordering::Greater),
            ("149.999999999999999999", "150", Ordering::Less),
            ("1e76", "1e-76", Ordering::Greater),
            ("-1e76", "1e-76", Ordering::Less),
            ("1e-76", "-1e76", Ordering::Greater),
        ] {
            assert_eq!(read(one).compare(read(two)), order, "{one} {two}");
        }
    }
}
