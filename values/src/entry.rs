//! Sources of several tables: an entry of `tables_configs` takes the options that the block itself takes.

use culvert_api::{Error, ErrorKind, Result};
use culvert_config::{Block, Entry, OptionDef, Options, Problem, ProblemKind, Role, Rule};

/// The options of the entry of this number, from 1, checked against those of the source `plugin`. Errors:
/// [`ErrorKind::Config`], with the entry's number, where one is wrong, unknown or missing.
pub fn of_entry(
    plugin: &str,
    (known, rules): (&'static [OptionDef], &'static [Rule]),
    options: &Options,
    (number, entries): (usize, &[Entry]),
) -> Result<Options> {
    let mut block = Block::new(Role::Source, plugin, options.place("tables_configs").clone());
    block.entries = entries.to_vec();
    let (inner, mut problems) = Options::resolve(&block, known);
    problems.extend(inner.check(rules));
    let counts = |problem: &&Problem| problem.is_error() || problem.kind == ProblemKind::UnknownKey;
    if let Some(problem) = problems.iter().find(counts) {
        let message = format!("entry {number} of option 'tables_configs': {}", problem.message);
        let error = Error::new(ErrorKind::Config, message);
        return Err(match &problem.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        });
    }
    if inner.is_set("tables_configs") {
        let message = format!("option 'tables_configs' has another 'tables_configs' in entry {number}");
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(inner)
}
