//! The source's options, and what they mean once they are checked.

use std::sync::Arc;
use std::time::Duration;

use culvert_api::{Result, TableId, TableSchema};
use culvert_config::{OptionDef, Options, Rule};
use culvert_kafka::error::option;
use culvert_kafka::{ClientSettings, Refused};
use culvert_values::schema;

use crate::decode::{Decoder, Layout, Missing};

const ONE_TOPIC: &str =
    "a source reads one topic, so that a partition's number names it for ever; use a job per topic";

/// The options of the source `Kafka`.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("bootstrap.servers").required().doc("Brokers to begin with: `host:port`, several with commas between them."),
    OptionDef::string("topic").required().doc("The topic. Its partitions are shared by the processes of the group."),
    OptionDef::boolean("pattern").default("false").refused(ONE_TOPIC).doc("Whether `topic` is a pattern."),
    OptionDef::objects("table_list").refused(ONE_TOPIC).doc("Topics, each with a table."),
    OptionDef::string("consumer.group").doc(
        "The consumer group: who runs the same job with the same group shares its partitions. `culvert-` and the job's name \
         without it. A group belongs to one job.",
    ),
    OptionDef::boolean("commit_on_checkpoint").default("true").refused("the offsets in the group are its memory of the job")
        .doc("Whether offsets are committed to the group behind every checkpoint."),
    OptionDef::choice("start_mode", &["EARLIEST", "LATEST", "GROUP_OFFSETS", "TIMESTAMP", "SPECIFIC_OFFSETS"])
        .default("GROUP_OFFSETS")
        .doc("Where a partition begins that this job has never read: its first message; behind its last; where the group left \
              off, otherwise its first message; the first message from a time on; given offsets. Partitions that are added later \
              begin at their first message."),
    OptionDef::int("start_mode.timestamp").unit("ms since 1970 UTC").doc("The time (TIMESTAMP)."),
    OptionDef::map("start_mode.offsets").doc("The offsets, by `topic-partition` (SPECIFIC_OFFSETS). All partitions must be named."),
    OptionDef::int("start_mode.end_timestamp").refused("a group reads on until it is stopped").doc("Where to end."),
    OptionDef::choice("format", &[
        "json", "debezium_json", "canal_json", "maxwell_json", "ogg_json", "text", "avro", "protobuf",
        "compatible_debezium_json", "compatible_kafka_connect_json", "native",
    ])
    .default("json")
    .doc("How a message says what changed. The last six are refused: text, avro, protobuf, compatible_debezium_json, compatible_kafka_connect_json, native."),
    OptionDef::choice("format_error_handle_way", &["FAIL", "SKIP"]).default("FAIL").doc(
        "A message that cannot be read stops the job, which names topic, partition and offset; or it is left out with a warning.",
    ),
    OptionDef::boolean("debezium_record_include_schema").default("true").ignored("messages with and without their schema are told apart")
        .doc("Whether messages of the format debezium_json have their schema with them."),
    OptionDef::string("field_delimiter").refused("there is no format text").doc("What stands between the values of the format `text`."),
    OptionDef::string("unavailable_placeholder").default("__debezium_unavailable_value")
        .doc("Format debezium_json: what stands for a value that is not told because it did not change."),
    OptionDef::choice("missing_fields", &["AUTO", "NULL", "UNAVAILABLE"]).default("AUTO").doc(
        "What a field means that a message does not have: NULL, or a value that did not change. AUTO: NULL in messages of the \
         format json without the header `row_kind`.",
    ),
    OptionDef::string("schema.table").doc(
        "The table's name: `database.table` or `database.schema.table`. Messages that name another table are refused. Without it \
         the table is called like the topic, and what messages say about it is not looked at.",
    ),
    schema::FIELDS,
    schema::COLUMNS,
    schema::KEY,
    schema::KEY_NAME,
    schema::CONSTRAINTS,
    schema::COMMENT,
    OptionDef::int_in("partition-discovery.interval-millis", -1, 86_400_000).default("-1").unit("ms").doc(
        "How often to look for new partitions; every 30 s with -1.",
    ),
    OptionDef::duration_ms("poll.timeout").default("10000").ignored("messages are passed on as they come").doc("How long to wait for messages."),
    OptionDef::map("kafka.config").secret().doc(
        "Settings of the client, by librdkafka's names: TLS, SASL, `session.timeout.ms`, `client.rack` and so on. Those the promise \
         rests on are refused.",
    ),
];

/// What holds between options.
pub const RULES: &[Rule] = &[
    Rule::AtMostOne(&["schema.fields", "schema.columns"]),
    Rule::RequiredWhen { option: "start_mode", is: "TIMESTAMP", needs: &["start_mode.timestamp"] },
    Rule::RequiredWhen { option: "start_mode", is: "SPECIFIC_OFFSETS", needs: &["start_mode.offsets"] },
];

