//! The sink's options for MySQL and MariaDB.

use std::path::PathBuf;

use culvert_api::{Result, TableSchema};
use culvert_config::Options;
use mysql_async::SslOpts;

use crate::mysql::quote::TargetName;
use crate::mysql::template::Template;
use crate::mysql::tls;
use crate::options::{Shared, config, name_parts, params, url};
use crate::placeholder;
use culvert_api::sql_text::mysql::{bare_name, end_of_quoted};

/// Rows in one statement when the user set no `batch_size`.
const BATCH_ROWS: usize = 1_000;

/// The options, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What every target shares.
    pub(crate) shared: Shared,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) url_database: Option<String>,
    pub(crate) tls: Option<SslOpts>,
    pub(crate) certificate_file: Option<PathBuf>,
    pub(crate) session_variables: Vec<(String, String)>,
}

impl Settings {
    /// Checks the options against each other.
    pub(crate) fn from_options(options: &Options) -> Result<Settings> {
        let url = url(options)?;
        let shared = Shared::from_options(options, &url, BATCH_ROWS)?;
        let generate = shared.query.is_none();
        if let Some(query) = &shared.query {
            Template::parse(query)?;
        }
        let params = params(options, &url);
        let encryption = tls::mode(&params)?;
        let settings = Settings {
            shared,
            certificate_file: encryption.trusted_file().map(PathBuf::from),
            tls: tls::options(&encryption),
            session_variables: session_variables(&params)?,
            host: url.host,
            port: url.port,
            url_database: url.database,
        };
        settings.marker_name()?;
        if generate {
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
        let (database, table) = self.split_table()?;
        let fill = |text: &str| placeholder::fill(text, source);
        let database = match database {
            Some(database) => fill(&database),
            None => self.database_of(source)?,
        };
        let table = format!("{}{}{}", fill(&self.shared.prefix), fill(&table), fill(&self.shared.suffix));
        if table.is_empty() {
            return Err(config("table", format!("gives no name for {}", source.id)));
        }
        Ok(TargetName { database, table })
    }

    /// The database that names without one mean.
    pub(crate) fn database_of(&self, source: &TableSchema) -> Result<String> {
        let named = self.shared.database.as_ref().map(|text| placeholder::fill(text, source));
        named
            .filter(|name| !name.is_empty())
            .or_else(|| self.url_database.clone())
            .ok_or_else(|| config("database", "is missing, and the url names no database"))
    }

    /// The table of commit markers.
    pub(crate) fn marker_name(&self) -> Result<TargetName> {
        let fixed = self.shared.database.clone().filter(|text| !text.contains("${") && !text.is_empty());
        let database = fixed.or_else(|| self.url_database.clone()).ok_or_else(|| {
            config(
                "database",
                "is missing or differs per table; name a database for the commit marker in the url",
            )
        })?;
        Ok(TargetName { database, table: self.shared.marker_table.clone() })
    }

    /// `table` as database and name.
    fn split_table(&self) -> Result<(Option<String>, String)> {
        match name_parts(&self.shared.table, '`', end_of_quoted, bare_name).as_slice() {
            [table] => Ok((None, table.clone())),
            [database, table] => match &self.shared.database {
                Some(named) if named != database => Err(config(
                    "table",
                    format!("names database {database}, and option `database` names {named}"),
                )),
                _ => Ok((Some(database.clone()), table.clone())),
            },
            _ => Err(config("table", "has more than one dot; put names with dots into back-ticks")),
        }
    }
}

/// `sessionVariables=a=1,b='x'` of the url.
fn session_variables(params: &[(String, String)]) -> Result<Vec<(String, String)>> {
    const OURS: [&str; 5] = ["sql_mode", "time_zone", "autocommit", "foreign_key_checks", "names"];
    let Some((_, text)) = params.iter().find(|(name, _)| name.eq_ignore_ascii_case("sessionVariables"))
    else {
        return Ok(Vec::new());
    };
    let mut variables = Vec::new();
    for part in text.split([',', ';']).filter(|part| !part.trim().is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err(config("url", format!("has sessionVariables without a value: {}", part.trim())));
        };
        let name = name.trim().to_ascii_lowercase();
        if OURS.contains(&name.as_str()) || name.starts_with('@') {
            return Err(config(
                "url",
                format!("sets session variable {name}, which the sink needs as it is"),
            ));
        }
        variables.push((name, value.trim().trim_matches('\'').to_string()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests;
