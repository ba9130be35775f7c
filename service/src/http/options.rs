//! What the service's file says about the HTTP interface: its block `http`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_api::{Error, ErrorKind};
use culvert_config::{OptionDef, Options, Problem};

/// The options of `http`.
pub(crate) const HTTP_OPTIONS: &[OptionDef] = &[
    OptionDef::boolean("enabled").default("true").doc("Whether the HTTP interface is there at all."),
    OptionDef::string("address")
        .default("127.0.0.1")
        .doc("The IP address to listen at; beyond this machine only with TLS and tokens, see `insecure.open`."),
    OptionDef::int_in("port", 0, 65_535)
        .default("8080")
        .doc("The port; 0 takes a free one. Where it listens is written to `DATA/http.address`."),
    OptionDef::string("context-path").default("").doc("A path in front of all paths, such as `/culvert`."),
    OptionDef::string("tls.certificate").doc("The certificate, its chain behind it, as a PEM file."),
    OptionDef::string("tls.key").doc("The certificate's private key, as a PEM file."),
    OptionDef::boolean("auth").default("true").doc("Whether a token is asked for."),
    OptionDef::string("tokens.file").doc(
        "The file with the names, roles and SHA-256 sums of the tokens; `DATA/tokens` without it. Where it is missing, two tokens are made and printed once.",
    ),
    OptionDef::list("hosts").doc(
        "Names that requests may be addressed to (their `Host`), beside the addresses it listens at; needed behind a proxy that passes its own name on.",
    ),
    OptionDef::boolean("insecure.open").default("false").doc(
        "Allows to listen beyond this machine without TLS or without tokens: whoever reaches the port can then read, or do, everything.",
    ),
    OptionDef::int_in("request.bytes.max", 1_024, 1 << 30)
        .default("2097152")
        .unit("bytes")
        .doc("Largest body of a request."),
    OptionDef::duration_ms("request.timeout").default("30000").doc(
        "How long a request may take. What takes longer by its nature (savepoint, cancel, restore, update) is answered before, and goes on.",
    ),
    OptionDef::int_in("connections.max", 1, 10_000)
        .default("64")
        .doc("Most connections at one time; further ones wait to be accepted."),
    OptionDef::int_in("requests.per.second", 0, 1_000_000)
        .default("200")
        .doc("Most requests of one address in a second, twice that at once; 0 is no limit."),
];

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// How the interface is served.
#[derive(Clone, Debug)]
pub(crate) struct HttpConfig {
    pub(crate) enabled: bool,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// Begins with `/` and does not end with it, or is empty.
    pub(crate) context_path: String,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) auth: bool,
    tokens_file: Option<PathBuf>,
    pub(crate) hosts: Vec<String>,
    insecure_open: bool,
    pub(crate) request_bytes_max: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) connections_max: usize,
    pub(crate) requests_per_second: u32,
}

