//! Names that lead nowhere else, and are nobody else's.

/// The hidden folder below the one of the files: readers pass over what begins with a dot.
pub(crate) const HIDDEN: &str = ".culvert";
/// Bytes of the name of a file, less what is put around ours.
const NAME_BYTES_MAX: usize = 200;

/// `JOB.SINK.`, in front of the writer's number: no two jobs share one, and no other dot is part of it.
pub(crate) fn prefix(job: &str, sink: &str) -> String {
    let name = format!("{}.{}", escape(job), escape(sink));
    match name.get(..NAME_BYTES_MAX) {
        Some(short) if name.len() > NAME_BYTES_MAX => {
            format!("{short}-{:08x}.", crc32fast::hash(name.as_bytes()))
        }
        _ => format!("{name}."),
    }
}

/// A name without what a file system, or a dot, could take for something else.
pub(crate) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
