//! Functions of dates, times and points in time.
//!
//! A point in time with a zone is taken as the clock of its column's zone shows it.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Time64MicrosecondArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::literal;
use crate::function::Returns::{From, Is};
use crate::function::Take::{Int, Moment as Time, Text};
use crate::function::{Args, Def, Fault, Known, Outcome};
use crate::moment::{DAY_US, Moment, SECOND_US, Zone, days_of, micros_of};
use crate::pattern::{Pattern, Shape, day_name, month_name};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);

/// A number of a moment.
const fn number(names: &'static [&'static str], run: fn(&Args) -> Outcome) -> Def {
    Def { names, args: &[Time], optional: 0, repeats: false, returns: Is(DataType::Int32), run }
}

/// A function that depends on a unit or pattern which is written out.
const fn judged(
    names: &'static [&'static str],
    args: &'static [crate::function::Take],
    optional: usize,
    judge: fn(&[Known]) -> Result<DataType, String>,
    run: fn(&Args) -> Outcome,
) -> Def {
    Def { names, args, optional, repeats: false, returns: From(judge), run }
}

pub(super) static FUNCTIONS: &[Def] = &[
    judged(&["DATEADD", "TIMESTAMPADD"], &[Time, Int, Text], 1, dateadd_type, dateadd),
    judged(&["DATEDIFF"], &[Time, Time, Text], 1, datediff_type, datediff),
    judged(&["DATE_TRUNC"], &[Time, Text], 1, date_trunc_type, date_trunc),
    named(&["DAYNAME"], |a| of_dates_as_text(a, day_name)),
    number(&["DAY_OF_MONTH"], |a| of_dates(a, |date| date.day())),
    number(&["DAY_OF_WEEK"], |a| of_dates(a, |date| date.weekday().number_from_monday())),
    number(&["DAY_OF_YEAR"], |a| of_dates(a, |date| date.ordinal())),
    judged(&["EXTRACT"], &[Time, Text], 0, extract_type, extract),
    judged(&["FORMATDATETIME"], &[Time, Text], 0, |args| pattern(args, 1).map(|_| DataType::Utf8), formatted),
    number(&["HOUR"], |a| of_times(a, |time| time.hour())),
    number(&["MINUTE"], |a| of_times(a, |time| time.minute())),
    number(&["MONTH"], |a| of_dates(a, |date| date.month())),
    named(&["MONTHNAME"], |a| of_dates_as_text(a, month_name)),
    judged(&["IS_DATE"], &[Text, Text], 0, |args| pattern(args, 1).map(|_| DataType::Boolean), is_date),
    judged(&["PARSEDATETIME", "TO_DATE"], &[Text, Text], 0, parse_type, parse),
    number(&["QUARTER"], |a| of_dates(a, |date| date.month0() / 3 + 1)),
    number(&["SECOND"], |a| of_times(a, |time| time.second())),
    number(&["WEEK"], |a| of_dates(a, week_of_year)),
    number(&["YEAR"], year),
    judged(&["FROM_UNIXTIME"], &[Int, Text, Text], 1, from_unixtime_type, from_unixtime),
];

const fn named(names: &'static [&'static str], run: fn(&Args) -> Outcome) -> Def {
    Def { names, args: &[Time], optional: 0, repeats: false, returns: Is(DataType::Utf8), run }
}

fn of_dates(a: &Args, of: fn(NaiveDate) -> u32) -> Outcome {
    let moments = a.moments(0)?;
    a.ints(|r| {
        moments.get(r)?.map(|moment| Ok(i32::try_from(of(moment.day()?)).unwrap_or(i32::MAX))).transpose()
    })
}

fn of_dates_as_text(a: &Args, of: fn(NaiveDate) -> &'static str) -> Outcome {
    let moments = a.moments(0)?;
    a.texts(|r| moments.get(r)?.map(|moment| Ok(of(moment.day()?).to_owned())).transpose())
}

