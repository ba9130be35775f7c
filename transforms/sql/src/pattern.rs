//! Patterns of dates and times as Java's `DateTimeFormatter` writes them: `yyyy-MM-dd HH:mm:ss.SSS`.
//!
//! <https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/time/format/DateTimeFormatter.html>.
//! Names are English. A letter that is not known here is refused when the query is planned.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use crate::function::Fault;
use crate::moment::Moment;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The month's English name.
pub(crate) fn month_name(date: NaiveDate) -> &'static str {
    usize::try_from(date.month0()).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default()
}

/// The day's English name.
pub(crate) fn day_name(date: NaiveDate) -> &'static str {
    usize::try_from(date.weekday().num_days_from_monday())
        .ok()
        .and_then(|day| DAYS.get(day))
        .copied()
        .unwrap_or_default()
}

/// What a run of one letter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    MonthName,
    Day,
    DayOfYear,
    Quarter,
    WeekdayName,
    WeekdayNumber,
    /// 0 to 23.
    Hour,
    /// 1 to 12.
    HalfHour,
    /// 0 to 11.
    HalfHourFromZero,
    /// 1 to 24.
    HourFromOne,
    Minute,
    Second,
    Fraction,
    HalfDay,
    Offset,
}

impl Field {
    fn of(letter: char, count: usize) -> Option<Field> {
        Some(match letter {
            'y' | 'u' => Field::Year,
            'M' | 'L' if count <= 2 => Field::Month,
            'M' | 'L' if count <= 4 => Field::MonthName,
            'd' if count <= 2 => Field::Day,
            'D' if count <= 3 => Field::DayOfYear,
            'Q' | 'q' if count <= 2 => Field::Quarter,
            'E' if count <= 4 => Field::WeekdayName,
            'e' if count <= 2 => Field::WeekdayNumber,
            'H' if count <= 2 => Field::Hour,
            'h' if count <= 2 => Field::HalfHour,
            'K' if count <= 2 => Field::HalfHourFromZero,
            'k' if count <= 2 => Field::HourFromOne,
            'm' if count <= 2 => Field::Minute,
            's' if count <= 2 => Field::Second,
            'S' if count <= 9 => Field::Fraction,
            'a' if count == 1 => Field::HalfDay,
            'X' | 'x' if count <= 3 => Field::Offset,
            'Z' if count <= 3 => Field::Offset,
            _ => return None,
        })
    }

    fn is_of_date(self) -> bool {
        use Field::{Day, DayOfYear, Month, MonthName, Quarter, WeekdayName, WeekdayNumber, Year};
        matches!(self, Year | Month | MonthName | Day | DayOfYear | Quarter | WeekdayName | WeekdayNumber)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Field { field: Field, letter: char, count: usize },
    Text(String),
}

/// What a text of a pattern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Date,
    Time,
    Both,
}

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    pub(crate) fn parse(pattern: &str) -> Result<Pattern, Fault> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(letter) = rest.next() {
            if letter == '\'' {
                parts.push(Part::Text(quoted(&mut rest)?));
                continue;
            }
            if !letter.is_ascii_alphabetic() {
                if matches!(letter, '[' | ']' | '{' | '}' | '#') {
                    return Err(Fault::new(format!("`{letter}` in a pattern of dates is not supported")));
                }
                parts.push(Part::Text(letter.to_string()));
                continue;
            }
            let mut count = 1;
            while rest.next_if_eq(&letter).is_some() {
                count += 1;
            }
            let field = Field::of(letter, count).ok_or_else(|| {
                let run = letter.to_string().repeat(count);
                Fault::new(format!(
                    "`{run}` in a pattern of dates is not known; mind that M is a month, m a minute"
                ))
            })?;
            parts.push(Part::Field { field, letter, count });
        }
        Ok(Pattern { parts })
    }

    /// What is written by the pattern; `None` where it has no field of a date or time.
    pub(crate) fn shape(&self) -> Option<Shape> {
        let fields = || {
            self.parts.iter().filter_map(|part| match part {
                Part::Field { field, .. } => Some(*field),
                Part::Text(_) => None,
            })
        };
        match (fields().any(Field::is_of_date), fields().any(|field| !field.is_of_date())) {
            (true, true) => Some(Shape::Both),
            (true, false) => Some(Shape::Date),
            (false, true) => Some(Shape::Time),
            (false, false) => None,
        }
    }

    /// Writes a moment.
    pub(crate) fn format(&self, moment: &Moment) -> Result<String, Fault> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Field { field, letter, count } => {
                    text.push_str(&written(*field, *letter, *count, moment)?)
                }
            }
        }
        Ok(text)
    }

    /// Reads a text that is written by the pattern, all of it; `None` when it is not, or names no moment.
    pub(crate) fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut found = Found::default();
        let mut rest = text;
        for (place, part) in self.parts.iter().enumerate() {
            rest = match part {
                Part::Text(fixed) => rest.strip_prefix(fixed.as_str())?,
                Part::Field { field, count, .. } => {
                    // A number right behind another has to end where the next one begins.
                    let fixed_width = matches!(self.parts.get(place + 1), Some(Part::Field { .. }));
                    found.take(*field, *count, fixed_width, rest)?
                }
            };
        }
        if !rest.is_empty() {
            return None;
        }
        found.moment()
    }
}

