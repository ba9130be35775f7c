#![allow(clippy::unwrap_used)]
//! Events made by hand, byte by byte, as the manuals describe them.

use std::io::Write;

use super::*;
use crate::decode::column_type as ty;
use crate::gtid::MariaDbGtid;

pub(crate) fn context() -> ParseContext {
    ParseContext { format: FormatDescription::assumed(), expanded_bytes_max: 1 << 20 }
}

/// A table map of `d.t`; all columns nullable.
pub(crate) fn table_map_body(columns: &[(u8, &[u8])], optional: &[u8]) -> Vec<u8> {
    let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 1, b't', 0];
    body.push(u8::try_from(columns.len()).unwrap());
    body.extend(columns.iter().map(|(column_type, _)| *column_type));
    let metadata: Vec<u8> = columns.iter().flat_map(|(_, metadata)| metadata.to_vec()).collect();
    body.push(u8::try_from(metadata.len()).unwrap());
    body.extend(metadata);
    body.extend(vec![0xff; columns.len().div_ceil(8)]);
    body.extend(optional);
    body
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number, u8::try_from(value.len()).unwrap()];
    bytes.extend(value);
    bytes
}

/// A whole event with a right size and, if wanted, a right checksum.
fn whole(event_type: u8, body: &[u8], checksum: bool) -> Vec<u8> {
    let size = HEADER_LENGTH + body.len() + if checksum { CHECKSUM_LENGTH } else { 0 };
    let mut event = vec![1, 0, 0, 0, event_type, 101, 0, 0, 0];
    event.extend(u32::try_from(size).unwrap().to_le_bytes());
    event.extend([200, 1, 0, 0, 0, 0]);
    event.extend(body);
    if checksum {
        let crc = crc32fast::hash(&event);
        event.extend(crc.to_le_bytes());
    }
    event
}

fn format_body(version: &str, checksum: Option<u8>) -> Vec<u8> {
    let mut body = vec![4, 0];
    let mut padded = version.as_bytes().to_vec();
    padded.resize(50, 0);
    body.extend(padded);
    body.extend([9, 0, 0, 0, 19]);
    body.extend([56, 13, 0, 8]);
    body.extend(checksum);
    body
}

#[test]
fn events_are_cut_and_checked() {
    let event = whole(kind::XID, &42u64.to_le_bytes(), true);
    assert!(verify_checksum(&event));
    let raw = split(&event, ChecksumAlgorithm::Crc32).unwrap();
    assert_eq!((raw.header.timestamp, raw.header.server_id, raw.header.log_pos), (1, 101, 456));
    let parsed = parse(raw.header.event_type, raw.header.flags, raw.body, &context()).unwrap();
    assert!(matches!(parsed, Event::Xid(42)));
    for place in 0..event.len() {
        let mut damaged = event.clone();
        damaged[place] ^= 1;
        assert!(!verify_checksum(&damaged), "byte {place}");
    }
    assert!(!verify_checksum(&event[..10]));
    assert!(split(&event[..event.len() - 1], ChecksumAlgorithm::Crc32).is_err(), "cut off");
}

#[test]
fn a_format_description_always_carries_a_checksum() {
    let event = whole(kind::FORMAT_DESCRIPTION, &format_body("8.4.2", Some(0)), true);
    // Unlike other events, whatever was in force before.
    for before in [ChecksumAlgorithm::None, ChecksumAlgorithm::Crc32] {
        let raw = split(&event, before).unwrap();
        assert_eq!(raw.checksum, Some(ChecksumAlgorithm::None));
        let Event::FormatDescription(format) = parse(15, 0, raw.body, &context()).unwrap() else { panic!() };
        assert_eq!(format.server_version, "8.4.2");
        assert_eq!(format.post_header_length(2), Some(13));
        assert!(!format.is_mariadb());
    }
    let mut open = event.clone();
    open[17] |= 1;
    assert!(verify_checksum(&open), "the in-use flag is not covered");
    let old = whole(kind::FORMAT_DESCRIPTION, &format_body("5.5.60-MariaDB", None), false);
    assert_eq!(split(&old, ChecksumAlgorithm::None).unwrap().checksum, None);
}

