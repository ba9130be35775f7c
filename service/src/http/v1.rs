//! Our own interface, below `/api/v1`.

mod events;
mod jobs;
mod plugins;
mod service;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

/// The paths.
pub(crate) fn paths() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(jobs::list, jobs::submit))
        .routes(routes!(jobs::get, jobs::update, jobs::remove))
        .routes(routes!(jobs::definition))
        .routes(routes!(jobs::savepoint))
        .routes(routes!(jobs::pause))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::restore))
        .routes(routes!(jobs::limit))
        .routes(routes!(jobs::metrics))
        .routes(routes!(jobs::edges))
        .routes(routes!(jobs::logs))
        .routes(routes!(events::list))
        .routes(routes!(events::listeners))
        .routes(routes!(plugins::check))
        .routes(routes!(plugins::connectors))
        .routes(routes!(plugins::connector))
        .routes(routes!(service::service))
        .routes(routes!(service::healthz))
        .routes(routes!(service::readyz))
        .routes(routes!(service::for_prometheus))
}
