//! Dates and times with every number of digits of a second.

use culvert_tests::Flavor;

use super::{Column, Shown, column};

/// DATE, and DATETIME, TIMESTAMP and TIME with 0 to 6 digits. The literals are points in time in
/// UTC: the session that inserts them speaks UTC.
pub(super) fn columns(flavor: Flavor) -> Vec<Column> {
    let dates =
        ["'1000-01-01'", "'9999-12-31'", "'0001-01-01'", "'1582-10-10'", "'2000-02-29'", "'1970-01-01'"];
    let mut columns = vec![column("date_", "DATE", Shown::Printed, &dates)];
    // MariaDB lets TIME end with a fraction, MySQL at the whole second.
    let last_fraction = match flavor {
        Flavor::MariaDb => "999999",
        Flavor::MySql => "000000",
    };
    for digits in 0..=6 {
        let with = |whole: &str, fraction: &str| match digits {
            0 => format!("'{whole}'"),
            _ => format!("'{whole}.{}'", fraction.get(..digits).unwrap_or_default()),
        };
        let declared = |name: &str| format!("{name}({digits})");
        let list =
            |values: &[(&str, &str)]| values.iter().map(|(whole, fraction)| with(whole, fraction)).collect();
        columns.push(Column {
            name: format!("datetime_{digits}"),
            declared: declared("DATETIME"),
            shown: Shown::Printed,
            values: list(&[
                ("1000-01-01 00:00:00", "000000"),
                ("9999-12-31 23:59:59", "999999"),
                ("0001-01-01 00:00:00", "000001"),
                ("2024-03-31 02:30:00", "123456"),
                ("1969-12-31 23:59:59", "999999"),
                ("2000-01-01 00:00:00", "100000"),
            ]),
        });
        columns.push(Column {
            name: format!("timestamp_{digits}"),
            declared: format!("{} NULL", declared("TIMESTAMP")),
            shown: Shown::Printed,
            values: list(&[
                ("1970-01-01 00:00:01", "000000"),
                ("2038-01-19 03:14:07", "000000"),
                ("2038-01-19 03:14:06", "999999"),
                ("2024-03-31 00:59:59", "999999"),
                ("2024-10-27 00:30:00", "500000"),
                ("2024-10-27 01:30:00", "000001"),
            ]),
        });
        columns.push(Column {
            name: format!("time_{digits}"),
            declared: declared("TIME"),
            shown: Shown::Printed,
            values: list(&[
                ("838:59:59", last_fraction),
                ("-838:59:59", last_fraction),
                ("-00:00:00", "999999"),
                ("-00:00:01", "000001"),
                ("00:00:00", "000000"),
                ("24:00:00", "123456"),
                ("-100:59:59", "900000"),
                ("-00:00:00", "000001"),
                ("23:59:59", "999999"),
            ]),
        });
    }
    columns
}
