//! The sink's options, and what they mean once they are checked.

use std::sync::Arc;
use std::time::Duration;

use culvert_api::Result;
use culvert_config::{JdbcUrl, OptionDef, Options, Secret};
use culvert_storage::{S3Options, Storage, is_s3};
use iceberg::spec::TableMetadata;

use crate::catalog::Catalog;
use crate::catalog::hadoop::Hadoop;
use crate::catalog::rest::{Login, Rest, Session};
use crate::catalog::sql::{Database, Sql};
use crate::error::option;
use crate::partition::Part;
use crate::upkeep::Rules;

/// How long a server of a catalog may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The options of the sink `Iceberg`.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("catalog_name").required()
        .doc("The catalog's name. A catalog in a database holds several, each under its name; the others have no use for it."),
    OptionDef::string("namespace").default("default").placeholders()
        .doc("The namespace of the tables, with dots between its levels; `${database_name}` and `${schema_name}` are filled in."),
    OptionDef::string("table").default("${table_name}").placeholders()
        .doc("The table; `${database_name}`, `${schema_name}` and `${table_name}` are filled in."),
    OptionDef::map("iceberg.catalog.config").required().secret()
        .doc("The catalog: `type` (hadoop, jdbc, rest), `warehouse`, `uri` and what docs/iceberg.md lists beside them."),
    OptionDef::map("hadoop.config").secret()
        .doc("The storage by Hadoop's names: `fs.s3a.endpoint`, `fs.s3a.access.key`, `fs.s3a.secret.key`, `fs.s3a.path.style.access` and so on."),
    OptionDef::string("iceberg.hadoop-conf-path").refused("there is no Hadoop here; write the settings into hadoop.config")
        .doc("A folder with files of Hadoop."),
    OptionDef::string("iceberg.table.primary-keys")
        .doc("The columns that tell rows apart in upsert mode, with commas between them; those of the source's primary key without it."),
    OptionDef::string("iceberg.table.partition-keys")
        .doc("How a table that is made is parted, with commas: a column, or `year(c)`, `month(c)`, `day(c)`, `hour(c)`, `bucket(c, 16)`, `truncate(c, 10)`."),
    OptionDef::boolean("iceberg.table.upsert-mode-enabled").default("false")
        .doc("Whether the table holds each row as it is now, instead of every change as a row of its own."),
    OptionDef::boolean("iceberg.table.schema-evolution-enabled").default("false")
        .doc("Whether the table follows changes of the source's columns."),
    OptionDef::map("iceberg.table.write-props").doc("How files are written: `write.target-file-size-bytes`, `write.parquet.compression-codec`; over the table's own properties."),
    OptionDef::map("iceberg.table.auto-create-props").doc("Properties of tables that are made."),
    OptionDef::string("iceberg.table.commit-branch").default("main").doc("The branch that is committed to."),
    OptionDef::boolean("case_sensitive").default("false").doc("Whether the letter case of a column's name counts when it is looked for in the table."),
    OptionDef::choice("schema_save_mode", &["CREATE_SCHEMA_WHEN_NOT_EXIST", "RECREATE_SCHEMA", "ERROR_WHEN_SCHEMA_NOT_EXIST", "IGNORE"])
        .default("CREATE_SCHEMA_WHEN_NOT_EXIST")
        .doc("What a first start does with the table: makes it, makes it anew, or stops when it is missing (IGNORE as well)."),
    OptionDef::choice("data_save_mode", &["APPEND_DATA", "DROP_DATA", "ERROR_WHEN_DATA_EXISTS", "CUSTOM_PROCESSING"]).default("APPEND_DATA")
        .doc("What a first start does with rows of the table: leaves them, removes them, or stops. CUSTOM_PROCESSING is refused."),
    OptionDef::string("custom_sql").ignored("no SQL is run here").doc("Of CUSTOM_PROCESSING."),
    OptionDef::string("row_kind_column").default("row_kind")
        .doc("Append mode: the column that says what happened (`+I`, `-U`, `+U`, `-D`), for tables whose rows change. Empty: none."),
    OptionDef::string("row_position_column").default("row_position")
        .doc("Append mode: the column that says where the source has the change (`TRANSACTION:EVENT:ROW`), for tables whose rows change. Empty: none."),
    OptionDef::string("row_commit_time_column").default("row_commit_time")
        .doc("Append mode: the column that says when the source committed it, for tables whose rows change; NULL for rows that were there before. Empty: none."),
    OptionDef::int_in("write.memory.max", 64 << 20, 64 << 30).default("268435456").unit("bytes")
        .doc("What open files and rows that wait for their checkpoint may take; files are ended early, the one that was idle for longest first."),
    OptionDef::duration_ms("upkeep.interval.ms").default("60000")
        .doc("Upkeep of the tables that are written to: the time between two rounds, beside the stream and never in its way."),
    OptionDef::boolean("upkeep.compaction.enabled").default("false")
        .doc("Whether files of less than half the target size are put together."),
    OptionDef::int_in("upkeep.compaction.files.min", 2, 100_000).default("16")
        .doc("How many of them a partition has before it is worth it."),
    OptionDef::int_in("upkeep.compaction.bytes.max", 1 << 20, 1 << 50).default("1073741824").unit("bytes")
        .doc("What a round rewrites of a table at most."),
    OptionDef::int_in("upkeep.delete-files.max", 0, 1_000_000).default("64")
        .doc("Upsert mode: with more live files of deletes than this, they are merged into the rows they are about. 0: never."),
    OptionDef::duration_ms("upkeep.snapshots.age.max.ms").default("0")
        .doc("Snapshots that are older are removed, with the files that only they name. 0: never."),
    OptionDef::int_in("upkeep.snapshots.min", 1, 1_000_000).default("100").doc("Snapshots that stay whatever their age."),
    OptionDef::duration_ms("upkeep.orphans.age.min.ms").default("0")
        .doc("Files below a table that nothing names and that are older are removed. An hour at least, and longer than any checkpoint of any writer takes: 259200000 is usual. 0: never."),
    OptionDef::string("commit_namespace").default("culvert")
        .doc("The namespace of the commit tables, one per job and sink."),
    OptionDef::int_in("multi_table_sink_replica", 1, i64::MAX).default("1").ignored("one writer writes all tables")
        .doc("How many writers share the tables."),
];