/// Settings of the client that the promise rests on.
const REFUSED: &[Refused] = &[
    ("group.id", &[], "it is an option of its own: consumer.group"),
    ("group.instance.id", &[], "processes of one job file would all be the same member"),
    (
        "group.protocol",
        &["classic"],
        "partitions are taken over step by step, as the classic protocol lets us see it",
    ),
    ("partition.assignment.strategy", &["cooperative-sticky"], "partitions are taken over step by step"),
    ("enable.auto.commit", &["false"], "offsets are committed behind the checkpoints"),
    ("enable.auto.offset.store", &["false"], "offsets are committed behind the checkpoints"),
    ("isolation.level", &["read_committed"], "a message of a transaction that was given up is no change"),
    ("auto.offset.reset", &["earliest", "latest", "none", "error"], "see start_mode"),
    ("enable.partition.eof", &["false"], "a partition has no end"),
];

const DISCOVERY_DEFAULT: Duration = Duration::from_secs(30);

/// Where a partition begins that the job has never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StartMode {
    Earliest,
    Latest,
    GroupOffsets,
    /// Milliseconds since 1970 UTC.
    Timestamp(i64),
    /// By partition.
    Offsets(Vec<(i32, i64)>),
}

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) client: ClientSettings,
    pub(crate) topic: String,
    /// `None`: named after the job.
    group: Option<String>,
    pub(crate) start: StartMode,
    pub(crate) decoder: Decoder,
    pub(crate) skip_unreadable: bool,
    pub(crate) discovery: Duration,
}

impl Settings {
    /// Checks the options against each other and against librdkafka; connects to nothing.
    pub(crate) fn from_options(options: &Options) -> Result<Settings> {
        let topic = options.str("topic").to_owned();
        if topic.contains(',') {
            return Err(option("topic", ONE_TOPIC));
        }
        let declared = schema::declared(options, TableId::new("", &topic))?;
        schema::refuse_nested(&declared.schema, "a message")?;
        if let Some(at) = declared.defaults.iter().position(Option::is_some) {
            let name = declared.schema.columns.get(at).map_or("", |column| column.name.as_str());
            return Err(option(
                "schema.columns",
                &format!("has a `defaultValue` for the column {name}: a message says what its fields hold"),
            ));
        }
        let schema: Arc<TableSchema> = Arc::new(declared.schema);
        let interval = u64::try_from(options.int("partition-discovery.interval-millis")).ok();
        Ok(Settings {
            client: ClientSettings::new(
                options.str("bootstrap.servers"),
                options.map("kafka.config"),
                REFUSED,
            )?,
            start: start(options, &topic)?,
            topic,
            group: options.opt_str("consumer.group").filter(|name| !name.is_empty()).map(str::to_owned),
            decoder: Decoder {
                layout: layout(options.enum_value("format"))?,
                schema,
                is_named: options.opt_str("schema.table").is_some_and(|name| !name.is_empty()),
                unavailable: options.str("unavailable_placeholder").to_owned(),
                missing: match options.enum_value("missing_fields") {
                    "NULL" => Missing::Null,
                    "UNAVAILABLE" => Missing::Unavailable,
                    _ => Missing::ByMessage,
                },
            },
            skip_unreadable: options.enum_value("format_error_handle_way") == "SKIP",
            discovery: interval.map_or(DISCOVERY_DEFAULT, |millis| Duration::from_millis(millis.max(1000))),
        })
    }

    /// The consumer group of a job.
    pub(crate) fn group(&self, job: &str) -> String {
        self.group.clone().unwrap_or_else(|| format!("culvert-{job}"))
    }

    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        &self.decoder.schema
    }
}

fn start(options: &Options, topic: &str) -> Result<StartMode> {
    Ok(match options.enum_value("start_mode") {
        "EARLIEST" => StartMode::Earliest,
        "LATEST" => StartMode::Latest,
        "TIMESTAMP" => StartMode::Timestamp(options.int("start_mode.timestamp")),
        "SPECIFIC_OFFSETS" => {
            let mut offsets = Vec::new();
            for (name, offset) in options.map("start_mode.offsets") {
                let partition = name.strip_prefix(topic).and_then(|rest| rest.strip_prefix('-'));
                let partition =
                    partition.and_then(|number| number.parse::<i32>().ok()).filter(|number| *number >= 0);
                let offset = offset.trim().parse::<i64>().ok().filter(|number| *number >= 0);
                let (Some(partition), Some(offset)) = (partition, offset) else {
                    let what =
                        format!("has '{name}', which is not '{topic}-PARTITION' with an offset from 0 up");
                    return Err(option("start_mode.offsets", &what));
                };
                offsets.push((partition, offset));
            }
            StartMode::Offsets(offsets)
        }
        _ => StartMode::GroupOffsets,
    })
}

fn layout(format: &str) -> Result<Layout> {
    match format {
        "json" => Ok(Layout::Json),
        "debezium_json" => Ok(Layout::Debezium),
        "canal_json" => Ok(Layout::Canal),
        "maxwell_json" => Ok(Layout::Maxwell),
        "ogg_json" => Ok(Layout::Ogg),
        _ => Err(option("format", &format!("does not read {format} yet"))
            .hint("use one of json, debezium_json, canal_json, maxwell_json, ogg_json")),
    }
}
