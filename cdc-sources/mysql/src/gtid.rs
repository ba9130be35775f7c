//! Global transaction ids of MySQL and MariaDB and sets of them.
//!
//! MySQL's set names every transaction ever run, as intervals per server (and tag). MariaDB's
//! names only the last transaction of each domain; within a domain they are numbered in commit
//! order. Both are only partially ordered: two sets can each hold what the other lacks.

mod mariadb;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use culvert_api::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

pub use mariadb::{MariaDbGtid, MariaDbGtidSet};

/// A server's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(
    /// Its 16 bytes in the order they are written.
    pub [u8; 16],
);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = Error;

    /// 32 hex digits, with or without dashes and braces.
    fn from_str(text: &str) -> Result<Uuid, Error> {
        let mut bytes = [0u8; 16];
        let mut digits = text.bytes().filter(|byte| !matches!(byte, b'-' | b'{' | b'}')).map(hex_digit);
        for byte in &mut bytes {
            match (digits.next().flatten(), digits.next().flatten()) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(invalid("uuid", text)),
            }
        }
        if digits.next().is_some() {
            return Err(invalid("uuid", text));
        }
        Ok(Uuid(bytes))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn invalid(what: &str, text: &str) -> Error {
    Error::new(ErrorKind::Config, format!("`{text}` is not a valid {what}"))
}

/// The tag of a tagged GTID: up to 32 of a-z, 0-9 and _, not beginning with a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Reads a tag; letters become lower case, as in the server.
    pub fn parse(text: &str) -> Option<Tag> {
        let name = text.to_ascii_lowercase();
        let word = |c: u8| c.is_ascii_lowercase() || c == b'_';
        let valid = (1..=32).contains(&name.len())
            && name.bytes().next().is_some_and(word)
            && name.bytes().all(|c| word(c) || c.is_ascii_digit());
        valid.then_some(Tag(name))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One transaction of MySQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MySqlGtid {
    /// The server that ran it first.
    pub uuid: Uuid,
    /// Its tag.
    pub tag: Option<Tag>,
    /// Its number, from 1.
    pub number: u64,
}

impl fmt::Display for MySqlGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}:{}:{}", self.uuid, tag.as_str(), self.number),
            None => write!(f, "{}:{}", self.uuid, self.number),
        }
    }
}

/// Numbers from `start` to below `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// The first number.
    pub start: u64,
    /// The number after the last.
    pub end: u64,
}

/// The largest number a transaction can have.
pub const NUMBER_MAX: u64 = i64::MAX as u64 - 1;

/// The intervals of one server and tag, as a dump request carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GtidRange {
    /// The server.
    pub uuid: Uuid,
    /// The tag.
    pub tag: Option<Tag>,
    /// Sorted and disjoint, not touching.
    pub intervals: Vec<Interval>,
}

/// A set of MySQL transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet {
    /// Per server and tag: sorted, disjoint, not touching, never empty.
    sets: BTreeMap<(Uuid, Option<Tag>), Vec<Interval>>,
}

impl GtidSet {
    /// The empty set.
    pub fn new() -> GtidSet {
        GtidSet::default()
    }

    /// Whether no transaction is in it.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Adds one transaction.
    pub fn add(&mut self, gtid: &MySqlGtid) {
        let key = (gtid.uuid, gtid.tag.clone());
        self.add_interval(key, Interval { start: gtid.number, end: gtid.number.saturating_add(1) });
    }

    /// How many transactions are in it and not in the other one.
    pub fn count_beyond(&self, other: &GtidSet) -> u64 {
        let none = Vec::new();
        let of = |(key, intervals): (&(Uuid, Option<Tag>), &Vec<Interval>)| {
            let others = other.sets.get(key).unwrap_or(&none);
            let mut count: u64 = intervals.iter().map(|interval| interval.end - interval.start).sum();
            let mut rest = others.iter().peekable();
            for interval in intervals {
                while let Some(held) = rest.peek() {
                    let (start, end) = (held.start.max(interval.start), held.end.min(interval.end));
                    count -= end.saturating_sub(start);
                    if held.end > interval.end {
                        // It may reach into the next one.
                        break;
                    }
                    rest.next();
                }
            }
            count
        };
        self.sets.iter().map(of).sum()
    }

    fn add_interval(&mut self, key: (Uuid, Option<Tag>), new: Interval) {
        if new.start >= new.end {
            return;
        }
        let intervals = self.sets.entry(key).or_default();
        // The usual case: the next transaction of a server that is already there.
        if let Some(last) = intervals.last_mut()
            && last.start <= new.start
            && new.start <= last.end
        {
            last.end = last.end.max(new.end);
            return;
        }
        let from = intervals.partition_point(|interval| interval.end < new.start);
        let to = intervals.partition_point(|interval| interval.start <= new.end);
        let touched = intervals.get(from..to).unwrap_or_default();
        let merged = Interval {
            start: touched.first().map_or(new.start, |first| first.start.min(new.start)),
            end: touched.last().map_or(new.end, |last| last.end.max(new.end)),
        };
        intervals.splice(from..to.max(from), [merged]);
    }