/// What a first start does with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaMode {
    Create,
    Recreate,
    /// It has to be there.
    Require,
}

/// What a first start does with rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataMode {
    Append,
    Drop,
    /// Stops when there are any.
    Refuse,
}

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) storage: Storage,
    /// With placeholders.
    pub(crate) namespace: String,
    pub(crate) table: String,
    pub(crate) primary_keys: Vec<String>,
    pub(crate) partition: Vec<Part>,
    pub(crate) upsert: bool,
    pub(crate) evolves: bool,
    pub(crate) write_props: Vec<(String, String)>,
    pub(crate) create_props: Vec<(String, String)>,
    pub(crate) branch: String,
    pub(crate) case_sensitive: bool,
    pub(crate) schema_mode: SchemaMode,
    pub(crate) data_mode: DataMode,
    pub(crate) added: Added,
    pub(crate) memory_max: usize,
    pub(crate) commit_namespace: String,
    pub(crate) upkeep: Rules,
}

/// The columns that append mode adds. `None`: it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) kind: Option<String>,
    pub(crate) position: Option<String>,
    pub(crate) commit_time: Option<String>,
    /// Whether they are added to tables whose rows never change as well, because the job file names one.
    pub(crate) always: bool,
}

/// Words with commas between them.
fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A setting of the catalog by one of its names.
fn setting<'a>(map: &'a [(String, String)], names: &[&str]) -> Option<&'a str> {
    map.iter()
        .find(|(name, value)| names.contains(&name.as_str()) && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

impl Settings {
    /// Checks the options against each other.
    pub(crate) fn from_options(options: &Options) -> Result<Settings> {
        let set = |name: &str| Some(options.str(name)).filter(|text| !text.is_empty()).map(str::to_owned);
        let (storage, catalog) = catalog(options)?;
        for name in ["iceberg.table.write-props", "iceberg.table.auto-create-props"] {
            let format = setting(options.map(name), &["write.format.default"]).unwrap_or("parquet");
            if !format.eq_ignore_ascii_case("parquet") {
                let what = format!("asks for files of the format {format}: Parquet is what is written");
                return Err(option(name, &what));
            }
        }
        let names = ["row_kind_column", "row_position_column", "row_commit_time_column"];
        Ok(Settings {
            catalog,
            storage,
            namespace: options.str("namespace").to_owned(),
            table: options.str("table").to_owned(),
            primary_keys: words(options.opt_str("iceberg.table.primary-keys")),
            partition: Part::parse(options.opt_str("iceberg.table.partition-keys").unwrap_or_default())?,
            upsert: options.bool("iceberg.table.upsert-mode-enabled"),
            evolves: options.bool("iceberg.table.schema-evolution-enabled"),
            write_props: options.map("iceberg.table.write-props").to_vec(),
            create_props: options.map("iceberg.table.auto-create-props").to_vec(),
            branch: options.str("iceberg.table.commit-branch").to_owned(),
            case_sensitive: options.bool("case_sensitive"),
            schema_mode: match options.enum_value("schema_save_mode") {
                "RECREATE_SCHEMA" => SchemaMode::Recreate,
                "CREATE_SCHEMA_WHEN_NOT_EXIST" => SchemaMode::Create,
                _ => SchemaMode::Require,
            },
            data_mode: match options.enum_value("data_save_mode") {
                "DROP_DATA" => DataMode::Drop,
                "ERROR_WHEN_DATA_EXISTS" => DataMode::Refuse,
                "CUSTOM_PROCESSING" => {
                    return Err(option("data_save_mode", "is CUSTOM_PROCESSING: no SQL is run here")
                        .hint("use APPEND_DATA, DROP_DATA or ERROR_WHEN_DATA_EXISTS"));
                }
                _ => DataMode::Append,
            },
            added: Added {
                kind: set("row_kind_column"),
                position: set("row_position_column"),
                commit_time: set("row_commit_time_column"),
                always: names.iter().any(|name| options.is_set(name)),
            },
            memory_max: usize::try_from(options.unsigned("write.memory.max")).unwrap_or(usize::MAX),
            commit_namespace: options.str("commit_namespace").to_owned(),
            upkeep: upkeep(options)?,
        })
    }

    /// Bytes that a file of a table is to have.
    pub(crate) fn target_bytes(&self, table: &TableMetadata) -> usize {
        let text = self.property(table.properties(), "write.target-file-size-bytes");
        text.and_then(|text| text.parse().ok()).unwrap_or(TARGET_BYTES)
    }

    /// A property of how files are written: the job's, otherwise the table's.
    pub(crate) fn property<'a>(
        &'a self,
        table: &'a std::collections::HashMap<String, String>,
        name: &str,
    ) -> Option<&'a str> {
        setting(&self.write_props, &[name]).or_else(|| table.get(name).map(String::as_str))
    }
}

