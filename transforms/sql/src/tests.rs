#![allow(clippy::unwrap_used)]

mod documents;
mod functions;
mod language;
mod model;
mod nested;
mod refused;
mod rows;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
};
use culvert_api::{
    ChangeBatch, Column, Result, RowKind, RowKindSet, RowPosition, SourceType, TableId, TableSchema,
    Transaction, Transform,
};
use culvert_config::{Block, Entry, Options, Place, Role, Value};

use crate::Sql;

/// The transform of a query, as a job file makes it.
fn sql(query: &str) -> Result<Sql> {
    let mut block = Block::new(Role::Transform, Sql::PLUGIN, Place::default());
    let value = Value::String(query.to_owned());
    block.entries.push(Entry { key: "query".to_owned(), value, place: Place::default() });
    Sql::from_options(&Options::resolve(&block, Sql::OPTIONS).0)
}

/// Named columns, as the columns of a table with this key.
fn schema(columns: &[(&str, ArrayRef)], key: &[&str]) -> TableSchema {
    let column = |(name, values): &(&str, ArrayRef)| Column {
        source_type: Some(SourceType::mysql(format!("declared {name}"))),
        ..Column::derived(*name, values.data_type().clone(), !key.contains(name))
    };
    let columns = columns.iter().map(column).collect();
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    TableSchema::new(TableId::new("shop", "orders"), 7, columns, key, RowKindSet::ALL)
}

/// Rows of these kinds.
fn batch(columns: &[(&str, ArrayRef)], key: &[&str], kinds: &[RowKind]) -> ChangeBatch {
    let schema = Arc::new(schema(columns, key));
    let values = columns.iter().map(|(_, values)| values.clone()).collect();
    let rows = RecordBatch::try_new(schema.arrow.clone(), values).unwrap();
    let positions = (0..kinds.len()).map(|row| RowPosition {
        transaction: 0,
        event: 0,
        row: u32::try_from(row).unwrap(),
    });
    ChangeBatch {
        schema,
        rows,
        kinds: kinds.to_vec(),
        positions: positions.collect(),
        transactions: vec![Transaction::logged("0-1-1", None)],
        unavailable: Vec::new(),
    }
}

/// What leaves for a batch.
fn applied(sql: &Sql, batch: ChangeBatch) -> Result<Option<ChangeBatch>> {
    let outputs: Vec<Arc<TableSchema>> = sql.map_schema(&batch.schema)?.into_iter().map(Arc::new).collect();
    let mut made = sql.apply(batch, &outputs)?;
    assert!(made.len() <= 1, "at most one batch leaves");
    if let Some(made) = made.first() {
        assert_eq!(made.rows.schema(), outputs[0].arrow);
        assert_eq!(made.rows.num_rows(), made.kinds.len());
    }
    Ok(made.pop())
}

/// One row with a column of every type.
fn one_of_each() -> Vec<(&'static str, ArrayRef)> {
    let decimal = Decimal128Array::from(vec![12345]).with_precision_and_scale(10, 2).unwrap();
    // 2021-04-08T13:34:45.123456
    let stamp = 1_617_888_885_123_456;
    vec![
        ("ID", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ("NAME", Arc::new(StringArray::from(vec!["Joy Ding"]))),
        ("TINY", Arc::new(Int8Array::from(vec![117]))),
        ("SMALL", Arc::new(Int16Array::from(vec![300]))),
        ("I", Arc::new(Int32Array::from(vec![-5]))),
        ("LONG_COL", Arc::new(Int64Array::from(vec![5_000_000_000]))),
        ("BIG", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ("F", Arc::new(Float32Array::from(vec![1.5]))),
        ("D", Arc::new(Float64Array::from(vec![0.5]))),
        ("AMOUNT", Arc::new(decimal)),
        ("FLAG", Arc::new(BooleanArray::from(vec![true]))),
        ("BYTES_COL", Arc::new(BinaryArray::from(vec![&b"Hi"[..]]))),
        ("DAY_COL", Arc::new(Date32Array::from(vec![18_725]))),
        ("CLOCK", Arc::new(Time64MicrosecondArray::from(vec![48_885_000_000]))),
        ("SPAN", Arc::new(DurationMicrosecondArray::from(vec![-3_020_399_000_001]))),
        ("CREATED", Arc::new(TimestampMicrosecondArray::from(vec![stamp]))),
        ("SEEN", Arc::new(TimestampMicrosecondArray::from(vec![stamp]).with_timezone("Asia/Shanghai"))),
        ("NOTHING", Arc::new(StringArray::from(vec![None::<&str>]))),
        ("NO_NUMBER", Arc::new(Int32Array::from(vec![None]))),
        ("NO_TIME", Arc::new(TimestampMicrosecondArray::from(vec![None]))),
    ]
}

/// The type and the value of an expression over [`one_of_each`], or what went wrong.
fn value(expression: &str) -> String {
    let columns = one_of_each();
    let made = sql(&format!("SELECT {expression} AS made FROM dual"))
        .and_then(|sql| applied(&sql, batch(&columns, &["ID"], &[RowKind::Insert])));
    match made {
        Err(error) => format!("error: {}", error.message()),
        Ok(None) => "no row".to_owned(),
        Ok(Some(made)) => {
            let column = made.rows.column(0);
            let data_type = crate::cast::name_of(column.data_type());
            if arrow_array::Array::is_null(column.as_ref(), 0) {
                return format!("{data_type} NULL");
            }
            let text = crate::text::to_text(column).unwrap();
            format!("{data_type} {}", arrow_array::cast::AsArray::as_string::<i32>(text.as_ref()).value(0))
        }
    }
}
