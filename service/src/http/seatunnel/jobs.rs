//! Jobs: running, finished, submit, stop.

// What the macros of utoipa write is not ours to shorten.
#![allow(unused_qualifications)]

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::daemon::jobs::Submission;
use crate::daemon::model::{Definition, JobId, JobInfo, JobStatus, TextFormat};
use crate::http::App;
use crate::http::calls::{to_the_end, waiting};
use crate::http::extract::{By, PathText, QueryOf, body};
use crate::http::failure::Failure;
use crate::http::seatunnel::shape;

/// Most jobs in one request.
const JOBS_MAX: usize = 100;

/// Which page of a list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// The page, from 1.
    page: Option<usize>,
    /// Jobs of a page.
    rows: Option<usize>,
}

impl PageQuery {
    fn of<'j>(&self, app: &App, jobs: impl Iterator<Item = &'j JobInfo>) -> Json<Value> {
        let rows = self.rows.unwrap_or(usize::MAX);
        let before = self.page.unwrap_or(1).saturating_sub(1).saturating_mul(rows);
        Json(jobs.skip(before).take(rows).map(|job| shaped(app, job)).collect())
    }
}

/// A job with the figures of its tables.
fn shaped(app: &App, job: &JobInfo) -> Value {
    shape::job(job, &app.jobs.tables(job.id).unwrap_or_default())
}

/// Jobs that have not ended.
#[utoipa::path(get, path = "/running-jobs", tag = "seatunnel", params(PageQuery), responses(
    (status = 200, body = Value, description = "The jobs, the newest first")))]
pub(super) async fn running_jobs(State(app): State<App>, QueryOf(page): QueryOf<PageQuery>) -> Json<Value> {
    page.of(&app, app.jobs.list().iter().filter(|job| !job.status.is_end()))
}

/// Jobs that have ended.
#[utoipa::path(get, path = "/finished-jobs", tag = "seatunnel", params(PageQuery), responses(
    (status = 200, body = Value, description = "The jobs, the newest first")))]
pub(super) async fn all_finished_jobs(
    State(app): State<App>,
    QueryOf(page): QueryOf<PageQuery>,
) -> Json<Value> {
    page.of(&app, app.jobs.list().iter().filter(|job| job.status.is_end()))
}

/// Jobs that have ended in a state.
#[utoipa::path(get, path = "/finished-jobs/{state}", tag = "seatunnel", params(PageQuery,
    ("state" = String, Path, description = "FINISHED, CANCELED, FAILED, SAVEPOINT_DONE; UNKNOWABLE has none")), responses(
    (status = 200, body = Value, description = "The jobs, the newest first")))]
pub(super) async fn finished_jobs(
    State(app): State<App>,
    PathText(state): PathText,
    QueryOf(page): QueryOf<PageQuery>,
) -> Json<Value> {
    let in_state = |job: &&JobInfo| job.status.is_end() && job.status.word().eq_ignore_ascii_case(&state);
    page.of(&app, app.jobs.list().iter().filter(in_state))
}

/// One job; of a number that no job has, the number alone.
#[utoipa::path(get, path = "/job-info/{jobId}", tag = "seatunnel", params(("jobId" = String, Path, description = "The job's number")), responses(
    (status = 200, body = Value, description = "The job"), (status = "4XX", body = Value, description = "No number")))]
pub(super) async fn job_info(
    State(app): State<App>,
    PathText(number): PathText,
) -> Result<Json<Value>, Failure> {
    let id: JobId = number.parse().map_err(Failure::bad_request)?;
    Ok(Json(app.jobs.get(id).map_or_else(|| json!({ "jobId": id }), |job| shaped(&app, &job))))
}

/// The old name of `/job-info`.
#[utoipa::path(get, path = "/running-job/{jobId}", tag = "seatunnel", params(("jobId" = String, Path, description = "The job's number")), responses(
    (status = 200, body = Value, description = "The job"), (status = "4XX", body = Value, description = "No number")))]
pub(super) async fn running_job(app: State<App>, number: PathText) -> Result<Json<Value>, Failure> {
    job_info(app, number).await
}

/// How a job is submitted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubmitQuery {
    /// The job's number.
    job_id: Option<String>,
    /// The job's name.
    job_name: Option<String>,
    /// Whether it goes on from its restart point; needs `jobId`.
    is_start_with_save_point: Option<String>,
    /// `json` or `hocon`.
    format: Option<String>,
}

/// Starts the job of the body.
#[utoipa::path(post, path = "/submit-job", tag = "seatunnel", params(SubmitQuery), request_body = Value, responses(
    (status = 200, body = Value, description = "`jobId`, a text, and `jobName`"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn submit_job(
    State(app): State<App>,
    QueryOf(query): QueryOf<SubmitQuery>,
    By(by): By,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let body = body(request, &app).await?;
    if body.is_empty() {
        return Err(Failure::bad_request("Request body is empty."));
    }
    let text = String::from_utf8(body.to_vec()).map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
    let format = match query.format.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "json") => TextFormat::Json,
        Some("hocon") => TextFormat::Hocon,
        Some(other) => {
            return Err(Failure::bad_request(format!("the format {other} is not supported"))
                .hint("json and hocon are"));
        }
    };
    submit(&app, query, text, format, by).await.map(Json)
}

