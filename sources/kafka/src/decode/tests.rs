#![allow(clippy::unwrap_used)]

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{ChangeBatch, Column, RowKindSet, TableId};

use super::*;

fn decoder(layout: Layout) -> Decoder {
    let columns = vec![
        Column::derived("id", DataType::Int64, false),
        Column::derived("name", DataType::Utf8, true),
        Column::derived("price", DataType::Decimal128(20, 2), true),
        Column::derived("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ];
    let schema =
        TableSchema::new(TableId::new("shop", "item"), 1, columns, vec!["id".into()], RowKindSet::ALL);
    Decoder {
        layout,
        schema: Arc::new(schema),
        is_named: true,
        unavailable: "__debezium_unavailable_value".into(),
        missing: Missing::Unavailable,
    }
}

fn read(decoder: &Decoder, messages: &[(&str, Option<&str>)]) -> Result<ChangeBatch, Unreadable> {
    let mut rows = Rows::default();
    for (value, kind) in messages {
        let message = Message { value: Some(value.as_bytes()), kind: kind.map(str::as_bytes) };
        decoder.read(&message, &mut rows)?;
    }
    Ok(rows.take(&decoder.schema, "shop[0]@7").unwrap())
}

/// Kind, id, name (`~` where it was left out), price.
fn shown(batch: &ChangeBatch) -> Vec<String> {
    let (ids, names) =
        (batch.rows.column(0).as_primitive::<Int64Type>(), batch.rows.column(1).as_string::<i32>());
    let prices = batch.rows.column(2).as_primitive::<Decimal128Type>();
    let show = |row: usize| {
        let name = match (batch.is_unavailable(row, 1), names.iter().nth(row).unwrap()) {
            (true, _) => "~",
            (false, name) => name.unwrap_or("null"),
        };
        let price = match prices.iter().nth(row).unwrap() {
            Some(_) => prices.value_as_string(row),
            None if batch.is_unavailable(row, 2) => "~".into(),
            None => "null".into(),
        };
        format!("{} {} {name} {price}", batch.kinds[row], ids.value(row))
    };
    (0..batch.len()).map(show).collect()
}

const A: &str = r#"{"id":1,"name":"a","price":12.50,"at":"2026-11-20T10:00:00.5"}"#;
const B: &str = r#"{"id":1,"name":null,"price":"7","at":null}"#;
const C: &str = r#"{"id":2,"name":"c","price":1.00,"at":null}"#;

fn wrong(layout: Layout, value: &str) -> String {
    let mut rows = Rows::default();
    let message = Message { value: Some(value.as_bytes()), kind: None };
    let told = decoder(layout).read(&message, &mut rows).unwrap_err().to_string();
    assert!(rows.is_empty(), "nothing of it is kept: {value}");
    assert!(!told.contains("secret"), "{told}");
    told
}

#[test]
fn flat_rows_have_their_kind_in_a_header() {
    let all = decoder(Layout::Json);
    let batch =
        read(&all, &[(A, Some("+I")), (A, Some("-U")), (B, Some("+U")), (B, Some("-D")), (C, None)]).unwrap();
    assert_eq!(
        shown(&batch),
        ["+I 1 a 12.50", "-U 1 a 12.50", "+U 1 null 7.00", "-D 1 null 7.00", "+I 2 c 1.00"]
    );
    assert_eq!(batch.positions.iter().map(|at| at.event).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(
        read(&all, &[(A, Some("+X"))]).unwrap_err().to_string(),
        "has a header that is no row kind: row_kind"
    );
}

#[test]
fn debezium_with_and_without_its_schema() {
    let all = decoder(Layout::Debezium);
    let source = r#""source":{"db":"shop","table":"item","snapshot":"false"}"#;
    let change = |op: &str, before: &str, after: &str| {
        format!(r#"{{"before":{before},"after":{after},{source},"op":"{op}"}}"#)
    };
    let plain = [
        change("r", "null", A),
        change("c", "null", C),
        change("u", A, B),
        change("u", "null", A),
        change("u", A, C),
        change("d", C, "null"),
    ];
    let expected = [
        "+I 1 a 12.50",
        "+I 2 c 1.00",
        "-U 1 a 12.50",
        "+U 1 null 7.00",
        "+U 1 a 12.50",
        "-D 1 a 12.50",
        "+I 2 c 1.00",
        "-D 2 c 1.00",
    ];
    let messages: Vec<(&str, Option<&str>)> = plain.iter().map(|text| (text.as_str(), None)).collect();
    assert_eq!(shown(&read(&all, &messages).unwrap()), expected);
    let wrapped: Vec<String> =
        plain.iter().map(|text| format!(r#"{{"schema":{{"fields":[]}},"payload":{text}}}"#)).collect();
    let messages: Vec<(&str, Option<&str>)> = wrapped.iter().map(|text| (text.as_str(), None)).collect();
    let batch = read(&all, &messages).unwrap();
    assert_eq!(shown(&batch), expected);
    assert_eq!(batch.moved_from(6), Some(5), "the two sides of one update that changed the key");
}

#[test]
fn debezium_s_own_forms_are_read_by_its_schema_alone() {
    let all = decoder(Layout::Debezium);
    let fields = r#"[{"field":"id","type":"int64"},{"field":"name","type":"string"},
        {"field":"price","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"3"}},
        {"field":"at","type":"int64","name":"io.debezium.time.MicroTimestamp"}]"#;
    // -12500 at the scale 3: 0xCF2C.
    let payload = r#"{"before":null,"after":{"id":1,"name":"a","price":"zyw=","at":1500000},"op":"c"}"#;
    let message = format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"field":"after","fields":{fields}}}]}},"payload":{payload}}}"#
    );
    assert_eq!(shown(&read(&all, &[(&message, None)]).unwrap()), ["+I 1 a -12.50"]);
    assert_eq!(wrong(Layout::Debezium, payload), "has a value that does not fit its column: price");
}

