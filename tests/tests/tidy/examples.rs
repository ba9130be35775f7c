//! The example jobs are jobs. What their options mean is checked by `culvert check` in `make test`.

use std::path::Path;

use super::{files, none, root};

#[test]
fn every_example_parses_without_errors() {
    let examples: Vec<_> =
        files().into_iter().filter(|path| path.parent() == Some(Path::new("examples"))).collect();
    assert!(examples.len() >= 3, "{examples:?}");
    let mut violations = Vec::new();
    for path in examples {
        let job = match culvert_config::load(&root().join(&path), &[]) {
            Ok(job) => job,
            Err(problems) => {
                violations.extend(problems.0.iter().map(ToString::to_string));
                continue;
            }
        };
        let (_, mut problems) = job.settings();
        match job.graph() {
            Ok(graph) => {
                problems.extend(graph.warnings);
                if graph.nodes.len() < 2 {
                    violations.push(format!("{}: a job without a source or a sink", path.display()));
                }
            }
            Err(found) => problems.extend(found),
        }
        violations.extend(problems.iter().map(ToString::to_string));
    }
    none(&violations);
}
