//! Messages made by hand, and bytes made by nobody.

#![allow(clippy::unwrap_used)]

use bytes::{BufMut, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::wire::EPOCH_US;
use super::*;

/// One column of a tuple as it is put on the wire.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

fn put_tuple(out: &mut BytesMut, cells: &[Cell]) {
    out.put_u16(u16::try_from(cells.len()).unwrap());
    for cell in cells {
        match cell {
            Cell::Null => out.put_u8(b'n'),
            Cell::Unchanged => out.put_u8(b'u'),
            Cell::Text(bytes) | Cell::Binary(bytes) => {
                out.put_u8(if matches!(cell, Cell::Text(_)) { b't' } else { b'b' });
                out.put_i32(i32::try_from(bytes.len()).unwrap());
                out.put_slice(bytes);
            }
        }
    }
}

fn cells(tuple: &Tuple) -> Vec<Cell> {
    let cell = |value: Result<Value<'_>>| match value.unwrap() {
        Value::Null => Cell::Null,
        Value::Unchanged => Cell::Unchanged,
        Value::Text(bytes) => Cell::Text(bytes.to_vec()),
        Value::Binary(bytes) => Cell::Binary(bytes.to_vec()),
    };
    tuple.columns().map(cell).collect()
}

fn any_cells() -> impl Strategy<Value = Vec<Cell>> {
    let cell = prop_oneof![
        Just(Cell::Null),
        Just(Cell::Unchanged),
        vec(any::<u8>(), 0..40).prop_map(Cell::Text),
        vec(any::<u8>(), 0..40).prop_map(Cell::Binary),
    ];
    vec(cell, 0..12)
}

/// A message: its kind, the xid where a stream puts one, the rest.
fn message(kind: u8, xid: Option<u32>, rest: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(kind);
    if let Some(xid) = xid {
        out.put_u32(xid);
    }
    rest(&mut out);
    out.freeze()
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), in_stream: bool) {
        let _ = streamed_header(&bytes);
        if let Ok(parsed) = parse(Bytes::from(bytes), in_stream) {
            for tuple in tuples(&parsed.message) {
                prop_assert!(tuple.columns().count() <= tuple.count() + 1);
            }
        }
    }

    /// The same with a first byte that is a message's, so that more than the first byte is read.
    #[test]
    fn any_body_of_a_known_kind_is_read_or_refused(
        kind in proptest::sample::select(&b"BCORYIUDTMSEcAbPKrp"[..]),
        bytes in vec(prop_oneof![Just(0u8), Just(1), Just(b'N'), Just(b'K'), Just(b't'), any::<u8>()], 0..120),
        in_stream: bool,
    ) {
        let data = message(kind, None, |out| out.put_slice(&bytes));
        if let Ok(parsed) = parse(data, in_stream) {
            for tuple in tuples(&parsed.message) {
                prop_assert!(tuple.columns().count() <= tuple.count() + 1);
            }
        }
    }

    #[test]
    fn rows_come_back_as_they_were_put(
        relation: u32, xid: Option<u32>, old in any_cells(), new in any_cells(), is_key_only: bool, with_old: bool,
    ) {
        let in_stream = xid.is_some();
        let mark = if is_key_only { b'K' } else { b'O' };
        let insert = parse(message(b'I', xid, |out| {
            out.put_u32(relation);
            out.put_u8(b'N');
            put_tuple(out, &new);
        }), in_stream).unwrap();
        prop_assert_eq!(insert.xid, xid);
        let Message::Insert { relation: found, new: row } = insert.message else { panic!("no insert") };
        prop_assert_eq!((found, cells(&row)), (relation, new.clone()));

        let update = message(b'U', xid, |out| {
            out.put_u32(relation);
            if with_old {
                out.put_u8(mark);
                put_tuple(out, &old);
            }
            out.put_u8(b'N');
            put_tuple(out, &new);
        });
        if in_stream {
            prop_assert_eq!(streamed_header(&update).unwrap(), (b'U', xid));
        }
        let Message::Update { old: found, new: row, .. } = parse(update, in_stream).unwrap().message else {
            panic!("no update")
        };
        prop_assert_eq!(cells(&row), new);
        prop_assert_eq!(found.is_some(), with_old);
        if let Some(found) = found {
            prop_assert_eq!((found.is_key_only, cells(&found.tuple)), (is_key_only, old.clone()));
        }

        let delete = message(b'D', xid, |out| {
            out.put_u32(relation);
            out.put_u8(mark);
            put_tuple(out, &old);
        });
        let Message::Delete { old: found, .. } = parse(delete, in_stream).unwrap().message else {
            panic!("no delete")
        };
        prop_assert_eq!((found.is_key_only, cells(&found.tuple)), (is_key_only, old));
    }

    #[test]
    fn a_row_cut_short_is_refused_and_never_shorter(new in any_cells(), cut: proptest::sample::Index) {
        let whole = message(b'I', None, |out| {
            out.put_u32(7);
            out.put_u8(b'N');
            put_tuple(out, &new);
        });
        let cut = cut.index(whole.len());
        if let Ok(parsed) = parse(whole.slice(..cut), false) {
            let Message::Insert { new: row, .. } = parsed.message else { panic!("no insert") };
            prop_assert!(row.columns().any(|value| value.is_err()));
        }
    }
}