async fn submit(
    app: &App,
    query: SubmitQuery,
    text: String,
    format: TextFormat,
    by: String,
) -> Result<Value, Failure> {
    let id = match query.job_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => Some(id.parse::<JobId>().map_err(Failure::bad_request)?),
        None => None,
    };
    let restore = query.is_start_with_save_point.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if restore && id.is_none() {
        return Err(Failure::bad_request("Please provide jobId when start with save point."));
    }
    let name = query.job_name.filter(|name| !name.is_empty());
    let definition = Definition { text, format, name, ..Definition::default() };
    let submission = Submission { id, definition, restore, fresh: false, file: None };
    let jobs = Arc::clone(&app.jobs);
    let job = to_the_end(async move { jobs.submit(submission, &by).await }).await?;
    Ok(json!({ "jobId": job.id, "jobName": job.name }))
}

/// Refused: an upload is a form, which the page of another site can send as well.
#[utoipa::path(post, path = "/submit-job/upload", tag = "seatunnel", responses(
    (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn upload() -> Failure {
    Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", "job files are not taken as uploads")
        .hint("send the file to /submit-job?format=hocon with the content type application/hocon")
}

fn array(body: &[u8]) -> Result<Vec<serde_json::Map<String, Value>>, Failure> {
    if body.is_empty() {
        return Err(Failure::bad_request("Request body is empty."));
    }
    let items: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(body)
        .map_err(|_| Failure::bad_request("Invalid JSON format in request body."))?;
    match items.len() {
        0..=JOBS_MAX => Ok(items),
        _ => Err(Failure::bad_request(format!("at most {JOBS_MAX} jobs in one request"))),
    }
}

/// Starts several jobs, one after the other; the first that is refused ends the request.
#[utoipa::path(post, path = "/submit-jobs", tag = "seatunnel", request_body = Vec<Value>, responses(
    (status = 200, body = Value, description = "As of /submit-job, in order"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn submit_jobs(
    State(app): State<App>,
    By(by): By,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let body = body(request, &app).await?;
    let mut submitted = Vec::new();
    for mut item in array(&body)? {
        let params = item.remove("params").unwrap_or_default();
        let of = |name: &str| text_of(params.get(name));
        let query = SubmitQuery {
            job_id: of("jobId"),
            job_name: of("jobName"),
            is_start_with_save_point: of("isStartWithSavePoint"),
            format: None,
        };
        let text = Value::Object(item).to_string();
        submitted.push(submit(&app, query, text, TextFormat::Json, by.clone()).await?);
    }
    Ok(Json(Value::Array(submitted)))
}

/// A value that is written as text or not.
fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Stops a job; with `isStopWithSavePoint`, behind a checkpoint in any case.
#[utoipa::path(post, path = "/stop-job", tag = "seatunnel", request_body = Value, responses(
    (status = 200, body = Value, description = "`jobId`, a text; the job may still finish its checkpoint"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn stop_job(
    State(app): State<App>,
    By(by): By,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let body = body(request, &app).await?;
    if body.is_empty() {
        return Err(Failure::bad_request("Request body is empty."));
    }
    let asked: serde_json::Map<String, Value> = serde_json::from_slice(&body)
        .map_err(|_| Failure::bad_request("Invalid JSON format in request body."))?;
    let id = stop(&app, &asked, by).await?;
    Ok(Json(json!({ "jobId": id })))
}

/// Stops several jobs, one after the other; the first that is refused ends the request.
#[utoipa::path(post, path = "/stop-jobs", tag = "seatunnel", request_body = Vec<Value>, responses(
    (status = 200, body = Value, description = "The numbers, in order"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn stop_jobs(
    State(app): State<App>,
    By(by): By,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let body = body(request, &app).await?;
    let mut stopped = Vec::new();
    for asked in array(&body)? {
        stopped.push(json!({ "jobId": stop(&app, &asked, by.clone()).await?.0 }));
    }
    Ok(Json(Value::Array(stopped)))
}

async fn stop(app: &App, asked: &serde_json::Map<String, Value>, by: String) -> Result<JobId, Failure> {
    let number = text_of(asked.get("jobId")).ok_or_else(|| Failure::bad_request("jobId cannot be empty."))?;
    let id: JobId = number.parse().map_err(Failure::bad_request)?;
    let wants = |name: &str| text_of(asked.get(name)).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let jobs = Arc::clone(&app.jobs);
    if wants("isStopWithSavePoint") && !wants("force") {
        waiting(app, id, None, async move { jobs.savepoint(id, &by).await }).await?;
        return Ok(id);
    }
    match app.jobs.get(id) {
        // SeaTunnel answers so, too: what is not there does not run.
        None => Ok(id),
        // A job that has ended stays what it became; only a failed one is marked by a cancellation.
        Some(job) if job.status.is_end() && job.status != JobStatus::Failed => Ok(id),
        Some(_) => {
            waiting(app, id, None, async move { jobs.cancel(id, &by).await }).await?;
            Ok(id)
        }
    }
}

/// Refused: there are no encrypted job files.
#[utoipa::path(post, path = "/encrypt-config", tag = "seatunnel", request_body = Value, responses(
    (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn encrypt_config() -> Failure {
    Failure::bad_request("job files are not encrypted: the keys of SeaTunnel's ciphers lie beside the files")
        .hint("write ${NAME} in the job file, and give the secret by the environment of the service")
}
