//! The stream over a server played from a script; the real ones are in the crate's `tests`.

#![allow(clippy::unwrap_used)]

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::walsender::CopyReader;

fn options() -> LogOptions {
    LogOptions {
        slot: "s".into(),
        publication: "p".into(),
        start: Lsn(0x100),
        binary: false,
        streaming: true,
        messages: true,
        origin_none: false,
        spill_folder: None,
        spill_bytes_max: 1 << 20,
        server_version: 150_000,
    }
}

/// A stream and the server's end of its connection.
fn stream(options: LogOptions) -> (LogStream, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    let shared = Arc::new(Shared::default());
    let (sender, batches) = mpsc::unbounded_channel();
    let timing = Timing { status_interval: Duration::from_secs(10), silence_max: Duration::from_secs(60) };
    let link = Link::new(Box::new(writer), Arc::clone(&shared), timing, None);
    let outbox = Outbox::new(sender, Arc::clone(&shared));
    let assembly = Assembly::new(options.spill_folder.clone(), options.spill_bytes_max);
    let returned = options.start;
    let reader = CopyReader::new(Box::new(reader));
    let task = tokio::spawn(Pump::new(reader, link, outbox, assembly, options).run());
    (LogStream { batches, current: Vec::new().into_iter(), shared, task, returned, backend: None }, theirs)
}

fn copy_data(body: &[u8]) -> Vec<u8> {
    let mut out = vec![b'd'];
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.extend_from_slice(body);
    out
}

fn log(message: &[u8]) -> Vec<u8> {
    let mut body = vec![b'w'];
    body.extend([0; 24]);
    body.extend_from_slice(message);
    copy_data(&body)
}

fn keepalive(lsn: u64, reply: bool) -> Vec<u8> {
    let mut body = vec![b'k'];
    body.put_u64(lsn);
    body.put_i64(0);
    body.push(u8::from(reply));
    copy_data(&body)
}

fn begin(xid: u32, lsn: u64) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(b'B');
    out.put_u64(lsn);
    out.put_i64(0);
    out.put_u32(xid);
    log(&out)
}

fn commit(lsn: u64) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_slice(b"C\0");
    out.put_u64(lsn);
    out.put_u64(lsn + 8);
    out.put_i64(0);
    log(&out)
}

/// An insert of a text of this length; inside a stream with an xid.
fn insert(xid: Option<u32>, relation: u32, length: usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(b'I');
    if let Some(xid) = xid {
        out.put_u32(xid);
    }
    out.put_u32(relation);
    out.put_slice(b"N\0\x01t");
    out.put_u32(u32::try_from(length).unwrap());
    out.put_bytes(b'x', length);
    log(&out)
}

fn relation(xid: Option<u32>, table: &str) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(b'R');
    if let Some(xid) = xid {
        out.put_u32(xid);
    }
    out.put_u32(7);
    out.put_slice(b"s\0");
    out.put_slice(table.as_bytes());
    out.put_slice(b"\0d\0\0");
    log(&out)
}

fn stream_commit(xid: u32, lsn: u64) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(b'c');
    out.put_u32(xid);
    out.put_u8(0);
    out.put_u64(lsn);
    out.put_u64(lsn + 8);
    out.put_i64(0);
    log(&out)
}

fn stream_start(xid: u32, is_first: bool) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(b'S');
    out.put_u32(xid);
    out.put_u8(u8::from(is_first));
    log(&out)
}

/// Items in short: `B1` begin, `R:t` relation, `I7` insert, `C16` commit with its end, `P16` position.
async fn items(stream: &mut LogStream, count: usize) -> Vec<String> {
    let mut out = Vec::new();
    for _ in 0..count {
        out.push(match stream.next().await.unwrap() {
            LogItem::Begin { xid, .. } => format!("B{xid}"),
            LogItem::Relation(relation) => format!("R:{}", relation.table),
            LogItem::Insert { relation, .. } => format!("I{relation}"),
            LogItem::Commit { end_lsn, .. } => format!("C{}", end_lsn.0),
            LogItem::Position(lsn) => format!("P{}", lsn.0),
            other => panic!("{other:?}"),
        });
    }
    out
}

