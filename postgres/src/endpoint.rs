//! Where a server is, and a connection to it with the session every statement of ours expects.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use culvert_api::guard::connecting;
use culvert_api::{Error, ErrorKind, Result};
use culvert_config::{JdbcUrl, Secret, TlsMode};
use tokio::sync::oneshot;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::from_client;
use crate::tls;

/// A connection without traffic is asked for a sign of life after this long, then every
/// [`KEEPALIVE_INTERVAL`], [`KEEPALIVE_RETRIES`] times.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE_IDLE`].
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// See [`KEEPALIVE_IDLE`].
pub const KEEPALIVE_RETRIES: u32 = 3;
/// Bytes that stay unacknowledged for this long end a connection.
pub const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// How long the end of a connection may take once its [`Client`] is gone.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// What every session begins with: the text forms of values that our decoders read and our encoders
/// write, and no time limit but our own. Names a server does not know are left out.
const SETTINGS: &[(&str, &str)] = &[
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    // An amount of money is a whole number that is printed by the locale; under one locale for all it
    // stays that number.
    ("lc_monetary", "C"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
];

/// Besides, for reading. Without a search path, types and objects outside `pg_catalog` are printed
/// with their schema, and nothing in a user's schema can stand in for a function of the catalog. With
/// row security off, a policy that would leave rows out is an error instead.
const READER_SETTINGS: &[(&str, &str)] = &[("search_path", ""), ("row_security", "off")];

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Reading tables and the catalog: no search path, no row security. Operators of extensions are
    /// found only where a statement names their schema.
    Reader,
    /// Writing: the search path and the policies that the user has on this server.
    Writer,
}

/// Everything needed to connect.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User name.
    pub user: String,
    /// Password; empty for none.
    pub password: Secret,
    /// How to use TLS.
    pub tls: TlsMode,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// The name the server's views show.
    pub application_name: String,
    /// What the sessions are for.
    pub session: Session,
}

impl Endpoint {
    /// The server of a URL, with its `sslmode` and `ApplicationName`. Without a database in the URL
    /// it is the user's own, as with the drivers of this server. Sessions are [`Session::Reader`]s.
    pub fn new(url: &JdbcUrl, user: &str, password: Secret, connect_timeout: Duration) -> Result<Endpoint> {
        let tls = TlsMode::from_params(url.family(), &url.params)
            .map_err(|error| Error::new(ErrorKind::Config, format!("the url {error}")))?;
        Ok(Endpoint {
            host: url.host.clone(),
            port: url.port,
            database: url.database.clone().unwrap_or_else(|| user.to_owned()),
            user: user.to_owned(),
            password,
            tls,
            connect_timeout,
            application_name: url.param("ApplicationName").unwrap_or("culvert").to_owned(),
            session: Session::Reader,
        })
    }

    /// The same for another kind of session.
    #[must_use]
    pub fn with_session(mut self, session: Session) -> Endpoint {
        self.session = session;
        self
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What connecting is called in messages.
    pub fn connecting(&self) -> String {
        format!("connecting to {} as '{}'", self.address(), self.user)
    }

    /// The settings of a session, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let more = if self.session == Session::Reader { READER_SETTINGS } else { &[] };
        SETTINGS.iter().chain(more).copied()
    }

    /// Connects and prepares the session.
    pub async fn connect(&self) -> Result<Client> {
        let opening = || async {
            let client = match tls::client_config(&self.tls)? {
                None => self.open(NoTls).await?,
                Some(config) => self.open(MakeRustlsConnect::new(config)).await?,
            };
            self.prepare(&client).await?;
            Ok(client)
        };
        connecting(self.connect_timeout, opening).await.unwrap_or_else(|| {
            let (address, limit) = (self.address(), self.connect_timeout);
            Err(Error::new(ErrorKind::Connection, format!("no answer from {address} within {limit:?}")))
        })
    }

    async fn open<T>(&self, tls: T) -> Result<Client>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (inner, connection) =
            self.config().connect(tls).await.map_err(|error| from_client(error, &self.connecting()))?;
        let (alive, ended) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let farewell = async {
                // Never sent to: it resolves when the client is dropped.
                let _ = ended.await;
                tokio::time::sleep(FAREWELL_MAX).await;
            };
            tokio::select! {
                // Every statement that was under way has been told of the failure.
                result = connection => if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended");
                },
                () = farewell => {}
            }
        });
        Ok(Client { inner, _alive: alive })
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(&self.application_name)
            .connect_timeout(self.connect_timeout)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX)
            .ssl_mode(match self.tls {
                TlsMode::Off => SslMode::Disable,
                TlsMode::Preferred => SslMode::Prefer,
                TlsMode::Required | TlsMode::VerifyIdentity(_) => SslMode::Require,
            });
        if !self.password.is_empty() {
            config.password(self.password.expose());
        }
        config
    }

    /// One round trip; `pg_settings` leaves out what this server does not know. The user's search path
    /// still holds here, and what lies on it must not be called.
    async fn prepare(&self, client: &Client) -> Result<()> {
        let pairs: Vec<String> =
            self.settings().map(|(name, value)| format!("('{name}', '{value}')")).collect();
        let statement = format!(
            "SELECT pg_catalog.set_config(s.name, v.value, false) FROM (VALUES {}) AS v (name, value) \
             JOIN pg_catalog.pg_settings s \
             ON pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) pg_catalog.lower(v.name)",
            pairs.join(", ")
        );
        client.simple_query(&statement).await.map_err(|error| from_client(error, "preparing the session"))?;
        Ok(())
    }
}

/// A connection. Dropping it ends the session: the server rolls back what is open, and a result that
/// is still arriving is given up.
pub struct Client {
    inner: tokio_postgres::Client,
    /// Its end tells the connection's task to finish.
    _alive: oneshot::Sender<()>,
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.inner
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut tokio_postgres::Client {
        &mut self.inner
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint> {
        Endpoint::new(&JdbcUrl::parse(url).unwrap(), "app", Secret::new("hunter2"), Duration::from_secs(5))
    }

    #[test]
    fn a_url_gives_an_endpoint() {
        let found = endpoint("jdbc:postgresql://[::1]:5433/shop?sslmode=require&ApplicationName=x").unwrap();
        assert_eq!((found.address().as_str(), found.database.as_str()), ("[::1]:5433", "shop"));
        assert_eq!((found.tls.clone(), found.application_name.as_str()), (TlsMode::Required, "x"));
        assert!(!format!("{found:?}").contains("hunter2"));
        assert_eq!(endpoint("jdbc:postgresql://h").unwrap().database, "app");
    }

    #[test]
    fn a_url_that_cannot_be_followed_is_refused() {
        let error = endpoint("jdbc:postgresql://h/d?sslmode=verify-ca").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().starts_with("the url asks for sslmode=verify-ca"), "{error}");
    }

    #[test]
    fn only_a_reader_gives_up_its_search_path() {
        let reader = endpoint("jdbc:postgresql://h/d").unwrap();
        let names = |endpoint: &Endpoint| endpoint.settings().map(|(name, _)| name).collect::<Vec<_>>();
        assert!(names(&reader).contains(&"search_path"));
        assert!(!names(&reader.with_session(Session::Writer)).contains(&"search_path"));
    }
}
