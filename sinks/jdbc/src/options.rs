//! The sink's options, and what they mean once they are checked.

use std::time::Duration;

use culvert_api::{Error, ErrorKind, Result};
use culvert_config::{JdbcUrl, OptionDef, Options, Rule, Secret, UrlFamily};

const NO_XA: &str = "no XA transaction is used; rows and commit marker share one plain transaction";
const NO_KERBEROS: &str = "there is no Kerberos login";

/// The options of the sink `Jdbc`.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("url").required().doc(
        "Where the target is: `jdbc:mysql://host:port/database?sslMode=REQUIRED`, `jdbc:mariadb:…`, \
         `jdbc:postgresql://host:port/database?sslmode=require`, or the scheme of a product that speaks one of their \
         protocols. Of the parameters, those about TLS, sessionVariables (MySQL), currentSchema, options and \
         ApplicationName (PostgreSQL) have an effect; without them the connection is not encrypted.",
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
    OptionDef::string("database").placeholders().doc(
        "The target database; the one in the url otherwise. The commit marker lives there. A connection to PostgreSQL \
         reaches one database, so there it must be the url's.",
    ),
    OptionDef::string("table")
        .placeholders()
        .default("${table_name}")
        .doc("The target table; a dot separates it from the schema (PostgreSQL) or the database (MySQL)."),
    OptionDef::string("tablePrefix").placeholders().doc("Comes before the target table's name."),
    OptionDef::string("tableSuffix").placeholders().doc("Comes after the target table's name."),
    OptionDef::string("schema").placeholders().doc(
        "PostgreSQL: the schema of target tables that name none, and of the commit marker. Otherwise the url's \
         currentSchema, the source's schema where it has one, or `public`.",
    ),
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
    OptionDef::choice("foreign_keys", &["CHECK", "IGNORE"]).default("CHECK").doc(
        "PostgreSQL: what the target's foreign keys do while the job writes. IGNORE makes the session a replica's \
         (session_replication_role), as the server's own replication does: neither checks nor cascades of foreign \
         keys happen, and triggers and rules that are not ENABLE ALWAYS or ENABLE REPLICA do not fire. The account \
         needs a right for it.",
    ),
    OptionDef::boolean("use_copy_statement")
        .default("false")
        .doc("PostgreSQL: rows are loaded by COPY either way, into the target or a staging table."),
    OptionDef::int_in("batch_size", 1, 100_000).default("1000").unit("rows").doc(
        "Rows in one statement at most. PostgreSQL takes 10000 when it is not set: COPY has no statement to grow too \
         long.",
    ),
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
        "The table of commit markers in the target database or schema; it is created when it is missing.",
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
    OptionDef::string("compatible_mode")
        .doc("The variant of the database. Only the url's own is taken: `mysql`, `postgresql`."),
    OptionDef::string("dialect").doc("The database's kind; the url decides it, and another is an error."),
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

/// The options that mean the same for every target, checked.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) connect_timeout: Duration,
    pub(crate) database: Option<String>,
    pub(crate) table: String,
    pub(crate) prefix: String,
    pub(crate) suffix: String,
    pub(crate) query: Option<String>,
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

impl Shared {
    /// Several writers can share tables unless a start would drop or judge what others have written.
    pub(crate) fn shareable(&self) -> Result<()> {
        let refused = |option: &str, value: &str, instead: &str| {
            let why = "does something to the whole table at the start of each of its writers, and here there are several";
            Err(config(option, format!("is {value}, which {why}")).hint(format!("set {option} = {instead}")))
        };
        match (self.schema_save_mode, self.data_save_mode) {
            (SchemaSaveMode::Recreate, _) => {
                refused("schema_save_mode", "RECREATE_SCHEMA", "CREATE_SCHEMA_WHEN_NOT_EXIST")
            }
            (_, DataSaveMode::Drop) => refused("data_save_mode", "DROP_DATA", "APPEND_DATA"),
            (_, DataSaveMode::Custom) => refused("data_save_mode", "CUSTOM_PROCESSING", "APPEND_DATA"),
            (_, DataSaveMode::Error) => refused("data_save_mode", "ERROR_WHEN_DATA_EXISTS", "APPEND_DATA"),
            (_, DataSaveMode::Append) => Ok(()),
        }
    }

    /// Checks the options against each other. `batch_rows` counts when the user set no `batch_size`.
    pub(crate) fn from_options(options: &Options, url: &JdbcUrl, batch_rows: usize) -> Result<Shared> {
        refuse_other_family(options, url.family())?;
        let generate = options.bool("generate_sink_sql");
        let query = options.opt_str("query").filter(|_| !generate).map(str::to_string);
        if !generate && query.is_none() {
            return Err(config("query", "is missing; set it, or generate_sink_sql = true"));
        }
        let user = options.opt_str("username").map(str::to_string).or(url.username.clone());
        let password = match options.opt_str("password") {
            Some(_) => options.secret("password"),
            None => url.password.clone().unwrap_or_default(),
        };
        let shared = Shared {
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
            batch_rows: match options.is_set("batch_size") {
                true => usize::try_from(options.unsigned("batch_size")).unwrap_or(1).max(1),
                false => batch_rows,
            },
            batch_interval: Duration::from_millis(options.unsigned("batch_interval_ms")),
            max_retries: u32::try_from(options.unsigned("max_retries")).unwrap_or_default(),
            marker_table: options.str("marker_table").to_string(),
            schema_save_mode: schema_save_mode(options),
            data_save_mode: data_save_mode(options),
            custom_sql: options.opt_str("custom_sql").map(str::to_string),
            create_index: options.bool("create_index"),
            field_case: match options.enum_value("field_ide") {
                "UPPERCASE" => FieldCase::Upper,
                "LOWERCASE" => FieldCase::Lower,
                _ => FieldCase::Original,
            },
        };
        if shared.data_save_mode == DataSaveMode::Custom && shared.custom_sql.is_none() {
            return Err(config("custom_sql", "is missing, and data_save_mode = CUSTOM_PROCESSING needs it"));
        }
        if shared.marker_table.is_empty() {
            return Err(config("marker_table", "is empty"));
        }
        Ok(shared)
    }
}