#[test]
fn steering_events() {
    let mut body = 4u64.to_le_bytes().to_vec();
    body.extend(b"binlog.000002");
    let Event::Rotate(rotate) = parse(kind::ROTATE, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!((rotate.position, rotate.file), (4, "binlog.000002"));

    let body = [0, 6, b'a', b'.', b'1', b'x', b'y', b'z'];
    let Event::RowsQuery(sql) = parse(kind::ROWS_QUERY, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!(sql, &body[1..]);

    let body = [1, 3, b'b', b'.', b'7', 2, 9, 254, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let Event::Heartbeat(beat) = parse(kind::HEARTBEAT_V2, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!(beat, Heartbeat { file: "b.7", position: Some(1 << 32) });
    let Event::Heartbeat(beat) = parse(kind::HEARTBEAT, 0, b"b.7", &context()).unwrap() else { panic!() };
    assert_eq!(beat.file, "b.7");

    let body = [1, 0, 2, b'n', b'o'];
    let Event::Incident(incident) = parse(kind::INCIDENT, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!((incident.code, incident.message), (1, &b"no"[..]));

    let body = [1, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, b'g', b'h', b'b'];
    let Event::XaPrepare(xa) = parse(kind::XA_PREPARE, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!((xa.one_phase, xa.gtrid, xa.bqual), (true, &b"gh"[..], &b"b"[..]));
}

fn query_body(status: &[u8], sql: &[u8]) -> Vec<u8> {
    let mut body = vec![5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0];
    body.extend(u16::try_from(status.len()).unwrap().to_le_bytes());
    body.extend(status);
    body.extend(b"db\0");
    body.extend(sql);
    body
}

#[test]
fn statements_with_their_session() {
    let mut status = vec![0, 0, 0, 0, 0, 1];
    status.extend(4u64.to_le_bytes());
    status.extend([6, 3, b's', b't', b'd', 4, 28, 0, 33, 0, 45, 0, 99, 1, 2]);
    let body = query_body(&status, b"create table \xc4\xe3 (a int)");
    let Event::Query(query) = parse(kind::QUERY, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!((query.thread_id, query.schema), (5, "db"));
    assert_eq!((query.sql_mode, query.client_collation), (Some(4), Some(28)));
    assert!(query.sql.starts_with(b"create table"));
}

fn mariadb_compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x82];
    out.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
    let mut encoder = flate2::write::ZlibEncoder::new(out, flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn mariadb_compression_is_checked_against_its_length() {
    let plain = b"insert into t values (1), (1), (1), (1), (1)".repeat(10);
    let packed = mariadb_compress(&plain);
    assert_eq!(decompress(&packed, 1 << 20).unwrap(), plain);
    assert_eq!(decompress(&packed, plain.len() - 1).unwrap_err().kind(), ErrorKind::Unsupported);
    for wrong in [plain.len() - 1, plain.len() + 1] {
        let mut lying = packed.clone();
        lying[1..3].copy_from_slice(&u16::try_from(wrong).unwrap().to_be_bytes());
        assert_eq!(decompress(&lying, 1 << 20).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong}");
    }
    assert_eq!(decompress(&packed[..packed.len() - 5], 1 << 20).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(decompress(&[0x90, 1, 0], 9).unwrap_err().kind(), ErrorKind::Unsupported);

    let body = query_body(&[], &mariadb_compress(b"drop table t"));
    let Event::Query(query) = parse(kind::MARIADB_QUERY_COMPRESSED, 0, &body, &context()).unwrap() else {
        panic!()
    };
    assert_eq!(&*query.sql, b"drop table t");
}

#[test]
fn mysql_gtids_of_every_age() {
    let mut body = vec![1];
    body.extend([0xab; 16]);
    body.extend(7u64.to_le_bytes());
    let parse_gtid = |body: &[u8]| match parse(kind::GTID, 0, body, &context()).unwrap() {
        Event::MySqlGtid(gtid) => gtid,
        other => panic!("{other:?}"),
    };
    let gtid = parse_gtid(&body);
    assert_eq!((gtid.number, gtid.uuid.0[3], gtid.transaction_length), (7, 0xab, None));
    body.push(2);
    body.extend(5i64.to_le_bytes());
    body.extend(6i64.to_le_bytes());
    let gtid = parse_gtid(&body);
    assert_eq!((gtid.last_committed, gtid.sequence_number, gtid.immediate_commit_us), (5, 6, None));
    body.extend(&(1_000_000u64 | 1 << 55).to_le_bytes()[..7]);
    body.extend(&999_999u64.to_le_bytes()[..7]);
    body.extend([252, 0x34, 0x12]);
    body.extend(80402u32.to_le_bytes());
    let gtid = parse_gtid(&body);
    assert_eq!(gtid.immediate_commit_us, Some(1_000_000));
    assert_eq!(gtid.original_commit_us, Some(999_999));
    assert_eq!(gtid.transaction_length, Some(0x1234));
    assert!(matches!(
        parse(kind::ANONYMOUS_GTID, 0, &body, &context()).unwrap(),
        Event::MySqlGtid(gtid) if gtid.anonymous
    ));
}

#[test]
fn tagged_gtids() {
    // version 1, size, last needed field, then: flags, uuid, number 300, tag, clock, times.
    let mut body = vec![1 << 1, 60 << 1, 8 << 1];
    body.extend([0, 0, 1 << 1]);
    body.extend((0..16).map(|byte| byte << 1));
    // 300 signed is 600; two bytes: 600 << 2 | 1.
    body.extend([2 << 1, 0x61, 0x09, 3 << 1, 3 << 1, b'e', b't', b'l']);
    // -1 signed is 1.
    body.extend([4 << 1, 1 << 1, 5 << 1, 4 << 1]);
    body.push(6 << 1);
    body.push(0xff);
    body.extend(u64::MAX.to_le_bytes());
    body.extend([8 << 1, 100 << 1]);
    let Event::MySqlGtid(gtid) = parse(kind::GTID_TAGGED, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!((gtid.number, gtid.tag.as_ref().unwrap().as_str()), (300, "etl"));
    assert_eq!(gtid.uuid.0[15], 15);
    assert_eq!((gtid.last_committed, gtid.sequence_number), (-1, 2));
    assert_eq!(gtid.immediate_commit_us, Some(u64::MAX));
    assert_eq!(gtid.transaction_length, Some(100));
    // A field that must be known and is not.
    body[2] = 20 << 1;
    body.extend([13 << 1, 0]);
    assert_eq!(parse(kind::GTID_TAGGED, 0, &body, &context()).unwrap_err().kind(), ErrorKind::Unsupported);
    // A field that may be skipped.
    body[2] = 8 << 1;
    assert!(parse(kind::GTID_TAGGED, 0, &body, &context()).is_ok());
}

#[test]
fn mariadb_gtids() {
    let mut body = 9u64.to_le_bytes().to_vec();
    body.extend([3, 0, 0, 0, 1 | 32]);
    body.extend([0; 6]);
    let Event::MariaDbGtid(event) = parse(kind::MARIADB_GTID, 0, &body, &context()).unwrap() else {
        panic!()
    };
    assert_eq!(event.gtid(8).to_string(), "3-8-9");
    assert!(event.is_standalone() && event.is_ddl() && !event.is_prepared_xa());

    body[12] = 64 | 2;
    body.truncate(13);
    body.extend([1; 8]);
    body.extend([1, 0, 0, 0, 2, 1, b'g', b'h', b'b']);
    let Event::MariaDbGtid(event) = parse(kind::MARIADB_GTID, 0, &body, &context()).unwrap() else {
        panic!()
    };
    assert_eq!(event.xid, Some((1, b"ghb".to_vec())));
    assert!(event.is_prepared_xa() && !event.is_completed_xa());

    let mut body = (1u32 | 1 << 28).to_le_bytes().to_vec();
    body.extend([2, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    let Event::MariaDbGtidList(list) = parse(kind::MARIADB_GTID_LIST, 0, &body, &context()).unwrap() else {
        panic!()
    };
    assert_eq!(list, [MariaDbGtid { domain: 2, server: 4, sequence: 6 }]);
    let endless = 0x0fff_ffffu32.to_le_bytes();
    assert!(parse(kind::MARIADB_GTID_LIST, 0, &endless, &context()).is_err());
}

#[test]
fn table_maps_with_everything() {
    let columns: &[(u8, &[u8])] = &[
        (ty::LONG, &[]),
        (ty::YEAR, &[]),
        (ty::LONGLONG, &[]),
        (ty::VARCHAR, &[80, 0]),
        (ty::STRING, &[ty::ENUM, 1]),
        (ty::STRING, &[ty::SET, 1]),
        (ty::BLOB, &[2]),
        // CHAR(200) of utf8mb4: 800 bytes, 0x320; its two upper bits inverted in 0xfe.
        (ty::STRING, &[0xfe ^ 0x30, 0x20]),
        (ty::GEOMETRY, &[4]),
        (ty::VECTOR, &[4]),
    ];
    let mut optional = field(1, &[0b0110_0000]);
    optional.extend(field(2, &[255 - 5, 1, 63, 3, 63]));
    optional.extend(field(4, b"\x02id\x01y\x01b\x01v\x01e\x01s\x01t\x01c\x01g\x01x"));
    optional.extend(field(5, b"\x02\x01a\x01b"));
    optional.extend(field(6, b"\x01\x02no"));
    optional.extend(field(7, &[1]));
    optional.extend(field(9, &[0, 0, 3, 10]));
    optional.extend(field(11, &[8, 45]));
    optional.extend(field(12, &[0b1111_1110, 0b1100_0000]));
    optional.extend(field(13, &[3]));
    optional.extend(field(200, b"future"));
    let body = table_map_body(columns, &optional);
    let Event::TableMap(map) = parse(kind::TABLE_MAP, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!((map.table_id, map.schema, map.table), (7, "d", "t"));
    let metas = map.columns().unwrap();
    assert_eq!((metas[3].column_type, metas[3].length), (ty::VARCHAR, 80));
    assert_eq!((metas[4].column_type, metas[5].column_type), (ty::ENUM, ty::SET));
    assert_eq!((metas[7].column_type, metas[7].length), (ty::STRING, 800));
    assert!(metas[9].nullable);
    let metadata = map.optional_metadata().unwrap();
    // YEAR has a bit of its own, between those of `id` and `b`.
    assert_eq!(metadata.unsigned.unwrap()[..3], [false, true, true]);
    let collations = metadata.collations.unwrap();
    assert_eq!(
        (collations[3], collations[6], collations[7], collations[4]),
        (Some(250), Some(63), Some(250), None)
    );
    // MySQL counts VECTOR and not GEOMETRY, MariaDB the other way round.
    assert_eq!((collations[8], collations[9]), (None, Some(63)));
    let mut mariadb = context();
    mariadb.format.server_version = "10.11.6-MariaDB".into();
    let Event::TableMap(map) = parse(kind::TABLE_MAP, 0, &body, &mariadb).unwrap() else { panic!() };
    let collations = map.optional_metadata().unwrap().collations.unwrap();
    assert_eq!((collations[8], collations[9]), (Some(63), None));
    let Event::TableMap(map) = parse(kind::TABLE_MAP, 0, &body, &context()).unwrap() else { panic!() };
    assert_eq!(metadata.names.unwrap().join(" "), "id y b v e s t c g x");
    assert_eq!(metadata.set_labels.unwrap()[5].as_ref().unwrap()[1], b"b");
    assert_eq!(metadata.enum_labels.unwrap()[4].as_ref().unwrap()[0], b"no");
    assert_eq!(metadata.geometry_types.unwrap()[8], Some(1));
    assert_eq!(metadata.primary_key.unwrap(), [(0, 0), (3, 10)]);
    assert_eq!(metadata.label_collations.unwrap()[5], Some(45));
    assert_eq!(metadata.visible.unwrap(), [true, true, true, true, true, true, true, false, true, true]);
    assert_eq!(metadata.vector_dimensions.unwrap()[9], Some(3));

    let mut other = body.clone();
    other[0] = 8;
    let Event::TableMap(renumbered) = parse(kind::TABLE_MAP, 0, &other, &context()).unwrap() else {
        panic!()
    };
    assert_eq!(renumbered.signature, map.signature, "only the number differs");

    let unknown = table_map_body(&[(77, &[])], &[]);
    let Event::TableMap(map) = parse(kind::TABLE_MAP, 0, &unknown, &context()).unwrap() else { panic!() };
    assert!(map.columns().unwrap_err().message().contains("77"));
}

#[test]
fn row_events_of_both_versions() {
    let version_one = [7, 0, 0, 0, 0, 0, 1, 0, 2, 0b01, 0b11, 9, 9];
    let Event::Rows(rows) = parse(kind::UPDATE_ROWS_V1, 0, &version_one, &context()).unwrap() else {
        panic!()
    };
    assert_eq!((rows.table_id, rows.kind, rows.column_count), (7, RowsKind::Update, 2));
    assert!(rows.ends_statement());
    assert!(!rows.has_full_images());
    assert_eq!(&*rows.data.expand(0).unwrap(), [9, 9]);

    let version_two = [7, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 2, 2, 0b11, 9];
    let Event::Rows(rows) = parse(kind::WRITE_ROWS, 0, &version_two, &context()).unwrap() else { panic!() };
    assert_eq!(rows.kind, RowsKind::Write);
    assert!(rows.has_full_images() && !rows.ends_statement());
    assert_eq!(&*rows.data.expand(0).unwrap(), [9]);

    let mut compressed = version_two[..14].to_vec();
    compressed.extend(mariadb_compress(b"row"));
    let Event::Rows(rows) = parse(kind::MARIADB_DELETE_ROWS_COMPRESSED, 0, &compressed, &context()).unwrap()
    else {
        panic!()
    };
    assert_eq!(&*rows.data.expand(10).unwrap(), b"row");
}

#[test]
fn rows_in_an_unknown_form_are_never_skipped() {
    for event_type in [20, 21, 22, kind::MARIADB_PARTIAL_ROW_DATA] {
        // Not even when flagged as skippable.
        let error = parse(event_type, FLAG_IGNORABLE, &[0; 40], &context()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{event_type}");
    }
    let partial = parse(kind::PARTIAL_UPDATE_ROWS, 0, &[9, 0, 0, 0, 0, 0, 0], &context()).unwrap();
    assert!(matches!(partial, Event::PartialUpdateRows { table_id: 9 }));
    assert!(matches!(parse(99, 0, &[], &context()).unwrap(), Event::Unknown(99)));
    assert!(matches!(parse(99, FLAG_IGNORABLE, &[], &context()).unwrap(), Event::Ignorable(99)));
}

fn payload_body(inner: &[u8], compressed: &[u8], compression: u8, stated: usize) -> Vec<u8> {
    let mut body = vec![2, 1, compression];
    assert!(inner.len() >= compressed.len().min(1));
    let lenenc = |value: usize| {
        let mut bytes = vec![252];
        bytes.extend(u16::try_from(value).unwrap().to_le_bytes());
        bytes
    };
    body.extend([1, 3]);
    body.extend(lenenc(compressed.len()));
    body.extend([3, 3]);
    body.extend(lenenc(stated));
    body.push(0);
    body.extend(compressed);
    body
}

#[test]
fn compressed_transactions() {
    let mut inner = whole(kind::QUERY, &query_body(&[], b"BEGIN"), false);
    inner.extend(whole(kind::XID, &42u64.to_le_bytes(), false));
    let zstd = zstd::encode_all(&inner[..], 3).unwrap();
    let read_all = |body: &[u8], limit: usize| -> Result<Vec<u8>> {
        let Event::TransactionPayload(payload) = parse(kind::TRANSACTION_PAYLOAD, 0, body, &context())?
        else {
            panic!()
        };
        payload.decompress(limit)
    };
    let body = payload_body(&inner, &zstd, 0, inner.len());
    assert_eq!(read_all(&body, 1000).unwrap(), inner);
    assert_eq!(read_all(&body, 60).unwrap_err().kind(), ErrorKind::Unsupported);
    let wrong = payload_body(&inner, &zstd, 0, inner.len() + 1);
    assert_eq!(read_all(&wrong, 1000).unwrap_err().kind(), ErrorKind::Corrupt);
    let cut = payload_body(&inner, &zstd[..zstd.len() - 3], 0, inner.len());
    assert_eq!(read_all(&cut, 1000).unwrap_err().kind(), ErrorKind::Corrupt);
    let plain = payload_body(&inner, &inner, 255 - 255, inner.len());
    assert_eq!(read_all(&plain, 1000).unwrap_err().kind(), ErrorKind::Corrupt, "not zstd at all");

    let Event::TransactionPayload(payload) = parse(kind::TRANSACTION_PAYLOAD, 0, &body, &context()).unwrap()
    else {
        panic!()
    };
    let mut events = payload.events(1000).unwrap();
    let mut types = Vec::new();
    while let Some((header, body)) = events.next_event().unwrap() {
        types.push((header.event_type, body.len()));
    }
    assert_eq!(types, [(kind::QUERY, 13 + 3 + 5), (kind::XID, 8)]);
}
