//! What a request that is not answered is told.
//!
//! Ours is `{"error": {code, message, hint, problems}}`; SeaTunnel's paths say
//! `{"status": "fail", "message": …}`. Handlers return a [`Failure`], and [`in_one_form`] writes it as the
//! path wants it, along with what the server below refuses by itself.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use culvert_api::{Error, ErrorClass};
use culvert_config::{Problem, Severity, mask_secrets};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::daemon::model::Refusal;

/// A mistake in a job file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `error` or `warning`.
    pub(crate) severity: &'static str,
    /// What it is about: an option, a block.
    pub(crate) subject: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// The line of the job file, from 1.
    pub(crate) line: Option<u32>,
    /// The character of the line, from 1.
    pub(crate) column: Option<u32>,
}

impl From<&Problem> for ProblemBody {
    fn from(problem: &Problem) -> ProblemBody {
        ProblemBody {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Todo => "todo",
            },
            subject: mask_secrets(&problem.subject),
            message: mask_secrets(&problem.message),
            hint: problem.hint.as_deref().map(mask_secrets),
            line: problem.place.line,
            column: problem.place.column,
        }
    }
}

/// Why a request was not answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FailureBody {
    /// A word for programs: `unauthorized`, `not_found`, `conflict`, `invalid_job`, …
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// The mistakes of a job file.
    pub(crate) problems: Vec<ProblemBody>,
}

/// The body of every answer that is a failure.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// Why.
    pub(crate) error: FailureBody,
}

/// A request that is not answered.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    body: Box<FailureBody>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Failure {
        let message = mask_secrets(&message.into());
        Failure { status, body: Box::new(FailureBody { code, message, hint: None, problems: Vec::new() }) }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.body.hint = Some(mask_secrets(&hint.into()));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn timeout(limit: Duration) -> Failure {
        let message = format!("the request took longer than {} ms", limit.as_millis());
        Failure::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
            .hint("http.request.timeout of the service's file is the limit")
    }

    /// The answer, as the path wants it.
    pub(crate) fn shown_for(&self, path: &str) -> Response {
        let ours = path.contains("/api/") || path.ends_with("/healthz") || path.ends_with("/readyz");
        let (status, body) = match (ours, self.status) {
            (true, status) => (status, json!({ "error": self.body })),
            (false, status) => {
                // SeaTunnel knows no 422.
                let known =
                    if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
                (known, json!({ "status": "fail", "message": self.whole_message() }))
            }
        };
        let mut response = (status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"culvert\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response.headers_mut().extend(security_headers());
        response
    }

    /// In one text, for the paths that have one.
    fn whole_message(&self) -> String {
        let mut text = self.body.message.clone();
        for problem in &self.body.problems {
            let line = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            text.push_str(&format!("\n{line}{}", problem.message));
        }
        if let Some(hint) = &self.body.hint {
            text.push_str(&format!(" ({hint})"));
        }
        text
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Unknown(id) => Failure::not_found(format!("there is no job {id}")),
            Refusal::Conflict(why) => Failure::new(StatusCode::CONFLICT, "conflict", why),
            Refusal::Invalid(problems) => {
                let message = match problems.len() {
                    1 => "the job file has a mistake".to_owned(),
                    many => format!("the job file has {many} mistakes"),
                };
                let mut failure = Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", message);
                failure.body.problems = problems.iter().map(ProblemBody::from).collect();
                failure
            }
            Refusal::Failed(error) => Failure::from(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (status, code) = match error.class() {
            ErrorClass::Operator | ErrorClass::Data => (StatusCode::UNPROCESSABLE_ENTITY, "failed"),
            ErrorClass::Transient => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ErrorClass::Fatal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        let failure = Failure::new(status, code, error.without_hint());
        match error.hint_text() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl IntoResponse for Failure {
    /// Without a body: [`in_one_form`] gives it one.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Nothing lies at this path.
pub(crate) async fn no_such_path() -> Failure {
    Failure::not_found("there is nothing at this path").hint("/docs lists what there is")
}

/// Writes failures as the path wants them, and adds the headers that every answer has.
pub(crate) async fn in_one_form(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        return keep_allow(&response, failure.shown_for(&path));
    }
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    if failed && !is_json(response.headers()) {
        // What the server below refused: it has a status and plain words.
        return keep_allow(&response, of_status(status).shown_for(&path));
    }
    let headers = response.headers_mut();
    let own = headers.get(header::CONTENT_SECURITY_POLICY).cloned();
    headers.extend(security_headers());
    if let Some(own) = own {
        // The page says itself what it may load.
        headers.insert(header::CONTENT_SECURITY_POLICY, own);
    }
    response
}

fn of_status(status: StatusCode) -> Failure {
    let (code, message) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "the path does not have this method"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the request is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("media_type", "the content type is not the expected one"),
        StatusCode::INTERNAL_SERVER_ERROR => ("internal", "the request could not be answered"),
        _ => ("bad_request", "the request is not understood"),
    };
    Failure::new(status, code, message)
}

/// The methods a path has are told by whoever knows them.
fn keep_allow(from: &Response<Body>, mut to: Response) -> Response {
    if let Some(allow) = from.headers().get(header::ALLOW) {
        to.headers_mut().insert(header::ALLOW, allow.clone());
    }
    to
}

fn is_json(headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content.is_some_and(|content| content.starts_with("application/json"))
}

fn security_headers() -> HeaderMap {
    let pairs = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    pairs.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}
