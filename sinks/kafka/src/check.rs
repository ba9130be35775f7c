//! What `culvert check --connect` finds out about the cluster, without writing anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{Error, ErrorClass, ErrorKind, Finding, Result, TableSchema};

use crate::cluster::{Cluster, not_compact};
use crate::encode::Layout;
use crate::options::Settings;
use crate::plan::TablePlan;

/// Checks the cluster for these upstream tables.
pub(crate) async fn run(settings: &Arc<Settings>, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
    let cluster = Cluster::new(settings)?;
    let broker = cluster.any_broker().await?;
    let mut findings = Vec::new();
    let mut topics: BTreeSet<String> = BTreeSet::new();
    for table in tables {
        match TablePlan::new(settings, table) {
            Err(error) => findings.push(from_error(&table.id.to_string(), &error)),
            Ok(plan) => {
                findings.extend(ambiguous(settings, table));
                let Some(topic) = plan.fixed_topic() else { continue };
                if settings.exactly_once && topic == settings.progress_topic {
                    let what = "the table's messages would go to the progress topic";
                    findings.push(Finding::error(topic, what).hint("set progress_topic to another name"));
                    continue;
                }
                findings.extend(schemas(settings, &plan, &topic).await?);
                if topics.insert(topic.clone()) {
                    findings.extend(messages(settings, &cluster, &topic).await?);
                }
                if plan.key.is_empty()
                    && policy(&cluster, &topic).await.is_some_and(|policy| policy.contains("compact"))
                {
                    let what = format!("the topic is compacted, and messages of {} have no key", table.id);
                    findings.push(Finding::error(topic, what).hint("set partition_key_fields"));
                }
            }
        }
    }
    if let Some(topic) = &settings.transaction_topic {
        if topics.contains(topic) {
            let what = "messages of a table would go to the topic of transactions";
            findings.push(Finding::error(topic, what).hint("set transaction_topic to another name"));
        }
        // `partition` is about the messages of tables.
        findings.extend(there(settings, &cluster, topic).await?.err());
    }
    if settings.exactly_once {
        findings.extend(progress(settings, &cluster).await?);
        if let Some(broker) = broker {
            findings.extend(time_out(settings, &cluster, broker).await);
        }
    }
    Ok(findings)
}

/// Whether the registry can be reached and would take the table's schemas.
async fn schemas(settings: &Settings, plan: &TablePlan, topic: &str) -> Result<Vec<Finding>> {
    let (Some(registry), Some(avro)) = (&settings.registry, &plan.avro) else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    for (subject, error) in registry.obstacles(topic, avro).await? {
        if error.class() == ErrorClass::Transient {
            return Err(error.context("subject", subject));
        }
        // What the registry itself says is the error's cause.
        let finding = Finding::error(subject, error.to_string());
        findings.push(match error.hint_text() {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }
    Ok(findings)
}

/// In the format `text` NULL is written as an empty text is.
fn ambiguous(settings: &Settings, table: &TableSchema) -> Option<Finding> {
    let can_be_empty = |data_type: &DataType| {
        matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary)
    };
    let column = table.columns.iter().find(|column| column.nullable && can_be_empty(&column.data_type))?;
    (settings.encoder.layout == Layout::Text).then(|| {
        let what = format!(
            "in the format text, NULL in column {} cannot be told from an empty value, nor a delimiter from one inside of it",
            column.name
        );
        Finding::warning(table.id.to_string(), what).hint("use one of the JSON formats where that matters")
    })
}

/// A topic of messages.
async fn messages(settings: &Settings, cluster: &Cluster, topic: &str) -> Result<Option<Finding>> {
    Ok(match there(settings, cluster, topic).await? {
        Err(finding) => Some(finding),
        Ok(None) => None,
        Ok(Some(partitions)) => settings.partition.filter(|wanted| *wanted >= partitions).map(|wanted| {
            let what = format!("option 'partition' is {wanted}, and the topic has {partitions} partitions");
            Finding::error(topic, what)
        }),
    })
}

/// How many partitions a topic has; `None` where it will be created.
async fn there(settings: &Settings, cluster: &Cluster, topic: &str) -> Result<Result<Option<i32>, Finding>> {
    Ok(match found(topic, cluster.partitions(topic).await)? {
        Some(partitions) => partitions.map(Some),
        None if settings.create_topics => Ok(None),
        None => {
            Err(Finding::todo(topic, "the topic is missing, and create_topics is false").hint("create it"))
        }
    })
}

/// The topic of commit markers.
async fn progress(settings: &Settings, cluster: &Cluster) -> Result<Option<Finding>> {
    let topic = settings.progress_topic.as_str();
    let Some(partitions) = found(topic, cluster.partitions(topic).await)? else { return Ok(None) };
    if let Err(finding) = partitions {
        return Ok(Some(finding));
    }
    Ok(match cluster.topic_setting(topic, "cleanup.policy").await {
        Ok(Some(policy)) if !policy.contains("compact") || policy.contains("delete") => {
            Some(from_error(topic, &not_compact(topic, &policy)))
        }
        Ok(_) => None,
        Err(_) => Some(Finding::warning(
            topic,
            "the account may not read the progress topic's settings: see to it that its cleanup.policy is compact",
        )),
    })
}

/// What is there, a right that is missing as a finding, and other failures as they are.
fn found(topic: &str, asked: Result<Option<i32>>) -> Result<Option<Result<i32, Finding>>> {
    match asked {
        Ok(partitions) => Ok(partitions.map(Ok)),
        Err(error) if error.kind() == ErrorKind::Permission => Ok(Some(Err(from_error(topic, &error)))),
        Err(error) => Err(error),
    }
}

/// Whether the broker lets a transaction be open for so long; not every account may ask.
async fn time_out(settings: &Settings, cluster: &Cluster, broker: i32) -> Option<Finding> {
    let name = "transaction.max.timeout.ms";
    let most = cluster.broker_setting(broker, name).await.ok()??.parse::<u128>().ok()?;
    let ours = settings.client.transaction_timeout.as_millis();
    (ours > most).then(|| {
        let what = format!("transaction.timeout.ms is {ours}, and the broker allows {most}");
        Finding::error("kafka.config", what).hint(format!(
            "set transaction.timeout.ms = {most} in `kafka.config`, or raise {name} at the broker"
        ))
    })
}

async fn policy(cluster: &Cluster, topic: &str) -> Option<String> {
    cluster.topic_setting(topic, "cleanup.policy").await.ok()?
}

fn from_error(subject: &str, error: &Error) -> Finding {
    let finding = Finding::error(subject, error.message());
    match error.hint_text() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use culvert_api::{Column, RowKindSet, TableId};

    use super::*;
    use crate::options::tests::settings;

    #[test]
    fn text_is_warned_of_where_null_could_be_taken_for_a_value() {
        let table = |nullable, data_type| {
            let columns = vec![Column::derived("note", data_type, nullable)];
            TableSchema::new(TableId::new("d", "t"), 1, columns, vec![], RowKindSet::ALL)
        };
        let text = settings(&[("format", "text")]).unwrap();
        assert!(ambiguous(&text, &table(true, DataType::Utf8)).unwrap().message.contains("column note"));
        assert!(ambiguous(&text, &table(false, DataType::Utf8)).is_none());
        assert!(ambiguous(&text, &table(true, DataType::Int32)).is_none());
        assert!(ambiguous(&settings(&[]).unwrap(), &table(true, DataType::Utf8)).is_none());
    }
}
