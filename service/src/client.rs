//! The commands that ask a running service: `submit`, `list`, `status`, `metrics`, `pause`, `savepoint`,
//! `restore`, `cancel`, `logs`.
//!
//! [`master`] finds the service and asks it, [`follow`] waits for a job's end, [`shown`] makes tables,
//! [`seatunnel`] translates the flags of `seatunnel.sh`. Exit codes: docs/cli.md.

mod follow;
pub(crate) mod master;
pub(crate) mod seatunnel;
mod shown;

use std::path::Path;

use culvert_config::MAX_FILE_BYTES;
use serde_json::{Value, json};

use crate::arguments::{
    EventsListOptions, Format, JobArguments, JobsArguments, ListOptions, LogsOptions, OneJob, RestoreOptions,
    SubmitOptions,
};
use crate::client::master::{Master, Trouble};
use crate::job::name_of_file;
use crate::terminal::{answer, complain};

/// A command that asks the service.
#[derive(Debug)]
pub(crate) enum Ask {
    Submit(SubmitOptions),
    List(ListOptions),
    Status(OneJob),
    Metrics(OneJob),
    Savepoint(JobsArguments),
    Restore(RestoreOptions),
    Cancel(JobsArguments),
    Logs(LogsOptions),
    Events(EventsListOptions),
}

/// Asks the service; the exit code.
pub(crate) async fn ask(ask: Ask) -> u8 {
    let done = match ask {
        Ask::Submit(options) => submit(options).await,
        Ask::Restore(options) => restore(options).await,
        ask => off_loop(move || simple(ask)).await,
    };
    match done {
        Ok(code) => code,
        Err(trouble) => {
            complain(&format!("error: {trouble}"));
            trouble.code()
        }
    }
}

/// Runs what waits for the network on a thread that may wait.
async fn off_loop<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(call).await {
        Ok(done) => done,
        Err(error) => Err(Trouble::Usage(format!("the command did not come to its end: {error}"))),
    }
}

fn simple(ask: Ask) -> Result<u8, Trouble> {
    match ask {
        Ask::List(options) => list(&options),
        Ask::Status(options) => {
            let job = Master::find(&options.master)?.get(&path(options.id, ""))?;
            tell(options.format, &job, shown::job);
            Ok(0)
        }
        Ask::Metrics(options) => {
            let figures = Master::find(&options.master)?.get(&path(options.id, "/metrics"))?;
            tell(options.format, &figures, shown::figures);
            Ok(0)
        }
        Ask::Savepoint(options) => each(&options, "savepoint"),
        Ask::Cancel(options) => each(&options, "cancel"),
        Ask::Logs(options) => logs(&options),
        Ask::Events(options) => events(&options),
        Ask::Submit(_) | Ask::Restore(_) => Ok(2),
    }
}

fn path(id: u64, behind: &str) -> String {
    format!("/api/v1/jobs/{id}{behind}")
}

fn tell(format: Format, value: &Value, human: impl Fn(&Value) -> String) {
    match format {
        Format::Human => answer(&human(value)),
        // A value that was read can be written.
        Format::Json => answer(&serde_json::to_string_pretty(value).unwrap_or_default()),
    }
}

fn list(options: &ListOptions) -> Result<u8, Trouble> {
    let status = options.status.as_ref().map(|status| format!("?status={}", status.to_ascii_uppercase()));
    let list = Master::find(&options.master)?.get(&format!("/api/v1/jobs{}", status.unwrap_or_default()))?;
    tell(options.format, &list, shown::list);
    Ok(0)
}

fn events(options: &EventsListOptions) -> Result<u8, Trouble> {
    let mut path = format!("/api/v1/events?limit={}", options.limit);
    for (name, value) in [("job", options.job), ("after", options.after)] {
        path.extend(value.map(|value| format!("&{name}={value}")));
    }
    for (name, value) in [("type", &options.kind), ("severity", &options.severity)] {
        path.extend(value.as_ref().map(|value| format!("&{name}={value}")));
    }
    let events = Master::find(&options.master)?.get(&path)?;
    tell(options.format, &events, shown::events);
    Ok(0)
}

/// Stops jobs, one after the other; goes on behind one that cannot be stopped.
fn each(options: &JobsArguments, action: &str) -> Result<u8, Trouble> {
    let master = Master::find(&options.master)?;
    let mut code = 0;
    let mut jobs = Vec::new();
    for id in &options.ids {
        let stopped = master
            .post(&path(*id, &format!("/{action}")), None)
            .and_then(|job| follow::until_it_stands(&master, *id, job));
        match stopped {
            Ok(job) => jobs.push(job),
            Err(trouble) => {
                complain(&format!("error: job {id}: {trouble}"));
                code = code.max(trouble.code());
            }
        }
    }
    tell(options.format, &json!({ "jobs": jobs }), shown::list);
    let failed = |job: &Value| job["status"] == "FAILED";
    Ok(if code == 0 && jobs.iter().any(failed) { 1 } else { code })
}

/// A job file as the service takes it. `${NAME}` that `-i` does not give comes from the service's environment.
fn definition(job: &JobArguments) -> Result<Value, Trouble> {
    let text = read(&job.config)?;
    let is_json = job.config.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    // As with `run`: a job without a name has its file's.
    let named = name_of_file(job);
    Ok(json!({
        "text": text,
        "format": if is_json { "json" } else { "hocon" },
        "variables": job.variables,
        "name": named,
        "properties": job.properties,
    }))
}

fn read(path: &Path) -> Result<String, Trouble> {
    let unread = |why: String| Trouble::Usage(format!("{}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(unread("the file is too large for a job file".to_owned()));
    }
    std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))
}

async fn submit(options: SubmitOptions) -> Result<u8, Trouble> {
    let mut body = definition(&options.job)?;
    body["id"] = options.id.map_or(Value::Null, |id| Value::String(id.to_string()));
    body["fresh"] = Value::Bool(options.fresh);
    let follow = options.follow;
    let (master, job) = off_loop(move || {
        let master = Master::find(&options.master)?;
        let job = master.post("/api/v1/jobs", Some(&body))?;
        Ok((master, job))
    })
    .await?;
    follow::started(master, job, follow).await
}

async fn restore(options: RestoreOptions) -> Result<u8, Trouble> {
    let body = match options.job() {
        Some(job) => Some(definition(&job)?),
        None => None,
    };
    let follow = options.follow;
    let (master, job) = off_loop(move || {
        let master = Master::find(&options.master)?;
        let job = master.post(&path(options.id, "/restore"), body.as_ref())?;
        Ok((master, job))
    })
    .await?;
    follow::started(master, job, follow).await
}

fn logs(options: &LogsOptions) -> Result<u8, Trouble> {
    let master = Master::find(&options.master)?;
    let mut part = master.get(&path(options.id, &format!("/logs?lines={}", options.lines)))?;
    loop {
        match (options.format, options.follow) {
            (Format::Json, false) => tell(Format::Json, &part, |_| String::new()),
            _ => {
                let text = part["text"].as_str().unwrap_or("");
                if !text.is_empty() {
                    answer(text);
                }
            }
        }
        if !options.follow {
            return Ok(0);
        }
        let next = part["next_offset"].as_u64().unwrap_or(0);
        if part["size"].as_u64().unwrap_or(0) <= next {
            let job = master.get(&path(options.id, ""))?;
            if follow::has_ended(&job) && part["text"].as_str().is_none_or(str::is_empty) {
                return Ok(0);
            }
            std::thread::sleep(follow::LOOK_EVERY);
        }
        part = master.get(&path(options.id, &format!("/logs?offset={next}")))?;
    }
}
