#![allow(clippy::unwrap_used)]

use arrow_schema::DataType;
use culvert_api::{Column, RowKind, RowKindSet, TableId};
use culvert_config::{Block, Entry, Options, Place, Role, Value};

use super::*;
use crate::mysql::column_type::Family;
use crate::mysql::target::{TargetColumn, UniqueIndex};
use crate::options::OPTIONS;

pub(crate) fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut block = Block::new(Role::Sink, "Jdbc", Place::default());
    let all = [("url", "jdbc:mysql://h/cdc"), ("generate_sink_sql", "true")];
    for (key, value) in all.iter().chain(pairs) {
        block.entries.push(Entry {
            key: (*key).to_string(),
            value: Value::String((*value).to_string()),
            place: Place::default(),
        });
    }
    Settings::from_options(&Options::resolve(&block, OPTIONS).0).unwrap()
}

pub(crate) fn source(key: &[&str], kinds: RowKindSet) -> Arc<TableSchema> {
    let columns =
        vec![Column::derived("id", DataType::Int32, false), Column::derived("name", DataType::Utf8, true)];
    let key = key.iter().map(ToString::to_string).collect();
    Arc::new(TableSchema::new(TableId::new("cdc", "w"), 1, columns, key, kinds))
}

/// `cdc.w(id int, name varchar, …)` with these unique indexes, the first one primary.
pub(crate) fn target(uniques: &[&[&str]], own: &[(&str, bool)]) -> TargetTable {
    let column = |name: &str, family, optional| TargetColumn {
        name: name.into(),
        column_type: String::new(),
        form: Form::of(family),
        optional,
        nullable: optional,
        generated: false,
        collation: (family == Family::Text).then(|| "utf8mb4_general_ci".into()),
    };
    let mut columns = vec![column("id", Family::Integer, false), column("name", Family::Text, true)];
    columns.extend(own.iter().map(|(name, optional)| column(name, Family::Integer, *optional)));
    let index = |(place, names): (usize, &&[&str])| UniqueIndex {
        columns: names.iter().map(ToString::to_string).collect(),
        is_primary: place == 0,
        is_key: true,
    };
    TargetTable {
        name: TargetName { database: "cdc".into(), table: "w".into() },
        engine: "InnoDB".into(),
        columns,
        uniques: uniques.iter().enumerate().map(index).collect(),
        is_referenced: false,
    }
}

fn server() -> Server {
    Server { mariadb: true, version: (10, 11, 0), ..Server::default() }
}

fn planned(
    pairs: &[(&str, &str)],
    source: &Arc<TableSchema>,
    target: &TargetTable,
) -> (TablePlan, Vec<Finding>) {
    for_table(&settings(pairs), source, target, &server()).unwrap()
}

fn refused(pairs: &[(&str, &str)], source: &Arc<TableSchema>, target: &TargetTable) -> String {
    for_table(&settings(pairs), source, target, &server()).unwrap_err().to_string()
}

const ALL: RowKindSet = RowKindSet::ALL;
const INSERTS: RowKindSet = RowKindSet::INSERT_ONLY;

