#![allow(clippy::unwrap_used)]

use std::path::Path;

use culvert_config::{Format, JobFile, Problem, Variables, definition_mistakes};

use super::*;

/// The options of a block; panics when they are refused by the definitions alone.
pub(crate) fn options(block: &str) -> Options {
    let text = format!("source {{ FakeSource {{ {block} }} }}\nsink {{ B {{}} }}");
    let job =
        JobFile::parse(&text, Path::new("j.conf"), Format::Hocon, &Variables::new(&[]).unwrap()).unwrap();
    let (options, mut problems) = Options::resolve(&job.sources[0], OPTIONS);
    problems.extend(options.check(RULES));
    assert!(!problems.iter().any(Problem::is_error), "{problems:?}");
    options
}

fn tables_of(block: &str) -> Vec<Table> {
    tables(&options(block), 1).unwrap()
}

fn refused(block: &str) -> String {
    tables(&options(block), 1).unwrap_err().to_string()
}

const AB: &str = "schema { table = d.t, fields { a = int, b = string }, primaryKey { columnNames = [a] } }";

#[test]
fn the_options_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
}

#[test]
fn rows_are_cut_into_splits_for_each_degree_of_parallelism() {
    let options = options(&format!("{AB}, row.num = 10, split.num = 3"));
    assert_eq!(tables(&options, 1).unwrap()[0].splits, [(0, 4), (4, 8), (8, 10)]);
    assert_eq!(
        tables(&options, 2).unwrap()[0].splits,
        [(0, 4), (4, 8), (8, 10), (10, 14), (14, 18), (18, 20)]
    );
    assert_eq!(tables_of(&format!("{AB}, row.num = 0"))[0].splits, []);
    assert_eq!(tables_of(&format!("{AB}, row.num = 10, parallelism = 2"))[0].rows(), 20);
}

#[test]
fn an_update_is_not_parted_and_one_of_the_key_is_a_delete_and_an_insert() {
    let table = tables_of(&format!(
        "{AB}, split.num = 3, rows = [
           {{ kind = insert, fields = [1, x] }}
           {{ kind = UPDATE_BEFORE, fields = [1, x] }}
           {{ kind = UPDATE_AFTER, fields = [1, null] }}
           {{ kind = UPDATE_BEFORE, fields = [1, x] }}
           {{ kind = UPDATE_AFTER, fields = [2, x] }}
           {{ fields = [3, x] }}
         ]"
    ))
    .remove(0);
    assert_eq!(table.splits, [(0, 3), (3, 5), (5, 6)]);
    let Content::Written(rows) = &table.content else { panic!() };
    let kinds: Vec<(&str, bool)> = rows.iter().map(|row| (row.kind.short(), row.is_second)).collect();
    assert_eq!(
        kinds,
        [("+I", false), ("-U", false), ("+U", true), ("-D", false), ("+I", true), ("+I", false)]
    );
    assert!(table.schema.kinds.contains(RowKind::UpdateAfter) && !table.schema.kinds.is_insert_only());
    assert!(tables_of(AB)[0].schema.kinds.is_insert_only());
}

#[test]
fn several_tables_have_their_own_options_or_one_schema() {
    let tables = tables_of(&format!(
        "tables_configs = [{{ {AB}, row.num = 3 }}, {{ schema {{ table = d.u, fields {{ c = date }} }}, row.num = 4 }}]"
    ));
    let found: Vec<(String, u64)> =
        tables.iter().map(|table| (table.schema.id.to_string(), table.rows())).collect();
    assert_eq!(found, [("d.t".to_owned(), 3), ("d.u".to_owned(), 4)]);
    let tables = tables_of("table-names = [\"test.a\", \"test.b\"], schema { fields { a = int } }");
    let names: Vec<String> = tables.iter().map(|table| table.schema.id.to_string()).collect();
    assert_eq!(names, ["test.a", "test.b"]);
    assert_eq!(
        tables_of("schema { fields { a = int } }")[0].schema.id.to_string(),
        "default.default.default"
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (block, named) in [
        (
            format!("{AB}, rows = [{{ kind = UPDATE_AFTER, fields = [1, x] }}]"),
            "UPDATE_AFTER without its other half in row 1",
        ),
        (
            format!("{AB}, rows = [{{ kind = UPDATE_BEFORE, fields = [1, x] }}]"),
            "UPDATE_BEFORE without its other half in row 1",
        ),
        (format!("{AB}, rows = [{{ kind = UPSERT, fields = [1, x] }}]"), "in row 1 of table d.t"),
        (format!("{AB}, rows = [{{ fields = [1] }}]"), "has 1 values for 2 columns"),
        (
            format!("{AB}, rows = [{{ fields = [1, x] }}, {{ fields = [1.5, x] }}]"),
            "column a (Int32) in row 2",
        ),
        (format!("{AB}, rows = [{{ fields = [null, x] }}]"), "a NULL for the column a"),
        (format!("{AB}, rows = [{{ field = [1, x] }}]"), "has 'field'"),
        (format!("{AB}, int.fake.mode = template"), "'int.template' has no value"),
        (format!("{AB}, int.template = [1, x]"), "'int.template' has a value that is no int"),
        (format!("{AB}, int.min = 5, int.max = 4"), "'int.min' is above 'int.max'"),
        (format!("{AB}, float.max = 1e300"), "use a double"),
        (format!("{AB}, date.month.template = [13]"), "from 1 to 12"),
        ("schema { fields { v = float_vector } }".to_owned(), "float_vector"),
        (format!("tables_configs = [{{ {AB} }}, {{ {AB} }}]"), "names the table d.t twice"),
        (
            format!("tables_configs = [{{ {AB}, row.nu = 3 }}]"),
            "entry 1 of option 'tables_configs': option 'row.nu'",
        ),
        ("tables_configs = []".to_owned(), "names no table"),
        (
            "schema { columns = [{ name = a, type = int, defaultValue = x }] }".to_owned(),
            "does not fit the column a",
        ),
    ] {
        let error = refused(&block);
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn the_time_of_the_start_is_a_word() {
    let table = tables_of(
        "schema { fields { a = timestamp, b = string } }, rows = [{ fields = [CURRENT_TIMESTAMP, CURRENT_TIMESTAMP] }]",
    );
    let Content::Written(rows) = &table[0].content else { panic!() };
    assert_eq!(rows[0].values, [Said::Now, Said::Cell(Cell::Text("CURRENT_TIMESTAMP".to_owned()))]);
}
