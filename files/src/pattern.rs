//! Dates and times as a pattern says: `yyyy-MM-dd HH:mm:ss.SSS`.

use std::fmt::Write;

use culvert_values::time;

use crate::spell::civil;

const DAY_MICROS: i64 = 86_400_000_000;
/// Digits of a second's fraction.
const FRACTION_MAX: usize = 6;

/// A pattern of `yyyy`, `MM`, `dd`, `HH`, `mm`, `ss`, one `S` per digit of the fraction, and what stands between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// So many digits.
    Fraction(usize),
    Literal(char),
}

impl Pattern {
    /// Reads a pattern; `None` when it has a letter that is none of a pattern's, or too many of one.
    pub fn of(text: &str) -> Option<Pattern> {
        let mut parts = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while let Some(c) = chars.get(at) {
            let length = chars.iter().skip(at).take_while(|other| *other == c).count();
            let part = match (c, length) {
                ('y', 4) => Part::Year,
                ('M', 2) => Part::Month,
                ('d', 2) => Part::Day,
                ('H', 2) => Part::Hour,
                ('m', 2) => Part::Minute,
                ('s', 2) => Part::Second,
                ('S', 1..=FRACTION_MAX) => Part::Fraction(length),
                // A letter between apostrophes stands for itself.
                ('\'', 1) => {
                    let inside: Vec<char> =
                        chars.iter().skip(at + 1).take_while(|c| **c != '\'').copied().collect();
                    chars.get(at + 1 + inside.len())?;
                    at += inside.len() + 2;
                    parts.extend(inside.into_iter().map(Part::Literal));
                    continue;
                }
                (c, _) if c.is_alphabetic() => return None,
                (c, _) => {
                    at += 1;
                    parts.push(Part::Literal(*c));
                    continue;
                }
            };
            at += length;
            parts.push(part);
        }
        Some(Pattern { parts })
    }

    /// Microseconds since 1970 of a text; where the pattern has no date it is 1970-01-01, where it has no time it
    /// is midnight. `None` when the text is no such moment.
    pub fn read(&self, text: &str) -> Option<i64> {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        let (mut hour, mut minute, mut second, mut fraction) = (0, 0, 0, 0);
        let mut rest = text;
        for part in &self.parts {
            let mut digits = |count: usize| -> Option<u32> {
                let (taken, behind) = rest.split_at_checked(count)?;
                rest = behind;
                taken.bytes().all(|byte| byte.is_ascii_digit()).then(|| taken.parse().ok())?
            };
            match part {
                Part::Year => year = digits(4)?,
                Part::Month => month = digits(2)?,
                Part::Day => day = digits(2)?,
                Part::Hour => hour = digits(2)?,
                Part::Minute => minute = digits(2)?,
                Part::Second => second = digits(2)?,
                Part::Fraction(length) => {
                    let missing = u32::try_from(FRACTION_MAX - length).ok()?;
                    fraction = digits(*length)? * 10u32.pow(missing);
                }
                Part::Literal(c) => rest = rest.strip_prefix(*c)?,
            }
        }
        if !rest.is_empty() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = time::date(&format!("{year:04}-{month:02}-{day:02}"))?;
        let seconds = i64::from(hour * 3600 + minute * 60 + second);
        Some(i64::from(days) * DAY_MICROS + seconds * 1_000_000 + i64::from(fraction))
    }

    /// The text of a moment, in microseconds since 1970.
    pub fn write(&self, micros: i64) -> String {
        let (year, month, day) = civil(micros.div_euclid(DAY_MICROS));
        let of_day = micros.rem_euclid(DAY_MICROS);
        let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
        let mut out = String::new();
        for part in &self.parts {
            // Writing to a string cannot fail.
            let _ = match part {
                Part::Year => write!(out, "{year:04}"),
                Part::Month => write!(out, "{month:02}"),
                Part::Day => write!(out, "{day:02}"),
                Part::Hour => write!(out, "{:02}", seconds / 3600),
                Part::Minute => write!(out, "{:02}", seconds / 60 % 60),
                Part::Second => write!(out, "{:02}", seconds % 60),
                Part::Fraction(length) => write!(out, "{}", &format!("{fraction:06}")[..*length]),
                Part::Literal(c) => {
                    out.push(*c);
                    Ok(())
                }
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn moments_are_read_and_written_by_their_pattern() {
        for (pattern, text, micros) in [
            ("yyyy-MM-dd", "1970-01-02", DAY_MICROS),
            ("yyyy.MM.dd HH:mm:ss", "1970.01.01 00:00:01", 1_000_000),
            ("yyyyMMddHHmmss", "19700101000001", 1_000_000),
            ("HH:mm:ss.SSS", "00:00:00.007", 7_000),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSSSS", "1969-12-31T23:59:59.999999", -1),
        ] {
            let pattern = Pattern::of(pattern).unwrap();
            assert_eq!(pattern.read(text), Some(micros), "{text}");
            assert_eq!(pattern.write(micros), text);
            assert_eq!(pattern.read(&format!("{text}0")), None);
        }
        let pattern = Pattern::of("yyyy/MM/dd").unwrap();
        for none in ["2026-01-01", "2026/13/01", "2026/02/30", "2026/1/1", "", "+026/01/01"] {
            assert_eq!(pattern.read(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_none() {
        for none in ["yy-MM-dd", "yyyy-MMM-dd", "hh:mm", "'x", "SSSSSSS", "yyyyyyyy"] {
            assert_eq!(Pattern::of(none), None, "{none}");
        }
    }
}
