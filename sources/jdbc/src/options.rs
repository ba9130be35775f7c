//! The source's options, and what they mean once they are checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_config::{Entry, JdbcUrl, OptionDef, Options, Rule, Secret, TlsMode, UrlFamily};
use culvert_postgres::Endpoint;
use culvert_source_mysql::column::{Conversion, ZeroDatePolicy};
use culvert_source_mysql::select::Selector as MySqlSelector;
use culvert_source_postgres::select::Selector as PostgresSelector;

use crate::database::Database;

const FOLLOWS_KEYS: &str =
    "parts follow the keys that are there, so nothing is counted, sampled or estimated";
const ORACLE: &str = "it is about Oracle";
const NO_KERBEROS: &str = "there is no Kerberos login";

/// The options of the source `Jdbc`.
#[rustfmt::skip]
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("url").required().doc(
        "Where the server is: `jdbc:mysql://host:port/database?sslMode=REQUIRED`, `jdbc:mariadb:…`, \
         `jdbc:postgresql://host:port/database?sslmode=require`, or the scheme of a product that speaks one of their \
         protocols. Of the parameters, those about TLS, currentSchema and ApplicationName (PostgreSQL) have an \
         effect; without them the connection is not encrypted.",
    ),
    OptionDef::string("driver").doc("The JDBC driver's class. No driver is loaded; another database's is an error."),
    OptionDef::string("username").alias(&["user"]).doc("The account; the one in the url otherwise."),
    OptionDef::string("password").secret().doc("Its password; the one in the url otherwise."),
    OptionDef::string("table_path").doc(
        "The table to read, whole: `database.table`, in PostgreSQL `database.schema.table`. With `query`, the name \
         of the table whose rows the query's are.",
    ),
    OptionDef::string("query").doc("The SELECT to read instead of a whole table."),
    OptionDef::objects("table_list").doc(
        "Several tables: a list of blocks with `table_path`, and as needed `query`, `partition_column`, \
         `partition_num`, `partition_lower_bound`, `partition_upper_bound`.",
    ),
    OptionDef::string("where_condition").doc("A condition for all tables and queries; begins with `where`."),
    OptionDef::string("partition_column").doc(
        "The column by whose values the work is cut into parts that are read at the same time. Without it, the \
         primary key of a table where that is one whole number.",
    ),
    OptionDef::int_in("partition_num", 1, 100_000).doc("How many parts; the job's `parallelism` otherwise."),
    OptionDef::string("partition_lower_bound").doc(
        "Rows whose partition column is less, or NULL, are left out.",
    ),
    OptionDef::string("partition_upper_bound").doc(
        "Rows whose partition column is greater, or NULL, are left out.",
    ),
    OptionDef::int_in("split.size", 1, 10_000_000).unit("rows").default("8096")
        .doc("Rows that one statement reads of a table with a primary key; reading goes on behind the last key."),
    OptionDef::float("split.even-distribution.factor.upper-bound").default("100").ignored(FOLLOWS_KEYS).doc("Evenness of keys."),
    OptionDef::float("split.even-distribution.factor.lower-bound").default("0.05").ignored(FOLLOWS_KEYS).doc("Evenness of keys."),
    OptionDef::int("split.sample-sharding.threshold").default("1000").ignored(FOLLOWS_KEYS).doc("When to sample keys."),
    OptionDef::int("split.inverse-sampling.rate").default("1000").ignored(FOLLOWS_KEYS).doc("How to sample keys."),
    OptionDef::boolean("split.allow-sampling").default("true").ignored(FOLLOWS_KEYS).doc("Whether to sample keys."),
    OptionDef::string("split.string_split_mode").ignored("parts by a text column go by a hash of it").doc("How text is cut into parts."),
    OptionDef::string("split.string-strategy").ignored("parts by a text column go by a hash of it").doc("How text is cut into parts."),
    OptionDef::string("split.string_split_mode_collate").ignored("parts by a text column go by a hash of it").doc("By which collation text is cut."),
    OptionDef::boolean("enable_concurrent_read").default("true").doc("`false` reads each table in one part."),
    OptionDef::boolean("use_regex").default("false").refused("name each table in table_list").doc("Whether `table_path` is a pattern."),
    OptionDef::int("fetch_size").default("0").ignored("results are streamed row by row").doc("Rows per fetch."),
    OptionDef::map("properties").doc("More parameters, as in the url; the url's win."),
    OptionDef::int_in("connection_check_timeout_sec", 1, 3600).default("30").unit("s").doc("How long connecting may take."),
    OptionDef::int("connect_timeout_ms").unit("ms").ignored("see connection_check_timeout_sec").doc("How long connecting may take."),
    OptionDef::int("socket_timeout_ms").unit("ms").ignored("a connection that is gone is found by keep-alive, and a slow statement is waited for").doc("How long a read may take."),
    OptionDef::boolean("use_select_count").default("false").ignored(FOLLOWS_KEYS).doc("How rows are counted before."),
    OptionDef::boolean("skip_analyze").default("false").ignored(FOLLOWS_KEYS).doc("Whether statistics are refreshed before."),
    OptionDef::boolean("decimal_type_narrowing").default("true").ignored(ORACLE).doc("NUMBER without a fraction as an integer."),
    OptionDef::boolean("handle_blob_as_string").default("false").refused(ORACLE).doc("BLOB as text."),
    OptionDef::boolean("int_type_narrowing").default("false")
        .refused("TINYINT(1) holds -128 to 127, and nothing is narrowed in silence").doc("TINYINT(1) as BOOLEAN."),
    OptionDef::string("server-time-zone").default("UTC").doc(
        "MySQL: the zone that TIMESTAMP values are shown in where a target has no instants (an IANA name). The values themselves are instants.",
    ),
    OptionDef::choice("zero-date.policy", &["FAIL", "NULL"]).default("FAIL")
        .doc("MySQL: dates that are none, such as 0000-00-00: stop the job, or NULL."),
    OptionDef::choice("numeric-nan.policy", &["FAIL", "NULL"]).default("FAIL")
        .doc("PostgreSQL: NaN in a numeric with a precision: stop the job, or NULL."),
    OptionDef::string("compatible_mode").doc("The variant of the database. Only the url's own is taken: `mysql`, `postgresql`."),
    OptionDef::string("dialect").doc("The database's kind; the url decides it, and another is an error."),
    OptionDef::boolean("use_kerberos").default("false").refused(NO_KERBEROS).doc("Logs in by Kerberos."),
    OptionDef::string("kerberos_principal").refused(NO_KERBEROS).doc("The principal of a Kerberos login."),
    OptionDef::string("kerberos_keytab_path").refused(NO_KERBEROS).doc("The key table of a Kerberos login."),
    OptionDef::string("krb5_path").refused(NO_KERBEROS).doc("The configuration of Kerberos."),
];

