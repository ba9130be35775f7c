//! Which formats there are.

use culvert_api::{Error, ErrorKind, Result};
use encoding_rs::{Encoding, UTF_8};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};

/// How rows are laid out in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of values with a delimiter between them, quoted where they need it.
    Csv,
    /// The same, never quoted.
    Text,
    /// A JSON object per line.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// The words of the option `file_format_type`. The ones behind the first four are refused by name.
pub const FORMATS: &[&str] = &[
    "csv",
    "text",
    "json",
    "parquet",
    "orc",
    "excel",
    "xml",
    "binary",
    "markdown",
    "pdf",
    "word",
    "canal_json",
    "debezium_json",
    "maxwell_json",
];

impl Format {
    /// The format of a word of [`FORMATS`].
    pub fn of(word: &str) -> Result<Format> {
        match word {
            "csv" => Ok(Format::Csv),
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            "parquet" => Ok(Format::Parquet),
            other => {
                Err(option("file_format_type", &format!("is {other}, which is neither read nor written"))
                    .hint("use one of csv, text, json, parquet"))
            }
        }
    }

    /// The ending of its files, with a dot.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Csv => ".csv",
            Format::Text => ".txt",
            Format::Json => ".json",
            Format::Parquet => ".parquet",
        }
    }

    /// What stands between two values where nothing else is said.
    pub fn delimiter(self) -> &'static str {
        if self == Format::Text { "\u{1}" } else { "," }
    }
}

/// What decides how rows look in a file. A file of the format Parquet has none of it but the compression.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The format.
    pub format: Format,
    /// What stands between two values.
    pub field_delimiter: String,
    /// What stands behind a row.
    pub row_delimiter: String,
    /// What stands for NULL; of the format text alone.
    pub null: String,
    /// Whether the first line has the columns' names.
    pub header: bool,
    /// Whether every text is quoted; of the format csv alone.
    pub quote_all: bool,
    /// How characters are bytes.
    pub encoding: &'static Encoding,
    /// Of Parquet's pages.
    pub compression: Compression,
}

impl Layout {
    /// The usual one of a format.
    pub fn usual(format: Format) -> Layout {
        Layout {
            format,
            field_delimiter: format.delimiter().to_owned(),
            row_delimiter: "\n".to_owned(),
            null: String::new(),
            header: false,
            quote_all: false,
            encoding: UTF_8,
            compression: Compression::UNCOMPRESSED,
        }
    }

    /// Sets what stands between values and rows, as a job file writes it: `\t`, `\n`, `\001` and the like may
    /// be written with a backslash.
    pub fn delimiters(&mut self, field: Option<&str>, row: Option<&str>) -> Result<()> {
        if let Some(field) = field {
            self.field_delimiter = unescape(field);
        }
        if let Some(row) = row {
            self.row_delimiter = unescape(row);
        }
        if self.field_delimiter.is_empty() || self.field_delimiter.contains(['"', '\n', '\r']) {
            return Err(option("field_delimiter", "is empty, or holds a quote or the end of a line"));
        }
        if self.row_delimiter.is_empty() || self.row_delimiter.contains(self.field_delimiter.as_str()) {
            return Err(option("row_delimiter", "is empty, or holds the field delimiter"));
        }
        if self.format != Format::Text && !["\n", "\r\n"].contains(&self.row_delimiter.as_str()) {
            return Err(option(
                "row_delimiter",
                "is another one than the end of a line, which only the format text has",
            ));
        }
        Ok(())
    }

    /// Sets the encoding by its name.
    pub fn encoding(&mut self, name: &str) -> Result<()> {
        let found = Encoding::for_label(name.trim().as_bytes());
        self.encoding = found.ok_or_else(|| option("encoding", &format!("is {name}, which is not known")))?;
        Ok(())
    }

    /// Sets the compression by its word. Lines are never compressed.
    pub fn compression(&mut self, word: &str) -> Result<()> {
        let refused = |what: &str| Err(option("compress_codec", &format!("is {word}, which {what}")));
        self.compression = match (self.format, word.to_ascii_lowercase().as_str()) {
            (_, "none") => Compression::UNCOMPRESSED,
            (Format::Parquet, "snappy") => Compression::SNAPPY,
            (Format::Parquet, "lz4") => Compression::LZ4_RAW,
            (Format::Parquet, "gzip") => Compression::GZIP(GzipLevel::default()),
            (Format::Parquet, "zstd") => Compression::ZSTD(ZstdLevel::default()),
            (Format::Parquet, _) => return refused("is none of none, snappy, lz4, gzip, zstd"),
            _ => return refused("lines do not have here: use none, or the format parquet"),
        };
        Ok(())
    }
}

/// An error about an option; `what` completes "option 'x' ".
pub fn option(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option '{name}' {what}"))
}

/// A delimiter as it is meant: `\t`, `\n`, `\r`, `\001` (three digits, octal) and `\u0001`.
pub fn unescape(written: &str) -> String {
    let mut meant = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, behind)) = rest.split_once('\\') {
        meant.push_str(before);
        let of_number = |digits: Option<&str>, radix| {
            digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).and_then(char::from_u32)
        };
        let (c, length) = match behind.chars().next() {
            Some('t') => (Some('\t'), 1),
            Some('n') => (Some('\n'), 1),
            Some('r') => (Some('\r'), 1),
            Some('u') => (of_number(behind.get(1..5), 16), 5),
            Some('0'..='7') => (of_number(behind.get(0..3), 8), 3),
            _ => (None, 0),
        };
        match (c, behind.get(length..)) {
            (Some(c), Some(behind)) => {
                meant.push(c);
                rest = behind;
            }
            _ => {
                meant.push('\\');
                rest = behind;
            }
        }
    }
    meant.push_str(rest);
    meant
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn delimiters_may_be_written_with_a_backslash() {
        for (written, meant) in [
            ("\\t", "\t"),
            ("\\001", "\u{1}"),
            ("\\u0002", "\u{2}"),
            ("|", "|"),
            ("\\N", "\\N"),
            ("a\\r\\nb", "a\r\nb"),
            ("\\", "\\"),
            ("\\0", "\\0"),
        ] {
            assert_eq!(unescape(written), meant);
        }
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for word in FORMATS.iter().skip(4) {
            assert!(Format::of(word).unwrap_err().to_string().contains(word));
        }
        let mut layout = Layout::usual(Format::Csv);
        assert!(layout.compression("lzo").unwrap_err().to_string().contains("lzo"));
        assert!(layout.encoding("klingon").is_err() && layout.encoding("gbk").is_ok());
        assert!(layout.delimiters(Some("\""), None).is_err() && layout.delimiters(None, Some("|")).is_err());
        assert!(layout.delimiters(Some(";"), Some("\\r\\n")).is_ok());
        assert!(Layout::usual(Format::Text).delimiters(Some("|"), Some("|x")).is_err());
        assert!(Layout::usual(Format::Parquet).compression("brotli").is_err());
    }
}
