//! Wall clocks: a point in time in a time zone.
//!
//! A zone's offset is asked for once per (zone, day) and kept, as long as it is the same through
//! the whole day; on a day it changes, every value asks.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Offsets of a time zone.
pub(crate) struct Zone {
    rule: Rule,
    day: i64,
    /// The offset through all of `day`, in seconds; `None` when it changes within.
    offset: Option<i64>,
}

enum Rule {
    Fixed(i64),
    Named(Tz),
}

impl Zone {
    /// A zone by its Arrow name: `+02:00`, `UTC`, `Europe/Berlin`. `Some(None)` is UTC, which needs
    /// no work; `None` an unknown name.
    pub(crate) fn parse(name: &str) -> Option<Option<Zone>> {
        let rule = match fixed_offset(name) {
            Some(0) => return Some(None),
            Some(seconds) => Rule::Fixed(seconds),
            None => match name.parse::<Tz>().ok()? {
                Tz::UTC | Tz::Etc__UTC => return Some(None),
                zone => Rule::Named(zone),
            },
        };
        Some(Some(Zone { rule, day: i64::MIN, offset: None }))
    }

    /// The wall clock at a point in time, both in microseconds since 1970; `None` beyond the years
    /// that can be computed.
    pub(crate) fn local(&mut self, utc_micros: i64) -> Option<i64> {
        let seconds = utc_micros.div_euclid(MICROS_PER_SECOND);
        let offset = match &self.rule {
            Rule::Fixed(offset) => *offset,
            Rule::Named(zone) => {
                let day = seconds.div_euclid(SECONDS_PER_DAY);
                if day != self.day {
                    self.day = day;
                    self.offset = offset_of_day(*zone, day);
                }
                match self.offset {
                    Some(offset) => offset,
                    None => offset_at(*zone, seconds)?,
                }
            }
        };
        utc_micros.checked_add(offset * MICROS_PER_SECOND)
    }
}

/// `+02:00`, `-0330`, `Z` as seconds east of UTC.
fn fixed_offset(name: &str) -> Option<i64> {
    if name == "Z" {
        return Some(0);
    }
    let (sign, rest) = match name.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None => rest.split_at_checked(2)?,
    };
    let hours: i64 = hours.parse().ok()?;
    let minutes: i64 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    ((0..=15).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The offset of a day on which it does not change. Two changes within one hour that cancel each
/// other out are not known to have happened anywhere.
fn offset_of_day(zone: Tz, day: i64) -> Option<i64> {
    let midnight = day.checked_mul(SECONDS_PER_DAY)?;
    let first = offset_at(zone, midnight)?;
    (1..=24).all(|hour| offset_at(zone, midnight + hour * 3600) == Some(first)).then_some(first)
}

fn offset_at(zone: Tz, utc_seconds: i64) -> Option<i64> {
    let utc = DateTime::from_timestamp(utc_seconds, 0)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn offsets_by_name_and_by_number() {
        assert!(Zone::parse("UTC").unwrap().is_none());
        assert!(Zone::parse("+00:00").unwrap().is_none());
        assert!(Zone::parse("Moon/Base").is_none());
        assert_eq!(fixed_offset("+05:30"), Some(19_800));
        assert_eq!(fixed_offset("-0330"), Some(-12_600));
        assert_eq!(fixed_offset("+99:00"), None);
        assert_eq!(fixed_offset(""), None);
    }

    #[test]
    fn a_day_with_a_change_of_offset_is_exact() {
        let mut zone = Zone::parse("Europe/Berlin").unwrap().unwrap();
        // 2026-03-29 01:00 UTC: summer time begins.
        let change = 1_774_746_000_i64;
        for (seconds, hours) in [(change - 1, 1), (change, 2), (change - 86_400, 1), (change + 86_400, 2)] {
            let local = zone.local(seconds * MICROS_PER_SECOND).unwrap();
            assert_eq!(local, (seconds + hours * 3600) * MICROS_PER_SECOND);
        }
    }
}
