//! A server's log files, cut into events by their stated sizes, and the columns to decode rows by.

use std::fs;
use std::path::PathBuf;

use culvert_source_mysql::column::MySqlColumn;
use culvert_source_mysql::event::HEADER_LENGTH;
use culvert_tests::Server;
use culvert_tests::oracle::rows_in_order;
use mysql_async::Conn;

/// Every log file starts with these bytes.
const MAGIC: &[u8] = b"\xfebin";

/// The server's log files, oldest first.
pub(crate) fn files(server: &Server) -> Vec<PathBuf> {
    let entries = fs::read_dir(server.data_folder()).expect("the data folder is ours").flatten();
    let is_log = |path: &PathBuf| {
        let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default();
        path.file_stem().is_some_and(|stem| stem == "binlog")
            && extension.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_log).collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "there is no log in {}", server.data_folder().display());
    files
}

/// The whole events of a file.
pub(crate) fn events(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = file.strip_prefix(MAGIC).expect("a log file");
    let mut events = Vec::new();
    while let Some(size) = rest.get(9..13) {
        let size = u32::from_le_bytes(size.try_into().expect("four bytes")) as usize;
        assert!(size >= HEADER_LENGTH && size <= rest.len(), "an event of {size} bytes, {} left", rest.len());
        let (event, tail) = rest.split_at(size);
        events.push(event.to_vec());
        rest = tail;
    }
    assert!(rest.is_empty(), "{} bytes behind the last event", rest.len());
    events
}

/// The columns of a table as the catalog describes them.
pub(crate) async fn columns(conn: &mut Conn, database: &str, table: &str) -> Vec<MySqlColumn> {
    let query = format!(
        "SELECT column_name, column_type, is_nullable, character_set_name FROM information_schema.columns \
         WHERE table_schema = '{database}' AND table_name = '{table}' ORDER BY ordinal_position"
    );
    rows_in_order(conn, &query)
        .await
        .into_iter()
        .map(|row| {
            let text = |place: usize| row[place].as_deref().unwrap_or_default();
            MySqlColumn::new(text(0), text(1), text(2) == "YES", row[3].as_deref())
                .expect("every type is known")
        })
        .collect()
}
