//! The report of a check: for people, with the lines it is about, or as JSON with exactly four keys.

mod text;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::excerpt::Excerpt;
use crate::patch::suggest;
use crate::problem::{Problem, ProblemKind, Severity};
use crate::secret::mask_secrets;

/// One item of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportItem {
    /// What it is about: an option key, a table, a server variable.
    pub subject: String,
    /// Where: `jobs/a.conf:12`.
    pub location: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// How SeaTunnel words it.
    #[serde(skip)]
    known_as: Option<String>,
    /// The line of the file.
    #[serde(skip)]
    excerpt: Option<Excerpt>,
    /// The file, where it is about one.
    #[serde(skip)]
    file: Option<String>,
    /// The file's turn among those of the report; findings without a file come last.
    #[serde(skip)]
    turn: usize,
}

/// Everything a check found. Serialises to the keys `errors`, `warnings`, `todo_items` and
/// `patch_suggestion`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What keeps the job from running.
    pub errors: Vec<ReportItem>,
    /// What is doubtful.
    pub warnings: Vec<ReportItem>,
    /// What somebody has to do outside the job file first.
    pub todo_items: Vec<ReportItem>,
    /// An edit of the job file that would solve some of it, in the form of a unified diff.
    pub patch_suggestion: Option<String>,
    /// The files that problems are about, in the order they were met.
    #[serde(skip)]
    files: Vec<String>,
}

impl Report {
    /// Adds a finding that has no place in the file. Anything that looks like a secret is masked.
    pub fn push(
        &mut self,
        severity: Severity,
        subject: impl Into<String>,
        message: impl AsRef<str>,
        hint: Option<String>,
    ) {
        self.insert(
            severity,
            ReportItem {
                subject: subject.into(),
                location: None,
                line: None,
                column: None,
                message: mask_secrets(message.as_ref()),
                hint: hint.as_deref().map(mask_secrets),
                known_as: None,
                excerpt: None,
                file: None,
                turn: usize::MAX,
            },
        );
    }

    /// Adds a problem of the job file.
    pub fn add(&mut self, problem: &Problem) {
        let place = &problem.place;
        let location = match problem.kind {
            ProblemKind::Syntax => format!("{place:#}"),
            _ => place.to_string(),
        };
        let file = Some(place.file.to_string()).filter(|file| !file.is_empty());
        let item = ReportItem {
            subject: problem.subject.clone(),
            location: Some(location).filter(|location| !location.is_empty()),
            line: place.line,
            column: place.column,
            message: mask_secrets(&problem.message),
            hint: problem.hint.as_deref().map(mask_secrets),
            known_as: problem.known_as.as_deref().map(mask_secrets),
            excerpt: Excerpt::of(problem),
            turn: file.as_deref().map_or(usize::MAX, |file| self.turn(file)),
            file,
        };
        self.insert(problem.severity, item);
    }

    /// Adds problems of a file, named as the user named it, and the edit they suggest.
    pub fn add_with_patch(&mut self, file: &Path, problems: &[Problem]) {
        problems.iter().for_each(|problem| self.add(problem));
        self.patch_suggestion = suggest(&file.display().to_string(), problems);
    }

    /// The turn of a file among those of the report.
    fn turn(&mut self, file: &str) -> usize {
        self.files.iter().position(|known| known == file).unwrap_or_else(|| {
            self.files.push(file.to_owned());
            self.files.len() - 1
        })
    }

    /// Adds an item at its place in the order of the files; none twice.
    fn insert(&mut self, severity: Severity, item: ReportItem) {
        let list = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Todo => &mut self.todo_items,
        };
        if !list.contains(&item) {
            let at = list.partition_point(|earlier| earlier.order() <= item.order());
            list.insert(at, item);
        }
    }

    /// Whether nothing keeps the job from running: no error and nothing left to do.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty() && self.todo_items.is_empty()
    }

    /// The report as indented JSON.
    pub fn to_json(&self) -> String {
        // Texts and lists of texts always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl ReportItem {
    /// What it is sorted by: the file, then the place in it.
    fn order(&self) -> (usize, Option<u32>, Option<u32>) {
        (self.turn, self.line, self.column)
    }
}

/// For people, without colours.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(false))
    }
}

#[cfg(test)]
mod tests;