fn of_times(a: &Args, of: fn(NaiveTime) -> u32) -> Outcome {
    let moments = a.moments(0)?;
    a.ints(|r| {
        moments.get(r)?.map(|moment| Ok(i32::try_from(of(moment.clock()?)).unwrap_or(i32::MAX))).transpose()
    })
}

fn year(a: &Args) -> Outcome {
    let moments = a.moments(0)?;
    a.ints(|r| moments.get(r)?.map(|moment| Ok(moment.day()?.year())).transpose())
}

/// The week in the year, the first one being the one with its fourth day; days before it are in week 0.
fn week_of_year(date: NaiveDate) -> u32 {
    let first = date.with_ordinal(1).unwrap_or(date).weekday().num_days_from_monday();
    // Days from the Monday of the week that 1 January is in.
    let days = date.ordinal0() + first;
    days / 7 + u32::from(first <= 3)
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_))
}

/// A distance between moments, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    /// A day of 24 hours, for DATEDIFF.
    DayTime,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl Unit {
    const NAMES: &'static [(&'static str, Unit)] = &[
        ("YEAR", Unit::Year),
        ("MONTH", Unit::Month),
        ("WEEK", Unit::Week),
        ("DAY", Unit::Day),
        ("DAYTIME", Unit::DayTime),
        ("HOUR", Unit::Hour),
        ("MINUTE", Unit::Minute),
        ("SECOND", Unit::Second),
        ("MILLISECOND", Unit::Millisecond),
    ];

    fn named(name: &str) -> Option<Unit> {
        Unit::NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, unit)| *unit)
    }

    /// The unit that a query writes out, a day where it writes none.
    fn written(args: &[Known], place: usize, without: &[Unit]) -> Result<Unit, String> {
        if args.len() <= place {
            return Ok(Unit::Day);
        }
        let name = literal(args, place, "the unit")?;
        let known = Unit::named(name).filter(|unit| !without.contains(unit));
        known.ok_or_else(|| {
            let names = Unit::NAMES.iter().filter(|(_, unit)| !without.contains(unit)).map(|(name, _)| *name);
            format!("there is no unit '{name}'; there are {}", names.collect::<Vec<_>>().join(", "))
        })
    }

    /// The unit of a row, which was judged before.
    fn of(a: &Args, place: usize, row: usize) -> Unit {
        a.text(place, row).and_then(Unit::named).unwrap_or(Unit::Day)
    }

    fn is_of_date(self) -> bool {
        matches!(self, Unit::Year | Unit::Month | Unit::Week | Unit::Day | Unit::DayTime)
    }

    /// Microseconds of one.
    fn micros(self) -> i64 {
        match self {
            Unit::Year | Unit::Month | Unit::Day | Unit::DayTime => DAY_US,
            Unit::Week => 7 * DAY_US,
            Unit::Hour => 3600 * SECOND_US,
            Unit::Minute => 60 * SECOND_US,
            Unit::Second => SECOND_US,
            Unit::Millisecond => 1000,
        }
    }
}

fn dateadd_type(args: &[Known]) -> Result<DataType, String> {
    let unit = Unit::written(args, 2, &[Unit::DayTime])?;
    match args.first().map(|arg| &arg.data_type) {
        Some(data_type) if is_time(data_type) && unit.is_of_date() => {
            Err("a time of day has no days to add; the units are HOUR, MINUTE, SECOND, MILLISECOND"
                .to_owned())
        }
        Some(data_type) if is_time(data_type) => Ok(TIME),
        Some(DataType::Date32) if unit.is_of_date() => Ok(DataType::Date32),
        _ => Ok(TIMESTAMP),
    }
}

/// Timestamps on the clock, dates or times, as the type of the results says.
fn moments_as(data_type: &DataType, values: Vec<Option<NaiveDateTime>>) -> ArrayRef {
    let values = values.into_iter();
    match data_type {
        DataType::Date32 => {
            Arc::new(values.map(|value| value.map(|value| days_of(value.date()))).collect::<Date32Array>())
        }
        DataType::Time64(_) => {
            let times = values.map(|value| value.map(|value| micros_of(value.time())));
            Arc::new(times.collect::<Time64MicrosecondArray>())
        }
        _ => {
            let stamps = values.map(|value| value.map(|value| value.and_utc().timestamp_micros()));
            Arc::new(stamps.collect::<TimestampMicrosecondArray>())
        }
    }
}

