#![allow(clippy::unwrap_used)]

use arrow_array::{ArrayRef, Int32Array, StringArray};
use culvert_api::RowKindSet;

use super::*;
use crate::mysql::connect::Server;
use crate::mysql::plan::for_table;
use crate::mysql::plan::tests::{settings, source, target};

const WIDE: Limits = Limits { rows: 1000, bytes: 1 << 20 };

/// The statements for rows of `w(id, name)`, written by the target's keys.
fn statements_with(
    pairs: &[(&str, &str)],
    uniques: &[&[&str]],
    rows: &[(&str, i32, &str)],
    limits: Limits,
) -> Vec<String> {
    let server = Server { mariadb: true, version: (10, 11, 0), ..Server::default() };
    let kinds = if uniques.is_empty() { RowKindSet::INSERT_ONLY } else { RowKindSet::ALL };
    let source = source(&["id"], kinds);
    let plan = for_table(&settings(pairs), &source, &target(uniques, &[]), &server).unwrap().0;
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, id, _)| *id)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, _, name)| *name)));
    let arrays = [ids, names];
    let mut literals: Vec<Literals<'_>> =
        plan.slots.iter().map(|slot| Literals::new(&arrays[slot.source], slot.form).unwrap()).collect();
    let mut pending = Pending::new(Arc::new(plan));
    for (row, (kind, _, _)) in rows.iter().enumerate() {
        let kind = RowKind::ALL.into_iter().find(|known| known.short() == *kind).unwrap();
        pending.push(kind, row, &mut literals).unwrap();
    }
    let mut found = Vec::new();
    let mut out = Vec::new();
    for step in pending.steps() {
        let mut sent = 0;
        while sent < step.len() {
            sent = pending.statement(&step, sent, limits, &mut out);
            let text = String::from_utf8(out.clone()).unwrap();
            found.push(
                text.replace("INSERT INTO `cdc`.`w` (`id`, `name`) VALUES ", "put ")
                    .replace("DELETE FROM `cdc`.`w` WHERE ", "cut ")
                    .replace(" ON DUPLICATE KEY UPDATE `id` = VALUES(`id`), `name` = VALUES(`name`)", " up"),
            );
        }
    }
    found
}

fn statements(uniques: &[&[&str]], rows: &[(&str, i32, &str)]) -> Vec<String> {
    statements_with(&[], uniques, rows, WIDE)
}

#[test]
fn only_the_last_change_of_a_key_is_sent_deletes_first() {
    let rows = [
        ("+I", 1, "a"),
        ("+I", 2, "b"),
        ("-U", 1, "a"),
        ("+U", 1, "c"),
        ("-D", 2, "b"),
        ("+I", 3, "d"),
        ("-D", 4, "e"),
    ];
    assert_eq!(statements(&[&["id"]], &rows), ["cut `id` IN (2,4)", "put (1,'c'),(3,'d') up"]);
    let back = [("-D", 1, "a"), ("+I", 1, "b")];
    assert_eq!(statements(&[&["id"]], &back), ["put (1,'b') up"]);
    assert_eq!(statements(&[&["id"]], &[("-U", 1, "a")]), Vec::<String>::new());
}

#[test]
fn with_further_unique_indexes_all_touched_rows_go_first() {
    let swap = [
        ("-U", 1, "a"),
        ("+U", 1, "x"),
        ("-U", 2, "b"),
        ("+U", 2, "a"),
        ("-U", 1, "x"),
        ("+U", 1, "b"),
        ("-D", 3, "c"),
    ];
    let found = statements(&[&["id"], &["name"]], &swap);
    assert_eq!(found, ["cut `id` IN (3)", "cut `id` IN (2,1)", "put (2,'a'),(1,'b')"]);
}

