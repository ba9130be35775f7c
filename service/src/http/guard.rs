//! Who may ask what: looked at before a handler sees the request.
//!
//! In this order: is it addressed to us (a page of a stranger that has its own name point here is not), does its
//! sender ask too often, whose token is it, may its role do this, does another site make a browser ask.
//! Then a change is written down, carried out, and its outcome written down.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::audit::{Asked, Audit};
use crate::http::extract::content_type;
use crate::http::failure::Failure;
use crate::http::listener::Peer;
use crate::http::options::HttpConfig;
use crate::http::tokens::{Role, Tokens, Who};

/// Addresses whose requests are counted; past it all are forgotten.
const COUNTED_MAX: usize = 4096;
/// What needs no token: whether we live, the description of the interface and the page, which say nothing about
/// this service.
const PUBLIC: [&str; 7] =
    ["/healthz", "/readyz", "/docs", "/api/v1/openapi.json", "/", "/page.css", "/page.js"];
/// What a form of a web page can send without asking first.
const FORM_TYPES: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Decides about requests.
pub(crate) struct Guard {
    tokens: Option<Tokens>,
    audit: Audit,
    hosts: Hosts,
    per_second: u32,
    counted: Mutex<HashMap<IpAddr, Bucket>>,
}

/// Which names requests may be addressed to.
struct Hosts {
    bound: IpAddr,
    named: Vec<String>,
}

/// Requests that an address may still make at once.
struct Bucket {
    left: f64,
    at: Instant,
}

impl Guard {
    pub(crate) fn new(
        config: &HttpConfig,
        address: SocketAddr,
        tokens: Option<Tokens>,
        audit: Audit,
    ) -> Guard {
        let hosts = Hosts { bound: address.ip(), named: config.hosts.clone() };
        Guard { tokens, audit, hosts, per_second: config.requests_per_second, counted: Mutex::default() }
    }

    /// Whose request this is, or why it is none.
    fn look(&self, request: &Request, peer: IpAddr) -> Result<Option<Who>, Failure> {
        self.hosts.check(request.headers(), request.uri())?;
        self.count(peer)?;
        if PUBLIC.contains(&request.uri().path()) && is_reading(request.method()) {
            return Ok(self.whose(request.headers()).ok());
        }
        let who = self.whose(request.headers())?;
        if !is_reading(request.method()) {
            if who.role != Role::Admin {
                let why = format!("the role {} may not change anything", who.role.word());
                return Err(Failure::new(StatusCode::FORBIDDEN, "forbidden", why)
                    .hint("use a token of the role admin"));
            }
            refuse_other_sites(request.headers())?;
        }
        Ok(Some(who))
    }

    fn whose(&self, headers: &HeaderMap) -> Result<Who, Failure> {
        let Some(tokens) = &self.tokens else { return Ok(Who::anybody()) };
        let unauthorized = |why: &str| Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", why);
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthorized("a token is needed").hint(
                "send the header Authorization: Bearer TOKEN; the first start of the service printed two",
            ));
        };
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let token = token.ok_or_else(|| unauthorized("the header Authorization is not Bearer TOKEN"))?;
        tokens.who(token).cloned().ok_or_else(|| unauthorized("the token is not known"))
    }

    fn count(&self, peer: IpAddr) -> Result<(), Failure> {
        if self.per_second == 0 {
            return Ok(());
        }
        let most = f64::from(self.per_second) * 2.0;
        let now = Instant::now();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED_MAX && !counted.contains_key(&peer) {
            counted.clear();
        }
        let bucket = counted.entry(peer).or_insert(Bucket { left: most, at: now });
        let filled = now.duration_since(bucket.at).as_secs_f64() * f64::from(self.per_second);
        bucket.left = (bucket.left + filled).min(most);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "too many requests from this address",
            )
            .hint("http.requests.per.second of the service's file is the limit"));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

impl Hosts {
    /// A browser that was led here by a stranger's name says that name.
    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Failure> {
        let said = match uri.host() {
            Some(host) => Some(host.to_owned()),
            None => headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(host_of),
        };
        if said.is_some_and(|host| self.knows(&host.to_ascii_lowercase())) {
            return Ok(());
        }
        let failure = Failure::new(
            StatusCode::MISDIRECTED_REQUEST,
            "other_host",
            "the request is addressed to another host",
        );
        Err(failure.hint("http.hosts of the service's file lists further names"))
    }

    fn knows(&self, host: &str) -> bool {
        if self.named.iter().any(|named| named == host) {
            return true;
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(ip) if self.bound.is_loopback() => ip.is_loopback(),
            Ok(ip) => self.bound.is_unspecified() || ip == self.bound || ip.is_loopback(),
            Err(_) if self.bound.is_loopback() => host == "localhost",
            // Beyond this machine it has names that only its network knows, until somebody lists them.
            Err(_) => self.named.is_empty(),
        }
    }
}

