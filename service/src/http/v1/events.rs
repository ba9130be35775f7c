//! Events: what happened, and how far whom has been told.

// What the macros of utoipa write is not ours to shorten.
#![allow(unused_qualifications)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use culvert_api::EventSeverity;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::daemon::model::JobId;
use crate::events::model::Numbered;
use crate::events::{LISTED_MAX, ListenerInfo, Wanted};
use crate::http::extract::QueryOf;
use crate::http::failure::{ErrorBody, Failure};
use crate::http::{App, broken};

/// Events where nobody says how many.
const LISTED: usize = 100;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Of the job of this number alone.
    job: Option<JobId>,
    /// Of this type alone, such as `JOB_STATUS`; `*` stands for anything.
    r#type: Option<String>,
    /// Of this severity or a higher one: `info`, `notice`, `warning`, `error`.
    #[param(value_type = Option<String>)]
    severity: Option<EventSeverity>,
    /// Behind this number, the oldest first; without it the newest, the newest first.
    after: Option<u64>,
    /// So many at most; 100 without it, never more than 1000.
    limit: Option<usize>,
}

/// What happened.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "list_events", tag = "events", params(EventsQuery), responses(
    (status = 200, body = Vec<Numbered>, description = "The events"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn list(
    State(app): State<App>,
    QueryOf(query): QueryOf<EventsQuery>,
) -> Result<Json<Vec<Numbered>>, Failure> {
    let wanted = Wanted {
        job_id: query.job,
        kind: query.r#type,
        severity: query.severity,
        after: query.after,
        limit: query.limit.unwrap_or(LISTED).min(LISTED_MAX),
    };
    let events = Arc::clone(app.jobs.events());
    let listed = tokio::task::spawn_blocking(move || events.list(&wanted)).await.map_err(broken)?;
    Ok(Json(listed?))
}

/// How far every listener has been told.
#[utoipa::path(get, path = "/api/v1/listeners", tag = "events", responses(
    (status = 200, body = Vec<ListenerInfo>, description = "The listeners; those of jobs that have ended are gone once they have been told everything"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn listeners(State(app): State<App>) -> Json<Vec<ListenerInfo>> {
    Json(app.jobs.events().listeners())
}
