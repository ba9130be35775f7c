//! Frames of any size, and bytes that are none.

#![allow(clippy::unwrap_used)]

use bytes::BufMut;
use proptest::prelude::*;

use super::*;

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.put_i32(i32::try_from(body.len() + 4).unwrap());
    out.extend_from_slice(body);
    out
}

/// Everything a stream of bytes gives, and how it ends.
async fn frames(bytes: Vec<u8>) -> (Vec<(CopyFrame, usize)>, Option<Error>) {
    let mut reader = CopyReader::new(Box::new(std::io::Cursor::new(bytes)));
    let mut found = Vec::new();
    loop {
        match reader.take() {
            Ok(Some(frame)) => found.push(frame),
            Ok(None) => match reader.fill().await {
                Ok(_) => {}
                Err(error) => return (found, Some(error)),
            },
            Err(error) => return (found, Some(error)),
        }
    }
}

#[tokio::test]
async fn frames_are_cut_off_whatever_their_size() {
    let mut bytes = Vec::new();
    let mut lengths = Vec::new();
    for length in [0, 1, BUFFER_BYTES - 30, BUFFER_BYTES, 3 * BUFFER_BYTES, 1 << 20, 5] {
        let mut body = vec![b'w'];
        body.put_u64(7);
        body.put_u64(9);
        body.put_i64(0);
        body.resize(body.len() + length, b'x');
        bytes.extend(frame(b'd', &body));
        lengths.push(length);
    }
    bytes.extend(frame(b'N', b"SNOTICE\0Mhello\0\0"));
    let mut keepalive = vec![b'k'];
    keepalive.put_u64(11);
    keepalive.put_i64(0);
    keepalive.push(1);
    bytes.extend(frame(b'd', &keepalive));
    bytes.extend(frame(b'E', b"SFATAL\0C57P01\0Mgone\0\0"));
    let (found, error) = frames(bytes).await;
    let mut seen = Vec::new();
    for (frame, _) in &found {
        if let CopyFrame::Log { start, head, payload } = frame {
            assert_eq!((*start, *head), (Lsn(7), Lsn(9)));
            assert!(payload.iter().all(|byte| *byte == b'x'));
            seen.push(payload.len());
        }
    }
    assert_eq!(seen, lengths);
    assert!(matches!(found[7].0, CopyFrame::Keepalive { sent: Lsn(11), reply: true }));
    assert!(matches!(&found[8].0, CopyFrame::Refused(message) if message.code == "57P01"));
    assert_eq!(error.unwrap().kind(), culvert_api::ErrorKind::Connection);
}

#[tokio::test]
async fn impossible_lengths_are_refused_before_memory_is_taken() {
    for length in [3, 0, -1, i32::MIN, i32::MAX] {
        let mut bytes = vec![b'd'];
        bytes.put_i32(length);
        let (found, error) = frames(bytes).await;
        assert!(found.is_empty());
        assert!(error.unwrap().to_string().contains("a message"), "{length}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_, error) = runtime.block_on(frames(bytes.clone()));
        prop_assert!(error.is_some());
        let _ = text_row(Bytes::from(bytes));
    }
}
