//! Doubles as the server prints them.

use std::fmt::Write;

/// Room for the shortest form of any double in scientific notation: sign, 17 digits, point,
/// `e-308`.
struct Scratch {
    bytes: [u8; 40],
    length: usize,
}

impl Write for Scratch {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Appends a double as the server's `my_gcvt` and the JSON printer around it do: the fewest
/// digits that read back as the same number; plain notation for exponents from -14 to 15, else
/// `d.ddde[-]x`; `.0` when the result would look like an integer.
pub fn append_double(value: f64, out: &mut String) {
    if !value.is_finite() {
        // Cannot be stored in a document; the server's printer makes this of it.
        out.push_str("0.0");
        return;
    }
    let mut scratch = Scratch { bytes: [0; 40], length: 0 };
    // The scratch space is large enough for every finite double.
    let _ = write!(scratch, "{:e}", value.abs());
    let text = scratch.bytes.get(..scratch.length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let Some((mantissa, exponent)) = text.and_then(|text| text.split_once('e')) else { return };
    let Ok(exponent) = exponent.parse::<i32>() else { return };
    if value.is_sign_negative() {
        out.push('-');
    }
    let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = first.chars().chain(fraction.chars());
    let count = i32::try_from(1 + fraction.len()).unwrap_or(0);
    // Where the point stands, counted in digits from the first.
    let point = exponent + 1;
    if point < -14 || (point > 15 && count <= point) {
        out.push_str(first);
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "e{exponent}");
        return;
    }
    if point <= 0 {
        out.push_str("0.");
        out.extend((point..0).map(|_| '0'));
        out.extend(digits);
        return;
    }
    for (index, digit) in (0..).zip(digits) {
        if index == point {
            out.push('.');
        }
        out.push(digit);
    }
    out.extend((count..point).map(|_| '0'));
    if count <= point {
        out.push_str(".0");
    }
}
