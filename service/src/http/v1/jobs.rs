//! Jobs: list, submit, look at, stop, start again, change, forget.

// What the macros of utoipa write is not ours to shorten.
#![allow(unused_qualifications)]

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::daemon::jobs::Submission;
use crate::daemon::model::{
    Committed, Definition, Figures, JobId, JobInfo, JobStatus, TableFigures, TextFormat, VertexTables,
};
use crate::http::calls::{Called, to_the_end, waiting};
use crate::http::extract::{By, JobNumber, JsonOf, QueryOf};
use crate::http::failure::{ErrorBody, Failure};
use crate::http::logs::{self, CHUNK_BYTES_MAX, LogChunk, LogName, Part};
use crate::http::{App, broken};

/// Most lines from the end of a log that one answer holds.
const LINES_MAX: usize = 10_000;
/// Lines where nobody says how many.
const LINES: usize = 200;

/// Jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct JobList {
    /// The newest first.
    jobs: Vec<JobInfo>,
}

/// Which jobs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Jobs in this state alone.
    status: Option<JobStatus>,
    /// Jobs of this name alone.
    name: Option<String>,
}

/// A job to start.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitBody {
    /// The job file.
    text: String,
    /// How it is written.
    #[serde(default)]
    format: TextFormat,
    /// `name=value`, for `${name}` in the job file.
    #[serde(default)]
    variables: Vec<String>,
    /// The job's name; otherwise `job.name` of the file.
    #[serde(default)]
    name: Option<String>,
    /// `TYPE.OPTION=VALUE`: who is told of the job's events, such as `dingtalk.webhook.url=…`.
    #[serde(default)]
    properties: Vec<String>,
    /// Its number; one is given where none is chosen.
    #[serde(default)]
    id: Option<JobId>,
    /// The job of this number has ended, and goes on from its restart point.
    #[serde(default)]
    restore: bool,
    /// Forget the restart point of an earlier job of this name.
    #[serde(default)]
    fresh: bool,
}

/// Another definition of a job.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DefinitionBody {
    /// The job file.
    text: String,
    /// How it is written.
    #[serde(default)]
    format: TextFormat,
    /// `name=value`, for `${name}` in the job file.
    #[serde(default)]
    variables: Vec<String>,
    /// The job's name.
    #[serde(default)]
    name: Option<String>,
    /// `TYPE.OPTION=VALUE`: who is told of the job's events, such as `dingtalk.webhook.url=…`.
    #[serde(default)]
    properties: Vec<String>,
}

impl From<DefinitionBody> for Definition {
    fn from(body: DefinitionBody) -> Definition {
        let DefinitionBody { text, format, variables, name, properties } = body;
        Definition { text, format, variables, name, properties }
    }
}

/// How long to wait for what was asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Milliseconds; at most, and by default, four fifths of `http.request.timeout`. What takes longer is answered
    /// with 202 and goes on.
    wait_ms: Option<u64>,
}

/// All jobs.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(ListQuery), responses(
    (status = 200, body = JobList, description = "The jobs"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn list(State(app): State<App>, QueryOf(query): QueryOf<ListQuery>) -> Json<JobList> {
    let wanted = |job: &JobInfo| {
        query.status.is_none_or(|status| job.status == status)
            && query.name.as_ref().is_none_or(|name| job.name == *name)
    };
    Json(JobList { jobs: app.jobs.list().into_iter().filter(wanted).collect() })
}

/// Checks a job, keeps it and starts it.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = SubmitBody, responses(
    (status = 201, body = JobInfo, description = "The job starts"),
    (status = "4XX", body = ErrorBody, description = "Refused; 422: the job file has mistakes")))]
pub(super) async fn submit(
    State(app): State<App>,
    By(by): By,
    JsonOf(body): JsonOf<SubmitBody>,
) -> Result<Response, Failure> {
    if body.restore && body.id.is_none() {
        return Err(Failure::bad_request("`restore` needs `id`, the number of the job that goes on"));
    }
    let SubmitBody { text, format, variables, name, properties, id, restore, fresh } = body;
    let definition = Definition { text, format, variables, name, properties };
    let submission = Submission { id, definition, restore, fresh, file: None };
    let jobs = Arc::clone(&app.jobs);
    let job = to_the_end(async move { jobs.submit(submission, &by).await }).await?;
    let at = format!("{}/api/v1/jobs/{}", app.config.context_path, job.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, at)], Json(job)).into_response())
}

/// A job, and what it has committed.
#[derive(Serialize, ToSchema)]
pub(super) struct JobDetails {
    /// The job.
    #[serde(flatten)]
    job: JobInfo,
    /// What it has committed.
    #[serde(flatten)]
    committed: Committed,
}