/// What must be set together.
pub const RULES: &[Rule] =
    &[Rule::AtMostOne(&["table_path", "table_list"]), Rule::AtMostOne(&["query", "table_list"])];

/// How a table or a query is cut into parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) column: Option<String>,
    pub(crate) number: Option<u32>,
    pub(crate) lower: Option<String>,
    pub(crate) upper: Option<String>,
}

/// One table or query to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The option it comes from, for messages.
    pub(crate) option: &'static str,
    /// `None`: a query without a name for its rows.
    pub(crate) table: Option<TableId>,
    pub(crate) query: Option<String>,
    pub(crate) partition: Partition,
}

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) database: Database,
    pub(crate) items: Vec<Item>,
    /// Without its `where`.
    pub(crate) condition: Option<String>,
    /// Parts read at the same time.
    pub(crate) parallelism: usize,
    /// Whether one table is read in several parts.
    pub(crate) is_concurrent: bool,
    pub(crate) split_rows: u64,
}

impl Settings {
    /// Checks the options against each other; connects to nothing.
    pub(crate) fn from_options(options: &Options, parallelism: u32) -> Result<Settings> {
        let mut url = JdbcUrl::parse(options.str("url")).map_err(|error| config("url", error))?;
        refuse_other_family(options, url.family())?;
        let more = options.map("properties").iter().filter(|(name, _)| url.param(name).is_none());
        let more: Vec<(String, String)> = more.cloned().collect();
        url.params.extend(more);
        let items = items(options, &url)?;
        let mut names: BTreeMap<String, ()> = BTreeMap::new();
        for table in items.iter().filter_map(|item| item.table.as_ref()) {
            if names.insert(table.to_string(), ()).is_some() {
                return Err(config("table_list", format!("names {table} twice")));
            }
        }
        Ok(Settings {
            database: database(options, &url)?,
            items,
            condition: options.opt_str("where_condition").map(condition).transpose()?,
            parallelism: usize::try_from(parallelism).unwrap_or(1).max(1),
            is_concurrent: options.bool("enable_concurrent_read"),
            split_rows: options.unsigned("split.size"),
        })
    }

