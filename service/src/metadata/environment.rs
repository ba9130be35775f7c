//! Variables of the environment: `CULVERT_DATASOURCE__SHOP__PASSWORD` is the option `password` of `shop`.
//!
//! Ids and options are written in capitals, with `_` for every other character. A running process has the variables
//! it was started with, so what they say changes with its next start.

use std::collections::BTreeSet;

use culvert_config::{Entry, OptionDef, Place, Value};

use super::Missing;

/// Between the id and the option.
const SEPARATOR: &str = "__";

/// The variables.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(super) prefix: String,
}

impl Environment {
    pub(super) fn datasource(&self, id: &str, defs: &[OptionDef]) -> Result<Vec<Entry>, Missing> {
        // What is no text is no option of ours.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        self.among(id, defs, variables)
    }

    pub(super) fn among(
        &self,
        id: &str,
        defs: &[OptionDef],
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Vec<Entry>, Missing> {
        let wanted = as_variable(id);
        let mut found = Vec::new();
        let mut others = BTreeSet::new();
        for (name, value) in variables {
            let Some((of, option)) =
                name.strip_prefix(&self.prefix).and_then(|rest| rest.split_once(SEPARATOR))
            else {
                continue;
            };
            if of != wanted {
                others.insert(of.to_lowercase());
                continue;
            }
            let named = defs.iter().flat_map(OptionDef::names).find(|name| as_variable(name) == option);
            let key = named.map_or_else(|| option.to_lowercase(), str::to_owned);
            found.push(Entry { key, value: Value::String(value), place: Place::default() });
        }
        if found.is_empty() { Err(Missing::Unknown(others.into_iter().collect())) } else { Ok(found) }
    }
}

/// A name as the name of a variable.
fn as_variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(letter).collect()
}