#[test]
fn canal_maxwell_and_ogg() {
    let canal = |kind: &str, data: &str, old: &str| {
        format!(
            r#"{{"data":[{data}],"database":"shop","table":"item","isDdl":false,"old":{old},"type":"{kind}"}}"#
        )
    };
    let texts = r#"{"id":"1","name":"a","price":"12.50","at":"2026-11-20T10:00:00.5"}"#;
    let messages = [
        canal("INSERT", texts, "null"),
        canal("UPDATE", texts, r#"[{"name":null,"price":"7"}]"#),
        canal("UPDATE", texts, "null"),
        canal("DELETE", texts, "null"),
    ];
    let messages: Vec<(&str, Option<&str>)> = messages.iter().map(|text| (text.as_str(), None)).collect();
    let expected = ["+I 1 a 12.50", "-U 1 null 7.00", "+U 1 a 12.50", "+U 1 a 12.50", "-D 1 a 12.50"];
    assert_eq!(shown(&read(&decoder(Layout::Canal), &messages).unwrap()), expected);

    let maxwell = |kind: &str, old: &str| {
        format!(
            r#"{{"database":"shop","table":"item","type":"{kind}","primary_key_columns":["id"],"data":{A}{old}}}"#
        )
    };
    let messages = [
        maxwell("insert", ""),
        maxwell("update", r#","old":{"name":null,"price":7}"#),
        maxwell("update", ""),
        maxwell("delete", ""),
    ];
    let messages: Vec<(&str, Option<&str>)> = messages.iter().map(|text| (text.as_str(), None)).collect();
    assert_eq!(shown(&read(&decoder(Layout::Maxwell), &messages).unwrap()), expected);

    let ogg = |kind: &str, images: &str| {
        format!(r#"{{"table":"shop.item","op_type":"{kind}","primary_keys":["id"],{images}}}"#)
    };
    let before = r#"{"id":1,"name":null,"price":7,"at":null}"#;
    let messages = [
        ogg("I", &format!(r#""after":{A}"#)),
        ogg("U", &format!(r#""before":{before},"after":{A}"#)),
        ogg("U", &format!(r#""after":{A}"#)),
        ogg("D", &format!(r#""before":{A}"#)),
    ];
    let messages: Vec<(&str, Option<&str>)> = messages.iter().map(|text| (text.as_str(), None)).collect();
    assert_eq!(shown(&read(&decoder(Layout::Ogg), &messages).unwrap()), expected);
}

#[test]
fn what_the_log_left_out_is_not_null() {
    let left = r#"{"id":1,"price":1,"at":null}"#;
    let json = decoder(Layout::Json);
    let batch = read(&json, &[(left, Some("+U")), (r#"{"id":1}"#, Some("-D"))]).unwrap();
    assert_eq!(shown(&batch), ["+U 1 ~ 1.00", "-D 1 ~ ~"]);
    assert_eq!(wrong(Layout::Json, left), "has a new row without a value for a column: name");
    let lenient = Decoder { missing: Missing::Null, ..decoder(Layout::Json) };
    assert_eq!(shown(&read(&lenient, &[(left, None)]).unwrap()), ["+I 1 null 1.00"]);
    let held = r#"{"id":1,"name":"__debezium_unavailable_value","price":1,"at":null}"#;
    let message = format!(r#"{{"before":null,"after":{held},"op":"u"}}"#);
    assert_eq!(shown(&read(&decoder(Layout::Debezium), &[(&message, None)]).unwrap()), ["+U 1 ~ 1.00"]);
}

#[test]
fn a_tombstone_passes() {
    let mut rows = Rows::default();
    for layout in [Layout::Json, Layout::Debezium, Layout::Canal, Layout::Maxwell, Layout::Ogg] {
        decoder(layout).read(&Message { value: None, kind: None }, &mut rows).unwrap();
    }
    assert!(rows.is_empty());
}

#[test]
fn what_cannot_be_read_is_named_without_its_value() {
    for (layout, value, told) in [
        (Layout::Json, "secret", "is no JSON object"),
        (Layout::Json, r#"["secret"]"#, "is no JSON object"),
        (Layout::Json, r#"{"id":"secret","name":"a"}"#, "has a value that does not fit its column: id"),
        (Layout::Json, r#"{"id":null,"name":"secret"}"#, "has a null for a column that takes none: id"),
        (Layout::Json, r#"{"id":1} secret"#, "is no JSON object"),
        (Layout::Debezium, r#"{"op":"t","before":null}"#, "has an operation that is not read: op"),
        (Layout::Debezium, r#"{"op":"d","before":null}"#, "has no row: before"),
        (Layout::Debezium, r#"{"op":"c","after":null}"#, "has no row: after"),
        (Layout::Debezium, r#"{"op":"c","after":{},"source":{"table":"secret"}}"#, "is about another table"),
        (Layout::Canal, r#"{"isDdl":true,"sql":"secret"}"#, "is a statement that changes a table"),
        (Layout::Canal, r#"{"type":"QUERY","data":[]}"#, "has a type that is not read: type"),
        (Layout::Maxwell, r#"{"type":"table-create","data":{}}"#, "has a type that is not read: type"),
        (Layout::Ogg, r#"{"op_type":"T"}"#, "has a type that is not read: op_type"),
        (Layout::Ogg, r#"{"op_type":7}"#, "has a field that is no text: op_type"),
    ] {
        assert_eq!(wrong(layout, value), told, "{value}");
    }
    let keyless =
        Arc::new(TableSchema { primary_key: Vec::new(), ..(*decoder(Layout::Debezium).schema).clone() });
    let keyless = Decoder { schema: keyless, ..decoder(Layout::Debezium) };
    let update = format!(r#"{{"before":null,"after":{A},"op":"u"}}"#);
    assert!(read(&keyless, &[(&update, None)]).is_err(), "without a key nothing says which row it was");
}
