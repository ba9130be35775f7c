#![allow(clippy::unwrap_used)]

use arrow_schema::{Field, Schema};
use culvert_values::{data_type, decimal, equal};
use proptest::prelude::*;

use super::*;
use crate::write::RowFile;

/// Types of columns, one in another as well.
const TYPES: &[&str] = &[
    "boolean",
    "tinyint",
    "smallint unsigned",
    "int",
    "bigint unsigned",
    "float",
    "double",
    "decimal(12, 3)",
    "decimal(60, 20)",
    "string",
    "bytes",
    "date",
    "time",
    "timestamp",
    "timestamp_tz",
    "interval",
    "array<string>",
    "map<string, int>",
    "{a = string, b = array<timestamp>}",
];

/// Values of a type, NULL among them. What the format text cannot tell apart does not occur in texts.
fn of_type(data_type: &DataType) -> BoxedStrategy<Cell> {
    let int = |range: std::ops::Range<i64>| range.prop_map(|value| Cell::Int(value.into())).boxed();
    let cell: BoxedStrategy<Cell> = match data_type {
        DataType::Boolean => any::<bool>().prop_map(Cell::Bool).boxed(),
        DataType::Int8 => any::<i8>().prop_map(|value| Cell::Int(value.into())).boxed(),
        DataType::UInt16 => any::<u16>().prop_map(|value| Cell::Int(value.into())).boxed(),
        DataType::Int32 => any::<i32>().prop_map(|value| Cell::Int(value.into())).boxed(),
        DataType::UInt64 => any::<u64>().prop_map(|value| Cell::Int(value.into())).boxed(),
        DataType::Float32 => any::<f32>().prop_map(Cell::Float32).boxed(),
        DataType::Float64 => any::<f64>().prop_map(Cell::Float64).boxed(),
        DataType::Decimal128(_, _) => {
            "-?[0-9]{1,9}\\.[0-9]{0,3}".prop_map(|text| Cell::Decimal(decimal(&text, 12, 3).unwrap())).boxed()
        }
        DataType::Decimal256(_, _) => "-?[0-9]{1,40}\\.[0-9]{0,20}"
            .prop_map(|text| Cell::Decimal(decimal(&text, 60, 20).unwrap()))
            .boxed(),
        DataType::Utf8 => {
            any::<String>().prop_map(|text| Cell::Text(text.replace(['\u{1}', '\n'], "x"))).boxed()
        }
        DataType::Binary => any::<Vec<u8>>().prop_map(Cell::Bytes).boxed(),
        DataType::Date32 => int(-800_000..3_000_000),
        DataType::Time64(_) => int(0..86_400_000_000),
        DataType::Duration(_) => int(-3_020_399_000_000..3_020_399_000_000),
        DataType::Timestamp(_, _) => int(-62_000_000_000_000_000..250_000_000_000_000_000),
        DataType::List(item) => {
            prop::collection::vec(of_type(item.data_type()), 0..4).prop_map(Cell::List).boxed()
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { panic!() };
            let pairs = prop::collection::btree_map("[^\u{1}\n]{0,5}", of_type(pair[1].data_type()), 0..4);
            pairs
                .prop_map(|pairs| {
                    Cell::Map(pairs.into_iter().map(|(key, value)| (Cell::Text(key), value)).collect())
                })
                .boxed()
        }
        DataType::Struct(fields) => fields
            .iter()
            .map(|field| of_type(field.data_type()))
            .collect::<Vec<_>>()
            .prop_map(Cell::Row)
            .boxed(),
        other => panic!("{other}"),
    };
    prop_oneof![1 => Just(Cell::Null), 6 => cell].boxed()
}