    /// Whether the transaction is in it.
    pub fn contains(&self, gtid: &MySqlGtid) -> bool {
        let intervals = self.sets.get(&(gtid.uuid, gtid.tag.clone()));
        intervals.is_some_and(|list| covers(list, Interval { start: gtid.number, end: gtid.number + 1 }))
    }

    /// Whether every transaction of `other` is in it.
    pub fn contains_set(&self, other: &GtidSet) -> bool {
        other.sets.iter().all(|(key, intervals)| {
            self.sets.get(key).is_some_and(|own| intervals.iter().all(|interval| covers(own, *interval)))
        })
    }

    /// Adds every transaction of `other`.
    pub fn union(&mut self, other: &GtidSet) {
        for (key, intervals) in &other.sets {
            for interval in intervals {
                self.add_interval(key.clone(), *interval);
            }
        }
    }

    /// How many transactions are in it.
    pub fn count(&self) -> u64 {
        self.sets.values().flatten().map(|interval| interval.end - interval.start).sum()
    }

    /// The set as a dump request carries it: by server, untagged first.
    pub fn ranges(&self) -> Vec<GtidRange> {
        self.sets
            .iter()
            .map(|((uuid, tag), intervals)| GtidRange {
                uuid: *uuid,
                tag: tag.clone(),
                intervals: intervals.clone(),
            })
            .collect()
    }
}

fn covers(intervals: &[Interval], wanted: Interval) -> bool {
    let at = intervals.partition_point(|interval| interval.end <= wanted.start);
    intervals.get(at).is_some_and(|interval| interval.start <= wanted.start && wanted.end <= interval.end)
}

impl PartialOrd for GtidSet {
    /// Less means: a true subset.
    fn partial_cmp(&self, other: &GtidSet) -> Option<Ordering> {
        order(self.contains_set(other), other.contains_set(self))
    }
}

/// From "holds all of the other" in both directions.
fn order(holds_other: bool, held_by_other: bool) -> Option<Ordering> {
    match (holds_other, held_by_other) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        (false, false) => None,
    }
}

impl fmt::Display for GtidSet {
    /// As the server writes it, without line breaks: `uuid:1-5:7:tag:1-3,uuid2:1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut previous = None;
        for ((uuid, tag), intervals) in &self.sets {
            if previous != Some(uuid) {
                if previous.is_some() {
                    f.write_str(",")?;
                }
                write!(f, "{uuid}")?;
                previous = Some(uuid);
            }
            if let Some(tag) = tag {
                write!(f, ":{}", tag.as_str())?;
            }
            for Interval { start, end } in intervals {
                match end - start {
                    1 => write!(f, ":{start}")?,
                    _ => write!(f, ":{start}-{}", end - 1)?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = Error;

    /// Reads what a server writes (`gtid_executed`, with line breaks) and what people write:
    /// blanks, empty parts and any order of the intervals are accepted.
    fn from_str(text: &str) -> Result<GtidSet, Error> {
        let mut set = GtidSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut words = part.split(':').map(str::trim);
            let uuid = words.next().unwrap_or_default().parse::<Uuid>()?;
            let mut tag = None;
            for word in words {
                if let Some(found) = Tag::parse(word) {
                    tag = Some(found);
                    continue;
                }
                let interval = parse_interval(word).ok_or_else(|| invalid("GTID set", text))?;
                set.add_interval((uuid, tag.clone()), interval);
            }
        }
        Ok(set)
    }
}

/// `5` or `5-8`. An interval that ends before it starts is empty, as in the server.
fn parse_interval(word: &str) -> Option<Interval> {
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|n| (1..=NUMBER_MAX).contains(n));
    let (start, last) = match word.split_once('-') {
        Some((start, last)) => (number(start)?, number(last)?),
        None => (number(word)?, number(word)?),
    };
    Some(Interval { start, end: last + 1 })
}

impl Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<GtidSet, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What was read so far, by GTID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GtidPosition {
    /// All transactions, of a MySQL server.
    MySql(GtidSet),
    /// The last transaction of each domain, of a MariaDB server.
    MariaDb(MariaDbGtidSet),
}

impl PartialOrd for GtidPosition {
    /// Positions of different kinds of servers are not ordered.
    fn partial_cmp(&self, other: &GtidPosition) -> Option<Ordering> {
        match (self, other) {
            (GtidPosition::MySql(a), GtidPosition::MySql(b)) => a.partial_cmp(b),
            (GtidPosition::MariaDb(a), GtidPosition::MariaDb(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidPosition::MySql(set) => set.fmt(f),
            GtidPosition::MariaDb(set) => set.fmt(f),
        }
    }
}