    /// Whether statements for this item hold SQL of the user.
    pub(crate) fn has_users_sql(&self, item: &Item) -> bool {
        item.query.is_some() || self.condition.is_some()
    }
}

/// An error about an option.
pub(crate) fn config(option: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("option '{option}': {what}"))
}

fn database(options: &Options, url: &JdbcUrl) -> Result<Database> {
    let user = options.opt_str("username").map(str::to_owned).or(url.username.clone()).unwrap_or_default();
    let password = match options.opt_str("password") {
        Some(_) => options.secret("password"),
        None => url.password.clone().unwrap_or_else(|| Secret::new("")),
    };
    let timeout = Duration::from_secs(options.unsigned("connection_check_timeout_sec"));
    match url.family() {
        UrlFamily::MySql => {
            let zone = options.str("server-time-zone");
            let zone: chrono_tz::Tz = zone.parse().map_err(|_| {
                config(
                    "server-time-zone",
                    format!("'{zone}' is no IANA time zone, such as UTC or Europe/Berlin"),
                )
            })?;
            let endpoint = culvert_source_mysql::Endpoint {
                host: url.host.clone(),
                port: url.port,
                user,
                password,
                tls: TlsMode::from_params(UrlFamily::MySql, &url.params)
                    .map_err(|error| config("url", error))?,
                connect_timeout: timeout,
            };
            let zero_dates = match options.enum_value("zero-date.policy") {
                "NULL" => ZeroDatePolicy::Null,
                _ => ZeroDatePolicy::Fail,
            };
            let conversion =
                Conversion { timestamp_zone: Arc::from(zone.name()), zero_dates, ..Conversion::default() };
            Ok(Database::MySql(MySqlSelector { endpoint, database: url.database.clone(), conversion }))
        }
        UrlFamily::Postgres => {
            let endpoint = Endpoint::new(url, &user, password, timeout)?;
            let path = url.param("currentSchema").map(str::to_owned);
            let nan_is_null = options.enum_value("numeric-nan.policy") == "NULL";
            Ok(Database::Postgres(PostgresSelector::new(endpoint, path, nan_is_null)))
        }
    }
}

fn items(options: &Options, url: &JdbcUrl) -> Result<Vec<Item>> {
    let text = |name: &str| options.opt_str(name).map(str::to_owned);
    if options.is_set("table_list") {
        let listed = options.objects("table_list");
        if listed.is_empty() {
            return Err(config("table_list", "is empty"));
        }
        for option in ["partition_column", "partition_num", "partition_lower_bound", "partition_upper_bound"]
        {
            if options.is_set(option) {
                return Err(config(
                    option,
                    "write it into the block of the table it is about, in table_list",
                ));
            }
        }
        return listed.iter().map(|block| listed_item(block, url)).collect();
    }
    let table = text("table_path").map(|path| table_id("table_path", &path, url)).transpose()?;
    let query = text("query").map(|query| trimmed("query", &query)).transpose()?;
    if table.is_none() && query.is_none() {
        return Err(config("table_path", "set it, or `query`, or `table_list`"));
    }
    let partition = Partition {
        column: text("partition_column"),
        number: options.opt_int("partition_num").and_then(|number| u32::try_from(number).ok()),
        lower: text("partition_lower_bound"),
        upper: text("partition_upper_bound"),
    };
    let option = if query.is_some() { "query" } else { "table_path" };
    Ok(vec![Item { option, table, query, partition: whole(partition)? }])
}

