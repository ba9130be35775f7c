//! The graph as a flowchart in Mermaid's language, which many viewers of Markdown draw.

use std::fmt::Write;

use culvert_config::Role;

use super::{Plan, Shown, merged};
use crate::plugin_pages::contract_words;

/// How many tables an edge names.
const TABLES_NAMED: usize = 3;

/// The flowchart.
pub(super) fn draw(plan: &Plan) -> String {
    let mut text = String::from("flowchart LR\n");
    for (at, node) in plan.nodes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  n{at}{}", shape(node));
    }
    for (at, node) in plan.nodes.iter().enumerate() {
        for input in &node.inputs {
            let label = plan.nodes.get(*input).map(edge).unwrap_or_default();
            let _ = match label.as_str() {
                "" => writeln!(text, "  n{input} --> n{at}"),
                label => writeln!(text, "  n{input} -->|\"{}\"| n{at}", escaped(label)),
            };
        }
        if node.error.is_some() {
            let _ = writeln!(text, "  style n{at} stroke:#c00,stroke-width:3px");
        }
    }
    text
}

/// A node's shape and words: databases are drums, what transforms is a box.
fn shape(node: &Shown) -> String {
    let mut words = format!("{}<br/>{}", escaped(&node.plugin), escaped(&node.id));
    if let Some(contract) = node.delivery {
        let _ = write!(words, "<br/>{}", contract_words(contract).0);
    }
    if node.holds {
        words.push_str("<br/>held when it fails");
    }
    match node.role {
        Role::Source => format!("[(\"{words}\")]"),
        Role::Sink => format!("[/\"{words}\"/]"),
        _ => format!("[\"{words}\"]"),
    }
}

/// The tables that leave a node, in few words.
fn edge(node: &Shown) -> String {
    let Some(tables) = &node.tables else { return String::new() };
    let tables = merged(tables);
    let mut names: Vec<String> =
        tables.iter().take(TABLES_NAMED).map(|(table, _)| table.id.to_string()).collect();
    if tables.len() > TABLES_NAMED {
        names.push(format!("and {} more", tables.len() - TABLES_NAMED));
    }
    names.join(", ")
}

/// Characters that would end a text, as Mermaid writes them.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "#quot;").replace('<', "&lt;").replace('>', "&gt;")
}
