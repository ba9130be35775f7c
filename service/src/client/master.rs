//! The service as a client sees it: where it is, how it is asked, and what went wrong.
//!
//! Where: `--master`, `CULVERT_MASTER`, or what the service of this user wrote to `DATA/http.address`. The token
//! comes from the environment or a file, never from the command line, where everybody on the machine can
//! read it; the local admin's is sent to nobody but the service that wrote it.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_config::Secret;
use serde_json::Value;
use ureq::http::{Method, Request};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::arguments::MasterArguments;
use crate::http::{ADDRESS_FILE, TOKEN_FILE};
use crate::state::service_folder;

/// Where a service listens that nobody configured.
const DEFAULT_MASTER: &str = "http://127.0.0.1:8080";
/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may take; the service gives up before.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Largest answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Variables of the environment with a token, or a file of one.
const TOKEN_VARIABLE: &str = "CULVERT_TOKEN";

/// What keeps a command from its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command as it was given cannot be carried out.
    Usage(String),
    /// The service refused: its status, and what it says.
    Refused(u16, String),
    /// The service cannot be reached, or what answers is none.
    Away(String),
}

impl Trouble {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Trouble::Usage(_) => 2,
            // Mistakes in what was sent, and tokens, are for the one who asks.
            Trouble::Refused(400 | 413 | 415 | 422, _) => 2,
            Trouble::Refused(401 | 403 | 421 | 429 | 503, _) | Trouble::Away(_) => 3,
            Trouble::Refused(..) => 1,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Usage(why) | Trouble::Away(why) | Trouble::Refused(_, why) => f.write_str(why),
        }
    }
}

/// A service.
pub(crate) struct Master {
    url: String,
    token: Secret,
    /// The folder of the service whose token this is; asked before each request whether it is alive.
    own: Option<PathBuf>,
    agent: ureq::Agent,
}

impl Master {
    /// Finds the service; connects to nothing yet.
    pub(crate) fn find(arguments: &MasterArguments) -> Result<Master, Trouble> {
        let data = arguments.data.clone().unwrap_or_else(service_folder);
        let (written, is_alive) = own_service(&data);
        let url = arguments.master.clone().or_else(|| written.clone());
        let url = url.unwrap_or_else(|| DEFAULT_MASTER.to_owned()).trim_end_matches('/').to_owned();
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let usable = host.is_some_and(|host| {
            !host.is_empty() && !host.contains(['@', '?', '#']) && !host.contains(char::is_whitespace)
        });
        if !usable {
            return Err(Trouble::Usage(
                "the address of the service must be like http://127.0.0.1:8080, without an account"
                    .to_owned(),
            ));
        }
        let is_own = is_alive && written.as_deref() == Some(&url);
        let token = token(arguments, is_own.then(|| data.join(TOKEN_FILE)))?;
        if !token.is_empty() && url.starts_with("http://") && !is_here(&url) {
            return Err(Trouble::Usage(format!(
                "a token would be readable on the way to {url}: use https, or connect from its own machine"
            )));
        }
        let has_own_token =
            is_own && std::env::var_os(TOKEN_VARIABLE).is_none() && arguments.token_file.is_none();
        let own = has_own_token.then_some(data);
        Ok(Master { agent: agent(arguments.ca.as_deref())?, url, token, own })
    }

    /// Asks for something.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.call(Method::GET, path, None)
    }

    /// Asks for a change.
    pub(crate) fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        self.call(Method::POST, path, body)
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if self.own.as_deref().is_some_and(|data| !own_service(data).1) {
            return Err(Trouble::Away(format!("the service at {} has ended", self.url)));
        }
        if !self.token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.token.expose()));
        }
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        if body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        let unsendable =
            |error: ureq::http::Error| Trouble::Usage(format!("the request cannot be made: {error}"));
        let request = request.body(bytes).map_err(unsendable)?;
        let away = |error: ureq::Error| {
            Trouble::Away(format!(
                "the service at {} cannot be asked: {error} (is `culvert serve` running?)",
                self.url
            ))
        };
        let mut answer = self.agent.run(request).map_err(away)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(away)?;
        let value: Value = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).map_err(|_| {
                Trouble::Away(format!("what answers at {} is no culvert service (status {status})", self.url))
            })?,
        };
        if (200..300).contains(&status) { Ok(value) } else { Err(Trouble::Refused(status, said(&value))) }
    }
}