fn dateadd(a: &Args) -> Outcome {
    let moments = a.moments(0)?;
    let one = |r: usize| -> Result<Option<NaiveDateTime>, Fault> {
        let Some((moment, count)) = moments.get(r)?.zip(a.int(1, r)) else { return Ok(None) };
        let made = added(moment.both(), count, Unit::of(a, 2, r));
        made.map(Some).ok_or_else(|| Fault::new("a date or time is out of range"))
    };
    let values: Vec<Option<NaiveDateTime>> = (0..a.rows()).map(one).collect::<Result<_, Fault>>()?;
    Ok(moments_as(&a.returns, values))
}

fn added(moment: NaiveDateTime, count: i64, unit: Unit) -> Option<NaiveDateTime> {
    let months = match unit {
        Unit::Year => count.checked_mul(12)?,
        Unit::Month => count,
        _ => return moment.checked_add_signed(TimeDelta::microseconds(count.checked_mul(unit.micros())?)),
    };
    let distance = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    match months < 0 {
        true => moment.checked_sub_months(distance),
        false => moment.checked_add_months(distance),
    }
}

fn datediff_type(args: &[Known]) -> Result<DataType, String> {
    let unit = Unit::written(args, 2, &[])?;
    let times = args.iter().take(2).filter(|arg| is_time(&arg.data_type)).count();
    if times == 1 || times == 2 && unit.is_of_date() {
        return Err(
            "DATEDIFF needs two dates or timestamps, or two times of day and a unit below a day".to_owned()
        );
    }
    Ok(DataType::Int64)
}

fn datediff(a: &Args) -> Outcome {
    let (from, to) = (a.moments(0)?, a.moments(1)?);
    a.longs(|r| {
        let Some((from, to)) = from.get(r)?.zip(to.get(r)?) else { return Ok(None) };
        Ok(Some(difference(&from, &to, Unit::of(a, 2, r))))
    })
}

/// Whole units from one moment to another, cut towards zero.
fn difference(from: &Moment, to: &Moment, unit: Unit) -> i64 {
    let (from, to) = (from.both(), to.both());
    match unit {
        Unit::Year => whole_months(from.date(), to.date()) / 12,
        Unit::Month => whole_months(from.date(), to.date()),
        Unit::Day => (to.date() - from.date()).num_days(),
        Unit::Millisecond => (to - from).num_milliseconds(),
        Unit::Second => (to - from).num_milliseconds() / 1000,
        // A part of a second before zero counts as a whole one, as it does in Java's Duration.
        _ => {
            let micros = (to - from).num_microseconds().unwrap_or(i64::MAX);
            micros.div_euclid(SECOND_US) / (unit.micros() / SECOND_US)
        }
    }
}

fn whole_months(from: NaiveDate, to: NaiveDate) -> i64 {
    let months = |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month0());
    let difference = months(to) - months(from);
    let days = i64::from(to.day()) - i64::from(from.day());
    match difference {
        ahead if ahead > 0 && days < 0 => ahead - 1,
        back if back < 0 && days > 0 => back + 1,
        whole => whole,
    }
}

fn date_trunc_type(args: &[Known]) -> Result<DataType, String> {
    Unit::written(args, 1, &[Unit::Week, Unit::DayTime, Unit::Millisecond])?;
    match args.first() {
        Some(arg) if is_time(&arg.data_type) => Err("DATE_TRUNC needs a date or a timestamp".to_owned()),
        _ => Ok(TIMESTAMP),
    }
}

