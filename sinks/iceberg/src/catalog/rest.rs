//! Tables of a server that speaks Iceberg's REST catalog protocol (the specification's OpenAPI document).

mod session;

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{Error, ErrorKind, Result};
use iceberg::spec::TableMetadata;
use iceberg::{TableCreation, TableIdent};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Catalog, Change, Outcome, Table};
pub(crate) use session::{Login, Session};

/// A catalog server.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) session: Arc<Session>,
}

#[derive(Deserialize)]
struct Loaded {
    metadata: TableMetadata,
    #[serde(rename = "metadata-location", default)]
    metadata_location: Option<String>,
}

/// A table's path below the prefix. Levels of a namespace have the unit separator between them.
fn path(ident: &TableIdent) -> String {
    format!("{}/tables/{}", namespace_path(ident), escape(ident.name()))
}

fn namespace_path(ident: &TableIdent) -> String {
    format!("namespaces/{}", escape(&ident.namespace().as_ref().join("\u{1f}")))
}

/// A segment of a path.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A commit as the protocol has it.
fn body(change: &Change) -> Value {
    let ident = &change.base.ident;
    json!({
        "identifier": { "namespace": ident.namespace().as_ref(), "name": ident.name() },
        "requirements": change.requirements,
        "updates": change.updates,
    })
}

#[async_trait]
impl Catalog for Rest {
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        let answer = self.session.get(&path(ident)).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let loaded: Loaded = answer.json()?;
        Ok(Some(Table {
            ident: ident.clone(),
            metadata: Arc::new(loaded.metadata),
            metadata_location: loaded.metadata_location.unwrap_or_default(),
        }))
    }

    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<()> {
        let levels = ident.namespace().as_ref();
        for depth in 1..=levels.len() {
            let namespace = json!({ "namespace": levels.get(..depth), "properties": {} });
            let answer = self.session.post("namespaces", &namespace).await?;
            if answer.status != 409 {
                answer.done()?;
            }
        }
        let table = json!({
            "name": ident.name(),
            "schema": creation.schema,
            "partition-spec": creation.partition_spec,
            "properties": creation.properties,
            "stage-create": false,
        });
        let answer = self.session.post(&format!("{}/tables", namespace_path(ident)), &table).await?;
        if answer.status == 409 { Ok(()) } else { answer.done() }
    }

    async fn commit(&self, changes: &[Change]) -> Result<Outcome> {
        let answer = match changes {
            [change] => self.session.post(&path(&change.base.ident), &body(change)).await?,
            changes => {
                let all = json!({ "table-changes": changes.iter().map(body).collect::<Vec<_>>() });
                self.session.post("transactions/commit", &all).await?
            }
        };
        match answer.status {
            409 => Ok(Outcome::Conflict),
            404 => Err(Error::new(ErrorKind::Schema, "a table is gone from its catalog")
                .context(
                    "table",
                    changes.first().map_or(String::new(), |change| change.base.ident.to_string()),
                )
                .hint("restore it; with --fresh the job starts over and makes it anew")),
            _ => answer.done().map(|()| Outcome::Done),
        }
    }

    fn is_atomic(&self) -> bool {
        self.session.has_transactions()
    }

    fn keeps_its_word(&self) -> bool {
        false
    }

    async fn drop_table(&self, ident: &TableIdent) -> Result<()> {
        let answer = self.session.delete(&path(ident)).await?;
        if answer.status == 404 { Ok(()) } else { answer.done() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_segments_of_a_path() {
        let ident = TableIdent::from_strs(["a.b", "ü", "t/1 x"]).unwrap();
        assert_eq!(path(&ident), "namespaces/a.b%1F%C3%BC/tables/t%2F1%20x");
    }
}
