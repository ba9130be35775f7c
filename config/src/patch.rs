//! Edits of a job file that would solve problems, as a unified diff without context.
//!
//! Lines that hold a secret are shown masked; such a hunk is for reading, not for applying.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::problem::{Fix, Problem};
use crate::secret::{is_secret_key, mask_secrets};

#[derive(Default)]
struct Edit {
    /// The line after renaming keys; `None` when it stays.
    replaced: Option<String>,
    /// What was renamed in it: from, to.
    renamed: Vec<(String, String)>,
    /// Lines to add below it.
    added: Vec<String>,
}

/// The edits for the problems of this file; `None` when there is nothing to suggest.
pub(crate) fn suggest(file: &str, text: &str, problems: &[Problem]) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut edits: BTreeMap<usize, Edit> = BTreeMap::new();
    for problem in problems.iter().filter(|problem| &*problem.place.file == file) {
        let number = problem.place.line.and_then(|line| usize::try_from(line).ok());
        let (Some(fix), Some(number)) = (problem.fix.as_deref(), number) else { continue };
        let Some(line) = number.checked_sub(1).and_then(|index| lines.get(index)) else { continue };
        let edit = edits.entry(number).or_default();
        match fix {
            Fix::RenameKey { from, to } => {
                let current = edit.replaced.as_deref().unwrap_or(line);
                if let Some(renamed) = rename(current, from, to) {
                    edit.replaced = Some(renamed);
                    edit.renamed.push((from.clone(), to.clone()));
                }
            }
            Fix::AddOptions(options) => {
                let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
                let add = |(name, doc): &(String, String)| {
                    let doc: String = doc.split_whitespace().collect::<Vec<&str>>().join(" ");
                    format!("{indent}  # {name} = …  (required) {doc}").trim_end().to_owned()
                };
                edit.added.extend(options.iter().map(add));
            }
        }
    }
    edits.retain(|_, edit| edit.replaced.is_some() || !edit.added.is_empty());
    if edits.is_empty() {
        return None;
    }
    Some(render(file, &lines, &edits))
}

fn render(file: &str, lines: &[&str], edits: &BTreeMap<usize, Edit>) -> String {
    let mut diff = format!("--- {file}\n+++ {file}\n");
    let mut shift = 0;
    for (number, edit) in edits {
        let old = number.checked_sub(1).and_then(|index| lines.get(index)).copied().unwrap_or("");
        let added = edit.added.len();
        // Writing to a String cannot fail.
        let _ = match &edit.replaced {
            Some(new) => {
                let count = if added == 0 { String::new() } else { format!(",{}", added + 1) };
                let new = mask_secrets(new);
                let old = old_line(old, &new, &edit.renamed);
                write!(diff, "@@ -{number} +{}{count} @@\n-{old}\n+{new}\n", number + shift)
            }
            None => writeln!(diff, "@@ -{number},0 +{},{added} @@", number + shift + 1),
        };
        for line in &edit.added {
            let _ = writeln!(diff, "+{line}");
        }
        shift += added;
    }
    diff
}

/// The line as it was. A misspelt `pasword` is known for a secret by its right name only, so then
/// the new, masked line is taken and its keys are misspelt again.
fn old_line(old: &str, masked_new: &str, renamed: &[(String, String)]) -> String {
    if !renamed.iter().any(|(_, to)| is_secret_key(to)) {
        return mask_secrets(old);
    }
    let mut line = masked_new.to_owned();
    for (from, to) in renamed.iter().rev() {
        line = rename(&line, to, from).unwrap_or(line);
    }
    line
}

/// The line with the key replaced; a key that was nested is looked for by its last part.
fn rename(line: &str, from: &str, to: &str) -> Option<String> {
    if let Some(renamed) = replace_word(line, from, to) {
        return Some(renamed);
    }
    let (from_parent, from_last) = from.rsplit_once('.')?;
    let (to_parent, to_last) = to.rsplit_once('.')?;
    if from_parent != to_parent {
        return None;
    }
    replace_word(line, from_last, to_last)
}

/// Replaces the first occurrence that is not part of a longer key.
fn replace_word(line: &str, from: &str, to: &str) -> Option<String> {
    let part_of_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.match_indices(from).find_map(|(at, _)| {
        let (before, rest) = line.split_at_checked(at)?;
        let after = rest.strip_prefix(from)?;
        let whole = !before.ends_with(part_of_key) && !after.starts_with(part_of_key);
        whole.then(|| format!("{before}{to}{after}"))
    })
}