fn listed_item(block: &[Entry], url: &JdbcUrl) -> Result<Item> {
    const OPTION: &str = "table_list";
    let (mut table, mut query, mut partition) = (None, None, Partition::default());
    for entry in block {
        let text = entry.value.scalar_text().map(str::to_owned);
        let text = text.ok_or_else(|| config(OPTION, format!("`{}` takes a text", entry.key)))?;
        match entry.key.as_str() {
            "table_path" => table = Some(table_id(OPTION, &text, url)?),
            "query" => query = Some(trimmed(OPTION, &text)?),
            "partition_column" => partition.column = Some(text),
            "partition_lower_bound" => partition.lower = Some(text),
            "partition_upper_bound" => partition.upper = Some(text),
            "partition_num" => {
                let number = text.parse().ok().filter(|number| *number > 0);
                let number = number.ok_or_else(|| config(OPTION, "`partition_num` is a number from 1 up"))?;
                partition.number = Some(number);
            }
            "use_regex" if text.eq_ignore_ascii_case("false") => {}
            other => {
                return Err(config(OPTION, format!("`{other}` is not supported in a block of it")).hint(
                    "there are table_path, query, partition_column, partition_num, partition_lower_bound and partition_upper_bound",
                ));
            }
        }
    }
    if table.is_none() {
        return Err(config(OPTION, "a block has no `table_path`"));
    }
    Ok(Item { option: OPTION, table, query, partition: whole(partition)? })
}

/// Refuses what says nothing without a column.
fn whole(partition: Partition) -> Result<Partition> {
    let Partition { column, lower, upper, .. } = &partition;
    let set = [("partition_lower_bound", lower), ("partition_upper_bound", upper)];
    match set.iter().find(|(_, bound)| bound.is_some() && column.is_none()) {
        Some((option, _)) => Err(config(option, "says nothing without `partition_column`")),
        None => Ok(partition),
    }
}

/// A query without what ends a statement.
fn trimmed(option: &str, query: &str) -> Result<String> {
    let query = query.trim_end_matches(|c: char| c.is_whitespace() || c == ';').trim_start();
    match query {
        "" => Err(config(option, "the query is empty")),
        query => Ok(query.to_owned()),
    }
}

/// The condition behind `where`.
fn condition(text: &str) -> Result<String> {
    const OPTION: &str = "where_condition";
    let text = trimmed(OPTION, text)?;
    match text.split_at_checked(5) {
        Some((word, rest))
            if word.eq_ignore_ascii_case("where") && rest.starts_with([' ', '\t', '\n', '\r', '(']) =>
        {
            Ok(rest.trim().to_owned())
        }
        _ => Err(config(OPTION, "must begin with `where`, as in where id > 100")),
    }
}

fn table_id(option: &str, path: &str, url: &JdbcUrl) -> Result<TableId> {
    let parts: Vec<&str> = path.split('.').map(str::trim).collect();
    let expected = match url.family() {
        UrlFamily::MySql => "database.table",
        UrlFamily::Postgres => "database.schema.table",
    };
    let wrong = || config(option, format!("'{path}' is no name of a table; expected {expected}"));
    if parts.iter().any(|part| part.is_empty()) {
        return Err(wrong());
    }
    let in_url = url.database.as_deref();
    match (url.family(), parts.as_slice()) {
        (UrlFamily::MySql, [database, table]) => Ok(TableId::new(*database, *table)),
        (UrlFamily::MySql, [table]) => Ok(TableId::new(in_url.ok_or_else(wrong)?, *table)),
        (UrlFamily::Postgres, [database, _, _]) if in_url.is_some_and(|known| known != *database) => {
            let what =
                format!("'{path}' is in another database than the url's, '{}'", in_url.unwrap_or_default());
            Err(config(option, what).hint("a connection to PostgreSQL reaches one database"))
        }
        (UrlFamily::Postgres, [rest @ .., table]) if rest.len() < 3 => {
            let schema = rest.last().copied().unwrap_or("public");
            let database = match rest {
                [database, _] => database,
                _ => in_url.ok_or_else(wrong)?,
            };
            Ok(TableId {
                database: database.to_owned(),
                schema: Some(schema.to_owned()),
                table: (*table).to_owned(),
            })
        }
        _ => Err(wrong()),
    }
}

/// Refuses what names another family of databases than the url.
fn refuse_other_family(options: &Options, family: UrlFamily) -> Result<()> {
    let words: &[&str] = match family {
        UrlFamily::MySql => &["mysql", "mariadb"],
        UrlFamily::Postgres => {
            &["postgres", "opengauss", "gaussdb", "kingbase", "highgo", "vastbase", "greenplum", "edb"]
        }
    };
    for option in ["driver", "dialect", "compatible_mode"] {
        let text = options.str(option).to_ascii_lowercase();
        if !text.is_empty() && !words.iter().any(|word| text.contains(word)) {
            let what = format!("names another database than the url, which means {}", words.join(", "));
            return Err(config(option, what).hint(format!("leave `{option}` out: the url decides")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
