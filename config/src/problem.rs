//! What is wrong with a job file, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

use crate::excerpt::SourceText;

/// A stretch of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters; 0 for the end of a line.
    pub length: u32,
}

/// A place in a file: a key with its value, a line, or the whole file. Two are equal when file and
/// span are.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The file as the user named it, or as an `include` led to it.
    pub file: Arc<str>,
    /// The line, from 1; `None` when it is about the whole file.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// How many characters are meant, from the column on.
    length: u32,
    /// Where the value of the key stands.
    value: Option<Span>,
    /// The file's text, for showing the line.
    text: Option<SourceText>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        (&self.file, self.line, self.column) == (&other.file, other.line, other.column)
    }
}

impl Eq for Place {}

impl Place {
    /// A whole file.
    pub fn file(file: &Arc<str>) -> Place {
        Place { file: Arc::clone(file), ..Place::default() }
    }

    /// A line of a file.
    pub fn line(file: &Arc<str>, line: u32) -> Place {
        Place { line: Some(line), ..Place::file(file) }
    }

    /// A stretch of a line whose text is at hand.
    pub(crate) fn span(file: &Arc<str>, span: Span, text: &SourceText) -> Place {
        Place {
            file: Arc::clone(file),
            line: Some(span.line),
            column: Some(span.column),
            length: span.length,
            value: None,
            text: Some(text.clone()),
        }
    }

    /// The same key, with the place of its value.
    #[must_use]
    pub(crate) fn with_value(mut self, value: Option<Span>) -> Place {
        self.value = value;
        self
    }

    /// Where the value of this key stands; the key itself when that is not known.
    #[must_use]
    pub fn value(&self) -> Place {
        match self.value {
            None => self.clone(),
            Some(span) => Place {
                line: Some(span.line),
                column: Some(span.column),
                length: span.length,
                ..self.clone()
            },
        }
    }

    /// What is meant, where line and column are known.
    pub(crate) fn marked(&self) -> Option<Span> {
        Some(Span { line: self.line?, column: self.column?, length: self.length })
    }

    /// The span of the value, where it is known.
    pub(crate) fn value_span(&self) -> Option<Span> {
        self.value
    }

    /// The file's text.
    pub(crate) fn text(&self) -> Option<&SourceText> {
        self.text.as_ref()
    }
}

/// `jobs/a.conf:12`, and in the alternate form `jobs/a.conf:12:7`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column.filter(|_| f.alternate()) {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The job cannot run as written.
    Error,
    /// The job runs, but perhaps not as meant.
    Warning,
    /// A person has to act outside the job file first.
    Todo,
}

/// What sort of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The file is missing, unreadable or too large.
    File,
    /// The text is not valid HOCON or JSON.
    Syntax,
    /// A section or block is missing or misshapen.
    Structure,
    /// A key that nobody reads.
    UnknownKey,
    /// Required options are missing.
    Missing,
    /// A value does not fit its option.
    BadValue,
    /// A secret stands where its name should; the value is never shown.
    PlainSecret,
    /// Options that contradict each other.
    Conflict,
    /// An option that this version does not support.
    Refused,
    /// An option that is accepted and has no effect.
    Ignored,
    /// A variable that is not set, or must not be.
    Variable,
    /// Dataset names do not make a graph.
    Graph,
    /// The metadata provider cannot be asked now: the job file may be sound.
    Unreachable,
}

/// An edit of the job file that would solve the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Write another key in this line.
    RenameKey {
        /// The key as it stands there.
        from: String,
        /// The key that was probably meant.
        to: String,
    },
    /// Add options to the block that begins in this line: name and what it is for.
    AddOptions(Vec<(String, String)>),
}

/// One problem. Never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How much it weighs.
    pub severity: Severity,
    /// What sort it is.
    pub kind: ProblemKind,
    /// Where.
    pub place: Place,
    /// The key as the user typed it, or a plugin or dataset name.
    pub subject: String,
    /// What is wrong: lower case, one sentence, no final stop.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// How SeaTunnel words it, for those who look that up.
    pub known_as: Option<String>,
    /// How the file could be edited.
    pub fix: Option<Box<Fix>>,
}

impl Problem {
    /// An error.
    pub fn error(
        kind: ProblemKind,
        place: Place,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Problem {
        Problem {
            severity: Severity::Error,
            kind,
            place,
            subject: subject.into(),
            message: message.into(),
            hint: None,
            known_as: None,
            fix: None,
        }
    }

    /// A warning.
    pub fn warning(
        kind: ProblemKind,
        place: Place,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(kind, place, subject, message) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Adds how SeaTunnel words it.
    #[must_use]
    pub fn known_as(mut self, words: impl Into<String>) -> Problem {
        self.known_as = Some(words.into());
        self
    }

    /// Adds an edit of the file.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Problem {
        self.fix = Some(Box::new(fix));
        self
    }

    /// Whether the job cannot run with it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            _ if self.place.file.is_empty() => {}
            // The line alone does not tell what is wrong in it.
            ProblemKind::Syntax => write!(f, "{:#}: ", self.place)?,
            _ => write!(f, "{}: ", self.place)?,
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// Why a job file could not be loaded: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(
    /// The problems, in file order.
    pub Vec<Problem>,
);

impl From<Problem> for ConfigErrors {
    fn from(problem: Problem) -> ConfigErrors {
        ConfigErrors(vec![problem])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Turns warnings about unknown keys into errors, as a strict check wants them.
pub fn raise_unknown_keys(problems: &mut [Problem]) {
    for problem in problems.iter_mut().filter(|problem| problem.kind == ProblemKind::UnknownKey) {
        problem.severity = Severity::Error;
    }
}
