#![allow(clippy::unwrap_used)]
use super::*;
use crate::column::{ColumnDef, PgType};
use crate::decode::Cell;
use crate::key::KeyValue;
use crate::shape::Identity;

fn column(name: &str, number: i16, type_oid: u32, kind: PgType, declaration: &str) -> ColumnDef {
    let nullable = number > 2;
    let typmod = if type_oid == 1700 { 655_366 } else { -1 };
    ColumnDef {
        name: name.into(),
        number,
        type_oid,
        typmod,
        kind,
        declaration: declaration.into(),
        nullable,
        bytewise: true,
    }
}

fn def() -> TableDef {
    TableDef {
        oid: 16_390,
        database: "shop".into(),
        schema: "publ\"ic".into(),
        table: "item 😀".into(),
        columns: vec![
            column("id", 1, 20, PgType::Int8, "bigint"),
            column("at", 2, 1184, PgType::TimestampTz, "timestamp with time zone"),
            column("price", 3, 1700, PgType::Decimal { precision: 10, scale: 2 }, "numeric(10,2)"),
            column("mood", 4, 16_400, PgType::Text, "public.mood"),
        ],
        key: vec!["id".into(), "at".into()],
        identity: Identity::Key,
        partitioned: false,
        listed: true,
        filter: Some("(id > 5)".into()),
        filenode: None,
    }
}

fn key(number: i64) -> KeyBound {
    let digits = format!("-{number}.50");
    let numeric = KeyValue::read(&PgType::Numeric, Cell::Text(digits.as_bytes())).unwrap();
    KeyBound(vec![
        KeyValue::Int(number),
        KeyValue::Text("é:\"".into()),
        KeyValue::Bytes(vec![0, 255]),
        numeric,
    ])
}

fn reader() -> ReaderState {
    let mut done = RangeSet::default();
    done.insert(KeyRange { after: None, up_to: Some(key(-7)) });
    let last = KeyRange { after: Some(key(10)), up_to: None };
    done.insert(last.clone());
    let recent = RecentRange {
        range: last,
        snapshot: "4294967300:4294967310:4294967302,4294967305".parse().unwrap(),
        high: Lsn(0x16_B374_D848),
    };
    ReaderState {
        system: "7300000000000000001".into(),
        slot: "culvert_job_0a1b2c3d".into(),
        publication: "pub \"x\"".into(),
        position: Lsn(0x16_B374_D000),
        skip: 3,
        stop_at: Some(Lsn(u64::MAX)),
        tables: vec![TableState {
            output: Some(def()),
            def: def(),
            version: 3,
            done,
            recent: vec![recent],
            standing: None,
        }],
        unseen: vec![7, u32::MAX],
    }
}

fn enumerator() -> EnumeratorState {
    let mut plan = TablePlan::new();
    plan.add_bound(Some(key(5)));
    plan.add_bound(None);
    plan.take();
    EnumeratorState { tables: vec![(def().id(), plan)] }
}

const STANDING: &str = r#"{"membership":{"entries":["schema 16500","table 16501"],"kinds":["insert"],"written":"731"},
    "leaves":[{"oid":16502,"schema":"s","table":"p \"1\"","file":16777,"filled":true}]}"#;

/// Compares with the file, or writes it when asked to (`CULVERT_BLESS=1`), for a new version.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("CULVERT_BLESS").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(&path).unwrap()
}

#[test]
fn the_first_version_reads_and_writes_as_ever() {
    let stored = golden("reader-v1.bin", &encode(&reader()).unwrap());
    assert_eq!(decode::<ReaderState>(&stored).unwrap(), reader());
    assert_eq!(encode(&reader()).unwrap(), stored);
    let stored = golden("enumerator-v1.bin", &encode(&enumerator()).unwrap());
    assert_eq!(decode::<EnumeratorState>(&stored).unwrap(), enumerator());
    assert_eq!(encode(&enumerator()).unwrap(), stored);
}

#[test]
fn the_number_of_a_tables_file_may_be_there() {
    let mut state = reader();
    state.tables[0].def.filenode = Some(u32::MAX);
    let stored = golden("reader-v1-file.bin", &encode(&state).unwrap());
    assert_eq!(decode::<ReaderState>(&stored).unwrap(), state);
    assert_eq!(encode(&state).unwrap(), stored);
}

#[test]
fn what_was_added_to_the_first_version_reads_and_writes_as_ever() {
    let mut state = reader();
    state.tables[0].standing = Some(serde_json::from_str(STANDING).unwrap());
    let stored = golden("reader-v1-standing.bin", &encode(&state).unwrap());
    assert_eq!(decode::<ReaderState>(&stored).unwrap(), state);
    assert_eq!(encode(&state).unwrap(), stored);
}

#[test]
fn another_version_and_damage_are_told_apart() {
    let mut bytes = encode(&reader()).unwrap();
    bytes[0] = 9;
    assert_eq!(decode::<ReaderState>(&bytes).unwrap_err().kind(), ErrorKind::StateMismatch);
    assert_eq!(decode::<ReaderState>(&[]).unwrap_err().kind(), ErrorKind::Corrupt);
    bytes[0] = VERSION;
    bytes.truncate(bytes.len() / 2);
    assert_eq!(decode::<ReaderState>(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn no_two_tables_have_one_text() {
    let id = |schema: &str, table: &str| TableId {
        database: "d".into(),
        schema: Some(schema.into()),
        table: table.into(),
    };
    assert_eq!(table_text(&id("s", "t:1")), "d.s.t:1");
    let texts = [id("a", "b.c"), id("a.b", "c"), id("a", "\"b"), id("a", "b"), id("\"a\"", "b")]
        .map(|id| table_text(&id));
    let mut different = texts.to_vec();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), texts.len(), "{texts:?}");
}
