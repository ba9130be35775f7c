//! Stored formats: round trips, damage, and files of every version ever written.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::*;

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn example() -> Checkpoint {
    Checkpoint {
        id: 7,
        epoch: 3,
        created_ms: 1_700_000_000_123,
        source: SourceState { enumerator: b"{\"planned\":2}".to_vec(), reader: vec![0, 1, 2, 0xfe, 0xff] },
    }
}

#[test]
fn every_checkpoint_version_that_was_ever_written_is_read() {
    for version in 1..=CHECKPOINT_VERSION {
        let record = std::fs::read(testdata(&format!("checkpoint-v{version}.bin"))).unwrap();
        let expected = std::fs::read(testdata(&format!("checkpoint-v{version}.json"))).unwrap();
        let expected: Checkpoint = serde_json::from_slice(&expected).unwrap();
        assert_eq!(record.first(), Some(&version));
        assert_eq!(decode_checkpoint(&record).unwrap(), expected, "version {version}");
    }
}

#[test]
fn every_job_and_epoch_version_that_was_ever_written_is_read() {
    for version in 1..=JOB_VERSION {
        let record = std::fs::read(testdata(&format!("job-v{version}.bin"))).unwrap();
        let expected = std::fs::read(testdata(&format!("job-v{version}.json"))).unwrap();
        let expected: JobIdentity = serde_json::from_slice(&expected).unwrap();
        assert_eq!(decode_job(&record).unwrap(), expected, "version {version}");
    }
    for version in 1..=EPOCH_VERSION {
        let record = std::fs::read(testdata(&format!("epoch-v{version}.bin"))).unwrap();
        let expected = std::fs::read_to_string(testdata(&format!("epoch-v{version}.json"))).unwrap();
        assert_eq!(decode_epoch(&record).unwrap(), expected.trim().parse::<u64>().unwrap());
    }
}

#[test]
fn what_is_written_now_is_byte_for_byte_the_newest_file() {
    let newest = std::fs::read(testdata(&format!("checkpoint-v{CHECKPOINT_VERSION}.bin"))).unwrap();
    assert_eq!(encode_checkpoint(&example()).unwrap(), newest);
    let newest = std::fs::read(testdata(&format!("job-v{JOB_VERSION}.bin"))).unwrap();
    let job = JobIdentity { name: "orders".into(), fingerprint: "mysql 127.0.0.1:3306 cdc.w".into() };
    assert_eq!(encode_job(&job).unwrap(), newest);
    let newest = std::fs::read(testdata(&format!("epoch-v{EPOCH_VERSION}.bin"))).unwrap();
    assert_eq!(encode_epoch(42), newest);
}

#[test]
fn a_checkpoint_comes_back_as_it_was_saved() {
    let empty = Checkpoint { source: SourceState::default(), ..example() };
    let all_bytes = SourceState { enumerator: (0..=255).collect(), reader: (0..=255).rev().collect() };
    let large = Checkpoint { id: u64::MAX, epoch: u64::MAX, created_ms: u64::MAX, source: all_bytes };
    for checkpoint in [example(), empty, large] {
        assert_eq!(decode_checkpoint(&encode_checkpoint(&checkpoint).unwrap()).unwrap(), checkpoint);
    }
}

#[test]
fn any_flipped_bit_is_seen() {
    let record = encode_checkpoint(&example()).unwrap();
    for place in 0..record.len() {
        for bit in 0..8 {
            let mut damaged = record.clone();
            *damaged.get_mut(place).unwrap() ^= 1 << bit;
            let error = decode_checkpoint(&damaged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {place} bit {bit}: {error}");
        }
    }
}

#[test]
fn any_cut_is_seen() {
    let record = encode_checkpoint(&example()).unwrap();
    for length in 0..record.len() {
        let error = decode_checkpoint(record.get(..length).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut to {length}: {error}");
    }
}

#[test]
fn lengths_that_lie_are_damage() {
    // The right checksum over a wrong body: only a bug of a writer makes such a record.
    let header = |enumerator: u64, reader: u64| {
        let header = format!(
            r#"{{"id":1,"epoch":1,"created_ms":0,"enumerator_bytes":{enumerator},"reader_bytes":{reader}}}"#
        );
        let mut body = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
        body.extend_from_slice(header.as_bytes());
        body.extend_from_slice(b"abc");
        decode_checkpoint(&seal(1, &body))
    };
    assert_eq!(header(1, 2).unwrap().source.reader, b"bc");
    for (enumerator, reader) in [(4, 0), (0, 4), (1, 1), (u64::MAX, 1), (2, u64::MAX)] {
        assert_eq!(header(enumerator, reader).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let mut body = u32::MAX.to_le_bytes().to_vec();
    body.extend_from_slice(b"{}");
    assert_eq!(decode_checkpoint(&seal(1, &body)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_newer_version_is_told_as_such() {
    let error = decode_checkpoint(&seal(CHECKPOINT_VERSION + 1, b"whatever")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateMismatch);
    assert!(error.message().contains("format 2"), "{error}");
    assert!(error.hint_text().unwrap().contains("newer"), "{error}");
}

#[test]
fn a_source_state_past_the_limit_is_refused() {
    let reader = vec![0; SOURCE_STATE_BYTES_MAX + 1];
    let checkpoint = Checkpoint { source: SourceState { enumerator: Vec::new(), reader }, ..example() };
    assert_eq!(encode_checkpoint(&checkpoint).unwrap_err().kind(), ErrorKind::Unsupported);
}
