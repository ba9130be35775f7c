//! TLS by the parameters that users of Connector/J and of MariaDB's connector write.

use std::path::{Path, PathBuf};

use culvert_api::Result;
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

/// How the connection is encrypted; `None`: it is not.
///
/// `PREFERRED`, and no mode at all, mean a plain connection: the driver cannot ask first and then
/// decide. `VERIFY_CA` is refused, because the TLS library checks the name together with the chain.
pub(crate) fn options(params: &[(String, String)]) -> Result<Option<SslOpts>> {
    let param = |name: &str| {
        params
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_string())
    };
    let is_on = |name: &str| param(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mode = match param("sslMode") {
        Some(mode) => mode.to_ascii_uppercase().replace('-', "_"),
        None if is_on("verifyServerCertificate") && (is_on("useSSL") || is_on("requireSSL")) => {
            "VERIFY_CA".into()
        }
        None if is_on("requireSSL") => "REQUIRED".into(),
        None => "PREFERRED".into(),
    };
    for (name, _) in params {
        let known = [
            "sslmode",
            "usessl",
            "requiressl",
            "verifyservercertificate",
            "trustcertificatekeystoreurl",
            "sessionvariables",
        ];
        let lower = name.to_ascii_lowercase();
        if !known.contains(&lower.as_str()) && !WITHOUT_EFFECT.contains(&lower.as_str()) {
            tracing::debug!(parameter = %name, "parameter of the sink's url has no effect");
        }
    }
    let tls = SslOpts::default();
    Ok(match mode.as_str() {
        "DISABLED" | "DISABLE" | "PREFERRED" | "PREFER" => None,
        "REQUIRED" | "TRUST" => {
            Some(tls.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true))
        }
        "VERIFY_IDENTITY" | "VERIFY_FULL" => Some(match trusted_file(params) {
            None => tls,
            Some(file) => {
                if !file.extension().is_some_and(|ending| ending == "pem" || ending == "crt") {
                    return Err(config("url", "has a trustCertificateKeyStoreUrl that is not a .pem file")
                        .hint("export the authority's certificate as PEM; key stores of Java are not read"));
                }
                tls.with_root_certs(vec![file.into()]).with_disable_built_in_roots(true)
            }
        }),
        "VERIFY_CA" => {
            return Err(config("url", "asks for sslMode=VERIFY_CA (or verifyServerCertificate), which cannot be kept")
                .hint("use sslMode=VERIFY_IDENTITY, which also checks the server's name, or REQUIRED, which only encrypts"));
        }
        _ => {
            return Err(config("url", "has an unknown sslMode")
                .hint("one of DISABLED, PREFERRED, REQUIRED, VERIFY_IDENTITY"));
        }
    })
}

/// The certificate file that is to be trusted, as a path.
pub(crate) fn trusted_file(params: &[(String, String)]) -> Option<PathBuf> {
    let (_, url) = params.iter().find(|(key, _)| key.eq_ignore_ascii_case("trustCertificateKeyStoreUrl"))?;
    let url = url.trim();
    Some(PathBuf::from(url.strip_prefix("file://").or_else(|| url.strip_prefix("file:")).unwrap_or(url)))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn mode(params: &[(&str, &str)]) -> Result<Option<SslOpts>> {
        let params: Vec<(String, String)> =
            params.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        options(&params)
    }

    #[test]
    fn modes_old_and_new() {
        assert!(mode(&[]).unwrap().is_none());
        assert!(mode(&[("useSSL", "false")]).unwrap().is_none());
        assert!(mode(&[("sslMode", "preferred")]).unwrap().is_none());
        assert!(mode(&[("sslmode", "REQUIRED")]).unwrap().unwrap().accept_invalid_certs());
        assert!(mode(&[("useSSL", "true"), ("requireSSL", "true")]).unwrap().unwrap().accept_invalid_certs());
        let verified =
            mode(&[("sslMode", "VERIFY_IDENTITY"), ("trustCertificateKeyStoreUrl", "file:///etc/ca.pem")]);
        let verified = verified.unwrap().unwrap();
        assert!(!verified.accept_invalid_certs() && verified.disable_built_in_roots());
        assert_eq!(verified.root_certs().len(), 1);
        let refused = mode(&[("sslMode", "VERIFY_CA")]).unwrap_err().to_string();
        assert!(refused.contains("VERIFY_IDENTITY"), "{refused}");
        assert!(mode(&[("useSSL", "true"), ("verifyServerCertificate", "true")]).is_err());
        assert!(mode(&[("sslMode", "sometimes")]).is_err());
        assert!(
            mode(&[("sslMode", "VERIFY_IDENTITY"), ("trustCertificateKeyStoreUrl", "file:a.jks")]).is_err()
        );
    }
}
