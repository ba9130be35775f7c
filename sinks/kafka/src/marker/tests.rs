#![allow(clippy::unwrap_used)]

use super::*;

fn marker(source: Option<SourceState>) -> CommitMarker {
    CommitMarker { job: "j".into(), sink: "s\"1".into(), writer: 0, epoch: 3, checkpoint: 12, source }
}

/// What a reader finds of these messages.
fn found(entries: &[Entry]) -> Result<CommitMarker> {
    let (head, parts) = entries.split_last().unwrap();
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.value.as_deref().unwrap()).collect();
    let head = Head::parse(head.value.as_deref().unwrap())?;
    assert_eq!(usize::try_from(head.parts).unwrap(), parts.len());
    assemble(&Owner::new("j", "s\"1", 0), head, &parts)
}

#[test]
fn the_stored_format_is_fixed() {
    let golden: Vec<&str> = include_str!("golden_v1.txt").lines().collect();
    let state = SourceState { enumerator: b"ab".to_vec(), reader: b"xyz".to_vec() };
    let entries = entries(&marker(Some(state))).unwrap();
    let [part, head] = entries.as_slice() else { panic!("{} messages", entries.len()) };
    assert_eq!(part.key, golden[0].as_bytes());
    let hex: String = part.value.as_deref().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    // Format and checkpoint; how well the state behind them is compressed is the library's affair.
    assert_eq!(hex[..18], golden[1][..18]);
    assert_eq!(head.key, golden[2].as_bytes());
    assert_eq!(head.value.as_deref().unwrap(), golden[3].as_bytes());
}

/// What an older version wrote is read for good.
#[test]
fn what_was_stored_is_read() {
    let lines: Vec<&str> = include_str!("golden_v1.txt").lines().collect();
    let bytes = |hex: &str| -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(pair).collect()
    };
    assert_eq!(Key::parse(lines[0].as_bytes()).unwrap().part, Some(1));
    let head = Key::parse(lines[2].as_bytes()).unwrap();
    assert_eq!((head.owner, head.part), (Owner::new("j", "s\"1", 0), None));
    let part = bytes(lines[1]);
    let read = assemble(&Owner::new("j", "s\"1", 0), Head::parse(lines[3].as_bytes()).unwrap(), &[&part]);
    let state = SourceState { enumerator: b"ab".to_vec(), reader: b"xyz".to_vec() };
    assert_eq!(read.unwrap(), marker(Some(state)));
}

#[test]
fn a_large_state_is_cut_into_parts() {
    // What does not compress: a sequence without a pattern.
    let mut value = 1u64;
    let noise = std::iter::repeat_with(|| {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (value >> 56) as u8
    });
    let state = SourceState { enumerator: vec![7], reader: noise.take(PART_BYTES_MAX * 2).collect() };
    let entries = entries(&marker(Some(state.clone()))).unwrap();
    assert_eq!(entries.len(), 4);
    assert!(entries.iter().all(|entry| entry.value.as_ref().unwrap().len() <= PART_BYTES_MAX + 9));
    assert_eq!(found(&entries).unwrap(), marker(Some(state)));
    let small = marker(Some(SourceState::default()));
    assert_eq!(found(&super::entries(&small).unwrap()).unwrap(), small);
    assert_eq!(found(&super::entries(&marker(None)).unwrap()).unwrap(), marker(None));
}

#[test]
fn taking_over_keeps_the_place() {
    let head = Head::parse(br#"{"format":1,"epoch":3,"checkpoint":12,"parts":2}"#).unwrap();
    let value = head.with_epoch(9).entry(&Owner::new("j", "s", 0)).value.unwrap();
    assert_eq!(value, br#"{"format":1,"epoch":9,"checkpoint":12,"parts":2}"#);
    let first = Head::first(1).entry(&Owner::new("j", "s", 0));
    assert_eq!(first.value.unwrap(), br#"{"format":1,"epoch":1,"checkpoint":0,"parts":0}"#);
    assert_eq!(tombstones(&Owner::new("j", "s", 0), 2).len(), 3);
}

#[test]
fn damage_is_an_error() {
    let owner = Owner::new("j", "s", 0);
    let head = Head::parse(br#"{"format":1,"epoch":3,"checkpoint":12,"parts":1}"#).unwrap();
    let kind = |part: &[u8]| assemble(&owner, head, &[part]).unwrap_err().kind();
    let of_another_checkpoint = [&[1u8][..], &11u64.to_le_bytes(), &[0]].concat();
    let cut_off = [&[1u8][..], &12u64.to_le_bytes(), &[0x28, 0xb5]].concat();
    for part in [&b""[..], b"\x01", &of_another_checkpoint, &cut_off] {
        assert_eq!(kind(part), ErrorKind::Corrupt, "{part:?}");
    }
    assert_eq!(kind(b"\x02"), ErrorKind::Unsupported);
    assert_eq!(Head::parse(b"{}").unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(Head::parse(br#"{"format":2}"#).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(Head::parse(br#"{"format":1}"#).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(Key::parse(b"other"), None);
}
