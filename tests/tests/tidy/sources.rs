//! Sizes and habits of the Rust files.

use std::path::{Path, PathBuf};

use super::{none, read, rust_files};

/// Lines of a file without its tests; 400 are wished.
const LINES_MAX: usize = 600;

/// Whether a file holds tests only.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// Lines before a test module that is written out in the file.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{'));
    tests.unwrap_or(lines.len())
}

#[test]
fn files_are_small_enough_to_be_read() {
    let mut violations = Vec::new();
    for path in rust_files().iter().filter(|path| !is_test(path)) {
        let lines = lines_without_tests(&read(path));
        if lines > LINES_MAX {
            violations.push(format!("{}: {lines} lines without tests, at most {LINES_MAX}", path.display()));
        }
    }
    none(&violations);
}

/// The unit tests of the module beside it are called `tests.rs`, which says all there is to say.
#[test]
fn every_file_begins_by_saying_what_it_is() {
    let silent = |path: &&PathBuf| !path.ends_with("tests.rs") && !read(path).starts_with("//! ");
    let violations: Vec<String> = rust_files()
        .iter()
        .filter(silent)
        .map(|path| format!("{}: the first line is not `//! …`", path.display()))
        .collect();
    none(&violations);
}

/// What must not stay in a file, written so that this file does not hold it.
fn leftovers() -> Vec<(String, &'static str)> {
    vec![
        ("#[ign".to_owned() + "ore", "a test that is not run tests nothing"),
        ("todo".to_owned() + "!(", "write it, or return an error that says what is missing"),
        ("dbg".to_owned() + "!(", "log it with tracing, or take it out"),
        ("FIX".to_owned() + "ME", "repair it, or say who will"),
    ]
}

/// Whether a line holds the word for open work without a name in parentheses behind it.
fn is_ownerless(line: &str) -> bool {
    let word = "TO".to_owned() + "DO";
    line.match_indices(&word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + word.len()..];
        let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let owned = after.starts_with('(') && after.find(')').is_some_and(|end| end > 1);
        alone(before) && alone(after.chars().next()) && !owned
    })
}

#[test]
fn nothing_half_done_stays_behind() {
    let leftovers = leftovers();
    let mut violations = Vec::new();
    for path in rust_files() {
        for (number, line) in read(&path).lines().enumerate() {
            let at = format!("{}:{}", path.display(), number + 1);
            for (leftover, why) in &leftovers {
                if line.contains(leftover.as_str()) {
                    violations.push(format!("{at}: {leftover}: {why}"));
                }
            }
            if is_ownerless(line) {
                violations.push(format!("{at}: open work without an owner: write the name in parentheses"));
            }
        }
    }
    none(&violations);
}

#[test]
fn the_rules_find_what_they_are_there_for() {
    let word = "TO".to_owned() + "DO";
    assert!(is_ownerless(&format!("// {word}: later")));
    assert!(is_ownerless(&format!("// {word}() later")));
    assert!(!is_ownerless(&format!("// {word}(anna): later")));
    assert!(!is_ownerless(&format!("const {word}_LIST: u8 = 1;")));
    assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 4);
    assert!(is_test(Path::new("a/src/x/tests.rs")) && is_test(Path::new("a/tests/main.rs")));
    assert!(!is_test(Path::new("a/src/testing.rs")));
}