#[test]
fn keys_that_a_collation_may_hold_for_one_keep_their_order() {
    // The target's key is `name`, whose collation knows no letter case.
    let rows = [("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "A"), ("-D", 1, "A")];
    let found = statements(&[&["name"]], &rows);
    assert_eq!(found, ["cut `name` IN ('a','A')"]);
    let rows = [("-D", 1, "a"), ("+I", 1, "A")];
    assert_eq!(statements(&[&["name"]], &rows), ["cut `name` IN ('a')", "put (1,'A') up"]);
    let rows = [("+I", 1, "a"), ("-D", 2, "A"), ("+I", 3, "b")];
    assert_eq!(statements(&[&["name"]], &rows), ["put (1,'a') up", "cut `name` IN ('A')", "put (3,'b') up"]);
    let rows = [("+I", 1, "a"), ("-D", 2, "b"), ("+I", 3, "c")];
    assert_eq!(statements(&[&["name"]], &rows), ["cut `name` IN ('b')", "put (1,'a'),(3,'c') up"]);
    let beyond_ascii = [("+I", 1, "ß"), ("-D", 2, "ss")];
    assert_eq!(statements(&[&["name"]], &beyond_ascii), ["put (1,'ß') up", "cut `name` IN ('ss')"]);
}

#[test]
fn an_update_of_a_key_that_is_only_the_targets_leaves_no_old_row() {
    let rows = [("-U", 1, "a"), ("+U", 1, "b"), ("-U", 2, "c"), ("+U", 2, "c")];
    assert_eq!(statements(&[&["name"]], &rows), ["cut `name` IN ('a')", "put (1,'b'),(2,'c') up"]);
}

#[test]
fn composite_keys_are_conditions() {
    let rows = [("-D", 1, "a"), ("-D", 2, "b"), ("+I", 3, "c")];
    assert_eq!(
        statements(&[&["id", "name"]], &rows),
        ["cut (`id` = 1 AND `name` = 'a') OR (`id` = 2 AND `name` = 'b')", "put (3,'c') up"]
    );
}

#[test]
fn without_upserts_every_change_is_sent_in_order() {
    let pairs = [("enable_upsert", "false")];
    let rows =
        [("+I", 1, "a"), ("+I", 2, "b"), ("-U", 2, "b"), ("+U", 2, "c"), ("-D", 1, "a"), ("+I", 1, "d")];
    assert_eq!(
        statements_with(&pairs, &[&["id"]], &rows, WIDE),
        [
            "put (1,'a'),(2,'b')",
            "UPDATE `cdc`.`w` SET `id` = 2, `name` = 'c' WHERE `id` IN (2)",
            "cut `id` IN (1)",
            "put (1,'d')"
        ]
    );
    let pairs = [("support_upsert_by_insert_only", "true")];
    let rows = [("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "b")];
    assert_eq!(statements_with(&pairs, &[&["id"]], &rows, WIDE), ["put (1,'a'),(1,'b')"]);
}

#[test]
fn statements_end_at_rows_and_bytes() {
    let rows: Vec<(&str, i32, &str)> = (0..5).map(|id| ("+I", id, "x")).collect();
    let two = statements_with(&[], &[], &rows, Limits { rows: 2, bytes: 1 << 20 });
    assert_eq!(two, ["put (0,'x'),(1,'x')", "put (2,'x'),(3,'x')", "put (4,'x')"]);
    // A row larger than the limit still goes, alone.
    let tiny = statements_with(&[], &[], &rows, Limits { rows: 1000, bytes: 1 });
    assert_eq!(tiny.len(), 5);
    let deletes: Vec<(&str, i32, &str)> = (0..1001).map(|id| ("-D", id, "x")).collect();
    assert_eq!(statements_with(&[], &[&["id"]], &deletes, WIDE).len(), 3);
}

#[test]
fn an_append_keeps_every_row() {
    let rows = [("+I", 1, "a"), ("+I", 1, "a"), ("+I", 1, "b")];
    assert_eq!(statements(&[], &rows), ["put (1,'a'),(1,'a'),(1,'b')"]);
}
