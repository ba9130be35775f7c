//! One error type, four classes.
//!
//! The first question about a failure is not what broke but what follows: does it pass by
//! waiting, must a person act, is a row bad, or is it our own fault. [`ErrorKind::class`] answers
//! it in one place, without a wildcard arm.

use std::fmt;

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Passes by waiting: retry with back-off.
    Transient,
    /// A person has to act: stop and tell.
    Operator,
    /// A row cannot be converted: by policy.
    Data,
    /// A broken invariant or damaged data: stop at once.
    Fatal,
}

/// What broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A connection could not be made or was lost.
    Connection,
    /// A server did not answer in time, or is temporarily unable (read-only, disk full, shutdown).
    Unavailable,
    /// Lock wait, deadlock or another conflict that a new attempt resolves.
    Contention,
    /// The job file is wrong.
    Config,
    /// A right is missing.
    Permission,
    /// A table, column or key that the job needs is missing or unfit.
    Schema,
    /// The log position is gone from the server.
    LogGone,
    /// Something real that this version cannot do.
    Unsupported,
    /// The state folder is in use by another process.
    StateLocked,
    /// The state does not belong to this job or contradicts a sink's marker.
    StateMismatch,
    /// Another run of the same job took over.
    Fenced,
    /// A value does not fit the declared type or policy.
    Value,
    /// Bytes from a server or from disk do not follow their format.
    Corrupt,
    /// A broken invariant of ours.
    Internal,
}

impl ErrorKind {
    /// What follows from an error of this kind.
    pub fn class(self) -> ErrorClass {
        match self {
            ErrorKind::Connection | ErrorKind::Unavailable | ErrorKind::Contention => ErrorClass::Transient,
            ErrorKind::Config
            | ErrorKind::Permission
            | ErrorKind::Schema
            | ErrorKind::LogGone
            | ErrorKind::Unsupported
            | ErrorKind::StateLocked
            | ErrorKind::StateMismatch
            | ErrorKind::Fenced => ErrorClass::Operator,
            ErrorKind::Value => ErrorClass::Data,
            ErrorKind::Corrupt | ErrorKind::Internal => ErrorClass::Fatal,
        }
    }
}

/// A failure with what a person needs to act on it. Never carries a row value or a secret.
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of this kind; the message is lower case and without a final stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        let inner = Inner { kind, message: message.into(), context: Vec::new(), hint: None, source: None };
        Error { inner: Box::new(inner) }
    }

    /// Adds where it happened, for example `("table", "db.t")`.
    #[must_use]
    pub fn context(mut self, key: &'static str, value: impl fmt::Display) -> Error {
        self.inner.context.push((key, value.to_string()));
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.inner.source = Some(source.into());
        self
    }

    /// What broke.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What follows.
    pub fn class(&self) -> ErrorClass {
        self.inner.kind.class()
    }

    /// The message alone, without context and cause.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// What was added under a key by [`Error::context`], the first time.
    pub fn context_of(&self, key: &str) -> Option<&str> {
        self.inner.context.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    /// Message, cause and context, as this error prints but for the hint.
    pub fn without_hint(&self) -> String {
        let mut text = self.inner.message.clone();
        if let Some(source) = &self.inner.source {
            text.push_str(&format!(": {source}"));
        }
        if !self.inner.context.is_empty() {
            let pairs: Vec<String> = self.inner.context.iter().map(|(k, v)| format!("{k}={v}")).collect();
            text.push_str(&format!(" ({})", pairs.join(", ")));
        }
        text
    }

    /// What to do next, where known.
    pub fn hint_text(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_hint())?;
        if let Some(hint) = &self.inner.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}
