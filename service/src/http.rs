//! The HTTP interface of the service: ours under `/api/v1`, SeaTunnel's REST v2 beside it.
//!
//! The way of a request: [`listener`] takes the connection, [`guard`] decides whether it may ask,
//! [`audit`] keeps changes before they are made, a handler of [`v1`] or [`seatunnel`] answers, and
//! [`failure`] gives every refusal one form, and [`unread`] sees to it that it is heard. It runs on the service's own
//! threads; jobs have theirs.

mod audit;
mod calls;
mod docs;
mod extract;
mod failure;
mod guard;
mod listener;
mod logs;
mod options;
mod page;
mod seatunnel;
mod tokens;
mod unread;
mod v1;
mod watched;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use culvert_api::{Error, ErrorKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::daemon::jobs::Jobs;
use crate::http::audit::Audit;
use crate::http::guard::Guard;
use crate::http::listener::{HttpListener, Peer};
use crate::http::tokens::Tokens;

pub(crate) use options::{HTTP_OPTIONS, HttpConfig};

/// The file that tells a client of the same user where the service listens, and which process it is.
pub(crate) const ADDRESS_FILE: &str = "http.address";
/// The file with the token of that client.
pub(crate) const TOKEN_FILE: &str = "admin.token";

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    jobs: Arc<Jobs>,
    config: Arc<HttpConfig>,
    openapi: Arc<str>,
    page: Arc<str>,
    tags: Arc<seatunnel::Tags>,
}

/// The interface before it answers: the address is taken, the tokens are read.
pub(crate) struct Prepared {
    config: HttpConfig,
    data: PathBuf,
    listener: HttpListener,
    guard: Guard,
}

/// Takes the address; whoever connects waits.
///
/// # Errors
/// An address that cannot be used, certificates or tokens that cannot be read, and what would be open to
/// strangers.
pub(crate) async fn prepare(config: HttpConfig, data: &Path) -> Result<Prepared, Error> {
    config.refuse_open()?;
    let tokens = match config.auth {
        true => Some(Tokens::open(&config.tokens_file(data), &data.join(TOKEN_FILE))?),
        false => None,
    };
    if tokens.is_none() {
        tracing::warn!("no token is asked for: whoever reaches the HTTP interface may do everything");
    }
    let audit = Audit::open(&data.join("audit.log"))?;
    let listener = HttpListener::bind(&config).await?;
    let guard = Guard::new(&config, listener.address(), tokens, audit);
    Ok(Prepared { config, data: data.to_owned(), listener, guard })
}

impl Prepared {
    /// Answers from now on, until the signal. The address is written to `DATA/http.address`.
    ///
    /// # Errors
    /// The file of the address cannot be written.
    pub(crate) fn serve(
        self,
        jobs: Arc<Jobs>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>, Error> {
        let Prepared { config, data, listener, guard } = self;
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", reachable(listener.address()), config.context_path);
        tokens::write_private(&data.join(ADDRESS_FILE), &format!("{url}\n{}\n", std::process::id()))?;
        let service = router(jobs, config, guard).into_make_service_with_connect_info::<Peer>();
        let ended = async move {
            // An error means that nobody is left who could say it.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        tracing::info!(url, "the HTTP interface listens");
        Ok(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(ended).await {
                tracing::error!("the HTTP interface ended: {error}");
            }
        }))
    }
}

/// The address as a client of this machine can use it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

/// Every path, and its description.
fn paths() -> (Router<App>, OpenApi) {
    OpenApiRouter::with_openapi(docs::openapi())
        .merge(v1::paths())
        .merge(seatunnel::paths())
        .merge(docs::paths())
        .merge(page::paths())
        .split_for_parts()
}

fn router(jobs: Arc<Jobs>, config: HttpConfig, guard: Guard) -> Router {
    let (paths, openapi) = paths();
    let app = App {
        jobs,
        openapi: docs::as_json(&openapi).into(),
        page: docs::page(&openapi, &config.context_path).into(),
        config: Arc::new(config),
        tags: Arc::default(),
    };
    let config = Arc::clone(&app.config);
    let inside = paths
        .fallback(failure::no_such_path)
        .with_state(app)
        .layer(DefaultBodyLimit::max(config.request_bytes_max))
        .layer(from_fn_with_state(Arc::new(guard), guard::admit))
        .layer(from_fn(failure::in_one_form));
    let all = match config.context_path.as_str() {
        "" => inside,
        path => Router::new()
            .nest(path, inside)
            .fallback(failure::no_such_path)
            .layer(from_fn(failure::in_one_form)),
    };
    all.layer(from_fn(unread::read_out)).layer(from_fn_with_state(config.request_timeout, watched::in_time))
}

/// What a call that panicked, or a thread that is gone, is told as.
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "the call did not come to its end").caused_by(error)
}
