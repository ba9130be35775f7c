//! JDBC URLs: `jdbc:mysql://host:port/database?name=value&…`, and the same for PostgreSQL and for
//! the products that speak its protocol under their own scheme (`jdbc:opengauss://…`).
//!
//! One URL names one server. The forms for several (`host1:1,host2:2`, `loadbalance:`) are refused by
//! name: a change log is a position on one server, and so is a commit marker.

use std::fmt;

use crate::secret::{MASK, Secret, is_secret_key};

/// What URLs begin with, the scheme each stands for, and whose protocol it means.
const SCHEMES: &[(&str, &str, UrlFamily)] = &[
    ("jdbc:mysql://", "mysql", UrlFamily::MySql),
    ("jdbc:mariadb://", "mariadb", UrlFamily::MySql),
    ("mysql://", "mysql", UrlFamily::MySql),
    ("mariadb://", "mariadb", UrlFamily::MySql),
    ("jdbc:postgresql://", "postgresql", UrlFamily::Postgres),
    ("postgresql://", "postgresql", UrlFamily::Postgres),
    ("postgres://", "postgresql", UrlFamily::Postgres),
    ("jdbc:opengauss://", "opengauss", UrlFamily::Postgres),
    ("jdbc:gaussdb://", "gaussdb", UrlFamily::Postgres),
    ("jdbc:kingbase8://", "kingbase8", UrlFamily::Postgres),
    ("jdbc:kingbase://", "kingbase", UrlFamily::Postgres),
    ("jdbc:highgo://", "highgo", UrlFamily::Postgres),
    ("jdbc:vastbase://", "vastbase", UrlFamily::Postgres),
    ("jdbc:greenplum://", "greenplum", UrlFamily::Postgres),
    ("jdbc:pivotal:greenplum://", "pivotal:greenplum", UrlFamily::Postgres),
    ("jdbc:edb://", "edb", UrlFamily::Postgres),
];

/// Beginnings of the drivers' forms for several servers or for looking servers up.
const REFUSED_FORMS: &[&str] = &[
    "jdbc:mysql:replication:",
    "jdbc:mysql:loadbalance:",
    "jdbc:mysql+srv:",
    "jdbc:mariadb:replication:",
    "jdbc:mariadb:loadbalance:",
    "jdbc:mariadb:sequential:",
];

/// Whose protocol a URL speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFamily {
    /// MySQL and MariaDB.
    MySql,
    /// PostgreSQL, and what speaks its protocol under another name.
    Postgres,
}

impl UrlFamily {
    /// The port when the URL has none.
    fn default_port(self) -> u16 {
        match self {
            UrlFamily::MySql => 3306,
            UrlFamily::Postgres => 5432,
        }
    }
}

/// The parts of a JDBC URL.
#[derive(Clone, PartialEq, Eq)]
pub struct JdbcUrl {
    /// The product: `mysql`, `mariadb`, `postgresql`, `opengauss`, ….
    pub scheme: String,
    /// The host, without the brackets of an IPv6 address; `localhost` when left out.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: Option<String>,
    /// A user before `@`.
    pub username: Option<String>,
    /// A password before `@`.
    pub password: Option<Secret>,
    /// The parameters after `?`, in order, percent signs decoded.
    pub params: Vec<(String, String)>,
}

/// Why a text is no usable URL. Never repeats parts that may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JdbcUrlError {
    /// Another kind of URL.
    #[error(
        "the url must begin with jdbc:mysql://, jdbc:mariadb://, jdbc:postgresql:// or the scheme of a product that speaks one of their protocols, such as jdbc:opengauss://"
    )]
    Scheme,
    /// A form of the drivers for several servers, DNS lookup or key-value addresses.
    #[error(
        "the url form '{0}' is not supported; name one server, as in jdbc:mysql://host:port/database or jdbc:postgresql://host:port/database"
    )]
    Form(&'static str),
    /// Something other than a port stands after the host.
    #[error("the port in the url is not a number from 1 to 65535")]
    Port,
    /// A bracket without its partner, or blanks.
    #[error("the host in the url is not a name or an address")]
    Host,
    /// A percent sign without two hexadecimal digits, or bytes that are no text.
    #[error("a percent sign in the url is not followed by two hexadecimal digits of UTF-8 text")]
    Escape,
    /// More than a database name stands after the host.
    #[error("the url has more than one part after the host; expected host:port/database")]
    Path,
}

