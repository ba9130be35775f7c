//! The sink's options, and what they mean once they are checked.

use std::path::PathBuf;
use std::time::Duration;

use culvert_api::{Error, ErrorKind, Result, TableSchema};
use culvert_config::{JdbcUrl, OptionDef, Options, Rule, Secret};
use mysql_async::SslOpts;

use crate::mysql::quote::TargetName;
use crate::mysql::scan;
use crate::mysql::template::Template;
use crate::mysql::tls;
use crate::placeholder;

const NO_XA: &str = "no XA transaction is used; rows and commit marker share one plain transaction";
const NO_KERBEROS: &str = "there is no Kerberos login";

/// The options of the sink `Jdbc`.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("url").required().doc(
        "Where the target is: `jdbc:mysql://host:port/database?sslMode=REQUIRED` or `jdbc:mariadb:…`. Of the \
         parameters, sslMode, useSSL, requireSSL, verifyServerCertificate, trustCertificateKeyStoreUrl and \
         sessionVariables have an effect; without them the connection is not encrypted.",
    ),
    OptionDef::string("driver").doc("The JDBC driver's class. No driver is loaded; another database's is an error."),
    OptionDef::string("username").alias(&["user"]).doc("The account; the one in the url otherwise."),
    OptionDef::string("password").secret().doc("Its password; the one in the url otherwise."),
    OptionDef::string("query").placeholders().doc(
        "The statement for a row, with one `?` per column or `:name` for a column; INSERT … VALUES (…) is sent for \
         many rows at once. Rows must not be deletes; rows before an update are left out.",
    ),
    OptionDef::boolean("generate_sink_sql")
        .default("false")
        .doc("Writes the statements from the target table's columns and keys, instead of `query`."),
    OptionDef::string("database")
        .placeholders()
        .doc("The target database; the one in the url otherwise. The commit marker lives there."),
    OptionDef::string("table").placeholders().default("${table_name}").doc("The target table."),
    OptionDef::string("tablePrefix").placeholders().doc("Comes before the target table's name."),
    OptionDef::string("tableSuffix").placeholders().doc("Comes after the target table's name."),
    OptionDef::string("schema").refused("MySQL and MariaDB have no level between database and table; use `database`").doc("The schema of databases that have that level."),
    OptionDef::list("primary_keys").placeholders().doc(
        "The columns rows are written by; the target must have a unique index over exactly these. Otherwise the \
         target's own key counts. `[\"${primary_key}\"]` means the source's key.",
    ),
    OptionDef::boolean("enable_upsert")
        .default("true")
        .doc("With false, an insert must meet no row of its key, and an update must meet one."),
    OptionDef::boolean("is_primary_key_updated").default("true").doc("Whether an update also sets the key columns."),
    OptionDef::boolean("support_upsert_by_insert_only")
        .default("false")
        .doc("Writes updates as plain INSERTs, too."),
    OptionDef::boolean("support_upsert_by_query_primary_key_exist")
        .default("false")
        .refused("the target's own upsert is used, which needs no look-up").doc("Looks a row up before it is written."),
    OptionDef::boolean("use_copy_statement").default("false").refused("COPY is a statement of PostgreSQL").doc("Loads rows by COPY."),
    OptionDef::int_in("batch_size", 1, 100_000).default("1000").unit("rows").doc("Rows in one statement at most."),
    OptionDef::duration_ms("batch_interval_ms")
        .default("1000")
        .doc("Rows wait this long at most before they are sent, when no more come."),
    OptionDef::int_in("max_retries", 0, 100)
        .default("0")
        .doc("How often a statement that waited too long for a lock is repeated, before the job starts over."),
    OptionDef::boolean("auto_commit")
        .default("true")
        .ignored("every checkpoint is one transaction, committed with its marker").doc("Commits every statement by itself."),
    OptionDef::boolean("is_exactly_once")
        .default("false")
        .doc("Rows arrive exactly once either way, by the commit marker in the same transaction."),
    OptionDef::string("xa_data_source_class_name").ignored(NO_XA).doc("The class that opens XA transactions."),
    OptionDef::int("max_commit_attempts").default("3").ignored(NO_XA).doc("How often an XA commit is tried."),
    OptionDef::int_in("transaction_timeout_sec", -1, i64::MAX).default("-1").ignored(NO_XA).doc("How long an XA transaction may take."),
    OptionDef::string("marker_table").default("culvert_commit").doc(
        "The table of commit markers in the target database; it is created when it is missing.",
    ),
    OptionDef::choice(
        "schema_save_mode",
        &["RECREATE_SCHEMA", "CREATE_SCHEMA_WHEN_NOT_EXIST", "ERROR_WHEN_SCHEMA_NOT_EXIST", "IGNORE"],
    )
    .default("CREATE_SCHEMA_WHEN_NOT_EXIST")
    .doc(
        "What happens to target tables before the first row of a new job. A table that is created for inserts only \
         (after RowKindExtractor) gets no primary key unless `primary_keys` is set, because history repeats keys.",
    ),
    OptionDef::choice(
        "data_save_mode",
        &["DROP_DATA", "APPEND_DATA", "CUSTOM_PROCESSING", "ERROR_WHEN_DATA_EXISTS"],
    )
    .default("APPEND_DATA")
    .doc("What happens to rows that are there before the first row of a new job."),
    OptionDef::string("custom_sql").placeholders().doc("The statement that CUSTOM_PROCESSING runs per target table."),
    OptionDef::boolean("create_index").default("true").doc("Whether a created table gets its primary key."),
    OptionDef::choice("field_ide", &["ORIGINAL", "UPPERCASE", "LOWERCASE"])
        .default("ORIGINAL")
        .doc("The letter case of the columns of created tables; existing columns match in any case."),
    OptionDef::map("properties").doc("More parameters, as in the url; the url's win."),
    OptionDef::int_in("connection_check_timeout_sec", 1, 3600)
        .default("30")
        .unit("s")
        .doc("How long connecting may take."),
    OptionDef::int_in("multi_table_sink_replica", 1, i64::MAX)
        .default("1")
        .ignored("one connection writes all tables, so that one commit covers them").doc("How many writers share the tables."),
    OptionDef::string("compatible_mode").refused("it chooses variants of other databases").doc("The variant of the database."),
    OptionDef::string("dialect").refused("the url decides the database").doc("The database's kind."),
    OptionDef::boolean("use_kerberos").default("false").refused(NO_KERBEROS).doc("Logs in by Kerberos."),
    OptionDef::string("kerberos_principal").refused(NO_KERBEROS).doc("The principal of a Kerberos login."),
    OptionDef::string("kerberos_keytab_path").refused(NO_KERBEROS).doc("The key table of a Kerberos login."),
    OptionDef::string("krb5_path").refused(NO_KERBEROS).doc("The configuration of Kerberos."),
];

