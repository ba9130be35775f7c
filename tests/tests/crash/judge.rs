//! Reads a history of changes, as a user of the target would, and says what is missing and what is
//! there twice.

use std::collections::{BTreeMap, HashMap, HashSet};

/// A row of the table with a key: its values but the key, as texts.
pub(crate) type Values = Vec<Option<String>>;

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Insert,
    Before,
    After,
    Delete,
}

impl Kind {
    /// As a log table has it.
    pub(crate) fn of(text: &str) -> Kind {
        match text {
            "+I" => Kind::Insert,
            "-U" => Kind::Before,
            "+U" => Kind::After,
            "-D" => Kind::Delete,
            other => panic!("{other} is no row kind"),
        }
    }
}

/// A change of a row with a key.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) key: i64,
    pub(crate) values: Values,
}

/// What a judge found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) changes: usize,
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    /// The first that was found, for people.
    pub(crate) first: Option<String>,
}

impl Verdict {
    fn note(&mut self, twice: bool, what: impl FnOnce() -> String) {
        if twice {
            self.twice += 1;
        } else {
            self.lost += 1;
        }
        if self.first.is_none() {
            self.first = Some(format!("{}: {}", if twice { "twice" } else { "lost" }, what()));
        }
    }

    /// Judges the history of a table with a key, in its order per key, and its end against the source.
    /// Every state of a row is another: an update counts it up, and no key comes again.
    pub(crate) fn of_history(changes: &[Change], source: &BTreeMap<i64, Values>) -> Verdict {
        let mut verdict = Verdict { changes: changes.len(), ..Verdict::default() };
        let mut rows: HashMap<i64, Values> = HashMap::new();
        // What an update took away and has not replaced yet.
        let mut open: HashSet<i64> = HashSet::new();
        let mut seen: HashSet<(Kind, i64, &Values)> = HashSet::new();
        for change in changes {
            let Change { kind, key, values } = change;
            let again = !seen.insert((*kind, *key, values));
            let fits = match kind {
                Kind::Insert => !rows.contains_key(key) && !open.contains(key),
                Kind::Before | Kind::Delete => rows.get(key) == Some(values),
                Kind::After => open.contains(key),
            };
            if again || !fits {
                verdict
                    .note(again, || format!("{kind:?} of {key} {values:?}, when it is {:?}", rows.get(key)));
            }
            open.remove(key);
            match kind {
                Kind::Insert | Kind::After => {
                    rows.insert(*key, values.clone());
                }
                Kind::Before => {
                    rows.remove(key);
                    open.insert(*key);
                }
                Kind::Delete => {
                    rows.remove(key);
                }
            }
        }
        for (key, values) in source {
            if rows.get(key) != Some(values) {
                verdict.note(false, || format!("{key} is {:?}, and should be {values:?}", rows.get(key)));
            }
        }
        for key in rows.keys().filter(|key| !source.contains_key(key)) {
            verdict.note(false, || format!("the delete of {key}"));
        }
        verdict
    }

    /// Judges rows of a table without a key that are only ever inserted, each once.
    pub(crate) fn of_rows(found: &[i64], source: &[i64]) -> Verdict {
        let mut verdict = Verdict { changes: found.len(), ..Verdict::default() };
        let mut seen = HashSet::new();
        for row in found {
            if !seen.insert(*row) {
                verdict.note(true, || format!("the row {row}"));
            }
        }
        for row in source.iter().filter(|row| !seen.contains(row)) {
            verdict.note(false, || format!("the row {row}"));
        }
        let there: HashSet<&i64> = source.iter().collect();
        for row in found.iter().filter(|row| !there.contains(row)) {
            verdict.note(true, || format!("the row {row}, which the source never had"));
        }
        verdict
    }
}

#[test]
fn a_judge_counts_what_is_missing_and_what_is_there_twice() {
    let change = |kind, key, n: i64| Change { kind, key, values: vec![Some(n.to_string())] };
    let history = [
        change(Kind::Insert, 1, 0),
        change(Kind::Before, 1, 0),
        change(Kind::After, 1, 1),
        change(Kind::Insert, 2, 0),
        change(Kind::Delete, 2, 0),
    ];
    let source = BTreeMap::from([(1, vec![Some("1".to_owned())])]);
    let verdict = Verdict::of_history(&history, &source);
    assert_eq!(verdict, Verdict { changes: 5, ..Verdict::default() });
    for at in 0..history.len() {
        let mut short = history.to_vec();
        short.remove(at);
        assert!(Verdict::of_history(&short, &source).lost > 0, "without the change {at}");
        let mut long = history.to_vec();
        long.insert(at, history[at].clone());
        assert!(Verdict::of_history(&long, &source).twice > 0, "with the change {at} twice");
    }
    let rows = Verdict::of_rows(&[1, 2, 2, 4], &[1, 2, 3]);
    assert_eq!((rows.lost, rows.twice), (1, 2));
}
