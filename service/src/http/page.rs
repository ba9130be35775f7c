//! The page of the service: three files that are part of the program, so that it works with no other server
//! and no network.
//!
//! The files hold nothing of this service and need no token; what the page shows it asks of the interface, with
//! the token that its user gave, kept in the tab alone. So there is no cookie, and nothing for another site to
//! use. Its policy allows scripts and styles of this origin and nothing else: `service/src/http/page/page.js` makes no markup of
//! what it is told.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

const HTML: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What the page may load and ask.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The paths.
pub(crate) fn paths() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(html)).routes(routes!(style)).routes(routes!(script))
}

/// The page for people: jobs, their graphs, figures and logs.
#[utoipa::path(get, path = "/", tag = "service", security(()), responses(
    (status = 200, body = String, content_type = "text/html", description = "The page")))]
async fn html(State(app): State<App>) -> Response {
    file("text/html; charset=utf-8", HTML.replace("ROOT", &app.config.context_path))
}

/// The page's style.
#[utoipa::path(get, path = "/page.css", tag = "service", security(()), responses(
    (status = 200, body = String, content_type = "text/css", description = "The style")))]
async fn style() -> Response {
    file("text/css; charset=utf-8", STYLE.to_owned())
}

/// The page's script.
#[utoipa::path(get, path = "/page.js", tag = "service", security(()), responses(
    (status = 200, body = String, content_type = "text/javascript", description = "The script")))]
async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT.to_owned())
}

fn file(content_type: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (headers, text).into_response()
}
