//! MariaDB's UUID, INET4 and INET6: fixed bytes in the log, text from the server. Both become
//! the same text.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::gtid::Uuid;

/// The bytes with the trailing zeros the log strips; `None` when there are too many.
fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut whole = [0u8; N];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(whole)
}

/// A UUID from a row image. MariaDB stores a time-based one (by version and variant) with its
/// five parts in reverse order, so that bytes sort by time (`plugin/type_uuid`, `sql_type_uuid.h`).
pub(crate) fn append_uuid(bytes: &[u8], out: &mut String) -> Option<()> {
    let stored = padded::<16>(bytes)?;
    let swapped = stored[6] & 0x80 != 0 && (1..=0x80).contains(&stored[8]);
    let mut uuid = stored;
    if swapped {
        let [n0, n1, n2, n3, n4, n5, s0, s1, v0, v1, m0, m1, l0, l1, l2, l3] = stored;
        uuid = [l0, l1, l2, l3, m0, m1, v0, v1, s0, s1, n0, n1, n2, n3, n4, n5];
    }
    write!(out, "{}", Uuid(uuid)).ok()
}

/// A UUID from text.
pub(crate) fn append_uuid_text(text: &[u8], out: &mut String) -> Option<()> {
    let uuid = std::str::from_utf8(text).ok()?.parse::<Uuid>().ok()?;
    write!(out, "{uuid}").ok()
}

/// An INET4 from a row image.
pub(crate) fn append_inet4(bytes: &[u8], out: &mut String) -> Option<()> {
    write!(out, "{}", Ipv4Addr::from(padded::<4>(bytes)?)).ok()
}

/// An INET4 from text.
pub(crate) fn append_inet4_text(text: &[u8], out: &mut String) -> Option<()> {
    let address = std::str::from_utf8(text).ok()?.parse::<Ipv4Addr>().ok()?;
    write!(out, "{address}").ok()
}

/// An INET6 from a row image.
pub(crate) fn append_inet6(bytes: &[u8], out: &mut String) -> Option<()> {
    append_address(Ipv6Addr::from(padded::<16>(bytes)?), out)
}

/// An INET6 from text.
pub(crate) fn append_inet6_text(text: &[u8], out: &mut String) -> Option<()> {
    append_address(std::str::from_utf8(text).ok()?.parse().ok()?, out)
}

fn append_address(address: Ipv6Addr, out: &mut String) -> Option<()> {
    write!(out, "{address}").ok()
}
