//! The catalogue as text for a terminal of 100 columns.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use culvert_config::{OptionDef, Support, option_type};

use crate::connectors::Plugin;
use crate::plugin_pages::page;

/// How wide a text may be.
const COLUMNS: usize = 100;

/// All plugins, one a line.
pub(super) fn list(plugins: &[&Plugin]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(COLUMNS).unwrap_or(u16::MAX));
    for plugin in plugins {
        let summary = page(plugin).map_or("", |page| page.summary);
        table.add_row(vec![plugin.role().section(), plugin.name, summary]);
    }
    let mut text = String::new();
    for line in table.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("\n`culvert connectors NAME` tells the options of one.\n");
    text
}

/// One plugin: options, rules, promises, an example.
pub(super) fn page_text(plugin: &Plugin) -> String {
    let mut text = format!("{} ({})\n", plugin.name, plugin.role());
    let page = page(plugin);
    if let Some(page) = page {
        text.push_str(&wrapped(page.summary, ""));
    }
    let works: Vec<&OptionDef> = plugin.options.iter().filter(|def| def.support == Support::Works).collect();
    if !works.is_empty() {
        text.push_str("\nOptions:\n");
    }
    for def in works {
        let names: Vec<&str> = def.names().collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}: {}", names.join(", "), kind(def));
        text.push_str(&wrapped(def.doc, "      "));
    }
    let mut rules: Vec<String> = plugin.rules.iter().map(|rule| rule.words()).collect();
    section(&mut text, "Rules", &mut rules);
    let deliveries = page.map(|page| page.deliveries(plugin)).unwrap_or_default();
    let mut promises: Vec<String> =
        deliveries.iter().map(|delivery| format!("{}: {}", delivery.setting, delivery.words)).collect();
    section(&mut text, "Delivery", &mut promises);
    let reasons = |wanted: fn(Support) -> Option<&'static str>| -> Vec<String> {
        let of = |def: &OptionDef| wanted(def.support).map(|reason| format!("{}: {reason}", def.name));
        plugin.options.iter().filter_map(of).collect()
    };
    let mut refused = reasons(|support| match support {
        Support::Refused(reason) => Some(reason),
        _ => None,
    });
    section(&mut text, "Refused", &mut refused);
    let mut ignored = reasons(|support| match support {
        Support::Ignored(reason) => Some(reason),
        _ => None,
    });
    section(&mut text, "Accepted without effect", &mut ignored);
    if let Some(page) = page {
        let _ = write!(text, "\nExample, a whole job:\n\n{}", page.example);
    }
    text
}

fn section(text: &mut String, title: &str, lines: &mut Vec<String>) {
    if lines.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "\n{title}:\n");
    for line in lines.drain(..) {
        let body = wrapped(&line, "    ");
        text.push_str("  - ");
        text.push_str(body.trim_start());
    }
}

/// What values an option takes, and what counts without one.
fn kind(def: &OptionDef) -> String {
    let mut kind = option_type(def).replace('`', "");
    if def.required {
        kind.push_str(", required");
    }
    match def.default {
        Some("") => kind.push_str(", default empty"),
        Some(default) => {
            let _ = write!(kind, ", default {default}");
        }
        None => {}
    }
    kind
}

/// A text in lines of at most 100 columns, each behind an indent.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from(indent);
    for word in text.split_whitespace() {
        if line.trim().is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= COLUMNS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push_str(&line);
            lines.push('\n');
            line = format!("{indent}{word}");
        }
    }
    if !line.trim().is_empty() {
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_behind_their_indent() {
        let text = wrapped(&"word ".repeat(50), "    ");
        assert!(text.lines().all(|line| line.starts_with("    word") && line.len() <= COLUMNS), "{text}");
        assert_eq!(text.split_whitespace().count(), 50);
        assert_eq!(wrapped(" ", "  "), "");
    }
}
