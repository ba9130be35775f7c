//! The cluster, which is one process: overview, machine, tags.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::daemon::model::JobStatus;
use crate::http::extract::{JsonOf, QueryOf};
use crate::http::failure::Failure;
use crate::http::{App, broken};

/// Most tags of the node.
const TAGS_MAX: usize = 64;
/// Longest name or value of a tag.
const TAG_BYTES_MAX: usize = 256;

/// The tags that somebody gave this node. They last as long as the process, as with SeaTunnel.
#[derive(Default)]
pub(crate) struct Tags(Mutex<BTreeMap<String, String>>);

impl Tags {
    /// Whether the node has all of these.
    fn fit(&self, wanted: &BTreeMap<String, String>) -> bool {
        let tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.iter().all(|(name, value)| tags.get(name) == Some(value))
    }

    fn replace(&self, tags: BTreeMap<String, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tags;
    }
}

/// How many jobs are in which state.
#[utoipa::path(get, path = "/overview", tag = "seatunnel", responses(
    (status = 200, body = Value, description = "All values are texts; parameters are tags the counted nodes must have")))]
pub(super) async fn overview(
    State(app): State<App>,
    QueryOf(tags): QueryOf<BTreeMap<String, String>>,
) -> Json<Value> {
    let jobs = app.jobs.list();
    let count =
        |wanted: &dyn Fn(JobStatus) -> bool| jobs.iter().filter(|job| wanted(job.status)).count().to_string();
    Json(json!({
        "projectVersion": env!("CARGO_PKG_VERSION"),
        "gitCommitAbbrev": "",
        "totalSlot": "0",
        "unassignedSlot": "0",
        "works": if app.tags.fit(&tags) { "1" } else { "0" },
        "runningJobs": count(&|status| !status.is_end() && status != JobStatus::Pending),
        "pendingJobs": count(&|status| status == JobStatus::Pending),
        "finishedJobs": count(&|status| status == JobStatus::Finished),
        "failedJobs": count(&|status| status == JobStatus::Failed),
        "cancelledJobs": count(&|status| status == JobStatus::Canceled),
    }))
}

/// The machine and the process. What only Hazelcast or a JVM has is left out.
#[utoipa::path(get, path = "/system-monitoring-information", tag = "seatunnel", responses(
    (status = 200, body = Value, description = "One entry; all values are texts")))]
pub(super) async fn system_monitoring_information(State(app): State<App>) -> Result<Json<Value>, Failure> {
    let running = app.jobs.list().iter().filter(|job| !job.status.is_end()).count();
    let machine = tokio::task::spawn_blocking(machine).await.map_err(broken)?;
    let mut entry = json!({ "isMaster": "true" });
    if let Some(entry) = entry.as_object_mut() {
        entry.extend(machine.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))));
        entry.insert("operations.running.count".to_owned(), Value::String(running.to_string()));
    }
    Ok(Json(json!([entry])))
}

fn machine() -> Vec<(&'static str, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (memory, process, load) = (read("/proc/meminfo"), read("/proc/self/status"), read("/proc/loadavg"));
    let of = |text: &str, name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let (total, used) = (of(&memory, "MemTotal"), of(&process, "VmRSS"));
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let average: f64 = load.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let share = |part: u64| 100.0 * part as f64 / total.max(1) as f64;
    vec![
        ("processors", processors.to_string()),
        ("physical.memory.total", sized(total)),
        ("physical.memory.free", sized(of(&memory, "MemAvailable"))),
        ("swap.space.total", sized(of(&memory, "SwapTotal"))),
        ("swap.space.free", sized(of(&memory, "SwapFree"))),
        ("heap.memory.used", sized(used)),
        ("heap.memory.total", sized(used)),
        ("heap.memory.max", sized(total)),
        ("heap.memory.used/max", format!("{:.2}%", share(used))),
        ("load.system", format!("{:.2}%", (100.0 * average / processors as f64).min(100.0))),
        ("load.systemAverage", format!("{average:.2}")),
        ("thread.count", of(&process, "Threads").to_string()),
    ]
}

/// Kibibytes as SeaTunnel writes sizes: `16.0G`.
fn sized(kib: u64) -> String {
    match kib {
        0 => "0".to_owned(),
        1..1024 => format!("{kib}.0K"),
        1024..1_048_576 => format!("{:.1}M", kib as f64 / 1024.0),
        _ => format!("{:.1}G", kib as f64 / 1_048_576.0),
    }
}

/// Gives this node other tags; an empty object takes them away.
#[utoipa::path(post, path = "/update-tags", tag = "seatunnel", request_body = BTreeMap<String, String>, responses(
    (status = 200, body = Value, description = "Done"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn update_tags(
    State(app): State<App>,
    JsonOf(tags): JsonOf<Value>,
) -> Result<Json<Value>, Failure> {
    let Value::Object(tags) = tags else {
        return Err(Failure::bad_request("Invalid JSON format in request body."));
    };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let tags: BTreeMap<String, String> = tags.into_iter().map(|(name, value)| (name, text(value))).collect();
    let long = |(name, value): (&String, &String)| name.len().max(value.len()) > TAG_BYTES_MAX;
    if tags.len() > TAGS_MAX || tags.iter().any(long) {
        return Err(Failure::bad_request(format!(
            "a node has at most {TAGS_MAX} tags of at most {TAG_BYTES_MAX} bytes"
        )));
    }
    app.tags.replace(tags);
    Ok(Json(json!({ "status": "success", "message": "update node tags done." })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_seatunnel_does() {
        assert_eq!(sized(16 << 20), "16.0G");
        assert_eq!(sized(16_691), "16.3M");
        assert_eq!(sized(0), "0");
        assert!(machine().iter().any(|(name, value)| *name == "processors" && value != "0"));
    }
}
