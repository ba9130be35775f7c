//! The states of several sources as one.
//!
//! ```text
//! bytes 0-7   "CVSOURCE"
//! byte 8      version, 1
//! then        per source: its name, its enumerator's state, its reader's state,
//!             each as a u32 length, little-endian, and its bytes
//! ```

use culvert_api::{Error, ErrorKind, Result, SourceState};

const HEAD: &[u8; 9] = b"CVSOURCE\x01";

/// One state of those of named sources.
pub(super) fn join(states: &[(&str, SourceState)]) -> Result<Vec<u8>> {
    let mut bytes = HEAD.to_vec();
    for (name, state) in states {
        for part in [name.as_bytes(), &state.enumerator, &state.reader] {
            let length = u32::try_from(part.len())
                .map_err(|_| Error::new(ErrorKind::Unsupported, "a source's state of more than 4 GiB"))?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    Ok(bytes)
}

/// The states of these sources, in this order.
///
/// # Errors
/// [`ErrorKind::StateMismatch`] when the state is not one of exactly these sources.
pub(super) fn split<'n>(
    state: &SourceState,
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<SourceState>> {
    let mut stored = parse(&state.reader).ok_or_else(|| {
        Error::new(ErrorKind::StateMismatch, "the saved state is not one of a job of several sources")
            .hint("restore the job file it was saved with, or start over with --fresh")
    })?;
    let mut states = Vec::new();
    for name in names {
        let Some(at) = stored.iter().position(|(known, _)| known == name) else {
            return Err(other_sources(&format!("source '{name}' is not in it")));
        };
        states.push(stored.swap_remove(at).1);
    }
    match stored.first() {
        Some((name, _)) => Err(other_sources(&format!("it holds source '{name}', which the job has not"))),
        None => Ok(states),
    }
}

fn other_sources(what: &str) -> Error {
    Error::new(ErrorKind::StateMismatch, format!("the saved state is one of other sources: {what}"))
        .hint("give the sources their old plugin_output names, or start over with --fresh")
}

fn parse(mut bytes: &[u8]) -> Option<Vec<(String, SourceState)>> {
    bytes = bytes.strip_prefix(HEAD)?;
    let mut states = Vec::new();
    while !bytes.is_empty() {
        let name = String::from_utf8(part(&mut bytes)?.to_vec()).ok()?;
        let enumerator = part(&mut bytes)?.to_vec();
        let reader = part(&mut bytes)?.to_vec();
        states.push((name, SourceState { enumerator, reader }));
    }
    Some(states)
}

fn part<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (part, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}
