//! Where a table of a lake is, and what was read of it.

use serde_json::{Map, Value, json};

use crate::database::{Database, Shown};
use crate::oracle::{self, Row};
use crate::{S3, s3};

/// A table of a lake, by how it is found.
#[derive(Clone, Debug)]
pub struct LakeTable {
    /// `None`: there is no catalog, and `place` is the metadata.
    catalog: Option<&'static str>,
    place: String,
    properties: Map<String, Value>,
}

impl LakeTable {
    /// `namespace.table` in a catalog of the type SQL: `uri` is `sqlite:////path` or
    /// `postgresql+psycopg2://user@host:port/database`, `warehouse` the place of new tables, such as
    /// `file:///path` or `s3://bucket/path`.
    pub fn sql(uri: &str, warehouse: &str, name: &str) -> LakeTable {
        LakeTable::in_catalog("sql", name).with("uri", uri).with("warehouse", warehouse)
    }

    /// `namespace.table` in a REST catalog.
    pub fn rest(uri: &str, name: &str) -> LakeTable {
        LakeTable::in_catalog("rest", name).with("uri", uri)
    }

    /// A table without a catalog: its folder, whose `metadata/version-hint.text` names the metadata file, or
    /// the metadata file.
    pub fn at(location: &str) -> LakeTable {
        LakeTable { catalog: None, place: location.to_owned(), properties: Map::new() }
    }

    fn in_catalog(kind: &'static str, name: &str) -> LakeTable {
        LakeTable { catalog: Some(kind), place: name.to_owned(), properties: Map::new() }
    }

    /// The same with a property of pyiceberg's catalog.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> LakeTable {
        self.properties.insert(name.to_owned(), json!(value));
        self
    }

    /// The same with files on this S3 server.
    #[must_use]
    pub fn on(mut self, s3: &S3) -> LakeTable {
        self.properties.extend(properties_of_s3(s3));
        self
    }

    /// Another table of the same catalog.
    #[must_use]
    pub fn named(mut self, name: &str) -> LakeTable {
        name.clone_into(&mut self.place);
        self
    }

    pub(super) fn place(&self) -> Value {
        let mut properties = self.properties.clone();
        match self.catalog {
            Some(kind) => {
                properties.insert("type".to_owned(), json!(kind));
                json!({ "name": self.place, "properties": properties })
            }
            None => json!({ "metadata": self.place, "properties": properties }),
        }
    }
}

/// How pyiceberg reaches an S3 server.
pub(super) fn properties_of_s3(server: &S3) -> Map<String, Value> {
    object(&[
        ("s3.endpoint", &server.url()),
        ("s3.access-key-id", s3::KEY),
        ("s3.secret-access-key", s3::SECRET),
        ("s3.region", s3::REGION),
    ])
}

pub(super) fn object(pairs: &[(&str, &str)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

/// A table that pyiceberg makes, beside its columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Foreign<'a> {
    /// Columns with their transforms: `identity`, `day`, `bucket[16]` and so on.
    pub partition: &'a [(&'a str, &'a str)],
    /// The identifier columns; they become required.
    pub identifier: &'a [&'a str],
    /// The table's properties.
    pub properties: &'a [(&'a str, &'a str)],
}

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeFile {
    /// `data`, `position deletes` or `equality deletes`.
    pub kind: String,
    /// Where it is.
    pub path: String,
    /// Rows by its entry in the manifest.
    pub rows: u64,
    /// Size by its entry in the manifest.
    pub bytes: u64,
    /// Names of partition fields and their values as texts.
    pub partition: Vec<(String, Option<String>)>,
}

impl LakeFile {
    pub(super) fn of(file: &Value) -> LakeFile {
        let text = |name: &str| file[name].as_str().expect("a text").to_owned();
        let partition = file["partition"].as_object().expect("an object").iter();
        LakeFile {
            kind: text("kind"),
            path: text("path"),
            rows: file["rows"].as_u64().expect("a number"),
            bytes: file["bytes"].as_u64().expect("a number"),
            partition: partition
                .map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned)))
                .collect(),
        }
    }
}

/// What an engine read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Names of the columns with the form of their values.
    pub columns: Vec<(String, Shown)>,
    /// The rows, sorted.
    pub rows: Vec<Row>,
}

impl Read {
    pub(super) fn of(read: Value) -> Read {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let columns = read["columns"].as_array().expect("columns").iter();
        let columns: Vec<_> = columns.map(|column| (text(&column[0]), form(&text(&column[1])))).collect();
        let value = |(value, (_, shown)): (&Value, &(String, Shown))| {
            value.as_str().map(|text| shown.canonical(text.to_owned()))
        };
        let row = |row: &Value| row.as_array().expect("a row").iter().zip(&columns).map(value).collect();
        let mut rows: Vec<Row> = read["rows"].as_array().expect("rows").iter().map(row).collect();
        rows.sort_unstable();
        Read { columns, rows }
    }

    /// The names of the columns, in their order.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The rows with these columns only, in this order, sorted.
    ///
    /// # Panics
    /// When one of them was not read.
    pub fn only(&self, names: &[&str]) -> Read {
        let place = |name: &&str| {
            let found = self.columns.iter().position(|(have, _)| have == name);
            found.unwrap_or_else(|| panic!("no column {name} among {:?}", self.names()))
        };
        let places: Vec<usize> = names.iter().map(place).collect();
        let columns = places.iter().map(|place| self.columns[*place].clone()).collect();
        let picked = |row: &Row| places.iter().map(|place| row[*place].clone()).collect();
        let mut rows: Vec<Row> = self.rows.iter().map(picked).collect();
        rows.sort_unstable();
        Read { columns, rows }
    }
}

/// A form by the name that `lake.py` gives it.
fn form(name: &str) -> Shown {
    match name {
        "truth" => Shown::Truth,
        "real" => Shown::Real,
        "bytes" => Shown::Bytes,
        "time" => Shown::Time,
        "printed" => Shown::Printed,
        other => panic!("{other} is no form"),
    }
}

/// Compares the columns of a table with those of the same names that were read, over all rows in any order.
///
/// # Panics
/// When they differ, with the first differences.
pub async fn assert_same(source: (&Database<'_>, &str), read: &Read) {
    let mut shape = source.0.shape(source.1).await;
    assert!(!shape.columns.is_empty(), "{} has no table {}", source.0.name(), source.1);
    if !source.0.is_postgres() {
        for (_, shown) in shape.columns.iter_mut().filter(|(_, shown)| *shown == Shown::Real) {
            *shown = Shown::Rounded;
        }
    }
    let names: Vec<&str> = shape.columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut there = read.only(&names).rows;
    for row in &mut there {
        for (value, (_, shown)) in row.iter_mut().zip(&shape.columns) {
            if *shown == Shown::Rounded {
                *value = value.take().map(|text| shown.canonical(text));
            }
        }
    }
    there.sort_unstable();
    let here = source.0.rows_as(source.1, &shape, None).await;
    oracle::assert_same((source.1, &here), ("the lake", &there));
}
