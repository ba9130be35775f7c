//! What breaks a rule ends the job, and rows that come again do not.

use std::path::Path;

use super::{LIMIT, Local};

/// Many rows in many checkpoints, judged to the row.
const JOB: &str = r#"
env { job.mode = "BATCH", checkpoint.interval = 20, job.retry.interval.seconds = 0 }
source {
  FakeSource {
    row.num = 40000
    split.num = 40
    split.read-interval = 5
    auto.increment.enabled = true
    schema = { table = "d.t", fields { id = bigint, name = string }, primaryKey { columnNames = [id] } }
  }
}
sink {
  Assert {
    rules {
      row_rules = [{ rule_type = MIN_ROW, rule_value = 40000 }, { rule_type = MAX_ROW, rule_value = 40000 }]
      field_rules = [{ field_name = id, field_type = bigint, field_value = [{ rule_type = MIN, rule_value = 1 }, { rule_type = MAX, rule_value = 40000 }] }]
    }
  }
}
"#;

/// Runs the job with a failure at a point, after some passes.
fn failing(point: &str, passes: u32) {
    let job = Local::new(JOB);
    let file = job.folder.join("failpoint");
    std::fs::write(&file, format!("{point} error {passes}\n")).expect("the file is written");
    let done = job.program(&[]).env("CULVERT_FAILPOINT", &file).run(LIMIT);
    done.assert_code(0);
    assert!(!Path::new(&file).exists(), "the point {point} was not reached");
    let restarts = done.stdout.lines().find(|line| line.contains("Restarts")).unwrap_or_default();
    assert!(restarts.contains('1'), "{}", done.stdout);
}

#[test]
fn rows_that_come_again_after_a_failure_count_once() {
    for point in [
        "engine.write.after",
        "engine.prepare.after",
        "engine.save.before",
        "engine.save.after",
        "engine.commit.before",
        "engine.commit.after",
    ] {
        failing(point, 2);
    }
}

#[test]
fn a_broken_rule_ends_the_job_and_names_the_row() {
    let failed = Local::new(
        &JOB.replace("rule_type = MAX, rule_value = 40000", "rule_type = MAX, rule_value = 39999"),
    )
    .run();
    failed.assert_code(1);
    let error = failed.stderr.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
    assert!(error.contains("the rule MAX 39999 is broken (table=d.t, field=id, row=40000)"), "{error}");
    assert!(failed.stdout.contains("failed"), "{}", failed.stdout);
}

#[test]
fn too_few_rows_are_found_at_the_end() {
    let failed = Local::new(
        &JOB.replace("rule_type = MIN_ROW, rule_value = 40000", "rule_type = MIN_ROW, rule_value = 40001"),
    )
    .run();
    failed.assert_code(1);
    assert!(
        failed.stderr.contains("the rule MIN_ROW 40001 is broken: there were 40000 rows"),
        "{}",
        failed.stderr
    );
}

#[test]
fn an_empty_set_of_rules_is_refused() {
    let refused =
        Local::new("source { FakeSource { schema { fields { a = int } } } }\nsink { Assert { rules {} } }")
            .check();
    assert!(refused.code == Some(1) && refused.stdout.contains("has no rule"), "{}", refused.stdout);
}
