//! The graph as a picture for a terminal: each source with what hangs below it.
//!
//! A node that several others feed is drawn once, below the last of them; the others point to it.

use std::collections::BTreeSet;
use std::fmt::Write;

use culvert_api::{Column, TableSchema};
use culvert_config::Role;

use super::{Plan, Shown};
use crate::plugin_pages::contract_words;

/// How many tables of one edge are shown; JSON has all of them.
const TABLES_SHOWN: usize = 12;

/// How wide a line may be before its columns go on in the next.
const COLUMNS: usize = 100;

/// The picture.
pub(super) fn draw(plan: &Plan) -> String {
    let mut drawing = Drawing { plan, text: String::new(), drawn: BTreeSet::new() };
    let mut lines = format!("job {} ({})\n\n", plan.job, plan.mode);
    for (at, node) in plan.nodes.iter().enumerate() {
        if node.role == Role::Source {
            drawing.node(at, "", "");
            drawing.text.push('\n');
        }
    }
    lines.push_str(&drawing.text);
    let (_, words) = contract_words(plan.delivery);
    // Writing to a String cannot fail.
    let _ = writeln!(lines, "delivery of the whole: {words}");
    if plan.nodes.iter().any(|node| node.tables.is_none() && node.error.is_none()) {
        lines.push_str("tables that are not shown are known to servers alone: add --connect\n");
    } else {
        lines.push_str("columns: name type, with ? where NULL may occur\n");
    }
    lines
}

struct Drawing<'p> {
    plan: &'p Plan,
    text: String,
    drawn: BTreeSet<usize>,
}

impl Drawing<'_> {
    /// A node and all below it: `first` stands before its own line, `rest` before the others.
    fn node(&mut self, at: usize, first: &str, rest: &str) {
        let Some(node) = self.plan.nodes.get(at) else { return };
        self.drawn.insert(at);
        let readers: Vec<usize> = self.readers(at);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{first}{}", self.headline(node));
        let bar = if readers.is_empty() { "  " } else { "│ " };
        let below = format!("{rest}{bar}");
        self.details(node, &below);
        for (index, reader) in readers.iter().enumerate() {
            let last = index + 1 == readers.len();
            let (fork, on) = if last { ("└─► ", "    ") } else { ("├─► ", "│   ") };
            let (first, rest) = (format!("{rest}{fork}"), format!("{rest}{on}"));
            match self.plan.nodes.get(*reader) {
                Some(shown) if shown.inputs.iter().all(|input| self.drawn.contains(input)) => {
                    self.node(*reader, &first, &rest);
                }
                Some(shown) => {
                    let _ = writeln!(self.text, "{first}{} '{}', drawn below", shown.role, shown.id);
                }
                None => {}
            }
        }
    }

    /// Nodes that read this one, each once.
    fn readers(&self, at: usize) -> Vec<usize> {
        let reads = |(_, node): &(usize, &Shown)| node.inputs.contains(&at);
        self.plan.nodes.iter().enumerate().filter(reads).map(|(reader, _)| reader).collect()
    }

    fn headline(&self, node: &Shown) -> String {
        let mut line = format!("{} {} '{}'", node.role, node.plugin, node.id);
        if node.parallelism > 1 {
            let _ = write!(line, ", parallelism {}", node.parallelism);
        }
        if let Some(contract) = node.delivery {
            let _ = write!(line, ", {}", contract_words(contract).0);
        }
        if node.holds {
            line.push_str(", held when it fails");
        }
        if node.inputs.len() > 1 {
            let inputs = node.inputs.iter().filter_map(|input| self.plan.nodes.get(*input));
            let names: Vec<String> = inputs.map(|input| format!("'{}'", input.id)).collect();
            let _ = write!(line, ", reads {}", names.join(", "));
        }
        line
    }

    /// The tables that leave a node. What reaches a sink is told where streams have met there.
    fn details(&mut self, node: &Shown, before: &str) {
        if let Some(error) = &node.error {
            for line in error.lines() {
                let _ = writeln!(self.text, "{before}! {line}");
            }
        }
        let told = node.role != Role::Sink || node.inputs.len() > 1;
        let Some(tables) = node.tables.as_ref().filter(|_| told) else { return };
        if tables.is_empty() {
            let _ = writeln!(self.text, "{before}no table");
        }
        for table in tables.iter().take(TABLES_SHOWN) {
            self.table(table, before);
        }
        if tables.len() > TABLES_SHOWN {
            let _ = writeln!(self.text, "{before}and {} tables more", tables.len() - TABLES_SHOWN);
        }
    }

    fn table(&mut self, table: &TableSchema, before: &str) {
        let key = match table.primary_key.as_slice() {
            [] => "no key".to_owned(),
            columns => format!("key {}", columns.join(", ")),
        };
        let _ = writeln!(self.text, "{before}{}: {key}", table.id);
        let mut line = format!("{before}    ");
        let indent = line.chars().count();
        for (index, column) in table.columns.iter().enumerate() {
            let comma = if index + 1 < table.columns.len() { "," } else { "" };
            let word = format!(
                "{} {}{}{comma}",
                column.name,
                type_of(column),
                if column.nullable { "?" } else { "" }
            );
            let length = line.chars().count();
            if length > indent && length + 1 + word.chars().count() > COLUMNS {
                let _ = writeln!(self.text, "{}", line.trim_end());
                line = format!("{before}    ");
            }
            line.push_str(&word);
            line.push(' ');
        }
        let _ = writeln!(self.text, "{}", line.trim_end());
    }
}

/// A column's type as its database declares it, otherwise as it is held here.
pub(super) fn type_of(column: &Column) -> String {
    match &column.source_type {
        Some(declared) => declared.declaration.clone(),
        None => column.data_type.to_string(),
    }
}
