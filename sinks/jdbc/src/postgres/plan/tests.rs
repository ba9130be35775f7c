#![allow(clippy::unwrap_used)]

use arrow_schema::DataType;
use culvert_api::{Column, RowKindSet, TableId};

use super::*;
use crate::postgres::options::tests::settings;
use crate::postgres::pending::Partial;
use crate::postgres::target::{ForeignKey, IndexColumn};

pub(crate) const SERVER: Server = Server { version: 150_000 };

pub(crate) fn source(key: &[&str], kinds: RowKindSet) -> Arc<TableSchema> {
    let columns =
        vec![Column::derived("id", DataType::Int32, false), Column::derived("name", DataType::Utf8, true)];
    let key = key.iter().map(ToString::to_string).collect();
    Arc::new(TableSchema::new(TableId::new("cdc", "w"), 1, columns, key, kinds))
}

/// `public.w(id int4, name varchar)` with these unique indexes, the first one primary.
pub(crate) fn target(uniques: &[&[&str]]) -> TargetTable {
    let column = |number: i16, name: &str, base: &str| TargetColumn {
        number,
        name: name.into(),
        column_type: base.into(),
        base_type: base.into(),
        form: Form::of_type(base, -1),
        optional: name != "id",
        not_null: true,
        generated: false,
        identity_always: false,
    };
    let of_column = |name: &&str| IndexColumn {
        name: (*name).to_string(),
        equals: "OPERATOR(pg_catalog.=)".into(),
        collation: None,
        is_exact: true,
    };
    let index = |(place, names): (usize, &&[&str])| UniqueIndex {
        columns: names.iter().map(of_column).collect(),
        touched: names.iter().map(ToString::to_string).collect(),
        is_primary: place == 0,
        is_key: true,
        is_deferrable: false,
    };
    TargetTable {
        name: TargetName { schema: "public".into(), table: "w".into() },
        oid: 7,
        columns: vec![column(1, "id", "int4"), column(2, "name", "varchar")],
        uniques: uniques.iter().enumerate().map(index).collect(),
        foreign_keys: Vec::new(),
        is_unlogged: false,
        hides_rows: false,
    }
}

pub(crate) fn plan(source: &Arc<TableSchema>, target: &TargetTable, pairs: &[(&str, &str)]) -> TablePlan {
    for_table(&settings(pairs).unwrap(), source, target, SERVER).unwrap().0
}

