#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;

fn tree(text: &str) -> Result<Vec<Field>, Problem> {
    parse(text, &"a.conf".into(), Some(Path::new("a.conf")))
}

/// Keys with their lines, depth first.
fn keys(fields: &[Field]) -> Vec<(String, u32)> {
    fn walk(node: &Node, found: &mut Vec<(String, u32)>) {
        match node {
            Node::Object(fields) => visit(fields, found),
            Node::List(nodes) => nodes.iter().for_each(|node| walk(node, found)),
            Node::Concat(pieces) => pieces.iter().for_each(|(_, node)| walk(node, found)),
            Node::Append(node) => walk(node, found),
            _ => {}
        }
    }
    fn visit(fields: &[Field], found: &mut Vec<(String, u32)>) {
        for field in fields {
            found.push((field.path.join("/"), field.place.line.unwrap()));
            walk(&field.node, found);
        }
    }
    let mut found = Vec::new();
    visit(fields, &mut found);
    found
}

fn lines_of(text: &str) -> Vec<(String, u32)> {
    keys(&tree(text).unwrap())
}

fn first(text: &str) -> Node {
    tree(text).unwrap().remove(0).node
}

fn error(text: &str) -> String {
    tree(text).unwrap_err().to_string()
}

fn pairs(keys: &[(String, u32)]) -> Vec<(&str, u32)> {
    keys.iter().map(|(key, line)| (key.as_str(), *line)).collect()
}

#[test]
fn keys_have_their_lines() {
    let text = "# comment with { and \" and \\d\n\
        env { a.b = 1, // c = 2\n  \"x.y\" : \"}{\" }\n\
        \n\
        source\n{\n  A { }\n  A {\n l = [ { m = 1 },\n { m = 2 } ]\n t = \"\"\"q = 1\n r = 2\"\"\" z = 3 } }\n";
    // A triple quote and a key side by side need a comma.
    assert!(tree(text).is_err());
    let text = text.replace("\"\"\" z", "\"\"\", z");
    assert_eq!(
        pairs(&lines_of(&text)),
        [
            ("env", 2),
            ("a/b", 2),
            ("x.y", 3),
            ("source", 5),
            ("A", 7),
            ("A", 8),
            ("l", 9),
            ("m", 9),
            ("m", 10),
            ("t", 11),
            ("z", 12),
        ]
    );
}

#[test]
fn windows_line_ends_and_root_braces() {
    assert_eq!(pairs(&lines_of("{\r\n a = 1\r\n b {\r\n c = x }\r\n}\r\n")), [("a", 2), ("b", 3), ("c", 4)]);
}

#[test]
fn keys_that_begin_with_include_are_keys() {
    let keys = lines_of("include_kinds = [a]\ninclude.schema.changes = true, includes { include = 1 }\n");
    assert_eq!(
        pairs(&keys),
        [("include_kinds", 1), ("include/schema/changes", 2), ("includes", 2), ("include", 2)]
    );
}

