//! The job graph: blocks connected by the names of the datasets they read and put out.
//!
//! A straight line of one source, any transforms and one sink needs no names: each block reads
//! what the block before it puts out. Elsewhere a block may leave out what it reads only where
//! there is one dataset that it could read. A dataset that nobody reads is refused, because its
//! rows would be lost without a word.

use std::collections::{BTreeSet, HashMap};

use crate::load::JobFile;
use crate::nearest::nearest;
use crate::option_def::OptionKind;
use crate::problem::{Place, Problem, ProblemKind, Severity};
use crate::setting::{Setting, parse_value};
use crate::value::{Block, Leaf, Role, Value};

const INPUT_NAMES: [&str; 2] = ["plugin_input", "source_table_name"];
const OUTPUT_NAMES: [&str; 2] = ["plugin_output", "result_table_name"];

/// A block in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Unique in the job: the dataset's name where the block has one, otherwise made from role and
    /// plugin (`sink.jdbc`, `sink.jdbc-2`). Stable as long as the blocks of one plugin keep their
    /// order.
    pub id: String,
    /// What part of the job it is: source, transform or sink.
    pub role: Role,
    /// The block's place in the [`JobFile`]'s list of its role.
    pub block_index: usize,
    /// Places in [`JobGraph::nodes`] of the blocks it reads from; empty for sources.
    pub inputs: Vec<usize>,
}

/// Sources, transforms and sinks, each after everything it reads from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobGraph {
    /// The nodes in an order in which data can flow.
    pub nodes: Vec<Node>,
    /// What is doubtful about the names.
    pub warnings: Vec<Problem>,
}

