#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{
    ChangeBatch, Column, RowKindSet, RowPosition, SourceType, TableId, TableSchema, Unavailable,
};

use super::*;
use crate::options::tests::settings;

/// `id` and two columns more, of MySQL, or of PostgreSQL with a schema.
fn table(schema: Option<&str>, key: &[&str]) -> Arc<TableSchema> {
    let typed = |declaration: &str| match schema {
        Some(_) => SourceType::postgres(declaration),
        None => SourceType::mysql(declaration),
    };
    let column = |name: &str, data_type, declaration: &str| Column {
        name: name.into(),
        data_type,
        nullable: name != "id",
        source_type: Some(typed(declaration)),
    };
    let columns = vec![
        column("id", DataType::Int64, "bigint"),
        column("name", DataType::Utf8, "varchar(50)"),
        column("price", DataType::Decimal128(20, 2), "decimal(20,2)"),
    ];
    let id = TableId { database: "shop".into(), schema: schema.map(str::to_owned), table: "item".into() };
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    Arc::new(TableSchema::new(id, 1, columns, key, RowKindSet::ALL))
}

type Item<'a> = (RowKind, i64, Option<&'a str>, Option<i128>);

fn batch(schema: &Arc<TableSchema>, rows: &[Item<'_>]) -> ChangeBatch {
    let price = Decimal128Array::from_iter(rows.iter().map(|row| row.3));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2))),
        Arc::new(price.with_precision_and_scale(20, 2).unwrap()),
    ];
    of_columns(schema, columns, rows.iter().map(|row| row.0).collect())
}

fn of_columns(schema: &Arc<TableSchema>, columns: Vec<ArrayRef>, kinds: Vec<RowKind>) -> ChangeBatch {
    let positions = (0..kinds.len()).map(|_| RowPosition { transaction: 0, event: 0, row: 0 }).collect();
    ChangeBatch {
        schema: Arc::clone(schema),
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), columns).unwrap(),
        kinds,
        positions,
        transactions: vec![culvert_api::Transaction::logged("0-1-1", None)],
        unavailable: Vec::new(),
    }
}

/// All kinds of changes of one row.
fn changes(schema: &Arc<TableSchema>) -> ChangeBatch {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    batch(
        schema,
        &[
            (Insert, 1, Some("a\"é"), Some(1250)),
            (UpdateBefore, 1, Some("a\"é"), Some(1250)),
            (UpdateAfter, 1, Some("b"), None),
            (Delete, 1, Some("b"), None),
        ],
    )
}

/// The messages as `topic key value` lines; a header in front where there is one.
fn shown(pairs: &[(&str, &str)], batch: &ChangeBatch) -> Vec<String> {
    let settings = settings(pairs).unwrap();
    let plan = TablePlan::new(&settings, &batch.schema).unwrap();
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        None => "-".to_owned(),
    };
    let messages = settings.encoder.messages(&plan, batch, None).unwrap();
    let line = |message: &Message| {
        let kind = message.kind.map(|kind| format!("{kind} ")).unwrap_or_default();
        format!("{kind}{} {} {}", message.topic, text(&message.key), text(&message.value))
    };
    let lines: Vec<String> = messages.iter().map(line).collect();
    let json = settings.encoder.layout != Layout::Text;
    for message in messages.iter().filter_map(|message| message.value.as_ref()).filter(|_| json) {
        serde_json::from_slice::<serde_json::Value>(message).unwrap();
    }
    lines
}

fn failure(pairs: &[(&str, &str)], batch: &ChangeBatch) -> Error {
    let settings = settings(pairs).unwrap();
    let plan = TablePlan::new(&settings, &batch.schema).unwrap();
    settings.encoder.messages(&plan, batch, None).unwrap_err()
}

