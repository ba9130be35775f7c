//! SeaTunnel's REST v2: its paths, parameters, and JSON shapes, texts and numbers as it writes them.
//!
//! What its servers answer is followed, where its page says otherwise: `/submit-job` and `/stop-job` answer the
//! number as a text. docs/api.md lists the paths and what differs.

mod jobs;
mod logs;
mod nodes;
mod rules;
mod shape;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

pub(crate) use nodes::Tags;

/// The paths.
pub(crate) fn paths() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(nodes::overview))
        .routes(routes!(nodes::system_monitoring_information))
        .routes(routes!(nodes::update_tags))
        .routes(routes!(jobs::running_jobs))
        .routes(routes!(jobs::job_info))
        .routes(routes!(jobs::running_job))
        .routes(routes!(jobs::all_finished_jobs))
        .routes(routes!(jobs::finished_jobs))
        .routes(routes!(jobs::submit_job))
        .routes(routes!(jobs::upload))
        .routes(routes!(jobs::submit_jobs))
        .routes(routes!(jobs::stop_job))
        .routes(routes!(jobs::stop_jobs))
        .routes(routes!(jobs::encrypt_config))
        .routes(routes!(logs::all_logs))
        .routes(routes!(logs::logs_of))
        .routes(routes!(logs::log))
        .routes(routes!(logs::log_file))
        .routes(routes!(logs::get_all_log_name))
        .routes(routes!(rules::option_rules))
}