#[test]
fn numbers_keep_their_spelling() {
    for written in ["1", "1.10", "12345678901234567890123", "1e3", "-0", "0.5"] {
        match first(&format!("a = {written}")) {
            Node::Number(text) | Node::Text(text) => assert_eq!(text, written),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(first("a = 5400-5408"), Node::Text(text) if text == "5400-5408"));
    assert!(matches!(first("a = 1"), Node::Number(_)));
}

#[test]
fn texts_are_unescaped() {
    assert!(matches!(first(r#"a = "\u4F60\uD83D\uDE00\t\\\"""#), Node::Text(text) if text == "你😀\t\\\""));
    assert!(matches!(first("a = \"\"\"\\d\n${x}\"\"\""), Node::Text(text) if text == "\\d\n${x}"));
}

#[test]
fn substitutions_keep_path_and_default() {
    assert!(matches!(first("a = ${b.c}"),
        Node::Substitution { path, optional: false } if path == ["b", "c"]));
    assert!(matches!(first("a = ${?b}"), Node::Substitution { optional: true, .. }));
    assert!(matches!(first("a = ${b:7}"), Node::Text(text) if text == "${b:7}"));
    assert!(matches!(first("a = x-${b}"), Node::Concat(pieces) if pieces.len() == 2));
}

#[test]
fn last_short_key_and_end_of_file_are_not_lost() {
    assert_eq!(pairs(&lines_of("a{b=1}\ni=1")), [("a", 1), ("b", 1), ("i", 2)]);
    assert_eq!(pairs(&lines_of("a{i=1}")), [("a", 1), ("i", 1)]);
    assert!(tree("").unwrap().is_empty());
    assert!(tree("  # only a comment").unwrap().is_empty());
}

#[test]
fn errors_have_line_and_column() {
    let cases = [
        ("a {\n b = 1\n", "a.conf:1:3: not valid HOCON: this '{' is never closed"),
        ("a = [1,\n2", "a.conf:1:5: not valid HOCON: this '[' is never closed"),
        ("a = 1 }\n", "a.conf:1:7: not valid HOCON: '}' closes nothing"),
        ("a { b = [1 }", "a.conf:1:12: not valid HOCON: '}' does not close '['"),
        (
            "a = \"x\nb = 1",
            "a.conf:1:5: not valid HOCON: this quote is not closed in its line; close it with '\"' in the same line; a text \
             over several lines stands between \"\"\"",
        ),
        (
            "u = jdbc:mysql://h",
            "a.conf:1:9: not valid HOCON: ':' ends a text without quotes; put the value in double quotes",
        ),
        (
            "a =\nb = 1",
            "a.conf:2:3: not valid HOCON: the option in line 1 has no value; give it a value, or remove it",
        ),
        ("a = 1,\n= 2", "a.conf:2:1: not valid HOCON: expected the name of an option, found '='"),
        (
            "a {\n  b {\n    c = 1\n}\nd = 1\n",
            "a.conf:1:3: not valid HOCON: this '{' is never closed; the block that begins in line 2 ends in line 4, which is \
             indented otherwise: look there",
        ),
        ("a = \"\"\"x", "a.conf:1:5: not valid HOCON: this triple quote is never closed"),
        (
            "é { b = 1 c = 2 }",
            "a.conf:1:13: not valid HOCON: expected a comma or a line end before the next option, found '='; two \
             options in one line need a comma between them",
        ),
        (
            "a {\n b\n}",
            "a.conf:2:3: not valid HOCON: expected '=', ':' or '{' after the key 'b', found the end of the line; an option is \
             written: name = value",
        ),
        ("a =\n", "a.conf:1:4: not valid HOCON: expected a value, found the end of the file"),
        (
            "include_x = 1, b = *",
            "a.conf:1:20: not valid HOCON: '*' cannot stand in a text without quotes; put the value in double quotes",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), message);
    }
    assert!(error(r#"a = "\d""#).contains("escape"));
    assert!(error(&format!("a = {}", "[".repeat(200))).contains("never closed"));
    let deep = format!("a = {}{}", "[".repeat(200), "]".repeat(200));
    assert!(error(&deep).contains("nested deeper than 64"), "{}", error(&deep));
}

#[test]
fn includes_are_spliced_in_with_their_own_lines() {
    let folder = std::env::temp_dir().join(format!("culvert-config-include-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("common.conf"), "# first\nhost = h\n").unwrap();
    std::fs::write(folder.join("loop.conf"), "include \"loop.conf\"\n").unwrap();
    let path = folder.join("job.conf");
    let with = |text: &str| parse(text, &"job.conf".into(), Some(&path));
    let fields = with("include \"common\"\ninclude \"absent.conf\"\na = 1").unwrap();
    assert_eq!(pairs(&keys(&fields)), [("host", 2), ("a", 3)]);
    assert!(fields[0].place.file.ends_with("common.conf"));
    assert!(with("include required(file(\"absent.conf\"))").unwrap_err().message.contains("no such file"));
    assert!(with("include url(\"x\")").unwrap_err().message.contains("not supported"));
    let sent = parse("include \"common\"", &"job.conf".into(), None).unwrap_err();
    assert!(sent.message.contains("cannot include files"), "{}", sent.message);
    assert!(with("include \"loop.conf\"").unwrap_err().message.contains("goes too far"));
    std::fs::remove_dir_all(&folder).unwrap();
}
