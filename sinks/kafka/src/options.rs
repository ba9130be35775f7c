//! The sink's options, and what they mean once they are checked.

use std::sync::Arc;
use std::time::Duration;

use culvert_api::Result;
use culvert_config::{OptionDef, Options, Rule};

use crate::encode::{Encoder, Layout};
use crate::registry::Registry;
use crate::template::{self, Template};
use culvert_kafka::error::option as config;
use culvert_kafka::{ClientSettings, Refused};

/// The options of the sink `Kafka`.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("bootstrap.servers").required().doc("Brokers to begin with: `host:port`, several with commas between them."),
    OptionDef::string("topic").required().placeholders().doc(
        "The topic. `${table_name}`, `${schema_name}`, `${database_name}`, `${table_full_name}` and `${schema_full_name}` \
         are the table's; any other `${name}` is the row's value in that column.",
    ),
    OptionDef::map("kafka.config").secret().doc(
        "Settings of the client, by librdkafka's names: TLS, SASL, `compression.type`, `linger.ms`, \
         `transaction.timeout.ms` and so on. Those the promise rests on are refused.",
    ),
    OptionDef::choice("semantics", &["EXACTLY_ONCE", "AT_LEAST_ONCE", "NON"]).default("NON").doc(
        "EXACTLY_ONCE: everything between two checkpoints, and the commit marker, is one Kafka transaction. Otherwise \
         messages since the last checkpoint can repeat after a crash; none is lost, with NON either.",
    ),
    OptionDef::string("transaction_prefix").default("culvert").doc(
        "What transactional ids begin with: `<prefix>-<job>-<sink>-<writer>`.",
    ),
    OptionDef::string("progress_topic").default("culvert_commit").doc(
        "EXACTLY_ONCE: the compacted topic of commit markers; it is created with one partition when it is missing.",
    ),
    OptionDef::list("partition_key_fields").placeholders().doc(
        "The columns a message's key is made of; otherwise those of the primary key.",
    ),
    OptionDef::int_in("partition", 0, i32::MAX as i64).doc(
        "The partition of all messages; otherwise the key's hash decides, as in Kafka's Java client.",
    ),
    OptionDef::list("assign_partitions").refused("use a key, or `partition`").doc("Partitions by words in the message."),
    OptionDef::choice(
        "format",
        &[
            "json", "text", "debezium_json", "compatible_debezium_json", "canal_json", "maxwell_json", "ogg_json", "avro",
            "protobuf", "compatible_kafka_connect_json", "native",
        ],
    )
    .default("json")
    .doc("How a change becomes a message; docs/kafka.md shows each. The last three are refused: protobuf, compatible_kafka_connect_json, native."),
    OptionDef::string("field_delimiter").default(",").doc("What stands between the values of the format `text`."),
    OptionDef::string("schema.registry.url").doc(
        "Format avro: the schema registry, `http://` or `https://`, as Confluent's speaks; several addresses of one with \
         commas between them. Subjects are `<topic>-key` and `<topic>-value`.",
    ),
    OptionDef::string("schema.registry.user").doc("The account at the registry, by HTTP's basic authentication."),
    OptionDef::string("schema.registry.password").secret().doc("Its password."),
    OptionDef::string("schema.registry.ssl.ca.location").doc(
        "Certificates (PEM) that a registry at `https://` is verified against; otherwise the authorities that browsers know.",
    ),
    OptionDef::string("protobuf_schema").refused("there is no format protobuf").doc("The schema of the format protobuf."),
    OptionDef::string("protobuf_message_name").refused("there is no format protobuf").doc("The message of the format protobuf."),
    OptionDef::list("kafka_headers_fields").doc(
        "Columns that are sent as headers, as texts, and are left out of the value.",
    ),
    OptionDef::list("kafka_message_value_fields").doc(
        "The columns that make up the value; otherwise all but those of `kafka_headers_fields`.",
    ),
    OptionDef::choice("decimal_format", &["NUMBER", "STRING"]).default("NUMBER").doc(
        "Whether decimals are JSON numbers, with every digit (in `avro` decimals), or texts, for consumers that read numbers as doubles.",
    ),
    OptionDef::boolean("tombstones_on_delete").default("false").doc(
        "For compacted topics: a deleted row's key gets a message without a value, behind the message of the delete. In \
         the formats `json`, `text` and `avro` it stands in its place, and rows before an update are left out.",
    ),
    OptionDef::string("unavailable_placeholder").default("__debezium_unavailable_value").doc(
        "Formats debezium_json, compatible_debezium_json and text: what stands for a value that the source's log left out. Other formats leave the field out.",
    ),
    OptionDef::choice("bigint_unsigned_handling_mode", &["long", "precise"]).default("long").doc(
        "Format compatible_debezium_json: BIGINT UNSIGNED as an int64, where a value past its range is an error, or as a \
         decimal; Debezium's `bigint.unsigned.handling.mode`.",
    ),
    OptionDef::boolean("provide_transaction_metadata").default("false").doc(
        "Debezium formats: messages tell their transaction, and `transaction_topic` gets a begin and an end with counts for \
         each; Debezium's `provide.transaction.metadata`.",
    ),
    OptionDef::string("transaction_topic").default("culvert_transactions").doc(
        "provide_transaction_metadata: the topic of begins and ends. Partition 0 alone is used.",
    ),
    OptionDef::boolean("create_topics").default("true").doc("Whether topics that are missing are created."),
    OptionDef::int_in("topic_partitions", 1, 100_000).doc("Partitions of created topics; the broker's default otherwise."),
    OptionDef::int_in("topic_replication_factor", 1, 1000).doc(
        "Replicas of created topics, the progress topic included; the broker's default otherwise.",
    ),
    OptionDef::int_in("multi_table_sink_replica", 1, i64::MAX)
        .default("1")
        .ignored("one producer writes all tables, so that one commit covers them").doc("How many writers share the tables."),
];