impl JdbcUrl {
    /// Parses a URL.
    pub fn parse(url: &str) -> Result<JdbcUrl, JdbcUrlError> {
        let url = url.trim();
        let (scheme, family, rest) = split_scheme(url)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, authority),
        };
        if address.contains('(') {
            return Err(JdbcUrlError::Form("address=(…)"));
        }
        if address.contains(',') {
            return Err(JdbcUrlError::Form("host1,host2"));
        }
        if path.contains('/') {
            return Err(JdbcUrlError::Path);
        }
        let (host, port) = split_address(address)?;
        let port = port.unwrap_or_else(|| family.default_port());
        let (username, password) = match user_info {
            None => (None, None),
            Some(info) => match info.split_once(':') {
                Some((user, password)) => (Some(decode(user)?), Some(Secret::new(decode(password)?))),
                None => (Some(decode(info)?), None),
            },
        };
        let database = Some(decode(path)?).filter(|name| !name.is_empty());
        let mut params = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push((decode(name)?, decode(value)?));
        }
        Ok(JdbcUrl { scheme: scheme.to_owned(), host, port, database, username, password, params })
    }

    /// Whose protocol the URL speaks of, and so which connector's it is.
    pub fn family(&self) -> UrlFamily {
        SCHEMES
            .iter()
            .find(|(_, scheme, _)| *scheme == self.scheme)
            .map_or(UrlFamily::MySql, |(_, _, family)| *family)
    }

    /// The value of a parameter, its name in any letter case; of several the last.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .rev()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

fn split_scheme(url: &str) -> Result<(&'static str, UrlFamily, &str), JdbcUrlError> {
    let lower = url.to_ascii_lowercase();
    for (prefix, scheme, family) in SCHEMES {
        if lower.starts_with(prefix) {
            return Ok((scheme, *family, url.get(prefix.len()..).unwrap_or("")));
        }
    }
    match REFUSED_FORMS.iter().find(|form| lower.starts_with(**form)) {
        Some(form) => Err(JdbcUrlError::Form(form)),
        None => Err(JdbcUrlError::Scheme),
    }
}

/// Host, and the port where there is one.
fn split_address(address: &str) -> Result<(String, Option<u16>), JdbcUrlError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(JdbcUrlError::Host)?;
            let port = if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':').ok_or(JdbcUrlError::Port)?)
            };
            host.parse::<std::net::Ipv6Addr>().map_err(|_| JdbcUrlError::Host)?;
            (host, port)
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = match port {
        None => None,
        Some(text) => Some(text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(JdbcUrlError::Port)?),
    };
    if host.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']')) {
        return Err(JdbcUrlError::Host);
    }
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((host.to_owned(), port))
}

fn decode(text: &str) -> Result<String, JdbcUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or(JdbcUrlError::Escape);
        let code = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(code).map_err(|_| JdbcUrlError::Escape)?);
    }
    String::from_utf8(bytes).map_err(|_| JdbcUrlError::Escape)
}

