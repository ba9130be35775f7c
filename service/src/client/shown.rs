//! Answers of the service as tables for people.

use chrono::{DateTime, Local};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A value as text; nothing where it is not there.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A moment in this machine's zone; nothing where there is none.
pub(super) fn time(value: &Value) -> String {
    let instant = value.as_i64().and_then(DateTime::from_timestamp_millis);
    instant.map_or_else(String::new, |instant| {
        instant.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
    })
}

/// `{"jobs": […]}`.
pub(super) fn list(answer: &Value) -> String {
    let jobs = answer["jobs"].as_array().map_or(&[][..], Vec::as_slice);
    if jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let mut table = table();
    table.set_header(vec!["Id", "Name", "Status", "Started", "Read", "Committed", "Lag", "Reason"]);
    for job in jobs {
        let figures = &job["figures"];
        let lag = figures["lag_ms"].as_u64().map(|ms| format!("{ms} ms")).unwrap_or_default();
        table.add_row(vec![
            text(&job["id"]),
            text(&job["name"]),
            text(&job["status"]),
            time(&job["started_ms"]),
            text(&figures["rows_read"]),
            text(&figures["rows_committed"]),
            lag,
            text(&job["reason"]),
        ]);
    }
    for column in [4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// `[{"sequence": …}]`.
pub(super) fn events(answer: &Value) -> String {
    let events = answer.as_array().map_or(&[][..], Vec::as_slice);
    if events.is_empty() {
        return "no events".to_owned();
    }
    let mut table = table();
    table.set_header(vec!["Event", "Time", "Severity", "Type", "Job", "What"]);
    for event in events {
        table.add_row(vec![
            text(&event["sequence"]),
            time(&event["at_ms"]),
            text(&event["severity"]),
            text(&event["type"]),
            text(&event["job"]),
            text(&event["text"]),
        ]);
    }
    table.to_string()
}

/// One job.
pub(super) fn job(job: &Value) -> String {
    let mut table = table();
    table.set_header(vec![text(&job["id"]), text(&job["name"])]);
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.add_row(vec![name.to_owned(), value]);
        }
    };
    row("Status", text(&job["status"]));
    row("Reason", text(&job["reason"]));
    row("Asked by", text(&job["asked_by"]));
    row("File", text(&job["file"]));
    row("Mode", text(&job["mode"]));
    row("Delivery", text(&job["delivery"]));
    row("Created", time(&job["created_ms"]));
    row("Started", time(&job["started_ms"]));
    row("Ended", time(&job["ended_ms"]));
    row("From a restart point", text(&job["restored"]));
    for vertex in job["graph"].as_array().into_iter().flatten() {
        let inputs: Vec<String> = vertex["inputs"].as_array().into_iter().flatten().map(text).collect();
        let from = if inputs.is_empty() { String::new() } else { format!(" from {}", inputs.join(", ")) };
        let what = format!("{} {}{from}", text(&vertex["role"]), text(&vertex["plugin"]));
        row(&format!("Node {}", text(&vertex["id"])), what);
    }
    rows_of(&job["figures"], &mut row);
    table.to_string()
}

/// The figures of a job.
pub(super) fn figures(answer: &Value) -> String {
    let mut table = table();
    table.set_header(vec![
        text(&answer["id"]),
        format!("{} {}", text(&answer["name"]), text(&answer["status"])),
    ]);
    rows_of(&answer["figures"], &mut |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), value]);
    });
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn rows_of(figures: &Value, row: &mut dyn FnMut(&str, String)) {
    for (key, value) in figures.as_object().into_iter().flatten() {
        for source in value.as_array().into_iter().flatten() {
            let of = text(&source["source"]);
            for (key, value) in source.as_object().into_iter().flatten().filter(|(key, _)| *key != "source") {
                figure(&format!("{of} {key}"), value, row);
            }
        }
        if !value.is_array() {
            figure(key, value, row);
        }
    }
}

/// One figure; what is not known has no row.
fn figure(key: &str, value: &Value, row: &mut dyn FnMut(&str, String)) {
    if value.is_null() {
        return;
    }
    let mut name = key.trim_end_matches("_ms").replace('_', " ");
    if let Some(first) = name.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    let unit = if key.ends_with("_ms") { " ms" } else { "" };
    row(&name, format!("{}{unit}", text(value)));
}
