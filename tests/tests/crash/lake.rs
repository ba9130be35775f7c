//! Changes in tables of Iceberg, on a folder or in a bucket, as pyiceberg reads them.

use std::path::Path;

use culvert_tests::oracle::Row;
use culvert_tests::{Lake, LakeTable, S3};

use super::judge::{Change, Kind};

/// A warehouse.
pub(crate) struct Tables {
    lake: &'static Lake,
    s3: Option<&'static S3>,
    warehouse: String,
}

impl Tables {
    /// One in a folder, or in a bucket of its own.
    pub(crate) fn new(lake: &'static Lake, s3: Option<&'static S3>, folder: &Path) -> Tables {
        let warehouse = match s3 {
            Some(s3) => format!("s3://{}/warehouse", s3.fresh_bucket("crash")),
            None => folder.join("warehouse").display().to_string(),
        };
        Tables { lake, s3, warehouse }
    }

    /// The sink that writes them.
    pub(crate) fn sink_block(&self) -> String {
        let storage = self.s3.map_or_else(String::new, |s3| {
            format!(
                ", s3.endpoint = \"{}\", s3.access-key-id = {}, s3.secret-access-key = {}, s3.region = {}",
                s3.url(),
                culvert_tests::s3::KEY,
                culvert_tests::s3::SECRET,
                culvert_tests::s3::REGION
            )
        });
        format!(
            "Iceberg {{ catalog_name = c, namespace = n, iceberg.table.schema-evolution-enabled = true\n\
             iceberg.catalog.config {{ type = hadoop, warehouse = \"{}\"{storage} }} }}",
            self.warehouse
        )
    }

    /// The rows of a table in the order of the source's log; none as long as there is no table.
    pub(crate) async fn rows(&self, table: &str, columns: &[&str]) -> Vec<Row> {
        let mut place = LakeTable::at(&format!("{}/n/{table}", self.warehouse));
        if let Some(s3) = self.s3 {
            place = place.on(s3);
        }
        let Ok(read) = self.lake.try_rows(&place).await else { return Vec::new() };
        let wanted: Vec<&str> = ["row_position"].into_iter().chain(columns.iter().copied()).collect();
        let mut rows = read.only(&wanted).rows;
        rows.sort_by_key(|row| order(row[0].as_deref().expect("every row has a position")));
        rows.into_iter().map(|row| row[1..].to_vec()).collect()
    }

    /// The changes of a table with the key `id`.
    pub(crate) async fn history(&self, table: &str, judged: [&str; 2]) -> Vec<Change> {
        let [n, v] = judged;
        let change = |row: Row| Change {
            kind: Kind::of(row[0].as_deref().unwrap_or_default()),
            key: row[1]
                .as_deref()
                .and_then(|id| id.parse().ok())
                .unwrap_or_else(|| panic!("no key: {row:?}")),
            values: row[2..].to_vec(),
        };
        self.rows(table, &["row_kind", "id", n, v]).await.into_iter().map(change).collect()
    }
}

/// Where a position stands in the source's log: rows of the snapshot first, then by the transaction's number, the event, and
/// the row. The number is the last part of a GTID; of an LSN, `HIGH/LOW` in hexadecimal, both.
fn order(position: &str) -> (u64, u64, u64) {
    let mut parts = position.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (Some(row), Some(event)) = (number(), number()) else { panic!("{position} is no position") };
    let transaction = parts.next().unwrap_or_default();
    if transaction.starts_with("snapshot:") {
        return (0, event, row);
    }
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let number = match transaction.split_once('/') {
        Some((high, low)) => hex(high).zip(hex(low)).map(|(high, low)| (high << 32) | low),
        None => transaction.rsplit(['-', ':']).next().and_then(|part| part.parse().ok()),
    };
    (number.unwrap_or_else(|| panic!("{position} has no number")), event, row)
}
