//! The schema registry: gives a schema its number, under the name of a topic.
//!
//! What Confluent's registry documents, which others speak as well: `POST /subjects/S/versions` answers with
//! the number, the same one when the schema is there already. Every answer is kept, so a registry that
//! is away matters to nobody but a table whose shape is new.

mod error;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::{Error, ErrorKind, Result};
use culvert_config::{Options, Secret};
use culvert_kafka::blocking;
use culvert_kafka::error::option as config;
use serde_json::{Value, json};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::encode::avro::{AvroPlan, Ids};

/// How long a registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Numbers that are kept; past it they are asked for again.
const KNOWN_MAX: usize = 1000;
/// More than any answer to what is asked here.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const CONTENT: &str = "application/vnd.schemaregistry.v1+json";

/// A registry, or several addresses of one.
pub(crate) struct Registry {
    urls: Vec<String>,
    user: Option<String>,
    password: Secret,
    ca: Option<PathBuf>,
    client: OnceLock<ureq::Agent>,
    /// The numbers of schemas, by subject and text.
    known: Mutex<HashMap<(String, Arc<str>), u32>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// An answer: its status, and what it says.
struct Answer {
    status: u16,
    body: Value,
}

impl Registry {
    /// Checks the options; connects to nothing.
    pub(crate) fn from_options(options: &Options) -> Result<Registry> {
        let addresses = options.str("schema.registry.url").split(',').map(str::trim);
        let mut urls = Vec::new();
        for address in addresses.filter(|address| !address.is_empty()) {
            let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
            let host = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
            let Some(host) = host else {
                return Err(config("schema.registry.url", "needs addresses like https://registry:8081"));
            };
            // Neither belongs there, and both can hold what must not be printed.
            if host.contains(['@', '?', '#']) || host.contains(char::is_whitespace) {
                let what = "takes no account and no question mark: use schema.registry.user and .password";
                return Err(config("schema.registry.url", what));
            }
            urls.push(address.trim_end_matches('/').to_owned());
        }
        if urls.is_empty() {
            return Err(config("schema.registry.url", "is needed by the format avro"));
        }
        let user = options.opt_str("schema.registry.user").map(str::to_owned);
        let password = options.secret("schema.registry.password");
        if user.is_none() && !password.is_empty() {
            return Err(config("schema.registry.user", "is missing, and there is a password"));
        }
        let ca = options.opt_str("schema.registry.ssl.ca.location").map(PathBuf::from);
        let (client, known) = (OnceLock::new(), Mutex::default());
        Ok(Registry { urls, user, password, ca, client, known })
    }

    /// The numbers of a table's schemas under a topic, which are registered where they are new.
    pub(crate) async fn ids(self: &Arc<Self>, topic: &str, plan: &AvroPlan) -> Result<Ids> {
        let key = match &plan.key {
            Some(schema) => Some(self.id(format!("{topic}-key"), schema).await?),
            None => None,
        };
        Ok(Ids { key, value: self.id(format!("{topic}-value"), &plan.value).await? })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, Arc<str>), u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn id(self: &Arc<Self>, subject: String, schema: &Arc<str>) -> Result<u32> {
        let wanted = (subject, Arc::clone(schema));
        if let Some(id) = self.known().get(&wanted) {
            return Ok(*id);
        }
        let (registry, (subject, schema)) = (Arc::clone(self), wanted.clone());
        let id = blocking(move || registry.register(&subject, &schema)).await??;
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(wanted, id);
        Ok(id)
    }

    fn register(&self, subject: &str, schema: &str) -> Result<u32> {
        let path = format!("subjects/{subject}/versions");
        let answer = self.ask(&path, schema).map_err(|failed| failed.context("subject", subject))?;
        if answer.status != 200 {
            return Err(self.refusal(&answer).context("subject", subject));
        }
        let id = answer.body.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| error::no_registry(answer.status).context("subject", subject))?;
        tracing::info!(subject, id, "the schema is in the registry");
        Ok(id)
    }

