//! A job as SeaTunnel's REST v2 writes it.

use std::collections::BTreeMap;

use chrono::{DateTime, Local};
use serde_json::{Map, Value, json};

use crate::daemon::model::{Figures, JobInfo, JobStatus, TableFigures, Vertex};

/// A job that has not ended, as in `/running-jobs`.
fn running(job: &JobInfo, tables: &[TableFigures]) -> Value {
    json!({
        "jobId": job.id,
        "jobName": job.name,
        "jobStatus": word(job.status),
        "errorMsg": job.reason,
        "envOptions": job.env,
        "createTime": time(Some(job.created_ms)),
        "startTime": time(job.started_ms),
        "jobDag": dag(job),
        "pluginJarsUrls": [],
        "isStartWithSavePoint": job.restored,
        "metrics": metrics(job, tables),
    })
}

/// A job that has ended, as in `/finished-jobs`.
fn finished(job: &JobInfo, tables: &[TableFigures]) -> Value {
    json!({
        "jobId": job.id,
        "jobName": job.name,
        "jobStatus": word(job.status),
        "errorMsg": job.reason,
        "createTime": time(Some(job.created_ms)),
        "startTime": time(job.started_ms),
        // The name differs between SeaTunnel's page and its answers, and by path.
        "finishTime": time(job.ended_ms),
        "finishedTime": time(job.ended_ms),
        "jobDag": dag(job),
        "pluginJarsUrls": [],
        "metrics": metrics(job, tables),
    })
}

/// A job, in the shape of its state.
pub(super) fn job(job: &JobInfo, tables: &[TableFigures]) -> Value {
    if job.status.is_end() { finished(job, tables) } else { running(job, tables) }
}

/// The state in SeaTunnel's words: ours for a running job that is not well are unknown there.
fn word(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Stalled | JobStatus::Degraded => JobStatus::Running.word(),
        other => other.word(),
    }
}

/// `yyyy-MM-dd HH:mm:ss` of this machine's zone; empty where there is none.
fn time(ms: Option<u64>) -> String {
    let instant = ms.and_then(|ms| i64::try_from(ms).ok()).and_then(DateTime::from_timestamp_millis);
    instant.map_or_else(String::new, |instant| {
        instant.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
    })
}

fn dag(job: &JobInfo) -> Value {
    let edge = |from: &u32, to: &Vertex| json!({ "inputVertexId": from.to_string(), "targetVertexId": to.id.to_string() });
    let edges: Vec<Value> =
        job.graph.iter().flat_map(|to| to.inputs.iter().map(move |from| edge(from, to))).collect();
    let vertex = |(place, vertex): (usize, &Vertex)| {
        json!({
            "vertexId": vertex.id,
            "type": vertex.role,
            "vertexName": format!("pipeline-1 [{}]", vertex_name(place, vertex)),
            "tablePaths": [],
        })
    };
    json!({
        "jobId": job.id,
        "envOptions": job.env,
        "vertexInfoMap": job.graph.iter().enumerate().map(vertex).collect::<Vec<Value>>(),
        "pipelineEdges": { "1": edges },
    })
}

/// `Source[0]-MySQL-CDC`
fn vertex_name(place: usize, vertex: &Vertex) -> String {
    let role = match vertex.role {
        "source" => "Source",
        "transform" => "Transform",
        _ => "Sink",
    };
    format!("{role}[{place}]-{}", vertex.plugin)
}

/// Figures as texts, and those of tables by the tables' names.
fn metrics(job: &JobInfo, tables: &[TableFigures]) -> Value {
    let Figures { rows_read, bytes_read, rows_written, rows_committed, .. } = job.figures;
    let until = job.ended_ms.unwrap_or_else(now_ms);
    let seconds = job.started_ms.map_or(0, |started| until.saturating_sub(started)) as f64 / 1000.0;
    let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    let mut metrics = Map::new();
    let mut text = |name: &str, value: String| {
        metrics.insert(name.to_owned(), Value::String(value));
    };
    text("IntermediateQueueSize", "0".to_owned());
    text("SourceReceivedCount", rows_read.to_string());
    text("SourceReceivedQPS", format!("{:.2}", rate(rows_read)));
    text("SourceReceivedBytes", bytes_read.to_string());
    text("SourceReceivedBytesPerSeconds", format!("{:.2}", rate(bytes_read)));
    text("SinkWriteCount", rows_written.to_string());
    text("SinkWriteQPS", format!("{:.2}", rate(rows_written)));
    let written: u64 = tables.iter().filter(|table| table.role == "sink").map(|table| table.bytes).sum();
    text("SinkWriteBytes", written.to_string());
    text("SinkWriteBytesPerSeconds", format!("{:.2}", rate(written)));
    text("SinkCommittedCount", rows_committed.to_string());
    text("SinkCommittedQPS", format!("{:.2}", rate(rows_committed)));
    for (part, role) in [("TableSourceReceived", "source"), ("TableSinkWrite", "sink")] {
        // Sinks of one table are counted together there.
        let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for table in tables.iter().filter(|table| table.role == role) {
            let sum = sums.entry(&table.table).or_default();
            *sum = (sum.0 + table.total(), sum.1 + table.bytes);
        }
        let mut map = |figure: &str, of: &dyn Fn(&(u64, u64)) -> String| {
            let values = sums.iter().map(|(table, sum)| ((*table).to_owned(), Value::String(of(sum))));
            metrics.insert(format!("{part}{figure}"), Value::Object(values.collect()));
        };
        map("Count", &|(rows, _)| rows.to_string());
        map("QPS", &|(rows, _)| format!("{:.2}", rate(*rows)));
        map("Bytes", &|(_, bytes)| bytes.to_string());
        map("BytesPerSeconds", &|(_, bytes)| format!("{:.2}", rate(*bytes)));
    }
    Value::Object(metrics)
}

fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0)
}
