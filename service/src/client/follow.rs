//! Waiting for the end of a job, and what is told then.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{FollowOptions, Format};
use crate::client::master::{Master, Trouble};
use crate::client::{off_loop, path, shown, tell};
use crate::terminal::{answer, complain};

/// Time between two looks at a job.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long a service that does not answer is asked again: as long as its restart may take.
const AWAY_AT_MOST: Duration = Duration::from_secs(60);

/// The number of a job in an answer.
fn id_of(job: &Value) -> u64 {
    job["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0)
}

fn status(job: &Value) -> &str {
    job["status"].as_str().unwrap_or("")
}

/// Whether a job does nothing any more.
pub(crate) fn has_ended(job: &Value) -> bool {
    matches!(status(job), "SAVEPOINT_DONE" | "CANCELED" | "FAILED" | "FINISHED")
}

/// Waits until a job that is being stopped has stopped.
pub(crate) fn until_it_stands(master: &Master, id: u64, job: Value) -> Result<Value, Trouble> {
    let mut job = job;
    while !has_ended(&job) {
        std::thread::sleep(LOOK_EVERY);
        job = patiently(master, id)?;
    }
    Ok(job)
}

/// Asks for a job, over a restart of the service.
fn patiently(master: &Master, id: u64) -> Result<Value, Trouble> {
    let begun = Instant::now();
    loop {
        match master.get(&path(id, "")) {
            Err(Trouble::Away(why)) if begun.elapsed() < AWAY_AT_MOST => {
                tracing::debug!("the service does not answer, it is asked again: {why}");
                std::thread::sleep(LOOK_EVERY);
            }
            // It ends or begins; its jobs go on.
            Err(Trouble::Refused(429 | 503, _)) if begun.elapsed() < AWAY_AT_MOST => {
                std::thread::sleep(LOOK_EVERY);
            }
            job => return job,
        }
    }
}

/// A job was started: tells so, or waits for its end and tells that.
pub(crate) async fn started(master: Master, job: Value, options: FollowOptions) -> Result<u8, Trouble> {
    let id = id_of(&job);
    if options.is_async {
        match options.format {
            Format::Json => tell(Format::Json, &job, shown::job),
            Format::Human => {
                answer(&format!("Job {id} ({}) is submitted", job["name"].as_str().unwrap_or("")));
            }
        }
        return Ok(0);
    }
    complain(&format!("job {id} ({}) is submitted; it goes on when this command ends", name(&job)));
    let master = std::sync::Arc::new(master);
    let watched = std::sync::Arc::clone(&master);
    let end = off_loop(move || watch(&watched, id));
    let unheard = |error| Trouble::Usage(format!("signals cannot be received: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let job = tokio::select! {
        job = end => job?,
        _ = interrupt.recv() => return interrupted(master, id, options.close_job).await,
        _ = terminate.recv() => return interrupted(master, id, options.close_job).await,
    };
    match options.format {
        Format::Json => tell(Format::Json, &job, shown::job),
        Format::Human => answer(&statistic(&job)),
    }
    if let Some(reason) = job["reason"].as_str() {
        complain(&format!("job {id} is {}: {reason}", status(&job)));
    }
    Ok(match status(&job) {
        "FINISHED" | "SAVEPOINT_DONE" => 0,
        _ => 1,
    })
}

fn name(job: &Value) -> &str {
    job["name"].as_str().unwrap_or("")
}

/// The command is ended from outside; the job only where that was asked for.
async fn interrupted(master: std::sync::Arc<Master>, id: u64, close_job: bool) -> Result<u8, Trouble> {
    if close_job {
        complain(&format!("job {id} is cancelled; its restart point is kept"));
        off_loop(move || master.post(&path(id, "/cancel"), None)).await?;
    } else {
        complain(&format!("job {id} goes on; `culvert cancel {id}` ends it"));
    }
    Ok(130)
}

/// Looks at a job until its end, and tells changes of its state.
fn watch(master: &Master, id: u64) -> Result<Value, Trouble> {
    let mut told = String::new();
    loop {
        let job = patiently(master, id)?;
        let now = status(&job).to_owned();
        if now != told {
            let reason = job["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
            complain(&format!("job {id} is {now}{reason}"));
            told = now;
        }
        if has_ended(&job) {
            return Ok(job);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The table that SeaTunnel's client prints at the end of a job.
fn statistic(job: &Value) -> String {
    let ms = |key: &str| job[key].as_u64();
    let time = |key: &str| {
        Some(shown::time(&job[key])).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
    };
    let seconds = match (ms("started_ms"), ms("ended_ms")) {
        (Some(started), Some(ended)) => ended.saturating_sub(started) / 1000,
        _ => 0,
    };
    let count = |key: &str| job["figures"][key].as_u64().unwrap_or(0);
    let (read, written) = (count("rows_read"), count("rows_written"));
    let line = "***********************************************";
    let rows = [
        ("Start Time", time("started_ms")),
        ("End Time", time("ended_ms")),
        ("Total Time(s)", seconds.to_string()),
        ("Total Read Count", read.to_string()),
        ("Total Write Count", written.to_string()),
        // A row that cannot be written ends the job, and is read again; transforms may drop rows on purpose.
        ("Total Failed Count", "0".to_owned()),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("{name:<26}: {value:>19}\n")).collect();
    format!("\n{line}\n           Job Statistic Information\n{line}\n{rows}{line}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_has_the_lines_of_seatunnels() {
        let job = json!({"id": "7", "started_ms": 0, "ended_ms": 3500, "figures": {"rows_read": 32, "rows_written": 31}});
        let table = statistic(&job);
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        let value =
            |name: &str| line(name).and_then(|line| line.split(": ").last().map(|it| it.trim().to_owned()));
        assert_eq!(value("Total Time(s)").as_deref(), Some("3"));
        assert_eq!(value("Total Read Count").as_deref(), Some("32"));
        assert_eq!(value("Total Write Count").as_deref(), Some("31"));
        assert_eq!(value("Total Failed Count").as_deref(), Some("0"));
        assert!(table.contains("           Job Statistic Information"), "{table}");
        assert_eq!(id_of(&job), 7);
    }
}
