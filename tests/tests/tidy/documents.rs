//! The documents name paths, links and commands that are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{files, none, read, root};

/// The documents that a newcomer reads first: every path they name must exist.
const FIRST: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
const ARCHITECTURE_LINES_MAX: usize = 299;
/// Endings that make a word without a folder a path.
const ENDINGS: &[&str] = &[".md", ".rs", ".toml", ".sh", ".conf"];

fn documents() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

/// Pieces of code in a Markdown text: spans between backticks, and the lines of fenced blocks.
fn code(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line);
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// The path that a span of code names, if it is one: `a/b.rs`, `a/`, `a/b.rs::function`.
fn path_of<'a>(span: &'a str, top: &BTreeSet<String>) -> Option<&'a str> {
    let path = span.split("::").next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    if path.is_empty() || path.starts_with('/') || path.starts_with('-') || !path.chars().all(plain) {
        return None;
    }
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let in_folder = path.contains('/') && top.contains(first) && !rest.starts_with('/');
    let is_file =
        !path.contains('/') && !path.starts_with('.') && ENDINGS.iter().any(|end| path.ends_with(end));
    (in_folder || is_file).then_some(path)
}

fn top_level() -> BTreeSet<String> {
    let name = |path: &PathBuf| path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    files().iter().map(name).collect()
}

#[test]
fn paths_in_documents_exist() {
    let top = top_level();
    let mut violations = Vec::new();
    for document in FIRST {
        let text = read(document);
        let paths: Vec<&str> = code(&text).into_iter().filter_map(|span| path_of(span, &top)).collect();
        assert!(paths.len() >= 3, "{document} names {} paths: is it read right?", paths.len());
        for path in paths {
            if !root().join(path).exists() {
                violations.push(format!("{document}: `{path}` does not exist"));
            }
        }
    }
    none(&violations);
}

/// Targets of Markdown links.
fn links(text: &str) -> Vec<&str> {
    text.match_indices("](").filter_map(|(at, open)| text[at + open.len()..].split(')').next()).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut violations = Vec::new();
    for document in documents() {
        for link in links(&read(&document)) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || link.contains("://") {
                continue;
            }
            let folder = root().join(&document);
            if !folder.parent().unwrap().join(target).exists() {
                violations.push(format!("{}: the link to {link} leads nowhere", document.display()));
            }
        }
    }
    none(&violations);
}

/// Names of the Makefile's commands.
fn commands() -> BTreeSet<String> {
    let makefile = read("Makefile");
    let name = |line: &str| {
        let name = line.split_once(':')?.0;
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        plain.then(|| name.to_owned())
    };
    makefile.lines().filter_map(name).collect()
}

/// What a text tells people to make.
fn made(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for span in code(text) {
        let words: Vec<&str> = span.split_whitespace().collect();
        // Variables may stand before the command.
        let mut rest = words.iter().skip_while(|word| word.contains('='));
        if let (Some(&"make"), Some(name)) = (rest.next(), rest.next())
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        {
            found.push((*name).to_owned());
        }
    }
    found
}

#[test]
fn commands_in_documents_exist() {
    let commands = commands();
    assert!(commands.contains("demo") && commands.contains("test"), "{commands:?}");
    let mut violations = Vec::new();
    for document in documents() {
        for command in made(&read(&document)) {
            if !commands.contains(&command) {
                violations.push(format!("{}: there is no `make {command}`", document.display()));
            }
        }
    }
    none(&violations);
    let readme = made(&read("README.md"));
    assert!(readme.contains(&"demo".to_owned()) && readme.contains(&"test".to_owned()), "{readme:?}");
}

#[test]
fn the_architecture_fits_one_sitting() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(
        lines <= ARCHITECTURE_LINES_MAX,
        "ARCHITECTURE.md has {lines} lines, at most {ARCHITECTURE_LINES_MAX}"
    );
}

/// Every decision is one page that answers the same four questions.
#[test]
fn every_decision_has_its_four_parts() {
    const PARTS: &[&str] =
        &["## Context", "## Decision", "## What we gave up", "## What would change our mind"];
    let mut violations = Vec::new();
    let decisions: Vec<PathBuf> =
        documents().into_iter().filter(|path| path.parent() == Some(Path::new("docs/decisions"))).collect();
    assert!(decisions.len() >= 5, "{decisions:?}");
    for path in decisions.iter().filter(|path| path.file_name().is_some_and(|name| name != "README.md")) {
        let text = read(path);
        for part in PARTS.iter().filter(|part| !text.contains(*part)) {
            violations.push(format!("{}: lacks `{part}`", path.display()));
        }
    }
    none(&violations);
}

#[test]
fn the_rules_read_documents_as_people_do() {
    let top: BTreeSet<String> = ["engine", "docs", ".ci"].map(str::to_owned).into();
    assert_eq!(path_of("engine/src/pipeline.rs::run", &top), Some("engine/src/pipeline.rs"));
    assert_eq!(path_of(".ci/run", &top), Some(".ci/run"));
    assert_eq!(path_of("README.md", &top), Some("README.md"));
    for other in ["cdc.w", "a/b", "make test", "/etc/x.conf", "--state", "1/2", "engine"] {
        assert_eq!(path_of(other, &top), None, "{other}");
    }
    let text = "Say `make demo`, then\n```\nmake test\n    plain\n```\nand make it `x` so.";
    assert_eq!(code(text), ["make demo", "make test", "    plain", "x"]);
    assert_eq!(made(text), ["demo", "test"]);
    assert_eq!(links("a [b](c.md) and [d](e.md#f)"), ["c.md", "e.md#f"]);
}