/// The text between quotes; two quotes are one, inside and outside of a text.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, Fault> {
    let mut text = String::new();
    if rest.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    while let Some(letter) = rest.next() {
        if letter != '\'' {
            text.push(letter);
        } else if rest.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    Err(Fault::new("a quote in a pattern of dates is not closed"))
}

fn written(field: Field, letter: char, count: usize, moment: &Moment) -> Result<String, Fault> {
    let padded = |number: u32| format!("{number:0count$}");
    let name = |name: &'static str| if count <= 3 { name.get(..3).unwrap_or(name) } else { name }.to_owned();
    let half = |hour: u32| if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    Ok(match field {
        Field::Year => year(moment.day()?.year(), count),
        Field::Month => padded(moment.day()?.month()),
        Field::MonthName => name(month_name(moment.day()?)),
        Field::Day => padded(moment.day()?.day()),
        Field::DayOfYear => padded(moment.day()?.ordinal()),
        Field::Quarter => padded(moment.day()?.month0() / 3 + 1),
        Field::WeekdayName => name(day_name(moment.day()?)),
        Field::WeekdayNumber => padded(moment.day()?.weekday().number_from_monday()),
        Field::Hour => padded(moment.clock()?.hour()),
        Field::HalfHour => padded(half(moment.clock()?.hour())),
        Field::HalfHourFromZero => padded(moment.clock()?.hour() % 12),
        Field::HourFromOne => padded(match moment.clock()?.hour() {
            0 => 24,
            hour => hour,
        }),
        Field::Minute => padded(moment.clock()?.minute()),
        Field::Second => padded(moment.clock()?.second()),
        Field::Fraction => {
            let digits = format!("{:09}", moment.clock()?.nanosecond());
            digits.get(..count).unwrap_or(&digits).to_owned()
        }
        Field::HalfDay => if moment.clock()?.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        Field::Offset => {
            let offset = moment
                .offset
                .ok_or_else(|| Fault::new("a timestamp without a zone has no distance from UTC"))?;
            distance(offset.local_minus_utc(), letter, count)
        }
    })
}

fn year(year: i32, count: usize) -> String {
    match count {
        2 => format!("{:02}", year.rem_euclid(100)),
        _ if year > 9999 && count >= 4 => format!("+{year}"),
        _ if year < 0 => format!("-{:0count$}", -year),
        _ => format!("{year:0count$}"),
    }
}

/// `+08`, `+0800`, `+08:00`; `Z` for none with the letter X.
fn distance(seconds: i32, letter: char, count: usize) -> String {
    if letter == 'X' && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    match (letter, count) {
        ('X' | 'x', 1) if minutes == 0 => format!("{sign}{hours:02}"),
        ('X' | 'x', 3) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}{minutes:02}"),
    }
}

