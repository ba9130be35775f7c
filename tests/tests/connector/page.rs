//! The page has the code that is compiled and run, to the letter.

use std::collections::BTreeMap;
use std::path::Path;

/// The blocks of the page that are the code of a file: ```` ```rust path/of/the/file.rs ````.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut inside: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut inside, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let path = info.strip_prefix("rust ").or_else(|| info.strip_prefix("toml ")).unwrap_or("");
                inside = Some((path.to_owned(), String::new()));
            }
            (Some(_), Some(_)) => {
                blocks.extend(inside.take().filter(|(path, _)| !path.is_empty()));
            }
            (Some((_, code)), None) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(inside.is_none(), "a block of the page has no end");
    blocks
}

/// A file without its unit tests.
fn code_of(root: &Path, path: &str) -> String {
    let text = std::fs::read_to_string(root.join(path))
        .unwrap_or_else(|error| panic!("the page has {path}: {error}"));
    let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    code.trim_end().to_owned() + "\n"
}

#[test]
fn the_code_of_the_page_is_the_code_of_the_connectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let page = std::fs::read_to_string(root.join("docs/write-a-connector.md")).expect("the page");
    let mut whole: BTreeMap<String, String> = BTreeMap::new();
    for (path, code) in blocks(&page) {
        let file = code_of(root, &path);
        assert!(file.contains(code.trim_end()), "the page differs from {path} in:\n{code}");
        let text = whole.entry(path).or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&code);
    }
    // Of what the page explains it shows all, in order; of what it only points at, a part.
    for folder in ["examples/connector/src", "sinks/dingtalk/src"] {
        for found in std::fs::read_dir(root.join(folder)).expect("the folder is there") {
            let name = found.expect("a name").file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            assert_eq!(whole.get(&path), Some(&code_of(root, &path)), "{path} on the page");
        }
    }
    assert!(whole.contains_key("service/src/connectors.rs"), "how it becomes a plugin");
}