#[test]
fn the_way_follows_from_edge_and_keys() {
    let mode = |pairs: &[(&str, &str)], source: &Arc<TableSchema>, target: &TargetTable| {
        let (plan, findings) = planned(pairs, source, target);
        (plan.mode, findings.len())
    };
    let keyed = source(&["id"], ALL);
    assert_eq!(mode(&[], &keyed, &target(&[&["id"]], &[])), (Mode::Upsert, 0));
    assert_eq!(mode(&[], &keyed, &target(&[&["id"], &["name"]], &[])), (Mode::Replace, 0));
    assert_eq!(mode(&[("enable_upsert", "false")], &keyed, &target(&[&["id"]], &[])), (Mode::Separate, 0));
    let inserts = source(&["id"], INSERTS);
    assert_eq!(mode(&[], &inserts, &target(&[], &[])), (Mode::Append, 0));
    // A warning: one row per key remains.
    assert_eq!(mode(&[], &inserts, &target(&[&["id"]], &[])), (Mode::Upsert, 1));
    assert_eq!(mode(&[("primary_keys", "id")], &inserts, &target(&[&["id"]], &[])), (Mode::Upsert, 0));
    // A key of the target's own, such as a counter, takes every row.
    assert_eq!(mode(&[], &inserts, &target(&[&["seq"]], &[("seq", true)])), (Mode::Append, 0));
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let keyed = source(&["id"], ALL);
    let text = refused(&[], &keyed, &target(&[], &[]));
    assert!(text.contains("cdc.w") && text.contains("ADD PRIMARY KEY (`id`)"), "{text}");
    assert!(text.contains("RowKindExtractor"), "{text}");
    let text = refused(&[("primary_keys", "name")], &keyed, &target(&[&["id"]], &[]));
    assert!(text.contains("ALTER TABLE `cdc`.`w` ADD UNIQUE KEY (`name`)"), "{text}");
    let text = refused(&[("primary_keys", "nope")], &keyed, &target(&[&["id"]], &[]));
    assert!(text.contains("nope"), "{text}");
    let mut nullable = target(&[&["id"]], &[]);
    nullable.uniques[0].is_key = false;
    assert!(refused(&[("primary_keys", "id")], &keyed, &nullable).contains("NOT NULL"));
    let mut myisam = target(&[&["id"]], &[]);
    myisam.engine = "MyISAM".into();
    assert!(refused(&[], &keyed, &myisam).contains("ENGINE=InnoDB"));
}

#[test]
fn columns_must_meet() {
    let keyed = source(&["id"], ALL);
    let mut narrow = target(&[&["id"]], &[]);
    narrow.columns.truncate(1);
    assert!(refused(&[], &keyed, &narrow).contains("has no column `name`"));
    assert!(
        refused(&[], &keyed, &target(&[&["id"]], &[("must", false)]))
            .contains("needs a value in column `must`")
    );
    let mut lossy = target(&[&["id"]], &[]);
    lossy.columns[1].form.family = Family::Integer;
    let floats =
        vec![Column::derived("id", DataType::Int32, false), Column::derived("name", DataType::Float64, true)];
    let upstream = Arc::new(TableSchema::new(keyed.id.clone(), 1, floats, vec!["id".into()], ALL));
    assert!(refused(&[], &upstream, &lossy).contains("rounded"));
    let mut computed = target(&[&["id"]], &[]);
    computed.columns[1].generated = true;
    assert_eq!(planned(&[], &keyed, &computed).0.slots.len(), 1);
}

#[test]
fn statements_around_the_rows() {
    let keyed = source(&["id"], ALL);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (plan, _) = planned(&[], &keyed, &target(&[&["id"]], &[]));
    assert_eq!(text(&plan.insert_head), "INSERT INTO `cdc`.`w` (`id`, `name`) VALUES ");
    assert_eq!(
        text(&plan.upsert_tail),
        " ON DUPLICATE KEY UPDATE `id` = VALUES(`id`), `name` = VALUES(`name`)"
    );
    assert_eq!(text(&plan.delete_head), "DELETE FROM `cdc`.`w` WHERE `id` IN (");
    let (plan, _) = planned(&[("is_primary_key_updated", "false")], &keyed, &target(&[&["id"]], &[]));
    assert_eq!(text(&plan.upsert_tail), " ON DUPLICATE KEY UPDATE `name` = VALUES(`name`)");
    let mysql = Server { mariadb: false, version: (9, 7, 0), ..Server::default() };
    let (plan, _) = for_table(&settings(&[]), &keyed, &target(&[&["id"]], &[]), &mysql).unwrap();
    assert!(
        text(&plan.upsert_tail)
            .starts_with(" AS `culvert_new` ON DUPLICATE KEY UPDATE `id` = `culvert_new`.`id`")
    );
}

#[test]
fn moves_are_watched_when_the_key_is_another_than_the_sources() {
    let (plan, _) = planned(&[], &source(&["id"], ALL), &target(&[&["id"]], &[]));
    assert!(!plan.watch_moves);
    assert_eq!(plan.key_match, KeyMatch::Exact);
    let (plan, findings) = planned(&[], &source(&["id"], ALL), &target(&[&["name"]], &[]));
    assert!(plan.watch_moves && findings.is_empty());
    assert_eq!(plan.key_match, KeyMatch::Folded);
    let blind = source(&["id"], RowKindSet::of(&[RowKind::UpdateBefore]).complement());
    assert_eq!(planned(&[], &blind, &target(&[&["name"]], &[])).1.len(), 1);
}