#[test]
fn the_way_follows_from_edge_and_keys() {
    let all = source(&["id"], RowKindSet::ALL);
    let inserts = source(&["id"], RowKindSet::INSERT_ONLY);
    let append = plan(&inserts, &target(&[]), &[]);
    assert_eq!(append.mode, Mode::Append);
    assert_eq!(append.copy, r#"COPY "public"."w" ("id", "name") FROM STDIN"#);
    assert_eq!(plan(&all, &target(&[&["id"]]), &[]).mode, Mode::Merge);
    assert_eq!(plan(&all, &target(&[&["id"]]), &[("enable_upsert", "false")]).mode, Mode::Separate);
    let by_name = plan(&all, &target(&[&["name"]]), &[]);
    assert!(by_name.watch_moves);
    let first: Vec<&str> = by_name.slots.iter().map(|slot| slot.name.as_str()).collect();
    assert_eq!(first, ["name", "id"]);
}

#[test]
fn statements_of_a_merge() {
    let plan = plan(&source(&["id"], RowKindSet::ALL), &target(&[&["id"]]), &[]);
    let staging = plan.staging.unwrap();
    assert_eq!(
        staging.create("s"),
        "CREATE TEMPORARY TABLE s (op int2 NOT NULL, v0 int4, v1 varchar, k0 int4) ON COMMIT PRESERVE ROWS"
    );
    assert_eq!(staging.copy("s", false), "COPY pg_temp.s (op, v0, v1) FROM STDIN");
    assert_eq!(staging.copy("s", true), "COPY pg_temp.s (op, v0, v1, k0) FROM STDIN");
    assert_eq!(staging.reduce("s"), None);
    assert_eq!(
        staging.remove("s", None),
        r#"DELETE FROM "public"."w" t USING pg_temp.s s WHERE s.op OPERATOR(pg_catalog.=) 0 AND t."id" OPERATOR(pg_catalog.=) s.v0"#
    );
    assert_eq!(staging.clear_moved("s"), None);
    assert_eq!(
        staging.put("s"),
        [
            r#"INSERT INTO "public"."w" ("id", "name") SELECT s.v0, s.v1 FROM pg_temp.s s WHERE s.op OPERATOR(pg_catalog.=) 1 ON CONFLICT ("id") DO UPDATE SET "name" = EXCLUDED."name""#
        ]
    );
    let rows = |left_out: &[usize]| Partial { op: 2, left_out: left_out.to_vec(), moved: false };
    assert_eq!(
        staging.update("s", &rows(&[]), None).unwrap(),
        r#"UPDATE "public"."w" t SET "name" = s.v1 FROM pg_temp.s s WHERE s.op OPERATOR(pg_catalog.=) 2 AND t."id" OPERATOR(pg_catalog.=) s.v0"#
    );
    assert_eq!(staging.update("s", &rows(&[1]), None), None);
    assert_eq!(staging.complete_changed("s", &rows(&[1])), None);
    let [completed, missing] = staging.complete("s", &Partial { moved: true, ..rows(&[1]) }, None);
    assert_eq!(
        completed,
        r#"UPDATE pg_temp.s s SET op = 1, v1 = t."name" FROM "public"."w" t WHERE s.op OPERATOR(pg_catalog.=) 2 AND t."id" OPERATOR(pg_catalog.=) s.k0"#
    );
    assert_eq!(missing, "SELECT pg_catalog.count(*) FROM pg_temp.s s WHERE s.op OPERATOR(pg_catalog.=) 2");
}

#[test]
fn further_unique_indexes_let_moved_rows_give_way() {
    let all = source(&["id"], RowKindSet::ALL);
    let two = target(&[&["id"], &["name"]]);
    let staging = plan(&all, &two, &[]).staging.unwrap();
    assert!(staging.replaces());
    let moved = r#"(t."name"::pg_catalog.text OPERATOR(pg_catalog.=) s.v1::pg_catalog.text) IS NOT TRUE"#;
    assert!(staging.clear_moved("s").unwrap().contains(moved));
    assert_eq!(staging.move_in_place("s"), None);
    let rows = |left_out: &[usize]| Partial { op: 3, left_out: left_out.to_vec(), moved: false };
    assert!(staging.complete_changed("s", &rows(&[])).unwrap().contains(moved));
    assert_eq!(staging.complete_changed("s", &rows(&[1])), None);
    // Deleting a parent would be noticed.
    let key = ForeignKey { child: 8, parent: 7, is_deferrable: true, on_delete: 'c' };
    let staging = plan(&all, &TargetTable { foreign_keys: vec![key], ..two.clone() }, &[]).staging.unwrap();
    assert_eq!(staging.clear_moved("s"), None);
    assert!(staging.move_in_place("s").unwrap().contains("NOT EXISTS"));
    // A constraint that can wait asks for nothing.
    let mut waiting = two;
    waiting.uniques[1].is_deferrable = true;
    assert!(!plan(&all, &waiting, &[]).staging.unwrap().replaces());
}

#[test]
fn a_key_that_cannot_be_a_conflict_target_is_updated_and_inserted() {
    let all = source(&["id"], RowKindSet::ALL);
    let mut deferrable = target(&[&["id"]]);
    deferrable.uniques[0].is_deferrable = true;
    let statements = plan(&all, &deferrable, &[]).staging.unwrap().put("s");
    assert!(statements[0].starts_with("UPDATE") && statements[1].contains("NOT EXISTS"), "{statements:?}");
    let settings = settings(&[]).unwrap();
    let old = for_table(&settings, &all, &target(&[&["id"]]), Server { version: 90_200 }).unwrap().0;
    assert_eq!(old.staging.unwrap().put("s").len(), 2);
}

#[test]
fn keys_that_the_server_has_to_compare_are_numbered() {
    let all = source(&["name"], RowKindSet::ALL);
    let mut folded = target(&[&["name"]]);
    folded.uniques[0].columns[0].is_exact = false;
    folded.uniques[0].columns[0].collation = Some("public.folded".into());
    let plan = plan(&all, &folded, &[]);
    assert!(plan.is_numbered());
    let staging = plan.staging.unwrap();
    assert!(staging.create("s").contains("seq int8 NOT NULL, v0 varchar COLLATE public.folded"));
    assert!(staging.reduce("s").unwrap().contains("PARTITION BY v0 ORDER BY seq DESC"));
    assert!(staging.put("s")[0].contains(r#"SET "name" = EXCLUDED."name""#));
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let refused = |source: &Arc<TableSchema>, target: &TargetTable| {
        for_table(&settings(&[]).unwrap(), source, target, SERVER).unwrap_err().to_string()
    };
    assert!(refused(&source(&["id"], RowKindSet::ALL), &target(&[])).contains("ADD PRIMARY KEY (\"id\")"));
    let mut always = target(&[&["id"]]);
    always.columns[1].identity_always = true;
    assert!(refused(&source(&["id"], RowKindSet::ALL), &always).contains("SET GENERATED BY DEFAULT"));
}
