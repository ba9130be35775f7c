//! What a check found: a problem, a doubt, or something somebody has to do first.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The job would not run, or not keep its promise.
    Error,
    /// The job runs, but perhaps not as meant.
    Warning,
    /// A person has to act outside the job file first, for example grant a right.
    Todo,
}

/// One finding of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// What it is about: an option key, a table, a server variable.
    pub subject: String,
    /// What was found, in one sentence.
    pub message: String,
    /// What to do: the statement to run or the line to write.
    pub hint: Option<String>,
}

impl Finding {
    /// An error.
    pub fn error(subject: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, subject: subject.into(), message: message.into(), hint: None }
    }

    /// A warning.
    pub fn warning(subject: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(subject, message) }
    }

    /// Something to do first.
    pub fn todo(subject: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Todo, ..Finding::error(subject, message) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }
}
