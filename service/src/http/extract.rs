//! What handlers are given: bodies, queries and numbers, or a refusal in our form.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::daemon::model::JobId;
use crate::http::failure::Failure;
use crate::http::tokens::{Role, Who};

/// A body of JSON.
pub(crate) struct JsonOf<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonOf<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<JsonOf<T>, Failure> {
        let content = content_type(request.headers());
        if content != "application/json" {
            let what = format!("the body must be application/json, and is {}", shown(&content));
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", what));
        }
        let body = body(request, state).await?;
        serde_json::from_slice(&body)
            .map(JsonOf)
            .map_err(|error| Failure::bad_request(format!("the body is not what is expected here: {error}")))
    }
}

/// The body as it came, within the limit.
pub(crate) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Failure> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large")
                .hint("http.request.bytes.max of the service's file is the limit")
        }
        _ => Failure::bad_request("the body did not come in whole"),
    })
}

/// The kind of a body, without its parameters; empty where nothing is said.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    content.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn shown(content: &str) -> &str {
    if content.is_empty() { "of no type" } else { content }
}

/// The parameters behind the `?`.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<QueryOf<T>, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(found)) => Ok(QueryOf(found)),
            Err(rejection) => Err(Failure::bad_request(rejection.body_text())),
        }
    }
}

/// The number of a job, in the path.
pub(crate) struct JobNumber(pub(crate) JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobNumber {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<JobNumber, Failure> {
        let PathText(text) = PathText::from_request_parts(parts, state).await?;
        text.parse().map(JobNumber).map_err(Failure::bad_request)
    }
}

/// A part of the path.
pub(crate) struct PathText(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathText, Failure> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(PathText(text)),
            Err(_) => Err(Failure::bad_request("the path is not understood")),
        }
    }
}

/// Who asks, as jobs keep it.
pub(crate) struct By(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<By, Failure> {
        match parts.extensions.get::<Option<Who>>() {
            Some(Some(who)) if who.name == who.role.word() => Ok(By(who.name.clone())),
            Some(Some(who)) => Ok(By(format!("{} ({})", who.name, who.role.word()))),
            // The guard lets nobody else through to a handler that asks.
            _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", "a token is needed")),
        }
    }
}

/// What whoever asks may do.
pub(crate) struct Allowed(pub(crate) Role);

impl<S: Send + Sync> FromRequestParts<S> for Allowed {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Allowed, Failure> {
        match parts.extensions.get::<Option<Who>>() {
            Some(Some(who)) => Ok(Allowed(who.role)),
            _ => Ok(Allowed(Role::Read)),
        }
    }
}

/// Whether the request showed a token, on paths that need none.
pub(crate) struct IsKnown(pub(crate) bool);

impl<S: Send + Sync> FromRequestParts<S> for IsKnown {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<IsKnown, Failure> {
        Ok(IsKnown(matches!(parts.extensions.get::<Option<Who>>(), Some(Some(_)))))
    }
}