    /// Why the registry would not take a table's schemas, by subject, without registering them.
    pub(crate) async fn obstacles(
        self: &Arc<Self>,
        topic: &str,
        plan: &AvroPlan,
    ) -> Result<Vec<(String, Error)>> {
        let key = plan.key.iter().map(|schema| (format!("{topic}-key"), Arc::clone(schema)));
        let value = std::iter::once((format!("{topic}-value"), Arc::clone(&plan.value)));
        let subjects: Vec<(String, Arc<str>)> = key.chain(value).collect();
        let registry = Arc::clone(self);
        blocking(move || {
            let obstacle = |(subject, schema): (String, Arc<str>)| {
                let found = registry.obstacle(&subject, &schema).unwrap_or_else(Some);
                found.map(|error| (subject, error))
            };
            subjects.into_iter().filter_map(obstacle).collect()
        })
        .await
    }

    fn obstacle(&self, subject: &str, schema: &Arc<str>) -> Result<Option<Error>> {
        if self.known().contains_key(&(subject.to_owned(), Arc::clone(schema))) {
            return Ok(None);
        }
        // One that is there already is not judged again.
        if self.ask(&format!("subjects/{subject}"), schema)?.status == 200 {
            return Ok(None);
        }
        let answer = self.ask(&format!("compatibility/subjects/{subject}/versions/latest"), schema)?;
        Ok(match (answer.status, answer.body.get("is_compatible").and_then(Value::as_bool)) {
            (200, Some(true)) => None,
            (200, Some(false)) => Some(error::incompatible()),
            // Nothing is there yet that it would have to fit.
            (404, _) if answer.body.get("error_code").is_some() => None,
            _ => Some(self.refusal(&answer)),
        })
    }

    /// Posts a schema; of which type it is need not be said of Avro's. The addresses are tried in their order, until one answers as one that works.
    fn ask(&self, path: &str, schema: &str) -> Result<Answer> {
        let body = json!({ "schema": schema }).to_string();
        let mut failed = None;
        for url in &self.urls {
            match self.post(&format!("{url}/{path}"), &body) {
                Ok(answer) if error::passes(answer.status) => {
                    failed = Some(self.refusal(&answer).context("registry", url));
                }
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind() == ErrorKind::Config => return Err(error),
                Err(error) => failed = Some(error.context("registry", url)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::new(ErrorKind::Internal, "a registry without an address")))
    }

    fn post(&self, url: &str, body: &str) -> Result<Answer> {
        let mut request = self.client()?.post(url).header("Content-Type", CONTENT).header("Accept", CONTENT);
        if let Some(user) = &self.user {
            let account = STANDARD.encode(format!("{user}:{}", self.password.expose()));
            request = request.header("Authorization", format!("Basic {account}"));
        }
        let mut response = request.send(body).map_err(|error| error::convert(&error))?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let text = text.map_err(|error| error::convert(&error))?;
        // Something else than a registry says something else than JSON.
        Ok(Answer { status, body: serde_json::from_slice(&text).unwrap_or(Value::Null) })
    }

    /// The client, made when it is first needed.
    fn client(&self) -> Result<&ureq::Agent> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let roots = match &self.ca {
            None => RootCerts::WebPki,
            Some(file) => {
                let wrong = |what: &str| config("schema.registry.ssl.ca.location", what);
                let pem = std::fs::read(file)
                    .map_err(|error| wrong("names a file that cannot be read").caused_by(error))?;
                let items: Result<Vec<PemItem<'_>>, _> = parse_pem(&pem).collect();
                let items = items.map_err(|_| wrong("names a file that is no PEM"))?;
                let certificates = items.into_iter().filter_map(|item| match item {
                    PemItem::Certificate(certificate) => Some(certificate),
                    _ => None,
                });
                let certificates: Vec<ureq::tls::Certificate<'static>> = certificates.collect();
                if certificates.is_empty() {
                    return Err(wrong("names a file without a certificate"));
                }
                certificates.into()
            }
        };
        let client = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            // Where the registry is, is the job file's to say, not the environment's or another server's.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("culvert")
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(self.client.get_or_init(|| client.into()))
    }

    /// What a refusal means.
    fn refusal(&self, answer: &Answer) -> Error {
        let said = answer.body.get("message").and_then(Value::as_str);
        // Nobody should echo it; nobody will be believed not to.
        let secret = self.password.expose();
        error::of_status(answer.status, said.filter(|said| secret.is_empty() || !said.contains(secret)))
    }
}
