//! The options of a block; those of a transform may differ from table to table.

use std::sync::Arc;

use culvert_api::{Result, Transform};
use culvert_config::{Block, Entry, OptionDef, Options, Place, Problem, ProblemKind, Role};
use culvert_transforms::{ByTable, TABLE_OPTIONS};

use crate::connectors::Plugin;

/// The key that tells which table a block of `table_transform` is for.
const TABLE_PATH: &str = "table_path";

/// Types the options of a block and checks what holds between them.
pub(crate) fn resolve(block: &Block, plugin: &Plugin) -> (Options, Vec<Problem>) {
    if plugin.role() != Role::Transform {
        let (options, mut problems) = Options::resolve(block, plugin.options);
        problems.extend(options.check(plugin.rules));
        return (options, problems);
    }
    let general = has_general(block, plugin.options);
    let own = if general { plugin.options } else { &[] };
    let (options, mut problems) = Options::resolve(block, &[own, TABLE_OPTIONS].concat());
    if general {
        problems.extend(options.check(plugin.rules));
    }
    for single in singles(block, &options) {
        if single.path.is_none() {
            let message = format!("a block of 'table_transform' of {} lacks '{TABLE_PATH}'", block.label());
            let place = single.block.place.clone();
            problems.push(
                Problem::error(ProblemKind::Missing, place, TABLE_PATH, message)
                    .hint("the table's full name: database.table, or database.schema.table"),
            );
        }
        let (own, found) = Options::resolve(&single.block, plugin.options);
        problems.extend(found);
        problems.extend(own.check(plugin.rules));
    }
    (options, problems)
}

/// Builds a transform for the tables it is for. `options` are what [`resolve`] gave, without errors.
pub(crate) fn for_tables(
    block: &Block,
    plugin: &Plugin,
    options: &Options,
    build: fn(&Options) -> Result<Arc<dyn Transform>>,
) -> Result<Arc<dyn Transform>> {
    let general = has_general(block, plugin.options).then(|| build(options)).transpose()?;
    let mut single = Vec::new();
    for one in singles(block, options) {
        let transform = build(&Options::resolve(&one.block, plugin.options).0)?;
        single.push((one.path.unwrap_or_default(), transform));
    }
    let (matching, mode) = (options.str("table_match_regex"), options.enum_value("rule_match_mode"));
    Ok(Arc::new(ByTable::new(plugin.name, matching, mode, general, single)?))
}

/// Whether a transform has options for tables in general: always, unless only single tables have any.
fn has_general(block: &Block, own: &[OptionDef]) -> bool {
    let is_own = |path: &str| {
        let mut names = own.iter().flat_map(OptionDef::names);
        names.any(|name| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    block.get("table_transform").is_none() || block.leaves().iter().any(|leaf| is_own(&leaf.path))
}

/// The options for one table.
struct Single {
    path: Option<String>,
    block: Block,
}

fn singles(block: &Block, options: &Options) -> Vec<Single> {
    let single = |entries: &Vec<Entry>| {
        let path = entries.iter().find(|entry| entry.key == TABLE_PATH);
        let path = path.and_then(|entry| entry.value.scalar_text()).map(str::to_owned);
        let place = entries.first().map_or_else(Place::default, |entry| entry.place.clone());
        let mut block = Block::new(Role::Transform, &block.plugin, place);
        block.entries = entries.iter().filter(|entry| entry.key != TABLE_PATH).cloned().collect();
        Single { path, block }
    };
    options.objects("table_transform").iter().map(single).collect()
}
