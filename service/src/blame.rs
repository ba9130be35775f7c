//! Which words of a job file an error of a plugin is about.

use culvert_api::Error;
use culvert_config::{Block, Place, Problem, ProblemKind, Value};

/// A plugin that refuses its options or the tables that come to it, as a problem of the words that the error
/// names, or of the plugin's block.
pub(crate) fn refused(block: &Block, error: &Error) -> Problem {
    let place = option_in(block, error.message())
        .or_else(|| column_in(block, error.context_of("column")?))
        .unwrap_or_else(|| block.place.clone());
    let problem = Problem::error(ProblemKind::BadValue, place, block.label(), error.without_hint());
    match error.hint_text() {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// The value of the first option of the block that a message names in quotes or back-ticks; otherwise of one
/// whose name can be nothing else.
fn option_in(block: &Block, message: &str) -> Option<Place> {
    let quoted: Vec<&str> = message.split(['\'', '`']).skip(1).step_by(2).collect();
    let words = message.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-')));
    let mut words = words.filter(|word| word.contains(['.', '_', '-']));
    quoted
        .iter()
        .find_map(|name| option(block, name, &quoted, message))
        .or_else(|| words.find_map(|name| option(block, name, &[], "")))
}

/// The place of an option: a value, an entry of a list of blocks (`rules[1]`), or something in a block.
fn option(block: &Block, name: &str, quoted: &[&str], message: &str) -> Option<Place> {
    let leaves = block.leaves();
    if let Some(leaf) = leaves.iter().find(|leaf| leaf.path == name) {
        return Some(leaf.place.value());
    }
    if let Some((list, number)) = name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        let leaf = leaves.iter().find(|leaf| leaf.path == list)?;
        let Value::List(blocks) = leaf.value else { return Some(leaf.place.value()) };
        let Value::Object(entries) = blocks.get(number.parse::<usize>().ok()?)? else { return None };
        let named = entries.iter().find(|entry| quoted.contains(&entry.key.as_str()));
        return named.map(|entry| entry.place.value()).or_else(|| Some(entries.first()?.place.clone()));
    }
    // Of the options in a block the one that the message names further on, or the first.
    let mut inside = leaves.iter().filter(|leaf| {
        leaf.path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) && !message.is_empty()
    });
    let is_named = |path: &str| path.rsplit('.').next().is_some_and(|last| words(message).any(|w| w == last));
    let first = inside.clone().next();
    inside.find(|leaf| is_named(&leaf.path)).or(first).map(|leaf| leaf.place.value())
}

/// Where the block names a column: as a value, in a list, as a key, or as a word of a text such as a query.
fn column_in(block: &Block, column: &str) -> Option<Place> {
    let leaves = block.leaves();
    let whole = leaves.iter().find_map(|leaf| {
        let is_key = leaf.path.rsplit('.').next() == Some(column);
        value_in(leaf.value, leaf.place, column).or_else(|| is_key.then(|| leaf.place.clone()))
    });
    let in_text = || {
        leaves
            .iter()
            .find(|leaf| leaf.value.scalar_text().is_some_and(|text| words(text).any(|w| w == column)))
    };
    whole.or_else(|| in_text().map(|leaf| leaf.place.value()))
}

/// The words of a text that may be names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

fn value_in(value: &Value, place: &Place, text: &str) -> Option<Place> {
    match value {
        Value::List(values) => values.iter().find_map(|value| value_in(value, place, text)),
        Value::Object(entries) => entries.iter().find_map(|entry| value_in(&entry.value, &entry.place, text)),
        value => (value.scalar_text() == Some(text)).then(|| place.value()),
    }
}
