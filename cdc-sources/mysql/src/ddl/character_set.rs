//! Character sets as far as a table's shape depends on them.

/// The longest character of a character set, in bytes; 1 for sets this list does not know.
pub(super) fn bytes_per_character(charset: &str) -> u64 {
    match charset {
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
        "utf8mb3" | "ujis" | "eucjpms" => 3,
        "ucs2" | "gbk" | "big5" | "sjis" | "cp932" | "euckr" | "gb2312" => 2,
        _ => 1,
    }
}

/// The name as current servers show it: lower case, `utf8` spelled out as `utf8mb3`.
pub fn normal_charset(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "utf8" { "utf8mb3".to_owned() } else { name }
}

/// The collation's name as current servers show it.
pub fn normal_collation(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("utf8_") {
        Some(tail) => format!("utf8mb3_{tail}"),
        None => name,
    }
}

/// The character set a collation belongs to: the part before the first `_`. `None` for MariaDB's
/// `uca1400_…` names, which fit several character sets.
pub fn charset_of_collation(collation: &str) -> Option<String> {
    let collation = collation.to_ascii_lowercase();
    let prefix = collation.split('_').next().unwrap_or("");
    if prefix == "uca1400" || prefix.is_empty() { None } else { Some(normal_charset(prefix)) }
}

/// A character set and collation, as far as a clause named them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CharsetClause {
    /// `CHARACTER SET x`; `None` when it was not named or is `DEFAULT`.
    pub charset: Option<String>,
    /// `COLLATE y`; `None` when it was not named or is `DEFAULT`.
    pub collation: Option<String>,
    /// Whether either of the two was written, be it as `DEFAULT`.
    pub written: bool,
}

impl CharsetClause {
    /// The clause with what it leaves out filled in: the collation's character set, or else the
    /// given default with its collation.
    pub(super) fn or_default(&self, charset: Option<&str>, collation: Option<&str>) -> CharsetClause {
        let own = self.charset.clone().or_else(|| self.collation.as_deref().and_then(charset_of_collation));
        let inherits = own.is_none();
        CharsetClause {
            charset: own.or_else(|| charset.map(normal_charset)),
            collation: match &self.collation {
                Some(own) => Some(own.clone()),
                None if inherits => collation.map(normal_collation),
                None => None,
            },
            written: true,
        }
    }
}