fn tuples(message: &Message) -> Vec<&Tuple> {
    match message {
        Message::Insert { new, .. } => vec![new],
        Message::Update { old, new, .. } => old.iter().map(|old| &old.tuple).chain([new]).collect(),
        Message::Delete { old, .. } => vec![&old.tuple],
        _ => Vec::new(),
    }
}

#[test]
fn a_row_longer_than_it_says_is_refused() {
    let data = message(b'I', None, |out| {
        out.put_u32(7);
        out.put_u8(b'N');
        put_tuple(out, &[Cell::Null]);
        out.put_u8(b'n');
    });
    let Message::Insert { new, .. } = parse(data, false).unwrap().message else { panic!("no insert") };
    let values: Vec<bool> = new.columns().map(|value| value.is_ok()).collect();
    assert_eq!(values, [true, false]);
}

#[test]
fn a_relation_has_its_columns() {
    for xid in [None, Some(9)] {
        let data = message(b'R', xid, |out| {
            out.put_u32(16385);
            put_string(out, "");
            put_string(out, "tü");
            out.put_u8(b'f');
            out.put_u16(2);
            for (flags, name, oid, typmod) in [(1, "id", 23, -1), (0, "😀", 1700, 327_686)] {
                out.put_u8(flags);
                put_string(out, name);
                out.put_u32(oid);
                out.put_i32(typmod);
            }
        });
        let parsed = parse(data, xid.is_some()).unwrap();
        let column = |name: &str, type_oid, typmod, is_key| RelationColumn {
            name: name.to_owned(),
            type_oid,
            typmod,
            is_key,
        };
        let relation = Relation {
            id: 16385,
            schema: "pg_catalog".to_owned(),
            table: "tü".to_owned(),
            identity: 'f',
            columns: vec![column("id", 23, -1, true), column("😀", 1700, 327_686, false)],
        };
        assert_eq!(parsed, Parsed { xid, message: Message::Relation(relation) });
    }
}

