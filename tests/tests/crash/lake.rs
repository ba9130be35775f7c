//! Changes in a lake, on a folder or in a bucket: tables of Iceberg as pyiceberg reads them, files of Parquet as DuckDB does.

use std::path::{Path, PathBuf};

use culvert_tests::oracle::Row;
use culvert_tests::s3::{KEY, REGION, SECRET};
use culvert_tests::{Lake, LakeTable, S3, scratch};

use super::files;
use super::judge::{Change, Kind};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Iceberg,
    Parquet,
}

/// Who reads a lake, and where it is.
#[derive(Clone, Copy)]
pub(crate) struct LakeServers {
    pub(crate) lake: &'static Lake,
    /// The service its bucket is in; `None` in a folder.
    pub(crate) s3: Option<&'static S3>,
    pub(crate) layout: Layout,
}

/// Tables in a lake.
pub(crate) struct Tables {
    servers: LakeServers,
    folder: PathBuf,
    /// Empty in a folder.
    bucket: String,
}

impl Tables {
    /// Some in a folder, or in a bucket of their own.
    pub(crate) fn new(servers: LakeServers, folder: &Path) -> Tables {
        let bucket = servers.s3.map_or_else(String::new, |s3| s3.fresh_bucket("crash"));
        Tables { servers, folder: folder.to_owned(), bucket }
    }

    fn warehouse(&self) -> String {
        match self.servers.s3 {
            Some(_) => format!("s3://{}/warehouse", self.bucket),
            None => self.folder.join("warehouse").display().to_string(),
        }
    }

    /// The sink that writes them.
    pub(crate) fn sink_block(&self) -> String {
        let kind = files::KIND;
        let parquet = format!("file_format_type = parquet, row_kind_column = {kind}");
        match (self.servers.layout, self.servers.s3) {
            (Layout::Iceberg, s3) => {
                let storage = s3.map_or_else(String::new, |s3| {
                    format!(
                        ", s3.endpoint = \"{}\", s3.access-key-id = {KEY}, s3.secret-access-key = {SECRET}, \
                         s3.region = {REGION}",
                        s3.url()
                    )
                });
                format!(
                    "Iceberg {{ catalog_name = c, namespace = n, iceberg.table.schema-evolution-enabled = true\n\
                     iceberg.catalog.config {{ type = hadoop, warehouse = \"{}\"{storage} }} }}",
                    self.warehouse()
                )
            }
            (Layout::Parquet, None) => {
                format!("LocalFile {{ path = \"{}/${{table_name}}\", {parquet} }}", self.folder.display())
            }
            (Layout::Parquet, Some(s3)) => format!(
                "S3File {{ bucket = \"s3a://{}\", path = \"/out/${{table_name}}\", {parquet}\n\
                 fs.s3a.endpoint = \"{}\", access_key = {KEY}, secret_key = {SECRET}\n\
                 fs.s3a.aws.credentials.provider = \"org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider\"\n\
                 hadoop_s3_properties {{ fs.s3a.path.style.access = true }} }}",
                self.bucket,
                s3.url()
            ),
        }
    }

    /// The rows of a table in the order of the source's log; none as long as there is no table.
    pub(crate) async fn rows(&self, table: &str, columns: &[&str]) -> Vec<Row> {
        match self.servers.layout {
            Layout::Iceberg => self.rows_of_iceberg(table, columns).await,
            Layout::Parquet => self.rows_of_parquet(table, columns).await,
        }
    }

    async fn rows_of_iceberg(&self, table: &str, columns: &[&str]) -> Vec<Row> {
        let mut place = LakeTable::at(&format!("{}/n/{table}", self.warehouse()));
        if let Some(s3) = self.servers.s3 {
            place = place.on(s3);
        }
        let Ok(read) = self.servers.lake.try_rows(&place).await else { return Vec::new() };
        let wanted: Vec<&str> = ["row_position"].into_iter().chain(columns.iter().copied()).collect();
        let mut rows = read.only(&wanted).rows;
        rows.sort_by_key(|row| position(row[0].as_deref().expect("every row has a position")));
        rows.into_iter().map(|row| row[1..].to_vec()).collect()
    }

    /// Files are begun in the order of the log; rows of a file have it, too.
    async fn rows_of_parquet(&self, table: &str, columns: &[&str]) -> Vec<Row> {
        let copied = self.servers.s3.map(|s3| self.copy(s3, table));
        let folder = copied.clone().unwrap_or_else(|| self.folder.join(table));
        if !std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Vec::new();
        }
        let query = format!(
            "SELECT parse_filename(filename), file_row_number, {} FROM read_parquet('{}/*.parquet', \
             union_by_name = true, filename = true, file_row_number = true)",
            columns.join(", "),
            folder.display()
        );
        let mut rows = self.servers.lake.duckdb(&query, None).await.rows;
        rows.sort_by_cached_key(|row| {
            let (name, number) = (row[0].as_deref().unwrap_or_default(), row[1].as_deref());
            let number: u64 = number.and_then(|number| number.parse().ok()).expect("a row has a number");
            (files::order(name, ".parquet"), number)
        });
        if let Some(copied) = copied {
            std::fs::remove_dir_all(&copied).expect("the scratch folder is ours");
        }
        rows.into_iter().map(|row| row[2..].to_vec()).collect()
    }

    /// Copies what a bucket has of a table into a folder: thousands of small files are read sooner there.
    fn copy(&self, s3: &S3, table: &str) -> PathBuf {
        let folder = scratch::folder("objects");
        for key in s3.keys(&self.bucket, &format!("out/{table}/")) {
            let name = key.rsplit('/').next().expect("a key has a last part");
            let object = s3.object(&self.bucket, &key).unwrap_or_else(|| panic!("{key} is gone again"));
            std::fs::write(folder.join(name), object).expect("the scratch folder is ours");
        }
        folder
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
        self.rows(table, &[files::KIND, "id", n, v]).await.into_iter().map(change).collect()
    }
}

/// Where a row's position stands in the source's log: rows of the snapshot first, then by the transaction's number, the event, and
/// the row. The number is the last part of a GTID; of an LSN, `HIGH/LOW` in hexadecimal, both.
fn position(text: &str) -> (u64, u64, u64) {
    let mut parts = text.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (Some(row), Some(event)) = (number(), number()) else { panic!("{text} is no position") };
    let transaction = parts.next().unwrap_or_default();
    if transaction.starts_with("snapshot:") {
        return (0, event, row);
    }
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let number = match transaction.split_once('/') {
        Some((high, low)) => hex(high).zip(hex(low)).map(|(high, low)| (high << 32) | low),
        None => transaction.rsplit(['-', ':']).next().and_then(|part| part.parse().ok()),
    };
    (number.unwrap_or_else(|| panic!("{text} has no number")), event, row)
}
