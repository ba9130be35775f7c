//! Spatial types and MySQL's VECTOR.

use culvert_tests::Flavor;

use super::{Column, Shown, column};

/// Spatial columns; MySQL's VECTOR beside them.
pub(super) fn columns(flavor: Flavor) -> Vec<Column> {
    let shapes = [
        ("point", "POINT(1.5 -2)"),
        ("linestring", "LINESTRING(0 0, 1 1, 2 0.1)"),
        ("polygon", "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (1 1, 2 1, 2 2, 1 1))"),
        ("multipoint", "MULTIPOINT(1 1, 2 2)"),
        ("multilinestring", "MULTILINESTRING((0 0, 1 1), (2 2, 3 3, 4 4))"),
        ("multipolygon", "MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))"),
        ("geometrycollection", "GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))"),
    ];
    let from_text = |text: &str, srid: u32| match srid {
        0 => format!("ST_GeomFromText('{text}')"),
        _ => format!("ST_GeomFromText('{text}', {srid})"),
    };
    let mut columns: Vec<Column> = shapes
        .iter()
        .map(|(name, text)| Column {
            name: format!("{name}_"),
            declared: name.to_uppercase(),
            shown: Shown::Bytes,
            values: vec![from_text(text, 0), from_text(text, 4326)],
        })
        .collect();
    let mut any: Vec<String> = shapes.iter().map(|(_, text)| from_text(text, 0)).collect();
    any.push(from_text("POINT(1e300 -1e-300)", 0));
    any.push(from_text("GEOMETRYCOLLECTION EMPTY", 0));
    any.push(from_text("POINT(10 20)", 4326));
    columns.push(Column {
        name: "geometry_".into(),
        declared: "GEOMETRY".into(),
        shown: Shown::Bytes,
        values: any,
    });
    if flavor == Flavor::MySql {
        let srid =
            column("with_srid", "POINT SRID 4326", Shown::Bytes, &["ST_GeomFromText('POINT(10 20)', 4326)"]);
        let long = format!("TO_VECTOR('[{}1]')", "0.5,".repeat(2047));
        columns.push(srid);
        columns.push(column(
            "vector_3",
            "VECTOR(3)",
            Shown::Bytes,
            &["TO_VECTOR('[1,-2.5,3e38]')", "TO_VECTOR('[0]')"],
        ));
        columns.push(column("vector_", "VECTOR", Shown::Bytes, &["TO_VECTOR('[1]')", &long]));
    }
    columns
}