impl fmt::Display for JdbcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jdbc:{}://", self.scheme)?;
        if let Some(user) = &self.username {
            f.write_str(user)?;
            if self.password.is_some() {
                write!(f, ":{MASK}")?;
            }
            f.write_str("@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        write!(f, ":{}", self.port)?;
        if let Some(database) = &self.database {
            write!(f, "/{database}")?;
        }
        for (index, (name, value)) in self.params.iter().enumerate() {
            let shown = if is_secret_key(name) { MASK } else { value };
            write!(f, "{}{name}={shown}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for JdbcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JdbcUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_full_url_has_all_its_parts() {
        let url = JdbcUrl::parse(
            "jdbc:mysql://localhost:3307/cdc?useUnicode=true&characterEncoding=UTF-8&rewriteBatchedStatements=true",
        )
        .unwrap();
        assert_eq!((url.scheme.as_str(), url.host.as_str(), url.port), ("mysql", "localhost", 3307));
        assert_eq!(url.database.as_deref(), Some("cdc"));
        assert_eq!(url.param("characterencoding"), Some("UTF-8"));
        assert_eq!(url.param("nope"), None);
        let names: Vec<&str> = url.params.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["useUnicode", "characterEncoding", "rewriteBatchedStatements"]);
    }

    #[test]
    fn parts_may_be_left_out() {
        let url = JdbcUrl::parse("jdbc:mariadb://db1").unwrap();
        assert_eq!((url.scheme.as_str(), url.host.as_str(), url.port), ("mariadb", "db1", 3306));
        assert_eq!((url.database, url.params.len()), (None, 0));
        let url = JdbcUrl::parse("jdbc:mysql:///db").unwrap();
        assert_eq!((url.host.as_str(), url.database.as_deref()), ("localhost", Some("db")));
        let url = JdbcUrl::parse("mysql://h:1?a").unwrap();
        assert_eq!((url.port, url.param("a")), (1, Some("")));
    }

    #[test]
    fn addresses_and_escapes() {
        let url = JdbcUrl::parse("jdbc:mysql://us%40er:p%2Fw@[::1]:3310/d%20b?x=%26").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 3310));
        assert_eq!(url.username.as_deref(), Some("us@er"));
        assert_eq!(url.password.as_ref().unwrap().expose(), "p/w");
        assert_eq!(url.database.as_deref(), Some("d b"));
        assert_eq!(url.param("x"), Some("&"));
        assert_eq!(url.to_string(), "jdbc:mysql://us@er:******@[::1]:3310/d b?x=&");
    }

    #[test]
    fn urls_of_postgres_and_of_what_speaks_its_protocol() {
        let url = JdbcUrl::parse(
            "jdbc:postgresql://db.example:5433/shop?currentSchema=sales%2Cpublic&sslmode=require",
        )
        .unwrap();
        assert_eq!((url.scheme.as_str(), url.host.as_str(), url.port), ("postgresql", "db.example", 5433));
        assert_eq!(url.family(), UrlFamily::Postgres);
        assert_eq!(url.database.as_deref(), Some("shop"));
        assert_eq!(url.param("currentschema"), Some("sales,public"));
        assert_eq!(
            url.to_string(),
            "jdbc:postgresql://db.example:5433/shop?currentSchema=sales,public&sslmode=require"
        );

        let url = JdbcUrl::parse("postgres://us%40er:p%2Fw@[fe80::1]/d%C3%A9b").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("fe80::1", 5432));
        assert_eq!((url.username.as_deref(), url.database.as_deref()), (Some("us@er"), Some("déb")));
        assert_eq!(url.password.as_ref().unwrap().expose(), "p/w");
        assert_eq!(url.to_string(), "jdbc:postgresql://us@er:******@[fe80::1]:5432/déb");

        for (text, scheme) in [
            ("jdbc:opengauss://h/db", "opengauss"),
            ("JDBC:Kingbase8://h/db", "kingbase8"),
            ("jdbc:highgo://h/db", "highgo"),
            ("jdbc:vastbase://h/db", "vastbase"),
            ("jdbc:greenplum://h/db", "greenplum"),
            ("jdbc:pivotal:greenplum://h/db", "pivotal:greenplum"),
        ] {
            let url = JdbcUrl::parse(text).unwrap();
            assert_eq!((url.scheme.as_str(), url.family(), url.port), (scheme, UrlFamily::Postgres, 5432));
        }
        for text in ["jdbc:mysql://h/db", "mariadb://h/db"] {
            assert_eq!(JdbcUrl::parse(text).unwrap().family(), UrlFamily::MySql);
        }
    }

    #[test]
    fn errors_are_clear_and_keep_secrets() {
        let cases = [
            ("jdbc:oracle:thin:@h:1521:db", JdbcUrlError::Scheme),
            ("jdbc:postgresql:db", JdbcUrlError::Scheme),
            ("jdbc:postgresql", JdbcUrlError::Scheme),
            ("", JdbcUrlError::Scheme),
            ("jdbc:postgresql://a:1,b:2/db", JdbcUrlError::Form("host1,host2")),
            ("jdbc:opengauss://a,b/db?targetServerType=primary", JdbcUrlError::Form("host1,host2")),
            ("jdbc:postgresql://app:hunter2/x@h:1/db", JdbcUrlError::Path),
            ("jdbc:postgresql://app:hunter2@h:hunter2/db", JdbcUrlError::Port),
            ("jdbc:postgresql://h/db?password=hunter2%", JdbcUrlError::Escape),
            ("jdbc:mysql:replication://h/db", JdbcUrlError::Form("jdbc:mysql:replication:")),
            ("jdbc:mysql://a,b/db", JdbcUrlError::Form("host1,host2")),
            ("jdbc:mysql://address=(host=a)/db", JdbcUrlError::Form("address=(…)")),
            ("jdbc:mysql://root:hunter2/x@h:1/db", JdbcUrlError::Path),
            ("jdbc:mysql://root:hunter2", JdbcUrlError::Port),
            ("jdbc:mysql://h:0/db", JdbcUrlError::Port),
            ("jdbc:mysql://h:65536/db", JdbcUrlError::Port),
            ("jdbc:mysql://[::1/db", JdbcUrlError::Host),
            ("jdbc:mysql://[x]/db", JdbcUrlError::Host),
            ("jdbc:mysql://h h/db", JdbcUrlError::Host),
            ("jdbc:mysql://h/d%zz", JdbcUrlError::Escape),
            ("jdbc:mysql://h/d%ff", JdbcUrlError::Escape),
        ];
        for (url, error) in cases {
            let found = JdbcUrl::parse(url).unwrap_err();
            assert_eq!(found, error, "{url}");
            assert!(!found.to_string().contains("hunter2"));
        }
        for url in [
            "jdbc:mysql://h/db?user=a&password=hunter2",
            "jdbc:postgresql://a:hunter2@h/db?sslpassword=hunter2",
        ] {
            let url = JdbcUrl::parse(url).unwrap();
            assert!(!format!("{url} {url:?}").contains("hunter2"));
        }
    }
}
