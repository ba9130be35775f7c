//! The sink's options for PostgreSQL.

use culvert_api::{Result, TableSchema};
use culvert_config::{JdbcUrl, Options};
use culvert_postgres::endpoint::{Endpoint, Session};

use crate::options::{Shared, config, name_parts, params, url};
use crate::placeholder;
use crate::postgres::name::{TargetName, refuse_long};
use crate::postgres::template::Template;
use culvert_api::sql_text::postgres::{bare_name, end_of_quoted};

/// Rows in one flush when the user set no `batch_size`: COPY has no statement to grow too long, and
/// a wide merge costs less per row than a narrow one.
const BATCH_ROWS: usize = 10_000;

/// The schema when nothing names one.
const DEFAULT_SCHEMA: &str = "public";

/// Parameters of the url that are read; others are noted in the log.
const READ: &[&str] =
    &["sslmode", "ssl", "sslrootcert", "currentschema", "applicationname", "user", "password"];

/// The options, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What every target shares.
    pub(crate) shared: Shared,
    /// Where the target is.
    pub(crate) endpoint: Endpoint,
    /// The url's `currentSchema`, as it stands there: the session's search path.
    pub(crate) search_path: Vec<String>,
    /// Whether foreign keys of the target do nothing while the job writes.
    pub(crate) ignores_foreign_keys: bool,
    schema: Option<String>,
}

impl Settings {
    /// Checks the options against each other.
    pub(crate) fn from_options(options: &Options) -> Result<Settings> {
        let url = url(options)?;
        let mut shared = Shared::from_options(options, &url, BATCH_ROWS)?;
        if let Some(query) = &shared.query {
            Template::parse(query)?;
        }
        let url = JdbcUrl { params: params(options, &url), ..url };
        for (name, _) in &url.params {
            if !READ.contains(&name.to_ascii_lowercase().as_str()) {
                tracing::debug!(parameter = %name, "parameter of the sink's url has no effect");
            }
        }
        account_of_params(&mut shared, &url);
        let mut endpoint = Endpoint::new(&url, &shared.user, shared.password.clone(), shared.connect_timeout)
            .map_err(|failure| config("url", failure.message().trim_start_matches("the url ")))?
            .with_session(Session::Writer);
        let fixed =
            |text: &Option<String>| text.clone().filter(|text| !text.is_empty() && !text.contains("${"));
        match (&url.database, fixed(&shared.database)) {
            (None, Some(database)) => endpoint.database = database,
            (Some(reached), Some(named)) if *reached != named => {
                return Err(wrong_database(&named, reached));
            }
            _ => {}
        }
        let search_path = url.param("currentSchema").unwrap_or_default();
        let settings = Settings {
            shared,
            endpoint,
            search_path: search_path
                .split(',')
                .map(|name| bare_name(name.trim()))
                .filter(|n| !n.is_empty())
                .collect(),
            ignores_foreign_keys: options.enum_value("foreign_keys") == "IGNORE",
            schema: options.opt_str("schema").map(str::to_string).filter(|schema| !schema.is_empty()),
        };
        settings.marker_name()?;
        if settings.shared.query.is_none() {
            settings.split_table()?;
        }
        Ok(settings)
    }

    /// The statement of the user's for one upstream table; `None` with generated statements.
    pub(crate) fn template(&self, source: &TableSchema) -> Result<Option<Template>> {
        self.shared.query.as_ref().map(|query| Template::parse(&placeholder::fill(query, source))).transpose()
    }

    /// Where rows of an upstream table go.
    pub(crate) fn target(&self, source: &TableSchema) -> Result<TargetName> {
        let (database, schema, table) = self.split_table()?;
        let fill = |text: &str| placeholder::fill(text, source);
        for named in [self.shared.database.as_deref(), database.as_deref()].into_iter().flatten() {
            let named = fill(named);
            if !named.is_empty() && named != self.endpoint.database {
                return Err(wrong_database(&named, &self.endpoint.database));
            }
        }
        let schema = match schema {
            Some(schema) => fill(&schema),
            None => self.schema_of(source),
        };
        let table = format!("{}{}{}", fill(&self.shared.prefix), fill(&table), fill(&self.shared.suffix));
        if table.is_empty() || schema.is_empty() {
            return Err(config("table", format!("gives no name for {}", source.id)));
        }
        refuse_long("schema's", &schema)?;
        refuse_long("table's", &table)?;
        Ok(TargetName { schema, table })
    }

    /// The schema that names without one mean.
    pub(crate) fn schema_of(&self, source: &TableSchema) -> String {
        let named = self.schema.as_ref().map(|text| placeholder::fill(text, source));
        named
            .filter(|name| !name.is_empty())
            .or_else(|| self.search_path.first().cloned())
            .or_else(|| source.id.schema.clone())
            .unwrap_or_else(|| DEFAULT_SCHEMA.to_string())
    }

    /// The table of commit markers: in the schema that the options fix, or the default one.
    pub(crate) fn marker_name(&self) -> Result<TargetName> {
        let fixed = |text: &String| !text.contains("${") && !text.is_empty();
        let of_table = || self.split_table().ok().and_then(|(_, schema, _)| schema).filter(fixed);
        let schema = self
            .schema
            .clone()
            .filter(fixed)
            .or_else(of_table)
            .or_else(|| self.search_path.first().cloned())
            .unwrap_or_else(|| DEFAULT_SCHEMA.to_string());
        refuse_long("schema's", &schema)?;
        refuse_long("marker table's", &self.shared.marker_table)?;
        Ok(TargetName { schema, table: self.shared.marker_table.clone() })
    }

    /// `table` as database, schema and name.
    fn split_table(&self) -> Result<(Option<String>, Option<String>, String)> {
        match name_parts(&self.shared.table, '"', end_of_quoted, bare_quoted).as_slice() {
            [table] => Ok((None, None, table.clone())),
            [schema, table] => {
                self.refuse_other_schema(schema)?;
                Ok((None, Some(schema.clone()), table.clone()))
            }
            [database, schema, table] => {
                self.refuse_other_schema(schema)?;
                Ok((Some(database.clone()), Some(schema.clone()), table.clone()))
            }
            _ => Err(config("table", "has more than two dots; put names with dots into double quotes")),
        }
    }

    fn refuse_other_schema(&self, schema: &str) -> Result<()> {
        match &self.schema {
            Some(named) if named != schema => {
                Err(config("table", format!("names schema {schema}, and option `schema` names {named}")))
            }
            _ => Ok(()),
        }
    }
}

/// A name out of its quotes.
fn bare_quoted(token: &str) -> String {
    let inner = token.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest)).unwrap_or(token);
    inner.replace("\"\"", "\"")
}

/// The driver also takes the account as parameters.
fn account_of_params(shared: &mut Shared, url: &JdbcUrl) {
    if shared.user.is_empty() {
        shared.user = url.param("user").unwrap_or_default().to_string();
    }
    if shared.password.is_empty()
        && let Some(password) = url.param("password")
    {
        shared.password = culvert_config::Secret::new(password.to_string());
    }
}

fn wrong_database(named: &str, reached: &str) -> culvert_api::Error {
    config("database", format!("names {named}, and the connection of the url reaches only {reached}"))
        .hint("write the database into the url; tables are told apart by `schema` and `table`")
}

#[cfg(test)]
pub(crate) mod tests;