impl HttpConfig {
    /// Takes the options of the block.
    ///
    /// # Errors
    /// Addresses, paths and pairs of files that make no sense.
    pub(crate) fn from_options(options: &Options) -> Result<HttpConfig, Problem> {
        let address: IpAddr = options.str("address").parse().map_err(|_| {
            options
                .problem("address", "is no IP address")
                .hint("127.0.0.1 is this machine alone, 0.0.0.0 every network it is in")
        })?;
        let context_path = options.str("context-path").trim_end_matches('/').to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if !context_path.is_empty() && (!context_path.starts_with('/') || !context_path.chars().all(plain)) {
            let problem = options.problem("context-path", "is no path");
            return Err(problem.hint("it begins with / and holds letters, digits and -_.~ alone"));
        }
        let file = |name: &str| options.opt_str(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let tls = match (file("tls.certificate"), file("tls.key")) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(options.problem("tls.key", "is missing, and there is a certificate"));
            }
            (None, Some(_)) => {
                return Err(options.problem("tls.certificate", "is missing, and there is a key"));
            }
        };
        let count = |name: &str| usize::try_from(options.unsigned(name)).unwrap_or(usize::MAX);
        Ok(HttpConfig {
            enabled: options.bool("enabled"),
            address,
            port: u16::try_from(options.unsigned("port")).unwrap_or(u16::MAX),
            context_path,
            tls,
            auth: options.bool("auth"),
            tokens_file: file("tokens.file"),
            hosts: options.list("hosts").iter().map(|host| host.to_ascii_lowercase()).collect(),
            insecure_open: options.bool("insecure.open"),
            request_bytes_max: count("request.bytes.max"),
            request_timeout: Duration::from_millis(options.unsigned("request.timeout").max(100)),
            connections_max: count("connections.max"),
            requests_per_second: u32::try_from(options.unsigned("requests.per.second")).unwrap_or(u32::MAX),
        })
    }

    /// Where the tokens' sums lie.
    pub(crate) fn tokens_file(&self, data: &Path) -> PathBuf {
        self.tokens_file.clone().unwrap_or_else(|| data.join("tokens"))
    }

    /// What would be open to whoever reaches the port is refused, unless it was asked for by name.
    pub(crate) fn refuse_open(&self) -> Result<(), Error> {
        let lacking = match (self.tls.is_some(), self.auth) {
            _ if self.address.is_loopback() || self.insecure_open => return Ok(()),
            (true, true) => return Ok(()),
            (false, true) => "without TLS: tokens and job files would be readable on the network",
            (true, false) => "without tokens: whoever reaches the port could do everything",
            (false, false) => "without TLS and without tokens",
        };
        let message = format!("the HTTP interface would listen at {} {lacking}", self.address);
        Err(Error::new(ErrorKind::Config, message).hint(
            "set http.tls.certificate and http.tls.key and leave http.auth as it is, listen at 127.0.0.1, or set http.insecure.open = true",
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use culvert_config::{Options, Variables, definition_mistakes, read_document};

    use super::*;

    fn config(text: &str) -> Result<HttpConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.conf");
        std::fs::write(&path, text).unwrap();
        let read = read_document(Path::new(&path), "the file", &Variables::new(&[]).unwrap()).unwrap();
        let (options, problems) = Options::resolve(&read.root, HTTP_OPTIONS);
        assert!(problems.is_empty(), "{problems:?}");
        HttpConfig::from_options(&options).map_err(|problem| problem.to_string())
    }

    #[test]
    fn definitions_do_not_contradict_themselves() {
        assert_eq!(definition_mistakes(HTTP_OPTIONS), Vec::<String>::new());
    }

    #[test]
    fn by_default_it_is_for_this_machine_and_asks_for_a_token() {
        let config = config("").unwrap();
        assert!(config.enabled && config.auth && config.address.is_loopback());
        assert_eq!((config.port, config.tls.clone()), (8080, None));
        config.refuse_open().unwrap();
    }

    #[test]
    fn listening_beyond_this_machine_needs_tls_and_tokens() {
        let refused = |text: &str| config(text).unwrap().refuse_open().unwrap_err().to_string();
        assert!(refused("address = 0.0.0.0").contains("without TLS"));
        let tls = "address = 0.0.0.0, tls { certificate = a, key = b }";
        assert!(refused(&format!("{tls}, auth = false")).contains("without tokens"));
        config(tls).unwrap().refuse_open().unwrap();
        config("address = 0.0.0.0, insecure.open = true").unwrap().refuse_open().unwrap();
    }

    #[test]
    fn halves_and_nonsense_are_refused() {
        assert!(config("tls.key = b").unwrap_err().contains("tls.certificate"));
        assert!(config("tls.certificate = b").unwrap_err().contains("tls.key"));
        assert!(config("address = localhost").unwrap_err().contains("is no IP address"));
        assert!(config("context-path = culvert").unwrap_err().contains("is no path"));
        assert!(config("context-path = \"/a{b}\"").unwrap_err().contains("is no path"));
        assert_eq!(config("context-path = \"/culvert/\"").unwrap().context_path, "/culvert");
    }
}
