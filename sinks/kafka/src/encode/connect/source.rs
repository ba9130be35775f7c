//! The block `source` of a message: where its change stands in the log.
//!
//! What batches know is the transaction's place, not each event's. So MySQL's `pos` is where the
//! transaction begins, plus the number of the event in it: inside of the transaction, rising, and with
//! `file` and `row` unique, as consumers that compare places need it. PostgreSQL's `lsn` is that of the
//! commit; its `sequence` has the number of the change behind it, for the same reason.

use culvert_api::{Dialect, LogPlace, TableId};

use super::ConnectPlan;
use crate::encode::object::{Row, field, quote};

/// A field of the block's schema: name, Connect type, whether NULL may occur.
type Field = (&'static str, &'static str, bool);

const COMMON: &[Field] = &[
    ("version", "string", false),
    ("connector", "string", false),
    ("name", "string", false),
    ("ts_ms", "int64", false),
];
const MYSQL: &[Field] = &[
    ("db", "string", false),
    ("sequence", "string", true),
    ("table", "string", true),
    ("server_id", "int64", false),
    ("gtid", "string", true),
    ("file", "string", false),
    ("pos", "int64", false),
    ("row", "int32", false),
    ("thread", "int64", true),
    ("query", "string", true),
];
const POSTGRES: &[Field] = &[
    ("db", "string", false),
    ("sequence", "string", true),
    ("schema", "string", false),
    ("table", "string", false),
    ("txId", "int64", true),
    ("lsn", "int64", true),
    ("xmin", "int64", true),
];

/// The block's schema, as a field.
pub(super) fn schema(dialect: Dialect, out: &mut String) {
    let (own, name) = match dialect {
        Dialect::MySql => (MYSQL, "io.debezium.connector.mysql.Source"),
        Dialect::Postgres => (POSTGRES, "io.debezium.connector.postgresql.Source"),
    };
    out.push_str("{\"type\":\"struct\",\"fields\":[");
    let plain = |(name, kind, optional): &Field, out: &mut String| {
        out.push_str(&format!("{{\"type\":\"{kind}\",\"optional\":{optional},\"field\":\"{name}\"}}"));
    };
    for common in COMMON {
        plain(common, out);
        out.push(',');
    }
    out.push_str(
        "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\",\"version\":1,\
         \"parameters\":{\"allowed\":\"true,last,false,incremental\"},\"default\":\"false\",\"field\":\"snapshot\"}",
    );
    for own in own {
        out.push(',');
        plain(own, out);
    }
    out.push_str(&format!("],\"optional\":false,\"name\":\"{name}\",\"field\":\"source\"}}"));
}

/// Debezium's topics are `<server>.<table>`: the server is what is left of such a topic, and the topic
/// as a whole otherwise.
pub(super) fn server_name(id: &TableId, topic: &str) -> String {
    let place = match &id.schema {
        Some(schema) => format!(".{schema}.{}", id.table),
        None => format!(".{}.{}", id.database, id.table),
    };
    match topic.strip_suffix(&place) {
        Some(server) if !server.is_empty() => server.to_owned(),
        _ => topic.to_owned(),
    }
}

/// Appends `"source":{…}`.
pub(super) fn append(row: Row<'_>, plan: &ConnectPlan, out: &mut String) {
    let id = &row.batch.schema.id;
    let transaction = row.batch.transaction(row.index);
    let place = transaction.and_then(|transaction| transaction.place.as_ref());
    let connector = match plan.dialect {
        Dialect::MySql => "mysql",
        Dialect::Postgres => "postgresql",
    };
    out.push_str("\"source\":{");
    field("version", env!("CARGO_PKG_VERSION"), out);
    field("connector", connector, out);
    field("name", &plan.server, out);
    // The schema wants a time; rows of a snapshot, which have none, are as of now.
    let committed = row.committed_us().map_or(row.now_ms, |micros| micros.div_euclid(1000));
    out.push_str(&format!("\"ts_ms\":{committed},"));
    field("snapshot", if row.is_snapshot() { "true" } else { "false" }, out);
    field("db", &id.database, out);
    match plan.dialect {
        Dialect::MySql => mysql(row, place, out),
        Dialect::Postgres => postgres(row, place, out),
    }
    out.push('}');
}

fn mysql(row: Row<'_>, place: Option<&LogPlace>, out: &mut String) {
    let (server_id, gtid, file, offset) = match place {
        Some(LogPlace::MySql { server_id, gtid, file, offset }) => {
            (*server_id, gtid.as_deref(), file.as_str(), *offset)
        }
        _ => (0, None, "", 0),
    };
    let position = row.batch.positions.get(row.index);
    let (event, number) = position.map_or((0, 0), |position| (position.event, position.row));
    let position = place.map_or(0, |_| offset.saturating_add(u64::from(event)));
    out.push_str("\"sequence\":null,");
    field("table", &row.batch.schema.id.table, out);
    out.push_str(&format!("\"server_id\":{server_id},\"gtid\":"));
    optional(gtid, out);
    out.push_str(",\"file\":");
    quote(file, out);
    out.push_str(&format!(",\"pos\":{position},\"row\":{number},\"thread\":null,\"query\":null"));
}

fn postgres(row: Row<'_>, place: Option<&LogPlace>, out: &mut String) {
    let event = row.batch.positions.get(row.index).map_or(0, |position| position.event);
    let place = match place {
        Some(LogPlace::Postgres { xid, commit_lsn }) => Some((xid, commit_lsn)),
        _ => None,
    };
    out.push_str("\"sequence\":");
    optional(place.map(|(_, lsn)| format!("[\"{lsn}\",\"{event}\"]")).as_deref(), out);
    out.push(',');
    field("schema", row.batch.schema.id.schema.as_deref().unwrap_or_default(), out);
    field("table", &row.batch.schema.id.table, out);
    match place {
        Some((xid, lsn)) => out.push_str(&format!("\"txId\":{xid},\"lsn\":{lsn},\"xmin\":null")),
        None => out.push_str("\"txId\":null,\"lsn\":null,\"xmin\":null"),
    }
}

fn optional(text: Option<&str>, out: &mut String) {
    match text {
        Some(text) => quote(text, out),
        None => out.push_str("null"),
    }
}