/// What was read so far.
#[derive(Default)]
struct Found {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    half_hour: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanosecond: u32,
}

impl Found {
    /// Takes a field from the front of a text, and gives the rest.
    fn take<'t>(&mut self, field: Field, count: usize, fixed_width: bool, text: &'t str) -> Option<&'t str> {
        let most = match field {
            Field::Year if !fixed_width && count != 2 => 9,
            Field::Year | Field::Fraction => count,
            Field::DayOfYear => 3,
            _ if count == 1 && !fixed_width => 2,
            _ => count.max(1),
        };
        let least = if matches!(field, Field::Fraction) || count > 1 { count } else { 1 };
        let width = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let number = || -> Option<(u32, &'t str)> {
            if width < least {
                return None;
            }
            let (digits, rest) = text.split_at_checked(width)?;
            Some((digits.parse().ok()?, rest))
        };
        match field {
            Field::MonthName => {
                let (month, rest) = named(&MONTHS, count, text)?;
                self.month = Some(month + 1);
                return Some(rest);
            }
            Field::WeekdayName => return named(&DAYS, count, text).map(|(_, rest)| rest),
            Field::HalfDay => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = Some(match half {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                return Some(rest);
            }
            // It is read past: the result is what the clock there shows.
            Field::Offset => return read_distance(text),
            _ => {}
        }
        let (value, rest) = number()?;
        match field {
            Field::Year => {
                let year = i32::try_from(value).ok()?;
                self.year = Some(if count == 2 { 2000 + year } else { year });
            }
            Field::Month => self.month = Some(value),
            Field::Day => self.day = Some(value),
            Field::DayOfYear => self.day_of_year = Some(value),
            Field::Hour => self.hour = Some(value),
            Field::HourFromOne => self.hour = Some(if value == 24 { 0 } else { value }),
            Field::HalfHour => self.half_hour = Some(if value == 12 { 0 } else { value }),
            Field::HalfHourFromZero => self.half_hour = Some(value),
            Field::Minute => self.minute = value,
            Field::Second => self.second = value,
            Field::Fraction => {
                self.nanosecond =
                    value.checked_mul(10_u32.pow(9_u32.saturating_sub(u32::try_from(width).ok()?)))?;
            }
            _ => {}
        }
        Some(rest)
    }

    /// The moment, when what was read is one.
    fn moment(&self) -> Option<NaiveDateTime> {
        let date = match (self.year, self.month, self.day, self.day_of_year) {
            (None, None, None, None) => NaiveDate::default(),
            (Some(year), None, None, Some(day)) => NaiveDate::from_yo_opt(year, day)?,
            (Some(year), month, day, None) => {
                NaiveDate::from_ymd_opt(year, month.unwrap_or(1), day.unwrap_or(1))?
            }
            _ => return None,
        };
        let hour = match (self.hour, self.half_hour, self.afternoon) {
            (Some(hour), _, _) => hour,
            (None, Some(hour), Some(afternoon)) if hour < 12 => hour + if afternoon { 12 } else { 0 },
            (None, None, _) => 0,
            _ => return None,
        };
        Some(date.and_time(NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanosecond)?))
    }
}

/// The number of a name at the front of a text, in its short or its long form.
fn named<'t>(names: &[&str], count: usize, text: &'t str) -> Option<(u32, &'t str)> {
    for (place, name) in (0..).zip(names) {
        let name = if count <= 3 { name.get(..3)? } else { name };
        if let Some(rest) = text.strip_prefix(name) {
            return Some((place, rest));
        }
    }
    None
}

fn read_distance(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some(rest);
    }
    let rest = text.strip_prefix(['+', '-'])?;
    let digits = rest.bytes().take(5).take_while(|byte| byte.is_ascii_digit() || *byte == b':').count();
    if digits < 2 { None } else { rest.get(digits..) }
}
