#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Int8Array,
    Int32Array, Int64Array, RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::BooleanBuffer;
use culvert_api::{
    ChangeBatch, LogPlace, RowKind, RowKindSet, RowPosition, SourceType, TableId, Transaction, Unavailable,
};
use serde_json::{Value, json};

use super::*;
use crate::encode::Message;
use crate::options::tests::settings;
use crate::plan::TablePlan;

/// The time at which messages are made.
const NOW: i64 = 1_767_323_046_000;

/// A column of one value, and NULL where the value is to be left out.
type Cell = (&'static str, &'static str, ArrayRef);

fn cell(name: &'static str, declaration: &'static str, array: impl Array + 'static) -> Cell {
    (name, declaration, Arc::new(array))
}

/// A table of these columns, the first being the key, with one row per kind.
fn table(dialect: Dialect, cells: Vec<Cell>, kinds: &[RowKind]) -> ChangeBatch {
    let declared = |text: &str| match dialect {
        Dialect::MySql => SourceType::mysql(text),
        Dialect::Postgres => SourceType::postgres(text),
    };
    let column = |(place, (name, declaration, array)): (usize, &Cell)| Column {
        name: (*name).into(),
        data_type: array.data_type().clone(),
        nullable: place > 0,
        source_type: Some(declared(declaration)),
    };
    let columns: Vec<Column> = cells.iter().enumerate().map(column).collect();
    let key = vec![columns[0].name.clone()];
    let schema = (dialect == Dialect::Postgres).then(|| "public".to_owned());
    let id = TableId { database: "shop".into(), schema, table: "item".into() };
    let schema = Arc::new(TableSchema::new(id, 1, columns, key, RowKindSet::ALL));
    let place = match dialect {
        Dialect::MySql => LogPlace::MySql {
            server_id: 7,
            gtid: Some("0-7-12".into()),
            file: "binlog.000003".into(),
            offset: 4321,
        },
        Dialect::Postgres => LogPlace::Postgres { xid: 777, commit_lsn: 24_023_128 },
    };
    let position = |(row, _)| RowPosition { transaction: 0, event: 2, row: u32::try_from(row).unwrap() };
    ChangeBatch {
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), cells.into_iter().map(|cell| cell.2).collect())
            .unwrap(),
        schema,
        kinds: kinds.to_vec(),
        positions: kinds.iter().enumerate().map(position).collect(),
        transactions: vec![Transaction::placed("t", Some(1_767_323_045_678_901), place)],
        unavailable: Vec::new(),
    }
}

fn messages(pairs: &[(&str, &str)], batch: &ChangeBatch) -> Result<Vec<Message>> {
    let pairs: Vec<(&str, &str)> = [("format", "compatible_debezium_json"), ("topic", "srv.shop.item")]
        .into_iter()
        .filter(|(key, _)| !pairs.iter().any(|(other, _)| other == key))
        .chain(pairs.iter().copied())
        .collect();
    let settings = settings(&pairs).unwrap();
    let plan = TablePlan::new(&settings, &batch.schema)?;
    settings.encoder.messages_at(&plan, batch, None, NOW)
}

fn parsed(bytes: Option<&Vec<u8>>) -> Value {
    serde_json::from_slice(bytes.unwrap()).unwrap()
}

/// Schema (without `field` and `optional`) and value of every column, of a table's first message.
#[track_caller]
fn columns(batch: &ChangeBatch, wanted: &[(&str, Value, Value)]) {
    let message = messages(&[], batch).unwrap().remove(0);
    let value = parsed(message.value.as_ref());
    let fields = value["schema"]["fields"][1]["fields"].as_array().unwrap().clone();
    assert_eq!(value["schema"]["fields"][1]["field"], "after");
    assert_eq!(fields.len(), wanted.len());
    for (mut field, (name, schema, data)) in fields.into_iter().zip(wanted) {
        let object = field.as_object_mut().unwrap();
        assert_eq!(object.remove("field"), Some(json!(name)));
        object.remove("optional");
        assert_eq!(&field, schema, "{name}");
        assert_eq!(&value["payload"]["after"][name], data, "{name}");
    }
}

