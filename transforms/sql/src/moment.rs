//! Dates, times and points in time, as a calendar and a clock show them.
//!
//! A point in time with a zone is read on the wall clock of its column's zone, as the sinks write it into
//! columns without one; no result depends on the zone of the machine.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int64Array, PrimitiveArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use chrono::{
    DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

use crate::function::Fault;

/// Microseconds of a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Days from the year 1 to 1970.
const EPOCH_DAYS: i32 = 719_163;
/// Microseconds of a day.
pub(crate) const DAY_US: i64 = 86_400 * SECOND_US;

/// A zone: a fixed distance from UTC, or one with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    Fixed(FixedOffset),
    Named(Tz),
}

impl Zone {
    /// UTC.
    pub(crate) fn utc() -> Zone {
        Zone::Fixed(Utc.fix())
    }

    /// A zone by its name: `Asia/Shanghai`, `UTC`, `Z`, `+08:00`, `UTC+8`, `GMT+8`.
    pub(crate) fn parse(name: &str) -> Option<Zone> {
        let distance =
            ["UTC", "GMT", "UT"].into_iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        if let Some(offset) = offset(distance) {
            return Some(Zone::Fixed(offset));
        }
        match name {
            "Z" | "UTC" | "GMT" | "UT" => Some(Zone::utc()),
            _ => name.parse().ok().map(Zone::Named),
        }
    }

    /// What the clock shows at a moment, and how far it is from UTC there; `None` past the end of the calendar.
    pub(crate) fn clock(self, utc: NaiveDateTime) -> Option<(NaiveDateTime, FixedOffset)> {
        let offset = match self {
            Zone::Fixed(offset) => offset,
            Zone::Named(zone) => zone.offset_from_utc_datetime(&utc).fix(),
        };
        Some((utc.checked_add_signed(TimeDelta::seconds(i64::from(offset.local_minus_utc())))?, offset))
    }

    /// The moment at which the clock shows this; the first one where it does twice, `None` where it never does.
    pub(crate) fn moment(self, clock: NaiveDateTime) -> Option<NaiveDateTime> {
        let moment: DateTime<FixedOffset> = match self {
            Zone::Fixed(offset) => offset.from_local_datetime(&clock).earliest()?,
            Zone::Named(zone) => zone.from_local_datetime(&clock).earliest()?.fixed_offset(),
        };
        Some(moment.naive_utc())
    }
}

/// `+8`, `+08`, `+0800`, `+08:00`, `+08:00:00` and the same with `-`.
fn offset(text: &str) -> Option<FixedOffset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let parts: Vec<&str> = match digits.contains(':') {
        true => digits.split(':').collect(),
        false if digits.len() > 2 => vec![digits.get(..2)?, digits.get(2..4)?],
        false => vec![digits],
    };
    if digits.is_empty()
        || parts.len() > 3
        || parts.iter().any(|part| !part.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let mut seconds = 0;
    for (part, unit) in parts.iter().zip([3600, 60, 1]) {
        seconds += part.parse::<i32>().ok()?.checked_mul(unit)?;
    }
    FixedOffset::east_opt(sign * seconds)
}

/// A value of a date, time or timestamp column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    /// `None` for a time of day.
    pub(crate) date: Option<NaiveDate>,
    /// `None` for a date.
    pub(crate) time: Option<NaiveTime>,
    /// How far the clock is from UTC, for a point in time with a zone.
    pub(crate) offset: Option<FixedOffset>,
}

impl Moment {
    /// The date; a time of day has none.
    pub(crate) fn day(&self) -> Result<NaiveDate, Fault> {
        self.date.ok_or_else(|| Fault::new("a time of day has no date"))
    }

    /// The time of day; a date has none.
    pub(crate) fn clock(&self) -> Result<NaiveTime, Fault> {
        self.time.ok_or_else(|| Fault::new("a date has no time of day"))
    }

    /// Both; the time of a date is midnight, the date of a time of day is 1970-01-01.
    pub(crate) fn both(&self) -> NaiveDateTime {
        self.date.unwrap_or_default().and_time(self.time.unwrap_or(NaiveTime::MIN))
    }