fn date_trunc(a: &Args) -> Outcome {
    let moments = a.moments(0)?;
    let one = |r: usize| -> Result<Option<NaiveDateTime>, Fault> {
        let Some(moment) = moments.get(r)? else { return Ok(None) };
        let (date, time) = (moment.both().date(), moment.both().time());
        let at = |hour, minute, second| NaiveTime::from_hms_opt(hour, minute, second);
        let date = match Unit::of(a, 1, r) {
            Unit::Year => date.with_ordinal(1),
            Unit::Month => date.with_day(1),
            _ => Some(date),
        };
        let time = match Unit::of(a, 1, r) {
            Unit::Hour => at(time.hour(), 0, 0),
            Unit::Minute => at(time.hour(), time.minute(), 0),
            Unit::Second => at(time.hour(), time.minute(), time.second()),
            _ => Some(NaiveTime::MIN),
        };
        Ok(date.zip(time).map(|(date, time)| date.and_time(time)))
    };
    let values: Vec<Option<NaiveDateTime>> = (0..a.rows()).map(one).collect::<Result<_, Fault>>()?;
    Ok(moments_as(&TIMESTAMP, values))
}

/// What EXTRACT knows of a date.
const DATE_FIELDS: [&str; 15] = [
    "YEAR",
    "MONTH",
    "DAY",
    "QUARTER",
    "WEEK",
    "CENTURY",
    "DECADE",
    "DOW",
    "DAYOFWEEK",
    "ISODOW",
    "DOY",
    "DAYOFYEAR",
    "ISOYEAR",
    "MILLENNIUM",
    "EPOCH",
];
/// What it knows of a time.
const TIME_FIELDS: [&str; 7] =
    ["HOUR", "MINUTE", "SECOND", "MILLISECOND", "MILLISECONDS", "MICROSECOND", "MICROSECONDS"];

fn extract_type(args: &[Known]) -> Result<DataType, String> {
    let field = literal(args, 1, "the field of EXTRACT")?.to_uppercase();
    let data_type = args.first().map_or(&DataType::Null, |arg| &arg.data_type);
    let of_date = DATE_FIELDS.contains(&field.as_str());
    if !of_date && !TIME_FIELDS.contains(&field.as_str()) {
        let known = DATE_FIELDS.iter().chain(&TIME_FIELDS).copied().collect::<Vec<_>>().join(", ");
        return Err(format!("EXTRACT knows no {field}; there are {known}"));
    }
    if is_time(data_type) && of_date || *data_type == DataType::Date32 && !of_date {
        return Err(format!("a {} has no {field}", crate::cast::name_of(data_type)));
    }
    Ok(if field == "EPOCH" { DataType::Int64 } else { DataType::Int32 })
}

fn extract(a: &Args) -> Outcome {
    let moments = a.moments(0)?;
    let one = |r: usize| -> Result<Option<i64>, Fault> {
        let (Some(moment), Some(field)) = (moments.get(r)?, a.text(1, r)) else { return Ok(None) };
        extracted(&moment, &field.to_uppercase()).map(Some)
    };
    match a.returns {
        DataType::Int64 => a.longs(one),
        _ => a.ints(|r| Ok(one(r)?.map(|number| i32::try_from(number).unwrap_or(i32::MAX)))),
    }
}

fn extracted(moment: &Moment, field: &str) -> Result<i64, Fault> {
    let group = |year: i64, of: i64| if year > 0 { (year - 1) / of + 1 } else { year / of };
    if let Some(time) = moment.time {
        let micros = i64::from(time.second()) * SECOND_US + i64::from(time.nanosecond() / 1000);
        match field {
            "HOUR" => return Ok(i64::from(time.hour())),
            "MINUTE" => return Ok(i64::from(time.minute())),
            "SECOND" => return Ok(i64::from(time.second())),
            "MILLISECOND" | "MILLISECONDS" => return Ok(micros / 1000),
            "MICROSECOND" | "MICROSECONDS" => return Ok(micros),
            _ => {}
        }
    }
    let date = moment.day()?;
    let year = i64::from(date.year());
    Ok(match field {
        "YEAR" => year,
        "MONTH" => i64::from(date.month()),
        "DAY" => i64::from(date.day()),
        "QUARTER" => i64::from(date.month0() / 3 + 1),
        "WEEK" => i64::from(date.iso_week().week()),
        "CENTURY" => group(year, 100),
        "DECADE" => year / 10,
        "DOW" | "DAYOFWEEK" => i64::from(date.weekday().num_days_from_sunday()),
        "ISODOW" => i64::from(date.weekday().number_from_monday()),
        "DOY" | "DAYOFYEAR" => i64::from(date.ordinal()),
        "ISOYEAR" => i64::from(date.iso_week().year()),
        "MILLENNIUM" => group(year, 1000),
        _ => {
            let offset = moment.offset.map_or(0, |offset| i64::from(offset.local_minus_utc()));
            moment.micros().div_euclid(SECOND_US) - offset
        }
    })
}