/// Flushed positions of the reports sent so far, and whether each asks for an answer.
async fn reports(mut server: DuplexStream) -> Vec<(u64, bool)> {
    let mut sent = Vec::new();
    server.read_to_end(&mut sent).await.unwrap();
    let report =
        |message: &[u8]| (u64::from_be_bytes(*message[14..].first_chunk().unwrap()), message[38] == 1);
    sent.chunks_exact(39).take_while(|message| message[0] == b'd').map(report).collect()
}

#[tokio::test]
async fn transactions_come_whole_in_commit_order() {
    let (mut stream, mut server) = stream(options());
    for bytes in [
        keepalive(0x80, false),
        keepalive(0x100, false),
        stream_start(5, true),
        relation(Some(5), "t"),
        insert(Some(5), 7, 10),
        keepalive(0x180, false),
        log(b"E"),
        begin(6, 0x200),
        relation(None, "t"),
        keepalive(0x1f0, false),
        insert(None, 7, 3),
        commit(0x200),
        stream_start(5, false),
        insert(Some(50), 7, 10),
        log(b"E"),
        keepalive(0x210, false),
        stream_commit(5, 0x300),
    ] {
        server.write_all(&bytes).await.unwrap();
    }
    // Inside of a piece and of a transaction a keepalive is no position, nor is one from before.
    let expected = ["P256", "B6", "R:t", "I7", "C520", "P528", "B5", "R:t", "I7", "I7", "C776"];
    assert_eq!(items(&mut stream, expected.len()).await, expected);
}