/// One job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's number")), responses(
    (status = 200, body = JobDetails, description = "The job"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn get(
    State(app): State<App>,
    JobNumber(id): JobNumber,
) -> Result<Json<JobDetails>, Failure> {
    Ok(Json(JobDetails { job: found(&app, id)?, committed: app.jobs.committed(id) }))
}

fn found(app: &App, id: JobId) -> Result<JobInfo, Failure> {
    app.jobs.get(id).ok_or_else(|| no_such_job(id))
}

fn no_such_job(id: JobId) -> Failure {
    Failure::not_found(format!("there is no job {id}"))
}

/// Gives a job another definition. A running one stops behind a checkpoint and goes on from there.
#[utoipa::path(put, path = "/api/v1/jobs/{id}", tag = "jobs", request_body = DefinitionBody,
    params(("id" = String, Path, description = "The job's number"), WaitQuery), responses(
    (status = 200, body = JobInfo, description = "The job goes on as the new definition says"),
    (status = 202, body = JobInfo, description = "Its checkpoint takes longer; it goes on"),
    (status = "4XX", body = ErrorBody, description = "Refused, and nothing was stopped")))]
pub(super) async fn update(
    State(app): State<App>,
    JobNumber(id): JobNumber,
    QueryOf(query): QueryOf<WaitQuery>,
    By(by): By,
    JsonOf(body): JsonOf<DefinitionBody>,
) -> Result<Response, Failure> {
    let jobs = Arc::clone(&app.jobs);
    let call = async move { jobs.update(id, body.into(), &by).await };
    Ok(answer(waiting(&app, id, query.wait_ms, call).await?))
}

fn answer(called: Called) -> Response {
    match called {
        Called::Done(job) => Json(job).into_response(),
        Called::GoesOn(job) => (StatusCode::ACCEPTED, Json(job)).into_response(),
    }
}

