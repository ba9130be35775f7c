//! The options of `Postgres-CDC`, and what they come to.

use std::time::Duration;

use culvert_api::{Error, ErrorKind, Narrowing, Result};
use culvert_config::{JdbcUrl, OptionDef, Options, UrlFamily, Value};
use culvert_postgres::Endpoint;

use crate::decode::NanPolicy;
use crate::lsn::Lsn;
use crate::selection::TableSelection;
use crate::tables::{Conversion, KeyOverrides};

/// Every option users of this source know, with what becomes of it here.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("url").alias(&["base-url"]).required()
        .doc("JDBC address of the server, `jdbc:postgresql://host:port/database`. `sslmode` = disable, require or verify-full (with `sslrootcert=ca.pem`)."),
    OptionDef::string("username").alias(&["user"]).required()
        .doc("Needs REPLICATION, SELECT on the tables and, to make a publication, CREATE on the database and to own the tables."),
    OptionDef::string("password").secret().default("").doc("Its password."),
    OptionDef::list("database-names").default("").doc("The database; the same as in `url`, which may leave it out. One job reads one database."),
    OptionDef::regex("database-pattern").refused("one job reads one database: name it in url").doc("Databases by pattern."),
    OptionDef::list("schema-names").alias(&["schema-name"]).default("").doc("Only tables of these schemas."),
    OptionDef::list("table-names").default("").doc("Tables to capture, `database.schema.table` or `schema.table`. Each entry is a regular expression on the full name, or the name itself."),
    OptionDef::regex("table-pattern").doc("Tables to capture, as one regular expression on `database.schema.table` or `schema.table`."),
    OptionDef::duration_ms("table.discovery.interval").default("10000")
        .doc("How often a running job looks for new tables that it captures; 0: only when it starts. They are published and read while the others stream; one that cannot be followed is told of and left out."),
    OptionDef::objects("table-names-config").doc("Per table: `table`, and `primaryKeys` to use instead of the table's own key."),
    OptionDef::choice("startup.mode", &["INITIAL", "EARLIEST", "LATEST", "SPECIFIC", "TIMESTAMP", "SNAPSHOT-ONLY", "COMMITTED-OFFSET"]).default("INITIAL")
        .doc("Where a job without state begins: a snapshot and then the log; the first place the slot still has; now; a given place; a snapshot and nothing more; or where the slot was left, which has to exist. TIMESTAMP is refused: the log cannot be searched by time."),
    OptionDef::string("startup.specific-offset.lsn").doc("The place to begin at, such as `16/B374D848` (SPECIFIC). The slot has to exist and must not be past it."),
    OptionDef::int_in("startup.timestamp", 0, i64::MAX).unit("ms").refused("the log of this server cannot be searched by time").doc("A time to begin at."),
    OptionDef::choice("stop.mode", &["NEVER", "LATEST", "SPECIFIC", "TIMESTAMP"]).default("NEVER")
        .doc("Where the source ends: never, at the end of the log as of the start, at a given place, or with the first transaction after a time."),
    OptionDef::string("stop.specific-offset.lsn").doc("The place to end at (SPECIFIC)."),
    OptionDef::int_in("stop.timestamp", 0, i64::MAX).unit("ms").doc("End before the first transaction committed after this time (TIMESTAMP)."),
    OptionDef::int_in("snapshot.split.size", 1, 10_000_000).unit("rows").default("8096").doc("Rows of one snapshot chunk."),
    OptionDef::int("snapshot.fetch.size").default("1024").ignored("rows are streamed by COPY").doc("Rows per fetch."),
    OptionDef::int_in("incremental.parallelism", 1, 1).default("1").doc("Stream readers. One reader keeps the order of transactions."),
    OptionDef::int_in("snapshot.parallelism", 1, 64).default("2").doc("Connections that read tables at the same time; the job's `parallelism` when that is larger."),
    OptionDef::float("chunk-key.even-distribution.factor.upper-bound").default("100").ignored("chunks follow the keys that are there, so the distribution does not matter").doc("Evenness of keys."),
    OptionDef::float("chunk-key.even-distribution.factor.lower-bound").default("0.05").ignored("chunks follow the keys that are there, so the distribution does not matter").doc("Evenness of keys."),
    OptionDef::int("sample-sharding.threshold").default("1000").ignored("chunks follow the keys that are there, nothing is sampled").doc("When to sample keys."),
    OptionDef::int("inverse-sampling.rate").default("1000").ignored("chunks follow the keys that are there, nothing is sampled").doc("How to sample keys."),
    OptionDef::boolean("split.allow-sampling").default("true").ignored("nothing is sampled").doc("Whether to sample keys."),
    OptionDef::boolean("enable_concurrent_read").default("true").doc("`false` reads by one connection."),
    OptionDef::boolean("exactly_once").default("false").ignored("snapshot and log are always merged exactly once, whatever this says").doc("Exactly once between snapshot and log."),
    OptionDef::string("server-time-zone").alias(&["server_time_zone"]).default("UTC").ignored("timestamps with a zone are instants and keep their value in any zone").doc("Zone of the server."),
    OptionDef::duration_ms("connect.timeout.ms").alias(&["connect.timeout"]).default("30000").doc("How long connecting may take."),
    OptionDef::int("connect.max-retries").default("3").ignored("retries follow the job's `job.retry.times`").doc("Connection attempts."),
    OptionDef::int("connection.pool.size").default("20").ignored("there is one connection for the log and `snapshot.parallelism` while tables are read").doc("Pooled connections."),
    OptionDef::choice("format", &["DEFAULT", "COMPATIBLE_DEBEZIUM_JSON"]).default("DEFAULT").doc("DEFAULT: typed rows. COMPATIBLE_DEBEZIUM_JSON is refused: it is a format of the Kafka sink."),
    OptionDef::map("debezium").doc("`include.schema.changes`, `slot.name`, `slot.drop.on.stop`, `publication.name` are understood; every other key is refused by name."),
    OptionDef::boolean("schema-changes.enabled").alias(&["debezium.include.schema.changes"]).default("false")
        .doc("Follow changes of a table's shape to the target. Otherwise rows keep the shape the job started with: new columns are left out, dropped ones become NULL."),
    OptionDef::list("schema-changes.include").refused("all changes of columns are followed, or none (schema-changes.enabled)").doc("Kinds of change to follow."),
    OptionDef::list("schema-changes.exclude").refused("all changes of columns are followed, or none (schema-changes.enabled)").doc("Kinds of change not to follow."),
    OptionDef::string("slot.name").doc("Replication slot, made when it is missing; one that the job did not make is neither moved nor dropped. One job, one slot: without a name it is `culvert_` with the job's name, in the letters a slot may have, and a hash of it."),
    OptionDef::choice("decoding.plugin.name", &["pgoutput", "decoderbufs", "wal2json", "wal2json_rds", "wal2json_streaming", "wal2json_rds_streaming"]).default("pgoutput")
        .doc("Output plugin of the slot. Only `pgoutput`, which every server has, is read."),
    OptionDef::boolean("slot.failover").default("false").doc("Make the slot one that standbys take over (server 17 and later)."),
    OptionDef::boolean("slot.drop.on.stop").default("false").doc("Drop the slot, and a publication made for it, when the source has returned everything (stop.mode, SNAPSHOT-ONLY). Being stopped keeps them: they are the restart point."),
    OptionDef::string("publication.name").doc("Publication to read. Without a name it is the slot's."),
    OptionDef::boolean("publication.autocreate").default("true").doc("Make the publication when it is missing, and add tables it lacks. `false`: say which statements are to be run."),
    OptionDef::boolean("publication.row.filter").default("false").doc("Leave a condition of the job on whole numbers to the server, as a row filter of the publication that the job makes (server 15 and later): what no sink needs is not sent. Only columns of the replica identity; a restart with another condition is refused, and the server refuses to drop a column that is filtered by: docs/postgres.md."),
    OptionDef::choice("publication.origin", &["ANY", "NONE"]).default("ANY").doc("NONE leaves out rows that came to the server by replication themselves (server 16 and later)."),
    OptionDef::boolean("require-replica-identity-full").default("false").doc("Refuse tables whose log does not tell all old values."),
    OptionDef::choice("numeric-nan.policy", &["FAIL", "NULL"]).default("FAIL").doc("NaN in a numeric with up to 76 digits, which no decimal holds: stop the job, or NULL."),
    OptionDef::choice("truncate.policy", &["FAIL", "IGNORE"]).default("FAIL").doc("TRUNCATE of a captured table, or one of its partitions dropped, detached, truncated or attached with rows: stop the job, or leave the target as it is."),
    OptionDef::int_in("spill.memory.max", 1 << 20, 1 << 40).unit("bytes").default("67108864").doc("Bytes of open transactions held in memory; what is more lies in files without a name."),
    OptionDef::string("spill.folder").doc("Where those files lie; the machine's folder for temporary files without it."),
    OptionDef::string("rowkinds").refused("use the FilterRowKind transform").doc("Row kinds to keep."),
];