const ORPHAN_AGE: &str = "upkeep.orphans.age.min.ms";
const ORPHAN_AGE_MIN: Duration = Duration::from_secs(3600);
/// Bytes of a file where neither the job nor the table says.
const TARGET_BYTES: usize = 128 << 20;

const CATALOG: &str = "iceberg.catalog.config";
/// What is known of the catalog's settings, beside those of its properties that are for Java alone.
const KNOWN: &[&str] = &[
    "type",
    "catalog-impl",
    "warehouse",
    "uri",
    "jdbc.user",
    "jdbc.password",
    "token",
    "credential",
    "scope",
    "oauth2-server-uri",
    "s3.endpoint",
    "s3.access-key-id",
    "s3.secret-access-key",
    "s3.session-token",
    "s3.region",
    "client.region",
    "s3.path-style-access",
    "io-impl",
    "clients",
    "cache-enabled",
    "jdbc.schema-version",
];

/// What is kept up.
fn upkeep(options: &Options) -> Result<Rules> {
    let number = |name: &str| usize::try_from(options.unsigned(name)).unwrap_or(usize::MAX);
    let time =
        |name: &str| Some(Duration::from_millis(options.unsigned(name))).filter(|time| !time.is_zero());
    let orphan_age = time(ORPHAN_AGE);
    if orphan_age.is_some_and(|age| age < ORPHAN_AGE_MIN) {
        let what = "is less than an hour: files of a checkpoint under way could be taken for orphans";
        return Err(option(ORPHAN_AGE, what));
    }
    Ok(Rules {
        interval: Duration::from_millis(options.unsigned("upkeep.interval.ms")),
        compacts: options.bool("upkeep.compaction.enabled"),
        files_min: number("upkeep.compaction.files.min"),
        bytes_max: options.unsigned("upkeep.compaction.bytes.max"),
        deletes_max: number("upkeep.delete-files.max"),
        age_max: time("upkeep.snapshots.age.max.ms"),
        snapshots_min: number("upkeep.snapshots.min"),
        orphan_age,
    })
}

