//! Words that no file may hold: paths of one person's machine, and hosts that packages come from.

use super::{files, none, root};

/// Cargo writes these itself.
const GENERATED: &[&str] = &["Cargo.lock"];

/// The words, cut in two so that this file does not hold them.
fn forbidden() -> Vec<String> {
    [
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/home/", "user"),
        ("crates", ".io"),
        ("deb.deb", "ian.org"),
        ("pypi", ".org"),
        ("registry.npm", "js.org"),
        ("repo.maven.ap", "ache.org"),
        ("repo1.mav", "en.org"),
        ("proxy.gol", "ang.org"),
    ]
    .iter()
    .map(|(head, tail)| format!("{head}{tail}"))
    .collect()
}

/// The forbidden words of a text.
fn found_in(text: &[u8], forbidden: &[String]) -> Vec<String> {
    let holds = |word: &&String| text.windows(word.len()).any(|part| part == word.as_bytes());
    forbidden.iter().filter(holds).cloned().collect()
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let forbidden = forbidden();
    let mut violations = Vec::new();
    for path in files() {
        if GENERATED.iter().any(|name| path.as_os_str() == *name) {
            continue;
        }
        let text = std::fs::read(root().join(&path)).unwrap();
        for word in found_in(&text, &forbidden) {
            violations.push(format!("{}: holds {word}", path.display()));
        }
    }
    none(&violations);
}

#[test]
fn the_rule_finds_what_it_is_there_for() {
    let forbidden = forbidden();
    let found = found_in(format!("see {}main", forbidden[0]).as_bytes(), &forbidden);
    assert_eq!(found, [forbidden[0].clone()]);
    assert_eq!(found_in(b"a plain text", &forbidden), Vec::<String>::new());
}