/// Where a job without state begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup {
    /// Snapshot, then the log.
    Initial,
    /// Snapshot only.
    SnapshotOnly,
    /// The first place that the slot has; now without a slot.
    Earliest,
    /// Now.
    Latest,
    /// A place.
    At(u64),
    /// Where the slot was left.
    Committed,
}

/// Where the source ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Never.
    Never,
    /// At the end of the log as of the start.
    Latest,
    /// At a place.
    At(u64),
    /// Before the first transaction after this time, in ms since 1970.
    Time(u64),
}

/// The source's settings.
#[derive(Clone, Debug)]
pub struct PgConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) selection: TableSelection,
    /// Pause between two looks for new tables; `None`: there are none.
    pub(crate) discovery: Option<Duration>,
    pub(crate) startup: Startup,
    pub(crate) stop: Stop,
    pub(crate) chunk_rows: u64,
    pub(crate) parallelism: usize,
    pub(crate) conversion: Conversion,
    pub(crate) follow_shapes: bool,
    pub(crate) fail_on_truncate: bool,
    pub(crate) require_full: bool,
    pub(crate) slot: Option<String>,
    pub(crate) failover: bool,
    pub(crate) drop_on_end: bool,
    pub(crate) publication: Option<String>,
    pub(crate) autocreate: bool,
    pub(crate) row_filter: bool,
    pub(crate) origin_none: bool,
    pub(crate) spill_bytes_max: usize,
    pub(crate) spill_folder: Option<std::path::PathBuf>,
}

