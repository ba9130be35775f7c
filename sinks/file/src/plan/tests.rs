#![allow(clippy::unwrap_used)]

use std::path::Path;

use arrow_array::Int32Array;
use culvert_api::{Column, RowKind, RowKindSet, RowPosition, TableId, Transaction};

use super::*;
use crate::options::tests::options;

fn settings(more: &str) -> Settings {
    Settings::from_options(&options(&format!("path = \"/out/${{table_name}}\", {more}"))).unwrap()
}

fn table(kinds: RowKindSet) -> Arc<TableSchema> {
    let columns =
        vec![Column::derived("id", DataType::Int32, true), Column::derived("city", DataType::Utf8, true)];
    Arc::new(TableSchema::new(TableId::new("d", "t/1"), 1, columns, Vec::new(), kinds))
}

fn batch(cities: &[Option<&str>]) -> ChangeBatch {
    let schema = table(RowKindSet::INSERT_ONLY);
    let ids = Int32Array::from_iter_values((0..).take(cities.len()));
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(StringArray::from(cities.to_vec()))];
    ChangeBatch {
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), columns).unwrap(),
        schema,
        kinds: vec![RowKind::Insert; cities.len()],
        positions: (0..)
            .map(|event| RowPosition { transaction: 0, event, row: 0 })
            .take(cities.len())
            .collect(),
        transactions: vec![Transaction::logged("x", None)],
        unavailable: Vec::new(),
    }
}

#[test]
fn changes_are_refused_unless_a_column_says_what_they_are() {
    let error = Plan::new(&settings(""), &table(RowKindSet::ALL)).unwrap_err().to_string();
    assert!(
        error.contains("RowKindExtractor")
            && error.contains("row_kind_column")
            && error.contains("table=d.t/1"),
        "{error}"
    );
    let plan = Plan::new(&settings("row_kind_column = op"), &table(RowKindSet::ALL)).unwrap();
    let rows = plan.rows(&batch(&[Some("x")])).unwrap();
    assert_eq!(
        rows.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(),
        ["id", "city", "op"]
    );
    assert!(Plan::new(&settings("row_kind_column = id"), &table(RowKindSet::ALL)).is_err());
}

#[test]
fn folders_come_from_values_and_lead_nowhere_else() {
    let settings = settings("have_partition = true, partition_by = [city]");
    let plan = Plan::new(&settings, &table(RowKindSet::INSERT_ONLY)).unwrap();
    assert_eq!(plan.folder, Path::new("/out/t%2F1"));
    let cities = [Some("a"), None, Some("../x"), Some(".."), Some("a"), Some(""), Some("50%=")];
    let folders = plan.partitions(&settings, &batch(&cities)).unwrap();
    let found: Vec<(&str, Vec<u64>)> =
        folders.iter().map(|(folder, rows)| (folder.as_str(), rows.clone())).collect();
    assert_eq!(
        found,
        [
            ("city=%2E%2E", vec![3]),
            ("city=..%2Fx", vec![2]),
            ("city=50%25%3D", vec![6]),
            ("city=__HIVE_DEFAULT_PARTITION__", vec![1, 5]),
            ("city=a", vec![0, 4]),
        ]
    );
    assert_eq!(plan.schema.fields().len(), 1, "the column is in the folder's name");
}

#[test]
fn what_engines_take_for_something_else_is_escaped() {
    let one = |more: &str, city: &str| {
        let settings = settings(&format!("have_partition = true, partition_by = [city]{more}"));
        let plan = Plan::new(&settings, &table(RowKindSet::INSERT_ONLY)).unwrap();
        plan.partitions(&settings, &batch(&[Some(city)])).map(|folders| folders.into_keys().next().unwrap())
    };
    assert_eq!(one("", "a\\b?c:d").unwrap(), "city=a%5Cb%3Fc%3Ad");
    let alone = ", partition_dir_expression = \"x/${v0}\"";
    assert_eq!(one(alone, ".hidden").unwrap(), "x/%2Ehidden");
    assert_eq!(one(alone, "_hidden").unwrap(), "x/%5Fhidden");
    assert_eq!(one(alone, "").unwrap(), "x/%5F_HIVE_DEFAULT_PARTITION__");
    let error = one(", partition_dir_expression = \"${v0}${v0}\"", &"x".repeat(200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value, "{error}");
}

#[test]
fn columns_are_those_that_are_asked_for() {
    let plan = Plan::new(&settings("sink_columns = [city, id]"), &table(RowKindSet::INSERT_ONLY)).unwrap();
    assert_eq!(plan.rows(&batch(&[None])).unwrap().schema().field(0).name(), "city");
    for wrong in [
        "sink_columns = [town]",
        "have_partition = true, partition_by = [town]",
        "sink_columns = [city], have_partition = true, partition_by = [city]",
    ] {
        assert!(Plan::new(&settings(wrong), &table(RowKindSet::INSERT_ONLY)).is_err(), "{wrong}");
    }
}

#[test]
fn names_are_unique_whatever_the_expression() {
    let naming = Naming { transaction: "T_j_r_0_7".to_owned(), unique: "u".to_owned() };
    assert_eq!(naming.file(&settings(""), 2, 0), "T_j_r_0_7_2.csv");
    let custom = settings(
        "custom_filename = true, file_name_expression = \"x_${now}/${uuid}\", filename_extension = dat",
    );
    assert_eq!(naming.file(&custom, 0, 0), "T_j_r_0_7_x_1970.01.01_u_0.dat");
}

#[test]
fn the_marker_lies_where_all_tables_meet() {
    assert_eq!(root("/a/b"), Path::new("/a/b"));
    assert_eq!(root("/a/b/x_${table_name}/y"), Path::new("/a/b"));
}
