#![allow(clippy::unwrap_used)]
use super::*;

fn membership(entries: &[&str], kinds: &[&str]) -> Membership {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Membership { entries: owned(entries), kinds: owned(kinds), written: "7".into() }
}

#[test]
fn a_membership_lasts_while_one_entry_stays() {
    let all = &["insert", "update", "delete"][..];
    let before = membership(&["schema 1", "table 2"], all);
    let rule = |narrowed| Rule { publication: "p", narrowed, fail_on_truncate: true };
    let judge = |now: &[&str], kinds: &[&str], narrowed| {
        compare(Some(&before), &membership(now, kinds), &rule(narrowed)).map_err(|error| error.to_string())
    };
    assert!(judge(&["schema 1", "table 2"], all, true).is_ok());
    assert!(judge(&["table 2"], all, false).is_ok() && judge(&["schema 1", "table 9"], all, false).is_ok());
    assert!(judge(&["table 9"], all, false).unwrap_err().contains("put in again"));
    assert!(judge(&["table 2"], all, true).unwrap_err().contains("row filter"));
    assert!(judge(&[], all, false).unwrap_err().contains("no longer"));
    assert!(judge(&["table 2"], &["insert"], false).unwrap_err().contains("publishes insert now"));
    // Nothing is known of before.
    assert!(compare(None, &membership(&["table 2"], all), &rule(false)).is_ok());
    assert!(compare(None, &membership(&[], all), &rule(false)).is_err());
    // A TRUNCATE is missed by a job that stops at one.
    let (with, without) =
        (membership(&["table 2"], &["insert", "truncate"]), membership(&["table 2"], &["insert"]));
    let ignores = Rule { fail_on_truncate: false, ..rule(false) };
    assert!(compare(Some(&with), &without, &rule(false)).is_err());
    assert!(compare(Some(&with), &without, &ignores).is_ok());
    assert!(compare(Some(&without), &with, &rule(false)).is_ok());
}
