//! What a job may be made of, and whether one is sound.

// What the macros of utoipa write is not ours to shorten.
#![allow(unused_qualifications)]

use std::path::Path;

use axum::Json;
use axum::extract::State;
use culvert_config::{Report, parse_variables};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::catalogue;
use crate::check;
use crate::connectors::PLUGINS;
use crate::daemon::model::TextFormat;
use crate::http::App;
use crate::http::extract::{JsonOf, PathText, QueryOf};
use crate::http::failure::{ErrorBody, Failure};
use crate::job;

/// A job to look at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckBody {
    /// The job file.
    text: String,
    /// How it is written.
    #[serde(default)]
    format: TextFormat,
    /// `name=value`, for `${name}` in the job file.
    #[serde(default)]
    variables: Vec<String>,
    /// Also connect to sources and targets.
    #[serde(default)]
    connect: bool,
    /// Unknown keys are errors.
    #[serde(default)]
    strict: bool,
}

/// Looks for problems in a job without touching data: the report of `culvert check --format json`.
#[utoipa::path(post, path = "/api/v1/check", tag = "plugins", request_body = CheckBody, responses(
    (status = 200, body = Value, description = "The report; a job with mistakes is answered, too"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn check(
    State(app): State<App>,
    JsonOf(body): JsonOf<CheckBody>,
) -> Result<Json<Value>, Failure> {
    let variables = parse_variables(&body.variables).map_err(|problem| vec![problem]);
    let read = variables.and_then(|variables| {
        let provider = app.jobs.metadata();
        job::read_kept(&body.text, body.format.into(), None, &variables, None, &[], provider)
    });
    let report = match read {
        Ok(job) => check::look(job, Path::new("job.conf"), body.strict, body.connect).await.0,
        Err(problems) => {
            let mut report = Report::default();
            problems.iter().for_each(|problem| report.add(problem));
            report
        }
    };
    serde_json::from_str(&report.to_json()).map(Json).map_err(|error| crate::http::broken(error).into())
}

/// Which plugins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectorsQuery {
    /// `source`, `transform` or `sink`.
    role: Option<String>,
}

/// The plugins, their options, rules and promises: the form of docs/connectors-json.md.
#[utoipa::path(get, path = "/api/v1/connectors", tag = "plugins", params(ConnectorsQuery), responses(
    (status = 200, body = Value, description = "The catalogue"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn connectors(QueryOf(query): QueryOf<ConnectorsQuery>) -> Result<Json<Value>, Failure> {
    catalogue(None, query.role.as_deref())
}

/// The plugins of one name.
#[utoipa::path(get, path = "/api/v1/connectors/{name}", tag = "plugins", params(("name" = String, Path, description = "In any letter case"), ConnectorsQuery), responses(
    (status = 200, body = Value, description = "The catalogue of this plugin"),
    (status = "4XX", body = ErrorBody, description = "Refused")))]
pub(super) async fn connector(
    PathText(name): PathText,
    QueryOf(query): QueryOf<ConnectorsQuery>,
) -> Result<Json<Value>, Failure> {
    catalogue(Some(&name), query.role.as_deref())
}

fn catalogue(name: Option<&str>, role: Option<&str>) -> Result<Json<Value>, Failure> {
    if let Some(role) = role
        && !["source", "transform", "sink"].contains(&role)
    {
        return Err(Failure::bad_request("`role` is source, transform or sink"));
    }
    let wanted = |plugin: &&crate::connectors::Plugin| {
        role.is_none_or(|role| plugin.role().section() == role)
            && name.is_none_or(|name| plugin.name.eq_ignore_ascii_case(name))
    };
    let chosen: Vec<_> = PLUGINS.iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err(Failure::not_found("there is no such plugin").hint("/api/v1/connectors lists them"));
    }
    Ok(Json(catalogue::value(&chosen)))
}
