//! MariaDB's GTIDs: domain, server, number.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use culvert_api::Error;
use serde::{Deserialize, Serialize};

use super::{invalid, order};

/// One transaction of MariaDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MariaDbGtid {
    /// The replication domain: transactions of different domains are not ordered.
    pub domain: u32,
    /// The server that ran it.
    pub server: u32,
    /// Its number in the domain, going up in commit order whatever the server.
    pub sequence: u64,
}

impl fmt::Display for MariaDbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl FromStr for MariaDbGtid {
    type Err = Error;

    fn from_str(text: &str) -> Result<MariaDbGtid, Error> {
        let parse = || {
            let mut parts = text.trim().split('-');
            let domain = parts.next()?.parse().ok()?;
            let server = parts.next()?.parse().ok()?;
            let sequence = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(MariaDbGtid { domain, server, sequence })
        };
        parse().ok_or_else(|| invalid("MariaDB GTID", text))
    }
}

/// The last transaction of each domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MariaDbGtidSet {
    last: BTreeMap<u32, MariaDbGtid>,
}

impl MariaDbGtidSet {
    /// Before the first transaction.
    pub fn new() -> MariaDbGtidSet {
        MariaDbGtidSet::default()
    }

    /// Whether no domain is in it.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Moves the domain to this transaction.
    pub fn update(&mut self, gtid: MariaDbGtid) {
        self.last.insert(gtid.domain, gtid);
    }

    /// Whether the transaction lies before or at the position. It is told by number: within a
    /// domain numbers only go up.
    pub fn covers(&self, gtid: &MariaDbGtid) -> bool {
        self.last.get(&gtid.domain).is_some_and(|last| gtid.sequence <= last.sequence)
    }

    /// How many transactions lie between another position and this one, by their numbers: a domain that the
    /// other one lacks counts from its first.
    pub fn count_beyond(&self, other: &MariaDbGtidSet) -> u64 {
        let held = |domain: u32| other.last.get(&domain).map_or(0, |last| last.sequence);
        self.last.values().map(|last| last.sequence.saturating_sub(held(last.domain))).sum()
    }

    /// The domains' last transactions, by domain.
    pub fn iter(&self) -> impl Iterator<Item = &MariaDbGtid> {
        self.last.values()
    }
}

impl FromIterator<MariaDbGtid> for MariaDbGtidSet {
    fn from_iter<I: IntoIterator<Item = MariaDbGtid>>(gtids: I) -> MariaDbGtidSet {
        let mut set = MariaDbGtidSet::new();
        gtids.into_iter().for_each(|gtid| set.update(gtid));
        set
    }
}

impl PartialOrd for MariaDbGtidSet {
    fn partial_cmp(&self, other: &MariaDbGtidSet) -> Option<Ordering> {
        let covers_all = |a: &MariaDbGtidSet, b: &MariaDbGtidSet| b.iter().all(|gtid| a.covers(gtid));
        let order = order(covers_all(self, other), covers_all(other, self))?;
        // Equal numbers from different servers: the histories have parted.
        (order != Ordering::Equal || self == other).then_some(order)
    }
}

impl fmt::Display for MariaDbGtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.last.values().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            gtid.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for MariaDbGtidSet {
    type Err = Error;

    /// `0-1-5,1-1-7`; blanks and empty parts are accepted, a domain twice is not.
    fn from_str(text: &str) -> Result<MariaDbGtidSet, Error> {
        let mut set = MariaDbGtidSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let gtid = part.parse::<MariaDbGtid>()?;
            if set.last.insert(gtid.domain, gtid).is_some() {
                return Err(invalid("MariaDB GTID position (a domain is named twice)", text));
            }
        }
        Ok(set)
    }
}

impl Serialize for MariaDbGtidSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MariaDbGtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<MariaDbGtidSet, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