/// What must be set together.
pub const RULES: &[Rule] = &[
    Rule::RequiredWhen { option: "generate_sink_sql", is: "false", needs: &["query"] },
    Rule::RequiredWhen { option: "data_save_mode", is: "CUSTOM_PROCESSING", needs: &["custom_sql"] },
];

/// What happens to a target table before the first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaSaveMode {
    /// Dropped and made anew.
    Recreate,
    /// Made when it is missing.
    Create,
    /// Must be there.
    Error,
    /// Nothing.
    Ignore,
}

/// What happens to a target table's rows before the first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataSaveMode {
    /// They go.
    Drop,
    /// They stay.
    Append,
    /// The user's statement decides.
    Custom,
    /// There must be none.
    Error,
}

/// The letter case of created columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldCase {
    /// As upstream.
    Original,
    /// Upper.
    Upper,
    /// Lower.
    Lower,
}

impl FieldCase {
    /// A column's name in that case.
    pub(crate) fn of(self, name: &str) -> String {
        match self {
            FieldCase::Original => name.to_string(),
            FieldCase::Upper => name.to_uppercase(),
            FieldCase::Lower => name.to_lowercase(),
        }
    }
}

/// The options, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) url_database: Option<String>,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) tls: Option<SslOpts>,
    pub(crate) certificate_file: Option<PathBuf>,
    pub(crate) session_variables: Vec<(String, String)>,
    pub(crate) connect_timeout: Duration,
    database: Option<String>,
    table: String,
    prefix: String,
    suffix: String,
    query: Option<String>,
    pub(crate) primary_keys: Vec<String>,
    pub(crate) enable_upsert: bool,
    pub(crate) update_key: bool,
    pub(crate) insert_only: bool,
    pub(crate) batch_rows: usize,
    pub(crate) batch_interval: Duration,
    pub(crate) max_retries: u32,
    pub(crate) marker_table: String,
    pub(crate) schema_save_mode: SchemaSaveMode,
    pub(crate) data_save_mode: DataSaveMode,
    pub(crate) custom_sql: Option<String>,
    pub(crate) create_index: bool,
    pub(crate) field_case: FieldCase,
}

