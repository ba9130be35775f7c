#![allow(clippy::unwrap_used)]

use culvert_api::{Column, RowKindSet, TableId};
use culvert_values::data_type;

use super::*;

const ORIGIN: Origin = Origin { seed: 7, now_us: 1_764_180_000_000_000 };

fn ranges() -> Ranges {
    Ranges {
        string_length: 5,
        bytes_length: 4,
        array_size: 3,
        map_size: 2,
        tinyint: Range { min: 1, max: 3, template: Vec::new() },
        smallint: Range { min: -5, max: -5, template: Vec::new() },
        int: Range { min: 0, max: 9, template: vec![Cell::Int(77)] },
        bigint: Range { min: i64::MIN, max: i64::MAX, template: Vec::new() },
        float: Range { min: 40.0, max: 43.0, template: Vec::new() },
        double: Range { min: f64::MIN, max: f64::MAX, template: Vec::new() },
        ..Ranges::default()
    }
}

fn schema(types: &[&str]) -> TableSchema {
    let columns = types
        .iter()
        .enumerate()
        .map(|(at, declared)| Column::derived(format!("c{at}"), data_type(declared).unwrap(), true));
    TableSchema::new(TableId::new("d", "t"), 1, columns.collect(), Vec::new(), RowKindSet::ALL)
}

fn maker(columns: usize) -> Maker {
    Maker { ranges: ranges(), recipes: vec![Recipe::Chance; columns] }
}

#[test]
fn a_row_is_the_same_whenever_it_is_made_and_no_other_row_is() {
    let schema = schema(&["bigint", "string", "timestamp", "decimal(38, 10)"]);
    let rows: Vec<Vec<Cell>> = (0..200).map(|row| maker(4).row(&schema, 0, row, ORIGIN)).collect();
    assert_eq!(rows[100], maker(4).row(&schema, 0, 100, ORIGIN));
    for (at, row) in rows.iter().enumerate() {
        assert!(!rows[..at].contains(row), "row {at} is one of those before");
    }
    assert_ne!(rows[0], maker(4).row(&schema, 1, 0, ORIGIN), "another table");
    assert_ne!(rows[0], maker(4).row(&schema, 0, 0, Origin { seed: 8, ..ORIGIN }), "another seed");
}

#[test]
fn values_lie_within_their_bounds() {
    let schema =
        schema(&["tinyint", "smallint", "int", "float", "double", "string", "bytes", "array<tinyint>"]);
    for number in 0..500 {
        let row = maker(8).row(&schema, 0, number, ORIGIN);
        assert!(matches!(row[0], Cell::Int(1..=3)), "{row:?}");
        assert_eq!((&row[1], &row[2]), (&Cell::Int(-5), &Cell::Int(77)));
        assert!(matches!(row[3], Cell::Float32(40.0..=43.0)), "{row:?}");
        assert!(matches!(row[4], Cell::Float64(value) if value.is_finite()), "{row:?}");
        assert!(matches!(&row[5], Cell::Text(text) if text.len() == 5), "{row:?}");
        assert!(matches!(&row[6], Cell::Bytes(bytes) if bytes.len() == 4), "{row:?}");
        assert!(matches!(&row[7], Cell::List(items) if items.len() == 3), "{row:?}");
    }
}

#[test]
fn every_type_gets_a_value_that_makes_a_column() {
    let types = [
        "boolean",
        "tinyint unsigned",
        "smallint unsigned",
        "int unsigned",
        "bigint unsigned",
        "decimal(1)",
        "decimal(76, 76)",
        "date",
        "time",
        "timestamp",
        "timestamp_tz",
        "interval",
        "map<string, array<int>>",
        "{a = int, b = {c = map<date, string>}}",
    ];
    let schema = schema(&types);
    let maker = Maker {
        ranges: Ranges {
            bigint: Range { min: 0, max: i64::MAX, template: Vec::new() },
            smallint: Range { min: 0, max: 9, template: Vec::new() },
            ..ranges()
        },
        recipes: vec![Recipe::Chance; types.len()],
    };
    for number in 0..100 {
        let row = maker.row(&schema, 0, number, ORIGIN);
        for ((column, cell), declared) in schema.columns.iter().zip(&row).zip(types) {
            assert_ne!(*cell, Cell::Null, "{declared}");
            let array = culvert_values::array(&column.data_type, std::iter::once(cell)).unwrap();
            assert_eq!((array.len(), array.null_count()), (1, 0), "{declared}");
        }
    }
}

#[test]
fn times_are_made_of_their_parts_and_of_this_year_without() {
    let calendar = Calendar { month: vec![2], day: vec![31], hour: vec![23], ..Calendar::default() };
    let mut chance = StdRng::seed_from_u64(1);
    let moment = calendar.moment(&mut chance, ORIGIN);
    let start = time::timestamp("2025-02-28T23:00:00", false).unwrap();
    assert!((start..start + 3_600_000_000).contains(&moment), "a 31st of February is its 28th");
    assert_eq!(now(&DataType::Date32, -1), Some(Cell::Int(-1)));
    assert_eq!(now(&DataType::Time64(TimeUnit::Microsecond), -1), Some(Cell::Int((DAY_MICROS - 1).into())));
    assert_eq!(now(&DataType::Utf8, 0), None);
}

#[test]
fn counted_columns_count_over_all_rows() {
    let schema = schema(&["int", "int"]);
    let maker = Maker {
        ranges: ranges(),
        recipes: vec![Recipe::Count(1000), Recipe::Said(Said::Cell(Cell::Int(5)))],
    };
    assert_eq!(maker.row(&schema, 0, 0, ORIGIN), [Cell::Int(1000), Cell::Int(5)]);
    assert_eq!(maker.row(&schema, 0, 49_999, ORIGIN)[0], Cell::Int(50_999));
}
