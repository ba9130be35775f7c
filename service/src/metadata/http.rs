//! A service that answers `GET URL/ID` with a JSON object of options.
//!
//! 404 is an id that it does not know. Anything that passes by waiting (no connection, no answer in time, 429, 5xx) is
//! told apart from answers that a person has to look at.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use culvert_config::{Entry, Options, Place, Problem, Secret, Value};
use serde_json::Value as Json;

use super::{Missing, settings};
use crate::client::master::{is_here, trust};
use tokio::runtime::{Handle, RuntimeFlavor};

/// More than any answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// For how long a service that did not answer is not asked again: many jobs that start must not each wait for it.
const LEFT_ALONE: Duration = Duration::from_secs(2);

/// The service.
pub(crate) struct MetadataService {
    pub(super) url: String,
    table_url: Option<String>,
    token_variable: String,
    ca: Option<String>,
    timeout: Duration,
    agent: OnceLock<Result<ureq::Agent, String>>,
    /// Since when it has not answered, and how.
    silent: Mutex<Option<(Instant, String)>>,
}

impl fmt::Debug for MetadataService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataService").field("url", &self.url).finish_non_exhaustive()
    }
}

impl MetadataService {
    /// Checks the options; connects to nothing.
    pub(super) fn from_options(options: &Options) -> Result<MetadataService, Problem> {
        let table_url = options.opt_str("http.table.url").map(|_| address(options, "http.table.url"));
        Ok(MetadataService {
            url: address(options, "http.url")?,
            table_url: table_url.transpose()?,
            token_variable: options.str("http.token.variable").to_owned(),
            ca: options.opt_str("http.ca").filter(|path| !path.is_empty()).map(str::to_owned),
            timeout: settings::timeout(options),
            agent: OnceLock::new(),
            silent: Mutex::default(),
        })
    }

    pub(super) fn datasource(&self, id: &str) -> Result<Vec<Entry>, Missing> {
        self.get(&self.url, id)
    }

    pub(super) fn table(&self, id: &str) -> Result<Vec<Entry>, Missing> {
        match &self.table_url {
            Some(url) => self.get(url, id),
            None => Err(Missing::Broken("it has no 'http.table.url' to ask for tables".to_owned())),
        }
    }

    fn get(&self, url: &str, id: &str) -> Result<Vec<Entry>, Missing> {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, how)) = silent.filter(|(since, _)| since.elapsed() < LEFT_ALONE) {
            return Err(Missing::Away(how));
        }
        let answer = aside(|| self.ask(&format!("{url}/{}", encoded(id))));
        let how = match &answer {
            Err(Missing::Away(how)) => Some((Instant::now(), how.clone())),
            _ => None,
        };
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = how;
        answer
    }

    fn ask(&self, address: &str) -> Result<Vec<Entry>, Missing> {
        let mut request = self.agent()?.get(address).header("Accept", "application/json");
        let token = Secret::new(std::env::var(&self.token_variable).unwrap_or_default());
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", token.expose()));
        }
        let answer = request.call().map_err(unanswered)?;
        let status = answer.status().as_u16();
        match status {
            200 => {}
            404 => return Err(Missing::Unknown(Vec::new())),
            429 | 500..=599 => return Err(Missing::Away(format!("it answers with the status {status}"))),
            401 | 403 => {
                return Err(Missing::Broken(format!(
                    "it refuses with the status {status}: look at the token in the variable {}",
                    self.token_variable
                )));
            }
            _ => return Err(Missing::Broken(format!("it answers with the status {status}"))),
        }
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = Secret::new(body.map_err(unanswered)?);
        match serde_json::from_str(body.expose()) {
            Ok(Json::Object(options)) => Ok(entries(options)),
            // What the parser says could repeat a part of the answer.
            Ok(_) | Err(_) => Err(Missing::Broken("its answer is no JSON object of options".to_owned())),
        }
    }

    fn agent(&self) -> Result<&ureq::Agent, Missing> {
        let made = self.agent.get_or_init(|| {
            let config = ureq::Agent::config_builder()
                .tls_config(trust(self.ca.as_deref().map(Path::new))?)
                .http_status_as_error(false)
                // Whom it would lead to was not asked for, and would get the token.
                .max_redirects(0)
                .proxy(None)
                .timeout_global(Some(self.timeout));
            Ok(config.build().into())
        });
        made.as_ref().map_err(|why| Missing::Broken(why.clone()))
    }
}

/// Makes a call that waits for the network, and leaves what else its thread would do to another one: the service
/// reads job files on its event loop, and goes on answering while a provider does not.
fn aside<T>(call: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(call),
        // Nobody else waits for this thread.
        _ => call(),
    }
}

fn unanswered(error: ureq::Error) -> Missing {
    match error {
        ureq::Error::Timeout(_) => Missing::Away("it does not answer in time".to_owned()),
        ureq::Error::BodyExceedsLimit(_) => {
            Missing::Broken(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"))
        }
        error => Missing::Away(format!("it cannot be reached: {error}")),
    }
}

/// The address of an option, without an account and safe from readers on the way.
fn address(options: &Options, name: &str) -> Result<String, Problem> {
    let url = options.str(name).trim_end_matches('/');
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let usable = host.is_some_and(|host| {
        !host.is_empty() && !host.contains(['@', '?', '#']) && !host.contains(char::is_whitespace)
    });
    if !usable {
        let problem = options.problem(name, "is no address of a service");
        return Err(problem.hint("it looks like https://metadata.example/datasources, without an account"));
    }
    if url.starts_with("http://") && !is_here(url) {
        let problem = options.problem(name, "would send passwords readable to everybody on the way");
        return Err(problem.hint("use https"));
    }
    Ok(url.to_owned())
}

/// An id as a part of a path.
fn encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// JSON as values of a job file; the parser has bounded how deep it is.
fn entries(object: serde_json::Map<String, Json>) -> Vec<Entry> {
    let entry = |(key, value)| Entry { key, value: value_of(value), place: Place::default() };
    object.into_iter().map(entry).collect()
}

fn value_of(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => Value::Number(number.to_string()),
        Json::String(text) => Value::String(text),
        Json::Array(values) => Value::List(values.into_iter().map(value_of).collect()),
        Json::Object(object) => Value::Object(entries(object)),
    }
}