impl JobFile {
    /// Connects the blocks. Errors name the block and the dataset.
    pub fn graph(&self) -> Result<JobGraph, Vec<Problem>> {
        let mut blocks = Vec::new();
        for role in [Role::Source, Role::Transform, Role::Sink] {
            blocks.extend(self.blocks(role).iter().enumerate());
        }
        let mut draft = Draft {
            line: self.sources.len() == 1 && self.sinks.len() == 1,
            // Job files of this shape run elsewhere even with wrong names.
            forgiving: self.sources.len() == 1 && self.sinks.len() == 1 && self.transforms.len() <= 1,
            steps: blocks.iter().map(|(index, block)| Step::new(*index, block)).collect(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        draft.connect();
        draft.unused();
        if !draft.errors.is_empty() {
            return Err(draft.errors);
        }
        draft.sorted()
    }
}

/// A block on its way into the graph.
struct Step<'b> {
    block: &'b Block,
    block_index: usize,
    reads: Vec<String>,
    /// The key as typed and where it stands.
    reads_key: Option<(String, Place)>,
    puts_out: Option<String>,
    puts_out_key: Option<(String, Place)>,
    inputs: Vec<usize>,
}

impl<'b> Step<'b> {
    fn new(block_index: usize, block: &'b Block) -> Step<'b> {
        let leaves = block.leaves();
        let (mut reads, mut reads_key) = names_of(&leaves, INPUT_NAMES, OptionKind::List);
        let (mut outputs, mut puts_out_key) = names_of(&leaves, OUTPUT_NAMES, OptionKind::String);
        // What a source reads and a sink puts out means nothing.
        if block.role == Role::Source {
            (reads, reads_key) = (Vec::new(), None);
        }
        if block.role == Role::Sink {
            (outputs, puts_out_key) = (Vec::new(), None);
        }
        let puts_out = outputs.pop();
        Step { block, block_index, reads, reads_key, puts_out, puts_out_key, inputs: Vec::new() }
    }
}

/// The names under either key, and the key that counts.
fn names_of(
    leaves: &[Leaf<'_>],
    keys: [&str; 2],
    kind: OptionKind,
) -> (Vec<String>, Option<(String, Place)>) {
    for key in keys {
        let Some(leaf) = leaves.iter().find(|leaf| leaf.path == key && !matches!(leaf.value, Value::Null))
        else {
            continue;
        };
        let mut names = match parse_value(kind, leaf.value) {
            Ok(Setting::List(names)) => names,
            Ok(Setting::Text(name)) => vec![name.trim().to_owned()],
            _ => Vec::new(),
        };
        names.retain(|name| !name.is_empty());
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        if !names.is_empty() {
            return (names, Some((leaf.path.clone(), leaf.place.clone())));
        }
    }
    (Vec::new(), None)
}

struct Draft<'b> {
    line: bool,
    forgiving: bool,
    steps: Vec<Step<'b>>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Draft<'_> {
    /// Finds the inputs of every transform and sink.
    fn connect(&mut self) {
        let by_name = self.outputs();
        if self.forgiving && !self.errors.is_empty() {
            self.one_after_the_other();
            return;
        }
        let mut known: Vec<String> = by_name.keys().cloned().collect();
        known.sort();
        for index in 0..self.steps.len() {
            let Some(step) = self.steps.get(index) else { continue };
            if step.block.role == Role::Source {
                continue;
            }
            let mut inputs = Vec::new();
            let mut problems = Vec::new();
            for name in &step.reads {
                match by_name.get(name) {
                    Some(input) => inputs.push(*input),
                    None => problems.push(unknown_input(step, name, &known)),
                }
            }
            // In a straight line the block before is one step back.
            if step.reads.is_empty() && self.line {
                inputs.extend(index.checked_sub(1));
            } else if step.reads.is_empty() {
                match self.only_dataset_for(index) {
                    Some(input) => inputs.push(input),
                    None => problems.push(nameless_input(step, &known)),
                }
            }
            if self.forgiving && !problems.is_empty() {
                inputs = index.checked_sub(1).into_iter().collect();
                for problem in &mut problems {
                    problem.severity = Severity::Warning;
                    problem.message.push_str("; the dataset before it is read instead");
                }
                self.warnings.append(&mut problems);
            }
            self.errors.append(&mut problems);
            if let Some(step) = self.steps.get_mut(index) {
                step.inputs = inputs;
            }
        }
    }

    /// The dataset that a block reads which names none: the one that there is beside its own.
    fn only_dataset_for(&self, reader: usize) -> Option<usize> {
        let is_dataset =
            |(index, step): &(usize, &Step<'_>)| *index != reader && step.block.role != Role::Sink;
        let mut others = self.steps.iter().enumerate().filter(is_dataset).map(|(index, _)| index);
        let only = others.next();
        only.filter(|_| others.next().is_none())
    }

    /// Names that occur twice in a straight line: each block reads what the one before it puts out.
    fn one_after_the_other(&mut self) {
        for mut problem in self.errors.drain(..) {
            problem.severity = Severity::Warning;
            problem.message.push_str("; every block reads the one before it");
            self.warnings.push(problem);
        }
        for (index, step) in self.steps.iter_mut().enumerate() {
            step.inputs = index.checked_sub(1).into_iter().collect();
            if index > 0 {
                // The name is not unique, so the node gets one of its own.
                step.puts_out = None;
            }
        }
    }

    /// The steps by the names of their datasets. Names that occur twice are refused.
    fn outputs(&mut self) -> HashMap<String, usize> {
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            let Some(name) = &step.puts_out else { continue };
            let Some(earlier) = by_name.get(name).and_then(|earlier| self.steps.get(*earlier)) else {
                by_name.insert(name.clone(), index);
                continue;
            };
            let (key, place) = step.puts_out_key.clone().unwrap_or_default();
            let message = format!(
                "option '{key}' of {} and of {} ({}) is '{name}' in both; dataset names must differ",
                step.block.label(),
                earlier.block.label(),
                earlier.block.place
            );
            let known_as = format!(
                "The value of the 'result_table_name' option of the ({} and {}) plugins is both '{name}', and they must \
                 be different.",
                earlier.block.plugin, step.block.plugin
            );
            let problem = Problem::error(ProblemKind::Graph, place.value(), name, message);
            self.errors.push(problem.known_as(known_as));
        }
        by_name
    }

    /// Refuses datasets that nobody reads.
    fn unused(&mut self) {
        if !self.errors.is_empty() {
            return;
        }
        let read: BTreeSet<usize> = self.steps.iter().flat_map(|step| step.inputs.iter().copied()).collect();
        for (index, step) in self.steps.iter().enumerate() {
            if step.block.role == Role::Sink || read.contains(&index) {
                continue;
            }
            self.errors.push(unread(step));
        }
    }

    /// The nodes in an order in which data can flow; among equals the order of the file.
    fn sorted(self) -> Result<JobGraph, Vec<Problem>> {
        let ids = node_ids(&self.steps);
        let mut place_of: HashMap<usize, usize> = HashMap::new();
        let mut nodes: Vec<Node> = Vec::with_capacity(self.steps.len());
        while nodes.len() < self.steps.len() {
            let ready = self.steps.iter().enumerate().find(|(index, step)| {
                !place_of.contains_key(index) && step.inputs.iter().all(|input| place_of.contains_key(input))
            });
            let Some((index, step)) = ready else { return Err(vec![self.circle(&place_of)]) };
            let inputs = step.inputs.iter().filter_map(|input| place_of.get(input).copied()).collect();
            let id = ids.get(index).cloned().unwrap_or_default();
            place_of.insert(index, nodes.len());
            nodes.push(Node { id, role: step.block.role, block_index: step.block_index, inputs });
        }
        Ok(JobGraph { nodes, warnings: self.warnings })
    }

    /// Names the blocks of a circle among those that could not be ordered.
    fn circle(&self, done: &HashMap<usize, usize>) -> Problem {
        let waiting_for = |index: usize| {
            let step = self.steps.get(index)?;
            step.inputs.iter().copied().find(|input| !done.contains_key(input))
        };
        // Walking back along unfinished inputs must come round.
        let mut at = (0..self.steps.len()).find(|index| !done.contains_key(index)).unwrap_or(0);
        let mut path: Vec<usize> = Vec::new();
        while !path.contains(&at) {
            path.push(at);
            match waiting_for(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        let start = path.iter().position(|index| *index == at).unwrap_or(0);
        let members: Vec<&Step<'_>> =
            path.iter().skip(start).rev().filter_map(|index| self.steps.get(*index)).collect();
        let labels: Vec<String> = members
            .iter()
            .map(|step| format!("{} ('{}')", step.block.label(), step.puts_out.as_deref().unwrap_or("")))
            .collect();
        let (key, place) = members.first().and_then(|step| step.reads_key.clone()).unwrap_or_default();
        let message = format!("datasets read each other in a circle: {}", labels.join(" → "));
        Problem::error(ProblemKind::Graph, place.value(), key, message)
            .hint("let one of them read a dataset outside the circle instead")
    }
}

fn unknown_input(step: &Step<'_>, name: &str, known: &[String]) -> Problem {
    let (key, place) = step.reads_key.clone().unwrap_or_default();
    let label = step.block.label();
    let message = format!("option '{key}' of {label} is '{name}', and no source or transform puts that out");
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{near}'?"),
        None if known.is_empty() => "no block of this file has a plugin_output".to_owned(),
        None => format!("datasets of this file are {}", known.join(", ")),
    };
    Problem::error(ProblemKind::Graph, place.value(), key, message).hint(hint).known_as(format!(
        "The 'source_table_name' option configured in [{}] is incorrect, and the source/transform[{name}] is not found.",
        step.block.plugin
    ))
}

fn nameless_input(step: &Step<'_>, known: &[String]) -> Problem {
    let message = format!("{} must name what it reads from with option 'plugin_input'", step.block.label());
    let mut hint = "it may be left out only where one dataset could be meant".to_owned();
    if !known.is_empty() {
        hint = format!("{hint}; datasets of this file are {}", known.join(", "));
    }
    Problem::error(ProblemKind::Graph, step.block.place.clone(), "plugin_input", message).hint(hint).known_as(
        format!(
            "The transform/sink({}) is not configured with 'source_table_name' option",
            step.block.plugin
        ),
    )
}

/// A dataset that nobody reads, or that nobody could.
fn unread(step: &Step<'_>) -> Problem {
    let label = step.block.label();
    match (&step.puts_out, &step.puts_out_key) {
        (Some(name), Some((_, place))) => {
            let message = format!("dataset '{name}' of {label} is read by nobody");
            Problem::error(ProblemKind::Graph, place.value(), name, message)
                .hint("name it in the plugin_input of a transform or sink, or remove the block")
                .known_as(format!(
                    "The 'source_table_name' option configured is incorrect, this table({name}) belonging to \
                     source/transform({}) is not used.",
                    step.block.plugin
                ))
        }
        _ => {
            let message = format!("what {label} puts out is read by nobody");
            Problem::error(ProblemKind::Graph, step.block.place.clone(), "plugin_output", message)
                .hint("give it a plugin_output, and name that in the plugin_input of a transform or sink")
                .known_as(format!(
                    "The source/transform({}) is not configured with 'result_table_name' option",
                    step.block.plugin
                ))
        }
    }
}

/// Unique names of the nodes.
fn node_ids(steps: &[Step<'_>]) -> Vec<String> {
    let mut taken: BTreeSet<String> = steps.iter().filter_map(|step| step.puts_out.clone()).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    steps
        .iter()
        .map(|step| {
            if let Some(name) = &step.puts_out {
                return name.clone();
            }
            let base = format!("{}.{}", step.block.role, step.block.plugin.to_lowercase());
            loop {
                let count = counts.entry(base.clone()).or_insert(0);
                *count += 1;
                let id = if *count == 1 { base.clone() } else { format!("{base}-{count}") };
                if taken.insert(id.clone()) {
                    return id;
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