fn schema() -> SchemaRef {
    let fields = TYPES
        .iter()
        .enumerate()
        .map(|(at, declared)| Field::new(format!("c \"{at}\""), data_type(declared).unwrap(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn rows() -> impl Strategy<Value = Vec<Vec<Cell>>> {
    let row: Vec<BoxedStrategy<Cell>> =
        TYPES.iter().map(|declared| of_type(&data_type(declared).unwrap())).collect();
    prop::collection::vec(row, 0..20)
}

fn batch(schema: &SchemaRef, rows: &[Vec<Cell>]) -> RecordBatch {
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| array(field.data_type(), rows.iter().map(|row| &row[at])).unwrap());
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
}

/// Writes rows and reads them back, from a row on.
fn there_and_back(
    layout: Layout,
    reading: Reading,
    schema: &SchemaRef,
    batch: &RecordBatch,
    from: u64,
) -> Vec<RecordBatch> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    let (layout, reading) = (Arc::new(layout), Arc::new(reading));
    let mut file = RowFile::begin(&layout, File::create(&path).unwrap(), schema).unwrap();
    file.rows(batch).unwrap();
    file.end().unwrap();
    let mut reader = RowReader::open(&layout, &reading, schema, &path, from).unwrap();
    std::iter::from_fn(|| reader.next(7).unwrap()).collect()
}

fn assert_same(batch: &RecordBatch, found: &[RecordBatch], from: usize, what: &str) {
    let mut row = from;
    for part in found {
        for at in 0..part.num_rows() {
            for (column, (wanted, found)) in batch.columns().iter().zip(part.columns()).enumerate() {
                assert!(
                    equal(wanted, row, found, at),
                    "{what}: row {row}, column {column}: {wanted:?} {found:?}"
                );
            }
            row += 1;
        }
    }
    assert_eq!(row, batch.num_rows(), "{what}");
}

/// How each format keeps everything apart, with what to read it.
fn layouts() -> Vec<(Layout, Reading)> {
    let text = Layout { null: "\\N".to_owned(), ..Layout::usual(Format::Text) };
    let null = Reading { null: Some("\\N".to_owned()), ..Reading::default() };
    let named = Reading { names_in_header: true, ..Reading::default() };
    let csv = Layout {
        header: true,
        quote_all: true,
        row_delimiter: "\r\n".to_owned(),
        ..Layout::usual(Format::Csv)
    };
    vec![
        (Layout::usual(Format::Csv), Reading::default()),
        (csv, named),
        (text, null),
        (Layout::usual(Format::Json), Reading::default()),
        (Layout::usual(Format::Parquet), Reading::default()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back_as_the_same_values(rows in rows(), from in 0usize..20) {
        let schema = schema();
        let batch = batch(&schema, &rows);
        let from = from.min(rows.len());
        for (layout, reading) in layouts() {
            let what = format!("{:?}", layout.format);
            let found = there_and_back(layout, reading, &schema, &batch, from as u64);
            assert_same(&batch, &found, from, &what);
        }
    }

    #[test]
    fn bytes_of_every_sort_are_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, &bytes).unwrap();
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Int32, true)]));
        for (layout, reading) in layouts() {
            let Ok(mut reader) = RowReader::open(&Arc::new(layout), &Arc::new(reading), &schema, &path, 0) else { continue };
            while let Ok(Some(batch)) = reader.next(10) {
                assert!(batch.num_rows() > 0);
            }
        }
    }
}

