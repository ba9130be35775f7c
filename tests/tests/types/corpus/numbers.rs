//! Integers, decimals, floats, bits, and columns the server computes.

use culvert_tests::Flavor;

use super::{Column, Shown, column};

/// Integers, bits, years and floats.
pub(super) fn numbers() -> Vec<Column> {
    let mut columns = Vec::new();
    let integers = [("tinyint", 8), ("smallint", 16), ("mediumint", 24), ("int", 32), ("bigint", 64)];
    for (name, bits) in integers {
        let (low, high) = (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1);
        let literals: Vec<String> = [low, low + 1, -1, 0, 1, high].map(|value| value.to_string()).into();
        columns.push(Column {
            name: format!("{name}_signed"),
            declared: name.into(),
            shown: Shown::Printed,
            values: literals,
        });
        let top = (1_i128 << bits) - 1;
        let literals: Vec<String> = [0, 1, high, high + 1, top].map(|value| value.to_string()).into();
        for (suffix, attributes) in [("unsigned", "UNSIGNED"), ("zerofill", "UNSIGNED ZEROFILL")] {
            columns.push(Column {
                name: format!("{name}_{suffix}"),
                declared: format!("{name} {attributes}"),
                shown: Shown::Printed,
                values: literals.clone(),
            });
        }
    }
    columns.push(column("zerofill_3", "INT(3) ZEROFILL", Shown::Printed, &["0", "7", "4294967295"]));
    columns.push(column("truth", "BOOLEAN", Shown::Printed, &["TRUE", "FALSE", "-128", "127"]));
    for bits in [1, 7, 8, 9, 24, 33, 63, 64] {
        let ones = "1".repeat(bits);
        let (all, high) = (format!("b'{ones}'"), format!("b'1{}'", "0".repeat(bits - 1)));
        columns.push(column(
            format!("bit_{bits}"),
            format!("BIT({bits})"),
            Shown::Bytes,
            &["b'0'", "b'1'", &high, &all],
        ));
    }
    columns.push(column("year_", "YEAR", Shown::Printed, &["'0000'", "1901", "1970", "2000", "2155"]));
    columns.extend(floats());
    columns
}

fn floats() -> [Column; 5] {
    let floats = [
        "0",
        "-0e0",
        "0.1",
        "-1.5",
        "16777217",
        "3.4028234663852886e38",
        "-3.4028234663852886e38",
        "1.1754943508222875e-38",
        "1e-45",
        "3.14159265",
        "8388608.5",
    ];
    let doubles = [
        "0",
        "-0e0",
        "0.1",
        "1e300",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "2.2250738585072014e-308",
        "5e-324",
        "9007199254740993",
        "123456789012345680",
        "0.30000000000000004",
    ];
    [
        column("float_", "FLOAT", Shown::Real, &floats),
        column("double_", "DOUBLE", Shown::Real, &doubles),
        column("float_7_4", "FLOAT(7,4)", Shown::Real, &["999.9999", "-0.0001", "1.5"]),
        column("double_10_2", "DOUBLE(10,2)", Shown::Real, &["99999999.99", "-0.01", "1.5"]),
        column("float_53", "FLOAT(53)", Shown::Real, &doubles),
    ]
}

/// DECIMAL in every width of its digits' groups.
pub(super) fn decimals(flavor: Flavor) -> Vec<Column> {
    let mut sizes = vec![
        (1, 0),
        (1, 1),
        (5, 2),
        (9, 0),
        (9, 9),
        (10, 0),
        (18, 9),
        (19, 10),
        (20, 7),
        (30, 30),
        (37, 20),
        (38, 0),
        (38, 30),
        (39, 0),
        (39, 30),
        (65, 0),
        (65, 30),
    ];
    if flavor == Flavor::MariaDb {
        sizes.extend([(38, 38), (65, 38)]);
    }
    let mut columns: Vec<Column> = sizes
        .into_iter()
        .map(|(precision, scale)| {
            let whole = "9".repeat(precision - scale);
            let largest = match scale {
                0 => whole,
                _ => format!("{}.{}", if whole.is_empty() { "0" } else { &whole }, "9".repeat(scale)),
            };
            let smallest = match scale {
                0 => "1".to_string(),
                _ => format!("0.{}1", "0".repeat(scale - 1)),
            };
            Column {
                name: format!("d_{precision}_{scale}"),
                declared: format!("DECIMAL({precision},{scale})"),
                shown: Shown::Printed,
                values: vec![
                    largest.clone(),
                    format!("-{largest}"),
                    smallest.clone(),
                    format!("-{smallest}"),
                    "0".into(),
                ],
            }
        })
        .collect();
    columns.push(column(
        "unsigned_",
        "DECIMAL(10,3) UNSIGNED",
        Shown::Printed,
        &["9999999.999", "0.001", "0"],
    ));
    columns.push(column(
        "zerofill_",
        "DECIMAL(10,3) UNSIGNED ZEROFILL",
        Shown::Printed,
        &["9999999.999", "7.5", "0"],
    ));
    columns
}

/// Columns the server computes, and columns `SELECT *` does not show.
pub(super) fn generated() -> Vec<Column> {
    vec![
        column("a", "INT", Shown::Printed, &["1", "-5", "1000000"]),
        column("twice", "BIGINT AS (a * 2) VIRTUAL", Shown::Printed, &[]),
        column("s", "VARCHAR(20)", Shown::Text, &["'x'", "'é'", "'漢字'"]),
        column("both_", "VARCHAR(60) AS (CONCAT(s, '-', a)) STORED", Shown::Text, &[]),
        column("hidden", "INT INVISIBLE DEFAULT 7", Shown::Printed, &["1", "2", "3"]),
        column("upper_s", "VARCHAR(20) AS (UPPER(s)) VIRTUAL", Shown::Text, &[]),
        column("last", "DECIMAL(10,2)", Shown::Printed, &["1.25", "-0.01", "0"]),
    ]
}