impl PgConfig {
    /// Builds the settings from resolved options; `parallelism` is the job's.
    pub fn from_options(options: &Options, parallelism: u32) -> Result<PgConfig> {
        let mut url = JdbcUrl::parse(options.str("url")).map_err(|error| bad("url", error))?;
        if url.family() != UrlFamily::Postgres {
            return Err(bad("url", "expected jdbc:postgresql://host:port/database"));
        }
        url.database = Some(database(url.database.as_deref(), options.list("database-names"))?);
        if options.enum_value("format") != "DEFAULT" {
            return Err(bad("format", "only DEFAULT is supported in a source")
                .hint("rows in Debezium's format are made by the Kafka sink"));
        }
        if options.enum_value("decoding.plugin.name") != "pgoutput" {
            let name = options.enum_value("decoding.plugin.name");
            return Err(bad("decoding.plugin.name", format!("'{name}' is not supported"))
                .hint("use pgoutput, which is part of every server from version 10 on"));
        }
        let debezium = Debezium::read(options)?;
        let parallelism = if options.bool("enable_concurrent_read") {
            (options.unsigned("snapshot.parallelism") as usize).max(parallelism as usize)
        } else {
            1
        };
        let timeout = Duration::from_millis(options.unsigned("connect.timeout.ms"));
        let endpoint = Endpoint::new(&url, options.str("username"), options.secret("password"), timeout)?;
        let named = |name: &str| options.opt_str(name).map(str::to_owned);
        let slot = named("slot.name").or(debezium.slot);
        if let Some(name) = &slot {
            valid_slot(name)?;
        }
        let (startup, stop) = (startup(options)?, stop(options)?);
        let every = Duration::from_millis(options.unsigned("table.discovery.interval"));
        let is_unbounded = stop == Stop::Never && startup != Startup::SnapshotOnly;
        Ok(PgConfig {
            endpoint,
            selection: TableSelection::new(
                options.list("schema-names").to_vec(),
                options.list("table-names").to_vec(),
                options.opt_str("table-pattern"),
            )?,
            drop_on_end: options.bool("slot.drop.on.stop")
                || debezium.drop_on_stop
                || startup == Startup::SnapshotOnly,
            discovery: (is_unbounded && !every.is_zero()).then_some(every),
            startup,
            stop,
            chunk_rows: options.unsigned("snapshot.split.size"),
            parallelism,
            conversion: Conversion {
                nan: match options.enum_value("numeric-nan.policy") {
                    "NULL" => NanPolicy::Null,
                    _ => NanPolicy::Fail,
                },
                keys: key_overrides(options)?,
                narrowing: Narrowing::default(),
            },
            follow_shapes: options.bool("schema-changes.enabled") || debezium.follow,
            fail_on_truncate: options.enum_value("truncate.policy") == "FAIL",
            require_full: options.bool("require-replica-identity-full"),
            slot,
            failover: options.bool("slot.failover"),
            publication: named("publication.name").or(debezium.publication),
            autocreate: options.bool("publication.autocreate"),
            row_filter: options.bool("publication.row.filter"),
            origin_none: options.enum_value("publication.origin") == "NONE",
            spill_bytes_max: usize::try_from(options.unsigned("spill.memory.max")).unwrap_or(usize::MAX),
            spill_folder: options.opt_str("spill.folder").map(std::path::PathBuf::from),
        })
    }

