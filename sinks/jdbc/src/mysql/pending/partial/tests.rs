#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int32Array, StringArray};
use culvert_api::{RowKind, RowKindSet, Unavailable};

use super::*;
use crate::mysql::connect::Server;
use crate::mysql::pending::Limits;
use crate::mysql::plan::tests::{settings, source, target};
use crate::mysql::plan::{Slot, for_table};

const WIDE: Limits = Limits { rows: 1000, bytes: 1 << 20 };

/// A row of `w(id, name)`: `None` is a value that the log left out.
type Row = (&'static str, i32, Option<&'static str>);

fn taken(pairs: &[(&str, &str)], uniques: &[&[&str]], rows: &[Row]) -> Result<Pending> {
    with_rows(pairs, uniques, rows, |pending, literals| {
        for (row, (kind, _, _)) in rows.iter().enumerate() {
            let kind = RowKind::ALL.into_iter().find(|known| known.short() == *kind).unwrap();
            pending.push(kind, row, literals)?;
        }
        Ok(std::mem::replace(pending, Pending::new(pending.plan.clone())))
    })
}

/// Hands out a table without rows, and the literals of these.
fn with_rows<T>(
    pairs: &[(&str, &str)],
    uniques: &[&[&str]],
    rows: &[Row],
    body: impl FnOnce(&mut Pending, &mut [Literals<'_>]) -> T,
) -> T {
    let server = Server { mariadb: true, version: (10, 11, 0), ..Server::default() };
    let kinds = if uniques.is_empty() { RowKindSet::INSERT_ONLY } else { RowKindSet::ALL };
    let source = source(&["id"], kinds);
    let plan = for_table(&settings(pairs), &source, &target(uniques, &[]), &server).unwrap().0;
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, id, _)| *id)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|(_, _, name)| *name)));
    let left_out = Unavailable {
        column: 1,
        rows: rows.iter().map(|(_, _, name)| name.is_none()).collect::<Vec<bool>>().into(),
    };
    let arrays = [ids, names];
    let literal = |slot: &Slot| {
        let array = &arrays[slot.source];
        let left_out = array.data_type().is_string().then_some(&left_out);
        Literals::new(array, slot.form).unwrap().leaving_out(left_out)
    };
    let mut literals: Vec<Literals<'_>> = plan.slots.iter().map(literal).collect();
    body(&mut Pending::new(Arc::new(plan.clone())), &mut literals)
}

fn statements(pairs: &[(&str, &str)], uniques: &[&[&str]], rows: &[Row]) -> Vec<String> {
    let pending = taken(pairs, uniques, rows).unwrap();
    let mut found = Vec::new();
    let mut out = Vec::new();
    for step in pending.steps() {
        let mut sent = 0;
        while sent < step.len() {
            sent = pending.statement(&step, sent, WIDE, &mut out);
            let text = String::from_utf8(out.clone()).unwrap();
            found.push(
                text.replace("INSERT INTO `cdc`.`w` (`id`, `name`) VALUES ", "put ")
                    .replace("DELETE FROM `cdc`.`w` WHERE ", "cut ")
                    .replace("UPDATE `cdc`.`w` SET ", "set ")
                    .replace(" ON DUPLICATE KEY UPDATE `id` = VALUES(`id`), `name` = VALUES(`name`)", " up"),
            );
        }
    }
    found
}

fn refused(pairs: &[(&str, &str)], uniques: &[&[&str]], rows: &[Row]) -> String {
    let error = taken(pairs, uniques, rows).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Value, "{error}");
    format!("{error} {}", error.hint_text().unwrap_or_default())
}

const KEY: &[&[&str]] = &[&["id"]];
const MORE: &[&[&str]] = &[&["id"], &["name"]];

#[test]
fn a_row_known_in_part_is_updated_and_never_inserted() {
    assert_eq!(statements(&[], KEY, &[("+U", 1, None)]), ["set `id` = `id` WHERE `id` IN (1)"]);
    assert_eq!(statements(&[], MORE, &[("+U", 1, None)]), ["set `id` = `id` WHERE `id` IN (1)"]);
    // What can be reduced is reduced.
    let again = [("+U", 1, None), ("+U", 2, None), ("+U", 1, None)];
    assert_eq!(statements(&[], KEY, &again).len(), 2);
}

#[test]
fn what_waits_for_the_same_key_is_completed() {
    let rows = [("+I", 1, Some("it's, a 'long' one")), ("+U", 1, None), ("+I", 2, Some("b"))];
    assert_eq!(statements(&[], KEY, &rows), ["put (1,'it\\'s, a \\'long\\' one'),(2,'b') up"]);
    let rows = [("+U", 1, None), ("+U", 1, Some("b")), ("+U", 1, None)];
    assert_eq!(statements(&[], KEY, &rows), ["put (1,'b') up"]);
    assert_eq!(statements(&[], MORE, &rows), ["cut `id` IN (1)", "put (1,'b')"]);
    let rows = [("+U", 1, None), ("-D", 1, None)];
    assert_eq!(statements(&[], KEY, &rows), ["cut `id` IN (1)"]);
}

