//! Edits of a job file that would solve problems, as a unified diff without context.
//!
//! Lines that hold a secret are shown masked; such a hunk is for reading, not for applying.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::excerpt::whole_line;
use crate::problem::{Fix, Problem};

/// An edit at one line.
struct Edit {
    /// The line as it is.
    old: String,
    /// The line after renaming keys; the same when it stays.
    new: String,
    /// Lines to add below it.
    added: Vec<String>,
}

/// The edits for the problems of this file; `None` when there is nothing to suggest.
pub(crate) fn suggest(file: &str, problems: &[Problem]) -> Option<String> {
    let mut lines: BTreeMap<u32, Vec<&Problem>> = BTreeMap::new();
    for problem in problems.iter().filter(|problem| problem.fix.is_some() && &*problem.place.file == file) {
        if let Some(line) = problem.place.line {
            lines.entry(line).or_default().push(problem);
        }
    }
    let json = file.to_lowercase().ends_with(".json");
    let edit = |(line, problems): (u32, Vec<&Problem>)| Some((line, Edit::of(&problems, json)?));
    let edits: Vec<(u32, Edit)> = lines.into_iter().filter_map(edit).collect();
    (!edits.is_empty()).then(|| render(file, &edits))
}

impl Edit {
    /// What solves the problems of one line; `None` when nothing does.
    fn of(problems: &[&Problem], json: bool) -> Option<Edit> {
        let old = whole_line(problems)?;
        let mut edit = Edit { new: old.clone(), old, added: Vec::new() };
        for problem in problems {
            match problem.fix.as_deref() {
                Some(Fix::RenameKey { from, to }) => {
                    edit.new = rename(&edit.new, from, to).unwrap_or(edit.new);
                }
                Some(Fix::AddOptions(options)) if has_room_below(&edit.old, json) => {
                    let mut indent: String = edit.old.chars().take_while(|c| c.is_whitespace()).collect();
                    // The line of a block's name is one step further in than that of its bracket.
                    if !edit.old.contains("plugin_name") {
                        indent.push_str("  ");
                    }
                    let add = |(name, doc): &(String, String)| match json {
                        true => format!("{indent}\"{name}\": \"…\","),
                        false => format!("{indent}# {name} = …  (required) {}", first_sentence(doc)),
                    };
                    edit.added.extend(options.iter().map(add));
                }
                Some(Fix::AddOptions(_)) | None => {}
            }
        }
        (edit.new != edit.old || !edit.added.is_empty()).then_some(edit)
    }
}

/// Whether options can be added below the line that a block begins in: it must not end there.
fn has_room_below(line: &str, json: bool) -> bool {
    let line = line.trim_end();
    !line.contains('}') && (!json || line.ends_with(','))
}

/// The first sentence of a doc, in one line.
fn first_sentence(doc: &str) -> String {
    let words = doc.split_whitespace().collect::<Vec<&str>>().join(" ");
    words.split_once(". ").map_or_else(|| words.clone(), |(first, _)| format!("{first}."))
}

fn render(file: &str, edits: &[(u32, Edit)]) -> String {
    let mut diff = format!("--- {file}\n+++ {file}\n");
    let mut shift: usize = 0;
    for (number, edit) in edits {
        let added = edit.added.len();
        let number = usize::try_from(*number).unwrap_or(usize::MAX);
        // Writing to a String cannot fail.
        let _ = if edit.new == edit.old {
            writeln!(diff, "@@ -{number},0 +{},{added} @@", number + shift + 1)
        } else {
            let count = if added == 0 { String::new() } else { format!(",{}", added + 1) };
            write!(diff, "@@ -{number} +{}{count} @@\n-{}\n+{}\n", number + shift, edit.old, edit.new)
        };
        for line in &edit.added {
            let _ = writeln!(diff, "+{line}");
        }
        shift += added;
    }
    diff
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
