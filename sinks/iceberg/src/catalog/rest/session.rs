//! Requests to a catalog server.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, Result};
use culvert_config::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the metadata of any table.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// A token is renewed so long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);
/// A token whose end nobody told is renewed after this.
const TOKEN_LIFE: Duration = Duration::from_secs(900);

/// How to be known to the server.
#[derive(Clone)]
pub(crate) enum Login {
    /// Not at all.
    Anonymous,
    /// By a token that is there.
    Token(Secret),
    /// By `id:secret`, for which a server gives tokens (OAuth2's client credentials).
    Credential { credential: Secret, server: String, scope: String },
}

/// A catalog server, and the way to it.
pub(crate) struct Session {
    uri: String,
    warehouse: Option<String>,
    login: Login,
    agent: OnceLock<ureq::Agent>,
    known: OnceLock<Known>,
    token: Mutex<Option<(Secret, Instant)>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// What the server says of itself, asked for once.
#[derive(Debug, Default)]
struct Known {
    prefix: String,
    transactions: bool,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    defaults: std::collections::HashMap<String, String>,
    #[serde(default)]
    overrides: std::collections::HashMap<String, String>,
    #[serde(default)]
    endpoints: Vec<String>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<u64>,
}

/// What the server said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: String,
    asked: String,
}

impl Answer {
    /// The body; what a status other than of success means, otherwise.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.done()?;
        serde_json::from_str(&self.body).map_err(|cause| {
            let what = "the catalog's answer cannot be read";
            Error::new(ErrorKind::Corrupt, what).context("request", &self.asked).caused_by(cause)
        })
    }

    /// What a status other than of success means.
    pub(crate) fn done(&self) -> Result<()> {
        let (kind, hint) = match self.status {
            200..=299 => return Ok(()),
            401 | 403 => (ErrorKind::Permission, "check token or credential, and the rights behind it"),
            429 | 500..=599 | 419 => (ErrorKind::Unavailable, "the job tries again by itself"),
            _ => (ErrorKind::Config, "check uri, warehouse and prefix of the catalog"),
        };
        // The server's own words; nothing of ours that is secret is in them.
        let said = serde_json::from_str::<Value>(&self.body).ok();
        let said = said.as_ref().and_then(|body| body.pointer("/error/message")).and_then(Value::as_str);
        let said: String = said.unwrap_or_default().chars().take(300).collect();
        Err(Error::new(kind, "the catalog refused")
            .context("request", &self.asked)
            .context("status", self.status)
            .context("answer", said)
            .hint(hint))
    }
}

impl Session {
    pub(crate) fn new(uri: &str, warehouse: Option<&str>, login: Login) -> Session {
        Session {
            uri: uri.trim_end_matches('/').to_owned(),
            warehouse: warehouse.map(str::to_owned),
            login,
            agent: OnceLock::new(),
            known: OnceLock::new(),
            token: Mutex::new(None),
        }
    }

    fn agent(&self) -> &ureq::Agent {
        self.agent.get_or_init(|| {
            let config = ureq::Agent::config_builder()
                .timeout_global(Some(PATIENCE))
                .http_status_as_error(false)
                .max_redirects(0)
                .build();
            ureq::Agent::new_with_config(config)
        })
    }

    /// Asks; blocks.
    fn ask(
        &self,
        method: &str,
        url: &str,
        token: Option<&Secret>,
        body: Option<(&str, &str)>,
    ) -> Result<Answer> {
        let asked = format!("{method} {}", url.split('?').next().unwrap_or_default());
        let away = |cause: ureq::Error| {
            Error::new(ErrorKind::Connection, "the catalog cannot be reached")
                .context("request", &asked)
                .caused_by(cause.to_string())
        };
        let (kind, text) = body.unwrap_or(("application/json", ""));
        let mut request = ureq::http::Request::builder().method(method).uri(url).header("Content-Type", kind);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {}", token.expose()));
        }
        let request = request.body(text.to_owned()).map_err(|_| {
            Error::new(ErrorKind::Config, "the catalog's address cannot be used").context("request", &asked)
        })?;
        let answer = self.agent().run(request).map_err(away)?;
        let status = answer.status().as_u16();
        let body =
            answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(away)?;
        Ok(Answer { status, body, asked })
    }

    /// The token to show; asked for where it is missing or old.
    fn token(&self) -> Result<Option<Secret>> {
        let (credential, server, scope) = match &self.login {
            Login::Anonymous => return Ok(None),
            Login::Token(token) => return Ok(Some(token.clone())),
            Login::Credential { credential, server, scope } => (credential, server, scope),
        };
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until)) = held.as_ref()
            && Instant::now() < *until
        {
            return Ok(Some(token.clone()));
        }
        let (id, secret) = credential.expose().split_once(':').unwrap_or(("", credential.expose()));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", scope),
        ];
        let form: Vec<String> = form
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", super::escape(value)))
            .collect();
        let body = Some(("application/x-www-form-urlencoded", form.join("&")));
        let body = body.as_ref().map(|(kind, text)| (*kind, text.as_str()));
        let answer: Token = self.ask("POST", server, None, body)?.json()?;
        let life = answer.expires_in.map_or(TOKEN_LIFE, Duration::from_secs).saturating_sub(TOKEN_MARGIN);
        let token = Secret::new(answer.access_token);
        *held = Some((token.clone(), Instant::now() + life));
        Ok(Some(token))
    }

    fn known(&self) -> Result<&Known> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let warehouse = self.warehouse.as_deref().map(|name| format!("?warehouse={}", super::escape(name)));
        let url = format!("{}/v1/config{}", self.uri, warehouse.unwrap_or_default());
        let config: Config = self.ask("GET", &url, self.token()?.as_ref(), None)?.json()?;
        let prefix = config.overrides.get("prefix").or_else(|| config.defaults.get("prefix"));
        let prefix = prefix.map(|prefix| format!("{}/", prefix.trim_matches('/'))).unwrap_or_default();
        let transactions = config.endpoints.iter().any(|endpoint| endpoint.ends_with("/transactions/commit"));
        Ok(self.known.get_or_init(|| Known { prefix, transactions }))
    }

    /// Whether several tables can be changed at once; known once the server was asked for anything.
    pub(crate) fn has_transactions(&self) -> bool {
        self.known.get().is_some_and(|known| known.transactions)
    }

    async fn send(
        self: &Arc<Self>,
        method: &'static str,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer> {
        let (session, path) = (Arc::clone(self), path.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let url = format!("{}/v1/{}{path}", session.uri, session.known()?.prefix);
            let body = body.as_deref().map(|text| ("application/json", text));
            session.ask(method, &url, session.token()?.as_ref(), body)
        });
        done.await
            .map_err(|cause| Error::new(ErrorKind::Internal, "the catalog was given up").caused_by(cause))?
    }

    pub(crate) async fn get(self: &Arc<Self>, path: &str) -> Result<Answer> {
        self.send("GET", path, None).await
    }

    pub(crate) async fn delete(self: &Arc<Self>, path: &str) -> Result<Answer> {
        self.send("DELETE", path, None).await
    }

    pub(crate) async fn post(self: &Arc<Self>, path: &str, body: &Value) -> Result<Answer> {
        self.send("POST", path, Some(body.to_string())).await
    }
}
