use super::*;

fn leaf(oid: u32, file: u32, filled: bool) -> Leaf {
    Leaf { oid, schema: "s".into(), table: format!("p_{oid}"), file, filled }
}

#[test]
fn what_became_of_partitions() {
    let before = [
        leaf(1, 10, true),
        leaf(2, 20, true),
        leaf(3, 30, true),
        leaf(4, 40, false),
        leaf(5, 50, true),
        leaf(6, 60, true),
    ];
    let now = Partitions {
        leaves: vec![
            leaf(1, 10, true),
            leaf(2, 21, false),
            leaf(3, 31, true),
            // Nothing was in it, so nothing is lost.
            leaf(4, 41, true),
            leaf(6, 61, false),
            // Made as a partition; attached and empty; attached with rows.
            leaf(7, 70, true),
            leaf(8, 80, false),
            leaf(9, 90, true),
            leaf(10, 100, false),
        ],
        locked: vec![6, 10],
        attached: HashMap::from([(8, "800".to_owned()), (9, "900".to_owned()), (10, "1000".to_owned())]),
    };
    assert_eq!(
        now.changes(&before),
        [
            Change::Gone(leaf(5, 50, true)),
            Change::Emptied(leaf(2, 21, false)),
            Change::Rewritten(leaf(3, 31, true)),
            Change::Attached(leaf(9, 90, true), "900".into()),
        ]
    );
    // One that is locked keeps what was known of it, and one that was not known waits.
    let settled = now.settled(&before);
    assert!(settled.contains(&leaf(6, 60, true)) && settled.contains(&leaf(9, 90, true)));
    assert!(!settled.iter().any(|leaf| leaf.oid == 10));
    assert_eq!(now.changes(&now.settled(&before)), []);
}