/// The pattern that a query writes out.
fn pattern(args: &[Known], place: usize) -> Result<Pattern, String> {
    Pattern::parse(literal(args, place, "the pattern")?).map_err(|fault| fault.0)
}

/// The pattern of a call, which was judged before.
fn pattern_of(a: &Args, place: usize) -> Result<Option<Pattern>, Fault> {
    a.text(place, 0).map(Pattern::parse).transpose()
}

/// FORMATDATETIME, and TO_CHAR of a moment.
pub(super) fn formatted(a: &Args) -> Outcome {
    let moments = a.moments(0)?;
    let Some(pattern) = pattern_of(a, 1)? else { return a.texts(|_| Ok(None)) };
    a.texts(|r| moments.get(r)?.map(|moment| pattern.format(&moment)).transpose())
}

fn is_date(a: &Args) -> Outcome {
    let Some(pattern) = pattern_of(a, 1)? else { return a.flags(|_| Ok(Some(false))) };
    a.flags(|r| Ok(Some(a.text(0, r).is_some_and(|text| pattern.read(text).is_some()))))
}

fn parse_type(args: &[Known]) -> Result<DataType, String> {
    match pattern(args, 1)?.shape() {
        Some(Shape::Both) => Ok(TIMESTAMP),
        Some(Shape::Date) => Ok(DataType::Date32),
        Some(Shape::Time) => Ok(TIME),
        None => Err("the pattern has no field of a date or a time".to_owned()),
    }
}

fn parse(a: &Args) -> Outcome {
    let pattern = pattern_of(a, 1)?.ok_or_else(|| Fault::new("the pattern is missing"))?;
    let one = |r: usize| -> Result<Option<NaiveDateTime>, Fault> {
        let Some(text) = a.text(0, r) else { return Ok(None) };
        pattern.read(text).map(Some).ok_or_else(|| Fault::new("a text does not have the form of the pattern"))
    };
    let values: Vec<Option<NaiveDateTime>> = (0..a.rows()).map(one).collect::<Result<_, Fault>>()?;
    Ok(moments_as(&a.returns, values))
}

fn from_unixtime_type(args: &[Known]) -> Result<DataType, String> {
    pattern(args, 1)?;
    if args.len() > 2 {
        let name = literal(args, 2, "the zone")?;
        Zone::parse(name).ok_or_else(|| format!("there is no zone '{name}'"))?;
    }
    Ok(DataType::Utf8)
}

fn from_unixtime(a: &Args) -> Outcome {
    let Some(pattern) = pattern_of(a, 1)? else { return a.texts(|_| Ok(None)) };
    let zone = a.text(2, 0).and_then(Zone::parse).unwrap_or_else(Zone::utc);
    a.texts(|r| {
        let Some(seconds) = a.int(0, r) else { return Ok(None) };
        let clock = DateTime::from_timestamp_secs(seconds).and_then(|utc| zone.clock(utc.naive_utc()));
        let (clock, offset) = clock.ok_or_else(|| Fault::new("a number of seconds is out of range"))?;
        let moment = Moment { date: Some(clock.date()), time: Some(clock.time()), offset: Some(offset) };
        pattern.format(&moment).map(Some)
    })
}
