//! The options of `MySQL-CDC`, and what they come to.

use std::sync::Arc;
use std::time::Duration;

use culvert_api::{Error, ErrorKind, Narrowing, Result};
use culvert_config::{JdbcUrl, OptionDef, Options, Secret, TlsMode, UrlFamily, Value};

use crate::column::{Conversion, ZeroDatePolicy};
use crate::connect::Endpoint;
use crate::position::BinlogPosition;
use crate::selection::TableSelection;
use crate::tables::KeyOverrides;

/// Every option users of this source know, with what becomes of it here.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("url").alias(&["base-url"]).required()
        .doc("JDBC address of the server, `jdbc:mysql://host:port/database`. `sslMode` = DISABLED, REQUIRED or VERIFY_IDENTITY (with `trustCertificateKeyStoreUrl=file:ca.pem`)."),
    OptionDef::string("username").alias(&["user"]).required()
        .doc("Needs SELECT, REPLICATION SLAVE and REPLICATION CLIENT (MariaDB: BINLOG MONITOR)."),
    OptionDef::string("password").secret().default("").doc("Its password."),
    OptionDef::list("database-names").default("").doc("Only tables of these databases."),
    OptionDef::regex("database-pattern").doc("Only tables of databases whose name matches."),
    OptionDef::list("table-names").default("").doc("Tables to capture, `database.table`. Each entry is a regular expression on the full name."),
    OptionDef::regex("table-pattern").doc("Tables to capture, as one regular expression on `database.table`."),
    OptionDef::objects("table-names-config").doc("Per table: `table`, and `primaryKeys` to use instead of the table's own key."),
    OptionDef::choice("startup.mode", &["INITIAL", "EARLIEST", "LATEST", "SPECIFIC", "TIMESTAMP", "SNAPSHOT-ONLY"]).default("INITIAL")
        .doc("Where a job without state begins: a snapshot and then the log; the first log file there is; now; a given place; a time; or a snapshot and nothing more."),
    OptionDef::string("startup.specific-offset.file").doc("The log file to begin at (SPECIFIC)."),
    OptionDef::int_in("startup.specific-offset.pos", 0, i64::MAX).doc("The offset in that file (SPECIFIC)."),
    OptionDef::string("startup.specific-offset.gtid-set").doc("Begin behind this GTID set instead of a file (SPECIFIC)."),
    OptionDef::int("startup.specific-offset.skip-events").refused("positions name a transaction's end; name the place behind the events instead")
        .doc("Events to skip."),
    OptionDef::int("startup.specific-offset.skip-rows").refused("positions name a transaction's end; name the place behind the rows instead")
        .doc("Rows to skip."),
    OptionDef::int_in("startup.timestamp", 0, i64::MAX).unit("ms").doc("Begin with the first transaction committed at or after this time (TIMESTAMP)."),
    OptionDef::choice("stop.mode", &["NEVER", "LATEST", "SPECIFIC", "TIMESTAMP"]).default("NEVER")
        .doc("Where the source ends: never, at the end of the log as of the start, at a given place, or with the first transaction after a time."),
    OptionDef::string("stop.specific-offset.file").doc("The log file to end in (SPECIFIC)."),
    OptionDef::int_in("stop.specific-offset.pos", 0, i64::MAX).doc("The offset in that file (SPECIFIC)."),
    OptionDef::int_in("stop.timestamp", 0, i64::MAX).unit("ms").doc("End before the first transaction committed after this time (TIMESTAMP)."),
    OptionDef::int_in("snapshot.split.size", 1, 10_000_000).unit("rows").default("8096").doc("Rows of one snapshot chunk."),
    OptionDef::int("snapshot.fetch.size").default("1024").ignored("result sets are streamed row by row").doc("Rows per fetch."),
    OptionDef::int_in("incremental.parallelism", 1, 1).default("1").doc("Stream readers. One reader keeps the order of transactions."),
    OptionDef::int_in("snapshot.parallelism", 1, 64).default("2").doc("Chunks read at the same time; the job's `parallelism` when that is larger."),
    OptionDef::float("chunk-key.even-distribution.factor.upper-bound").default("100").ignored("chunks follow the keys that are there, so the distribution does not matter").doc("Evenness of keys."),
    OptionDef::float("chunk-key.even-distribution.factor.lower-bound").default("0.05").ignored("chunks follow the keys that are there, so the distribution does not matter").doc("Evenness of keys."),
    OptionDef::int("sample-sharding.threshold").default("1000").ignored("chunks follow the keys that are there, nothing is sampled").doc("When to sample keys."),
    OptionDef::int("inverse-sampling.rate").default("1000").ignored("chunks follow the keys that are there, nothing is sampled").doc("How to sample keys."),
    OptionDef::boolean("split.allow-sampling").default("true").ignored("nothing is sampled").doc("Whether to sample keys."),
    OptionDef::boolean("enable_concurrent_read").default("true").doc("`false` reads one chunk at a time."),
    OptionDef::boolean("exactly_once").default("false").ignored("snapshot and log are always merged exactly once, whatever this says").doc("Exactly once between snapshot and log."),
    OptionDef::string("server-time-zone").alias(&["server_time_zone"]).default("UTC")
        .doc("Zone that TIMESTAMP values are shown in where a target has no instants (an IANA name such as Europe/Berlin). The values themselves are instants."),
    OptionDef::duration_ms("connect.timeout.ms").alias(&["connect.timeout"]).default("30000").doc("How long connecting may take."),
    OptionDef::int("connect.max-retries").default("3").ignored("retries follow the job's `job.retry.times`").doc("Connection attempts."),
    OptionDef::int("connection.pool.size").default("20").ignored("there is one connection for the log and one per chunk being read").doc("Pooled connections."),
    OptionDef::choice("format", &["DEFAULT", "COMPATIBLE_DEBEZIUM_JSON"]).default("DEFAULT").doc("DEFAULT: typed rows. COMPATIBLE_DEBEZIUM_JSON is refused: it is a format of the Kafka sink."),
    OptionDef::map("debezium").doc("`include.schema.changes` is understood; every other key is refused by name."),
    OptionDef::boolean("schema-changes.enabled").alias(&["debezium.include.schema.changes"]).default("false")
        .doc("Follow changes of a table's shape to the target. Otherwise rows keep the shape the job started with: new columns are left out, dropped ones become NULL."),
    OptionDef::list("schema-changes.include").refused("all changes of columns are followed, or none (schema-changes.enabled)").doc("Kinds of change to follow."),
    OptionDef::list("schema-changes.exclude").refused("all changes of columns are followed, or none (schema-changes.enabled)").doc("Kinds of change not to follow."),
    OptionDef::boolean("int_type_narrowing").default("false").doc("TINYINT(1) as BOOLEAN. Only `false` works: TINYINT(1) holds -128 to 127, and nothing is narrowed in silence."),
    OptionDef::string("server-id").doc("Id of this replica, unique among all replicas and jobs of the server: `5400`, or a range `5400-5408` of which the first is used. Without it one is drawn at random."),
    OptionDef::choice("zero-date.policy", &["FAIL", "NULL"]).default("FAIL").doc("Dates that are none, such as 0000-00-00: stop the job, or NULL."),
    OptionDef::choice("truncate.policy", &["FAIL", "IGNORE"]).default("FAIL").doc("TRUNCATE TABLE or a dropped partition of a captured table: stop the job, or leave the target as it is."),
    OptionDef::string("rowkinds").refused("use the FilterRowKind transform").doc("Row kinds to keep."),
];