/// The host of `host:port`.
fn host_of(authority: &str) -> String {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ip, _)) => ip.to_owned(),
        None => authority.split(':').next().unwrap_or("").to_owned(),
    }
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A browser says where a request comes from; other programs say nothing.
fn refuse_other_sites(headers: &HeaderMap) -> Result<(), Failure> {
    let of = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    let refused = |why: &str| Err(Failure::new(StatusCode::FORBIDDEN, "other_site", why));
    if of("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return refused("a page of another site may not change anything here");
    }
    if let Some(origin) = of("origin") {
        let authority = origin.split_once("://").map(|(_, authority)| authority.to_owned());
        if authority.is_none() || authority != of("host") {
            return refused("a page of another origin may not change anything here");
        }
    }
    let content = content_type(headers);
    if FORM_TYPES.contains(&content.as_str()) {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            format!("{content} is what forms of web pages send, and is not taken"),
        )
        .hint("send application/json, and HOCON as application/hocon (curl: -H 'Content-Type: application/json')"));
    }
    Ok(())
}

/// The job that a path is about.
fn job_of(path: &str) -> Option<String> {
    let mut parts = path.split('/').skip_while(|part| *part != "jobs");
    let number = parts.nth(1)?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

/// Lets a request through, or answers it.
pub(crate) async fn admit(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let looked = guard.look(&request, peer.address.ip());
    if is_reading(request.method()) {
        return match looked {
            Ok(who) => {
                request.extensions_mut().insert(who);
                next.run(request).await
            }
            Err(failure) => failure.into_response(),
        };
    }
    let who = match &looked {
        Ok(who) => who.clone(),
        Err(_) => guard.whose(request.headers()).ok(),
    };
    let asked = Asked {
        name: who.as_ref().map_or("?", |who| &who.name).to_owned(),
        role: who.as_ref().map_or("none", |who| who.role.word()),
        peer: peer.address.to_string(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        job: job_of(request.uri().path()),
    };
    let begun = if looked.is_ok() { "asked" } else { "refused" };
    let status = looked.as_ref().err().map(|failure| failure.status.as_u16());
    let written = guard.audit.write(begun, &asked, status).await;
    match (looked, written) {
        (Err(failure), _) => failure.into_response(),
        (Ok(_), Err(error)) => {
            tracing::error!("the audit log cannot be written, so nothing is changed: {error}");
            Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the audit log cannot be written, so nothing is changed",
            )
            .into_response()
        }
        (Ok(who), Ok(())) => {
            request.extensions_mut().insert(who);
            // The answer is that of the change, whoever goes away in between.
            let outcome = Outcome { audit: guard.audit.clone(), asked: Some(asked) };
            let response = next.run(request).await;
            let at = response.headers().get(header::LOCATION).and_then(|at| at.to_str().ok());
            let (status, job) = (response.status().as_u16(), at.and_then(job_of));
            outcome.write(status, job).await;
            response
        }
    }
}

/// Writes down what came of a change, also when its client does not wait for it.
struct Outcome {
    audit: Audit,
    asked: Option<Asked>,
}

impl Outcome {
    async fn write(mut self, status: u16, job: Option<String>) {
        let Some(mut asked) = self.asked.take() else { return };
        asked.job = asked.job.or(job);
        if let Err(error) = self.audit.write("done", &asked, Some(status)).await {
            tracing::error!("the audit log cannot be written: {error}");
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        let audit = self.audit.clone();
        tokio::spawn(async move {
            if let Err(error) = audit.write("left", &asked, None).await {
                tracing::error!("the audit log cannot be written: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::HeaderValue;

    use super::*;

    fn hosts(bound: &str, named: &[&str]) -> Hosts {
        Hosts { bound: bound.parse().unwrap(), named: named.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn knows(hosts: &Hosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        hosts.check(&headers, &Uri::from_static("/jobs")).is_ok()
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_another_host() {
        let loopback = hosts("127.0.0.1", &["etl.example"]);
        for good in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.2", "etl.example"] {
            assert!(knows(&loopback, good), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example:8080", "10.0.0.1", "", "127.0.0.1.evil.example"] {
            assert!(!knows(&loopback, bad), "{bad}");
        }
        assert!(hosts("127.0.0.1", &[]).check(&HeaderMap::new(), &Uri::from_static("/")).is_err());
        assert!(knows(&hosts("0.0.0.0", &[]), "etl.example") && knows(&hosts("0.0.0.0", &[]), "10.0.0.1"));
        assert!(!knows(&hosts("0.0.0.0", &["etl.example"]), "evil.example"));
    }

    #[test]
    fn pages_of_other_sites_and_forms_change_nothing() {
        let with = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost:8080"));
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            refuse_other_sites(&headers).map_err(|failure| failure.status.as_u16())
        };
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&[("content-type", "application/json; charset=utf-8")]), Ok(()));
        assert_eq!(with(&[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(with(&[("sec-fetch-site", "cross-site")]), Err(403));
        assert_eq!(with(&[("sec-fetch-site", "same-site")]), Err(403));
        assert_eq!(with(&[("origin", "http://evil.example")]), Err(403));
        assert_eq!(with(&[("origin", "http://localhost:9090")]), Err(403));
        assert_eq!(with(&[("origin", "null")]), Err(403));
        for form in ["text/plain", "multipart/form-data; boundary=x", "Application/X-WWW-Form-Urlencoded"] {
            assert_eq!(with(&[("content-type", form)]), Err(415), "{form}");
        }
    }

    #[test]
    fn the_job_of_a_path() {
        assert_eq!(job_of("/api/v1/jobs/17/cancel").as_deref(), Some("17"));
        assert_eq!(job_of("/api/v1/jobs"), None);
        assert_eq!(job_of("/api/v1/jobs/..%2f/cancel"), None);
    }
}
