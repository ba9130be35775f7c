//! How a JDBC URL asks for TLS: one reading of its parameters for every connector.
//!
//! The two families of drivers mean different things by the same word. Asked to *prefer* TLS, a
//! MySQL connector here takes plain text, because its driver cannot ask first and then decide; a
//! PostgreSQL connector asks (the protocol has a request for just that) and is encrypted wherever the
//! server can be. That is [`TlsMode::Preferred`], and it is what a PostgreSQL URL without a word about
//! TLS means, as with the driver it comes from.

use std::path::{Path, PathBuf};

use crate::jdbc_url::UrlFamily;

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text. MySQL: `DISABLED`, and `PREFERRED` (the default). PostgreSQL: `disable`.
    Off,
    /// PostgreSQL only: `prefer` (the default) and `allow`. Encrypted when the server offers it, with
    /// any certificate; plain text when it does not. Guards against listeners, not against a server
    /// that lies.
    Preferred,
    /// Encrypted, any certificate. MySQL: `REQUIRED`, and `useSSL=true` of older URLs. PostgreSQL:
    /// `require`.
    Required,
    /// Encrypted, chain and host name verified, against this PEM file or the public authorities.
    /// MySQL: `VERIFY_IDENTITY`. PostgreSQL: `verify-full`, and `ssl=true`.
    VerifyIdentity(Option<PathBuf>),
}

/// Why the parameters cannot be followed. Each reads on from "the url".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsModeError {
    /// The TLS library verifies the name together with the chain.
    #[error(
        "asks for sslMode=VERIFY_CA (or verifyServerCertificate), which cannot be kept: use sslMode=VERIFY_IDENTITY, which also checks the server's name, or REQUIRED, which only encrypts"
    )]
    VerifyCa,
    /// The same in PostgreSQL's words.
    #[error(
        "asks for sslmode=verify-ca, which cannot be kept: use sslmode=verify-full, which also checks the server's name, or require, which only encrypts"
    )]
    VerifyCaPostgres,
    /// Neither of the known modes.
    #[error("has an unknown sslMode: one of DISABLED, PREFERRED, REQUIRED, VERIFY_IDENTITY")]
    Unknown,
    /// The same in PostgreSQL's words.
    #[error("has an unknown sslmode: one of disable, allow, prefer, require, verify-full")]
    UnknownPostgres,
    /// A key store of Java.
    #[error(
        "has a trustCertificateKeyStoreUrl that is not a .pem or .crt file: export the authority's certificate as PEM; key stores of Java are not read"
    )]
    KeyStore,
    /// The same in PostgreSQL's words.
    #[error(
        "has an sslrootcert that is not a .pem or .crt file: name the authority's certificate as PEM; key stores of Java are not read"
    )]
    RootCertificate,
    /// A certificate of ours, to log in with.
    #[error(
        "has sslcert or sslkey: logging in with a certificate is not supported; use a password, and leave them out"
    )]
    ClientCertificate,
}

impl TlsMode {
    /// Reads a URL's parameters as its family's drivers do, names in any letter case: Connector/J
    /// ("Connection Security" in its manual) and MariaDB's connector, or pgjdbc ("Using SSL").
    pub fn from_params(family: UrlFamily, params: &[(String, String)]) -> Result<TlsMode, TlsModeError> {
        let params = Params(params);
        match family {
            UrlFamily::MySql => mysql_mode(&params),
            UrlFamily::Postgres => postgres_mode(&params),
        }
    }

    /// The certificate file that is to be trusted.
    pub fn trusted_file(&self) -> Option<&Path> {
        match self {
            TlsMode::VerifyIdentity(Some(file)) => Some(file),
            _ => None,
        }
    }
}

/// A URL's parameters.
struct Params<'a>(&'a [(String, String)]);

impl Params<'_> {
    /// A value, blanks around it cut off; of several the last.
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

fn mysql_mode(params: &Params<'_>) -> Result<TlsMode, TlsModeError> {
    let is_encrypted = params.is_on("useSSL") || params.is_on("requireSSL");
    let mode = match params.get("sslMode") {
        Some(mode) => mode.to_ascii_uppercase().replace('-', "_"),
        None if params.is_on("verifyServerCertificate") && is_encrypted => "VERIFY_CA".into(),
        None if is_encrypted => "REQUIRED".into(),
        None => "PREFERRED".into(),
    };
    match mode.as_str() {
        "DISABLED" | "DISABLE" | "PREFERRED" | "PREFER" => Ok(TlsMode::Off),
        "REQUIRED" | "TRUST" => Ok(TlsMode::Required),
        "VERIFY_IDENTITY" | "VERIFY_FULL" => {
            let store = params.get("trustCertificateKeyStoreUrl").or_else(|| params.get("serverSslCert"));
            let file = store.map(|url| pem_file(url).ok_or(TlsModeError::KeyStore)).transpose()?;
            Ok(TlsMode::VerifyIdentity(file))
        }
        "VERIFY_CA" => Err(TlsModeError::VerifyCa),
        _ => Err(TlsModeError::Unknown),
    }
}

