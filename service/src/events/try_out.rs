//! `culvert events test`: a sample for every listener, sent here and now.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{Table, presets};
use culvert_api::{Error, ErrorKind, EventKind};
use culvert_config::{Problem, Report};
use serde_json::json;

use super::config::{self, Listener};
use super::message::{Message, single};
use super::model::{Event, Numbered};
use crate::arguments::{EventsTestOptions, Format, JobArguments};
use crate::daemon::listeners_of_service;
use crate::job;
use crate::terminal::{answer, complain, complains_in_colour};

/// Sends the samples; the exit code: 1 where one did not arrive, 2 where there is nobody to send to.
pub(crate) async fn test(options: EventsTestOptions) -> u8 {
    let format = options.format;
    let listeners = match listeners(options) {
        Ok(listeners) => listeners,
        Err(problems) => {
            let mut report = Report::default();
            problems.iter().for_each(|problem| report.add(problem));
            complain(&report.findings_text(complains_in_colour()));
            return 2;
        }
    };
    if listeners.is_empty() {
        complain(
            "error: there are no listeners: name a job file (-c), the service's file (--service), or one (-D); see docs/events.md",
        );
        return 2;
    }
    let mut results = Vec::new();
    for listener in listeners {
        let (name, kind) = (listener.name.clone(), listener.kind);
        results.push((name, kind, send(listener).await));
    }
    match format {
        Format::Human => answer(&shown(&results)),
        Format::Json => {
            let one = |(name, kind, sent): &Sent| json!({"name": name, "type": kind, "arrived": sent.is_ok(), "problem": problem(sent)});
            let all: Vec<serde_json::Value> = results.iter().map(one).collect();
            answer(&serde_json::to_string_pretty(&all).unwrap_or_default());
        }
    }
    u8::from(results.iter().any(|(_, _, sent)| sent.is_err()))
}

type Sent = (String, &'static str, Result<(), Error>);

fn listeners(options: EventsTestOptions) -> Result<Vec<Listener>, Vec<Problem>> {
    let mut listeners = Vec::new();
    if let Some(config) = options.config {
        let (variables, properties) = (options.variables, Vec::new());
        let job = job::read(&JobArguments { config, variables, name: None, properties }, None)?;
        // What is wrong with the job otherwise is not asked here.
        listeners.extend(job.listeners);
    }
    if let Some(file) = options.service {
        listeners.extend(listeners_of_service(&file)?);
    }
    Ok(config::with_defined(listeners, config::defined(&options.properties)?))
}

async fn send(listener: Listener) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let event = Event::new(now, Some((None, "culvert events test".to_owned())), &EventKind::Test);
    let event = Numbered { sequence: 0, event };
    let message = match listener.channel.array_max() {
        Some(_) => Message { title: String::new(), text: String::new(), events: vec![event] },
        None => single(&listener.templates, event, 0, listener.channel.bytes_max()),
    };
    let listener = Arc::new(listener);
    let sent = tokio::task::spawn_blocking(move || listener.channel.send(&message)).await;
    sent.map_err(|error| Error::new(ErrorKind::Internal, "sending did not come to its end").caused_by(error))?
}

fn problem(sent: &Result<(), Error>) -> Option<String> {
    sent.as_ref().err().map(ToString::to_string)
}

fn shown(results: &[Sent]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(vec!["Listener", "Type", "Sample"]);
    for (name, kind, sent) in results {
        let what = problem(sent).unwrap_or_else(|| "has arrived".to_owned());
        table.add_row(vec![name.clone(), (*kind).to_owned(), what]);
    }
    table.to_string()
}