    /// Whether rows of before are wanted.
    pub(crate) fn snapshots(&self) -> bool {
        matches!(self.startup, Startup::Initial | Startup::SnapshotOnly)
    }

    /// The slot of a job, and its publication.
    pub(crate) fn names(&self, job: &str) -> (String, String) {
        let slot = self.slot.clone().unwrap_or_else(|| derived_slot(job));
        let publication = self.publication.clone().unwrap_or_else(|| slot.clone());
        (slot, publication)
    }
}

fn bad(option: &str, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("option '{option}': {message}"))
}

fn database(in_url: Option<&str>, listed: &[String]) -> Result<String> {
    match (in_url, listed) {
        (Some(name), []) => Ok(name.to_owned()),
        (Some(name), [one]) if one == name => Ok(name.to_owned()),
        (None, [one]) => Ok(one.clone()),
        (None, []) => Err(bad("url", "no database is named")
            .hint("write it behind the port: jdbc:postgresql://host:5432/database")),
        (Some(name), [one]) => {
            Err(bad("database-names", format!("'{one}' is not '{name}', the database in url")))
        }
        (_, _) => {
            Err(bad("database-names", "one job reads one database").hint("make a job for each database"))
        }
    }
}

/// Letters that every server allows in a slot's name ("Querying and Manipulating Replication Slots").
fn valid_slot(name: &str) -> Result<()> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=63).contains(&name.len()) && name.bytes().all(valid) {
        return Ok(());
    }
    Err(bad("slot.name", format!("'{name}' is no name for a slot"))
        .hint("use up to 63 lower case letters, digits and underscores"))
}

