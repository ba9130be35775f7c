//! How a JDBC URL asks for TLS: one reading of its parameters for every connector.

use std::path::PathBuf;

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// `DISABLED`, and `PREFERRED` (the default): plain text. The driver cannot ask first and then
    /// decide.
    Off,
    /// `REQUIRED`, and `useSSL=true` of older URLs: encrypted, any certificate.
    Required,
    /// `VERIFY_IDENTITY`: encrypted, chain and host name verified, against this PEM file or the
    /// public authorities.
    VerifyIdentity(Option<PathBuf>),
}

/// Why the parameters cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsModeError {
    /// The TLS library verifies the name together with the chain.
    #[error(
        "asks for sslMode=VERIFY_CA (or verifyServerCertificate), which cannot be kept: use sslMode=VERIFY_IDENTITY, which also checks the server's name, or REQUIRED, which only encrypts"
    )]
    VerifyCa,
    /// Neither of the known modes.
    #[error("has an unknown sslMode: one of DISABLED, PREFERRED, REQUIRED, VERIFY_IDENTITY")]
    Unknown,
    /// A key store of Java.
    #[error(
        "has a trustCertificateKeyStoreUrl that is not a .pem or .crt file: export the authority's certificate as PEM; key stores of Java are not read"
    )]
    KeyStore,
}

impl TlsMode {
    /// Reads the parameters of Connector/J ("Connection Security" in its manual) and of MariaDB's
    /// connector; names in any letter case.
    pub fn from_params(params: &[(String, String)]) -> Result<TlsMode, TlsModeError> {
        let param = |name: &str| {
            let found = params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let is_on = |name: &str| param(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let mode = match param("sslMode") {
            Some(mode) => mode.to_ascii_uppercase().replace('-', "_"),
            None if is_on("verifyServerCertificate") && (is_on("useSSL") || is_on("requireSSL")) => {
                "VERIFY_CA".into()
            }
            None if is_on("useSSL") || is_on("requireSSL") => "REQUIRED".into(),
            None => "PREFERRED".into(),
        };
        match mode.as_str() {
            "DISABLED" | "DISABLE" | "PREFERRED" | "PREFER" => Ok(TlsMode::Off),
            "REQUIRED" | "TRUST" => Ok(TlsMode::Required),
            "VERIFY_IDENTITY" | "VERIFY_FULL" => {
                let store = param("trustCertificateKeyStoreUrl").or(param("serverSslCert"));
                let file = store.map(|url| {
                    PathBuf::from(url.strip_prefix("file://").or(url.strip_prefix("file:")).unwrap_or(&url))
                });
                let pem = |file: &PathBuf| {
                    file.extension().is_some_and(|ending| ending == "pem" || ending == "crt")
                };
                if file.as_ref().is_some_and(|file| !pem(file)) {
                    return Err(TlsModeError::KeyStore);
                }
                Ok(TlsMode::VerifyIdentity(file))
            }
            "VERIFY_CA" => Err(TlsModeError::VerifyCa),
            _ => Err(TlsModeError::Unknown),
        }
    }

    /// The certificate file that is to be trusted.
    pub fn trusted_file(&self) -> Option<&std::path::Path> {
        match self {
            TlsMode::VerifyIdentity(Some(file)) => Some(file),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(params: &[(&str, &str)]) -> Result<TlsMode, TlsModeError> {
        let params: Vec<(String, String)> =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        TlsMode::from_params(&params)
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
}
