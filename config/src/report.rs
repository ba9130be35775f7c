//! The report of a check: for people, or as JSON with exactly four keys.

use std::fmt;

use serde::Serialize;

use crate::load::JobFile;
use crate::patch::suggest;
use crate::problem::{Problem, Severity};
use crate::secret::mask_secrets;

/// One item of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportItem {
    /// What it is about: an option key, a table, a server variable.
    pub subject: String,
    /// Where: `jobs/a.conf:12`.
    pub location: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
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
        self.add_item(severity, subject.into(), None, message.as_ref(), hint.as_deref());
    }

    /// Adds a problem of the job file.
    pub fn add(&mut self, problem: &Problem) {
        let location = Some(problem.place.to_string()).filter(|place| !place.is_empty());
        self.add_item(
            problem.severity,
            problem.subject.clone(),
            location,
            &problem.message,
            problem.hint.as_deref(),
        );
    }

    /// Adds problems of a loaded job file and the edit they suggest.
    pub fn add_with_patch(&mut self, job: &JobFile, problems: &[Problem]) {
        problems.iter().for_each(|problem| self.add(problem));
        self.patch_suggestion = suggest(&job.path.display().to_string(), &job.text, problems);
    }

    fn add_item(
        &mut self,
        severity: Severity,
        subject: String,
        location: Option<String>,
        message: &str,
        hint: Option<&str>,
    ) {
        let item =
            ReportItem { subject, location, message: mask_secrets(message), hint: hint.map(mask_secrets) };
        let list = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Todo => &mut self.todo_items,
        };
        if !list.contains(&item) {
            list.push(item);
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, items) in
            [("error", &self.errors), ("warning", &self.warnings), ("to do", &self.todo_items)]
        {
            for item in items {
                match &item.location {
                    Some(location) => writeln!(f, "{word}: {location}: {}", item.message)?,
                    None => writeln!(f, "{word}: {}: {}", item.subject, item.message)?,
                }
                if let Some(hint) = &item.hint {
                    writeln!(f, "    {hint}")?;
                }
            }
        }
        if let Some(patch) = &self.patch_suggestion {
            write!(f, "suggested edit:\n{patch}")?;
        }
        match (self.errors.len(), self.warnings.len(), self.todo_items.len()) {
            (0, 0, 0) => writeln!(f, "no problems found"),
            (errors, warnings, todo) => {
                writeln!(f, "{}, {}, {} to do", counted(errors, "error"), counted(warnings, "warning"), todo)
            }
        }
    }
}

fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests;