/// The catalog that the options name, and the storage of its warehouse.
fn catalog(options: &Options) -> Result<(Storage, Arc<dyn Catalog>)> {
    let config = options.map(CATALOG);
    if let Some((name, _)) = config.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
        return Err(option(CATALOG, &format!("has the setting {name}, which is not known"))
            .hint("docs/iceberg.md lists those that are"));
    }
    let implementation =
        setting(config, &["catalog-impl"]).map(|name| name.rsplit('.').next().unwrap_or(name));
    let kind = setting(config, &["type"]).map(str::to_lowercase);
    let kind = match (kind.as_deref(), implementation) {
        (Some(kind), _) => kind.to_owned(),
        (None, Some("JdbcCatalog")) => "jdbc".to_owned(),
        (None, Some("RESTCatalog")) => "rest".to_owned(),
        (None, Some("HadoopCatalog")) => "hadoop".to_owned(),
        (None, other) => {
            let what = other.map_or("lacks type".to_owned(), |other| {
                format!("has the catalog-impl {other}, which is not known")
            });
            return Err(option(CATALOG, &what).hint("type is one of hadoop, jdbc, rest"));
        }
    };
    let warehouse = setting(config, &["warehouse"]);
    let s3 = || s3_options(config, options.map("hadoop.config"));
    let location = |warehouse: Option<&str>| {
        let location = warehouse.ok_or_else(|| option(CATALOG, "lacks warehouse"))?;
        let storage = Storage::of(location, s3).map_err(|error| error.context("option", CATALOG))?;
        Ok::<_, culvert_api::Error>((
            storage,
            location.strip_prefix("file://").unwrap_or(location).to_owned(),
        ))
    };
    let uri = || setting(config, &["uri"]).ok_or_else(|| option(CATALOG, "lacks uri"));
    match kind.as_str() {
        "hadoop" => {
            let (storage, warehouse) = location(warehouse)?;
            Ok((storage.clone(), Arc::new(Hadoop { storage, warehouse })))
        }
        "jdbc" | "sql" => {
            let (storage, warehouse) = location(warehouse)?;
            let database = database(uri()?, config)?;
            let name = options.str("catalog_name").to_owned();
            Ok((storage.clone(), Arc::new(Sql { storage, warehouse, name, database })))
        }
        "rest" => {
            // The server decides where tables are; the settings of S3 say how to get there.
            let has_s3 = ["s3.endpoint", "s3.access-key-id", "s3.region", "client.region"];
            let on_s3 = warehouse.is_some_and(is_s3) || setting(config, &has_s3).is_some();
            let storage = if on_s3 { Storage::of("s3://-/", s3)? } else { Storage::Local };
            let uri = uri()?.trim_end_matches('/').to_owned();
            let session = Session::new(&uri, warehouse, login(&uri, config));
            Ok((storage, Arc::new(Rest { session: Arc::new(session) })))
        }
        other => Err(option(CATALOG, &format!("has the type {other}, which is not known"))
            .hint("type is one of hadoop, jdbc, rest; Hive and Glue serve the protocol of rest as well")),
    }
}