/// Settings of the client that the promise rests on.
const REFUSED: &[Refused] = &[
    ("acks", &["all", "-1"], "a message must be at all replicas before it counts"),
    ("request.required.acks", &["all", "-1"], "a message must be at all replicas before it counts"),
    ("enable.idempotence", &["true"], "without it a retry repeats and reorders messages"),
    ("transactional.id", &[], "it is made from transaction_prefix, job and sink"),
    ("isolation.level", &[], "commit markers are read as their protocol needs it"),
    ("delivery.report.only.error", &["false"], "every delivery is checked"),
    ("group.id", &[], "the sink is no member of a group"),
    ("enable.partition.eof", &["true"], "commit markers are read as their protocol needs it"),
];

/// What must be set together.
pub const RULES: &[Rule] = &[Rule::AtMostOne(&["partition", "partition_key_fields"])];

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) client: ClientSettings,
    pub(crate) exactly_once: bool,
    pub(crate) transaction_prefix: String,
    pub(crate) progress_topic: String,
    /// Where begins and ends of the source's transactions go; `None`: nowhere.
    pub(crate) transaction_topic: Option<String>,
    pub(crate) topic: Template,
    pub(crate) key_fields: Vec<String>,
    pub(crate) header_fields: Vec<String>,
    pub(crate) value_fields: Vec<String>,
    pub(crate) partition: Option<i32>,
    pub(crate) encoder: Encoder,
    /// Where schemas are registered; the format avro alone has one.
    pub(crate) registry: Option<Arc<Registry>>,
    pub(crate) create_topics: bool,
    /// -1 asks for the broker's default.
    pub(crate) topic_partitions: i32,
    /// -1 asks for the broker's default.
    pub(crate) topic_replication_factor: i32,
}