/// A slot's name from a job's: readable, and another one for every other job.
fn derived_slot(job: &str) -> String {
    const READABLE_MAX: usize = 40;
    let letter = |c: char| match c {
        'a'..='z' | '0'..='9' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ => '_',
    };
    let readable: String = job.chars().take(READABLE_MAX).map(letter).collect();
    // FNV-1a: it has to be the same in every version of the program.
    let hash = job.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("culvert_{readable}_{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

/// What is understood of the options that were meant for Debezium.
#[derive(Default)]
struct Debezium {
    follow: bool,
    slot: Option<String>,
    drop_on_stop: bool,
    publication: Option<String>,
}

impl Debezium {
    fn read(options: &Options) -> Result<Debezium> {
        let mut known = Debezium::default();
        for (key, value) in options.map("debezium") {
            let is_true = value.eq_ignore_ascii_case("true");
            match key.as_str() {
                "include.schema.changes" => known.follow = is_true,
                "slot.name" => known.slot = Some(value.clone()),
                "slot.drop.on.stop" => known.drop_on_stop = is_true,
                "publication.name" => known.publication = Some(value.clone()),
                _ => {
                    return Err(bad("debezium", format!("'{key}' is not supported")).hint(
                        "there is no Debezium inside; remove the key, or look for an option of this source that does the same",
                    ));
                }
            }
        }
        Ok(known)
    }
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

fn place(options: &Options, mode: &str) -> Result<u64> {
    let name = format!("{mode}.specific-offset.lsn");
    let text = options
        .opt_str(&name)
        .ok_or_else(|| bad(&name, format!("required because {mode}.mode is SPECIFIC")))?;
    let lsn: Lsn = text.parse().map_err(|_| bad(&name, "expected a place such as 16/B374D848"))?;
    Ok(lsn.0)
}

fn startup(options: &Options) -> Result<Startup> {
    Ok(match options.enum_value("startup.mode") {
        "INITIAL" => Startup::Initial,
        "SNAPSHOT-ONLY" => Startup::SnapshotOnly,
        "EARLIEST" => Startup::Earliest,
        "LATEST" => Startup::Latest,
        "COMMITTED-OFFSET" => Startup::Committed,
        "TIMESTAMP" => {
            return Err(bad(
                "startup.mode",
                "TIMESTAMP is not supported: the log cannot be searched by time",
            )
            .hint("use COMMITTED-OFFSET with a slot that was made before the time, or SPECIFIC"));
        }
        _ => Startup::At(place(options, "startup")?),
    })
}

fn stop(options: &Options) -> Result<Stop> {
    Ok(match options.enum_value("stop.mode") {
        "NEVER" => Stop::Never,
        "LATEST" => Stop::Latest,
        "TIMESTAMP" => match options.opt_int("stop.timestamp") {
            Some(ms) => Stop::Time(u64::try_from(ms).unwrap_or(0)),
            None => return Err(bad("stop.timestamp", "required because stop.mode is TIMESTAMP")),
        },
        _ => Stop::At(place(options, "stop")?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn option_definitions_are_sound() {
        assert_eq!(culvert_config::definition_mistakes(OPTIONS), Vec::<String>::new());
    }

    #[test]
    fn every_job_has_a_slot_of_its_own() {
        let slot = derived_slot("Order Flow (EU)");
        assert!(slot.starts_with("culvert_order_flow__eu__"), "{slot}");
        assert_ne!(slot, derived_slot("order flow (eu)"));
        for job in ["", "ünï", &"x".repeat(500)] {
            valid_slot(&derived_slot(job)).unwrap();
        }
        for name in ["", "Upper", "a-b", &"x".repeat(64)] {
            assert!(valid_slot(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_database_is_one() {
        let listed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(database(Some("a"), &[]).unwrap(), "a");
        assert_eq!(database(None, &listed(&["a"])).unwrap(), "a");
        for (url, names) in [(Some("a"), vec!["b"]), (None, vec![]), (Some("a"), vec!["a", "b"])] {
            assert!(database(url, &listed(&names)).is_err());
        }
    }
}