fn schema_save_mode(options: &Options) -> SchemaSaveMode {
    match options.enum_value("schema_save_mode") {
        "RECREATE_SCHEMA" => SchemaSaveMode::Recreate,
        "ERROR_WHEN_SCHEMA_NOT_EXIST" => SchemaSaveMode::Error,
        "IGNORE" => SchemaSaveMode::Ignore,
        _ => SchemaSaveMode::Create,
    }
}

fn data_save_mode(options: &Options) -> DataSaveMode {
    match options.enum_value("data_save_mode") {
        "DROP_DATA" => DataSaveMode::Drop,
        "CUSTOM_PROCESSING" => DataSaveMode::Custom,
        "ERROR_WHEN_DATA_EXISTS" => DataSaveMode::Error,
        _ => DataSaveMode::Append,
    }
}

/// The option `url`.
pub(crate) fn url(options: &Options) -> Result<JdbcUrl> {
    JdbcUrl::parse(options.str("url")).map_err(|cause| config("url", cause.to_string()))
}

/// The url's parameters and, behind them, those of the option `properties`; the url's win.
pub(crate) fn params(options: &Options, url: &JdbcUrl) -> Vec<(String, String)> {
    let mut params = url.params.clone();
    params.extend(options.map("properties").iter().filter(|(name, _)| url.param(name).is_none()).cloned());
    params
}

/// Words by which users name a family in `driver`, `dialect` and `compatible_mode`.
fn family_words(family: UrlFamily) -> &'static [&'static str] {
    match family {
        UrlFamily::MySql => &["mysql", "mariadb"],
        UrlFamily::Postgres => {
            &["postgres", "opengauss", "gaussdb", "kingbase", "highgo", "vastbase", "greenplum", "edb"]
        }
    }
}

/// Refuses what only makes sense for the other family of databases, by name.
fn refuse_other_family(options: &Options, family: UrlFamily) -> Result<()> {
    let names_family = |text: &str| {
        let text = text.to_ascii_lowercase();
        family_words(family).iter().any(|word| text.contains(word))
    };
    for option in ["driver", "dialect"] {
        match options.opt_str(option) {
            Some(text) if !text.is_empty() && !names_family(text) => {
                let known = family_words(family).join(", ");
                return Err(config(
                    option,
                    format!("names another database than the url, which means {known}"),
                )
                .hint(format!("leave `{option}` out: the url decides")));
            }
            _ => {}
        }
    }
    if let Some(mode) = options.opt_str("compatible_mode")
        && !family_words(family).iter().any(|word| mode.to_ascii_lowercase().starts_with(word))
    {
        return Err(config("compatible_mode", "chooses the variant of another database than the url's"));
    }
    match family {
        UrlFamily::MySql => {
            if options.is_set("schema") {
                let what = "is set, and MySQL and MariaDB have no level between database and table";
                return Err(config("schema", what).hint("use `database`"));
            }
            if options.is_set("foreign_keys") {
                let what =
                    "is set, and foreign keys of MySQL and MariaDB are never checked when rows are put";
                return Err(config("foreign_keys", what).hint("leave it out"));
            }
            if options.bool("use_copy_statement") {
                return Err(config("use_copy_statement", "is set, and COPY is a statement of PostgreSQL"));
            }
            Ok(())
        }
        UrlFamily::Postgres if options.opt_str("compatible_mode").is_some_and(is_low) => {
            let what = "asks for servers before PostgreSQL 9.5, which have no ON CONFLICT";
            Err(config("compatible_mode", what))
        }
        UrlFamily::Postgres => Ok(()),
    }
}

fn is_low(mode: &str) -> bool {
    mode.eq_ignore_ascii_case("postgresLow")
}

/// An error about an option.
pub(crate) fn config(option: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("option `{option}` {what}"))
}

/// The parts of a name in the option `table`: dots outside of placeholders and quotes separate them.
pub(crate) fn name_parts(
    text: &str,
    quote: char,
    end_of_quoted: impl Fn(&[u8], usize) -> Option<usize>,
    bare_name: impl Fn(&str) -> String,
) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '$' if rest.starts_with("${") => rest.find('}').map_or(rest.len(), |end| end + 1),
            other if other == quote => end_of_quoted(rest.as_bytes(), 0).unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        match (first, parts.last_mut()) {
            ('.', _) => parts.push(String::new()),
            (other, Some(part)) if other == quote => part.push_str(&bare_name(piece)),
            (_, Some(part)) => part.push_str(piece),
            (_, None) => {}
        }
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests;
