//! The graph as a picture for a terminal: each source with what hangs below it.
//!
//! A node that several others feed is drawn once, below the last of them; the others point to it.

use std::collections::BTreeSet;
use std::fmt::Write;

use arrow_schema::{DataType, FieldRef};
use culvert_api::{Column, RowKind, RowKindSet, TableSchema};
use culvert_config::{Role, columns_of};

use super::{Plan, Shown, merged};
use crate::plugin_pages::contract_words;

/// How many tables of one edge are shown; JSON has all of them.
const TABLES_SHOWN: usize = 12;

/// How wide a line may be before its words go on in the next: what the narrowest of usual terminals shows.
const COLUMNS: usize = 80;

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
    lines.push_str(&wrapped("the job delivers ", "    ", words.split(' ')));
    if plan.nodes.iter().any(|node| node.tables.is_none() && node.error.is_none()) {
        lines.push_str(match plan.asked {
            false => "tables that are not shown are known to servers alone: add --connect\n",
            true => "tables that are not shown could not be told\n",
        });
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
        let bar = if readers.is_empty() { "  " } else { "│ " };
        let below = format!("{rest}{bar}");
        self.text.push_str(&wrapped(first, &format!("{below}    "), self.headline(node).split(' ')));
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
                    // Writing to a String cannot fail.
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
        let tables = merged(tables);
        for (table, streams) in tables.iter().take(TABLES_SHOWN) {
            self.table(table, *streams, before);
        }
        if tables.len() > TABLES_SHOWN {
            let _ = writeln!(self.text, "{before}and {} tables more", tables.len() - TABLES_SHOWN);
        }
    }

    fn table(&mut self, table: &TableSchema, streams: usize, before: &str) {
        let key = match table.primary_key.as_slice() {
            [] => "no key".to_owned(),
            columns => format!("key {}", columns.join(", ")),
        };
        let streams = if streams > 1 { format!(", {streams} streams") } else { String::new() };
        let headline = format!("{}: {key}{}{streams}", table.id, kinds(table.kinds));
        let indent = format!("{before}    ");
        self.text.push_str(&wrapped(before, &indent, headline.split(' ')));
        let last = table.columns.len().saturating_sub(1);
        let words: Vec<String> = table
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let null = if column.nullable { "?" } else { "" };
                let comma = if at < last { "," } else { "" };
                format!("{} {}{null}{comma}", column.name, type_of(column))
            })
            .collect();
        self.text.push_str(&wrapped(&indent, &indent, words.iter().map(String::as_str)));
    }
}

/// Words in lines of at most [`COLUMNS`] where they fit: `first` stands before the first, `rest` before the
/// others.
fn wrapped<'w>(first: &str, rest: &str, words: impl Iterator<Item = &'w str>) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words {
        if !empty && columns_of(&line) + 1 + columns_of(word) > COLUMNS {
            text.push_str(&line);
            text.push('\n');
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

/// Which kinds of rows there can be, where it is not all.
fn kinds(kinds: RowKindSet) -> String {
    if kinds == RowKindSet::ALL {
        return String::new();
    }
    if kinds == RowKindSet::INSERT_ONLY {
        return ", inserts only".to_owned();
    }
    let kinds = RowKind::ALL.into_iter().filter(|kind| kinds.contains(*kind));
    format!(", only {}", kinds.map(RowKind::short).collect::<Vec<&str>>().join(" "))
}

/// A column's type as its database declares it, otherwise as it is held here.
pub(super) fn type_of(column: &Column) -> String {
    match &column.source_type {
        Some(declared) => declared.declaration.clone(),
        None => in_words(&column.data_type),
    }
}

/// A type in the words that a job file declares it with.
fn in_words(data_type: &DataType) -> String {
    let word = match data_type {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::UInt8 => "tinyint unsigned",
        DataType::UInt16 => "smallint unsigned",
        DataType::UInt32 => "int unsigned",
        DataType::UInt64 => "bigint unsigned",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::LargeUtf8 => "string",
        DataType::Binary | DataType::LargeBinary => "bytes",
        DataType::Date32 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamp_tz",
        DataType::Decimal128(digits, scale) | DataType::Decimal256(digits, scale) => {
            return format!("decimal({digits}, {scale})");
        }
        DataType::List(item) => return format!("array<{}>", in_words(item.data_type())),
        DataType::Struct(fields) => {
            let field = |field: &FieldRef| format!("{} = {}", field.name(), in_words(field.data_type()));
            return format!("{{{}}}", fields.iter().map(field).collect::<Vec<String>>().join(", "));
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let types: Vec<String> = pair.iter().map(|field| in_words(field.data_type())).collect();
                return format!("map<{}>", types.join(", "));
            }
            other => return other.to_string(),
        },
        other => return other.to_string(),
    };
    word.to_owned()
}
