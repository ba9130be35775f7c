//! What a failure of the registry means for the job.

use culvert_api::{Error, ErrorKind};
use thiserror::Error as ThisError;

/// So much of what a registry says is shown.
const SAID_CHARS_MAX: usize = 300;

/// What went wrong, in the words that may be shown.
#[derive(Debug, ThisError)]
#[error("{0}")]
struct Told(String);

/// Statuses that pass by waiting, or at another address.
pub(super) fn passes(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// Turns a status that is no success into our error; `said` is the registry's own message.
pub(super) fn of_status(status: u16, said: Option<&str>) -> Error {
    let error = match status {
        409 => incompatible(),
        401 | 403 => Error::new(
            ErrorKind::Permission,
            format!("the schema registry lets this account do no such thing (status {status})"),
        )
        .hint(
            "check schema.registry.user and .password; the account registers schemas (Write on the subject)",
        ),
        422 => Error::new(ErrorKind::Schema, "the schema registry does not take the schema (status 422)")
            .hint("what it says is above; a subject may be read-only, or of another type of schema"),
        _ if passes(status) => Error::new(
            ErrorKind::Unavailable,
            format!("the schema registry could not do what it was asked (status {status})"),
        )
        .hint("the job goes on when it can"),
        _ => no_registry(status),
    };
    match said {
        Some(said) => error.caused_by(Told(said.chars().take(SAID_CHARS_MAX).collect())),
        None => error,
    }
}

/// A schema that a subject's rule forbids.
pub(super) fn incompatible() -> Error {
    Error::new(
        ErrorKind::Schema,
        "the schema registry says the table's new schema is not compatible with the subject's",
    )
    .hint(
        "set the subject's compatibility to what the change needs (NONE lets everything pass), or delete the \
             subject; tables of different columns need topics of their own",
    )
}

/// What answers is not what was expected.
pub(super) fn no_registry(status: u16) -> Error {
    let what = format!("what answers at schema.registry.url is no schema registry (status {status})");
    Error::new(ErrorKind::Config, what).hint(
        "give the address under which `subjects` is: Apicurio's ends in /apis/ccompat/v7; redirects are not followed",
    )
}

/// Whether the other side is not who it should be, or does not speak TLS.
fn is_about_trust(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(_) => true,
        ureq::Error::Io(cause) => cause.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Turns an error of the client into ours.
pub(super) fn convert(error: &ureq::Error) -> Error {
    let kind = match error {
        ureq::Error::Timeout(_) => ErrorKind::Unavailable,
        ureq::Error::BadUri(_) => ErrorKind::Config,
        _ if is_about_trust(error) => ErrorKind::Config,
        _ => ErrorKind::Connection,
    };
    let mut failed = Error::new(kind, "could not reach the schema registry");
    if is_about_trust(error) {
        failed = failed.hint(
            "check schema.registry.url, schema.registry.ssl.ca.location and the registry's certificate",
        );
    }
    match error {
        ureq::Error::Timeout(_) => failed.caused_by(Told("it did not answer in time".into())),
        ureq::Error::HostNotFound => failed.caused_by(Told("its host is not known".into())),
        ureq::Error::ConnectionFailed => failed.caused_by(Told("no connection could be made".into())),
        ureq::Error::Io(cause) => failed.caused_by(Told(cause.to_string())),
        ureq::Error::Rustls(cause) => failed.caused_by(Told(cause.to_string())),
        // Addresses and headers can be in the rest.
        ureq::Error::BadUri(_) => failed.caused_by(Told("schema.registry.url has no such address".into())),
        _ => failed.caused_by(Told("the way there is broken".into())),
    }
}