/// One file of a format, as it looks.
fn written(
    layout: Layout,
    declared: &[(&str, &str)],
    rows: &[Vec<Cell>],
) -> std::result::Result<String, Error> {
    let fields: Vec<Field> = declared
        .iter()
        .map(|(name, declared)| Field::new(*name, data_type(declared).unwrap(), true))
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    let mut file = RowFile::begin(&Arc::new(layout), File::create(&path).unwrap(), &schema)?;
    file.rows(&batch(&schema, rows))?;
    file.end()?;
    let bytes = std::fs::read(&path).unwrap();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn values_are_spelt_as_other_programs_spell_them() {
    let declared = [
        ("s", "string"),
        ("t", "timestamp"),
        ("d", "decimal(10, 2)"),
        ("b", "bytes"),
        ("n", "int"),
        ("l", "array<date>"),
    ];
    let row = vec![
        Cell::Text("a,\"b".to_owned()),
        Cell::Int(1_356_093_296_000_000),
        Cell::Decimal(decimal("1.5", 10, 2).unwrap()),
        Cell::Bytes(b"miIZj".to_vec()),
        Cell::Null,
        Cell::List(vec![Cell::Int(0)]),
    ];
    let rows = [row];
    let json = written(Layout::usual(Format::Json), &declared, &rows).unwrap();
    assert_eq!(
        json,
        "{\"s\":\"a,\\\"b\",\"t\":\"2012-12-21T12:34:56\",\"d\":1.50,\"b\":\"bWlJWmo=\",\"n\":null,\"l\":[\"1970-01-01\"]}\n"
    );
    let csv = Layout { header: true, ..Layout::usual(Format::Csv) };
    assert_eq!(
        written(csv, &declared, &rows).unwrap(),
        "s,t,d,b,n,l\n\"a,\"\"b\",2012-12-21 12:34:56,1.50,bWlJWmo=,,\"[\"\"1970-01-01\"\"]\"\n"
    );
    let text = Layout { field_delimiter: "|".to_owned(), ..Layout::usual(Format::Text) };
    assert_eq!(
        written(text, &declared, &rows).unwrap(),
        "a,\"b|2012-12-21 12:34:56|1.50|bWlJWmo=||[\"1970-01-01\"]\n"
    );
}

#[test]
fn a_text_that_would_be_read_as_another_is_refused() {
    let text =
        || Layout { field_delimiter: "|".to_owned(), null: "\\N".to_owned(), ..Layout::usual(Format::Text) };
    for value in ["a|b", "a\nb", "\\N"] {
        let error = written(text(), &[("s", "string")], &[vec![Cell::Text(value.to_owned())]]).unwrap_err();
        assert!(error.kind() == ErrorKind::Value && error.to_string().contains("column=s"), "{error}");
        assert!(!error.to_string().contains(value));
    }
    let mut gbk = Layout::usual(Format::Csv);
    gbk.encoding("gbk").unwrap();
    assert!(written(gbk.clone(), &[("s", "string")], &[vec![Cell::Text("中".to_owned())]]).is_ok());
    let mut latin = Layout::usual(Format::Csv);
    latin.encoding("iso-8859-2").unwrap();
    assert!(written(latin, &[("s", "string")], &[vec![Cell::Text("中".to_owned())]]).is_err());
    gbk.encoding("utf-16le").unwrap();
    assert!(crate::write::refuse_unwritable(&gbk).is_err());
}

/// Rows of a file of lines, as texts.
fn read(layout: Layout, reading: Reading, declared: &[(&str, &str)], text: &[u8]) -> Result<Vec<String>> {
    let fields: Vec<Field> = declared
        .iter()
        .map(|(name, declared)| Field::new(*name, data_type(declared).unwrap(), true))
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    std::fs::write(&path, text).unwrap();
    let mut reader = RowReader::open(&Arc::new(layout), &Arc::new(reading), &schema, &path, 0)?;
    let mut rows = Vec::new();
    while let Some(batch) = reader.next(2)? {
        let shown = |row: usize| {
            let mut out = String::new();
            for column in batch.columns() {
                crate::spell::json(column.as_ref(), row, &mut out).unwrap();
                out.push(' ');
            }
            out.trim_end().to_owned()
        };
        rows.extend((0..batch.num_rows()).map(shown));
    }
    Ok(rows)
}

#[test]
fn lines_are_read_as_they_are_declared() {
    let people = [("name", "string"), ("age", "int")];
    let hash = || Layout { field_delimiter: "#".to_owned(), ..Layout::usual(Format::Text) };
    assert_eq!(
        read(hash(), Reading::default(), &people, b"tom#26\n\nann#\n").unwrap(),
        ["\"tom\" 26", "\"ann\" null"]
    );
    let skip = Reading { skip: 1, ..Reading::default() };
    assert_eq!(read(hash(), skip, &people, b"name#age\ntom#26").unwrap(), ["\"tom\" 26"]);
    let named = || Reading { names_in_header: true, ..Reading::default() };
    let csv = Layout::usual(Format::Csv);
    assert_eq!(
        read(csv.clone(), named(), &people, b"\xef\xbb\xbfage,x,name\n26,1,tom\n").unwrap(),
        ["\"tom\" 26"]
    );
    let json = Layout::usual(Format::Json);
    assert_eq!(
        read(json.clone(), Reading::default(), &people, b"{\"age\": 26}\n\n{\"name\": \"a\", \"b\": 1}")
            .unwrap(),
        ["null 26", "\"a\" null"]
    );
    let dated = Reading {
        date: Pattern::of("yyyy/MM/dd"),
        datetime: Pattern::of("yyyyMMddHHmmss"),
        time: Pattern::of("HH:mm:ss.SSS"),
        ..Reading::default()
    };
    let moments = [("d", "date"), ("t", "timestamp"), ("u", "time")];
    let found = read(csv.clone(), dated, &moments, b"2026/11/20,20121221123456,00:00:00.007\n").unwrap();
    assert_eq!(found, ["\"2026-11-20\" \"2012-12-21T12:34:56\" \"00:00:00.007\""]);
    for (text, named) in [
        ("tom\n", "1 values for 2 columns"),
        ("tom,x\n", "column=age"),
        ("a,1\n\"b,2\n", "no closing quote"),
        ("a,1\n\"b\"c,2", "line=2"),
    ] {
        let error = read(csv.clone(), Reading::default(), &people, text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("line="), "{error}");
    }
    let error = read(csv, Reading::default(), &people, b"\xff,1\n").unwrap_err().to_string();
    assert!(error.contains("encoding UTF-8"), "{error}");
    let error = read(json, Reading::default(), &people, b"[1]\n").unwrap_err().to_string();
    assert!(error.contains("no JSON object"), "{error}");
}

#[test]
fn text_of_another_encoding_is_read_across_the_chunks_of_a_file() {
    let line = "中文|値\n".repeat(20_000);
    let mut layout = Layout { field_delimiter: "|".to_owned(), ..Layout::usual(Format::Text) };
    layout.encoding("gbk").unwrap();
    let (bytes, _, _) = layout.encoding.encode(&line);
    let rows = read(layout, Reading::default(), &[("a", "string"), ("b", "string")], &bytes).unwrap();
    assert!(rows.len() == 20_000 && rows.iter().all(|row| row == "\"中文\" \"値\""));
}
