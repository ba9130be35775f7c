//! Which events a listener wants, when, and how often the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local, NaiveTime, Timelike};
use culvert_api::EventSeverity;

use crate::events::model::Event;

/// Events that the filter against repetition remembers; past them the oldest is forgotten, and told again.
const REMEMBERED_MAX: usize = 1_000;

/// A name in which `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<String>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Pattern {
        Pattern(text.split('*').map(str::to_owned).collect())
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return false };
        if self.0.len() == 1 {
            return name == first;
        }
        let inner = name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
        let Some(mut rest) = inner else { return false };
        for piece in self.0.get(1..self.0.len() - 1).unwrap_or_default() {
            let Some(at) = rest.find(piece.as_str()) else { return false };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        true
    }
}

/// Which events are wanted. An empty list wants all.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) types: Vec<Pattern>,
    pub(crate) jobs: Vec<Pattern>,
    pub(crate) tables: Vec<Pattern>,
    pub(crate) least: EventSeverity,
}

impl Filter {
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let any = |patterns: &[Pattern], name: Option<&str>| {
            patterns.is_empty() || name.is_some_and(|name| patterns.iter().any(|it| it.matches(name)))
        };
        event.severity >= self.least
            && any(&self.types, Some(&event.kind))
            && any(&self.jobs, event.job.as_deref())
            && any(&self.tables, event.table.as_deref())
    }
}

/// The hours in which only what is urgent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuietHours {
    from: NaiveTime,
    to: NaiveTime,
    pub(crate) urgent: EventSeverity,
}

impl QuietHours {
    /// Reads `22:00-07:00`.
    pub(crate) fn new(text: &str, urgent: EventSeverity) -> Option<QuietHours> {
        let (from, to) = text.split_once('-')?;
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let (from, to) = (time(from)?, time(to)?);
        (from != to).then_some(QuietHours { from, to, urgent })
    }

    /// How long it stays quiet; `None`: it is not.
    pub(crate) fn left(&self, now: DateTime<Local>) -> Option<Duration> {
        let seconds = |time: NaiveTime| i64::from(time.num_seconds_from_midnight());
        let (now, from, to) = (seconds(now.time()), seconds(self.from), seconds(self.to));
        let quiet = if from < to { (from..to).contains(&now) } else { now >= from || now < to };
        let left = (to - now).rem_euclid(24 * 3_600);
        quiet.then(|| Duration::from_secs(left.unsigned_abs().max(1)))
    }
}

/// Lets the same event pass once in a while.
#[derive(Debug)]
pub(crate) struct Repeats {
    window: Duration,
    seen: HashMap<String, (Instant, u64)>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It is told; so many like it were not since the last one.
    Told(u64),
    /// The same was told a moment ago.
    HeldBack,
}

impl Repeats {
    pub(crate) fn new(window: Duration) -> Repeats {
        Repeats { window, seen: HashMap::new() }
    }

    /// An event that was let pass is not told after all.
    pub(crate) fn forget(&mut self, event: &Event) {
        self.seen.remove(&key(event));
    }

    /// Judges an event that is about to be told.
    pub(crate) fn pass(&mut self, event: &Event, now: Instant) -> Passage {
        if self.window.is_zero() {
            return Passage::Told(0);
        }
        let key = key(event);
        if let Some((told, held_back)) = self.seen.get_mut(&key) {
            if now.duration_since(*told) < self.window {
                *held_back += 1;
                return Passage::HeldBack;
            }
            *told = now;
            return Passage::Told(std::mem::take(held_back));
        }
        if self.seen.len() >= REMEMBERED_MAX {
            let oldest = self.seen.iter().min_by_key(|(_, (told, _))| *told).map(|(key, _)| key.clone());
            oldest.map(|key| self.seen.remove(&key));
        }
        self.seen.insert(key, (now, 0));
        Passage::Told(0)
    }
}

fn key(event: &Event) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}\0{}\0{}\0{}", event.kind, part(&event.job), part(&event.table), event.text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use chrono::TimeZone;
    use culvert_api::EventKind;

    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).matches(name);
        assert!(matches("SCHEMA_CHANGE_*", "SCHEMA_CHANGE_ADD_COLUMN"));
        assert!(matches("*", "") && matches("a", "a") && matches("*_COLUMN*", "X_COLUMN"));
        assert!(matches("shop.*_log.*", "shop.a_log.b") && !matches("shop.*_log.*", "shop.a.b"));
        assert!(!matches("a", "ab") && !matches("ab*ba", "aba"));
    }

    #[test]
    fn quiet_hours_may_go_past_midnight() {
        let at = |hour, minute| Local.with_ymd_and_hms(2026, 11, 27, hour, minute, 0).unwrap();
        let night = QuietHours::new("22:00-07:00", EventSeverity::Error).unwrap();
        assert_eq!(night.left(at(23, 0)), Some(Duration::from_secs(8 * 3_600)));
        assert_eq!(night.left(at(6, 59)), Some(Duration::from_secs(60)));
        assert_eq!((night.left(at(7, 0)), night.left(at(12, 0))), (None, None));
        let noon = QuietHours::new("12:00 - 13:30", EventSeverity::Error).unwrap();
        assert_eq!(noon.left(at(13, 0)), Some(Duration::from_secs(1_800)));
        assert_eq!(noon.left(at(14, 0)), None);
        for wrong in ["", "22:00", "25:00-07:00", "07:00-07:00", "7-8"] {
            assert_eq!(QuietHours::new(wrong, EventSeverity::Error), None, "{wrong}");
        }
    }

    #[test]
    fn the_same_is_told_once_in_a_while_with_how_often_it_was_not() {
        let event = |text: &str| {
            let kind = EventKind::JobDegraded { reason: text.to_owned() };
            Event::new(0, Some((None, "job".to_owned())), &kind)
        };
        let begun = Instant::now();
        let mut repeats = Repeats::new(Duration::from_secs(60));
        let mut pass = |text: &str, seconds| repeats.pass(&event(text), begun + Duration::from_secs(seconds));
        assert_eq!(pass("a", 0), Passage::Told(0));
        assert_eq!(pass("a", 1), Passage::HeldBack);
        assert_eq!(pass("b", 2), Passage::Told(0));
        assert_eq!(pass("a", 59), Passage::HeldBack);
        assert_eq!(pass("a", 60), Passage::Told(2));
        assert_eq!(pass("a", 61), Passage::HeldBack);
        let mut none = Repeats::new(Duration::ZERO);
        assert_eq!(none.pass(&event("a"), begun), Passage::Told(0));
        assert_eq!(none.pass(&event("a"), begun), Passage::Told(0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let begun = Instant::now();
        let mut repeats = Repeats::new(Duration::from_secs(60));
        for number in 0..REMEMBERED_MAX + 10 {
            let kind = EventKind::JobDegraded { reason: number.to_string() };
            repeats.pass(&Event::new(0, None, &kind), begun + Duration::from_millis(number as u64));
        }
        assert_eq!(repeats.seen.len(), REMEMBERED_MAX);
    }
}