/// Where a job without state begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup {
    /// Snapshot, then the log.
    Initial,
    /// Snapshot only.
    SnapshotOnly,
    /// The first log file there is.
    Earliest,
    /// Now.
    Latest,
    /// A place.
    At(BinlogPosition),
    /// Behind a GTID set, in the server's own notation.
    BehindGtids(String),
    /// The first transaction at or after this time, in ms since 1970.
    Time(u64),
}

/// Where the source ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Never.
    Never,
    /// At the end of the log as of the start.
    Latest,
    /// At a place.
    At(BinlogPosition),
    /// Before the first transaction after this time, in ms since 1970.
    Time(u64),
}

/// The source's settings.
#[derive(Clone, Debug)]
pub struct MySqlConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) selection: TableSelection,
    pub(crate) keys: KeyOverrides,
    pub(crate) startup: Startup,
    pub(crate) stop: Stop,
    pub(crate) chunk_rows: u64,
    pub(crate) parallelism: usize,
    pub(crate) conversion: Conversion,
    pub(crate) follow_shapes: bool,
    pub(crate) fail_on_truncate: bool,
    pub(crate) server_id: u32,
    /// Which columns leave; told later.
    pub(crate) narrowing: Narrowing,
}

impl MySqlConfig {
    /// Builds the settings from resolved options; `parallelism` is the job's.
    pub fn from_options(options: &Options, parallelism: u32) -> Result<MySqlConfig> {
        let url = JdbcUrl::parse(options.str("url")).map_err(|error| bad("url", error))?;
        if url.family() != UrlFamily::MySql {
            return Err(bad(
                "url",
                "names another kind of server; expected jdbc:mysql:// or jdbc:mariadb://",
            )
            .hint("the source for PostgreSQL is Postgres-CDC"));
        }
        let zone = options.str("server-time-zone");
        let zone: chrono_tz::Tz = zone.parse().map_err(|_| {
            bad("server-time-zone", format!("'{zone}' is no IANA time zone, such as UTC or Europe/Berlin"))
        })?;
        if options.enum_value("format") != "DEFAULT" {
            return Err(bad("format", "only DEFAULT is supported in a source")
                .hint("rows in Debezium's format are made by the Kafka sink"));
        }
        if options.bool("int_type_narrowing") {
            return Err(bad(
                "int_type_narrowing",
                "`true` is not supported: TINYINT(1) holds -128 to 127 and is kept as it is",
            ));
        }
        let follow = follow_shapes(options)?;
        let concurrent = options.bool("enable_concurrent_read");
        let parallelism = if concurrent {
            (options.unsigned("snapshot.parallelism") as usize).max(parallelism as usize)
        } else {
            1
        };
        let pattern = |name: &str| options.opt_str(name).map(str::to_owned);
        let selection = TableSelection::new(
            options.list("database-names").to_vec(),
            pattern("database-pattern").as_deref(),
            options.list("table-names").to_vec(),
            pattern("table-pattern").as_deref(),
        )?;
        Ok(MySqlConfig {
            endpoint: Endpoint {
                host: url.host.clone(),
                port: url.port,
                user: options.str("username").to_owned(),
                password: Secret::new(options.opt_str("password").unwrap_or_default()),
                tls: TlsMode::from_params(UrlFamily::MySql, &url.params)
                    .map_err(|error| bad("url", error))?,
                connect_timeout: Duration::from_millis(options.unsigned("connect.timeout.ms")),
            },
            selection,
            keys: key_overrides(options)?,
            narrowing: Narrowing::default(),
            startup: startup(options)?,
            stop: stop(options)?,
            chunk_rows: options.unsigned("snapshot.split.size"),
            parallelism,
            conversion: Conversion {
                timestamp_zone: Arc::from(zone.name()),
                zero_dates: match options.enum_value("zero-date.policy") {
                    "NULL" => ZeroDatePolicy::Null,
                    _ => ZeroDatePolicy::Fail,
                },
                ..Conversion::default()
            },
            follow_shapes: follow,
            fail_on_truncate: options.enum_value("truncate.policy") == "FAIL",
            server_id: server_id(options.opt_str("server-id"))?,
        })
    }
}

