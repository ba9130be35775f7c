//! Logs of jobs, as lists and as they are.

// What the macros of utoipa write is not ours to shorten.
#![allow(unused_qualifications)]

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::http::App;
use crate::http::docs::escaped;
use crate::http::extract::{PathText, QueryOf};
use crate::http::failure::Failure;
use crate::http::logs::{self, CHUNK_BYTES_MAX, LogName, Part};

/// How a list is written.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FormatQuery {
    /// `html`, the default, or `json`.
    format: Option<String>,
}

/// The logs of all jobs.
#[utoipa::path(get, path = "/logs", tag = "seatunnel", params(FormatQuery), responses(
    (status = 200, body = Value, description = "`node`, `logLink` and `logName` of each, or a page")))]
pub(super) async fn all_logs(
    State(app): State<App>,
    QueryOf(query): QueryOf<FormatQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    list(&app, &query, &headers, logs::names(&app.jobs).await?)
}

/// The logs of a job, or one log.
#[utoipa::path(get, path = "/logs/{job}", tag = "seatunnel", params(FormatQuery,
    ("job" = String, Path, description = "The job's number, or `job-NUMBER.log`")), responses(
    (status = 200, body = Value, description = "The list, or the log as text"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn logs_of(
    State(app): State<App>,
    PathText(wanted): PathText,
    QueryOf(query): QueryOf<FormatQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if LogName::parse(&wanted).is_some() {
        return content(&app, &wanted).await;
    }
    let id = wanted.parse().map_err(Failure::bad_request)?;
    let mut names = logs::names(&app.jobs).await?;
    names.retain(|name| name.job == id);
    list(&app, &query, &headers, names)
}

/// The logs of this node.
#[utoipa::path(get, path = "/log", tag = "seatunnel", params(FormatQuery), responses(
    (status = 200, body = Value, description = "As of /logs")))]
pub(super) async fn log(
    app: State<App>,
    query: QueryOf<FormatQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    all_logs(app, query, headers).await
}

/// One log of this node.
#[utoipa::path(get, path = "/log/{file}", tag = "seatunnel", params(("file" = String, Path, description = "`job-NUMBER.log`")), responses(
    (status = 200, body = String, content_type = "text/plain", description = "The log"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn log_file(State(app): State<App>, PathText(file): PathText) -> Result<Response, Failure> {
    content(&app, &file).await
}

/// The names of all logs.
#[utoipa::path(get, path = "/get-all-log-name", tag = "seatunnel", responses(
    (status = 200, body = Vec<String>, description = "The names")))]
pub(super) async fn get_all_log_name(State(app): State<App>) -> Result<Json<Vec<String>>, Failure> {
    Ok(Json(logs::names(&app.jobs).await?.into_iter().map(LogName::text).collect()))
}

/// The end of a log, as much as one answer holds.
async fn content(app: &App, file: &str) -> Result<Response, Failure> {
    let missing = || Failure::not_found("there is no such log");
    let name = LogName::parse(file).ok_or_else(missing)?;
    let read = logs::read(&app.jobs, name, Part::Last(usize::MAX), CHUNK_BYTES_MAX).await?;
    let text = read.ok_or_else(missing)?.text;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

fn list(
    app: &App,
    query: &FormatQuery,
    headers: &HeaderMap,
    names: Vec<LogName>,
) -> Result<Response, Failure> {
    // The guard has looked at it: it is a name of this service.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if app.config.tls.is_some() { "https" } else { "http" };
    let link = |name: LogName| format!("{scheme}://{host}{}/logs/{}", app.config.context_path, name.text());
    match query.format.as_deref() {
        Some("json") => {
            let one = |name: LogName| json!({ "node": host, "logLink": link(name), "logName": name.text() });
            Ok(Json(names.into_iter().map(one).collect::<Vec<Value>>()).into_response())
        }
        None | Some("html") => {
            let line = |name: LogName| {
                format!("<li><a href=\"{}\">{}</a></li>", escaped(&link(name)), escaped(&name.text()))
            };
            let lines: String = names.into_iter().map(line).collect();
            let page = format!(
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Logs</title></head>\
                 <body><h1>Logs</h1><ul>{lines}</ul></body></html>"
            );
            Ok(Html(page).into_response())
        }
        Some(_) => Err(Failure::bad_request("`format` is html or json")),
    }
}
