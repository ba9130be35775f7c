//! A report for people: each finding with its line, all of them in the order of the file.

use std::fmt::Write;

use super::{Report, ReportItem};
use crate::excerpt::Excerpt;

/// Bold red, yellow and cyan for the three weights, blue for what frames a line, green for help.
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const CYAN: &str = "1;36";
const BLUE: &str = "1;34";
const GREEN: &str = "1;32";
const BOLD: &str = "1";

impl Report {
    /// The whole report; `colour` adds the escape sequences that terminals know.
    pub fn to_text(&self, colour: bool) -> String {
        let mut text = self.findings_text(colour);
        if let Some(patch) = &self.patch_suggestion {
            // Writing to a String cannot fail.
            let _ = write!(text, "suggested edit:\n{patch}\n");
        }
        match (self.errors.len(), self.warnings.len(), self.todo_items.len()) {
            (0, 0, 0) => text.push_str("no problems found\n"),
            (errors, warnings, todo) => {
                let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
                let _ = writeln!(text, "{errors}, {warnings}, {todo} to do");
            }
        }
        text
    }

    /// The findings alone, each with an empty line behind it.
    pub fn findings_text(&self, colour: bool) -> String {
        let weights = [
            ("error", RED, &self.errors),
            ("warning", YELLOW, &self.warnings),
            ("to do", CYAN, &self.todo_items),
        ];
        let mut all: Vec<(&str, &str, &ReportItem)> = Vec::new();
        for (word, code, items) in weights {
            all.extend(items.iter().map(|item| (word, code, item)));
        }
        all.sort_by_key(|(_, _, item)| item.order());
        let mut painter = Painter { text: String::new(), colour };
        for (word, code, item) in all {
            painter.item(word, code, item);
        }
        painter.text
    }
}

struct Painter {
    text: String,
    colour: bool,
}

impl Painter {
    fn paint(&mut self, code: &str, text: &str) {
        // Writing to a String cannot fail.
        let _ = match self.colour {
            true => write!(self.text, "\u{1b}[{code}m{text}\u{1b}[0m"),
            false => write!(self.text, "{text}"),
        };
    }

    fn item(&mut self, word: &str, code: &str, item: &ReportItem) {
        self.paint(code, word);
        let (first, further) = item.message.split_once('\n').unwrap_or((&item.message, ""));
        let headline = match item.location {
            Some(_) => format!(": {first}"),
            None => format!(": {}: {first}", item.subject),
        };
        self.paint(BOLD, &headline);
        self.text.push('\n');
        let gutter = item.excerpt.as_ref().map_or(1, |excerpt| excerpt.line.to_string().len());
        let margin = " ".repeat(gutter);
        if let Some(file) = &item.file {
            self.text.push_str(&margin);
            self.paint(BLUE, "-->");
            let place = [item.line, item.column].into_iter().flatten().map(|number| format!(":{number}"));
            let _ = writeln!(self.text, " {file}{}", place.collect::<String>());
        }
        if let Some(excerpt) = &item.excerpt {
            self.excerpt(code, &margin, excerpt);
        }
        for line in further.lines() {
            let _ = writeln!(self.text, "{margin}   {line}");
        }
        let notes = [
            ("help", GREEN, item.hint.clone()),
            ("note", BOLD, item.known_as.as_ref().map(|words| format!("SeaTunnel words this: {words}"))),
        ];
        for (name, code, note) in notes {
            let Some(note) = note else { continue };
            let _ = write!(self.text, "{margin} ");
            self.paint(BLUE, "=");
            self.text.push(' ');
            self.paint(code, name);
            // Further lines stand under the first.
            let under = format!("\n{margin}   {}", " ".repeat(name.len() + 2));
            let _ = writeln!(self.text, ": {}", note.trim_end().replace('\n', &under));
        }
        self.text.push('\n');
    }

    fn excerpt(&mut self, code: &str, margin: &str, excerpt: &Excerpt) {
        let bar = format!("{margin} |");
        self.paint(BLUE, &bar);
        self.text.push('\n');
        self.paint(BLUE, &format!("{} |", excerpt.line));
        let _ = writeln!(self.text, " {}", excerpt.text);
        self.paint(BLUE, &bar);
        let _ = write!(self.text, " {}", " ".repeat(excerpt.before));
        self.paint(code, &"^".repeat(excerpt.width));
        self.text.push('\n');
    }
}

fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