fn bad(option: &str, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("option '{option}': {message}"))
}

fn follow_shapes(options: &Options) -> Result<bool> {
    let mut follow = options.bool("schema-changes.enabled");
    for (key, value) in options.map("debezium") {
        if key == "include.schema.changes" {
            follow |= value.eq_ignore_ascii_case("true");
        } else {
            return Err(bad("debezium", format!("'{key}' is not supported"))
                .hint("there is no Debezium inside; remove the key, or look for an option of this source that does the same"));
        }
    }
    Ok(follow)
}

fn key_overrides(options: &Options) -> Result<KeyOverrides> {
    const OPTION: &str = "table-names-config";
    let mut keys = KeyOverrides::new();
    for object in options.objects(OPTION) {
        let get = |name: &str| object.iter().find(|entry| entry.key == name).map(|entry| &entry.value);
        let table = get("table")
            .and_then(Value::scalar_text)
            .ok_or_else(|| bad(OPTION, "an entry names no `table`"))?;
        if get("snapshotSplitColumn").is_some() {
            return Err(bad(OPTION, "'snapshotSplitColumn' is not supported: chunks are cut by the key"));
        }
        let columns = match get("primaryKeys") {
            None => continue,
            Some(Value::List(items)) => {
                items.iter().map(|item| item.scalar_text().map(str::to_owned)).collect()
            }
            Some(other) => {
                other.scalar_text().map(|text| text.split(',').map(|part| part.trim().to_owned()).collect())
            }
        };
        let columns: Vec<String> =
            columns.ok_or_else(|| bad(OPTION, "`primaryKeys` is a list of column names"))?;
        keys.insert(table.to_owned(), columns);
    }
    Ok(keys)
}