fn named(kind: &str, name: &str) -> Value {
    json!({"type": kind, "name": name, "version": 1})
}

#[test]
fn key_and_value_carry_their_schemas() {
    let kinds = [RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let cells = vec![
        cell("id", "int(11)", Int32Array::from(vec![1, 1, 1])),
        cell("name", "varchar(50)", StringArray::from(vec![Some("a"), None, None])),
    ];
    let batch = table(Dialect::MySql, cells, &kinds);
    let made = messages(&[("tombstones_on_delete", "true")], &batch).unwrap();
    assert_eq!(
        parsed(made[0].key.as_ref()),
        json!({
            "schema": {
                "type": "struct",
                "fields": [{"type": "int32", "optional": false, "field": "id"}],
                "optional": false,
                "name": "srv.shop.item.Key",
            },
            "payload": {"id": 1},
        })
    );
    let value = parsed(made[0].value.as_ref());
    let source = json!({
        "version": env!("CARGO_PKG_VERSION"), "connector": "mysql", "name": "srv", "ts_ms": 1_767_323_045_678_i64,
        "snapshot": "false", "db": "shop", "sequence": null, "table": "item", "server_id": 7, "gtid": "0-7-12",
        "file": "binlog.000003", "pos": 4323, "row": 1, "thread": null, "query": null,
    });
    assert_eq!(
        value["payload"],
        json!({
            "before": {"id": 1, "name": "a"}, "after": {"id": 1, "name": null}, "source": source,
            "op": "u", "ts_ms": NOW, "transaction": null,
        })
    );
    let schema = &value["schema"];
    assert_eq!(schema["name"], "srv.shop.item.Envelope");
    assert_eq!(
        schema["fields"][0],
        json!({
            "type": "struct",
            "fields": [
                {"type": "int32", "optional": false, "field": "id"},
                {"type": "string", "optional": true, "field": "name"},
            ],
            "optional": true, "name": "srv.shop.item.Value", "field": "before",
        })
    );
    let fields: Vec<&Value> =
        schema["fields"].as_array().unwrap().iter().map(|field| &field["field"]).collect();
    assert_eq!(json!(fields), json!(["before", "after", "source", "op", "ts_ms", "transaction"]));
    let of_source = schema["fields"][2]["fields"].as_array().unwrap();
    let names: Vec<&str> = of_source.iter().map(|field| field["field"].as_str().unwrap()).collect();
    let mut told: Vec<&str> = source.as_object().unwrap().keys().map(String::as_str).collect();
    told.sort_unstable();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, told, "the schema of `source` and what is in it");
    assert_eq!(schema["fields"][2]["name"], "io.debezium.connector.mysql.Source");
    let deleted = parsed(made[1].value.as_ref());
    assert_eq!(deleted["payload"]["op"], "d");
    assert_eq!(deleted["payload"]["after"], Value::Null);
    assert_eq!((made[2].key.as_ref(), made[2].value.as_ref()), (made[1].key.as_ref(), None));
}

