#![allow(clippy::unwrap_used)]
//! GTID sets against a plain model, and the texts servers write.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    text.parse().unwrap()
}

#[test]
fn reads_what_servers_write() {
    let text = format!("{A}:1-5:7,\n{B}:1-3:tag_1:4-6:8:zz:1");
    let parsed = set(&text);
    assert_eq!(parsed.to_string(), text.replace('\n', ""));
    assert_eq!(parsed.count(), 6 + 3 + 3 + 1 + 1);
    assert_eq!(set(&text.to_uppercase()), parsed);
    assert_eq!(set(" , ").to_string(), "");
}

#[test]
fn intervals_merge_whatever_their_order() {
    assert_eq!(set(&format!("{A}:7-9:1-3:4-6")).to_string(), format!("{A}:1-9"));
    assert_eq!(set(&format!("{A}:5-4")).to_string(), "");
    assert_eq!(set(&format!("{A}:1-3,{A}:2-8")).to_string(), format!("{A}:1-8"));
}

#[test]
fn nonsense_is_refused() {
    for text in
        ["x", "1-2-3", &format!("{A}:0"), &format!("{A}:1-"), &format!("{A}x:1"), &format!("{A}:9t:1")]
    {
        assert!(text.parse::<GtidSet>().is_err(), "{text}");
    }
}

#[test]
fn sets_are_partially_ordered() {
    let (small, large) = (set(&format!("{A}:1-5")), set(&format!("{A}:1-6,{B}:1")));
    assert_eq!(small.partial_cmp(&large), Some(Ordering::Less));
    assert_eq!(large.partial_cmp(&small), Some(Ordering::Greater));
    assert_eq!(small.partial_cmp(&set(&format!("{B}:1"))), None);
    assert_eq!(small.partial_cmp(&small.clone()), Some(Ordering::Equal));
    let tagged = set(&format!("{A}:t:1-5"));
    assert_eq!(small.partial_cmp(&tagged), None, "a tag makes another series");
}

#[test]
fn stored_as_text() {
    let position = GtidPosition::MySql(set(&format!("{A}:1-5")));
    let json = serde_json::to_string(&position).unwrap();
    assert_eq!(json, format!("{{\"mysql\":\"{A}:1-5\"}}"));
    assert_eq!(serde_json::from_str::<GtidPosition>(&json).unwrap(), position);
}

#[test]
fn mariadb_positions() {
    let mut position: MariaDbGtidSet = "1-1-7, 0-1-5".parse().unwrap();
    assert_eq!(position.to_string(), "0-1-5,1-1-7");
    assert!(position.covers(&"0-2-5".parse().unwrap()));
    assert!(!position.covers(&"0-2-6".parse().unwrap()));
    assert!(!position.covers(&"2-1-1".parse().unwrap()));
    let before = position.clone();
    position.update("0-2-6".parse().unwrap());
    assert_eq!(before.partial_cmp(&position), Some(Ordering::Less));
    position.update("3-1-1".parse().unwrap());
    let mut other = before.clone();
    other.update("1-1-8".parse().unwrap());
    assert_eq!(other.partial_cmp(&position), None);
    let forked: MariaDbGtidSet = "0-9-5,1-1-7".parse().unwrap();
    assert_eq!(before.partial_cmp(&forked), None);
    assert!("0-1-5,0-2-6".parse::<MariaDbGtidSet>().is_err());
    assert!("0-1".parse::<MariaDbGtid>().is_err());
}

proptest! {
    #[test]
    fn behaves_like_a_set_of_numbers(
        left in proptest::collection::vec((1u64..60, 1u64..8), 0..12),
        right in proptest::collection::vec((1u64..60, 1u64..8), 0..12),
    ) {
        let build = |parts: &[(u64, u64)]| {
            let mut set = GtidSet::new();
            let mut model = BTreeSet::new();
            for (start, length) in parts {
                for number in *start..start + length {
                    set.add(&MySqlGtid { uuid: Uuid([7; 16]), tag: None, number });
                    model.insert(number);
                }
            }
            (set, model)
        };
        let ((mut a, model_a), (b, model_b)) = (build(&left), build(&right));
        prop_assert_eq!(a.to_string().parse::<GtidSet>().unwrap(), a.clone());
        prop_assert_eq!(a.contains_set(&b), model_b.is_subset(&model_a));
        for number in 1..80 {
            let gtid = MySqlGtid { uuid: Uuid([7; 16]), tag: None, number };
            prop_assert_eq!(a.contains(&gtid), model_a.contains(&number));
        }
        a.union(&b);
        prop_assert_eq!(a.count(), model_a.union(&model_b).count() as u64);
        for range in a.ranges() {
            prop_assert!(range.intervals.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}

#[test]
fn transactions_beyond_a_set_are_counted() {
    let uuid = |digit: char| digit.to_string().repeat(32);
    let (a, b) = (uuid('a'), uuid('b'));
    let set = |text: String| text.parse::<GtidSet>().unwrap();
    let count = |one: String, other: String| set(one).count_beyond(&set(other));
    assert_eq!(count(format!("{a}:1-10"), String::new()), 10);
    assert_eq!(count(format!("{a}:1-10,{b}:5"), format!("{a}:1-10")), 1);
    assert_eq!(count(format!("{a}:1-10:20-30"), format!("{a}:3-4:8-22:40")), 5 + 8);
    assert_eq!(count(format!("{a}:1-3:5-7:9-11"), format!("{a}:2-10")), 2);
    assert_eq!(count(format!("{a}:1-10,{a}:etl:1-4"), format!("{a}:1-100")), 4);
    assert_eq!(count(String::new(), format!("{a}:1-100")), 0);
    let position = |text: &str| text.parse::<MariaDbGtidSet>().unwrap();
    assert_eq!(position("0-1-100,7-2-5").count_beyond(&position("0-3-90")), 15);
    assert_eq!(position("0-1-100").count_beyond(&position("0-1-120")), 0);
}
