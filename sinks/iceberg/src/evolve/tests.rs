//! Schemas behind changes.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use arrow_schema::DataType;
use culvert_api::{RowKindSet, SourceType, TableId};
use iceberg::spec::{FormatVersion, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};

use super::*;

fn table(columns: &[(&str, DataType)]) -> TableSchema {
    let columns = columns
        .iter()
        .map(|(name, data_type)| Column {
            source_type: Some(SourceType::mysql("x")),
            ..Column::derived(*name, data_type.clone(), true)
        })
        .collect();
    TableSchema::new(TableId::new("d", "t"), 1, columns, Vec::new(), RowKindSet::of(&[]))
}

fn metadata(fields: Vec<NestedField>) -> TableMetadata {
    let schema = Schema::builder().with_fields(fields.into_iter().map(Into::into)).build().unwrap();
    let spec = UnboundPartitionSpec::builder().build();
    TableMetadataBuilder::new(
        schema,
        spec,
        SortOrder::unsorted_order(),
        "/t".to_owned(),
        FormatVersion::V2,
        HashMap::new(),
    )
    .unwrap()
    .build()
    .unwrap()
    .metadata
}

fn after(
    metadata: &TableMetadata,
    statement: &str,
    from: &TableSchema,
    to: &TableSchema,
) -> Result<Vec<String>> {
    let change = SchemaChange { before: None, after: None, statement: statement.to_owned() };
    let schema = follow(metadata, &change, from, to)?;
    let schema = schema.as_ref().unwrap_or(metadata.current_schema());
    Ok(schema
        .as_struct()
        .fields()
        .iter()
        .map(|field| format!("{}:{}:{}", field.id, field.name, field.field_type))
        .collect())
}

fn two() -> TableMetadata {
    metadata(vec![
        NestedField::optional(1, "a", Type::Primitive(PrimitiveType::Int)),
        NestedField::optional(2, "b", Type::Primitive(PrimitiveType::String)),
    ])
}

#[test]
fn columns_keep_their_numbers() {
    let (two, before) = (two(), table(&[("a", DataType::Int32), ("b", DataType::Utf8)]));
    let added = table(&[("c", DataType::Date32), ("a", DataType::Int32), ("b", DataType::Utf8)]);
    assert_eq!(
        after(&two, "ALTER TABLE t ADD c date FIRST", &before, &added).unwrap(),
        ["1:a:int", "2:b:string", "3:c:date"]
    );
    let renamed = table(&[("a", DataType::Int32), ("z", DataType::Utf8)]);
    assert_eq!(
        after(&two, "ALTER TABLE t RENAME COLUMN b TO z", &before, &renamed).unwrap(),
        ["1:a:int", "2:z:string"]
    );
    // Without the word of the statement, a name that is gone and one that is new are two columns.
    assert_eq!(after(&two, "", &before, &renamed).unwrap(), ["1:a:int", "3:z:string"]);
    let wider = table(&[("a", DataType::Int64), ("b", DataType::Utf8)]);
    assert_eq!(
        after(&two, "ALTER TABLE t MODIFY a bigint", &before, &wider).unwrap(),
        ["1:a:long", "2:b:string"]
    );
}

#[test]
fn what_was_followed_already_is_nothing() {
    let (two, before) = (two(), table(&[("a", DataType::Int32), ("old", DataType::Utf8)]));
    let now = table(&[("a", DataType::Int32), ("b", DataType::Utf8)]);
    let change = SchemaChange {
        before: None,
        after: None,
        statement: "ALTER TABLE t RENAME COLUMN old TO b".to_owned(),
    };
    assert!(follow(&two, &change, &before, &now).unwrap().is_none());
}

#[test]
fn types_that_tables_do_not_change_into_are_refused() {
    let (two, before) = (two(), table(&[("a", DataType::Int32), ("b", DataType::Utf8)]));
    let text = table(&[("a", DataType::Utf8), ("b", DataType::Utf8)]);
    let error = after(&two, "ALTER TABLE t MODIFY a text", &before, &text).unwrap_err();
    assert!(error.to_string().contains("column a"), "{error}");
    // A narrower one has its place in what is there.
    let narrow = table(&[("a", DataType::Int8), ("b", DataType::Utf8)]);
    assert_eq!(
        after(&two, "ALTER TABLE t MODIFY a tinyint", &before, &narrow).unwrap(),
        ["1:a:int", "2:b:string"]
    );
}