#[test]
fn with_further_unique_indexes_the_row_stays_and_goes_before_the_inserts() {
    let rows = [("+U", 1, None), ("+U", 2, Some("a")), ("-D", 3, None)];
    assert_eq!(
        statements(&[], MORE, &rows),
        ["cut `id` IN (3)", "cut `id` IN (2)", "set `id` = `id` WHERE `id` IN (1)", "put (2,'a')"]
    );
}

#[test]
fn without_upserts_the_order_of_the_rows_is_kept() {
    let rows = [("+I", 1, Some("a")), ("+U", 1, None), ("+U", 1, Some("b"))];
    assert_eq!(
        statements(&[("enable_upsert", "false")], KEY, &rows),
        ["put (1,'a')", "set `id` = `id` WHERE `id` IN (1)", "set `id` = 1, `name` = 'b' WHERE `id` IN (1)"]
    );
}

#[test]
fn a_row_under_a_new_key_is_changed_where_it_is() {
    let moved = |pairs: &[(&str, &str)]| {
        with_rows(pairs, KEY, &[("-D", 1, None), ("+I", 5, None)], |pending, literals| {
            let mut out = Vec::new();
            pending.move_row(0, 1, literals, &mut out).unwrap();
            (pending.changes_in_place(), pending.byte_len(), String::from_utf8(out).unwrap())
        })
    };
    let wanted = "UPDATE `cdc`.`w` SET `id` = 5 WHERE `id` IN (1)".to_string();
    assert_eq!(moved(&[]), (true, 0, wanted.clone()));
    assert_eq!(moved(&[("enable_upsert", "false")]), (true, 0, wanted));
    assert!(!moved(&[("support_upsert_by_insert_only", "true")]).0);
    let rows = [("-D", 1, Some("a")), ("+I", 5, Some("b"))];
    let keys: &[&[&str]] = &[&["id", "name"]];
    let found = with_rows(&[], keys, &rows, |pending, literals| {
        let mut out = Vec::new();
        pending.move_row(0, 1, literals, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    });
    assert_eq!(found, "UPDATE `cdc`.`w` SET `id` = 5, `name` = 'b' WHERE (`id` = 1 AND `name` = 'a')");
    // A key of the target's has to be told, old and new.
    let refused =
        with_rows(&[], &[&["name"]], &[("-D", 1, None), ("+I", 5, Some("b"))], |pending, literals| {
            pending.move_row(0, 1, literals, &mut Vec::new()).unwrap_err()
        });
    assert!(refused.to_string().contains("`name`"), "{refused}");
}

#[test]
fn a_value_that_must_be_known_stops_the_job() {
    let text = refused(&[], KEY, &[("+I", 1, None)]);
    assert!(text.contains("`name`") && text.contains("cdc.w"), "{text}");
    assert!(text.contains("ALTER TABLE \"w\" REPLICA IDENTITY FULL"), "{text}");
    // An append keeps whole rows only.
    assert!(refused(&[], &[], &[("+I", 1, None)]).contains("`name`"));
    let inserts = [("support_upsert_by_insert_only", "true")];
    assert!(refused(&inserts, KEY, &[("+U", 1, None)]).contains("`name`"));
    // By another key than the source's, that key must be told.
    assert!(refused(&[], &[&["name"]], &[("-D", 1, None)]).contains("`name`"));
    assert!(refused(&[], &[&["name"]], &[("+U", 1, None)]).contains("`name`"));
    // An update of a row that was deleted before it cannot be.
    assert!(refused(&[], KEY, &[("-D", 1, None), ("+U", 1, None)]).contains("no row of that key"));
}

#[test]
fn a_key_that_moved_must_come_whole() {
    let rows = [("-U", 1, Some("a")), ("+U", 2, None)];
    assert!(refused(&[("primary_keys", "name")], &[&["name"]], &rows).contains("`name`"));
}

#[test]
fn literals_are_found_whatever_they_hold() {
    let shown = |row: &[u8]| -> Vec<String> {
        values(row).into_iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    };
    assert_eq!(shown(b"(1,'a,b',NULL)"), ["1", "'a,b'", "NULL"]);
    assert_eq!(shown(b"(,'',_binary'\\',\\'\\\\')"), ["", "''", "_binary'\\',\\'\\\\'"]);
    assert_eq!(shown(b"('it\\'s (,) \"x',-1.5e0,)"), ["'it\\'s (,) \"x'", "-1.5e0", ""]);
    assert_eq!(merge(b"(1,'a,b',_binary'\\'',4)", b"(1,,,5)"), b"(1,'a,b',_binary'\\'',5)");
    assert_eq!(merge(b"(1,,'x')", b"(1,2,)"), b"(1,2,'x')");
}
