//! What errors of the library mean.

use culvert_api::{Error, ErrorKind};

/// An error of ours that the library carried through, or what the library's own means.
pub(crate) fn failed(doing: &'static str) -> impl Fn(iceberg::Error) -> Error + Copy {
    move |cause| {
        if let Some(ours) = carried(&cause) {
            return ours;
        }
        let kind = match cause.kind() {
            iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
            iceberg::ErrorKind::DataInvalid => ErrorKind::Corrupt,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, doing).caused_by(cause)
    }
}

/// The storage's error at the end of a chain.
fn carried(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            let mut copy = Error::new(ours.kind(), ours.without_hint());
            if let Some(hint) = ours.hint_text() {
                copy = copy.hint(hint);
            }
            return Some(copy);
        }
        next = cause.source();
    }
    None
}

/// An option that cannot be followed.
pub(crate) fn option(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option '{name}' {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storages_error_comes_through_whatever_carries_it() {
        let ours = Error::new(ErrorKind::Unavailable, "no room").context("path", "/p").hint("make room");
        let carried = iceberg::Error::new(iceberg::ErrorKind::Unexpected, "writing").with_source(ours);
        let parquet = parquet::errors::ParquetError::External(Box::new(carried));
        let outer = iceberg::Error::new(iceberg::ErrorKind::Unexpected, "the file").with_source(parquet);
        let back = failed("a file was not written")(outer);
        assert_eq!(back.kind(), ErrorKind::Unavailable);
        assert_eq!(back.to_string(), "no room (path=/p); make room");
        let plain = failed("reading")(iceberg::Error::new(iceberg::ErrorKind::DataInvalid, "bad"));
        assert_eq!(plain.kind(), ErrorKind::Corrupt);
    }
}
