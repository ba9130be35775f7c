//! The service itself: is it alive, do its jobs move, what is it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::daemon::metrics;
use crate::http::extract::{Allowed, IsKnown};
use crate::http::failure::{ErrorBody, Failure};
use crate::http::{App, broken};

/// Whether something is well.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` or `unready`.
    status: &'static str,
    /// Which jobs are not well and why; told to those with a token.
    jobs: Vec<String>,
}

/// The process is alive and answers.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses(
    (status = 200, body = Health, description = "It is alive")))]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", jobs: Vec::new() })
}

/// Every job moves, or was stopped by somebody.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()), responses(
    (status = 200, body = Health, description = "All is well"),
    (status = 503, body = Health, description = "Some job does not move")))]
pub(super) async fn readyz(State(app): State<App>, IsKnown(known): IsKnown) -> (StatusCode, Json<Health>) {
    let unready = app.jobs.unready();
    if unready.is_empty() {
        return (StatusCode::OK, Json(Health { status: "ok", jobs: unready }));
    }
    let jobs = if known { unready } else { Vec::new() };
    (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "unready", jobs }))
}

/// The service.
#[derive(Serialize, ToSchema)]
pub(super) struct ServiceInfo {
    /// `culvert`.
    program: &'static str,
    /// Its version.
    version: &'static str,
    /// What the token of this question allows: `read` or `admin`.
    role: &'static str,
    /// How many jobs are in which state.
    jobs: BTreeMap<&'static str, u64>,
}

/// What runs here.
#[utoipa::path(get, path = "/api/v1/service", tag = "service", responses(
    (status = 200, body = ServiceInfo, description = "The service")))]
pub(super) async fn service(State(app): State<App>, Allowed(role): Allowed) -> Json<ServiceInfo> {
    let mut jobs = BTreeMap::new();
    for job in app.jobs.list() {
        *jobs.entry(job.status.word()).or_insert(0) += 1;
    }
    let role = role.word();
    Json(ServiceInfo { program: "culvert", version: env!("CARGO_PKG_VERSION"), role, jobs })
}

/// The figures of the service and its jobs, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, body = String, content_type = "text/plain", description = "Prometheus' text format"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn for_prometheus(State(app): State<App>) -> Result<impl IntoResponse, Failure> {
    let jobs = Arc::clone(&app.jobs);
    let text = tokio::task::spawn_blocking(move || metrics::render(&jobs)).await.map_err(broken)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
