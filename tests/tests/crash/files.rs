//! Changes in files of JSON, as a user of a folder reads them.

use std::path::Path;

use serde_json::Value;

use super::judge::{Change, Kind};

/// The column that says what happened.
pub(super) const KIND: &str = "row_kind";

/// The sink that writes them: a folder per table.
pub(crate) fn sink_block(folder: &Path) -> String {
    format!(
        "LocalFile {{ path = \"{}/${{table_name}}\", file_format_type = json, row_kind_column = {KIND} }}",
        folder.display()
    )
}

/// The rows of a table's files, in the order they were begun.
pub(crate) fn rows(folder: &Path, table: &str) -> Vec<Value> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.join(table)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        files.push((name, text));
    }
    rows_of(&files)
}

/// The rows of files by their names and texts, in the order they were begun. The names have it: `…_EPOCH_NUMBER.json`.
pub(crate) fn rows_of(files: &[(String, String)]) -> Vec<Value> {
    let mut sorted: Vec<_> = files.iter().map(|(name, text)| (order(name, ".json"), name, text)).collect();
    sorted.sort();
    let mut rows = Vec::new();
    for (_, name, text) in sorted {
        assert!(text.ends_with('\n'), "half a file: {name}");
        let parsed = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        rows.extend(text.lines().map(parsed));
    }
    rows
}

/// The epoch and the number of a file.
pub(super) fn order(name: &str, end: &str) -> (u64, u64) {
    let mut parts = name.strip_suffix(end).unwrap_or_default().rsplit('_').map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(number)), Some(Ok(epoch))) => (epoch, number),
        _ => panic!("{name} is no file of the sink"),
    }
}

/// What a row says happened.
pub(crate) fn kind(row: &Value) -> Kind {
    Kind::of(row[KIND].as_str().unwrap_or_default())
}

/// The changes of a table with the key `id`.
pub(crate) fn history(folder: &Path, table: &str, judged: [&str; 2]) -> Vec<Change> {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let change = |row: &Value| Change {
        kind: kind(row),
        key: row["id"].as_i64().unwrap_or_else(|| panic!("no key: {row}")),
        values: judged.map(|name| text(&row[name])).to_vec(),
    };
    rows(folder, table).iter().map(change).collect()
}
