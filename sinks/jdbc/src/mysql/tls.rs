//! TLS by the parameters that users of Connector/J and of MariaDB's connector write.

use std::path::Path;

use culvert_api::Result;
use culvert_config::{TlsMode, UrlFamily};
use mysql_async::SslOpts;

use crate::options::config;

/// Parameters that change nothing here; others are noted in the log.
const WITHOUT_EFFECT: &[&str] = &[
    "useunicode",
    "characterencoding",
    "rewritebatchedstatements",
    "servertimezone",
    "connectiontimezone",
    "zerodatetimebehavior",
    "allowpublickeyretrieval",
    "autoreconnect",
    "allowmultiqueries",
    "nullcatalogmeansdatabase",
    "nullcatalogmeanscurrent",
    "cacheprepstmts",
    "useserverprepstmts",
    "tinyint1isbit",
    "connecttimeout",
    "sockettimeout",
    "uselocalsessionstate",
    "usecompression",
];

/// Parameters that are read.
const READ: &[&str] = &[
    "sslmode",
    "usessl",
    "requiressl",
    "verifyservercertificate",
    "trustcertificatekeystoreurl",
    "serversslcert",
    "sessionvariables",
];

/// How the url asks for the connection to be encrypted.
pub(crate) fn mode(params: &[(String, String)]) -> Result<TlsMode> {
    for (name, _) in params {
        let lower = name.to_ascii_lowercase();
        if !READ.contains(&lower.as_str()) && !WITHOUT_EFFECT.contains(&lower.as_str()) {
            tracing::debug!(parameter = %name, "parameter of the sink's url has no effect");
        }
    }
    TlsMode::from_params(UrlFamily::MySql, params).map_err(|error| config("url", error))
}

/// The same for the driver; `None`: not encrypted.
pub(crate) fn options(mode: &TlsMode) -> Option<SslOpts> {
    let tls = SslOpts::default();
    match mode {
        // The driver cannot ask first; a MySQL url never means `Preferred`.
        TlsMode::Off | TlsMode::Preferred => None,
        TlsMode::Required => {
            Some(tls.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true))
        }
        TlsMode::VerifyIdentity(None) => Some(tls),
        TlsMode::VerifyIdentity(Some(file)) => {
            Some(tls.with_root_certs(vec![file.clone().into()]).with_disable_built_in_roots(true))
        }
    }
}

/// Refuses a certificate file that is not there; the driver would call it a lost connection.
pub(crate) fn require_file(file: Option<&Path>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::File::open(file).map(drop).map_err(|failure| {
        let path = file.display();
        config("url", format!("names the certificate file {path}, which cannot be read: {failure}"))
            .hint("set trustCertificateKeyStoreUrl to the authority's certificate as PEM")
    })
}
