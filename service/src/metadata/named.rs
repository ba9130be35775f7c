//! What a block names by an id, laid under what it says itself.

use std::sync::Arc;

use culvert_config::{Block, Entry, OptionDef, Place, Problem, ProblemKind, Role, Value, lay_under, nearest};

use super::{Missing, Provider};
use crate::connectors::Plugin;

/// Names the options of a source or sink.
const DATASOURCE: &str = "metadata_datasource_id";
/// Names the columns of a declared table.
const TABLE: &str = "schema.metadata_table_id";
/// How many ids a hint lists.
const LISTED_IDS_MAX: usize = 12;

/// What a block names.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    provider: Arc<Provider>,
    /// As it was written.
    block: Block,
    options: &'static [OptionDef],
    datasource: Option<String>,
    table: Option<String>,
}

impl Named {
    /// What a block names; `None` where it says everything itself.
    pub(crate) fn of(
        block: &Block,
        plugin: &Plugin,
        provider: Option<&Arc<Provider>>,
    ) -> Result<Option<Named>, Problem> {
        let id = |key: &str| block.get(key).and_then(Value::scalar_text).map(str::to_owned);
        let datasource = id(DATASOURCE);
        let table = id(TABLE).filter(|_| plugin.options.iter().any(|def| def.name == TABLE));
        let Some(key) = datasource.as_ref().map(|_| DATASOURCE).or(table.as_ref().map(|_| TABLE)) else {
            return Ok(None);
        };
        let refused = |message: &str| {
            let message = format!("option '{key}' of {} {message}", block.label());
            Problem::error(ProblemKind::Conflict, block.place_of(key), key, message)
        };
        if block.role == Role::Transform {
            return Err(refused("has no use: a transform connects to nothing"));
        }
        let Some(provider) = provider else {
            let problem = refused("names what a metadata provider gives, and there is none");
            return Err(problem.hint(
                "set one: `--metadata FILE`, env { metadata { … } }, or `metadata` in the service's file; see docs/metadata.md",
            ));
        };
        let (provider, block) = (Arc::clone(provider), block.clone());
        Ok(Some(Named { provider, block, options: plugin.options, datasource, table }))
    }

    /// What messages call it: `datasource 'shop'`.
    pub(crate) fn label(&self) -> String {
        match (&self.datasource, &self.table) {
            (Some(id), _) => format!("datasource '{id}'"),
            (None, Some(id)) => format!("table '{id}'"),
            (None, None) => "nothing".to_owned(),
        }
    }

    /// The block with what the provider gives now. Waits.
    pub(crate) fn laid(&self) -> Result<Block, Vec<Problem>> {
        let mut laid = self.block.clone();
        if let Some(id) = &self.datasource {
            let given = self.provider.datasource(id, self.options);
            laid = self.lay(&laid, DATASOURCE, &format!("datasource '{id}'"), id, given)?;
        }
        if let Some(id) = &self.table {
            let below = |entries| {
                vec![Entry {
                    key: "schema".to_owned(),
                    value: Value::Object(entries),
                    place: Place::default(),
                }]
            };
            let given = self.provider.table(id).map(below);
            laid = self.lay(&laid, TABLE, &format!("table '{id}'"), id, given)?;
        }
        Ok(laid)
    }

    fn lay(
        &self,
        block: &Block,
        key: &str,
        what: &str,
        id: &str,
        given: Result<Vec<Entry>, Missing>,
    ) -> Result<Block, Vec<Problem>> {
        let place = self.block.place_of(key);
        let name = self.provider.name();
        let problem = |kind, message: String| Problem::error(kind, place.clone(), key, message);
        let given = given.map_err(|missing| {
            vec![match missing {
                Missing::Unknown(known) => {
                    let problem = problem(ProblemKind::BadValue, format!("{name} knows no {what}"));
                    with_nearest(problem, id, &known)
                }
                Missing::Away(why) => {
                    problem(ProblemKind::Unreachable, format!("{name} cannot be asked for {what}: {why}"))
                }
                Missing::Broken(why) => {
                    problem(ProblemKind::BadValue, format!("{name} cannot give {what}: {why}"))
                }
            }]
        })?;
        let laid = lay_under(block, given, self.options, &place).map_err(|strange| {
            let names = || self.options.iter().flat_map(OptionDef::names);
            let unknown = |option: String| {
                let label = self.block.label();
                let message =
                    format!("{name} gives option '{option}' for {what}, which {label} does not know");
                let problem = problem(ProblemKind::BadValue, message);
                match nearest(&option, names()) {
                    Some(meant) => problem.hint(format!("did you mean '{meant}'?")),
                    None => problem.hint("remove it there, or name another datasource"),
                }
            };
            strange.into_iter().map(unknown).collect::<Vec<Problem>>()
        })?;
        let unfilled = self.unfilled(&laid, &place);
        if unfilled.is_empty() {
            Ok(laid)
        } else {
            Err(unfilled.into_iter().map(|option| {
            let message = format!("{name} gives option '{option}' for {what} with a '${{' in it, which options cannot hold");
            problem(ProblemKind::BadValue, message)
        }).collect())
        }
    }

    /// Secrets that look like placeholders: the message about a variable that is not set would show a part of them.
    fn unfilled(&self, laid: &Block, place: &Place) -> Vec<String> {
        let is_secret = |path: &str| {
            let def = self.options.iter().find(|def| def.names().any(|name| name == path));
            culvert_config::is_secret_key(path) || def.is_some_and(|def| def.secret)
        };
        let leaves = laid.leaves().into_iter();
        let odd = leaves.filter(|leaf| {
            leaf.place == place
                && is_secret(&leaf.path)
                && leaf.value.scalar_text().is_some_and(|text| text.contains("${"))
        });
        odd.map(|leaf| leaf.path).collect()
    }

    /// Problems of a laid block: those of what the provider gave say so.
    pub(crate) fn explained(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        let keys = [DATASOURCE, TABLE];
        let places: Vec<Place> = keys.iter().map(|key| self.block.place_of(key)).collect();
        for problem in &mut problems {
            let given = places.contains(&problem.place) && !keys.contains(&problem.subject.as_str());
            if given && problem.hint.is_none() {
                problem.hint = Some(format!("{} has it for {}", self.provider.name(), self.label()));
            }
        }
        problems
    }
}

/// The nearest ids, where the provider can list them.
fn with_nearest(problem: Problem, id: &str, known: &[String]) -> Problem {
    match nearest(id, known.iter().map(String::as_str)) {
        Some(meant) => problem.hint(format!("did you mean '{meant}'?")),
        None if known.is_empty() => problem,
        None => {
            let listed: Vec<&str> = known.iter().take(LISTED_IDS_MAX).map(String::as_str).collect();
            let more = if known.len() > listed.len() { ", …" } else { "" };
            problem.hint(format!("it knows: {}{more}", listed.join(", ")))
        }
    }
}