impl Settings {
    /// Checks the options against each other.
    pub(crate) fn from_options(options: &Options) -> Result<Settings> {
        let url = JdbcUrl::parse(options.str("url")).map_err(|cause| config("url", cause.to_string()))?;
        check_driver(options.str("driver"))?;
        let mut params = url.params.clone();
        params
            .extend(options.map("properties").iter().filter(|(name, _)| url.param(name).is_none()).cloned());
        let generate = options.bool("generate_sink_sql");
        let query = options.opt_str("query").filter(|_| !generate).map(str::to_string);
        if !generate && query.is_none() {
            return Err(config("query", "is missing; set it, or generate_sink_sql = true"));
        }
        if let Some(query) = &query {
            Template::parse(query)?;
        }
        let user = options.opt_str("username").map(str::to_string).or(url.username.clone());
        let password = match options.opt_str("password") {
            Some(_) => options.secret("password"),
            None => url.password.clone().unwrap_or_default(),
        };
        let encryption = tls::mode(&params)?;
        let settings = Settings {
            certificate_file: encryption.trusted_file().map(PathBuf::from),
            tls: tls::options(&encryption),
            session_variables: session_variables(&params)?,
            host: url.host,
            port: url.port,
            url_database: url.database,
            user: user.unwrap_or_default(),
            password,
            connect_timeout: Duration::from_secs(options.unsigned("connection_check_timeout_sec")),
            database: options.opt_str("database").map(str::to_string),
            table: options.str("table").to_string(),
            prefix: options.str("tablePrefix").to_string(),
            suffix: options.str("tableSuffix").to_string(),
            query,
            primary_keys: options.list("primary_keys").to_vec(),
            enable_upsert: options.bool("enable_upsert"),
            update_key: options.bool("is_primary_key_updated"),
            insert_only: options.bool("support_upsert_by_insert_only"),
            batch_rows: usize::try_from(options.unsigned("batch_size")).unwrap_or(1).max(1),
            batch_interval: Duration::from_millis(options.unsigned("batch_interval_ms")),
            max_retries: u32::try_from(options.unsigned("max_retries")).unwrap_or_default(),
            marker_table: options.str("marker_table").to_string(),
            schema_save_mode: match options.enum_value("schema_save_mode") {
                "RECREATE_SCHEMA" => SchemaSaveMode::Recreate,
                "ERROR_WHEN_SCHEMA_NOT_EXIST" => SchemaSaveMode::Error,
                "IGNORE" => SchemaSaveMode::Ignore,
                _ => SchemaSaveMode::Create,
            },
            data_save_mode: match options.enum_value("data_save_mode") {
                "DROP_DATA" => DataSaveMode::Drop,
                "CUSTOM_PROCESSING" => DataSaveMode::Custom,
                "ERROR_WHEN_DATA_EXISTS" => DataSaveMode::Error,
                _ => DataSaveMode::Append,
            },
            custom_sql: options.opt_str("custom_sql").map(str::to_string),
            create_index: options.bool("create_index"),
            field_case: match options.enum_value("field_ide") {
                "UPPERCASE" => FieldCase::Upper,
                "LOWERCASE" => FieldCase::Lower,
                _ => FieldCase::Original,
            },
        };
        if settings.data_save_mode == DataSaveMode::Custom && settings.custom_sql.is_none() {
            return Err(config("custom_sql", "is missing, and data_save_mode = CUSTOM_PROCESSING needs it"));
        }
        settings.marker_name()?;
        if generate {
            settings.split_table()?;
        }
        Ok(settings)
    }