/// What an answer says about its refusal.
fn said(answer: &Value) -> String {
    let error = &answer["error"];
    let mut text = error["message"].as_str().unwrap_or("the service refused").to_owned();
    for problem in error["problems"].as_array().into_iter().flatten() {
        let line = problem["line"].as_u64().map(|line| format!("line {line}: ")).unwrap_or_default();
        text.push_str(&format!("\n  {line}{}", problem["message"].as_str().unwrap_or("")));
        if let Some(hint) = problem["hint"].as_str() {
            text.push_str(&format!("\n    {hint}"));
        }
    }
    if let Some(hint) = error["hint"].as_str() {
        text.push_str(&format!("\n  {hint}"));
    }
    text
}

fn token(arguments: &MasterArguments, own: Option<PathBuf>) -> Result<Secret, Trouble> {
    if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
        return Ok(Secret::new(token.trim()));
    }
    if let Some(path) = &arguments.token_file {
        return read_line(path)
            .map(Secret::new)
            .ok_or_else(|| Trouble::Usage(format!("{} holds no token", path.display())));
    }
    // Without one the service says what is needed, or needs none.
    Ok(Secret::new(own.and_then(|path| read_line(&path)).unwrap_or_default()))
}

/// Where the service of this user listens, and whether it still does: behind one that is gone another user's
/// program may listen at its port, and must not be told the token.
fn own_service(data: &Path) -> (Option<String>, bool) {
    let text = std::fs::read_to_string(data.join(ADDRESS_FILE)).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    let url = lines.next().filter(|url| !url.is_empty()).map(str::to_owned);
    let process = lines.next().and_then(|id| id.parse::<u32>().ok());
    let owner = |path: &Path| std::fs::metadata(path).ok().map(|found| found.uid());
    let alive = process.is_some_and(|id| {
        let of_process = owner(Path::new(&format!("/proc/{id}")));
        of_process.is_some() && of_process == owner(&data.join(TOKEN_FILE))
    });
    (url, alive)
}

fn read_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Whether an address is of this machine.
pub(crate) fn is_here(url: &str) -> bool {
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or("");
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ip, _)) => ip,
        None => host.split(':').next().unwrap_or(""),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whom to trust: these certificates, otherwise those of the web. What is wrong with the file, otherwise.
pub(crate) fn trust(ca: Option<&Path>) -> Result<TlsConfig, String> {
    let Some(path) = ca else { return Ok(TlsConfig::builder().build()) };
    let unread = |why: String| format!("{}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| unread(error.to_string()))?;
    let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
    let items = items.map_err(|error| unread(error.to_string()))?;
    let is_certificate = |item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    };
    let certificates: Vec<_> = items.into_iter().filter_map(is_certificate).collect();
    if certificates.is_empty() {
        return Err(unread("it holds no certificate".to_owned()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build())
}

fn agent(ca: Option<&Path>) -> Result<ureq::Agent, Trouble> {
    let tls = trust(ca).map_err(Trouble::Usage)?;
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_global(Some(ANSWER_WITHIN))
        .build();
    Ok(config.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_are_of_this_machine() {
        for here in ["http://127.0.0.1:1/x", "http://localhost", "http://[::1]:8080", "http://127.9.9.9"] {
            assert!(is_here(here), "{here}");
        }
        for there in ["http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example:80"] {
            assert!(!is_here(there), "{there}");
        }
    }

    #[test]
    fn what_the_service_says_is_told_whole() {
        let answer = serde_json::json!({"error": {"message": "the job file has a mistake", "hint": null,
            "problems": [{"line": 3, "message": "no sink", "hint": "add one"}]}});
        assert_eq!(said(&answer), "the job file has a mistake\n  line 3: no sink\n    add one");
        assert_eq!(said(&Value::Null), "the service refused");
        assert_eq!(Trouble::Refused(422, String::new()).code(), 2);
        assert_eq!(Trouble::Refused(409, String::new()).code(), 1);
        assert_eq!(Trouble::Refused(401, String::new()).code(), 3);
    }
}