/// Forgets a job that has ended: its log, and its restart point where no other job has its name.
#[utoipa::path(delete, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's number")), responses(
    (status = 204, description = "It is forgotten"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn remove(State(app): State<App>, JobNumber(id): JobNumber) -> Result<StatusCode, Failure> {
    let jobs = Arc::clone(&app.jobs);
    to_the_end(async move { jobs.remove(id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A job file.
#[derive(Serialize, ToSchema)]
pub(super) struct DefinitionText {
    /// As it was written, secrets masked.
    text: String,
}

/// The job file of a job, secrets masked.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/definition", tag = "jobs", params(("id" = String, Path, description = "The job's number")), responses(
    (status = 200, body = DefinitionText, description = "The job file"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn definition(
    State(app): State<App>,
    JobNumber(id): JobNumber,
) -> Result<Json<DefinitionText>, Failure> {
    let text = app.jobs.masked_text(id).ok_or_else(|| no_such_job(id))?;
    Ok(Json(DefinitionText { text }))
}

/// Stops a job behind a checkpoint, to be restored later.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/savepoint", tag = "jobs", params(("id" = String, Path, description = "The job's number"), WaitQuery), responses(
    (status = 200, body = JobInfo, description = "It has stopped"),
    (status = 202, body = JobInfo, description = "Its checkpoint takes longer; it goes on"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn savepoint(
    State(app): State<App>,
    JobNumber(id): JobNumber,
    QueryOf(query): QueryOf<WaitQuery>,
    By(by): By,
) -> Result<Response, Failure> {
    let jobs = Arc::clone(&app.jobs);
    let call = async move { jobs.savepoint(id, &by).await };
    Ok(answer(waiting(&app, id, query.wait_ms, call).await?))
}

/// The same as savepoint.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/pause", tag = "jobs", params(("id" = String, Path, description = "The job's number"), WaitQuery), responses(
    (status = 200, body = JobInfo, description = "It has stopped"),
    (status = 202, body = JobInfo, description = "Its checkpoint takes longer; it goes on"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn pause(
    app: State<App>,
    id: JobNumber,
    query: QueryOf<WaitQuery>,
    by: By,
) -> Result<Response, Failure> {
    savepoint(app, id, query, by).await
}

/// Stops a job, behind a checkpoint if that takes no more than ten seconds. Its restart point is kept.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "The job's number"), WaitQuery), responses(
    (status = 200, body = JobInfo, description = "It has stopped, or had ended before"),
    (status = 202, body = JobInfo, description = "It takes longer, and goes on"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn cancel(
    State(app): State<App>,
    JobNumber(id): JobNumber,
    QueryOf(query): QueryOf<WaitQuery>,
    By(by): By,
) -> Result<Response, Failure> {
    let jobs = Arc::clone(&app.jobs);
    let call = async move { jobs.cancel(id, &by).await };
    Ok(answer(waiting(&app, id, query.wait_ms, call).await?))
}

/// Starts a job that has ended from its restart point; with another definition where the body has one.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/restore", tag = "jobs", request_body = Option<DefinitionBody>,
    params(("id" = String, Path, description = "The job's number"), WaitQuery), responses(
    (status = 200, body = JobInfo, description = "It starts"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn restore(
    State(app): State<App>,
    JobNumber(id): JobNumber,
    QueryOf(query): QueryOf<WaitQuery>,
    By(by): By,
    body: Bytes,
) -> Result<Response, Failure> {
    let changed: Option<DefinitionBody> = match body.len() {
        0 => None,
        _ => serde_json::from_slice(&body).map_err(|error| {
            Failure::bad_request(format!("the body is not what is expected here: {error}"))
        })?,
    };
    let jobs = Arc::clone(&app.jobs);
    let call = async move { jobs.restore(id, changed.map(Definition::from), &by).await };
    Ok(answer(waiting(&app, id, query.wait_ms, call).await?))
}

/// How much a job may read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitBody {
    /// Rows in a second; 0 is no limit.
    #[serde(default)]
    rows_per_second: u64,
    /// Bytes in a second; 0 is no limit.
    #[serde(default)]
    bytes_per_second: u64,
}

/// Limits how much a running job reads, until it is started again.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/limit", tag = "jobs", request_body = LimitBody,
    params(("id" = String, Path, description = "The job's number")), responses(
    (status = 200, body = JobInfo, description = "The limit counts from now on"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn limit(
    State(app): State<App>,
    JobNumber(id): JobNumber,
    JsonOf(body): JsonOf<LimitBody>,
) -> Result<Json<JobInfo>, Failure> {
    app.jobs.limit(id, body.rows_per_second, body.bytes_per_second)?;
    found(&app, id).map(Json)
}

/// What passes the edges of a job's graph.
#[derive(Serialize, ToSchema)]
pub(super) struct JobEdges {
    /// Its number.
    id: JobId,
    /// What is behind each vertex of its graph; empty while it does not run.
    vertices: Vec<VertexTables>,
}

/// The tables that pass the edges of a running job's graph, as they are now: columns, types, keys and kinds of rows.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/edges", tag = "jobs", params(("id" = String, Path, description = "The job's number")), responses(
    (status = 200, body = JobEdges, description = "The tables"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn edges(
    State(app): State<App>,
    JobNumber(id): JobNumber,
) -> Result<Json<JobEdges>, Failure> {
    let jobs = Arc::clone(&app.jobs);
    let vertices = tokio::task::spawn_blocking(move || jobs.edges(id)).await.map_err(broken)?;
    Ok(Json(JobEdges { id, vertices: vertices.ok_or_else(|| no_such_job(id))? }))
}

/// The figures of a job.
#[derive(Serialize, ToSchema)]
pub(super) struct JobFigures {
    /// Its number.
    id: JobId,
    /// Its name.
    name: String,
    /// Its state.
    status: JobStatus,
    /// What it has done.
    figures: Figures,
    /// The same by table, the busiest first, at most 1000.
    tables: Vec<TableFigures>,
}

/// The figures of a job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/metrics", tag = "jobs", params(("id" = String, Path, description = "The job's number")), responses(
    (status = 200, body = JobFigures, description = "What it has done since it was started"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn metrics(
    State(app): State<App>,
    JobNumber(id): JobNumber,
) -> Result<Json<JobFigures>, Failure> {
    let JobInfo { name, status, figures, .. } = found(&app, id)?;
    let tables = app.jobs.tables(id).unwrap_or_default();
    Ok(Json(JobFigures { id, name, status, figures, tables }))
}

/// Which part of a log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsQuery {
    /// The last lines: at most 10000, by default 200.
    lines: Option<usize>,
    /// From this byte on instead, as an earlier answer's `next_offset` says.
    offset: Option<u64>,
    /// Most bytes of an answer, at most a mebibyte.
    bytes: Option<u64>,
}

/// A part of a job's log.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/logs", tag = "jobs", params(("id" = String, Path, description = "The job's number"), LogsQuery), responses(
    (status = 200, body = LogChunk, description = "The part"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn logs(
    State(app): State<App>,
    JobNumber(id): JobNumber,
    QueryOf(query): QueryOf<LogsQuery>,
) -> Result<Json<LogChunk>, Failure> {
    let part = match query.offset {
        Some(offset) => Part::From(offset),
        None => Part::Last(query.lines.unwrap_or(LINES).min(LINES_MAX)),
    };
    found(&app, id)?;
    let limit = query.bytes.unwrap_or(CHUNK_BYTES_MAX).max(1);
    let read = logs::read(&app.jobs, LogName { job: id, earlier: false }, part, limit).await?;
    Ok(Json(read.unwrap_or(LogChunk { offset: 0, next_offset: 0, size: 0, text: String::new() })))
}