    /// The statement of the user's for one upstream table; `None` with generated statements.
    pub(crate) fn template(&self, source: &TableSchema) -> Result<Option<Template>> {
        self.query.as_ref().map(|query| Template::parse(&placeholder::fill(query, source))).transpose()
    }

    /// Where rows of an upstream table go.
    pub(crate) fn target(&self, source: &TableSchema) -> Result<TargetName> {
        let (database, table) = self.split_table()?;
        let fill = |text: &str| placeholder::fill(text, source);
        let database = match database {
            Some(database) => fill(&database),
            None => self.database_of(source)?,
        };
        let table = format!("{}{}{}", fill(&self.prefix), fill(&table), fill(&self.suffix));
        if table.is_empty() {
            return Err(config("table", format!("gives no name for {}", source.id)));
        }
        Ok(TargetName { database, table })
    }

    /// The database that names without one mean.
    pub(crate) fn database_of(&self, source: &TableSchema) -> Result<String> {
        let named = self.database.as_ref().map(|text| placeholder::fill(text, source));
        named
            .filter(|name| !name.is_empty())
            .or_else(|| self.url_database.clone())
            .ok_or_else(|| config("database", "is missing, and the url names no database"))
    }

    /// The table of commit markers.
    pub(crate) fn marker_name(&self) -> Result<TargetName> {
        let fixed = self.database.clone().filter(|text| !text.contains("${") && !text.is_empty());
        let database = fixed.or_else(|| self.url_database.clone()).ok_or_else(|| {
            config(
                "database",
                "is missing or differs per table; name a database for the commit marker in the url",
            )
        })?;
        if self.marker_table.is_empty() {
            return Err(config("marker_table", "is empty"));
        }
        Ok(TargetName { database, table: self.marker_table.clone() })
    }

    /// `table` as database and name: a dot outside of placeholders and back-ticks separates them.
    fn split_table(&self) -> Result<(Option<String>, String)> {
        let mut parts = vec![String::new()];
        let mut rest = self.table.as_str();
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '$' if rest.starts_with("${") => rest.find('}').map_or(rest.len(), |end| end + 1),
                '`' => scan::end_of_quoted(rest.as_bytes(), 0).unwrap_or(rest.len()),
                other => other.len_utf8(),
            };
            let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            match (first, parts.last_mut()) {
                ('.', _) => parts.push(String::new()),
                ('`', Some(part)) => part.push_str(&scan::bare_name(piece)),
                (_, Some(part)) => part.push_str(piece),
                (_, None) => {}
            }
            rest = after;
        }
        match parts.as_slice() {
            [table] => Ok((None, table.clone())),
            [database, table] => match &self.database {
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

/// An error about an option.
pub(crate) fn config(option: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("option `{option}` {what}"))
}

fn check_driver(driver: &str) -> Result<()> {
    let known = driver.is_empty() || driver.contains("mysql") || driver.contains("mariadb");
    if known {
        return Ok(());
    }
    Err(config("driver", "is no driver of MySQL or MariaDB")
        .hint("this sink writes to MySQL and MariaDB; leave `driver` out"))
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