fn place(options: &Options, prefix: &str) -> Result<BinlogPosition> {
    let file = options.opt_str(&format!("{prefix}.specific-offset.file"));
    let Some(file) = file else {
        return Err(bad(
            &format!("{prefix}.specific-offset.file"),
            format!("required because {prefix}.mode is SPECIFIC"),
        ));
    };
    let offset = options.opt_int(&format!("{prefix}.specific-offset.pos")).unwrap_or(4);
    Ok(BinlogPosition::new(file, u64::try_from(offset).unwrap_or(4)))
}

fn time(options: &Options, name: &str) -> Result<u64> {
    match options.opt_int(name) {
        Some(ms) => Ok(u64::try_from(ms).unwrap_or(0)),
        None => Err(bad(name, "required because the mode is TIMESTAMP")),
    }
}

fn startup(options: &Options) -> Result<Startup> {
    Ok(match options.enum_value("startup.mode") {
        "INITIAL" => Startup::Initial,
        "SNAPSHOT-ONLY" => Startup::SnapshotOnly,
        "EARLIEST" => Startup::Earliest,
        "LATEST" => Startup::Latest,
        "TIMESTAMP" => Startup::Time(time(options, "startup.timestamp")?),
        _ => match options.opt_str("startup.specific-offset.gtid-set") {
            Some(set) => Startup::BehindGtids(set.to_owned()),
            None => Startup::At(place(options, "startup")?),
        },
    })
}

fn stop(options: &Options) -> Result<Stop> {
    Ok(match options.enum_value("stop.mode") {
        "NEVER" => Stop::Never,
        "LATEST" => Stop::Latest,
        "TIMESTAMP" => Stop::Time(time(options, "stop.timestamp")?),
        _ => Stop::At(place(options, "stop")?),
    })
}

/// One of [6500, 2^31) that other jobs will hardly draw.
pub(crate) fn drawn_server_id() -> u32 {
    let seed =
        std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), std::process::id());
    6500 + (seed % (i32::MAX as u64 - 6500)) as u32
}

/// The first id of a range, or a drawn one.
fn server_id(text: Option<&str>) -> Result<u32> {
    let Some(text) = text else { return Ok(drawn_server_id()) };
    let first = text.split_once('-').map_or(text, |(first, _)| first).trim();
    match first.parse::<u32>() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err(bad("server-id", format!("'{text}' is no id such as 5400 and no range such as 5400-5408"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use culvert_config::{Block, Entry, Place, Role};

    use super::*;

    #[test]
    fn a_url_of_another_family_is_refused() {
        let read = |url: &str| {
            let mut block = Block::new(Role::Source, "MySQL-CDC", Place::default());
            for (key, value) in [("url", url), ("username", "u"), ("table-names", "a.b")] {
                block.entries.push(Entry {
                    key: key.into(),
                    value: Value::String(value.into()),
                    place: Place::default(),
                });
            }
            MySqlConfig::from_options(&Options::resolve(&block, OPTIONS).0, 1)
        };
        let error = read("jdbc:postgresql://h/db").unwrap_err();
        assert!(error.hint_text().unwrap_or_default().contains("Postgres-CDC"), "{error}");
        assert!(read("jdbc:mariadb://h/db").is_ok());
    }
}
