//! docs/sql.md beside the code.

use crate::functions;

#[test]
fn every_function_has_its_line() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let text = std::fs::read_to_string(path).unwrap();
    let described: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ").and_then(|line| line.split(" |").next()))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let is_there = |name: &&str| {
        described.iter().any(|written| {
            *written == *name || written.strip_prefix(*name).is_some_and(|rest| rest.starts_with('('))
        })
    };
    let missing: Vec<&str> = functions::names().filter(|name| !is_there(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "write a line for each in docs/sql.md");
}
