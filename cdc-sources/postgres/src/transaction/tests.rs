//! Messages made by hand, stored and read back under every budget.

#![allow(clippy::unwrap_used)]

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::pgoutput::{Message, Value};

/// An insert of one text inside a stream.
fn insert(xid: u32, text: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'I');
    out.put_u32(xid);
    out.put_u32(7);
    out.put_slice(b"N\0\x01t");
    out.put_u32(u32::try_from(text.len()).unwrap());
    out.put_slice(text.as_bytes());
    out.freeze()
}

fn relation(xid: u32, table: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'R');
    out.put_u32(xid);
    out.put_u32(7);
    out.put_slice(b"s\0");
    out.put_slice(table.as_bytes());
    out.put_slice(b"\0d\0\0");
    out.freeze()
}

async fn append(assembly: &mut Assembly, xid: u32, message: &Bytes, place: u64) {
    assembly.append(xid, message, place).unwrap();
    if assembly.is_spill_due(xid) {
        assembly.spill(xid).await.unwrap();
        assert!(!assembly.is_spill_due(xid));
    }
}

/// What comes out: texts of rows, `R name@place` for relations.
async fn replayed(mut replay: Replay) -> Vec<String> {
    let mut out = Vec::new();
    loop {
        while let Some(stored) = replay.take().unwrap() {
            out.push(match stored.parsed.message {
                Message::Insert { new, .. } => match new.columns().next().unwrap().unwrap() {
                    Value::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                    _ => panic!("no text"),
                },
                Message::Relation(relation) => format!("R {}@{}", relation.table, stored.place),
                other => panic!("{other:?}"),
            });
        }
        if !replay.fill().await.unwrap() {
            return out;
        }
    }
}

#[tokio::test]
async fn overlapping_transactions_come_out_whole_and_without_what_was_rolled_back() {
    // In memory; everything in files; a bit of both.
    for budget in [1 << 20, 0, 300] {
        let folder = tempfile::tempdir().unwrap();
        let mut assembly = Assembly::new(Some(folder.path().join("deep/er")), budget);
        for xid in [10, 20, 30] {
            assembly.begin_piece(xid, true).unwrap();
        }
        append(&mut assembly, 10, &relation(12, "a"), 5).await;
        for round in 0..50 {
            append(&mut assembly, 10, &insert(10, &format!("ten {round}")), 0).await;
            append(&mut assembly, 10, &insert(11, "rolled back"), 0).await;
            append(&mut assembly, 10, &insert(12, "rolled back, too"), 0).await;
            append(&mut assembly, 20, &insert(20, &format!("twenty {round}")), 0).await;
            append(&mut assembly, 30, &insert(30, "gone"), 0).await;
        }
        assembly.abort(10, 11);
        assembly.abort(10, 12);
        assembly.abort(30, 30);
        assembly.abort(99, 99);
        append(&mut assembly, 10, &insert(13, "last"), 0).await;
        let mut expected: Vec<String> = (0..50).map(|round| format!("ten {round}")).collect();
        expected.insert(0, "R a@5".to_owned());
        expected.push("last".to_owned());
        assert_eq!(replayed(assembly.commit(10).unwrap()).await, expected, "budget {budget}");
        let twenty = replayed(assembly.commit(20).unwrap()).await;
        assert_eq!(twenty.len(), 50);
        assert_eq!(twenty.last().map(String::as_str), Some("twenty 49"));
        assert!(assembly.commit(30).is_err() && assembly.commit(10).is_err());
        assert_eq!((assembly.bytes, assembly.open.len()), (0, 0));
        // Files have no names: nothing to clean up after a crash.
        if budget == 0 {
            assert_eq!(std::fs::read_dir(folder.path().join("deep/er")).unwrap().count(), 0);
        }
    }
}

#[tokio::test]
async fn a_message_larger_than_any_buffer_is_stored_and_read_back() {
    let mut assembly = Assembly::new(None, 1 << 20);
    assembly.begin_piece(10, true).unwrap();
    let large = "x".repeat(3 << 20);
    append(&mut assembly, 10, &insert(10, "before"), 0).await;
    append(&mut assembly, 10, &insert(10, &large), 0).await;
    append(&mut assembly, 10, &insert(10, "after"), 0).await;
    assert!(assembly.bytes < 1 << 20);
    let out = replayed(assembly.commit(10).unwrap()).await;
    assert_eq!((out.len(), out[0].as_str(), out[1].len(), out[2].as_str()), (3, "before", 3 << 20, "after"));
}

#[tokio::test]
async fn a_transaction_that_was_stored_keeps_little_in_memory() {
    let mut assembly = Assembly::new(None, 4 << 20);
    assembly.begin_piece(10, true).unwrap();
    let message = insert(10, &"x".repeat(1000));
    let mut most = 0;
    while assembly.open[&10].file.is_none() {
        append(&mut assembly, 10, &message, 0).await;
    }
    for _ in 0..10_000 {
        append(&mut assembly, 10, &message, 0).await;
        most = most.max(assembly.bytes);
    }
    assert!(most <= PORTION_BYTES + 2000, "{most} bytes");
    assert!(replayed(assembly.commit(10).unwrap()).await.len() > 10_000);
}

#[test]
fn pieces_out_of_order_are_refused() {
    let mut assembly = Assembly::new(None, 1 << 20);
    assert!(assembly.begin_piece(10, false).is_err());
    assembly.begin_piece(10, true).unwrap();
    assert!(assembly.begin_piece(10, true).is_err());
    assembly.begin_piece(10, false).unwrap();
    assert!(assembly.append(11, &insert(11, "a"), 0).is_err());
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut assembly = Assembly::new(Some(file.path().to_owned()), 0);
    assembly.begin_piece(10, true).unwrap();
    assembly.append(10, &insert(10, "a"), 0).unwrap();
    let error = assembly.spill(10).await.unwrap_err();
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any interleaving under any budget gives each transaction its messages, in order.
    #[test]
    fn what_goes_in_comes_out(
        steps in proptest::collection::vec((0u32..4, 0u32..3, 0usize..700), 1..200),
        budget in 0usize..20_000,
        aborted in proptest::collection::vec((0u32..4, 1u32..3), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut assembly = Assembly::new(None, budget);
            for top in 0..4 {
                assembly.begin_piece(top * 10, true).unwrap();
            }
            let mut expected = vec![Vec::new(); 4];
            for (at, (top, sub, length)) in steps.iter().enumerate() {
                let text = format!("{at} {}", "x".repeat(*length));
                append(&mut assembly, top * 10, &insert(top * 10 + sub, &text), 0).await;
                if !aborted.contains(&(*top, *sub)) {
                    expected[usize::try_from(*top).unwrap()].push(text);
                }
            }
            for (top, sub) in aborted {
                assembly.abort(top * 10, top * 10 + sub);
            }
            for (top, expected) in (0..).zip(expected) {
                assert_eq!(replayed(assembly.commit(top * 10).unwrap()).await, expected);
            }
        });
    }
}