#[tokio::test]
async fn a_shape_that_came_outside_meanwhile_is_said_again() {
    let (mut stream, mut server) = stream(options());
    for bytes in [
        stream_start(5, true),
        relation(Some(5), "old"),
        insert(Some(5), 7, 1),
        log(b"E"),
        begin(6, 0x200),
        relation(None, "new"),
        commit(0x200),
        stream_commit(5, 0x300),
        begin(8, 0x400),
        insert(None, 7, 1),
        commit(0x400),
    ] {
        server.write_all(&bytes).await.unwrap();
    }
    let found = items(&mut stream, 11).await;
    assert_eq!(found, ["B6", "R:new", "C520", "B5", "R:old", "I7", "C776", "R:new", "B8", "I7", "C1032"]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_may_be_away_for_hours() {
    let (mut stream, mut server) = stream(options());
    let writing = tokio::spawn(async move {
        server.write_all(&begin(6, 0x200)).await.unwrap();
        // Twice what the queue holds.
        for _ in 0..320 {
            server.write_all(&insert(None, 7, 100 << 10)).await.unwrap();
        }
        server.write_all(&commit(0x200)).await.unwrap();
        server
    });
    let mut drained = Vec::new();
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert!(!writing.is_finished());
    assert!(stream.shared.queued.load(Ordering::Acquire) < 17 << 20);
    for _ in 0..322 {
        drained.push(stream.next().await.unwrap());
    }
    let server = writing.await.unwrap();
    drop(stream);
    assert!(matches!(drained.last(), Some(LogItem::Commit { .. })));
    let reports = reports(server).await;
    assert!(reports.len() >= 3 * 360, "{}", reports.len());
    // Received, and not acknowledged.
    assert!(reports.iter().all(|(flushed, _)| *flushed == 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_that_was_not_returned() {
    let (mut stream, mut server) = stream(options());
    for bytes in [begin(6, 0x200), commit(0x200), keepalive(0x300, false), keepalive(0x400, true)] {
        server.write_all(&bytes).await.unwrap();
    }
    items(&mut stream, 2).await;
    stream.acknowledge(Lsn(0x900));
    items(&mut stream, 2).await;
    stream.acknowledge(Lsn(0x100));
    stream.request_position();
    tokio::time::sleep(Duration::from_secs(25)).await;
    drop(stream);
    let reports = reports(server).await;
    assert_eq!(reports.last().map(|report| report.0), Some(0x208));
    assert!(reports.contains(&(0x208, true)), "{reports:?}");
}

#[tokio::test]
async fn what_the_server_said_last_is_the_error() {
    let (mut stream, mut server) = stream(options());
    server.write_all(&begin(6, 0x200)).await.unwrap();
    let mut refusal = vec![b'E'];
    let fields = b"SFATAL\0C55000\0Mcan no longer get changes\0\0";
    refusal.put_u32(u32::try_from(fields.len() + 4).unwrap());
    refusal.extend_from_slice(fields);
    server.write_all(&refusal).await.unwrap();
    assert_eq!(items(&mut stream, 1).await, ["B6"]);
    drop(server);
    assert_eq!(stream.next().await.unwrap_err().kind(), ErrorKind::LogGone);
    assert_eq!(stream.next().await.unwrap_err().kind(), ErrorKind::Connection);
    assert!(stream.try_next().is_err());
}

#[tokio::test]
async fn messages_out_of_place_end_the_stream() {
    let gid = |kind: u8| {
        let mut out = vec![kind];
        if kind != b'b' {
            out.push(0);
        }
        out.extend([0; 28]);
        out.extend(b"gid\0");
        log(&out)
    };
    for (script, kind) in [
        (vec![insert(None, 7, 1)], ErrorKind::Corrupt),
        (vec![commit(1)], ErrorKind::Corrupt),
        (vec![begin(1, 1), begin(2, 2)], ErrorKind::Corrupt),
        (vec![begin(1, 1), stream_start(5, true)], ErrorKind::Corrupt),
        (vec![stream_commit(5, 1)], ErrorKind::Corrupt),
        (vec![stream_start(5, true), begin(1, 1)], ErrorKind::Corrupt),
        (vec![log(b"?")], ErrorKind::Corrupt),
        (vec![gid(b'b')], ErrorKind::Unsupported),
        (vec![gid(b'K')], ErrorKind::Unsupported),
    ] {
        let (mut stream, mut server) = stream(options());
        for bytes in script {
            server.write_all(&bytes).await.unwrap();
        }
        let error = loop {
            if let Err(error) = stream.next().await {
                break error;
            }
        };
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn rows_from_elsewhere_are_left_out_where_the_server_cannot() {
    let origin = || {
        let mut out = vec![b'O'];
        out.extend([0; 8]);
        out.extend(b"far\0");
        log(&out)
    };
    for (server_version, expected) in [(150_000, "B6 C520 B7 I7 C776"), (160_000, "B6 I7 C520 B7 I7 C776")] {
        let (mut stream, mut server) = stream(LogOptions { origin_none: true, server_version, ..options() });
        for bytes in [
            begin(6, 0x200),
            origin(),
            insert(None, 7, 1),
            commit(0x200),
            begin(7, 0x300),
            insert(None, 7, 1),
            commit(0x300),
        ] {
            server.write_all(&bytes).await.unwrap();
        }
        let found = items(&mut stream, expected.split(' ').count()).await;
        assert_eq!(found.join(" "), expected);
    }
}

#[test]
fn the_statement_asks_for_what_the_server_knows() {
    let options = LogOptions {
        slot: "s".into(),
        publication: "p'\"q".into(),
        binary: true,
        origin_none: true,
        start: Lsn(0x16_B374_D848),
        ..options()
    };
    let statement = |server_version| start_statement(&LogOptions { server_version, ..options.clone() });
    assert_eq!(
        statement(170_000),
        "START_REPLICATION SLOT \"s\" LOGICAL 16/B374D848 (proto_version '4', publication_names '\"p''\"\"q\"', \
         binary 'on', messages 'on', streaming 'on', origin 'none')"
    );
    assert!(statement(150_004).contains("proto_version '3'") && !statement(150_004).contains("origin"));
    assert!(statement(140_000).contains("proto_version '2'"));
    assert!(statement(130_000).ends_with("(proto_version '1', publication_names '\"p''\"\"q\"')"));
}