impl Settings {
    /// Checks the options against each other and against librdkafka; connects to nothing.
    pub(crate) fn from_options(options: &Options) -> Result<Settings> {
        let progress_topic = options.str("progress_topic").to_owned();
        if !template::is_topic_name(&progress_topic) {
            return Err(config("progress_topic", "is no name of a topic"));
        }
        let topic = Template::parse(options.str("topic")).map_err(|what| config("topic", &what))?;
        if topic.fixed() == Some(progress_topic.as_str()) {
            return Err(config("progress_topic", "is the topic of the messages"));
        }
        if options.str("field_delimiter").is_empty() {
            return Err(config("field_delimiter", "is empty"));
        }
        let layout = layout(options.enum_value("format"))?;
        let transaction_topic = transaction_topic(options, layout)?;
        if let Some(name) = &transaction_topic
            && (*name == progress_topic || topic.fixed() == Some(name))
        {
            return Err(config("transaction_topic", "is the topic of something else"));
        }
        for name in ["kafka_headers_fields", "kafka_message_value_fields"] {
            if layout == Layout::Connect && !options.list(name).is_empty() {
                let what = "does not go with compatible_debezium_json, whose schemas have all columns";
                return Err(config(name, what));
            }
        }
        let registry = match layout {
            Layout::Avro => Some(Arc::new(Registry::from_options(options)?)),
            _ if options.is_set("schema.registry.url") => {
                return Err(config("schema.registry.url", "goes with the format avro alone"));
            }
            _ => None,
        };
        let client =
            ClientSettings::new(options.str("bootstrap.servers"), options.map("kafka.config"), REFUSED)?;
        Ok(Settings {
            client,
            exactly_once: options.enum_value("semantics") == "EXACTLY_ONCE",
            transaction_prefix: options.str("transaction_prefix").to_owned(),
            progress_topic,
            transaction_topic,
            topic,
            key_fields: options.list("partition_key_fields").to_vec(),
            header_fields: options.list("kafka_headers_fields").to_vec(),
            value_fields: options.list("kafka_message_value_fields").to_vec(),
            partition: narrow(options, "partition"),
            encoder: Encoder {
                layout,
                decimals_as_text: options.enum_value("decimal_format") == "STRING",
                unsigned_as_decimal: options.enum_value("bigint_unsigned_handling_mode") == "precise",
                tombstones: options.bool("tombstones_on_delete"),
                delimiter: options.str("field_delimiter").to_owned(),
                unavailable: options.str("unavailable_placeholder").to_owned(),
            },
            registry,
            create_topics: options.bool("create_topics"),
            topic_partitions: narrow(options, "topic_partitions").unwrap_or(-1),
            topic_replication_factor: narrow(options, "topic_replication_factor").unwrap_or(-1),
        })
    }

    /// The transactional id of a writer: the same for every run, so that a new run fences an old one.
    pub(crate) fn transactional_id(&self, job: &str, sink: &str, writer: u32) -> String {
        format!("{}-{job}-{sink}-{writer}", self.transaction_prefix)
    }

    /// How long the broker may go without taking a message before that is an error.
    pub(crate) fn patience(&self) -> Duration {
        self.client.message_timeout
    }
}

/// A number that its definition keeps within 32 bits.
fn narrow(options: &Options, name: &str) -> Option<i32> {
    options.opt_int(name).and_then(|number| i32::try_from(number).ok())
}

/// Where transactions of the source are told of, if they are.
fn transaction_topic(options: &Options, layout: Layout) -> Result<Option<String>> {
    if !options.bool("provide_transaction_metadata") {
        return Ok(None);
    }
    if !matches!(layout, Layout::Debezium | Layout::Connect) {
        let what = "needs the format debezium_json or compatible_debezium_json";
        return Err(config("provide_transaction_metadata", what));
    }
    let name = options.str("transaction_topic");
    if !template::is_topic_name(name) {
        return Err(config("transaction_topic", "is no name of a topic"));
    }
    Ok(Some(name.to_owned()))
}

fn layout(format: &str) -> Result<Layout> {
    let refused = |why: &str| config("format", &format!("does not take {format}: {why}"));
    match format {
        "json" => Ok(Layout::Json),
        "text" => Ok(Layout::Text),
        "debezium_json" => Ok(Layout::Debezium),
        "compatible_debezium_json" => Ok(Layout::Connect),
        "canal_json" => Ok(Layout::Canal),
        "maxwell_json" => Ok(Layout::Maxwell),
        "ogg_json" => Ok(Layout::Ogg),
        "avro" => Ok(Layout::Avro),
        _ => Err(refused("it is not there yet; use avro or one of the JSON formats")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
