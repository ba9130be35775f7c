//! What the messages of one table, in one shape, have in common.

use culvert_api::{Error, ErrorKind, Result, TableSchema};

use crate::encode::avro::AvroPlan;
use crate::encode::connect::ConnectPlan;
use crate::encode::{Layout, value};
use crate::options::Settings;
use crate::template::{Piece, is_topic_name};

/// A table's plan.
#[derive(Debug)]
pub(crate) struct TablePlan {
    /// `"name":` of every column.
    pub(crate) labels: Vec<String>,
    /// Names of the columns.
    names: Vec<String>,
    /// Places of the columns whose type is a decimal.
    pub(crate) decimals: Vec<usize>,
    /// Places of the primary key's columns.
    pub(crate) primary_key: Vec<usize>,
    /// Places of the columns a message's key is made of; without any there is no key.
    pub(crate) key: Vec<usize>,
    /// Places of the columns that make up the value, in the order of a text.
    pub(crate) value: Vec<usize>,
    /// Places of the columns that are sent as headers.
    pub(crate) headers: Vec<usize>,
    pub(crate) topic: Vec<TopicPiece>,
    /// Messages without a key all go to one partition, so that the table's history keeps its order:
    /// the one with this number, of as many as there are.
    pub(crate) without_key: u32,
    /// What messages with Debezium's schemas need besides.
    pub(crate) connect: Option<ConnectPlan>,
    /// What messages in Avro need besides.
    pub(crate) avro: Option<AvroPlan>,
}

/// A piece of a topic's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TopicPiece {
    /// The same for all rows.
    Text(String),
    /// The row's value in this column.
    Column(usize),
}

impl TablePlan {
    /// Plans a table; refuses what cannot be sent, by column.
    pub(crate) fn new(settings: &Settings, table: &TableSchema) -> Result<TablePlan> {
        let refused = |what: String| Error::new(ErrorKind::Schema, what).context("table", &table.id);
        if let Some(column) = table.columns.iter().find(|column| !value::is_known(&column.data_type)) {
            let what = format!(
                "column {} has a type without a form in a message: {}",
                column.name, column.data_type
            );
            return Err(refused(what).hint("leave the column or the table out"));
        }
        let mut topic = Vec::new();
        for piece in settings.topic.of_table(table) {
            topic.push(match piece {
                Piece::Text(text) => TopicPiece::Text(text),
                Piece::Column(name) => match table.column_index(&name) {
                    Some(column) => TopicPiece::Column(column),
                    None => {
                        let what =
                            format!("option 'topic' names the column {name}, which the table does not have");
                        return Err(refused(what));
                    }
                },
            });
        }
        if let Some(name) = fixed(&topic)
            && !is_topic_name(&name)
        {
            let what = format!("option 'topic' gives '{name}', which is no name of a topic");
            return Err(refused(what)
                .hint("topics have letters and digits of ASCII, `.`, `_` and `-`; give this table a topic of another name"));
        }
        let labels = table.columns.iter().map(|column| {
            // Only a type's own refusal could fail here, and texts have none.
            serde_json::to_string(&column.name).unwrap_or_default() + ":"
        });
        let decimal = |(_, column): &(usize, &culvert_api::Column)| {
            matches!(
                column.data_type,
                arrow_schema::DataType::Decimal128(_, _) | arrow_schema::DataType::Decimal256(_, _)
            )
        };
        let key = key(settings, table)?;
        let headers = places("kafka_headers_fields", &settings.header_fields, table)?;
        let value = match settings.value_fields.as_slice() {
            [] => (0..table.columns.len()).filter(|column| !headers.contains(column)).collect(),
            chosen => places("kafka_message_value_fields", chosen, table)?,
        };
        let connect = match settings.encoder.layout {
            Layout::Connect => {
                let unsigned = settings.encoder.unsigned_as_decimal;
                Some(ConnectPlan::new(table, fixed(&topic).as_deref(), &key, unsigned)?)
            }
            _ => None,
        };
        let encoder = &settings.encoder;
        let avro = (encoder.layout == Layout::Avro)
            .then(|| AvroPlan::new(table, &key, &value, encoder.decimals_as_text))
            .transpose()?;
        Ok(TablePlan {
            labels: labels.collect(),
            names: table.columns.iter().map(|column| column.name.clone()).collect(),
            decimals: table.columns.iter().enumerate().filter(decimal).map(|(place, _)| place).collect(),
            primary_key: table.key_indices(),
            key,
            value,
            headers,
            topic,
            without_key: crc32fast::hash(table.id.to_string().as_bytes()),
            connect,
            avro,
        })
    }

    /// The topic, when it is the same for all rows.
    pub(crate) fn fixed_topic(&self) -> Option<String> {
        fixed(&self.topic)
    }

    /// A column's name, for messages to people.
    pub(crate) fn column_name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", String::as_str)
    }
}

fn fixed(topic: &[TopicPiece]) -> Option<String> {
    topic
        .iter()
        .map(|piece| match piece {
            TopicPiece::Text(text) => Some(text.as_str()),
            TopicPiece::Column(_) => None,
        })
        .collect()
}

/// The columns of `partition_key_fields`, otherwise of the primary key.
fn key(settings: &Settings, table: &TableSchema) -> Result<Vec<usize>> {
    match settings.key_fields.as_slice() {
        [] => return Ok(table.key_indices()),
        [only] if only == "${primary_key}" || only == "${unique_key}" => return Ok(table.key_indices()),
        _ => {}
    }
    places("partition_key_fields", &settings.key_fields, table)
}

/// The places of columns that an option names.
fn places(option: &str, names: &[String], table: &TableSchema) -> Result<Vec<usize>> {
    let place = |name: &String| {
        table.column_index(name).ok_or_else(|| {
            let what = format!("option '{option}' names the column {name}, which the table does not have");
            Error::new(ErrorKind::Schema, what).context("table", &table.id)
        })
    };
    names.iter().map(place).collect()
}