    /// Microseconds since 1970 on the clock.
    pub(crate) fn micros(&self) -> i64 {
        self.both().and_utc().timestamp_micros()
    }
}

enum Values<'a> {
    Null,
    Date(&'a PrimitiveArray<Date32Type>),
    /// Microseconds since midnight.
    Time(Int64Array),
    /// Microseconds since 1970.
    Stamp(Int64Array, Option<Zone>),
}

/// The moments of a column.
pub(crate) struct Moments<'a> {
    values: Values<'a>,
    column: &'a ArrayRef,
}

impl<'a> Moments<'a> {
    /// Reads a column of dates, times or timestamps, or of nothing but NULL.
    pub(crate) fn new(column: &'a ArrayRef) -> Result<Moments<'a>, Fault> {
        let damaged = || Fault::new("a column does not have its type");
        let micros = |column: &ArrayRef, unit| -> Result<Int64Array, Fault> {
            let column = cast(column, &unit).and_then(|column| cast(&column, &DataType::Int64));
            let column = column.map_err(|_| Fault::new("a date or time is out of range"))?;
            column.as_primitive_opt::<Int64Type>().cloned().ok_or_else(damaged)
        };
        let values = match column.data_type() {
            DataType::Null => Values::Null,
            DataType::Date32 => Values::Date(column.as_primitive_opt().ok_or_else(damaged)?),
            DataType::Time32(_) | DataType::Time64(_) => {
                Values::Time(micros(column, DataType::Time64(TimeUnit::Microsecond))?)
            }
            DataType::Duration(_) => Values::Time(micros(column, DataType::Duration(TimeUnit::Microsecond))?),
            DataType::Timestamp(_, zone) => {
                let read = match zone {
                    Some(name) => {
                        Some(Zone::parse(name).ok_or_else(|| Fault::new("a zone of a column is not known"))?)
                    }
                    None => None,
                };
                let unit = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                Values::Stamp(micros(column, unit)?, read)
            }
            _ => return Err(damaged()),
        };
        Ok(Moments { values, column })
    }

    /// The moment of a row; `None` for NULL.
    pub(crate) fn get(&self, row: usize) -> Result<Option<Moment>, Fault> {
        if self.column.is_null(row) {
            return Ok(None);
        }
        let far = || Fault::new("a date is out of range, or infinite");
        match &self.values {
            Values::Null => Ok(None),
            Values::Date(values) => {
                let days = values.value(row).checked_add(EPOCH_DAYS).ok_or_else(far)?;
                let date = NaiveDate::from_num_days_from_ce_opt(days).ok_or_else(far)?;
                Ok(Some(Moment { date: Some(date), time: None, offset: None }))
            }
            Values::Time(values) => {
                let time =
                    time_of(values.value(row)).ok_or_else(|| Fault::new("a time is not within one day"))?;
                Ok(Some(Moment { date: None, time: Some(time), offset: None }))
            }
            Values::Stamp(values, zone) => {
                let utc = DateTime::from_timestamp_micros(values.value(row)).ok_or_else(far)?.naive_utc();
                let (clock, offset) = match zone {
                    Some(zone) => {
                        let (clock, offset) = zone.clock(utc).ok_or_else(far)?;
                        (clock, Some(offset))
                    }
                    None => (utc, None),
                };
                Ok(Some(Moment { date: Some(clock.date()), time: Some(clock.time()), offset }))
            }
        }
    }
}

/// A time of day from microseconds since midnight.
pub(crate) fn time_of(micros: i64) -> Option<NaiveTime> {
    let seconds = u32::try_from(micros.div_euclid(SECOND_US)).ok()?;
    let nanos = u32::try_from(micros.rem_euclid(SECOND_US) * 1000).ok()?;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)
}

/// Microseconds since midnight.
pub(crate) fn micros_of(time: NaiveTime) -> i64 {
    (time - NaiveTime::MIN).num_microseconds().unwrap_or_default()
}

/// Days since 1970.
pub(crate) fn days_of(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH_DAYS
}