#[test]
fn columns_of_mysql() {
    let micros = 1_767_323_045_120_000;
    let decimal = Decimal128Array::from(vec![-1250]).with_precision_and_scale(10, 2).unwrap();
    let batch = table(
        Dialect::MySql,
        vec![
            cell("id", "int(10) unsigned", UInt32Array::from(vec![u32::MAX])),
            cell("tiny", "tinyint(1)", Int8Array::from(vec![-1])),
            cell("medium", "mediumint(8) unsigned", UInt32Array::from(vec![5])),
            cell("big", "bigint(20) unsigned", UInt64Array::from(vec![5])),
            cell("price", "decimal(10,2)", decimal),
            cell("day", "date", Date32Array::from(vec![20_000])),
            cell("at3", "datetime(3)", TimestampMicrosecondArray::from(vec![micros])),
            cell("at6", "datetime(6)", TimestampMicrosecondArray::from(vec![micros])),
            cell("seen", "timestamp(3)", TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")),
            cell("long", "time(6)", DurationMicrosecondArray::from(vec![-1])),
            cell("year", "year(4)", UInt16Array::from(vec![2026])),
            cell("mood", "enum('a','it''s')", StringArray::from(vec!["a"])),
            cell("marks", "set('x','y')", StringArray::from(vec!["x,y"])),
            cell("doc", "json", StringArray::from(vec!["{}"])),
            cell("flag", "bit(1)", UInt64Array::from(vec![1])),
            cell("bits", "bit(12)", UInt64Array::from(vec![0x0102])),
            cell("blob", "varbinary(9)", BinaryArray::from(vec![&[0u8, 255][..]])),
        ],
        &[RowKind::Insert],
    );
    let plain = |kind: &str| json!({"type": kind});
    let with = |kind: &str, name: &str, parameters: Value| json!({"type": kind, "name": name, "version": 1, "parameters": parameters});
    columns(
        &batch,
        &[
            ("id", plain("int64"), json!(u32::MAX)),
            ("tiny", plain("int16"), json!(-1)),
            ("medium", plain("int32"), json!(5)),
            ("big", plain("int64"), json!(5)),
            (
                "price",
                with(
                    "bytes",
                    "org.apache.kafka.connect.data.Decimal",
                    json!({"scale": "2", "connect.decimal.precision": "10"}),
                ),
                // -1250 is 0xFB1E.
                json!("+x4="),
            ),
            ("day", named("int32", "io.debezium.time.Date"), json!(20_000)),
            ("at3", named("int64", "io.debezium.time.Timestamp"), json!(micros / 1000)),
            ("at6", named("int64", "io.debezium.time.MicroTimestamp"), json!(micros)),
            ("seen", named("string", "io.debezium.time.ZonedTimestamp"), json!("2026-01-02T03:04:05.120Z")),
            ("long", named("int64", "io.debezium.time.MicroTime"), json!(-1)),
            ("year", named("int32", "io.debezium.time.Year"), json!(2026)),
            ("mood", with("string", "io.debezium.data.Enum", json!({"allowed": "a,it's"})), json!("a")),
            ("marks", with("string", "io.debezium.data.EnumSet", json!({"allowed": "x,y"})), json!("x,y")),
            ("doc", named("string", "io.debezium.data.Json"), json!("{}")),
            ("flag", plain("boolean"), json!(true)),
            ("bits", with("bytes", "io.debezium.data.Bits", json!({"length": "12"})), json!("AgE=")),
            ("blob", plain("bytes"), json!("AP8=")),
        ],
    );
}

#[test]
fn columns_of_postgres() {
    let micros = 1_767_323_045_120_000;
    let text = |text: &str| StringArray::from(vec![text]);
    let batch = table(
        Dialect::Postgres,
        vec![
            cell("id", "bigint", Int64Array::from(vec![1])),
            cell("uid", "uuid", text("00000000-0000-0000-0000-000000000001")),
            cell("doc", "jsonb", text("{}")),
            cell(
                "seen",
                "timestamp with time zone",
                TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"),
            ),
            cell("at", "timestamp without time zone", TimestampMicrosecondArray::from(vec![i64::MAX])),
            cell("at3", "timestamp(3) without time zone", TimestampMicrosecondArray::from(vec![micros])),
            cell("hour", "time without time zone", Time64MicrosecondArray::from(vec![1])),
            cell("hour0", "time(0) without time zone", Time64MicrosecondArray::from(vec![1_000_000])),
            cell("hourz", "time with time zone", text("01:00:00.5+02:30")),
            cell("span", "interval", text("1 year 2 mons -3 days +04:05:06.7")),
            cell("any", "numeric", text("-12.50")),
            cell("cash", "money", text("-$1,234.50")),
            cell("bits", "bit varying(12)", text("000100000010")),
            cell("list", "integer[]", text("{1,NULL,3}")),
            cell("words", "text[]", text(r#"{a,"b \"c\"","NULL",NULL}"#)),
            cell("ci", "public.citext", text("x")),
        ],
        &[RowKind::Insert],
    );
    let with = |kind: &str, name: &str, parameters: Value| json!({"type": kind, "name": name, "version": 1, "parameters": parameters});
    let variable = json!({
        "type": "struct", "name": "io.debezium.data.VariableScaleDecimal", "version": 1,
        "fields": [
            {"type": "int32", "optional": false, "field": "scale"},
            {"type": "bytes", "optional": false, "field": "value"},
        ],
    });
    let array = |kind: &str| json!({"type": "array", "items": {"type": kind, "optional": true}});
    let money = json!({"scale": "2", "connect.decimal.precision": "19"});
    // 14 months of 30.4375 days, less three days.
    let span = (14 * 2_629_800 - 3 * 86_400 + 4 * 3600 + 5 * 60 + 6) * 1_000_000_i64 + 700_000;
    columns(
        &batch,
        &[
            ("id", json!({"type": "int64"}), json!(1)),
            ("uid", named("string", "io.debezium.data.Uuid"), json!("00000000-0000-0000-0000-000000000001")),
            ("doc", named("string", "io.debezium.data.Json"), json!("{}")),
            ("seen", named("string", "io.debezium.time.ZonedTimestamp"), json!("2026-01-02T03:04:05.12Z")),
            ("at", named("int64", "io.debezium.time.MicroTimestamp"), json!(9_223_372_036_825_200_000_i64)),
            ("at3", named("int64", "io.debezium.time.Timestamp"), json!(micros / 1000)),
            ("hour", named("int64", "io.debezium.time.MicroTime"), json!(1)),
            ("hour0", named("int32", "io.debezium.time.Time"), json!(1000)),
            ("hourz", named("string", "io.debezium.time.ZonedTime"), json!("22:30:00.5Z")),
            ("span", named("int64", "io.debezium.time.MicroDuration"), json!(span)),
            ("any", variable, json!({"scale": 2, "value": "+x4="})),
            ("cash", with("bytes", "org.apache.kafka.connect.data.Decimal", money), json!("/h3G")),
            ("bits", with("bytes", "io.debezium.data.Bits", json!({"length": "12"})), json!("AgE=")),
            ("list", array("int32"), json!([1, null, 3])),
            ("words", array("string"), json!(["a", "b \"c\"", "NULL", null])),
            ("ci", json!({"type": "string"}), json!("x")),
        ],
    );
    let source = &parsed(messages(&[], &batch).unwrap()[0].value.as_ref())["payload"]["source"];
    assert_eq!(
        (&source["connector"], &source["txId"], &source["lsn"], &source["sequence"]),
        (&json!("postgresql"), &json!(777), &json!(24_023_128), &json!("[\"24023128\",\"2\"]"))
    );
}

#[test]
fn rows_of_a_snapshot_are_as_of_now() {
    let cells = vec![cell("id", "int", Int32Array::from(vec![1]))];
    let mut batch = table(Dialect::MySql, cells, &[RowKind::Insert]);
    batch.transactions = vec![Transaction::snapshot("shop.item:1")];
    let made = messages(&[("topic", "${table_name}")], &batch).unwrap();
    let payload = &parsed(made[0].value.as_ref())["payload"];
    assert_eq!((&payload["op"], &payload["source"]["snapshot"]), (&json!("r"), &json!("true")));
    assert_eq!((&payload["source"]["ts_ms"], &payload["source"]["file"]), (&json!(NOW), &json!("")));
    assert_eq!((&payload["source"]["pos"], &payload["source"]["name"]), (&json!(0), &json!("item")));
}

#[test]
fn numbers_the_log_left_out_are_null_before_and_errors_after() {
    let batch = |kind| {
        let cells = vec![
            cell("id", "integer", Int32Array::from(vec![1])),
            cell("count", "integer", Int32Array::from(vec![0])),
            cell("name", "text", StringArray::from(vec![""])),
        ];
        let mut batch = table(Dialect::Postgres, cells, &[kind]);
        let left_out = |column| Unavailable { column, rows: BooleanBuffer::from(vec![true]) };
        batch.unavailable = vec![left_out(1), left_out(2)];
        batch
    };
    let made = messages(&[], &batch(RowKind::Delete)).unwrap();
    let value = parsed(made[0].value.as_ref());
    assert_eq!(
        value["payload"]["before"],
        json!({"id": 1, "count": null, "name": "__debezium_unavailable_value"})
    );
    let error = messages(&[], &batch(RowKind::UpdateAfter)).unwrap_err().to_string();
    assert!(error.contains("column=count") && error.contains("REPLICA IDENTITY FULL"), "{error}");
}

#[test]
fn what_debezium_has_no_form_for_is_refused_by_name() {
    for (dialect, declaration) in
        [(Dialect::Postgres, "public.mood"), (Dialect::Postgres, "hstore"), (Dialect::Postgres, "date[]")]
    {
        let cells = vec![
            cell("id", "int", Int32Array::from(vec![1])),
            cell("odd", declaration, StringArray::from(vec![""])),
        ];
        let error = messages(&[], &table(dialect, cells, &[RowKind::Insert])).unwrap_err().to_string();
        assert!(error.contains("column odd") && error.contains(declaration), "{error}");
    }
    let cells = vec![
        cell("id", "int", Int32Array::from(vec![1])),
        cell("place", "point", BinaryArray::from(vec![&[0u8][..]])),
    ];
    let error = messages(&[], &table(Dialect::MySql, cells, &[RowKind::Insert])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
}

#[test]
fn unsigned_numbers_past_an_int64() {
    let cells = || vec![cell("id", "bigint(20) unsigned", UInt64Array::from(vec![u64::MAX]))];
    let error = messages(&[], &table(Dialect::MySql, cells(), &[RowKind::Insert])).unwrap_err().to_string();
    assert!(
        error.contains("bigint_unsigned_handling_mode") && !error.contains("18446744073709551615"),
        "{error}"
    );
    let batch = table(Dialect::MySql, cells(), &[RowKind::Insert]);
    let made = messages(&[("bigint_unsigned_handling_mode", "precise")], &batch).unwrap();
    assert_eq!(parsed(made[0].key.as_ref())["payload"]["id"], "AP//////////");
}

#[test]
fn printed_values() {
    assert_eq!(printed::decimal("0"), Some((vec![0], 0)));
    assert_eq!(printed::decimal("-128"), Some((vec![0x80], 0)));
    assert_eq!(printed::decimal("128.0"), Some((vec![0x05, 0x00], 1)));
    assert_eq!(printed::decimal("-0.0001"), Some((vec![0xff], 4)));
    for odd in ["NaN", "Infinity", "", "-", "1e5"] {
        assert_eq!(printed::decimal(odd), None, "{odd}");
    }
    assert_eq!(printed::interval("-04:05:06"), Some(-14_706_000_000));
    assert_eq!(printed::interval("00:00:00"), Some(0));
    assert_eq!(printed::interval("infinity"), None);
    assert_eq!(printed::time_at_gmt("24:00:00+00"), Some(0));
    assert_eq!(printed::array("{}"), Some(vec![]));
    assert_eq!(printed::array("[0:1]={1,2}"), Some(vec![Some("1".into()), Some("2".into())]));
    assert_eq!(printed::array("{{1},{2}}"), None);
    assert_eq!(printed::array(r#"{""}"#), Some(vec![Some(String::new())]));
}