#[test]
fn json_is_the_row_and_a_header() {
    assert_eq!(
        shown(&[], &changes(&table(None, &["id"]))),
        [
            r#"+I t {"id":1} {"id":1,"name":"a\"é","price":12.50}"#,
            r#"-U t {"id":1} {"id":1,"name":"a\"é","price":12.50}"#,
            r#"+U t {"id":1} {"id":1,"name":"b","price":null}"#,
            r#"-D t {"id":1} {"id":1,"name":"b","price":null}"#,
        ]
    );
    let pairs = [("tombstones_on_delete", "true"), ("decimal_format", "STRING")];
    assert_eq!(
        shown(&pairs, &changes(&table(None, &["id"]))),
        [
            r#"+I t {"id":1} {"id":1,"name":"a\"é","price":"12.50"}"#,
            r#"+U t {"id":1} {"id":1,"name":"b","price":null}"#,
            r#"-D t {"id":1} -"#,
        ]
    );
    // Without a key there is nothing a tombstone could be for.
    let keyless = shown(&pairs, &changes(&table(None, &[])));
    assert_eq!(keyless[2], r#"-D t - {"id":1,"name":"b","price":null}"#);
}

#[test]
fn text_is_the_values_with_delimiters() {
    assert_eq!(
        shown(&[("format", "text")], &changes(&table(None, &["id"]))),
        [
            r#"+I t {"id":1} 1,a"é,12.50"#,
            r#"-U t {"id":1} 1,a"é,12.50"#,
            r#"+U t {"id":1} 1,b,"#,
            r#"-D t {"id":1} 1,b,"#,
        ]
    );
    let pairs = [("format", "text"), ("field_delimiter", "||"), ("tombstones_on_delete", "true")];
    let lines = shown(&pairs, &changes(&table(None, &["id"])));
    assert_eq!(lines[1..], [r#"+U t {"id":1} 1||b||"#, r#"-D t {"id":1} -"#]);
    let left_out = shown(&[("format", "text")], &left_out(&table(Some("public"), &["id"])));
    assert_eq!(left_out[1], r#"+U t {"id":1} 1,__debezium_unavailable_value,0.05"#);
    let columns = vec![Column::derived("at", DataType::Timestamp(TimeUnit::Microsecond, None), true)];
    let schema = Arc::new(TableSchema::new(TableId::new("d", "t"), 1, columns, vec![], RowKindSet::ALL));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(500_000)]));
    let rows = of_columns(&schema, vec![times], vec![RowKind::Insert]);
    assert_eq!(shown(&[("format", "text")], &rows), ["+I t - 1970-01-01 00:00:00.5"]);
}

#[test]
fn debezium_json_is_the_envelope() {
    let pairs = [("format", "debezium_json")];
    let source = r#""source":{"db":"shop","table":"item","snapshot":"false"}"#;
    assert_eq!(
        shown(&pairs, &changes(&table(None, &["id"]))),
        [
            format!(
                r#"t {{"id":1}} {{"before":null,"after":{{"id":1,"name":"a\"é","price":12.50}},{source},"op":"c"}}"#
            ),
            format!(
                r#"t {{"id":1}} {{"before":{{"id":1,"name":"a\"é","price":12.50}},"after":{{"id":1,"name":"b","price":null}},{source},"op":"u"}}"#
            ),
            format!(
                r#"t {{"id":1}} {{"before":{{"id":1,"name":"b","price":null}},"after":null,{source},"op":"d"}}"#
            ),
        ]
    );
    let pairs = [("format", "debezium_json"), ("tombstones_on_delete", "true")];
    assert_eq!(shown(&pairs, &changes(&table(None, &["id"])))[3], r#"t {"id":1} -"#);
    // A row of a snapshot, of a table in a schema.
    let mut snapshot = batch(&table(Some("public"), &["id"]), &[(RowKind::Insert, 7, None, None)]);
    snapshot.transactions = vec![culvert_api::Transaction::snapshot("shop.public.item:3")];
    assert_eq!(
        shown(&pairs, &snapshot),
        [
            r#"t {"id":7} {"before":null,"after":{"id":7,"name":null,"price":null},"source":{"db":"shop","schema":"public","table":"item","snapshot":"true"},"op":"r"}"#
        ]
    );
}

#[test]
fn canal_json_has_texts_and_what_changed() {
    let pairs = [("format", "canal_json")];
    let table_part = r#""database":"shop","table":"item","isDdl":false,"mysqlType":{"id":"bigint","name":"varchar(50)","price":"decimal(20,2)"}"#;
    assert_eq!(
        shown(&pairs, &changes(&table(None, &["id"]))),
        [
            format!(
                r#"t {{"id":1}} {{"data":[{{"id":"1","name":"a\"é","price":"12.50"}}],{table_part},"old":null,"pkNames":["id"],"type":"INSERT"}}"#
            ),
            format!(
                r#"t {{"id":1}} {{"data":[{{"id":"1","name":"b","price":null}}],{table_part},"old":[{{"name":"a\"é","price":"12.50"}}],"pkNames":["id"],"type":"UPDATE"}}"#
            ),
            format!(
                r#"t {{"id":1}} {{"data":[{{"id":"1","name":"b","price":null}}],{table_part},"old":null,"pkNames":["id"],"type":"DELETE"}}"#
            ),
        ]
    );
    let one = batch(&table(Some("public"), &[]), &[(RowKind::Insert, 1, None, None)]);
    assert_eq!(
        shown(&pairs, &one),
        [
            r#"t - {"data":[{"id":"1","name":null,"price":null}],"database":"shop","schema":"public","table":"item","isDdl":false,"old":null,"pkNames":null,"type":"INSERT"}"#
        ]
    );
}

#[test]
fn maxwell_json() {
    let table_part = r#""database":"shop","table":"item""#;
    assert_eq!(
        shown(&[("format", "maxwell_json")], &changes(&table(None, &["id"]))),
        [
            format!(
                r#"t {{"id":1}} {{{table_part},"type":"insert","primary_key_columns":["id"],"data":{{"id":1,"name":"a\"é","price":12.50}}}}"#
            ),
            format!(
                r#"t {{"id":1}} {{{table_part},"type":"update","primary_key_columns":["id"],"data":{{"id":1,"name":"b","price":null}},"old":{{"name":"a\"é","price":12.50}}}}"#
            ),
            format!(
                r#"t {{"id":1}} {{{table_part},"type":"delete","primary_key_columns":["id"],"data":{{"id":1,"name":"b","price":null}}}}"#
            ),
        ]
    );
}

#[test]
fn ogg_json() {
    assert_eq!(
        shown(&[("format", "ogg_json")], &changes(&table(Some("public"), &["id"]))),
        [
            r#"t {"id":1} {"table":"shop.public.item","op_type":"I","primary_keys":["id"],"after":{"id":1,"name":"a\"é","price":12.50}}"#,
            r#"t {"id":1} {"table":"shop.public.item","op_type":"U","primary_keys":["id"],"before":{"id":1,"name":"a\"é","price":12.50},"after":{"id":1,"name":"b","price":null}}"#,
            r#"t {"id":1} {"table":"shop.public.item","op_type":"D","primary_keys":["id"],"before":{"id":1,"name":"b","price":null}}"#,
        ]
    );
}

#[test]
fn halves_of_updates_that_a_filter_left() {
    use RowKind::{UpdateAfter, UpdateBefore};
    let schema = table(None, &["id"]);
    let halves = batch(
        &schema,
        &[(UpdateAfter, 1, None, None), (UpdateBefore, 2, None, None), (UpdateBefore, 3, None, None)],
    );
    let op = |line: &String| line.rsplit_once(r#""op":"#).unwrap().1.to_owned();
    let ops: Vec<String> = shown(&[("format", "debezium_json")], &halves).iter().map(op).collect();
    assert_eq!(ops, [r#""u"}"#, r#""d"}"#, r#""d"}"#]);
    let canal = shown(&[("format", "canal_json")], &halves);
    assert!(canal[0].contains(r#""old":null"#) && canal[0].ends_with(r#""type":"UPDATE"}"#), "{canal:?}");
}

/// An update by key alone that left a large value out, and a delete of which only the key is known.
fn left_out(schema: &Arc<TableSchema>) -> ChangeBatch {
    use RowKind::{Delete, UpdateAfter, UpdateBefore};
    let mut batch = batch(
        schema,
        &[(UpdateBefore, 1, None, None), (UpdateAfter, 1, None, Some(5)), (Delete, 2, None, None)],
    );
    batch.unavailable = vec![
        Unavailable { column: 1, rows: BooleanBuffer::from(vec![true, true, true]) },
        Unavailable { column: 2, rows: BooleanBuffer::from(vec![true, false, true]) },
    ];
    batch
}

#[test]
fn what_the_log_left_out_is_never_null() {
    let changes = left_out(&table(Some("public"), &["id"]));
    let source = r#""source":{"db":"shop","schema":"public","table":"item","snapshot":"false"}"#;
    assert_eq!(
        shown(&[("format", "debezium_json"), ("unavailable_placeholder", "?")], &changes),
        [
            format!(
                r#"t {{"id":1}} {{"before":null,"after":{{"id":1,"name":"?","price":0.05}},{source},"op":"u"}}"#
            ),
            format!(
                r#"t {{"id":2}} {{"before":{{"id":2,"name":"?","price":"?"}},"after":null,{source},"op":"d"}}"#
            ),
        ]
    );
    let default = shown(&[("format", "debezium_json")], &changes);
    assert!(default[0].contains(r#""name":"__debezium_unavailable_value""#), "{default:?}");
    let canal = shown(&[("format", "canal_json")], &changes);
    assert!(
        canal[0].contains(r#""data":[{"id":"1","price":"0.05"}]"#) && canal[0].contains(r#""old":[{}]"#),
        "{canal:?}"
    );
    assert!(canal[1].contains(r#""data":[{"id":"2"}]"#), "{canal:?}");
    assert_eq!(shown(&[], &changes)[2], r#"-D t {"id":2} {"id":2}"#);
    let maxwell = shown(&[("format", "maxwell_json")], &changes);
    assert!(maxwell[0].ends_with(r#""data":{"id":1,"price":0.05},"old":{}}"#), "{maxwell:?}");
}

#[test]
fn a_key_that_the_log_left_out_is_an_error_without_values() {
    let changes = left_out(&table(Some("public"), &["id"]));
    let error = failure(&[("partition_key_fields", "name")], &changes);
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert!(text.contains("column=name") && text.contains("REPLICA IDENTITY FULL"), "{text}");
}

#[test]
fn columns_as_headers_and_columns_of_the_value() {
    let schema = table(None, &["id"]);
    let rows = batch(&schema, &[(RowKind::Insert, 1, Some("north"), None)]);
    assert_eq!(shown(&[("kafka_headers_fields", "name")], &rows), [r#"+I t {"id":1} {"id":1,"price":null}"#]);
    assert_eq!(
        shown(&[("kafka_message_value_fields", "name")], &rows),
        [r#"+I t {"id":1} {"name":"north"}"#]
    );
    let both = [("kafka_headers_fields", "name,price"), ("kafka_message_value_fields", "price,name")];
    let text = [both[0], both[1], ("format", "text")];
    assert_eq!(shown(&text, &rows), [r#"+I t {"id":1} ,north"#]);
    let headers = |pairs: &[(&str, &str)], batch: &ChangeBatch| -> Vec<Vec<Header>> {
        let settings = settings(pairs).unwrap();
        let plan = TablePlan::new(&settings, &batch.schema).unwrap();
        let messages = settings.encoder.messages(&plan, batch, None).unwrap();
        messages.into_iter().map(|message| message.headers).collect()
    };
    let north = vec![("name".to_owned(), Some("north".to_owned())), ("price".to_owned(), None)];
    assert_eq!(headers(&both, &rows), [north]);
    // A tombstone has none, and what the log left out is not said to be NULL.
    let gone = batch(&schema, &[(RowKind::Delete, 1, Some("north"), None)]);
    let pairs = [both[0], ("format", "debezium_json"), ("tombstones_on_delete", "true")];
    assert_eq!(headers(&pairs, &gone).iter().map(Vec::len).collect::<Vec<usize>>(), [2, 0]);
    let left_out = headers(&both[..1], &left_out(&schema));
    assert_eq!(left_out.iter().map(Vec::len).collect::<Vec<usize>>(), [0, 1, 0]);
    let canal = shown(&[("format", "canal_json"), ("kafka_message_value_fields", "name")], &changes(&schema));
    assert!(
        canal[1].contains(r#""data":[{"name":"b"}]"#) && canal[1].contains(r#""old":[{"name":"a\"é"}]"#),
        "{canal:?}"
    );
    assert!(canal[1].contains(r#""mysqlType":{"name":"varchar(50)"}"#), "{canal:?}");
    for option in ["kafka_headers_fields", "kafka_message_value_fields"] {
        let settings = settings(&[(option, "nothing")]).unwrap();
        let error = TablePlan::new(&settings, &schema).unwrap_err().to_string();
        assert!(error.contains(option) && error.contains("nothing"), "{error}");
    }
}

#[test]
fn keys_and_topics_by_columns() {
    let schema = table(None, &["id"]);
    let rows = batch(
        &schema,
        &[(RowKind::Insert, 1, Some("north"), Some(100)), (RowKind::Insert, 2, Some("south"), None)],
    );
    let pairs = [("partition_key_fields", "price,name"), ("topic", "${table_name}.${name}")];
    assert_eq!(
        shown(&pairs, &rows),
        [
            r#"+I item.north {"price":1.00,"name":"north"} {"id":1,"name":"north","price":1.00}"#,
            r#"+I item.south {"price":null,"name":"south"} {"id":2,"name":"south","price":null}"#,
        ]
    );
    for name in [None, Some(""), Some("no topic"), Some("..")] {
        let error = failure(&[("topic", "${name}")], &batch(&schema, &[(RowKind::Insert, 1, name, None)]));
        let text = error.to_string();
        assert!(text.contains("column=name") && !text.contains("no topic)"), "{text}");
    }
    let settings = settings(&[("topic", "${nothing}")]).unwrap();
    let error = TablePlan::new(&settings, &schema).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
}

#[test]
fn every_type_keeps_its_form_in_json() {
    let column = |name: &str, data_type| Column::derived(name, data_type, true);
    let columns = vec![
        column("flag", DataType::Boolean),
        column("bits", DataType::Binary),
        column("real", DataType::Float64),
        column("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ];
    let schema =
        Arc::new(TableSchema::new(TableId::new("d", "t"), 1, columns, vec![], RowKindSet::INSERT_ONLY));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(BinaryArray::from(vec![Some(&[0u8, 255][..]), None])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1e300)])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
    ];
    let rows = of_columns(&schema, arrays, vec![RowKind::Insert, RowKind::Insert]);
    assert_eq!(
        shown(&[], &rows),
        [
            r#"+I t - {"flag":true,"bits":"AP8=","real":"NaN","at":"1970-01-01T00:00:00.000001Z"}"#,
            r#"+I t - {"flag":null,"bits":null,"real":1e300,"at":null}"#,
        ]
    );
    let canal = shown(&[("format", "canal_json")], &rows);
    assert!(canal[0].contains(r#"{"flag":"true","bits":"AP8=","real":"NaN""#), "{canal:?}");
    assert!(canal[1].contains(r#"{"flag":null,"bits":null,"real":"1e300","at":null}"#), "{canal:?}");
    let list = Column::derived("list", DataType::Date64, true);
    let unknown = TableSchema::new(TableId::new("d", "t"), 1, vec![list], vec![], RowKindSet::ALL);
    let error = TablePlan::new(&settings(&[]).unwrap(), &unknown).unwrap_err();
    assert!(error.to_string().contains("column list"), "{error}");
}

#[test]
fn messages_tell_when_their_transaction_was_committed() {
    let mut batch = batch(&table(None, &["id"]), &[(RowKind::Insert, 7, None, None)]);
    // 2026-01-02 03:04:05.678901 UTC.
    batch.transactions = vec![culvert_api::Transaction::logged("0-1-1", Some(1_767_323_045_678_901))];
    for (format, part) in [
        ("debezium_json", r#""source":{"ts_ms":1767323045678,"db":"shop""#),
        ("canal_json", r#""es":1767323045678,"isDdl""#),
        ("maxwell_json", r#""type":"insert","ts":1767323045,"#),
        ("ogg_json", r#""op_type":"I","op_ts":"2026-01-02 03:04:05.678901","#),
    ] {
        let messages = shown(&[("format", format)], &batch);
        assert!(messages[0].contains(part), "{part} is not in {}", messages[0]);
    }
}
