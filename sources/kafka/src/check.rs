//! `culvert check --connect`: looks at topic and group, changes nothing.

use std::sync::Arc;

use culvert_api::{ErrorKind, Finding, Result};
use culvert_kafka::{Aside, Watch, ask, blocking, error};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::decode::Layout;
use crate::options::Settings;
use crate::start::partitions;

/// The group of a job without a name of its own is not known here; any stands for it.
const ANY_JOB: &str = "check";

pub(crate) async fn run(settings: &Arc<Settings>) -> Result<Vec<Finding>> {
    let settings = Arc::clone(settings);
    blocking(move || look(&settings)).await?
}

fn look(settings: &Settings) -> Result<Vec<Finding>> {
    let topic = settings.topic.as_str();
    let group = settings.group(ANY_JOB);
    let made = settings.client.asker(&group).create_with_context(Watch::default());
    let asker: Aside<BaseConsumer<Watch>> =
        Aside::new(made.map_err(|cause| error::convert(&cause, "make a client"))?);
    let mut findings = Vec::new();
    let count = match partitions(&asker, topic) {
        Ok(count) => count,
        Err(failed) if matches!(failed.kind(), ErrorKind::Schema | ErrorKind::Permission) => {
            return Ok(vec![finding(topic, &failed)]);
        }
        Err(failed) => return Err(failed),
    };
    let mut all = TopicPartitionList::new();
    all.add_partition_range(topic, 0, count - 1);
    let offsets = ask(&asker, &format!("read the offsets of the group {group}"), |step| {
        asker.committed_offsets(all.clone(), step)
    });
    match offsets {
        Ok(_) => {}
        Err(failed) if failed.kind() == ErrorKind::Permission => findings.push(finding(&group, &failed)),
        Err(failed) => return Err(failed),
    }
    if settings.schema().primary_key.is_empty() && settings.decoder.layout != Layout::Json {
        let what = "the table has no key: an update or delete finds its row by all of its values";
        findings.push(
            Finding::warning(topic, what).hint("name the key: schema { primaryKey { columnNames = [ … ] } }"),
        );
    }
    Ok(findings)
}

fn finding(subject: &str, failed: &culvert_api::Error) -> Finding {
    let finding = Finding::error(subject, failed.message());
    match failed.hint_text() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}
