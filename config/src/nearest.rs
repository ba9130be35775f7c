//! "Did you mean": the known name nearest to what was typed.

/// The name among `known` that was probably meant by `typed`: the same up to letter case, dashes
/// and dots, or a few letters away.
pub fn nearest<'n>(typed: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let flat = flatten(typed);
    // One slip in four letters, three at most: "host" and "port" are not the same word.
    let limit = (flat.chars().count() / 4).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&flat, &flatten(name)), name))
        .filter(|(distance, name)| *distance <= limit && *name != typed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn flatten(name: &str) -> String {
    // Longer names are no slips of known ones; the bound keeps the comparison cheap.
    let significant = name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).take(100);
    significant.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = ["table-names", "username", "url", "port", "batch_size", "schema-name"];
        assert_eq!(nearest("tabel-names", known), Some("table-names"));
        assert_eq!(nearest("user_name", known), Some("username"));
        assert_eq!(nearest("Batch.Size", known), Some("batch_size"));
        assert_eq!(nearest("schema-names", known), Some("schema-name"));
        assert_eq!(nearest("host", known), None);
        assert_eq!(nearest("completely_different", known), None);
        assert_eq!(nearest("", known), None);
    }
}
