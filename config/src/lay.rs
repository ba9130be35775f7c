//! Lays options that come from elsewhere under those of a block.

use crate::option_def::{OptionDef, OptionKind};
use crate::problem::Place;
use crate::value::{Block, Entry, Value};

/// The block with these options where it says nothing itself, under whichever name of the option; of a map, key by
/// key. What is laid stands at `place`, for messages.
///
/// # Errors
/// The names that no definition has.
pub fn lay_under(
    block: &Block,
    given: Vec<Entry>,
    defs: &[OptionDef],
    place: &Place,
) -> Result<Block, Vec<String>> {
    let given = Block { entries: given, ..block.clone() };
    let own = block.leaves();
    let mut laid = block.clone();
    let mut strange = Vec::new();
    for leaf in given.leaves() {
        let Some(def) = definition(&leaf.path, defs) else {
            strange.push(leaf.path);
            continue;
        };
        let is_same = |path: &str| match def.kind {
            OptionKind::Map => path == leaf.path,
            _ => def.names().any(|name| name == path),
        };
        if own.iter().any(|own| is_same(&own.path) && !matches!(own.value, Value::Null)) {
            continue;
        }
        laid.entries.push(Entry { key: leaf.path, value: leaf.value.clone(), place: place.clone() });
    }
    if strange.is_empty() { Ok(laid) } else { Err(strange) }
}

/// The definition that takes a name: as its own, or as one of a map's.
fn definition<'d>(path: &str, defs: &'d [OptionDef]) -> Option<&'d OptionDef> {
    let below =
        |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let named = defs.iter().find(|def| def.kind != OptionKind::Map && def.names().any(|name| name == path));
    named.or_else(|| defs.iter().find(|def| def.kind == OptionKind::Map && def.names().any(below)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::value::Role;

    const DEFS: &[OptionDef] = &[
        OptionDef::string("username").alias(&["user"]),
        OptionDef::string("password"),
        OptionDef::map("properties"),
    ];

    fn entry(key: &str, value: Value) -> Entry {
        Entry { key: key.to_owned(), value, place: Place::default() }
    }

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    #[test]
    fn the_block_wins_under_every_name_and_maps_join_by_key() {
        let mut block = Block::new(Role::Sink, "Jdbc", Place::default());
        block.entries = vec![
            entry("user", text("own")),
            entry("password", Value::Null),
            entry("properties.a", text("own")),
        ];
        let given = vec![
            entry("username", text("given")),
            entry("password", text("given")),
            entry("properties", Value::Object(vec![entry("a", text("given")), entry("b", text("given"))])),
        ];
        let laid = lay_under(&block, given, DEFS, &Place::default()).unwrap();
        assert_eq!(laid.get("username"), None);
        assert_eq!(laid.get("user"), Some(&text("own")));
        assert_eq!(laid.get("password"), Some(&text("given")));
        assert_eq!(
            (laid.get("properties.a"), laid.get("properties.b")),
            (Some(&text("own")), Some(&text("given")))
        );
    }

    #[test]
    fn what_nobody_knows_is_told_by_name() {
        let block = Block::new(Role::Sink, "Jdbc", Place::default());
        let given = vec![entry("passwrd", text("x")), entry("password.x", text("y"))];
        assert_eq!(
            lay_under(&block, given, DEFS, &Place::default()),
            Err(vec!["passwrd".to_owned(), "password.x".to_owned()])
        );
    }
}