fn login(uri: &str, config: &[(String, String)]) -> Login {
    if let Some(token) = setting(config, &["token"]) {
        return Login::Token(Secret::new(token));
    }
    match setting(config, &["credential"]) {
        None => Login::Anonymous,
        Some(credential) => Login::Credential {
            credential: Secret::new(credential),
            server: setting(config, &["oauth2-server-uri"])
                .map_or_else(|| format!("{uri}/v1/oauth/tokens"), str::to_owned),
            scope: setting(config, &["scope"]).unwrap_or("catalog").to_owned(),
        },
    }
}

/// The database of a catalog: `jdbc:sqlite:/file`, `jdbc:postgresql://…`, and the forms of pyiceberg.
fn database(uri: &str, config: &[(String, String)]) -> Result<Database> {
    for prefix in ["jdbc:sqlite:file:", "jdbc:sqlite:", "sqlite:///", "sqlite:"] {
        if let Some(path) = uri.strip_prefix(prefix) {
            let path = path.split('?').next().unwrap_or_default();
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            return Ok(Database::Sqlite(path.into()));
        }
    }
    let plain = uri.replace("postgresql+psycopg2://", "postgresql://");
    let url = JdbcUrl::parse(&plain)
        .map_err(|cause| option(CATALOG, &format!("has a uri that cannot be used: {cause}")))?;
    if url.family() != culvert_config::UrlFamily::Postgres {
        return Err(option(CATALOG, "has a uri of a database that is not known")
            .hint("a catalog can be in PostgreSQL (jdbc:postgresql://host/db) or in a file of SQLite (jdbc:sqlite:/file)"));
    }
    let user = setting(config, &["jdbc.user"])
        .map(str::to_owned)
        .or_else(|| url.username.clone())
        .unwrap_or_default();
    let password = setting(config, &["jdbc.password"]).map(Secret::new).or_else(|| url.password.clone());
    let endpoint =
        culvert_postgres::Endpoint::new(&url, &user, password.unwrap_or_default(), CONNECT_TIMEOUT)?
            .with_session(culvert_postgres::Session::Writer);
    Ok(Database::Postgres(Box::new(endpoint)))
}

/// The S3 service by Iceberg's names, otherwise by Hadoop's.
fn s3_options(config: &[(String, String)], hadoop: &[(String, String)]) -> Result<S3Options> {
    let of = |iceberg: &[&str], theirs: &[&str]| {
        setting(config, iceberg).or_else(|| setting(hadoop, theirs)).map(str::to_owned)
    };
    let path_style = of(&["s3.path-style-access"], &["fs.s3a.path.style.access"]);
    let options = S3Options {
        endpoint: of(&["s3.endpoint"], &["fs.s3a.endpoint"]),
        region: of(&["s3.region", "client.region"], &["fs.s3a.endpoint.region"]),
        access_key: of(&["s3.access-key-id"], &["fs.s3a.access.key"]),
        secret_key: of(&["s3.secret-access-key"], &["fs.s3a.secret.key"]),
        session_token: of(&["s3.session-token"], &["fs.s3a.session.token"]),
        virtual_hosted: path_style.as_deref() == Some("false"),
    };
    if options.access_key.is_some() != options.secret_key.is_some() {
        return Err(option(CATALOG, "has one half of the credentials of S3").hint(
            "write both s3.access-key-id and s3.secret-access-key, or none: the environment's are used then",
        ));
    }
    Ok(options)
}

#[cfg(test)]
pub(crate) mod tests;