#[test]
fn control_messages_are_read() {
    let (lsn, end_lsn, instant) = (Lsn(0x1_0000_0010), Lsn(0x1_0000_0040), 5);
    let prepared = Prepared { lsn, end_lsn, time_us: EPOCH_US + 5, xid: 700, gid: "gid 1".to_owned() };
    let put_prepared = |out: &mut BytesMut| {
        out.put_u64(lsn.0);
        out.put_u64(end_lsn.0);
        out.put_i64(instant);
        out.put_u32(700);
        put_string(out, "gid 1");
    };
    let flagged = |kind| {
        message(kind, None, |out| {
            out.put_u8(0);
            put_prepared(out);
        })
    };
    let cases: Vec<(Bytes, Message)> = vec![
        (
            message(b'B', None, |out| {
                out.put_u64(lsn.0);
                out.put_i64(instant);
                out.put_u32(700);
            }),
            Message::Begin { lsn, commit_time_us: EPOCH_US + 5, xid: 700 },
        ),
        (
            message(b'C', None, |out| {
                out.put_u8(0);
                out.put_u64(lsn.0);
                out.put_u64(end_lsn.0);
                out.put_i64(instant);
            }),
            Message::Commit { lsn, end_lsn, commit_time_us: EPOCH_US + 5 },
        ),
        (
            message(b'O', None, |out| {
                out.put_u64(lsn.0);
                put_string(out, "far");
            }),
            Message::Origin { lsn, name: "far".to_owned() },
        ),
        (
            message(b'Y', None, |out| {
                out.put_u32(16400);
                put_string(out, "public");
                put_string(out, "mood");
            }),
            Message::Type { oid: 16400, schema: "public".to_owned(), name: "mood".to_owned() },
        ),
        (
            message(b'T', None, |out| {
                out.put_u32(2);
                out.put_u8(3);
                out.put_u32(5);
                out.put_u32(6);
            }),
            Message::Truncate { relations: vec![5, 6], cascade: true, restart_identity: true },
        ),
        (
            message(b'M', None, |out| {
                out.put_u8(1);
                out.put_u64(lsn.0);
                put_string(out, "p");
                out.put_u32(3);
                out.put_slice(&[0, 1, 2]);
            }),
            Message::Logical {
                transactional: true,
                lsn,
                prefix: "p".to_owned(),
                content: Bytes::from_static(&[0, 1, 2]),
            },
        ),
        (message(b'S', Some(700), |out| out.put_u8(1)), Message::StreamStart { xid: 700, is_first: true }),
        (message(b'E', None, |_| {}), Message::StreamStop),
        (
            message(b'c', Some(700), |out| {
                out.put_u8(0);
                out.put_u64(lsn.0);
                out.put_u64(end_lsn.0);
                out.put_i64(instant);
            }),
            Message::StreamCommit { xid: 700, lsn, end_lsn, commit_time_us: EPOCH_US + 5 },
        ),
        (message(b'A', Some(700), |out| out.put_u32(701)), Message::StreamAbort { xid: 700, subxid: 701 }),
        (
            message(b'A', Some(700), |out| {
                out.put_u32(700);
                out.put_u64(lsn.0);
                out.put_i64(instant);
            }),
            Message::StreamAbort { xid: 700, subxid: 700 },
        ),
        (message(b'b', None, put_prepared), Message::BeginPrepare(prepared.clone())),
        (flagged(b'P'), Message::Prepare(prepared.clone())),
        (flagged(b'K'), Message::CommitPrepared(prepared.clone())),
        (flagged(b'p'), Message::StreamPrepare(prepared.clone())),
        (
            message(b'r', None, |out| {
                out.put_u8(0);
                out.put_u64(lsn.0);
                out.put_u64(end_lsn.0);
                out.put_i64(1);
                out.put_i64(instant);
                out.put_u32(700);
                put_string(out, "gid 1");
            }),
            Message::RollbackPrepared(prepared),
        ),
    ];
    for (data, expected) in cases {
        assert_eq!(parse(data.clone(), false).unwrap(), Parsed { xid: None, message: expected.clone() });
        for end in 0..data.len() {
            let cut = parse(data.slice(..end), false);
            // An abort without its place and time is one, too.
            let whole = end == 9 && matches!(expected, Message::StreamAbort { .. });
            assert_eq!(cut.is_ok(), whole, "{expected:?} cut at {end}");
        }
        let longer = message(data[0], None, |out| {
            out.put_slice(&data[1..]);
            out.put_u8(0);
        });
        assert!(parse(longer, false).is_err(), "{expected:?} with more behind it");
    }
}

#[test]
fn an_xid_stands_only_before_what_belongs_to_a_transaction() {
    for kind in *b"RYIUDTM" {
        assert_eq!(streamed_header(&[kind, 0, 0, 2, 1, 9]).unwrap(), (kind, Some(513)));
        assert!(streamed_header(&[kind, 0, 0, 2]).is_err());
    }
    for kind in *b"EOSBC" {
        assert_eq!(streamed_header(&[kind]).unwrap(), (kind, None));
    }
    assert!(streamed_header(&[]).is_err());
}

#[test]
fn printing_shows_no_values() {
    let data = message(b'I', None, |out| {
        out.put_u32(7);
        out.put_u8(b'N');
        put_tuple(out, &[Cell::Text(b"hunter2".to_vec())]);
    });
    assert!(!format!("{:?}", parse(data, false).unwrap()).contains("hunter2"));
}
