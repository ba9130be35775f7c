//! JSON: MySQL's binary form, MariaDB's text.

use culvert_tests::Flavor;

use super::{Column, Shown, column};

/// Documents as text, which both servers take.
const TEXTS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "32767",
    "-32768",
    "32768",
    "65535",
    "65536",
    "2147483647",
    "-2147483649",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    // Beyond BIGINT: doubles.
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "0.1",
    "1.0",
    "-0.0",
    "1e300",
    "-1.5e-300",
    "1e15",
    "1e16",
    "123456789.123456789",
    "1e-5",
    "0.00001",
    "1e22",
    "100000000000000000000000",
    "5e-324",
    "1.7976931348623157e308",
    "3.0e2",
    "2.5e-7",
    "1e17",
    "1234567890123456.7",
    r#""""#,
    r#""plain""#,
    r#""quote \\" slash \\\\ solidus \\/""#,
    r#""\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f""#,
    r#""é 漢字 😀 \\ud83d\\ude00 \\u00e9""#,
    r#""\\u2028 \\u2029 <>&""#,
    "{}",
    "[]",
    "[[]]",
    "{\"\": {}}",
    "[{}, [], \"\", null]",
    r#"{"b": 1, "a": [1, 2.5, "x", null, true, {"deep": [[[1]]]}], "ключ": "значение", "aa": 2, "c": false}"#,
    r#"{"long key that is sorted by length first": 1, "z": 2, "yy": 3}"#,
    "[1, -1, 70000, -70000, 5000000000, -5000000000, 18446744073709551615, 1.5, true, false, null]",
];

/// Expressions only MySQL has.
const MYSQL: &[&str] = &[
    "CAST(CAST('123.4500' AS DECIMAL(10,4)) AS JSON)",
    "CAST(CAST('-0.0001' AS DECIMAL(65,30)) AS JSON)",
    "CAST(CAST('99999999999999999999999999999999999' AS DECIMAL(65,0)) AS JSON)",
    "CAST(DATE'2024-02-29' AS JSON)",
    "CAST(TIMESTAMP'2024-02-29 01:02:03.000004' AS JSON)",
    "CAST(CAST('1000-01-01 00:00:00' AS DATETIME) AS JSON)",
    "CAST(TIME'-838:59:59' AS JSON)",
    "CAST(TIME'00:00:00.000001' AS JSON)",
    "CAST(TIME'-00:00:00.5' AS JSON)",
    "CAST(CAST(2024 AS YEAR) AS JSON)",
    "CAST(x'00ff7f' AS JSON)",
    "CAST(REPEAT(x'ab', 100) AS JSON)",
    "CAST(REPEAT(x'00', 57) AS JSON)",
    "CAST(b'101' AS JSON)",
    "JSON_OBJECT('when', TIMESTAMP'2024-02-29 01:02:03.000004', 'bytes', x'cafe', 'n', 1.50, 'e', CAST('a' AS CHAR CHARACTER SET latin1))",
    "JSON_ARRAY(1.10, 1e0, CAST(1 AS UNSIGNED), TRUE, NULL, DATE'0001-01-01')",
    "ST_AsGeoJSON(ST_GeomFromText('POINT(1.5 -2)'))",
    "JSON_OBJECT('g', ST_GeomFromText('POINT(1 2)'))",
];

/// Documents past the sizes at which the binary form changes.
const LARGE: &[&str] = &[
    "CONCAT('[', REPEAT('12345, ', 12000), '1]')",
    "CONCAT('{\"a\": \"', REPEAT('é', 40000), '\", \"b\": [1, 70000, 2.5]}')",
    "CONCAT('[', REPEAT('\"0123456789\", ', 7000), '70000, 5, null, true, -1, {\"k\": 1}]')",
    "CONCAT('\"', REPEAT('x', 127), '\"')",
    "CONCAT('\"', REPEAT('x', 128), '\"')",
    "CONCAT('\"', REPEAT('x', 16384), '\"')",
    "CONCAT('{\"', REPEAT('k', 60000), '\": 1, \"', REPEAT('j', 60000), '\": [70000]}')",
];

/// Documents that are the same when the server reads their text again.
pub(super) fn columns(flavor: Flavor) -> Vec<Column> {
    let mut values: Vec<String> = TEXTS.iter().map(|text| format!("'{text}'")).collect();
    values.extend(LARGE.iter().map(ToString::to_string));
    // How deep a document may be.
    let depth = match flavor {
        Flavor::MariaDb => 30,
        Flavor::MySql => 100,
    };
    values.push(format!("CONCAT(REPEAT('[', {depth}), REPEAT(']', {depth}))"));
    values.push(format!("CONCAT(REPEAT('{{\"a\":', {0}), '1', REPEAT('}}', {0}))", depth - 1));
    vec![
        Column { name: "document".into(), declared: "JSON".into(), shown: Shown::Printed, values },
        column("second", "JSON", Shown::Printed, &["'{}'", "'[]'", "'{\"a\": 1}'"]),
    ]
}

/// Documents for a target that keeps the text: MySQL reads a decimal as a double.
pub(super) fn texts(flavor: Flavor) -> Vec<Column> {
    let mut columns = columns(flavor);
    if flavor == Flavor::MySql {
        columns.push(column("values_of_sql", "JSON", Shown::Printed, MYSQL));
    }
    columns
}
