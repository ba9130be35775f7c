//! Values of the binary result-set protocol as the text the server would have sent.
//!
//! Chunks are read with prepared statements, because only their protocol carries FLOAT and DOUBLE
//! exactly. Conversion to columns has one path, which takes text; so numbers and dates become
//! text first. Bytes pass as they are.

use std::io::Write as _;

use mysql_async::Value;

/// One row's values as text, in reused memory.
#[derive(Debug, Default)]
pub(crate) struct RowText {
    scratch: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Null,
    /// In the value itself.
    Itself,
    /// In the scratch memory.
    Scratch(usize, usize),
}

impl RowText {
    /// The text of each value; `None` is NULL.
    pub(crate) fn of<'v>(&'v mut self, values: &'v [Value]) -> impl Iterator<Item = Option<&'v [u8]>> {
        self.scratch.clear();
        self.places.clear();
        for value in values {
            let start = self.scratch.len();
            let place = match value {
                Value::NULL => Place::Null,
                Value::Bytes(_) => Place::Itself,
                other => {
                    write(&mut self.scratch, other);
                    Place::Scratch(start, self.scratch.len())
                }
            };
            self.places.push(place);
        }
        let scratch = &self.scratch;
        self.places.iter().zip(values).map(move |(place, value)| match (place, value) {
            (Place::Scratch(start, end), _) => Some(&scratch[*start..*end]),
            (Place::Itself, Value::Bytes(bytes)) => Some(bytes.as_slice()),
            _ => None,
        })
    }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::NULL | Value::Bytes(_) => {}
        Value::Int(number) => {
            if *number < 0 {
                out.push(b'-');
            }
            digits(out, number.unsigned_abs(), 1);
        }
        Value::UInt(number) => digits(out, *number, 1),
        // The shortest text of the double that equals the float: reading it back gives the float.
        Value::Float(number) => float(out, f64::from(*number)),
        Value::Double(number) => float(out, *number),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            digits(out, u64::from(*year), 4);
            for (mark, part) in
                [(b'-', *month), (b'-', *day), (b' ', *hour), (b':', *minute), (b':', *second)]
            {
                out.push(mark);
                digits(out, u64::from(part), 2);
            }
            out.push(b'.');
            digits(out, u64::from(*micros), 6);
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            if *negative {
                out.push(b'-');
            }
            digits(out, u64::from(*days) * 24 + u64::from(*hours), 2);
            for part in [*minutes, *seconds] {
                out.push(b':');
                digits(out, u64::from(part), 2);
            }
            out.push(b'.');
            digits(out, u64::from(*micros), 6);
        }
    }
}

/// Decimal digits, filled up with zeros from the left. The formatting machinery takes several times
/// as long, and a snapshot does this for every number.
fn digits(out: &mut Vec<u8>, mut number: u64, at_least: usize) {
    let start = out.len();
    while number > 0 || out.len() - start < at_least {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
    }
    out[start..].reverse();
}

fn float(out: &mut Vec<u8>, number: f64) {
    // Writing into memory cannot fail.
    let _ = write!(out, "{number}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_read_as_the_server_writes_them() {
        let values = [
            Value::NULL,
            Value::Bytes(b"x\0y".to_vec()),
            Value::Int(-5),
            Value::UInt(u64::MAX),
            Value::Float(0.1),
            Value::Double(-0.0),
            Value::Date(2024, 2, 29, 1, 2, 3, 4),
            Value::Time(true, 34, 22, 59, 59, 1),
        ];
        let mut text = RowText::default();
        let texts: Vec<Option<String>> = text
            .of(&values)
            .map(|text| text.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
            .collect();
        let expected = [
            None,
            Some("x\0y"),
            Some("-5"),
            Some("18446744073709551615"),
            Some("0.10000000149011612"),
            Some("-0"),
            Some("2024-02-29 01:02:03.000004"),
            Some("-838:59:59.000001"),
        ];
        assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
        assert_eq!("0.10000000149011612".parse::<f64>().unwrap() as f32, 0.1f32);
    }
}
