//! Dates, points in time and lengths of time from their texts. `None`: it is none, or finer than
//! microseconds.

const DAY_SECONDS: i64 = 86_400;
/// Microseconds of a day: `24:00:00` is a time of PostgreSQL.
pub(crate) const DAY_MICROS: i64 = DAY_SECONDS * 1_000_000;
/// Digits of a year, more than any database has.
const YEAR_DIGITS_MAX: usize = 7;

/// Days since 1970 of `2026-11-20`, `+10000-01-01`, `-0043-03-15` or an infinity.
pub fn date(text: &str) -> Option<i32> {
    match text {
        "infinity" => Some(i32::MAX),
        "-infinity" => Some(i32::MIN),
        _ => i32::try_from(days(text)?).ok(),
    }
}

/// Microseconds since 1970. With a zone the text must say which, without it must not.
pub fn timestamp(text: &str, zoned: bool) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (date, rest) = text.split_once(['T', ' '])?;
    let (clock, offset) = match rest.find(['Z', '+', '-']) {
        Some(at) => (rest.get(..at)?, Some(offset(rest.get(at..)?)?)),
        None => (rest, None),
    };
    if offset.is_some() != zoned {
        return None;
    }
    let of_day = unsigned_span(clock)?;
    if of_day >= DAY_MICROS {
        return None;
    }
    let micros = days(date)?.checked_mul(DAY_MICROS)?.checked_add(of_day)?;
    micros.checked_sub(offset.unwrap_or(0).checked_mul(1_000_000)?)
}

/// Microseconds of `[-]hh:mm:ss[.ffffff]`.
pub fn span(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(size) => unsigned_span(size)?.checked_neg(),
        None => unsigned_span(text),
    }
}

fn unsigned_span(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let (hours, minutes) = (number(parts.next()?, 2..=9)?, number(parts.next()?, 2..=2)?);
    let seconds = number(parts.next()?, 2..=2)?;
    if parts.next().is_some() || minutes > 59 || seconds > 59 || text.ends_with('.') {
        return None;
    }
    let micros = match fraction {
        "" => 0,
        digits => {
            let (kept, finer) = digits.split_at_checked(6).unwrap_or((digits, ""));
            if finer.bytes().any(|byte| byte != b'0') {
                return None;
            }
            number(&format!("{kept:0<6}"), 6..=6)?
        }
    };
    let seconds = hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds)?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

/// Seconds east of Greenwich of `Z`, `+02:00`, `+0200` or `+02`.
fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let minutes = if minutes.is_empty() { 0 } else { number(minutes, 2..=2)? };
    let hours = number(hours, 2..=2)?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970 in the calendar without gaps. The years are counted from March, so that the day a
/// leap year adds is the last one of its year.
fn days(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.split_at_checked(1)? {
        ("-", rest) => (true, rest),
        ("+", rest) => (false, rest),
        _ => (false, text),
    };
    let mut parts = unsigned.split('-');
    let year = number(parts.next()?, 4..=YEAR_DIGITS_MAX)?;
    let (month, day) = (number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    let year = if negative { -year } else { year };
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=longest).contains(&day) {
        return None;
    }
    let from_march = year - i64::from(month <= 2);
    let (era, of_era) = (from_march.div_euclid(400), from_march.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Digits and nothing else, as many as these.
fn number(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let digits = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}