fn postgres_mode(params: &Params<'_>) -> Result<TlsMode, TlsModeError> {
    let is_named = |name: &str| params.get(name).is_some_and(|value| !value.is_empty());
    // `ssl` alone stands for true; the driver's factory without verification turns that off.
    let asks_ssl = params.get("ssl").is_some_and(|value| value.is_empty() || params.is_on("ssl"));
    let trusts_any = params.get("sslfactory").is_some_and(|class| class.ends_with("NonValidatingFactory"));
    let mode = match params.get("sslmode").filter(|mode| !mode.is_empty()) {
        Some(mode) => mode.to_ascii_lowercase().replace('_', "-"),
        None if asks_ssl && trusts_any => "require".into(),
        None if asks_ssl => "verify-full".into(),
        None => "prefer".into(),
    };
    let mode = match mode.as_str() {
        "disable" | "disabled" => return Ok(TlsMode::Off),
        // `allow` begins in plain text and asks only when refused: asking first is never worse.
        "prefer" | "preferred" | "allow" => TlsMode::Preferred,
        "require" | "required" => TlsMode::Required,
        "verify-full" | "verify-identity" => {
            let file = params.get("sslrootcert").filter(|file| !file.is_empty());
            let file = file.map(|file| pem_file(file).ok_or(TlsModeError::RootCertificate)).transpose()?;
            TlsMode::VerifyIdentity(file)
        }
        "verify-ca" => return Err(TlsModeError::VerifyCaPostgres),
        _ => return Err(TlsModeError::UnknownPostgres),
    };
    if is_named("sslcert") || is_named("sslkey") {
        return Err(TlsModeError::ClientCertificate);
    }
    Ok(mode)
}

/// A path, or a `file:` URL of one, when it ends as certificates in PEM do.
fn pem_file(url: &str) -> Option<PathBuf> {
    let file = PathBuf::from(url.strip_prefix("file://").or(url.strip_prefix("file:")).unwrap_or(url));
    let is_pem = file.extension().is_some_and(|ending| ending == "pem" || ending == "crt");
    is_pem.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(family: UrlFamily, params: &[(&str, &str)]) -> Result<TlsMode, TlsModeError> {
        let params: Vec<(String, String)> =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        TlsMode::from_params(family, &params)
    }

    fn mode(params: &[(&str, &str)]) -> Result<TlsMode, TlsModeError> {
        read(UrlFamily::MySql, params)
    }

    fn postgres(params: &[(&str, &str)]) -> Result<TlsMode, TlsModeError> {
        read(UrlFamily::Postgres, params)
    }

    #[test]
    fn modes_old_and_new() {
        assert_eq!(mode(&[]), Ok(TlsMode::Off));
        assert_eq!(mode(&[("useSSL", "false")]), Ok(TlsMode::Off));
        assert_eq!(mode(&[("sslMode", "preferred")]), Ok(TlsMode::Off));
        assert_eq!(mode(&[("sslmode", "REQUIRED")]), Ok(TlsMode::Required));
        assert_eq!(mode(&[("useSSL", "true")]), Ok(TlsMode::Required));
        assert_eq!(mode(&[("sslMode", "verify-full")]), Ok(TlsMode::VerifyIdentity(None)));
        let verified =
            mode(&[("sslMode", "VERIFY_IDENTITY"), ("trustCertificateKeyStoreUrl", "file:///etc/ca.pem")]);
        assert_eq!(verified, Ok(TlsMode::VerifyIdentity(Some("/etc/ca.pem".into()))));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        assert_eq!(mode(&[("sslMode", "VERIFY_CA")]), Err(TlsModeError::VerifyCa));
        assert_eq!(
            mode(&[("useSSL", "true"), ("verifyServerCertificate", "true")]),
            Err(TlsModeError::VerifyCa)
        );
        assert_eq!(mode(&[("sslMode", "sometimes")]), Err(TlsModeError::Unknown));
        let store = mode(&[("sslMode", "VERIFY_IDENTITY"), ("trustCertificateKeyStoreUrl", "file:a.jks")]);
        assert_eq!(store, Err(TlsModeError::KeyStore));
    }

    #[test]
    fn postgres_prefers_tls_unless_told_otherwise() {
        for params in [&[][..], &[("ssl", "false")], &[("sslmode", "prefer")], &[("SSLMODE", "Allow")]] {
            assert_eq!(postgres(params), Ok(TlsMode::Preferred), "{params:?}");
        }
        assert_eq!(postgres(&[("sslmode", "disable")]), Ok(TlsMode::Off));
        assert_eq!(postgres(&[("sslmode", "disable"), ("ssl", "true")]), Ok(TlsMode::Off));
        assert_eq!(postgres(&[("sslmode", "require"), ("sslrootcert", "a.jks")]), Ok(TlsMode::Required));
        let any = [("ssl", "true"), ("sslfactory", "org.postgresql.ssl.NonValidatingFactory")];
        assert_eq!(postgres(&any), Ok(TlsMode::Required));
        assert_eq!(postgres(&[("sslmode", "disable"), ("sslmode", "require")]), Ok(TlsMode::Required));
    }

    #[test]
    fn postgres_verifies_chain_and_name() {
        for params in [&[("ssl", "true")][..], &[("ssl", "")], &[("sslmode", "verify-full")]] {
            assert_eq!(postgres(params), Ok(TlsMode::VerifyIdentity(None)), "{params:?}");
        }
        let file = postgres(&[("ssl", "true"), ("sslrootcert", "/etc/ca.crt")]);
        assert_eq!(file, Ok(TlsMode::VerifyIdentity(Some("/etc/ca.crt".into()))));
    }

    #[test]
    fn what_postgres_cannot_have_is_refused() {
        assert_eq!(postgres(&[("sslmode", "verify-ca")]), Err(TlsModeError::VerifyCaPostgres));
        assert_eq!(postgres(&[("sslmode", "sometimes")]), Err(TlsModeError::UnknownPostgres));
        let store = postgres(&[("sslmode", "verify-full"), ("sslrootcert", "ca.p12")]);
        assert_eq!(store, Err(TlsModeError::RootCertificate));
        let login = postgres(&[("sslmode", "require"), ("sslcert", "me.crt")]);
        assert_eq!(login, Err(TlsModeError::ClientCertificate));
        assert_eq!(postgres(&[("sslmode", "disable"), ("sslcert", "me.crt")]), Ok(TlsMode::Off));
    }
}
